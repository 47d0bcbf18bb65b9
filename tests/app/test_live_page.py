"""The Live page: follows a run in training by itself, says how old its news is, and costs the
training nothing but a little time.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import conftest
import numpy as np
import playwright.sync_api as playwright
import pytest
from chrome import Tab
from pages import RunFactory, words
from patience import PATIENCE_S

from app import data
from app.data.runs import RunKey
from rockcore.config import SessionConfig
from rockcore.log import Run, RunWriter
from rockcore.log.holders import LOCK
from rockcore.log.lock import locked
from rockcore.training.session import Progress, train


def append(run: Path, step: int) -> None:
    """One more step, as a training would log it."""
    writer, rng = RunWriter.reopen(run), np.random.default_rng(step)
    tokens_BT = conftest._sample(rng)
    values = conftest._values(rng, step, tokens_BT)
    writer.append("rollouts", step, conftest._texts(step, tokens_BT))
    writer.append("tokens", step, values)
    writer.append("metrics", step, conftest._metrics(step, values["kl"]))


def test_a_run_in_training_is_shown_with_its_age_its_progress_and_its_newest_text(
    open_app, tiny_run: RunFactory
) -> None:
    app = open_app("live", tiny_run("young", status="running", steps_planned=50))
    shown = words(app)
    assert not app.exception
    assert re.search(r"running: step 20 of 50 · last written \d+ s ago", shown)
    assert "Rock Score" in shown and len(app.dataframe) == 1
    assert "step 20 of 50" in app.get("progress")[0].proto.text


def test_a_run_whose_process_was_killed_is_not_in_training_however_young_its_files_are(
    open_app, tiny_run: RunFactory
) -> None:
    path = tiny_run("young", status="running", steps_planned=50)
    (path / LOCK).write_text('{"pid": 7, "host": "far"}')
    shown = words(open_app("live", path))
    assert "young is not in training: ended without a word: step 20 of 50" in shown
    assert "rockcore train --resume goes on with it" in shown


def test_a_run_that_is_held_is_in_training_however_long_a_step_takes(
    open_app, tiny_run: RunFactory
) -> None:
    path = tiny_run("young", status="running", steps_planned=50)
    for file in path.rglob("*"):
        os.utime(file, (0, 0))
    with locked(path, "training"):
        shown = words(open_app("live", path))
    assert "running: step 20 of 50" in shown and "may have died" not in shown
    assert "ended without a word: step 20 of 50" in words(open_app("live", path))


def test_a_run_without_a_finished_step_says_so(open_app, tiny_run: RunFactory) -> None:
    assert "No step is finished yet" in words(
        open_app("live", tiny_run("young", steps=(), status="running"))
    )


def test_a_finished_run_says_how_it_ended_and_where_to_go(open_app, tiny_run: RunFactory) -> None:
    app = open_app("live", tiny_run("done"))
    assert "done is not in training: finished" in words(
        app
    ) and "No run is in training here" in words(app)


def test_another_run_in_training_is_offered_and_followed(open_app, tiny_run: RunFactory) -> None:
    app = open_app("live", tiny_run("done"), tiny_run("young", status="running"), run="done")
    follow = next(b for b in app.button if b.label == "Follow young")
    app = follow.click().run()
    assert "running: step 20" in words(app) and app.selectbox[0].value == "young"


def test_no_run_at_all_says_how_to_start_one(open_app) -> None:
    assert "rockcore train" in words(open_app("live"))


def test_a_damaged_file_is_explained(open_app, tiny_run: RunFactory) -> None:
    path = tiny_run("young", status="running")
    (path / "metrics" / "step=000010.parquet").write_bytes(b"no parquet")
    app = open_app("live", path)
    assert not app.exception and "no readable Parquet file" in words(app)


def test_after_a_costly_look_the_next_one_waits_and_a_cheap_one_does_not(
    tiny_run: RunFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tiny_run("young", status="running")
    clock = [100.0]
    monkeypatch.setattr(data.trainings.time, "monotonic", lambda: clock[0])
    opened = RunKey(str(path), Run.open(path).fingerprint())

    def look(cost: float) -> RunKey:
        with data.trainings.looking(opened) as now:
            clock[0] += cost
        return now

    assert look(cost=1.0) == opened
    append(path, 30)
    clock[0] += 3.9
    assert look(cost=0.0) == opened, "1 s of reading was followed by the next before 5 s were over"
    clock[0] += 0.2
    newer = look(cost=0.01)
    assert newer != opened and newer == RunKey(str(path), Run.open(path).fingerprint())
    append(path, 40)
    clock[0] += 2.0
    assert look(cost=0.01) not in (opened, newer)


@pytest.fixture
def young(served: Path) -> Iterator[Path]:
    """A run in training, that is none for the other tests of this server."""
    yield conftest.write_tiny_run(served / "young", status="running", steps_planned=50)
    shutil.rmtree(served / "young")


def test_the_page_follows_the_training_by_itself_to_its_end(tab: Tab, young: Path) -> None:
    page = tab.page
    page.goto(f"{tab.server}/live?run=young")  # it never settles: it looks for news
    page.locator(".response .t").first.wait_for()
    playwright.expect(page.get_by_text("running: step 20 of 50")).to_be_visible()
    before = page.locator(".legend .about").inner_text()
    append(young, 30)
    playwright.expect(page.get_by_text("running: step 30 of 50")).to_be_visible()
    playwright.expect(page.locator(".legend .about")).to_contain_text("of step 30")
    assert "of step 20" in before
    aged = re.compile(r"last written (?![0-3] s)\d")
    playwright.expect(page.get_by_text(aged)).to_be_visible()  # without news, too
    RunWriter.reopen(young).save_meta(status="finished")
    playwright.expect(page.get_by_text("young is not in training: finished")).to_be_visible()


def test_a_training_that_is_watched_logs_what_it_would_have_logged_alone(tmp_path: Path) -> None:
    """Bit for bit, while a reader opens every file it finds: at least once in each step."""
    alone, watched = (
        SessionConfig(out=tmp_path / name, steps=4, rollouts=4, probes=2, held_out=0, threads=1)
        for name in "aw"
    )
    train(alone)
    done, looked = threading.Event(), threading.Semaphore(0)
    looks: list[int] = []

    def read() -> None:
        while not done.is_set():
            if (tmp_path / "w" / "run.json").exists():
                run = Run.open(tmp_path / "w")
                looks.append(
                    len(run.metrics()) + sum(len(run.trace(step, 0)) for step in run.steps()[-1:])
                )
                looked.release()

    def wait_for_a_look(_: Progress) -> None:
        assert looked.acquire(timeout=PATIENCE_S)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        train(watched, wait_for_a_look)
    finally:
        done.set()
        reader.join()
    assert len(looks) >= 5 and looks[-1] > 0
    for step in range(5):
        name = f"tokens/step={step:06d}.parquet"
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "w" / name).read_bytes()
