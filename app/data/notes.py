"""The notes of a run, kept by the state of their folder: they are no part of its fingerprint.

Writing asks for the right to act. Raises RockError where rockcore does.
"""

from __future__ import annotations

from pathlib import Path

from app import access
from app.data import runs
from app.data.runs import RunKey
from app.work import kept
from rockcore.log import notes
from rockcore.log.notes import MOST_LETTERS, RULE, TOKEN, VIEW, Note, Notes
from rockcore.spelling import visible

__all__ = ["MOST_LETTERS", "RULE", "TOKEN", "VIEW", "Note", "Notes"]


def notes_of(run: RunKey) -> Notes:
    """All notes of a run, the newest first, and the files that are none."""
    return _notes(run.path, state(run))


def state(run: RunKey) -> int:
    """Another number whenever a note comes, goes or changes."""
    return notes.state_of_notes(Path(run.path))


@kept
def _notes(path: str, _state: int) -> Notes:
    return notes.notes_of(Path(path))


def keep(run: RunKey, note: Note) -> Note:
    """Write a note into the run's folder. Raises Refused for a visitor who may not act."""
    access.require("Keeping a note")
    return notes.keep_note(Path(run.path), note)


def delete(run: RunKey, id: str) -> None:
    """Raises Refused for a visitor who may not act."""
    access.require("Deleting a note")
    notes.delete_note(Path(run.path), id)


def token_name(run: RunKey, token: int) -> str:
    """How a note names a token type; only its id where the run has no such type."""
    text = runs.log(run).vocab.set_index("token_id").token.get(token)
    return f"type {token}" if text is None else f"{visible(str(text))[:150]} ({token})"
