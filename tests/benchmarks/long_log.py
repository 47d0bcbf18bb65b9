"""Logs for the benchmark of the dashboard: long texts scored at several steps, with alternatives,
and many positions.

Drawn, not trained. Of a real log they have what costs time: words by Zipf's law, a kl of which four
fifths are near nothing and the rest heavy-tailed, positions that stay hard or get easier over the
steps, alternatives that name thousands of words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rockcore.log import RunWriter
from rockcore.schema import METRICS, TOP_ALTERNATIVES, RunMeta

VOCABULARY = 8_000
MARKS = [
    "<eos>",
    " the",
    ",",
    ".",
    "\n",
    " of",
    " =",
    " to",
    "$",
    " is",
    "\n\n",
    " and",
    "{",
    "}",
    " +",
    "\\frac",
    *map(str, range(10)),
]


@dataclass(frozen=True)
class Shape:
    """Steps, and the lengths of the texts in tokens: fresh ones of each step, and those of the
    probe sets.
    """

    steps: tuple[int, ...]
    fresh: Sequence[int]
    probes: dict[str, Sequence[int]]

    @property
    def positions(self) -> int:
        return len(self.steps) * (sum(self.fresh) + sum(map(sum, self.probes.values())))


STEPS = tuple(range(0, 320, 40))
LONG = Shape(STEPS, [1_000] * 20, {"final": [8_000, 8_000, 8_000, 8_000, 32_000, 32_000]})
MILLION = Shape(STEPS, [1_000] * 65, {"first": [1_000] * 30, "final": [1_000] * 30})


@dataclass
class Words:
    """A vocabulary in the order of frequency, and the draws from it."""

    rng: np.random.Generator
    text: list[str] = field(init=False)
    share: np.ndarray = field(init=False)  # cumulative

    def __post_init__(self) -> None:
        parts = np.array("ba con de en fi ga in la mo ne or per qua re si ta un ver wo x".split())
        made = dict.fromkeys(
            " " + "".join(self.rng.choice(parts, n))
            for n in self.rng.integers(1, 5, 3 * VOCABULARY)
        )
        self.text = [*MARKS, *made][:VOCABULARY]
        zipf = 1 / (np.arange(VOCABULARY) + 2.7)
        self.share = np.cumsum(zipf / zipf.sum())

    def draw(self, *shape: int) -> np.ndarray:
        return np.minimum(
            np.searchsorted(self.share, self.rng.random(shape)), VOCABULARY - TOP_ALTERNATIVES - 1
        )

    def alternatives(self, ids_T: np.ndarray, kl_T: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(T, k) ids and log probabilities: the token itself and others, all different, flatter
        where kl is high.
        """
        others = np.sort(self.draw(len(ids_T), TOP_ALTERNATIVES - 1)) + np.arange(
            TOP_ALTERNATIVES - 1
        )
        others += others >= ids_T[:, None]
        ids = np.concatenate([ids_T[:, None], others], axis=1)
        flat = np.minimum(kl_T[:, None] + self.rng.gamma(0.2, 0.5, (len(ids_T), 1)), 3.0) + 0.05
        logits = -np.arange(TOP_ALTERNATIVES) / flat
        return ids, logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)) - 1e-3


