"""Two sides: what lines up, what differs, what is refused; the command line says the same as the
library.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import STEPS
from hypothesis import given
from hypothesis import strategies as st
from small_logs import LENIENT, write_many_on_one_prompt

from rockcore.analysis import compare, pair_scales, pairs, standings
from rockcore.cli import main
from rockcore.log import Run
from rockcore.rocks import ranking, search
from rockcore.schema import Texts

RunFactory = Callable[..., Path]
texts = st.lists(st.integers(0, 4), max_size=40).map(lambda ids: np.array(ids, int))


@given(texts, texts)
def test_aligned_positions_hold_the_same_token_in_the_same_order(
    a: np.ndarray, b: np.ndarray
) -> None:
    found = pairs.align(a, b)
    assert (a[found.a] == b[found.b]).all()
    assert (np.diff(found.a) > 0).all() and (np.diff(found.b) > 0).all()
    reference = SequenceMatcher(None, list(a), list(b), autojunk=False).get_matching_blocks()
    assert len(found.a) == len(found.b) == sum(m.size for m in reference)


@given(texts)
def test_a_text_lines_up_with_itself_position_by_position(ids: np.ndarray) -> None:
    found = pairs.align(ids, ids.copy())
    assert found.a.tolist() == found.b.tolist() == list(range(len(ids)))
    assert found.blocks() == ([(0, 0, len(ids))] if len(ids) else [])


@given(texts, texts)
def test_blocks_are_the_alignment_in_the_fewest_runs(a: np.ndarray, b: np.ndarray) -> None:
    found = pairs.align(a, b)
    blocks = found.blocks()
    assert [(i + k, j + k) for i, j, n in blocks for k in range(n)] == list(
        zip(found.a.tolist(), found.b.tolist(), strict=True)
    )
    assert all(
        (i + n, j + n) != (i2, j2)
        for (i, j, n), (i2, j2, _) in zip(blocks, blocks[1:], strict=False)
    )


def test_a_token_in_every_other_place_still_lines_up() -> None:
    """difflib's junk heuristic would drop it from a text of 200 tokens or more."""
    a = np.tile([7, 8], 300)
    assert len(pairs.align(a, np.append(a, 9)).a) == 600


def test_the_search_can_be_stopped() -> None:
    calls = 0

    def pulse() -> None:
        nonlocal calls
        calls += 1
        if calls == 100:
            raise TimeoutError

    rng = np.random.default_rng(0)
    with pytest.raises(TimeoutError):
        pairs.align(rng.integers(0, 50, 8_000), rng.integers(0, 50, 8_000), pulse)
    assert calls == 100


@given(texts, texts)
def test_the_change_is_b_minus_a_where_both_have_a_value(a: np.ndarray, b: np.ndarray) -> None:
    rng = np.random.default_rng(len(a))
    x, y = rng.normal(size=len(a)), rng.normal(size=len(b))
    x[rng.random(len(a)) < 0.2] = np.nan
    aligned = pairs.align(a, b)
    partner = dict(zip(aligned.b.tolist(), aligned.a.tolist(), strict=True))
    expected = [y[j] - x[partner[j]] if j in partner else math.nan for j in range(len(b))]
    np.testing.assert_array_equal(pairs.difference(x, y, aligned), expected)


ids = st.lists(st.integers(0, 30), unique=True, max_size=15)


@given(ids, ids)
def test_overlap_is_that_of_sets(a: list[int], b: list[int]) -> None:
    found = standings.overlap(a, b)
    assert (
        set(found.only_a) == set(a) - set(b)
        and set(found.both) == set(a) & set(b)
        and set(found.only_b) == set(b) - set(a)
    )
    assert sorted([*found.only_a, *found.both]) == sorted(a)
    other = standings.overlap(b, a)
    if a or b:
        assert found.jaccard == other.jaccard == len(set(a) & set(b)) / len(set(a) | set(b))
    else:
        assert math.isnan(found.jaccard)


def test_every_type_of_either_side_has_its_rank_once(tiny_run: RunFactory) -> None:
    a, b = (
        search.detect(Run.open(tiny_run(name, seed=seed)), LENIENT.changed(top_k=15))
        for name, seed in (("a", 0), ("b", 1))
    )
    gone = a.tokens.token_id[3]
    b = replace(b, tokens=b.tokens[b.tokens.token_id != gone])
    table = standings.rank_changes(standings.Ranking.of_set(a), standings.Ranking.of_set(b))
    assert sorted(table.token_id) == sorted(set(a.tokens.token_id) | set(b.tokens.token_id))
    where = table.set_index("token_id")
    for found, letter in ((a, "a"), (b, "b")):
        assert where.loc[found.tokens.token_id, f"rank_{letter}"].tolist() == list(
            range(1, len(found.tokens) + 1)
        )
        np.testing.assert_array_equal(
            where.loc[found.tokens.token_id, f"ccr_{letter}"], found.tokens.ccr
        )
    assert (
        pd.isna(where.rank_b[gone])
        and pd.isna(where.moved[gone])
        and where["where"][gone] in ("only A", "neither")
    )
    both = where.dropna(subset="moved")
    assert (both.moved == both.rank_a - both.rank_b).all() and (both.moved != 0).any()
    sets = {
        "both": set(a.ids) & set(b.ids),
        "only A": set(a.ids) - set(b.ids),
        "only B": set(b.ids) - set(a.ids),
    }
    assert (
        all(
            set(table.token_id[table["where"] == name]) == expected
            for name, expected in sets.items()
        )
        and sets["both"]
    )
    assert table[["rank_a", "rank_b"]].min(axis=1).is_monotonic_increasing


