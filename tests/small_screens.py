"""Knockout screens of numbers that are drawn, written through the real ScreenWriter: what a ban
does to the answers is planted.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from conftest import WORDS

from rockcore.log import Run
from rockcore.log.screens import Screen, ScreenWriter
from rockcore.schema.screen import Candidate, ScreenPlan

_ID = {word: i for i, word in enumerate(WORDS)}
END = _ID["<eos>"]
# what is written before the box: nothing that the answer needs
_PLAIN = [i for w, i in _ID.items() if not w.isdigit() and w not in ("\\boxed", "{", "}", "<eos>")]


def candidates(tokens: Mapping[int, float], windows: Mapping[int, tuple[int, ...]] = {}) -> Any:
    """A candidate of kind token for each id, and of kind window for the ids that have one."""
    return tuple(Candidate(f"token-{i}", "token", i, (i,), "set") for i in tokens) + tuple(
        Candidate(f"window-{i}", "window", i, ids, "set") for i, ids in windows.items()
    )


def write_screen(
    run: Path,
    effects: Mapping[int, float],
    windows: Mapping[int, tuple[int, ...]] = {},
    random: Mapping[int, float] = {},
    problems: int = 60,
    rollouts: int = 4,
    length: int = 30,
    seed: int = 0,
    finished: int | None = None,
) -> Screen:
    """Write a screen beside a tiny run and open it.

    `effects`: token id -> what its ban adds to the probability that a changed rollout is right. A
    rollout changes if it holds the id. `windows` have the effect of their token and `random` are
    controls. `finished`: how many candidates are done, default all.
    """
    rng = np.random.default_rng(seed)
    chosen = candidates(effects, windows) + tuple(
        Candidate(f"random-{i}", "random", i, (i,), "random") for i in random
    )
    meta = Run.open(run).meta
    plan = ScreenPlan(
        step=20,
        student=meta.student,
        tokenizer_hash=meta.tokenizer_hash,
        vocab_size=meta.vocab_size,
        problems=problems,
        rollouts=rollouts,
        seed=seed,
        temperature=1.0,
        max_new_tokens=length + 10,
        stop_ids=(END,),
        kept_texts=20,
    )
    writer = ScreenWriter(run, plan)
    right = rng.beta(2, 2, problems)
    correct_IB = rng.random((problems, rollouts)) < right[:, None]
    texts = [_text(rng, int(rng.integers(length // 2, length))) for _ in range(correct_IB.size)]
    writer.write_problems(
        [f"Mia has {i} apples. <b>How many</b>?" for i in range(problems)],
        [str(i % 10) for i in range(problems)],
    )
    writer.write_baseline(correct_IB, texts)
    writer.save_plan(chosen)
    for candidate in chosen[:finished]:
        effect = {**random, **effects}[candidate.token_id]
        rows = _outcomes(rng, candidate, texts, right, effect, rollouts)
        writer.write_outcomes(candidate.key, rows)
    return Screen.open(run)


def _text(rng: np.random.Generator, length: int) -> list[int]:
    body = rng.choice(_PLAIN, length, p=_falling(len(_PLAIN))).tolist()
    box = [_ID["\\boxed"], _ID["{"], _ID[str(rng.integers(10))], _ID["}"]]
    return [*body, *box, END]


def _falling(n: int) -> np.ndarray:
    weights = 1 / np.arange(1, n + 1)
    return weights / weights.sum()


def _outcomes(
    rng: np.random.Generator,
    candidate: Candidate,
    texts: list[list[int]],
    right: np.ndarray,
    effect: float,
    rollouts: int,
) -> dict[str, Any]:
    banned = set(candidate.ids)
    at = {n: branch for n, ids in enumerate(texts) if (branch := _first(ids, banned)) is not None}
    rows, branch = np.array([*at], int), np.array([*at.values()], int)
    p = right[rows // rollouts]
    free = [i for i in _PLAIN if i not in banned]
    new = [_text(rng, int(rng.integers(1, 12))) for _ in at]
    for text in new:
        text[0] = int(rng.choice(free))
    return {
        "problem": rows // rollouts,
        "rollout": rows % rollouts,
        "branch": branch,
        "replacement": [text[0] for text in new],
        "length": branch + [len(text) for text in new],
        "correct": rng.random(len(at)) < np.clip(p + effect, 0, 1),
        "sham_correct": rng.random(len(at)) < p if candidate.kind == "token" else [None] * len(at),
        "ids": [text if n < 20 else None for n, text in enumerate(new)],
    }


def _first(ids: list[int], banned: set[int]) -> int | None:
    return next((t for t, i in enumerate(ids) if i in banned), None)
