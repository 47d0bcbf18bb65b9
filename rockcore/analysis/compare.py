"""Two runs, or two steps of one, side by side: may they be compared, and how do their rankings
differ? Their texts are the matter of `pairs`.

Refuses runs of different tokenizers, whose ids mean different tokens, differences of a kl that is
not the same quantity on both sides, and a side compared with itself. Nothing is cut or mapped to
make two sides fit.
"""

from __future__ import annotations

import math
from typing import Any

from rockcore.analysis.standings import TOP, Ranking, Sides, overlap, rank_changes
from rockcore.log import Run
from rockcore.rocks import ranking, search
from rockcore.rocks.rule import RockRule
from rockcore.schema import RockError, RunMeta
from rockcore.spelling import as_json

OF_KL = ("kl", "grad_norm")  # columns that are what the estimator makes them


class UnequalTokenizers(RockError, ValueError):
    """Two runs whose token ids mean different tokens."""


class UnequalEstimators(RockError, ValueError):
    """Two runs whose kl is not the same quantity."""


class SameSide(RockError, ValueError):
    """One run at one step, on both sides."""


def check_tokenizers(a: RunMeta, b: RunMeta) -> None:
    """Raises UnequalTokenizers unless an id means the same token in both runs."""
    if a.tokenizer_hash != b.tokenizer_hash:
        raise UnequalTokenizers(
            f"{a.name} was written with the tokenizer {a.tokenizer_hash} ({a.vocab_size} "
            f"entries), {b.name} with {b.tokenizer_hash} "
            f"({b.vocab_size})",
            "The same id means other tokens there, and the same text is cut into other pieces, so "
            "neither tokens nor their losses pair up",
            "Choose a run of the same models, or train one with the same tokenizer",
        )


def check_estimators(a: RunMeta, b: RunMeta, column: str = "kl") -> None:
    """Raises UnequalEstimators if values of `column` cannot be subtracted from each other. Of a
    column that either log does not have the holdings of that run tell more.
    """
    if column in OF_KL and (a.estimator != b.estimator or a.estimator == "absent"):
        raise UnequalEstimators(
            f"The kl of {a.name} is “{a.estimator}”, that of {b.name} is “{b.estimator}”",
            "A difference of two quantities says nothing of either"
            if a.estimator != b.estimator
            else "There is no kl in either log to subtract",
            "Compare sampled_loss where both logs have it, or rescore both with the same models: "
            "rockcore score",
        )
    if column == "sampled_loss" and a.student_logps != b.student_logps:
        raise UnequalEstimators(
            f"The sampled_loss of {a.name} is by the student's “{a.student_logps}”, that of "
            f"{b.name} by its “{b.student_logps}”",
            "The engine that sampled rounds otherwise than the model that is trained, so a "
            "difference would be of the engines too",
            "Rescore both with the same models: rockcore score",
        )


def check_columns(a: Run, b: Run, column: str = "kl") -> None:
    """Raises NotLogged where either run lacks the column, and as check_estimators does."""
    for run in (a, b):
        held = run.holdings()
        if held.columns or held.words:  # of a run without any step that is said elsewhere
            held.require(column)
    check_estimators(a.meta, b.meta, column)


def rankings(
    a: Run,
    b: Run,
    rule: RockRule = search.RULE,
    steps: tuple[int | None, int | None] = (None, None),
    top: int = TOP,
) -> Sides:
    """Both sides of a comparison: two runs by `rule`, first against last checkpoint; two steps by
    Rock Score.

    A step on either side, or one run on both, asks for steps; what is not given is the last step
    with tokens, but the first for A where B is the same run. Raises UnequalTokenizers,
    UnequalEstimators, NotLogged, SameSide, and as search.detect and ranking.rank do.
    """
    check_tokenizers(a.meta, b.meta)
    same = a.path.resolve() == b.path.resolve()
    if not same and steps == (None, None):
        check_columns(a, b, rule.column)
        return Sides(Ranking.of_set(search.detect(a, rule)), Ranking.of_set(search.detect(b, rule)))
    check_columns(a, b)
    last_b = ranking.last_step(b) if steps[1] is None else steps[1]
    first_a = (a.steps("types")[:1] if same else []) or [ranking.last_step(a)]
    step_a = first_a[0] if steps[0] is None else steps[0]
    if same and step_a == last_b:
        raise SameSide(
            f"{a.path.name} at step {step_a} is on both sides",
            "Every difference is 0",
            "Give another step, or another run",
        )
    return Sides(Ranking.of_step(a, step_a, top), Ranking.of_step(b, last_b, top))


def to_json(sides: Sides, top: int | None = None) -> str:
    """Both sides, how their sets overlap, and the `top` rows of `rank_changes` (all), as one JSON
    object; what is unknown is null.
    """
    shared = overlap(sides.a.ids, sides.b.ids)
    fields = ("name", "by", "score", "column", "steps", "source", "estimator")
    about: dict[str, Any] = {
        letter: {name: getattr(side, name) for name in fields} | {"k": len(side.ids)}
        for letter, side in zip("ab", sides, strict=True)
    }
    table = rank_changes(*sides)
    rows = table.head(len(table) if top is None else top).astype(object)
    records = rows.where(rows.notna(), None).to_dict("records")
    jaccard = None if math.isnan(shared.jaccard) else shared.jaccard
    return as_json(
        {**about, "overlap": {**shared._asdict(), "jaccard": jaccard}, "tokens": records}
    )
