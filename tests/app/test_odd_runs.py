"""Every page on runs that are valid and unusual: it stands, and what it says is words and
numbers.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from chrome import PAGES
from conftest import write_tiny_run
from pages import words
from streamlit.testing.v1 import AppTest

ODD = re.compile(
    r"\b(nan|NaN|None|NaT|inf|np\.\w+|float64|0 of 0|knee 1|kl_mean|kl_stderr"
    r"|(?!least_|even_)\w+_share)\b"  # knobs of a rule go by their names
)


def without(*tables: str) -> Callable[[Path], None]:
    def drop(run: Path) -> None:
        for table in tables:
            shutil.rmtree(run / table, ignore_errors=True)

    return drop


def written(run: Path, **changes) -> None:
    meta = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(meta | changes))


def as_before(run: Path) -> None:
    """As it was written."""


def closing_step(run: Path) -> None:
    """The final texts have been written, and not scored under any checkpoint but the first."""
    for file in sorted((run / "probe" / "final").glob("step=*.parquet"))[1:]:
        file.unlink()


def texts_only(run: Path) -> None:
    for file in (run / "probe" / "final").glob("step=*.parquet"):
        file.unlink()


def not_all_judged(run: Path) -> None:
    """As an arm that leaves tokens out writes a step whose tokens are not logged."""
    for file in sorted((run / "metrics").glob("step=*.parquet"))[1:]:
        table = pq.read_table(file)
        for name in ("kl_mean", "kl_stderr"):
            at = table.column_names.index(name)
            table = table.set_column(at, name, pa.nulls(1, pa.float64()))
        pq.write_table(table, file)


ODD_RUNS = {
    "one step": ({"steps": (0,)}, as_before),
    "no step": ({"steps": ()}, as_before),
    "no step, in training": ({"steps": (), "status": "running"}, as_before),
    "probes only": ({}, without("tokens", "rollouts", "types", "metrics", "evals")),
    "probes of one step": ({"steps": (0,)}, without("tokens", "rollouts", "types", "metrics")),
    "final probes only": (
        {},
        without("tokens", "rollouts", "types", "metrics", "evals", "probe/first"),
    ),
    "first probes only": (
        {},
        without("tokens", "rollouts", "types", "metrics", "evals", "probe/final"),
    ),
    "fresh only": ({}, without("probe", "evals")),
    "no metrics": ({}, without("metrics")),
    "tokens only": ({}, without("probe", "evals", "metrics", "rollouts", "types")),
    "metrics only": ({}, without("probe", "evals", "rollouts", "types", "tokens")),
    "nothing at all": ({}, without("probe", "evals", "metrics", "rollouts", "types", "tokens")),
    "closing, first checkpoint": ({"status": "running"}, closing_step),
    "texts never judged": ({}, texts_only),
    "not all judged": ({}, not_all_judged),
    "not all judged, in training": ({"status": "running"}, not_all_judged),
    "no estimator": ({"estimator": "absent"}, as_before),
}
SETTINGS = {
    "steps": ({"view": "position"}, {"view": "type", "which": "top"}, {"view": "category"}),
    "compare": ({}, {"by": "score"}, {"signal": "sampled_loss", "panes": "difference"}),
    "rock_tokens": ({}, {"rule": 'paper;score="sampled_loss"'}),
}


def shown(app: AppTest) -> str:
    """All words of a page: text, notes, metrics, and what stands around its charts."""
    said = [words(app)]
    for kind in ("info", "warning", "error", "success"):
        said += [str(e.value) for e in getattr(app, kind)]
    for m in app.metric:
        said += [f"{m.label} {m.value}", m.delta or ""]
    for kind in ("selectbox", "radio", "select_slider", "multiselect"):
        said += [str(o) for e in getattr(app, kind) for o in getattr(e, "options", ())]
    return "\n".join(said)


def stands(app: AppTest) -> None:
    assert not app.exception, [
        e.value + "\n" + "\n".join(e.stack_trace[-6:]) for e in app.exception
    ]
    text = shown(app)
    odd = [line for line in text.splitlines() if ODD.search(line)]
    assert not odd, odd
    charts = " ".join(str(c.proto.spec) for c in app.get("plotly_chart"))
    found = re.search(r"[^\"]{0,60}\b(nan|None|0 of 0)\b[^\"]{0,60}", charts)
    assert not found, found


@pytest.fixture(scope="module")
def odd(tmp_path_factory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def make(case: str) -> Path:
        if case not in made:
            changes, change = ODD_RUNS[case]
            path = tmp_path_factory.mktemp("odd") / "run"
            made[case] = write_tiny_run(path, **changes)
            change(path)
        return made[case]

    return make


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("case", ODD_RUNS)
def test_a_page_stands_and_speaks_plainly(case: str, page: str, odd, open_app) -> None:
    for asked in SETTINGS.get(page, ({},)):
        stands(open_app(page, odd(case), **asked))


PROBES_ALONE = [case for case in ODD_RUNS if "probes" in case and case != "probes of one step"]


@pytest.mark.parametrize("case", PROBES_ALONE)
def test_the_overview_of_probe_texts_says_what_there_is_and_does_not_wait_for_a_step(
    case: str, odd, open_app
) -> None:
    text = shown(open_app("overview", odd(case)))
    assert "Nothing logged yet" not in text and "Reload in a moment" not in text
    assert "Probe: " in text and "steps 0, 10, 20" in text
    assert ("Held-out accuracy, greedy: " in text) == (case in ("probes and evals",))


@pytest.mark.parametrize("case", ["no step", "nothing at all", "metrics only"])
def test_a_run_that_has_ended_without_a_text_is_not_waited_for(case: str, odd, open_app) -> None:
    text = shown(open_app("overview", odd(case)))
    assert "No text is logged" in text and "Reload" not in text


def test_a_run_that_has_just_begun_is_waited_for(odd, open_app) -> None:
    text = shown(open_app("overview", odd("no step, in training")))
    assert "Nothing logged yet" in text and "Reload in a moment" in text


@pytest.mark.parametrize("page", ["rock_tokens", "threshold_lab"])
def test_probes_of_one_checkpoint_are_told_from_nothing(page: str, odd, open_app) -> None:
    text = shown(open_app(page, odd("probes of one step")))
    assert "one checkpoint only, step 0" in text and "no logged tokens" not in text
    text = shown(open_app(page, odd("probes only"), rule='default;mode="bounds"'))
    assert "has probe texts and no fresh rollouts" in text
