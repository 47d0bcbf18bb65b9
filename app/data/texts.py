"""The door from the pages to single texts: one rollout with everything the token pane shows of it,
as compact arrays.

What a step does not change (`text`) is apart from what it does (`values`), so that a page sends the
one once. Arrays go as base64: nothing here is JSON with NaN in it. What is not logged is left out,
and `missing` says why. Raises RockError where rockcore does.
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import streamlit as st

from app.data import runs
from app.data.runs import RunKey
from rockcore import schema
from rockcore.categories import categorize_all, sentence_starts

_NATS = np.geomspace(1e-3, 20.0, 44)
_SIDE = np.geomspace(1e-2, 20.0, 22)
_SHARE = [k / 20 for k in range(1, 21)]  # each as near to its fraction as a share k/S is
# a likelihood that rounds to 0.000 on the card; most of a sure model's alternatives are below
LEAST_SHOWN = 0.0005
_TOP = f"top-{schema.TOP_ALTERNATIVES} + tail"


class Signal(NamedTuple):
    """What a text can be coloured by. `kind`: sequential, diverging, share (of 1), flag (0 or 1) or
    class (an index).
    """

    kind: str
    unit: str
    meaning: str
    scale: str = ""  # the logged column whose run-wide scale it is shown on; none for a fixed scale


def _logged(name: str, kind: str = "sequential") -> Signal:
    return Signal(kind, schema.TOKENS[name].unit, schema.TOKENS[name].meaning, name)


SIGNALS: dict[str, Signal] = {
    "kl": _logged("kl"),
    "sampled_loss": _logged("sampled_loss", "diverging"),
    **{
        name: _logged(name)
        for name in ("student_entropy", "teacher_entropy", "grad_norm", "weight")
    },
    "persistence": Signal(
        "share",
        "of the logged steps",
        "Share of the logged steps at which kl of this position is at least τ.",
    ),
    "rock class": Signal("class", "", "What became of the token's type over the training."),
    "reverse_kl": Signal(
        "sequential", "nats", f"KL(student ‖ teacher) from the stored alternatives, {_TOP}.", "kl"
    ),
    "forward_kl": Signal(
        "sequential", "nats", f"KL(teacher ‖ student) from the stored alternatives, {_TOP}.", "kl"
    ),
    "jensen_shannon": Signal(
        "sequential",
        "nats",
        f"Jensen–Shannon divergence from the stored alternatives, {_TOP}; at most 0.693.",
        "kl",
    ),
    "top1_disagreement": Signal(
        "flag", "", "Whether student and teacher find different tokens likeliest."
    ),
}
_COLUMNS = ("kl", "sampled_loss", "student_entropy", "teacher_entropy", "grad_norm", "weight")
_NO_ALTERNATIVES = {
    "fresh": "Alternatives are logged for probe texts only.",
    "final": "No alternatives are logged for this text: of the final student's only the first "
    "have them.",
    "first": "No alternatives are logged for this text.",
}


def packed(values: Any, dtype: str) -> str:
    """An array as base64, little-endian: i4, u2, u1, or f3: float32 rounded to its upper three
    bytes (1 in 65,536).
    """
    if dtype != "f3":
        return base64.b64encode(np.ascontiguousarray(values, dtype="<" + dtype).tobytes()).decode()
    bits = np.ascontiguousarray(values, dtype="<f4").reshape(-1).view("<u4")
    rounded = np.where(
        np.isnan(values).reshape(-1), bits, bits + np.uint32(0x80)
    )  # carries into the exponent, as it should
    return base64.b64encode(
        rounded.astype("<u4").view(np.uint8).reshape(-1, 4)[:, 1:].tobytes()
    ).decode()


@st.cache_data(max_entries=64, show_spinner=False)
def scale(run: RunKey, signal: str) -> dict[str, Any]:
    """The colour scale and histogram of a signal over the whole run: name, kind, unit, meaning,
    edges with their quantiles, bins (edges) and counts, tokens (how many were counted), of (the
    logged column). Fixed scales have no counts.
    """
    about = SIGNALS[signal]
    known = {
        "name": signal,
        "kind": about.kind,
        "unit": about.unit,
        "meaning": about.meaning,
        "of": about.scale,
    }
    if not about.scale:
        edges = [0.2, 0.4, 0.6, 0.8, 1.0] if about.kind == "share" else [0.5]
        return {
            **known,
            "edges": edges,
            "quantiles": [],
            "bins": _SHARE,
            "counts": [],
            "tokens": 0,
        }
    anchors = runs.scale(run, about.scale)
    signed = about.kind == "diverging"
    bins = np.concatenate([-_SIDE[::-1], [0.0], _SIDE]) if signed else _NATS
    return {
        **known,
        "edges": anchors.edges,
        "quantiles": anchors.quantiles,
        "bins": bins.tolist(),
        "counts": runs.log(run).histogram(about.scale, bins.tolist()),
        "tokens": anchors.tokens,
    }


def _key(run: RunKey, source: str, rollout: int, ids: pd.Series) -> str:
    """The same as long as the words are: only then may a pane keep what it has drawn."""
    return f"{run.path} {source} {rollout} {len(ids)} {zlib.crc32(ids.to_numpy('<i4').tobytes())}"


def _stamped(part: dict[str, Any]) -> dict[str, Any]:
    """With a stamp that changes whenever anything else in it does."""
    return {**part, "stamp": zlib.crc32(json.dumps(part).encode())}


def text(run: RunKey, source: str, step: int, rollout: int) -> dict[str, Any]:
    """What a step does not change: key, prompt, teacher_prompt, length, the words that occur with
    their ids, at (index of each token into them, u2 or i4 if `wide`), categories (through
    runs.categories; u1, or u2 beyond 256 of them), series (probe texts: steps, and kl as S × T f3)
    and the teacher's alternatives. One step of a probe is as good as another.
    """
    return _text(run, source, step if source == "fresh" else runs.steps(run, source)[-1], rollout)


@st.cache_data(max_entries=32, show_spinner=False)
def _text(run: RunKey, source: str, step: int, rollout: int) -> dict[str, Any]:
    opened, probe = runs.log(run), runs.probe_set(source)
    frame = opened.trace(step, rollout, probe)
    texts = opened.rollouts(None if probe else step, probe)
    kinds = categorize_all(
        frame.token, frame.special, sentence_starts(frame.token.tolist()), opened.category_rules
    )
    index = {name: i for i, name in enumerate(runs.categories(run))}
    own = texts.loc[texts.rollout_id == rollout]
    prompt, teacher_prompt = (
        own[["prompt", "teacher_prompt"]].iloc[0].tolist() if len(own) else ("", "")
    )
    found: dict[str, Any] = {
        "key": _key(run, source, rollout, frame.token_id),
        "prompt": prompt,
        "teacher_prompt": teacher_prompt if teacher_prompt != prompt else "",
        "length": len(frame),
        **_words(frame),
        "categories": packed([index[k] for k in kinds], "u1" if len(index) <= 256 else "u2"),
    }
    if probe:
        steps, logged_ST = opened.over_steps(rollout, probe)
        kl_ST = np.full((len(steps), len(frame)), np.nan, np.float32)  # a step may lack tokens
        kl_ST[:, : logged_ST.shape[1]] = logged_ST[:, : len(frame)]
        found["series"] = {"steps": steps, "kl": packed(kl_ST, "f3")}
    if _has_alternatives(frame):
        found["teacher"] = _side(run, frame, "teacher")
    return _stamped(found)


def _words(frame: pd.DataFrame) -> dict[str, Any]:
    """Each token once, and which stands where."""
    ids, first, at = np.unique(frame.token_id, return_index=True, return_inverse=True)
    wide = len(ids) >= 65536
    return {
        "words": frame.token.iloc[first].tolist(),
        "ids": ids.tolist(),
        "wide": wide,
        "at": packed(at, "i4" if wide else "u2"),
    }


@st.cache_data(max_entries=32, show_spinner=False)
def values(run: RunKey, source: str, step: int, rollout: int) -> dict[str, Any]:
    """What the text is at one step: key of the text, step, signals (name -> f3), flags (name ->
    u1), the student's alternatives, missing (name -> why). The teacher's probability of the token
    follows from the student's and sampled_loss.
    """
    frame = runs.log(run).trace(step, rollout, runs.probe_set(source))
    signals = {name: frame[name].to_numpy(float) for name in _COLUMNS if name in frame}
    signals["student_p"] = np.exp(frame.student_logp.to_numpy(float))
    found: dict[str, Any] = {
        "key": _key(run, source, rollout, frame.token_id),
        "step": step,
        "flags": {},
    }
    missing = (
        {"weight": "The training weighs fresh rollouts only; a probe text has no weight."}
        if "weight" not in frame
        else {}
    )
    missing |= {
        name: f"The log of this run has no {name} here."
        for name, v in signals.items()
        if len(v) and not np.isfinite(v).any()
    }
    if _has_alternatives(frame):
        signals |= divergences(frame)._asdict()
        found["flags"]["top1_disagreement"] = packed(signals.pop("top1_disagreement"), "u1")
        found["student"] = _side(run, frame, "student")
    else:
        missing |= dict.fromkeys(Divergences._fields, _NO_ALTERNATIVES[source])
    if source == "fresh":
        missing["persistence"] = (
            "A fresh rollout exists at one step only; probe texts are scored at every logged step."
        )
    else:
        del signals["kl"]  # the text has it, for every step
    found["signals"] = {name: packed(v, "f3") for name, v in signals.items() if name not in missing}
    return _stamped({**found, "missing": missing})


def _has_alternatives(frame: pd.DataFrame) -> bool:
    names = ["student_top_ids", "teacher_top_ids"]
    return (
        len(frame) > 0
        and all(name in frame for name in names)
        and not frame[names].isna().to_numpy().any()
    )


def _stacked(frame: pd.DataFrame, who: str) -> tuple[np.ndarray, np.ndarray]:
    """(T, k) ids and probabilities of one model's alternatives."""
    logps = np.stack(frame[f"{who}_top_logps"].tolist()).astype(float)
    return np.stack(frame[f"{who}_top_ids"].tolist()), np.exp(logps)


