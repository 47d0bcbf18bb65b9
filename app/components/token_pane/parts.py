"""What the token pane is sent of a rollout: one part that no step changes, one for each step, one
that a colour or the rule changes.

The first two have the key of their text, which is the same as long as the tokens are; each has a
stamp that changes whenever anything in it does: only what has changed is sent and drawn again.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.components.packing import Array, Body, Place, pack
from rockcore.analysis.texts import Alternatives, Divergences, Readings, Text

# a likelihood that rounds to 0.000 on the card; most of a sure model's alternatives are below
LEAST_SHOWN = 0.0005
_FLAGS = {"top1_disagreement"} & set(Divergences._fields)


@dataclass(frozen=True)
class TextPart:
    """What a step does not change, packed, and what of it is asked for in Python. `plain`: the text
    without a colour.
    """

    key: str
    token_id: np.ndarray  # (T,)
    plain: str
    body: Body

    @property
    def length(self) -> int:
        return len(self.token_id)


@dataclass(frozen=True)
class ValuesPart:
    """What the text is at one step, packed, and what it can be coloured by beside kl."""

    body: Body
    signals: dict[str, np.ndarray]  # name -> (T,) float32


def text_part(name: str, text: Text, categories: list[str], teacher_words: list[str]) -> TextPart:
    """Packed: key, prompt, teacher_prompt, length, the words that occur with their ids, at (index
    of each token into them), categories (an index into `categories` for each token), series (probe
    texts: steps, and kl as S × T) and the teacher's alternatives among the words, spelled by
    `teacher_words`.
    """
    index = {category: i for i, category in enumerate(categories)}
    key = _key(name, text.token_id)
    spelled = dict(zip(text.token_id.tolist(), text.tokens, strict=True))
    if text.teacher:
        others = shown_ids(text.teacher, text.token_id).tolist()
        spelled = dict(zip(others, teacher_words, strict=True)) | spelled
    ids = np.array(sorted(spelled), np.int64)
    said: dict[str, Any] = {
        "key": key,
        "prompt": text.prompt,
        "teacher_prompt": text.teacher_prompt,
        "length": len(text.tokens),
        "words": [spelled[i] for i in ids.tolist()],
    }
    arrays: dict[Place, Array] = {
        ("ids",): Array(ids, "int"),
        ("at",): Array(np.searchsorted(ids, text.token_id), "int"),
        ("categories",): Array([index[c] for c in text.categories], "int"),
    }
    if text.curves:
        said["series"] = {"steps": text.curves.steps}
        arrays["series", "kl"] = Array(text.curves.kl, "float")
    if text.teacher:
        said["teacher"], more = _side("teacher", text.teacher, text.token_id, ids)
        arrays |= more
    return TextPart(key, text.token_id, "".join(text.tokens), pack(said, arrays))


def values_part(
    name: str, step: int, readings: Readings, student_words: list[str], with_kl: bool
) -> ValuesPart:
    """Packed: key, step, signals (name -> (T,), in the digits that a card shows; kl, which is
    counted and summed, as it is), the student's alternatives, spelled by `student_words`, missing
    (name -> why). kl is left out where the text has it for every step.
    """
    logged = {n: v for n, v in readings.signals.items() if with_kl or n != "kl"}
    kinds = {"kl": "float", **dict.fromkeys(_FLAGS, "int")}
    ids = np.zeros(0, np.int64)
    said: dict[str, Any] = {
        "key": _key(name, readings.token_id),
        "step": step,
        "signals": {},
        "missing": readings.missing,
    }
    arrays: dict[Place, Array] = {
        ("signals", n): Array(v, kinds.get(n, "shown")) for n, v in _with_teacher(logged).items()
    }
    if readings.student:
        ids = shown_ids(readings.student, readings.token_id)
        said["student"], more = _side("student", readings.student, readings.token_id, ids)
        said["student"]["words"] = student_words
        arrays |= {("student", "ids"): Array(ids, "int"), **more}
    colours = {n: v.astype(np.float32) for n, v in logged.items() if n not in kinds}
    return ValuesPart(pack(said, arrays), colours)


def paint_part(values: ValuesPart, signal: str, classes: bytes, marks: bytes) -> Body:
    """Packed: values (T,) of the signal that the text is coloured by, where the other parts have it
    only in the digits of a card; `of`, the stamp of the values these belong to, 0 for none; classes
    and marks (T,) of a verdict, where there are any.
    """
    own = values.signals.get(signal)
    arrays: dict[Place, Array] = {} if own is None else {("values",): Array(own, "float")}
    for name, each in (("classes", classes), ("marks", marks)):
        if each:
            arrays[(name,)] = Array(np.frombuffer(each, np.uint8), "int")
    return pack({"of": 0 if own is None else values.body.stamp, "signal": signal}, arrays)


def shown_ids(side: Alternatives, token_id: np.ndarray) -> np.ndarray:
    """The ids of the alternatives that are likely enough to be shown, ascending, but for the token
    itself: what must be spelled.
    """
    return np.unique(side.ids[_shown(side) & (side.ids != token_id[:, None])])


def _key(name: str, token_id: np.ndarray) -> str:
    return f"{name} {len(token_id)} {zlib.crc32(token_id.astype('<i4').tobytes())}"


def _with_teacher(signals: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """With the teacher's probability of each token, which follows from the student's."""
    if not {"student_p", "sampled_loss"} <= set(signals):
        return signals
    with np.errstate(over="ignore"):
        teacher_p = signals["student_p"] * np.exp(-signals["sampled_loss"])
    return {**signals, "teacher_p": teacher_p}


def _shown(side: Alternatives) -> np.ndarray:
    shown = side.p >= LEAST_SHOWN
    shown[:, 0] = True
    return shown


def _side(
    who: str, side: Alternatives, token_id: np.ndarray, ids: np.ndarray
) -> tuple[dict[str, Any], dict[Place, Array]]:
    """The alternatives of each token that are likely enough to be shown, the first always: how many
    of the k, and of all of them, one token after another, which it is (0: the token itself, else
    one more than the index into `ids`) and the probability in thousandths.
    """
    shown = _shown(side)
    own = side.ids == token_id[:, None]
    at = np.where(own, 0, 1 + np.searchsorted(ids, side.ids))
    thousandths = np.floor(side.p[shown] * 1000 + 0.5).astype(np.int64)
    arrays = {"counts": shown.sum(axis=1), "at": at[shown], "p": thousandths}
    return {"k": side.ids.shape[1], "least": LEAST_SHOWN}, {
        (who, name): Array(values, "int") for name, values in arrays.items()
    }