def test_sides_changed_over_give_the_mirrored_table(tiny_run: RunFactory) -> None:
    a, b = (standings.Ranking.of_step(Run.open(tiny_run()), step, 5) for step in STEPS[:2])
    there = standings.rank_changes(a, b).set_index("token_id").sort_index()
    back = standings.rank_changes(b, a).set_index("token_id").sort_index()
    assert there.rank_a.equals(back.rank_b.rename("rank_a")) and (there.moved == -back.moved).all()
    assert (
        there["where"].tolist()
        == back["where"].replace({"only A": "only B", "only B": "only A"}).tolist()
    )


def test_a_step_ranks_by_rock_score(tiny_run: RunFactory) -> None:
    run = Run.open(tiny_run())
    side, ranked = standings.Ranking.of_step(run, 10, 7), ranking.rank(run, 10)
    assert (
        side.types.token_id.tolist() == ranked.token_id.tolist()
        and side.types.score.tolist() == ranked.rock_score.tolist()
    )
    assert side.ids == ranked.token_id.head(7).tolist()


def test_one_run_compares_its_ends_two_runs_their_sets_and_steps_on_request(
    tiny_run: RunFactory,
) -> None:
    a, b = Run.open(tiny_run("a")), Run.open(tiny_run("b", seed=1))
    assert [(s.by, s.steps) for s in compare.rankings(a, a)] == [
        ("rock_score", (STEPS[0],)),
        ("rock_score", (STEPS[-1],)),
    ]
    assert [(s.by, s.steps) for s in compare.rankings(a, b, LENIENT)] == [("rule", STEPS)] * 2
    assert [(s.by, s.steps) for s in compare.rankings(a, b, steps=(10, None))] == [
        ("rock_score", (10,)),
        ("rock_score", (STEPS[-1],)),
    ]


def test_what_cannot_be_compared_is_refused(tiny_run: RunFactory) -> None:
    a = Run.open(tiny_run("a"))
    foreign, tail, absent = (
        Run.open(tiny_run(name, **meta))
        for name, meta in (
            ("foreign", {"tokenizer_hash": "f" * 16}),
            ("tail", {"estimator": "topk+tail"}),
            ("no", {"estimator": "absent"}),
        )
    )
    with pytest.raises(compare.UnequalTokenizers, match="(?s)" + "0" * 16 + ".*" + "f" * 16):
        compare.rankings(a, foreign)
    with pytest.raises(compare.UnequalEstimators, match="(?s)full.*topk"):
        compare.rankings(a, tail)
    with pytest.raises(compare.UnequalEstimators, match="no kl in either"):
        compare.rankings(absent, absent)
    with pytest.raises(compare.SameSide, match="step 20"):
        compare.rankings(a, a, steps=(20, None))
    compare.check_estimators(a.meta, tail.meta, "sampled_loss")


def test_json_is_strict_and_holds_the_table(
    tiny_run: RunFactory, capsys: pytest.CaptureFixture
) -> None:
    a, b = tiny_run("a"), tiny_run("b", seed=1)
    settings = [f"--set={s}" for s in LENIENT.short().split(";")[1:]]
    main(["compare", str(a), str(b), "--preset", "lenient", *settings, "--json"])
    printed = capsys.readouterr().out.strip()
    sides = compare.rankings(Run.open(a), Run.open(b), LENIENT)
    assert printed == compare.to_json(sides)
    found = json.loads(printed, parse_constant=lambda name: pytest.fail(name))
    assert (
        found["a"]["k"] == len(sides.a.ids) > 0
        and found["overlap"]["both"] == standings.overlap(sides.a.ids, sides.b.ids).both
    )
    assert [t["token"] for t in found["tokens"]] == standings.rank_changes(*sides).token.tolist()


def test_the_command_line_prints_both_sides_and_every_token_as_text(
    tiny_run: RunFactory, capsys: pytest.CaptureFixture
) -> None:
    run = tiny_run()
    main(["compare", str(run), str(run), "--top", "5"])
    out = capsys.readouterr().out
    shared = standings.overlap(
        *(s.ids for s in compare.rankings(Run.open(run), Run.open(run), top=5))
    )
    assert (
        "A: tiny, step 0, 5 of 42 types by rock_score, kl: full" in out
        and "B: tiny, step 20" in out
    )
    assert f"{len(shared.both)} in both" in out and f"Jaccard {shared.jaccard:.2f}" in out


