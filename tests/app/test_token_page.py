"""The page of one token: what it says of a type, where its links lead, and of a run that
cannot tell.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import HOSTILE
from pages import RunFactory, words
from streamlit.testing.v1 import AppTest
from test_odd_runs import shown, stands

from app import data
from rockcore.cli import main
from rockcore.log import Run, sample_runs
from rockcore.rocks import Examined
from rockcore.rocks.rockset import RockSet
from rockcore.rocks.rule import RockRule

HABIT, SKILL = sample_runs() / "habit", sample_runs() / "skill"
WAIT = "603"


def links(app: AppTest, page: str) -> list[dict[str, str]]:
    """What the links to a page carry."""
    found = []
    for link in app.get("page_link"):
        if link.proto.page == page:
            pairs = (part.split("=", 1) for part in link.proto.query_string.split("&"))
            found.append(dict(pairs))
    return found


def plain(app: AppTest) -> str:
    return shown(app).replace("\\", "")


def test_a_link_to_a_rock_token_says_that_it_is_one_and_why(open_app) -> None:
    app = open_app("token", HABIT, token=WAIT)
    stands(app)
    verdict = data.token.verdict(data.runs.key(str(HABIT)), RockRule(), int(WAIT)).sentence
    assert "Wait is a Rock Token" in verdict and f"**{verdict}**" in plain(app)
    assert WAIT in app.query_params["token"]


def test_each_place_opens_trace_at_the_token(open_app) -> None:
    app = open_app("token", HABIT, token=WAIT)
    places = [link for link in links(app, "trace") if "token_at" in link]
    assert places
    run = Run.open(HABIT)
    for link in places:
        trace = run.trace(int(link["step"]), int(link["rollout"]), link["source"])
        assert trace.token_id[int(link["token_at"])] == int(WAIT)


def test_the_neighbours_in_rank_and_spelling_lead_to_their_own_pages(open_app) -> None:
    app = open_app("token", HABIT, token=WAIT)
    ids = Examined(Run.open(HABIT)).report.tokens.token_id.tolist()
    at = ids.index(int(WAIT))
    linked = [int(link["token"]) for link in links(app, "token")]
    assert linked == [ids[at - 1], ids[at + 1], 421]


def test_a_type_outside_a_run_without_a_set_is_told_so(open_app) -> None:
    app = open_app("token", SKILL, token="28")
    stands(app)
    assert "8 is no Rock Token by this rule" in plain(app) and "no set" in plain(app)


def test_a_type_that_never_occurs_has_a_page_all_the_same(open_app) -> None:
    app = open_app("token", HABIT, token="5")
    stands(app)
    assert "does not occur in the texts that the rule judges" in plain(app)
    assert "rockcore arms" in "\n".join(c.value for c in app.code)


@pytest.mark.parametrize("asked", ["99999", "x", "-1", "603.0"])
def test_an_id_that_is_none_is_named_and_the_first_of_the_ranking_shown(
    asked: str, open_app
) -> None:
    app = open_app("token", HABIT, token=asked)
    stands(app)
    assert f"the link asks for {asked}" in words(app) and "id 420" in words(app)


def test_without_an_id_the_address_says_which_type_is_shown(open_app) -> None:
    app = open_app("token", HABIT)
    assert "id 420" in words(app) and "420" in str(app.query_params["token"])


def test_the_command_for_what_was_not_measured_writes_a_set_that_arms_take(
    open_app, tiny_run: RunFactory, capsys: pytest.CaptureFixture
) -> None:
    run = tiny_run()
    app = open_app("token", run, rule="default;tau_quantile=0.5;top_k=3")
    [first] = [c.value.splitlines()[0] for c in app.code if "rockcore arms" in c.value]
    command, _, file = first.partition(" > ")
    assert file == "set.json"
    capsys.readouterr()
    main(shlex.split(command)[1:])
    found = RockSet.from_json(capsys.readouterr().out)
    assert found.rule.tau_quantile == 0.5 and found.fingerprint == Run.open(run).fingerprint()


def test_a_rule_that_cannot_be_read_is_told_and_nothing_breaks(open_app) -> None:
    app = open_app("token", HABIT, token=WAIT, rule="default;gamma=7")
    assert not app.exception and "gamma = 7" in words(app)


@pytest.mark.parametrize("mode", ["bounds", "matched"])
def test_what_texts_that_differ_cannot_tell_is_called_unknown(
    mode: str, open_app, tiny_run: RunFactory
) -> None:
    run = tiny_run()
    first = Examined(Run.open(run), RockRule(mode=mode, top_k=3)).report.tokens.token_id[0]
    app = open_app("token", run, token=str(first), rule=f"default;mode={mode};top_k=3")
    stands(app)
    assert ("unknown" in plain(app)) == (mode == "bounds")


def test_hostile_spellings_are_shown_as_they_are(
    open_app: Callable[..., AppTest], tiny_run: RunFactory
) -> None:
    run: Path = tiny_run()
    vocab = Run.open(run).vocab.set_index("token").token_id
    for text in HOSTILE[:3]:
        app = open_app("token", run, token=str(vocab[text]))
        assert not app.exception
        assert not any("<" in str(e.value).replace("\\<", "") for e in (*app.markdown, *app.title))
