"""Which tokens a screen knocks out, on the bundled run: by score, by name, with their windows."""

from __future__ import annotations

import numpy as np
import pytest

from rockcore.analysis.knockout_candidates import (
    BadCandidates,
    Wanted,
    choose,
    joined,
    named_ids,
    spellings,
)
from rockcore.log import Run, sample_runs
from rockcore.rocks.examined import Examined
from rockcore.schema.screen import Candidate


@pytest.fixture(scope="module")
def run() -> Run:
    return Run.open(sample_runs() / "habit")


@pytest.fixture(scope="module")
def chosen(run):
    return choose(run, Wanted(count=30, random=8))


def of(chosen, kind: str) -> dict[int, Candidate]:
    return {c.token_id: c for c in chosen if c.kind == kind}


def test_by_score_are_the_set_and_what_follows(run, chosen):
    tokens = Examined(run).report.tokens
    alone = of(chosen, "token")
    assert len(alone) == 30
    assert [i for i, c in alone.items() if c.source == "set"] == tokens.token_id[
        tokens.in_set
    ].tolist()
    special = set(run.vocab.token_id[run.vocab.special])
    expected = [i for i in tokens.token_id if i not in special][:30]
    assert set(alone) == set(expected)


def test_a_window_holds_its_token_and_rock_tokens_that_stand_near_it(run, chosen):
    rocks = {i for i, c in of(chosen, "token").items() if c.source == "set"}
    corpus = Examined(run).material.last
    for v, candidate in of(chosen, "window").items():
        assert {v} < set(candidate.ids) <= rocks | {v}
        for other in set(candidate.ids) - {v}:  # at most eight tokens away, in some rollout
            a, b = (np.flatnonzero(corpus.token_id == i) for i in (v, other))
            near = np.abs(a[:, None] - b).min()
            assert near <= 8


def test_random_types_are_no_candidates_and_as_frequent_as_one(run, chosen):
    drawn, ours = of(chosen, "random"), of(chosen, "token")
    frequency = Examined(run).report.tokens.set_index("token_id").frequency
    assert len(drawn) == 8 and not drawn.keys() & ours.keys()
    for i in drawn:
        ratio = np.abs(np.log(frequency[list(ours)] / frequency[i])).min()
        assert ratio < np.log(1.5)


def test_a_count_below_the_size_of_the_set_is_kept_to(run):
    tokens = Examined(run).report.tokens
    whole = choose(run, Wanted(random=0))
    every = of(whole, "token")
    assert len(every) == 50 and set(every) >= set(tokens.token_id[tokens.in_set])
    assert of(whole, "window")
    for count in (2, 6):
        chosen = choose(run, Wanted(count=count, random=0))
        assert list(of(chosen, "token")) == tokens.token_id[tokens.in_set].tolist()[:count]
        windows = {i: c.ids for i, c in of(whole, "window").items() if i in of(chosen, "token")}
        assert {i: c.ids for i, c in of(chosen, "window").items()} == windows


def test_random_types_beside_named_ones_are_no_rocks(run):
    tokens = Examined(run).report.tokens
    rocks = tokens.token_id[tokens.in_set].tolist()
    drawn = of(choose(run, Wanted(names=(str(rocks[0]),), random=1)), "random")
    assert len(drawn) == 1 and not drawn.keys() & set(rocks)
    few = of(choose(run, Wanted(count=2, random=5)), "random")
    assert not few.keys() & set(rocks)


def test_the_same_is_chosen_twice_and_nothing_is_asked_twice(run, chosen):
    assert choose(run, Wanted(count=30, random=8)) == chosen
    own = [c.ids for c in chosen if not c.same_as]
    assert len(own) == len(set(own)) and len({c.key for c in chosen}) == len(chosen)
    by_key = {c.key: c for c in chosen}
    for c in chosen:
        if c.same_as:
            assert by_key[c.same_as].ids == c.ids and not by_key[c.same_as].same_as


def test_more_candidates_never_change_those_that_are_there(chosen):
    more = [Candidate("token-9", "token", 9, (9,)), Candidate("window-9", "window", 9, (5, 9))]
    longer = joined(chosen, [*more, *chosen])
    assert longer[: len(chosen)] == chosen and len(longer) == len(chosen) + 2
    twin = Candidate("steered-8", "steered", 8, (5, 9))
    assert joined(longer, [twin])[-1].same_as == "window-9"


def test_names_are_ids_texts_or_quoted_texts(run):
    texts = run.vocab.set_index("token_id").token
    seven = next(i for i in texts.index if texts[i] == "7")
    line = next(i for i in texts.index if texts[i] == "\n")
    assert named_ids(run, ["7", '"7"', '"\\n"', " So", "7"])[:3] == (7, seven, line)
    for name, says in (
        (str(len(texts)), "outside the vocabulary"),
        ("-3", "outside the vocabulary"),
        ("", "is no single token"),
        ("wAIT", "There is "),
        ("nothing alike", "as rockcore rocks prints it"),
    ):
        with pytest.raises(BadCandidates, match=says):
            named_ids(run, [name])


def test_spellings_differ_in_white_space_and_the_first_letter_alone(run):
    texts, alike = run.vocab.set_index("token_id").token, spellings(run.vocab)
    for i, group in alike.items():
        assert i in group
        cores = {texts[j].strip() for j in group}
        assert len({c[0].lower() + c[1:] for c in cores}) == 1
    special = set(run.vocab.token_id[run.vocab.special])
    assert not special & alike.keys()
    assert not {i for i in alike if not texts[i].strip()}
