"""What the Overview says of the types that hold most of the loss."""

from __future__ import annotations

from app import data

_MOST_NOTES, _LONGEST = 12, 400


def provenance(sentences: list[str]) -> list[str]:
    """Where a log comes from and what to know of it, as far as a page has room for it."""
    shown = [s if len(s) <= _LONGEST else f"{s[: _LONGEST - 1]}…" for s in sentences[:_MOST_NOTES]]
    more = len(sentences) - len(shown)
    return [*shown, f"… and {more:,} more in run.json."] if more else shown


def concentration(step: int, found: data.runs.Concentration) -> list[str]:
    """How much of a step falls on its first types, cross-fitted and then naive, as markdown."""
    of = f"the top {found.top} of {found.types} token types"
    naive = {name: f"{100 * share:.0f} %" for name, share in found.naive.items()}
    if found.crossed is None:
        return [
            f"At step {step}, {of} are {naive['tokens']} of the {found.tokens:,} tokens, "
            f"{naive.get('kl', 'an unknown share')} of their summed kl and "
            f"{naive.get('gradient', 'an unknown share')} of their gradient norm. These are naive "
            "numbers: what was chosen because it was high was measured on the same "
            f"{found.rollouts} rollouts, too few to halve."
        ]
    return [
        f"At step {step}, {of}, chosen on one half of the {found.rollouts} rollouts and measured "
        f"on the other, are {_share(found.crossed.tokens)} of the {found.tokens:,} tokens, "
        f"{_share(found.crossed.kl)} of their summed kl and {_share(found.crossed.gradient)} of "
        "their gradient norm (95 % over rollouts).",
        f"Chosen and measured on the same rollouts (naive): {naive['kl']} of the kl, "
        f"{naive.get('gradient', 'an unknown share')} of the gradient norm.",
    ]


def _share(share: data.runs.Interval | None) -> str:
    if share is None:
        return "an unknown share"
    return f"**{100 * share.value:.0f} %** ({100 * share.low:.0f}–{100 * share.high:.0f} %)"
