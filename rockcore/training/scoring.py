"""Rollouts, and the one pass that judges them: student and teacher at the same response positions,
gradient included.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rockcore.schema import TOP_ALTERNATIVES, Prompt
from rockcore.training.divergence import TokenLosses, judge, top_alternatives
from rockcore.training.models import SMALL, Ids, Model, chunks, encode_all
from rockcore.training.padding import CutMass, mass_beyond


class Clock:
    """Seconds spent in named phases of a step."""

    def __init__(self, device: torch.device | None = None):
        self.seconds: dict[str, float] = {}
        self.device = device

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        start = self._now()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + self._now() - start

    def _now(self) -> float:
        if self.device is not None and self.device.type == "cuda":
            torch.cuda.synchronize(
                self.device
            )  # otherwise a phase ends when its kernels are queued, not when they are done
        return time.perf_counter()


@dataclass(frozen=True)
class Rollouts:
    """What the student wrote on some tasks: R rollouts, N response tokens in all."""

    tasks: Sequence[Prompt]
    student_prompts: Sequence[Ids]
    teacher_prompts: Sequence[Ids]
    responses: Sequence[Ids]
    texts: Sequence[str]  # the responses as text

    @property
    def lengths(self) -> list[int]:
        return [len(r) for r in self.responses]

    def __getitem__(self, rows: slice) -> Rollouts:
        return Rollouts(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def token_ids(self) -> np.ndarray:
        return np.fromiter((token for r in self.responses for token in r), dtype=np.int32)


def sample(
    student: Model,
    teacher: Model,
    tasks: Sequence[Prompt],
    max_new_tokens: int,
    temperature: float,
    seed: int,
) -> Rollouts:
    """Let the student answer the tasks; the teacher's prompt may differ, the response positions are
    the same.
    """
    prompts = encode_all(student, tasks, teacher=False)
    responses = student.sample(prompts, max_new_tokens, temperature, seed)
    texts = [student.decode(r) for r in responses]
    return Rollouts(tasks, prompts, encode_all(teacher, tasks, teacher=True), responses, texts)


def rollouts_of(
    student: Model, teacher: Model, tasks: Sequence[Prompt], responses: Sequence[Ids]
) -> Rollouts:
    """Responses that are there already, with the prompts that each model reads before them."""
    prompts = encode_all(student, tasks, teacher=False), encode_all(teacher, tasks, teacher=True)
    return Rollouts(tasks, *prompts, responses, [student.decode(r) for r in responses])


def derived_seed(seed: int, purpose: str, step: int) -> int:
    """An independent seed for every purpose and step: nothing of a random stream has to be saved to
    go on with a run.
    """
    return int(
        np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), step]).generate_state(1)[0]
    )


TOPS = ("student_top_ids", "student_top_logps", "teacher_top_ids", "teacher_top_logps")


@dataclass(frozen=True)
class Scored:
    """Per response token, rollouts one after another: the losses (N,), and the alternatives (M, k)
    of the first M, if any.
    """

    losses: dict[str, np.ndarray]
    alternatives: dict[str, np.ndarray] = field(default_factory=dict)
    cut: CutMass | None = None  # where the pair is restricted to the ids it shares


class Piece(NamedTuple):
    """P positions on their way through `score`: what would be too large to keep of all N, for those
    who reduce it.
    """

    # (P,) index among the N response tokens; the positions of a rollout follow each other, over
    # pieces too
    at: Tensor
    student_logits: Tensor  # (P, V)
    teacher_logits: Tensor  # (P, V)
    gradient: Tensor  # (P, V) float32, of kl in the student's logits; only valid during the call


class Alternatives:
    """Collects both models' likeliest tokens at the first M response tokens as they are scored."""

    def __init__(self, first: int):
        self.first, self._tops, self._at = first, [], []

    def __call__(self, piece: Piece) -> None:
        kept = piece.at < self.first
        if bool(kept.any()):
            logits = piece.student_logits[kept], piece.teacher_logits[kept]
            self._tops.append(
                [part for x in logits for part in top_alternatives(x, TOP_ALTERNATIVES)]
            )
            self._at.append(piece.at[kept])

    def arrays(self) -> dict[str, np.ndarray]:
        """(M, TOP_ALTERNATIVES) each, by the names in TOPS; empty where there is no token."""
        if not self._at:
            return {}
        back = torch.argsort(torch.cat(self._at))
        return {
            name: torch.cat([t[i] for t in self._tops])[back].cpu().numpy()
            for i, name in enumerate(TOPS)
        }


