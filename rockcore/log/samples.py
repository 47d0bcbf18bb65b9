"""Where the runs that come with the project lie. To know it loads nothing."""

from __future__ import annotations

from pathlib import Path


def sample_runs() -> Path:
    """The folder of the runs that come with the project, in a checkout or inside an installed
    package.
    """
    package = Path(__file__).parent.parent
    installed = package / "sample_runs"
    return installed if installed.is_dir() else package.parent / "sample_runs"
