"""The one pass that judges rollouts: student and teacher at the same response positions, gradient
included. Positions that get no weight are left out of the projection on the vocabulary.
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
from rockcore.training import groups
from rockcore.training.clock import WHOLE, Clock
from rockcore.training.divergence import TokenLosses, judge, top_alternatives
from rockcore.training.gradients import Gradients, gradients_of
from rockcore.training.lanes import Wait, side_by_side
from rockcore.training.models import Model
from rockcore.training.padding import CutMass, mass_beyond
from rockcore.training.reread import Read, features_of
from rockcore.training.rollouts import Rollouts

TOPS = ("student_top_ids", "student_top_logps", "teacher_top_ids", "teacher_top_logps")


@dataclass(frozen=True)
class Judged:
    """Per response token, rollouts one after another: the losses (N,), and the alternatives (M, k)
    of the first M, if any.
    """

    losses: dict[str, np.ndarray]  # NaN at positions that were left out
    known: np.ndarray  # (N,) bool: the positions that were judged
    alternatives: dict[str, np.ndarray] = field(default_factory=dict)
    cut: CutMass | None = None  # where the pair is restricted to the ids it shares


class Learning(NamedTuple):
    """What a pass leaves in the student: the gradient of sum_t weight_t kl_t."""

    weight_N: Tensor  # (N,) float32, >= 0; the caller has divided by the normaliser
    # whether positions of weight 0 are judged all the same, without gradient; that time is logging
    whole: bool = True


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
        self.first, self._known = first, 0
        self._tops: tuple[Tensor, ...] = ()  # (M, TOP_ALTERNATIVES) each, in the order of TOPS

    def __call__(self, piece: Piece) -> None:
        kept = _places(piece.at < self.first)
        at = piece.at[kept]
        if not len(at):
            return
        logits = piece.student_logits[kept], piece.teacher_logits[kept]
        found = [part for x in logits for part in top_alternatives(x, TOP_ALTERNATIVES)]
        if not self._tops:
            self._tops = tuple(part.new_empty(self.first, TOP_ALTERNATIVES) for part in found)
        for whole, part in zip(self._tops, found, strict=True):
            whole[at] = part
        self._known = max(self._known, int(at.max()) + 1)

    def arrays(self) -> dict[str, np.ndarray]:
        """(M, TOP_ALTERNATIVES) each, by the names in TOPS; empty where there is no token."""
        if not self._tops:
            return {}
        parts = zip(TOPS, self._tops, strict=True)
        return {name: whole[: self._known].cpu().numpy() for name, whole in parts}


def judge_texts(
    student: Model,
    teacher: Model,
    rollouts: Rollouts,
    clock: Clock,
    learn: Learning | None = None,
    watchers: Sequence[Callable[[Piece], None]] = (),
    read: Read | None = None,
) -> Judged:
    """Judge every response token under both models; to `learn`, also accumulate the student's
    gradient.

    The gradient enters at the logits in closed form. Rows go in groups of similar length and the
    vocabulary in pieces, so memory does not grow with the batch; each piece is shown to the
    `watchers`. What has weight 0 is not projected on the vocabulary by either model, nor compared,
    and no gradient flows from it; with `learn.whole` it is judged behind the rest, on the clock's
    log_s. (A model whose logits are no plain projection has them already: it saves the comparison
    alone.) `proj_grad_norm`: the gradient in the projection W is g h^T, h the last hidden state, so
    its norm is ||g|| ||h||; NaN where a model has more than a projection behind h.

    The groups go side by side on the student's lanes. `read`: what the teacher has read of these
    rollouts already.
    """
    judging = _Judging(student, teacher, rollouts, watchers, learn, read)
    with clock.shared() as another:

        def judge_group(group: tuple[list[int], Tensor], wait: Wait) -> None:
            own = another()
            with own.phase(WHOLE):
                judging.group(*group, own, wait)

        side_by_side(judge_group, groups_of(rollouts, student, teacher), student.lanes)
    return judging.judged()


def _places(mask: Tensor) -> slice | Tensor:
    """The places of True; all of them as a slice, which copies nothing."""
    return slice(None) if bool(mask.all()) else mask.nonzero()[:, 0]


def _at(features: Tensor, places: slice | Tensor) -> Tensor:
    """The features at some places, which are counted on the student's device, on their own."""
    return features[places if isinstance(places, slice) else places.to(features.device)]


def groups_of(rollouts: Rollouts, student: Model, teacher: Model) -> list[tuple[list[int], Tensor]]:
    """Rows that are judged together, and the indices of their tokens among all N."""
    starts = [0, *accumulate(rollouts.lengths)]
    prompts = groups.longer(rollouts.student_prompts, rollouts.teacher_prompts)
    together = groups.groups(student, teacher, prompts, rollouts.responses)
    return [(rows, _tokens(rows, starts).to(student.device)) for rows in together]


def _tokens(rows: list[int], starts: list[int]) -> Tensor:
    return torch.cat([torch.arange(starts[r], starts[r + 1]) for r in rows])


