"""How much memory this program may take: one limit for DuckDB and for a detection, whose blocks
obey it, and whose long arrays go to the disk where they would not fit.

Half of what the machine has, or the container it runs in, so that the rest stays usable; another
limit is named in the environment, as ROCKCORE_MEMORY=8GB, or by --memory 8GB.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from rockcore.schema import RockError

SETTING = "ROCKCORE_MEMORY"
LEAST = 64 * 2**20  # below it not even a question about a small log is answered
_UNITS = {"": 1, "B": 1} | {
    name + end: base**power
    for power, name in enumerate("KMGT", 1)
    for end, base in (("", 1000), ("B", 1000), ("IB", 1024))
}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")
_BLOCKS = 32  # so many blocks would fill the limit: what is not in blocks has to fit beside them
_BLOCK_AT_MOST = 256 * 2**20  # larger ones are no faster
_CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


# bytes that a detection takes for each position, measured at 30 and 100 million
FOR_POSITION, WITHOUT_LONG = 105, 60


class TooLittleMemory(RockError, MemoryError):
    """A log that cannot be looked at within the limit, or without more room on the disk."""


class BadMemory(RockError, ValueError):
    """A memory limit that is no size, or one that nothing could be done with."""


def limit() -> int:
    """Bytes that may be taken. Raises BadMemory for a setting that is no size."""
    return parsed(os.environ[SETTING]) if is_set() else _present() // 2


def is_set() -> bool:
    """Whether somebody has set the limit."""
    return bool(os.environ.get(SETTING, "").strip())


def block() -> int:
    """Bytes that one block of a long computation may take."""
    return min(limit() // _BLOCKS, _BLOCK_AT_MOST)


def take(said: str) -> None:
    """Let the limit be as --memory says, also in processes that are started. Raises BadMemory."""
    parsed(said, "--memory")
    os.environ[SETTING] = said


def array(n: int, dtype: Any) -> np.ndarray:
    """(n,) values to be filled, one for each position or fewer: in memory, or in a file without a
    name, which goes with it, where so many positions would not fit into the limit. Raises
    TooLittleMemory.
    """
    if n * FOR_POSITION <= limit():
        return np.empty(n, dtype)
    size = n * np.dtype(dtype).itemsize
    with tempfile.TemporaryFile(prefix="rockcore-") as file:
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)  # else a full disk ends the process
            return np.memmap(file, dtype, "w+", shape=n).view(np.ndarray)
        except OSError as e:
            raise TooLittleMemory(
                f"{size:,} bytes for {n:,} positions do not fit into {tempfile.gettempdir()} "
                f"({e.strerror})",
                f"They do not fit into the memory limit of {limit() / 1e9:.1f} GB either",
                "Make room there, name another folder (TMPDIR), or give more memory "
                f"({SETTING}=8GB)",
            ) from e


def check_room(positions: int, log: Path) -> None:
    """Before a log is read. Raises TooLittleMemory for one that cannot be looked at within the
    limit, even with its long arrays on the disk.
    """
    if (need := positions * WITHOUT_LONG) > limit():
        raise TooLittleMemory(
            f"{log.name} has {positions:,} positions, and a detection takes about "
            f"{need / 1e9:.1f} GB for them, what can lie on the disk not counted",
            f"It may take {limit() / 1e9:.1f} GB, half of the machine's where nothing else is set, "
            "so that the rest stays usable",
            f"Give it more ({SETTING}={need * 1.1 / 1e9:.0f}GB, or --memory), or look at the log "
            f"shard by shard: rockcore scan {log} --out PARTIALS",
        )


def parsed(text: str, name: str = SETTING) -> int:
    """Bytes of a size such as 8GB, 512 MiB or 0.5T. `name`: where it was given. Raises
    BadMemory.
    """
    sign = " " if name.startswith("--") else "="
    found = _SIZE.fullmatch(text)
    if found is None or (unit := found[2].upper()) not in _UNITS:
        raise BadMemory(
            f"{name} = {text!r}",
            "A memory limit is a number with a unit: KB, MB, GB, TB, or KiB to TiB",
            f"For example {name}{sign}8GB, or leave it out: then it is half of the machine's",
        )
    size = int(float(found[1]) * _UNITS[unit])
    if size < LEAST:
        raise BadMemory(
            f"{name} = {text!r}, which is {size:,} bytes",
            f"Below {LEAST >> 20} MiB not even a small log can be looked at",
            f"Give more, for example {name}{sign}2GB",
        )
    return size


def _present() -> int:
    """Bytes of the machine, or of the container where that has less."""
    return min([_of_machine(), *filter(None, map(_of_container, _CGROUPS))])


def _of_machine() -> int:
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return _of_windows() if sys.platform == "win32" else 8 * 2**30


def _of_windows() -> int:
    import ctypes

    kilobytes = ctypes.c_ulonglong()
    ctypes.windll.kernel32.GetPhysicallyInstalledSystemMemory(  # pyright: ignore
        ctypes.byref(kilobytes)
    )
    return kilobytes.value * 1024 or 8 * 2**30


def _of_container(file: str) -> int | None:
    """What a control group allows; None where there is none, or it sets no limit."""
    try:
        text = Path(file).read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() and int(text) >= LEAST else None
