"""A log wherever it lies: a folder, a glob of folders, or an address that fsspec knows, such as
s3://, gs://, hf:// or memory://, read with the usual credentials.

Only what a scan reads of it: run.json, the vocabulary, which steps are logged, and ranges of
rollouts. Several folders are the parts of one log, one after the other in the order of their names.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

import fsspec
import fsspec.implementations.local
import fsspec.utils
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rockcore import schema
from rockcore.log import Run, contents
from rockcore.log.files import NOT_PARQUET, refuse_misfit, unreadable
from rockcore.log.folders import META
from rockcore.scale.errors import BadScan
from rockcore.scale.stores import Asking, Given
from rockcore.schema import LogTable, RunMeta, RunNotFound
from rockcore.schema.places import Place

_WHEN = ("mtime", "ETag", "etag", "LastModified", "updated", "last_commit", "created")


@dataclass(frozen=True)
class Source:
    """One folder of a log. `address` is whole, with its protocol where it has one."""

    address: str

    @cached_property
    def _there(self) -> tuple[Any, str]:
        return _filesystem(self.address)

    @property
    def path(self) -> PurePosixPath:
        """What messages call it by."""
        return PurePosixPath(self._there[1])

    @property
    def run(self) -> Run | None:
        """The run, where it lies on this machine: what is to be said of it, it says best."""
        return Run.open(Path(self.path)) if self._local else None

    @property
    def _local(self) -> bool:
        return isinstance(self._there[0], fsspec.implementations.local.LocalFileSystem)

    def _asking(self, name: str) -> Asking:
        return Asking(self.path / name, self._local)

    def _at(self, name: str) -> str:
        return f"{self._there[1].rstrip('/')}/{name}"

    @cached_property
    def meta(self) -> RunMeta:
        """Raises RunNotFound, DamagedRun or SchemaMismatch."""
        return RunMeta.from_json(self.read(META), self.path / META)  # pyright: ignore

    def read(self, name: str) -> bytes:
        """All bytes of a small file."""
        with self.opened(name) as file:
            return file.read()

    def opened(self, name: str) -> IO[bytes]:
        """Raises RunNotFound for a file that is not there, DamagedRun for one that cannot be read,
        BadScan for a store that does not give it.
        """
        try:
            with (asking := self._asking(name)):
                file = self._there[0].open(self._at(name), "rb")
            return file if self._local else cast(IO[bytes], Given(file, asking))
        except (FileNotFoundError, NotADirectoryError) as e:
            raise RunNotFound(
                f"{self.address} has no {name}",
                "A log is a folder that holds run.json, vocab.parquet and tables of tokens",
                "Give the folder of a run, or a glob of such folders",
            ) from e

    def steps(self, table: str = "tokens") -> list[int]:
        """The steps for which a table is logged, ascending."""
        of = schema.TABLES[table]
        try:
            with self._asking(of.folder):
                names = self._there[0].ls(self._at(of.folder), detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        steps = (of.step_of(PurePosixPath(name).name) for name in names)
        return sorted(step for step in steps if step is not None)

    def state(self, name: str) -> str:
        """The path, size and time of a file: when it is written anew, this is another."""
        info = self._info(name)
        when = next((info[key] for key in _WHEN if info.get(key)), "")
        return f"{self.address}/{name} {info['size']} {when}"

    def size(self, name: str) -> int:
        """Bytes of a file."""
        return int(self._info(name)["size"])

    def _info(self, name: str) -> dict[str, Any]:
        try:
            with self._asking(name):
                return self._there[0].info(self._at(name))
        except (FileNotFoundError, NotADirectoryError) as e:
            raise unreadable(f"{self.path / name} cannot be read", e) from e

    def footer(self, name: str, table: LogTable) -> pq.FileMetaData:
        """What a Parquet file says of itself, without reading a row of it. Raises DamagedRun, also
        for one that has not the columns of its table.
        """
        with self.opened(name) as file:
            try:
                footer = pq.read_metadata(file)
                there = footer.schema.to_arrow_schema()
            except NOT_PARQUET as e:
                raise unreadable(f"{self.path / name} is no readable Parquet file", e) from e
        doubled = [each for each, n in Counter(there.names).items() if n > 1]
        types = dict(zip(there.names, there.types, strict=True))
        refuse_misfit(self.path / name, types, doubled, table.columns)
        return footer

    def batches(
        self, name: str, groups: Sequence[int], columns: Sequence[str]
    ) -> Iterator[pa.RecordBatch]:
        """Rows of some row groups, some at a time; columns that the file lacks are left out."""
        with self.opened(name) as file:
            try:
                parquet = pq.ParquetFile(file)
                there = [c for c in columns if c in parquet.schema_arrow.names]
                yield from parquet.iter_batches(
                    1 << 18, row_groups=list(groups), columns=there, use_threads=False
                )
            except NOT_PARQUET as e:
                raise unreadable(f"{self.path / name} cannot be read", e) from e

    def vocab(self) -> pa.Table:
        """token_id, token, special. Raises DamagedRun for one that cannot be."""
        of = schema.TABLES["vocab"]
        name, path = of.file(), self.path / of.file()
        self.footer(name, of)
        with self.opened(name) as file:
            try:
                table = pq.read_table(file, columns=list(schema.VOCAB)).combine_chunks()
                table.validate(full=True)
            except NOT_PARQUET as e:
                raise unreadable(f"{path} cannot be read", e) from e
        contents.refuse_columns(path, of, table, None)
        contents.refuse_keys(path, Place(Path(self.path), of, None), table)
        return table

    def vocabulary(self) -> np.ndarray:
        """The token ids, ascending. Read once while the file stays as it is."""
        return _vocabulary_of(self, self.state(schema.TABLES["vocab"].file()))


@lru_cache(maxsize=16)
def _vocabulary_of(source: Source, state: str) -> np.ndarray:
    return np.sort(source.vocab()["token_id"].to_numpy())


def sources(location: str) -> list[Source]:
    """The folders of a log: the one named, or those that a glob matches and that hold run.json.
    Raises RunNotFound, or BadScan where they are not parts of one log.
    """
    if not any(sign in location for sign in "*?["):
        found = [Source(location)]
    else:
        fs, pattern = _filesystem(location)
        with Asking(location):
            places = sorted(fs.glob(f"{pattern.rstrip('/')}/{META}"))
        found = [Source(fs.unstrip_protocol(place.removesuffix(f"/{META}"))) for place in places]
        if not found:
            raise RunNotFound(
                f"{location} matches no folder with a {META}",
                "A log is such a folder, or several",
                "Check the pattern; quote it, so that the shell leaves it as it is",
            )
    _refuse_strangers(found)
    return found


def _refuse_strangers(found: list[Source]) -> None:
    first = found[0]
    _ = first.meta
    for other in found[1:]:
        for name in ("tokenizer_hash", "estimator", "student", "teacher", "dtype"):
            if getattr(first.meta, name) != getattr(other.meta, name):
                raise BadScan(
                    f"{other.path.name} has {name} {getattr(other.meta, name)!r}, and "
                    f"{first.path.name} {getattr(first.meta, name)!r}",
                    "The folders of a glob are read as the parts of one log",
                    "Give the folders of one run",
                )


def _filesystem(address: str) -> tuple[Any, str]:
    """Credentials are those of the store's own package, or of fsspec's configuration."""
    try:
        fsspec.get_filesystem_class(fsspec.utils.get_protocol(address))
        with Asking(address):
            fs, path = fsspec.core.url_to_fs(address)
    except BadScan:
        raise
    except (ImportError, ValueError) as e:
        raise BadScan(
            f"{address} cannot be opened ({e})",
            "fsspec reads it with a package of its own for each kind of store",
            "Install it where the workers run: pip install s3fs for s3://, gcsfs for gs://, "
            "huggingface_hub for hf://",
        ) from e
    # what its package has to say is said once, not logged to the terminal with a traceback too
    logging.getLogger(type(fs).__module__.partition(".")[0]).addHandler(_TO_NOBODY)
    return fs, path


_TO_NOBODY = logging.NullHandler()
