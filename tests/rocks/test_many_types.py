"""More token types than a table shows: every one can still be found, and linked to."""

from __future__ import annotations

from pathlib import Path

import brute
import pytest
from brute import Log
from pages import words

TYPES = 2_500


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """Each rollout holds every type once; the loss falls with the token id."""
    path = tmp_path_factory.mktemp("runs") / "many"
    loss = [1.0 - i / TYPES for i in range(TYPES)]
    log = Log([list(range(TYPES))] * 2, [[loss] * 2] * 2)
    fresh = [Log(log.tokens, [losses]) for losses in log.losses]
    return brute.write(path, log, fresh).path


def test_rock_tokens_shows_the_first_types_and_says_so(run, open_app):
    app = open_app("rock_tokens", run, rule='paper;score="rock_score"')
    assert not app.exception
    assert f"{TYPES:,} of {TYPES:,} types, the first 1,000 shown" in words(app)
    assert len(app.dataframe[0].value) == 1_000


@pytest.mark.parametrize("token", [0, 999, 1_000, TYPES - 1])
def test_a_link_to_any_type_shows_its_contexts(token, run, open_app):
    app = open_app("token", run, rule='paper;score="rock_score"', token=str(token))
    assert not app.exception and f"id {token}]" in app.title[0].value
    contexts = next(d.value for d in app.dataframe if "verdict" in d.value.columns)
    assert contexts.shown.tolist() == [f"␣w{token}"] * 2
    assert dict(app.query_params)["token"] == str(token)


@pytest.mark.parametrize("token", ["-1", "nonsense", str(TYPES), "99999999999999", "²"])
def test_a_link_to_a_type_that_is_not_there_shows_the_first(token, run, open_app):
    app = open_app("token", run, rule='paper;score="rock_score"', token=token)
    assert not app.exception and "id 0]" in app.title[0].value
    assert f"the link asks for {token}" in words(app).replace("\\", "")


def test_search_reaches_a_type_beyond_the_table(run, open_app):
    app = open_app("rock_tokens", run, rule='paper;score="rock_score"', find=f"w{TYPES - 1}")
    assert app.dataframe[0].value.token_id.tolist() == [TYPES - 1]
