"""What the token pane is sent of a rollout: one part that no step changes, one for each step.

Each part has the key of its text, which is the same as long as the tokens are, and a stamp that
changes whenever anything in it does: only what has changed is drawn again.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

import numpy as np

from app.components.packing import packed, unpacked
from rockcore.analysis.texts import Alternatives, Divergences, Readings, Text

# a likelihood that rounds to 0.000 on the card; most of a sure model's alternatives are below
LEAST_SHOWN = 0.0005
_FLAGS = {"top1_disagreement"} & set(Divergences._fields)


def text_part(
    name: str, text: Text, categories: list[str], teacher_words: list[str]
) -> dict[str, Any]:
    """What a step does not change: key, prompt, teacher_prompt, length, the words that occur with
    their ids, at (index of each token into them, u2 or i4 if `wide`), categories (an index into
    `categories` for each token: u1, u2 beyond 256 of them), series (probe texts: steps, and kl as
    S × T f3) and the teacher's alternatives, spelled by `teacher_words`.
    """
    index = {category: i for i, category in enumerate(categories)}
    part: dict[str, Any] = {
        "key": _key(name, text.token_id),
        "prompt": text.prompt,
        "teacher_prompt": text.teacher_prompt,
        "length": len(text.tokens),
        **_words(text),
        "categories": packed(
            [index[c] for c in text.categories], "u1" if len(categories) <= 256 else "u2"
        ),
    }
    if text.curves:
        part["series"] = {"steps": text.curves.steps, "kl": packed(text.curves.kl, "f3")}
    if text.teacher:
        part["teacher"] = _side(text.teacher, teacher_words)
    return _stamped(part)


def values_part(
    name: str, step: int, readings: Readings, student_words: list[str], with_kl: bool
) -> dict[str, Any]:
    """What the text is at one step: key, step, signals (name -> f3), flags (name -> u1), the
    student's alternatives, spelled by `student_words`, missing (name -> why).

    The teacher's probability of the token follows from the student's and sampled_loss; kl is left
    out where the text has it for every step.
    """
    left_out = _FLAGS if with_kl else _FLAGS | {"kl"}
    part: dict[str, Any] = {
        "key": _key(name, readings.token_id),
        "step": step,
        "signals": {n: packed(v, "f3") for n, v in readings.signals.items() if n not in left_out},
        "flags": {n: packed(v, "u1") for n, v in readings.signals.items() if n in _FLAGS},
        "missing": readings.missing,
    }
    if readings.student:
        part["student"] = _side(readings.student, student_words)
    return _stamped(part)


def shown_ids(side: Alternatives) -> np.ndarray:
    """The ids of the alternatives that are likely enough to be shown, ascending: what must be
    spelled.
    """
    return np.unique(side.ids[_shown(side)])


def token_ids(part: dict[str, Any]) -> np.ndarray:
    """The token ids (T,) of a text part."""
    at = unpacked(part["at"], "i4" if part["wide"] else "u2")
    return np.array(part["ids"], np.int64)[at]


def _key(name: str, token_id: np.ndarray) -> str:
    return f"{name} {len(token_id)} {zlib.crc32(token_id.astype('<i4').tobytes())}"


def _stamped(part: dict[str, Any]) -> dict[str, Any]:
    return {**part, "stamp": zlib.crc32(json.dumps(part).encode())}


def _words(text: Text) -> dict[str, Any]:
    """Each token once, and which stands where."""
    ids, first, at = np.unique(text.token_id, return_index=True, return_inverse=True)
    wide = len(ids) >= 65536
    return {
        "words": [text.tokens[i] for i in first],
        "ids": ids.tolist(),
        "wide": wide,
        "at": packed(at, "i4" if wide else "u2"),
    }


def _shown(side: Alternatives) -> np.ndarray:
    shown = side.p >= LEAST_SHOWN
    shown[:, 0] = True
    return shown


def _side(side: Alternatives, words: list[str]) -> dict[str, Any]:
    """The alternatives of each token that are likely enough to be shown, the first always: how many
    of the k (u1), and of all of them, one token after another, the index (u2 or i4) into the ids
    used, with their words, and the probability in 65535ths (u2).
    """
    shown = _shown(side)
    used, at = np.unique(side.ids[shown], return_inverse=True)
    wide = len(used) >= 65536
    return {
        "k": side.ids.shape[1],
        "least": LEAST_SHOWN,
        "counts": packed(shown.sum(axis=1), "u1"),
        "ids": used.tolist(),
        "words": words,
        "at": packed(at.reshape(-1), "i4" if wide else "u2"),
        "wide": wide,
        "p": packed(np.round(side.p[shown] * 65535), "u2"),
    }
