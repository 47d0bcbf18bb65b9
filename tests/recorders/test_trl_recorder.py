"""A training of the real TRL, recorded: what is in the log is what was trained on."""

from __future__ import annotations

import json
import shutil
import warnings
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import small_trl
import torch
from small_trl import ACCUMULATED, BATCH, LONGEST, SmallPair, small_pair

pytest.importorskip("trl")  # needs Python 3.11

from transformers import TrainerCallback
from trl.trainer import distillation_trainer

from rockcore import RockRule, RockSet, Run, detect
from rockcore.cli import main
from rockcore.exporters import EXPORTERS, Found
from rockcore.interventions import BadIntervention
from rockcore.log.writer import RunExists
from rockcore.recorders import record
from rockcore.recorders.rows import CannotRecord
from rockcore.recorders.trl import RecordingEnded
from rockcore.recorders.trl_steps import rollouts_of as rollouts_of_batch
from rockcore.recorders.trl_tap import MicroBatch, _expand
from rockcore.schema import Prompt, tokenizer_hash
from rockcore.training import loading
from rockcore.training.clock import Clock
from rockcore.training.rollouts import Rollouts, rollouts_of
from rockcore.training.scoring import Learning, judge_texts

STEPS = 3


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> SmallPair:
    return small_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def whole(pair: SmallPair, tmp_path_factory: pytest.TempPathFactory):
    """A run with everything that can be recorded, and the student that it ended with."""
    folder = tmp_path_factory.mktemp("whole")
    trainer = small_trl.trainer(pair, folder / "out", STEPS)
    with record(trainer, folder / "run", probes=pair.prompts, every=2, logps=True):
        trainer.train()
    return Run.open(folder / "run"), trainer.model.state_dict()


def ours(pair: SmallPair, run: Run, step: int = 0) -> tuple[Rollouts, dict[str, np.ndarray]]:
    """The logged texts of a step, judged by our own code under the student that TRL began with."""
    student, teacher = loading.load_pair(pair.student, pair.teacher, "cpu", "float32")
    texts, tokens = run.rollouts(step=step), tokens_of(run, step)
    tasks = [Prompt(p, p, None) for p in texts.prompt]
    ids = [tokens.token_id[tokens.rollout_id == r].tolist() for r in texts.rollout_id]
    rollouts = rollouts_of(student, teacher, tasks, ids)
    return rollouts, judge_texts(student, teacher, rollouts, Clock()).losses


def tokens_of(run: Run, step: int):
    import pandas as pd

    frame = pd.read_parquet(run.path / "tokens" / f"step={step:06d}.parquet")
    return frame.sort_values(["rollout_id", "position"], ignore_index=True)


def test_each_token_has_the_kl_that_our_own_code_gives_it(pair, whole):
    """Micro-batches are shuffled before they are trained: a prompt beside another's response would
    have another kl.
    """
    run, _ = whole
    rollouts, losses = ours(pair, run)
    logged = tokens_of(run, 0)
    assert np.abs(logged.kl - losses["kl"]).max() < 1e-5
    for name, values in losses.items():
        if name in logged and name != "proj_grad_norm":
            assert np.allclose(logged[name], values, rtol=1e-5, atol=1e-5), name
    assert [len(r) for r in rollouts.responses] == [LONGEST] * BATCH * ACCUMULATED
    assert list(rollouts.texts) == run.rollouts(step=0).response.tolist()


def test_without_log_probabilities_the_kl_is_that_of_the_loss_itself(pair, tmp_path):
    trainer = small_trl.trainer(pair, tmp_path / "out", 1)
    with record(trainer, tmp_path / "run"):
        trainer.train()
    run = Run.open(tmp_path / "run")
    _, losses = ours(pair, run)
    logged = tokens_of(run, 0)
    assert np.abs(logged.kl - losses["kl"]).max() < 1e-5
    assert np.abs(logged.student_entropy - losses["student_entropy"]).max() < 1e-5
    assert logged.teacher_logp.isna().all() and run.meta.student_logps == "absent"


def test_a_recorded_training_is_the_same_to_the_bit(pair, whole, tmp_path):
    trainer = small_trl.trainer(pair, tmp_path / "out", STEPS)
    trainer.train()
    alone = trainer.model.state_dict()
    assert all(torch.equal(alone[name], x) for name, x in whole[1].items())


def test_the_micro_batches_of_an_update_are_one_step(whole):
    run, _ = whole
    assert run.steps("tokens") == list(range(STEPS)) and run.meta.status == "finished"
    metrics = run.metrics()
    assert metrics.rollouts.tolist() == [BATCH * ACCUMULATED] * STEPS
    assert metrics.learning_rate.iloc[0] == pytest.approx(1e-2)
    assert (metrics.update_norm > 0).all() and run.meta.steps_planned == STEPS
    assert run.rollouts(step=1).rollout_id.tolist() == list(range(BATCH * ACCUMULATED))


