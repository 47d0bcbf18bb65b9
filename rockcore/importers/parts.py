"""Tables put aside by step, in files: what is held does not grow with them."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pyarrow as pa

from rockcore.schema import LogWriteError

MOST_BYTES = 2**26  # held in memory before it goes to files


class Parts:
    """Tables of one schema by step. `folder` is made when it is first needed."""

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES):
        self.folder, self.most_bytes = folder, most_bytes
        self._held: dict[int, list[pa.Table]] = defaultdict(list)
        self._files: dict[int, list[Path]] = defaultdict(list)
        self._bytes = 0

    def add(self, step: int, table: pa.Table) -> None:
        """Raises LogWriteError."""
        self._held[step].append(table)
        self._bytes += table.nbytes
        if self._bytes > self.most_bytes:
            self.spill()

    def spill(self) -> None:
        """Put all that is held into files. Raises LogWriteError."""
        try:
            for step, tables in self._held.items():
                self._files[step].append(self._write(step, pa.concat_tables(tables)))
        except OSError as e:
            raise LogWriteError(
                f"{self.folder} could not be written ({e.strerror or e})",
                "Steps are gathered there until the export is read",
                "Free space or fix the permissions, then import it again",
            ) from e
        self._held.clear()
        self._bytes = 0

    def _write(self, step: int, table: pa.Table) -> Path:
        folder = self.folder / f"step={step}"
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"{len(self._files[step])}.arrow"
        with pa.OSFile(str(part), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        return part

    def steps(self) -> list[int]:
        return sorted({*self._held, *self._files})

    def read(self, step: int) -> pa.Table | None:
        """What was added to a step, in this order; None where nothing was."""
        tables = []
        for part in self._files.get(step, []):
            with pa.OSFile(str(part)) as file:
                tables.append(pa.ipc.open_file(file).read_all())
        tables += self._held.get(step, [])
        return pa.concat_tables(tables) if tables else None

    def drop(self, step: int) -> None:
        """Keep it no longer."""
        self._held.pop(step, None)
        for part in self._files.pop(step, []):
            part.unlink(missing_ok=True)
