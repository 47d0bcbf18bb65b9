"""Reads pickles by walking their opcodes here: nothing that a pickle names is imported or called.

A pickle is a program, and `pickle.load` runs it. What is read here are numbers, texts, None, plain
containers of them, and the arrays and tensors of `pickle_arrays`; any other name is refused, by
its name. Python's own unpickler with a filter on names would not do: five bytes make it reserve
60 GB for its memo, and a dict in a pickle may be keyed by what takes for ever to hash.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from rockcore.importers.pickle_arrays import BadPickle, Storages, refused, shown
from rockcore.importers.pickle_names import Call, made, with_state

_MOST_OBJECTS = 2**31  # bytes that what a pickle builds may take, as estimated here
_FREE = 2**26  # of which these many whatever the size of the pickle
_GROWTH = 32  # and so many times its size: an empty dict is one byte there and 64 here
_LONGEST_INT = 256  # bytes
_LONGEST_LINE = 2**16  # of the opcodes that are lines of text
_NEWEST = 5  # protocol
_KEYS = (str, int, float, bool, bytes, type(None))  # what is hashed in no time
_MARKS = 1_000_000


class Unfinished(BadPickle):
    """A pickle that breaks off."""


class Machine:
    """Walks one pickle that begins at `at` in `data`; `at` is behind it afterwards."""

    def __init__(self, data: bytes, where: str, storages: Storages | None = None, at: int = 0):
        self.data, self.where, self.at = data, where, at
        self.storages = storages  # what persistent ids stand for; None where there are none
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.left = min(_MOST_OBJECTS, _FREE + _GROWTH * len(data))

    def walk(self, until: Callable[[], bool] | None = None) -> Any:
        """The value of the pickle; None where `until`, which is asked before each dict that is
        begun, was true before its end. Raises BadPickle.
        """
        data, stop, dict_begun = self.data, ord("."), ord("}")
        try:
            while (op := data[self.at]) != stop:
                if op == dict_begun and until is not None and until():
                    return None
                self.at += 1
                _OPS[op](self)
            self.at += 1
            return self.stack.pop()
        except (IndexError, KeyError, struct.error, UnicodeDecodeError) as e:
            raise self.damaged(f"ends or breaks off ({type(e).__name__})") from e

    def beginning(self) -> Any:
        """What a pickle whose end was not read holds so far: its outermost container. Raises
        BadPickle where something in it is refused.
        """
        data = self.data
        with suppress(IndexError, KeyError, struct.error, UnicodeDecodeError, Unfinished):
            while (op := data[self.at]) != ord("."):
                self.at += 1
                _OPS[op](self)
        while self.marks:  # what was to be added to a container when the pickle broke off
            items = self.above_mark()
            into = self.stack[-1] if self.stack else None
            if isinstance(into, list):
                into.extend(items)
            elif isinstance(into, dict):
                whole = len(items) // 2 * 2
                into.update({k: v for k, v in _pairs(items[:whole]) if isinstance(k, str)})
        return self.stack[0] if self.stack else None

    def damaged(self, what: str) -> Unfinished:
        return Unfinished(
            f"{self.where}, byte {self.at:,}: the pickle {what}",
            "What it holds from there on cannot be told",
            "Copy the file again, or save it again; a file that is being written is not whole yet",
        )

    def refuse(self, what: str) -> BadPickle:
        return refused(f"{self.where}, byte {self.at:,}", what)

    def spend(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise BadPickle(
                f"{self.where} holds {len(self.data):,} bytes of pickle that would grow beyond "
                f"{min(_MOST_OBJECTS, _FREE + _GROWTH * len(self.data)):,} in memory",
                "So much is not built from one file",
                "Save its values as tensors, or split the file",
            )

    def take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self.data):
            raise self.damaged(f"wants {size:,} bytes and has {len(self.data) - self.at:,}")
        self.spend(size)
        found = self.data[self.at : end]
        self.at = end
        return found

    def number(self, layout: str) -> Any:
        (found,) = struct.unpack_from(layout, self.data, self.at)
        self.at += struct.calcsize(layout)
        return found

    def line(self) -> bytes:
        end = self.data.find(b"\n", self.at, self.at + _LONGEST_LINE)
        if end < 0:
            raise self.damaged("has a line without an end")
        found = self.take(end - self.at)
        self.at += 1
        return found

    def push(self, value: Any, size: int = 32) -> None:
        self.spend(size)
        self.stack.append(value)

    def above_mark(self) -> list[Any]:
        mark = self.marks.pop()
        found = self.stack[mark:]
        del self.stack[mark:]
        return found

    def top(self, kind: type) -> Any:
        """The value on top, which has to be of this type."""
        found = self.stack[-1]
        if type(found) is not kind:
            raise self.refuse(f"something added to a {type(found).__name__}")
        return found

    def key(self, value: Any) -> Any:
        if type(value) not in _KEYS or (type(value) is int and abs(value) >= 2**63):
            raise self.refuse(f"a key or set element of type {type(value).__name__}")
        self.spend(64)
        return value


def _mark(m: Machine) -> None:
    if len(m.marks) >= _MARKS:
        raise m.refuse(f"more than {_MARKS:,} open marks")
    m.marks.append(len(m.stack))


def _floats(m: Machine) -> None:
    """BINFLOAT, with all that follow it at once: nearly all numbers of a dump are in such runs."""
    next_op = m.data[m.at + 8 : m.at + 9]
    if next_op != b"G":
        m.push(m.number(">d"))
        return
    m.at -= 1
    ahead = np.frombuffer(m.data, np.uint8, min(len(m.data) - m.at, 9 * 1024), m.at)
    other = np.flatnonzero(ahead[::9] != ord("G"))
    run = int(other[0]) if len(other) else len(ahead[::9])
    run = min(run, len(ahead) // 9)
    if not run:
        raise m.damaged("ends within a number")
    values = ahead[: 9 * run].reshape(run, 9)[:, 1:].copy().view(">f8")[:, 0]
    m.spend(32 * run)
    m.stack.extend(values.tolist())
    m.at += 9 * run


def _whole(m: Machine) -> None:
    """BININT1, BININT2 and BININT, with all that follow."""
    data, at, stack = m.data, m.at - 1, m.stack
    before = len(stack)
    while True:
        op = data[at]
        if op == 75:  # K
            stack.append(data[at + 1])
            at += 2
        elif op == 77:  # M
            stack.append(data[at + 1] | data[at + 2] << 8)
            at += 3
        elif op == 74:  # J
            if at + 5 > len(data):
                raise m.damaged("ends within a number")
            stack.append(int.from_bytes(data[at + 1 : at + 5], "little", signed=True))
            at += 5
        else:
            break
    m.at = at
    m.spend(40 * (len(stack) - before))


def _long(m: Machine, layout: str) -> None:
    size = m.number(layout)
    if not 0 <= size <= _LONGEST_INT:
        raise m.refuse(f"a whole number of {size:,} bytes")
    m.push(int.from_bytes(m.take(size), "little", signed=True), 40)


def _typed(m: Machine, kind: Callable[[bytes], Any]) -> None:
    text = m.line()
    if text in (b"00", b"01"):
        m.push(text == b"01")
        return
    try:
        m.push(kind(text[:_LONGEST_INT].rstrip(b"L")))
    except ValueError as e:
        raise m.damaged(f"has {shown(text)} for a number") from e


def _text(m: Machine, layout: str) -> None:
    m.push(m.take(m.number(layout)).decode("utf-8", "surrogatepass"), 64)


def _bytes(m: Machine, layout: str, kind: Callable[[bytes], Any] = bytes) -> None:
    m.push(kind(m.take(m.number(layout))), 64)


def _tuple(m: Machine, size: int) -> None:
    if len(m.stack) < size:
        raise m.damaged("takes more than it has put down")
    found = tuple(m.stack[-size:])
    del m.stack[-size:]
    m.push(found, 64 + 8 * size)


def _tuple_of_all(m: Machine) -> None:
    found = tuple(m.above_mark())
    m.push(found, 64 + 8 * len(found))


def _list_of_all(m: Machine) -> None:
    found = m.above_mark()
    m.push(found, 64 + 8 * len(found))


def _dict_of_all(m: Machine) -> None:
    items = m.above_mark()
    m.push({}, 64)
    _add_items(m, items)


def _append(m: Machine) -> None:
    value = m.stack.pop()
    m.top(list).append(value)


def _appends(m: Machine) -> None:
    values = m.above_mark()
    m.spend(8 * len(values))
    m.top(list).extend(values)


def _set_item(m: Machine) -> None:
    value, key = m.stack.pop(), m.stack.pop()
    _add_items(m, [key, value])


def _add_items(m: Machine, items: list[Any]) -> None:
    into = m.top(dict)
    if len(items) % 2:
        raise m.damaged("has a key without a value")
    for key, value in _pairs(items):
        into[m.key(key)] = value


def _pairs(items: list[Any]) -> Iterator[tuple[Any, Any]]:
    return zip(items[::2], items[1::2], strict=True)


def _add_elements(m: Machine) -> None:
    values = m.above_mark()
    m.top(set).update(map(m.key, values))


def _frozen(m: Machine) -> None:
    m.push(frozenset(map(m.key, m.above_mark())), 216)


def _put(m: Machine, index: int) -> None:
    m.spend(96)
    m.memo[index] = m.stack[-1]


def _text_index(m: Machine) -> int:
    text = m.line()
    if not text.isdigit() or len(text) > 20:
        raise m.damaged(f"has {shown(text)} for a number")
    return int(text)


def _global(m: Machine) -> None:
    module, name = m.line().decode(), m.line().decode()
    m.push(_named(m, module, name), 64)


def _stack_global(m: Machine) -> None:
    name, module = m.stack.pop(), m.stack.pop()
    m.push(_named(m, module, name), 64)


def _dotted(module: Any, name: Any) -> str:
    parts = (part if isinstance(part, str) else type(part).__name__ for part in (module, name))
    return shown(".".join(parts))[1:-1]


def _named(m: Machine, module: Any, name: Any) -> Call:
    found = Call.of(module, name) if isinstance(module, str) and isinstance(name, str) else None
    if found is None:
        raise m.refuse(f"the name {_dotted(module, name)}")
    return found


def _reduce(m: Machine) -> None:
    args, call = m.stack.pop(), m.stack.pop()
    if not isinstance(call, Call) or not isinstance(args, tuple):
        raise m.refuse(f"a call of a {type(call).__name__}")
    value, size = made(call, args, f"{m.where}, byte {m.at:,}")
    m.push(value, size)


def _build(m: Machine) -> None:
    state = m.stack.pop()
    with_state(m.stack[-1], state, f"{m.where}, byte {m.at:,}")


def _persistent(m: Machine) -> None:
    pid = m.stack.pop()
    if m.storages is None:
        raise m.refuse("a persistent id outside of a file of torch")
    m.push(m.storages.storage(pid), 128)


def _object(m: Machine) -> None:
    """OBJ and NEWOBJ, which make an instance of whatever they name."""
    kept = [v.name for v in m.stack[-3:] if isinstance(v, Call)]
    raise m.refuse(f"an object of {kept[-1] if kept else 'a class'}")


def _instance(m: Machine) -> None:
    module, name = m.line().decode(), m.line().decode()
    raise m.refuse(f"an object of {_dotted(module, name)}")


def _no(what: str) -> Callable[[Machine], None]:
    def op(m: Machine) -> None:
        raise m.refuse(what)

    return op


def _protocol(m: Machine) -> None:
    protocol = m.number("B")
    if protocol > _NEWEST:
        raise m.refuse(f"pickle protocol {protocol}")


def _frame(m: Machine) -> None:
    m.number("<Q")


def _pop(m: Machine) -> None:
    if m.marks and m.marks[-1] == len(m.stack):
        m.marks.pop()
    else:
        m.stack.pop()


_OPS: dict[int, Callable[[Machine], Any]] = {
    ord("("): _mark,
    ord("0"): _pop,
    ord("1"): Machine.above_mark,
    ord("2"): lambda m: m.push(m.stack[-1]),
    ord("F"): lambda m: _typed(m, float),
    ord("G"): _floats,
    ord("I"): lambda m: _typed(m, int),
    ord("L"): lambda m: _typed(m, int),
    ord("J"): _whole,
    ord("K"): _whole,
    ord("M"): _whole,
    0x8A: lambda m: _long(m, "B"),
    0x8B: lambda m: _long(m, "<i"),
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    ord("V"): lambda m: m.push(m.line().decode("raw-unicode-escape", "surrogatepass"), 64),
    ord("X"): lambda m: _text(m, "<I"),
    0x8C: lambda m: _text(m, "B"),
    0x8D: lambda m: _text(m, "<Q"),
    ord("B"): lambda m: _bytes(m, "<I"),
    ord("C"): lambda m: _bytes(m, "B"),
    0x8E: lambda m: _bytes(m, "<Q"),
    0x96: lambda m: _bytes(m, "<Q", bytearray),
    ord("]"): lambda m: m.push([], 72),
    ord("}"): lambda m: m.push({}, 80),
    ord(")"): lambda m: m.push(()),
    0x8F: lambda m: m.push(set(), 216),
    0x85: lambda m: _tuple(m, 1),
    0x86: lambda m: _tuple(m, 2),
    0x87: lambda m: _tuple(m, 3),
    ord("t"): _tuple_of_all,
    ord("l"): _list_of_all,
    ord("d"): _dict_of_all,
    ord("a"): _append,
    ord("e"): _appends,
    ord("s"): _set_item,
    ord("u"): lambda m: _add_items(m, m.above_mark()),
    0x90: _add_elements,
    0x91: _frozen,
    ord("p"): lambda m: _put(m, _text_index(m)),
    ord("q"): lambda m: _put(m, m.number("B")),
    ord("r"): lambda m: _put(m, m.number("<I")),
    0x94: lambda m: _put(m, len(m.memo)),
    ord("g"): lambda m: m.push(m.memo[_text_index(m)]),
    ord("h"): lambda m: m.push(m.memo[m.number("B")]),
    ord("j"): lambda m: m.push(m.memo[m.number("<I")]),
    ord("c"): _global,
    0x93: _stack_global,
    ord("R"): _reduce,
    ord("b"): _build,
    ord("Q"): _persistent,
    ord("o"): _object,
    0x81: _object,
    0x92: _object,
    ord("i"): _instance,
    ord("P"): _no("a persistent id of a kind that torch does not write"),
    0x80: _protocol,
    0x95: _frame,
    0x82: _no("a name by number (EXT1)"),
    0x83: _no("a name by number (EXT2)"),
    0x84: _no("a name by number (EXT4)"),
    0x97: _no("a buffer that lies outside of it"),
    0x98: _no("a buffer that lies outside of it"),
    ord("S"): _no("a text of Python 2"),
    ord("T"): _no("a text of Python 2"),
    ord("U"): _no("a text of Python 2"),
}
