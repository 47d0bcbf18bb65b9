"""How much memory this program may take: one limit for DuckDB and for the blocks of a detection.

Half of what the machine has, or the container it runs in, so that the rest stays usable; another
limit is named in the environment, as ROCKCORE_MEMORY=8GB.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

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


class BadMemory(RockError, ValueError):
    """A memory limit that is no size, or one that nothing could be done with."""


def limit() -> int:
    """Bytes that may be taken. Raises BadMemory for a setting that is no size."""
    given = os.environ.get(SETTING, "")
    return parsed(given) if given.strip() else _present() // 2


def block() -> int:
    """Bytes that one block of a long computation may take."""
    return min(limit() // _BLOCKS, _BLOCK_AT_MOST)


def parsed(text: str) -> int:
    """Bytes of a size such as 8GB, 512 MiB or 0.5T. Raises BadMemory."""
    found = _SIZE.fullmatch(text)
    if found is None or (unit := found[2].upper()) not in _UNITS:
        raise BadMemory(
            f"{SETTING} = {text!r}",
            "A memory limit is a number with a unit: KB, MB, GB, TB, or KiB to TiB",
            f"For example {SETTING}=8GB, or leave it out: then it is half of the machine's",
        )
    size = int(float(found[1]) * _UNITS[unit])
    if size < LEAST:
        raise BadMemory(
            f"{SETTING} = {text!r}, which is {size:,} bytes",
            f"Below {LEAST >> 20} MiB not even a small log can be looked at",
            f"Give more, for example {SETTING}=2GB",
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
