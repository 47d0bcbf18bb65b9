"""What Linux knows of the processes that a benchmark has started."""

from __future__ import annotations

from pathlib import Path


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name; none of a process that has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["0"] * 40


def descendants(pid: int) -> list[int]:
    """The processes that this one has started, and they."""
    children = [int(p.name) for p in Path("/proc").iterdir() if p.name.isdecimal()]
    parents = {child: int(stat(child)[1]) for child in children}
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]
