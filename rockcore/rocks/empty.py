"""Why a rule finds no Rock Token: which gate let nothing through, and what would open it."""

from __future__ import annotations

import numpy as np

from rockcore.rocks.cutoff import telling
from rockcore.rocks.detection import Detection
from rockcore.rocks.scores import MEANS, SCORES, whole_of
from rockcore.spelling import loss_name


def why_empty(found: Detection) -> str:
    """One or two sentences, with numbers; empty if the set is not."""
    rule, scores = found.rule, found.scores
    if found.cutoff.k:
        return ""
    if rule.top_k == 0:
        return (
            "The rule asks for no type: top_k is 0. Give the number of types, or none for those "
            "that hold enough of the loss."
        )
    if rule.tau_rock is not None and (scores > 0).any():
        return (
            f"{(scores > 0).sum():,} types have a score, the highest {scores.max():.4g}, and "
            f"tau_rock asks for {rule.tau_rock:.4g}. Lower tau_rock, or leave it out."
        )
    if found.cutoff.chosen_by == "none":
        return _unstable(found)
    if rule.automatic and (scores > 0).any():
        return _too_small(found)
    if found.score == "rock_score_ctx" and found.consistent is not None:
        return _no_persistent(found) or _none_recurs(found) or _all_left_out(found)
    return _all_left_out(found)


def _unstable(found: Detection) -> str:
    """Why no number of types is stable."""
    n, rollouts = found.cutoff.enough, found.corpus.rollouts
    unstable = "So the ranking is unstable: other texts may put other types first"
    if not n:
        return f"{_too_small(found)} Besides, {_agree_at_most(found)}. {unstable}."
    who, them = ("1 type holds", "it") if n == 1 else (f"{n:,} types hold", "them")
    start = f"{who} enough of the loss, but "
    if rollouts < 2:
        return (
            f"{start}these texts are one rollout, which has no halves that could agree on a set. "
            "Log more rollouts, or give top_k: the ranking stands, and how stable it is stays "
            "unknown."
        )
    return (
        f"{start}{_agree_at_most(found, f' on {them}, nor')}. {unstable}. More rollouts "
        "(--final-probes) settle it, or give top_k to take so many all the same."
    )


def _agree_at_most(found: Detection, on: str = "") -> str:
    """How far halves of the rollouts agree where they agree best, and what would be enough."""
    rule, cut, ranked = found.rule, found.cutoff, int((found.scores > 0).sum())
    tells = telling(rule, len(cut.jaccard), cut.enough, ranked)
    best = int(np.where(tells, cut.jaccard, -1.0).argmax())
    return (
        f"disjoint halves of the {found.corpus.rollouts:,} rollouts do not agree{on} on any "
        f"number of types: their Jaccard index is {cut.jaccard[best]:.2f} at most (K = "
        f"{best + 1}), and min_jaccard asks for {rule.min_jaccard:g}"
    )


def _too_small(found: Detection) -> str:
    """Why no type that has a score holds enough of the loss."""
    rule, scores, whole = found.rule, found.scores, whole_of(found.score, found.stats)
    sum_of = "the means of all types" if found.score in MEANS else "all tokens"
    if whole <= 0:
        return (
            f"The {loss_name(rule.column)} of {sum_of} sums to {whole:.4g} nats, and of that no "
            "type can hold a share. Rank by kl (column), or give top_k."
        )
    return (
        f"{_none_of(int((scores > 0).sum()))} enough of the loss: by "
        f"{found.score} {scores.max() / whole:.3%} at most, where least_share asks for "
        f"{rule.least_share:.3%} and even_share for more than {rule.even_share / len(scores):.3%} "
        f"({rule.even_share:g} × 1/{len(scores):,}). Lower these, or give top_k."
    )


def _none_of(types: int) -> str:
    if types == 1:
        return "The one type with a score does not hold"
    return f"Not one of the {types:,} types with a score holds"


def _no_persistent(found: Detection) -> str:
    """Why no occurrence is persistent."""
    n, highs = len(found.corpus), found.highs
    if found.persistent.any():
        return ""
    if highs.both:
        return (
            f"All {highs.both:,} high occurrences have a neighbour that excluded_contexts "
            "names. Shorten that list."
        )
    (pre, post), after = found.tau, highs.after
    lower = "Lower the thresholds: tau_quantile, or tau_pre and tau_post."
    if not found.material.paired:
        return (
            f"No occurrence is high at both ends. Of {n:,}, {after:,} are high after training "
            f"(at least {post:.3g} nats), and of these {found.unmatched:,} stand in no context "
            f"that was seen before; in the contexts of the others the token was mostly "
            f"not high before. {lower}"
        )
    before = highs.before
    both = ", but none is both" if before and after else ""
    return (
        f"No occurrence is high at both ends. Of {n:,}, {before:,} are high before training (at "
        f"least {pre:.3g} nats) and {after:,} after it (at least {post:.3g}){both}. {lower}"
    )


def _none_recurs(found: Detection) -> str:
    """Why no persistent occurrence is kept."""
    if found.consistent is None or found.consistent.any():
        return ""
    rule, most, n = found.rule, found.most_similar, int(found.persistent.sum())
    are = "1 occurrence is" if n == 1 else f"{n:,} occurrences are"
    start = f"{are} high before and after, and none recurs: "
    if not most:
        return (
            f"{start}no two of one type stand in similar contexts. Lower gamma (now "
            f"{rule.gamma:g}), or the thresholds, so that there are more of them."
        )
    return (
        f"{start}at most {most:,} other{'s' * (most != 1)} of its type "
        f"{'are' if most != 1 else 'is'} similar to one, and the rule asks for "
        f"{max(rule.min_support, 1):,} (min_support), a share of {rule.eta:g} (eta) and "
        f"{rule.min_rollouts} other rollouts (min_rollouts). Lower one of these, or gamma."
    )


def _all_left_out(found: Detection) -> str:
    """Why no type that could be ranked is."""
    known, rule = found.stats, found.rule
    scored = np.asarray(SCORES[found.score](known)) > 0
    if not scored.any():
        return (
            f"No type has a {found.score} above 0: on these {len(found.corpus):,} occurrences "
            f"there is no {loss_name(rule.column)} left after training to rank by. Another column "
            "or an earlier post_step may have some."
        )
    rare = int((scored & (known.n < rule.min_frequency)).sum())
    named = int((scored & np.isin(known.token_id, rule.excluded_types)).sum())
    return (
        f"{scored.sum():,} types have a score, and the rule leaves all of them out: {rare:,} occur "
        f"less than {rule.min_frequency:,} times (min_frequency), {named:,} are in excluded_types, "
        f"and the {rule.drop_most_frequent:,} most frequent types are dropped "
        "(drop_most_frequent). Lower one of these."
    )
