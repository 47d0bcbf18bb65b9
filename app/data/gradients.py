"""Gradients, cached: who takes them, where mean gradients point, what became of them.

Every frame with types carries token_id, shown (visible whitespace), category and in_set. Raises
RockError where rockcore does, NoGradients where the log has nothing to answer with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from app.data import rocks, runs, steps
from app.data.runs import RunKey
from app.memory import known, remember
from app.work import kept, kept_saying
from rockcore.analysis import correlations, gradient_change, groups, shares
from rockcore.analysis.correlations import Correlation
from rockcore.analysis.geometry import Geometry
from rockcore.analysis.gradient_change import Ends
from rockcore.analysis.group_length import GroupLength, group_length
from rockcore.analysis.groups import GROUPS, Comparison, RockChoice
from rockcore.analysis.shares import IN_SET, OUTSIDE, GivenUp, Lorenz, Stacked, row_of
from rockcore.analysis.token_gradient import interval, length, pointing, too_few
from rockcore.schema import NoGradients, Texts, noise_floor

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "GROUPS",
    "IN_SET",
    "NORMS",
    "Comparison",
    "Correlation",
    "End",
    "GivenUp",
    "NoGradients",
    "Texts",
    "interval",
    "length",
    "pointing",
    "row_of",
    "too_few",
]

NORMS = {
    "grad_norm": "of the logits, ‖g‖",
    "proj_grad_norm": "of the vocabulary projection, ‖g‖·‖h‖",
}
SYMBOLS = {"grad_norm": "‖g‖", "proj_grad_norm": "‖g‖·‖h‖"}
BY = {"category": "category", "class": "class", "set": "Rock Tokens"}


def logged_texts(run: RunKey) -> list[Texts]:
    """Whose texts the run has logged."""
    return [kind for kind in Texts if runs.steps(run, kind)]


@kept
def _shares(run: RunKey, kind: Texts, norm: str) -> pd.DataFrame:
    return shares.type_shares(runs.log(run), Texts(kind).table, norm)


def logged_norms(run: RunKey, kind: Texts) -> list[str]:
    """The norms that the log has of these texts; raises NoGradients if there is none."""
    found, why = [], None
    for norm in NORMS:
        try:
            _shares(run, kind, norm)
            found.append(norm)
        except NoGradients as e:
            why = why or e
    if not found and why is not None:
        raise why
    return found


def norm_steps(run: RunKey, kind: Texts, norm: str) -> list[int]:
    """The steps at which this norm is logged."""
    return shares.logged_steps(_shares(run, kind, norm))


def floor(run: RunKey) -> float:
    """Nats below which a kl of this run is rounding."""
    return noise_floor(runs.log(run).meta.dtype)


def is_zero(run: RunKey, kind: Texts, norm: str) -> bool:
    """Whether student and teacher agree on all of these texts, at every logged step."""
    return shares.is_zero(_shares(run, kind, norm), floor(run))


def _names(run: RunKey, kind: Texts) -> pd.DataFrame:
    return steps.types(run, kind, "kl").frame


def stacked(run: RunKey, kind: Texts, norm: str, by: str, rule: rocks.RockRule) -> Stacked:
    """Shares by category, class or membership in the set of the rule, at every logged step."""
    about = _names(run, kind) if by == "category" else rocks.table(run, rule)
    return shares.stacked(_shares(run, kind, norm), about, "in_set" if by == "set" else by)


def label_order(run: RunKey, by: str) -> list[str]:
    """The labels that `stacked` may have, in an order that no step changes."""
    if by == "category":
        return runs.categories(run)
    return list(rocks.CLASSES) if by == "class" else [IN_SET, OUTSIDE]


def at_step(run: RunKey, kind: Texts, norm: str, step: int, rock_ids: set[int]) -> pd.DataFrame:
    """One row a type at one step, by falling gradient: see shares.at_step."""
    return shares.at_step(_shares(run, kind, norm), step, _names(run, kind), rock_ids)


@kept_saying("Sorting the gradients of all tokens")
def inequality(run: RunKey, kind: Texts, norm: str, step: int) -> dict[str, Lorenz]:
    """Lorenz curves of the norm over types and over tokens."""
    types = _shares(run, kind, norm)
    return shares.inequality(runs.log(run), types, Texts(kind).table, norm, step)


def direction_texts(run: RunKey) -> list[Texts]:
    """The probe texts whose summed gradients are logged, those of the final student first."""
    return [kind for kind in (Texts.FINAL, Texts.FIRST) if direction_steps(run, kind)]


def direction_steps(run: RunKey, kind: Texts) -> list[int]:
    return runs.log(run).steps(f"gradients/{kind.value}")


@kept_saying("Reading the gradients")
def _geometry(run: RunKey, kind: Texts, step: int) -> Geometry:
    return Geometry.of(runs.log(run), kind.value, step)


def cosine_error(run: RunKey, kind: Texts, step: int) -> float:
    """Standard deviation that a projection adds to a cosine; 0 where the gradients are logged in
    full.
    """
    return _geometry(run, kind, step).cosine_error


@kept_saying("Measuring the mean gradients")
def _directions(run: RunKey, kind: Texts, step: int) -> pd.DataFrame:
    return _geometry(run, kind, step).table()


def directions(run: RunKey, kind: Texts, step: int, rock_ids: set[int]) -> pd.DataFrame:
    """Geometry.table with names."""
    return shares.named(_directions(run, kind, step), _names(run, kind), rock_ids)


@kept_saying("Comparing early with late")
def _change(run: RunKey, kind: Texts, first: int, last: int) -> pd.DataFrame:
    return gradient_change.early_and_late(_geometry(run, kind, first), _geometry(run, kind, last))


def change(run: RunKey, kind: Texts, first: int, last: int, rock_ids: set[int]) -> pd.DataFrame:
    """gradient_change.early_and_late with names."""
    return shares.named(_change(run, kind, first, last), _names(run, kind), rock_ids)


def positive_ends(change: pd.DataFrame, what: str) -> Ends:
    """The types by "kl" or "norm", early and late, where both are positive."""
    return gradient_change.positive_ends(change, what)


def compared_groups(run: RunKey, kind: Texts, step: int, rule: rocks.RockRule) -> Comparison:
    """Rocks under the rule, rare types of high kl, others: see groups.compare. The rare ones are
    chosen at the first step.
    """
    key = ("gradient groups", run, kind, step, rule)
    if (before := known(key)) is not None:
        return before
    choice = RockChoice(*rocks.chosen_by_halves(run, rule))
    first = direction_steps(run, kind)[0]
    return remember(
        key, groups.compare(_geometry(run, kind, step), _geometry(run, kind, first), choice)
    )


class End(NamedTuple):
    """The mean gradients of a set at one end of the training."""

    texts: Texts
    rocks: GroupLength


def ends(run: RunKey, rock_ids: set[int]) -> list[End]:
    """Early, on the texts of the first student, and late, on those of the final one, where they are
    logged; one end alone where nothing else is.
    """
    logged = direction_texts(run)
    early = Texts.FIRST if Texts.FIRST in logged else logged[0]
    first, last = direction_steps(run, early)[0], direction_steps(run, logged[0])[-1]
    found = dict.fromkeys([(early, first), (logged[0], last)])
    return [End(kind, _group_length(run, kind, step, frozenset(rock_ids))) for kind, step in found]


@kept_saying("Measuring the mean gradients")
def _group_length(run: RunKey, kind: Texts, step: int, ids: frozenset[int]) -> GroupLength:
    return group_length(_geometry(run, kind, step), ids)


def rocks_of(run: RunKey, rule: rocks.RockRule) -> set[int]:
    """The token ids of the set of a rule."""
    return set(map(int, rocks.found(run, rule).report.ids))


def given_up(run: RunKey, ids: set[int], kind: Texts, norm: str) -> GivenUp:
    """What a training without these types would have skipped: see shares.given_up."""
    return shares.given_up(runs.log(run), ids, Texts(kind).table, norm)


@kept
def exact(run: RunKey, kind: Texts, norm: str) -> Correlation | None:
    """How well the closed-form norm stands for the gradient in all parameters; None where no exact
    ones were taken.
    """
    try:
        return correlations.exact_correlation(runs.log(run), kind.value, norm)
    except NoGradients:
        return None


@kept
def adam(run: RunKey, rock_ids: frozenset[int]) -> tuple[pd.DataFrame, Correlation]:
    """Adam's second moment (token_id, second_moment, n, names) and its rank correlation with the
    frequency. Raises NoGradients.
    """
    frame = correlations.second_moments(runs.log(run))
    found = correlations.rank_correlation(frame.n, frame.second_moment)
    return shares.named(frame, _names(run, Texts.FRESH), rock_ids), found


def about_type(
    run: RunKey, token_id: int, kind: Texts | None, rock_ids: set[int]
) -> tuple[Any | None, Any | None]:
    """What the summed gradients of `kind` say of one type: its row of `directions` at the last
    step, and of `change` over all steps; None where there is none.
    """
    if kind is None:
        return None, None
    logged = direction_steps(run, kind)
    where = row_of(directions(run, kind, logged[-1], rock_ids), token_id)
    if len(logged) < 2:
        return where, None
    return where, row_of(change(run, kind, logged[0], logged[-1], rock_ids), token_id)
