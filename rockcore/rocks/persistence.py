"""Which occurrences stay hard, in which contexts, and whether the contexts make them so: stage two
of a detection.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rockcore.rocks.context import Pulse, agreements_needed, neighbours, similar_sums
from rockcore.rocks.corpus import Corpus
from rockcore.rocks.rule import RockRule


@dataclass(frozen=True)
class Candidates:
    """M persistent occurrences with what context consistency needs to know of them."""

    at: np.ndarray  # (M,) index into the corpus
    type: np.ndarray  # (M,) index into Corpus.types
    rollout: np.ndarray  # (M,)
    context: np.ndarray  # (2w, M), see context.neighbours

    def of(self, chosen_M: np.ndarray) -> Candidates:
        return Candidates(
            self.at[chosen_M],
            self.type[chosen_M],
            self.rollout[chosen_M],
            self.context[:, chosen_M],
        )


def candidates(corpus: Corpus, at: np.ndarray, rule: RockRule) -> Candidates:
    """The occurrences at these places with their contexts, without those that a context exclusion
    of the rule names.
    """
    context = neighbours(corpus.token_id, corpus.starts, at, rule.window)
    found = Candidates(at, corpus.type[at], corpus.rollout[at], context)
    offsets = [*range(-rule.window, 0), *range(1, rule.window + 1)]
    allowed = np.ones(len(at), bool)
    for offset, token in rule.excluded_contexts:
        allowed &= context[offsets.index(offset)] != token
    return found if allowed.all() else found.of(allowed)


def precision(
    corpus: Corpus,
    found: Candidates,
    kept_M: np.ndarray,
    types: np.ndarray,
    rule: RockRule,
    pulse: Pulse = lambda: None,
) -> np.ndarray:
    """kappa (V,): of all occurrences in contexts similar to the kept ones of a type, the share that
    is persistent.

    rho compares persistent occurrences with each other; kappa asks whether the context *makes* the
    token persistent. NaN for types not among `types`, and where no other occurrence is similar.
    """
    asked = np.zeros(len(corpus.types), bool)
    asked[types] = True
    every = candidates(corpus, np.flatnonzero(asked[corpus.type]), rule)
    is_persistent, is_kept = np.zeros(len(corpus), bool), np.zeros(len(corpus), bool)
    is_persistent[found.at], is_kept[found.at[kept_M]] = True, True
    wanted = is_kept[every.at]
    weights = np.stack([np.ones(len(every.at), np.int64), is_persistent[every.at]])
    near = similar_sums(
        every.type,
        every.context,
        agreements_needed(rule.gamma, rule.window),
        weights,
        wanted,
        pulse,
    )
    all_V, high_V = (
        np.bincount(every.type[wanted], s[wanted] - 1, len(corpus.types)) for s in near
    )
    return np.divide(high_V, all_V, out=np.full(len(all_V), np.nan), where=all_V > 0)


def matched(
    before: Corpus,
    after: Corpus,
    tau_pre: float,
    tau_post: float,
    rule: RockRule,
    pulse: Pulse = lambda: None,
) -> tuple[np.ndarray, int]:
    """For texts that differ between the checkpoints: (N,) bool over `after`, high now and high
    before in similar contexts.

    An occurrence counts as persistent if it is at or above tau_post and at least half of the
    occurrences of its type that stood in similar contexts before were at or above tau_pre. Also
    returns how many high ones had no similar context before: of these nothing is known, and they
    are not counted as persistent.
    """
    joined = Corpus(
        steps=(),
        rollout_ids=np.arange(before.rollouts + after.rollouts),
        starts=np.concatenate([before.starts, after.starts + len(before)]),
        token_id=np.concatenate([before.token_id, after.token_id]),
        losses=(),
    )
    high_now = np.concatenate([np.zeros(len(before), bool), after.losses[-1] >= tau_post])
    was_high = np.concatenate([before.losses[0] >= tau_pre, np.zeros(len(after), bool)])
    asked = np.zeros(len(joined.types), bool)
    asked[joined.type[high_now]] = True
    earlier = np.arange(len(joined)) < len(before)
    every = candidates(joined, np.flatnonzero((earlier & asked[joined.type]) | high_now), rule)
    wanted = high_now[every.at]
    weights = np.stack([earlier[every.at], was_high[every.at]]).astype(np.int64)
    seen, high = similar_sums(
        every.type,
        every.context,
        agreements_needed(rule.gamma, rule.window),
        weights,
        wanted,
        pulse,
    )
    kept = np.zeros(len(after), bool)
    kept[every.at[wanted & (seen > 0) & (2 * high >= seen)] - len(before)] = True
    return kept, int((wanted & (seen == 0)).sum())