def _side(run: RunKey, frame: pd.DataFrame, who: str) -> dict[str, Any]:
    """The alternatives of each token that are likely enough to be shown, the first always: how many
    of the k (u1), and of all of them, one token after another, the index (u2 or i4) into the ids
    used, with their words, and the probability in 65535ths (u2).
    """
    ids, p = _stacked(frame, who)
    shown = p >= LEAST_SHOWN
    shown[:, 0] = True
    used, at = np.unique(ids[shown], return_inverse=True)
    words = runs.log(run).vocab.set_index("token_id").token.reindex(used)
    return {
        "k": ids.shape[1],
        "least": LEAST_SHOWN,
        "counts": packed(shown.sum(axis=1), "u1"),
        "ids": used.tolist(),
        "words": [f"id {i}" if pd.isna(w) else w for i, w in zip(used, words, strict=True)],
        "at": packed(at.reshape(-1), "u2" if len(used) < 65536 else "i4"),
        "wide": len(used) >= 65536,
        "p": packed(np.round(p[shown] * 65535), "u2"),
    }


class Divergences(NamedTuple):
    """Between student and teacher at each position, from their alternatives: (T,) each, nats; the
    last is 0 or 1.
    """

    reverse_kl: np.ndarray
    forward_kl: np.ndarray
    jensen_shannon: np.ndarray
    top1_disagreement: np.ndarray


