"""Public names of a package, loaded when they are first asked for (PEP 562): to import a package
costs nothing of what it offers. And what is loaded at once for a long command.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any


def load_from(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package. `homes`: public name -> the module that holds it."""

    def __getattr__(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(homes[name]), name)

    return __getattr__


@contextmanager
def loaded_for_good() -> Iterator[None]:
    """What is loaded meanwhile stays, so it is not searched for garbage, now or later: for torch
    and transformers that is a fifth of the time.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
