"""What it costs to record a step of TRL's DistillationTrainer.

    python tests/benchmarks/recorder.py [--steps 12] [--json]

The shapes of `train_step.py`, at one thread. The recorder times itself (`log_s` of the metrics:
what it takes of the loss, fetches and writes); told is its share of the time of each step, the
median over the steps with the middle half, and the same with each token's log probabilities. The
first two steps warm up. On a CPU nothing of it runs beside the training.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table
from train_step import Shape, shapes

from rockcore.log import Run
from rockcore.recorders import record

WAYS: dict[str, dict[str, Any]] = {"kl": {}, "kl, logps": {"logps": True}}


class Times(NamedTuple):
    """Seconds of each step but the first two: from its start to that of the next, and of those what
    the recorder took.
    """

    step: np.ndarray
    recorder: np.ndarray


def times(shape: Shape, steps: int, out: Path, way: dict[str, Any]) -> Times:
    from datasets import Dataset
    from transformers import AutoTokenizer, LlamaForCausalLM, TrainerCallback
    from trl import DistillationConfig, DistillationTrainer

    marks: list[float] = []

    class Mark(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            marks.append(time.perf_counter())

        def on_train_end(self, args, state, control, **kwargs):
            marks.append(time.perf_counter())

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
    with record(trainer, out / "run", **way):
        trainer.train()
    return Times(np.diff(marks)[2:], Run.open(out / "run").metrics().log_s.to_numpy()[2:])


def main(steps: int = 12, as_json: Annotated[bool, tyro.conf.arg(name="json")] = False) -> None:
    """Measure what recording adds to a step."""
    torch.set_num_threads(1)
    results: dict[str, dict[str, float]] = {}
    table = Table("shape", "recorded", "ms a step", "of these", "share", "middle half")
    with tempfile.TemporaryDirectory() as name:
        for i, shape in enumerate(shapes(Path(name))):
            for j, (way, settings) in enumerate(WAYS.items()):
                step, recorder = times(shape, steps, Path(name) / f"{i}-{j}", settings)
                low, share, high = np.quantile(recorder / step, [0.25, 0.5, 0.75]).tolist()
                step_s, own_s = float(np.median(step)), float(np.median(recorder))
                results[f"{shape.name}: {way}"] = {"step_s": step_s, "share": share}
                ms = f"{step_s * 1e3:.0f}", f"{own_s * 1e3:.1f}"
                table.add_row(shape.name, way, *ms, f"{share:.1%}", f"{low:.1%} to {high:.1%}")
    Console(width=140).print(table)
    if as_json:
        print(json.dumps(results))


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
