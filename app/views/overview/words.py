"""What the Overview says of the types that hold most of the loss."""

from __future__ import annotations

from app import data, words

_MOST_NOTES, _LONGEST = 12, 400


def provenance(sentences: list[str]) -> list[str]:
    """Where a log comes from and what to know of it, as far as a page has room for it."""
    shown = [s if len(s) <= _LONGEST else f"{s[: _LONGEST - 1]}…" for s in sentences[:_MOST_NOTES]]
    more = len(sentences) - len(shown)
    return [*shown, f"… and {more:,} more in run.json."] if more else shown


def concentration(step: int, found: data.runs.Concentration) -> list[str]:
    """How much of a step falls on its first types, cross-fitted and then naive, as markdown."""
    of = f"the {found.top:,} types with the largest summed KL, of {found.types:,} types,"
    if found.top == found.types:
        of = f"all {found.types:,} types"
    naive = {name: words.percent(share) for name, share in found.naive.items()}
    if found.crossed is None:
        return [
            f"At step {step}, {of} are {naive['tokens']} of the {found.tokens:,} tokens, "
            f"{naive.get('kl', 'an unknown share')} of their KL and "
            f"{naive.get('gradient', 'an unknown share')} of their gradient. These are naive "
            "numbers: what was chosen because it was high was measured on the same "
            f"{found.rollouts} rollouts, too few to halve."
        ]
    return [
        f"At step {step}, {of} chosen on one half of the {found.rollouts} rollouts and measured "
        f"on the other, are {_share(found.crossed.tokens)} of the {found.tokens:,} tokens, "
        f"{_share(found.crossed.kl)} of their KL and {_share(found.crossed.gradient)} of their "
        "gradient (95 % over rollouts).",
        f"Chosen and measured on the same rollouts (naive): {naive['kl']} of the KL, "
        f"{naive.get('gradient', 'an unknown share')} of the gradient.",
    ]


def _share(share: data.runs.Interval | None) -> str:
    if share is None:
        return "an unknown share"
    return f"**{words.percent(share.value)}** ({100 * share.low:.0f}–{100 * share.high:.0f} %)"
