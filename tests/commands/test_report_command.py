"""`rockcore report`: one file and the figures, or why not; nothing half-written, nothing lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import write_tiny_run

from rockcore.cli import main
from rockcore.log import Run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_tiny_run(tmp_path / "run")


def test_a_report_and_its_figures_are_written_and_the_run_stays_as_it_was(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    before, files = Run.open(run).fingerprint(), sorted(run.rglob("*"))
    out, figures = tmp_path / "new" / "report.html", tmp_path / "figures"
    asked = ["--set", "tau_quantile=0.5", "--address", "https://here.example:8443/x/"]
    main(["report", str(run), "--out", str(out), "--figures", str(figures), *asked])
    said = capsys.readouterr().out
    html = out.read_text(encoding="utf-8")
    assert "of 10 parts, 0 notes" in said and "Missing, and why is said there: " in said
    assert "https://here.example:8443/x/rock_tokens?run=run&amp;rule=default%3Btau_quantile" in html
    kinds = {file.suffix for file in figures.iterdir()}
    assert kinds == {".svg", ".png"} and os.listdir(out.parent) == ["report.html"]
    assert Run.open(run).fingerprint() == before and sorted(run.rglob("*")) == files


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--out", "there.html"], "is there already"),
        (["--out", "."], "is a folder"),
        (["--out", "there.html/x.html"], "could not be written"),
        (["--figures", "there.html"], "is a file already"),
        (["--figures", "run"], "holds files already"),
        (["--address", "javascript:alert(1)"], "--address javascript"),
        (["--address", "http://a b"], "--address http"),
        (["--address", "http://[::1"], "--address http"),
        (["--set", "no_such=1"], "No field no_such"),
        (["--preset", "default", "--rule", "x.json"], "Either is a whole rule"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_written_or_asked_is_refused_and_nothing_is_left(
    flags: list[str],
    why: str,
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(run.parent)
    monkeypatch.setattr("rockcore.analysis.report.make_report", lambda *_: ())
    Path("there.html").write_text("mine")
    with pytest.raises(SystemExit) as end:
        main(["report", "run", *flags])
    assert end.value.code == 1 and why in " ".join(capsys.readouterr().err.split())
    assert sorted(os.listdir()) == ["run", "there.html"]
    assert Path("there.html").read_text() == "mine"
