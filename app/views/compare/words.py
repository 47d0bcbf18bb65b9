"""What the page says of two texts and of two rankings, in sentences made from their numbers."""

from __future__ import annotations

from collections.abc import Sequence

from app import data, words

_PROMPT = 90  # characters of a prompt in a list
_TOKENS = 40  # of a set in one line


def named_prompt(rollout: int, prompt: str) -> str:
    """A text by its number and the beginning of its prompt, on one line."""
    shown = words.visible(prompt, spaces=True) or "no prompt in the log"
    return f"{rollout} · {shown[:_PROMPT]}{'…' if len(shown) > _PROMPT else ''}"


def side(letter: str, text: data.compare.Text, about: data.compare.About) -> str:
    """A text in one line: whose, how long, how far from the teacher, graded how."""
    means = {"kl": about.kl_mean, "sampled_loss": about.sampled_loss_mean}
    known = [
        f"mean {data.texts.SPOKEN[name]} {mean:.4f} nats"
        for name, mean in means.items()
        if mean is not None
    ]
    mean = known[0] if known else "KL not logged"
    graded = {None: "not graded", True: "correct", False: "wrong"}[about.correct]
    return (
        f"{letter} · {text.name}, step {text.step}, rollout {text.rollout}: {about.tokens:,} "
        f"tokens, {mean}, {graded}"
    )


def aligned(
    pair: data.compare.Pair, about_a: data.compare.About, about_b: data.compare.About
) -> str:
    """What lines up, and whether the teachers read the same."""
    n, of_a, of_b = len(pair.aligned.a), len(pair.values_a), len(pair.values_b)
    other = (
        " The teachers read different prompts here: the KL is a distance to another target."
        if None not in (read := {about_a.teacher_prompt, about_b.teacher_prompt}) and len(read) > 1
        else ""
    )
    if n == of_a == of_b:
        return f"The same {n:,} tokens on both sides, compared position by position.{other}"
    return (
        f"Aligned: {n:,} of {of_a:,} tokens of A with {n:,} of {of_b:,} of B; the others are "
        f"underlined twice and have no difference.{other}"
    )


def not_logged(pair: data.compare.Pair, signal: str, names: dict[str, str]) -> str:
    """Which side has no value at all; empty if both have. `names`: A and B -> the run's name."""
    gone = [f"{letter} ({names[letter]})" for letter in pair.sides_without_values]
    return f"{signal} is not logged for the text of {' and '.join(gone)}." if gone else ""


def moved(found: data.compare.Moved | None, signal: str, one_run: bool) -> str:
    """B − A over the aligned tokens: its mean, and how many tokens moved far."""
    if found is None:
        return ""
    unit = data.compare.unit(signal)
    nats = f" {unit}" if unit else ""  # grad_norm has no unit
    n = f"{found.n:,} aligned tokens"
    mean = f"{found.mean:+.4f}".replace("-", "−")
    measured = {"sampled_loss": "|sampled_loss|", "kl": "KL"}.get(signal, signal)
    return (
        f"B − A: mean {mean}{nats} over {n}; {found.higher:,} of {n} higher in B by "
        f"{found.tau:.3g}{nats} or more, {found.lower:,} lower. That is the 0.90 quantile of "
        f"{measured} over all logged tokens of {'the run' if one_run else 'both runs'}, and not "
        "the τ of a rule."
    )


def token_line(ids: Sequence[int], tokens: dict[int, str]) -> str:
    """Tokens as one line of text. `tokens`: id -> token, whitespace made visible."""
    more = f"  … and {len(ids) - _TOKENS:,} more" if len(ids) > _TOKENS else ""
    return "  ".join(tokens[i] for i in ids[:_TOKENS]) + more


def no_shared_prompt(shared: data.compare.SharedPrompts) -> str:
    return (
        f"No prompt is the same on both sides: A has {shared.of_a:,} here, B has "
        f"{shared.of_b:,}, and 0 of these are equal, word for word. Only texts on one prompt can "
        "be set side by side. The rocks and the curves below need no shared prompt."
    )