def test_probes_are_rescored_so_that_persistence_is_seen(pair, whole):
    run, trained = whole
    assert run.steps("probe/first") == [0, 2, STEPS] and run.steps("probe/final") == [STEPS]
    found = detect(run, RockRule(tau_quantile=0.5))
    assert found.mode == "paired" and found.occurrences["persistent"] > 0
    logged = run.rollouts(probe_set="first").prompt.tolist()
    assert logged == [json.loads(line)["prompt"] for line in pair.prompts.open()]
    student, teacher = loading.load_pair(pair.student, pair.teacher, "cpu", "float32")
    student.net.load_state_dict(trained)
    ids = run.probe_ids("first")
    texts = rollouts_of(student, teacher, [Prompt(p, p, None) for p in logged], ids)
    import pandas as pd

    last = pd.read_parquet(run.path / "probe" / "first" / f"step={STEPS:06d}.parquet")
    kl = judge_texts(student, teacher, texts, Clock()).losses["kl"]
    assert np.abs(last.sort_values(["rollout_id", "position"]).kl.to_numpy() - kl).max() < 1e-5


def test_the_command_line_reads_a_recorded_run(whole, capsys):
    run, _ = whole
    main(["rocks", str(run.path), "--json", "--preset", "authors", "--set", "top_k=3"])
    assert len(json.loads(capsys.readouterr().out)["ids"]) == 3
    trace = run.trace(step=1, rollout_id=2)
    logged = tokens_of(run, 1)
    assert trace.kl.tolist() == logged.kl[logged.rollout_id == 2].tolist()


def rocks_of(run: Run) -> RockSet:
    """Every other token type of the first step; another training of the pair begins with them."""
    ids = tuple(np.unique(tokens_of(run, 0).token_id)[::2].tolist())
    return RockSet(ids, RockRule(), run.meta.tokenizer_hash, "", {})


def test_a_rock_set_weighs_the_loss_as_our_own_masked_loss(pair, whole, tmp_path):
    """One step of plain gradient descent: the student moves by our own gradient, not clipped."""
    rocks, rate = rocks_of(whole[0]), 0.1
    plain = {"optim": "sgd", "learning_rate": rate, "max_grad_norm": 0.0}
    trainer = small_trl.trainer(pair, tmp_path / "out", 1, lr_scheduler_type="constant", **plain)
    with record(trainer, tmp_path / "run", rock_set=rocks, weight=0.25):
        trainer.train()
    run = Run.open(tmp_path / "run")
    logged = tokens_of(run, 0)
    held = logged.token_id.isin(rocks.ids)
    assert 0 < held.sum() < len(logged)
    assert (logged.weight == np.where(held, 0.25, 1)).all() and run.meta.normaliser == "tokens"
    assert run.metrics().weight_sum.iloc[0] == pytest.approx(logged.weight.sum())
    assert any("counts" in note for note in run.meta.notes)

    student, teacher = loading.load_pair(pair.student, pair.teacher, "cpu", "float32")
    rollouts, _ = ours(pair, run)
    weight_N = torch.from_numpy(logged.weight.to_numpy() / len(logged)).float()
    judge_texts(student, teacher, rollouts, Clock(), Learning(weight_N, whole=False))
    for name, p in student.net.named_parameters():
        moved = trainer.model.get_parameter(name)
        assert p.grad is not None and torch.allclose(moved, p - rate * p.grad, atol=1e-6), name


def test_a_recording_that_fails_leaves_the_weights_in_the_loss(pair, whole, tmp_path, monkeypatch):
    """Another objective from some step on would be worse than no log."""
    from rockcore.recorders import trl_tap

    rocks, states = rocks_of(whole[0]), []
    for fails in (False, True):
        if fails:
            monkeypatch.setattr(trl_tap, "_expand", lambda *_: [][0])
        trainer = small_trl.trainer(pair, tmp_path / f"out{fails}", 2)
        told = pytest.warns(RecordingEnded) if fails else nullcontext()
        with told, record(trainer, tmp_path / f"run{fails}", rock_set=rocks):
            trainer.train()
        states.append(trainer.model.state_dict())
    assert all(torch.equal(states[1][name], x) for name, x in states[0].items())
    assert not all(torch.equal(whole[1][name], x) for name, x in states[0].items())


def test_the_exported_module_weighs_a_training(pair, whole, tmp_path):
    rocks = rocks_of(whole[0])
    module: dict = {}
    exec(EXPORTERS["trl"].rendered(Found(rocks, 0.5)).decode(), module)
    trainer = small_trl.trainer(pair, tmp_path / "out", 1)
    with module["recorded"](trainer, tmp_path / "run"):
        trainer.train()
    logged = tokens_of(Run.open(tmp_path / "run"), 0)
    assert (logged.weight == np.where(logged.token_id.isin(rocks.ids), 0.5, 1)).all()


