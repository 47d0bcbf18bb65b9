"""The benchmark of the dashboard still runs against the pages as they are; what it measures is not
judged.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from chrome import CHROMIUM

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "browser.py"


@pytest.mark.skipif(CHROMIUM is None and not os.environ.get("CI"), reason="no chromium on the PATH")
def test_the_dashboard_can_be_measured() -> None:
    done = subprocess.run(
        [sys.executable, str(BENCHMARK), "--quick", "--json"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    for name in (
        "recolour_8k_ms",
        "recolour_32k_ms",
        "step_change_ms",
        "cold_start_s",
        "rerun_bytes",
    ):
        assert all(
            math.isfinite(results[name][which]) and results[name][which] > 0
            for which in ("median", "p95")
        ), name
    assert results["environment"]["cores"] and results["rerun_bytes_by_kind"]
