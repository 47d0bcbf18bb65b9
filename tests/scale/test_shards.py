"""What a shard holds is checked as a whole log is, before a number of it is believed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from planted import Plan as Planted
from planted import write

from rockcore import schema
from rockcore.log import Run
from rockcore.rocks import RockRule
from rockcore.rocks.examined import Examined
from rockcore.scale.engines import here
from rockcore.scale.errors import BadScan
from rockcore.scale.plan import plan
from rockcore.scale.scan import scan
from rockcore.scale.sums import bin_of, make
from rockcore.schema import RockError

RULE = RockRule()
FIRST, LAST = (Path(f"probe/final/step={step:06d}.parquet") for step in (0, 100))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shards") / "log"
    write(path, Planted(6_000, 200, rocks=8, learned=4, tokens_per_rollout=150, seed=1))
    return path


@pytest.fixture
def log(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "log")


def put(name: str, value: Any, at: int = 4_000) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        table = pq.read_table(file)
        kind, values = table.schema.field(name), table[name].to_pylist()
        values[at] = value
        place = table.column_names.index(name)
        pq.write_table(table.set_column(place, kind, pa.array(values, kind.type)), file)

    return damage


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def overwrite(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[100:-5_000] = b"\xff" * (len(data) - 5_100)
    file.write_bytes(data)


def as_text(file: Path) -> None:
    table = pq.read_table(file)
    place = table.column_names.index("token_id")
    pq.write_table(table.set_column(place, "token_id", table["token_id"].cast(pa.string())), file)


def without_a_row(file: Path) -> None:
    table = pq.read_table(file)
    pq.write_table(pa.concat_tables([table.slice(0, 4_000), table.slice(4_001)]), file)


DAMAGED = {
    "an id that is none": put("token_id", None),
    "an id beyond the vocabulary": put("token_id", 10**6),
    "an id below 0": put("token_id", -1),
    "no rollout": put("rollout_id", None),
    "a position twice": put("position", 0, 7),
    "another step": put("step", 7),
    "an infinite loss": put("kl", np.inf),
    "a loss that is no number": put("kl", np.nan),
    "a negative divergence": put("kl", -3.0),
    "an infinite gradient": put("grad_norm", np.inf),
    "a row less": without_a_row,
    "ids as text": as_text,
    "a cut end": cut,
    "pages overwritten": overwrite,
    "no file at all": lambda file: file.write_bytes(b""),
}


def refused(log: Path, ask: Callable[[], Any]) -> tuple[str, str, str]:
    with pytest.raises(RockError) as raised:
        ask()
    return raised.value.parts


@pytest.mark.parametrize("file", [FIRST, LAST], ids=["first", "last"])
@pytest.mark.parametrize("how", DAMAGED)
def test_damage_is_said_as_of_the_whole_log(log: Path, tmp_path: Path, how: str, file: Path):
    DAMAGED[how](log / file)
    said = refused(log, lambda: Examined(Run.open(log), RULE).report)
    out = tmp_path / "out"
    assert refused(log, lambda: scan(plan(str(log), RULE), out, here)) == said
    assert not list(out.glob("sums/*.parquet")) and not list(out.glob("*/.*"))


def test_damage_spoils_its_own_shard_alone_and_no_partial_of_it_is_left(log: Path, tmp_path: Path):
    put("kl", np.inf)(log / LAST)
    pq.write_table(pq.read_table(log / LAST), log / LAST, row_group_size=1_500)
    planned, made, out = plan(str(log), RULE, 1_500), 0, tmp_path / "out"
    for index in range(len(planned.shards)):
        try:
            make(planned, index, out)
            made += 1
        except RockError as e:
            assert "infinite in 'kl'" in e.parts[0] and LAST.name in e.parts[0]
    assert 0 < made < len(planned.shards)
    assert len(list(out.glob("sums/*"))) == len(list(out.glob("cells/*"))) == made


def test_damage_is_found_where_a_log_lies_elsewhere(log: Path, tmp_path: Path):
    put("token_id", 10**6)(log / LAST)
    store = fsspec.filesystem("memory")
    store.put(str(log), "/damaged/log", recursive=True)
    try:
        with pytest.raises(RockError, match="vocab.parquet lacks"):
            scan(plan("memory://damaged/log", RULE), tmp_path / "out", here)
    finally:
        store.rm("/damaged", recursive=True)


def test_a_damaged_vocabulary_is_refused(log: Path, tmp_path: Path):
    file = log / "vocab.parquet"
    table = pq.read_table(file)
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), file)
    with pytest.raises(RockError, match="twice, e.g. token_id"):
        scan(plan(str(log), RULE), tmp_path / "out", here)


def test_a_file_that_changes_after_it_was_planned_gives_no_partial(log: Path, tmp_path: Path):
    planned = plan(str(log), RULE)
    put("kl", 0.5)(log / LAST)
    with pytest.raises(BadScan, match="has changed while it was scanned"):
        make(planned, 0, tmp_path / "out")
    assert not list(tmp_path.glob("out/*/*"))


def test_each_loss_falls_into_the_bin_of_a_search():
    draw = np.random.default_rng(0)
    edges = schema.KL_EDGES.astype(np.float32)
    near = [np.nextafter(edges, np.float32(end)) for end in (-1, 99)]
    spread = np.exp(draw.normal(-2, 4, 200_000)).astype(np.float32)
    odd = np.array([0, -0.0, -1e-8, -5, 1e-45, 3e38], np.float32)
    loss = np.concatenate([edges, *near, spread, odd])
    assert (bin_of(loss) == np.searchsorted(schema.KL_EDGES, loss, side="right")).all()
