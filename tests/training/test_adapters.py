"""LoRA: runs in which adapters beside the student's own weights are trained, and nothing else."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import small_pairs
import torch
from safetensors.torch import load_file

from rockcore.config import BadConfig, SessionConfig
from rockcore.log import Run, request_stop
from rockcore.training import adapters, loading
from rockcore.training.checkpoints import Checkpoints, NoCheckpoint
from rockcore.training.session import Progress, train

peft = pytest.importorskip("peft")


def config(root: Path, out: Path, **changes) -> SessionConfig:
    return SessionConfig(
        **{
            "out": out,
            "student": str(root / "s"),
            "teacher": str(root / "t"),
            "prompts": root / "p.jsonl",
            "lora": 4,
            "steps": 4,
            "rollouts": 3,
            "lr": 1e-2,
            "max_new_tokens": 6,
            "probes": 3,
            "final_probes": 4,
            "held_out": 0,
            "probe_every": 2,
            "threads": 1,
            **changes,
        }
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("lora")
    small_pairs.save(root / "s", "llama", 0)
    small_pairs.save(root / "t", "llama", 1)
    small_pairs.prompts_file(root / "p.jsonl")
    return root


@pytest.fixture(scope="module")
def trained(root) -> Path:
    said: list[str] = []
    train(config(root, root / "run"), say=said.append)
    assert [s for s in said if "3,712 of" in s and "proj_grad_norm" in s]
    return root / "run"


def test_it_starts_as_the_student_it_is_and_trains_only_the_adapters(root, trained):
    run = Run.open(trained)
    assert run.meta.status == "finished" and run.meta.config["lora"] == 4
    assert [note for note in run.meta.notes if note.startswith("adapters: 3,712 of")]
    student, teacher = loading.load_pair(str(root / "s"), str(root / "t"), "cpu", "float32")
    step_0 = run.trace(0, 0, "first")
    text = run.rollouts(probe_set="first").iloc[0]
    ids = step_0.token_id.tolist()
    p, q = (
        m.logits(m.features([m.encode(text.prompt)], [ids])).log_softmax(-1).detach()
        for m in (student, teacher)
    )
    np.testing.assert_allclose(step_0.kl, (p.exp() * (p - q)).sum(-1), atol=1e-5, rtol=1e-4)
    assert run.metrics().update_norm.iloc[:4].gt(0).all()
    assert step_0.proj_grad_norm.gt(0).all() and not run.steps("optimizer")


def test_a_checkpoint_holds_the_adapters_alone_and_peft_reads_them(root, trained):
    """Every logged value of the final texts is that of the base with the adapters of that step."""
    folder = trained / "checkpoints" / "step=000002"
    assert {f.name for f in folder.iterdir()} >= {"adapter_config.json", adapters.WEIGHTS}
    assert sum(v.numel() for v in load_file(folder / adapters.WEIGHTS).values()) == 3712
    assert not list(folder.glob("model*"))
    run = Run.open(trained)
    base, teacher = loading.load_pair(str(root / "s"), str(root / "t"), "cpu", "float32")
    net = peft.PeftModel.from_pretrained(base.net, folder)
    for rollout in (0, 3):
        text, trace = run.rollouts(probe_set="final").iloc[rollout], run.trace(2, rollout, "final")
        before, ids = base.encode(text.prompt), trace.token_id.tolist()
        logits = [m(torch.tensor([before + ids])).logits[0] for m in (net, teacher.net)]
        p, q = (x[len(before) - 1 : -1].log_softmax(-1).detach() for x in logits)
        np.testing.assert_allclose(trace.kl, (p.exp() * (p - q)).sum(-1), atol=1e-5, rtol=1e-4)


def test_a_run_that_was_stopped_goes_on_to_the_same_log_and_adapters(root, trained, tmp_path):
    def stop(progress: Progress) -> None:
        if progress.step == 2:
            request_stop(tmp_path / "run")

    train(config(root, tmp_path / "run"), stop)
    assert Run.open(tmp_path / "run").meta.status == "stopped"
    train(SessionConfig(out=tmp_path / "run", resume=True))
    for table in [f"tokens/step={i:06d}.parquet" for i in range(5)] + ["probe/final"]:
        assert pq.read_table(trained / table).equals(pq.read_table(tmp_path / "run" / table))
    file = Path("checkpoints") / "step=000004" / adapters.WEIGHTS
    one, other = (load_file(run / file) for run in (trained, tmp_path / "run"))
    assert all(torch.equal(v, other[k]) for k, v in one.items())
    with pytest.raises(BadConfig, match="--lora 8 with --resume, but the run has 4"):
        train(SessionConfig(out=trained, resume=True, lora=8, steps=9))


def test_the_base_in_half_precision_trains_adapters_in_full(root, tmp_path):
    train(config(root, tmp_path / "run", dtype="bfloat16", gradient_checkpointing=True, steps=1))
    weights = load_file(tmp_path / "run" / "checkpoints" / "step=000001" / adapters.WEIGHTS)
    assert {v.dtype for v in weights.values()} == {torch.float32}
    assert any(float(v.abs().max()) > 0 for k, v in weights.items() if "lora_B" in k)


def test_adapters_of_another_rank_are_refused_and_change_nothing(root, trained):
    student = loading.load(str(root / "s"), "cpu", "float32")
    adapters.add(student.net, 2, student.name, seed=0)
    before = adapters.weights_of(student.net)
    with pytest.raises(NoCheckpoint, match="differ in 28 weights"):
        Checkpoints(trained / "checkpoints").load_weights(2, student)
    after = adapters.weights_of(student.net)
    assert all(torch.equal(v, after[k]) for k, v in before.items())


def test_a_model_that_peft_refuses_is_named(tmp_path):
    net = loading.load(small_pairs.save(tmp_path / "m", "nemotron-h"), "cpu", "float32").net
    with pytest.raises(BadConfig, match="peft refuses NemotronHForCausalLM .*incompatible"):
        adapters.add(net, 2, "m", seed=0)


def test_without_peft_nothing_is_written_and_it_is_said_how_to_get_it(root, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(BadConfig, match=r"peft cannot be imported") as e:
        train(config(root, tmp_path / "run"))
    assert ".[lora]" in str(e.value) and not (tmp_path / "run").exists()


def test_adapters_of_a_pair_of_ones_own_have_a_higher_rate_by_default(root):
    pair = replace(config(root, root / "any"), lr=None)
    assert pair.resolved().lr == 10 * replace(pair, lora=None).resolved().lr
