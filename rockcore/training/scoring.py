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
from rockcore.training.clock import Clock
from rockcore.training.divergence import TokenLosses, judge, top_alternatives
from rockcore.training.models import SMALL, Model, chunks
from rockcore.training.padding import CutMass, mass_beyond
from rockcore.training.rollouts import Rollouts

# bytes of float32 logits over the whole vocabulary; about six such arrays are there at one moment
WHOLE_LOGITS = 1 << 28
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
    """
    judging = _Judging(student, teacher, rollouts, watchers)
    for rows, at in _groups(rollouts, student, teacher):
        weighed = slice(None) if learn is None else _places(learn.weight_N[at] > 0)
        left_out = None if learn is None or not learn.whole else _places(learn.weight_N[at] <= 0)
        learns = learn is not None and len(at[weighed]) > 0
        if learn is not None and not learns and left_out is None:
            continue
        responses = [rollouts.responses[r] for r in rows]
        with clock.phase("teacher_s"), torch.no_grad():
            q_features = teacher.features([rollouts.teacher_prompts[r] for r in rows], responses)
        with clock.phase("student_s"), torch.set_grad_enabled(learns):
            p_features = student.features([rollouts.student_prompts[r] for r in rows], responses)
            p_weighed = p_features[weighed]
        judging.add_hidden(at, p_features)
        leaf = p_weighed.detach().requires_grad_(learns)
        weight = learn.weight_N if learn is not None and learns else None
        judging.judge(at[weighed], leaf, _at(q_features, weighed), clock, weight)
        if learns:
            with clock.phase("student_s"):
                p_weighed.backward(leaf.grad)
        if left_out is not None:
            with clock.phase("log_s"):
                p_rest, q_rest = p_features.detach()[left_out], _at(q_features, left_out)
                judging.judge(at[left_out], p_rest, q_rest, Clock())
    return judging.judged()


def _places(mask: Tensor) -> slice | Tensor:
    """The places of True; all of them as a slice, which copies nothing."""
    return slice(None) if bool(mask.all()) else mask.nonzero()[:, 0]


def _at(features: Tensor, places: slice | Tensor) -> Tensor:
    """The features at some places, which are counted on the student's device, on their own."""
    return features[places if isinstance(places, slice) else places.to(features.device)]


def _groups(
    rollouts: Rollouts, student: Model, teacher: Model
) -> Iterator[tuple[list[int], Tensor]]:
    """Rows that are judged together, and the indices of their tokens among all N; of a row's two
    prompts the longer one counts.
    """
    starts = [0, *accumulate(rollouts.lengths)]
    longest_prompt = [
        max(a, b, key=len)
        for a, b in zip(rollouts.student_prompts, rollouts.teacher_prompts, strict=True)
    ]
    budget = min(padded_tokens(student), padded_tokens(teacher))
    most_rows = student.micro_batch
    for rows in chunks(longest_prompt, rollouts.responses, budget, most_rows):
        at = torch.cat([torch.arange(starts[r], starts[r + 1]) for r in rows])
        yield rows, at.to(student.device)


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
    ):
        self.student, self.teacher, self.watchers = student, teacher, watchers
        device = student.device
        self.ids_N = torch.from_numpy(rollouts.token_ids()).long().to(device)
        N = len(self.ids_N)
        self._losses_CN = torch.full((len(TokenLosses._fields), N), torch.nan, device=device)
        self._known_N = torch.zeros(N, dtype=torch.bool, device=device)
        self._hidden_norm_N = torch.full((N,), torch.nan, device=device)
        restricted = student.restricted or teacher.restricted
        self._cut_2N = torch.full((2, N), torch.nan, device=device) if restricted else None

    def add_hidden(self, at: Tensor, features: Tensor) -> None:
        if self.student.projects:
            self._hidden_norm_N[at] = features.detach().float().norm(dim=-1)

    def judge(
        self,
        at: Tensor,
        p_features: Tensor,
        q_features: Tensor,
        clock: Clock,
        weight_N: Tensor | None = None,
    ) -> None:
        """Judge the positions `at`, given their features in this order; with weights, the gradient
        of their weighted sum goes into `p_features` and the student's projection.
        """
        student, teacher, learn = self.student, self.teacher, weight_N is not None
        for piece in pieces(len(at), student.vocab_size, student.device):
            here = at[piece]
            with clock.phase("projection_s"):
                with clock.phase("teacher_s"), torch.no_grad():
                    # a teacher elsewhere projects there: only a piece of its logits travels
                    q_all = teacher.all_logits(q_features[piece]).to(student.device)
                with clock.phase("student_s"):
                    with torch.set_grad_enabled(learn):
                        p_all = student.all_logits(p_features[piece])
                        p_logits, q_logits = student.narrowed(p_all), teacher.narrowed(q_all)
                    with torch.no_grad():
                        losses, gradient = judge(p_logits, q_logits, self.ids_N[here])
                        self._add(here, losses, p_all, q_all)
            for watch in self.watchers:
                watch(Piece(here, p_logits.detach(), q_logits, gradient))
            if weight_N is not None:
                with clock.phase("projection_s"), clock.phase("student_s"):
                    p_logits.backward(gradient.mul_(weight_N[here, None]).to(p_logits.dtype))

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


def padded_tokens(model: Model) -> int:
    """Padded tokens in one pass: small models on a CPU are fastest when activations stay in the
    cache. Of a model whose logits are no plain projection those of all padded tokens are there at
    once: no more than WHOLE_LOGITS bytes of them.
    """
    on_cpu = model.device.type == "cpu"
    most = 1024 if model.size < SMALL and on_cpu else 8192
    if model.projects:
        return most
    return max(1, min(most, WHOLE_LOGITS // (4 * model.head.shape[0])))


def pieces(n: int, vocab_size: int, device: torch.device) -> Iterator[slice]:
    """Slices of n positions: on a CPU their logits stay in the cache (1 MB), on a GPU they take 256
    MB at most.
    """
    size = piece_rows(vocab_size, device)
    return (slice(i, min(i + size, n)) for i in range(0, n, size))


def piece_rows(vocab_size: int, device: torch.device) -> int:
    """How many positions meet the vocabulary at once."""
    return max(64, (1 << 18 if device.type == "cpu" else 1 << 26) // vocab_size)