def divergences(frame: pd.DataFrame) -> Divergences:
    """Divergences over the union of both models' top alternatives and one tail for all else.

    An alternative that only one model lists has an unknown probability under the other: it gets
    that model's smallest listed probability, or an equal share of its tail with the tail itself,
    whichever is less. So the numbers are estimates, neither bound of the full-vocabulary `kl`, and
    stay apart from it.
    """
    s_ids, s_p = _stacked(frame, "student")
    t_ids, t_p = _stacked(frame, "teacher")
    p_student, t_fill, s_only = _matched(s_ids, s_p, t_ids, t_p)
    p_teacher, s_fill, t_only = _matched(t_ids, t_p, s_ids, s_p)
    # the union: the student's list, then what only the teacher lists, then the tails
    s = np.concatenate([s_p, np.where(t_only, p_teacher, 0)], axis=1)
    t = np.concatenate([p_student, np.where(t_only, t_p, 0)], axis=1)
    s, t = (
        np.concatenate([x, np.maximum(1 - x.sum(axis=1, keepdims=True), 0)], axis=1) for x in (s, t)
    )
    middle = (s + t) / 2
    js = (_kl(s, middle) + _kl(t, middle)) / 2
    return Divergences(_kl(s, t), _kl(t, s), js, (s_ids[:, 0] != t_ids[:, 0]).astype(float))


