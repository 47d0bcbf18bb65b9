"""Pickles are read without running them: what torch and pickle write comes back, all else is
refused by its name.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict, defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rockcore.importers.pickle_arrays import Array, BadPickle
from rockcore.importers.torch_files import beginning, opened


def read(path: Path) -> Any:
    """What a file holds, its arrays read."""

    def whole(value: Any) -> Any:
        if isinstance(value, Array):
            return np.asarray(value)
        if isinstance(value, dict):
            return {key: whole(each) for key, each in value.items()}
        if type(value) in (list, tuple):
            return type(value)(map(whole, value))
        return value

    with opened(path) as found:
        return whole(found)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        a = a.float().numpy() if a.dtype == torch.bfloat16 else a.numpy()
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.generic):
        a = a.item()
    return a == b or (a != a and b != b)


KINDS = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32]
KINDS += [torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.bool]
KINDS += [torch.complex64, torch.complex128]


@st.composite
def tensors(draw: Any) -> torch.Tensor:
    """Views that begin late, are turned, skip or repeat, of every type."""
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    whole = torch.arange(max(1, int(np.prod(shape))) + 3).to(draw(st.sampled_from(KINDS)))
    found = whole[draw(st.integers(0, 3)) :][: int(np.prod(shape))].reshape(shape)
    if draw(st.booleans()):
        found = found.permute(tuple(reversed(range(found.ndim))))
    if found.ndim and draw(st.booleans()):
        found = found[::2]
    return found[None].expand(3, *found.shape) if draw(st.booleans()) else found


SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats() | st.text(max_size=9)
)
ARRAYS = hnp.arrays(
    st.sampled_from([np.float32, ">f8", np.int16, np.bool_, "<U3", "S2"]), hnp.array_shapes()
)
LEAVES = SCALARS | st.binary(max_size=9) | tensors() | ARRAYS | ARRAYS.map(np.asfortranarray)
KEYS = st.text(max_size=5) | st.integers(-9, 2**40)
NESTED = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.dictionaries(KEYS, inner, max_size=3).map(OrderedDict)
        | st.lists(st.floats(), max_size=40)
        | st.lists(st.integers(-300, 70000), max_size=40)
        | st.frozensets(KEYS, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(value=NESTED, protocol=st.integers(2, 5), new=st.booleans())
def test_what_torch_saves_comes_back_equal(value: Any, protocol: int, new: bool, tmp_path_factory):
    path = tmp_path_factory.mktemp("torch") / "x.pt"
    torch.save(value, path, pickle_protocol=protocol, _use_new_zipfile_serialization=new)
    assert same(value, read(path))


@settings(max_examples=20, deadline=None)
@given(value=NESTED.filter(lambda v: "tensor" not in repr(v)), protocol=st.integers(2, 5))
def test_what_pickle_dumps_comes_back_equal(value: Any, protocol: int, tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "x.pkl"
    path.write_bytes(pickle.dumps(value, protocol))
    assert same(value, read(path))


def test_a_value_seen_twice_is_one(tmp_path: Path):
    inner = [1.5]
    torch.save({"a": inner, "b": inner}, tmp_path / "x.pt")
    with opened(tmp_path / "x.pt") as found:
        assert found["a"] is found["b"]


class Runs:
    """What a hostile file holds: a call of whatever it likes."""

    def __init__(self, *call: Any):
        self.call = call

    def __reduce__(self) -> tuple:
        return self.call


PLAIN = np.zeros(2)
HOSTILE = {
    "posix.system": Runs(os.system, ("touch /tmp/was-run",)),
    "builtins.eval": Runs(eval, ("1",)),
    "builtins.exec": Runs(exec, ("1",)),
    "builtins.getattr": Runs(getattr, ("x", "upper")),
    "subprocess.Popen": Runs(subprocess.Popen, (["true"],)),
    "collections.defaultdict": defaultdict(list),
    "numpy arrays": np.array([print, 1], dtype=object),
    "fields": np.zeros(2, dtype=[("a", "f4")]),
    "Runs": object.__new__(Runs),
    "pathlib": Path("x"),
    "torch._utils._rebuild_parameter": torch.nn.Parameter(torch.zeros(2)),
}


@pytest.mark.parametrize("named", list(HOSTILE))
@pytest.mark.parametrize("protocol", [2, 4])
def test_any_other_name_is_refused(named: str, protocol: int, tmp_path: Path):
    value = HOSTILE[named]
    if named == "Runs":
        value.call = (Runs, ())
    torch.save({"fine": 1, "bad": value}, tmp_path / "x.pt", pickle_protocol=protocol)
    named = named.replace("builtins", "builtin.*").replace("subprocess", "(subprocess|commands)")
    words = {"numpy arrays": "numpy type|object", "fields": "numpy type|fields"}
    with pytest.raises(BadPickle, match=words.get(named, named)):
        read(tmp_path / "x.pt")


def by_hand(*parts: bytes) -> bytes:
    return b"\x80\x02" + b"".join(parts) + b"."


def name(text: str) -> bytes:
    module, _, last = text.rpartition(".")
    return b"c" + module.encode() + b"\n" + last.encode() + b"\n"


DTYPE = name("numpy.dtype") + b"(X\x02\0\0\0f4I0\nI1\ntR"
EMPTY = name("numpy.core.multiarray._reconstruct") + name("numpy.ndarray") + b"K\0\x85C\x01b\x87R"
DAMAGED = {
    "an array of more than its bytes": EMPTY + b"(K\x01K\x05\x85" + DTYPE + b"\x89C\x04abcdtb",
    "an array of negative size": EMPTY + b"(K\x01J\xff\xff\xff\xff\x85" + DTYPE + b"\x89C\0tb",
    "an array of objects": EMPTY
    + b"(K\x01K\x01\x85"
    + DTYPE.replace(b"f4", b"O8")
    + b"\x89]N"
    + b"atb",
    "a state of a function": name("torch.Size") + b"}b",
    "a state of a class": name("numpy.ndarray") + b"}X\x01\0\0\0aK\x01sb",
    "a call of a number": b"K\x01)R",
    "a call of a text": b"X\x06\0\0\0system)R",
    "a chain of getattr": name("builtins.getattr") + name("os.system") + b"\x86R",
    "copyreg": name("copyreg._reconstructor") + b")R",
    "an old instance": b"(ios\nsystem\n",
    "an old object": b"(" + name("collections.OrderedDict") + b"o",
    "a new object": name("collections.OrderedDict") + b")\x81",
    "a new object with names": name("collections.OrderedDict") + b")}\x92",
    "a name by number": b"\x82\x01",
    "a persistent id": b"Pfoo\n",
    "a persistent id in a plain pickle": b"K\x01Q",
    "a buffer outside": b"\x97",
    "a dict keyed by tuples": b"}K\x01\x85q\0h\0\x86K\x01s",
    "a set of tuples": b"\x8f(K\x01\x85\x90",
    "a number of a megabyte": b"\x8b\0\0\x10\0" + b"\1" * 2**20,
    "decimal digits for ever": b"L" + b"9" * 70000 + b"\n",
    "a text longer than the file": b"X\xff\xff\xff\xffabc",
    "bytes longer than the memory": b"\x8e" + struct.pack("<Q", 2**62),
    "an array of bytes longer than the memory": b"\x96" + struct.pack("<Q", 2**62),
    "a negative length": b"\x8b\xff\xff\xff\xff",
    "an empty stack": b"e",
    "a mark too few": b"0u",
    "something added to a number": b"K\x01K\x02a",
    "half a pair": b"}(K\x01u",
    "a memo that is not there": b"h\x07",
    "a code that is none": b"\xff",
    "a protocol of the future": b"\x80\x09",
    "a text of no encoding": b"X\x02\0\0\0\xff\xfe",
    "bytes in rot13": name("_codecs.encode") + b"X\x01\0\0\0aX\x05\0\0\0rot13\x86R",
    "a type with a pickle in it": name("numpy.dtype") + b"X\x03\0\0\0O,O\x85R",
    "a size that is none": name("torch.Size") + b"X\x01\0\0\0a\x85\x85R",
}


@pytest.mark.parametrize("what", list(DAMAGED))
def test_what_is_no_pickle_of_plain_values_is_refused(what: str, tmp_path: Path):
    (tmp_path / "x.pkl").write_bytes(by_hand(DAMAGED[what]))
    with pytest.raises(BadPickle):
        read(tmp_path / "x.pkl")


def peak_and_answer(path: Path) -> tuple[int, str]:
    """Peak memory of a process that reads the file, in MB, and what it said."""
    code = (
        "import sys; from pathlib import Path; "
        "from rockcore.importers.torch_files import opened\n"
        "try:\n    with opened(Path(sys.argv[1])) as found: print(type(found).__name__)\n"
        "except ValueError as e: print(e)\n"
        # ru_maxrss would begin with what the process that started this one holds
        "print(*[w.split()[1] for w in open('/proc/self/status') if w.startswith('VmHWM')])"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return int(said[-1]) // 1024, said[0]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak so")
@pytest.mark.parametrize(
    "pickled, answer",
    [
        (by_hand(b"]r\xff\xff\xff\xff"), "list"),
        (by_hand(b"](" + b"}" * 2_000_000 + b"e"), "in memory"),
        (by_hand(b"](" + b"\x8f" * 1_000_000 + b"e"), "in memory"),
        (by_hand(b"]q\0" + b"(h\0h\0l" * 60 + b"0" * 0), "list"),
        (by_hand(b"](" + b"(" * 3_000_000), "marks"),
    ],
)
def test_a_small_pickle_does_not_fill_the_memory(pickled: bytes, answer: str, tmp_path: Path):
    (tmp_path / "x.pkl").write_bytes(pickled)
    peak, said = peak_and_answer(tmp_path / "x.pkl")
    assert answer in said
    assert peak < 400


def test_a_pickle_nested_a_million_deep_is_read(tmp_path: Path):
    (tmp_path / "x.pkl").write_bytes(by_hand(b"]" * 500_000 + b"a" * 499_999))
    with opened(tmp_path / "x.pkl") as found:
        assert len(found) == 1


def zipped(pickled: bytes, path: Path, **entries: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x/data.pkl", pickled)
        for key, data in entries.items():
            file.writestr(f"x/data/{key.removeprefix('n')}", data)
    return path


def tensor_by_hand(size: int, first: int, shape: bytes, strides: bytes) -> bytes:
    """A tensor of float32 in a storage of `size` numbers, as torch writes it."""
    number = struct.pack
    return by_hand(
        name("torch._utils._rebuild_tensor_v2"),
        b"((X\x07\0\0\0storage" + name("torch.FloatStorage") + b"X\x01\0\0\0"
        b"0X\x03\0\0\0cpuJ" + number("<i", size) + b"tQJ" + number("<i", first),
        shape + strides + b"\x89" + name("collections.OrderedDict") + b")RtR",
    )


ONE = b"K\x01\x85"


@pytest.mark.parametrize(
    "size, first, shape, strides",
    [
        (4, 0, b"K\x05\x85", ONE),  # longer than its storage
        (4, 2, b"K\x03\x85", ONE),  # begins too late
        (4, -1, b"K\x03\x85", ONE),
        (4, 0, b"K\x03\x85", b"K\x02\x85"),  # steps out
        (4, 0, b"K\x03\x85", b"J\xff\xff\xff\xff\x85"),  # steps back
        (4, 0, b"K\x02K\x02\x86", ONE),  # strides of another shape
        (4, 0, b"\x8a\x06\0\0\0\0\0\x10\x85", b"K\0\x85"),  # 2**44 times one number
        (4, 0, b"\x8a\x09" + b"\0" * 8 + b"\x01\x85", b"K\0\x85"),  # 2**64 times
        (5, 0, b"K\x04\x85", ONE),  # the storage is shorter than it says
        (3, 0, b"K\x03\x85", ONE),  # and longer
    ],
)
def test_a_tensor_that_leaves_its_storage_is_refused(
    size: int, first: int, shape: bytes, strides: bytes, tmp_path: Path
):
    held = np.arange(4, dtype="<f4").tobytes()
    whole = zipped(tensor_by_hand(4, 1, b"K\x03\x85", ONE), tmp_path / "whole.pt", n0=held)
    assert read(whole).tolist() == [1, 2, 3]
    bad = zipped(tensor_by_hand(size, first, shape, strides), tmp_path / "bad.pt", n0=held)
    with pytest.raises(BadPickle):
        read(bad)


def entry(kind: int = zipfile.ZIP_STORED, **entries: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", kind) as file:
        for key, data in entries.items():
            file.writestr(key.replace("__", "/").replace("_DOT_", "."), data)
    return out.getvalue()


PICKLED = pickle.dumps([1], 2)


def encrypted() -> bytes:
    whole = bytearray(entry(x__data_DOT_pkl=PICKLED))
    whole[whole.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(whole)


def twice() -> bytes:
    whole = entry(x__data_DOT_pkl=PICKLED, x__data_DOT_pkm=PICKLED)
    return whole.replace(b"data.pkm", b"data.pkl")


@pytest.mark.parametrize(
    "file, said",
    [
        (
            entry(zipfile.ZIP_DEFLATED, x__data_DOT_pkl=PICKLED + b"\0" * 10**7),
            "bytes in a file|is compressed",
        ),
        (entry(x__data_DOT_pkl=PICKLED)[:-10], "is none"),
        (entry(x__data_DOT_pkl=PICKLED)[:40], "is none"),
        (entry(readme=b""), "0 of them"),
        (entry(x__data_DOT_pkl=PICKLED, y__data_DOT_pkl=PICKLED), "2 of them"),
        (entry(x__data_DOT_pkl=PICKLED, ___DOT__DOT___etc=b"1"), "leads out"),
        (entry(x__data_DOT_pkl=PICKLED, **{"x__b\\c": b"1"}), "leads out"),
        (encrypted(), "is encrypted"),
        (twice(), "twice"),
    ],
    ids=lambda value: value if isinstance(value, str) else "a zip",  # its bytes tell the time
)
def test_a_zip_that_torch_does_not_write_is_refused(file: bytes, said: str, tmp_path: Path):
    (tmp_path / "x.pt").write_bytes(file)
    with pytest.raises(BadPickle, match=said):
        read(tmp_path / "x.pt")


def test_every_cut_of_a_file_is_refused_in_words(tmp_path: Path):
    value = {"a": torch.arange(5), "b": [1.5] * 3, "c": np.arange(3)}
    for new in (True, False):
        torch.save(value, tmp_path / "x.pt", _use_new_zipfile_serialization=new)
        whole = (tmp_path / "x.pt").read_bytes()
        for end in range(1, len(whole), 1 + len(whole) // 150):
            (tmp_path / "cut.pt").write_bytes(whole[:end])
            with pytest.raises(BadPickle):
                read(tmp_path / "cut.pt")


@settings(max_examples=300, deadline=None)
@given(
    flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4)
)
def test_flipped_bytes_are_read_or_refused_and_never_else(flips: list, tmp_path_factory):
    whole = bytearray(flipped_base())
    for at, byte in flips:
        whole[at % len(whole)] = byte
    path = tmp_path_factory.mktemp("flipped") / "x.pkl"
    path.write_bytes(whole)
    with suppress(BadPickle):
        read(path)


def flipped_base() -> bytes:
    value = {"a": np.arange(3), "s": {1, 2}, "f": [0.5, 1.5], "t": ("x", b"y"), "n": np.float32(1)}
    return pickle.dumps(value, 2)


def test_a_pipe_is_not_waited_for(tmp_path: Path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("no pipes with names here")
    os.mkfifo(tmp_path / "x.pt")
    with pytest.raises(ValueError, match="no regular file"):
        read(tmp_path / "x.pt")


def test_the_beginning_of_a_long_file_tells_what_it_is(tmp_path: Path):
    records = [{"token": i, "values": [0.5] * 40} for i in range(3000)]
    for new in (True, False):
        value = {"id": 3, "records": records, "end": 1}
        torch.save(value, tmp_path / "x.pt", _use_new_zipfile_serialization=new)
        found = beginning(tmp_path / "x.pt")
        assert found["id"] == 3
        assert found["records"][0] == records[0]
        assert len(found["records"]) < 3000 and "end" not in found
    torch.save([1], tmp_path / "x.pt")
    assert beginning(tmp_path / "x.pt") == {}
