"""Easy conclusions drawn from data in which nothing happens, each beside the sound one.

Nothing happens: one student stands on both sides of a comparison, or losses are dealt out anew, or
no ban changes an answer. Whatever a statistic finds there, it has made itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from rockcore.analysis.knockout_tests import SignTest, sign_test
from rockcore.rocks import Examined
from rockcore.rocks.conclusion import top_types
from rockcore.rocks.corpus import Corpus
from rockcore.rocks.detection import Detection
from rockcore.rocks.gather import Material
from rockcore.rocks.group_change import group_change
from rockcore.rocks.history import History
from rockcore.schema import RockError

LEAST_ROLLOUTS = 16  # a quarter of them chooses
TYPES = 10  # that are chosen, where the set of the rule does not say how many
_CANDIDATES, _PROBLEMS, _ROLLOUTS = 40, 100, 4  # of a screen in which no ban does anything
_CHANGED = np.linspace(0.02, 0.49, _CANDIDATES)  # of rollouts, by a ban: as in a measured screen


class TooFewTexts(RockError, ValueError):
    """A run whose texts cannot be parted into halves of halves."""


class NothingLearned(NamedTuple):
    """The change of the types of highest mean loss "before" that are not in the set, where one
    student stands on both sides. As the paper's rare types of high kl, which are said to be
    learned.
    """

    types: int
    rollouts: int  # called before, and as many or one more called after
    naive: float  # relative: chosen and measured on the same texts
    crossed: float  # chosen on one half, measured on the other
    low: float  # 95 % of the second
    high: float


def same_student_twice(found: Examined, seed: int = 0) -> NothingLearned:
    """Half of the texts of the last checkpoint are called "before" and the others "after", though
    one and the same student is judged on both. Whatever falls has not been learned.

    Raises TooFewTexts.
    """
    corpus = found.material.last
    if corpus.rollouts < LEAST_ROLLOUTS:
        raise TooFewTexts(
            f"{found.run.meta.name} has {corpus.rollouts} texts at its last checkpoint",
            f"Half of them have to choose and half to measure, twice: {LEAST_ROLLOUTS} are needed",
            "Open a run with more texts, such as a bundled one",
        )
    half = np.zeros(corpus.rollouts, bool)
    order = np.random.default_rng(seed).permutation(corpus.rollouts)
    half[order[: corpus.rollouts // 2]] = True
    history = History.of((_part(corpus, half), _part(corpus, ~half)), paired=False)
    everyone = np.ones((1, int(half.sum())))
    one, two = history.halves(seed)
    free = ~np.isin(history.types, found.report.ids)
    chosen = [_highest(history, rollouts, free) for rollouts in (everyone, one[0], two[0])]
    moved = group_change(history, chosen[0], (chosen[1], chosen[2]), seed)
    names = ("naive", "crossed", "low", "high")
    return NothingLearned(int(chosen[0].sum()), int(half.sum()), *(moved[n] for n in names))


class Deals(NamedTuple):
    """Of so many ways to call one half "before": how often the naive number falls, and how often
    the sound interval leaves 0 out.
    """

    deals: int
    naive_falls: int
    sound_misses: int


def deals(found: Examined, n: int = 20, seed: int = 0) -> Deals:
    """`same_student_twice`, many times. Raises TooFewTexts."""
    every = [same_student_twice(found, seed + i) for i in range(n)]
    misses = sum(each.low > 0 or each.high < 0 for each in every)
    return Deals(n, sum(each.naive < 0 for each in every), misses)


def _highest(history: History, rollouts: np.ndarray, free_V: np.ndarray) -> np.ndarray:
    """(V,) bool: of the types that are free, those of highest mean loss at the first checkpoint in
    these rollouts.
    """
    first = history.sums[0]
    n, mean = first.counts(rollouts)[0], np.nan_to_num(first.means(rollouts)[0])
    return top_types(np.where(free_V & (n >= 2), mean, 0.0), history.types, TYPES)


def _part(corpus: Corpus, rollouts_B: np.ndarray) -> Corpus:
    """Some rollouts of a corpus, with the loss at its last checkpoint."""
    lengths = corpus.lengths[rollouts_B]
    inside = rollouts_B[corpus.rollout]
    return Corpus(
        corpus.steps[-1:],
        corpus.rollout_ids[rollouts_B],
        np.cumsum(lengths) - lengths,
        corpus.token_id[inside],
        (corpus.losses[-1][inside],),
    )


class NothingHard(NamedTuple):
    """Shares of all tokens that are called rocks, where losses were dealt out anew."""

    types: int
    tokens: int
    by_type: float  # every token of the types of highest Rock Score
    by_occurrence: (
        float | None
    )  # those that are high, recurring, and of a type that the rule finds;
    # None where no text has a loss before and after
    chance: float | None  # share of tokens that are high before and after by chance alone


def losses_dealt_anew(found: Examined, seed: int = 0) -> NothingHard:
    """The losses before and after, each shuffled over all tokens: no token is harder than another,
    and none that was hard before is more likely to be hard after. As many types are chosen as the
    rule has in its set: by Rock Score alone, and by the rule.
    """
    rng, old = np.random.default_rng(seed), found.material
    corpora = tuple(
        replace(c, losses=tuple(rng.permutation(loss) for loss in c.losses)) for c in old.corpora
    )
    material = Material(old.mode, old.source, old.steps, corpora, old.lacks)
    tau = found.tau
    types, n = len(found.report.ids) or TYPES, len(material.last)
    rule = found.rule.changed(top_k=types, tau_pre=tau[0], tau_post=tau[1])
    dtype, pulse = found.run.meta.dtype, found.pulse
    naive = Detection(material, rule.changed(score="rock_score"), dtype, pulse=pulse)
    by_type = float(naive.density()["type"].sum() / n)
    if not material.paired:
        return NothingHard(types, n, by_type, None, None)
    by_occurrence = Detection(material, rule, dtype, pulse=pulse).density()["occurrence"].sum() / n
    before, after = (
        float((material.last.losses[end] >= np.float32(tau[end])).mean()) for end in (0, -1)
    )
    return NothingHard(types, n, by_type, float(by_occurrence), before * after)


class NoEffect(NamedTuple):
    """A simulated knockout screen in which no ban changes how often an answer is right."""

    candidates: int
    problems: int
    rollouts: int
    naive: SignTest  # each Δ against the one baseline that all share
    sound: SignTest  # each Δ against a baseline of its own


def shared_baseline(seed: int = 0) -> NoEffect:
    """Answers of a screen without any effect, drawn anew: a ban touches a share of the rollouts,
    and these are right as often as before. The baseline's luck is in every Δ of the naive test.
    """
    rng = np.random.default_rng(seed)
    right_I = 0.25 + 0.5 * rng.random(_PROBLEMS)
    shape = (_PROBLEMS, _ROLLOUTS)
    baseline_IB = rng.random(shape) < right_I[:, None]
    naive, own = [], []
    for share in _CHANGED:
        touched_IB = rng.random(shape) < share
        banned_IB, again_IB = (rng.random(shape) < right_I[:, None] for _ in range(2))
        naive.append((touched_IB * (banned_IB.astype(float) - baseline_IB)).mean())
        own.append((touched_IB * (banned_IB.astype(float) - again_IB)).mean())
    return NoEffect(_CANDIDATES, *shape, sign_test(np.array(naive)), sign_test(np.array(own)))


class Rejections(NamedTuple):
    """Of so many screens without an effect, how many each test finds one in, at 5 %."""

    screens: int
    naive: int
    sound: int


def rejections(screens: int = 100, seed: int = 0, alpha: float = 0.05) -> Rejections:
    """How often either test is wrong."""
    found = [shared_baseline(seed + i) for i in range(screens)]
    naive = sum(each.naive.p <= alpha for each in found)
    sound = sum(each.sound.p <= alpha for each in found)
    return Rejections(screens, naive, sound)
