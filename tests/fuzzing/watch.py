"""Trials in a process of their own, watched: one that hangs, takes all memory or dies is a failure
like any other.

    python -m fuzzing.watch    reads a request a line, writes a result a line
"""

from __future__ import annotations

import faulthandler
import json
import os
import select
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

LIMIT_S = 20  # of processor time, for all that is asked in one trial
PATIENCE_S = 120  # of waiting: the machines are shared
MEMORY = 4 << 30  # bytes that a trial may hold
ADDRESSES = 24 << 30  # bytes that it may name: threads and files that are mapped count too
HERE = Path(__file__).parents[1]


class Worker:
    """A process that runs trials one after the other; a new one after each that it did not
    survive.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.process: subprocess.Popen[str] | None = None

    def _start(self) -> subprocess.Popen[str]:
        path = os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
        env = os.environ | {"PYTHONPATH": path, "FUZZ_FOLDER": str(self.folder)}
        env["OMP_NUM_THREADS"] = "1"  # of the small matrices here, threads cost more than they give
        self.errors = tempfile.TemporaryFile("w+", dir=self.folder)  # noqa: SIM115
        return subprocess.Popen(
            [sys.executable, "-m", "fuzzing.watch"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=env,
            cwd=self.folder,
        )

    def ask(self, number: int, **request: Any) -> dict[str, Any]:
        """The result of a trial, as JSON."""
        if self.process is None or self.process.poll() is not None:
            self.process = self._start()
        assert self.process.stdin and self.process.stdout
        print(json.dumps({"number": number, **request}), file=self.process.stdin, flush=True)
        ready, _, _ = select.select([self.process.stdout], [], [], 2 * PATIENCE_S)
        line = self.process.stdout.readline() if ready else ""
        if line:
            return json.loads(line)
        self.process.kill()
        code = self.process.wait()
        self.errors.seek(0)
        said = self.errors.read()[-1500:]
        self.process = None
        about = f"the process {'was killed' if not ready else f'ended with {code}'}: {said}"
        return {"number": number, "base": "", "outcome": "FAILED", "failures": [about]}

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def main() -> None:
    import resource
    import time

    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what anything prints by itself is no result
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    faulthandler.enable()
    from fuzzing.trials import as_json, before, trial

    known = 0  # bases that are written: the first trial of each writes it
    for line in sys.stdin:
        request = json.loads(line)
        faulthandler.dump_traceback_later(PATIENCE_S, exit=True)
        start = time.process_time()
        result = trial(**request)
        faulthandler.cancel_dump_traceback_later()
        took = time.process_time() - start - result.damaging_s
        fresh, known = before.cache_info().currsize > known, before.cache_info().currsize
        if took > LIMIT_S and not fresh:
            result.outcome = "FAILED"
            result.failures.append(f"took {took:.0f} s")
        held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << (
            10 * (sys.platform == "linux")
        )
        if held > MEMORY:
            result.outcome = "FAILED"
            result.failures.append(f"held {held >> 20} MB")
        print(json.dumps(as_json(result)), file=results, flush=True)
        if held > MEMORY:
            return  # the peak would be told of every later trial too


if __name__ == "__main__":
    main()
