"""`rockcore export`: the file is what the library writes, and what cannot be is said in words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rockcore.cli import main
from rockcore.commands.export import FORMATS
from rockcore.exporters import EXPORTERS
from rockcore.log import sample_runs

HABIT = str(sample_runs() / "habit")


def test_the_command_offers_every_format_and_no_other():
    assert list(EXPORTERS) == FORMATS


def test_the_file_is_written_with_what_to_know_about_it(tmp_path, capsys):
    file = tmp_path / "rock.json"
    main(["export", HABIT, "--to", "ids", "--out", str(file), "--set", "top_k=3"])
    assert len(json.loads(file.read_text())) == 3
    said = capsys.readouterr().out
    assert "3 token types" in said and "the token read" in said and "logged tokens" in said


def test_a_set_from_a_file_goes_the_same_way(tmp_path, capsys):
    main(["rocks", HABIT, "--json", "--set", "top_k=4"])
    (tmp_path / "set.json").write_text(capsys.readouterr().out)
    file = tmp_path / "weights.json"
    rocks = ["--rocks", str(tmp_path / "set.json"), "--out", str(file), "--weight", "0.5"]
    main(["export", *rocks])
    assert {row["weight"] for row in json.loads(file.read_text())["weights"]} == {0.5}
    main(["export", HABIT, "--to", "mask", *rocks[:2], "--out", str(tmp_path / "mask.parquet")])
    assert (tmp_path / "mask.parquet").stat().st_size > 1000


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        ([HABIT, "--to", "onnx"], "no such format"),
        (["--to", "ids"], "neither a run nor --rocks"),
        (["--to", "ids", "--rocks", "set.json", "--preset", "paper"], "--rocks and --preset"),
        ([HABIT, "--to", "ids", "--out", "there.json"], "is there already"),
        ([HABIT, "--to", "ids", "--out", "no/where/it.json", "--weight", "-1"], "factor"),
        ([HABIT, "--to", "ids", "--out", "there.json/it.json"], "could not be written"),
    ],
)
def test_what_cannot_be_exported_is_said_in_words(flags, why, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("there.json").write_text("mine")
    with pytest.raises(SystemExit) as quits:
        main(["export", *flags])
    assert quits.value.code == 1 and why in " ".join(capsys.readouterr().err.split())
    assert Path("there.json").read_text() == "mine" and len(list(tmp_path.iterdir())) == 1
