"""What the page Learn computes, held against theory: draws against the KL, and what nothing looks
like.
"""

from __future__ import annotations

import numpy as np
import pytest

from rockcore.analysis import lessons, lessons_null, texts
from rockcore.analysis.lessons_course import ALL, OTHERS, ROCKS, course_of_set
from rockcore.log import Run, sample_runs
from rockcore.rocks import Examined, RockRule

NAMES = ("habit", "hidden", "skill", "smollm2")


@pytest.fixture(scope="module")
def examined() -> dict[str, Examined]:
    return {name: Examined(Run.open(sample_runs() / name), RockRule()) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_the_mean_of_many_draws_is_the_kl_and_some_of_them_are_negative(name: str, examined):
    at = lessons.chosen(examined[name])
    drawn = lessons.draw(at, 50_000, seed=1)
    assert abs(drawn.mean[-1] - at.exact) < 4 * drawn.stderr
    assert abs(drawn.negative / 50_000 - at.negative) < 0.01 and at.negative > 0.05
    assert lessons.draw(at, seed=3).loss.tolist() == lessons.draw(at, seed=3).loss.tolist()


@pytest.mark.parametrize("name", NAMES)
def test_the_outcomes_tell_nearly_all_of_the_logged_kl(name: str, examined):
    at = lessons.chosen(examined[name])
    assert at.student.sum() == pytest.approx(1) and at.teacher.sum() == pytest.approx(1)
    assert at.exact == pytest.approx(at.kl, rel=0.05)
    assert at.mark == (3 if examined[name].report.ids else at.mark)
    frame = examined[name].run.trace(at.step, at.rollout, at.texts.probe_set)
    assert frame.token_id[at.position] == at.token_id
    told = texts.divergences(frame).reverse_kl[at.position]
    assert at.exact == pytest.approx(told, rel=1e-3)


def test_a_place_over_the_steps_has_the_logged_kl_at_each(examined):
    found = examined["habit"]
    at = lessons.chosen(found)
    frame = lessons.over_steps(found.run, at)
    steps, kl_ST = found.run.over_steps(at.rollout, at.texts.probe_set)
    kl = frame.drop_duplicates("step").kl.to_numpy()
    assert frame.step.unique().tolist() == steps
    assert kl == pytest.approx(kl_ST[:, at.position], rel=1e-6)
    last = frame[frame.step == at.step]
    assert last.student[last.token_id == at.token_id].item() == pytest.approx(
        at.student[at.ids == at.token_id].item(), rel=1e-3
    )


def test_the_sampled_losses_of_a_run_are_often_negative_and_right_on_average(examined):
    for name in NAMES:
        found = lessons.one_sample(examined[name].run)
        assert found is not None and found.kl is not None
        assert found.negative > found.tokens / 4
        spread = np.hypot(found.sampled_loss.stderr, found.kl.stderr)
        assert abs(found.sampled_loss.mean - found.kl.mean) < 4 * spread


@pytest.mark.parametrize("name", NAMES)
def test_where_one_student_is_on_both_sides_the_sound_interval_holds_0_and_the_easy_one_falls(
    name: str, examined
):
    found = lessons_null.deals(examined[name], 60)
    assert found.sound_misses <= 8, "3 are expected of 60; 9 in one log of a thousand"
    assert found.naive_falls >= 36


def test_it_would_miss_a_fall_that_is_there(examined, monkeypatch: pytest.MonkeyPatch):
    """The sound interval is no wider than it has to be: a fall to a fifth is seen."""
    part = lessons_null._part
    calls = iter(range(1000))

    def fallen(corpus, rollouts):
        found = part(corpus, rollouts)
        if next(calls) % 2:
            found.losses[0][:] *= 0.2
        return found

    monkeypatch.setattr(lessons_null, "_part", fallen)
    assert lessons_null.deals(examined["habit"], 20).sound_misses >= 15


@pytest.mark.parametrize("name", NAMES)
def test_shuffled_losses_make_no_rocks_but_by_the_easy_density(name: str, examined):
    found = lessons_null.losses_dealt_anew(examined[name])
    assert found.by_type > 0.1
    assert found.by_occurrence <= found.chance < 0.01


def test_a_shared_baseline_makes_a_sign_test_wrong_and_one_of_its_own_does_not():
    found = lessons_null.rejections(200)
    assert found.naive > 40 and found.sound <= 18  # 10 of 200 at 5 %


def test_too_few_texts_are_refused(tiny_run):
    with pytest.raises(lessons_null.TooFewTexts, match="texts at its last checkpoint"):
        lessons_null.same_student_twice(Examined(Run.open(tiny_run()), RockRule()))


@pytest.mark.parametrize("name", NAMES)
def test_the_course_of_a_set_and_of_the_others_adds_up_to_that_of_all(name: str, examined):
    found = examined[name]
    frame = course_of_set(found)
    assert set(frame.who) == ({ROCKS, OTHERS} if found.report.ids else {ALL})
    last = frame[frame.step == found.report.steps[-1]]
    losses = found.material.last.losses[-1]
    assert last.tokens.sum() == len(losses)
    assert (last.tokens * last["mean"]).sum() == pytest.approx(float(losses.sum()), rel=1e-4)
    assert (frame.low <= frame["mean"]).all() and (frame["mean"] <= frame.high).all()
