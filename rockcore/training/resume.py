"""What a run keeps of its settings, and how it goes on with them: a flag that contradicts the run
is refused, one that repeats it is not, and what a killed process left half done is cleared away.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from rockcore.config import (
    ARM_SETTINGS,
    BadConfig,
    ResolvedConfig,
    SessionConfig,
    flag_of,
    is_given,
)
from rockcore.interventions import check_set, load_set
from rockcore.log import Run, RunWriter
from rockcore.log.files import sweep
from rockcore.log.folders import ROCKS
from rockcore.log.lock import Lock
from rockcore.rocks.rockset import RockSet
from rockcore.schema import DamagedRun, RunMeta, tokenizer_hash
from rockcore.tasks import Tasks
from rockcore.training.models import Model

# what may change when a run goes on, and of it what stays as it was unless it is given
_KEPT = {"steps", "teacher_device", "micro_batch", "gradient_checkpointing"}
_FREE = {"out", "resume", "device", "threads"} | _KEPT
_PLACES = {"student", "teacher", "prompts", "rocks"}  # folders, files or hub names


def run_to_resume(config: SessionConfig) -> Run:
    """The run that goes on. Raises BadConfig where none is named, and as Run.open does."""
    if config.out is None:
        raise BadConfig(
            "--resume without --out", "Only a run that is named can go on", "Add --out DIR"
        )
    return Run.open(config.out)


def stored_config(config: SessionConfig) -> ResolvedConfig:
    """The configuration of the run in `config.out`, for going on with it.

    Raises BadConfig where a flag contradicts the run, or leaves nothing to do; DamagedRun where
    run.json holds a setting that cannot be one.
    """
    run = run_to_resume(config)
    stored = _settings_of(run)
    given = {name: value for name in _KEPT if is_given(value := getattr(config, name))}
    resumed = SessionConfig(
        **{**stored, **given},
        out=config.out,
        resume=True,
        device=config.device,
        # the same number of threads, or the log would differ in its last bits from one of a run
        # that never stopped
        threads=(run.meta.threads or None) if config.threads is None else config.threads,
    ).resolved()
    _refuse_contradictions(config, resumed)
    logged = run.steps("metrics")[-1:]
    finished = run.meta.status == "finished"
    if logged and (resumed.steps < logged[0] or (finished and resumed.steps == logged[0])):
        raise BadConfig(
            f"{config.out} has {logged[0]} steps already",
            f"There is nothing left to do up to {resumed.steps}",
            "Add --steps N to train it further",
        )
    return resumed


def config_of(run: Run, **changes: Any) -> ResolvedConfig:
    """The configuration that a run was trained with, some of it changed, to ask its student
    something else. Raises BadConfig or DamagedRun.
    """
    return SessionConfig(**{**_settings_of(run), "out": run.path, **changes}).resolved()


def _settings_of(run: Run) -> dict[str, Any]:
    """What run.json says of the settings that stay as they are if nothing else is said."""
    known = {f.name for f in fields(SessionConfig)} - _FREE | _KEPT
    stored = {name: value for name, value in run.meta.config.items() if name in known}
    if stored.get("steps") is None:
        raise BadConfig(
            f"{run.path} holds no settings to go on with",
            "It was not trained by rockcore train",
            "Start a new run in another folder",
        )
    _refuse_damaged(run, stored)
    for name in ("prompts", "rocks"):
        stored[name] = Path(stored[name]) if stored.get(name) else None
    return stored


def _refuse_damaged(run: Run, stored: dict[str, Any]) -> None:
    """Raises DamagedRun, which names the first setting of run.json of another type than here."""
    kinds = get_type_hints(SessionConfig)
    for name, value in stored.items():
        if not any(_is_a(kind, value) for kind in get_args(kinds[name]) or (kinds[name],)):
            shown = ascii(value)
            raise DamagedRun(
                f"{run.path / 'run.json'}: config.{name} is "
                f"{shown if len(shown) <= 80 else shown[:79] + '…'}",
                "A run goes on with the settings it began with, and this cannot be one",
                "Copy the file from a backup, or start a new run in another folder",
            )


def _is_a(kind: Any, value: Any) -> bool:
    """Whether JSON's value is of one kind that a field of SessionConfig may be."""
    if get_origin(kind) is Literal:
        return isinstance(value, str) and value in get_args(kind)
    if kind is int:  # True is no number, and a seed of more bits nothing that is counted
        return type(value) is int and abs(value) < 2**63
    if kind is float:
        return type(value) in (int, float) and abs(value) <= sys.float_info.max
    return isinstance(value, str if kind is Path else kind)


