"""What the Knockout page says of a screen, in sentences made from its numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from app import data, words

KINDS = {
    "token": "token alone",
    "steered": "with its spellings",
    "window": "window",
    "random": "random, matched",
}
KINDS_HELP = (
    "Token alone: its id is banned at every step. With its spellings: its other spellings too, as "
    "with a space before it, because one replaces the other. Window: every rock candidate of its "
    "window of high divergence. Random: types that are no rocks, matched in frequency."
)


class About(NamedTuple):
    heading: str
    short: str
    meaning: str


VERDICTS = {
    "Strong Pillar": About(
        "Strong Pillars",
        "Pillar",
        "Without it at least ε fewer answers are right, beyond chance among all these tests.",
    ),
    "Neutral": About(
        "Neutral", "neutral", "Shown to matter less than ε: the whole interval lies inside ±ε."
    ),
    "Strong Stumbling": About(
        "Strong Stumbling",
        "stumbling",
        "Without it at least ε more answers are right, beyond chance among all these tests.",
    ),
    "undecided": About(
        "Undecided", "undecided", "Neither of the three can be shown with so many rollouts."
    ),
}
PAPER = (
    "The paper (arXiv 2605.09253), other models and tasks: 7 Pillars, 193 neutral, 0 stumbling on "
    "MATH-500 and 3 / 197 / 0 on IFEval, 200 tokens each, ε = 1 point. It calls neutral what is "
    "not significant, and corrects for no number of tests; by either usual correction it would "
    "keep none."
)
HOW_TO_READ = (
    "Left of the bands: answers get worse without the token. A sham draws the same rollouts again "
    "from the same place, with fresh noise and no ban: so far Δ moves by luck alone. The intervals "
    "are those of one candidate; verdicts are decided over all of them together."
)


def named(kind: str, token: str, ids: int) -> str:
    """A candidate on an axis or in a list, whitespace made visible."""
    shown = words.visible(token)
    return {
        "steered": f"{shown} +{ids - 1} spelling{'s' * (ids != 2)}",
        "window": f"W({shown}), {ids} id{'s' * (ids != 1)}",
        "random": f"{shown} (random)",
    }.get(kind, shown)


def neutral(epsilon: float) -> str:
    points = f"{100 * epsilon:g} point{'s' * (100 * epsilon != 1)}"
    return (
        f"Neutral needs equivalence: the whole interval inside ±ε, here {points} of accuracy. "
        "Undecided is not neutral: it says that these rollouts are too few "
        "to tell."
    )


def screened(found: data.knockouts.Knockouts) -> str:
    """What was screened, short."""
    plan = found.plan
    return (
        f"step {plan.step} · {plan.problems} problems × {plan.rollouts} rollouts · T = "
        f"{plan.temperature:g}"
    )


def screen_line(found: data.knockouts.Knockouts, name: str) -> str:
    plan, base = found.plan, found.accuracy
    return (
        f"Screened: the student of {name} ({plan.student}) after step {plan.step}, on "
        f"{plan.problems:,} held-out problems × {plan.rollouts} rollouts at temperature "
        f"{plan.temperature:g}, seed {plan.seed}, the same noise with and without each token. With "
        f"all its tokens {100 * base.value:.1f} % of the answers are right (95 % "
        f"{100 * base.low:.1f}–{100 * base.high:.1f} %, {plan.problems * plan.rollouts:,} answers)."
    )


def unfinished(far: data.knockouts.Progress) -> str:
    return (
        f"This screen is not finished: {far.done} of {far.planned} candidates. What is shown rests "
        "on these, and its corrections on their number; the verdicts will change. While it is at "
        "work, reload (press R) for what has come since; otherwise it goes on where it stopped:"
    )


def counted(verdicts: Iterable[str], verdict: str) -> int:
    return sum(each == verdict for each in verdicts)


def decided(rows: Any) -> str:
    """What the Pillars and stumbling blocks are so by; empty where there is none. `rows`: of
    Knockouts.by_token.
    """
    by = [w for v, w in zip(rows.verdict, rows.decided_by, strict=True) if v.startswith("Strong")]
    if "window" not in by:
        return ""
    return (
        f"Of the {len(by)} that are Pillar or stumbling {by.count('token')} are so alone, "
        f"{by.count('window')} by their window, all of whose candidates are banned together."
    )


def needed_pillars(rows: Any) -> str:
    """How many Pillars are no finding; empty where none. `rows`: of Knockouts.by_token."""
    pillars = [needed for v, needed in zip(rows.verdict, rows.needed, strict=True) if "Pillar" in v]
    if not any(pillars):
        return ""
    return (
        f"With {sum(pillars)} of these {len(pillars)} Pillars the answer itself is written, as "
        "with a digit or the box: without them none can be graded right, whatever the reasoning."
    )


def about_candidate(row: Any, name: str) -> str:
    """One candidate in numbers."""
    sham = (
        ""
        if row.sham_delta != row.sham_delta
        else f" Its sham: {words.points(row.sham_delta)} points."
    )
    needed = (
        " Right answers are written with what it bans, so that none can be graded right: this says "
        "nothing of the reasoning."
        if row.needed
        else ""
    )
    return (
        f"{name}: {row.verdict}. {words.delta(row.delta, row.low, row.high)}; p = {row.p:.2g}, BH "
        f"q = {row.q_bh:.2g}, max-T p = {row.p_max:.2g}. {row.changed:.0%} of the rollouts hold it "
        f"and were written anew from its first place on.{sham}{needed}"
    )


def replaced(rows: Any, most: int = 6) -> str:
    """What stands in its place."""
    if rows.empty:
        return "No rollout holds it: a ban changes nothing here."
    head = rows.head(most)
    shown = "  ".join(
        f"{words.visible(str(token))} {share:.0%}"
        for token, share in zip(head.token, head.share, strict=True)
    )
    more = f"  … and {len(rows) - most:,} others" if len(rows) > most else ""
    return f"At the first banned place stands instead: {shown}{more} (of {sum(rows.n):,} places)."


def parting(pair: data.knockouts.Pair) -> str:
    """Where the two part, and what became of the grade."""
    grades = [data.knockouts.GRADES[side.correct] for side in pair.sides]
    grade = (
        f"Right answer: {words.visible(pair.answer, spaces=True)}. With the token {grades[0]}, "
        f"without it {grades[1]}"
    )
    if pair.parts_at is None:
        return f"{grade}; the texts are the same."
    instead = words.visible(pair.instead) if pair.instead else "nothing: the text ends there"
    return (
        f"{grade}. The texts part at position {pair.parts_at}, where what is left out first "
        f"stands; written instead: {instead}"
    )


def captions(pair: data.knockouts.Pair) -> list[str]:
    """Above either text, as long as the other, so that the texts begin at one height."""
    return [
        f"{side.letter}, {how} the token: {side.tokens} tokens, "
        f"{data.knockouts.GRADES[side.correct]}."
        for side, how in zip(pair.sides, ("with", "without"), strict=True)
    ]


def family(found: data.knockouts.Knockouts) -> str:
    """What the corrections are for."""
    alpha, tests = found.levels.alpha, found.power.tests
    sham = (
        f" Of {found.placebo.n} shams, which ban nothing, {found.placebo.rejected} have p ≤ "
        f"{alpha:g}."
        if found.placebo
        else ""
    )
    return (
        f"{tests} tests at level {alpha:g} reject about {tests * alpha:.1f} by chance if no token "
        f"matters.{sham} Verdicts here are decided by {found.levels.correction}; a token and its "
        "window are two tests."
    )


def signs(found: data.knockouts.Knockouts) -> list[str]:
    """The sign test, as it proves something and as it does not."""

    def line(test: Any) -> str:
        return f"{test.negative} worse, {test.positive} better without (p = {test.p:.2g})"

    return [
        f"Sign test, centred: each Δ against its own sham: {line(found.signs.centred)}.",
        f"Sign test, naive: every Δ against one baseline, as in the paper: "
        f"{line(found.signs.naive)}. All share the luck of that baseline, so where nothing matters "
        "it rejects far too often.",
    ]


def power(found: data.knockouts.Knockouts) -> str:
    return f"Power: {found.power.sentence(found.levels.epsilon)}"


def correlation(row: Any) -> str:
    """Above a scatter: r with its interval and what it can reach; lines parted by <br>."""
    if row.r != row.r:
        return f"{row.label}<br>no correlation: too few candidates, or all alike"
    limit = "" if row.bound != row.bound else f" · |r| ≤ {row.bound:.2f} for noise"
    return f"{row.label}<br>r = {row.r:+.2f} ({row.low:+.2f} to {row.high:+.2f}){limit}"


def bound(found: data.knockouts.Knockouts) -> str:
    most = max((abs(r) for r in found.correlations.r if r == r), default=None)
    here = "" if most is None else f" Here the largest |r| is {most:.2f}."
    return (
        "Pearson correlation of Δ with what the log tells beforehand, over the tokens that were "
        "knocked out alone and that no answer needs. Noise in Δ bounds |r|: not even a perfect "
        f"predictor would reach 1.{here} The paper reports |r| ≤ 0.075 for all nine, without that "
        "bound."
    )
