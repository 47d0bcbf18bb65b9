"""From a run and a rule to its Rock Tokens: `detect` is the simple door to `Examined`."""

from __future__ import annotations

from rockcore.categories import Rule
from rockcore.log import Run
from rockcore.rocks.examined import RULE, Examined
from rockcore.rocks.report import RockReport
from rockcore.rocks.rule import RockRule

__all__ = ["RULE", "detect"]


def detect(
    run: Run,
    rule: RockRule = RULE,
    other: Run | None = None,
    categories: tuple[Rule, ...] | None = None,
) -> RockReport:
    """Find the Rock Tokens of a run: rank types, keep persistent occurrences that recur in similar
    contexts, cut at K.

    Exact: nothing is sampled but what an interval resamples. `other` and `categories` as in
    `Examined`. Raises BadRule, NothingToCompare, BadLoss or DamagedRun. Source: arXiv 2605.09253,
    section 2; where its knobs are open, see rule.RockRule.
    """
    return Examined(run, rule, other, categories).report