class _Judging:
    """Judges positions from both models' features, piece by piece, and gathers the numbers of all
    N.
    """

    def __init__(
        self,
        student: Model,
        teacher: Model,
        rollouts: Rollouts,
        watchers: Sequence[Callable[[Piece], None]],
        learn: Learning | None,
        read: Read | None,
    ):
        self.student, self.teacher, self.rollouts = student, teacher, rollouts
        self.watchers, self.learn, self.read = watchers, learn, read
        device = student.device
        self.ids_N = torch.from_numpy(rollouts.token_ids()).long().to(device)
        N = len(self.ids_N)
        self._losses_CN = torch.full((len(TokenLosses._fields), N), torch.nan, device=device)
        self._known_N = torch.zeros(N, dtype=torch.bool, device=device)
        self._hidden_norm_N = torch.full((N,), torch.nan, device=device)
        restricted = student.restricted or teacher.restricted
        self._cut_2N = torch.full((2, N), torch.nan, device=device) if restricted else None

    def group(self, rows: list[int], at: Tensor, clock: Clock, wait: Wait) -> None:
        """Judge the tokens `at` of these rows; what groups share is touched after `wait`."""
        learn = self.learn
        weighed = slice(None) if learn is None else _places(learn.weight_N[at] > 0)
        left_out = None if learn is None or not learn.whole else _places(learn.weight_N[at] <= 0)
        learns = learn is not None and len(at[weighed]) > 0
        if learn is not None and not learns and left_out is None:
            return
        with clock.phase("teacher_s"), torch.no_grad():
            q_features = self._read_by_teacher(rows)
        responses = [self.rollouts.responses[r] for r in rows]
        with clock.phase("student_s"), torch.set_grad_enabled(learns):
            prompts = [self.rollouts.student_prompts[r] for r in rows]
            p_features = self.student.features(prompts, responses)
            p_weighed = p_features[weighed]
        if self.student.projects:
            self._hidden_norm_N[at] = p_features.detach().float().norm(dim=-1)
        leaf = p_weighed.detach().requires_grad_(learns)
        gradients = gradients_of(self.student) if learns else None
        self.judge(at[weighed], leaf, _at(q_features, weighed), clock, gradients, wait)
        if gradients is not None:
            with clock.phase("student_s"):
                gradients.flow(p_weighed, leaf.grad)
        if left_out is not None:
            with clock.phase("log_s"):
                p_rest, q_rest = p_features.detach()[left_out], _at(q_features, left_out)
                self.judge(at[left_out], p_rest, q_rest, Clock(), wait=wait)
        if gradients is not None:
            wait()
            with clock.phase("student_s"):
                gradients.add()

    def _read_by_teacher(self, rows: list[int]) -> Tensor:
        there = None if self.read is None else self.read.of(rows)
        return features_of(self.teacher, self.rollouts, rows) if there is None else there

    def judge(
        self,
        at: Tensor,
        p_features: Tensor,
        q_features: Tensor,
        clock: Clock,
        gradients: Gradients | None = None,
        wait: Wait = lambda: None,
    ) -> None:
        """Judge the positions `at`, given their features in this order; with `gradients`, that of
        their weighted sum goes into `p_features` and the student's projection. Watchers are shown
        them after `wait`.
        """
        student, teacher, learns = self.student, self.teacher, gradients is not None
        for piece in pieces(len(at), student.vocab_size, student.device):
            here = at[piece]
            with clock.phase("projection_s"):
                with clock.phase("teacher_s"), torch.no_grad():
                    # a teacher elsewhere projects there: only a piece of its logits travels
                    q_all = teacher.all_logits(q_features[piece]).to(student.device)
                with clock.phase("student_s"):
                    with torch.set_grad_enabled(learns):
                        p_all = student.all_logits(p_features[piece])
                        p_logits, q_logits = student.narrowed(p_all), teacher.narrowed(q_all)
                    with torch.no_grad():
                        losses, gradient = judge(p_logits, q_logits, self.ids_N[here])
                        self._add(here, losses, p_all, q_all)
            if self.watchers:
                wait()
            for watch in self.watchers:
                watch(Piece(here, p_logits.detach(), q_logits, gradient))
            if gradients is not None and self.learn is not None:
                with clock.phase("projection_s"), clock.phase("student_s"):
                    weight_P = self.learn.weight_N[here, None]
                    gradients.flow(p_logits, gradient.mul_(weight_P).to(p_logits.dtype), p_features)

    def _add(self, at: Tensor, losses: TokenLosses, p_all: Tensor, q_all: Tensor) -> None:
        self._losses_CN[:, at] = torch.stack(losses)
        self._known_N[at] = True
        if self._cut_2N is not None:
            shared = self.student.vocab_size
            self._cut_2N[:, at] = torch.stack([mass_beyond(x, shared) for x in (p_all, q_all)])

    def judged(self) -> Judged:
        losses = dict(zip(TokenLosses._fields, self._losses_CN.cpu().numpy(), strict=True))
        norms = losses["grad_norm"] * self._hidden_norm_N.cpu().numpy()
        cut = None if self._cut_2N is None else CutMass(*self._cut_2N.double().mean(1).tolist())
        return Judged({**losses, "proj_grad_norm": norms}, self._known_N.cpu().numpy(), cut=cut)


def pieces(n: int, vocab_size: int, device: torch.device) -> Iterator[slice]:
    """Slices of n positions: on a CPU their logits stay in the cache (1 MB), on a GPU they take 256
    MB at most.
    """
    size = piece_rows(vocab_size, device)
    return (slice(i, min(i + size, n)) for i in range(0, n, size))


def piece_rows(vocab_size: int, device: torch.device) -> int:
    """How many positions meet the vocabulary at once."""
    return max(64, (1 << 18 if device.type == "cpu" else 1 << 26) // vocab_size)
