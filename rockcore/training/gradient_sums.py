"""Gradients while a session runs, summed by token type.

The gradient of kl in the logits is there anyway (`divergence.judge`); here it is added up by type
and fold of rollouts while the pieces of a scoring pass go by, in memory that is bounded whatever
the vocabulary.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rockcore.analysis.projection import HASHES, SMALL, sketch_width
from rockcore.schema import FOLDS
from rockcore.training.models import SMALL as SMALL_MODEL
from rockcore.training.models import Model
from rockcore.training.rollouts import Rollouts
from rockcore.training.scoring import Judged, Piece

BUDGET, BUDGET_OF_SMALL = (
    64 << 20,
    8 << 20,
)  # bytes that the sums of one probe set may take; a small model's steps are short


class Projection:
    """(P, V) to (P, width): the vectors themselves if they fit, else a sparse random projection of
    them.

    Each of HASHES blocks deals the V entries, with random signs, out to its width / HASHES buckets,
    as evenly as cards, and adds up what is in a bucket. Inner products keep their mean, and their
    error is that of `projection.cosine_error`. Deal and signs depend on V and the width alone, so
    vectors of different steps may be compared. No matrix is made: buckets are the bags of an
    embedding_bag, which took half the time of a sparse product and a third of gathering and
    summing. Source: Charikar, Chen, Farach-Colton 2002 (count sketch), with the several blocks of
    Kane and Nelson 2014.
    """

    def __init__(self, vocab_size: int, width: int, device: torch.device):
        self.width, self.full = width, width >= vocab_size
        if self.full:
            return
        buckets = width // HASHES
        rng = np.random.default_rng([vocab_size, width])
        seats = -(-vocab_size // buckets) * buckets  # the first V of them are taken
        entry = np.concatenate([rng.permutation(seats).reshape(buckets, -1) for _ in range(HASHES)])
        taken = entry < vocab_size
        starts = np.append(0, np.cumsum(taken.sum(1)))[:-1]
        signs = rng.choice([-1.0, 1.0], taken.sum()) / HASHES**0.5
        self._entries, self._starts = (
            torch.from_numpy(x).to(device) for x in (entry[taken], starts)
        )
        self._signs = torch.from_numpy(signs).float().to(device)

    def __call__(self, vectors_PV: Tensor) -> Tensor:
        if self.full:
            return vectors_PV
        rows_VP = vectors_PV.t().contiguous()
        return (
            F.embedding_bag(
                self._entries, rows_VP, self._starts, mode="sum", per_sample_weights=self._signs
            )
            .t()
            .contiguous()
        )


class GradientSums:
    """Watches a scoring pass and adds up each position's gradient by token type and fold of
    rollouts.

    Memory: a row of `width` numbers for each (type, fold), and one for each type of the rollout
    that is going by, together within `budget`; besides, a few copies of the piece that is being
    looked at. Rollout r is in fold r % FOLDS.
    """

    def __init__(self, rollouts: Rollouts, vocab_size: int, device: torch.device, budget: int):
        self.texts = len(rollouts.responses)
        token_id = rollouts.token_ids().astype(np.int64)
        rollout = np.repeat(np.arange(len(rollouts.responses)), rollouts.lengths)
        # a cell is a type in a rollout
        cells, self._cell, self._in_cell = np.unique(
            rollout * vocab_size + token_id, return_inverse=True, return_counts=True
        )
        of_rollout = cells // vocab_size
        self.rows, self._row_of_cell = np.unique(
            cells % vocab_size * FOLDS + of_rollout % FOLDS, return_inverse=True
        )
        most_types = int(np.bincount(of_rollout, minlength=1).max())
        self.project = Projection(
            vocab_size, sketch_width(vocab_size, len(self.rows) + most_types, budget), device
        )
        to_device = [self._cell, self._row_of_cell, of_rollout, self._in_cell > 1]
        self._cell_N, self._row_C, self._rollout_C, self._several_C = (
            torch.from_numpy(x).to(device) for x in to_device
        )
        self._sum_RD = torch.zeros(len(self.rows), self.project.width, device=device)
        self._within_R = torch.zeros(len(self.rows), device=device)
        self._open = (
            self._cell_N[:0],
            self._sum_RD[:0],
        )  # cells of the rollout that may go on in the next piece

    @torch.no_grad()
    def __call__(self, piece: Piece) -> None:
        cell_P, g_PD = self._cell_N[piece.at], self.project(piece.gradient)
        row_P, several_P = self._row_C[cell_P], self._several_C[cell_P]
        self._sum_RD.index_add_(0, row_P, g_PD)
        # of an occurrence that is alone in its cell the norm is enough; the others meet in a sum
        # first
        self._within_R.index_add_(
            0, row_P, torch.linalg.vector_norm(g_PD, dim=1).square_().masked_fill_(several_P, 0.0)
        )
        cells, where = torch.cat((self._open[0], cell_P[several_P])).unique(return_inverse=True)
        added = torch.cat((self._open[1], g_PD[several_P]))
        sum_CD = added.new_zeros(len(cells), self.project.width).index_add_(0, where, added)
        going_on = self._rollout_C[cells] == self._rollout_C[cell_P[-1]]
        self._close(cells[~going_on], sum_CD[~going_on])
        self._open = cells[going_on], sum_CD[going_on]

    def _close(self, cells: Tensor, sum_CD: Tensor) -> None:
        self._within_R.index_add_(
            0, self._row_C[cells], torch.linalg.vector_norm(sum_CD, dim=1).square_()
        )

    def columns(self, step: int, scored: Judged) -> dict[str, Any]:
        """The columns of schema.GRADIENTS, once the whole pass, which gave `scored`, is over."""
        self._close(*self._open)
        self._open = self._open[0][:0], self._open[1][:0]
        row = self._row_of_cell[self._cell]
        kl, norm = (scored.losses[name].astype(np.float64) for name in ("kl", "grad_norm"))
        direction, scale = without_small_entries(self._sum_RD)
        R = len(self.rows)
        return {
            "step": np.full(R, step),
            "token_id": self.rows // FOLDS,
            "fold": self.rows % FOLDS,
            "n": np.bincount(row, minlength=R),
            "n_sq_sum": np.bincount(
                self._row_of_cell, self._in_cell.astype(np.float64) ** 2, R
            ).astype(np.int64),
            "kl_sum": np.bincount(row, kl, R),
            "norm_sum": np.bincount(row, norm, R),
            "sq_sum": np.bincount(row, norm**2, R),
            "within_sq_sum": self._within_R.cpu().numpy().astype(np.float64),
            "texts": np.full(R, self.texts),
            "scale": scale.cpu().numpy(),
            "direction": direction.cpu().numpy().astype("<f2", copy=False),
        }


def sums_of(student: Model, rollouts: Rollouts) -> GradientSums:
    """What to watch a scoring of these rollouts with, within the budget that suits the student."""
    return GradientSums(
        rollouts,
        student.vocab_size,
        student.device,
        BUDGET if student.size >= SMALL_MODEL else BUDGET_OF_SMALL,
    )


def without_small_entries(vectors_RD: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors as they are logged: (R, D) float16 with 1 as the largest entry, and the (R,) scale
    that was taken out.

    Entries below SMALL times the root mean square of their vector become 0, which compresses to
    nothing. What is lost is at most SMALL of the vector's length, whatever its shape, and stands at
    a right angle to what is kept, so the cosine of two such vectors changes by at most 2 SMALL +
    SMALL² (on the built-in pair: by 0.0005). Without the scale a sum beyond 65,504 would overflow,
    and one of small gradients would be rounded away.
    """
    scale_R = vectors_RD.abs().amax(1)
    least_R1 = SMALL / vectors_RD.shape[1] ** 0.5 * vectors_RD.norm(dim=1, keepdim=True)
    shape_RD = vectors_RD / torch.where(scale_R > 0, scale_R, 1.0)[:, None]
    return shape_RD.masked_fill_(vectors_RD.abs() < least_R1, 0.0).half(), scale_R
