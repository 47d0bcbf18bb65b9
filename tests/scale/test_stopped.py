"""A scan that is stopped in the middle: what is finished stays, what is not is nobody's partial,
and the next start goes on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from halted import halted_scan
from patience import PATIENCE_S
from planted import Plan as Planted
from planted import write

from rockcore.cli import main
from rockcore.rocks import RockRule
from rockcore.scale import partial
from rockcore.scale.engines import here
from rockcore.scale.plan import plan
from rockcore.scale.scan import scan

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
