"""One rollout as it is read: its signals, both models' alternatives, its parts for the browser, and
the same as a file.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sent import content

from app import data
from app.components.packing import Array, pack
from app.components.token_pane import parts
from rockcore.analysis import texts
from rockcore.analysis.signals import COLUMNS
from rockcore.log import Run
from rockcore.schema import Texts

RunFactory = Callable[..., Path]
WHO = ("student", "teacher")


def key(run: Path) -> data.runs.RunKey:
    return data.runs.key(str(run))


# Divergences.


def drawn_alternatives(n: int = 40, seed: int = 0) -> pd.DataFrame:
    """The eight likeliest of twelve tokens under two models, and a tail."""
    rng, frame = np.random.default_rng(seed), {}
    for who in WHO:
        p = np.sort(rng.dirichlet(np.ones(9) * 0.4, n), axis=1)[:, :0:-1]
        frame[f"{who}_top_ids"] = [rng.permutation(12)[:8] for _ in range(n)]
        frame[f"{who}_top_logps"] = list(np.log(p))
    return pd.DataFrame(frame)


def plain_kl(p: np.ndarray, q: np.ndarray) -> float:
    terms = (x * np.log(x / max(y, 1e-6)) for x, y in zip(p, q, strict=True) if x > 0)
    return max(float(sum(terms)), 0.0)


def over_the_union(row: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Both models' probabilities of every token either lists, and of all else."""
    listed = {
        who: dict(zip(row[f"{who}_top_ids"], np.exp(row[f"{who}_top_logps"]), strict=True))
        for who in WHO
    }
    full = {}
    for who, other in (WHO, WHO[::-1]):
        own, missing = listed[who], set(listed[other]) - set(listed[who])
        fill = min(min(own.values()), (1 - sum(own.values())) / (len(missing) + 1))
        known = own | dict.fromkeys(missing, fill)
        full[who] = known | {-1: max(0.0, 1 - sum(known.values()))}
    tokens = sorted(full["student"])
    return tuple(np.array([full[who][token] for token in tokens]) for who in WHO)


def test_divergences_equal_a_plain_reckoning_over_both_lists_and_a_tail() -> None:
    frame = drawn_alternatives()
    found = texts.divergences(frame)
    for i, row in frame.iterrows():
        s, t = over_the_union(row)
        middle = (s + t) / 2
        js = (plain_kl(s, middle) + plain_kl(t, middle)) / 2
        assert found.reverse_kl[i] == pytest.approx(plain_kl(s, t), abs=1e-9)
        assert found.forward_kl[i] == pytest.approx(plain_kl(t, s), abs=1e-9)
        assert found.jensen_shannon[i] == pytest.approx(js, abs=1e-9)
        assert found.top1_disagreement[i] == (row.student_top_ids[0] != row.teacher_top_ids[0])
    assert (found.jensen_shannon <= np.log(2) + 1e-9).all()


def test_identical_alternatives_have_no_divergence() -> None:
    logps = np.log(np.full(8, 0.12))
    top = {f"{w}_top_{k}": [v] for w in WHO for k, v in (("ids", np.arange(8)), ("logps", logps))}
    assert all(v[0] == pytest.approx(0) for v in texts.divergences(pd.DataFrame(top)))


# What is logged, and why the rest is not there.


@pytest.mark.parametrize("about", Texts)
def test_readings_are_the_logged_values_and_the_rest_is_missing_for_a_reason(
    about: Texts, tiny_run: RunFactory
) -> None:
    run = Run.open(tiny_run())
    frame, found = run.trace(10, 1, about.probe_set), texts.readings(run, about, 10, 1)
    for name in COLUMNS:
        if name in frame:
            np.testing.assert_array_equal(found.signals[name], frame[name])
    assert not set(found.signals) & set(found.missing)
    assert ("persistence" in found.missing) == (about is Texts.FRESH)
    assert ("weight" in found.missing) == (about is not Texts.FRESH)
    assert ("reverse_kl" in found.missing) == (found.student is None) == (about is Texts.FRESH)


def test_a_text_has_its_tokens_prompts_and_curves(tiny_run: RunFactory) -> None:
    run = Run.open(tiny_run())
    found = texts.text(run, Texts.FINAL, 20, 1)
    trace = run.trace(20, 1, "final")
    assert found.tokens == trace.token.tolist() and len(found.categories) == len(trace)
    assert found.prompt != found.teacher_prompt != ""
    assert found.curves is not None and found.curves.steps == run.steps("probe/final")
    np.testing.assert_array_equal(found.curves.kl[-1], trace.kl.astype(np.float32))
    assert texts.text(run, Texts.FRESH, 20, 1).curves is None
    assert texts.text(run, Texts.FINAL, 20, 99).tokens == []


