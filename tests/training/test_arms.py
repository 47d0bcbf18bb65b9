"""Arms in real sessions: what gets no weight is neither trained on nor projected, and the log says
what the loss did.
"""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow.parquet as pq
import pytest
import small_pairs
import torch
from test_session import SHORT, logged, stop_after

from rockcore import cli
from rockcore.config import ARM_SETTINGS, ArmName, BadConfig, SessionConfig
from rockcore.interventions import ARMS, Arm, BadIntervention, Batch, bans, weights
from rockcore.log import Run, sample_runs
from rockcore.log.checks import read_columns
from rockcore.log.files import table_file
from rockcore.rocks import Examined, RockRule, RockSet, detect
from rockcore.rocks.rockset import BadRockSet
from rockcore.schema import Prompt
from rockcore.training import loading, probes, train
from rockcore.training.clock import Clock
from rockcore.training.models import Model
from rockcore.training.objective import Objective, normalised
from rockcore.training.rollouts import Rollouts, rollouts_of
from rockcore.training.scoring import Learning, judge_texts

TASKS = [
    Prompt("Tom has 3 pens.", "Style: brisk. Tom has 3 pens.", None),
    Prompt("Ana has 12 cups and 4 keys.", "Ana has 12 cups and 4 keys.", None),
    Prompt("Mia has 2 hats.", "Mia has 2 hats and no cups at all.", None),
]
# 2 ends a response; one is empty, one is cut
RESPONSES = [[10, 20, 30, 2], [], [40, 50, 60, 70, 80, 90, 20]]
N = sum(map(len, RESPONSES))
FAMILIES = ("llama", "qwen2", "gemma2")  # the fast path, the general one, one that caps its logits


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request, tmp_path_factory) -> tuple[Model, Model]:
    root = tmp_path_factory.mktemp("pair")
    paths = [small_pairs.save(root / n, request.param, i) for i, n in enumerate(("s", "t"))]
    return loading.load_pair(paths[0], paths[1], "cpu", "float32")


def naive_gradient(
    student: Model, teacher: Model, rollouts: Rollouts, weight_N: np.ndarray
) -> dict[str, torch.Tensor]:
    """By automatic differentiation of sum w kl, a row at a time, with no code of the session."""
    sums, n = torch.zeros(()), 0
    for b, response in enumerate(rollouts.responses):
        if not response:
            continue
        logs = []
        for model, prompts in (
            (student, rollouts.student_prompts),
            (teacher, rollouts.teacher_prompts),
        ):
            before = len(prompts[b])
            logits = model.net(torch.tensor([prompts[b] + response])).logits[0, before - 1 : -1]
            logs.append(logits.log_softmax(-1))
        p, q = logs[0], logs[1].detach()
        kl = (p.exp() * (p - q)).sum(-1)
        sums = sums + (torch.tensor(weight_N[n : n + len(response)]) * kl).sum()
        n += len(response)
    student.net.zero_grad()
    sums.backward()
    return gradients(student)


def gradients(student: Model) -> dict[str, torch.Tensor]:
    named = student.net.named_parameters()
    return {n: torch.zeros_like(p) if p.grad is None else p.grad.clone() for n, p in named}


@pytest.mark.parametrize("whole", [True, False], ids=["all judged", "left out"])
@pytest.mark.parametrize("normaliser", ["tokens", "weights"])
def test_the_gradient_is_autograds_of_the_weighted_kl_over_the_normaliser(pair, normaliser, whole):
    student, teacher = pair
    rollouts = rollouts_of(student, teacher, TASKS, RESPONSES)
    rng = np.random.default_rng(3)
    weight = (rng.random(N) * (rng.random(N) < 0.6)).astype(np.float32)
    assert 0 < (weight == 0).sum() < N
    total = N if normaliser == "tokens" else weight.sum(dtype=np.float64)
    divided = torch.from_numpy(normalised(weight, normaliser))
    student.net.zero_grad()
    got = judge_texts(student, teacher, rollouts, Clock(), Learning(divided, whole))
    mine = gradients(student)
    for name, want in naive_gradient(student, teacher, rollouts, weight / total).items():
        scale = float(want.abs().max())
        torch.testing.assert_close(mine[name], want, atol=1e-4 * scale + 1e-7, rtol=1e-3)
    everything = judge_texts(student, teacher, rollouts, Clock())
    known = np.ones(N, bool) if whole else weight > 0
    assert np.array_equal(got.known, known)
    for name, values in everything.losses.items():
        np.testing.assert_allclose(got.losses[name][known], values[known], rtol=1e-4, atol=1e-5)
        assert np.isnan(got.losses[name][~known]).all()


