"""What the Arms page says of a comparison, in sentences made from its rows."""

from __future__ import annotations

from typing import Any

MODEL = (
    "Each row is a difference to the baseline at the last milestone, paired by seed and problem "
    "(for kl: by seed and fixed text). Seeds and problems are random effects, crossed: "
    "y = μ + seed + problem + rest; the interval and p are of μ, by t with Satterthwaite's degrees "
    "of freedom, and no component of the variance counts as negative. p is corrected by Holm over "
    "the arms, within each measure. So it speaks of other seeds and other problems than these."
)


def size(found: Any) -> str:
    """How much was compared."""
    plan, about = found.plan, found.about
    return (
        f"{len(plan.arms)} arms, {len(plan.seeds)} seeds: {about['runs']} of "
        f"{len(plan.arms) * len(plan.seeds)} runs of {about['steps']} steps. Student "
        f"{about['student']}, teacher {about['teacher']}. The arms of a seed share prompts, "
        "rollout budget, held-out problems, fixed texts and normaliser "
        f"({', '.join(about['normalisers'])})."
    )


def rocks(about: dict[str, Any], shown: list[str]) -> str:
    """Which set the arms filter by."""
    if not about["rock_ids"]:
        return f"Rock Tokens: {about['rocks_from']}."
    more = " …" if len(shown) > 20 else ""
    return f"Rock Tokens, {about['rocks_from']}: {len(shown)} types, {'  '.join(shown[:20])}{more}"


def cost(row: Any, baseline: str) -> str:
    """What one arm left out, and what that saved. `row`: of the table costs."""
    told = (
        f"{row.arm} trained on {row.trained:,.0f} of {row.tokens:,.0f} tokens a run "
        f"({row.left_out:.1%} left out)"
    )
    if row.arm == baseline or row.saved != row.saved:
        return f"{told}."
    way = "shorter" if row.saved >= 0 else "longer"
    told += f"; a step was {abs(row.saved):.1%} {way} than the baseline's"
    if row.saved_low == row.saved_low:
        none = row.saved_low <= 0 <= row.saved_high
        told += (
            f" (saved, 95 % over seeds: {row.saved_low:+.1%} to {row.saved_high:+.1%}"
            f"{', so no saving can be told' if none else ''})"
        )
    bound = "" if row.bound != row.bound else f", where Amdahl's law allows {row.bound:.1%} at most"
    return f"{told}{bound}."


def small_saving(bound: float) -> str:
    """What a saving rests on, said where it cannot be large."""
    return (
        "Every token is still sampled and read, because later ones follow on it; what is skipped "
        "is its way through the two vocabulary projections and the divergence. At most "
        f"{bound:.1%} of a step could be saved here by any of these arms."
    )


def left_out(found: Any) -> str:
    """What the training of an arm made of one text."""
    parts = [
        f"{n} {what}"
        for n, what in (
            (found.left_out, "left out"),
            (found.lighter, "with less weight"),
            (found.heavier, "with more weight"),
        )
        if n
    ]
    return f"{found.tokens} tokens: {', '.join(parts) or 'all with weight 1'}."
