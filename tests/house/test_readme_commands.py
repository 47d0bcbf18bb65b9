"""Every command of the README is run, in its order, in a folder like that of a reader: there are
models, prompts, rules and dumps under the names that it uses. What is smaller here than there is
declared in SMALL and INSTEAD, what is not run in NOT_RUN.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import small_pairs
import torch
from importers import authors_files, dumps, test_nemo_rl, test_prime_rl, test_text_dumps
from importers.test_line_formats import response, told
from small_arms import write_small_arms

from rockcore import cli
from rockcore.log import sample_runs
from rockcore.rocks.rule import RockRule

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.split("  #")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", README, re.S)
    for line in block.splitlines()
]
# what a command gets beside its own flags, so that it is done in a moment
SMALL = {
    "train": "--steps=2 --rollouts=4 --probes=2 --final-probes=4 --held-out=4 --probe-every=1 "
    "--threads=1 --max-new-tokens=24",
    "knockout": "--problems=4 --rollouts=4 --processes=1 --count=2 --no-windows",
    "score": "--device=cpu",
    "app": "--headless",
}
INSTEAD = {  # in a command -> what stands there when it is run
    "--gradient-texts 512": "--gradient-texts 6",
    "--gradients full": "--gradients full --exact-positions 3",
    "--random 5": "--random 1",
    # two steps leave no set that is stable
    "export runs/first": f"export {shlex.quote(str(sample_runs() / 'habit'))}",
    "accelerate launch -m rockcore": "rockcore",  # which starts it once for each GPU
}
NOT_RUN = {  # the beginning of a command -> where it is run
    "python -m pip install": ".ci/run, before the tests",
    "rockcore arms": "21 trainings: tests/commands/test_arms_command.py, on a small pair",
    "rockcore app": "it does not end: tests/browser, and test_doors.py with each of these flags",
}


def arguments(command: str) -> tuple[list[str], Path | None]:
    """What `rockcore` gets, and the file that takes its output; small where SMALL says so."""
    for there, here in INSTEAD.items():
        command = command.replace(there, here)
    words = shlex.split(command)
    assert words.pop(0) == "rockcore", command
    into = Path(words[words.index(">") + 1]) if ">" in words else None
    words = words[: words.index(">")] if into else words
    given = {word.split("=")[0] for word in words}
    more = [flag for flag in SMALL.get(words[0], "").split() if flag.split("=")[0] not in given]
    if words[0] == "knockout" and "--json" in words:
        more = []  # it reads the screen that is done
    if "--candidates" in words:
        more.remove("--count=2")  # it is for those that are taken by score
    return [*words, *more], into


def is_run(command: str) -> bool:
    return not any(command.startswith(beginning) for beginning in NOT_RUN)


@pytest.mark.parametrize("command", [c for c in COMMANDS if "rockcore " in c and "pip " not in c])
def test_every_command_of_the_readme_is_understood_with_its_values(command: str):
    words, _ = arguments(command)
    asked = cli.read(words)
    assert asked.command and callable(asked.run)


def write_what_a_reader_has() -> None:
    """In the current folder."""
    for name, seed in (("student", 0), ("teacher", 1), ("models/student", 0)):
        small_pairs.save(Path(name), seed=seed)
    shutil.copytree("student", "outputs/checkpoint-100")
    small_pairs.prompts_file(Path("prompts.jsonl"))
    blocks = re.findall(r"```json\n(.*?)```", README, re.S)
    texts = next(block for block in blocks if '"response"' in block)
    Path("texts.jsonl").write_text(texts * 3)
    chats = next(block for block in blocks if '"messages"' in block)
    Path("chats.jsonl").write_text(chats * 4)
    for name in ("student", "teacher"):
        write_template(Path(name) / "tokenizer_config.json")
    Path("rules").mkdir()
    Path("rules/mine.json").write_text(RockRule(name="mine", window=3).to_json())
    write_dumps()
    write_small_arms(Path("runs/arms"))


def write_template(file: Path) -> None:
    """The smallest chat template, that looks at an argument too."""
    said = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    think = "{% if enable_thinking %}think{% endif %}"
    about = json.loads(file.read_text()) | {"chat_template": said + think}
    file.write_text(json.dumps(about))


def write_dumps() -> None:
    texts = dumps.drawn()
    for folder in ("dumps", "D"):
        dumps.save_trained(Path(folder), 3, [dumps.trained_sample(text) for text in texts])
    Path("out").mkdir()
    test_text_dumps.write_trl(Path("out"))
    rows = {"rollout_id": [0, 0, 0], "position": [0, 1, 2], "token_id": [3, 4, 5], "step": [1] * 3}
    pq.write_table(pa.table(rows | {"reverse_kl": np.full(3, 0.1)}), "log.parquet")
    for folder in ("logs/exp_001", "samples"):
        Path(folder).mkdir(parents=True)
    test_nemo_rl.told(Path("logs/exp_001/train_data_step7.jsonl"), *test_nemo_rl.SAMPLES)
    Path("logs/exp_001/config.yaml").write_text("grpo:\n  adv_estimator:\n    name: opd\n")
    told(Path("samples/rows.jsonl"), [response(2, words) for words in (["a", "b"], ["b", "c"])])
    file = Path("outputs/run/rollouts/step_0/train/effective/traces.jsonl")
    test_prime_rl.lines(file, [test_prime_rl.episode(*test_prime_rl.TRACES)])
    for name, seed in (("pre", 0), ("post", 1)):
        authors_files.save_occurrences(Path(f"{name}.pt"), authors_files.records((4, 6), seed))


@contextlib.contextmanager
def written_to(into: Path | None) -> Iterator[None]:
    if into is None:
        yield
        return
    with into.open("w") as file, contextlib.redirect_stdout(file):
        yield


def test_every_command_of_the_readme_runs_in_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_what_a_reader_has()
    threads, failed = torch.get_num_threads(), {}
    for command in filter(is_run, COMMANDS):
        words, into = arguments(command)
        try:
            with written_to(into):
                cli.main(words)
        except SystemExit as end:
            told = capsys.readouterr()
            if end.code:
                failed[command] = told.out[-500:] + told.err[-1500:]
        if into:  # of two steps no set is stable: that of the bundled run takes its place
            assert json.loads(into.read_text())["name"] == "first"
            into.write_text(bundled_set())
    torch.set_num_threads(threads)
    assert not failed, "\n\n".join(f"{command}\n{said}" for command, said in failed.items())


def bundled_set() -> str:
    return subprocess.run(
        [sys.executable, "-m", "rockcore", "rocks", str(sample_runs() / "habit"), "--json"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