def _matched(
    ids: np.ndarray, p: np.ndarray, other_ids: np.ndarray, other_p: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each listed alternative (T, k): its probability under the other model, what a missing one
    gets (T,), whether it is missing.
    """
    same = ids[:, :, None] == other_ids[:, None, :]
    only = ~same.any(axis=2) & (p > 0)
    tail = np.maximum(1 - other_p.sum(axis=1), 0)
    fill = np.minimum(other_p.min(axis=1), tail / (only.sum(axis=1) + 1))
    return np.where(only, fill[:, None], (same * other_p[:, None, :]).sum(axis=2)), fill, only


def _kl(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Σ p log(p/q), at least 0; where q is 0 and p is not it counts as 1e-6."""
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log(p / np.maximum(q, 1e-6)), 0)
    return np.maximum(terms.sum(axis=1), 0)


def table(run: RunKey, source: str, step: int, rollout: int) -> pd.DataFrame:
    """The tokens of a text at one step, for a file: position, token_id, token, category, every
    signal that is logged.
    """
    frame = runs.log(run).trace(step, rollout, runs.probe_set(source))
    kinds = categorize_all(
        frame.token,
        frame.special,
        sentence_starts(frame.token.tolist()),
        runs.log(run).category_rules,
    )
    names = [
        n
        for n in (
            "step",
            "rollout_id",
            "position",
            "token_id",
            "token",
            *_COLUMNS,
            "student_logp",
            "teacher_logp",
        )
        if n in frame
    ]
    derived = divergences(frame)._asdict() if _has_alternatives(frame) else {}
    return frame[names].assign(
        category=list(kinds),
        **{f"{name}_top{schema.TOP_ALTERNATIVES}": v for name, v in derived.items()},
    )


def to_csv(run: RunKey, source: str, step: int, rollout: int) -> str:
    """`table` as CSV; token text as JSON strings, which keep line breaks and are no formulas to a
    spreadsheet.
    """
    frame = table(run, source, step, rollout)
    return frame.assign(token=[json.dumps(t, ensure_ascii=False) for t in frame.token]).to_csv(
        index=False
    )


def to_parquet(run: RunKey, source: str, step: int, rollout: int) -> bytes:
    """`table` as Parquet, token text as it is."""
    return table(run, source, step, rollout).to_parquet(index=False)


def ids(text: dict[str, Any]) -> np.ndarray:
    """The token ids (T,) of a text."""
    at = np.frombuffer(base64.b64decode(text["at"]), "<i4" if text["wide"] else "<u2")
    return np.array(text["ids"], np.int64)[at]


def tau(run: RunKey) -> float | None:
    """The 0.90 quantile of kl over the run's fresh tokens, in nats: the threshold where no rule has
    found one.
    """
    anchors = runs.scale(run, "kl")
    return anchors.edges[anchors.quantiles.index(0.90)] if anchors.edges else None