def test_no_gradient_flows_from_a_frozen_position(pair, monkeypatch):
    """What the teacher says there, however wild, changes not one bit; elsewhere it does."""
    student, teacher = pair
    rollouts = rollouts_of(student, teacher, TASKS, RESPONSES)
    weight = np.ones(N, np.float32)
    weight[[1, 2, 4, 10]] = 0.0
    plain = _gradient_under(student, teacher, rollouts, weight, monkeypatch, np.zeros(0, int))
    frozen = np.flatnonzero(weight == 0)
    assert plain == _gradient_under(student, teacher, rollouts, weight, monkeypatch, frozen)
    assert plain != _gradient_under(student, teacher, rollouts, weight, monkeypatch, np.array([5]))


def _gradient_under(student, teacher, rollouts, weight, monkeypatch, wild: np.ndarray) -> list:
    """The student's gradient where the teacher's features at some positions are overturned."""
    original = Model.features

    def overturned(self, prompts, responses):
        found = original(self, prompts, responses)
        if self is not teacher:
            return found
        lengths = [len(r) for r in responses]
        rows = [rollouts.responses.index(r) for r in responses]
        starts = np.cumsum([0, *map(len, rollouts.responses)])
        at = np.concatenate([np.arange(n) + starts[b] for b, n in zip(rows, lengths, strict=True)])
        found = found.clone()
        found[torch.from_numpy(np.isin(at, wild))] *= -50
        return found

    monkeypatch.setattr(Model, "features", overturned)
    student.net.zero_grad()
    judge_texts(student, teacher, rollouts, Clock(), Learning(torch.from_numpy(weight / N)))
    monkeypatch.setattr(Model, "features", original)
    return [g.numpy().tobytes() for g in gradients(student).values()]


def test_what_has_no_weight_is_not_projected_by_either_model(pair, monkeypatch):
    student, teacher = pair
    rollouts = rollouts_of(student, teacher, TASKS, RESPONSES)
    weight = np.ones(N, np.float32)
    weight[[0, 1, 2, 3, 7]] = 0.0
    projected = []
    original = Model.all_logits
    monkeypatch.setattr(
        Model, "all_logits", lambda self, f: projected.append((self, len(f))) or original(self, f)
    )
    for whole, want in ((False, N - 5), (True, N)):
        projected.clear()
        learning = Learning(torch.from_numpy(weight / N), whole)
        judge_texts(student, teacher, rollouts, Clock(), learning)
        for model in pair:
            assert sum(n for m, n in projected if m is model) == want


def test_with_no_weight_at_all_there_is_no_gradient_and_no_nan(pair):
    student, teacher = pair
    rollouts = rollouts_of(student, teacher, TASKS, RESPONSES)
    for normaliser in ("tokens", "weights"):
        student.net.zero_grad()
        divided = torch.from_numpy(normalised(np.zeros(N, np.float32), normaliser))
        assert not divided.any()
        judge_texts(student, teacher, rollouts, Clock(), Learning(divided))
        assert all(p.grad is None for p in student.net.parameters())


@pytest.mark.parametrize("whole", [True, False])
def test_texts_without_a_single_token_are_judged_as_nothing(pair, whole):
    student, teacher = pair
    rollouts = rollouts_of(student, teacher, TASKS, [[], [], []])
    student.net.zero_grad()
    for learn in (None, Learning(torch.zeros(0), whole)):
        found = judge_texts(student, teacher, rollouts, Clock(), learn)
        assert len(found.known) == 0 and all(len(v) == 0 for v in found.losses.values())
    assert all(p.grad is None for p in student.net.parameters())


# Sessions.


def config(out: Path, **changes) -> SessionConfig:
    short = {**SHORT, "steps": 4, "final_probes": 0, "held_out": 4, "gradients": "off"}
    return SessionConfig(**{"out": out, **short, **changes})


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("base") / "run"
    train(config(out))
    return out