def test_the_command_line_says_why_not(tiny_run: RunFactory, capsys: pytest.CaptureFixture) -> None:
    run = tiny_run("a")
    for other, says in (
        (tiny_run("b", tokenizer_hash="f" * 16), "UnequalTokenizers"),
        (run / "none", "is missing"),
    ):
        with pytest.raises(SystemExit) as e:
            main(["compare", str(run), str(other)])
        assert e.value.code == 1 and says in capsys.readouterr().err


# Which texts answer one prompt.

prompts = st.lists(st.sampled_from(["p", "q", "r", "s"]), max_size=12)


def as_asked(prompts: list[str], seed: int) -> pd.DataFrame:
    """`pairs.asked` of rollouts with these prompts, in no order."""
    frame = pd.DataFrame({"rollout_id": range(len(prompts)), "prompt": prompts})
    return frame.sample(frac=1, random_state=seed).reset_index(drop=True)


@given(prompts, prompts, st.booleans())
def test_partners_are_all_texts_on_the_same_prompt_and_the_same_text_comes_first(
    a: list[str], b: list[str], same: bool
) -> None:
    found = pairs.shared_prompts(as_asked(a, 0), as_asked(b, 1))
    assert found.prompts == {i: prompt for i, prompt in enumerate(a) if prompt in b}
    assert (found.of_a, found.of_b, found.both) == (len({*a}), len({*b}), len({*a} & {*b}))
    for i, prompt in found.prompts.items():
        others = [j for j, other in enumerate(b) if other == prompt]
        expected = sorted(others, key=lambda j: (same and j != i, j))
        assert found.partners(i, same) == expected
    assert found.several == any(b.count(prompt) > 1 for prompt in {*a} & {*b})


@pytest.mark.parametrize("rollouts", [300, 3_000])
def test_rollouts_on_one_prompt_are_kept_once_however_many_there_are(
    rollouts: int, tmp_path: Path
) -> None:
    run = Run.open(write_many_on_one_prompt(tmp_path / "many", rollouts))
    a, b = (pairs.asked(run, Texts.FRESH, step) for step in (0, 10))
    found = pairs.shared_prompts(a, b)
    assert len(found.prompts) == rollouts and found.several
    assert sum(map(len, found.answers.values())) == rollouts
    assert found.partners(7, False) == list(range(rollouts))
    assert found.partners(7, True)[:3] == [7, 0, 1]


def test_what_is_told_of_a_text_is_what_was_logged(tiny_run: RunFactory) -> None:
    run = Run.open(tiny_run())
    asked = pairs.asked(run, Texts.FINAL, 20)
    for rollout, graded in ((0, True), (1, False), (3, None)):
        tokens = run.trace(20, rollout, "final")
        found = pairs.about(rollout, tokens, asked)
        assert (found.tokens, found.correct) == (len(tokens), graded)
        assert found.kl_mean == pytest.approx(tokens.kl.mean(), rel=1e-6)
        assert found.teacher_prompt.startswith(f"Style: brisk. Mia has {rollout}")
    assert pairs.about(0, tokens.assign(kl=np.nan), asked).kl_mean is None


def test_what_moved_is_counted_over_the_aligned_tokens_that_have_values() -> None:
    aligned = pairs.Alignment(np.array([0, 1, 2, 4]), np.array([1, 2, 3, 5]))
    a = np.array([1.0, 2.0, np.nan, 9.0, 4.0])
    b = np.array([7.0, 3.0, 1.5, 3.0, 8.0, 2.0])
    pair = pairs.Pair.of(a, b, aligned)
    moved = pair.moved(1.0)
    assert moved is not None and moved.mean == pytest.approx(-0.5 / 3)
    assert (moved.n, moved.higher, moved.lower) == (3, 1, 1)
    assert pair.unpaired("A").tolist() == [0, 0, 0, 1, 0]
    assert pair.unpaired("B").tolist() == [1, 0, 0, 0, 1, 0]
    assert pair.sides_without_values == []
    nothing = pairs.Pair.of(a * np.nan, b, aligned)
    assert nothing.sides_without_values == ["A"] and nothing.moved(1.0) is None


@pytest.mark.parametrize("signal", ["kl", "sampled_loss"])
def test_the_scales_of_two_runs_are_quantiles_over_the_tokens_of_both(
    signal: str, tiny_run: RunFactory
) -> None:
    a, b = Run.open(tiny_run("a")), Run.open(tiny_run("b", seed=1))
    of_a, of_b = (
        np.concatenate([run.values("tokens", step, signal) for step in STEPS]).astype(float)
        for run in (a, b)
    )
    both = np.abs(np.concatenate([of_a, of_b]))
    assert pair_scales.threshold(a, b, signal) == pytest.approx(np.quantile(both, 0.9), rel=1e-5)
    assert pair_scales.threshold(a, a, signal) == pytest.approx(
        np.quantile(np.abs(of_a), 0.9), rel=1e-5
    )
    scale = pair_scales.difference_scale(a, b, signal)
    edges = np.maximum(np.quantile(both, pair_scales.SIGNED_QUANTILES), 1e-4)
    np.testing.assert_allclose(scale["edges"], [*-edges[::-1], *edges], rtol=1e-5)
    assert scale["tokens"] == len(both) and scale["bins"] == sorted(scale["bins"])
