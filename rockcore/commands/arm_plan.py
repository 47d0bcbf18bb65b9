"""From the flags of `rockcore arms` to a plan, and from a plan to the settings of each run.

Whatever cannot work is told before anything is written.
"""

from __future__ import annotations

import hashlib
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from rockcore.config import (
    ARM_SETTINGS,
    ArmName,
    BadConfig,
    SessionConfig,
    defaults,
    flag_of,
    free_folder,
    is_given,
)
from rockcore.interventions import Arm, check_set, load_set
from rockcore.log.arms import BASELINE, PLAN, ArmsFolder, Cell, Plan
from rockcore.log.files import commit, sweep
from rockcore.log.holders import LOCK
from rockcore.rocks import RockSet
from rockcore.schema import RockError, tokenizer_hash

if TYPE_CHECKING:
    from rockcore.commands.arms import Arms

ARMS = "baseline,rock-freeze,random-freeze,dynamic"
SEEDS = 5
# the compared seeds begin at 1, so that a set found on the usual run, of seed 0, was found on none
# of those that it is measured on
SCOUT_SEED, FIRST_SEED = 0, 1
LOGGED = (
    3  # times a run that tokens are logged, before its end: to log frozen ones is to judge them
)
FREE = ("device", "threads")  # may change when a comparison goes on
OF_ARMS = tuple(dict.fromkeys(name for names in ARM_SETTINGS.values() for name in names))
_OF_A_RUN = ("out", "seed", "arm", "rocks", "resume")  # differ from run to run, or are told anew
_PLACES = ("student", "teacher", "prompts")


class PlanChanged(RockError, ValueError):
    """A comparison was to go on with other settings than it began with."""


def opened(command: Arms) -> ArmsFolder:
    """The comparison that the command names, begun if it is new.

    Raises PlanChanged where it contradicts the plan that is there; BadConfig, BadPrompts,
    BadRockSet, BadIntervention or ModelNotFound for what cannot work.
    """
    place = command.out or free_folder("arms")
    sweep(place, deep=False)
    given = None if command.rocks is None else load_set(command.rocks)
    if (place / PLAN).exists():
        folder = ArmsFolder.open(place)
        _refuse_changes(command, folder, given)
        if given is not None and not folder.rocks.exists():
            _refuse_what_cannot_train(command, folder.plan, given)
            write_set(folder, given)
            folder = ArmsFolder.create(place, replace(folder.plan, rocks=digest(given)))
        return folder
    if place.exists() and (not place.is_dir() or {p.name for p in place.iterdir()} - {LOCK}):
        raise PlanChanged(
            f"{place} holds files and no arms.json",
            "The runs of a comparison would mix with them",
            "Choose a new folder",
        )
    plan = _planned(command, given)
    _refuse_what_cannot_train(command, plan, given)
    folder = ArmsFolder(place, plan)
    if given is not None:
        write_set(folder, given)
    return ArmsFolder.create(place, plan)


def _planned(command: Arms, given: RockSet | None) -> Plan:
    """The plan that a command asks for. Raises BadConfig."""
    arms = _arms_of(command.arms or ARMS)
    seeds = SEEDS if command.seeds is None else command.seeds
    if seeds < 1:
        raise BadConfig(f"--seeds {seeds}", "It is a number of seeds", "Give 2 or more")
    needs_set = any("rocks" in ARM_SETTINGS[arm] for arm in arms)
    return Plan(
        arms,
        tuple(range(FIRST_SEED, FIRST_SEED + seeds)),
        SCOUT_SEED if needs_set and given is None else None,
        "" if given is None else digest(given),
        _settings_of(command, arms),
    )


def _arms_of(text: str) -> tuple[str, ...]:
    arms = tuple(name.strip() for name in text.split(",") if name.strip())
    known = get_args(ArmName)
    strange = [arm for arm in arms if arm not in known]
    if strange or len({*arms}) < len(arms) or BASELINE not in arms:
        raise BadConfig(
            f"no arm {strange[0]!r}" if strange else f"--arms {text}",
            f"The arms are {', '.join(known)}; each is named once, and all are compared with "
            f"{BASELINE}",
            f"Give for instance --arms {ARMS}",
        )
    return arms


