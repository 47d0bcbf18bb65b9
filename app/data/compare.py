"""The door from the page Compare to the texts of two sides: which there are, what lines up between
them, on what scale.

One scale serves both sides: its anchors are quantiles over the tokens of both runs. Raises
RockError where rockcore does.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import streamlit as st

from app import words
from app.components import token_pane
from app.data import runs, texts
from app.data.runs import RunKey
from app.work import work
from rockcore import schema
from rockcore.analysis import compare
from rockcore.analysis.compare import Alignment

CHANGE = "difference"  # the name of B − A among the signals of a pane
_SIDE = np.geomspace(1e-3, 20.0, 25)
_PROMPT = 90  # characters of a prompt in a list


class Text(NamedTuple):
    """One rollout of one run at one step."""

    run: RunKey
    source: str
    step: int
    rollout: int

    @property
    def name(self) -> str:
        return runs.log(self.run).meta.name


class Shared(NamedTuple):
    """Texts on prompts that both sides have. `texts`: A's rollout -> its name; `partners`: -> B's
    rollouts, the likeliest first.
    """

    texts: dict[int, str]
    partners: dict[int, dict[int, str]]
    prompts: tuple[int, int]  # how many different ones A and B have
    both: int


def check(a: RunKey, b: RunKey) -> None:
    """Raises UnequalTokenizers if no token of A means the same in B."""
    compare.check_tokenizers(runs.log(a).meta, runs.log(b).meta)


def no_difference(a: RunKey, b: RunKey, signal: str) -> str:
    """Why values of `signal` cannot be subtracted; empty where they can."""
    try:
        compare.check_estimators(runs.log(a).meta, runs.log(b).meta, signal)
    except runs.RockError as e:
        return str(e)
    return ""


def sources(a: RunKey, b: RunKey) -> list[str]:
    """Kinds of texts that both runs have logged."""
    return [source for source in runs.SOURCES if runs.steps(a, source) and runs.steps(b, source)]


@st.cache_data(max_entries=32, show_spinner=False)
def shared(a: RunKey, b: RunKey, source: str, step_a: int, step_b: int) -> Shared:
    """The texts of A that answer a prompt which B answers too, word for word."""
    prompt_a, prompt_b = (
        _rollouts(run, source, step).set_index("rollout_id").prompt
        for run, step in ((a, step_a), (b, step_b))
    )
    hints = runs.rollouts(b, source, step_b).set_index("rollout_id").hint
    answers = {prompt: rows.index.tolist() for prompt, rows in prompt_b.groupby(prompt_b)}
    asked = dict(zip(prompt_a.index.tolist(), prompt_a, strict=True))
    texts = {
        rollout: _name(rollout, prompt) for rollout, prompt in asked.items() if prompt in answers
    }
    same_text = a == b and source != "fresh"
    partners = {}
    for rollout in texts:
        found = sorted(
            answers[asked[rollout]], key=lambda other: (same_text and other != rollout, other)
        )
        partners[rollout] = {
            int(other): str(hints.get(other, f"{other} · no tokens")) for other in found
        }
    return Shared(
        texts,
        partners,
        (prompt_a.nunique(), prompt_b.nunique()),
        len(set(prompt_a) & set(prompt_b)),
    )


def _rollouts(run: RunKey, source: str, step: int) -> pd.DataFrame:
    return runs.log(run).rollouts(step if source == "fresh" else None, runs.probe_set(source))


def _name(rollout: int, prompt: str) -> str:
    shown = words.visible(prompt, spaces=True)
    return f"{rollout} · {shown[:_PROMPT]}{'…' if len(shown) > _PROMPT else ''}"


@dataclass(frozen=True)
class Pair:
    """Two texts and one signal of both."""

    a: Text
    b: Text
    signal: str
    values_a: np.ndarray  # (T_A,) NaN where there is none
    values_b: np.ndarray  # (T_B,)
    aligned: Alignment
    change: np.ndarray  # (T_B,) B − A, NaN where a token has no partner

    @property
    def missing(self) -> str:
        """Which side has no value at all; empty if both have."""
        gone = [
            f"{side} ({t.name})"
            for side, t, v in (("A", self.a, self.values_a), ("B", self.b, self.values_b))
            if not _any(v)
        ]
        return f"{self.signal} is not logged for the text of {' and '.join(gone)}." if gone else ""


def _any(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).any())


@st.cache_data(max_entries=16, show_spinner=False)
def _tokens(text: Text) -> pd.DataFrame:
    return (
        runs.log(text.run)
        .trace(text.step, text.rollout, runs.probe_set(text.source))
        .loc[:, ["token_id", *runs.SIGNALS]]
    )


def pair(a: Text, b: Text, signal: str) -> Pair:
    """Line two texts up, in a moment or while the page says so, and subtract."""
    tokens_a, tokens_b = _tokens(a), _tokens(b)
    key = [
        t if t.source == "fresh" else t._replace(step=0) for t in (a, b)
    ]  # a probe is the same text at every step
    ids = tokens_a.token_id.to_numpy(), tokens_b.token_id.to_numpy()
    aligned = work(
        ("aligned", *key), lambda pulse: compare.align(*ids, pulse), "Lining the texts up"
    )
    values_a, values_b = (t[signal].to_numpy(float, na_value=np.nan) for t in (tokens_a, tokens_b))
    return Pair(
        a, b, signal, values_a, values_b, aligned, compare.change(values_a, values_b, aligned)
    )


def _anchors(
    a: RunKey, b: RunKey, signal: str, shares: tuple[float, ...], absolute: bool
) -> tuple[int, list[float]]:
    """How many fresh tokens both runs have, and quantiles over all of them; one run on both sides
    counts once.
    """
    return runs.log(a).quantiles(
        signal, shares, absolute, None if a.path == b.path else runs.log(b)
    )


@st.cache_data(max_entries=32, show_spinner=False)
def scale(a: RunKey, b: RunKey, signal: str) -> dict[str, Any]:
    """traces.scale over both runs: quantiles of all their fresh tokens, and the histogram of these."""
    own = texts.scale(a, signal)
    if a.path == b.path:
        return own
    signed = own["kind"] == "diverging"
    shares = runs.SIGNED_QUANTILES if signed else runs.QUANTILES
    tokens, edges = _anchors(a, b, signal, shares, signed)
    counts = np.add(own["counts"], texts.scale(b, signal)["counts"]).tolist()
    return {
        **own,
        "edges": _both_ways(edges) if signed else edges,
        "counts": counts,
        "tokens": tokens,
        "over": "both runs",
    }


@st.cache_data(max_entries=32, show_spinner=False)
def change_scale(a: RunKey, b: RunKey, signal: str) -> dict[str, Any]:
    """The scale of B − A: fixed for the two runs, its anchors are quantiles of |signal| over the
    fresh tokens of both.

    None lies below the noise floor. The bars are those of the text shown.
    """
    tokens, edges = _anchors(a, b, signal, runs.SIGNED_QUANTILES, True)
    floor = max(schema.noise_floor(runs.log(run).meta.dtype) for run in (a, b))
    return {
        "name": CHANGE,
        "kind": "diverging",
        "unit": schema.TOKENS[signal].unit,
        "meaning": f"{signal} of B minus {signal} of A.",
        "of": "",
        "edges": _both_ways([max(edge, floor) for edge in edges]),
        "quantiles": [*reversed(runs.SIGNED_QUANTILES), *runs.SIGNED_QUANTILES],
        "bins": _both_ways(_SIDE.tolist(), [0.0]),
        "counts": [],
        "tokens": tokens,
    }


def _both_ways(edges: list[float], middle: list[float] | None = None) -> list[float]:
    return [-e for e in reversed(edges)] + (middle or []) + edges


def threshold(a: RunKey, b: RunKey, signal: str) -> float | None:
    """The 0.90 quantile of |signal| over the fresh tokens of both runs; None where nothing is
    logged.
    """
    _, edges = _anchors(a, b, signal, (0.90,), True)
    return edges[0] if edges else None


def _row(text: Text) -> pd.Series:
    rows = _rollouts(text.run, text.source, text.step)
    return rows.loc[rows.rollout_id == text.rollout].iloc[0]


def side_line(letter: str, text: Text) -> str:
    """A text in one line: whose, how long, how far from the teacher, graded how."""
    row = _row(text)
    kl = _tokens(text).kl.to_numpy(float, na_value=np.nan)
    graded = "not graded" if pd.isna(row.correct) else "correct" if row.correct else "wrong"
    mean = f"mean kl {np.nanmean(kl):.4f} nats" if _any(kl) else "kl not logged"
    return f"{letter} · {text.name}, step {text.step}, rollout {text.rollout}: {len(kl):,} tokens, {mean}, {graded}"


def aligned_line(pair: Pair) -> str:
    """What lines up, and whether the teachers read the same."""
    n, of_a, of_b = len(pair.aligned.a), len(pair.values_a), len(pair.values_b)
    other = (
        " The teachers read different prompts here: kl is a distance to another target."
        if _told(pair.a) != _told(pair.b)
        else ""
    )
    if n == of_a == of_b:
        return f"The same {n:,} tokens on both sides, compared position by position.{other}"
    aligned = f"{n:,} of {of_a:,} tokens of A with {n:,} of {of_b:,} of B"
    return f"Aligned: {aligned}; the others are underlined twice and have no difference.{other}"


def _told(text: Text) -> str:
    """What the teacher read."""
    return str(_row(text).teacher_prompt)


def change_line(pair: Pair, tau: float | None) -> str:
    """B − A over the aligned tokens: its mean, and how many tokens moved by at least the threshold."""
    known = pair.change[np.isfinite(pair.change)]
    if not len(known) or tau is None:
        return ""
    up, down = int((known >= tau).sum()), int((known <= -tau).sum())
    unit = schema.TOKENS[pair.signal].unit
    n = f"{len(known):,} aligned tokens"
    return (
        (
            f"B − A: mean {known.mean():+.4f} {unit} over {n}; {up:,} of {n} higher in B by τ = "
            f"{tau:.3g} {unit} or more, {down:,} lower. "
            "τ is the 0.90 quantile of "
            f"{'|sampled_loss|' if pair.signal == 'sampled_loss' else pair.signal} over the fresh "
            "tokens of "
            f"{'the run' if pair.a.run.path == pair.b.run.path else 'both runs'}."
        )
        .replace("  ", " ")
        .replace("mean -", "mean −")
    )  # grad_norm has no unit


class Shown(NamedTuple):
    """What the text pane is given."""

    text: dict[str, Any]
    values: dict[str, Any]
    judged: dict[str, Any]  # its classes: aligned, or only there
    state: token_pane.State


def shown(pair: Pair, letter: str, change: bool = False) -> Shown:
    """One side for the text pane, tokens without a partner underlined; with `change`, B − A is one
    of its signals.
    """
    text, at = (pair.a, pair.aligned.a) if letter == "A" else (pair.b, pair.aligned.b)
    values = texts.values(*text)
    if change:
        packed = texts.packed(pair.change, "f3")
        stamp = zlib.crc32(f"{values['stamp']} {packed}".encode())
        values = {**values, "signals": {**values["signals"], CHANGE: packed}, "stamp": stamp}
    alone = np.ones(len(pair.values_a if letter == "A" else pair.values_b), np.uint8)
    alone[at] = 0
    only = f"only in {letter}"
    judged = {
        **token_pane.NOT_JUDGED,
        "names": ["aligned", only],
        "classes": texts.packed(alone, "u1"),
    }
    state = token_pane.State(
        text.rollout, text.step, classes=[only] if alone.any() else [], rest="underline"
    )
    return Shown(texts.text(*text), values, judged, state)
