"""Mutations of what the tables of a log hold: columns, types, keys, values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fuzzing.damage import DoesNotApply, Effect, Mutation, Target, change_table

from rockcore import schema
from rockcore.schema import Column

ANY_TABLE = "**/*.parquet"


def contract(target: Target, file: Path) -> dict[str, Column]:
    """The columns that the log promises of a file; none for the files of a screen."""
    path = file.relative_to(target.run).as_posix()
    for table in schema.TABLES.values():
        if path == table.pattern or (
            table.per_step and path.startswith(f"{table.folder}/") and "step=" in path
        ):
            return table.columns
    return {}


def draw_column(
    target: Target, fits: Callable[[str, pa.DataType], bool] = lambda name, type: True
) -> tuple[Path, str]:
    """One column of one file."""
    file = target.pick(ANY_TABLE)
    found = [f.name for f in pq.read_schema(file) if fits(f.name, f.type)]
    if not found:
        raise DoesNotApply
    name = target.rng.choice(found)
    target.say(name)
    return file, name


def set_column(file: Path, name: str, make: Callable[[pa.ChunkedArray], pa.Array]) -> None:
    def change(table: pa.Table) -> pa.Table:
        return table.set_column(table.column_names.index(name), name, make(table[name]))

    change_table(file, change)


# Types.


def as_texts(column: pa.ChunkedArray) -> pa.Array:
    return pa.array([None if v is None else str(v) for v in column.to_pylist()], pa.string())


def cast_to(type: pa.DataType) -> Callable[[pa.ChunkedArray], pa.Array]:
    return lambda column: pc.cast(column, type, safe=False)


def as_list(column: pa.ChunkedArray) -> pa.Array:
    return pa.array([[v] for v in column.to_pylist()], pa.list_(column.type))


def as_struct(column: pa.ChunkedArray) -> pa.Array:
    return pa.StructArray.from_arrays([column.combine_chunks()], ["v"])


def as_moments(column: pa.ChunkedArray) -> pa.Array:
    return pc.cast(pc.cast(column, pa.int64(), safe=False), pa.timestamp("us"))


def as_bytes(column: pa.ChunkedArray) -> pa.Array:
    return pa.array([None if v is None else str(v).encode() for v in column.to_pylist()])


def as_nulls(column: pa.ChunkedArray) -> pa.Array:
    return pa.nulls(len(column))


CASTS: tuple[Callable[[pa.ChunkedArray], pa.Array], ...] = (
    as_texts,
    as_list,
    as_struct,
    as_moments,
    as_bytes,
    as_nulls,
    lambda column: column.dictionary_encode().combine_chunks(),
    *map(cast_to, (pa.int64(), pa.int16(), pa.uint32(), pa.float64(), pa.float32(), pa.bool_())),
    cast_to(pa.decimal128(38, 8)),
    cast_to(pa.large_string()),
)


def wrong_type(target: Target) -> Effect:
    file, name = draw_column(target)
    before = pq.read_schema(file).field(name).type
    cast = target.rng.choice(CASTS)
    try:
        set_column(file, name, cast)
    except pa.ArrowNotImplementedError:
        set_column(file, name, as_texts)
    after = pq.read_schema(file).field(name).type
    target.say(f"{before} as {after}")
    if before == after:
        return Effect.SAME
    return Effect.ANY if "knockout" in str(file) else Effect.KEPT


# Columns.


def missing_column(target: Target) -> Effect:
    file, name = draw_column(target)
    change_table(file, lambda t: t.drop_columns([name]))
    column = contract(target, file).get(name)
    return Effect.ANY if column is None or column.optional else Effect.KEPT


UNKNOWN = ("note", "_", "extra column", "x" * 300, 'a"b', "it's", "select", "🙂", "a\nb", "%s", "")
ELSEWHERE = ("token", "special", "v", "ids", "teacher_top_ids", "n", "files", "kl_sum", "rollout")


def extra_columns(target: Target) -> None:
    file = target.pick(ANY_TABLE)
    names = target.rng.sample(UNKNOWN, 3)
    target.say(repr(names))

    def add(table: pa.Table) -> pa.Table:
        for name in names:
            at = target.rng.randrange(table.num_columns + 1)
            table = table.add_column(at, name, pa.array(["7"] * len(table)))
        return table

    change_table(file, add)


def extra_column_of_another_table(target: Target) -> None:
    """What a join would take for the other table's."""
    file = target.pick(ANY_TABLE)
    there = pq.read_schema(file).names
    name = target.rng.choice([n for n in ELSEWHERE if n not in there])
    target.say(name)
    change_table(file, lambda t: t.append_column(name, pa.array([7] * len(t), pa.int32())))


def same_name(target: Target) -> None:
    """A column twice, or one that differs in case alone."""
    file, name = draw_column(target)
    twin = target.rng.choice([name, name.upper(), name.capitalize(), f"{name}_1", f"{name} "])
    target.say(f"{twin!r} beside it")
    change_table(file, lambda t: t.append_column(twin, t[name].slice(0).combine_chunks()))


