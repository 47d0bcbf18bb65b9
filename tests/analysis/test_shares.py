"""Shares of the gradient, how unequal they are, and what would be given up: against sums over
single tokens.
"""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from rockcore import schema
from rockcore.analysis import correlations, shares, spreads
from rockcore.log import Run, RunWriter
from rockcore.schema import NoGradients


def without(path, *columns: str):
    """The run as one that never knew these columns."""
    for file in path.rglob("*.parquet"):
        table = pq.read_table(file)
        if found := [c for c in columns if c in table.column_names]:
            pq.write_table(table.drop_columns(found), file)
    return Run.open(path)


@pytest.mark.parametrize("table", ["tokens", "probe/final"])
def test_shares_are_those_of_single_tokens_and_sum_to_one(tiny_run, table):
    run = Run.open(tiny_run())
    frame = shares.type_shares(run, table)
    sums = frame.groupby("step")[["tokens_share", "kl_share", "gradient_share"]].sum()
    np.testing.assert_allclose(sums, 1.0)
    tokens = pq.read_table(run.path / table / "step=000010.parquet").to_pandas()
    own = frame[(frame.step == 10) & (frame.token_id == 7)].iloc[0]
    mine = tokens.token_id == 7
    assert own.n == mine.sum() and own.gradient_share == pytest.approx(
        tokens.grad_norm[mine].sum() / tokens.grad_norm.sum(), rel=1e-5
    )
    labels = dict.fromkeys(range(0, 50, 2), "even")
    by_label = shares.label_shares(frame, labels).set_index(["step", "label"])
    even = frame[(frame.step == 10) & (frame.token_id % 2 == 0)]
    assert by_label.loc[(10, "even"), "kl_share"] == pytest.approx(even.kl_share.sum())
    assert len(by_label) == 2 * 3 and by_label.gradient_share.groupby(
        "step"
    ).sum().to_numpy() == pytest.approx(np.ones(3))


def test_a_log_that_knows_no_gradients_opens_reads_and_says_what_is_missing(tiny_run):
    run = without(
        tiny_run(),
        "grad_norm",
        "proj_grad_norm",
        "grad_norm_sum",
        "grad_norm_sq_sum",
        "proj_grad_norm_sum",
        "projection_s",
    )
    assert (
        run.trace(10, 0).grad_norm.isna().all()
        and run.trace(10, 0, "final").proj_grad_norm.isna().all()
    )
    assert run.metrics().projection_s.isna().all() and run.types(10).grad_norm_sum.isna().all()
    assert run.quantiles("grad_norm", [0.5]) == (0, []) and run.histogram(
        "grad_norm", [0.1, 1]
    ) == [0, 0, 0]
    assert (
        np.isnan(run.over_steps(0, "final", "grad_norm")[1]).all()
        and run.type_means("tokens", "grad_norm")["mean"].isna().all()
    )
    rescore = "Rescore it, where its prompts are logged: rockcore score"
    for ask, cure in (
        (lambda: shares.type_shares(run), rescore),
        (lambda: shares.given_up(run, [7]), rescore),
        (lambda: correlations.second_moments(run), "Train with --gradients sums"),
    ):
        with pytest.raises(NoGradients, match=rf"tiny has no .*\. .*\. {cure}"):
            ask()
    with pytest.raises(NoGradients, match="--gradients full"):
        correlations.exact_correlation(run, "final")


def test_steps_from_before_a_column_was_known_are_read_beside_later_ones(tiny_run):
    path = tiny_run()
    for table in ("tokens", "types"):
        file = path / table / "step=000000.parquet"
        found = pq.read_table(file)
        pq.write_table(found.drop_columns([c for c in found.column_names if "grad" in c]), file)
    run = Run.open(path)
    assert sorted(shares.type_shares(run).step.unique()) == [10, 20]
    assert run.quantiles("grad_norm", [0.5])[0] == sum(
        len(run.values("tokens", s, "kl")) for s in (10, 20)
    )


@given(st.lists(st.floats(0, 100), min_size=1, max_size=40))
def test_the_gini_coefficient_is_the_mean_difference_of_all_pairs(values):
    x = np.array(values)
    found = shares.lorenz(x)
    want = np.abs(x[:, None] - x).mean() / (2 * x.mean()) if x.sum() > 0 else 0
    assert found.gini == pytest.approx(want, abs=1e-9) and found.n == len(x)
    assert (
        found.held[0] == 0
        and found.held[-1] == pytest.approx(1)
        and (np.diff(found.held) >= 0).all()
    )


