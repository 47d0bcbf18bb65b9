"""What the Gradients page says of types and groups, in sentences made from their rows."""

from __future__ import annotations

import math
from typing import Any

from app import data


def evidence(now: Any | None, where: Any | None, moved: Any | None) -> list[str]:
    """What the log says of one type: its share, its mean gradient, its change. Each a row of
    `at_step`, `directions` and `change`, or None.
    """
    sentences = [] if now is None else [_share(now)]
    sentences += [] if where is None else _direction(where)
    sentences += [] if moved is None else _change(moved)
    return sentences or ["The chosen texts hold no occurrence of this type."]


def _share(row: Any) -> str:
    return (
        f"{row.shown} is {row.tokens_share:.2%} of the tokens ({row.n:,} of {row.of_tokens:,}), "
        f"{row.kl_share:.1%} of the kl and {row.gradient_share:.1%} of the gradient norm at step "
        f"{row.step}."
    )


def _between(low: float, high: float) -> str:
    if math.isnan(low) or math.isnan(high):
        return "no interval: too few rollouts"
    return f"95 % interval {low:.3g} to {high:.3g}"


def _direction(row: Any) -> list[str]:
    length = (
        f"A single occurrence has a gradient of length {row.grad_norm:.3g}; the mean of its "
        f"{row.n} in {row.folds} of 16 folds is {row.norm_naive:.3g} long as it stands, "
        f"{row.norm:.3g} without its noise ({_between(row.norm_low, row.norm_high)})."
    )
    if not math.isfinite(row.cos_balanced):
        return [length, "Its length is within its noise, so a direction cannot be told."]
    return [
        length,
        f"It points along the other types' mean with cosine {row.cos_balanced:.2f} "
        f"({_between(row.cos_balanced_low, row.cos_balanced_high)}; "
        f"{row.cos_balanced_naive:.2f} as it stands).",
    ]


def _change(row: Any) -> list[str]:
    fell, rose = row.kl_change_high < 0, row.kl_change_low > 0
    verdict = "it fell" if fell else "it rose" if rose else "which may be nothing"
    sentences = [
        f"Its mean kl went from {row.kl_first:.3g} to {row.kl_last:.3g} nats, by "
        f"{row.kl_change:+.3g} ({_between(row.kl_change_low, row.kl_change_high)}): {verdict}."
    ]
    if math.isfinite(row.ratio):
        sentences.append(
            f"Its mean gradient is {row.ratio:.2f} times as long as early on "
            f"({_between(row.ratio_low, row.ratio_high)})."
        )
    if math.isfinite(row.cosine):
        sentences.append(
            f"Early and late it points the same way with cosine {row.cosine:.2f} "
            f"({_between(row.cosine_low, row.cosine_high)})."
        )
    return sentences


def of_the_set(row: Any, rocks: int) -> str:
    """The shares of the set at a step. `row`: of shares by label."""
    return (
        f"At step {row.step} the {rocks} Rock Tokens are {row.tokens_share:.1%} of the tokens, "
        f"{row.kl_share:.0%} of the kl and {row.gradient_share:.0%} of the gradient norm."
    )


def beside_the_paper(found: data.gradients.Comparison) -> str:
    """Whether this run shows what the paper saw, by its own way of reckoning; empty where a group
    has no length.
    """
    naive = dict(zip(found.groups.group, found.groups.norm_naive, strict=True))
    rocks, rare = naive["rocks"], naive["rare, high KL"]
    if not rocks > 0 or not rare > 0:
        return ""
    less = "the same way here, but less clearly" if rare > rocks else "not in this run"
    verdict = "as clearly here" if rare > 10 * rocks else less
    return (
        "The paper (arXiv 2605.09253) finds rocks with much shorter mean gradients than rare "
        f"types of high KL, naive medians 0.016 and 0.54: {verdict}, {rocks:.3g} and {rare:.3g}."
    )


def test(found: data.gradients.Comparison, row: Any, naive: bool) -> str:
    """What a rank test says of rocks against another group; empty where it cannot be made."""
    what = "a longer mean gradient" if row.stat == "norm" else "a larger cosine"
    p, superiority = (row.p_naive, row.superiority_naive) if naive else (row.p, row.superiority)
    n, n_other = row.n_rocks, row.n_other
    if naive:
        n, n_other = (found.naive_values(name, row.stat) for name in ("rocks", row.other))
    if math.isnan(superiority):
        return ""
    ratio = ""
    if not naive and not math.isnan(row.ratio):
        ratio = f", medians {row.ratio:.2f} to 1 (95 % {row.ratio_low:.2f} to {row.ratio_high:.2f})"
    return (
        f"A rock has {what} than a type of “{row.other}” with probability {superiority:.2f} "
        f"(Mann–Whitney p = {p:.2g}; {n} against {n_other} values{ratio})."
    )


def exact(norm: str, texts: str, found: data.gradients.Correlation) -> str:
    return (
        f"{norm} against the gradient in all parameters: correlation of the logarithms "
        f"{found.value:.3f} (95 % {found.low:.3f} to {found.high:.3f}, {found.n} positions of "
        f"{texts})."
    )


def adam(found: data.gradients.Correlation) -> str:
    if math.isnan(found.value):
        return (
            f"Whether Adam's second moment goes with frequency cannot be told from {found.n} "
            "types whose second moments are alike."
        )
    return (
        f"Rank correlation of Adam's second moment with frequency: {found.value:.2f} (95 % "
        f"{found.low:.2f} to {found.high:.2f}, {found.n} types). Positive means that Adam takes "
        "shorter steps for the rows of frequent types, as the paper supposes."
    )


def no_divergence(texts: str, steps: int, floor: float) -> str:
    """For a run in which student and teacher agree everywhere."""
    logged = "the one logged step" if steps == 1 else f"all {steps} logged steps"
    return (
        f"The divergence is zero: at {logged} "
        f"no token type of these texts ({texts}) has a mean kl above {floor:g} nats, which is "
        "rounding. So there is no gradient to share out, and no direction for it. That is as it "
        "should be where a model is its own teacher; otherwise look whether student and teacher "
        "are the folders you meant, or choose other texts above."
    )
