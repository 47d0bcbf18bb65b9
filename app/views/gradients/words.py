"""What the Gradients page says of types and groups, in sentences made from their rows."""

from __future__ import annotations

import math
from typing import Any

from app import data
from app.data.gradients import interval, length, pointing, too_few
from app.views.gradients.asked import Asked
from app.words import percent


def evidence(now: Any | None, where: Any | None, moved: Any | None) -> list[str]:
    """What the log says of one type: its share, its mean gradient, its change. Each a row of
    `at_step`, `directions` and `change`, or None.
    """
    sentences = [] if now is None else [_share(now)]
    sentences += [] if where is None else pointing(where)
    sentences += [] if moved is None else _change(moved)
    return sentences or ["The chosen texts hold no occurrence of this type."]


def _share(row: Any) -> str:
    return (
        f"{row.shown} is {percent(row.tokens_share)} of the tokens ({row.n:,} of "
        f"{row.of_tokens:,}), {percent(row.kl_share)} of the KL and "
        f"{percent(row.gradient_share)} of the gradient at step {row.step}."
    )


def _change(row: Any) -> list[str]:
    known = not math.isnan(row.kl_change_low)
    fell, rose = row.kl_change_high < 0, row.kl_change_low > 0
    verdict = "it fell" if fell else "it rose" if rose else "which may be nothing"
    between = interval(row.kl_change_low, row.kl_change_high) if known else too_few(row)
    sentences = [
        f"Its mean KL went from {row.kl_first:.3g} to {row.kl_last:.3g} nats, by "
        f"{row.kl_change:+.3g} ({between}){f': {verdict}' if known else ''}."
    ]
    if math.isfinite(row.norm_first):
        sentences.append(
            f"Its mean gradient is {length(row, 'norm_first', too_few(row))} long early and "
            f"{length(row, 'norm_last', too_few(row))} late{_factor(row)}."
        )
    if math.isfinite(row.cosine):
        sentences.append(_turned(row))
    return sentences


def _turned(row: Any) -> str:
    """Whether a type's gradient still points where it did, as far as that can be told."""
    cosine = f"the cosine of its early with its late direction is {row.cosine:.2f}"
    if math.isnan(row.cosine_low):
        return (
            f"Whether it still points the same way cannot be told: {cosine}, without an interval."
        )
    cosine += f" ({interval(row.cosine_low, row.cosine_high)})"
    if row.cosine_low > 0:
        return f"Late it points along its early direction: {cosine}."
    if row.cosine_high < 0:
        return f"Late it points against its early direction: {cosine}."
    return f"Whether it still points the same way cannot be told: {cosine}."


def _factor(row: Any) -> str:
    if math.isfinite(row.ratio):
        known = math.isfinite(row.ratio_low)
        between = f" ({interval(row.ratio_low, row.ratio_high)})" if known else ""
        return f", {row.ratio:.2f} times as long{between}"
    if math.isfinite(row.ratio_most):
        return f", at most {row.ratio_most:.2f} times as long"
    return ""


def of_the_set(row: Any, rocks: int, asked: Asked) -> str:
    """The shares of the set on the texts that are chosen, which need not be those of the rule.
    `row`: of shares by label.
    """
    return (
        f"On the texts chosen here ({asked.texts.phrase}) at step {row.step} the {rocks} types of "
        f"the set are {percent(row.tokens_share)} of the tokens, {percent(row.kl_share)} of the KL "
        f"and {percent(row.gradient_share)} of the gradient {data.gradients.NORMS[asked.norm]}."
    )


def over_all_steps(rocks: int, asked: Asked) -> str:
    """What is summed up in the numbers of a training without the set."""
    steps = len(data.gradients.norm_steps(asked.run, asked.texts, asked.norm))
    over = "the one logged step" if steps == 1 else f"all {steps} logged steps"
    return (
        f"Summed over {over} of the {asked.texts.phrase}: what a training without the {rocks} "
        "types of the set would have left out. These are not the shares at the head of the page, "
        "which are of one step."
    )


def beside_the_paper(found: data.gradients.Comparison) -> str:
    """Whether this run shows what the paper saw; empty where a group has no length."""
    rocks, rare = (found.group(name) for name in ("Rock Tokens", "rare, high KL"))
    if not rocks.norm_naive > 0 or not rare.norm_naive > 0:
        return ""
    row = found.test("rare, high KL", "norm")
    if row.ratio_high < 1:
        verdict = "they are shorter here too"
    elif row.ratio_low > 1:
        verdict = "they are longer here"
    else:
        verdict = "whether they are shorter here cannot be told"
    return (
        "The paper (arXiv 2605.09253) finds Rock Tokens with much shorter mean gradients than rare "
        "types of high KL: naive medians 0.016 and 0.54. The naive medians of this run are "
        f"{rocks.norm_naive:.3g} of {rocks.types} and {rare.norm_naive:.3g} of {rare.types} types; "
        f"without noise, on texts that did not choose the types, {verdict} ({_ratio(row)})."
    )