def write_set(path: Path, ids: tuple[int, ...], **changes) -> Path:
    hash_ = Run.open(sample_runs() / "habit").meta.tokenizer_hash
    rule = RockRule(tau_pre=0.2, tau_post=0.2, top_k=len(ids) or None)
    how = {"tokenizer_hash": hash_, "rule": rule, **changes}
    path.write_text(RockSet(ids, fingerprint="", control={}, **how).to_json())
    return path


@pytest.fixture(scope="module")
def rocks(base, tmp_path_factory) -> Path:
    """The five types with most of the loss of the first step, as a set."""
    types = Run.open(base).types(0).sort_values("kl_sum", ascending=False)
    ids = tuple(map(int, types.token_id[:5]))
    return write_set(tmp_path_factory.mktemp("set") / "rocks.json", ids)


HOW = {
    "rock-freeze": {},
    "soft": {"lambda_": 0.25},
    "random-freeze": {"match_kl": True},
    "top-entropy": {"share": 0.5},
    "low-entropy": {},
    "iw-opd": {"gamma": 1.0},
    "dynamic": {},
}


@pytest.fixture(scope="module")
def arms(base, rocks, tmp_path_factory) -> dict[str, Path]:
    """A run of each arm, and two more with windows."""
    root, found = tmp_path_factory.mktemp("arms"), {"baseline": base}
    more = {"rock-freeze": {"window": True}, "random-freeze": {"window": True}}
    runs = [(name, name, how) for name, how in HOW.items()]
    runs += [(f"{name} window", name, how) for name, how in more.items()]
    for label, name, how in runs:
        needed = {"rocks": rocks} if "rocks" in ARM_SETTINGS[name] else {}
        train(config(root / label, arm=name, normaliser="weights", **needed, **how))
        found[label] = root / label
    return found


def tokens(path: Path, step: int) -> dict[str, np.ndarray]:
    names = ["rollout_id", "position", "token_id", "kl", "student_entropy", "weight"]
    names += ["student_logp", "teacher_logp"]
    return read_columns(table_file(path, "tokens", step), names)


def test_the_log_holds_the_weight_of_each_position_and_the_metrics_their_number(arms, rocks):
    ids = RockSet.from_json(rocks.read_bytes()).ids
    for label, path in arms.items():
        run, metrics = Run.open(path), Run.open(path).metrics().set_index("step")
        for step in run.steps("tokens"):
            found = tokens(path, step)
            weight, is_rock = found["weight"], np.isin(found["token_id"], ids)
            assert np.isfinite(found["kl"]).all() and (weight >= 0).all()
            if label == "rock-freeze":
                assert np.array_equal(weight == 0, is_rock)
            if label == "soft":
                assert np.array_equal(weight, np.where(is_rock, np.float32(0.25), 1))
            if label == "rock-freeze window":
                assert not weight[is_rock].any()
            if label.startswith("random-freeze"):
                assert (weight[is_rock] == 1).all()
            if label == "random-freeze":
                rollouts = found["rollout_id"]
                left = [
                    np.bincount(rollouts[m], minlength=rollouts.max() + 1)
                    for m in (weight == 0, is_rock, ~is_rock)
                ]
                assert np.array_equal(left[0], np.minimum(left[1], left[2]))
            if label == "top-entropy":
                entropy = found["student_entropy"]
                assert (weight == 1).sum() == int(0.5 * len(weight) + 0.5)
                assert entropy[weight == 1].min() >= entropy[weight == 0].max()
            if step < 4:
                assert metrics.trained[step] == (weight > 0).sum()
                assert metrics.weight_sum[step] == pytest.approx(weight.sum(dtype=np.float64))
        assert metrics[["trained", "weight_sum"]].loc[4].isna().all()
        assert np.isfinite(metrics.kl_mean).all()
    assert all(len(tokens(path, 0)["weight"]) for path in arms.values())


