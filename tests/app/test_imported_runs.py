"""Every page on runs as importers write them: it stands, says which columns the log lacks, why, and
what would give them, and claims nothing of what is not there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imported_runs import KINDS, LOGPS, NOTE, STEPS, fresh
from pages import RunFactory, own_buttons
from test_odd_runs import shown, stands

from app import pages
from rockcore import schema
from rockcore.analysis import course
from rockcore.analysis.course import graded_texts
from rockcore.analysis.loss_means import loss_means
from rockcore.analysis.signals import SIGNALS, SPOKEN, lacks, offered
from rockcore.cli import main
from rockcore.log import Run
from rockcore.rocks.search import detect
from rockcore.schema import Texts

OF_A_RUN = [
    p.name
    for p in pages.PAGES
    if p.of_one_run and not p.own_pace and p.name not in ("knockout", "notes")
]
# a claim that a column's mean, sum or share is exactly 0
ZERO = re.compile(r"\b(kl|sampled_loss|nats|loss)\D{0,3}[−-]?0\.0+\b|\b0\.0+ nats", re.I)
NO_KL = [kind for kind in KINDS if "kl" not in kind and kind != "probes alone"]


@pytest.fixture(scope="module")
def imported(tmp_path_factory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in made:
            made[kind] = KINDS[kind](tmp_path_factory.mktemp("imported") / "mine")
        return made[kind]

    return make


@pytest.mark.parametrize("page", [*OF_A_RUN, "knockout", "live"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_page_stands_on_an_imported_run_and_says_what_that_lacks(
    kind: str, page: str, imported, open_app
) -> None:
    app = open_app(page, imported(kind))
    stands(app)
    said = shown(app)
    assert not ZERO.search(said), "an absent number is not 0"
    for chart in app.get("plotly_chart"):
        assert any(map(holds, json.loads(chart.proto.spec)["data"])), "an empty chart"
    if kind in NO_KL and page in OF_A_RUN and "every difference is 0" not in said:
        missing = "grad_norm" if page == "gradients" else "kl"
        named = " ".join(e.label for e in app.expander if e.label.startswith("Not in this log"))
        assert f"mine has no {missing}" in said or missing in named
        assert "rockcore score RUN --student DIR --teacher DIR" in said


def holds(trace: dict[str, Any]) -> bool:
    """Whether a trace draws anything."""
    return any(len(trace.get(name) or ()) for name in ("x", "y", "node"))


@pytest.mark.parametrize("kind", KINDS)
def test_trace_begins_with_a_signal_that_the_log_has(kind: str, imported, open_app) -> None:
    app = open_app("trace", imported(kind))
    colours = [box for box in app.selectbox if box.label == "Colour"]
    held = Run.open(imported(kind)).holdings()
    if held.loss is None:
        assert not colours
        return
    assert colours[0].value == held.loss
    assert colours[0].options == [SPOKEN.get(name, name) for name in offered(held)]
    assert set(offered(held)) | set(lacks(held)) == set(SIGNALS)


def test_a_signal_of_a_link_that_the_log_lacks_is_named(imported, open_app) -> None:
    app = open_app("trace", imported("sampled loss"), signal="kl")
    assert "Colour: the link asks for kl, which is not here" in shown(app)


def test_the_overview_tells_source_estimator_student_and_notes(imported, open_app) -> None:
    said = shown(open_app("overview", imported("sampled loss"))).replace("\\", "")
    for told in ("a test's format", "by the engine that sampled", "kl: not logged", NOTE):
        assert told in said
    assert "Arm: " not in said and "Objective" not in said, "the log does not say"
    said = shown(open_app("overview", imported("top-k kl"))).replace("\\", "")
    assert "kl: top-k without tail" in said


def test_an_objective_is_told_where_the_log_says_it(tmp_path: Path) -> None:
    scored = fresh(("kl",), source="rockcore", config={"score": {}})(tmp_path / "scored")
    assert course.course(Run.open(scored)).objective == ""
    other = fresh(("kl",), objective="forward_kl")(tmp_path / "other")
    assert course.course(Run.open(other)).objective == "Objective: forward_kl"


def test_many_long_notes_leave_room_for_the_page(tmp_path: Path, open_app) -> None:
    run = fresh(LOGPS, notes=["<b>" + "x" * 9_000] * 40)(tmp_path / "mine")
    said = shown(open_app("overview", run))
    assert said.count("<b>x") <= 12 and len(said) < 10_000 and "more in run.json" in said


def test_words_without_tokens_can_be_read(imported, open_app) -> None:
    app = open_app("trace", imported("rollouts alone"), step="10", rollout="2")
    own = Run.open(imported("rollouts alone")).rollouts(10)
    assert [c.value for c in app.code] == [own.prompt[2], own.response[2]]
    assert "it holds the words of its texts alone" in shown(app)


@pytest.mark.parametrize("page", ["rock_tokens", "threshold_lab"])
def test_without_kl_a_rule_can_be_tried_on_sampled_loss_and_says_what_that_is(
    page: str, imported, open_app
) -> None:
    app = open_app(page, imported("sampled loss"), rule="default;top_k=3")
    assert "mine has no kl" in shown(app)
    next(b for b in app.button if b.label == "Try it on sampled_loss").click().run()
    stands(app)
    said = shown(app).replace("\\", "")
    assert page == "threshold_lab" or "looks at the one token that was written" in said
    assert next(m.value for m in app.metric if m.label == "Rock Tokens K") == "3"


def test_one_step_without_kl_can_be_ranked_by_sampled_loss(imported, open_app) -> None:
    app = open_app("rock_tokens", imported("one step"))
    next(b for b in app.button if "without persistence" in b.label).click().run()
    stands(app)
    assert "There is one checkpoint, step 7" in shown(app)


def test_no_rule_is_offered_where_no_loss_is_logged(imported, open_app) -> None:
    app = open_app("rock_tokens", imported("token ids"))
    assert not own_buttons(app) and not app.dataframe


def test_steps_follow_types_by_sampled_loss_where_kl_lacks(imported, open_app) -> None:
    app = open_app("steps", imported("sampled loss"), which="top")
    stands(app)
    table = app.dataframe[-1].value
    frame = Run.open(imported("sampled loss")).type_means("tokens", "sampled_loss")
    last = frame[frame.step == STEPS[-1]].set_index("token_id")
    sums = (last["mean"] * last.n).reindex(table.token_id)
    assert table.score.to_numpy() == pytest.approx(sums.to_numpy())


def test_a_mean_without_metrics_is_that_of_the_tokens(tmp_path: Path) -> None:
    run = Run.open(fresh(("kl",), metrics=False, estimator="full")(tmp_path / "mine"))
    told = course.course(run)
    for row in told.means.to_dict("records"):
        kl = run.values("tokens", row["step"], "kl").astype(float)
        assert row["mean"] == pytest.approx(kl.mean()) and row["tokens"] == len(kl)
        assert row["low"] < row["mean"] < row["high"]
    assert told.tokens == told.generated == told.metrics.tokens.sum()


def test_a_mean_of_tokens_has_the_error_that_a_training_logs(tiny_run: RunFactory) -> None:
    """Of a ratio of sums, rollouts being the independent units, against a plain loop."""
    run = Run.open(tiny_run())
    for row in loss_means(run, "sampled_loss").to_dict("records"):
        texts = [run.trace(row["step"], r).sampled_loss.to_numpy(float) for r in range(4)]
        every = np.concatenate(texts)
        excess = [t.sum() - every.mean() * len(t) for t in texts]
        assert row["mean"] == pytest.approx(every.mean(), rel=1e-5)
        wanted = (4 / 3 * sum(e**2 for e in excess)) ** 0.5 / len(every)
        assert row["stderr"] == pytest.approx(wanted, rel=1e-4)


def test_live_has_no_pace_where_the_log_has_no_times(tmp_path: Path, open_app) -> None:
    run = fresh(("kl",), estimator="full", status="running")(tmp_path / "mine")
    app = open_app("live", run)
    stands(app)
    far = course.course(Run.open(run)).progress
    assert far is not None and far.pace is None
    assert "running: step 15" in shown(app) and "s a step" not in str(app.get("progress"))
    for columns in (LOGPS, ()):
        stands(open_app("live", fresh(columns, status="running")(tmp_path / str(len(columns)))))


@pytest.mark.parametrize("column", ["teacher_logp", "student_entropy", "grad_norm", "weight"])
def test_pages_stand_on_a_log_of_any_one_column(column: str, tmp_path: Path, open_app) -> None:
    run = fresh((column,))(tmp_path / "mine")
    held = Run.open(run).holdings()
    assert held.columns == {Texts.FRESH: {column}}
    for page in ("overview", "trace", "steps", "gradients"):
        stands(open_app(page, run))


def test_a_log_of_this_program_lacks_nothing(tiny_run: RunFactory) -> None:
    held = Run.open(tiny_run()).holdings()
    assert lacks(held) == {} and held.loss == "kl" and not held.words
    assert set(schema.TOKENS) - held.columns[Texts.FRESH] == {
        *("step", "rollout_id", "position", "token_id"),
        "proj_grad_norm",
    }


def test_a_column_that_one_step_has_is_there(tmp_path: Path) -> None:
    path = fresh(LOGPS)(tmp_path / "mine")
    other = Run.open(fresh(("kl",), steps=(20,))(tmp_path / "other")).path
    (other / "tokens" / "step=000020.parquet").rename(path / "tokens" / "step=000020.parquet")
    held = Run.open(path).holdings()
    assert held.has("kl") and held.has("sampled_loss") and not held.has("student_entropy")


def test_a_damaged_file_hides_only_its_own_columns(tmp_path: Path) -> None:
    path = fresh(LOGPS)(tmp_path / "mine")
    file = path / "tokens" / "step=000005.parquet"
    run = Run.open(path)
    file.write_bytes(file.read_bytes()[:100])
    assert run.holdings().has("sampled_loss") and run.holdings().loss == "sampled_loss"


def test_texts_without_tokens_are_listed_by_their_length(imported) -> None:
    run = Run.open(imported("rollouts alone"))
    hints = graded_texts(run, Texts.FRESH, 10).hint
    assert hints[0] == f"0 · not graded, {len(run.rollouts(10).response[0])} characters"


def test_detection_names_the_missing_loss_and_not_its_values(imported) -> None:
    with pytest.raises(schema.RockError, match="mine has no kl.*log probabilities of the sampled"):
        detect(Run.open(imported("sampled loss")))


def test_the_command_line_says_what_lacks_and_what_it_can_rank_by(imported, capsys) -> None:
    with pytest.raises(SystemExit):
        main(["rocks", str(imported("sampled loss"))])
    said = " ".join(capsys.readouterr().err.split())
    assert "mine has no kl" in said and "--set column=sampled_loss" in said
    main(["rocks", str(imported("sampled loss")), "--set", "column=sampled_loss"])
    said = " ".join(capsys.readouterr().out.split())
    assert "sampled_loss: of the sampled token" in said and "values here are negative" in said
    for command in (["rocks"], ["compare", str(imported("rollouts alone"))]):
        with pytest.raises(SystemExit):
            main([*command, str(imported("rollouts alone"))])
        assert "words of its texts alone" in " ".join(capsys.readouterr().err.split())


def test_steps_of_fixed_texts_are_told_what_can_be_ranked(imported, open_app) -> None:
    said = shown(open_app("compare", imported("probes alone")))
    assert "has no fresh rollouts, only texts that are scored again" in said
    assert "by a rule: rockcore rocks" in said
