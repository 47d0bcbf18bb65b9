"""`rockcore arms` and `rockcore compare-arms` with real, tiny trainings: interrupted, killed, and
gone on with; compared; and what is refused before anything is trained.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from patience import PATIENCE_S, wait_until
from small_arms import write_small_arms

from rockcore.cli import main
from rockcore.commands import arm_plan
from rockcore.commands.arm_runs import Job, run_jobs
from rockcore.commands.arms import Arms
from rockcore.config import SessionConfig
from rockcore.log import Run
from rockcore.log.arms import ArmsFolder, Cell, Plan
from rockcore.log.files import table_files
from rockcore.log.folders import find_runs
from rockcore.log.holders import holder_of
from rockcore.log.lock import locked
from rockcore.rocks import RockSet
from rockcore.rocks.rule import RockRule

SIZES = [
    *("--steps=4", "--rollouts=4", "--probes=4", "--final-probes=2", "--held-out=8"),
    *("--probe-every=2", "--threads=1", "--max-new-tokens=60"),
]
ARMS = "--arms=baseline,rock-freeze"


def write_set(file: Path, ids: tuple[int, ...], run: Run) -> Path:
    """A set of the tokenizer of a run."""
    rocks = RockSet(ids, RockRule(top_k=len(ids)), run.meta.tokenizer_hash, "f" * 16, {})
    file.write_text(rocks.to_json())
    return file


@pytest.fixture(scope="module")
def bundled() -> Run:
    from rockcore.log import sample_runs

    return Run.open(sample_runs() / "habit")


def common_ids(run: Run) -> tuple[int, ...]:
    """Types that occur in any few rollouts."""
    return tuple(run.types(0).sort_values("n").token_id.tail(5).tolist())


def begin(command: list[str]) -> subprocess.Popen[bytes]:
    """The command in a process group of its own, as a terminal would have it."""
    return subprocess.Popen(
        [sys.executable, "-m", "rockcore", *command],
        start_new_session=True,
        # a shell that runs the tests in the background has its children ignore Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def steps_of(run: Path) -> int:
    return len(table_files(run, "metrics"))


def stamps(run: Path) -> dict[str, int]:
    return {str(f): f.stat().st_mtime_ns for f in run.rglob("*.parquet")}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, bundled) -> ArmsFolder:
    """Two arms and two seeds; interrupted in the first run, killed in the second, then gone on
    with.
    """
    place = tmp_path_factory.mktemp("arms") / "two"
    rocks = write_set(place.parent / "set.json", common_ids(bundled), bundled)
    command = ["arms", f"--out={place}", ARMS, "--seeds=2", f"--rocks={rocks}", *SIZES]
    first, second = place / "runs" / "baseline-1", place / "runs" / "rock-freeze-1"

    child = begin(command)
    wait_until(lambda: steps_of(first) > 0, child)
    os.kill(child.pid, signal.SIGINT)
    said = child.communicate(timeout=PATIENCE_S)[0].decode()
    assert child.returncode == 130 and "Traceback" not in said, said
    if Run.open(first).meta.status != "finished":  # it was at its last step
        assert Run.open(first).meta.status == "stopped"

    child = begin(command)
    wait_until(lambda: steps_of(second) > 1, child)
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate(timeout=PATIENCE_S)
    assert Run.open(first).meta.status == "finished"
    before = stamps(first)

    main(["arms", f"--out={place}"])  # all else stands in the plan
    assert stamps(first) == before  # a finished run is kept
    return ArmsFolder.open(place)


def test_an_interrupted_and_killed_comparison_is_finished_by_the_same_command(trained):
    assert trained.missing() == []
    runs = {cell: Run.open(trained.run(cell)) for cell in trained.plan.cells}
    assert {(c.arm, c.seed) for c in runs} == {
        (arm, seed) for arm in ("baseline", "rock-freeze") for seed in (1, 2)
    }
    for cell, run in runs.items():
        assert run.meta.config["arm"] == cell.arm and run.meta.seed == cell.seed
        assert run.steps("metrics") == list(range(5))


def test_the_arms_of_a_seed_share_prompts_texts_and_problems(trained):
    for seed in trained.plan.seeds:
        base, frozen = (
            Run.open(trained.run(Cell(arm, seed))) for arm in ("baseline", "rock-freeze")
        )
        assert base.rollouts(2).prompt.tolist() == frozen.rollouts(2).prompt.tolist()
        assert base.probe_ids("first") == frozen.probe_ids("first")
        differ = {n for n, v in base.meta.config.items() if frozen.meta.config.get(n) != v}
        assert differ <= {"arm", "rocks", "window"}
        assert base.meta.normaliser == frozen.meta.normaliser == "tokens"
    seeds = [Run.open(trained.run(Cell("baseline", seed))) for seed in trained.plan.seeds]
    assert seeds[0].rollouts(2).prompt.tolist() != seeds[1].rollouts(2).prompt.tolist()


def test_the_frozen_tokens_of_the_set_were_left_out(trained):
    ids = RockSet.from_json(trained.rocks.read_bytes()).ids
    tokens = pq.read_table(trained.run(Cell("rock-freeze", 1)) / "tokens" / "step=000003.parquet")
    frame = tokens.to_pandas()
    assert (frame.weight == 0).sum() == frame.token_id.isin(ids).sum() > 0


def test_the_runs_of_a_comparison_are_found_where_it_lies(trained):
    names = {path.name for path in find_runs([trained.path])}
    assert names == {cell.name for cell in trained.plan.cells}


def test_few_steps_log_their_tokens_unless_asked_to():
    assert arm_plan._planned(Arms(steps=150), None).settings["log_every"] == 50
    assert arm_plan._planned(Arms(steps=150, log_every=7), None).settings["log_every"] == 7
    assert arm_plan._planned(Arms(steps=2), None).settings["log_every"] == 1


def test_compare_arms_prints_and_stores_what_it_finds(trained, capsys):
    main(["compare-arms", str(trained.path)])
    shown = " ".join(capsys.readouterr().out.split())
    for part in ("rock-freeze", "sampled accuracy", "Amdahl", "arXiv 2605.09253", "Holm"):
        assert part in shown
    place = trained.path / "comparison"
    size = sum(file.stat().st_size for file in place.iterdir())
    assert 0 < size < 100_000
    main(["compare-arms", str(trained.path), "--json"])
    found = json.loads(capsys.readouterr().out)
    costs = {row["arm"]: row for row in found["costs"]}
    frozen = [Run.open(trained.run(Cell("rock-freeze", s))).metrics() for s in (1, 2)]
    trained_on = sum(m.trained[m.update_norm.notna()].sum() for m in frozen) / 2
    assert costs["rock-freeze"]["trained"] == trained_on < costs["rock-freeze"]["tokens"]
    assert {row["measure"] for row in found["tests"]} == {"greedy", "sampled", "text_kl"}


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--arms=baseline,dynamic"], "--arms baseline,dynamic"),
        (["--seeds=3"], "--seeds 3"),
        (["--steps=8"], "--steps 8"),
        (["--scenario=skill"], "--scenario skill"),
        (["--normaliser=weights"], "--normaliser weights"),
        (["--lambda=0.3"], "--lambda 0.3"),
        (["--window"], "--window True"),
    ],
)
def test_a_changed_plan_is_refused(trained, capsys, flags, says):
    with pytest.raises(SystemExit) as ended:
        main(["arms", f"--out={trained.path}", *flags])
    said = capsys.readouterr().err
    assert ended.value.code == 1 and says in said and "PlanChanged" in said
    assert "begin another comparison" in said


def test_another_set_is_refused(trained, bundled, tmp_path, capsys):
    other = write_set(tmp_path / "other.json", (1, 2), bundled)
    with pytest.raises(SystemExit):
        main(["arms", f"--out={trained.path}", f"--rocks={other}"])
    assert "another set" in capsys.readouterr().err


def test_two_processes_do_not_train_one_comparison(trained, capsys):
    with locked(trained.path, "arms"), pytest.raises(SystemExit):
        main(["arms", f"--out={trained.path}"])
    said = " ".join(capsys.readouterr().err.split())
    assert f"in use: process {os.getpid()} on " in said and "trains its runs" in said


def test_a_second_sigterm_ends_the_trainings_too_and_each_says_so(tmp_path, bundled):
    """Sent to the one process alone, as a scheduler does."""
    place = tmp_path / "two"
    rocks = write_set(tmp_path / "set.json", common_ids(bundled), bundled)
    sizes = [s for s in SIZES if "steps" not in s]
    command = ["arms", f"--out={place}", ARMS, "--seeds=1", f"--rocks={rocks}", *sizes]
    child = begin([*command, "--steps=5000", "--processes=2"])
    runs = [place / "runs" / name for name in ("baseline-1", "rock-freeze-1")]
    wait_until(lambda: all(steps_of(run) > 1 for run in runs), child)
    assert child.stdout is not None
    os.kill(child.pid, signal.SIGTERM)
    while b"once more" not in child.stdout.readline():
        pass
    os.kill(child.pid, signal.SIGTERM)
    said = child.communicate(timeout=PATIENCE_S)[0].decode()
    assert child.returncode == 130 and "Traceback" not in said, said
    for run in runs:
        meta = Run.open(run).meta
        assert meta.status == "stopped" and (meta.reason.startswith(("interrupted", "stopped by")))
        assert holder_of(run) is None
    assert holder_of(place) is None


def test_a_scouting_run_without_a_set_is_told_before_any_arm_is_trained(tmp_path, bundled, capsys):
    """Four texts are too few for a set; a given one is then taken, and nothing else changed."""
    place = tmp_path / "scouted"
    command = ["arms", f"--out={place}", ARMS, "--seeds=1", *SIZES]
    with pytest.raises(SystemExit) as ended:
        main(command)
    said = " ".join(capsys.readouterr().err.split())
    assert ended.value.code == 1 and "NoRockSet" in said
    assert "rockcore rocks" in said and f"rockcore arms --out {place} --rocks" in said
    assert not (place / "runs").exists() and Run.open(place / "scout").meta.seed == 0
    rocks = write_set(tmp_path / "set.json", common_ids(bundled), bundled)
    folder = arm_plan.opened(Arms(out=place, rocks=rocks))
    assert folder.plan.rocks and folder.rocks.exists() and len(folder.missing()) == 2
    assert ArmsFolder.open(place).plan == folder.plan


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--arms=rock-freeze,dynamic"], "all are compared with baseline"),
        (["--arms=baseline,frozen"], "no arm 'frozen'"),
        (["--arms=baseline,baseline"], "each is named once"),
        (["--seeds=0"], "--seeds 0"),
        (["--processes=0"], "--processes 0"),
        (["--arms=baseline,dynamic", "--lambda=0.5"], "None of them looks at it"),
        (["--arms=baseline,soft", "--lambda=2"], "--lambda 2"),
        (["--steps=0"], "steps = 0"),
        (["--rocks=none.json"], "none.json cannot be read"),
        (["--student=x"], "--student without --prompts"),
        (["--arms=baseline,dynamic", "--max-new-tokens=600"], "has room for 512"),
        (["--arms=baseline,dynamic", "--device=gpu"], "cannot use the device 'gpu'"),
        (
            ["--arms=baseline,dynamic", "--prompts=no.jsonl", "--student=a", "--teacher=b"],
            "no.jsonl does not exist",
        ),
    ],
)
def test_what_cannot_work_is_told_before_anything_is_written(
    tmp_path, monkeypatch, capsys, flags, says
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["arms", "--out=new", *flags])
    said = " ".join(capsys.readouterr().err.split())
    assert ended.value.code == 1 and says in said
    assert list(tmp_path.iterdir()) == []


def test_a_set_of_another_tokenizer_is_refused_before_anything_is_written(
    tmp_path, bundled, capsys
):
    rocks = write_set(tmp_path / "set.json", (1, 2), bundled)
    other = json.loads(rocks.read_text()) | {"tokenizer_hash": "0" * 16}
    rocks.write_text(json.dumps(other))
    with pytest.raises(SystemExit):
        main(["arms", f"--out={tmp_path / 'new'}", f"--rocks={rocks}"])
    assert "tokenizer" in capsys.readouterr().err and not (tmp_path / "new").exists()


def test_windows_of_a_set_without_a_threshold_are_refused_before_anything_is_written(
    tmp_path, bundled, capsys
):
    rocks = write_set(tmp_path / "set.json", (5,), bundled)
    arms = ["--arms=baseline,rock-freeze", "--window"]
    with pytest.raises(SystemExit):
        main(["arms", f"--out={tmp_path / 'new'}", f"--rocks={rocks}", *arms])
    said = " ".join(capsys.readouterr().err.split())
    assert "set.json, whose rule has no tau_post" in said and not (tmp_path / "new").exists()


def test_a_folder_with_other_files_is_refused(tiny_run, capsys):
    with pytest.raises(SystemExit):
        main(["arms", f"--out={tiny_run()}"])
    assert "holds files and no arms.json" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["", "--json"])
def test_comparing_what_is_no_comparison_says_how_to_make_one(tiny_run, capsys, flag):
    with pytest.raises(SystemExit) as ended:
        main(["compare-arms", str(tiny_run()), *filter(None, [flag])])
    assert ended.value.code == 1 and "rockcore arms --arms" in capsys.readouterr().err


def test_hostile_tokens_are_printed_as_text(tmp_path, capsys):
    folder = write_small_arms(tmp_path / "[red]a", seeds=1)
    main(["compare-arms", str(folder.path)])
    assert "[red]a" in capsys.readouterr().out


def test_a_narrow_terminal_shows_every_number_and_json_every_digit(tmp_path, capsys, monkeypatch):
    from rockcore.analysis.arms import compare
    from rockcore.commands.console import out

    folder = write_small_arms(tmp_path / "small", seeds=2)
    tests = compare(folder).tests
    monkeypatch.setattr(out, "_width", 80)
    main(["compare-arms", str(folder.path)])
    shown = capsys.readouterr().out
    assert "…" not in shown
    assert all(f"{row.p:.2g}" in shown and f"{row.dof:.1f}" in shown for row in tests.itertuples())
    main(["compare-arms", str(folder.path), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [row["p"] for row in found["tests"]] == tests.p.tolist()
    assert all(row["projection_s"] is None for row in found["costs"])


def test_a_run_that_fails_is_told_with_the_end_of_its_output(tmp_path):
    from rockcore.commands.arm_runs import ArmFailed

    job = Job("broken", tmp_path / "runs" / "broken", ("--steps=0",))
    failed = pytest.raises(ArmFailed, match="exit code 1.*steps = 0")
    with locked(tmp_path, "arms") as lock, failed:
        run_jobs(lock, [job], 1, 1)


def test_each_run_gets_the_settings_that_its_arm_looks_at_and_the_others_do_not(tmp_path):
    """And the flags of the command line give the configuration back."""
    import tyro

    command = Arms(
        arms="baseline,soft,random-freeze,top-entropy",
        lambda_=0.0,
        share=0.4,
        match_kl=True,
        steps=7,
        held_out=0,
        normaliser="weights",
    )
    plan = arm_plan._planned(command, None)
    assert plan.seeds == (1, 2, 3, 4, 5) and plan.scout_seed == 0
    folder = ArmsFolder(tmp_path, plan)
    expected = {
        "baseline": {},
        "soft": {"lambda_": 0.0},
        "random-freeze": {"match_kl": True},
        "top-entropy": {"share": 0.4},
    }
    for arm, own in expected.items():
        config = arm_plan.config_of(folder, Cell(arm, 3))
        config.refuse_unused()
        flags = arm_plan.flags(config, {"threads": 1})
        read = tyro.cli(SessionConfig, args=list(flags), config=(tyro.conf.FlagCreatePairsOff,))
        for name in ("lambda_", "share", "match_kl", "gamma"):
            assert getattr(read, name) == own.get(
                name, SessionConfig.__dataclass_fields__[name].default
            )
        assert (read.arm, read.seed, read.steps, read.normaliser) == (arm, 3, 7, "weights")
        assert read.held_out == 0
        assert (read.rocks is not None) == (arm in ("soft", "random-freeze"))


def test_an_own_pair_is_planned_without_a_scenario(tmp_path):
    prompts = tmp_path / "p.jsonl"
    prompts.write_text('{"prompt": "1+1?", "answer": "2"}\n')
    command = Arms(student="a", teacher="b", prompts=prompts, arms="baseline,dynamic")
    plan = arm_plan._planned(command, None)
    assert "scenario" not in plan.settings and plan.settings["prompts"] == str(prompts.resolve())
    config = arm_plan.config_of(ArmsFolder(tmp_path, plan), Cell("dynamic", 1))
    config.refuse_unused()
    assert config.resolved().prompts == prompts.resolve()


def test_a_plan_comes_back_from_json_as_it_was(tmp_path):
    plan = Plan(("baseline", "soft"), (1, 2), 0, "", {"steps": 3, "prompts": None})
    assert Plan.from_json(plan.to_json(), tmp_path) == plan
