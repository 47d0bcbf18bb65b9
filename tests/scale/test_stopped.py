"""A scan that is stopped in the middle: what is finished stays, what is not is nobody's partial,
and the next start goes on.
"""

from __future__ import annotations

import os
import pickle
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from halted import halted_scan
from patience import PATIENCE_S
from planted import Plan as Planted
from planted import write

from rockcore import memory
from rockcore.cli import main
from rockcore.rocks import RockRule
from rockcore.scale import partial
from rockcore.scale.engines import Processes, here
from rockcore.scale.errors import BadScan, NotScanned
from rockcore.scale.partials import conclude, refuse
from rockcore.scale.plan import plan
from rockcore.scale.scan import scan
from rockcore.schema import DamagedRun, RockError

WRITING = """
import sys
from pathlib import Path
from rockcore.scale.partial import _held
file = _held(Path(sys.argv[1]))
file.write(b"half")
file.flush()
print("writing", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stopped") / "log"
    write(path, Planted(20_000, 400, rocks=20, learned=10, tokens_per_rollout=150, seed=1))
    return path


def test_control_c_keeps_what_is_finished_and_the_next_start_goes_on(log: Path, tmp_path: Path):
    out = tmp_path / "out"
    asked = halted_scan(log, out)
    os.killpg(asked.pid, signal.SIGINT)
    said = asked.communicate(timeout=PATIENCE_S)[1]
    assert "interrupted" in said and "Traceback" not in said
    assert asked.returncode == 130
    # of a shard the sums are written last: cells without them are made again
    whole = {file.name for file in out.glob("partials/sums/*.parquet")}
    found = (file for file in out.glob("partials/*/*.parquet") if file.name in whole)
    finished = {file: file.stat().st_mtime_ns for file in found}
    assert finished and not list(out.glob("partials/*/.*")) and not (out / "run.json").exists()
    scan(plan(str(log), RockRule(), 2_000), out / "partials", here)
    assert {file: file.stat().st_mtime_ns for file in finished} == finished


def test_what_a_killed_worker_left_is_swept_when_a_scan_begins(log: Path, tmp_path: Path):
    half = tmp_path / "sums" / ".half.parquet.0.tmp"
    half.parent.mkdir(parents=True)
    worker = subprocess.Popen(
        [sys.executable, "-c", WRITING, str(half)], stdin=-1, stdout=-1, text=True
    )
    assert worker.stdout is not None and worker.stdout.readline()
    partial.sweep(tmp_path)
    assert half.exists()  # it may still be finished
    worker.kill()
    worker.communicate()
    scan(plan(str(log), RockRule()), tmp_path, here)
    assert not half.exists()


def test_a_partial_that_fails_in_the_middle_leaves_no_file(tmp_path: Path):
    def tables():
        yield 0, pa.table({"token_id": [1, 2]})
        raise MemoryError

    with pytest.raises(MemoryError):
        partial.write(tmp_path / "sums" / "one.parquet", tables(), {})
    assert not list(tmp_path.glob("sums/*")) and not list(tmp_path.glob("sums/.*"))


def test_without_ray_what_to_install_is_said_before_anything_is_read(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SystemExit) as ended:
        main(["scan", str(log), "--out", str(tmp_path / "out"), "--ray", "auto"])
    said = capsys.readouterr().err
    assert ended.value.code == 1 and "NoEngine" in said
    for part in ("Ray is not installed", "Ray cluster", "pip install rock-token-explorer[ray]"):
        assert part in said
    assert not (tmp_path / "out").exists()


def _errors(kind: type[RockError] = RockError) -> Iterator[type[RockError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from _errors(narrower)


def test_every_error_comes_out_of_another_process_as_it_went_in():
    for kind in _errors():
        found = pickle.loads(pickle.dumps(kind("found 3", "it cannot", "do that")))
        assert type(found) is kind and found.parts == ("found 3", "it cannot", "do that")
        assert str(found) == "found 3. it cannot. do that."


def test_what_a_worker_refuses_is_said_as_it_refused_it(tmp_path: Path):
    log = tmp_path / "log"
    write(log, Planted(2_000, 100, rocks=4, learned=2, tokens_per_rollout=100, seed=1))
    out, file = tmp_path / "out", log / "probe" / "final" / "step=000100.parquet"
    rows = pq.read_table(file)
    kl = rows["kl"].to_numpy().copy()
    kl[7] = np.inf
    pq.write_table(rows.set_column(rows.schema.get_field_index("kl"), "kl", pa.array(kl)), file)
    with closing(Processes(1, 300_000_000)) as engine:
        with pytest.raises(DamagedRun, match="1 of 2000 values"):
            scan(plan(str(log), RockRule()), out, engine)
        assert engine._pool is not None  # whose worker has its share of the memory
        assert engine._pool.submit(memory.limit).result() == 300_000_000
    assert not list(out.glob("sums/*.parquet"))


def test_a_disk_that_is_full_is_said_and_what_is_finished_stays(log: Path, tmp_path: Path):
    out, planned = tmp_path / "out", plan(str(log), RockRule(), 9_000)
    with limited_files(20_000), pytest.raises(BadScan) as raised:
        scan(planned, out / "partials", here)
    found, why, todo = raised.value.parts
    assert "could not be written" in found and "each shard" in why and "Free space" in todo
    assert not list(out.glob("partials/*/.*"))
    done = scan(planned, out / "partials", here)
    with limited_files(1_000), pytest.raises(BadScan, match="start the scan again"):
        conclude(planned, done, out)
    refuse(out)
    assert len(conclude(planned, done, out).report.ids) > 3


def test_a_partial_whose_bytes_are_lost_is_named_with_what_to_do(tmp_path: Path):
    file = tmp_path / "one.parquet"
    partial.write(file, [(0, pa.table({"token_id": np.arange(1000)}))], {})
    whole = file.read_bytes()
    for bytes in (whole[:50], whole[:20] + b"\0" * 200 + whole[220:]):
        file.write_bytes(bytes)
        with pytest.raises(NotScanned, match="Delete it"):
            partial.rows_of(file)


@contextmanager
def limited_files(most: int) -> Iterator[None]:
    """No file grows beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
