"""Opens what `torch.save` or `pickle.dump` wrote, without torch; see `pickles` for what may be in.

Both containers of torch are read: a zip of data.pkl and one entry a storage, never compressed, and
the older row of pickles with the storages behind them. The numbers of a tensor are read from the
file when they are asked for. The file is read and not mapped into memory: a trainer that writes it
again meanwhile would end this process.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from rockcore.importers.pickle_arrays import BFLOAT16, BadPickle, Storage, item_size, refused, shown
from rockcore.importers.pickle_names import TORCH_TYPES, Call
from rockcore.importers.pickles import Machine
from rockcore.log.files import state_of

MOST_PICKLE = 2**30  # bytes of a pickle that are read into memory
PEEKED = 2**18  # of which these tell what it is
_MOST_ENTRIES = 2**21
_MAGIC = 0x1950A86A20F9469CFC6C  # of torch's older container
_ZIP = b"PK\x03\x04"
_LOCAL = struct.Struct("<4s22xHH")  # the header of an entry: signature, lengths of name and extra


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The value in a file of torch or in a plain pickle; its tensors can be read within.

    Raises BadPickle, also for what is neither; DamagedRun for a pipe; OSError.
    """
    size = state_of(path).size
    with path.open("rb") as file:
        if file.read(4) == _ZIP:
            archive = TorchZip(path, file, size)
            yield Machine(archive.pickle(), f"{path}", archive).walk()
        else:
            file.seek(0)
            yield _rows_of_pickles(path, file, size)


@contextmanager
def machine_of(path: Path) -> Iterator[Machine]:
    """What walks the one pickle of a file, for who looks at it on the way. Raises as `opened`."""
    size = state_of(path).size
    with path.open("rb") as file:
        if file.read(4) == _ZIP:
            archive = TorchZip(path, file, size)
            yield Machine(archive.pickle(), f"{path}", archive)
        elif size > MOST_PICKLE:
            raise _large(path, size)
        else:
            file.seek(0)
            yield Machine(file.read(), f"{path}")


def beginning(path: Path) -> dict[str, Any]:
    """What the first part of the pickle in a file holds, where that is a dict of names, else
    nothing: what a format is recognised by. The first element of a list in it is whole or missing.

    Raises as `opened` does.
    """
    size = state_of(path).size
    with path.open("rb") as file:
        if file.read(4) == _ZIP:
            archive = TorchZip(path, file, size)
            found = Machine(archive.pickle(PEEKED), f"{path}", archive).beginning()
        else:
            file.seek(0)
            found = Machine(file.read(PEEKED), f"{path}").beginning()
    return found if isinstance(found, dict) and all(isinstance(k, str) for k in found) else {}


class _Stored:
    """Storages of a file, each somewhere in it."""

    def __init__(self, path: Path, file: BinaryIO, order: str):
        self.path, self.file, self.order = path, file, order

    def at(self, start: int, dtype: str, size: int) -> Storage:
        """The storage of `size` numbers whose bytes begin at `start`."""

        def read(first: int, count: int, kind: str) -> np.ndarray:
            raw = "u2" if kind == BFLOAT16 else "u1" if kind == "?" else kind
            each = np.dtype(self.order + raw)
            self.file.seek(start + first * each.itemsize)
            data = self.file.read(count * each.itemsize)
            if len(data) < count * each.itemsize:
                raise _short(self.path, len(data), count * each.itemsize)
            found = np.frombuffer(data, each)
            return found != 0 if kind == "?" else found

        return Storage(dtype, size, read)

    def of_pid(self, pid: Any) -> tuple[str, str, int]:
        """Type, key and size of a persistent id, ('storage', type, key, device, size)."""
        fits = isinstance(pid, tuple) and len(pid) in (5, 6) and pid[0] == "storage"
        if not fits or not isinstance(pid[1], Call) or pid[1].name not in TORCH_TYPES:
            raise refused(f"{self.path}", "a persistent id that is no storage")
        if not isinstance(pid[2], str) or type(pid[4]) is not int or pid[4] < 0:
            raise refused(f"{self.path}", "a storage without a size")
        if len(pid) == 6 and pid[5] is not None:
            raise refused(f"{self.path}", "a view of a storage, as torch before 0.4 wrote them")
        return TORCH_TYPES[pid[1].name], pid[2], pid[4]


class TorchZip(_Stored):
    """The entries of a zip file that torch.save wrote."""

    def __init__(self, path: Path, file: BinaryIO, size: int):
        """Raises BadPickle."""
        super().__init__(path, file, "<")
        self.entries = _entries(path, file, size)
        found = [n for n in self.entries if n.endswith("/data.pkl") and n.count("/") == 1]
        if len(found) != 1:
            raise BadPickle(
                f"{path} is a zip file of {len(self.entries):,} entries, {len(found)} of them "
                "a data.pkl",
                "A file of torch.save has one",
                "Give the file that the trainer wrote; an archive of several is to be unpacked",
            )
        self.name = found[0]
        self.folder = found[0].removesuffix("data.pkl")
        start, size = self.entries.get(f"{self.folder}byteorder", (0, 0))
        file.seek(start)
        if file.read(min(size, 8)) == b"big":
            self.order = ">"

    def pickle(self, most: int | None = None) -> bytes:
        """The bytes of data.pkl, at `most` so many. Raises BadPickle for more than MOST_PICKLE."""
        start, size = self.entries[self.name]
        if most is None and size > MOST_PICKLE:
            raise _large(self.path, size)
        self.file.seek(start)
        return self.file.read(size if most is None else min(size, most))

    def storage(self, pid: Any) -> Storage:
        dtype, key, size = self.of_pid(pid)
        start, held = self.entries.get(f"{self.folder}data/{key}", (0, -1))
        if held != size * item_size(dtype):
            raise BadPickle(
                f"{self.path}: storage {shown(key)} should hold {size:,} numbers of type {dtype}, "
                f"and has {max(held, 0):,} bytes",
                "A tensor would reach beyond it",
                "Copy the file again, or save it again",
            )
        return self.at(start, dtype, size)


