"""A screen on disk is read as it was written, and its damage is named."""

from __future__ import annotations

import json
from contextlib import suppress

import numpy as np
import pytest
from small_screens import write_screen

from rockcore.log import Run
from rockcore.log.screens import FOLDER, PLAN, NoScreen, Screen, ScreenWriter
from rockcore.schema import DamagedRun, RockError, SchemaMismatch
from rockcore.schema.screen import Candidate, ScreenPlan


@pytest.fixture
def screen(tiny_run) -> Screen:
    return write_screen(tiny_run("screened"), {7: -0.3, 8: 0.0}, {7: (7, 8)}, problems=12)


def test_it_is_read_as_it_was_written(screen):
    again = Screen.open(screen.run.path)
    assert again.plan == screen.plan and again.finished == again.candidates
    assert again.baseline.correct.shape == (12, 4) and len(again.baseline.texts) == 48
    outcomes = again.outcomes("window-7")
    first = again.baseline.texts[int(outcomes.problem[0] * 4 + outcomes.rollout[0])]
    assert first[outcomes.branch[0]] in (7, 8) and not {7, 8} & set(first[: outcomes.branch[0]])
    assert outcomes.sham_correct is None and again.outcomes("token-7").sham_correct is not None
    assert outcomes.texts[0][0] == outcomes.replacement[0]


def test_a_candidate_that_changes_nothing_is_read(screen):
    writer = ScreenWriter(screen.run.path, screen.plan)
    names = "problem rollout branch replacement length correct sham_correct ids".split()
    writer.write_outcomes("token-8", dict.fromkeys(names, []))
    assert len(Screen.open(screen.run.path).outcomes("token-8").problem) == 0


def test_one_with_the_ids_of_another_has_its_outcomes(screen):
    writer = ScreenWriter(screen.run.path, screen.plan)
    twin = Candidate("window-8", "window", 8, (7, 8), same_as="window-7")
    writer.save_plan([*screen.candidates, twin])
    again = Screen.open(screen.run.path)
    assert twin in again.finished
    assert np.array_equal(again.outcomes("window-8").branch, again.outcomes("window-7").branch)


def test_writing_a_screen_leaves_the_run_as_it_was(tiny_run):
    path = tiny_run("plain")
    run = Run.open(path)
    before = run.fingerprint()
    first = write_screen(path, {7: 0.0}).fingerprint()
    assert run.fingerprint() == before
    assert write_screen(path, {7: 0.0}, seed=1).fingerprint() != first


def test_a_run_without_one_says_how_to_make_it(tiny_run):
    path = tiny_run("none")
    assert not Screen.exists(path)
    with pytest.raises(NoScreen, match="Run rockcore knockout"):
        Screen.open(path)


def test_a_screen_of_an_earlier_student_is_stale(screen, tiny_run):
    assert not screen.stale
    longer = tiny_run("longer", steps=(0, 10, 20, 30))
    assert write_screen(longer, {7: 0.0}).stale


_TOKEN = {"key": "token-7", "kind": "token", "token_id": 7, "ids": [7]}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"problems": -1}, "problems is -1"),
        ({"rollouts": "4"}, "rollouts is"),
        ({"temperature": None}, "temperature is None"),
        ({"candidates": [3]}, "Candidate is int"),
        ({"candidates": 3}, "candidates: TypeError"),
        ({"candidates": [{"key": "../x", "kind": "token", "token_id": 1, "ids": [1]}]}, "x' of"),
        (
            {"candidates": [{"key": "token-1", "kind": "token", "token_id": 1, "ids": []}]},
            "token-1",
        ),
        ({"stop_ids": [True]}, "stop_ids is"),
        ({"problems": 1}, "1 problems"),
        ({"rollouts": 0}, "0 rollouts"),
        ({"vocab_size": 7}, "token-7 bans 7, beyond"),
        ({"candidates": [_TOKEN, _TOKEN]}, "a key stands twice"),
        (
            {
                "candidates": [
                    _TOKEN,
                    _TOKEN
                    | {"key": "random-7", "kind": "random", "ids": [8], "same_as": "token-7"},
                ]
            },
            "random-7 bans other ids than 'token-7'",
        ),
        ({"candidates": [_TOKEN | {"same_as": "token-7"}]}, "token-7 bans other ids"),
    ],
)
def test_a_damaged_plan_is_named(screen, change, says):
    file = screen.run.path / FOLDER / PLAN
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(DamagedRun, match=says):
        Screen.open(screen.run.path)


