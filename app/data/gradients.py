"""The door from the Gradients page to rockcore: who takes the gradient, where mean gradients point,
what became of them.

Every frame with types carries token_id, shown (visible whitespace), category and in_set. Raises
RockError where rockcore does, NoGradients where the log has nothing to answer with.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import streamlit as st

from app.data import rocks, runs, steps
from app.data.runs import RunKey
from app.work import known, remember
from rockcore.analysis import groups, shares
from rockcore.analysis.geometry import Geometry, early_and_late
from rockcore.analysis.groups import GROUPS, Comparison, RockChoice
from rockcore.analysis.shares import Correlation, GivenUp, Lorenz
from rockcore.schema import PROBE_SETS, NoGradients

__all__ = ["GROUPS", "NORMS", "Comparison", "Correlation", "GivenUp", "NoGradients"]

NORMS = {
    "grad_norm": "of the logits, ‖g‖",
    "proj_grad_norm": "of the vocabulary projection, ‖g‖·‖h‖",
}
BY = {"category": "category", "class": "class", "set": "Rock Tokens"}
_IN, _OUT = "Rock Tokens", "other types"


@st.cache_data(max_entries=32, show_spinner=False)
def _shares(run: RunKey, source: str, norm: str) -> pd.DataFrame:
    return shares.type_shares(runs.log(run), runs.table(source), norm)


def logged_norms(run: RunKey, source: str) -> list[str]:
    """The norms that the log has of these texts; raises NoGradients if there is none."""
    found, why = [], None
    for norm in NORMS:
        try:
            _shares(run, source, norm)
            found.append(norm)
        except NoGradients as e:
            why = why or e
    if not found and why is not None:
        raise why
    return found


def norm_steps(run: RunKey, source: str, norm: str) -> list[int]:
    """The steps at which this norm is logged."""
    return sorted(map(int, _shares(run, source, norm).step.unique()))


def _categories(run: RunKey, source: str) -> pd.DataFrame:
    return steps.types(run, source, "kl").frame.loc[:, ["token_id", "shown", "category"]]


class Stacked(NamedTuple):
    frame: pd.DataFrame  # step, label, n, kl, gradient, tokens_share, kl_share, gradient_share
    labels: list[str]  # by falling share of the gradient at the last step


def stacked(run: RunKey, source: str, norm: str, by: str, rule: rocks.RockRule) -> Stacked:
    """Shares by category, class or membership in the set of the rule, at every logged step."""
    if by == "category":
        types = _categories(run, source)
        labels = dict(zip(types.token_id, types.category, strict=True))
    else:
        table = rocks.table(run, rule)
        values = table["class"] if by == "class" else np.where(table.in_set, _IN, _OUT)
        labels = dict(zip(table.token_id, values, strict=True))
    frame = shares.label_shares(
        _shares(run, source, norm), labels, other=_OUT if by == "set" else "not in the probe texts"
    )
    last = frame.loc[frame.step == frame.step.max()].sort_values("gradient_share", ascending=False)
    return Stacked(frame, [str(name) for name in last.label])


def at_step(run: RunKey, source: str, norm: str, step: int, rocks: set[int]) -> pd.DataFrame:
    """One row a type: n, kl (mean, nats), gradient, tokens_share, kl_share, gradient_share, by
    falling gradient.
    """
    frame = (
        _shares(run, source, norm)
        .query("step == @step")
        .merge(_categories(run, source), on="token_id")
    )
    frame = frame.assign(kl=frame.kl / frame.n, in_set=frame.token_id.isin(list(rocks)))
    return frame.sort_values("gradient", ascending=False, ignore_index=True)


def inequality(run: RunKey, source: str, norm: str, step: int) -> dict[str, Lorenz]:
    """Lorenz curves of the norm over types and over tokens."""
    by_type = _shares(run, source, norm).query("step == @step").gradient.to_numpy()
    by_token = runs.log(run).values(runs.table(source), step, norm)
    return {"token types": shares.lorenz(by_type), "tokens": shares.lorenz(by_token)}


def direction_sets(run: RunKey) -> list[str]:
    """The probe sets whose summed gradients are logged, the final one first."""
    return [name for name in reversed(PROBE_SETS) if runs.log(run).steps(f"gradients/{name}")]


def direction_steps(run: RunKey, probe_set: str) -> list[int]:
    return runs.log(run).steps(f"gradients/{probe_set}")


@st.cache_resource(max_entries=6, show_spinner="Reading the gradients")
def _geometry(run: RunKey, probe_set: str, step: int) -> Geometry:
    return Geometry.of(runs.log(run), probe_set, step)


def cosine_error(run: RunKey, probe_set: str, step: int) -> float:
    """Standard deviation that a projection adds to a cosine; 0 where the gradients are logged in
    full.
    """
    return _geometry(run, probe_set, step).cosine_error


def _named(run: RunKey, probe_set: str, frame: pd.DataFrame, rocks: set[int]) -> pd.DataFrame:
    return frame.merge(_categories(run, probe_set), on="token_id").assign(
        in_set=lambda f: f.token_id.isin(list(rocks))
    )


@st.cache_data(max_entries=16, show_spinner="Measuring the mean gradients")
def _directions(run: RunKey, probe_set: str, step: int) -> pd.DataFrame:
    return _geometry(run, probe_set, step).table()


def directions(run: RunKey, probe_set: str, step: int, rocks: set[int]) -> pd.DataFrame:
    """Geometry.table with names, by falling contribution to the common direction."""
    return _named(run, probe_set, _directions(run, probe_set, step), rocks).sort_values(
        "contrib", ascending=False, ignore_index=True
    )


@st.cache_data(max_entries=16, show_spinner="Comparing early with late")
def _change(run: RunKey, probe_set: str, first: int, last: int) -> pd.DataFrame:
    return early_and_late(_geometry(run, probe_set, first), _geometry(run, probe_set, last))


def change(run: RunKey, probe_set: str, first: int, last: int, rocks: set[int]) -> pd.DataFrame:
    """geometry.early_and_late with names."""
    return _named(run, probe_set, _change(run, probe_set, first, last), rocks)


def compared_groups(run: RunKey, probe_set: str, step: int, rule: rocks.RockRule) -> Comparison:
    """Rocks under the rule, rare types of high kl, others: see groups.compare. The rare ones are
    chosen at the first step.
    """
    key = ("gradient groups", run, probe_set, step, rule)
    if (before := known(key)) is not None:
        return before
    choice = RockChoice(*rocks.chosen_by_halves(run, rule))
    first = direction_steps(run, probe_set)[0]
    return remember(
        key,
        groups.compare(_geometry(run, probe_set, step), _geometry(run, probe_set, first), choice),
    )


def counted(found: Comparison, group: str, stat: str) -> int:
    """Types of a group, chosen by all rollouts, that have a naive value."""
    own = found.members.query("chosen_by == 'all' and group == @group")
    return int(own[stat].notna().sum())


def rocks_of(run: RunKey, rule: rocks.RockRule) -> set[int]:
    """The token ids of the set of a rule."""
    return set(map(int, rocks.found(run, rule).report.ids))


def given_up(run: RunKey, ids: set[int], source: str, norm: str) -> GivenUp:
    """What a training without these types would have skipped: see shares.given_up."""
    return shares.given_up(runs.log(run), ids, runs.table(source), norm)


@st.cache_data(max_entries=16, show_spinner=False)
def exact(run: RunKey, probe_set: str, norm: str) -> Correlation | None:
    """How well the closed-form norm stands for the gradient in all parameters; None where no exact
    ones were taken.
    """
    try:
        return shares.exact_correlation(runs.log(run), probe_set, norm)
    except NoGradients:
        return None


@st.cache_data(max_entries=16, show_spinner=False)
def adam(run: RunKey, rocks: frozenset[int]) -> tuple[pd.DataFrame, Correlation]:
    """Adam's second moment (token_id, second_moment, n, names) and its rank correlation with the
    frequency. Raises NoGradients.
    """
    frame = shares.second_moments(runs.log(run))
    return _named(run, "fresh", frame, set(rocks)), shares.rank_correlation(
        frame.n, frame.second_moment
    )


def evidence(
    run: RunKey,
    token_id: int,
    now: pd.DataFrame,
    where: pd.DataFrame | None,
    moved: pd.DataFrame | None,
) -> list[str]:
    """What the log says of one type, in sentences: its share, its mean gradient, its change."""
    said = []
    for row in now[now.token_id == token_id].itertuples():
        said.append(
            f"{row.shown} is {row.tokens_share:.2%} of the tokens ({row.n:,} of "
            f"{int(now.n.sum()):,}), {row.kl_share:.1%} of the kl and "
            f"{row.gradient_share:.1%} of the gradient norm at step {row.step}."
        )
    for row in () if where is None else where[where.token_id == token_id].itertuples():
        said += _of_direction(row)
    for row in () if moved is None else moved[moved.token_id == token_id].itertuples():
        said += _of_change(row)
    return said or ["The chosen texts hold no occurrence of this type."]


def _between(low: float, high: float) -> str:
    return (
        "no interval: too few rollouts"
        if np.isnan(low) or np.isnan(high)
        else f"95 % interval {low:.3g} to {high:.3g}"
    )


def _of_direction(row) -> list[str]:
    said = [
        f"A single occurrence has a gradient of length {row.grad_norm:.3g}; the mean of its "
        f"{row.n} in {row.folds} of 16 folds is "
        f"{row.norm_naive:.3g} long as it stands, {row.norm:.3g} without its noise "
        f"({_between(row.norm_low, row.norm_high)})."
    ]
    if np.isfinite(row.cos_balanced):
        said.append(
            f"It points along the other types' mean with cosine {row.cos_balanced:.2f} "
            f"({_between(row.cos_balanced_low, row.cos_balanced_high)}; "
            f"{row.cos_balanced_naive:.2f} as it stands)."
        )
    else:
        said.append("Its length is within its noise, so a direction cannot be told.")
    return said


def _of_change(row) -> list[str]:
    falls = row.kl_change_high < 0, row.kl_change_low > 0
    verdict = "it fell" if falls[0] else "it rose" if falls[1] else "which may be nothing"
    said = [
        f"Its mean kl went from {row.kl_first:.3g} to {row.kl_last:.3g} nats, by "
        f"{row.kl_change:+.3g} "
        f"({_between(row.kl_change_low, row.kl_change_high)}): {verdict}."
    ]
    if np.isfinite(row.ratio):
        said.append(
            f"Its mean gradient is {row.ratio:.2f} times as long as early on "
            f"({_between(row.ratio_low, row.ratio_high)})."
        )
    if np.isfinite(row.cosine):
        said.append(
            f"Early and late it points the same way with cosine {row.cosine:.2f} "
            f"({_between(row.cosine_low, row.cosine_high)})."
        )
    return said
