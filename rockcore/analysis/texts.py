"""One rollout as a person reads it: its tokens, their signals at one step, what either model held
likely instead, and the same as a file.

What is not logged is left out, and `Readings.missing` says why. Axes: T positions, S steps; k
alternatives of a token.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from rockcore import schema
from rockcore.analysis.signals import COLUMNS
from rockcore.categories import categorize_all, joins, sentence_starts
from rockcore.log import Run
from rockcore.schema import Texts
from rockcore.spelling import as_csv

_NO_ALTERNATIVES = {
    Texts.FRESH: "Alternatives are logged for probe texts only.",
    Texts.FINAL: "No alternatives are logged for this text: of the final student's only the first "
    "have them.",
    Texts.FIRST: "No alternatives are logged for this text.",
}
_NO_WEIGHT = "The training weighs fresh rollouts only; a probe text has no weight."
_NO_PERSISTENCE = (
    "A fresh rollout exists at one step only; probe texts are scored at every logged step."
)


class Alternatives(NamedTuple):
    """What one model held likeliest at each position, in falling order."""

    ids: np.ndarray  # (T, k)
    p: np.ndarray  # (T, k) float64


class Curves(NamedTuple):
    """kl of each position over the logged steps."""

    steps: list[int]
    kl: np.ndarray  # (S, T) float32, NaN where a step lacks the token


@dataclass(frozen=True)
class Text:
    """What a step does not change."""

    token_id: np.ndarray  # (T,)
    tokens: list[str]  # T
    categories: list[str]  # T
    prompt: str
    teacher_prompt: str  # "" where it is the prompt
    curves: Curves | None  # of a probe text
    teacher: Alternatives | None


@dataclass(frozen=True)
class Readings:
    """What a text is at one step."""

    token_id: np.ndarray  # (T,)
    signals: dict[str, np.ndarray]  # name -> (T,) float64; never one that is missing
    student: Alternatives | None
    missing: dict[str, str]  # name of a signal -> why it is not there


class Divergences(NamedTuple):
    """Between student and teacher at each position, from their alternatives: (T,) each, nats; the
    last is 0 or 1.
    """

    reverse_kl: np.ndarray
    forward_kl: np.ndarray
    jensen_shannon: np.ndarray
    top1_disagreement: np.ndarray


def text(run: Run, texts: Texts, step: int, rollout: int) -> Text:
    """A rollout, empty where the log has no token of it. One step of a probe text is as good as
    another. Raises RunNotFound for a step that is not logged.
    """
    frame = run.trace(step, rollout, texts.probe_set)
    own = run.rollouts(None if texts.probe_set else step, texts.probe_set, rollout)
    own = own[["prompt", "teacher_prompt"]]
    prompt, teacher_prompt = own.iloc[0].tolist() if len(own) else ("", "")
    return Text(
        frame.token_id.to_numpy(),
        frame.token.tolist(),
        categories(run, frame),
        prompt,
        teacher_prompt if isinstance(teacher_prompt, str) and teacher_prompt != prompt else "",
        _curves(run, texts.probe_set, rollout, len(frame)) if texts.probe_set else None,
        alternatives(frame, "teacher") if has_alternatives(frame) else None,
    )


def words(run: Run, step: int, rollout: int) -> dict[str, str]:
    """A fresh rollout as words, for a run without tokens: who reads or writes -> what. Raises
    RunNotFound for a step that is not logged.
    """
    row = run.rollouts(step, rollout=rollout).iloc[0]
    found = {
        "The student reads": row.prompt,
        "The teacher reads": "" if row.teacher_prompt == row.prompt else row.teacher_prompt,
        "The student writes": row.response,
        "The right answer": row.answer,
    }
    kept = {name: text for name, text in found.items() if isinstance(text, str) and text}
    return kept | {"The student writes": kept.get("The student writes", "(nothing)")}


def readings(run: Run, texts: Texts, step: int, rollout: int) -> Readings:
    """The signals of a rollout at one step, with student_p, the student's probability of each
    token. Raises RunNotFound for a step that is not logged.
    """
    frame = run.trace(step, rollout, texts.probe_set)
    signals = {name: frame[name].to_numpy(float) for name in COLUMNS if name in frame}
    signals["student_p"] = np.exp(frame.student_logp.to_numpy(float))
    missing = {} if "weight" in frame else {"weight": _NO_WEIGHT}
    missing |= {
        name: f"The log of this run has no {name} here."
        for name, v in signals.items()
        if len(v) and not np.isfinite(v).any()
    }
    student = None
    if has_alternatives(frame):
        student = alternatives(frame, "student")
        signals |= divergences(frame)._asdict()
    else:
        missing |= dict.fromkeys(Divergences._fields, _NO_ALTERNATIVES[texts])
    if texts is Texts.FRESH:
        missing["persistence"] = _NO_PERSISTENCE
    there = {name: v for name, v in signals.items() if name not in missing}
    return Readings(frame.token_id.to_numpy(), there, student, missing)


def spelled(run: Run, ids: np.ndarray) -> list[str]:
    """The text of each token id; "id 7" for one that the vocabulary lacks."""
    found = run.vocab.set_index("token_id").token.reindex(ids)
    return [f"id {i}" if pd.isna(token) else token for i, token in zip(ids, found, strict=True)]


def has_alternatives(frame: pd.DataFrame) -> bool:
    """Whether both models' alternatives are logged at every token of a trace that has any."""
    names = ["student_top_ids", "teacher_top_ids"]
    there = len(frame) > 0 and all(name in frame for name in names)
    return there and not frame[names].isna().to_numpy().any()


