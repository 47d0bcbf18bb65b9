"""Mutations of whole files, whatever they hold: cut, flipped, exchanged, or something else in
their place.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
from pathlib import Path

import pyarrow.parquet as pq
from fuzzing.damage import DoesNotApply, Effect, Mutation, Target

ANY_TABLE = "**/*.parquet"


def cut(target: Target) -> Effect:
    file = target.pick(ANY_TABLE)
    whole = file.read_bytes()
    footer = struct.unpack("<I", whole[-8:-4])[0] + 8
    edges = [1, 4, 7, 8, 11, 12, len(whole) - footer, len(whole) - 8, len(whole) - 4]
    edges += [len(whole) - 1, target.rng.randrange(len(whole))]
    end = target.rng.choice(edges)
    target.say(f"cut to {end} of {len(whole)} bytes")
    file.write_bytes(whole[:end])
    return Effect.KEPT


def cut_json(target: Target) -> Effect:
    file = target.pick("run.json")
    whole = file.read_bytes()
    end = target.rng.randrange(len(whole) - 1)
    target.say(f"cut to {end} of {len(whole)} bytes")
    file.write_bytes(whole[:end])
    return Effect.REFUSED


def emptied(target: Target) -> None:
    target.pick(ANY_TABLE).write_bytes(b"")


def flip_bits(target: Target, low: int, high: int, file: Path) -> None:
    whole = bytearray(file.read_bytes())
    for _ in range(target.rng.choice([1, 1, 2, 8, 64])):
        at = target.rng.randrange(low, max(high, low + 1))
        bit = target.rng.randrange(8)
        target.say(f"bit {bit} of byte {at}")
        whole[at] ^= 1 << bit
    file.write_bytes(whole)


def flipped_pages(target: Target) -> None:
    file = target.pick(ANY_TABLE)
    size = file.stat().st_size
    footer = struct.unpack("<I", file.read_bytes()[-8:-4])[0] + 8
    flip_bits(target, 4, size - footer, file)


def flipped_footer(target: Target) -> None:
    file = target.pick(ANY_TABLE)
    size = file.stat().st_size
    footer = struct.unpack("<I", file.read_bytes()[-8:-4])[0] + 8
    flip_bits(target, size - footer, size, file)


def spoiled_pages(target: Target) -> None:
    file = target.pick(ANY_TABLE)
    whole = file.read_bytes()
    footer = struct.unpack("<I", whole[-8:-4])[0] + 8
    middle = target.rng.randbytes(len(whole) - footer - 4)
    file.write_bytes(b"PAR1" + middle + whole[-footer:])


def garbage(target: Target) -> None:
    file = target.pick(ANY_TABLE)
    head, size = target.rng.choice([b"", b"PAR1", b"PARE", b"PK\3\4", b"{}"]), 3000
    tail = target.rng.choice([b"", b"PAR1", b"\xff\xff\xff\x7fPAR1", b"\0\0\0\0PAR1", b"PARE"])
    file.write_bytes(head + target.rng.randbytes(size) + tail)


def text_behind(target: Target) -> None:
    file = target.pick(ANY_TABLE)
    file.write_bytes(file.read_bytes() + b"\n")


def sparse(target: Target) -> None:
    os.truncate(target.pick(ANY_TABLE), 10 << 30)


def removed(target: Target) -> Effect:
    file = target.pick(ANY_TABLE, "run.json", "knockout/screen.json")
    file.unlink()
    return Effect.REFUSED if file.parent == target.run else Effect.ANY


def removed_folder(target: Target) -> None:
    found = sorted({f.parent for f in target.run.rglob("*.parquet")} - {target.run})
    if not found:
        raise DoesNotApply
    folder = target.rng.choice(found)
    target.say(str(folder.relative_to(target.run)))
    shutil.rmtree(folder)


def other_table(target: Target) -> Effect:
    """A file of another table in its place: refused, if its columns are other ones."""
    file, source = target.pick(ANY_TABLE), target.pick(ANY_TABLE)
    names = [set(pq.read_schema(f).names) for f in (file, source)]
    if file.parent == source.parent:
        raise DoesNotApply
    shutil.copy(source, file)
    return Effect.KEPT if names[0] - names[1] else Effect.ANY


def other_step(target: Target) -> None:
    to, source = target.rng.sample(target.steps_of_a_table(), 2)
    target.say(f"{source.name} in place of {to.name}")
    shutil.copy(source, to)


def swapped_steps(target: Target) -> None:
    a, b = target.rng.sample(target.steps_of_a_table(), 2)
    target.say(f"{a.name} and {b.name}")
    left, right = a.read_bytes(), b.read_bytes()
    a.write_bytes(right)
    b.write_bytes(left)


def renamed_step(target: Target) -> None:
    file = target.rng.choice(target.steps_of_a_table())
    step = target.rng.choice([1, 7, 999_999, 1_000_000, 2**31 - 1, 2**31, 10**17])
    target.say(f"{file.name} called {step}")
    file.rename(file.with_name(f"step={step:06d}.parquet"))


def other_run(target: Target) -> None:
    """The file of the same name of another run: nobody can see that, but nothing may break."""
    file = target.pick(ANY_TABLE)
    source = target.other / file.relative_to(target.run)
    if not source.exists():
        raise DoesNotApply
    shutil.copy(source, file)


STRANGERS = """step=0.parquet step=0000001.parquet step=-1.parquet step=+1.parquet step=1e3.parquet
step=.parquet step=000010.parquet.bak .step=000020.parquet.77.tmp notes.txt step=00001٠.parquet
step=000001.PARQUET part-0.parquet""".split()


def strangers(target: Target) -> None:
    """Files that no table knows lie beside those that it does."""
    file = target.rng.choice(target.steps_of_a_table())
    for name in target.rng.sample([*STRANGERS, "step=000010 copy.parquet"], 4):
        target.say(name)
        shutil.copy(file, file.with_name(name))


def harmless_files(target: Target) -> None:
    for name in (
        "stop",
        ".DS_Store",
        "output.txt",
        "rocks.json",
        ".run.json.9.tmp",
        "checkpoints",
        "notes",
    ):
        (target.run / name).write_bytes(target.rng.randbytes(20))


def a_folder(file: Path) -> None:
    file.mkdir()


def a_fifo(file: Path) -> None:
    os.mkfifo(file)


def a_socket(file: Path) -> None:
    here = os.getcwd()
    os.chdir(file.parent)  # the address of a socket has a hundred bytes at most
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(file.name)
    finally:
        os.chdir(here)


def a_link_to_itself(file: Path) -> None:
    file.symlink_to(file.name)


def a_link_to_nothing(file: Path) -> None:
    file.symlink_to("nowhere")


def an_endless_device(file: Path) -> None:
    file.symlink_to("/dev/zero")


def an_empty_device(file: Path) -> None:
    file.symlink_to("/dev/null")


NO_FILES = (a_folder, a_fifo, a_socket, a_link_to_itself, a_link_to_nothing)
DEVICES = (an_endless_device, an_empty_device)


def no_file(target: Target) -> Effect:
    """What is no file in the place of one."""
    rest = ("run.json", "knockout/screen.json", "categories.toml")
    file = target.pick(ANY_TABLE, *rest)
    kind = target.rng.choice(NO_FILES + DEVICES)
    target.say(kind.__name__)
    file.unlink()
    kind(file)
    needed = file.name in ("run.json", "vocab.parquet")
    loose = kind is a_link_to_nothing  # is as good as none
    return Effect.REFUSED if needed else Effect.ANY if loose else Effect.KEPT


def no_folder(target: Target) -> Effect:
    """A file, or a link to nowhere, in the place of the folder of a table."""
    folder = target.rng.choice(target.steps_of_a_table()).parent
    shutil.rmtree(folder)
    kind = target.rng.choice([*NO_FILES[1:], *DEVICES])
    target.say(kind.__name__)
    kind(folder)
    return Effect.ANY if kind is a_link_to_nothing else Effect.KEPT


def linked(target: Target) -> None:
    """The file lies elsewhere, and a link stands here."""
    file = target.pick(ANY_TABLE, "run.json")
    elsewhere = target.run.parent / "elsewhere"
    shutil.move(file, elsewhere)
    file.symlink_to(elsewhere)


def unreadable(target: Target) -> Effect:
    if os.geteuid() == 0:
        raise DoesNotApply  # who may read everything
    target.pick(ANY_TABLE, "run.json").chmod(0)
    return Effect.KEPT


MUTATIONS = (
    Mutation("a table is cut", Effect.KEPT, cut),
    Mutation("run.json is cut", Effect.REFUSED, cut_json),
    Mutation("a table is emptied", Effect.KEPT, emptied),
    Mutation("bits are flipped in pages", Effect.ANY, flipped_pages),
    Mutation("bits are flipped in a footer", Effect.ANY, flipped_footer),
    Mutation("pages are spoiled", Effect.KEPT, spoiled_pages),
    Mutation("garbage in place of a table", Effect.KEPT, garbage),
    Mutation("a byte behind a table", Effect.KEPT, text_behind),
    Mutation("a table of ten gigabytes", Effect.KEPT, sparse),
    Mutation("a file is removed", Effect.ANY, removed),
    Mutation("a table's folder is removed", Effect.ANY, removed_folder),
    Mutation("another table's file", Effect.KEPT, other_table),
    Mutation("another step's file", Effect.KEPT, other_step),
    Mutation("two steps are swapped", Effect.KEPT, swapped_steps),
    Mutation("a step is renamed", Effect.KEPT, renamed_step),
    Mutation("another run's file", Effect.ANY, other_run),
    Mutation("strangers beside the steps", Effect.KEPT, strangers),
    Mutation("files that mean nothing", Effect.SAME, harmless_files),
    Mutation("no file in place of one", Effect.KEPT, no_file),
    Mutation("no folder in place of one", Effect.KEPT, no_folder),
    Mutation("a file is a link", Effect.SAME, linked),
    Mutation("a file cannot be read", Effect.KEPT, unreadable),
)
