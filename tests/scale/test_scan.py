"""The Rock Tokens of a log from partials of its shards: the same as from the whole log, to the last
id and bit, however the shards are cut and whoever makes them.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest
from halted import halted_scan
from patience import PATIENCE_S
from planted import Plan as Planted
from planted import write

from rockcore.log import Run, sample_runs
from rockcore.rocks import RockReport, RockRule
from rockcore.rocks.examined import Examined
from rockcore.scale import partial, sums
from rockcore.scale.engines import Processes, Ray, here
from rockcore.scale.errors import NotScanned
from rockcore.scale.merged import report
from rockcore.scale.partials import there
from rockcore.scale.plan import Plan, plan
from rockcore.scale.scan import Engine, Task, do, scan

RULE = RockRule()


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scan") / "log"
    write(path, Planted(20_000, 400, rocks=20, learned=10, tokens_per_rollout=150, seed=1))
    return path


@pytest.fixture(scope="module")
def whole(log: Path) -> RockReport:
    found = Examined(Run.open(log), RULE).report
    assert len(found.ids) > 5  # else nothing is compared
    return found


def scanned(planned: Plan, out: Path, engine: Engine = here) -> RockReport:
    log = planned.log.partition("://")[2] or planned.log
    path = Path(log) if Path(log).exists() else out
    return report(Run.open(path), scan(planned, out, engine), "")


def same(found: RockReport, whole: RockReport) -> None:
    assert found.ids == whole.ids and found.rule == whole.rule
    tokens = whole.tokens.drop(columns="precision")
    pd.testing.assert_frame_equal(found.tokens.drop(columns="precision"), tokens, check_exact=True)
    pd.testing.assert_frame_equal(found.curves, whole.curves, check_exact=True)
    pd.testing.assert_frame_equal(found.rollouts, whole.rollouts, check_exact=True)
    assert found.control == whole.control
    assert found.occurrences == whole.occurrences and found.density == whole.density
    assert (found.chosen_by, found.notes, found.why_empty) == (
        whole.chosen_by,
        whole.notes,
        whole.why_empty,
    )


def test_processes_find_what_the_whole_log_holds(log: Path, whole: RockReport, tmp_path: Path):
    planned = plan(str(log), RULE, 7_000)
    assert len(planned.shards) == 3 and planned.buckets > 1
    with closing(Processes(2)) as pool:
        same(scanned(planned, tmp_path, pool), whole)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Ray]:
    pytest.importorskip("ray")
    folder = f"/tmp/ray-{os.getpid()}"
    options = {
        "num_cpus": 2,
        "include_dashboard": False,
        "object_store_memory": 80 * 2**20,
        "_temp_dir": folder,
    }
    with closing(Ray("local", options)) as ray:
        yield ray
    shutil.rmtree(folder, ignore_errors=True)


def test_a_real_ray_finds_what_the_whole_log_holds(
    log: Path, whole: RockReport, tmp_path: Path, cluster: Ray
):
    same(scanned(plan(str(log), RULE, 11_000), tmp_path, cluster), whole)


def test_a_worker_of_ray_that_is_killed_changes_nothing(
    log: Path, whole: RockReport, tmp_path: Path, cluster: Ray
):
    killed: list[int] = []

    def killing(tasks: Sequence[Task]) -> Iterator[str]:
        for path in cluster(tasks):
            for pid in () if killed else at_work():
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
            yield path

    same(scanned(plan(str(log), RULE, 3_000), tmp_path, killing), whole)
    assert killed


def at_work() -> list[int]:
    """The processes of this machine's Ray clusters that are in a task of a scan."""
    found = []
    for words in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if words.read_bytes().startswith(b"ray::do"):
                found.append(int(words.parent.name))
    return [pid for pid in found if descends(pid)]


def descends(pid: int) -> bool:
    """Whether a process is of the cluster that this one has started."""
    while pid > 1:
        if pid == os.getpid():
            return True
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return False
    return False


def test_a_worker_that_is_killed_changes_nothing(log: Path, whole: RockReport, tmp_path: Path):
    killed: list[int] = []
    pool = Processes(2)

    def killing(tasks: Sequence[Task]) -> Iterator[str]:
        for path in pool(tasks):
            if not killed:
                killed.append(pool.pids[0])
                os.kill(killed[0], signal.SIGKILL)
            yield path

    with closing(pool):
        same(scanned(plan(str(log), RULE, 4_000), tmp_path, killing), whole)
    assert killed  # what it left half-written is nobody's partial: it has no such name


def test_workers_end_with_a_scan_that_is_killed(log: Path, tmp_path: Path):
    killed = halted_scan(log, tmp_path / "out")
    workers = [os.pidfd_open(int(pid)) for pid in children(killed.pid)]
    killed.kill()
    killed.communicate(timeout=PATIENCE_S)
    assert workers
    for worker in workers:
        assert select.select([worker], [], [], PATIENCE_S)[0]  # readable when the process has ended
        os.close(worker)


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.mark.parametrize("rows", [20_000, 1_500])
def test_neither_the_size_of_shards_nor_their_order_changes_a_bit(
    log: Path, whole: RockReport, tmp_path: Path, rows: int
):
    order = np.random.default_rng(rows)

    def shuffled(tasks: Sequence[Task]) -> Iterator[str]:
        return map(do, [tasks[i] for i in order.permutation(len(tasks))])

    same(scanned(plan(str(log), RULE, rows), tmp_path, shuffled), whole)