def test_all_arms_of_a_seed_read_the_same_prompts_and_write_the_same_first_rollouts(arms):
    def texts(path: Path, step: int, column: str) -> list[str]:
        return Run.open(path).rollouts(step)[column].tolist()

    for path in arms.values():
        assert texts(path, 0, "response") == texts(arms["baseline"], 0, "response")
        for step in range(5):
            assert texts(path, step, "prompt") == texts(arms["baseline"], step, "prompt")
        assert Run.open(path).steps("evals") == Run.open(arms["baseline"]).steps("evals")
    students = {label: tuple(Run.open(p).trace(4, 0, "first").kl) for label, p in arms.items()}
    del students["dynamic"]  # it may have found nothing to move in so few steps
    assert len(set(students.values())) == len(students)


def test_the_run_says_its_arm_and_its_normaliser_and_holds_the_set(arms, rocks):
    for label, path in arms.items():
        meta = Run.open(path).meta
        assert meta.config["arm"] == label.removesuffix(" window")
        assert meta.normaliser == ("tokens" if label == "baseline" else "weights")
        mine = path / "rocks.json"
        assert mine.exists() == ("rocks" in ARM_SETTINGS[meta.config["arm"]])
        if mine.exists():
            assert RockSet.from_json(mine.read_bytes()) == RockSet.from_json(rocks.read_bytes())


def test_where_the_tokens_are_not_logged_what_is_frozen_is_not_judged_and_the_rest_is_the_same(
    arms, rocks, tmp_path
):
    out = tmp_path / "r"
    train(config(out, arm="rock-freeze", rocks=rocks, normaliser="weights", log_every=3))
    sparse, full = (Run.open(p).metrics().set_index("step") for p in (out, arms["rock-freeze"]))
    assert sparse.kl_mean.isna().tolist() == [False, True, True, False, False]
    assert sparse.kl_stderr.isna().tolist() == sparse.kl_mean.isna().tolist()
    for name in ("tokens", "trained", "weight_sum", "accuracy"):
        assert sparse[name].equals(full[name])
    np.testing.assert_allclose(sparse.update_norm, full.update_norm, rtol=1e-6)
    assert pq.read_table(out / "tokens" / "step=000003.parquet").num_rows == sparse.tokens[3]


def test_a_run_that_trains_on_nothing_stays_where_it_was_and_says_so(tmp_path):
    said: list[str] = []
    out = tmp_path / "r"
    train(config(out, arm="top-entropy", share=0.0, normaliser="weights"), say=said.append)
    one, two = (Run.open(out).trace(s, 0, "first") for s in (0, 4))
    assert one.kl.equals(two.kl)
    metrics = Run.open(out).metrics()
    assert not metrics.trained[:4].any() and not metrics.update_norm[:4].any()
    assert len([s for s in said if "no position has a weight" in s]) == 1


@pytest.mark.parametrize(("label", "stop"), [("dynamic", 1), ("dynamic", 2), ("random-freeze", 2)])
def test_an_arm_that_was_stopped_goes_on_bit_for_bit_without_the_original_set(
    arms, rocks, tmp_path, label, stop
):
    out, mine = tmp_path / "r", tmp_path / "mine.json"
    shutil.copy(rocks, mine)
    needed = {"rocks": mine} if label == "random-freeze" else {}
    how = {"arm": label, "normaliser": "weights", **needed, **HOW[label]}
    train(config(out, **how), stop_after(stop, out))
    mine.unlink()
    train(SessionConfig(out=out, resume=True))
    assert logged(out) == logged(arms[label])


def test_a_run_that_was_killed_before_it_kept_its_set_goes_on_with_the_original(rocks, tmp_path):
    out = tmp_path / "r"
    train(config(out, arm="rock-freeze", rocks=rocks), stop_after(1, out))
    (out / "rocks.json").unlink()
    train(SessionConfig(out=out, resume=True, rocks=rocks))
    assert Run.open(out).meta.status == "finished"
    assert RockSet.from_json((out / "rocks.json").read_bytes()).ids


def test_dynamic_trains_to_its_end_where_no_fixed_text_holds_a_token(tmp_path, monkeypatch):
    original, said = probes.rollouts_of, []

    def silent(student, teacher, prompts, responses):
        return original(student, teacher, prompts, [[] for _ in responses])

    monkeypatch.setattr(probes, "rollouts_of", silent)
    train(config(tmp_path / "r", arm="dynamic"), say=said.append)
    run = Run.open(tmp_path / "r")
    assert run.meta.status == "finished" and not run.steps("weights")
    assert (run.trace(4, 0).weight == 1).all()
    assert sum("no weight moves" in sentence for sentence in said) == 1