def reordered_columns(target: Target) -> None:
    file = target.pick(ANY_TABLE)
    names = pq.read_schema(file).names
    target.rng.shuffle(names)
    change_table(file, lambda t: t.select(names))


# Rows.


def doubled(target: Target) -> Effect:
    file = target.pick(ANY_TABLE)
    rows = len(pq.read_table(file))
    if not rows:
        raise DoesNotApply
    at = target.rng.choice([slice(0, rows), slice(0, 1), slice(rows - 1, rows)])
    change_table(file, lambda t: pa.concat_tables([t, t.slice(at.start, at.stop - at.start)]))
    return Effect.KEPT


def shuffled(target: Target) -> Effect:
    file = target.pick(ANY_TABLE)
    seed = target.rng.randrange(2**32)

    def take(table: pa.Table) -> pa.Table:
        return table.take(np.random.default_rng(seed).permutation(len(table)))

    change_table(file, take)
    return Effect.KEPT if "knockout" in file.parts else Effect.SAME


def dropped(target: Target) -> None:
    file = target.pick(ANY_TABLE)
    keep = target.rng.choice([0, 0.5, 0.9, 0.99])
    rows = range(len(pq.read_table(file)))
    kept = [i for i in rows if target.rng.random() < keep]
    target.say(f"{len(kept)} of {len(rows)} rows kept")
    change_table(file, lambda t: t.take(pa.array(kept, pa.int64())))


def row_groups(target: Target) -> None:
    """The same rows, stored in another way."""
    file = target.pick(ANY_TABLE)
    table = pq.read_table(pa.OSFile(str(file)))
    how = target.rng.choice(
        [
            {"row_group_size": 1},
            {"compression": "none", "use_dictionary": True},
            {"data_page_version": "2.0", "compression": "gzip"},
            {"write_page_checksum": True, "compression": "snappy"},
            {"version": "1.0", "compression": "brotli", "data_page_size": 64},
        ]
    )
    target.say(str(how))
    with file.open("wb") as out:
        pq.write_table(table, out, **how)


