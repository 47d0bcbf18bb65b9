"""The page Import and what it calls: who may import, from where, and what becomes of it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from pages import own_buttons
from patience import PATIENCE_S
from streamlit.testing.v1 import AppTest
from test_odd_runs import shown, stands

from app import access, data
from app.access import Terms
from app.data import children, imports, turns
from app.data.imports import Told
from app.data.shelves import NotOffered
from rockcore.commands.imports import Import
from rockcore.importers import IMPORTERS, format_named


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that the dashboard offers as logs, opened by somebody who may act."""
    monkeypatch.setattr(access, "_terms", Terms(acting="s" * 20, logs=(tmp_path / "shelf",)))
    monkeypatch.setattr(imports, "_started", imports._started.copy())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shelf").mkdir()
    return tmp_path / "shelf"


def write_export(path: Path, rows: int = 3) -> Path:
    """A plain table, one row a rollout."""
    lines = [
        {
            "step": 1,
            "rollout_id": r,
            "prompt": "What is 1 + 1?",
            "response": "two",
            "token_id": [3, 1, 2 + r],
            "sampled_loss": [0.5, -0.25, 1.0],
        }
        for r in range(rows)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def press(app: AppTest, label: str) -> AppTest:
    return next(button for button in app.button if button.label == label).click().run()


def ended(name: str) -> data.imports.Watched:
    """How an import stands after its process has ended."""
    children._children[Path("runs", name).resolve()].wait(PATIENCE_S)
    return data.imports.watch(name)


@pytest.mark.parametrize("secret", ["", "s" * 20])
def test_who_may_only_look_has_no_form_and_reads_what_is_missing(
    secret: str, open_app, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_terms", Terms(acting=secret))
    app = open_app("imports")
    assert not app.exception and not own_buttons(app) and not app.multiselect
    assert ("?access=" in shown(app)) if secret else "rockcore app" in shown(app)


@pytest.mark.parametrize(
    "act",
    [
        lambda: data.imports.start_import("auto", ["shelf"], "", "x"),
        lambda: data.imports.cancel("x"),
        lambda: data.imports.logs(),
        lambda: turns.enqueue([sys.executable, "-c", ""], Path("runs/x"), "It"),
    ],
)
def test_who_may_not_act_is_refused_behind_the_page_too(
    act: Callable[[], object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(access.Refused):
        act()
    assert not os.listdir(tmp_path)


@pytest.mark.usefixtures("may_act")
def test_a_log_becomes_a_run_that_can_be_opened(shelf: Path, open_app) -> None:
    write_export(shelf / "mine.jsonl")
    app = open_app("imports")
    stands(app)
    assert app.multiselect[0].options == ["shelf", "shelf/mine.jsonl"]
    assert next(b for b in app.selectbox if b.label == "Format").options == ["auto", *IMPORTERS]
    app.multiselect[0].set_value(["shelf/mine.jsonl"])
    press(app, "Import")
    assert not app.exception and ended("imported-1").line == "Imported."
    app.run()
    assert "Imported." in shown(app) and "mine.jsonl" not in data.trainings.trainings()
    assert data.trainings.trainings() == [], "an import is no training"
    run = data.imports.watch("imported-1").run
    assert run is not None
    found = data.runs.log(run)
    assert found.trace(1, 2).token_id.tolist() == [3, 1, 4] and found.meta.source == "table"
    press(app, "Open this run")
    assert not app.exception


@pytest.mark.usefixtures("may_act")
def test_what_is_wrong_with_a_log_is_told_and_nothing_of_it_opens(shelf: Path, open_app) -> None:
    (shelf / "odd.jsonl").write_text('{"a": 1}\n' * 4)
    data.imports.start_import("table", ["shelf/odd.jsonl"], "", "odd")
    now = ended("odd")
    assert now.run is None and "Nothing was imported (exit code 1)" in now.line
    assert "odd.jsonl" in now.output and "Traceback" not in now.output
    assert not list(Path("runs").rglob("run.json")) and "odd" not in data.runs.offered()
    app = open_app("imports")
    assert not app.exception and "Nothing was imported" in shown(app)


@pytest.mark.usefixtures("may_act")
def test_only_what_lies_below_the_named_folders_is_offered(shelf: Path, tmp_path: Path) -> None:
    secret = write_export(tmp_path / "secret.jsonl")
    (shelf / "away.jsonl").symlink_to(secret)
    (shelf / ".hidden.jsonl").write_text("{}")
    (shelf / "notes.txt").write_text("")
    assert data.imports.logs() == ["shelf"]
    for name in ("shelf/away.jsonl", str(secret), "../secret.jsonl", ""):
        with pytest.raises(NotOffered):
            data.imports.start_import("table", [name], "", "x")
    with pytest.raises(NotOffered, match="holds a link that leads out of it"):
        data.imports.start_import("table", ["shelf"], "", "x")
    assert not Path("runs").exists()


@pytest.mark.usefixtures("may_act")
def test_what_is_told_is_never_taken_for_another_flag(
    shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_export(shelf / "-x.jsonl")
    given: list[list[str]] = []
    monkeypatch.setattr(turns, "enqueue", lambda command, *_: given.append(command))
    told = Told("kl=--out\n\n--out=/x", "--out 1", "--out", "--out", True, True)
    data.imports.start_import("table", ["shelf/-x.jsonl"], "", "x", told)
    [command] = given
    assert command[3:7] == ["import", "table", str(shelf / "-x.jsonl"), "--out"]
    assert command[8:] == [
        *("--map=kl=--out", "--map=--out=/x", "--steps=--out1", "--student-logps=--out"),
        *("--estimator=--out", "--opd", "--reference-is-teacher"),
    ]
    flags = {"--" + field.name.replace("_", "-") for field in fields(Import)}
    assert {word.split("=")[0] for word in command[8:]} <= flags


@pytest.mark.usefixtures("may_act")
@pytest.mark.parametrize(
    ("format", "names", "name", "says"),
    [
        ("auto", [], "x", "No log is picked"),
        ("pickle", ["shelf"], "x", "'pickle' is no format"),
        ("auto", ["shelf"], "../x", "is no name for a folder"),
        ("auto", ["shelf"], "taken", "already holds files"),
    ],
)
def test_an_order_that_cannot_be_is_refused_in_words(
    format: str, names: list[str], name: str, says: str, shelf: Path
) -> None:
    Path("runs/taken").mkdir(parents=True)
    Path("runs/taken/run.json").write_text("{}")
    with pytest.raises(data.trainings.CannotStart, match=says):
        data.imports.start_import(format, names, "", name)


@pytest.mark.usefixtures("may_act")
def test_imports_and_trainings_take_turns(shelf: Path, open_app) -> None:
    long = [sys.executable, "-c", "import sys; sys.stdin.read(); import time; time.sleep(600)"]
    turns.enqueue(long, Path("runs/first"), "It")
    try:
        write_export(shelf / "mine.jsonl")
        data.imports.start_import("table", ["shelf/mine.jsonl"], "", "second")
        assert data.imports.watch("second").line.startswith("Waiting, place 1 of 1")
        app = open_app("imports")
        stands(app)
        press(app, "Cancel")
        assert turns.waiting() == [] and not Path("runs/second").exists()
    finally:
        children._children[Path("runs/first").resolve()].kill()


@pytest.mark.usefixtures("may_act")
@pytest.mark.parametrize("name", IMPORTERS)
def test_the_files_of_each_format_are_offered(name: str, shelf: Path) -> None:
    for i, pattern in enumerate(format_named(name).patterns):
        file = shelf / str(i) / Path(pattern).name.replace("[0-9]", "1").replace("*", "1")
        file.parent.mkdir()
        file.write_text("")
        assert f"shelf/{i}/{file.name}" in data.imports.logs()