def test_dynamic_logs_what_each_type_weighs_and_the_loss_uses_it(arms):
    run = Run.open(arms["dynamic"])
    assert run.steps("weights") == [2, 4]
    weight = np.ones(run.meta.vocab_size, np.float32)
    for start, end in pairwise([0, *run.steps("weights"), 5]):
        for step in range(start, end):
            found = tokens(arms["dynamic"], step)
            assert np.array_equal(found["weight"], weight[found["token_id"]])
        if end < 5:
            table = run.weights(end)
            weight[table.token_id] = table.weight
            assert set(table.moved) <= {-1, 0, 1}
            assert ((table.weight >= 0) & (table.weight <= 1)).all()


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"arm": "soft"}, "--arm soft with --resume, but the run has rock-freeze"),
        ({"normaliser": "tokens"}, "--normaliser tokens .* has weights"),
        ({"window": True}, "--window True with --resume, but the run has no --window"),
        ({"lambda_": 0.5}, "--lambda 0.5 .* has no --lambda"),
    ],
)
def test_another_arm_cannot_go_on_with_a_run(arms, flags, says):
    with pytest.raises(BadConfig, match=says):
        train(SessionConfig(out=arms["rock-freeze"], resume=True, steps=5, **flags))


def test_another_set_cannot_go_on_with_a_run_but_its_own_can_be_named_again(arms, rocks, tmp_path):
    other = write_set(tmp_path / "other.json", (5, 6))
    with pytest.raises(BadConfig, match=r"--rocks .*other.json with --resume"):
        train(SessionConfig(out=arms["rock-freeze"], resume=True, steps=5, rocks=other))
    out, copied = tmp_path / "r", tmp_path / "copied.json"
    shutil.copytree(arms["rock-freeze"], out)
    shutil.copy(rocks, copied)
    train(SessionConfig(out=out, resume=True, steps=5, rocks=copied))
    assert Run.open(out).steps("metrics")[-1] == 5


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"arm": "frozen"}, BadConfig, "--arm frozen"),
        ({"normaliser": "mean"}, BadConfig, "--normaliser mean"),
        ({"arm": "rock-freeze"}, BadConfig, "--arm rock-freeze without --rocks"),
        ({"arm": "soft"}, BadConfig, "--arm soft without --rocks"),
        ({"arm": "random-freeze"}, BadConfig, "--arm random-freeze without --rocks"),
        ({"arm": "dynamic", "probes": 0}, BadConfig, "--arm dynamic with --probes 0"),
        ({"arm": "soft", "lambda_": 1.5}, BadConfig, "--lambda 1.5"),
        ({"arm": "soft", "lambda_": -0.1}, BadConfig, "--lambda -0.1"),
        ({"arm": "soft", "lambda_": float("nan")}, BadConfig, "--lambda nan"),
        ({"arm": "top-entropy", "share": 1.01}, BadConfig, "--share 1.01"),
        ({"arm": "iw-opd", "gamma": 0.0}, BadConfig, "--gamma"),
        (
            {"arm": "rock-freeze", "rocks": "nowhere.json"},
            BadRockSet,
            "nowhere.json cannot be read",
        ),
        ({"arm": "rock-freeze", "rocks": "broken.json"}, BadRockSet, "no rock set"),
        ({"arm": "rock-freeze", "rocks": "empty.json"}, BadIntervention, "holds no token"),
        ({"arm": "soft", "rocks": "strange.json"}, BadIntervention, "found under tokenizer"),
        ({"arm": "soft", "rocks": "beyond.json"}, BadIntervention, "names token 99999"),
        (
            {"arm": "rock-freeze", "rocks": "no_tau.json", "window": True},
            BadIntervention,
            "no tau_post",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(tmp_path, settings, error, says):
    (tmp_path / "broken.json").write_text("{")
    write_set(tmp_path / "empty.json", ())
    write_set(tmp_path / "strange.json", (5,), tokenizer_hash="0" * 16)
    write_set(tmp_path / "beyond.json", (5, 99999))
    write_set(tmp_path / "no_tau.json", (5,), rule=RockRule(top_k=1))
    if "rocks" in settings:
        settings = {**settings, "rocks": tmp_path / settings["rocks"]}
    elif settings.get("lambda_") is not None:
        settings = {**settings, "rocks": write_set(tmp_path / "good.json", (5,))}
    with pytest.raises(error, match=says):
        train(config(tmp_path / "r", **settings))
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ("--lambda 0.5", "--lambda with --arm baseline"),
        ("--arm rock-freeze --rocks F --lambda 0", "Only soft looks at it"),
        ("--rocks F", "--rocks with --arm baseline"),
        ("--arm dynamic --rocks F", "--rocks with --arm dynamic"),
        ("--arm top-entropy --share 0.5 --window", "--window with --arm top-entropy"),
        ("--arm iw-opd --share 0.5", "Only top-entropy and low-entropy look at it"),
        ("--arm soft --rocks F --match-kl", "--match-kl with --arm soft"),
        ("--gamma 1", "Choose --arm iw-opd"),
    ],
)
def test_a_setting_that_the_arm_does_not_look_at_is_refused(tmp_path, flags, says, capsys):
    file = str(write_set(tmp_path / "good.json", (5,)))
    given = [file if flag == "F" else flag for flag in flags.split()]
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", "--out", str(tmp_path / "r"), *given])
    printed = capsys.readouterr()
    assert ended.value.code == 1 and says in printed.err and "Traceback" not in printed.err
    assert not (tmp_path / "r").exists()


