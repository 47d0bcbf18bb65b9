"""A scan that stands still in the middle: once it has the sums of one shard, before those of a
second. A test that sends a signal then finds it at work, however slow the test is.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from patience import wait_until

# Python imports this by itself at its start, also in workers.
GATE = """
import glob, os, signal, sys
def look(event, arguments):
    if event == "os.rename" and "/sums/" in str(arguments[1]):
        while glob.glob(os.path.join(os.path.dirname(arguments[1]), "*.parquet")):
            signal.pause()
sys.addaudithook(look)
"""


def halted_scan(log: Path, out: Path) -> subprocess.Popen[str]:
    """`rockcore scan` by one worker, of a group of its own, which gets signals as all that run in a
    terminal's foreground do.
    """
    gate = out.with_name("gate")
    gate.mkdir()
    (gate / "sitecustomize.py").write_text(GATE)
    path = os.pathsep.join([str(gate), *filter(None, [os.environ.get("PYTHONPATH")])])
    words = ["scan", str(log), "--out", str(out), "--workers", "1", "--shard-rows", "2000"]
    scan = subprocess.Popen(
        [sys.executable, "-m", "rockcore", *words],
        env=os.environ | {"PYTHONPATH": path},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # what runs in the background of a shell ignores the signal, and so would this
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    wait_until(lambda: [*out.glob("partials/sums/*.parquet")], scan)
    return scan
