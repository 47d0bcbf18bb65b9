"""Real sessions of the built-in pair, kept short: what they log, and how they end."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import small_pairs
import torch
from patience import PATIENCE_S, wait_until
from safetensors.torch import load_file

from rockcore import cli
from rockcore.analysis.correlations import second_moments
from rockcore.analysis.geometry import Geometry
from rockcore.analysis.shares import given_up
from rockcore.config import BadConfig, SessionConfig
from rockcore.log import Run, RunWriter, request_stop
from rockcore.log.writer import RunExists
from rockcore.schema import DamagedRun, Prompt
from rockcore.tasks import Tasks
from rockcore.training import probes, updates
from rockcore.training.checkpoints import Checkpoints
from rockcore.training.columns import NonFiniteLoss
from rockcore.training.loading import ModelNotFound, NoDevice, load
from rockcore.training.resume import stored_config
from rockcore.training.session import Session, train

SHORT = {
    "steps": 6,
    "rollouts": 6,
    "probes": 4,
    "final_probes": 6,
    "held_out": 8,
    "probe_every": 2,
    "threads": 1,
}
FLOATS = {"lr", "temperature", "lambda_", "share", "gamma"}
TIMES = {"sample_s", "teacher_s", "student_s", "projection_s", "update_s", "log_s"}


def config(out: Path, **changes) -> SessionConfig:
    return SessionConfig(**{"out": out, **SHORT, **changes})


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "run"
    train(config(out))
    return out


def logged(path: Path) -> dict[str, list]:
    """Everything in the Parquet files of a run but the clock."""
    files = sorted(path.rglob("*.parquet"))
    tables = {str(f.relative_to(path)): pq.read_table(f) for f in files}
    return {
        name: t.drop_columns([c for c in t.column_names if c in TIMES]).to_pylist()
        for name, t in tables.items()
    }


def test_a_session_logs_every_step_and_closes_with_both_probe_sets(trained):
    run = Run.open(trained)
    assert (
        run.meta.status == "finished"
        and run.meta.estimator == "full"
        and run.meta.normaliser == "tokens"
    )
    assert (
        run.steps("metrics")
        == run.steps("tokens")
        == run.steps("types")
        == run.steps("rollouts")
        == list(range(7))
    )
    assert (
        run.steps("evals") == run.steps("probe/first") == run.steps("probe/final") == [0, 2, 4, 6]
    )
    assert set(run.evals().n) == {8}
    metrics = run.metrics()
    assert metrics.update_norm.isna().tolist() == [False] * 6 + [True]
    assert (metrics[sorted(TIMES - {"update_s", "log_s"})] > 0).all().all()


def test_the_logged_values_are_those_of_the_models_at_that_step(trained):
    """Recomputed from the saved checkpoint by transformers alone, with no code of the session."""
    run = Run.open(trained)
    student = load(str(trained / "checkpoints" / "step=000006"), "cpu", "float32")
    teacher = load(
        str(Path(__file__).parents[2] / "sample_runs" / "models" / "teacher"), "cpu", "float32"
    )
    for probe_set, rollout in (("first", 0), ("final", 3), ("final", 5)):
        text = run.rollouts(probe_set=probe_set).iloc[rollout]
        trace = run.trace(6, rollout, probe_set)
        ids = torch.tensor(trace.token_id.to_numpy())
        logs = []
        for model, prompt in ((student, text.prompt), (teacher, text.teacher_prompt)):
            before = torch.tensor(model.encode(prompt))
            logits = model.net(torch.cat((before, ids))[None]).logits[0, len(before) - 1 : -1]
            logs.append(logits.log_softmax(-1).detach())
        p, q = logs
        np.testing.assert_allclose(trace.kl, (p.exp() * (p - q)).sum(-1), atol=1e-5, rtol=1e-4)
        np.testing.assert_allclose(
            trace.sampled_loss, (p - q).gather(1, ids[:, None].long())[:, 0], atol=1e-5, rtol=1e-4
        )
        if rollout < 4:
            assert trace.student_top_ids.iloc[0].tolist() == p[0].topk(8).indices.tolist()


ALTERNATIVES = ["student_top_ids", "student_top_logps", "teacher_top_ids", "teacher_top_logps"]


def test_of_the_fixed_texts_only_as_many_of_either_set_as_there_are_first_ones_carry_alternatives(
    trained,
):
    run = Run.open(trained)
    first, final = (run.rollouts(probe_set=probe_set) for probe_set in ("first", "final"))
    assert len(first) == 4 and len(final) == 6 and final.prompt.nunique() == 6
    assert first.prompt.tolist() == final.prompt.tolist()[:4]
    for probe_set, texts in (("first", first), ("final", final)):
        for step in (0, 6):
            for i in texts.rollout_id:
                trace = run.trace(step, i, probe_set)
                assert trace[ALTERNATIVES].isna().to_numpy().sum() == (
                    0 if i < 4 else trace[ALTERNATIVES].size
                )
                assert np.isfinite(trace.kl).all()


@pytest.mark.parametrize(("probes", "final_probes", "first", "final"), [(2, 0, 2, 0), (0, 3, 0, 3)])
def test_either_set_of_fixed_texts_can_be_left_out_and_the_run_goes_on_without_it(
    tmp_path, probes, final_probes, first, final
):
    out = tmp_path / "r"
    train(config(out, steps=2, held_out=0, probes=probes, final_probes=final_probes))
    train(SessionConfig(out=out, resume=True, steps=3))
    run = Run.open(out)
    assert run.meta.status == "finished" and run.steps("metrics") == [0, 1, 2, 3]
    for probe_set, n in (("first", first), ("final", final)):
        assert len(run.rollouts(probe_set=probe_set)) == len(run.probe_ids(probe_set)) == n
        assert run.steps(f"probe/{probe_set}") == ([0, 2, 3] if n else [])
    if final:
        assert run.trace(3, 0, "final")[ALTERNATIVES].isna().all(axis=None)


def test_the_final_student_writes_128_texts_or_as_many_as_the_first_or_none_where_none_are_wanted(
    trained, tmp_path
):
    assert [SessionConfig(probes=n).resolved().final_probes for n in (48, 200, 0)] == [128, 200, 0]
    assert SessionConfig(probes=0, final_probes=8).resolved().final_probes == 8
    shutil.copytree(trained, tmp_path / "older")
    meta = json.loads((tmp_path / "older" / "run.json").read_text())
    del meta["config"]["final_probes"]
    (tmp_path / "older" / "run.json").write_text(json.dumps(meta))
    assert (
        stored_config(SessionConfig(out=tmp_path / "older", resume=True, steps=8)).final_probes
        == 128
    )


MORE = {"steps": 4, "held_out": 0, "gradient_texts": 9}


@pytest.fixture(scope="module")
def summed(tmp_path_factory) -> Path:
    """A run that sums gradients over more texts than it logs."""
    out = tmp_path_factory.mktemp("summed") / "run"
    train(config(out, **MORE))
    return out


def test_gradients_are_summed_over_more_texts_than_are_logged(summed, tmp_path):
    train(config(tmp_path / "fewer", **{**MORE, "gradient_texts": 0}))
    run, fewer = Run.open(summed), Run.open(tmp_path / "fewer")
    sums = {}
    for probe_set, n in (("first", 4), ("final", 6)):
        assert len(run.rollouts(probe_set=probe_set)) == n == len(run.probe_ids(probe_set))
        assert run.probe_ids(probe_set) == fewer.probe_ids(probe_set)
        for step in run.steps(f"gradients/{probe_set}"):
            more, own = (r.gradients(probe_set, step).frame for r in (run, fewer))
            assert set(more.texts) == {9} and set(own.texts) == {n}
            tokens = sum(map(len, run.probe_ids(probe_set)))
            assert own.n.sum() == tokens < more.n.sum()
            assert Geometry.of(run, probe_set, step).texts == 9
            sums[probe_set, step] = more.n.sum()
        assert len({n for (s, _), n in sums.items() if s == probe_set}) == 1
    further = sum(map(len, run.summed_ids()))
    assert len(run.summed_ids()) == 5
    assert further + sum(map(len, run.probe_ids("first"))) == sums["first", 0]
    plain = logged(tmp_path / "fewer")
    for name, rows in logged(summed).items():
        if not name.startswith(("gradients", "probe")):
            assert rows == plain[name], name


def test_a_resumed_run_sums_over_the_very_texts_of_one_that_never_stopped(summed, tmp_path):
    out = tmp_path / "r"
    train(config(out, **MORE), stop_after(1, out))
    train(SessionConfig(out=out, resume=True))
    assert logged(out) == logged(summed)


def test_a_resumed_run_without_the_further_texts_of_its_first_student_is_refused(tmp_path):
    out = tmp_path / "r"
    train(config(out, **MORE), stop_after(1, out))
    (out / "gradients" / "first" / "texts.parquet").unlink()
    before = sorted(out.rglob("*.parquet"))
    with pytest.raises(DamagedRun, match="0 of 5 further texts of the first student"):
        train(SessionConfig(out=out, resume=True))
    assert sorted(out.rglob("*.parquet")) == before


def test_texts_whose_gradients_nobody_sums_are_refused(tmp_path):
    with pytest.raises(BadConfig, match="--gradient-texts 9 with --gradients off"):
        SessionConfig(out=tmp_path / "r", gradients="off", gradient_texts=9).refuse_unused()


def test_fixed_texts_that_are_not_sampled_together_have_random_draws_of_their_own(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(probes, "_AT_ONCE", 2)
    prompts = tmp_path / "p.jsonl"
    prompts.write_text('{"prompt": "What is 7 and 5?"}\n' * 4)
    pair = {
        role: small_pairs.save(tmp_path / role, "qwen2", seed)
        for seed, role in enumerate(("student", "teacher"))
    }
    train(
        SessionConfig(
            out=tmp_path / "r",
            prompts=prompts,
            **pair,
            steps=1,
            rollouts=1,
            held_out=0,
            max_new_tokens=16,
        )
    )
    ids = Run.open(tmp_path / "r").probe_ids("final")
    assert len(ids) == len(set(map(tuple, ids))) == 4


def test_metrics_types_and_occurrences_of_a_step_agree(trained):
    run = Run.open(trained)
    kl = pq.read_table(trained / "tokens" / "step=000004.parquet")["kl"].to_numpy()
    row = run.metrics().set_index("step").loc[4]
    assert row.tokens == len(kl) == run.types(4).n.sum()
    assert row.kl_mean == pytest.approx(kl.mean(dtype=np.float64)) and row.kl_mean * len(
        kl
    ) == pytest.approx(run.types(4).kl_sum.sum())


def test_the_same_seed_gives_the_same_log_to_the_bit_and_another_seed_another(trained, tmp_path):
    train(config(tmp_path / "again"))
    assert logged(tmp_path / "again") == logged(trained)
    train(config(tmp_path / "other", seed=1, steps=1))
    assert (
        logged(tmp_path / "other")["tokens/step=000000.parquet"]
        != logged(trained)["tokens/step=000000.parquet"]
    )


def test_logging_gradients_changes_nothing_of_the_training_and_leaves_what_it_promises(
    trained, tmp_path
):
    said: list[str] = []
    for how in ("off", "full"):
        train(config(tmp_path / how, gradients=how, exact_positions=5), say=said.append)
    mine = {"gradients", "optimizer"}
    plain = {name: rows for name, rows in logged(trained).items() if name.split("/")[0] not in mine}
    assert logged(tmp_path / "off") == plain
    full = logged(tmp_path / "full")
    exact = full.pop("gradients/final/exact.parquet")
    assert full == logged(trained)
    assert len(exact) == 5 and all(
        row["exact_norm"] > row["proj_grad_norm"] * 0.2 > 0 for row in exact
    )
    (price,) = [sentence for sentence in said if "5 positions" in sentence]
    assert " s (" in price
    run = Run.open(trained)
    assert (
        run.steps("gradients/first") == [0, 4, 6]
        and run.steps("gradients/final") == [0, 2, 4, 6]
        and run.steps("optimizer") == [2, 4, 6]
    )
    assert given_up(run, [5]).projection_share > 0 and (second_moments(run).second_moment > 0).all()


def test_the_second_moment_is_that_of_adams_definition(tmp_path):
    """One parameter, updated by hand: v = sum over s of (1 - b) b^(t - s) g_s^2, over 1 - b^t."""
    weight = torch.nn.Parameter(torch.zeros(3, 2))
    optimizer = torch.optim.AdamW([weight], betas=(0.9, 0.98), weight_decay=0.0)
    assert updates.second_moments(0, optimizer, weight) is None
    steps = torch.randn(4, 3, 2)
    for g in steps:
        weight.grad = g.clone()
        optimizer.step()
    want = sum(0.02 * 0.98 ** (3 - s) * g**2 for s, g in enumerate(steps)) / (1 - 0.98**4)
    np.testing.assert_allclose(
        updates.second_moments(4, optimizer, weight)["second_moment"], want.mean(1), rtol=1e-5
    )


def test_a_stopped_run_is_usable_and_resuming_it_gives_the_log_of_one_never_stopped(
    trained, tmp_path
):
    out = tmp_path / "r"

    meta = train(config(out), stop_after(2, out))
    assert meta.status == "stopped" and "step 3 of 6" in meta.reason
    stopped = Run.open(out)
    assert stopped.steps("metrics") == list(range(4)) and stopped.steps("probe/final") == [0, 2, 3]
    assert train(SessionConfig(out=out, resume=True)).status == "finished"
    assert logged(out) == logged(trained)


def stop_after(step: int, out: Path):
    return lambda progress: request_stop(out) if progress.step == step else None


def test_a_run_that_stopped_before_its_second_checkpoint_keeps_its_probe_texts(trained, tmp_path):
    out = tmp_path / "r"
    train(config(out), stop_after(0, out))
    shutil.rmtree(out / "checkpoints" / "step=000001")  # as if it had been killed then
    checkpoint = load(str(trained / "checkpoints" / "step=000000"), "cpu", "float32")
    Checkpoints(out / "checkpoints").save(
        0, checkpoint, torch.optim.AdamW(checkpoint.net.parameters()), every=2
    )
    # and as if a process that went on was killed once it had dropped what it would write again
    RunWriter.reopen(out).drop_from(0)
    train(SessionConfig(out=out, resume=True))
    assert logged(out) == logged(trained)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory) -> Path:
    """A run of seed 1 that was stopped after two of its steps, without anything held out."""
    out = tmp_path_factory.mktemp("stopped") / "run"
    train(config(out, held_out=0, seed=1, steps=5, temperature=0.9), stop_after(2, out))
    return out


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"lr": 0.5}, "--lr 0.5 with --resume, but the run has 0.001"),
        ({"rollouts": 64}, "--rollouts 64 with --resume, but the run has 6"),
        ({"seed": 0}, "--seed 0 with --resume, but the run has 1"),
        ({"temperature": 1.0}, "--temperature 1.0 .* has 0.9"),
        ({"held_out": 256}, "--held-out 256 .* has 0"),
        ({"probes": 48}, "--probes 48 .* has 4"),
        ({"final_probes": 128}, "--final-probes 128 .* has 6"),
        ({"scenario": "skill"}, "--scenario skill .* has habit"),
        ({"gradients": "off"}, "--gradients off .* has sums"),
        ({"log_every": 3}, "--log-every 3 .* has 1"),
        ({"gradient_texts": 7}, "--gradient-texts 7 .* has 0"),
        ({"exact_positions": 7}, "--exact-positions 7 .* has 200"),
        ({"dtype": "bfloat16"}, "--dtype bfloat16 .* has float32"),
        ({"max_new_tokens": 9}, "--max-new-tokens 9 .* has 150"),
        ({"probe_every": 1}, "--probe-every 1 .* has 2"),
        ({"student": "x"}, "--student x .* has no --student"),
        ({"prompts": Path("p.jsonl")}, "--prompts p.jsonl .* has no --prompts"),
        ({"steps": 2}, "has 3 steps already"),
        ({"steps": 0}, "steps = 0"),
        ({"threads": 0}, "threads = 0"),
    ],
)
def test_resuming_with_what_contradicts_the_run_is_refused_and_changes_nothing(
    stopped, flags, says
):
    before = (stopped / "run.json").read_bytes()
    with pytest.raises(BadConfig, match=says):
        train(SessionConfig(out=stopped, resume=True, **flags))
    assert (stopped / "run.json").read_bytes() == before


def test_resuming_with_the_very_settings_of_the_run_or_with_any_one_of_them_is_taken(stopped):
    first = config(stopped, held_out=0, seed=1, steps=5, temperature=0.9, resume=True)
    want = stored_config(SessionConfig(out=stopped, resume=True))
    assert stored_config(first) == want
    stored = Run.open(stopped).meta.config
    assert set(stored) == {f.name for f in fields(SessionConfig)} - {"out", "resume"}
    for name, value in stored.items():
        again = stored_config(SessionConfig(out=stopped, resume=True, **{name: value}))
        assert replace(again, threads=want.threads) == want


def test_the_flags_of_the_first_call_go_on_with_the_run_from_the_command_line(
    tmp_path, monkeypatch
):
    """Models and prompts as relative paths; also absolute, and through a symbolic link."""
    monkeypatch.chdir(tmp_path)
    small_pairs.prompts_file(Path("p.jsonl"), 20)
    for seed, role in enumerate(("s", "t")):
        small_pairs.save(Path(role), "qwen2", seed)
    sizes = "--steps 2 --rollouts 2 --probes 0 --held-out 0 --max-new-tokens 4 --threads 1"
    flags = ["train", "--out", "r", *sizes.split(), "--lr", "1e-4", "--seed", "1"]
    places = ["--student", "s", "--teacher", "./t/", "--prompts", "p.jsonl"]
    monkeypatch.setattr(Session, "run", lambda self, stop, listen: stop_at_once(self, listen))
    cli.main([*flags, *places])
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    Path("link").symlink_to("s")
    kept = stored_config(SessionConfig(out=Path("r"), resume=True))
    for student in ("s", str(tmp_path / "s"), "./link", Path("s")):
        again = SessionConfig(out=Path("r"), resume=True, student=student, prompts=Path("p.jsonl"))
        assert stored_config(again) == kept
    with pytest.raises(BadConfig, match="--student t with"):
        stored_config(SessionConfig(out=Path("r"), resume=True, student="t"))
    with pytest.raises(BadConfig, match=r"--scenario habit .* no --scenario"):
        stored_config(SessionConfig(out=Path("r"), resume=True, scenario="habit"))
    with pytest.raises(SystemExit):
        cli.main([*flags[:-1], "0", *places, "--resume"])
    cli.main([*flags, *places, "--resume"])
    assert Run.open("r").meta.status == "finished" and Run.open("r").meta.seed == 1


def stop_at_once(session: Session, listen) -> int:
    """The first step of a run, as if a stop had been requested before it."""
    return ORIGINAL_RUN(session, lambda: True, listen)


ORIGINAL_RUN = Session.run


def test_models_that_are_named_by_a_hub_name_may_be_named_again(stopped, tmp_path):
    shutil.copytree(stopped, tmp_path / "r")
    file = tmp_path / "r" / "run.json"
    meta = json.loads(file.read_text())
    (tmp_path / "p.jsonl").write_text('{"prompt": "a"}')
    own = {"student": "org/small", "teacher": "org/large", "prompts": str(tmp_path / "p.jsonl")}
    meta["config"] |= own
    file.write_text(json.dumps(meta))
    again = stored_config(SessionConfig(out=tmp_path / "r", resume=True, student="org/small"))
    assert (again.student, again.teacher) == ("org/small", "org/large")
    with pytest.raises(BadConfig, match="org/other"):
        stored_config(SessionConfig(out=tmp_path / "r", resume=True, teacher="org/other"))


def test_a_log_that_was_not_trained_here_cannot_go_on(tiny_run):
    with pytest.raises(BadConfig, match="no settings to go on with"):
        stored_config(SessionConfig(out=tiny_run(config={}), resume=True))


@pytest.mark.parametrize("wrong", [[1], True, "abc", {}, 10**30], ids=lambda v: str(v)[:5])
def test_a_run_whose_settings_cannot_be_settings_is_named_with_the_first_of_them(tiny_run, wrong):
    # these may be any text, or are refused as BadConfig
    words = {"student", "teacher", "prompts", "rocks", "teacher_device", "vllm", "template_args"}
    switches = {"window", "match_kl", "gradient_checkpointing"}
    free = {"out", "resume", "device", "threads"}
    out = tiny_run()
    meta = json.loads((out / "run.json").read_text())
    for name in sorted({f.name for f in fields(SessionConfig)} - free):
        fits = {"abc": words, 10**30: FLOATS, True: switches}
        if isinstance(wrong, (list, dict)) or name not in fits.get(wrong, ()):
            damaged = meta | {"config": {"steps": 3, name: wrong}}
            (out / "run.json").write_text(json.dumps(damaged))
            with pytest.raises(DamagedRun, match=f"config.{name} is "):
                stored_config(SessionConfig(out=out, resume=True))


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("renames", [1, 2])
def test_a_run_killed_between_the_renames_of_a_checkpoint_goes_on_as_if_it_never_was(
    trained, tmp_path, monkeypatch, renames
):
    out = tmp_path / "r"
    train(config(out), stop_after(3, out))
    seen = []

    def replace_or_die(source, target, replace=os.replace):
        if "checkpoints" in str(target):
            if len(seen) == renames:
                raise Killed
            seen.append(target)
        elif len(seen) == renames:
            raise Killed  # nor can a process that is gone write its run.json
        replace(source, target)

    def die(path, **how):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace_or_die)
        patch.setattr(shutil, "rmtree", die)
        with pytest.raises(Killed):  # the checkpoint of step 4, from where it goes on, again
            train(SessionConfig(out=out, resume=True))
    assert list((out / "checkpoints").glob(".step=*.old"))
    (out / "metrics" / ".step=000002.parquet.99.tmp").touch()
    assert Run.open(out).meta.status == "running"
    assert train(SessionConfig(out=out, resume=True)).status == "finished"
    assert logged(out) == logged(trained)
    assert not list(out.rglob(".*"))


def test_resuming_a_finished_run_needs_more_steps(tmp_path):
    train(config(tmp_path / "r", steps=2, held_out=0))
    with pytest.raises(BadConfig, match="2 steps already.*--steps"):
        train(SessionConfig(out=tmp_path / "r", resume=True))
    train(SessionConfig(out=tmp_path / "r", resume=True, steps=3))
    assert Run.open(tmp_path / "r").steps("metrics") == [0, 1, 2, 3]


def start(out: Path, *flags: str) -> subprocess.Popen:
    few = ["--rollouts", "4", "--probes", "2", "--final-probes", "2", "--threads", "1"]
    command = [sys.executable, "-m", "rockcore", "train", "--out", str(out), *few, *flags]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(path: Path, child: subprocess.Popen) -> None:
    wait_until(path.exists, child, lambda: child.communicate(timeout=PATIENCE_S)[0])


def test_ctrl_c_ends_cleanly_with_a_usable_run(tmp_path):
    child = start(tmp_path / "r", "--steps", "5000", "--held-out", "0")
    wait_for(tmp_path / "r" / "metrics" / "step=000002.parquet", child)
    child.send_signal(signal.SIGINT)
    output = child.communicate(timeout=PATIENCE_S)[0]
    assert child.returncode == 0 and "Traceback" not in output and "stopped" in output
    run = Run.open(tmp_path / "r")
    assert run.meta.status == "stopped" and run.steps("probe/final")[-1] == run.steps("metrics")[-1]


def test_a_killed_run_keeps_its_steps_and_can_be_resumed(tmp_path):
    child = start(tmp_path / "r", "--steps", "5000", "--held-out", "0", "--probe-every", "2")
    wait_for(tmp_path / "r" / "metrics" / "step=000003.parquet", child)
    child.kill()
    child.communicate()
    steps = Run.open(tmp_path / "r").steps("metrics")
    assert steps == list(range(len(steps)))
    resumed = start(tmp_path / "r", "--resume", "--steps", str(len(steps) + 1))
    output = resumed.communicate(timeout=PATIENCE_S)[0]
    assert resumed.returncode == 0, output
    assert Run.open(tmp_path / "r").meta.status == "finished"


def test_a_disk_that_takes_no_more_is_named_and_what_was_written_stays(tmp_path):
    """The limit on the size of a file stands in for a full disk: the kernel refuses the write all
    the same.
    """
    child = start(tmp_path / "r", "--steps", "5000", "--held-out", "0", "--probes", "0")
    wait_for(tmp_path / "r" / "metrics" / "step=000002.parquet", child)
    resource.prlimit(
        child.pid, resource.RLIMIT_FSIZE, (6_000, 6_000)
    )  # run.json still fits, the tokens of a step do not
    output = child.communicate(timeout=PATIENCE_S)[0]
    assert (
        child.returncode == 1
        and "could not be written" in output
        and "--resume" in output
        and "Traceback" not in output
    )
    run = Run.open(tmp_path / "r")
    assert run.meta.status == "failed" and "could not be written" in run.meta.reason
    assert run.steps("metrics")[:3] == [0, 1, 2] and all(
        run.trace(step, 0).kl.notna().all() for step in (0, 1, 2)
    )
    assert not list((tmp_path / "r").rglob("*.tmp"))


def test_a_loss_that_is_no_number_stops_the_run_says_where_and_keeps_it(tmp_path, monkeypatch):
    """A student whose weights go bad during training, as after a rate that is far too high."""
    update = Session.update

    def ruinous_update(self, step, clock):
        norm = update(self, step, clock)
        if step == 2:
            self.student.net.model.norm.weight.data[0] = float("nan")
        return norm

    monkeypatch.setattr(Session, "update", ruinous_update)
    with pytest.raises(NonFiniteLoss, match=r"step 3, rollout 0, position 0, kl is nan"):
        train(config(tmp_path / "r", probe_every=100, held_out=0))
    run = Run.open(tmp_path / "r")
    assert (
        run.meta.status == "failed"
        and "step 3" in run.meta.reason
        and run.steps("tokens") == [0, 1, 2]
    )


def test_an_update_that_ruins_the_weights_stops_the_run_in_any_model(tmp_path):
    prompts = small_pairs.prompts_file(tmp_path / "p.jsonl", 20)
    pair = {
        role: small_pairs.save(tmp_path / role, "qwen2", seed)
        for seed, role in enumerate(("student", "teacher"))
    }
    with pytest.raises(NonFiniteLoss, match="step 0"):
        train(
            SessionConfig(
                out=tmp_path / "r",
                prompts=prompts,
                **pair,
                steps=2,
                rollouts=3,
                probes=0,
                lr=1e39,
                max_new_tokens=8,
            )
        )
    assert Run.open(tmp_path / "r").meta.status == "failed" and Run.open(tmp_path / "r").steps(
        "tokens"
    ) == [0]


def test_whatever_goes_wrong_in_training_is_noted_in_the_run(tmp_path, monkeypatch):
    def broken(self, step, clock):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Session, "update", broken)
    with pytest.raises(RuntimeError):
        train(config(tmp_path / "r", held_out=0))
    meta = Run.open(tmp_path / "r").meta
    assert (meta.status, meta.reason) == ("failed", "RuntimeError: out of memory")


def test_nothing_is_written_where_a_run_already_is(trained):
    before = logged(trained)
    with pytest.raises(RunExists):
        train(config(trained))
    assert logged(trained) == before


def test_a_pair_of_ones_own_trains_on_ones_own_prompts(tmp_path):
    prompts = small_pairs.prompts_file(
        tmp_path / "p.jsonl", 20, teacher_prompt="Think of the answer 7."
    )
    pair = {
        role: small_pairs.save(tmp_path / role, "qwen2", seed)
        for seed, role in enumerate(("student", "teacher"))
    }
    out = tmp_path / "r"
    train(
        SessionConfig(
            out=out,
            prompts=prompts,
            **pair,
            steps=2,
            rollouts=3,
            probes=2,
            held_out=5,
            max_new_tokens=8,
        )
    )
    run = Run.open(out)
    assert run.meta.student == pair["student"] and "does not see" in run.meta.origin
    assert set(run.evals().n) == {4}, "a fifth of the prompts is held out at most"
    assert run.rollouts(2).teacher_prompt.unique().tolist() == ["Think of the answer 7."]
    trained_on = {p for s in range(3) for p in run.rollouts(s).prompt}
    assert run.rollouts(probe_set="final").prompt.nunique() == 16, (
        "no prompt is answered twice to fill the set"
    )
    assert (
        len(trained_on) <= 9
        and len(
            {json.loads(line)["prompt"] for line in prompts.read_text().splitlines()} - trained_on
        )
        >= 4
    )


def test_a_held_out_prompt_that_stands_in_the_file_twice_is_trained_on_nowhere(tmp_path):
    prompts = small_pairs.prompts_file(tmp_path / "p.jsonl", 10)
    prompts.write_text(prompts.read_text() + "\n" + prompts.read_text())
    tasks = Tasks.of(
        SessionConfig(out=tmp_path / "r", student="s", teacher="t", prompts=prompts).resolved()
    )
    assert tasks.held_out and not {p.prompt for p in tasks.held_out} & {
        p.prompt for p in tasks.batch(100)
    }


def test_bfloat16_computes_in_half_and_still_takes_small_updates(tmp_path):
    train(config(tmp_path / "r", dtype="bfloat16", steps=2, held_out=0, lr=1e-5))
    metrics = Run.open(tmp_path / "r").metrics()
    assert np.isfinite(metrics.kl_mean).all() and (metrics.kl_mean > 0).all()
    first, last = (
        load_file(tmp_path / "r" / "checkpoints" / f"step=00000{s}" / "model.safetensors")
        for s in (0, 2)
    )
    changed = sum(int((first[name] != last[name]).sum()) for name in first)
    assert changed > 0.5 * sum(w.numel() for w in first.values())


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"steps": 0}, BadConfig, "steps = 0"),
        ({"lr": -1.0}, BadConfig, "lr = -1"),
        ({"temperature": 0.0}, BadConfig, "temperature = 0"),
        ({"student": "x"}, BadConfig, "--prompts"),
        ({"prompts": Path("p.jsonl")}, BadConfig, "--student and --teacher"),
        ({"device": "meta"}, NoDevice, "'meta'"),
        ({"device": "odd"}, NoDevice, "'odd'"),
        ({"device": ""}, NoDevice, "''"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_anything_is_written(
    tmp_path, changes, error, says
):
    with pytest.raises(error, match=says):
        train(replace(config(tmp_path / "r"), **changes))
    assert not (tmp_path / "r").exists()


def test_an_unknown_model_is_refused_before_anything_is_written(tmp_path):
    prompts = small_pairs.prompts_file(tmp_path / "p.jsonl")
    with pytest.raises(ModelNotFound, match="nowhere"):
        train(
            config(
                tmp_path / "r",
                student=str(tmp_path / "nowhere"),
                teacher=str(tmp_path / "nowhere"),
                prompts=prompts,
            )
        )
    assert not (tmp_path / "r").exists()


def test_weights_of_every_occurrence_are_logged_as_one(trained):
    assert set(Run.open(trained).trace(0, 0).weight) == {1.0}


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--exact-positions", "5"], "--exact-positions 5 with --gradients sums"),
        (["--exact-positions", "200", "--gradients", "off"], "with --gradients off"),
        (
            ["--scenario", "habit", "--prompts", "p", "--student", "s", "--teacher", "t"],
            "--scenario habit with --prompts",
        ),
    ],
)
def test_flags_that_nothing_would_look_at_are_refused(tmp_path, capsys, flags, says):
    with pytest.raises(SystemExit):
        cli.main(["train", "--out", str(tmp_path / "r"), *flags])
    assert says in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "r").exists()


def test_what_was_asked_for_and_the_prompts_do_not_give_is_said():
    asked = SessionConfig(
        student="s", teacher="t", prompts=Path("p"), held_out=5, probes=3, final_probes=40
    )
    prompt = Prompt("a", "a", None)
    tasks = Tasks(("s", "t"), {"first": [prompt] * 3, "final": [prompt] * 16}, [], iter(()), [], "")
    assert probes.shortfalls(asked, tasks) == [
        "--held-out 5: the prompts give 0, a fifth of them at most, with an answer",
        "--final-probes 40: the prompts give 16, each is answered once",
    ]
    assert probes.shortfalls(SessionConfig(), tasks) == []
    more = replace(tasks, summed={"first": [prompt] * 13, "final": []})
    assert probes.shortfalls(SessionConfig(gradient_texts=40), more) == [
        "--gradient-texts 40: the prompts give 16, each is answered once"
    ]
