"""The reports of the sample runs in a real browser: no network, both schemes, any width, paper."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import write_tiny_run
from playwright.sync_api import Browser

from rockcore.analysis.report import Asked, make_report, write_report
from rockcore.log import Run, notes, sample_runs
from rockcore.rocks import Examined

SAMPLES = ("habit", "hidden", "skill", "smollm2")
HOSTILE = (
    "</title><img src=https://evil.example/x onerror=alert(1)><style>@import 'https://e.example'"
)


def report_of(run: Path, out: Path) -> Path:
    asked = Asked(Examined(Run.open(run)))
    html = write_report(asked, tuple(make_report(asked)), "http://localhost:8501")
    out.write_text(html, encoding="utf-8")
    return out


@pytest.mark.parametrize("name", [*SAMPLES, "hostile"])
def test_a_report_opens_without_network_in_both_schemes_on_a_phone_and_on_paper(
    name: str, browser: Browser, tmp_path: Path
) -> None:
    run = sample_runs() / name
    if name == "hostile":
        run = write_tiny_run(tmp_path / "run", student=HOSTILE, teacher=HOSTILE)
        notes.keep_note(run, notes.Note("view", HOSTILE[:200], HOSTILE, "trace"))
    file = report_of(run, tmp_path / "report.html")
    assert file.stat().st_size <= 5 * 10**6
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme, viewport={"width": 390, "height": 844})
        asked: list[str] = []
        said: list[str] = []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.on("dialog", lambda dialog, said=said: (said.append("dialog"), dialog.dismiss()))
        page.on("console", lambda message, said=said: said.append(message.text))
        page.goto(file.as_uri())
        assert not said and all(url.startswith(("file:", "data:image/")) for url in asked)
        broken = "[...document.images].filter(i => !i.naturalWidth || !i.alt).length"
        assert page.evaluate(broken) == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.locator("h1").count() == 1 and page.locator("h2").count() == 11
        assert page.locator("table:not(:has(caption))").count() == 0
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert colour == {"light": "rgb(255, 255, 255)", "dark": "rgb(23, 22, 20)"}[scheme]
        if scheme == "light":
            assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")
        page.close()
