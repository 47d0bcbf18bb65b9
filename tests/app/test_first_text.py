"""How much the browser is sent until a first text stands, and that a count made of it is that of
the log.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from benchmarks import long_log
from sent import content, head
from streamlit.testing.v1 import AppTest

from app import data
from app.components.token_pane import parts
from rockcore.analysis import texts
from rockcore.log import Run
from rockcore.schema import Texts

MOST = {8_000: 500_000, 32_000: 1_500_000}  # bytes, the page and its scripts too


@pytest.fixture(scope="module")
def long_texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shape = long_log.Shape(long_log.STEPS, [1_000], {"final": list(MOST)})
    return long_log.write(tmp_path_factory.mktemp("long") / "texts", shape)


def messages(app: AppTest) -> list[bytes]:
    return [part.proto.bytes for part in app.get("bidi_component") if part.proto.bytes]


@pytest.mark.parametrize("rollout, length", [*enumerate(MOST)])
def test_a_first_text_of_eight_steps_is_sent_in_half_a_megabyte_or_less_than_two(
    open_app: Callable[..., AppTest], long_texts: Path, rollout: int, length: int
) -> None:
    app = open_app("trace", long_texts, source="final", rollout=str(rollout), step="280")
    text = next(content(sent) for sent in messages(app) if head(sent)["part"] == "text")
    assert text["length"] == length and len(text["series"]["kl"]) == 8 * length
    everything = sum(len(part.proto.SerializeToString()) for part in app.get("bidi_component"))
    assert everything < MOST[length] - 20_000  # what Streamlit says of the rest of the page


@pytest.mark.parametrize("signal", ["sampled_loss", "student_entropy", "reverse_kl"])
def test_the_signal_that_colours_a_text_is_sent_as_exactly_as_kl(
    open_app: Callable[..., AppTest], long_texts: Path, signal: str
) -> None:
    app = open_app("trace", long_texts, source="final", rollout="0", step="40", signal=signal)
    sent = {head(m)["part"]: m for m in messages(app)}
    paint = content(sent["paint"])
    want = texts.readings(Run.open(long_texts), Texts.FINAL, 40, 0).signals[signal]
    np.testing.assert_allclose(paint["values"], want, rtol=2**-16, atol=1e-44)
    assert paint["of"] == head(sent["values"])["stamp"] and paint["signal"] == signal


def test_the_token_itself_is_named_without_its_word(long_texts: Path) -> None:
    """As most often, the token that stands there is the first of what both models held likely."""
    key = data.runs.key(str(long_texts))
    text = data.texts.text(key, "final", 40, 0)
    for part, who in ((text, "teacher"), (data.texts.values(key, "final", 40, 0), "student")):
        sent = content(part.body)
        side, ids = sent[who], sent.get("ids", sent[who].get("ids"))
        step = {"teacher": 280, "student": 40}[who]  # the teacher's are the same at every step
        frame = Run.open(long_texts).trace(step, 0, "final")
        p = np.exp(np.stack(frame[f"{who}_top_logps"].tolist()).astype(float))
        shown = p >= parts.LEAST_SHOWN
        shown[:, 0] = True
        named = np.append(-1, ids)[side["at"]]
        token = np.repeat(frame.token_id.to_numpy(), side["counts"])
        logged = np.stack(frame[f"{who}_top_ids"].tolist())[shown]
        assert np.where(side["at"] == 0, token, named).tolist() == logged.tolist()
        assert side["p"].tolist() == np.floor(p[shown] * 1000 + 0.5).tolist()
