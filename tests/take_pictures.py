"""The pictures of README.md, of the bundled run habit as it is shown today.

    python tests/take_pictures.py

serves the dashboard, opens each view in Chromium and writes `.assets/*.png`; a test holds them
small and in use.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from chrome import CHROMIUM, FLAGS, Tab, serving
from playwright.sync_api import ViewportSize, sync_playwright

from rockcore.log import sample_runs

ASSETS = Path(__file__).parents[1] / ".assets"
VIEWS = {  # picture -> what is opened
    "learn": "learn?run=habit&lesson=gates",
    "trace": "trace?run=habit&source=final&rollout=0&token_at=5",
    "rocks": "rock_tokens?run=habit",
    "token": "token?run=habit&token=603",
    "lab": "threshold_lab?run=habit",
}
GUESSED = {"learn": "Fewer, but some"}  # what is answered there before
SIZE: ViewportSize = {"width": 1280, "height": 800}


def take() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as api:
        browser = api.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        runs = str(sample_runs() / "habit")
        with serving(
            lambda port: ["-m", "rockcore", "app", runs, "--port", port, "--headless"], Path(folder)
        ) as server:
            for name, address in VIEWS.items():
                tab = Tab(browser.new_page(viewport=SIZE, color_scheme="light"), server)
                tab.page.set_default_timeout(120_000)
                tab.open(f"/{address}")
                tab.rest()
                if name in GUESSED:
                    tab.page.get_by_text(GUESSED[name]).click()
                    tab.rest()
                tab.page.locator("[data-testid=stSkeleton]:visible").first.wait_for(state="hidden")
                tab.rest()
                tab.page.screenshot(path=ASSETS / f"{name}.png")
                tab.page.close()
        browser.close()


if __name__ == "__main__":
    take()
