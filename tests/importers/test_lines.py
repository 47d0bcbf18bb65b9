"""JSON lines of other programs: what is broken is named and counted, and nothing is held."""

from __future__ import annotations

import gzip
import json
import math
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pytest

from rockcore.importers import lines
from rockcore.importers.format import BadExport
from rockcore.importers.lines import Line, read_document, read_lines

ROW = b'{"step": 3, "text": "caf\xc3\xa9"}\n'


def read(path: Path, content: bytes, longest: int = lines.LONGEST) -> list[Line]:
    path.write_bytes(content)
    return list(read_lines(path, longest))


def wrong_of(found: list[Line]) -> dict[int, str]:
    return {line.number: line.wrong for line in found if line.wrong}


def test_each_line_has_its_number_and_empty_ones_are_none(tmp_path):
    found = read(tmp_path / "a.jsonl", b"\xef\xbb\xbf1\n\n  \r\n" + ROW + b"[2]")
    assert [line.number for line in found] == [1, 4, 5]
    assert [line.value for line in found] == [1, {"step": 3, "text": "café"}, [2]]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (b'{"a": 1,}\n', "no JSON"),
        (b"[" * 200_000 + b"\n", "brackets within brackets"),
        (b"9" * 5000 + b"\n", "no JSON"),
        (b'{"a": 1, "a": 2}\n', "twice"),
        (b'"\xff"\n', "no JSON"),
        (b"\0\0\0\0\n", "no JSON"),
    ],
)
def test_a_broken_line_is_named_and_the_next_is_read(tmp_path, row, says):
    found = read(tmp_path / "a.jsonl", ROW + row + ROW)
    assert says in wrong_of(found)[2] and len(wrong_of(found)) == 1
    assert found[0].value == found[2].value and all(len(w) < 200 for w in wrong_of(found).values())


def test_a_last_line_that_the_file_cuts_off_is_said_to_be(tmp_path):
    found = read(tmp_path / "a.jsonl", ROW + ROW[:-5])
    assert "cut off" in wrong_of(found)[2]


def test_nan_and_infinities_are_read_as_not_known(tmp_path):
    (line,) = read(tmp_path / "a.jsonl", b"[NaN, -Infinity, Infinity, 0.5]\n")
    assert [math.isnan(value) for value in line.value] == [True, True, True, False]


def test_half_a_character_is_spelled_out_and_two_halves_are_one(tmp_path):
    (line,) = read(tmp_path / "a.jsonl", b'{"a\\ud800": ["\\udfff", "\\ud83d\\ude00"]}\n')
    assert line.value == {"a\\ud800": ["\\udfff", "😀"]}


def test_a_line_beyond_any_record_is_passed_over_without_being_held(tmp_path):
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:  # mostly a hole: it takes no room on the disk
        file.write(ROW + b'{"text": "')
        file.seek(200_000_000, 1)
        file.write(b'"}\n' + ROW)
    tracemalloc.start()
    found = list(read_lines(path, longest=2**20))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [line.number for line in found] == [1, 2, 3] and found[2].value == found[0].value
    assert "200,000,0" in found[1].wrong and peak < 10_000_000


def test_a_line_as_long_as_may_be_is_read_whole(tmp_path):
    row = json.dumps("x" * 100).encode() + b"\n"
    assert not wrong_of(read(tmp_path / "a", row * 3, longest=len(row)))
    assert len(wrong_of(read(tmp_path / "a", row * 3, longest=len(row) - 1))) == 3


def zstd_of_frames(*parts: bytes) -> bytes:
    """As writers of seekable zstd leave it: a frame a part, and a table behind that is skipped."""
    frames = b"".join(pa.compress(part, codec="zstd", asbytes=True) for part in parts)
    return frames + bytes.fromhex("5e2a4d18") + (9).to_bytes(4, "little") + bytes(9)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd_of_frames])
def test_compression_is_told_by_the_first_bytes_and_lines_run_over_frames(tmp_path, pack):
    rows = [ROW * 3 + ROW[:7], ROW[7:] + ROW]
    packed = pack(b"".join(rows)) if pack is not zstd_of_frames else pack(*rows)
    found = read(tmp_path / "a.anything", packed)
    assert len(found) == 5 and not wrong_of(found)


@pytest.mark.parametrize("pack", [gzip.compress, zstd_of_frames])
def test_what_stands_before_a_broken_compression_is_read(tmp_path, pack):
    rows = b"".join(b"[%d, %.9f]\n" % (n, n * 0.37) for n in range(20_000))
    packed = pack(rows)
    found = read(tmp_path / "a", packed[: len(packed) // 2])
    assert len(found) > 1000 and [line.number for line in found if line.wrong] == [len(found)]


def test_a_file_that_expands_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "_ALWAYS_FINE", 2**22)
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(zstd_of_frames(bytes(2**24)))
    with pytest.raises(BadExport, match="expands"):
        for _ in read_lines(path):
            pass


def test_utf_16_is_refused_with_the_way_out(tmp_path):
    with pytest.raises(BadExport, match="iconv"):
        read(tmp_path / "a.jsonl", '{"a": 1}\n'.encode("utf-16"))


def test_bytes_behind_are_told_as_they_are_read(tmp_path):
    path, heard = tmp_path / "a.jsonl", []
    path.write_bytes(ROW * 10_000)
    for _ in read_lines(path, advance=heard.append):
        pass
    assert len(heard) > 2 and sum(heard) == path.stat().st_size


@pytest.mark.parametrize("content", [b"[1, 2]", b"[1,\n 2]\n", b"1\n2\n", b"\xef\xbb\xbf[1, 2]"])
def test_a_document_is_one_value_a_list_of_them_or_lines(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    assert [line.value for line in read_document(tmp_path / "a.json")] == [1, 2]
