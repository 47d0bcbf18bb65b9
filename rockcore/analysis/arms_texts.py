"""Which tokens the arms of a comparison left out, and what became of the rocks' own kl. Runs come
as arm -> seed -> Run.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from rockcore.analysis import texts
from rockcore.analysis.crossed import mean_over_seeds
from rockcore.analysis.texts import Readings, Text
from rockcore.log import Run
from rockcore.log.comparisons import Comparison
from rockcore.log.duck import rows
from rockcore.log.files import table_files
from rockcore.schema import WEIGHTS
from rockcore.schema.comparison import COMPARISON

Runs = dict[str, dict[int, Run]]
FIXED = "probe/first"
TEXTS = 3  # of each arm, on the same prompts
MOST_TYPES = 40  # whose weights are kept: those that were lowest


def rock_kl(runs: Runs, rock_ids: Iterable[int]) -> pd.DataFrame:
    """Mean kl of the set's types, and of all other tokens, on the fixed texts of the starting
    student by arm and milestone: schema.comparison. Empty without a set.
    """
    ids, found = list(rock_ids), []
    for arm, of in runs.items():
        if not ids:
            break
        sums = [run.type_sums(FIXED) for run in of.values()]
        for name, inside in (("rocks", True), ("others", False)):
            tables = [
                s.loc[s.token_id.isin(ids) == inside].groupby("step")[["n", "kl_sum"]].sum()
                for s in sums
            ]
            found += _over_steps({"arm": arm, "tokens": name}, tables)
    return pd.DataFrame(found, columns=list(COMPARISON["rock_kl"]))


def _over_steps(about: dict[str, Any], tables: list[pd.DataFrame]) -> list[dict[str, Any]]:
    """The kl of one group of tokens in one arm at each step; `tables` one a seed, by step: n,
    kl_sum.
    """
    kl = pd.concat([t.kl_sum / t.n for t in tables], axis=1, join="inner").sort_index()
    n = pd.concat([t.n for t in tables], axis=1, join="inner").sort_index().to_numpy().mean(axis=1)
    found = []
    for step, tokens, values in zip(kl.index, n, kl.to_numpy(), strict=True):
        mean, moved = mean_over_seeds(values), mean_over_seeds(values - kl.to_numpy()[0])
        found.append(
            about
            | {"step": step, "seeds": len(values), "n": float(tokens)}
            | {"kl": mean.value, "low": max(mean.low, 0.0), "high": mean.high}
            | {"change": moved.value, "change_low": moved.low, "change_high": moved.high}
        )
    return found


def type_weights(runs: Runs) -> pd.DataFrame:
    """The weights of token types over the steps, of arms that give each type one: dynamic.
    schema.comparison; the MOST_TYPES types that were lowest. A type that a seed does not name
    weighs 1 there.
    """
    found = [_weights_of(arm, of) for arm, of in runs.items()]
    found = [frame for frame in found if not frame.empty]
    columns = list(COMPARISON["weights"])
    return pd.concat(found).loc[:, columns] if found else pd.DataFrame(columns=columns)


def _weights_of(arm: str, of: dict[int, Run]) -> pd.DataFrame:
    logged = [rows(WEIGHTS, table_files(run.path, "weights")) for run in of.values()]
    if any(frame.empty for frame in logged):
        return pd.DataFrame()
    tables = [frame.pivot(index="step", columns="token_id", values="weight") for frame in logged]
    steps = sorted(set.intersection(*(set(table.index) for table in tables)))
    types = sorted(set.union(*(set(table.columns) for table in tables)))
    weights = np.stack([t.reindex(steps, columns=types).fillna(1.0).to_numpy() for t in tables])
    order = np.argsort(weights.mean(axis=0).min(axis=0), kind="stable")[:MOST_TYPES]
    tokens = next(iter(of.values())).vocab.set_index("token_id").token
    return pd.DataFrame(
        [
            {"arm": arm, "step": step, "token_id": types[i], "token": str(tokens[types[i]])}
            | {"weight": at[:, i].mean(), "lowest": at[:, i].min(), "highest": at[:, i].max()}
            | {"seeds": len(tables)}
            for step, at in zip(steps, np.moveaxis(weights, 1, 0), strict=True)
            for i in order
            if weights[:, :, i].min() < 1
        ]
    )


def texts_of_arms(runs: Runs) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Some fresh rollouts of each arm with the weights that its training gave them, and their
    prompts: the tables `texts` and `prompts` of schema.comparison.

    Of the first seed that all arms have, at the last logged step that was followed by an update:
    there all arms read the same prompts, and each student writes its own text.
    """
    written = pd.DataFrame(columns=list(COMPARISON["texts"]))
    prompts = pd.DataFrame(columns=list(COMPARISON["prompts"]))
    seeds = set.intersection(*(set(of) for of in runs.values()))
    if not seeds:
        return written, prompts
    seed = min(seeds)
    steps = set.intersection(*(_weighed_steps(of[seed]) for of in runs.values()))
    if not steps:
        return written, prompts
    step, found = max(steps), []
    for arm, of in runs.items():
        for rollout in range(TEXTS):
            frame = of[seed].trace(step, rollout)
            about = {"arm": arm, "seed": seed, "step": step}
            category = texts.categories(of[seed], frame)
            found.append(frame.assign(**about, category=category)[list(written.columns)])
    asked = next(iter(runs.values()))[seed].rollouts(step)
    shown = asked.loc[asked.rollout_id < TEXTS, list(prompts.columns)]
    return pd.concat(found, ignore_index=True), shown


