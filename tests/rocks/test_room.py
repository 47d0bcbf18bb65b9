"""What a detection may take of the memory: long arrays go to the disk, and what cannot be done
within the limit is refused before it is begun.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import planted
import pytest

from rockcore import memory
from rockcore.log import Run
from rockcore.rocks import gather, group_change
from rockcore.rocks.examined import Examined
from rockcore.rocks.rule import RockRule

POSITIONS = 70_000  # more than are read in one go


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("room") / "log"
    planted.write(path, planted.Plan.sized(POSITIONS))
    return path


def report_of(path: Path, **rule: object) -> str:
    return Examined(Run.open(path), RockRule(top_k=20, **rule)).report.to_json()  # pyright: ignore


reserves = pytest.mark.skipif(
    not hasattr(os, "posix_fallocate"), reason="this system reserves no room in a file"
)


@reserves
@pytest.mark.parametrize("controls", ["positions", "windows"])
def test_a_detection_with_its_arrays_on_the_disk_finds_the_same_and_leaves_nothing_there(
    log, tmp_path, monkeypatch, controls
):
    want, filled = report_of(log, controls=controls), []
    reserve = os.posix_fallocate

    def reserved(file: int, begin: int, size: int) -> None:
        filled.append(size)
        reserve(file, begin, size)

    monkeypatch.setattr(memory, "FOR_POSITION", 10**9)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(os, "posix_fallocate", reserved)
    monkeypatch.setattr(group_change, "_AT_ONCE", 1000)
    assert report_of(log, controls=controls) == want
    assert sum(filled) > 28 * POSITIONS and not [*tmp_path.iterdir()]


def test_a_log_that_takes_more_than_the_limit_is_refused_before_it_is_read(log, monkeypatch):
    monkeypatch.setattr(memory, "limit", lambda: POSITIONS)
    monkeypatch.setattr(gather, "read_columns", lambda *_: pytest.fail("it was read"))
    with pytest.raises(memory.TooLittleMemory) as refused:
        report_of(log)
    assert len(refused.value.parts) == 3 and f"{POSITIONS:,}" in refused.value.parts[0]
    assert "rockcore scan" in refused.value.parts[2] and memory.SETTING in refused.value.parts[2]


@reserves
def test_a_full_disk_is_said_and_does_not_end_the_process(log, monkeypatch):
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(memory, "FOR_POSITION", 10**9)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(memory.TooLittleMemory, match="TMPDIR"):
        report_of(log)


def test_a_reading_is_stopped_by_its_pulse_and_read_by_who_asks_next(log):
    class Enough(Exception):
        pass

    def stop() -> None:
        raise Enough

    asked = Examined(Run.open(log), pulse=stop)
    with pytest.raises(Enough):
        _ = asked.material
    assert len(asked.under(asked.rule, lambda: None).material.last) == POSITIONS


def test_every_stage_of_a_detection_can_be_stopped_and_asked_again(log):
    class Enough(Exception):
        pass

    stopping = True

    def pulse() -> None:
        if stopping:
            raise Enough

    asked = Examined(Run.open(log), RockRule(top_k=20), pulse=pulse)
    stages: dict[str, Callable[[], object]] = {
        "read": lambda: asked.material,
        "contexts": lambda: asked.detection.consistency,
        "stability": lambda: asked.detection.cutoff,
        "classes": lambda: asked.classes,
        "precision": lambda: asked.detection.precision,
        "report": lambda: asked.report,
    }
    for stage, ask in stages.items():
        stopping = True
        try:
            ask()
        except Enough:
            stopping = False
        assert not stopping, f"{stage} went on to its end"
        ask()


CHILD = """
import sys
from pathlib import Path
from rockcore.log import Run
from rockcore.rocks.examined import Examined

def taken():
    status = Path("/proc/self/status").read_text()
    return next(int(l.split()[1]) * 1024 for l in status.splitlines() if l.startswith("RssAnon"))

import pandas, scipy.sparse, scipy.special
calls, most, before = 0, 0, taken()

def pulse():
    global calls, most
    calls += 1
    if calls % 20 == 0:
        most = max(most, taken() - before)

Examined(Run.open(Path(sys.argv[1])), pulse=pulse).report
print(most)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells what is taken")
def test_a_detection_of_a_million_positions_stays_near_a_small_limit(tmp_path):
    """Without the disk, or with blocks of another size, it takes 160 MB and more."""
    planted.write(tmp_path / "log", planted.Plan.sized(1_000_000))
    small = {**os.environ, memory.SETTING: "64MiB", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", CHILD, str(tmp_path / "log")]
    done = subprocess.run(command, env=small, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) < 140e6