def empty_row_groups(target: Target) -> None:
    file = target.pick(ANY_TABLE)
    table = pq.read_table(pa.OSFile(str(file)))
    count = target.rng.choice([1, 10, 3000])
    target.say(f"{count} empty row groups")
    with file.open("wb") as out, pq.ParquetWriter(out, table.schema) as writer:
        for i in range(count):
            writer.write_table(table if i == count // 2 else table.slice(0, 0))


def bomb(target: Target) -> None:
    """Some bytes on disk that are a hundred megabytes when they are read."""
    file = target.pick(ANY_TABLE)
    cell = "a" * (100 << 20)

    def add(table: pa.Table) -> pa.Table:
        return table.append_column("note", pa.array([cell] + [""] * (len(table) - 1)))

    change_table(file, add)


def many_rows(target: Target) -> None:
    """Thirty million rows that are all the same, in a file of some kilobytes."""
    files = [f for f in target.run.rglob("step=*.parquet") if f.parent.name in ("tokens", "types")]
    if not files:
        raise DoesNotApply
    file = target.rng.choice(sorted(files))
    target.say(str(file.relative_to(target.run)))
    table = pq.read_table(pa.OSFile(str(file)))
    one = table.take(pa.array([0] * 1_000_000, pa.int64()))
    with file.open("wb") as out, pq.ParquetWriter(out, table.schema, compression="zstd") as writer:
        for _ in range(30):
            writer.write_table(one)


# Values.


def put(target: Target, file: Path, name: str, value: object) -> None:
    """One value, or all of a column."""
    rows = len(pq.read_table(file, columns=[name]))
    if not rows:
        raise DoesNotApply
    all_of_them, at = target.rng.random() < 0.25, target.rng.randrange(rows)
    target.say(f"{str(value)[:40]!a} in {'all rows' if all_of_them else f'row {at}'}")

    def change(column: pa.ChunkedArray) -> pa.Array:
        values = column.to_pylist()
        values[slice(None) if all_of_them else slice(at, at + 1)] = [value] * (
            rows if all_of_them else 1
        )
        return pa.array(values, column.type)

    set_column(file, name, change)


def is_key(name: str, type: pa.DataType) -> bool:
    return name in ("rollout_id", "position", "token_id", "problem_id", "problem", "fold")


BEYOND = (-1, -(2**31), 2**31 - 1, 1_000_000_000)


def key_beyond(target: Target) -> None:
    """A key that no table can hold: negative, or beyond the vocabulary and all there is."""
    file, name = draw_column(target, is_key)
    if "knockout" in file.parts:
        raise DoesNotApply
    put(target, file, name, target.rng.choice(BEYOND))


def other_key(target: Target) -> None:
    """A key that could be one, in the wrong place: doubled rows, gaps, other texts."""
    file, name = draw_column(target, is_key)
    put(target, file, name, target.rng.randrange(40))


def other_step_inside(target: Target) -> None:
    file, name = draw_column(target, lambda name, type: name == "step")
    if "rollouts.parquet" in file.name:
        raise DoesNotApply  # of a probe set: no file says of which step its texts are
    there = pq.read_table(file)["step"].to_pylist()
    step = target.rng.choice([s for s in (-1, 5, 10, 20, 99, 2**31 - 1) if s not in there])
    put(target, file, name, step)


NUMBERS = (float("nan"), float("inf"), float("-inf"), 3e38, -3e38, 1e-45, -0.0, -1.0, 6e4, 1e300)


def odd_number(target: Target) -> None:
    file, name = draw_column(target, lambda name, type: pa.types.is_floating(type))
    narrow = pq.read_schema(file).field(name).type == pa.float16()
    value = target.rng.choice(NUMBERS)
    put(target, file, name, np.float16(value) if narrow else value)


def odd_count(target: Target) -> None:
    def counts(name: str, type: pa.DataType) -> bool:
        return pa.types.is_integer(type) and name != "step" and not is_key(name, type)

    file, name = draw_column(target, counts)
    wide = pq.read_schema(file).field(name).type.bit_width == 64
    most = 2**63 - 1 if wide else 127
    put(target, file, name, target.rng.choice([-1, 0, most, -most - 1]))


def null(target: Target) -> None:
    file, name = draw_column(target)
    put(target, file, name, None)


TEXTS = (
    "",
    "\0",
    "a\0b",
    "\x1b]0;TITLE\x07\x1b[2J",
    "\u202egnihtyna",
    "=1+1",
    "<script>alert(1)</script>",
    "a" * 300_000,
    "\n" * 100_000 + "a",
    "a" * 60,
    "𝔘" * 3,
    "\ufeff\u2028",
    "\r\x0b\x85",
)


def odd_text(target: Target) -> None:
    file, name = draw_column(target, lambda name, type: pa.types.is_string(type))
    put(target, file, name, target.rng.choice(TEXTS))


def broken_text(target: Target) -> None:
    """Bytes that are no UTF-8 in a column of text."""
    file, name = draw_column(target, lambda name, type: pa.types.is_string(type))

    def change(column: pa.ChunkedArray) -> pa.Array:
        raw = [b"\xff\xfe\x80"] * len(column)
        array = pa.array(raw, pa.binary())
        return pa.Array.from_buffers(pa.string(), len(raw), array.buffers())

    set_column(file, name, change)


def odd_list(target: Target) -> None:
    file, name = draw_column(target, lambda name, type: pa.types.is_list(type))
    whole = pa.types.is_integer(pq.read_schema(file).field(name).type.value_type)
    one = 7 if whole else np.float16(-1)
    far = [2**31 - 1, -1] * 4 if whole else [np.float16("nan"), np.float16("-inf")] * 4
    put(target, file, name, target.rng.choice([[], [one], [one] * 9, [None] * 8, far]))


def odd_bytes(target: Target) -> None:
    file, name = draw_column(target, lambda name, type: pa.types.is_binary(type))
    put(target, file, name, target.rng.choice([b"", b"\0", b"\0" * 7, b"\xff" * 64, b"\x7c" * 2]))


MUTATIONS = (
    Mutation("a column of another type", Effect.KEPT, wrong_type),
    Mutation("a column is missing", Effect.KEPT, missing_column),
    Mutation("columns that mean nothing", Effect.SAME, extra_columns),
    Mutation("a column that another table has", Effect.KEPT, extra_column_of_another_table),
    Mutation("two columns of one name", Effect.KEPT, same_name),
    Mutation("columns in another order", Effect.SAME, reordered_columns),
    Mutation("rows are doubled", Effect.KEPT, doubled),
    Mutation("rows in another order", Effect.SAME, shuffled),
    Mutation("rows are dropped", Effect.ANY, dropped),
    Mutation("the same rows, stored otherwise", Effect.SAME, row_groups),
    Mutation("empty row groups", Effect.SAME, empty_row_groups),
    Mutation("a key beyond all there is", Effect.KEPT, key_beyond),
    Mutation("a key in the wrong place", Effect.ANY, other_key),
    Mutation("another step inside", Effect.KEPT, other_step_inside),
    Mutation("an odd number", Effect.ANY, odd_number),
    Mutation("an odd count", Effect.ANY, odd_count),
    Mutation("a null", Effect.ANY, null),
    Mutation("an odd text", Effect.ANY, odd_text),
    Mutation("a text that is none", Effect.KEPT, broken_text),
    Mutation("a list of another length", Effect.ANY, odd_list),
    Mutation("odd bytes", Effect.ANY, odd_bytes),
)
HEAVY = (
    Mutation("a cell of a hundred megabytes", Effect.KEPT, bomb),
    Mutation("thirty million rows", Effect.KEPT, many_rows),
)
