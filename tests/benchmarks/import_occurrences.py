"""Time and memory of importing a large occurrence file of the paper's authors, against torch.load
and a data frame of the same file, each in a process of its own, alternately.

    python tests/benchmarks/import_occurrences.py --records 3500000
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "importers"))

LENGTH = 7_000
BY_HAND = (
    "import sys, torch, pandas; "
    "data = torch.load(sys.argv[1], map_location='cpu', weights_only=False); "
    "frame = pandas.DataFrame(data['occurrences']); print(len(frame))"
)


def write(file: Path, count: int) -> None:
    from authors_files import records, save_occurrences

    lengths = (LENGTH,) * (count // LENGTH) + ((count % LENGTH,) if count % LENGTH else ())
    save_occurrences(file, records(lengths), vocab=151_936)


def measured(arguments: list[str]) -> tuple[float, float, float]:
    """Seconds, seconds of CPU and peak memory in MB of a Python process."""
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, "
        "stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL); "
        "used = resource.getrusage(resource.RUSAGE_CHILDREN); "
        "print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)"
    )
    began = time.perf_counter()
    said = subprocess.run(
        [sys.executable, "-c", code, sys.executable, *arguments],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    return time.perf_counter() - began, float(said[0]), float(said[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=3_500_000)
    parser.add_argument("--times", type=int, default=2)
    parser.add_argument("--file", type=Path, help="an occurrence file; else one is written")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = options.file or Path(folder) / "rock_token_occurrences.pt"
        if options.file is None:
            write(file, options.records)
        print(f"{file.stat().st_size / 2**20:,.0f} MB")
        for turn in range(options.times):
            out = Path(folder) / f"run{turn}"
            sides = {
                "torch.load and a data frame": ["-c", BY_HAND, str(file)],
                "rockcore import": [
                    *("-m", "rockcore", "import", "rock-token", str(file), "--out", str(out)),
                ],
            }
            for name, arguments in sides.items():
                seconds, cpu, peak = measured(arguments)
                print(f"{name}: {seconds:.1f} s, {cpu:.1f} s of CPU, {peak:,.0f} MB", flush=True)


if __name__ == "__main__":
    main()
