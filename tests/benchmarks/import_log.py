"""Time and memory of an import that is larger than what it may hold.

    python tests/benchmarks/import_log.py [--megabytes 200] [--steps 50]

Writes JSON lines of texts with four numbers a token, their steps mixed, imports them in a process
of its own, and prints CPU seconds, megabytes a second and the peak of memory, beside that of a
process that reads nothing.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

CHILD = """
import resource, sys
from pathlib import Path
from rockcore.importers import format_named, import_run
from rockcore.importers.recognise import files_of
format = format_named("table")
import rockcore.importers.writing, pandas, pyarrow.parquet
if len(sys.argv) > 1:
    import_run(format, [Path(sys.argv[1])], Path(sys.argv[2]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def write_export(file: Path, megabytes: int, steps: int) -> int:
    """How many texts were written."""
    rng, texts = np.random.default_rng(0), 0
    with file.open("w", encoding="utf-8") as lines:
        while lines.tell() < megabytes * 2**20:
            for _ in range(100):
                T = int(rng.integers(100, 400))
                numbers = rng.gamma(1.0, 1.0, (3, T)).round(6)
                row = {
                    "step": texts % steps,
                    "rollout_id": texts // steps,
                    "prompt": "What is 10 and 20?",
                    "token_id": rng.integers(0, 50_000, T).tolist(),
                    "kl": numbers[0].tolist(),
                    "student_logp": (-numbers[1]).tolist(),
                    "teacher_logp": (-numbers[2]).tolist(),
                }
                lines.write(json.dumps(row) + "\n")
                texts += 1
    return texts


def peak_mb(*arguments: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *arguments], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def cpu_s() -> float:
    """CPU seconds of the processes that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--steps", type=int, default=50)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "export.jsonl"
        texts = write_export(file, asked.megabytes, asked.steps)
        idle = peak_mb()
        begun = cpu_s()
        peak = peak_mb(str(file), str(Path(folder) / "run"))
        seconds = cpu_s() - begun
        size = file.stat().st_size / 2**20
    print(f"{texts:,} texts, {size:.0f} MB: {seconds:.1f} s of CPU, {size / seconds:.1f} MB/s")
    print(f"peak {peak:.0f} MB, of a process that imports nothing {idle:.0f} MB")


if __name__ == "__main__":
    main()