def test_where_only_judged_positions_are_projected_the_values_find_their_places(
    pair, tmp_path, monkeypatch
):
    """As TRL does it on a GPU, where some responses are shorter than others."""
    monkeypatch.setattr(distillation_trainer, "_use_triton", lambda device: True)
    trainer = small_trl.trainer(pair, tmp_path / "out", 1)
    trainer.eos_token_ids = trainer.generation_config.eos_token_id = list(range(2, 60))
    rocks = RockSet(tuple(range(0, 300, 2)), RockRule(), hash_of(trainer), "", {})
    with record(trainer, tmp_path / "run", rock_set=rocks, weight=0.5):
        trainer.train()
    run = Run.open(tmp_path / "run")
    logged, (rollouts, losses) = tokens_of(run, 0), ours(pair, run)
    assert len(set(rollouts.lengths)) > 1
    assert np.abs(logged.kl - losses["kl"]).max() < 1e-5
    assert (logged.weight == np.where(logged.token_id % 2, 1.0, 0.5)).all()


def hash_of(trainer) -> str:
    return tokenizer_hash(trainer.processing_class.get_vocab())


def test_what_a_tool_wrote_is_logged_without_a_kl(pair, whole):
    """It stands in the response and is in no loss: unknown, and of weight 0."""
    trainer = SimpleNamespace(
        _tokenizer=loading.load(pair.student, "cpu", "float32").tokenizer, eos_token_ids=[2]
    )
    inputs = {
        "prompt_ids": torch.tensor([[0, 5, 6]]),
        "prompt_mask": torch.tensor([[0, 1, 1]]),
        "completion_ids": torch.tensor([[7, 8, 9, 2, 0]]),
        "completion_mask": torch.tensor([[1, 1, 1, 1, 0]]),
    }
    judged = torch.tensor([[1, 0, 1, 1, 0]]) != 0
    values = {"kl": _expand(torch.arange(1.0, 6.0), judged)}
    batch = MicroBatch(inputs, judged, torch.full((1, 5), 0.5), values)
    [rollout] = rollouts_of_batch(trainer, batch, {(5, 6): ("the prompt", "42")})
    assert rollout.token_ids.tolist() == [7, 8, 9, 2] and rollout.truncated is False
    assert rollout.weight.tolist() == [0.5, 0, 0.5, 0.5] and rollout.prompt == "the prompt"
    assert np.isnan(rollout.values["kl"]).tolist() == [False, True, False, False]


@pytest.mark.parametrize("settings", [{"beta": 0.0}, {"beta": 0.5}, {"temperature": 2.0}])
def test_of_another_divergence_the_kl_is_the_reverse_one_all_the_same(pair, tmp_path, settings):
    trainer = small_trl.trainer(pair, tmp_path / "out", 1, **settings)
    with record(trainer, tmp_path / "run"):
        trainer.train()
    run = Run.open(tmp_path / "run")
    _, losses = ours(pair, run)
    assert np.abs(tokens_of(run, 0).kl - losses["kl"]).max() < 1e-5
    assert run.meta.objective != "reverse_kl" and run.meta.objective in run.meta.notes[0]


def test_capped_logits_are_judged_as_the_models_give_them(tmp_path):
    pair = small_pair(tmp_path / "pair", family="gemma2")
    trainer = small_trl.trainer(pair, tmp_path / "out", 1)
    with record(trainer, tmp_path / "run", logps=True):
        trainer.train()
    run = Run.open(tmp_path / "run")
    _, losses = ours(pair, run)
    for name in ("kl", "teacher_logp"):
        assert np.abs(tokens_of(run, 0)[name] - losses[name]).max() < 1e-5, name


def test_what_is_evaluated_is_neither_recorded_nor_weighed(pair, tmp_path):
    trainer = small_trl.trainer(pair, tmp_path / "out", 2, eval_strategy="steps", eval_steps=1)
    every_token = RockSet(tuple(range(300)), RockRule(), hash_of(trainer), "", {})
    with record(trainer, tmp_path / "run", rock_set=every_token):
        trainer.train()
    evaluated = [log["eval_loss"] for log in trainer.state.log_history if "eval_loss" in log]
    assert len(evaluated) == 2 and min(evaluated) > 1  # weighed, it would be 0
    metrics = Run.open(tmp_path / "run").metrics()
    assert metrics.rollouts.tolist() == [BATCH * ACCUMULATED] * 2
    assert metrics.trained.tolist() == [0, 0]


