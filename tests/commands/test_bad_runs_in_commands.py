"""Every command that reads a run, on runs that cannot be: one clear error, exit code 1."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import write_tiny_run

from rockcore.cli import main


def pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def twice(file: Path) -> None:
    table = pq.ParquetFile(file).read()
    pq.write_table(pa.concat_tables([table, table]), file)


def no_text(run: Path) -> None:
    run.rename(run.with_name("r\udc80"))


READ = ("probe/final", "tokens", "types")  # by one command or the other
DAMAGES: dict[str, Callable[[Path], object]] = {
    "deep": lambda run: (run / "run.json").write_text("[" * 100_000),
    "a pipe": lambda run: pipe(run / "run.json"),
    "a pipe in place of a table": lambda run: pipe(run / "probe/final/step=000020.parquet"),
    "tables twice": lambda run: [twice(run / table / "step=000020.parquet") for table in READ],
    "a vocabulary twice": lambda run: twice(run / "vocab.parquet"),
    "no text": no_text,
}
COMMANDS = {
    "rocks": ["rocks", "RUN", "--json"],
    "compare": ["compare", "RUN", "RUN", "--json"],
    "knockout": ["knockout", "RUN", "--problems", "4"],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_is_one_clear_error(damage, command, tmp_path, capsys) -> None:
    run = write_tiny_run(tmp_path / "r")
    DAMAGES[damage](run)
    (path,) = tmp_path.iterdir()
    with pytest.raises(SystemExit) as ended:
        main([str(path) if word == "RUN" else word for word in COMMANDS[command]])
    said = capsys.readouterr()
    assert ended.value.code == 1 and not said.out
    assert said.err.startswith("error: ") and "Traceback" not in said.err
    said.err.encode()


@pytest.mark.parametrize("damage", ["[" * 100_000, '{"arms": 1, "arms": 2}', "NaN", None])
def test_a_damaged_plan_of_arms_is_one_clear_error(damage, tmp_path, capsys) -> None:
    if damage is None:
        os.mkfifo(tmp_path / "arms.json")
    else:
        (tmp_path / "arms.json").write_text(damage)
    with pytest.raises(SystemExit) as ended:
        main(["compare-arms", str(tmp_path)])
    said = capsys.readouterr().err
    assert ended.value.code == 1 and said.startswith("error: BadPlan") and "arms.json" in said