@dataclass(frozen=True)
class Texts:
    """B texts of one source: their tokens, and how hard each position is at the first step."""

    lengths: np.ndarray
    ids: np.ndarray
    hard: np.ndarray
    learned: np.ndarray

    @classmethod
    def drawn(cls, words: Words, lengths: Sequence[int]) -> Texts:
        rng, n = words.rng, sum(lengths)
        easy = np.exp(rng.normal(-8.5, 1.5, n))
        hard = np.where(rng.random(n) < 0.2, rng.gamma(0.6, 1.2, n), easy)
        return cls(np.array(lengths), words.draw(n), hard, rng.random(n) < 0.5)

    def places(self, step: int) -> dict[str, Any]:
        starts = np.cumsum(self.lengths) - self.lengths
        return {
            "step": np.full(len(self.ids), step),
            "rollout_id": np.repeat(np.arange(len(self.lengths)), self.lengths),
            "position": np.arange(len(self.ids)) - np.repeat(starts, self.lengths),
            "token_id": self.ids,
        }

    def rows(self, words: Words, step: int) -> dict[str, Any]:
        """schema.ROLLOUTS."""
        b = len(self.lengths)
        pieces = np.split(self.ids, np.cumsum(self.lengths)[:-1])
        response = ["".join(words.text[i] for i in piece) for piece in pieces]
        same = {
            "step": step,
            "prompt": "Prove it.",
            "teacher_prompt": "Style: brisk. Prove it.",
            "answer": None,
            "correct": None,
        }
        return {
            "rollout_id": range(b),
            "response": response,
            "truncated": [False] * b,
            **{k: [v] * b for k, v in same.items()},
        }


def values(words: Words, texts: Texts, step: int, top: bool) -> dict[str, Any]:
    """Columns of schema.TOKENS, or with `top` of schema.PROBE and PROBE_TEACHER."""
    rng, n = words.rng, len(texts.ids)
    kl = texts.hard * rng.gamma(8, 1 / 8, n) * np.where(texts.learned, np.exp(-step / 100), 1.0)
    entropy = np.minimum(kl + rng.gamma(0.2, 0.5, n), 5.0)
    sampled_loss = rng.normal(kl, np.sqrt(kl) + 1e-4)
    found = {
        **texts.places(step),
        "kl": kl,
        "sampled_loss": sampled_loss,
        "student_logp": -entropy,
        "teacher_logp": -entropy - sampled_loss,
    }
    found |= {
        "student_entropy": entropy,
        "teacher_entropy": 0.8 * entropy,
        "grad_norm": np.minimum(kl, 1.4),
    }
    if not top:
        return {**found, "weight": np.ones(n)}
    for who in ("student", "teacher"):
        found[f"{who}_top_ids"], found[f"{who}_top_logps"] = words.alternatives(texts.ids, kl)
    return found


def write(path: Path, shape: Shape, seed: int = 0) -> Path:
    """A finished run of this shape."""
    words = Words(np.random.default_rng(seed))
    about = {
        "student": "drawn",
        "teacher": "drawn",
        "tokenizer_hash": "drawn",
        "status": "finished",
        "steps_planned": shape.steps[-1],
    }
    vocab = {
        "token_id": range(VOCABULARY),
        "token": words.text,
        "special": [t == "<eos>" for t in words.text],
    }
    writer = RunWriter.create(path, RunMeta(name=path.name, vocab_size=VOCABULARY, **about), vocab)
    probes = {name: Texts.drawn(words, lengths) for name, lengths in shape.probes.items()}
    for name, texts in probes.items():
        writer.write_probe_rollouts(name, texts.rows(words, 0))
    for step in shape.steps:
        fresh = Texts.drawn(words, shape.fresh)
        logged = values(words, fresh, step, top=False)
        writer.append("rollouts", step, fresh.rows(words, step))
        writer.append("tokens", step, logged)
        for name, texts in probes.items():
            writer.append_probe(name, step, values(words, texts, step, top=True))
        writer.append("metrics", step, metrics(step, logged["kl"], len(shape.fresh)))
    return path


def metrics(step: int, kl: np.ndarray, rollouts: int) -> dict[str, Any]:
    """One row of schema.METRICS."""
    row = {
        "step": step,
        "rollouts": rollouts,
        "tokens": len(kl),
        "kl_mean": kl.mean(),
        "kl_stderr": kl.std() / len(kl) ** 0.5,
    }
    row |= {
        "accuracy": None,
        "learning_rate": 1e-4,
        "update_norm": 1.0,
        **{name: 0.1 for name in METRICS if name.endswith("_s")},
    }
    return {name: [value] for name, value in row.items()}