def test_an_id_that_the_vocabulary_lacks_is_shown_as_one(tiny_run: RunFactory) -> None:
    run = Run.open(tiny_run())
    assert texts.spelled(run, np.array([1, 10**6])) == [run.vocab.token[1], "id 1000000"]


# As a file.


def test_the_tokens_of_a_text_go_out_as_csv_and_parquet(tiny_run: RunFactory) -> None:
    run = tiny_run()
    frame = Run.open(run).trace(20, 0, "final")
    table = pd.read_parquet(io.BytesIO(data.texts.to_parquet(key(run), "final", 20, 0)))
    assert table.token.tolist() == frame.token.tolist() and table.kl.tolist() == frame.kl.tolist()
    assert "reverse_kl_top8" in table
    csv = pd.read_csv(io.StringIO(data.texts.to_csv(key(run), "final", 20, 0)))
    assert [json.loads(t) for t in csv.token] == frame.token.tolist()


# As parts for the browser.


@pytest.mark.parametrize("source", list(Texts))
def test_the_parts_of_a_text_are_json_without_nan(source: str, tiny_run: RunFactory) -> None:
    run = key(tiny_run())
    for part in (data.texts.text(run, source, 10, 1), data.texts.values(run, source, 10, 1)):
        assert "\0" not in content(part.body)["key"]
    for signal in data.texts.SIGNALS:
        json.dumps(data.texts.scale(run, signal), allow_nan=False)


def test_a_part_gives_its_token_ids_back(tiny_run: RunFactory) -> None:
    run = tiny_run()
    text = data.texts.text(key(run), "final", 10, 1)
    frame, sent = Run.open(run).trace(10, 1, "final"), content(text.body)
    assert text.token_id.tolist() == sent["ids"][sent["at"]].tolist() == frame.token_id.tolist()
    assert text.plain == "".join(sent["words"][i] for i in sent["at"]) == "".join(frame.token)


@given(st.lists(st.floats(width=32, allow_nan=True), min_size=1, max_size=20))
def test_three_bytes_keep_a_float_to_one_in_65_536_and_its_order(values: list[float]) -> None:
    got = content(pack({}, {("x",): Array(values, "float")}))["x"]
    want = np.array(values, np.float32)
    assert (np.isnan(got) == np.isnan(want)).all()
    normal = np.isfinite(want) & (np.abs(want) > 1e-37) & (np.abs(want) < 3e38)
    np.testing.assert_allclose(got[normal], want[normal], rtol=2**-16)
    order = np.argsort(want[~np.isnan(want)], kind="stable")
    kept = got[~np.isnan(want)][order]
    assert (kept[:-1] <= kept[1:]).all()


def test_alternatives_too_unlikely_to_show_are_counted_not_sent(tiny_run: RunFactory) -> None:
    run = tiny_run()
    frame = Run.open(run).trace(10, 1, "final")
    side = content(data.texts.values(key(run), "final", 10, 1).body)["student"]
    counts = side["counts"]
    p = np.exp(np.stack(frame.student_top_logps.tolist()).astype(float))
    shown = p >= side["least"]
    assert (counts == np.maximum(shown.sum(axis=1), 1)).all() and side["k"] == p.shape[1]
    sent = side["p"] / 1000
    assert len(sent) == counts.sum() and len(side["words"]) == len(side["ids"])
    np.testing.assert_allclose(sent[np.cumsum(counts) - counts], p[:, 0], atol=0.0005 + 1e-9)


def test_the_text_part_is_the_same_at_every_step_of_a_probe(tiny_run: RunFactory) -> None:
    run = key(tiny_run())
    text = data.texts.text(run, "final", 0, 1)
    assert text.body == data.texts.text(run, "final", 20, 1).body
    assert content(data.texts.values(run, "final", 0, 1).body)["key"] == text.key


@pytest.mark.parametrize("names", [3, 256, 257, 1000])
def test_each_category_of_many_keeps_its_own_number(names: int) -> None:
    categories = [f"category {i}" for i in range(names)]
    text = texts.Text(
        np.arange(names, dtype=np.int64),
        [f"t{i}" for i in range(names)],
        categories,
        *("", "", None, None),
    )
    part = parts.text_part("a text", text, categories, [])
    assert content(part.body)["categories"].tolist() == list(range(names))
