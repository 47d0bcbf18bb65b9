"""An import that is killed leaves nothing that opens as a run."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rockcore.importers import format_named, import_run
from rockcore.log import Run, find_runs
from rockcore.schema import RockError

# kills its own process at a moment of the import: when bytes were read, or at the n-th renaming of
# a file
SCRIPT = """
import os, signal, sys
from pathlib import Path
from rockcore.importers import format_named, import_run

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

left, replace = int(sys.argv[3]), os.replace
def renamed(source, target):
    global left
    left -= 1
    if left < 0:
        die()
    replace(source, target)

os.replace = renamed
listen = die if left < 0 else lambda at: None
import_run(format_named("table"), [Path(sys.argv[1])], Path(sys.argv[2]), listen=listen)
"""
# of 2 steps: vocab, run.json, then rollouts, types, tokens and metrics of each, run.json, the whole
RENAMED = 12


def write_export(file: Path) -> Path:
    rows = [
        {"step": step, "rollout_id": r, "prompt": "p", "token_id": [1, 2], "kl": [0.5, 0.25]}
        for step in (0, 5)
        for r in range(3)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def killed(file: Path, out: Path, moment: int) -> int:
    return subprocess.run([sys.executable, "-c", SCRIPT, file, out, str(moment)]).returncode


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("moment", [-1, 1, 5, RENAMED - 1])
def test_a_killed_import_leaves_nothing_that_opens_and_can_be_done_again(
    moment: int, tmp_path: Path
):
    file, out = write_export(tmp_path / "a.jsonl"), tmp_path / "run"
    assert killed(file, out, moment) == -9
    assert find_runs([tmp_path]) == []
    with pytest.raises(RockError):
        Run.open(out)
    import_run(format_named("table"), [file], out)
    assert Run.open(out).steps() == [0, 5]
    assert sorted(f.name for f in tmp_path.iterdir()) == ["a.jsonl", "run"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_beside_the_output_of_a_page_a_run_appears_with_its_run_json(tmp_path: Path):
    file, out = write_export(tmp_path / "a.jsonl"), tmp_path / "run"
    out.mkdir()
    (out / "output.txt").write_text("10 % read\n")
    assert killed(file, out, RENAMED + 4) == -9  # before the last of the files that are moved
    assert find_runs([tmp_path]) == []
    for left in out.iterdir():
        if left.is_dir():
            shutil.rmtree(left)
        elif left.name != "output.txt":
            left.unlink()
    import_run(format_named("table"), [file], out)
    assert Run.open(out).meta.status == "finished" and (out / "output.txt").exists()
