"""The memory limit says how many workers a scan has, or that there is no room for one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from planted import Plan as Planted
from planted import write

from rockcore import memory
from rockcore.cli import main
from rockcore.commands.scan import _workers
from rockcore.memory import TooLittleMemory
from rockcore.rocks import RockRule
from rockcore.scale.plan import Plan, plan
from rockcore.scale.room import room_for


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("room") / "log"
    write(path, Planted(3_000, 100, rocks=4, learned=2, tokens_per_rollout=150, seed=1))
    return path


@pytest.fixture(scope="module")
def large(log: Path) -> Plan:
    """As if its shards had four million positions each."""
    found = plan(str(log), RockRule())
    return replace(found, shards=tuple(replace(s, rows=4_000_000) for s in found.shards))


@pytest.mark.parametrize(("gigabytes", "workers"), [(2, 1), (4, 3), (8, 7), (64, 8)])
def test_workers_and_the_merge_fit_into_the_limit(
    large: Plan, monkeypatch: pytest.MonkeyPatch, gigabytes: int, workers: int
):
    monkeypatch.setenv(memory.SETTING, f"{gigabytes}GB")
    room = room_for(8, large)
    assert room.workers == workers
    assert 1e9 < room.bytes_each < gigabytes * 1e9 / workers


def test_what_the_limit_has_no_room_for_is_refused_with_shards_that_fit(
    large: Plan, log: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(memory.SETTING, "1GB")
    with pytest.raises(TooLittleMemory) as raised:
        room_for(8, large)
    found, why, todo = raised.value.parts
    assert "4,000,000 positions" in found and "1.1 GB for a worker" in found
    assert "1.0 GB" in why
    fitting = int(todo.split("--shard-rows ")[1].split(",")[0])
    shards = tuple(replace(shard, rows=fitting) for shard in large.shards)
    assert room_for(8, replace(large, shards=shards)).workers == 1
    monkeypatch.setenv(memory.SETTING, todo.split("--memory ")[1].rstrip("."))
    assert room_for(8, large).workers == 1


def test_a_scan_is_told_its_limit_and_a_small_log_needs_little(
    log: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setenv(memory.SETTING, "")  # so that it is as before when the test ends
    words = ["scan", str(log), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit):
        main([*words, "--memory", "80MB"])
    assert "--memory 0.6GB" in capsys.readouterr().err
    assert not (tmp_path / "out" / "partials").exists()
    memory.take("700MB")
    assert _workers(3, plan(str(log), RockRule())).workers == 1
    assert "1 of 3 workers" in capsys.readouterr().err


def test_a_small_machine_scans_by_one_worker_where_nobody_has_set_a_limit(
    large: Plan, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(memory.SETTING, "")
    monkeypatch.setattr(memory, "_present", lambda: 2_000_000_000)
    assert room_for(8, large).workers == 1
