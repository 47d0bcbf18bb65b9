"""A store that refuses, is not reached, or has its package raise what is none of Python's errors:
said in three parts, whichever store it is.

Every package has exceptions of its own (botocore.exceptions.ClientError, gcsfs.retry.HttpError,
aiohttp.ClientError, …), and none of them is imported here. What stands within `Asking` is one call
to the store and nothing of ours, so that whatever comes out of it is the store's answer.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from types import TracebackType
from typing import Any

from rockcore.log.files import unreadable
from rockcore.scale.errors import BadScan
from rockcore.schema import DamagedRun, RockError

_PASSED_ON = (RockError, FileNotFoundError, NotADirectoryError, ImportError)
_PYTHONS = (OSError, ValueError)  # of Python's own those that packages of stores raise too


class Asking:
    """While a store is asked for something: its refusals raise BadScan, those of this machine's
    disk DamagedRun. That there is no such file is passed on; so is what is no answer of a store.
    """

    def __init__(self, what: PurePosixPath | str, local: bool = False):
        self.what, self.local = what, local

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, cause: BaseException | None, _: TracebackType | None
    ) -> None:
        if isinstance(cause, Exception) and not isinstance(cause, _PASSED_ON):
            if self.local and isinstance(cause, OSError):
                raise _of_disk(self.what, cause) from cause
            if isinstance(cause, _PYTHONS) or type(cause).__module__ != "builtins":
                raise _of_store(self.what, cause) from cause


class Given:
    """An open file of a store: Arrow reads it through this, which tells what the store answers from
    what is wrong with the bytes.
    """

    def __init__(self, file: Any, asking: Asking):
        self._file, self._asking = file, asking

    def read(self, size: int = -1) -> bytes:
        with self._asking:
            return self._file.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> Given:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _of_store(what: PurePosixPath | str, cause: Exception) -> BadScan:
    return BadScan(
        f"{what} is not given ({_said(cause)})",
        "The store was not reached, or does not let these credentials read it",
        "Set what its package takes, such as AWS_PROFILE for s3://, or fsspec's configuration "
        "(FSSPEC_S3_KEY=…, or a file in ~/.config/fsspec), for the workers too; then start the "
        "scan again: it goes on where it was",
    )


def _of_disk(what: PurePosixPath | str, cause: OSError) -> DamagedRun:
    if not isinstance(cause, PermissionError):
        return unreadable(f"{what} cannot be read", cause)
    return DamagedRun(
        f"{what} cannot be read ({cause.strerror})",
        "A scan reads the whole log",
        "Mend the permissions, or scan as a user who may read it",
    )


def _said(cause: Exception) -> str:
    """What a package says, and which error it is where that is none of Python's."""
    kind = type(cause)
    known = kind.__module__ == "builtins"
    name = "" if known else f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}"
    said = ": ".join(each for each in (name, str(cause).partition("\n")[0]) if each)
    return ascii(said or kind.__qualname__)[1:-1][:200]