def test_a_lorenz_curve_of_many_values_is_thinned_out_and_stays_on_the_curve():
    x = np.random.default_rng(0).gamma(0.3, 1, 100_000)
    found = shares.lorenz(x, 200)
    assert len(found.held) <= 200
    assert found.held[100] == pytest.approx(
        np.sort(x)[: round(found.population[100] * len(x))].sum() / x.sum()
    )


def plain_lorenz(x: np.ndarray, points: int) -> shares.Lorenz:
    """As it is defined, all values at once."""
    x = np.sort(x[np.isfinite(x)].astype(np.float64))
    n, total = len(x), x.sum()
    if total <= 0:
        return shares.Lorenz(np.array([0.0, 1.0]), np.array([0.0, 1.0]), 0.0, n)
    at = np.unique(np.linspace(0, n, min(points, n + 1)).round().astype(int))
    gini = float((2 * np.arange(1, n + 1) - n - 1) @ x / (n * total))
    return shares.Lorenz(at / n, np.append(0.0, np.cumsum(x))[at] / total, gini, n)


@pytest.mark.parametrize("at_once", [1, 7, 10_000])
def test_a_lorenz_curve_taken_a_part_at_a_time_is_that_of_all_values(at_once, monkeypatch):
    """Of 100 million tokens the whole sort took some gigabytes."""
    monkeypatch.setattr(shares, "_AT_ONCE", at_once)
    draw = np.random.default_rng(at_once)
    odd = [[], [np.nan], [0.0, 0.0], [3.0], [2.0, np.nan, 2.0, 2.0], [0.0, np.inf, 5.0]]
    drawn = [draw.gamma(0.2, 1, n).round(2) for n in (2, 13, 14, 15, 900)]
    for values in (np.array(v, np.float32) for v in (*odd, *drawn)):
        before = values.copy()
        found, want = shares.lorenz(values, 50), plain_lorenz(values, 50)
        assert found.n == want.n and found.gini == pytest.approx(want.gini, rel=1e-12, abs=1e-12)
        np.testing.assert_array_equal(found.population, want.population)
        np.testing.assert_allclose(found.held, want.held, rtol=1e-12)
        np.testing.assert_array_equal(values, before)


def test_what_is_given_up_is_counted_and_the_time_is_bounded_by_what_was_measured(tiny_run):
    path = tiny_run()
    writer = RunWriter.reopen(path)
    for step, projection in ((0, 9.0), (10, 0.3), (20, 0.3)):
        row = dict.fromkeys(schema.METRICS, 0.0) | {
            "step": step,
            "rollouts": 4,
            "tokens": 5,
            "update_norm": 1.0,
        }
        row |= {"sample_s": 0.5, "student_s": 0.6, "teacher_s": 0.4, "projection_s": projection}
        writer.append("metrics", step, {name: [value] for name, value in row.items()})
    run = Run.open(path)
    found = shares.given_up(run, [7, 8])
    tokens = pd.concat(
        pq.read_table(f).to_pandas() for f in sorted((path / "tokens").glob("*.parquet"))
    )
    mine = tokens.token_id.isin([7, 8])
    assert (found.tokens, found.of_tokens) == (
        mine.sum(),
        len(tokens),
    ) and found.kl == pytest.approx(tokens.kl[mine].sum(), rel=1e-5)
    assert found.projection_share == pytest.approx(0.2) and found.steps == 2, (
        "the first step is warm-up"
    )
    assert found.time_saved == pytest.approx(0.2 * mine.mean())


def test_rank_correlation_is_that_of_scipy_with_an_interval_around_it():
    x = np.random.default_rng(0).normal(size=60)
    y = x + np.random.default_rng(1).normal(size=60)
    found = correlations.rank_correlation(x, y)
    assert (
        found.value == pytest.approx(spearmanr(x, y).statistic)
        and found.low < found.value < found.high
        and found.n == 60
    )
    assert np.isnan(correlations.rank_correlation([1, 2], [1, 2]).value)


def test_the_second_moment_stands_beside_how_often_a_type_was_written_before(tiny_run):
    path = tiny_run()
    RunWriter.reopen(path).append(
        "optimizer",
        10,
        {"step": [10] * 40, "token_id": range(40), "second_moment": np.arange(40) / 7},
    )
    frame = correlations.second_moments(Run.open(path))
    first = pq.read_table(path / "tokens" / "step=000000.parquet").to_pandas()
    assert (
        frame.set_index("token_id").n.to_dict()
        == first[first.token_id < 40].token_id.value_counts().to_dict()
    )
    np.testing.assert_allclose(frame.second_moment, frame.token_id / 7)


