"""What a session says beforehand of its memory and its disk is what it then takes."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import small_pairs

from rockcore.config import SessionConfig
from rockcore.tasks import Tasks
from rockcore.training import adapters, loading, memory, recomputing
from rockcore.training.models import Model
from rockcore.training.session import train

MEASURED = """
import json, sys
from pathlib import Path
from rockcore.config import SessionConfig
from rockcore.training import memory, session

found, estimate = [], memory.estimate
memory.estimate = lambda *a: found.append(estimate(*a)) or found[0]
given = json.loads(sys.argv[1])
config = SessionConfig(**{**given, "out": Path(given["out"]), "prompts": Path(given["prompts"])})
session.train(config)
# ru_maxrss would begin with what the process that started this one holds
status = open("/proc/self/status").read().splitlines()
peak = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))
print(found[0].now, found[0].peak, peak)
"""


def settings(root: Path, **changes) -> dict:
    return {
        "out": str(root / "run"),
        "student": str(root / "s"),
        "teacher": str(root / "t"),
        "prompts": str(root / "p.jsonl"),
        "steps": 2,
        "rollouts": 16,
        "max_new_tokens": 64,
        "probes": 2,
        "final_probes": 2,
        "held_out": 0,
        "threads": 1,
        **changes,
    }


def pair_of(root: Path, **sizes) -> None:
    for seed, role in enumerate("st"):
        small_pairs.save(root / role, "qwen2", seed, **sizes)
    small_pairs.prompts_file(root / "p.jsonl")


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is asked of Linux")
def test_the_estimate_is_near_the_peak_that_is_measured(tmp_path):
    pair_of(tmp_path, hidden_size=128, intermediate_size=1024, num_hidden_layers=6)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            MEASURED,
            json.dumps(settings(tmp_path, steps=1, max_new_tokens=24)),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    now, estimate, peak = map(int, done.stdout.split())
    assert 0.6 < (estimate - now + memory._LATER) / (peak - now + memory._LATER) < 1.7


@pytest.fixture(params=["llama", "gemma2"])
def student(request, tmp_path) -> Model:
    return loading.load(small_pairs.save(tmp_path / "m", request.param), "cpu", "float32", True)


@pytest.mark.parametrize("anew", [False, True])
def test_what_a_short_text_keeps_for_the_gradient_tells_of_a_long_one(student, anew):
    if anew:
        recomputing.recompute(student)
    every, token, square = memory._kept(student)
    kept = memory._saved(student, 200)
    with recomputing.at_once(student) as layers:
        if layers:  # the worst moment is when one of them is there again
            kept += (memory._saved(student, 200) - kept) / layers
    assert every + 200 * token + 200**2 * square == pytest.approx(kept, rel=0.02)


@pytest.mark.parametrize("lora", [None, 2])
def test_the_disk_that_is_said_is_the_disk_that_is_taken(tmp_path, lora):
    pair_of(tmp_path)
    config = SessionConfig(
        **{
            **settings(tmp_path, lora=lora, steps=3, probe_every=2, rollouts=2, max_new_tokens=2),
            "out": tmp_path / "run",
            "prompts": tmp_path / "p.jsonl",
        }
    )
    said: list[str] = []
    train(config, say=said.append)
    memory_line, disk_line = [s for s in said if s.startswith(("memory on", "disk:"))]
    assert memory_line.startswith("memory on cpu: about") and "GB are free" in memory_line
    assert disk_line.startswith("disk: 3 checkpoints of")
    student = loading.load(str(tmp_path / "s"), "cpu", "float32", trained=True)
    if lora:
        adapters.add(student.net, lora, "s", seed=0)
    expected = memory.disk(config.resolved(), student)
    files = sorted((tmp_path / "run" / "checkpoints").rglob("*.safetensors"))
    weights = [f.stat().st_size for f in files if f.name != "optimizer.safetensors"]
    optimizers = [f.stat().st_size for f in files if f.name == "optimizer.safetensors"]
    assert (len(weights), len(optimizers)) == (expected.checkpoints, 1)
    assert weights[0] == pytest.approx(expected.each, abs=8192)
    assert optimizers[0] == pytest.approx(expected.optimizer, abs=16384)


@pytest.mark.parametrize("free", [10**15, 1000, None])
def test_too_little_memory_is_said_and_not_refused(tmp_path, monkeypatch, free):
    pair_of(tmp_path)
    given = {**settings(tmp_path), "out": tmp_path / "run", "prompts": tmp_path / "p.jsonl"}
    config = SessionConfig(**given).resolved()
    both = loading.load_pair(str(tmp_path / "s"), str(tmp_path / "t"), "cpu", "float32")
    monkeypatch.setattr(memory, "free_memory", lambda device: free)
    sentence, _ = memory.told(config, *both, Tasks.of(config).known)
    assert ("ARE FREE, it will likely not fit" in sentence) == (free == 1000)
    assert ("free" in sentence.lower()) == (free is not None)


def test_groups_that_are_worked_on_side_by_side_count_each_up_to_as_many_as_there_are(tmp_path):
    given = SessionConfig(out=tmp_path / "run", rollouts=14, held_out=0).resolved()
    tasks = Tasks.of(given)
    both = loading.load_pair(*tasks.models, "cpu", "float32")
    one, two, many, most = (
        memory.estimate(replace(given, threads=n), *both, tasks.known) for n in (1, 2, 7, 8)
    )
    gradient = sum(p.nbytes for p in both[0].trained)
    assert two.activations == 2 * (one.activations + gradient) < many.activations
    assert most.activations == many.activations  # 14 rollouts make no eighth group
    assert two.logits == 2 * one.logits and two.sampling == one.sampling
    graded = memory.estimate(replace(given, threads=2, held_out=256), *both, tasks.known)
    assert graded.sampling == 2 * two.sampling
    assert one.reread == 128 * 150 * both[1].width * 4
