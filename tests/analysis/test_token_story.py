"""One token type: its verdict against the report, its course against a sum by hand, what would have
been said instead, and the search over all types.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rockcore.analysis.token_arms import not_trained
from rockcore.analysis.token_history import history
from rockcore.analysis.token_instead import instead
from rockcore.analysis.token_search import Spellings, Standing, beside
from rockcore.analysis.token_story import TokenStory
from rockcore.analysis.token_verdict import judge_type, most_similar
from rockcore.log import Run, comparisons, sample_runs
from rockcore.log.holdings import NotLogged
from rockcore.rocks import Examined, RockRule
from rockcore.schema import Texts
from rockcore.stats import Interval

RunFactory = Callable[..., Path]
WAIT = 603
LENIENT = RockRule.from_short("lenient;even_share=0;gamma=0.125;min_jaccard=0;tau_quantile=0.5")


@pytest.fixture(scope="module")
def habit() -> Examined:
    return Examined(Run.open(sample_runs() / "habit"))


@pytest.fixture(scope="module")
def skill() -> Examined:
    return Examined(Run.open(sample_runs() / "skill"))


def test_the_verdict_of_each_type_agrees_with_the_report(habit: Examined) -> None:
    for row in habit.report.tokens.itertuples():
        found = judge_type(habit, row.token_id)
        high, recurring, last = (gate.passed for gate in found.gates)
        assert (high, recurring) == (row.persistent > 0, row.consistent > 0)
        assert found.in_set == last == row.in_set
        assert ("is a Rock Token" in found.sentence) == row.in_set
        assert f"{int(row.persistent)} of {row.frequency}" in found.sentence


def test_the_sentence_on_a_rock_token_counts_each_gate(habit: Examined) -> None:
    row = habit.report.tokens.set_index("token_id").loc[WAIT]
    k = len(habit.report.ids)
    said = judge_type(habit, WAIT).sentence
    assert said.startswith("Wait is a Rock Token: ")
    assert f"{int(row.persistent)} of {row.frequency} occurrences are high before (step 0)" in said
    assert f"τ = {habit.report.rule.tau_post:.3g} nats" in said
    assert f"{int(row.consistent)} recur in similar contexts; rank {k} of {k} in the set" in said


def test_the_first_type_below_the_set_is_told_its_share_and_what_is_asked_for(
    habit: Examined,
) -> None:
    report = habit.report
    row = report.tokens.iloc[len(report.ids)]
    said = judge_type(habit, int(row.token_id)).sentence
    share = row.score / report.tokens.rock_score.sum()
    assert f"{share:.1%}".replace("%", " %") in said
    assert f"asks for {1 / len(report.tokens):.1%}".replace("%", " %") in said


def test_a_type_that_is_never_high_is_told_how_near_it_comes(skill: Examined) -> None:
    said, rule = judge_type(skill, WAIT).sentence, skill.report.rule
    corpus = skill.material.last
    mine = corpus.token_id == WAIT
    before, after = corpus.losses[0][mine], corpus.losses[-1][mine]
    assert (
        f"{(before >= rule.tau_pre).sum()} before, {(after >= rule.tau_post).sum()} after" in said
    )
    assert f"closest stays at {np.minimum(before, after).max():.2g}" in said


def test_similar_occurrences_are_counted_as_the_detection_counts_them(habit: Examined) -> None:
    found = habit.detection
    assert found.candidates is not None and found.consistency is not None
    for place in range(0, len(habit.material.last.types), 9):
        of = found.consistency.similar[found.candidates.type == place]
        token = int(habit.material.last.types[place])
        assert most_similar(habit, token) == of.max(initial=0)


def test_where_halves_of_the_texts_disagree_that_is_the_reason() -> None:
    found = Examined(Run.open(sample_runs() / "hidden"))
    k = len(found.report.ids)
    assert k and found.report.chosen_by == "stability"
    said = judge_type(found, found.report.tokens.token_id.tolist()[k]).sentence
    assert f"where the set ends at {k}, as far as halves of the texts agree (Jaccard 0." in said


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("default;excluded_types=[603]", "the rule leaves this type out"),
        ("default;min_frequency=50", "it occurs 14 times, the rule asks for 50"),
        ("default;top_k=3", "the rule takes 3"),
        ("default;tau_rock=100", "the set asks for 100"),
        ("default;min_support=40", "none recurs: to any of them at most"),
        ('default;score="rock_score";top_k=2', "by R, where the set ends at 2"),
    ],
)
def test_what_keeps_a_type_out_is_named(rule: str, says: str, habit: Examined) -> None:
    said = judge_type(habit.under(RockRule.from_short(rule)), WAIT).sentence
    assert "is no Rock Token by this rule" in said and says in said


def test_what_cannot_be_told_is_not_denied(tiny_run: RunFactory) -> None:
    run = Run.open(tiny_run())
    bounds = Examined(run, replace(LENIENT, mode="bounds", top_k=3))
    token = bounds.report.ids[0]
    assert [gate.passed for gate in judge_type(bounds, token).gates][1:] == [None, True]
    single = Examined(run, replace(LENIENT, score="rock_score", mode="auto", post_step=0))
    with pytest.raises(ValueError):
        judge_type(single, token)


def test_a_type_that_occurs_nowhere_has_no_verdict_and_no_share(habit: Examined) -> None:
    absent = next(i for i in habit.run.vocab.token_id if i not in set(habit.report.tokens.token_id))
    story = TokenStory(habit, int(absent))
    assert story.verdict.gates == () and "does not occur" in story.verdict.sentence
    assert story.change == ""
    for part in ("share", "instead"):
        with pytest.raises(NotLogged):
            getattr(story, part)


def test_the_course_is_the_mean_at_each_step_and_resamples_texts(habit: Examined) -> None:
    found = history(habit.run, WAIT, Texts.FINAL)
    means = habit.run.type_means("probe/final").query(f"token_id == {WAIT}").set_index("step")
    assert found.frame["mean"].tolist() == pytest.approx(means["mean"][found.steps].tolist())
    assert (found.frame.low < found.frame["mean"]).all()
    assert (found.frame["mean"] < found.frame.high).all()
    texts = {r for r in range(96) if WAIT in habit.run.trace(0, r, "final").token_id.to_numpy()}
    assert set(found.frame.rollouts) == {len(texts)}
    few = history(habit.run, WAIT, Texts.FRESH).frame
    few = few.loc[few.rollouts < 4]
    assert few.low.isna().all() and few.high.isna().all()


def test_its_shares_are_those_of_the_report(habit: Examined) -> None:
    share = TokenStory(habit, WAIT).share
    row = habit.report.tokens.set_index("token_id").loc[WAIT]
    assert share.n == row.frequency and share.loss is not None and share.gradient is not None
    assert share.loss.value == pytest.approx(row.share)
    assert share.tokens.value == pytest.approx(row.frequency / share.of_tokens)
    assert share.loss.low < share.loss.value < share.loss.high
    assert isinstance(share.gradient, Interval)


def test_what_would_have_been_said_is_the_mean_over_the_places_that_have_it(
    habit: Examined,
) -> None:
    token = habit.report.ids[0]
    found = instead(habit.run, token)
    traces = [habit.run.trace(found.step, r, "final") for r in range(96)]
    places = pd.concat(t.loc[(t.token_id == token) & t.student_top_ids.notna()] for t in traces)
    assert found.n == len(places) > 0
    row = found.frame.iloc[0]
    for who in ("teacher", "student"):
        each = [
            np.exp(np.float64(logps))[list(ids).index(row.token_id)] if row.token_id in ids else 0
            for ids, logps in zip(places[f"{who}_top_ids"], places[f"{who}_top_logps"], strict=True)
        ]
        assert row[f"{who}_p"] == pytest.approx(np.mean(each), abs=1e-6)
        first = sum(ids[0] == row.token_id for ids in places[f"{who}_top_ids"])
        assert row[f"{who}_first"] == first
    assert found.frame.itself.sum() == 1


def test_a_search_gives_the_set_first_then_the_rest_by_rank(habit: Examined) -> None:
    spellings, standing = Spellings(habit.run.vocab), Standing.of_report(habit.report)
    hits, found = spellings.search("so", standing, 50)
    assert found == len(hits) and {"So", "␣So"} <= {hit.shown for hit in hits}
    inside = [hit.in_set for hit in hits]
    assert inside == sorted(inside, reverse=True) and inside[0]
    ranks = [hit.rank or 10**6 for hit in hits]
    assert ranks == sorted(ranks)
    assert [hit.shown for hit in spellings.search("␣wait", standing)[0]] == ["␣Wait"]
    assert spellings.search(str(WAIT), standing)[0][0].token_id == WAIT
    assert spellings.search("no such type", standing) == ([], 0)
    assert [hit.token_id for hit in spellings.search("", standing, 3)[0]] == habit.report.ids[:3]


def test_types_that_are_spelled_alike_find_each_other(habit: Examined) -> None:
    spellings, standing = Spellings(habit.run.vocab), Standing.of_report(habit.report)
    assert [hit.shown for hit in spellings.alike(WAIT, standing)] == ["␣Wait"]
    other = spellings.alike(WAIT, standing)[0].token_id
    assert [hit.token_id for hit in spellings.alike(other, standing)] == [WAIT]


def test_without_a_rule_types_stand_by_their_summed_loss(habit: Examined) -> None:
    standing = Standing.of_run(habit.run)
    sums = habit.run.type_sums("probe/final")
    last = sums.loc[sums.step == sums.step.max()].sort_values("kl_sum", ascending=False)
    assert list(standing.place) == last.token_id.tolist() and not standing.in_set


def test_its_neighbours_are_those_of_the_ranking(habit: Examined) -> None:
    ids = habit.report.tokens.token_id.tolist()
    assert beside(habit.report, ids[1]) == (ids[0], ids[2])
    assert beside(habit.report, ids[0]) == (None, ids[1])
    assert beside(habit.report, ids[-1]) == (ids[-2], None)


def test_a_comparison_of_arms_speaks_of_the_types_of_its_set_alone(habit: Examined) -> None:
    found = {"habit": comparisons.read(sample_runs() / "arms" / "habit")}
    one = not_trained(habit.run, WAIT, found)[0]
    assert one.types == 7 and one.same_models and {*one.rows.arm} == {"rock-freeze"}
    assert any("sampled accuracy: +2.0 points" in line for line in one.sentences)
    assert not_trained(habit.run, 627, found) == []
    other = Run.open(sample_runs() / "smollm2")  # the same id, of another text
    assert not_trained(other, WAIT, found) == []
