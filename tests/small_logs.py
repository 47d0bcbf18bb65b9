"""A log of three token types, of numbers that are drawn: as little as the log itself needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import conftest
import numpy as np
import pyarrow as pa

from rockcore import schema
from rockcore.log import RunWriter
from rockcore.rocks import RockRule
from rockcore.schema import RunMeta

# finds some in drawn numbers, in which no set is stable
LENIENT = RockRule.from_short("lenient;even_share=0;gamma=0.125;min_jaccard=0;tau_quantile=0.5")
VOCAB = {"token_id": [0, 1, 2], "token": ["a", "\n", "\\xff"], "special": [True, False, False]}


def meta(**changes) -> RunMeta:
    return RunMeta(
        **{
            "name": "r",
            "student": "s",
            "teacher": "t",
            "tokenizer_hash": "0",
            "vocab_size": 3,
            **changes,
        }
    )


def tokens(step: int, rollouts: int = 2, length: int = 5, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng([seed, step])
    n = rollouts * length
    kinds = {pa.float32(): np.float32, pa.float16(): np.float16}
    floats = {
        name: rng.normal(1, 0.3, n).astype(kinds[c.type])
        for name, c in schema.TOKENS.items()
        if c.type in kinds
    }
    return {
        "step": np.full(n, step),
        "rollout_id": np.repeat(np.arange(rollouts), length),
        "position": np.tile(np.arange(length), rollouts),
        "token_id": rng.integers(0, 3, n),
        **floats,
    }


def write_small_log(path: Path) -> Path:
    """Tokens at two steps and one of evals."""
    writer = RunWriter.create(path, meta(), VOCAB)
    for step in (0, 10):
        writer.append("tokens", step, tokens(step))
    evals = {
        "step": [0] * 4,
        "problem_id": [0, 1, 0, 1],
        "decoding": ["greedy"] * 2 + ["sampled"] * 2,
        "correct": [True, False, True, True],
    }
    writer.append("evals", 0, evals)
    return path


def write_many_on_one_prompt(path: Path, rollouts: int, steps: tuple[int, ...] = (0, 10)) -> Path:
    """A run whose fresh rollouts, of three tokens each, all answer one prompt."""
    rng = np.random.default_rng(0)
    about: dict[str, Any] = {
        "student": "s",
        "teacher": "t",
        "tokenizer_hash": "0" * 16,
        "status": "finished",
    }
    meta = RunMeta(name=path.name, vocab_size=len(conftest.WORDS), **about)
    writer = RunWriter.create(path, meta, conftest._vocab())
    for step in steps:
        tokens_BT = list(rng.integers(2, 12, (rollouts, 3)))
        texts = conftest._texts(step, tokens_BT) | {"prompt": ["How many?"] * rollouts}
        values = conftest._values(rng, step, tokens_BT)
        writer.append("rollouts", step, texts)
        writer.append("tokens", step, values)
        metrics = conftest._metrics(step, values["kl"]) | {"rollouts": [rollouts]}
        writer.append("metrics", step, metrics)
    return path
