"""Runs that cannot be right, on the pages: each says one clear error where it is picked, and
touches no other run.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from chrome import PAGES
from conftest import write_tiny_run
from pages import RunFactory, words

from rockcore import schema
from rockcore.log.files import table_files


def says(text: str) -> Callable[[Path], None]:
    def edit(run: Path) -> None:
        (run / "run.json").write_text(text)

    return edit


def field(**changes: object) -> Callable[[Path], None]:
    def edit(run: Path) -> None:
        about = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps(about | changes))

    return edit


def in_place_of(name: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    def edit(run: Path) -> None:
        (run / name).unlink()
        make(run / name)

    return edit


def doubled(*tables: str) -> Callable[[Path], None]:
    def edit(run: Path) -> None:
        for file in (f for table in tables for f in table_files(run, table)):
            table = pq.ParquetFile(file).read()
            pq.write_table(pa.concat_tables([table, table]), file)

    return edit


CLOSED = {  # that cannot be opened
    "deep": says("[" * 100_000),
    "a number": says("5"),
    "twice": says('{"schema_version": 1, "name": "a", "name": "b"}'),
    "NaN": says('{"schema_version": NaN}'),
    "of another type": field(name=["a"], config=None),
    "out of range": field(vocab_size=-1),
    "NUL": field(student="a\0b"),
    "long": field(student="x" * 200_000),
    "another version": field(schema_version=99),
    "a pipe": in_place_of("run.json", os.mkfifo),
    "a folder": in_place_of("run.json", Path.mkdir),
    "a device": in_place_of("run.json", lambda file: file.symlink_to("/dev/zero")),
    "a pipe of tokens": in_place_of("tokens/step=000010.parquet", os.mkfifo),
    "a loop": in_place_of("vocab.parquet", lambda file: file.symlink_to(file)),
    "vocab": doubled("vocab"),
    "bytes \udc80": lambda run: None,
}
OPEN = tuple(name for name in schema.TABLES if name != "vocab")


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two healthy runs, one of them in training, and all that cannot be opened."""
    place = tmp_path_factory.mktemp("crowd")
    healthy = write_tiny_run(place / "healthy")
    for case, damage in CLOSED.items():
        shutil.copytree(healthy, place / case)
        damage(place / case)
    write_tiny_run(place / "training", status="running")
    write_tiny_run(place / "second")
    return place


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("run", ["healthy", "training"])
def test_runs_that_cannot_be_opened_touch_no_page_of_another(run, page, crowd, open_app) -> None:
    app = open_app(page, crowd, run=run)
    assert not app.exception, app.exception
    assert "cannot be opened" not in words(app) and "cannot be read" not in words(app)


def test_the_runs_in_training_are_found_among_them(crowd, open_app) -> None:
    app = open_app("live", crowd, run="healthy")
    assert [b.label for b in app.button if b.label.startswith("Follow")] == ["Follow training"]


def test_every_one_of_them_can_be_picked_and_says_what_is_wrong(crowd, open_app) -> None:
    for case in CLOSED:
        name = case.encode(errors="backslashreplace").decode()
        app = open_app("overview", crowd, run=name)
        assert not app.exception, (case, app.exception)
        assert "This run cannot be opened" in words(app), case
        said = next(t.value for t in app.text if ". " in t.value)
        assert said.count(". ") >= 2 and len(said) < 800, said
        assert name in app.sidebar.selectbox[0].options


def test_compare_says_it_of_the_second_run_and_keeps_the_first(crowd, open_app) -> None:
    for case in ("deep", "a pipe", "vocab", "out of range"):
        app = open_app("compare", crowd, run="healthy", run_b=case)
        assert not app.exception and "These two cannot be compared" in words(app), case
    app = open_app("compare", crowd, run="healthy", run_b="second")
    assert not app.exception and "cannot" not in words(app)


SILENT = {"session", "arms", "imports", "notes"}  # ask nothing of the run's tables


@pytest.mark.parametrize("page", PAGES)
def test_a_page_of_doubled_rows_says_so_in_words(page, tiny_run: RunFactory, open_app) -> None:
    run = tiny_run("doubled")
    doubled(*OPEN)(run)
    app = open_app(page, run)
    assert not app.exception, app.exception
    assert page in SILENT or "step=" in words(app), words(app)


@pytest.mark.parametrize("table", OPEN)
def test_the_overview_of_one_damaged_table_stands_or_names_it(
    table, tiny_run: RunFactory, open_app
) -> None:
    run = tiny_run("one")
    doubled(table)(run)
    app = open_app("overview", run)
    assert not app.exception, app.exception
