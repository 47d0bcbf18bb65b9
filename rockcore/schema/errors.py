"""The errors that speak of a log: each says what was found, why it cannot work, and what to do."""

from __future__ import annotations


class RockError(Exception):
    """An error a user can act on: what was found, why it cannot work, what to do."""

    def __init__(self, found: str, why: str, todo: str):
        self.parts = (found, why, todo)
        said = " ".join(part.rstrip(". ") + "." for part in (found, why, todo))
        # a path may hold bytes that are no text, which can be neither printed nor shown
        super().__init__(said.encode(errors="backslashreplace").decode())

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        """From one process to another by its three parts, of which the one text is made again."""
        return type(self), self.parts


class RunNotFound(RockError, FileNotFoundError):
    """There is no run at this path."""


class DamagedRun(RockError, ValueError):
    """A file of the run cannot be read, or lacks what the schema asks for."""


class SchemaMismatch(RockError, ValueError):
    """The run was written under another version of this contract."""


class LogWriteError(RockError, OSError):
    """A file of the run could not be written; what was finished before is still there."""


class NoGradients(RockError, LookupError):
    """The run does not hold the gradients that a question needs."""