def test_another_trainer_meanwhile_is_not_recorded(pair, tmp_path):
    trainer, other = (small_trl.trainer(pair, tmp_path / name, 1) for name in "ab")
    with record(trainer, tmp_path / "run"):
        other.train()
    meta = Run.open(tmp_path / "run").meta
    assert meta.status == "stopped" and "nothing was trained" in meta.reason
    assert not (tmp_path / "run" / "tokens").exists()


def tapped() -> tuple:
    return (
        distillation_trainer._chunked_divergence_loss,
        distillation_trainer.ChunkedDivergenceFunction,
    )


class Quits(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        raise ZeroDivisionError("by the user's own callback")


def test_after_an_error_everything_is_put_back_and_the_run_says_what_it_was(pair, tmp_path):
    before = tapped()
    trainer = small_trl.trainer(pair, tmp_path / "out", callbacks=[Quits()])
    with pytest.raises(ZeroDivisionError), record(trainer, tmp_path / "run"):
        assert tapped() != before
        trainer.train()
    assert tapped() == before
    assert not {"_compute_loss", "_generate_and_score_completions"} & vars(trainer).keys()
    meta = Run.open(tmp_path / "run").meta
    assert meta.status == "failed" and "ZeroDivisionError" in meta.reason


class Deletes(TrainerCallback):
    def __init__(self, folder: Path):
        self.folder = folder

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == 1:
            shutil.rmtree(self.folder)


def test_where_recording_fails_the_training_goes_on_with_one_warning(pair, whole, tmp_path):
    trainer = small_trl.trainer(pair, tmp_path / "out", STEPS, [Deletes(tmp_path / "run")])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with record(trainer, tmp_path / "run"):
            trainer.train()
    ended = [str(w.message) for w in told if w.category is RecordingEnded]
    assert len(ended) == 1 and "step 1" in ended[0] and "deleted" in ended[0]
    trained = trainer.model.state_dict()
    assert all(torch.equal(trained[name], x) for name, x in whole[1].items())


def test_a_value_that_cannot_be_written_ends_the_recording_alone(pair, tmp_path, monkeypatch):
    """What was recorded before is whole, and run.json says where it ends."""
    from rockcore.recorders import trl_tap

    real, calls = trl_tap._expand, []

    def fails(*args):
        calls.append(1)
        if len(calls) > 2 * ACCUMULATED:
            raise RuntimeError("out of memory")
        return real(*args)

    monkeypatch.setattr(trl_tap, "_expand", fails)
    trainer = small_trl.trainer(pair, tmp_path / "out", STEPS)
    with pytest.warns(RecordingEnded), record(trainer, tmp_path / "run"):
        trainer.train()
    run = Run.open(tmp_path / "run")
    assert trainer.state.global_step == STEPS and run.steps("tokens") == [0]
    assert run.meta.status == "failed" and "out of memory" in run.meta.reason


def test_a_second_training_is_not_mixed_into_the_log(pair, tmp_path):
    trainer = small_trl.trainer(pair, tmp_path / "out", 1)
    with pytest.warns(RecordingEnded, match="began again"), record(trainer, tmp_path / "run"):
        trainer.train()
        trainer.train()
    assert Run.open(tmp_path / "run").steps("tokens") == [0]


def test_a_trainer_that_has_not_the_divergence_is_refused_before_anything_is_written(
    pair, tmp_path, monkeypatch
):
    class OfServer(distillation_trainer.DistillationTrainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            raise NotImplementedError

    trainer = small_trl.trainer(pair, tmp_path / "out", 1)
    odd = object.__new__(OfServer)
    for refused, why in ((odd, "compute_loss is that of OfServer"), (object(), "has no")):
        with pytest.raises(CannotRecord, match=why), record(refused, tmp_path / "run"):
            pass
    monkeypatch.setattr(distillation_trainer, "_chunked_divergence_loss", lambda hidden: None)
    with pytest.raises(CannotRecord, match="takes"), record(trainer, tmp_path / "run"):
        pass
    assert not (tmp_path / "run").exists()


def test_a_set_of_another_tokenizer_and_a_folder_in_use_are_refused(pair, whole, tmp_path):
    trainer = small_trl.trainer(pair, tmp_path / "out", 1)
    rocks = rocks_of(whole[0])
    foreign = RockSet(rocks.ids, rocks.rule, "0" * 16, rocks.fingerprint, rocks.control)
    with pytest.raises(BadIntervention), record(trainer, tmp_path / "run", rock_set=foreign):
        pass
    with pytest.raises(RunExists), record(trainer, whole[0].path):
        pass
    for wrong in ({"every": 0}, {"rock_set": rocks, "weight": -1.0}):
        with pytest.raises(CannotRecord), record(trainer, tmp_path / "run", **wrong):
            pass
    assert not (tmp_path / "run").exists()
