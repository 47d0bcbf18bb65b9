"""What prime-rl learns of a trace after it was written: updates beside the stream of traces, each
naming one. They are kept on disk by trace while the stream is read: memory does not grow with them.

A producer writes `annotations/NAME.jsonl`, or chunks `annotations/NAME/00000.jsonl[.zst]`; an
update is `{version, trace_id, info, branches: [{index, advantages | trainer_logprobs | …}]}`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rockcore.importers.lines import read_lines, record_of
from rockcore.importers.rows import BadRow
from rockcore.schema import LogWriteError


class Updates:
    """The updates of the traces of one stream, by trace, in the order in which they were written.

    A temporary database, which goes with the value.
    """

    def __init__(self) -> None:
        self._database = sqlite3.connect("")  # a file of its own, deleted when it is closed
        self._database.execute("create table updates (trace text, line text)")
        self.any_effective = False  # whether any trace is told to have been trained on

    def load(self, files: list[Path]) -> Iterator[tuple[str, BadRow]]:
        """Take in what the files hold; yields the place of each line that is no update, and why.

        Raises LogWriteError where there is no room for them, and as `read_lines` does.
        """
        try:
            for file in files:
                for line in read_lines(file):
                    record = record_of(line)
                    if not isinstance(record, BadRow):
                        record = self._add(record)
                    if record is not None:
                        yield f"{file}, line {line.number}", record
            self._database.execute("create index by_trace on updates (trace)")
            self._database.commit()
        except sqlite3.Error as e:
            raise LogWriteError(
                f"Updates could not be kept in the folder for temporary files ({e})",
                "They wait there for the traces that they belong to",
                "Free space there, or name another folder: TMPDIR=/large/disk rockcore import …",
            ) from e

    def _add(self, record: dict[str, Any]) -> BadRow | None:
        trace, info = record.get("trace_id"), record.get("info")
        if not isinstance(trace, str):
            return BadRow("trace_id", "is missing, or no text")
        if isinstance(info, dict) and info.get("effective") is True:
            self.any_effective = True
        line = json.dumps(record)
        self._database.execute("insert into updates values (?, ?)", (trace, line))
        return None

    def of(self, trace: Any) -> list[dict[str, Any]]:
        """The updates of the trace with this id, oldest first."""
        if not isinstance(trace, str):
            return []
        found = self._database.execute(
            "select line from updates where trace = ? order by rowid", (trace,)
        )
        return [json.loads(line) for (line,) in found]


def files_beside(stream: Path) -> list[Path]:
    """The files of updates to the traces of a file of a stream, chunks in their order."""
    stream = stream.resolve()
    folder = (stream.parent if stream.name == "stream.jsonl" else stream.parents[1]) / "annotations"
    if stream.parent.name != "stream" and stream.name != "stream.jsonl":
        return []
    found = [f for f in folder.glob("**/*.jsonl*") if f.is_file() and ".index." not in f.name]
    return sorted(found, key=lambda f: f.relative_to(folder).as_posix())


def merged(info: Any, newer: Any) -> Any:
    """What is told of a trace, with what was told later: objects are merged, the rest replaced."""
    if isinstance(info, dict) and isinstance(newer, dict):
        return {**info, **{name: merged(info.get(name), value) for name, value in newer.items()}}
    return newer