def test_the_correlation_of_exact_and_closed_form_norms_is_taken_on_logarithms(tiny_run):
    path = tiny_run()
    rng = np.random.default_rng(2)
    norm = np.exp(rng.normal(size=90)).astype(np.float32)
    exact = norm**0.8 * np.exp(rng.normal(0, 0.2, 90))
    columns = {
        "step": [20] * 90,
        "rollout_id": np.arange(90) % 12,
        "position": np.arange(90),
        "token_id": [3] * 90,
    }
    RunWriter.reopen(path).write_exact(
        "final", {**columns, "grad_norm": np.append(norm[:-1], 0), "exact_norm": exact}
    )
    found = correlations.exact_correlation(Run.open(path), "final")
    assert (
        found.value
        == pytest.approx(np.corrcoef(np.log(norm[:-1]), np.log(exact[:-1]))[0, 1], abs=1e-6)
        and found.n == 89
    )
    assert found.low < found.value < found.high
    with pytest.raises(NoGradients, match="0 positions"):
        correlations.exact_correlation(Run.open(path), "final", "proj_grad_norm")


values = st.lists(st.floats(1e-6, 1e6) | st.just(np.nan) | st.floats(-5, 0), max_size=30)


@given(values, values)
def test_a_spread_places_every_value_or_tells_how_many_have_no_place(first, second):
    groups = {"one": np.array(first, float), "two": np.array(second, float)}
    logarithms = spreads.spread_of_logarithms(groups)
    between = spreads.spread_between(groups, -1.0, 1.0)
    for name, log, cut in zip(groups, logarithms.groups, between.groups, strict=True):
        known = groups[name][np.isfinite(groups[name])]
        assert log.n == cut.n == len(known) and log.off == (known <= 0).sum()
        assert sum(log.counts) == len(known) - log.off and sum(cut.counts) == len(known)
        assert cut.off == (np.abs(known) > 1).sum()
        assert log.median == cut.median == (np.median(known) if len(known) else None)
    assert logarithms.n == between.n == sum(group.n for group in between.groups)


@given(st.lists(st.floats(0.01, 100), max_size=20), st.lists(st.floats(0.01, 100), max_size=20))
def test_factors_spread_as_far_below_one_as_above(first, second):
    found = spreads.spread_of_factors({"one": np.array(first), "two": np.array(second)})
    assert found.edges[0] == -found.edges[-1] <= -1.0
    for own, group in zip((first, second), found.groups, strict=True):
        assert sum(group.counts) == len(own) == group.n
        if own:
            assert group.median == pytest.approx(2 ** np.median(np.log2(own)))


def last_step_of(types: pd.DataFrame) -> pd.DataFrame:
    return types.loc[types.step == types.step.max()]


def test_shares_at_a_step_and_stacked_are_those_of_the_types(tiny_run):
    run = Run.open(tiny_run())
    types = shares.type_shares(run)
    ids = types.token_id.unique()
    kinds = (ids % 3).astype(str)
    names = pd.DataFrame({"token_id": ids, "shown": ids.astype(str), "category": kinds})
    now = shares.at_step(types, 10, names, {7, 8})
    tokens = pq.read_table(run.path / "tokens" / "step=000010.parquet").to_pandas()
    assert now.gradient.is_monotonic_decreasing and (now.of_tokens == len(tokens)).all()
    row = shares.row_of(now, 7)
    assert (
        row is not None
        and row.in_set
        and row.kl == pytest.approx(tokens.kl[tokens.token_id == 7].mean(), rel=1e-5)
    )
    assert shares.row_of(now, 10**6) is None and set(now.token_id[now.in_set]) == {7, 8}
    found = shares.stacked(types, now, "in_set")
    inside = found.at_last_step(shares.IN_SET)
    last = types[(types.step == 20) & types.token_id.isin([7, 8])]
    assert inside is not None
    assert inside.gradient_share == pytest.approx(last.gradient_share.sum())
    assert set(found.labels) == {shares.IN_SET, shares.OUTSIDE}
    by_category = shares.stacked(types, now, "category")  # `now` is in another order than the ids
    for category in range(3):
        own = last_step_of(types).query("token_id % 3 == @category").gradient_share.sum()
        row = by_category.at_last_step(str(category))
        assert row is not None and row.gradient_share == pytest.approx(own)
    assert shares.logged_steps(types) == [0, 10, 20]


def test_divergence_is_zero_only_where_no_type_is_above_the_rounding_at_any_step(tiny_run):
    types = shares.type_shares(Run.open(tiny_run()))
    below = types.assign(kl=types.n * 9e-5)
    assert shares.is_zero(below, 1e-4) and not shares.is_zero(types, 1e-4)
    assert not shares.is_zero(below.assign(kl=np.where(below.index == 3, 1.0, below.kl)), 1e-4)
    assert not shares.is_zero(below.assign(kl=np.nan), 1e-4), "what is not logged is not zero"
