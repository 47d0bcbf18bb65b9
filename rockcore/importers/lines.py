"""JSON lines from outside, a line at a time: what is held never grows with the file.

A line that is longer than any record is passed over without being kept; what expands without end is
refused; NaN and infinities, which Python writes into its JSON, are read as not known.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import pyarrow as pa

from rockcore.importers.format import BadExport, Export, unreadable
from rockcore.importers.rows import BadRow
from rockcore.log.files import state_of
from rockcore.schema import strict_json

# bytes: a record of 128 k tokens with five numbers of twenty digits each has a quarter of it, and
# as Python's lists it takes some twelve times as much
LONGEST = 2**26
_CHUNK = 2**16  # what is lost at most before the place where a compression breaks
# logs of text shrink to a tenth, padding to a hundredth; beyond both of these nobody means to say
# anything
_MOST_EXPANSION, _ALWAYS_FINE = 1000, 2**30
_ZSTD, _SKIPPED_FRAME, _GZIP = b"\x28\xb5\x2f\xfd", b"\x2a\x4d\x18", b"\x1f\x8b"
_BOM, _UTF_16 = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")  # half of a character beyond the first 65,536
_LINE = "line"  # what an error of a whole line names as its field


class Line(NamedTuple):
    """One line that is not empty: its number from 1, and its value or what is wrong with it."""

    number: int
    value: Any
    wrong: str = ""


def records_in(export: Export, file: Path) -> Iterator[tuple[str, Any]]:
    """The lines of one file of an export with their places, as `texts_of` takes them; those that
    cannot be read, or are no object, as a BadRow.

    Raises as `read_lines` does.
    """
    for line in read_lines(file, advance=export.advance):
        yield f"{file}, line {line.number}", record_of(line)


def record_of(line: Line) -> Any:
    """The object of a line, or the BadRow that says why there is none."""
    if line.wrong:
        return BadRow(_LINE, line.wrong)
    return line.value if isinstance(line.value, dict) else BadRow(_LINE, "is no object")


def read_lines(
    path: Path, longest: int = LONGEST, advance: Callable[[int], None] = lambda count: None
) -> Iterator[Line]:
    """The lines of a file of JSON, plain, or compressed by zstd (of several frames, as seekable
    writers cut it) or gzip, which its first bytes tell.

    `advance` hears how many bytes of the file were read since. What is wrong with a line is said in
    its place, and also where a file cannot be read or expanded any further. Raises BadExport for a
    file that cannot be opened, expands more than a thousandfold or is UTF-16; DamagedRun for what
    is no regular file.
    """
    number = 0
    with _opened(path) as file:
        try:
            for number, raw, wrong in _raw_lines(_chunks(path, file, advance), longest):
                if wrong:
                    yield Line(number, None, wrong)
                elif raw.strip():
                    yield _line(number, raw)
        except (pa.ArrowException, OSError) as e:
            said = getattr(e, "strerror", None) or e
            yield Line(number + 1, None, f"and what follows cannot be read ({_quoted(said)})")


def read_document(
    path: Path, longest: int = LONGEST, advance: Callable[[int], None] = lambda count: None
) -> Iterator[Line]:
    """The records of a file that is one JSON value or a list of them, numbered from 1; of JSON
    lines where it is neither. A file of one value is read whole, up to the length of a line.

    Raises as `read_lines` does.
    """
    with _opened(path) as file:
        raw = file.read(longest + 1)
    try:
        found = _parsed(raw.removeprefix(_BOM)) if len(raw) <= longest else None
    except ValueError:
        found = None
    if found is None:
        yield from read_lines(path, longest, advance)
        return
    advance(len(raw))
    for number, value in enumerate(found if isinstance(found, list) else [found], 1):
        yield Line(number, value)


def _opened(path: Path) -> IO[bytes]:
    try:
        state_of(path)
        return path.open("rb")
    except OSError as e:
        raise unreadable(path, e) from e


def is_compressed(head: bytes) -> str:
    """The codec that the first bytes of a file tell, empty for plain text."""
    if head.startswith(_GZIP):
        return "gzip"
    zstd = head.startswith(_ZSTD) or (head[1:4] == _SKIPPED_FRAME and head[0] & 0xF0 == 0x50)
    return "zstd" if zstd else ""


def _line(number: int, raw: bytes) -> Line:
    try:
        return Line(number, _parsed(raw))
    except ValueError as e:
        cut = not raw.endswith(b"\n")
        said = "is cut off: the file ends within it" if cut else f"is no JSON ({_quoted(e)})"
        return Line(number, None, said)


def _parsed(raw: bytes) -> Any:
    value = strict_json.parse_logged(raw)
    try:
        return _writable(value) if _HALF.search(raw) else value
    except RecursionError as e:
        raise ValueError("brackets within brackets without end") from e


def _writable(value: Any) -> Any:
    """A value whose texts can be written: half a character in them is spelled out."""
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, list):
        return [_writable(entry) for entry in value]
    if isinstance(value, dict):
        return {_writable(name): _writable(entry) for name, entry in value.items()}
    return value


def _quoted(said: object) -> str:
    shown = ascii(str(said))[1:-1]
    return shown if len(shown) <= 80 else shown[:79] + "…"


def _raw_lines(chunks: Iterable[bytes], longest: int) -> Iterator[tuple[int, bytes, str]]:
    """Each line with its number and its line break; of one that is too long, no bytes but why."""
    number, kept, skipped = 1, io.BytesIO(), 0
    for chunk in chunks:
        start = 0
        while start < len(chunk):
            end = chunk.find(b"\n", start) + 1
            piece = chunk[start : end or len(chunk)]
            start += len(piece)
            if skipped or kept.tell() + len(piece) > longest:
                skipped += kept.tell() + len(piece)
                kept = io.BytesIO()
            else:
                kept.write(piece)
            if end:
                yield number, kept.getvalue(), _too_long(skipped, longest)
                number, kept, skipped = number + 1, io.BytesIO(), 0
    if skipped or kept.tell():
        yield number, kept.getvalue(), _too_long(skipped, longest)


def _too_long(size: int, longest: int) -> str:
    return f"is {size:,} bytes long, more than the {longest:,} of any record" if size else ""


def _chunks(path: Path, file: IO[bytes], advance: Callable[[int], None]) -> Iterator[bytes]:
    """The text of a file in pieces, without the mark of its encoding."""
    codec = is_compressed(file.read(4))
    file.seek(0)
    text: Any = pa.CompressedInputStream(file, codec) if codec else file
    out = taken = 0
    while chunk := text.read(_CHUNK):
        yield chunk if out else _without_mark(path, chunk)
        out, before, taken = out + len(chunk), taken, file.tell()
        _check_expansion(path, taken, out)
        advance(taken - before)


def _check_expansion(path: Path, taken: int, out: int) -> None:
    if out > _ALWAYS_FINE and out > _MOST_EXPANSION * taken:
        raise BadExport(
            f"{path} expands {taken:,} bytes to more than {out:,}",
            "No log shrinks to a thousandth, so this would only fill the machine",
            "Expand it by hand if you know what it holds, and import that",
        )


def _without_mark(path: Path, chunk: bytes) -> bytes:
    if chunk.startswith(_UTF_16):
        raise BadExport(
            f"{path} begins as UTF-16 does ({chunk[:2].hex()})",
            "JSON lines are UTF-8; a console that redirects output may have written it otherwise",
            "Write it again as UTF-8, for example with iconv -f UTF-16 -t UTF-8",
        )
    return chunk.removeprefix(_BOM)
