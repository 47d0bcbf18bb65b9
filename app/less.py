"""Streamlit loaded, and run, with less than it takes by itself."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def hidden(package: str) -> Iterator[None]:
    """Let nobody find a package meanwhile, unless it is loaded already. Streamlit loads Plotly only
    to teach it its colours, a third of what it takes to load: `chart_theme` does, once there is a
    chart to be drawn.
    """
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]  # so an import fails (PEP 328)
    try:
        yield
    finally:
        del sys.modules[package]


def search_nothing() -> None:
    """Let Streamlit leave out two searches that find nothing here: through the descriptions of all
    installed packages for components (each is parsed four times over: 0.2 s of 0.9), and through
    all loaded modules for whether a person types Python (0.1 s, before the first element). Where
    it has them no longer, nothing changes.
    """
    for name, question, answer in (
        ("streamlit.components.v2.manifest_scanner", "scan_component_manifests", list),
        ("streamlit.env_util", "is_repl", bool),
    ):
        with suppress(ModuleNotFoundError):
            setattr(importlib.import_module(name), question, answer)  # list() and bool(): none, no
