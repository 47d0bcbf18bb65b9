"""`rockcore knockout` on a screen that is there: what it prints, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from small_screens import write_screen

from rockcore.cli import main


@pytest.fixture(scope="module")
def screened(tiny_run) -> str:
    path: Path = tiny_run("screened")
    write_screen(path, {7: -0.6, 8: 0.0, 30: 0.0, 40: 0.0}, {7: (7, 8)}, {5: 0.0})
    return str(path)


def printed(capsys, *arguments: str) -> str:
    main(["knockout", *arguments])
    return capsys.readouterr().out


def test_a_finished_screen_is_printed(screened, capsys):
    text = printed(capsys, screened)
    assert "Strong Pillar" in text and "max-T, which decides" in text
    assert "Signs centred on the shams" in text and "you can detect" in text
    assert "as the paper: raw p" in text and "naive" in text


def test_json_and_csv_hold_the_same_numbers(screened, capsys):
    data = json.loads(printed(capsys, screened, "--json"))
    rows = list(csv.DictReader(io.StringIO(printed(capsys, screened, "--csv"))))
    assert len(data["candidates"]) == len(rows) == 6
    for record, row in zip(data["candidates"], rows, strict=True):
        assert float(row["delta"]) == pytest.approx(record["delta"])
        assert json.loads(row["token"]) == record["token"]
        assert [int(i) for i in row["ids"].split()] == record["ids"]
    assert data["settings"]["finished"] == 6 and data["power"]["tests"] == 6
    assert len(json.loads(printed(capsys, screened, "--json", "--top", "2"))["candidates"]) == 2


def test_levels_and_correction_are_taken(screened, capsys):
    wide = json.loads(printed(capsys, screened, "--json", "--epsilon", "0.9"))
    assert {row["verdict"] for row in wide["candidates"]} == {"Neutral"}
    assert "Benjamini–Hochberg, which decides" in printed(capsys, screened, "--correction", "BH")


def test_reading_a_screen_loads_no_torch(screened):
    code = (
        "import sys; from rockcore.cli import main; "
        "main(['knockout', sys.argv[1], '--csv']); print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, screened], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False"


def test_one_that_is_not_finished_needs_the_student(tiny_run, capsys):
    path = tiny_run("half")
    write_screen(path, {7: -0.6, 8: 0.0}, finished=1)
    with pytest.raises(SystemExit):
        main(["knockout", str(path)])
    assert "has no checkpoints" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--json", "--csv"], "Only one of them"),
        (["--candidates", "7", "--count", "5"], "--count 5 with --candidates"),
        (["--top", "0"], "--top 0"),
        (["--epsilon", "0"], "--epsilon 0"),
        (["--alpha", "1"], "--alpha 1"),
        (["--random", "-1"], "--random -1"),
        (["--processes", "0"], "--processes 0"),
    ],
)
def test_flags_that_cannot_work_are_refused(screened, flags, says, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["knockout", screened, *flags])
    printed = capsys.readouterr()
    assert ended.value.code == 1 and printed.out == ""
    assert says in printed.err and "Traceback" not in printed.err
