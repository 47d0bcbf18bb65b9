"""How a session ends before its last step: by Ctrl-C, or by an error that the run keeps."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType

from rockcore.log import RunWriter
from rockcore.schema import LogWriteError, RockError


class NotedEnding:
    """Whatever ends the block early is written into run.json; the error itself goes on."""

    def __init__(self, writer: RunWriter):
        self.writer = writer

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            return
        if isinstance(error, KeyboardInterrupt):
            status, reason = "stopped", "interrupted in the middle of a step"
        else:
            named = f"{type(error).__name__}: {error}"
            status, reason = "failed", str(error) if isinstance(error, RockError) else named
        with suppress(LogWriteError):  # on a full disk this may fail too; the first error matters
            self.writer.save_meta(status=status, reason=reason)


@contextmanager
def interrupt_as_flag() -> Iterator[Callable[[], bool]]:
    """Within it, the first Ctrl-C (or SIGTERM) only raises a flag; the second one interrupts as
    usual.
    """
    raised = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield raised.is_set
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {s: signal.getsignal(s) for s in signals}

    def note(number: int, frame: object) -> None:
        raised.set()
        print("stopping after this step; once more to quit at once", file=sys.stderr, flush=True)
        for s in signals:
            signal.signal(s, before[s])

    for s in signals:
        signal.signal(s, note)
    try:
        yield raised.is_set
    finally:
        for s in signals:
            signal.signal(s, before[s])