def score(
    student: Model,
    teacher: Model,
    rollouts: Rollouts,
    clock: Clock,
    weight_N: Tensor | None = None,
    watchers: Sequence[Callable[[Piece], None]] = (),
) -> Scored:
    """Judge every response token under both models; with `weight_N`, also accumulate the student's
    gradient.

    The gradient is that of sum_t weight_t kl_t (the caller has divided by the normaliser); it
    enters at the logits in closed form. Rows go in groups of similar length and the vocabulary in
    pieces, so memory does not grow with the batch; each piece is shown to the `watchers`.
    `proj_grad_norm`: the gradient in the projection W is g h^T, h the last hidden state, so its
    norm is ||g|| ||h||; NaN where a model has more than a projection behind h.
    """
    ids_N = torch.from_numpy(rollouts.token_ids()).long().to(student.device)
    found = _Found(student, teacher, len(ids_N))
    learn = weight_N is not None
    for rows, at in _groups(rollouts, _padded_budget(teacher), student.device):
        responses = [rollouts.responses[r] for r in rows]
        with clock.phase("teacher_s"), torch.no_grad():
            q_features = teacher.features([rollouts.teacher_prompts[r] for r in rows], responses)
        with clock.phase("student_s"), torch.set_grad_enabled(learn):
            p_features = student.features([rollouts.student_prompts[r] for r in rows], responses)
        leaf = p_features.detach().requires_grad_(learn)
        found.add_hidden(at, leaf)
        for piece in pieces(len(at), student.vocab_size, student.device):
            here = at[piece]
            with clock.phase("projection_s"):
                with clock.phase("teacher_s"), torch.no_grad():
                    q_all = teacher.all_logits(q_features[piece])
                with clock.phase("student_s"):
                    with torch.set_grad_enabled(learn):
                        p_all = student.all_logits(leaf[piece])
                        p_logits, q_logits = student.narrowed(p_all), teacher.narrowed(q_all)
                    with torch.no_grad():
                        losses, gradient = judge(p_logits, q_logits, ids_N[here])
                        found.add(here, losses, p_all, q_all)
            for watch in watchers:
                watch(Piece(here, p_logits.detach(), q_logits, gradient))
            if weight_N is not None:
                with clock.phase("projection_s"), clock.phase("student_s"):
                    p_logits.backward(gradient.mul_(weight_N[here, None]).to(p_logits.dtype))
        if learn:
            with clock.phase("student_s"):
                p_features.backward(leaf.grad)
    return found.scored()


def _groups(
    rollouts: Rollouts, budget: int, device: torch.device
) -> Iterator[tuple[list[int], Tensor]]:
    """Rows that are judged together, and the indices of their tokens among all N; of a row's two
    prompts the longer one counts.
    """
    starts = [0, *accumulate(rollouts.lengths)]
    longest_prompt = [
        max(a, b, key=len)
        for a, b in zip(rollouts.student_prompts, rollouts.teacher_prompts, strict=True)
    ]
    for rows in chunks(longest_prompt, rollouts.responses, budget):
        yield (
            rows,
            torch.cat([torch.arange(starts[r], starts[r + 1]) for r in rows]).to(device),
        )


class _Found:
    """Gathers the numbers of N positions while their pieces go by."""

    def __init__(self, student: Model, teacher: Model, N: int):
        self.student, self.teacher, device = student, teacher, student.device
        self._losses_CN = torch.empty(len(TokenLosses._fields), N, device=device)
        self._hidden_norm_N = torch.full((N,), torch.nan, device=device)
        self._cut_2N = (
            torch.empty(2, N, device=device) if student.restricted or teacher.restricted else None
        )

    def add_hidden(self, at: Tensor, features: Tensor) -> None:
        if self.student.projects:
            self._hidden_norm_N[at] = features.detach().float().norm(dim=-1)

    def add(self, at: Tensor, losses: TokenLosses, p_all: Tensor, q_all: Tensor) -> None:
        self._losses_CN[:, at] = torch.stack(losses)
        if self._cut_2N is not None:
            shared = self.student.vocab_size
            self._cut_2N[:, at] = torch.stack([mass_beyond(x, shared) for x in (p_all, q_all)])

    def scored(self) -> Scored:
        losses = dict(zip(TokenLosses._fields, self._losses_CN.cpu().numpy(), strict=True))
        norms = losses["grad_norm"] * self._hidden_norm_N.cpu().numpy()
        cut = None if self._cut_2N is None else CutMass(*self._cut_2N.double().mean(1).tolist())
        return Scored({**losses, "proj_grad_norm": norms}, cut=cut)


def _padded_budget(model: Model) -> int:
    """Padded tokens in one pass: small models on a CPU are fastest when activations stay in the
    cache.
    """
    return 1024 if model.size < SMALL and model.device.type == "cpu" else 8192


def pieces(n: int, vocab_size: int, device: torch.device) -> Iterator[slice]:
    """Slices of n positions: on a CPU their logits stay in the cache (1 MB), on a GPU they take 256
    MB at most.
    """
    cells = 1 << 18 if device.type == "cpu" else 1 << 26
    size = max(64, cells // vocab_size)
    return (slice(i, min(i + size, n)) for i in range(0, n, size))
