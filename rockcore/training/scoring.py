"""The one pass that judges rollouts: student and teacher at the same response positions, gradient
included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rockcore.schema import TOP_ALTERNATIVES
from rockcore.training.clock import Clock
from rockcore.training.divergence import TokenLosses, judge, top_alternatives
from rockcore.training.models import SMALL, Model, chunks
from rockcore.training.padding import CutMass, mass_beyond
from rockcore.training.rollouts import Rollouts

TOPS = ("student_top_ids", "student_top_logps", "teacher_top_ids", "teacher_top_logps")


@dataclass(frozen=True)
class Judged:
    """Per response token, rollouts one after another: the losses (N,), and the alternatives (M, k)
    of the first M, if any.
    """

    losses: dict[str, np.ndarray]
    alternatives: dict[str, np.ndarray] = field(default_factory=dict)
    cut: CutMass | None = None  # where the pair is restricted to the ids it shares


class Piece(NamedTuple):
    """P positions on their way through `judge_texts`: what would be too large to keep of all N, for
    those who reduce it.
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


def judge_texts(
    student: Model,
    teacher: Model,
    rollouts: Rollouts,
    clock: Clock,
    weight_N: Tensor | None = None,
    watchers: Sequence[Callable[[Piece], None]] = (),
) -> Judged:
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

    def scored(self) -> Judged:
        losses = dict(zip(TokenLosses._fields, self._losses_CN.cpu().numpy(), strict=True))
        norms = losses["grad_norm"] * self._hidden_norm_N.cpu().numpy()
        cut = None if self._cut_2N is None else CutMass(*self._cut_2N.double().mean(1).tolist())
        return Judged({**losses, "proj_grad_norm": norms}, cut=cut)


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
