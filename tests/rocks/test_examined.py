"""One value answers everything about a run under a rule: lazily, once, and shared between rules
that read the same.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import brute
import numpy as np
import pytest
from brute import Log
from hypothesis import given
from hypothesis import strategies as st
from test_detection import ALL, one_type_each

from rockcore.log import Run
from rockcore.rocks import Examined, RockRule, conclusion, detect, examined
from rockcore.rocks.cutoff import K_MAX

LOG = brute.eighths(3, 8, 12, 5)
LOOSE = RockRule(window=2, gamma=0.25, min_support=1, min_rollouts=1, tau_quantile=0.3)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    fresh = [Log(LOG.tokens, [losses]) for losses in (LOG.losses[0], LOG.losses[-1])]
    return brute.write(tmp_path / "r", LOG, fresh)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The name of each costly question, each time it is answered."""
    made: list[str] = []
    for name in ("gather", "classes_of", "ThresholdTable", "Detection", "conclude"):
        whole = getattr(examined, name)

        def answer(*arguments, name=name, whole=whole, **more):
            made.append(name)
            return whole(*arguments, **more)

        monkeypatch.setattr(examined, name, answer)
    return made


@pytest.fixture
def side_by_side(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on stages go side by side as in large logs."""

    def start() -> None:
        for module in (examined, conclusion):
            monkeypatch.setattr(module, "LARGE", 0)

    return start


def ask_all(one: Examined) -> None:
    assert one.instant is not None
    for _ in range(2):
        assert one.tau == one.detection.tau == one.instant[:2]
        assert one.report.ids == one.report.rock_set.ids or one.report.ids == list(
            one.report.rock_set.ids
        )
        assert len(one.marks.at) == one.report.occurrences["persistent"]
        assert len(one.halves.all) == len(one.report.ids)


def test_nothing_is_worked_out_before_it_is_asked_for_and_nothing_twice(run, calls):
    one = Examined(run, LOOSE)
    assert calls == []
    ask_all(one)
    assert sorted(calls) == sorted(
        ["gather", "classes_of", "ThresholdTable", "Detection", "conclude"]
    )


def test_another_rule_shares_what_it_reads_alike_and_nothing_else(run, calls):
    one = Examined(run, LOOSE)
    ask_all(one)
    del calls[:]
    ask_all(one.under(replace(LOOSE, tau_quantile=0.5, gamma=0.5, top_k=2)))
    assert sorted(calls) == ["Detection", "conclude"]
    del calls[:]
    ask_all(one.under(replace(LOOSE, seed=1)))
    assert sorted(calls) == ["Detection", "classes_of", "conclude"]
    for other in ({"column": "sampled_loss"}, {"post_step": 10}, {"pre_step": 10}):
        del calls[:]
        ask_all(one.under(replace(LOOSE, **other)))
        assert "gather" in calls and "ThresholdTable" in calls


@pytest.mark.parametrize("changes", [{}, {"column": "sampled_loss"}, {"seed": 3}, {"window": 1}])
def test_what_is_shared_changes_no_number(run, changes):
    rule = replace(LOOSE, **changes)
    shared, alone = Examined(run, RockRule()).under(rule), detect(run, rule)
    assert shared.report.to_dict() == alone.to_dict()


@brute.examples(30)
@given(q=st.sampled_from([0, 0.005, 0.9, 0.995, 1]) | st.floats(0, 1))
def test_the_readout_and_the_detection_stand_at_the_same_thresholds_to_the_last_bit(q):
    rng = np.random.default_rng(int(q * 1e6))
    losses = [[rng.gamma(0.5, 1.0, len(row)).tolist() for row in LOG.tokens] for _ in range(2)]
    corpus = Log(LOG.tokens, losses).corpus()
    rule = RockRule(tau_quantile=q)
    first = examined.Quantiles(corpus.losses[0])
    later = examined.Quantiles(corpus.losses[0])
    later.prepare()
    alone = float(np.quantile(corpus.losses[0], np.float64(q)))
    assert first(rule.tau_quantile) == later(rule.tau_quantile) == alone


def test_without_pairs_there_is_no_instant(run):
    assert Examined(run, RockRule(mode="bounds")).instant is None


def test_work_is_stopped_by_its_pulse_and_can_be_done_again(run):
    class Stopped(Exception):
        pass

    def stop() -> None:
        raise Stopped

    one = Examined(run, LOOSE)
    with pytest.raises(Stopped):
        _ = one.under(LOOSE, stop).report
    assert one.under(LOOSE).report.to_dict() == detect(run, LOOSE).to_dict()


@pytest.mark.parametrize("mode", ["paired", "matched", "bounds"])
def test_stages_side_by_side_find_what_they_find_in_turn(run, mode, side_by_side):
    rule = replace(LOOSE, mode=mode)
    want = detect(run, rule).to_dict()
    side_by_side()
    assert detect(run, rule).to_dict() == want


def test_stages_side_by_side_are_stopped_from_this_thread_wherever_they_are(run, side_by_side):
    class Stopped(Exception):
        pass

    want, me = detect(run, LOOSE).to_dict(), threading.get_ident()
    side_by_side()
    left = calls = 10**9

    def pulse() -> None:
        nonlocal left
        assert threading.get_ident() == me
        left -= 1
        if left < 0:
            raise Stopped

    one = Examined(run, LOOSE).loaded()
    _ = one.under(LOOSE, pulse).report
    calls -= left
    for share in (0.05, 0.3, 0.6, 0.8):
        again = Examined(run, LOOSE).loaded()
        left = int(share * calls)
        with pytest.raises(Stopped):
            _ = again.under(LOOSE, pulse).report
        assert again.under(LOOSE).report.to_dict() == want


def test_what_was_worked_out_before_is_known(run, calls):
    one = Examined(run, LOOSE)
    again = one.under(LOOSE).knowing(one.results)
    del calls[:]
    assert again.report is one.report and again.marks is one.marks and calls == []


@pytest.mark.parametrize("types", [K_MAX - 1, K_MAX, K_MAX + 1, 3 * K_MAX])
@pytest.mark.parametrize("asked", [{"tau_rock": 0.1}, {"top_k": 100_000}, {"top_k": 501}])
def test_coverage_and_stability_are_those_of_the_set_whatever_its_size(types, asked, tmp_path):
    """All types are alike, so any two halves agree and K types cover K shares."""
    log = one_type_each([1.0] * types, rollouts=2)
    report = detect(brute.write(tmp_path / "r", log), replace(ALL, **asked))
    k = min(types, asked.get("top_k") or types)
    assert len(report.ids) == k
    assert report.coverage == pytest.approx(k / types, rel=1e-12)
    assert report.coverage == pytest.approx(report.tokens.share[report.tokens.in_set].sum())
    assert tuple(report.stability) == (1.0, 1.0, 1.0)
    assert report.curves.k.max() >= k


def test_stability_beyond_the_curves_is_that_of_its_own_halves(tmp_path):
    """One rollout holds the first half of the types and the other the second: halves share none."""
    n = 2 * (K_MAX + 100)
    log = Log([[*range(n // 2)], [*range(n // 2, n)]], [[[1.0] * (n // 2)] * 2] * 2)
    report = detect(brute.write(tmp_path / "r", log), replace(ALL, tau_rock=0.5))
    assert (len(report.ids), report.coverage, report.stability.value) == (n, 1.0, 0.0)