def _ratio(row: Any) -> str:
    """The medians of rocks over those of another group, as far as they are told from 0."""
    if math.isfinite(row.ratio):
        return (
            f"medians {row.ratio:.2g} to 1, approximate 95 % {row.ratio_low:.2g} to "
            f"{row.ratio_high:.2g}"
        )
    if math.isfinite(row.ratio_low):
        return f"medians at least {row.ratio_low:.2g} to 1, approximate 95 %"
    if math.isfinite(row.ratio_high):
        return f"medians at most {row.ratio_high:.2g} to 1, approximate 95 %"
    if min(row.n_rocks, row.n_other) < 2:
        return "no interval of a ratio from fewer than two types"
    return "no ratio, for the medians are not told from 0"


def early_and_late(ends: list[data.gradients.End]) -> str:
    """How long the rocks' mean gradients are at both ends of the training."""
    why = "no interval: without some of the texts no type has a length"
    said = [
        f"{length(end.rocks, 'norm', why)} at step {end.rocks.step}, on "
        f"{'' if end.rocks.texts is None else f'{end.rocks.texts:,} '}{end.texts.phrase} "
        f"({end.rocks.told} of {end.rocks.types} types told from 0 by themselves)"
        for end in ends
    ]
    return (
        "Length of the Rock Tokens' mean gradients without their noise, root mean square over the "
        f"types: {'; '.join(said)}. A length that is not told from 0 has no direction."
    )


def medians(found: data.gradients.Comparison, heads: dict[str, str]) -> list[dict[str, Any]]:
    """The groups in numbers, corrected and cross-fitted; `heads`: what a stat is called."""
    rows: list[Any] = list(found.groups.itertuples())
    return [
        {
            "group": row.group,
            "types": row.types,
            "measured": row.measured,
            **{head: _median(row, stat) for stat, head in heads.items()},
        }
        for row in rows
    ]


def _median(row: Any, stat: str) -> str:
    value, low, high = (getattr(row, f"{stat}{end}") for end in ("", "_low", "_high"))
    if math.isnan(value):
        return "not told"
    if stat == "norm" and not row.norm_told:
        return f"at most {row.norm_most:.3g}"
    return f"{value:.3g}" if math.isnan(low) else f"{value:.3g} ({low:.3g} to {high:.3g})"


def test(found: data.gradients.Comparison, row: Any, naive: bool) -> str:
    """What a rank test says of rocks against another group; empty where it cannot be made."""
    what = "a longer mean gradient" if row.stat == "norm" else "a larger cosine"
    p, superiority = (row.p_naive, row.superiority_naive) if naive else (row.p, row.superiority)
    n, n_other = row.n_rocks, row.n_other
    if naive:
        n, n_other = (found.naive_values(name, row.stat) for name in ("Rock Tokens", row.other))
    if math.isnan(superiority):
        return ""
    ratio = "" if naive else f"; {_ratio(row)}"
    of = "" if naive else ", either half by itself and the smaller p doubled"
    return (
        f"A Rock Token has {what} than a type of “{row.other}” with probability {superiority:.2f} "
        f"(Mann–Whitney p = {p:.2g}; {n} against {n_other} types{of}{ratio})."
    )


def exact(norm: str, texts: str, found: data.gradients.Correlation) -> str:
    symbol = data.gradients.SYMBOLS[norm]
    about = f"{symbol} against the gradient in all parameters: correlation of the logarithms"
    if math.isnan(found.value):
        return f"{about} unknown: {found.n} positions of {texts} are alike in one of them."
    between = f"95 % {found.low:.3f} to {found.high:.3f}"
    if math.isnan(found.low):
        between = "no interval from a single text"
    return f"{about} {found.value:.3f} ({between}, {found.n} positions of {texts})."


def adam(found: data.gradients.Correlation) -> str:
    if math.isnan(found.value):
        return (
            f"Whether Adam's second moment goes with frequency cannot be told from {found.n} "
            "types whose second moments are alike."
        )
    return (
        f"Rank correlation of Adam's second moment with frequency: {found.value:.2f} (95 % "
        f"{found.low:.2f} to {found.high:.2f}, {found.n} types). The second moment v alone does "
        "not say how long a step is: that is m/√v, and the first moment m, which is not logged, "
        "may be larger for frequent types too. A larger v says only that the same m moves the row "
        "less, as the paper supposes of frequent types."
    )


def no_divergence(texts: str, steps: int, floor: float) -> str:
    """For a run in which student and teacher agree everywhere."""
    logged = "the one logged step" if steps == 1 else f"all {steps} logged steps"
    return (
        f"The divergence is zero: at {logged} "
        f"no token type of these texts ({texts}) has a mean KL above {floor:g} nats, which is "
        "rounding. So there is no gradient to share out, and no direction for it. That is as it "
        "should be where a model is its own teacher; otherwise look whether student and teacher "
        "are the folders you meant, or choose other texts above."
    )
