"""What the Overview says of the types that hold most of the loss."""

from __future__ import annotations

from app import data


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