def _settings_of(command: Arms, arms: tuple[str, ...]) -> dict[str, Any]:
    """What all runs share, with its gaps filled, as JSON takes it. Raises BadConfig."""
    own = {name: getattr(command, name) for name in OF_ARMS if name != "rocks"}
    used = {name for arm in arms for name in ARM_SETTINGS[arm]}
    for name, value in own.items():
        if is_given(value) and name not in used:
            users = [arm for arm, names in ARM_SETTINGS.items() if name in names]
            raise BadConfig(
                f"{flag_of(name)} with --arms {','.join(arms)}",
                f"None of them looks at it; {' and '.join(users)} would",
                f"Leave {flag_of(name)} away, or add such an arm",
            )
    names = [f.name for f in fields(SessionConfig) if f.name not in (*_OF_A_RUN, *FREE, *own)]
    asked = SessionConfig(**{name: getattr(command, name) for name in names}, out=Path("any"))
    asked.refuse_unused()
    resolved = asked.resolved()
    shared = {name: getattr(resolved, name) for name in names}
    if command.log_every is None:
        shared["log_every"] = max(1, resolved.steps // LOGGED)
    unused = {"exact_positions"} if asked.is_builtin else {"exact_positions", "scenario"}
    of_arms = {n: defaults().get(n) if v is None else v for n, v in own.items() if n in used}
    kept = {name: value for name, value in (shared | of_arms).items() if name not in unused}
    return {name: _plain(name, value) for name, value in kept.items()}


def _plain(name: str, value: Any) -> Any:
    """As JSON takes it; what is a folder or file here is found from anywhere."""
    if value is not None and name in _PLACES and Path(value).exists():
        return str(Path(value).resolve())
    return str(value) if isinstance(value, Path) else value


def _refuse_what_cannot_train(command: Arms, plan: Plan, given: RockSet | None) -> None:
    """Check what each run would say before it begins, and not hours later: settings, prompts,
    models, room for the texts, the tokenizer of a set.
    """
    from rockcore.tasks import Tasks

    place = Path("any")
    for arm in plan.arms:
        config = config_of(ArmsFolder(place, plan), Cell(arm, FIRST_SEED))
        config.refuse_unused()
        settings = config.resolved()
    tasks = Tasks.of(settings)
    try:
        from rockcore.training import loading, models
    except ModuleNotFoundError as e:
        raise BadConfig(
            f"{e.name} is not installed",
            "Training needs torch and transformers",
            'python -m pip install -e ".[train]"',
        ) from e
    device = loading.usable_device(command.device)
    student, teacher = loading.load_pair(
        *tasks.models,
        device,
        settings.dtype,
        settings.template_arguments(),
        settings.stop,
        settings.teacher_device,
    )
    models.check_room(student, teacher, tasks.known, settings.max_new_tokens)
    if given is not None and command.rocks is not None:
        known = tokenizer_hash(student.tokenizer.get_vocab())
        check_set(command.rocks, given, known, student.vocab_size)
        for arm in plan.arms:
            config = config_of(ArmsFolder(place, plan), Cell(arm, FIRST_SEED))
            Arm.of(replace(config, rocks=command.rocks).resolved(), given)


def _refuse_changes(command: Arms, folder: ArmsFolder, given: RockSet | None) -> None:
    """Raises PlanChanged, which names the first flag that is given and differs from the plan."""
    plan = folder.plan
    asked: dict[str, tuple[Any, Any]] = {}
    if command.arms is not None:
        asked["arms"] = ",".join(_arms_of(command.arms)), ",".join(plan.arms)
    if command.seeds is not None:
        asked["seeds"] = command.seeds, len(plan.seeds)
    for field in fields(SessionConfig):
        value = getattr(command, field.name)
        if field.name not in (*_OF_A_RUN, *FREE) and is_given(value):
            asked[field.name] = _plain(field.name, value), plan.settings.get(field.name)
    changed = {name: pair for name, pair in asked.items() if pair[0] != pair[1]}
    there = digest(load_set(folder.rocks)) if folder.rocks.exists() else plan.rocks
    if given is not None and there and digest(given) != there:
        changed["rocks"] = str(command.rocks), f"another set in {folder.rocks}"
    for name, (wanted, has) in changed.items():
        raise PlanChanged(
            f"{flag_of(name)} {wanted}, but {folder.path} has {has}",
            "Runs of two plans cannot be compared",
            f"Leave {flag_of(name)} away to go on, or begin another comparison with --out DIR",
        )


def config_of(folder: ArmsFolder, cell: Cell) -> SessionConfig:
    """What one run of the comparison is trained with."""
    used = ARM_SETTINGS[cell.arm]
    settings = {
        name: value
        for name, value in folder.plan.settings.items()
        if name not in OF_ARMS or name in used
    }
    if settings.get("prompts"):
        settings["prompts"] = Path(settings["prompts"])
    rocks = folder.rocks if "rocks" in used else None
    arm: Any = cell.arm
    return SessionConfig(**settings, rocks=rocks, arm=arm, seed=cell.seed, out=folder.run(cell))


def flags(config: SessionConfig, free: dict[str, Any]) -> tuple[str, ...]:
    """The arguments of `rockcore train` for a configuration, `--out` and `--resume` aside; `free`:
    the settings of FREE.
    """
    values = {f.name: getattr(config, f.name) for f in fields(SessionConfig)} | free
    given = {n: v for n, v in values.items() if is_given(v) and n != "out"}
    return tuple(flag_of(n) if v is True else f"{flag_of(n)}={v}" for n, v in given.items())


def digest(rocks: RockSet) -> str:
    """Tells two sets apart by what a training takes of them."""
    text = f"{rocks.ids} {rocks.tokenizer_hash} {rocks.rule}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_set(folder: ArmsFolder, rocks: RockSet) -> None:
    """Write DIR/rocks.json. Raises LogWriteError."""
    commit(folder.rocks, lambda tmp: tmp.write_text(rocks.to_json(), encoding="utf-8"))
