"""How a session went and how it stands, from its log alone."""

from __future__ import annotations

import time
from pathlib import Path

import brute
import numpy as np
import pyarrow.parquet as pq
import pytest
from pages import RunFactory, words
from small_logs import write_many_on_one_prompt

from app import data
from app import words as app_words
from rockcore.analysis import course
from rockcore.log import Run, RunWriter
from rockcore.log.files import table_file
from rockcore.rocks import ranking
from rockcore.schema import Texts
from rockcore.spelling import percent

OF_A_RUN = ("overview", "trace", "rock_tokens", "steps", "gradients", "compare", "threshold_lab")


def checkpoints(run: Path, *steps: int) -> None:
    for step in steps:
        (run / "checkpoints" / f"step={step:06d}").mkdir(parents=True)


@pytest.fixture
def finishing(tiny_run: RunFactory) -> Path:
    """A run whose final texts are scored under two of three checkpoints."""
    run = tiny_run("late", status="running")
    checkpoints(run, 0, 10, 20)
    (run / "checkpoints" / ".step=000010.old").mkdir()
    (run / "probe" / "final" / "step=000020.parquet").unlink()
    return run


@pytest.mark.parametrize("page", (*OF_A_RUN, "live"))
def test_every_page_says_that_the_final_texts_are_still_being_scored(
    page: str, open_app, finishing: Path
) -> None:
    app = open_app(page, finishing)
    assert not app.exception
    (said,) = [info.value for info in app.info if "checkpoints" in info.value]
    assert said.startswith("Still being written") and "under 2 of 3 checkpoints" in said


def test_a_run_that_died_meanwhile_stays_half_and_a_whole_one_is_not_called_so(
    tiny_run: RunFactory, finishing: Path, open_app
) -> None:
    RunWriter.reopen(finishing).save_meta(status="failed", reason="killed")
    (said,) = [i.value for i in open_app("steps", finishing).info if "checkpoints" in i.value]
    assert said.startswith("Never finished") and "2 of 3" in said
    whole = tiny_run("whole", status="running")
    checkpoints(whole, 0, 10, 20)
    assert course.unscored(Run.open(whole)) is None
    unbegun = tiny_run("unbegun", status="running")
    checkpoints(unbegun, 0, 10, 20, 30)
    for file in (unbegun / "probe" / "final").iterdir():
        file.unlink()
    assert course.unscored(Run.open(unbegun)) is None
    assert course.unscored(Run.open(tiny_run("finished"))) is None


def test_trace_keeps_the_texts_that_are_read_when_others_are_written(
    open_app, tiny_run: RunFactory, tmp_path: Path
) -> None:
    run = tiny_run("young", status="running")
    aside = tmp_path / "aside"
    (run / "probe" / "final").rename(aside)
    app = open_app("trace", run)
    texts = app.selectbox(key="widget source")
    assert texts.value == "first"
    aside.rename(run / "probe" / "final")
    app.run()
    assert not app.exception
    assert app.selectbox(key="widget source").value == "first"
    assert open_app("trace", run).selectbox(key="widget source").value == "final"


