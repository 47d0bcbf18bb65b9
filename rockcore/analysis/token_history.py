"""The mean loss of one token type at each logged step, with an interval over the texts that hold
it: did it move, and can that be told?
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rockcore import stats
from rockcore.log import Run
from rockcore.rocks.change import LEAST_ROLLOUTS
from rockcore.schema import Texts
from rockcore.spelling import loss_name

_DRAWS, _FEW_DRAWS, _MANY_TEXTS = 1000, 200, 5_000  # fewer draws where very many texts hold a type


@dataclass(frozen=True)
class History:
    """A type over the steps of one kind of texts.

    `frame`, one row a step at which it occurs: step, n (occurrences), rollouts (that hold it), mean
    (nats), low, high (95 % over rollouts; NaN where fewer than LEAST_ROLLOUTS hold it).
    """

    texts: Texts
    column: str
    frame: pd.DataFrame

    @property
    def steps(self) -> list[int]:
        return self.frame.step.tolist()

    @property
    def sentence(self) -> str:
        """From the first to the last step, in words."""
        rows: list[Any] = list(self.frame.itertuples())
        if not rows:
            return f"It does not occur in the {self.texts.phrase}."
        what = loss_name(self.column)
        if len(rows) == 1:
            return f"Its mean {what} is {_told(rows[0])} at step {rows[0].step}, the only one."
        return (
            f"Its mean {what} is {_told(rows[0])} at step {rows[0].step} and {_told(rows[-1])} at "
            f"step {rows[-1].step}."
        )


def _told(row: Any) -> str:
    mean, low, high, n, rollouts = (
        getattr(row, name) for name in ("mean", "low", "high", "n", "rollouts")
    )
    texts = f"{n:,} occurrence{'s' * (n != 1)} in {rollouts:,} text{'s' * (rollouts != 1)}"
    if np.isnan(low):
        return f"{mean:.3g} nats ({texts}: too few for an interval)"
    return f"{mean:.3g} nats (95 % {low:.3g} to {high:.3g}; {texts})"


def history(run: Run, token_id: int, texts: Texts, column: str = "kl", seed: int = 0) -> History:
    """The course of one type. Texts are drawn anew, not occurrences: those of one text depend on
    each other. Where the texts of all steps are the same, so are the draws. Raises ValueError for a
    column that is no signal.
    """
    cells = run.type_by_rollout(texts, token_id, column)
    rows = [
        {"step": int(step), "n": int(of.n.sum()), "rollouts": len(of), **_mean(of, seed)}
        for step, of in ((s, cells.loc[cells.step == s]) for s in sorted(set(cells.step)))
    ]
    columns = ["step", "n", "rollouts", "mean", "low", "high"]
    return History(texts, column, pd.DataFrame(rows, columns=columns))


def _mean(of: pd.DataFrame, seed: int) -> dict[str, float]:
    n_B, total_B = of.n.to_numpy(float), of.total.to_numpy(float)
    mean = float(total_B.sum() / n_B.sum())
    if len(n_B) < LEAST_ROLLOUTS:
        return {"mean": mean, "low": np.nan, "high": np.nan}
    draws = _DRAWS if len(n_B) <= _MANY_TEXTS else _FEW_DRAWS
    weights_DB = stats.resampled(len(n_B), draws, seed)
    means_D = (weights_DB @ total_B) / (weights_DB @ n_B)
    low, high = stats.percentile_interval(means_D[:, None], np.array([len(n_B)]))
    return {"mean": mean, "low": float(low[0]), "high": float(high[0])}