def test_each_arm_is_a_choice_of_the_command_line_and_has_weights_of_its_own():
    assert set(ARMS) == set(ARM_SETTINGS)
    assert get_args(ArmName) == tuple(ARMS)


# One position, four views of it.


# of four short texts: nothing has to recur
OF_FEW = RockRule(
    top_k=4, mode="paired", probe_set="first", min_support=0, min_rollouts=0, tau_quantile=0.8
)


def test_detector_freeze_knockout_and_log_speak_of_the_same_positions(arms, base):
    """The types in the set by the detection, the positions that the freeze leaves out, those whose
    logged weight is 0 and the ids that a knockout forbids.
    """
    found = detect(Run.open(base), OF_FEW)
    assert len(found.ids) == 4
    detection = Examined(Run.open(base), found.rule).detection
    corpus = detection.corpus
    in_set_N = detection.in_set[corpus.type]
    arm = Arm("rock-freeze", rocks=found.rock_set.ids)
    weight = weights(arm, Batch.of(corpus))
    assert np.array_equal(in_set_N, weight == 0)
    assert np.array_equal(in_set_N, np.isin(corpus.token_id, bans(found.rock_set.ids)))


def test_a_session_logs_the_weights_of_the_detections_positions(base, tmp_path):
    found = detect(Run.open(base), OF_FEW)
    file = tmp_path / "set.json"
    file.write_text(json.dumps(found.to_dict(), allow_nan=False))  # as the command line prints it
    out = tmp_path / "r"
    train(config(out, steps=1, arm="rock-freeze", rocks=file))
    for step in (0, 1):
        there = tokens(out, step)
        assert np.array_equal(there["weight"] == 0, np.isin(there["token_id"], bans(found.ids)))


def test_the_weights_of_a_step_do_not_depend_on_what_is_logged(pair):
    """Objective: one pass or two, judged whole or not, the same weights and the same gradient."""
    student, teacher = pair
    rollouts = rollouts_of(student, teacher, TASKS, RESPONSES)
    resolved = SessionConfig(arm="rock-freeze", rocks=Path("x"), out=Path("y")).resolved()
    arm = Arm("rock-freeze", rocks=(20, 2))
    objective = Objective(resolved, arm, student, teacher)
    found = []
    for whole in (True, False):
        student.net.zero_grad()
        fresh = objective.judge(0, rollouts, Clock(), learn=True, whole=whole)
        found.append(
            (fresh.weight.tobytes(), *(g.numpy().tobytes() for g in gradients(student).values()))
        )
        assert fresh.trained == 8 and fresh.weight_sum == 8.0
    assert found[0] == found[1]
    student.net.zero_grad()
    last = objective.judge(0, rollouts, Clock(), learn=False, whole=True)
    assert last.weight.tobytes() == found[0][0] and last.scored.known.all()
    assert all(p.grad is None for p in student.net.parameters())
