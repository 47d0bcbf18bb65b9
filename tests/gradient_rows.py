"""Logs of gradients from single occurrences, one at a time: slow and plain."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pandas as pd

from rockcore.analysis.geometry import Geometry
from rockcore.log.run import GradientRows
from rockcore.schema import FOLDS


def rows_of(
    token_id: np.ndarray, rollout: np.ndarray, g: np.ndarray, kl: np.ndarray | None = None
) -> GradientRows:
    """The log of gradients, from one occurrence at a time: token ids and rollouts (N,), gradients
    (N, D).
    """
    kl = np.linalg.norm(g, axis=1) if kl is None else kl
    added: dict[str, dict] = {
        name: defaultdict(float)
        for name in ("n", "kl_sum", "norm_sum", "sq_sum", "direction", "cell_n", "cell")
    }
    for v, r, x, loss in zip(token_id.tolist(), rollout.tolist(), g, kl.tolist(), strict=True):
        row, norm = (v, r % FOLDS), np.sqrt(x @ x)
        for name, value in (
            ("n", 1),
            ("kl_sum", loss),
            ("norm_sum", norm),
            ("sq_sum", norm**2),
            ("direction", x),
        ):
            added[name][row] += value
        added["cell_n"][(v, r)] += 1
        added["cell"][(v, r)] = added["cell"][(v, r)] + x
    rows = sorted(added["n"])
    columns = {
        name: [added[name][row] for row in rows] for name in ("n", "kl_sum", "norm_sum", "sq_sum")
    }
    frame = pd.DataFrame(
        {
            "token_id": [v for v, _ in rows],
            "fold": [f for _, f in rows],
            **columns,
            "n_sq_sum": 0,
            "within_sq_sum": 0.0,
        }
    )
    frame = frame.set_index(["token_id", "fold"])
    n_sq, within = defaultdict(int), defaultdict(float)
    for (v, r), x in added["cell"].items():
        n_sq[v, r % FOLDS] += int(added["cell_n"][v, r]) ** 2
        within[v, r % FOLDS] += x @ x
    frame = frame.assign(
        n_sq_sum=[n_sq[row] for row in rows], within_sq_sum=[within[row] for row in rows]
    )
    return GradientRows(
        frame.reset_index(), np.array([added["direction"][row] for row in rows], np.float32)
    )


def geometry(*columns) -> Geometry:
    rows = rows_of(*columns)
    return Geometry.from_rows(rows, 0, rows.sums.shape[1])
