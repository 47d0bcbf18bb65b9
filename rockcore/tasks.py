"""What a session trains on, probes and is graded on: the built-in world, or a file of prompts."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import pyarrow.parquet as pq

from rockcore import world
from rockcore.config import BadConfig, ResolvedConfig
from rockcore.log import sample_runs
from rockcore.schema import Prompt, RockError

T = TypeVar("T")
_SHAPE = (
    "Give each row `prompt`, and optionally `teacher_prompt` and `answer`: "
    '{"prompt": "2+2?", "answer": "4"}'
)

_TEXT_SHAPE = (
    "Give each row `prompt` and `response`, and optionally `teacher_prompt` and `answer`: "
    '{"prompt": "2+2?", "response": "It is 4.", "answer": "4"}; what a trainer wrote is read by '
    "`rockcore import`"
)


class BadPrompts(RockError, ValueError):
    """A prompts file that is not what was asked for."""


# which student a scenario starts from: habit and hidden share one, which learned every mood but not
# when it is used
STARTING_STUDENT = {"habit": "student-mixed", "hidden": "student-mixed", "skill": "student-styled"}


@dataclass(frozen=True)
class Tasks:
    """The prompts of a session. Held-out prompts are never trained on; probes from a file are,
    those of the world are not.
    """

    models: tuple[str, str]  # student, teacher
    probes: dict[str, Sequence[Prompt]]  # the prompts of each of schema.PROBE_SETS
    held_out: Sequence[Prompt]
    training: Iterator[Prompt]  # endless; consumed in order
    known: Sequence[
        Prompt
    ]  # all of them, or examples of an endless supply: the longest is checked to fit the models
    origin: str  # where a persisting divergence can come from
    # of each probe set the further prompts whose texts enter the sums of gradients, and no more
    summed: dict[str, Sequence[Prompt]] = field(default_factory=dict)

    @classmethod
    def of(cls, config: ResolvedConfig) -> Tasks:
        """Raises BadPrompts for a file that is not one of prompts, BadConfig for one that is too
        short.
        """
        return _builtin(config) if config.prompts is None else _from_file(config)

    def batch(self, n: int) -> list[Prompt]:
        return list(islice(self.training, n))


def _builtin(config: ResolvedConfig) -> Tasks:
    folder = sample_runs() / "models"
    scenario = world.SCENARIOS[config.scenario]
    most = max(config.probes, config.final_probes, config.gradient_texts)
    probes = list(islice(world.prompts(scenario.name, "probe"), most))
    # held-out problems are the same for every seed, so that runs can be compared problem by problem
    return Tasks(
        models=(str(folder / STARTING_STUDENT[scenario.name]), str(folder / "teacher")),
        probes=_probe_sets(config, probes),
        held_out=list(islice(world.prompts(scenario.name, "held-out"), config.held_out)),
        training=world.prompts(scenario.name, f"training {config.seed}"),
        known=list(islice(world.prompts(scenario.name, "lengths"), 200)),
        origin=scenario.origin,
        summed=_summed(config, probes),
    )


def _from_file(config: ResolvedConfig) -> Tasks:
    assert config.prompts and config.student and config.teacher, (
        "a resolved configuration has all three or none"
    )
    prompts = load_prompts(config.prompts)
    random.Random(f"split {config.seed}").shuffle(prompts)
    graded = [p for p in prompts if p.answer is not None]
    held_out = graded[: min(config.held_out, len(prompts) // 5)]
    kept = {p.prompt for p in held_out}  # a prompt that stands in the file twice is held out twice
    training = [p for p in prompts if p.prompt not in kept]
    if not training:
        raise BadConfig(
            f"{config.prompts} has only {len(prompts)} prompts",
            "Some are held out, some trained on",
            "Give more prompts or --held-out 0",
        )
    privileged = any(p.prompt != p.teacher_prompt for p in prompts)
    return Tasks(
        models=(config.student, config.teacher),
        probes=_probe_sets(config, training),
        held_out=held_out,
        training=epochs(training, random.Random(f"epochs {config.seed}")),
        known=prompts,
        origin="The teacher reads prompts that the student does not see: part of the divergence "
        "may be impossible to train away."
        if privileged
        else "",
        summed=_summed(config, training),
    )


def _probe_sets(config: ResolvedConfig, prompts: Sequence[Prompt]) -> dict[str, Sequence[Prompt]]:
    """Both sets begin with the same prompts. Each is answered once: a file with fewer than wanted
    gives fewer texts.

    A second text on one prompt would not be independent of the first, and every interval takes
    texts as independent.
    """
    return {"first": prompts[: config.probes], "final": prompts[: config.final_probes]}


def _summed(config: ResolvedConfig, prompts: Sequence[Prompt]) -> dict[str, Sequence[Prompt]]:
    """The prompts that follow those of each probe set, up to as many texts as gradients are summed
    over; none for a set that is left out.
    """
    sizes = {"first": config.probes, "final": config.final_probes}
    return {name: prompts[n : config.gradient_texts] if n else [] for name, n in sizes.items()}


def epochs(items: Sequence[T], rng: random.Random) -> Iterator[T]:
    """Endless: each item once an epoch, in an order drawn anew."""
    while True:
        yield from rng.sample(items, len(items))


def load_prompts(path: str | Path) -> list[Prompt]:
    """The prompts of a .jsonl or .parquet file, in order; `teacher_prompt` defaults to `prompt`.

    Raises BadPrompts, which names the file, the first bad row and what is wrong with it.
    """
    path = Path(path)
    rows = _read(path)
    if not rows:
        raise BadPrompts(f"{path} holds no rows", "There is nothing to answer", _SHAPE)
    return [_prompt(f"{path}, row {number}", row) for number, row in enumerate(rows, 1)]


def load_texts(path: str | Path) -> list[tuple[Prompt, str]]:
    """The prompts of such a file, each with the `response` that its row holds; raises BadPrompts,
    also for a row without one.
    """
    path = Path(path)
    rows = _read(path)
    if not rows:
        raise BadPrompts(f"{path} holds no rows", "There is nothing to score", _TEXT_SHAPE)
    texts = []
    for number, row in enumerate(rows, 1):
        where = f"{path}, row {number}"
        prompt = _prompt(where, row)
        response = row.get("response")
        if not isinstance(response, str):
            found = "has no 'response'" if response is None else "has a response that is no text"
            raise BadPrompts(f"{where} {found}", "Only what was written can be scored", _TEXT_SHAPE)
        texts.append((prompt, response))
    return texts


def _read(path: Path) -> list[Any]:
    if not path.is_file():
        raise BadPrompts(
            f"{path} does not exist",
            "Prompts are read from a file",
            "Give the path of a .jsonl or .parquet file",
        )
    try:
        if path.suffix in {".jsonl", ".json"}:
            with path.open(
                encoding="utf-8"
            ) as lines:  # not splitlines(), which also splits at U+2028 inside a string
                return [json.loads(line) for line in lines if line.strip()]
        if path.suffix == ".parquet":
            return pq.read_table(path).to_pylist()
    except (ValueError, OSError) as e:
        raise BadPrompts(
            f"{path} cannot be read ({str(e).splitlines()[0]})",
            "It is not valid JSON lines or Parquet",
            _SHAPE,
        ) from e
    why = "Only JSON lines and Parquet are read"
    raise BadPrompts(
        f"{path} ends in '{path.suffix}'", why, "Convert it to .jsonl: one JSON object a line"
    )


def _kind(value: Any) -> str:
    """What a value of JSON or Parquet is, in a word."""
    kinds: dict[type, str] = {bool: "truth value", int: "number", float: "number", str: "text"}
    return (kinds | {list: "list", type(None): "null"}).get(type(value), "object")


def _prompt(where: str, row: Any) -> Prompt:
    if not isinstance(row, dict) or "prompt" not in row:
        # never what it says: a page shows this to who may not read the file
        found = f"{len(row)} other fields" if isinstance(row, dict) else f"a {_kind(row)}"
        raise BadPrompts(
            f"{where} has no 'prompt' (found: {found})", "There is nothing to answer", _SHAPE
        )
    prompt, answer = row["prompt"], row.get("answer")
    teacher = prompt if row.get("teacher_prompt") is None else row["teacher_prompt"]
    for name, text in (("prompt", prompt), ("teacher_prompt", teacher)):
        if not isinstance(text, str) or not text.strip():
            raise BadPrompts(
                f"{where}: {name} is {'empty' if isinstance(text, str) else f'a {_kind(text)}'}",
                "A prompt is a text that is not empty",
                _SHAPE,
            )
    if isinstance(answer, float) and answer.is_integer():
        answer = int(answer)  # a column of numbers with gaps makes 4.0 of 4
    return Prompt(prompt, teacher, None if answer is None or answer != answer else str(answer))