def _entries(path: Path, file: BinaryIO, size: int) -> dict[str, tuple[int, int]]:
    """Where each entry of a zip file lies: its start and its size. Raises BadPickle."""
    try:
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, struct.error) as e:
        raise BadPickle(
            f"{path} begins as a zip file and is none ({str(e)[:80]})",
            "The list of its entries is at its end, which is missing or damaged",
            "Copy the file again; a file that is being written is not whole yet",
        ) from e
    if len(infos) > _MOST_ENTRIES or sum(info.file_size for info in infos) > size:
        held = sum(info.file_size for info in infos)
        raise _bomb(path, f"{len(infos):,} entries of {held:,} bytes in a file of {size:,}")
    places: dict[str, tuple[int, int]] = {}
    for info in infos:
        wrong = _wrong(info) or ("is there twice" if info.filename in places else "")
        start = -1 if wrong else _start(file, info, size)
        if wrong or start < 0 or start + info.file_size > size:
            raise _bomb(path, f"an entry {shown(info.filename)} that {wrong or 'lies nowhere'}")
        places[info.filename] = start, info.file_size
    return places


def _wrong(info: zipfile.ZipInfo) -> str:
    name = info.filename
    if info.flag_bits & 1:
        return "is encrypted"
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        return "is compressed"
    if name.startswith("/") or "\\" in name or ".." in name.split("/") or ":" in name:
        return "leads out of the archive"
    return ""


def _start(file: BinaryIO, info: zipfile.ZipInfo, size: int) -> int:
    """Where the bytes of an entry begin, behind its own header; -1 where there is none."""
    if not 0 <= info.header_offset < size:
        return -1
    file.seek(info.header_offset)
    header = file.read(_LOCAL.size)
    if len(header) < _LOCAL.size:
        return -1
    signature, name, extra = _LOCAL.unpack(header)
    return -1 if signature != _ZIP else info.header_offset + _LOCAL.size + name + extra


class _Behind(_Stored):
    """The storages of torch's older container: they lie behind the pickles, whose walk must end
    before it is known where.
    """

    def __init__(self, path: Path, file: BinaryIO, order: str):
        super().__init__(path, file, order)
        self.asked: dict[str, tuple[str, int]] = {}
        self.starts: dict[str, int] = {}

    def storage(self, pid: Any) -> Storage:
        dtype, key, size = self.of_pid(pid)
        if self.asked.setdefault(key, (dtype, size)) != (dtype, size):
            raise refused(f"{self.path}", f"a storage {shown(key)} of two sizes")

        def read(first: int, count: int, kind: str) -> np.ndarray:
            if key not in self.starts:
                raise _short(self.path, 0, size)
            return self.at(self.starts[key], dtype, size).read(first, count, kind)

        return Storage(dtype, size, read)

    def place(self, keys: Any, at: int, file_size: int) -> None:
        """Each is its number of values, 8 bytes, and the values, in the order of `keys`."""
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise refused(f"{self.path}", "no list of storages")
        for key in keys:
            dtype, size = self.asked.get(key, ("u1", -1))
            self.file.seek(at)
            head = self.file.read(8)
            if int.from_bytes(head, "little" if self.order == "<" else "big") != size:
                raise _short(self.path, len(head), size)
            self.starts[key] = at + 8
            at += 8 + size * item_size(dtype)
            if at > file_size:
                raise _short(self.path, file_size, at)


def _rows_of_pickles(path: Path, file: BinaryIO, size: int) -> Any:
    """A plain pickle, or the older container of torch. Raises BadPickle."""
    if size > 4 * MOST_PICKLE:
        raise _large(path, size)
    data = file.read(MOST_PICKLE)
    if data[:1] != b"\x80":
        raise BadPickle(
            f"{path} begins with {shown(data[:8])}",
            "That is neither a file of torch.save nor a pickle of protocol 2 or later",
            "Give the file that the trainer wrote",
        )
    first = Machine(data, f"{path}")
    value = first.walk()
    if value != _MAGIC:
        return value
    head = Machine(data, f"{path}", None, first.at)
    head.walk()  # the version of the protocol
    about = Machine(data, f"{path}", None, head.at)
    system = about.walk()
    little = not isinstance(system, dict) or system.get("little_endian", True) is True
    storages = _Behind(path, file, "<" if little else ">")
    body = Machine(data, f"{path}", storages, about.at)
    value = body.walk()
    keys = Machine(data, f"{path}", None, body.at)
    storages.place(keys.walk(), keys.at, size)
    return value


def _short(path: Path, found: int, wanted: int) -> BadPickle:
    return BadPickle(
        f"{path} ends early: {found:,} of {wanted:,}",
        "Numbers of its tensors are missing",
        "Copy the file again; a file that is being written is not whole yet",
    )


def _large(path: Path, size: int) -> BadPickle:
    return BadPickle(
        f"{path} holds a pickle of {size:,} bytes",
        f"More than {MOST_PICKLE:,} are not read into memory",
        "Save its values as tensors, or split the file",
    )


def _bomb(path: Path, what: str) -> BadPickle:
    return BadPickle(
        f"{path} is a zip file with {what}",
        "torch.save writes no such file: it may be made to fill the memory or to mislead",
        "Give the file that the trainer wrote, as it is",
    )