def _weighed_steps(run: Run) -> set[int]:
    """The steps whose tokens are logged and that were followed by an update."""
    metrics = run.metrics()
    return set(metrics.step[metrics.update_norm.notna()]) & set(run.steps())


WEIGHT = "weight less 1"  # 0 is the baseline's; what is left out is at -1
_EDGES = [0.1, 0.3, 0.5, 0.7, 0.9]
_BINS = [k / 10 for k in range(1, 13)]
WEIGHT_SCALE: dict[str, Any] = {  # fixed, as the text pane takes a scale
    "name": WEIGHT,
    "kind": "diverging",
    "unit": "",
    "meaning": "Factor on the kl of the position in the training, less 1.",
    "of": "",
    "edges": [-edge for edge in reversed(_EDGES)] + _EDGES,
    "quantiles": [],
    "bins": [-edge for edge in reversed(_BINS)] + [0.0] + _BINS,
    "counts": [],
    "tokens": 0,
}


class Written(NamedTuple):
    """A text of an arm with the weights that its training gave it."""

    seed: int
    step: int
    left_out: int  # tokens of weight 0
    lighter: int  # of a weight between 0 and 1
    heavier: int  # of more than 1
    text: Text
    readings: Readings


def written(found: Comparison, arm: str, rollout: int) -> Written | None:
    """One of the texts that a comparison keeps; None where it has none of this arm."""
    frame = found.texts[(found.texts.arm == arm) & (found.texts.rollout_id == rollout)]
    if frame.empty:
        return None
    prompts = found.prompts[found.prompts.rollout_id == rollout].prompt.tolist()
    ids, weight = frame.token_id.to_numpy(), frame.weight.to_numpy(float)
    text = Text(
        ids, frame.token.tolist(), frame.category.tolist(), "".join(prompts[:1]), "", None, None
    )
    signals = {WEIGHT: weight - 1, "weight": weight, "kl": frame.kl.to_numpy(float)}
    return Written(
        int(frame.seed.iloc[0]),
        int(frame.step.iloc[0]),
        int((weight == 0).sum()),
        int(((weight > 0) & (weight < 1)).sum()),
        int((weight > 1).sum()),
        text,
        Readings(ids, signals, None, {}),
    )
