"""Numbers of the report as words: nothing is written that is not known."""

from __future__ import annotations

import math
from typing import Any

from rockcore.rocks import RockReport
from rockcore.spelling import percent

UNKNOWN = "–"  # in a cell


def number(value: Any, form: str = ".3g") -> str:
    """A number, or a dash for one that is not known."""
    return UNKNOWN if value is None or value != value else signs(f"{value:{form}}")


def signs(written: str) -> str:
    """A minus for the hyphen in front of a number; the exponent of a small one keeps its own."""
    return f"−{written[1:]}" if written.startswith("-") else written


def share(value: Any) -> str:
    """A share as every page writes it, on one line."""
    if value is None or value != value:
        return UNKNOWN
    return percent(value).replace(" %", "\u00a0%")


def between(low: float, high: float, form: str = "+.3g") -> str:
    """An interval; a dash where its ends are not known."""
    if low != low or high != high:
        return UNKNOWN
    return f"{number(low, form)} to {number(high, form)}"


def points(value: float) -> str:
    """A difference of accuracies in points."""
    return number(100 * value, "+.1f")


def counted(n: int, one: str, many: str = "") -> str:
    return f"{n:,} {one if n == 1 else many or f'{one}s'}"


def gates(found: RockReport) -> str:
    """How many occurrences pass each of the three gates."""
    n, rule = found.occurrences, found.rule
    scored = counted(int(n["scored"] or 0), "occurrence")
    if found.single:
        return (
            f"{scored} at one checkpoint, step {found.steps[-1]}: what was high before is unknown."
        )
    high = (
        f"at least {rule.tau_pre:.3g} nats before (step {found.steps[0]}) and {rule.tau_post:.3g} "
        f"after (step {found.steps[-1]})"
    )
    if n["persistent"] is None:
        return (
            f"{scored} → {n['persistent_low']:,} to {n['persistent_high']:,} high, {high}; how "
            "many recur in similar contexts is unknown."
        )
    return (
        f"{scored} → {n['persistent']:,} high, {high} → {n['consistent']:,} recurring in similar "
        f"contexts → {n['in_set']:,} of a type in the set."
    )


def stability(found: RockReport) -> str:
    """How far halves of the texts agree on this very set."""
    stable = found.stability
    if math.isnan(stable.value):
        return "How stable the set is, is unknown: one rollout has no halves."
    return (
        f"Split-half Jaccard of this set: {stable.value:.2f}, middle 95 % of {found.rule.draws} "
        f"splits {stable.low:.2f} to {stable.high:.2f}."
    )


def coverage(found: RockReport) -> str:
    """What the set holds of the loss, on the texts that chose it and elsewhere."""
    said = f"The {counted(len(found.ids), 'type')} hold {share(found.coverage)} of the summed loss"
    elsewhere = found.covered_elsewhere
    if math.isnan(elsewhere.value):
        return f"{said}, on the texts that chose them."
    return (
        f"{said} on the texts that chose them; where one half of the texts chooses and the other "
        f"is measured {share(elsewhere.value)} (middle 95 % of the splits {share(elsewhere.low)} "
        f"to {share(elsewhere.high)})."
    )
