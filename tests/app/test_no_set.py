"""A run in which no set is stable, and one of a single checkpoint: every page that asks for Rock
Tokens says so in words, shows the ranking, and pretends nothing.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pages import RunFactory
from test_odd_runs import shown, stands

from rockcore.cli import main
from rockcore.log import sample_runs

SKILL = sample_runs() / "skill"
WHY = "disjoint halves of the 96 rollouts do not agree on"
# pages that show a set, with what makes them do so
ASK: dict[str, dict[str, str]] = {
    "trace": {"source": "final"},
    "steps": {"view": "type"},
    "gradients": {},
    "compare": {"run_b": "habit"},
    "rock_tokens": {},
    "threshold_lab": {},
}


@pytest.mark.parametrize("page", ASK)
def test_every_page_says_that_there_is_no_stable_set_and_why(page: str, open_app) -> None:
    places = (SKILL, sample_runs() / "habit") if page == "compare" else (SKILL,)
    app = open_app(page, *places, run="skill", **ASK[page])
    stands(app)
    text = shown(app).replace("\\", "")
    assert "No stable set. " in text and WHY in text


@pytest.mark.parametrize("page", ["rock_tokens", "threshold_lab"])
def test_without_a_set_there_is_no_number_of_it(page: str, open_app) -> None:
    app = open_app(page, SKILL)
    value = {m.label: m.value for m in app.metric}
    assert value["Rock Tokens K"] == "no set"
    densities = {v for label, v in value.items() if "density" in label}
    assert {value["Coverage"], value["Stability"], *densities} == {"–"}


def test_the_ranking_is_shown_and_called_unstable(open_app) -> None:
    app = open_app("rock_tokens", SKILL)
    table = app.dataframe[0].value
    assert len(table) == 129 and not table.in_set.any() and table.token_id.iloc[0] > 0
    assert "an unstable ranking: no stable set" in shown(app)
    app = open_app("steps", SKILL, view="type")
    assert len(app.dataframe[-1].value) == 40, "the types by score, in place of those of no set"


def test_the_command_line_says_so(capsys, tmp_path: Path) -> None:
    main(["rocks", str(SKILL)])
    out = " ".join(capsys.readouterr().out.split())
    assert "an unstable ranking" in out and "No stable set. " in out
    assert WHY in out and "K = 7 (" not in out and "●" not in out
    main(["compare", str(SKILL), str(sample_runs() / "habit")])
    out = " ".join(capsys.readouterr().out.split())
    assert "A: No stable set. " in out and "B: No stable set" not in out


def test_the_overview_calls_no_type_a_rock_for_its_score_alone(open_app) -> None:
    text = shown(open_app("overview", SKILL))
    assert "A high score alone is no Rock Token" in text and "counted as rocks" not in text


def one_checkpoint(run: Path) -> Path:
    """Fresh rollouts and the texts of the final student, at the last step only."""
    for table in ("tokens", "types", "rollouts", "probe/final", "probe/first"):
        for file in sorted((run / table).glob("step=*.parquet"))[:-1]:
            file.unlink()
    for file in (run / "probe/first").glob("step=*.parquet"):
        file.unlink()
    return run


ALONE = ["authors", 'default;score="rock_score"', 'default;score="mean_kl";top_k=3']


@pytest.mark.parametrize("page", ASK)
@pytest.mark.parametrize("rule", ALONE)
def test_one_checkpoint_is_ranked_by_what_needs_no_second_one(
    rule: str, page: str, open_app, tiny_run: RunFactory
) -> None:
    run = one_checkpoint(tiny_run("one"))
    places = (run, one_checkpoint(tiny_run("other", seed=1))) if page == "compare" else (run,)
    asks = ASK[page] | ({"run_b": "other"} if page == "compare" else {})
    app = open_app(page, *places, run="one", **asks, rule=rule)
    stands(app)
    text = shown(app)
    assert (
        "cannot be tried" not in text
        and "can be found here" not in text
        and "two checkpoints" not in text
    )
    if page in ("rock_tokens", "threshold_lab"):
        assert "There is one checkpoint, step 20" in text and "without persistence" in text
        assert "do not change this set" in text
    assert not re.search(r"steps 20|step 20 to|\d+ persistent", text)


@pytest.mark.parametrize("page", ["rock_tokens", "threshold_lab"])
def test_a_rule_that_needs_two_says_what_needs_one_and_offers_it(
    page: str, open_app, tiny_run: RunFactory
) -> None:
    app = open_app(page, one_checkpoint(tiny_run("one")), rule="default;top_k=3")
    text = shown(app)
    assert not app.exception and "one checkpoint only, step 20" in text
    assert "--preset authors" in text and "score=rock_score" in text
    next(b for b in app.button if "without persistence" in b.label).click().run()
    stands(app)
    assert next(m.value for m in app.metric if m.label == "Rock Tokens K") == "3"


@pytest.mark.parametrize("how", [["--preset", "authors"], ["--set", "score=rock_score"]])
def test_the_command_line_ranks_one_checkpoint(how: list[str], tiny_run: RunFactory, capsys):
    run = one_checkpoint(tiny_run("one"))
    main(["rocks", str(run), *how])
    out = " ".join(capsys.readouterr().out.split())
    assert "one, step 20, kl: full, single" in out and "without persistence" in out
    assert "which stay high is unknown" in out and "nan" not in out
    with pytest.raises(SystemExit):
        main(["rocks", str(run)])
    assert "--preset authors" in " ".join(capsys.readouterr().err.split())
