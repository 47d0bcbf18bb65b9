"""The report of a run: the numbers of the pages, figures that open, and a reason for what is
missing.
"""

from __future__ import annotations

import re
import warnings
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from conftest import write_tiny_run
from matplotlib.figure import Figure as Drawing

from rockcore.analysis import knockouts, shares
from rockcore.analysis.arms import spelled_tests
from rockcore.analysis.report import (
    PARTS,
    Asked,
    Part,
    document,
    drawing,
    figures_of_trials,
    make_report,
    words,
)
from rockcore.analysis.report import write_report as written
from rockcore.analysis.rock_share import rock_share
from rockcore.colours import VERDICTS
from rockcore.log import Run, comparisons, notes, sample_runs
from rockcore.log.screens import Screen
from rockcore.rocks import Examined, RockRule

HOSTILE = "<script>alert(1)</script> $\\frac{x$ \u202e\u4e2d\U0001f600\x00\ud7ff"
HERE = "http://localhost:8501"


def asked_of(run: Path, rule: RockRule | None = None) -> Asked:
    return Asked(Examined(Run.open(run), rule or RockRule()))


@pytest.fixture(scope="module")
def habit() -> tuple[Asked, dict[str, Part]]:
    asked = asked_of(sample_runs() / "habit")
    return asked, {part.key: part for part in make_report(asked)}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are painted, and not laid out and printed, which takes most of the time."""
    monkeypatch.setattr(Drawing, "savefig", lambda *_, **__: None)
    monkeypatch.setattr(Drawing, "draw_without_rendering", lambda _: None)


def test_no_address_and_no_form_of_a_text_leads_anywhere():
    policy = document.POLICY.split("; ")
    assert {"default-src 'none'", "base-uri 'none'", "form-action 'none'"} <= set(policy)


def test_verdicts_have_the_colours_of_the_pages_and_a_marker_each():
    assert set(figures_of_trials._MARKERS) == set(VERDICTS) == set(knockouts.VERDICTS)


def cells(part: Part, table: int = 0) -> list[list[str]]:
    assert part.found is not None, part.missing
    return [list(row) for row in part.found.tables[table].rows]


def said(part: Part) -> str:
    assert part.found is not None, part.missing
    return " ".join(part.found.said)


def test_every_part_of_a_whole_run_is_there_and_says_what_its_numbers_rest_on(habit):
    _, parts = habit
    assert list(parts) == list(PARTS)
    for part in parts.values():
        assert part.found is not None, part.missing
        assert all(part.found.facts[name] for name in ("n", "interval", "estimator", "rule"))


def test_the_numbers_are_those_that_the_pages_ask_for(habit):
    asked, parts = habit
    found, run = asked.found, asked.run
    assert rock_share(asked.examined).sentence in said(parts["share"])
    n = found.occurrences
    for gate in ("scored", "persistent", "consistent", "in_set"):
        assert f"{n[gate]:,}" in said(parts["funnel"])
    assert [int(row[1]) for row in cells(parts["funnel"])] == found.ids
    assert words.share(found.coverage) in said(parts["cutoff"])
    assert f"{found.stability.value:.2f}" in said(parts["cutoff"])
    assert words.share(found.density["type"]) in said(parts["density"])
    assert words.share(found.density["occurrence"]) in said(parts["density"])
    types = shares.type_shares(run, found.source.table)
    row = shares.stacked(types, found.tokens, "in_set").at_last_step(shares.IN_SET)
    assert row is not None and words.share(row.gradient_share) in said(parts["gradient"])
    for told, row in zip(cells(parts["change"]), found.groups.itertuples(), strict=True):
        assert told[3:5] == [
            words.number(x, "+.0%").replace("%", "\u00a0%") for x in (row.naive, row.crossed)
        ]
    census = knockouts.examine(Screen.open(run)).census
    assert [int(row[1]) for row in cells(parts["knockouts"], 1)] == census["Strong Pillar"].tolist()
    tests = spelled_tests(comparisons.read(sample_runs() / "arms" / "habit").tests)
    assert [row[2] for row in cells(parts["arms"])] == tests.difference.tolist()


def test_figures_are_valid_with_letters_of_nine_points_and_more(habit):
    _, parts = habit
    figures = [f for part in parts.values() for f in part.found.figures]
    assert len({f.name for f in figures}) == len(figures) == 11
    for figure in figures:
        root = ET.fromstring(figure.svg)
        assert root.tag.endswith("svg") and figure.png.startswith(b"\x89PNG")
        inches = float(root.attrib["width"].removesuffix("pt")) / 72
        assert inches == pytest.approx(drawing.WIDTH)
        # matplotlib writes outlines of letters as scaled by a hundredth of their size
        sizes = [float(size) for size in re.findall(r"scale\((0\.\d+) -", figure.svg)]
        assert sizes and min(sizes) >= 0.09
        assert "http://" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", figure.svg)


def test_a_figure_of_hostile_names_is_drawn_without_a_warning():
    def paint(axes) -> None:
        drawing.forest(axes, [HOSTILE, "$a$ $b"], [0.1, 0.2], [(0.0, 0.2), (0.1, 0.3)], ["k", "k"])
        drawing.name_points(axes, [HOSTILE, "␣⏎"], [0.1, 0.1], [0, 0])
        axes.set_xscale("log")
        drawing.as_numbers(axes.xaxis)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = drawing.draw("hostile", HOSTILE, HOSTILE, paint)
    ET.fromstring(figure.svg)
    assert "\\u4e2d" in drawing.drawn("\u4e2d") and drawing.drawn("␣⏎$") == "␣⏎$"


def test_text_of_a_log_is_escaped_and_notes_stand_in_their_part(tmp_path: Path, quick):
    run = write_tiny_run(tmp_path / "r", student=HOSTILE.replace("\x00", ""))
    notes.keep_note(run, notes.Note("rule", HOSTILE, HOSTILE, "threshold_lab", {"rule": "a&b\"'<"}))
    notes.keep_note(run, notes.Note("view", "Trace", "my view", "trace", {"rollout": "3"}))
    (run / "notes" / "<b>.json").write_text("{}")
    asked = asked_of(run)
    html = written(asked, tuple(make_report(asked)), HERE)
    assert "<script" not in html and "\u202e" not in html and "\x00" not in html
    assert html.count("&lt;script&gt;") > 3 and "&lt;b&gt;.json" in html
    cutoff, rest = html.partition('id="cutoff"')[2], html.partition('id="notes"')[2]
    assert "Note on" in cutoff.partition("</section>")[0]
    assert f"{HERE}/trace?run=r&amp;rollout=3" in rest and "1 of 2 notes" in rest
    assert "rule=a%26b%22%27%3C" in html


def test_a_report_that_would_be_too_large_leaves_out_png_and_says_so(habit, monkeypatch):
    asked, parts = habit
    whole = written(asked, tuple(parts.values()), HERE)
    assert len(whole.encode()) < document.MOST_BYTES and "image/png" in whole
    monkeypatch.setattr(document, "MOST_BYTES", 10**6)
    smaller = written(asked, tuple(parts.values()), HERE)
    assert "image/png" not in smaller and "as PNG: rockcore report --figures" in smaller
