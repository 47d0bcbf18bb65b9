"""Where the texts that are scored come from: a run, or a file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd

from rockcore.log import Run
from rockcore.log.checks import read_columns
from rockcore.log.files import steps_and_files, table_files
from rockcore.log.folders import META
from rockcore.prompts import load_texts, turns_in
from rockcore.schema import Prompt, RockError, RunNotFound, Texts
from rockcore.training.models import Ids

_KEPT = ("temperature", "top_p", "max_new_tokens", "seed", "scenario", "origin")


class NoTexts(RockError, ValueError):
    """There is nothing that could be scored."""


@dataclass(frozen=True)
class Text:
    """What was written on a prompt."""

    rollout_id: int
    task: Prompt
    response: str | None  # None where the log has ids alone
    ids: Ids | None = None  # as the log has them
    correct: bool | None = None
    truncated: bool | None = None


class TextsOfStep(NamedTuple):
    """Texts that a student wrote, and after how many updates; None where nobody says."""

    step: int | None
    texts: Sequence[Text]


class Source(Protocol):
    """Where texts come from."""

    @property
    def name(self) -> str: ...

    @property
    def tokenizer(self) -> str:
        """The hash of the one its ids are of; empty where there are none."""
        ...

    @property
    def kept(self) -> dict[str, Any]:
        """What run.json says of how they were sampled."""
        ...

    @property
    def mark(self) -> str:
        """Changes when the texts do."""
        ...

    def steps(self) -> list[int]:
        """The steps whose students wrote fresh texts; empty where nobody says."""
        ...

    def of_step(self, step: int) -> TextsOfStep: ...

    def by(self, texts: Texts) -> TextsOfStep:
        """The texts of the first or the final student."""
        ...


def open_source(path: Path) -> Source:
    """A run or a file of texts. Raises RunNotFound, DamagedRun, BadPrompts or NoTexts."""
    if (path / META).exists() or path.is_dir():
        return RunTexts(Run.open(path))
    if not path.exists():
        raise RunNotFound(
            f"{path} does not exist",
            "What is scored is a run or a file of texts",
            "Give the folder of a run, or a .jsonl or .parquet file",
        )
    return FileTexts(path)


@dataclass(frozen=True)
class FileTexts:
    """The rows of a file, all of one student."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def tokenizer(self) -> str:
        return ""

    @property
    def kept(self) -> dict[str, Any]:
        return {}

    @property
    def mark(self) -> str:
        with self.path.open("rb") as file:
            content = hashlib.sha256()
            while part := file.read(1 << 20):
                content.update(part)
        return content.hexdigest()[:16]

    def steps(self) -> list[int]:
        return []

    def of_step(self, step: int) -> TextsOfStep:
        rows = enumerate(load_texts(self.path))
        return TextsOfStep(None, [Text(i, task, response) for i, (task, response) in rows])

    def by(self, texts: Texts) -> TextsOfStep:
        return self.of_step(0)


@dataclass(frozen=True)
class RunTexts:
    """The texts of a run on disk."""

    run: Run

    @property
    def name(self) -> str:
        return self.run.path.resolve().name

    @property
    def tokenizer(self) -> str:
        return self.run.meta.tokenizer_hash

    @property
    def kept(self) -> dict[str, Any]:
        return {name: getattr(self.run.meta, name) for name in _KEPT}

    @property
    def mark(self) -> str:
        return self.run.fingerprint()

    def steps(self) -> list[int]:
        return self.run.steps("rollouts")

    def of_step(self, step: int) -> TextsOfStep:
        tokens = [f for s, f in steps_and_files(self.run.path, "tokens") if s == step]
        return TextsOfStep(step, _texts(self.run.rollouts(step), _ids(tokens)))

    def by(self, texts: Texts) -> TextsOfStep:
        """Those of the probe set where there is one; else the fresh ones of the first or the last
        step. Raises NoTexts.
        """
        probes = self.run.rollouts(probe_set=texts.value)
        if len(probes):
            step = int(probes.step.iloc[0])
            return TextsOfStep(
                step, _texts(probes, _ids(table_files(self.run.path, texts.table)[:1]))
            )
        steps = self.steps()
        if not steps:
            raise NoTexts(
                f"{self.run.path} holds no texts",
                "Only what was written can be scored",
                "Import a log that holds prompts and responses, or give a file of texts",
            )
        return self.of_step(steps[-1] if texts is Texts.FINAL else steps[0])


def _ids(files: list[Path]) -> dict[int, Ids]:
    """The token ids of each rollout of one file of tokens, or none."""
    if not files:
        return {}
    rows = read_columns(files[0], ["rollout_id", "position", "token_id"])
    order = np.lexsort((rows["position"], rows["rollout_id"]))
    rollout, ids = rows["rollout_id"][order], rows["token_id"][order]
    starts = np.flatnonzero(np.diff(rollout, prepend=-1))
    return {
        int(rollout[start]): part.tolist()
        for start, part in zip(starts, np.split(ids, starts[1:]), strict=True)
    }


def _texts(frame: pd.DataFrame, ids: dict[int, Ids]) -> list[Text]:
    rows: Any = frame.sort_values("rollout_id").to_dict("records")
    return [
        Text(
            int(row["rollout_id"]),
            _prompt(*(_known(row[name]) for name in ("prompt", "teacher_prompt", "answer"))),
            _known(row["response"]),
            ids.get(int(row["rollout_id"])),
            _known(row["correct"]),
            _known(row["truncated"]),
        )
        for row in rows
    ]


def _prompt(prompt: str | None, teacher_prompt: str | None, answer: str | None) -> Prompt:
    """As the log has it; what it spells out as a conversation in its turns."""
    own, others = prompt or "", teacher_prompt or prompt or ""
    return Prompt(own, others, answer, turns_in(own), turns_in(others))


def _known(value: Any) -> Any:
    return None if value is None or value is pd.NA or value != value else value
