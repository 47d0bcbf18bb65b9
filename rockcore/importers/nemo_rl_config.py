"""What a NeMo-RL run's settings say about its advantages: whether they are the difference between
teacher and student, and where they were clipped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rockcore.importers.format import About, BadExport, Export
from rockcore.importers.rows import lookup
from rockcore.log.files import read_whole

_OPD = "opd"  # of grpo.adv_estimator.name
_CLIPS = ("advantage_clip_low", "advantage_clip_high")  # of grpo


class Advantages(NamedTuple):
    """What the advantages of a run are."""

    are_opd: bool  # (log p_teacher − log p_student) · mask
    low: float = -np.inf
    high: float = np.inf

    def clipped(self, advantages: np.ndarray) -> np.ndarray:
        """Which of them, (T,) bool, stand at a bound and may have been beyond it."""
        return (advantages <= np.float32(self.low)) | (advantages >= np.float32(self.high))


def advantages_of(export: Export) -> Advantages:
    """What the settings of an export, or the person who imports it, say. Notes what is not known.

    Raises BadExport where the two contradict each other, or the settings that were named cannot be
    read.
    """
    grpo, told = _grpo_of(export), export.options.opd
    estimator = grpo.get("adv_estimator")
    name = estimator.get("name") if isinstance(estimator, dict) else None
    if told and name not in (None, _OPD):
        raise BadExport(
            f"--opd, and the settings of the run name the estimator {ascii(name)[:80]}",
            "Only advantages of the estimator opd are teacher minus student log probabilities",
            "Leave --opd out, or name the settings of this run: --config FILE",
        )
    if not told and name != _OPD:
        said = (
            "advantages are not teacher minus student log probabilities: the estimator of this run "
            f"is {ascii(name)[1:-1][:80]}."
            if name
            else "whether advantages are teacher minus student log probabilities was not told, by "
            "--opd or by the run's settings (--config FILE), so they are not taken."
        )
        export.about.note(f"No teacher values: {said}")
        return Advantages(False)
    low, high = (grpo.get(key) for key in _CLIPS)
    found = Advantages(True, -np.inf if low is None else low, np.inf if high is None else high)
    if (low, high) != (None, None):
        export.about.note("Differences at the bounds where advantages were clipped are not known.")
    return found


def _grpo_of(export: Export) -> dict[str, Any]:
    """The settings of the algorithm: of the file that was named, or that lies beside the export."""
    named = export.options.config
    if named is None:
        folder = export.files[0].resolve().parent
        beside = (folder / "config.yaml", folder.parent / "config.yaml")
        file = next((f for f in beside if f.is_file()), None)
        if file is None:
            return {}
    else:
        file = named
    settings = _settings(file, required=named is not None)
    _name_models(export.about, settings)
    grpo = lookup(settings, "grpo") if isinstance(settings, dict) else None
    if not isinstance(grpo, dict):
        grpo = {}
    for key in _CLIPS:
        value = grpo.get(key)
        if value is not None and (type(value) not in (int, float) or value != value):
            raise BadExport(
                f"{file}: grpo.{key} is {ascii(value)[:80]}, not a number",
                "It says which advantages were cut",
                "Name the settings that the run was trained with: --config FILE",
            )
    return grpo


def _name_models(about: About, settings: Any) -> None:
    """The student and its teachers, which may be several, one a kind of task."""
    if not isinstance(settings, dict):
        return
    teachers = lookup(settings, "on_policy_distillation.teacher_model_by_agent_name")
    names = list(teachers.values()) if isinstance(teachers, dict) else []
    student = lookup(settings, "policy.model_name")
    about.student = ascii(student)[1:-1][:200] if isinstance(student, str) else ""
    about.teacher = ascii(", ".join(dict.fromkeys(map(str, names))))[1:-1][:200]


def _settings(file: Path, required: bool) -> Any:
    """The contents of a YAML file; nothing where none can be read and none was asked for."""
    try:
        import yaml
    except ImportError as e:
        if not required:
            return {}
        raise BadExport(
            f"--config {file}, and the package PyYAML is not installed",
            "The settings of a NeMo-RL run are YAML",
            "pip install pyyaml, or say --opd if the run's grpo.adv_estimator.name is opd",
        ) from e
    try:
        return yaml.safe_load(read_whole(file))
    except (yaml.YAMLError, ValueError, OSError, RecursionError) as e:
        raise BadExport(
            f"{file} is no readable YAML ({ascii(str(e))[1:-1][:80]})",
            "It says whether advantages are teacher minus student log probabilities",
            "Name the settings of the run with --config FILE, or say --opd if its estimator is opd",
        ) from e
