"""What a session trains on, probes and is graded on: the built-in world, or a file of prompts."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from rockcore import world
from rockcore.config import BadConfig, ResolvedConfig
from rockcore.log import sample_runs
from rockcore.prompts import BadPrompts, load_prompts
from rockcore.schema import Prompt

__all__ = ["BadPrompts", "Tasks", "epochs", "load_prompts"]
T = TypeVar("T")
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
    notes: Sequence[str] = ()  # what of the prompts file is not used, and why

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
    notes: list[str] = []
    prompts = load_prompts(config.prompts, notes.append)
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
    privileged = any(p.read_by(True) != p.read_by(False) for p in prompts)
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
        notes=notes,
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
