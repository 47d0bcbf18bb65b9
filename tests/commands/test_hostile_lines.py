"""What the commands print of hostile names, tokens and errors, as a terminal would receive it."""

import csv
import io
import json
import unicodedata

import pytest
from conftest import write_tiny_run
from rich.progress import Progress, TextColumn
from rich.table import Table

from rockcore.cli import main
from rockcore.commands.console import PlainConsole, TrainingBar

TITLE = "\x1b]0;TITLE\x07\x1b[2J"
HOSTILE = TITLE + "\x9b31m\u202egnp"


def obeyed(printed: str) -> set[str]:
    """Control characters that are none of Rich's own: it colours, moves and hides the cursor."""
    return {c for c in printed if unicodedata.category(c) in ("Cc", "Cf", "Cs")} - {*"\n\x1b\r"}


def console() -> tuple[PlainConsole, io.StringIO]:
    file = io.StringIO()
    return PlainConsole(file=file, force_terminal=True, width=200, color_system=None), file


def test_lines_and_tables_of_a_terminal_hold_no_command_of_a_text():
    out, file = console()
    table = Table(HOSTILE, title=HOSTILE)
    table.add_row(HOSTILE + "\ud800")
    out.print(HOSTILE, markup=False)
    out.print(table)
    printed = file.getvalue()
    assert "\x1b" not in printed and not obeyed(printed)
    assert printed.count("␛]0;TITLE") == 4


def test_bars_of_a_terminal_hold_no_command_of_a_text():
    out, file = console()
    with Progress(TextColumn("{task.description}"), console=out) as bar:
        bar.add_task(HOSTILE)
    with TrainingBar(out) as training:
        training.say(HOSTILE)
    printed = file.getvalue()
    assert "␛]0;TITLE" in printed
    assert "\x1b]" not in printed and "\x1b[2J" not in printed and not obeyed(printed)


@pytest.mark.parametrize("form", [[], ["--json"], ["--csv"]], ids=["table", "json", "csv"])
def test_rocks_of_a_hostile_run_are_printed_plainly(tmp_path, capsys, form):
    run = write_tiny_run(tmp_path / "run").rename(tmp_path / TITLE)
    rule = "[[rule]]\ncategory = '=1+1'\npattern = '.*[a-z].*'\n"
    (run / "categories.toml").write_text(rule, encoding="utf-8")
    main(["rocks", str(run), *form])
    printed = capsys.readouterr().out
    assert "\x1b" not in printed and not obeyed(printed)
    tokens = []
    if form == ["--json"]:
        tokens = [row["token"] for row in json.loads(printed)["tokens"]]
    if form == ["--csv"]:
        rows = list(csv.DictReader(io.StringIO(printed)))
        tokens = [json.loads(row["token"]) for row in rows]
        assert "'=1+1" in {row["category"] for row in rows}
    assert "\u202egnihtyna" in tokens or not form


def test_an_error_about_a_hostile_path_is_printed_plainly(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["rocks", str(tmp_path / TITLE)])
    printed = capsys.readouterr().err
    assert "\x1b" not in printed and "␛]0;TITLE" in printed
