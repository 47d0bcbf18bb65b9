"""Notes in the folder of a run: kept whole, bounded, and of no matter to anything else there."""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import write_tiny_run

from rockcore.log import Run, notes
from rockcore.log.notes import BadNote, NoNote, Note, NotKept
from rockcore.schema import RockError

HOSTILE = '<script>alert(1)</script> $x$ ` \u202e [a](javascript:b) \n\n# big "\\ '
NOTE = Note("token", "Wait (603)", "Stays to the end.", "token", {"token": "603", "rule": "strict"})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_tiny_run(tmp_path / "r")


def test_a_note_is_read_back_as_it_was_written_the_newest_first(run: Path):
    first = notes.keep_note(run, NOTE)
    hostile = replace(NOTE, text=HOSTILE, about=HOSTILE, values={"q": HOSTILE})
    second = notes.keep_note(run, hostile)
    found = notes.notes_of(run)
    assert {n.id for n in found.found} == {first.id, second.id} and not found.unread
    assert replace(second, id="", written="") == hostile
    assert [n.text for n in found.holding("ALERT(1)")] == [HOSTILE]
    assert first.token == 603 and second.token is None


def test_notes_do_not_enter_the_fingerprint_of_a_run_and_nothing_but_they_changes(run: Path):
    before, state = Run.open(run).fingerprint(), notes.state_of_notes(run)
    kept = notes.keep_note(run, NOTE)
    assert Run.open(run).fingerprint() == before and notes.state_of_notes(run) != state
    notes.delete_note(run, kept.id)
    assert notes.notes_of(run) == notes.Notes((), ()) and Run.open(run).fingerprint() == before


def test_many_who_write_at_once_lose_no_note(run: Path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: notes.keep_note(run, replace(NOTE, text=str(i))), range(40)))
    assert {n.text for n in notes.notes_of(run).found} == {str(i) for i in range(40)}
    assert all(f.suffix == ".json" for f in (run / "notes").iterdir())  # nothing half-written


BAD = {
    "no json": "{",
    "a list": "[]",
    "a field missing": json.dumps({"kind": "token"}),
    "another kind": json.dumps({**vars(NOTE), "kind": "script"}),
    "a number for words": json.dumps({**vars(NOTE), "text": 7}),
    "half a letter": json.dumps({**vars(NOTE), "text": "\ud800"}),
    "a page that leads out": json.dumps({**vars(NOTE), "page": "../../etc"}),
    "values that are none": json.dumps({**vars(NOTE), "values": {"token": [1]}}),
    "brackets without end": "[" * 60_000,
    "too large": json.dumps({**vars(NOTE), "text": "x" * 2**17}),
    "another id": json.dumps({**vars(NOTE), "id": "20260101-000000-00000000"}),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_is_no_note_is_named_and_the_others_are_read(run: Path, name: str):
    good = notes.keep_note(run, NOTE)
    (run / "notes" / "20270101-000000-0123abcd.json").write_text(BAD[name])
    (run / "notes" / "mine.json").write_text("{}")
    found = notes.notes_of(run)
    assert [n.id for n in found.found] == [good.id]
    assert [line.partition(":")[0] for line in found.unread] == [
        "mine.json",
        "20270101-000000-0123abcd.json",
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes in folders")
def test_a_pipe_among_the_notes_keeps_nobody_waiting(run: Path):
    (run / "notes").mkdir()
    os.mkfifo(run / "notes" / "20270101-000000-0123abcd.json")
    assert "no regular file" in notes.notes_of(run).unread[0]


@pytest.mark.parametrize(
    "change",
    [
        {"text": " "},
        {"text": "x" * 4_001},
        {"about": "x" * 201},
        {"kind": "x"},
        {"page": "a/b"},
        {"values": {"a": "x" * 4_001}},
        {"values": {f"v{i}": "" for i in range(41)}},
        {"text": "\udc80"},
    ],
    ids=str,
)
def test_a_note_beyond_its_bounds_is_refused_in_three_parts(change: dict):
    with pytest.raises(BadNote) as error:
        replace(NOTE, **change)
    assert len(error.value.parts) == 3 and len(str(error.value)) < 400


def test_no_more_notes_are_kept_than_can_be_listed(run: Path, monkeypatch):
    monkeypatch.setattr(notes, "MOST_NOTES", 2)
    notes.keep_note(run, NOTE)
    notes.keep_note(run, NOTE)
    with pytest.raises(BadNote, match="2 notes"):
        notes.keep_note(run, NOTE)


def test_a_run_that_was_deleted_is_not_begun_anew_by_a_note(tmp_path: Path):
    with pytest.raises(NotKept):
        notes.keep_note(tmp_path / "gone", NOTE)
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize("what", ["a file in its place", "a link that leads elsewhere"])
def test_a_note_is_written_into_the_run_and_nowhere_else(run: Path, tmp_path: Path, what: str):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if what == "a file in its place":
        (run / "notes").write_text("")
    else:
        (run / "notes").symlink_to(elsewhere)
    with pytest.raises(NotKept, match="notes"):
        notes.keep_note(run, NOTE)
    assert not any(elsewhere.iterdir())


@pytest.mark.parametrize("id", ["../run", "20270101-000000-0123abcd", "/etc/passwd", ""])
def test_only_a_note_that_is_there_is_deleted(run: Path, id: str):
    with pytest.raises(NoNote):
        notes.delete_note(run, id)
    assert isinstance(Run.open(run), Run) and issubclass(NoNote, RockError)
