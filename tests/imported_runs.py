"""Runs as importers write them: each lacks what its trainer could not tell. Drawn numbers, written
through the real RunWriter.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rockcore.log import RunWriter
from rockcore.schema import RunMeta

WORDS = ("<eos>", "\n", "So", " we", " add", " 12", " and", " 30", ":", " 42", ".", " <b>wait</b>")
STEPS = (5, 10, 15)
LOGPS = ("student_logp", "teacher_logp", "sampled_loss")
NOTE = "The values of this export are rounded to four decimals."


def _values(
    rng: np.random.Generator, step: int, ids_BT: list[np.ndarray], columns: tuple[str, ...]
) -> dict[str, Any]:
    ids = np.concatenate(ids_BT)
    n = len(ids)
    student, loss = -rng.gamma(0.5, 1.0, n), rng.normal(0.2, 1.0, n)
    every = {
        "kl": rng.gamma(0.3, 1.0, n) * (1 + ids % 5),
        "sampled_loss": loss,
        "student_logp": student,
        "teacher_logp": student - loss,
        "student_entropy": rng.gamma(1.0, 0.5, n),
        "grad_norm": rng.gamma(1.0, 0.1, n),
        "weight": np.ones(n),
    }
    return {
        "step": np.full(n, step),
        "rollout_id": np.repeat(np.arange(len(ids_BT)), [len(t) for t in ids_BT]),
        "position": np.concatenate([np.arange(len(t)) for t in ids_BT]),
        "token_id": ids,
        **{name: every[name] for name in columns},
    }


def _texts(step: int, ids_BT: list[np.ndarray]) -> dict[str, Any]:
    return {
        "step": [step] * len(ids_BT),
        "rollout_id": list(range(len(ids_BT))),
        "prompt": [f"What is {i} + <b>30</b>?" for i in range(len(ids_BT))],
        "response": ["".join(WORDS[t] for t in row) for row in ids_BT],
    }


def _sample(rng: np.random.Generator, rollouts: int) -> list[np.ndarray]:
    return [np.append(rng.integers(1, len(WORDS), 20 + 7 * (r % 3)), 0) for r in range(rollouts)]


def _create(path: Path, words: tuple[str, ...] = WORDS, **about: Any) -> RunWriter:
    given: dict[str, Any] = {
        "student": "unknown",
        "teacher": "unknown",
        "tokenizer_hash": f"unknown:{path.name}",
        "status": "finished",
        "estimator": "absent",
        "student_logps": "absent",
        "source": "a test's format",
    }
    meta = RunMeta(name=path.name, vocab_size=len(words), **(given | about))
    vocab = {
        "token_id": range(len(words)),
        "token": list(words),
        "special": [w == "<eos>" for w in words],
    }
    return RunWriter.create(path, meta, vocab)


def fresh(
    columns: tuple[str, ...] = (),
    steps: tuple[int, ...] = STEPS,
    rollouts: int = 6,
    metrics: bool = True,
    **about: Any,
) -> Callable[[Path], Path]:
    """Fresh rollouts of some steps, with these values of each token."""

    def write(path: Path) -> Path:
        rng = np.random.default_rng(0)
        writer = _create(path, **about)
        for step in steps:
            ids_BT = _sample(rng, rollouts)
            writer.append("rollouts", step, _texts(step, ids_BT))
            values = _values(rng, step, ids_BT, columns)
            writer.append("tokens", step, values)
            if metrics:
                n = {"step": [step], "rollouts": [rollouts], "tokens": [len(values["step"])]}
                writer.append("metrics", step, n | _kl_of(values))
        return path

    return write


def _kl_of(values: dict[str, Any]) -> dict[str, Any]:
    if "kl" not in values:
        return {}
    kl = values["kl"]
    return {"kl_mean": [kl.mean()], "kl_stderr": [kl.std() / len(kl) ** 0.5]}


def write_rollouts_alone(path: Path) -> Path:
    """Words without tokens, and so without a vocabulary."""
    rng = np.random.default_rng(0)
    writer = _create(path, ())
    for step in STEPS:
        writer.append("rollouts", step, _texts(step, _sample(rng, 6)))
    return path


def write_probes_alone(path: Path) -> Path:
    """The texts of two checkpoints, scored under both, without what the teacher would have said."""
    rng = np.random.default_rng(0)
    writer = _create(path, estimator="full", student_logps="trainer")
    ids_BT = _sample(rng, 12)
    writer.write_probe_rollouts("final", _texts(0, ids_BT))
    for step in (0, 100):
        writer.write("probe/final", _values(rng, step, ids_BT, ("kl",)), step)
    return path


SAMPLED: dict[str, Any] = {"student_logps": "sampler", "notes": [NOTE]}
KINDS: dict[str, Callable[[Path], Path]] = {
    "sampled loss": fresh(LOGPS, **SAMPLED),
    "student alone": fresh(("student_logp",), student_logps="sampler"),
    "token ids": fresh(),
    "rollouts alone": write_rollouts_alone,
    "top-k kl": fresh(("kl",), estimator="topk"),
    "probes alone": write_probes_alone,
    "one step": fresh(LOGPS, steps=(7,), metrics=False, **SAMPLED),
    "one text": fresh(LOGPS, steps=(7,), rollouts=1, **SAMPLED),
    "kl alone": fresh(("kl",), estimator="full", metrics=False),
}
