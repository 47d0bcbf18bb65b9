"""How a session went and how it stands, from its log alone."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from pages import RunFactory, words

from app import data
from app import words as app_words
from rockcore.analysis import course
from rockcore.log import Run, RunWriter
from rockcore.rocks import ranking

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
    texts = app.get("button_group")[0]
    assert texts.value == "first"
    aside.rename(run / "probe" / "final")
    app.run()
    assert "final" in app.get("button_group")[0].options or not app.exception
    assert app.get("button_group")[0].value == "first"
    assert open_app("trace", run).get("button_group")[0].value == "final"


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
    assert far.step_s == pytest.approx(0.5 + 0.2 + 0.6 + 0.05 + 0.02)
    assert far.left_s == pytest.approx(30 * far.step_s)
    assert course.course(Run.open(tiny_run(steps=()))).progress is None


def test_the_shares_of_all_types_are_one_and_those_of_none_are_nothing(
    tiny_run: RunFactory,
) -> None:
    frame = ranking.numbered(Run.open(tiny_run()), 20)
    every, none = ranking.concentration(frame, len(frame)), ranking.concentration(frame, 0)
    assert every.token_share == pytest.approx(1) and every.kl_share == pytest.approx(1)
    assert every.gradient_share == pytest.approx(1)
    assert none.token_share == none.kl_share == none.gradient_share == 0
    unknown = ranking.concentration(frame.assign(grad_norm_sum=float("nan")), 5)
    assert unknown.gradient_share is None


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
