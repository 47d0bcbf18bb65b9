"""Whether a token type is a Rock Token by a rule, and why: the three gates it has to pass, how far
it came, and by how much it failed the first that it did not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rockcore.rocks import persistence, recurrence
from rockcore.rocks.examined import Examined
from rockcore.rocks.report import RockReport
from rockcore.rocks.scores import MEANS
from rockcore.spelling import loss_name, visible

HIGH, RECURRING, IN_SET = "high", "recurring", "in the set"
SCORES = {  # as a sentence names what ranks
    "rock_score_ctx": "R_ctx",
    "rock_score": "R",
    "mean_kl": "mean loss",
    "rock_score_lcb": "the lower bound of R",
    "mean_kl_eb": "shrunken mean loss",
    "joint": "joint share",
    "authors": "R of the authors",
}


@dataclass(frozen=True)
class Gate:
    """One gate. `passed`: None where it cannot be told."""

    name: str  # HIGH, RECURRING, IN_SET
    passed: bool | None
    value: str  # how many passed, or which rank
    told: str  # a clause: what was found, and where it failed by how much


@dataclass(frozen=True)
class Verdict:
    """What a rule makes of a type."""

    token_id: int
    shown: str
    n: int  # occurrences in the texts that the rule judges
    in_set: bool
    rank: int | None  # from 1; None where it does not occur
    gates: tuple[Gate, ...]  # none where it does not occur
    sentence: str


def judge_type(found: Examined, token_id: int) -> Verdict:
    """The verdict on one type of the vocabulary. Raises as `Examined.report` does."""
    report = found.report
    names = found.run.vocab.set_index("token_id").token
    shown = visible(str(names.get(token_id, f"id {token_id}")))
    at = np.flatnonzero((report.tokens.token_id == token_id).to_numpy())
    if not len(at):
        corpus = found.material.last
        sentence = (
            f"{shown} does not occur in the texts that the rule judges ({corpus.rollouts:,} "
            f"{report.source.phrase}, {len(corpus):,} tokens), so nothing can be said of it here."
        )
        return Verdict(token_id, shown, 0, False, None, (), sentence)
    rank, row = int(at[0]) + 1, report.tokens.iloc[int(at[0])]
    gates = (_high(found, row), _recurring(found, row), _in_set(report, row, rank))
    sentence = _sentence(report, shown, row, gates)
    return Verdict(token_id, shown, int(row.frequency), bool(row.in_set), rank, gates, sentence)


def _sentence(report: RockReport, shown: str, row: Any, gates: tuple[Gate, ...]) -> str:
    high, recurring, last = gates
    if row.in_set:
        passed = "; ".join(dict.fromkeys((high.told, recurring.told, last.told)))
        return f"{shown} is a Rock Token: {passed}."
    start = f"{shown} is no Rock Token by this rule: "
    if _asks_gates(report):
        failed = next((gate for gate in gates if gate.passed is False), last)
        passed = [g.told for g in gates[: gates.index(failed)]]
        return start + "; ".join([*passed, failed.told]) + "."
    return f"{start}{last.told}."


def _asks_gates(report: RockReport) -> bool:
    """Whether the score of the rule counts what is high and recurs."""
    return report.score == "rock_score_ctx"


def _steps(report: RockReport) -> tuple[str, str]:
    return f"before (step {report.steps[0]})", f"after (step {report.steps[-1]})"


def _high(found: Examined, row: Any) -> Gate:
    """How many occurrences are at or above both thresholds."""
    report, n = found.report, int(row.frequency)
    before, after = _steps(report)
    loss = loss_name(report.rule.column)
    if report.single:
        told = f"there is one checkpoint, step {report.steps[-1]}, so what stays high is unknown"
        return Gate(HIGH, None, "unknown", told)
    tau = _nats(report)
    if np.isnan(row.consistent):
        low, high = np.floor(row.persistent + 1e-6), np.ceil(row.persistent_high - 1e-6)
        told = (
            f"{low:,.0f} to {high:,.0f} of {n:,} occurrences are high {before} and {after} ({loss} "
            f"at least {tau}): the texts differ, so no more is known"
        )
        passed = True if low > 0 else False if high == 0 else None
        return Gate(HIGH, passed, f"{low:,.0f} to {high:,.0f} of {n:,}", told)
    high = int(row.persistent)
    are = "is" if high == 1 else "are"
    told = (
        f"{high:,} of {n:,} occurrence{'s' * (n != 1)} {are} high {before} and {after} ({loss} at "
        f"least {tau})"
    )
    if not high and found.material.paired:
        told += _missed(found, row)
    return Gate(HIGH, high > 0, f"{high:,} of {n:,}", told)


def _nats(report: RockReport) -> str:
    pre, post = report.rule.tau_pre, report.rule.tau_post
    if pre == post:
        return f"τ = {post:.3g} nats"
    return f"{pre:.3g} nats before, {post:.3g} after"


def _missed(found: Examined, row: Any) -> str:
    """How far from both thresholds the type stays."""
    report, corpus = found.report, found.material.last
    at = corpus.token_id == row.token_id
    first, last = corpus.losses[0][at], corpus.losses[-1][at]
    before = int((first >= report.rule.tau_pre).sum())
    after = int((last >= report.rule.tau_post).sum())
    both = np.minimum(first, last).max()
    return f": {before:,} before, {after:,} after; the closest stays at {both:.2g} at its lower end"


def _recurring(found: Examined, row: Any) -> Gate:
    """How many of these stand in contexts that recur."""
    if np.isnan(row.consistent):
        return Gate(
            RECURRING, None, "unknown", "which of them recur in similar contexts is unknown"
        )
    high, kept = int(row.persistent), int(row.consistent)
    if not high:
        return Gate(RECURRING, False, "0", "none can recur, for none is high")
    if kept:
        told = f"{kept:,} recur{'s' * (kept == 1)} in similar contexts"
        return Gate(RECURRING, True, f"{kept:,} of {high:,}", told)
    return Gate(RECURRING, False, f"0 of {high:,}", _none_recurs(found, int(row.token_id)))


def _none_recurs(found: Examined, token_id: int) -> str:
    """How many similar ones there are at most, and how many the rule asks for."""
    rule, most = found.rule, most_similar(found, token_id)
    asks = (
        f"the rule asks for {max(rule.min_support, 1):,} from {rule.min_rollouts} other texts"
        if rule.min_rollouts
        else f"the rule asks for {max(rule.min_support, 1):,}"
    )
    if most is None:
        return f"none recurs in similar contexts, where {asks}"
    return (
        f"none recurs: to any of them at most {most:,} other{'s' * (most != 1)} are similar, {asks}"
    )


def most_similar(found: Examined, token_id: int) -> int | None:
    """The largest number of other high occurrences of a type that stand in a context similar to
    one of them; None where texts before and after differ. Only this type is compared: similarity
    is within a type.
    """
    material, rule = found.material, found.report.rule
    if not material.paired:
        return None
    corpus = material.last
    high = (corpus.losses[0] >= rule.tau_pre) & (corpus.losses[-1] >= rule.tau_post)
    at = np.flatnonzero(high & (corpus.token_id == token_id))
    one = persistence.candidates(corpus, at, rule)
    return int(recurrence.consistency(one, rule).similar.max(initial=0))


def _in_set(report: RockReport, row: Any, rank: int) -> Gate:
    k = len(report.ids)
    if row.in_set:
        return Gate(IN_SET, True, f"rank {rank} of {k}", f"rank {rank} of {k} in the set")
    return Gate(
        IN_SET, False, f"rank {rank}, K = {k}" if k else "no set", _outside(report, row, rank)
    )


def _outside(report: RockReport, row: Any, rank: int) -> str:
    """Why a type that occurs is not in the set, as far as the score and the cutoff decide."""
    asked, n, score = report.asked, int(row.frequency), SCORES.get(report.score, report.score)
    if row.token_id in asked.excluded_types:
        return "the rule leaves this type out (excluded_types)"
    if n < asked.min_frequency:
        return f"it occurs {n:,} time{'s' * (n != 1)}, the rule asks for {asked.min_frequency:,}"
    if not row.score > 0:
        dropped = asked.drop_most_frequent or report.score == "authors"
        most = ", or is among the most frequent types, which the rule drops" if dropped else ""
        return f"it has no {score} above 0{most}"
    ends = f"rank {rank} by {score}, where the set ends at {len(report.ids)}"
    if asked.tau_rock is not None:
        return f"its {score} is {row.score:.3g}, the set asks for {asked.tau_rock:.3g}"
    if asked.top_k is not None:
        return f"{ends}: the rule takes {asked.top_k}"
    short = _share_is_short(report, row)
    if short:
        return short
    if report.unstable:
        return (
            f"rank {rank}, and it holds enough of the loss, but halves of the texts agree on no set"
        )
    at = report.curves.loc[report.curves.k == rank, "jaccard"]
    agree = f" (Jaccard {at.iloc[0]:.2f} at rank {rank}, {asked.min_jaccard:g} is asked for)"
    return f"{ends}, as far as halves of the texts agree{agree if len(at) else ''}"


def _share_is_short(report: RockReport, row: Any) -> str:
    """That a type holds too little to be in the set, and by how much; empty where it holds enough,
    or its share cannot be told from the report.
    """
    asked, tokens = report.asked, report.tokens
    if report.score == "mean_kl_eb":  # drawn to a mean over types that have no score too
        return ""
    sums = tokens["mean" if report.score in MEANS else "rock_score"].sum()
    whole = 1.0 if report.score == "joint" else float(sums)
    if whole <= 0:
        return "the loss sums to nothing, so no type has a share of it"
    share, even = row.score / whole, asked.even_share / len(tokens)
    if share >= asked.least_share * (1 - 1e-9) and share > even * (1 + 1e-9):  # cutoff.holds_enough
        return ""
    least = max(asked.least_share, even)
    digits = 2 if f"{share:.1%}" == f"{least:.1%}" else 1
    by = SCORES.get(report.score, report.score)
    return (
        f"its share by {by} is {100 * share:.{digits}f} % of the summed loss, the set "
        f"asks for {100 * least:.{digits}f} %"
    )
