"""What was worked out for one session, kept for all: answers by question, as long as together they
take at most `bound()`, half of the limit that is set, by default a quarter of the machine's memory.

The least recently asked for goes first. An answer larger than the bound is kept alone: otherwise
each rerun would compute it anew. Nobody may change what is kept; it is handed out without a copy.
"""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from rockcore import memory

T = TypeVar("T")

_KEY_BYTES = 1024  # about what an entry takes beside its answer
MISSING: Any = object()  # what `known` answers for what is not known, as None may be an answer


class _Kept(NamedTuple):
    value: Any
    bytes: int


_lock = threading.Lock()
_done: OrderedDict[Hashable, _Kept] = OrderedDict()
_bytes = 0  # of all that is kept


def bound() -> int:
    """Bytes that all kept answers may take together: half of rockcore.memory.limit, as the log of
    100 million positions takes 2.5 GB, and with less it would be read anew at every click. The
    other half is DuckDB's and that of what is being worked out. Raises BadMemory.
    """
    return memory.limit() // 2


def known(key: Hashable, default: Any = None) -> Any:
    """The answer worked out before, or `default`; give MISSING where None may be an answer."""
    with _lock:
        if key not in _done:
            return default
        _done.move_to_end(key)
        return _done[key].value


def remember(key: Hashable, answer: T) -> T:
    """Keep an answer, and forget those not asked for the longest until all fit `bound()`.

    What an object computes later, at the first question, is not foreseen: remember it again then.
    """
    global _bytes
    size, most = size_of(answer) + _KEY_BYTES, bound()
    with _lock:
        if key in _done:
            _bytes -= _done.pop(key).bytes
        _done[key] = _Kept(answer, size)
        _bytes += size
        while _bytes > most and len(_done) > 1:
            _bytes -= _done.popitem(last=False)[1].bytes
    return answer


def forget() -> None:
    """Forget everything, as a new process has."""
    global _bytes
    with _lock:
        _done.clear()
        _bytes = 0


def size_of(value: Any) -> int:
    """Bytes that an answer takes, each object in it counted once: frames with their texts, arrays
    with what they show of a larger one, containers and objects with all that they hold.
    """
    total, seen, todo = 0, set(), [value]
    while todo:
        at = todo.pop()
        if id(at) in seen or isinstance(at, type) or callable(at):
            continue
        seen.add(id(at))
        total += max(sys.getsizeof(at), getattr(at, "nbytes", 0))
        todo += _parts(at)
    return total


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        return value
    if isinstance(value, (str, bytes)) or hasattr(value, "nbytes"):
        return ()  # an array or a table has told its size
    if hasattr(value, "memory_usage"):
        return ()  # so has a frame
    slots = [getattr(value, name, None) for name in getattr(type(value), "__slots__", ())]
    return [*getattr(value, "__dict__", {}).values(), *slots]