def test_a_plan_of_another_version_is_refused(screen):
    file = screen.run.path / FOLDER / PLAN
    file.write_text(json.dumps(json.loads(file.read_text()) | {"schema_version": 2}))
    with pytest.raises(SchemaMismatch, match="reads 1"):
        Screen.open(screen.run.path)
    file.write_text("no plan")
    with pytest.raises(DamagedRun, match="no plan"):
        Screen.open(screen.run.path)


def test_damaged_tables_are_named(screen):
    folder = screen.run.path / FOLDER
    (folder / "outcomes" / "token-7.parquet").write_bytes(b"PAR1")
    with pytest.raises(DamagedRun, match=r"token-7\.parquet"):
        screen.outcomes("token-7")
    plan = ScreenPlan.from_json((folder / PLAN).read_bytes(), folder / PLAN)
    ScreenWriter(screen.run.path, plan).write_baseline(np.ones((3, 4), bool), [[1]] * 12)
    with pytest.raises(DamagedRun, match="12 rows that are not 12 problems × 4"):
        _ = Screen.open(screen.run.path).baseline


@pytest.mark.parametrize("change", ["branch", "beyond", "before", "twice", "problem", "other ids"])
def test_outcomes_that_cannot_be_of_this_baseline_are_refused(screen, change):
    """Those of another screen, under the name of one of ours."""
    old = screen.outcomes("token-7")
    rows = {n: getattr(old, n).copy() for n in old._fields[:6]}
    rows |= {"sham_correct": old.sham_correct, "ids": [None] * len(old.branch)}
    key = "token-8" if change == "other ids" else "token-7"
    if change == "branch":
        first = screen.baseline.texts[int(old.problem[0] * 4 + old.rollout[0])]
        rows["branch"][0] = next(t for t, i in enumerate(first) if i != 7)
    elif change in ("beyond", "before"):
        rows["branch"][-1] = 10_000 if change == "beyond" else -1
    elif change == "twice":
        for name in ("problem", "rollout", "branch"):
            rows[name][1] = rows[name][0]
    elif change == "problem":
        rows["problem"][-1] = 12
    ScreenWriter(screen.run.path, screen.plan).write_outcomes(key, rows)
    said = {"before": "has 1 of .* below 0", "twice": "has 1 of .* twice"}.get(change, "speaks of")
    with pytest.raises(DamagedRun, match=rf"{key}\.parquet {said}"):
        screen.outcomes(key)


def test_problems_of_another_screen_are_refused(screen):
    ScreenWriter(screen.run.path, screen.plan).write_problems(["p"] * 11, ["1"] * 11)
    with pytest.raises(DamagedRun, match="does not hold 12 problems"):
        _ = Screen.open(screen.run.path).problems


@pytest.mark.parametrize("seed", range(3))
def test_a_file_with_a_few_wrong_bytes_is_read_or_refused(screen, seed):
    """Whatever they are: a page shows the error of a screen, and no other."""
    rng = np.random.default_rng(seed)
    for file in [f for f in screen.folder.rglob("*") if f.is_file()]:
        whole = file.read_bytes()
        for _ in range(25):
            hurt = bytearray(whole)
            for place in rng.integers(0, len(whole), int(rng.integers(1, 4))):
                hurt[place] = rng.integers(256)
            file.write_bytes(hurt)
            with suppress(RockError):
                again = Screen.open(screen.run.path)
                assert len(again.problems["prompt"]) == again.plan.problems
                for candidate in again.finished:
                    outcomes = again.outcomes(candidate.key)
                    assert len(again.baseline.texts) == again.baseline.correct.size
                    assert len(outcomes.texts) == len(outcomes.branch)
        file.write_bytes(whole)
