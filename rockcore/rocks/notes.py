"""What has to be said beside the numbers of a detection: of its texts, of knobs that do nothing
here, of how its set ends.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from rockcore.rocks.cutoff import K_MAX
from rockcore.rocks.detection import Detection
from rockcore.schema import Texts


def notes_on(found: Detection) -> tuple[str, ...]:
    """What has to be said beside the numbers of a detection, a sentence or two each."""
    return (*_on_loss(found), *_on_texts(found), *_on_thresholds(found), *_on_set(found))


def _on_loss(found: Detection) -> Iterator[str]:
    if found.rule.column == "sampled_loss":
        below = found.negative
        yield (
            "sampled_loss looks at the one token that was written: its mean is that of kl, with "
            f"much more noise, and {below:,} of {len(found.corpus):,} values here are negative. "
            "What ranks high on few occurrences may do so by luck; kl, if it can be had, tells "
            "more."
        )


def _on_texts(found: Detection) -> Iterator[str]:
    differ = "The texts before and after training differ"
    if found.material.single:
        yield (
            f"There is one checkpoint, step {found.material.steps[0]}: types are ranked by their "
            "loss there, without persistence. What became of them, and what of it recurs in "
            "contexts, is unknown."
        )
    if found.material.mode == "bounds":
        yield (
            f"{differ}, so no position has both losses: how many are high before and after "
            "is bounded, and whether they recur in similar contexts is unknown."
        )
    if found.score != found.rule.score:
        yield "Types are ranked by R(v) instead of R_ctx(v)."
    if found.material.mode == "matched":
        yield (
            f"{differ}: an occurrence counts as high at both ends if half of those of its type in "
            "similar contexts were high before. "
            f"{found.unmatched} high ones had no similar context and are left out."
        )
    if found.material.source is Texts.FIRST:
        yield "The texts are those of the starting student: the trained one may write others."


def _on_thresholds(found: Detection) -> Iterator[str]:
    """Which knobs do nothing for this set."""
    if found.score == "rock_score_ctx":
        return
    rest = {
        "single": "here they change nothing",
        "bounds": "thresholds move the bounds on what is high, contexts nothing",
    }
    yield (
        f"Thresholds and contexts (τ_pre, τ_post, w, γ, η, support) do not change this set: "
        f"{found.score} ranks types by their loss alone and looks at no occurrence; "
        f"{rest.get(found.material.mode, 'they change what is high and recurs')}."
    )


def _on_set(found: Detection) -> Iterator[str]:
    cut, rule = found.cutoff, found.rule
    if cut.chosen_by == "given" and 0 < cut.k < (rule.top_k or 0):
        yield (
            f"Only {cut.k} types have a {found.score} above 0: the set is smaller than "
            f"the K = {rule.top_k} of the rule."
        )
    if cut.chosen_by == "stability" and cut.k == K_MAX:
        yield f"K is searched for up to {K_MAX} types; more may be stable too. Give top_k to see."
    if rule.automatic and cut.stability.value < rule.min_jaccard:
        yield (
            f"Halves of the rollouts agree on larger sets (J of at least {rule.min_jaccard:g}), "
            f"but on this very one only with J = {cut.stability.value:.3f}: types near its end "
            "are much alike, and other texts may swap them."
        )
    if cut.k and math.isnan(cut.stability.value):
        yield (
            "These texts are one rollout, which has no halves: how stable the set is, is unknown."
        )
