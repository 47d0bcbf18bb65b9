"""The students whose texts are scored: one model, or the checkpoints of a training in a folder."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import NamedTuple

from rockcore.training.loading import ModelNotFound

# as the Trainer of transformers and TRL, verl, slime and `rockcore train` call them
_CHECKPOINT = re.compile(r"(?:checkpoint|global_step|step|iter)[-_=]?(\d{1,18})")
_MODEL = ("config.json", "adapter_config.json")
_INSIDE = 3  # verl keeps the model of a step in actor/huggingface below it


class StudentAt(NamedTuple):
    """A student on disk."""

    step: int | None  # how often it had been updated; None of a model that does not say
    source: str  # a folder or a hub name


def students_in(source: str) -> list[StudentAt]:
    """The checkpoints in a folder by their step, or the one model that it is.

    Raises ModelNotFound for a folder of checkpoints that hold no model, or two of one step.
    """
    folder = Path(source)
    found: dict[int, Path] = {}
    for child in sorted(folder.iterdir()) if folder.is_dir() else ():
        match = _CHECKPOINT.fullmatch(child.name)
        if match is None or not child.is_dir():
            continue
        step = int(match[1])
        if step in found:
            raise ModelNotFound(
                f"{folder} holds two checkpoints of step {step}: {found[step].name} and "
                f"{child.name}",
                "Which of them is the student of that step cannot be told",
                "Move one of them away",
            )
        found[step] = _model_in(child)
    if not found:
        return [StudentAt(None, source)]
    return [StudentAt(step, str(found[step])) for step in sorted(found)]


def _model_in(checkpoint: Path) -> Path:
    """The folder of the model in a checkpoint: itself, or the only one below it."""
    level = [checkpoint]
    for _ in range(_INSIDE):
        models = [f for f in level if any((f / name).is_file() for name in _MODEL)]
        if len(models) == 1:
            return models[0]
        if models:
            break
        level = [child for folder in level for child in sorted(folder.iterdir()) if child.is_dir()]
    there = ", ".join(ascii(p.name)[1:-1] for p in sorted(checkpoint.iterdir())[:6]) or "nothing"
    raise ModelNotFound(
        f"{checkpoint} holds no model (found: {there[:160]})",
        "A student is read from a folder with config.json and safetensors, or with an adapter",
        "Let the trainer save in Hugging Face format or convert the checkpoint (verl: "
        "`python -m verl.model_merger merge`), or move it away",
    )


def name_of(source: str) -> str:
    """What a student or teacher is called: its folder, of a checkpoint behind that of its training;
    a hub name as it is.
    """
    folder = Path(source)
    if not folder.is_dir():
        return source
    folder = folder.resolve()
    named = folder if _CHECKPOINT.fullmatch(folder.name) is None else folder.parent
    return folder.relative_to(named.parent).as_posix() or str(folder)


def mark_of(source: str) -> str:
    """A fingerprint of a model's files, which changes when they are written anew; empty for a hub
    name.
    """
    folder = Path(source)
    if not folder.is_dir():
        return ""
    marks = []
    for file in sorted(folder.iterdir()):
        if file.suffix in (".safetensors", ".json"):
            about = os.stat(file)
            marks.append(f"{file.name} {about.st_size} {about.st_mtime_ns}")
    return hashlib.sha256("\n".join(marks).encode("utf-8", "surrogateescape")).hexdigest()[:16]
