"""The numbers of a run that its formula cards put in, by the names that glossary.Term.here uses."""

from __future__ import annotations

import math
from typing import Any

from rockcore.rocks import RockReport
from rockcore.rocks.rule import RockRule
from rockcore.schema import RunMeta
from rockcore.spelling import visible

_OF_RULE = "tau_pre tau_post tau_quantile window gamma eta min_support min_rollouts least_share"


def values_of(meta: RunMeta, report: RockReport | None = None) -> dict[str, Any]:
    """What is known of the run, and by a detection where there is one; what is not is left out."""
    found: dict[str, Any] = {
        "student": meta.student,
        "teacher": meta.teacher,
        "estimator": meta.estimator,
    }
    if report is not None:
        found |= _of_rule(report.rule) | _of_steps(report) | _of_set(report) | _of_types(report)
    return {name: value for name, value in found.items() if _known(value)}


def _known(value: Any) -> bool:
    return value not in (None, "", "unknown") and not (
        isinstance(value, float) and math.isnan(value)
    )


def _of_rule(rule: RockRule) -> dict[str, Any]:
    """`neighbours`: tokens of a context; so many of them have to agree."""
    neighbours = 2 * rule.window
    return {
        "rule": rule.name,
        **{name: getattr(rule, name) for name in _OF_RULE.split()},
        "neighbours": neighbours,
        "gamma_of_window": math.ceil(round(rule.gamma * neighbours, 9)),
    }


def _of_steps(report: RockReport) -> dict[str, Any]:
    return {
        "first_step": None if report.single else report.steps[0],
        "last_step": report.steps[-1],
        "mode": report.mode,
        "texts": len(report.rollouts),
    }


def _of_set(report: RockReport) -> dict[str, Any]:
    """Where there is no set, its size is told and nothing that a set has."""
    stable, k = report.stability, len(report.ids)
    known = {"hard_from": report.hard_from, **report.occurrences}
    if not k:
        return known | {"in_set": None}
    return known | {
        "K": k,
        "how": report.how,
        "coverage": report.coverage,
        "stability": stable.value,
        "stability_low": stable.low,
        "stability_high": stable.high,
        **{f"{name}_density": share for name, share in report.density.items()},
    }


def _of_types(report: RockReport) -> dict[str, Any]:
    """The type with the largest Rock Score; a signed loss sums to no whole that it is a part of."""
    if report.tokens.empty or report.rule.column != "kl":
        return {}
    top = report.tokens.loc[report.tokens.rock_score.idxmax()]
    return {
        "top_token": visible(str(top.token)),
        "top_R": float(top.rock_score),
        "top_share": float(top.share),
    }
