"""What a reader pinned in a run: a token, a rule or a view, with a note. RUN/notes/ID.json, one
small file a note, so that two readers who write at once do not overwrite each other.

Notes are no part of the log: they do not enter the fingerprint of a run, and nothing but this file
reads them. Whatever lies in that folder may come from somebody else: it is read with bounds, and a
file that is no note is named and left alone.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from rockcore.log.files import commit, read_whole
from rockcore.log.listing import mark_of
from rockcore.schema import DamagedRun, LogWriteError, RockError, moment, strict_json

FOLDER = "notes"
TOKEN, RULE, VIEW = KINDS = ("token", "rule", "view")
MOST_NOTES = 500
MOST_LETTERS = {"about": 200, "text": 4_000}
_MOST_BYTES = 2**16  # of a file
_MOST_VALUES, _MOST_IN_VALUE = 40, 4_000
_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{8}")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


class BadNote(RockError, ValueError):
    """A note that cannot be kept, or a file that is none."""


class NoNote(RockError, LookupError):
    """There is no note of this id."""


class NotKept(RockError, OSError):
    """The folder of the run does not take notes."""


@dataclass(frozen=True)
class Note:
    """A thing in a run and what a reader says of it. Raises BadNote for what is out of its bounds.

    `page` and `values` say where it is seen: a page and the values in its address.
    """

    kind: str  # of KINDS
    about: str  # what is pinned, as people name it: "Wait (603)"
    text: str
    page: str
    values: Mapping[str, str] = field(default_factory=dict)
    written: str = ""  # ISO 8601, UTC; empty until it is kept
    id: str = ""  # of the file; empty until it is kept

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise _refused(f"a note on {_quoted(self.kind)}", f"Notes are on a {', '.join(KINDS)}")
        for name, most in MOST_LETTERS.items():
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip():
                raise _refused(f"a note without {_NAMED[name]}", "It would say nothing")
            if len(value) > most or not _is_text(value):
                raise _refused(
                    f"a note whose {_NAMED[name]} has {len(value):,} letters",
                    f"It may have {most:,}, and no half characters",
                )
        if not _is_name(self.page):
            raise _refused(f"a note on the page {_quoted(self.page)}", "There is none of this name")
        if not _are_values(self.values):
            raise _refused(
                f"a note on an address with {_size(self.values)}",
                f"An address has {_MOST_VALUES} of at most {_MOST_IN_VALUE:,} letters",
            )
        named = not self.id or _ID.fullmatch(self.id)
        if not (named and (not self.written or moment(self.written))):
            raise _refused(f"a note of the id {_quoted(self.id)}", "This program gives others")

    @property
    def token(self) -> int | None:
        """The token id that is pinned; None where the note is on something else."""
        value = self.values.get("token", "")
        is_id = value.isascii() and value.isdecimal() and len(value) < 10
        return int(value) if self.kind == TOKEN and is_id else None


_NAMED = {"about": "name", "text": "words"}


class Notes(NamedTuple):
    """The notes of a run."""

    found: tuple[Note, ...]  # the newest first
    unread: tuple[str, ...]  # file and reason, of those that are no notes

    def on(self, *pages: str) -> tuple[Note, ...]:
        """Those whose view is one of these pages."""
        return tuple(note for note in self.found if note.page in pages)

    def holding(self, search: str) -> tuple[Note, ...]:
        """Those that hold a text somewhere, whatever its case; all for an empty one."""
        wanted = search.casefold().strip()
        return tuple(
            note
            for note in self.found
            if wanted in " ".join((note.kind, note.about, note.text, note.page)).casefold()
        )


def notes_of(run: Path) -> Notes:
    """The notes of a run, the newest first; none where nobody has written one. Beyond MOST_NOTES
    the oldest are named, not read.
    """
    found: list[Note] = []
    unread: list[str] = []
    for name in sorted(_names(run), reverse=True):
        if len(found) >= MOST_NOTES:
            unread.append(f"{name}: beyond the {MOST_NOTES} that are read")
            continue
        try:
            found.append(_read(run / FOLDER / name))
        except FileNotFoundError:  # deleted meanwhile
            continue
        except (BadNote, DamagedRun) as e:
            unread.append(f"{name}: {e.parts[0]}")
    return Notes(tuple(found), tuple(unread))


def keep_note(run: Path, note: Note) -> Note:
    """Write a note into the folder of a run, and say how it is called. Raises BadNote where there
    are too many, NotKept where the folder takes none.
    """
    there = len(_names(run))
    if there >= MOST_NOTES:
        raise BadNote(
            f"{run.name} has {there} notes",
            f"At most {MOST_NOTES} are kept of a run, so that a page can list them",
            "Delete some on the page Notes",
        )
    now = datetime.now(timezone.utc)
    id = f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"
    kept = Note(**{**_as_dict(note), "id": id, "written": now.isoformat(timespec="seconds")})
    text = json.dumps(_as_dict(kept), ensure_ascii=False, indent=1)
    if len(text.encode()) > _MOST_BYTES:
        raise _refused(f"a note of {len(text.encode()):,} bytes", f"It may take {_MOST_BYTES:,}")
    try:
        _refuse_link(run)
        file = run / FOLDER / f"{id}.json"
        commit(file, lambda tmp: tmp.write_text(text, encoding="utf-8"), within=run)
    except LogWriteError as e:
        raise _not_kept(run, e) from e
    return kept


def delete_note(run: Path, id: str) -> None:
    """Raises NoNote, or NotKept where the folder may not be changed."""
    if not _ID.fullmatch(id):
        raise _no_note(run, id)
    try:
        _refuse_link(run)
        (run / FOLDER / f"{id}.json").unlink()
    except (FileNotFoundError, NotADirectoryError) as e:
        raise _no_note(run, id) from e
    except OSError as e:
        raise _not_kept(run, e) from e


def state_of_notes(run: Path) -> int:
    """Another number whenever a note comes, goes or changes."""
    return mark_of(run / FOLDER, _is_file)


def _is_file(name: str) -> bool:
    return name.endswith(".json") and not name.startswith(".")


def _names(run: Path) -> list[str]:
    """The files that may hold notes."""
    folder = run / FOLDER
    try:
        return [name for name in os.listdir(folder) if _is_file(name)]
    except OSError:  # nobody has written one, or it cannot be listed
        return []


def _read(file: Path) -> Note:
    """Raises BadNote or DamagedRun, FileNotFoundError where it is gone."""
    said = ascii(file.name)[1:-1]
    if not _ID.fullmatch(file.name.removesuffix(".json")):
        raise _refused("its name is not one that this program gives", "It may be anything")
    text = read_whole(file)
    if len(text) > _MOST_BYTES:
        raise _refused(f"it has {len(text):,} bytes", f"A note takes at most {_MOST_BYTES:,}")
    try:
        data = strict_json.parse(text)
        note = Note(**{f.name: data[f.name] for f in fields(Note)})
        if not (isinstance(note.written, str) and isinstance(note.id, str)):
            raise TypeError("its time is no text")
    except BadNote:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as e:
        raise _refused(f"it holds no note ({type(e).__name__})", "Its fields are missing") from e
    if note.id != file.name.removesuffix(".json"):
        raise _refused(f"it calls itself another than {said}", "It was copied or edited")
    return note


def _as_dict(note: Note) -> dict[str, Any]:
    return {**asdict(note), "values": dict(note.values)}


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(_NAME.fullmatch(value))


def _are_values(values: Any) -> bool:
    """Whether they are names and texts that an address can carry."""
    return (
        isinstance(values, Mapping)
        and len(values) <= _MOST_VALUES
        and all(_is_name(name) for name in values)
        and all(
            isinstance(v, str) and len(v) <= _MOST_IN_VALUE and _is_text(v) for v in values.values()
        )
    )


def _is_text(value: str) -> bool:
    """Whether it can be written as UTF-8: half a character cannot."""
    return not any("\ud800" <= letter <= "\udfff" for letter in value)


def _size(values: Any) -> str:
    return f"{len(values)} values" if isinstance(values, Mapping) else type(values).__name__


def _quoted(value: Any) -> str:
    said = ascii(value)
    return said if len(said) <= 60 else f"{said[:59]}…"


def _refused(what: str, why: str) -> BadNote:
    return BadNote(what, why, "Shorten or correct it; a file that is no note can be deleted")


def _no_note(run: Path, id: str) -> NoNote:
    return NoNote(
        f"{run.name} has no note {_quoted(id)}",
        "It was deleted, or belongs to another run",
        "Reload the page",
    )


def _refuse_link(run: Path) -> None:
    """Raises NotKept for a folder that leads elsewhere: a note is written into the run alone."""
    if (run / FOLDER).is_symlink():
        raise NotKept(
            f"{run / FOLDER} is a link",
            "Notes are written into the folder of the run and nowhere else",
            "Put a folder in its place",
        )


def _not_kept(run: Path, cause: OSError) -> NotKept:
    inner = cause.__cause__ if isinstance(cause.__cause__, OSError) else cause
    reason = inner.strerror or type(inner).__name__
    return NotKept(
        f"{run / FOLDER} does not take notes ({reason})",
        "Notes are kept in the folder of the run, which may be read-only, as where the sample runs "
        "are installed with the program",
        f"Copy the run and open the copy: cp -r {run} runs/ and rockcore app runs, or change the "
        "permissions",
    )
