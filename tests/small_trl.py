"""TRL's `DistillationTrainer` on a tiny pair: a step takes a twentieth of a second."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import small_pairs
import torch

BATCH, ACCUMULATED, LONGEST = 2, 2, 12  # rows of a micro-batch, micro-batches of a step, tokens


class SmallPair(NamedTuple):
    student: str
    teacher: str
    prompts: Path


def small_pair(folder: Path, **of_both: Any) -> SmallPair:
    """Two random Llamas with one tokenizer, and eight prompts of unequal lengths."""
    return SmallPair(
        small_pairs.save(folder / "student", **of_both),
        small_pairs.save(folder / "teacher", seed=1, **of_both),
        small_pairs.prompts_file(folder / "prompts.jsonl", 8),
    )


def trainer(
    pair: SmallPair, out: Path, steps: int = 3, callbacks: Any = (), **settings: Any
) -> Any:
    """A trainer that has trained nothing yet; `settings` of a DistillationConfig."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DistillationConfig, DistillationTrainer

    rows = [json.loads(line) for line in pair.prompts.read_text().splitlines()]
    data = Dataset.from_list(rows)
    usual: dict[str, Any] = {
        "per_device_train_batch_size": BATCH,
        "gradient_accumulation_steps": ACCUMULATED,
        "max_completion_length": LONGEST,
        "max_steps": steps,
        "learning_rate": 1e-2,
        "beta": 1.0,
        "use_cpu": True,
        "bf16": False,
        "report_to": [],
        "save_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
    }
    student, teacher = (
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        for folder in (pair.student, pair.teacher)
    )
    return DistillationTrainer(
        model=student,
        teacher_model=teacher,
        args=DistillationConfig(output_dir=str(out), **{**usual, **settings}),
        train_dataset=data,
        eval_dataset=data if "eval_strategy" in settings else None,
        processing_class=AutoTokenizer.from_pretrained(pair.student),
        callbacks=list(callbacks),
    )
