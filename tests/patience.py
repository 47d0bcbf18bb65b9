"""How long a test waits for another process, thread or page. The machines are shared: what is slow
is no failure, and what never comes is one after a while.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

PATIENCE_S = 300


def wait_until(
    true: Callable[[], object],
    child: subprocess.Popen[str] | subprocess.Popen[bytes] | None = None,
    said: Callable[[], object] = str,
) -> None:
    """Until it is true, of what there is no event to wait on: mostly files that another process
    writes, which must not have ended before. A failure tells what that has said.
    """
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert child is None or child.poll() is None, said()
        assert time.monotonic() < end, said()
        time.sleep(0.02)
