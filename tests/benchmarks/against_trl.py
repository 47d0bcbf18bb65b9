"""A step of a pair with random weights, here and in TRL's DistillationTrainer: seconds, peak
memory, and what of ours is logging. Each side has a process of its own; both ratios are of one run.

    python tests/benchmarks/against_trl.py     # a pair for a CPU, a minute or two
    python tests/benchmarks/against_trl.py --pair large --device cuda --dtype bfloat16

`large`: student and teacher of 0.5 and 1.5 billion parameters over 151,936 ids, 64 rollouts of 512
tokens. Random weights hardly ever end a text, so both sides write and judge as many tokens. Memory
is the most that torch had of the GPU, or the largest resident size of the process. Needs trl and
datasets.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

from rockcore import world
from rockcore.config import SessionConfig
from rockcore.log import Run, sample_runs
from rockcore.training.session import train

# hidden size, layers, inner size, heads, heads of keys and values
SIZES = {
    "small": ((256, 6, 704, 4, 2), (384, 8, 1056, 6, 2)),
    "large": ((896, 24, 4864, 14, 2), (1536, 28, 8960, 12, 2)),
}
SHAPES = {"small": (8192, 8, 64), "large": (151_936, 64, 512)}  # ids, rollouts, tokens


@dataclass(frozen=True)
class Step:
    """What both sides train."""

    student: str
    teacher: str
    prompts: str
    rollouts: int
    max_new_tokens: int
    steps: int
    device: str = "cpu"
    dtype: str = "float32"
    micro_batch: int | None = None
    gradient_checkpointing: bool = False
    threads: int = 1


def random_model(folder: Path, sizes: tuple[int, ...], vocab_size: int) -> str:
    """Its head has more rows than its tokenizer has tokens, as those of real models do."""
    AutoTokenizer.from_pretrained(sample_runs() / "models" / "teacher").save_pretrained(folder)
    torch.manual_seed(0)
    width, layers, inner, heads, kept = sizes
    config = Qwen2Config(
        vocab_size=vocab_size,
        hidden_size=width,
        num_hidden_layers=layers,
        intermediate_size=inner,
        num_attention_heads=heads,
        num_key_value_heads=kept,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    return str(folder)


def ours(step: Step, folder: Path) -> dict[str, float]:
    """Median seconds a step, peak bytes, share of logging; the first two steps warm up."""
    of_both = {f.name for f in fields(SessionConfig)} & {f.name for f in fields(Step)}
    given: dict[str, Any] = {n: v for n, v in asdict(step).items() if n in of_both}
    config = SessionConfig(
        **{**given, "prompts": Path(step.prompts), "steps": step.steps + 2},
        out=folder / "run",
        lr=1e-6,
        probes=0,
        held_out=0,
        gradients="off",
        probe_every=10**6,
    )
    seconds: list[float] = []
    train(config, lambda p: seconds.append(p.seconds))
    metrics = Run.open(config.out).metrics().iloc[2:-1]
    step_s = float(np.median(seconds[2:-1]))
    return {
        "step_s": step_s,
        "tokens": float(metrics.tokens.mean()),
        "log_share": float(metrics.log_s.median()) / step_s,
        "peak": _peak(step.device),
    }


def trl(step: Step, folder: Path) -> dict[str, float]:
    """The same in TRL, beta = 1 being the reverse KL."""
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import DistillationConfig, DistillationTrainer

    torch.set_num_threads(step.threads)
    marks: list[tuple[float, float]] = []

    class Mark(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if step.device == "cuda":
                torch.cuda.synchronize()
            marks.append((time.perf_counter(), time.process_time()))

    rows = [
        {"prompt": [{"role": "user", "content": json.loads(line)["prompt"]}]}
        for line in Path(step.prompts).read_text().splitlines()
    ]
    together = step.micro_batch or step.rollouts
    settings = DistillationConfig(
        output_dir=str(folder / "trl"),
        per_device_train_batch_size=together,
        gradient_accumulation_steps=-(-step.rollouts // together),
        max_completion_length=step.max_new_tokens,
        max_steps=step.steps + 2,
        learning_rate=1e-6,
        beta=1.0,
        temperature=1.0,
        use_cpu=step.device == "cpu",
        bf16=step.dtype == "bfloat16",
        gradient_checkpointing=step.gradient_checkpointing,
        report_to=[],
        save_strategy="no",
        logging_steps=10**6,
        disable_tqdm=True,
    )
    loaded = AutoModelForCausalLM.from_pretrained
    trainer = DistillationTrainer(
        model=loaded(step.student, dtype=torch.float32),
        teacher_model=loaded(step.teacher, dtype=getattr(torch, step.dtype)),
        args=settings,
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(step.student),
        callbacks=[Mark()],
    )
    trainer.train()
    seconds, cpu = np.diff(marks, axis=0)[1:].T
    return {
        "step_s": float(np.median(seconds)),
        "least_s": float(seconds.min()),
        "cpu_s": float(np.median(cpu)),
        "peak": _peak(step.device),
    }


def _peak(device: str) -> int:
    """Bytes at most."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << (10 * (sys.platform == "linux"))


def in_a_process(side: str, step: Step) -> dict[str, float]:
    """What one side measures; nothing of the other is in its memory."""
    with tempfile.TemporaryDirectory() as folder:
        call = [sys.executable, __file__, "--side", side, json.dumps([asdict(step), folder])]
        done = subprocess.run(call, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main(
    pair: Literal["small", "large"] = "small",
    device: Literal["cpu", "cuda"] = "cpu",
    dtype: Literal["float32", "bfloat16"] = "float32",
    steps: int = 5,
    rollouts: int | None = None,
    max_new_tokens: int | None = None,
    vocab_size: int | None = None,
    micro_batch: int | None = None,
    gradient_checkpointing: bool = False,
    threads: int = 1,
) -> None:
    """Measure both sides."""
    shape = SHAPES[pair]
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        student, teacher = (
            random_model(root / role, sizes, vocab_size or shape[0])
            for role, sizes in zip("st", SIZES[pair], strict=True)
        )
        texts = (json.dumps({"prompt": p.prompt}) for p in islice(world.prompts("habit", 0), 500))
        (root / "p.jsonl").write_text("\n".join(texts))
        step = Step(
            student,
            teacher,
            str(root / "p.jsonl"),
            rollouts or shape[1],
            max_new_tokens or shape[2],
            steps,
            device,
            dtype,
            micro_batch,
            gradient_checkpointing,
            threads,
        )
        mine, theirs = (in_a_process(side, step) for side in ("ours", "trl"))
    table = Table("", "seconds a step", "peak memory, GB", "logging / step")
    for label, found in (("rockcore", mine), ("TRL", theirs)):
        share = f"{found['log_share']:.1%}" if "log_share" in found else "-"
        table.add_row(label, f"{found['step_s']:.2f}", f"{found['peak'] / 1e9:.2f}", share)
    ratios = (theirs[name] / mine[name] for name in ("step_s", "peak"))
    table.add_row("TRL / rockcore", *(f"{ratio:.2f}" for ratio in ratios), "")
    Console(width=100).print(table)
    print(f"{mine['tokens']:,.0f} tokens a step on {device}, {dtype}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--side"]:
        given, place = json.loads(sys.argv[3])
        measure = {"ours": ours, "trl": trl}[sys.argv[2]]
        print(json.dumps(measure(Step(**given), Path(place))))
        sys.exit()
    sys.exit(tyro.cli(main))