def _refuse_contradictions(asked: SessionConfig, has: ResolvedConfig) -> None:
    """Raises BadConfig, which names the first flag that is given and differs from the run."""
    for name in sorted({f.name for f in fields(SessionConfig)} - _FREE):
        wanted, there = getattr(asked, name), getattr(has, name)
        if name == "scenario" and not has.is_builtin:
            there = None
        alike = _same_place(wanted, there) if name in _PLACES else wanted == there
        own = has.out / ROCKS
        if name == "rocks" and wanted and there and Path(wanted).exists() and own.exists():
            alike = load_set(Path(wanted)) == load_set(own)
        if is_given(wanted) and not alike:
            flag = flag_of(name)
            found = f"{there}" if is_given(there) else f"no {flag}"
            raise BadConfig(
                f"{flag} {wanted} with --resume, but the run has {found}",
                "One run has one setting",
                f"Leave {flag} away",
            )


def _same_place(wanted: str | Path | None, there: str | Path | None) -> bool:
    """Whether two names are one hub name, or lead to one folder or file."""
    if wanted is None or there is None:
        return False
    return str(wanted) == str(there) or Path(wanted).resolve() == Path(there).resolve()


def settings_as_json(config: SessionConfig) -> dict[str, Any]:
    """The configuration as JSON takes it, without what is said anew when a run goes on; paths
    absolute, to resume from anywhere.
    """
    kept = {k: v for k, v in asdict(config).items() if k not in ("out", "resume")}
    places = {
        k: str(Path(v).resolve() if Path(v).exists() else v)
        for k in sorted(_PLACES)
        if (v := kept[k]) is not None
    }
    return {**kept, **places}


def first_meta(
    config: ResolvedConfig,
    tasks: Tasks,
    student: Model,
    teacher: Model,
    threads: int,
    notes: Sequence[str] = (),
) -> RunMeta:
    """What run.json says when a run begins."""
    return RunMeta(
        name=config.out.name,
        student=config.student or Path(student.name).name,
        teacher=config.teacher or Path(teacher.name).name,
        tokenizer_hash=tokenizer_hash(student.tokenizer.get_vocab()),
        vocab_size=student.vocab_size,
        normaliser=config.normaliser,
        temperature=config.temperature,
        max_new_tokens=config.max_new_tokens,
        seed=config.seed,
        steps_planned=config.steps,
        scenario=config.scenario if config.is_builtin else "",
        origin=tasks.origin,
        threads=threads,
        device=str(student.device),
        dtype=config.dtype,
        code_version=version("rock-token-explorer"),
        started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        config=settings_as_json(config),
        notes=list(notes),
    )


def set_of(config: ResolvedConfig) -> RockSet | None:
    """The set that the arm weighs by, if any: a run that goes on has its own copy. Raises
    BadRockSet, BadRule or BadIntervention.
    """
    if config.rocks is None or "rocks" not in ARM_SETTINGS[config.arm]:
        return None
    own = config.out / ROCKS  # not there where a kill came right after the run had begun
    return load_set(own if config.resume and own.exists() else config.rocks)


def checked_set(config: ResolvedConfig, rocks: RockSet | None, student: Model) -> RockSet | None:
    """The same set; raises BadIntervention if its ids mean nothing to the student."""
    if rocks is not None and config.rocks is not None:
        of_student = tokenizer_hash(student.tokenizer.get_vocab())
        check_set(config.rocks, rocks, of_student, student.vocab_size)
    return rocks


def keep_set(writer: RunWriter, rocks: RockSet) -> None:
    """Write the set into the run, which then explains itself and goes on without the original.
    Raises LogWriteError.
    """
    writer.write_text(ROCKS, rocks.to_json())


def reopened(config: ResolvedConfig, student: Model, lock: Lock | None) -> RunWriter:
    """The log of a run that goes on, swept; raises BadConfig if its ids meant other tokens."""
    writer = RunWriter.reopen(config.out, lock)
    if writer.meta.tokenizer_hash != tokenizer_hash(student.tokenizer.get_vocab()):
        raise BadConfig(
            f"The tokenizer of {student.name} is not the one this run began with",
            "Its ids mean other tokens",
            "Restore it",
        )
    sweep(config.out)
    return writer


def unfinished(writer: RunWriter, step: int) -> str:
    """A sentence on a run whose log does not say how it ended."""
    over = "" if writer.lock is None else writer.lock.taken_over()
    return f"{over or f'{writer.path}: it ended without a word.'} It goes on from step {step}."


def claim(writer: RunWriter, config: ResolvedConfig, threads: int) -> None:
    """Write into run.json that the run is in training again, and how far it is to go."""
    writer.save_meta(
        status="running",
        reason="",
        steps_planned=config.steps,
        config=settings_as_json(config),
        threads=threads,
    )
