"""How many rooms a moved threshold passes on its way to the screen.

    PYTHONPATH=CHECKOUT python tests/benchmarks/trips.py

Counts the modules of rockcore and app that run from the callback of the control to the end of the
readout of the thresholds, and to the end of that of the set: how many there are, and how often one
is entered again after it was left. Works on any checkout whose lab has the control `tau_quantile`
and functions of these names.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

import app
from rockcore import __file__ as rockcore_file

ROOMS = [str(Path(rockcore_file).parent), str(Path(str(app.__file__)).parent)]
ROOT = Path(ROOMS[1]).parent
ENDS = ("show_thresholds", "show_set")


class Walk:
    """The rooms in the order in which they are entered."""

    def __init__(self, end: str) -> None:
        self.end, self.rooms = end, list[str]()
        self.begun = self.done = False

    def __call__(self, frame: Any, event: str, argument: object) -> None:
        file, name = frame.f_code.co_filename, frame.f_code.co_name
        if self.done or not file.startswith(tuple(ROOMS)):
            return
        if event == "return" and name == self.end and self.begun:
            self.done = True
        if event != "call":
            return
        self.begun |= file.endswith("selection.py") and "control." in frame.f_code.co_qualname
        room = str(Path(file).relative_to(ROOT))
        if self.begun and self.rooms[-1:] != [room]:
            self.rooms.append(room)

    def lines(self) -> list[str]:
        distinct = list(dict.fromkeys(self.rooms))
        again = len(self.rooms) - len(distinct)
        return [
            f"a moved threshold to its {self.end}: {len(distinct)} rooms, {again} returns",
            *(f"  {self.rooms.count(room):3} {room}" for room in distinct),
        ]


def moved_threshold(run: Path) -> list[Walk]:
    main = str(ROOT / "app" / "main.py")
    sys.argv = [main, str(run)]
    page = AppTest.from_file(main, default_timeout=120)
    page._page_hash = calc_hash("threshold_lab")
    page.run()
    walks = []
    # the first time also loads what is loaded once
    for value, end in zip((0.85, 0.8, 0.75), (ENDS[0], *ENDS), strict=True):
        walks.append(walk := Walk(end))
        page.slider(key="widget tau_quantile").set_value(value)
        threading.setprofile(walk)
        page.run()
        threading.setprofile(None)
        assert not page.exception and walk.done
    return walks[1:]


if __name__ == "__main__":
    for walk in moved_threshold(ROOT / "sample_runs" / "habit"):
        print(*walk.lines(), sep="\n")