def alternatives(frame: pd.DataFrame, who: str) -> Alternatives:
    """Those of "student" or "teacher" in a trace that has them."""
    logps = np.stack(frame[f"{who}_top_logps"].tolist()).astype(float)
    return Alternatives(np.stack(frame[f"{who}_top_ids"].tolist()), np.exp(logps))


def divergences(frame: pd.DataFrame) -> Divergences:
    """Divergences over the union of both models' top alternatives and one tail for all else.

    An alternative that only one model lists has an unknown probability under the other: it gets
    that model's smallest listed probability, or an equal share of its tail with the tail itself,
    whichever is less. So the numbers are estimates, neither bound of the full-vocabulary `kl`, and
    stay apart from it.
    """
    student, teacher = alternatives(frame, "student"), alternatives(frame, "teacher")
    _, s, t = beside(student, teacher)
    middle = (s + t) / 2
    js = (_kl(s, middle) + _kl(t, middle)) / 2
    top1 = (student.ids[:, 0] != teacher.ids[:, 0]).astype(float)
    return Divergences(_kl(s, t), _kl(t, s), js, top1)


class Beside(NamedTuple):
    """Both models over the same outcomes: the student's alternatives, the teacher's, and one tail
    for all else, in this order.
    """

    ids: np.ndarray  # (T, 2k) the last column, the tail, has no id
    student: np.ndarray  # (T, 2k + 1) probabilities; 0 in both where the teacher's is listed before
    teacher: np.ndarray


def beside(student: Alternatives, teacher: Alternatives) -> Beside:
    """The union of both lists: see `divergences`."""
    p_student, _ = _under_other(student, teacher)
    p_teacher, t_only = _under_other(teacher, student)
    s = np.concatenate([student.p, np.where(t_only, p_teacher, 0)], axis=1)
    t = np.concatenate([p_student, np.where(t_only, teacher.p, 0)], axis=1)
    tails = [np.maximum(1 - x.sum(axis=1, keepdims=True), 0) for x in (s, t)]
    s, t = (np.concatenate(both, axis=1) for both in zip((s, t), tails, strict=True))
    return Beside(np.concatenate([student.ids, teacher.ids], axis=1), s, t)


def _under_other(own: Alternatives, other: Alternatives) -> tuple[np.ndarray, np.ndarray]:
    """For each listed alternative (T, k): its probability under the other model, and whether that
    model does not list it.
    """
    same = own.ids[:, :, None] == other.ids[:, None, :]
    only = ~same.any(axis=2) & (own.p > 0)
    tail = np.maximum(1 - other.p.sum(axis=1), 0)
    fill = np.minimum(other.p.min(axis=1), tail / (only.sum(axis=1) + 1))
    return np.where(only, fill[:, None], (same * other.p[:, None, :]).sum(axis=2)), only


def _kl(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Σ p log(p/q), at least 0; where q is 0 and p is not it counts as 1e-6."""
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log(p / np.maximum(q, 1e-6)), 0)
    return np.maximum(terms.sum(axis=1), 0)


def _curves(run: Run, probe_set: str, rollout: int, length: int) -> Curves:
    steps, logged_ST = run.over_steps(rollout, probe_set)
    kl_ST = np.full((len(steps), length), np.nan, np.float32)  # a step may lack tokens
    kl_ST[:, : logged_ST.shape[1]] = logged_ST[:, :length]
    return Curves(steps, kl_ST)


def categories(run: Run, frame: pd.DataFrame) -> list[str]:
    tokens = frame.token.tolist()
    return categorize_all(
        tokens, frame.special, sentence_starts(tokens), run.category_rules, joins(tokens)
    )


_OF_A_TOKEN = ("step", "rollout_id", "position", "token_id", "token")
_LOGPS = ("student_logp", "teacher_logp")


def table(run: Run, texts: Texts, step: int, rollout: int) -> pd.DataFrame:
    """The tokens of a text at one step, for a file: position, token_id, token, category, every
    signal that is logged. Raises RunNotFound for a step that is not logged.
    """
    frame = run.trace(step, rollout, texts.probe_set)
    names = [name for name in (*_OF_A_TOKEN, *COLUMNS, *_LOGPS) if name in frame]
    derived = divergences(frame)._asdict() if has_alternatives(frame) else {}
    top = {f"{name}_top{schema.TOP_ALTERNATIVES}": v for name, v in derived.items()}
    return frame[names].assign(category=categories(run, frame), **top)


def to_csv(tokens: pd.DataFrame) -> str:
    """A `table` as CSV; token text as JSON strings, which keep every character."""
    return as_csv(tokens, quoted=["token"])


def to_parquet(tokens: pd.DataFrame) -> bytes:
    """A `table` as Parquet, token text as it is."""
    file = io.BytesIO()
    tokens.to_parquet(file, index=False)
    return file.getvalue()
