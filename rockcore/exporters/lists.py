"""The set as a list: its ids, weights by token type, and the authors' table of rocks beside
controls.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rockcore.exporters.found import BadExport, Found
from rockcore.spelling import as_csv, as_json

# the columns of the authors' script that compares the rocks with as many other types
ROCK_VS_CONTROL = tuple(
    f"{who}_{what}"
    for who in ("rock", "ctrl")
    for what in ("id", "token", "freq", "mean_kl", "freq_mean")
)
OFF_BY_ONE = (
    "The token_freeze_kd of the authors' KDFlow looks the ids up in stu_input_ids[stu_loss_mask], "
    "the token read at a position and not the one predicted there: it holds back the neighbour "
    "after each of them, and divides by the sum of weights, so that the rest counts more. The "
    "export kdflow does neither"
)


def write_ids(found: Found, file: BinaryIO) -> None:
    """A JSON list of token ids, the best first: what KDFlow's --token_freeze_path reads."""
    file.write(as_json(list(found.rocks.ids)).encode())


def write_weights(found: Found, file: BinaryIO) -> None:
    """JSON: the weight of each type in the set, all others having `default`, with what the ids mean
    (tokenizer_hash) and where they are from (rule, fingerprint).
    """
    about = {**_about(found), "rule": asdict(found.rocks.rule), "default": 1.0}
    rows = [
        {"token_id": i, "token": found.texts.get(i), "weight": found.weight}
        for i in found.rocks.ids
    ]
    file.write(as_json({**about, "weights": rows}).encode())


def write_weights_parquet(found: Found, file: BinaryIO) -> None:
    """The same as Parquet: token_id, token, weight; the rest is in the metadata of the schema."""
    ids = found.rocks.ids
    table = pa.table(
        {
            "token_id": pa.array(ids, pa.int32()),
            "token": pa.array([found.texts.get(i) for i in ids], pa.string()),
            "weight": pa.array([found.weight] * len(ids), pa.float32()),
        }
    )
    about = {**_about(found), "rule": found.rocks.rule.to_json(), "default": "1.0"}
    pq.write_table(table.replace_schema_metadata({k: str(v) for k, v in about.items()}), file)


def _about(found: Found) -> dict[str, str]:
    rocks = found.rocks
    return {
        "tokenizer_hash": rocks.tokenizer_hash,
        "fingerprint": rocks.fingerprint,
        "normaliser": "tokens",
    }


def write_rock_vs_control(found: Found, file: BinaryIO) -> None:
    """CSV with the columns ROCK_VS_CONTROL: each rock beside a type that is none, matched in
    frequency.

    The controls have the least sum of |log10 frequency ratio| of all one-to-one assignments, as in
    the authors' script; a match of types leaves them with fewer positions wherever rocks are
    frequent (`RockSet.control` matches positions). Raises BadExport without a report, or with one
    that is not of kl.
    """
    report = found.needed_report("rock_vs_control")
    if report.rule.column != "kl" or report.estimator == "absent":
        raise BadExport(
            f"rock_vs_control by {report.rule.column} ({report.estimator})",
            "Its columns hold the mean kl of each type",
            "Set column to kl, on a run that has it",
        )
    tokens = report.tokens
    rocks, others = tokens.loc[tokens.in_set], tokens.loc[~tokens.in_set]
    beside = _matched(rocks.frequency.to_numpy(), others.frequency.to_numpy())
    sides = [_side("rock", rocks), _side("ctrl", others.take(beside.tolist()))]
    table = pd.concat(sides, axis=1).reindex(columns=list(ROCK_VS_CONTROL))
    file.write(as_csv(table).encode())


def _side(who: str, types: pd.DataFrame) -> pd.DataFrame:
    names = {
        "token_id": "id",
        "token": "token",
        "frequency": "freq",
        "mean": "mean_kl",
        "rock_score": "freq_mean",
    }
    side = pd.DataFrame({f"{who}_{b}": types[a].to_numpy() for a, b in names.items()})
    # of a control that is missing the id is empty: an id is a whole number in any case
    return side.astype({f"{who}_id": "Int64", f"{who}_freq": "Int64"})


def _matched(rocks_K: np.ndarray, others_P: np.ndarray) -> np.ndarray:
    """(min(K, P),) index among the others, for the first rocks in their order: a one-to-one
    assignment with the least summed difference of log10 frequencies.

    Of the others only the K nearest on either side of a rock can be its partner, as fewer than K
    are taken by the other rocks; the rest is left out of the K x P matrix of differences.
    """
    from scipy.optimize import linear_sum_assignment

    K = min(len(rocks_K), len(others_P))
    if not K:
        return np.zeros(0, np.int64)
    order = np.argsort(others_P, kind="stable")
    sorted_P, keep = others_P[order], np.zeros(len(others_P), bool)
    for place in np.searchsorted(sorted_P, np.unique(rocks_K)):
        keep[max(0, place - K) : place + K] = True
    near = order[keep]
    cost = np.abs(np.log10(rocks_K[:K])[:, None] - np.log10(others_P[near])[None, :])
    rows, columns = linear_sum_assignment(cost)
    return near[columns[np.argsort(rows)]]
