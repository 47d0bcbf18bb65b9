"""Where the gradients of each token type point, and how long they are beyond their noise.

The mean of n noisy gradients is long by noise alone: ||mean of n||² = ||mu||² + tr(Sigma) / n, so
rare types look long and turned away from everything. Here lengths and products come from pairs of
occurrences in *different* rollouts, whose noise does not meet; the naive numbers stand beside them.
Whatever is resampled is folds of rollouts, never positions.

A fold is weighted by w_f: 1 for the log as it is, 0 for folds that are left out. Every number is a
function of w, so an interval is the same function asked again with one fold less.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from rockcore.analysis import projection
from rockcore.analysis.jackknife import Estimate, jackknife, weigh
from rockcore.log import Run
from rockcore.log.run import GradientRows
from rockcore.schema import FOLDS, DamagedRun, NoGradients


class Lengths(NamedTuple):
    """Of T mean gradients, each (T,) float64; NaN where there are too few occurrences."""

    n: np.ndarray  # occurrences
    naive: np.ndarray  # ||mean||, noise and all
    squared: np.ndarray  # ||mu||² without bias, from pairs of different rollouts; may be negative


class Cosines(NamedTuple):
    """Of T mean gradients with the sum of all *other* types, each (T,) float64."""

    naive: np.ndarray
    # without the noise of either; NaN where a squared length is not positive, beyond 1 by noise
    corrected: np.ndarray
    rest_squared: np.ndarray  # squared length of the sum of the others, without bias


@dataclass(frozen=True)
class Geometry:
    """The gradients of a probe set at one step: R sums, by token type (T of them) and fold (F)."""

    step: int
    vocab_size: int
    texts: int | None  # that the sums are taken over; None where that is not known
    types: np.ndarray  # (T,) token ids, ascending
    row_type: np.ndarray  # (R,) index into types, ascending
    row_fold: np.ndarray  # (R,)
    sums: np.ndarray  # (R, D) float32
    columns: dict[
        str, np.ndarray
    ]  # of schema.GRADIENTS: (T, F) float64, 0 where a type is not in a fold

    @classmethod
    def of(cls, run: Run, probe_set: str, step: int | None = None) -> Geometry:
        """Read one step, by default the last one logged. Raises NoGradients, or RunNotFound for a
        step that is not logged.
        """
        steps = run.steps(f"gradients/{probe_set}")
        if not steps:
            raise NoGradients(
                f"{run.path.name} has no summed gradients of the probe set {probe_set!r}",
                "A direction cannot be recovered from the norms of single positions",
                "Train with --gradients sums (the default) and with --probes or --final-probes "
                "above 0",
            )
        step = steps[-1] if step is None else step
        rows = run.gradients(probe_set, step)
        if "texts" in rows.frame and rows.frame.texts.notna().all():
            texts = int(rows.frame.texts.max())
        else:  # an older log has summed its probe texts
            texts = len(run.rollouts(probe_set=probe_set)) or None
        return cls.from_rows(rows, step, run.meta.vocab_size, texts)

    @classmethod
    def from_rows(
        cls, rows: GradientRows, step: int, vocab_size: int, texts: int | None = None
    ) -> Geometry:
        types, row_type = np.unique(rows.frame.token_id.to_numpy(), return_inverse=True)
        fold = rows.frame.fold.to_numpy()
        columns = {}
        for name in ("n", "n_sq_sum", "kl_sum", "norm_sum", "sq_sum", "within_sq_sum"):
            columns[name] = np.zeros((len(types), FOLDS))
            columns[name][row_type, fold] = rows.frame[name]
        return cls(step, vocab_size, texts, types, row_type, fold, rows.sums, columns)

    def refuse_other_texts(self, other: Geometry) -> None:
        """Raises DamagedRun unless `other` is of the same occurrences, projected alike."""
        alike = np.array_equal(self.types, other.types) and np.array_equal(
            self.columns["n"], other.columns["n"]
        )
        if not alike or self.sums.shape != other.sums.shape:
            shapes = " and ".join(f"{s[0]} x {s[1]}" for s in (self.sums.shape, other.sums.shape))
            raise DamagedRun(
                f"The gradients of steps {self.step} and {other.step} are of other texts (sums of "
                f"{shapes})",
                "They are compared occurrence by occurrence",
                "Take two steps of one probe set; if these are, log the set again under every "
                "checkpoint",
            )

    @property
    def cosine_error(self) -> float:
        """What the projection adds to the cosine of two vectors at a right angle, as a standard
        deviation; 0 without one.
        """
        return projection.cosine_error(self.sums.shape[1], self.vocab_size)

    def products(self, other: Geometry) -> np.ndarray:
        """(T, F, F) inner products of each type's sums by fold with its own in `other`, which is of
        the same texts.
        """
        found = np.zeros((len(self.types), FOLDS, FOLDS))
        edges = np.searchsorted(self.row_type, np.arange(len(self.types) + 1))
        for v, (a, b) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
            folds = self.row_fold[a:b]
            found[v][np.ix_(folds, folds)] = self.sums[a:b] @ other.sums[a:b].T
        return found

    @cached_property
    def gram(self) -> np.ndarray:
        """(T, F, F) inner products of each type's sums by fold."""
        return self.products(self)

    def lengths(self, w: np.ndarray) -> Lengths:
        """The length of each type's mean gradient, with the folds weighted by w (F,)."""
        c = self.columns
        n = c["n"] @ w
        total = np.maximum(weigh(self.gram, w), 0.0)
        pairs = n**2 - c["n_sq_sum"] @ w**2
        with np.errstate(divide="ignore", invalid="ignore"):
            squared = np.where(pairs > 0, (total - c["within_sq_sum"] @ w**2) / pairs, np.nan)
            return Lengths(n, np.sqrt(total) / n, squared)

    def cosines(self, w: np.ndarray, balanced: bool) -> Cosines:
        """The cosine of each type's mean gradient with that of all other types: its own part is
        taken out.

        `balanced`: G_balanced, each type's mean once, else G_global, each occurrence once.
        Corrected: products and the length of G are taken over pairs of different folds, the length
        of the mean over different rollouts. Source: arXiv 2605.09253, section 3, which leaves the
        own part in and corrects nothing.
        """
        n_TF = self.columns["n"]
        n = n_TF @ w
        with np.errstate(divide="ignore", invalid="ignore"):
            a = (
                np.where(n > 0, 1 / n, 0.0) if balanced else np.ones(len(n))
            )  # what a type's sum counts in G
            sum_FD = self._by_fold(a)
            cross = self._with(sum_FD)  # (T, F, F): <S_vf, G_f'>
            same_TF, own_TF = np.einsum("tff->tf", cross), np.einsum("tff->tf", self.gram)
            own = weigh(self.gram, w)
            dot = weigh(cross, w) - a * own
            G2 = w @ (sum_FD @ sum_FD.T) @ w - 2 * a * weigh(cross, w) + a**2 * own
            naive = dot / np.sqrt(own * G2)
            # the same over different folds; the shares of pairs that are left make up for those
            # left out
            dot_x = dot - (same_TF - a[:, None] * own_TF) @ w**2
            G2_x = (
                G2
                - (np.square(sum_FD).sum(1) - 2 * a[:, None] * same_TF + a[:, None] ** 2 * own_TF)
                @ w**2
            )
            rest_TF = (a @ n_TF) - a[:, None] * n_TF
            rest = rest_TF @ w
            dot_x /= 1 - (n_TF * rest_TF) @ w**2 / (n * rest)
            G2_x /= 1 - rest_TF**2 @ w**2 / rest**2
            length2 = self.lengths(w).squared
            positive = (length2 > 0) & (G2_x > 0)
            corrected = np.where(positive, dot_x / n / np.sqrt(length2 * G2_x), np.nan)
            return Cosines(naive, corrected, G2_x)

    def told_cosines(self, balanced: bool, folds: np.ndarray | None = None) -> Estimate:
        """The corrected cosines of `folds` (default: all) with their intervals, within -1 and 1.

        NaN where the length of a mean, or that of the other types' sum, is not told from 0: its
        direction is noise, and an estimate of the cosine may come out anywhere, also beyond 1.
        """
        known: dict[bytes, Cosines] = {}

        def at(w: np.ndarray) -> Cosines:
            if w.tobytes() not in known:
                known[w.tobytes()] = self.cosines(w, balanced)
            return known[w.tobytes()]

        every = np.ones((len(self.types), FOLDS), bool)
        rest = jackknife(lambda w: at(w).rest_squared, every, folds)
        own = self.jackknife(lambda w: self.lengths(w).squared, folds)
        found = self.jackknife(lambda w: at(w).corrected, folds)
        told = own.told & rest.told
        return Estimate(*(np.where(told, np.clip(x, -1.0, 1.0), np.nan) for x in found))

    def contributions(self, w: np.ndarray) -> np.ndarray:
        """(T,) contrib(v) = n_v ||mean g_v|| cos(mean g_v, G_balanced), own part included: eq. 16
        of arXiv 2605.09253.
        """
        n = self.columns["n"] @ w
        a = np.divide(1, n, out=np.zeros(len(n)), where=n > 0)
        sum_FD = self._by_fold(a)
        return weigh(self._with(sum_FD), w) / np.sqrt(w @ (sum_FD @ sum_FD.T) @ w)

    def jackknife(
        self, value: Callable[[np.ndarray], np.ndarray], folds: np.ndarray | None = None
    ) -> Estimate:
        """A number per type with its interval, from leaving out one fold at a time, of `folds` (F,)
        if only some are looked at.

        `value` maps weights (F,) to (T,). Folds that hold none of a type do not count for it: with
        G that do, the interval is +- t_{G-1} sqrt((G - 1) / G sum of squared deviations). Source:
        Kott 2001, "The delete-a-group jackknife".
        """
        return jackknife(value, self.columns["n"] > 0, folds)

    def table(self) -> pd.DataFrame:
        """One row a type, by token id.

        token_id, n, folds; kl and grad_norm (means over occurrences); norm_naive; norm_sq (without
        bias, may be negative), norm (its root, 0 if negative), norm_low, norm_high, norm_told (the
        length is told from 0) and norm_most (its upper end, at which a length stands that is not);
        cos_balanced and cos_global (see `told_cosines`), each with _naive, _low, _high; contrib
        (eq. 16). Intervals are approximate, see Estimate; NaN where a type has too few rollouts.
        """
        every = np.ones(FOLDS)
        known, c = self.lengths(every), self.columns
        squared = self.jackknife(lambda w: self.lengths(w).squared)
        columns: dict[str, Any] = {
            "token_id": self.types,
            "n": known.n.astype(int),
            "folds": (c["n"] > 0).sum(1),
            "kl": c["kl_sum"].sum(1) / known.n,
            "grad_norm": c["norm_sum"].sum(1) / known.n,
            "norm_naive": known.naive,
            "norm_sq": squared.value,
            **length_columns("norm", squared),
        }
        for name, balanced in (("cos_balanced", True), ("cos_global", False)):
            columns[f"{name}_naive"] = self.cosines(every, balanced).naive
            found = self.told_cosines(balanced)
            columns |= dict(zip((name, f"{name}_low", f"{name}_high"), found, strict=True))
        return pd.DataFrame({**columns, "contrib": self.contributions(every)})

    def _by_fold(self, a: np.ndarray) -> np.ndarray:
        """(F, D) float32: Σ_v a_v S_vf."""
        counts_FR = np.zeros((FOLDS, len(self.row_type)), np.float32)
        counts_FR[self.row_fold, np.arange(len(self.row_type))] = a[self.row_type]
        return counts_FR @ self.sums

    def _with(self, sum_FD: np.ndarray) -> np.ndarray:
        """(T, F, F): <S_vf, sum_f'>."""
        found = np.zeros((len(self.types), FOLDS, FOLDS))
        found[self.row_type, self.row_fold] = self.sums @ sum_FD.T
        return found


def length_columns(name: str, squared: Estimate) -> dict[str, np.ndarray]:
    """`name`, _low, _high, _told, _most of the lengths behind estimates of their squares."""
    ends = zip((name, f"{name}_low", f"{name}_high"), squared, strict=True)
    return {
        **{end: root(x) for end, x in ends},
        f"{name}_told": squared.told,
        f"{name}_most": root(squared.most),
    }


def root(squared: np.ndarray) -> np.ndarray:
    """The length behind an estimate of its square: 0 if that is negative, NaN if it is unknown."""
    return np.sqrt(np.maximum(squared, 0.0))
