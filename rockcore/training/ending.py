"""How a session ends before its last step: asked to by a signal, or by an error that the run keeps.

Whatever ends it but the kill of its process, run.json says so. Loads no torch.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

from rockcore.schema import LogWriteError, RockError

if TYPE_CHECKING:
    from rockcore.log import RunWriter

_HANGUP = getattr(signal, "SIGHUP", None)  # the end of the terminal; Windows has none


class Ending:
    """What is asked of a session from outside.

    As long as nothing is written a signal interrupts at once. Once a run is begun the first one
    only asks it to end after its step, and the second interrupts it; from then on none is heard
    until run.json says how it ended.
    """

    def __init__(self) -> None:
        self.is_asked = False  # whether it is to end after its step
        self._stage = "loading"  # | beginning | training | ending

    def begin(self) -> None:
        """A run is about to be written: from here on a signal asks, and interrupts nothing."""
        self._stage = "beginning"

    @contextmanager
    def noted(self, writer: RunWriter, where: Callable[[], str]) -> Iterator[None]:
        """Whatever ends the block early is written into run.json, with `where` it did; the error
        itself goes on.
        """
        self._stage = "training"
        try:
            yield
        except BaseException as error:
            self._stage = "ending"
            _note(writer, error, where())
            raise
        finally:
            self._stage = "ending"

    def hear(self) -> None:
        """What a signal does."""
        if self._stage == "loading":
            raise KeyboardInterrupt
        if not self.is_asked:
            self.is_asked = True
            with suppress(OSError):  # not by print, which may be what was interrupted
                os.write(2, b"stopping after this step; once more to quit at once\n")
        elif self._stage == "training":
            self._stage = "ending"
            raise KeyboardInterrupt


def _note(writer: RunWriter, error: BaseException, where: str) -> None:
    if isinstance(error, KeyboardInterrupt):
        status, reason = "stopped", f"interrupted {where}"
    else:
        named = f"{type(error).__name__}: {error}"
        status, reason = "failed", str(error) if isinstance(error, RockError) else named
    with suppress(LogWriteError):  # on a full disk this may fail too; the first error matters
        writer.save_meta(status=status, reason=reason)


@contextmanager
def endings() -> Iterator[Ending]:
    """Within it Ctrl-C, SIGTERM and the end of the terminal are heard by an Ending."""
    ending = Ending()
    with _heard(ending.hear, signal.SIGINT, signal.SIGTERM, _HANGUP):
        yield ending


@contextmanager
def as_interrupt() -> Iterator[None]:
    """Within it SIGTERM and the end of the terminal interrupt as Ctrl-C does."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    with _heard(interrupt, signal.SIGTERM, _HANGUP):
        yield


@contextmanager
def _heard(hear: Callable[[], None], *signals: signal.Signals | None) -> Iterator[None]:
    """Within it signals call `hear`, where this is the main thread: others get none."""
    terminals = [fd for fd in (1, 2) if os.isatty(fd)]

    def handle(number: int, frame: FrameType | None) -> None:
        if number == _HANGUP:
            _leave(terminals)
        hear()

    before = {}
    if threading.current_thread() is threading.main_thread():
        for s in filter(None, signals):
            if s != _HANGUP or signal.getsignal(s) is not signal.SIG_IGN:  # as nohup has it
                before[s] = signal.signal(s, handle)
    try:
        yield
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)


def _leave(terminals: list[int]) -> None:
    """Print nothing more on a terminal that is gone: it would be an error."""
    for fd in terminals:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, fd)
        os.close(nowhere)
    terminals.clear()
