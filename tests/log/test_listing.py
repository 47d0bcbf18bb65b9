"""A folder is looked at again only where something has changed, and whatever changes is seen."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_logs import tokens, write_small_log

from rockcore.log import Run, RunWriter, listing
from rockcore.log.files import table_files
from rockcore.log.folders import fingerprint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tokens").mkdir()
    return tmp_path


@pytest.fixture
def each_has_its_turn(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(listing, "_AGAIN_S", 0.0)
    yield


def file(run: Path, step: int) -> Path:
    return run / "tokens" / f"step={step:06d}.parquet"


def put(path: Path, text: str) -> None:
    """As a run is written: under another name, then renamed."""
    path.with_suffix(".tmp").write_text(text)
    os.replace(path.with_suffix(".tmp"), path)


def anew(run: Path) -> str:
    """The fingerprint as a process says that has never looked at the run."""
    listing._folders.clear()
    return fingerprint(run)


def test_files_that_come_within_one_tick_of_the_clock_are_all_seen(folder: Path) -> None:
    """The folder has the same time before and after."""
    for step in range(300):
        put(file(folder, step), "")
        assert table_files(folder, "tokens")[-1] == file(folder, step)
        assert fingerprint(folder)  # who looks at the files must not take the news from who lists
    assert len(table_files(folder, "tokens")) == 300


def test_who_looks_at_the_files_first_leaves_the_news_to_who_lists_them(folder: Path) -> None:
    assert table_files(folder, "tokens") == []
    put(file(folder, 1), "")
    fingerprint(folder)
    assert table_files(folder, "tokens") == [file(folder, 1)]


@settings(max_examples=30)
@given(
    acts=st.lists(
        st.tuples(
            st.sampled_from(["put", "edit", "remove", "stranger"]),
            st.integers(0, 6),
            st.text("ab", max_size=3),
        ),
        max_size=12,
    )
)
def test_whatever_is_done_to_a_folder_the_list_and_the_fingerprint_are_those_of_a_first_look(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, int, str]]
) -> None:
    run = tmp_path_factory.mktemp("run")
    (run / "tokens").mkdir()
    for act, step, text in acts:
        path = file(run, step)
        if act == "put":
            put(path, text)
        elif act == "edit" and path.exists():
            path.write_text(text + "edited")
        elif act == "remove":
            path.unlink(missing_ok=True)
        elif act == "stranger":
            (run / "tokens" / f"copy of {step}").write_text(text)
        there = [file(run, step) for step in range(7) if file(run, step).exists()]
        assert table_files(run, "tokens") == there
        seen = fingerprint(run)
        assert seen == anew(run)


def test_a_fingerprint_is_that_of_the_files_and_not_of_how_they_came(folder: Path) -> None:
    put(file(folder, 1), "a")
    before = fingerprint(folder)
    put(file(folder, 2), "b")
    assert fingerprint(folder) != before
    file(folder, 2).unlink()
    assert fingerprint(folder) == before


def test_a_stranger_beside_the_files_changes_no_fingerprint(folder: Path) -> None:
    put(file(folder, 1), "a")
    before = fingerprint(folder)
    (folder / "tokens" / "step=1 (copy).parquet").write_text("c")
    assert fingerprint(folder) == before


def test_a_file_of_a_large_folder_that_is_edited_in_place_is_seen_when_its_turn_comes(
    folder: Path, each_has_its_turn: None
) -> None:
    many = 3 * listing._AT_ONCE
    for step in range(many):
        file(folder, step).write_text("")
    before = fingerprint(folder)
    assert fingerprint(folder) == before
    file(folder, many // 2).write_text("edited")
    assert any(fingerprint(folder) != before for _ in range(4))
    assert fingerprint(folder) == anew(folder)


def test_a_file_of_a_large_folder_that_another_takes_the_place_of_is_seen_at_once(
    folder: Path,
) -> None:
    many = 3 * listing._AT_ONCE
    for step in range(many):
        file(folder, step).write_text("")
    before = fingerprint(folder)
    put(file(folder, many // 2), "another")
    assert fingerprint(folder) != before


def test_a_large_folder_costs_few_looks_at_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = 3 * listing._AT_ONCE
    for step in range(many):
        file(folder, step).write_text("")
    fingerprint(folder)
    looked: list[str] = []
    look = listing.Folder._look
    monkeypatch.setattr(
        listing.Folder, "_look", lambda self, name: (looked.append(name), look(self, name))
    )
    put(file(folder, many), "new")
    fingerprint(folder)
    assert file(folder, many).name in looked and len(looked) <= listing._AT_ONCE + 1


def test_a_run_that_is_moved_away_and_another_in_its_place_are_two(tmp_path: Path) -> None:
    first = write_small_log(tmp_path / "r")
    steps = Run.open(first).steps()
    first.rename(tmp_path / "old")
    RunWriter.create(first, Run.open(tmp_path / "old").meta, _vocab()).append(
        "tokens", 70, tokens(70)
    )
    assert Run.open(first).steps() == [70] and Run.open(tmp_path / "old").steps() == steps


def _vocab() -> dict[str, list]:
    return {"token_id": [0, 1, 2], "token": ["a", "b", "c"], "special": [False] * 3}
