"""What it costs to record a step of TRL's DistillationTrainer.

    python tests/benchmarks/recorder.py [--steps 12] [--json]

The shapes of `train_step.py`. Each way of recording trains the same student on the same texts (the
training is the same to the bit), at one thread; told is the median over the steps of the ratio of
their CPU times, recorded to not recorded, with the middle half. The first two steps warm up.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table
from train_step import Shape, shapes

from rockcore.recorders import record

WAYS: dict[str, dict[str, Any] | None] = {
    "not recorded": None,
    "kl": {},
    "kl, logps": {"logps": True},
    "not recorded, again": None,
}


def step_seconds(shape: Shape, steps: int, out: Path, way: dict[str, Any] | None) -> np.ndarray:
    """CPU time of each step but the first two, from the start of one to that of the next."""
    from datasets import Dataset
    from transformers import AutoTokenizer, LlamaForCausalLM, TrainerCallback
    from trl import DistillationConfig, DistillationTrainer

    marks: list[float] = []

    class Mark(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            marks.append(time.process_time())

        def on_train_end(self, args, state, control, **kwargs):
            marks.append(time.process_time())

    rows = [json.loads(line) for line in shape.prompts.read_text().splitlines()]
    chat = [{"prompt": [{"role": "user", "content": row["prompt"]}]} for row in rows]
    settings = DistillationConfig(
        output_dir=str(out / "trl"),
        per_device_train_batch_size=shape.rollouts,
        max_completion_length=shape.max_new_tokens,
        max_steps=steps + 2,
        learning_rate=1e-6,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        beta=1.0,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )
    trainer = DistillationTrainer(
        model=LlamaForCausalLM.from_pretrained(shape.student, dtype=torch.float32),
        teacher_model=LlamaForCausalLM.from_pretrained(shape.teacher, dtype=torch.float32),
        args=settings,
        train_dataset=Dataset.from_list(chat),
        processing_class=AutoTokenizer.from_pretrained(shape.student),
        callbacks=[Mark()],
    )
    with nullcontext() if way is None else record(trainer, out / "run", **way):
        trainer.train()
    return np.diff(marks)[2:]


def main(steps: int = 12, as_json: Annotated[bool, tyro.conf.arg(name="json")] = False) -> None:
    """Measure what recording adds to a step."""
    torch.set_num_threads(1)
    results: dict[str, dict[str, Any]] = {}
    table = Table("shape", "way", "ms of CPU a step", "ratio", "middle half of the ratios")
    with tempfile.TemporaryDirectory() as name:
        for i, shape in enumerate(shapes(Path(name))):
            plain = None
            for j, (way, settings) in enumerate(WAYS.items()):
                out = Path(name) / f"{i}-{j}"
                seconds = step_seconds(shape, steps, out, settings)
                plain = seconds if plain is None else plain
                low, ratio, high = np.quantile(seconds / plain, [0.25, 0.5, 0.75])
                results[f"{shape.name}: {way}"] = {
                    "step_s": float(np.median(seconds)),
                    "ratio": float(ratio),
                }
                ms = f"{np.median(seconds) * 1e3:.0f}"
                table.add_row(shape.name, way, ms, f"{ratio:.3f}", f"{low:.3f} to {high:.3f}")
    Console(width=140).print(table)
    if as_json:
        print(json.dumps(results))


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
