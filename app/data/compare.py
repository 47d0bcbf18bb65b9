"""Two sides, cached: the texts that both have, one pair of them lined up, and the rankings of both.

A side is a run at a step. Raises RockError where rockcore does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from app.components import token_pane
from app.data import rocks, runs, texts
from app.data.runs import RunKey
from app.work import kept, work
from rockcore import schema
from rockcore.analysis import compare, pair_scales, pairs, standings
from rockcore.analysis.pair_scales import DIFFERENCE
from rockcore.analysis.pairs import About, Moved, Pair, SharedPrompts
from rockcore.analysis.standings import TOP, Overlap, Ranking, Sides
from rockcore.schema import Texts

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TOP", "About", "Moved", "Overlap", "Pair", "Ranking", "SharedPrompts", "Sides", "Texts"]


class Text(NamedTuple):
    """One rollout of one run at one step."""

    run: RunKey
    texts: Texts
    step: int
    rollout: int

    @property
    def name(self) -> str:
        return runs.log(self.run).meta.name


def check(a: RunKey, b: RunKey) -> None:
    """Raises UnequalTokenizers if no token of A means the same in B."""
    compare.check_tokenizers(runs.log(a).meta, runs.log(b).meta)


def no_difference(a: RunKey, b: RunKey, signal: str) -> str:
    """Why values of `signal` cannot be subtracted; empty where they can."""
    try:
        compare.check_columns(runs.log(a), runs.log(b), signal)
    except runs.RockError as e:
        return str(e)
    return ""


def common_texts(a: RunKey, b: RunKey) -> list[Texts]:
    """Kinds of texts that both runs have logged."""
    return [kind for kind in Texts if runs.steps(a, kind) and runs.steps(b, kind)]


@kept
def _asked(run: RunKey, kind: Texts, step: int) -> pd.DataFrame:
    return pairs.asked(runs.log(run), kind, step)


@kept
def shared(a: RunKey, b: RunKey, kind: Texts, step_a: int, step_b: int) -> SharedPrompts:
    """The texts of A that answer a prompt which B answers too, word for word."""
    return pairs.shared_prompts(_asked(a, kind, step_a), _asked(b, kind, step_b))


def partners(found: SharedPrompts, a: Text, b: RunKey) -> list[int]:
    """B's rollouts on the prompt of `a`, the likeliest first: of the chosen text alone, because
    thousands may answer one prompt.
    """
    return found.partners(a.rollout, a.run == b and a.texts is not Texts.FRESH)


def hints(others: list[int], of: Texts, b: RunKey, step_b: int) -> dict[int, str]:
    """What there is to say of some of B's texts."""
    known = runs.hints(b, of, step_b)
    return {other: known.get(other, f"{other} · no tokens") for other in others}


@kept
def _tokens(text: Text) -> pd.DataFrame:
    return (
        runs.log(text.run)
        .trace(text.step, text.rollout, text.texts.probe_set)
        .loc[:, ["token_id", *runs.SIGNALS]]
    )


def about(text: Text) -> About:
    """How long a text is, how far from the teacher, graded how, and what the teacher read."""
    return pairs.about(text.rollout, _tokens(text), _asked(text.run, text.texts, text.step))


def pair(a: Text, b: Text, signal: str) -> Pair:
    """Line two texts up, in a moment or while the page says so, and subtract."""
    tokens_a, tokens_b = _tokens(a), _tokens(b)
    # a probe is the same text at every step
    key = [t if t.texts is Texts.FRESH else t._replace(step=0) for t in (a, b)]
    ids = tokens_a.token_id.to_numpy(), tokens_b.token_id.to_numpy()
    aligned = work(("aligned", *key), lambda pulse: pairs.align(*ids, pulse), "Lining the texts up")
    of_a, of_b = (pairs.values_of(tokens, signal) for tokens in (tokens_a, tokens_b))
    return Pair.of(of_a, of_b, aligned)


@kept
def scale(a: RunKey, b: RunKey, signal: str) -> dict[str, Any]:
    """texts.scale over both runs: quantiles of all their tokens, and the histogram of
    these.
    """
    return pair_scales.joint_scale(
        runs.log(a), runs.log(b), texts.scale(a, signal), texts.scale(b, signal)
    )


@kept
def difference_scale(a: RunKey, b: RunKey, signal: str) -> dict[str, Any]:
    """The scale of B − A, fixed for the two runs."""
    return pair_scales.difference_scale(runs.log(a), runs.log(b), signal)


@kept
def threshold(a: RunKey, b: RunKey, signal: str) -> float | None:
    """τ: the 0.90 quantile of |signal| over the tokens of both runs; None where nothing is
    logged.
    """
    return pair_scales.threshold(runs.log(a), runs.log(b), signal)


def moved(pair: Pair, a: RunKey, b: RunKey, signal: str) -> Moved | None:
    """B − A over the aligned tokens, beside τ; None where nothing can be subtracted."""
    tau = threshold(a, b, signal)
    return None if tau is None else pair.moved(tau)


def unit(signal: str) -> str:
    """The unit of a signal; empty where it has none."""
    return schema.TOKENS[signal].unit


class Shown(NamedTuple):
    """What the text pane is given."""

    text: texts.TextPart
    values: texts.ValuesPart
    verdict: dict[str, Any]  # its classes: aligned, or only there
    state: token_pane.State


def shown(pair: Pair, of: Text, letter: str, difference: bool = False) -> Shown:
    """One side for the text pane, tokens without a partner underlined; with `difference`, B − A is
    one of its signals.
    """
    values = texts.values(*of)
    if difference:
        signals = {**values.signals, DIFFERENCE: pair.difference.astype("f4")}
        values = replace(values, signals=signals)
    unpaired = pair.unpaired(letter)
    only = f"only in {letter}"
    verdict = {
        **token_pane.NO_VERDICT,
        "names": ["aligned", only],
        "classes": unpaired.tobytes(),
    }
    state = token_pane.State(
        of.rollout, of.step, classes=[only] if unpaired.any() else [], rest="underline"
    )
    return Shown(texts.text(*of), values, verdict, state)


def ranked_by_rule(a: RunKey, b: RunKey, rule: rocks.RockRule) -> Sides:
    """Both runs by a rule, in a moment or while the page says what is being done."""
    compare.check_columns(runs.log(a), runs.log(b), rule.column)
    return Sides(*(Ranking.of_set(rocks.found(run, rule).report) for run in (a, b)))


@kept
def ranked_by_score(a: RunKey, step_a: int, b: RunKey, step_b: int, top: int) -> Sides:
    """Two steps by Rock Score over their fresh rollouts."""
    compare.check_columns(runs.log(a), runs.log(b))
    return Sides(
        Ranking.of_step(runs.log(a), step_a, top), Ranking.of_step(runs.log(b), step_b, top)
    )


def overlap(sides: Sides) -> Overlap:
    """Which token types are in which set."""
    return standings.overlap(sides.a.ids, sides.b.ids)


def rank_changes(sides: Sides) -> pd.DataFrame:
    """Every type of either side with its rank on both; NaN where it does not occur."""
    return standings.shown_changes(standings.rank_changes(*sides))
