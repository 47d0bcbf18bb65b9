"""What a comparison of arms says, against brute force over its runs; and what it says of runs that
are missing or damaged.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from conftest import STEPS
from scipy import stats
from small_arms import ARMS, ROCK_IDS, change, write_small_arms

from rockcore.analysis import arms, arms_texts
from rockcore.analysis.crossed import crossed_mean
from rockcore.log import comparisons
from rockcore.log.arms import ArmsFolder, BadPlan, Cell, NoArms, find_arms
from rockcore.log.comparisons import Comparison, NotCompared
from rockcore.schema import DamagedRun
from rockcore.schema.comparison import ABOUT, COMPARISON


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ArmsFolder:
    return write_small_arms(tmp_path_factory.mktemp("arms") / "small")


@pytest.fixture(scope="module")
def found(folder: ArmsFolder) -> Comparison:
    return arms.compare(folder)


def read(run: Path, table: str) -> pd.DataFrame:
    return pd.concat(pq.read_table(f).to_pandas() for f in sorted((run / table).glob("step=*")))


def cells(folder: ArmsFolder, arm: str) -> list[Path]:
    return [folder.run(Cell(arm, seed)) for seed in folder.plan.seeds]


def only(frame: pd.DataFrame, **where: object) -> pd.Series:
    for column, value in where.items():
        frame = frame[frame[column] == value]
    assert len(frame) == 1
    return frame.iloc[0]


def answers(run: Path, step: int, decoding: str) -> np.ndarray:
    graded = read(run, "evals")
    graded = graded[(graded.step == step) & (graded.decoding == decoding)]
    return graded.sort_values("problem_id").correct.to_numpy(float)


@pytest.mark.parametrize("decoding", ["greedy", "sampled"])
@pytest.mark.parametrize("arm", ARMS)
def test_accuracy_is_the_share_of_right_answers_over_seeds(folder, found, arm, decoding):
    for step in STEPS:
        right = np.stack([answers(run, step, decoding) for run in cells(folder, arm)])
        row = only(found.accuracy, arm=arm, decoding=decoding, step=step)
        assert np.isclose(row.accuracy, right.mean())
        assert (row.seeds, row.problems) == right.shape
        assert 0 <= row.low <= row.accuracy <= row.high <= 1


@pytest.mark.parametrize("decoding", ["greedy", "sampled"])
@pytest.mark.parametrize("arm", ARMS[1:])
def test_a_test_is_of_the_paired_differences_at_the_last_milestone(folder, found, arm, decoding):
    mine, base = (
        np.stack([answers(run, STEPS[-1], decoding) for run in cells(folder, name)])
        for name in (arm, "baseline")
    )
    row, expected = only(found.tests, arm=arm, measure=decoding), crossed_mean(mine - base)
    assert np.isclose(row.difference, mine.mean() - base.mean())
    assert np.isclose(row.p, expected.p) and np.isclose(row.low, expected.low)


def test_the_difference_is_told_at_every_milestone_and_tested_at_the_last(folder, found):
    for arm in ARMS[1:]:
        for step in STEPS:
            mine, base = (
                np.stack([answers(run, step, "sampled") for run in cells(folder, name)])
                for name in (arm, "baseline")
            )
            row = only(found.differences, arm=arm, measure="sampled", step=step)
            assert np.isclose(row.difference, (mine - base).mean())
        test = only(found.tests, arm=arm, measure="sampled")
        assert (row.difference, row.low, row.high) == (test.difference, test.low, test.high)


def test_p_is_corrected_over_the_arms_within_each_measure(found):
    for _, rows in found.tests.groupby("measure"):
        p = np.sort(rows.p.to_numpy())
        assert len(p) == 2
        np.testing.assert_allclose(
            np.sort(rows.p_holm), [min(1, 2 * p[0]), min(1, max(2 * p[0], p[1]))]
        )


@pytest.mark.parametrize("arm", ARMS)
def test_the_kl_of_fixed_texts_is_the_mean_of_each_text(folder, found, arm):
    for step in STEPS:
        probes = [read(run, "probe/first") for run in cells(folder, arm)]
        means = [p[p.step == step].groupby("rollout_id").kl.mean().to_numpy() for p in probes]
        row = only(found.text_kl, arm=arm, step=step)
        assert np.isclose(row.kl, np.mean(means), rtol=1e-5) and row.texts == len(means[0])


@pytest.mark.parametrize(("tokens", "inside"), [("rocks", True), ("others", False)])
@pytest.mark.parametrize("arm", ARMS)
def test_the_kl_of_the_rocks_is_apart_from_that_of_the_others(folder, found, arm, tokens, inside):
    kl = []
    for run in cells(folder, arm):
        probe = read(run, "probe/first")
        probe = probe[probe.token_id.isin(ROCK_IDS) == inside]
        kl.append(probe.groupby("step").kl.mean())
    for step in STEPS:
        values = np.array([k[step] for k in kl])
        row = only(found.rock_kl, arm=arm, step=step, tokens=tokens)
        assert np.isclose(row.kl, values.mean(), rtol=1e-5)
        assert np.isclose(row.change, (values - [k[STEPS[0]] for k in kl]).mean(), atol=1e-6)
    change = values - np.array([k[STEPS[0]] for k in kl])
    expected = stats.ttest_1samp(change, 0).confidence_interval(0.95)
    np.testing.assert_allclose((row.change_low, row.change_high), expected, atol=1e-6)


def test_an_arm_trains_on_the_tokens_that_it_does_not_leave_out(folder, found):
    for arm in ARMS:
        weights = [read(run, "tokens") for run in cells(folder, arm)]
        weights = [w[w.step < STEPS[-1]].weight for w in weights]
        row = only(found.costs, arm=arm)
        assert np.isclose(row.tokens, np.mean([len(w) for w in weights]))
        assert np.isclose(row.trained, np.mean([(w > 0).sum() for w in weights]))
        assert np.isclose(row.left_out, 1 - row.trained / row.tokens)
    assert only(found.costs, arm="rock-freeze").left_out > 0
    assert only(found.costs, arm="baseline").left_out == 0


def test_time_is_that_of_the_phases_without_the_log(found):
    row = only(found.costs, arm="baseline")
    assert np.isclose(row.step_s, row.sample_s + row.teacher_s + row.student_s + row.update_s)
    assert np.isclose(row.seconds, 2 * row.step_s)  # two of the three steps have an update
    after = only(found.accuracy, arm="baseline", decoding="greedy", step=STEPS[-1])
    assert np.isclose(after.seconds, row.seconds)


def test_what_was_spent_until_a_milestone_is_what_the_steps_before_it_took(folder, found):
    for arm in ARMS:
        for step in STEPS:
            row = only(found.accuracy, arm=arm, decoding="sampled", step=step)
            trained = [read(run, "tokens") for run in cells(folder, arm)]
            spent = [((t.step < step) & (t.weight > 0)).sum() for t in trained]
            assert np.isclose(row.trained, np.mean(spent))
            assert np.isclose(row.seconds, 1.35 * STEPS.index(step))


def test_the_weights_of_types_are_means_over_seeds(found):
    rows = found.weights.sort_values("step")
    assert set(rows.arm) == {"dynamic"} and set(rows.token_id) == {ROCK_IDS[0]}
    np.testing.assert_allclose(rows.weight, [1.0, 0.5, np.mean([0.5, 0.25, 0.5 / 3])])
    assert np.isclose(rows.lowest.iloc[-1], 0.5 / 3) and np.isclose(rows.highest.iloc[-1], 0.5)


def test_the_kept_texts_are_those_of_one_seed_with_the_weights_of_the_log(folder, found):
    (seed,), (step,) = set(found.texts.seed), set(found.texts.step)
    assert step < STEPS[-1]  # no update follows the last
    for arm in ARMS:
        logged = read(folder.run(Cell(arm, seed)), "tokens").query(f"step == {step}")
        for rollout in range(arms_texts.TEXTS):
            text = arms_texts.written(found, arm, rollout)
            own = logged[logged.rollout_id == rollout].sort_values("position")
            assert text and text.text.token_id.tolist() == own.token_id.tolist()
            np.testing.assert_allclose(text.readings.signals["weight"], own.weight)
            assert text.left_out == (own.weight == 0).sum()
            assert text.lighter == ((own.weight > 0) & (own.weight < 1)).sum()
    assert arms_texts.written(found, "soft", 0) is None


def test_a_comparison_comes_back_from_disk_as_it_was_written(folder, found):
    comparisons.write(folder, found)
    back = comparisons.read(folder.path)
    assert back.about == found.about and back.plan == folder.plan
    for name, columns in COMPARISON.items():
        assert list(back.tables[name]) == list(columns)
        assert len(back.tables[name]) == len(found.tables[name])
        for column in columns:
            a, b = back.tables[name][column].tolist(), found.tables[name][column].tolist()
            assert a == pytest.approx(b, nan_ok=True), (name, column)


def test_a_comparison_can_be_shown_without_its_runs(folder, found, tmp_path):
    comparisons.write(folder, found)
    alone = tmp_path / "alone"
    shutil.copytree(folder.path, alone, ignore=lambda _, names: {"runs"} & {*names})
    assert comparisons.read(alone).about == found.about
    assert find_arms([tmp_path]) == [alone.resolve()] == find_arms([alone])
    before = comparisons.fingerprint(alone)
    (alone / "comparison" / "comparison.json").write_text("{")
    assert comparisons.fingerprint(alone) != before
    with pytest.raises(NotCompared, match="rockcore compare-arms"):
        comparisons.read(alone)


def test_a_table_that_is_damaged_or_gone_is_told_with_the_way_to_write_it_again(
    folder, found, tmp_path
):
    comparisons.write(folder, found)
    for i, spoil in enumerate((Path.unlink, lambda file: file.write_bytes(b"PAR1"))):
        copy = tmp_path / str(i)
        shutil.copytree(folder.path, copy)
        spoil(copy / "comparison" / "tests.parquet")
        with pytest.raises(NotCompared, match="tests.*rockcore compare-arms"):
            comparisons.read(copy)


@pytest.mark.parametrize("value", [None, 3, "absent"])
@pytest.mark.parametrize("name", list(ABOUT))
def test_a_comparison_of_another_version_is_told(folder, found, tmp_path, name, value):
    comparisons.write(folder, found)
    assert set(found.about) == set(ABOUT)
    copy = tmp_path / "copy"
    shutil.copytree(folder.path, copy, ignore=lambda _, names: {"runs"} & {*names})
    about = {k: v for k, v in found.about.items() if k != name or value != "absent"}
    if value != "absent":
        about[name] = value if ABOUT[name] is not int else str(value)
    (copy / "comparison" / "comparison.json").write_text(json.dumps(about))
    with pytest.raises(NotCompared, match=f"lacks {name}.*rockcore compare-arms"):
        comparisons.read(copy)


@pytest.fixture
def copy(folder, tmp_path) -> ArmsFolder:
    shutil.copytree(folder.path, tmp_path / "copy")
    return ArmsFolder.open(tmp_path / "copy")


def change_meta(run: Path, **changes: object) -> None:
    meta = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(meta | changes))


def test_runs_that_are_not_finished_are_left_out_and_named(copy):
    change_meta(copy.run(Cell("dynamic", 2)), status="stopped")
    shutil.rmtree(copy.run(Cell("rock-freeze", 3)))
    found = arms.compare(copy)
    assert found.about["missing"] == ["dynamic-2", "rock-freeze-3"]
    assert found.about["runs"] == 7
    assert any("2 of 9 runs are not finished" in note for note in found.about["notes"])
    assert only(found.tests, arm="dynamic", measure="greedy").seeds == 2
    assert {only(found.costs, arm=arm).seeds for arm in ARMS} == {2, 3}


def test_of_one_seed_nothing_is_tested(copy):
    for seed in (2, 3):
        shutil.rmtree(copy.run(Cell("dynamic", seed)))
    found = arms.compare(copy)
    row = only(found.tests, arm="dynamic", measure="sampled")
    assert np.isnan(row.p) and np.isnan(row.p_holm) and np.isfinite(row.low)
    assert any(
        v.startswith("dynamic is not tested") and "sampled accuracy" in v
        for v in found.about["verdicts"]
    )
    assert any("Fewer than two seeds of dynamic" in note for note in found.about["notes"])
    assert np.isclose(  # a family of one arm
        only(found.tests, arm="rock-freeze", measure="sampled").p_holm,
        only(found.tests, arm="rock-freeze", measure="sampled").p,
    )


def test_without_a_finished_baseline_there_is_no_test(copy):
    for seed in copy.plan.seeds:
        shutil.rmtree(copy.run(Cell("baseline", seed)))
    found = arms.compare(copy)
    assert found.tests.empty and found.about["verdicts"] == []
    assert set(found.accuracy.arm) == {"rock-freeze", "dynamic"}
    assert found.costs.saved.isna().all()


def test_where_nothing_is_finished_it_says_how_to_go_on(copy):
    shutil.rmtree(copy.path / "runs")
    with pytest.raises(arms.TooFew, match="None of the 9 runs.*rockcore arms --out"):
        arms.compare(copy)


def test_a_damaged_run_is_named(copy):
    run = copy.run(Cell("dynamic", 1))
    file = next((run / "evals").glob("*.parquet"))
    file.write_bytes(b"PAR1")
    with pytest.raises(DamagedRun, match="dynamic-1"):
        arms.compare(copy)


def test_a_folder_without_a_plan_says_how_to_make_one(tmp_path):
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(NoArms, match="rockcore arms --arms"):
            ArmsFolder.open(place)


@pytest.mark.parametrize(
    "changes",
    [{"arms": []}, {"arms": ["../x"]}, {"arms": ["a", "a"]}, {"seeds": [-1]}, {"seeds": ["1"]}]
    + [{"seeds": 3}, {"settings": []}, {"version": 2}, {"arms": ["baseline", "frozen"]}]
    + [{"settings": {"normaliser": "tokens"}}, {"scout_seed": "0"}]
    + [{"settings": {"steps": 9, "normaliser": "tokens", "speed": 1}}]
    + [{"settings": {"steps": "9", "normaliser": "tokens"}}, {"arms": "baseline"}],
    ids=str,
)
def test_a_plan_that_cannot_be_one_is_refused(copy, changes):
    data = json.loads((copy.path / "arms.json").read_text())
    (copy.path / "arms.json").write_text(json.dumps(data | changes))
    with pytest.raises(BadPlan, match="arms.json"):
        ArmsFolder.open(copy.path)


def test_times_of_different_machines_and_normalisers_are_noted(copy):
    change_meta(copy.run(Cell("dynamic", 1)), threads=2, normaliser="weights")
    notes = " ".join(arms.compare(copy).about["notes"])
    assert "different machines" in notes and "different normalisers" in notes


def test_runs_that_were_trained_side_by_side_are_noted(copy):
    def begun(minute: int) -> dict[str, str]:
        return {
            n: f"2026-01-01T10:{minute + at:02}:00Z" for n, at in (("started", 0), ("ended", 2))
        }

    for i, cell in enumerate(copy.plan.cells):
        change_meta(copy.run(cell), **begun(2 * i))
    assert not any("side by side" in note for note in arms.compare(copy).about["notes"])
    change_meta(copy.run(copy.plan.cells[3]), **begun(5))
    assert any("side by side" in note for note in arms.compare(copy).about["notes"])


def test_arms_whose_answers_do_not_differ_cannot_be_told_apart(copy):
    for seed in copy.plan.seeds:
        same = copy.run(Cell("dynamic", seed))
        shutil.rmtree(same)
        shutil.copytree(copy.run(Cell("baseline", seed)), same)
    found = arms.compare(copy)
    row = only(found.tests, arm="dynamic", measure="sampled")
    assert (row.difference, row.p) == (0.0, 1.0)
    assert any(
        v.startswith("dynamic cannot be told from the baseline") and "sampled accuracy" in v
        for v in found.about["verdicts"]
    )


def test_without_a_set_there_are_no_rocks_to_follow(copy):
    copy.rocks.unlink()
    found = arms.compare(ArmsFolder(copy.path, replace(copy.plan, scout_seed=None)))
    assert found.rock_kl.empty and "no arm here filters" in found.about["rocks_from"]


def test_the_bound_is_the_share_of_the_projection_times_what_is_left_out(copy):
    for cell in copy.plan.cells:
        for step in STEPS:
            change(copy.run(cell), "metrics", step, projection_s=0.27)
    rows = arms.compare(copy).costs
    np.testing.assert_allclose(rows.bound, 0.27 / 1.35 * rows.left_out)  # of 1.35 s without the log
    assert (rows.bound > 0).sum() == 1


def test_an_arm_that_trained_on_nothing_gains_nothing_by_its_tokens(copy):
    for cell in copy.plan.cells:
        for step in STEPS:
            if cell.arm == "rock-freeze":
                change(copy.run(cell), "metrics", step, trained=0)
    costs = arms.compare(copy).costs.set_index("arm")
    names = [name for name in costs if name.startswith("gain_per_million")]
    assert costs.loc["rock-freeze", names].isna().all()
    others = costs.drop(index="rock-freeze")
    assert np.isfinite(others[[n for n in costs if n.startswith("gain")]].to_numpy()).all()