@pytest.mark.parametrize(
    "rule",
    [
        "lenient",
        "authors",
        'default;score="mean_kl_eb"',
        'default;score="joint"',
        "default;tau_quantile=1",
        "default;tau_pre=0.4;tau_post=0.3;min_rollouts=0",
        "default;tau_pre=90;tau_post=90",
    ],
)
def test_other_rules_are_answered_as_on_the_whole_log(log: Path, tmp_path: Path, rule: str):
    asked = RockRule.from_short(rule)
    found = scanned(plan(str(log), asked, 9_000), tmp_path)
    same(found, Examined(Run.open(log), asked).report)


def test_a_partial_written_twice_is_the_same(log: Path, tmp_path: Path):
    planned = plan(str(log), RULE, 9_000)
    file = Path(sums.make(planned, 0, tmp_path))
    first = file.read_bytes()
    file.unlink()
    assert sums.make(planned, 0, tmp_path) == str(file)
    assert file.read_bytes() == first


def test_what_is_there_is_not_made_again_and_a_changed_file_is(
    log: Path, whole: RockReport, tmp_path: Path
):
    copy = shutil.copytree(log, tmp_path / "log")
    out = tmp_path / "out"
    scanned(plan(str(copy), RULE, 9_000), out)
    before = {file: file.stat().st_mtime_ns for file in out.glob("*/*.parquet")}
    same(scanned(plan(str(copy), RULE, 9_000), out), whole)
    assert {file: file.stat().st_mtime_ns for file in out.glob("*/*.parquet")} == before
    os.utime(copy / "probe" / "final" / "step=000050.parquet", (1, 1))
    same(scanned(plan(str(copy), RULE, 9_000), out), whole)
    assert len(list(out.glob("*/*.parquet"))) == 2 * len(before)


def test_what_is_there_of_a_running_scan_is_that_part_of_the_log(log: Path, tmp_path: Path):
    planned, out = plan(str(log), RULE, 7_000), tmp_path / "partials"
    with pytest.raises(NotScanned, match="0 of 3"):
        there(planned, tmp_path)
    for index in (0, 1):
        sums.make(planned, index, out)
    part = there(planned, tmp_path)
    assert (len(part.shards), part.of) == (2, 3)
    rows = sum(partial.said_by(sums.paths(planned, s, out)[0])["rows"] for s in part.shards)
    assert scanned(part, out).occurrences["scored"] == rows < 20_000


def test_a_log_elsewhere_is_read_through_fsspec(log: Path, whole: RockReport, tmp_path: Path):
    store = fsspec.filesystem("memory")
    store.put(str(log), "/scan/log", recursive=True)
    try:
        found = scan(plan("memory://scan/log", RULE, 9_000), tmp_path / "a", here)
        same(report(Run.open(log), found, ""), whole)
    finally:
        store.rm("/scan", recursive=True)
    same(scanned(plan(f"file://{log}", RULE, 9_000), tmp_path / "b"), whole)


def test_texts_that_differ_before_and_after_are_bounded_as_on_the_whole_log(
    tiny_run, tmp_path: Path
):
    run, rule = tiny_run(), RockRule(mode="bounds", tau_quantile=0.5, min_jaccard=0.0)
    planned = plan(str(run), rule, 40)
    assert planned.mode == "bounds" and len(planned.shards) > len(planned.steps)
    same(scanned(planned, tmp_path), Examined(Run.open(run), rule).report)


@pytest.mark.parametrize("more", ["", ";gamma=0.25;eta=0;min_support=1", ';score="joint"'])
def test_contexts_are_matched_across_checkpoints_as_on_the_whole_log(tmp_path: Path, more: str):
    run = sample_runs() / "habit"
    rule = RockRule.from_short(f'default;mode="matched";tau_quantile=0.8;min_jaccard=0.1{more}')
    whole = Examined(Run.open(run), rule).report
    assert whole.occurrences["persistent"] and whole.ids
    planned = plan(str(run), rule, 1_000)
    assert len(planned.shards) > 6 and planned.buckets > 1
    same(scanned(planned, tmp_path), whole)


def test_one_checkpoint_is_ranked_as_on_the_whole_log(tiny_run, tmp_path: Path):
    run, rule = tiny_run(), RockRule(score="rock_score", min_jaccard=0.0)
    shutil.rmtree(run / "probe", ignore_errors=True)
    for file in sorted((run / "tokens").glob("*.parquet"))[1:]:
        file.unlink()
    planned = plan(str(run), rule, 20)
    assert planned.mode == "single"
    same(scanned(planned, tmp_path), Examined(Run.open(run), rule).report)


def test_a_control_of_windows_is_not_drawn_and_said_so(log: Path, tmp_path: Path):
    found = scanned(plan(str(log), RULE.changed(controls="windows")), tmp_path)
    assert found.ids and found.control["n"] == 0 and "Not drawn" in found.control["how"]