def test_a_finished_run_says_when_it_ended_and_a_running_one_its_age(
    tiny_run: RunFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stands(**meta: str) -> str:
        return data.runs.status(data.runs.key(str(tiny_run(**meta))))

    assert stands() == "finished"
    assert stands(status="failed", reason="no memory") == "failed: no memory"
    assert "running: step 20 of 20 · last written" in stands(status="running")
    run = data.runs.key(str(tiny_run()))
    object.__setattr__(data.runs.log(run).meta, "ended", "2026-11-26T10:15:30+00:00")
    assert data.runs.status(run) == "finished · ended 2026-11-26 10:15 UTC"


@pytest.mark.parametrize(
    ("iso", "shown"),
    [
        ("2026-11-26T10:15:30+00:00", "2026-11-26 10:15 UTC"),
        ("2026-11-26T12:15:30+02:00", "2026-11-26 10:15 UTC"),
        ("2026-11-26T10:15:30", "2026-11-26 10:15"),
        ("", ""),
        ("yesterday", ""),
    ],
)
def test_a_moment_is_told_in_universal_time(iso: str, shown: str) -> None:
    assert app_words.moment(iso) == shown


def test_progress_is_reckoned_from_the_median_step(tiny_run: RunFactory) -> None:
    far = course.course(Run.open(tiny_run(steps_planned=50))).progress
    assert far is not None and (far.step, far.steps) == (20, 50)
    assert far.pace is not None
    assert far.pace.step_s == pytest.approx(0.5 + 0.2 + 0.6 + 0.05 + 0.02)
    assert far.pace.left_s == pytest.approx(30 * far.pace.step_s)
    assert course.course(Run.open(tiny_run(steps=()))).progress is None


def test_the_shares_of_all_types_are_one_and_those_of_none_are_nothing(
    tiny_run: RunFactory,
) -> None:
    run = Run.open(tiny_run())
    every, none = (ranking.concentration(run, 20, top) for top in (10_000, 0))
    for found, share in ((every, 1), (none, 0)):
        assert found.crossed is not None and found.crossed.gradient is not None
        assert found.naive == pytest.approx({"tokens": share, "kl": share, "gradient": share})
        assert [interval.value for interval in found.crossed] == pytest.approx([share] * 3)
    assert every.top == every.types and every.rollouts == 4


def test_the_shares_of_the_top_types_are_those_of_a_loop_over_halves(tmp_path: Path) -> None:
    log = brute.eighths(1, rollouts=7, length=30, types=12)
    run = brute.write(tmp_path / "r", None, [log])
    found = ranking.concentration(run, 0, 3)

    def share(choosing: list[int], measuring: list[int]) -> float:
        sums: dict[int, list[float]] = {v: [0.0, 0.0] for v in log.types}
        for b, t in log.occurrences:
            for i, half in enumerate((choosing, measuring)):
                sums[log.tokens[b][t]][i] += float(log.loss((b, t), 0)) if b in half else 0.0
        best = sorted(sums, key=lambda v: (-sums[v][0], v))[:3]
        return sum(sums[v][1] for v in best) / sum(s[1] for s in sums.values())

    even, odd = [0, 2, 4, 6], [1, 3, 5]
    assert found.crossed is not None
    assert found.naive["kl"] == pytest.approx(share(even + odd, even + odd))
    assert found.crossed.kl.value == pytest.approx((share(even, odd) + share(odd, even)) / 2)


def test_where_all_types_are_alike_the_naive_share_is_too_large_and_the_crossed_one_is_not(
    tmp_path: Path,
) -> None:
    held = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        loss = rng.gamma(0.3, 1.0, (1, 16, 40)).tolist()
        log = brute.Log(rng.integers(0, 50, (16, 40)).tolist(), loss)
        found = ranking.concentration(brute.write(tmp_path / str(seed), None, [log]), 0, 10)
        assert found.crossed is not None and found.naive["kl"] > found.naive["tokens"] + 0.05
        # what a type holds of the kl is what it holds of the tokens, and the types chosen are 20 %
        held.append((found.crossed.kl, found.crossed.tokens.value))
    assert np.mean([kl.value - n for kl, n in held]) == pytest.approx(0, abs=0.02)
    assert sum(kl.low <= n <= kl.high for kl, n in held) >= 26


def test_the_overview_says_both_shares_and_which_is_naive(
    open_app, tiny_run: RunFactory, tmp_path: Path
) -> None:
    run = Run.open(tiny_run())
    shown = words(open_app("overview", run.path, top="5"))
    found = ranking.concentration(run, 20, 5)
    assert found.crossed is not None
    assert "chosen on one half of the 4 rollouts and measured on the other" in shown
    assert f"**{percent(found.crossed.kl.value)}**" in shown
    assert f"(naive): {percent(found.naive['kl'])} of the KL" in shown
    few = write_many_on_one_prompt(tmp_path / "few", 2)
    assert "These are naive numbers" in words(open_app("overview", few))


def test_a_step_of_one_rollout_has_a_mean_without_an_interval(open_app, tmp_path: Path) -> None:
    path = write_many_on_one_prompt(tmp_path / "one", 1)
    for step in (0, 10):
        metrics = Run.open(path).metrics().set_index("step", drop=False).loc[[step]]
        row = {name: list(values) for name, values in metrics.items()}
        RunWriter.reopen(path).append("metrics", step, row | {"kl_stderr": [None]})
    means = course.course(Run.open(path)).means
    assert means.low.isna().all() and set(means.interval) == {"no interval from 1 rollout"}
    app = open_app("overview", path)
    told = app.metric[2].help.replace("\\", "")
    assert not app.exception and "No interval from 1 rollout of step 10." in told


def test_live_finds_the_first_run_by_itself(open_app, tmp_path: Path) -> None:
    """Its page is open before the run has written anything: the fragment that waits asks for a
    whole page as soon as there is one.
    """
    import conftest

    place = tmp_path / "place"
    place.mkdir()
    app = open_app("live", place)
    assert "No run is in training here" in words(app)
    assert data.trainings.others(None) == []
    conftest.write_tiny_run(place / "young", status="running")
    assert data.trainings.others(None) == ["young"]
    app.run()
    assert "running: step 20" in words(app)


def test_looks_of_several_sessions_share_one_state(
    tiny_run: RunFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = data.runs.key(str(tiny_run("young", status="running")))
    with data.trainings.looking(run) as first:
        time.sleep(0)
        with data.trainings.looking(run) as second:
            assert first == second == run


@pytest.mark.parametrize(
    ("config", "normaliser", "says"),
    [
        ({}, "tokens", "Arm: baseline · weighted kl over the number of tokens"),
        (
            {"arm": "soft", "rocks": "r.json", "lambda_": 0.0, "window": True, "share": 0.2},
            "weights",
            "Arm: soft --rocks r.json --window --lambda 0.0 · weighted kl over the sum of the "
            "weights",
        ),
        (
            {"arm": "top-entropy", "share": 0.2, "window": False},
            "tokens",
            "Arm: top-entropy --share 0.2 · weighted kl over the number of tokens",
        ),
        ({"arm": "of another trainer"}, "Σ", "Arm: of another trainer · weighted kl over Σ"),
    ],
)
def test_a_run_says_what_was_trained_on(tiny_run, config, normaliser, says):
    run = Run.open(tiny_run("arm", config=config, normaliser=normaliser))
    assert course.course(run).objective == says


def test_a_log_of_old_that_says_0_for_one_rollout_has_no_interval_either(tmp_path: Path) -> None:
    path = write_many_on_one_prompt(tmp_path / "one", 1)
    for step in (0, 10):
        metrics = Run.open(path).metrics().set_index("step", drop=False).loc[[step]]
        row = {name: list(values) for name, values in metrics.items()}
        RunWriter.reopen(path).append("metrics", step, row | {"kl_stderr": [0.0]})
    means = course.course(Run.open(path)).means
    assert means.low.isna().all() and set(means.interval) == {"no interval from 1 rollout"}


def test_rollouts_are_halved_whatever_their_ids_are(tmp_path: Path) -> None:
    log = brute.eighths(1, rollouts=6, length=20, types=9)
    shares = []
    for name, ids in (("plain", range(6)), ("even", range(0, 12, 2)), ("odd", range(1, 60, 10))):
        columns = log.columns(0, 0)
        columns |= {"rollout_id": np.array(ids)[columns["rollout_id"]].astype(np.int32)}
        run = brute.write(tmp_path / name)
        RunWriter.reopen(run.path).append("tokens", 0, columns)
        shares.append(ranking.concentration(Run.open(run.path), 0, 3).crossed)
    assert shares[0] is not None and np.isfinite([i.low for i in shares[0] if i is not None]).all()
    assert shares[0] == shares[1] == shares[2]


def test_texts_are_listed_by_their_number_whatever_the_order_of_rows(tiny_run: RunFactory) -> None:
    run = Run.open(tiny_run("rows"))
    wanted = course.graded_texts(run, Texts.FRESH, 10)
    file = table_file(run.path, "rollouts", 10)
    table = pq.read_table(file)
    pq.write_table(table.take(list(range(len(table)))[::-1]), file)
    assert course.graded_texts(Run.open(run.path), Texts.FRESH, 10).equals(wanted)
