"""What is taken away is read back as its reader would, and says what the set says."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy.optimize import linear_sum_assignment

from rockcore import RockRule, RockSet, Run, detect
from rockcore.exporters import EXPORTERS, BadExport, Found
from rockcore.exporters.lists import ROCK_VS_CONTROL, _matched
from rockcore.exporters.masks import freezes
from rockcore.interventions import Arm, Batch, weights
from rockcore.log import sample_runs
from rockcore.rocks.examined import Examined
from rockcore.rocks.occurrences import marks_of

RunFactory = Callable[..., Path]


@pytest.fixture(scope="module")
def found() -> Found:
    run = Run.open(sample_runs() / "habit")
    report = detect(run)
    return Found(report.rock_set, 0.25, run, report)


def rendered(found: Found, name: str) -> bytes:
    return EXPORTERS[name].rendered(found)


def test_the_ids_are_read_as_the_authors_freeze_reads_them(found):
    assert json.loads(rendered(found, "ids")) == list(found.rocks.ids)


def test_the_table_of_controls_has_the_columns_of_the_authors_and_gives_their_two_lists(found):
    table = pd.read_csv(io.BytesIO(rendered(found, "rock-vs-control")))
    names = "id token freq mean_kl freq_mean".split()
    assert list(table) == [f"rock_{n}" for n in names] + [f"ctrl_{n}" for n in names]
    assert tuple(table) == ROCK_VS_CONTROL
    rocks, controls = (
        table[f"{who}_id"].dropna().astype(int).drop_duplicates().tolist()
        for who in ("rock", "ctrl")
    )
    assert rocks == list(found.rocks.ids) and len(controls) == len(rocks)
    assert not set(rocks) & set(controls)
    tokens = found.report.tokens.set_index("token_id")
    assert np.allclose(table.rock_mean_kl, tokens.loc[rocks, "mean"], rtol=1e-6)
    assert np.allclose(table.ctrl_freq_mean, tokens.loc[controls, "rock_score"], rtol=1e-6)


def test_controls_match_the_frequencies_as_well_as_any_assignment_does():
    rng = np.random.default_rng(0)
    for K, P in ((5, 400), (12, 30), (8, 5)):
        rocks, others = rng.zipf(1.5, K).clip(1, 10**6), rng.zipf(1.5, P).clip(1, 10**6)
        mine = _matched(rocks, others)
        cost = np.abs(np.log10(rocks)[:, None] - np.log10(others)[None, :])
        n = min(K, P)
        assert len(mine) == n == len(set(mine.tolist()))
        rows, columns = linear_sum_assignment(cost[:n])
        assert cost[np.arange(n), mine].sum() == pytest.approx(cost[rows, columns].sum())


def test_weights_say_what_the_ids_mean_and_where_they_are_from(found):
    read = json.loads(rendered(found, "weights"))
    assert read["tokenizer_hash"] == found.run.meta.tokenizer_hash
    assert RockRule.from_dict(read["rule"]) == found.rocks.rule
    assert read["default"] == 1.0 and read["normaliser"] == "tokens"
    rows = {row["token_id"]: row for row in read["weights"]}
    assert list(rows) == list(found.rocks.ids)
    assert {row["weight"] for row in rows.values()} == {0.25}
    texts = found.run.vocab.set_index("token_id").token
    assert all(row["token"] == texts[i] for i, row in rows.items())


def test_weights_as_parquet_say_the_same(found):
    table = pq.read_table(io.BytesIO(rendered(found, "weights-parquet")))
    assert table["token_id"].to_pylist() == list(found.rocks.ids)
    assert set(table["weight"].to_pylist()) == {0.25}
    about = {k.decode(): v.decode() for k, v in table.schema.metadata.items()}
    assert about["tokenizer_hash"] == found.rocks.tokenizer_hash
    assert RockRule.from_json(about["rule"]) == found.rocks.rule


def test_the_mask_holds_back_the_predicted_tokens_of_every_logged_step(found):
    mask = pq.read_table(io.BytesIO(rendered(found, "mask"))).to_pandas()
    assert sorted(mask.step.unique()) == found.run.steps("tokens")
    held = mask.token_id.isin(found.rocks.ids)
    assert held.any() and (mask.keep == ~held).all()
    assert (mask.weight == np.where(held, 0.25, 1.0)).all()
    last = mask[mask.step == mask.step.max()]
    trace = found.run.trace(step=int(mask.step.max()), rollout_id=3)
    assert last.token_id[last.rollout_id == 3].tolist() == trace.token_id.tolist()


def test_the_mask_shows_what_a_freeze_by_the_token_read_would_hold_back(found):
    """At each position but the first of a text: whether the token before it is of the set."""
    mask = pq.read_table(io.BytesIO(rendered(found, "mask"))).to_pandas()
    of_text = mask.groupby(["step", "rollout_id"]).token_id
    before = of_text.shift()
    assert mask.read_in_set[mask.position == 0].isna().all()
    later = mask.position > 0
    expected = before[later].isin(found.rocks.ids)
    assert (mask.read_in_set[later].astype(bool) == expected).all()
    last = mask[mask.step == mask.step.max()]
    counted = freezes(found)
    assert counted.tokens == len(last) and counted.predicted == (~last.keep).sum()
    assert counted.read == last.read_in_set.fillna(False).astype(bool).sum()


def test_what_the_mask_holds_back_is_what_is_frozen_and_holds_all_that_a_text_marks():
    """On the texts that the log masks: those of the last step, which the rule judges here."""
    run = Run.open(sample_runs() / "habit")
    asked = Examined(run, RockRule(mode="matched", top_k=12))
    report, corpus = asked.report, asked.material.last
    mask = pq.read_table(io.BytesIO(rendered(Found(report.rock_set, 0.0, run), "mask"))).to_pandas()
    last = mask[mask.step == report.steps[-1]]
    batch = Batch(last.token_id.to_numpy(), last.groupby("rollout_id").size().to_numpy())
    frozen = weights(Arm("rock-freeze", rocks=tuple(report.ids)), batch) == 0
    assert np.array_equal(frozen, ~last.keep) and np.array_equal(frozen, last.weight == 0)
    marks = np.concatenate([marks_of(asked, i) for i in corpus.rollout_ids])
    assert (marks == 3).any() and not last.keep.to_numpy()[marks == 3].any()
    of_set = np.isin(last.token_id, report.ids)
    assert np.array_equal(frozen, of_set) and not of_set[marks == 2].any()


def test_a_set_alone_gives_ids_weights_and_modules_and_names_what_it_lacks(found):
    alone = Found(found.rocks, 0.25)
    for name, exporter in EXPORTERS.items():
        if exporter.needs == "set":
            assert rendered(alone, name)
        else:
            with pytest.raises(BadExport, match="Name the run"):
                rendered(alone, name)


def test_an_empty_set_another_tokenizer_and_no_factor_are_refused(found):
    rocks = found.rocks
    foreign = RockSet(rocks.ids, rocks.rule, "0" * 16, rocks.fingerprint, rocks.control)
    with pytest.raises(BadExport, match="other tokens"):
        Found(foreign, 0.0, found.run)
    empty = RockSet((), RockRule(), rocks.tokenizer_hash, "", {})
    with pytest.raises(BadExport, match="no token"):
        Found(empty)
    for weight in (-1.0, float("nan"), float("inf")):
        with pytest.raises(BadExport, match="factor"):
            Found(rocks, weight)


def test_a_table_of_kl_is_not_made_of_another_loss(found):
    report = detect(found.run, RockRule(column="sampled_loss", tau_quantile=0.8))
    if not report.ids:
        report = detect(found.run, RockRule(column="sampled_loss", top_k=5, tau_quantile=0.5))
    with pytest.raises(BadExport, match="sampled_loss"):
        rendered(Found(report.rock_set, 0.0, found.run, report), "rock-vs-control")


@pytest.mark.parametrize("name", ["trl", "slime", "verl", "kdflow", "prime-rl"])
def test_a_hostile_set_stays_text_in_a_module(found, name):
    evil = '""" \\ \n{0}\nimport os\n"""'
    rocks = RockSet(found.rocks.ids, found.rocks.rule, evil, evil, {"how": evil + "'''"})
    text = rendered(Found(rocks, 0.0), name).decode()
    compile(text, name, "exec")
    assert "\nimport os" not in text
