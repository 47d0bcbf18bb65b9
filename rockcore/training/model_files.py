"""What is looked at in a model folder, or in what a hub name stands for, before any library reads
it: settings that are none, weights that are no safetensors, words that lie elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rockcore.schema import strict_json

INDEX, CONFIG, ADAPTER = "model.safetensors.index.json", "config.json", "adapter_config.json"
_SETTINGS = (CONFIG, "generation_config.json", "tokenizer_config.json")
_WEIGHTS = ".safetensors"


def check(find: Callable[[str], Path | None]) -> None:
    """Raises ValueError, or OSError for what cannot be read, for files that may not be loaded;
    `find`: the path of a file of the model by its name, None where there is none.
    """
    for name in _SETTINGS:
        settings = read(find(name))
        if name == CONFIG:
            _refuse_other_weights(settings)
        if name == "tokenizer_config.json":
            _refuse_foreign_words(settings)
    if (index := find(INDEX)) is not None:
        _refuse_pickled_parts(index)


def read(file: Path | None) -> dict[str, Any]:
    """The settings in a file of JSON; none where there is no file. Raises ValueError."""
    if file is None:
        return {}
    try:  # not strictly: some models' own settings hold Infinity
        settings = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as e:
        raise ValueError(f"{file.name} is not JSON: {str(e)[:200]}") from e
    if not isinstance(settings, dict):
        raise ValueError(f"{file.name} holds no object but {_shown(settings)}")
    return settings


def _refuse_pickled_parts(index: Path) -> None:
    """An index of weights may name any file, and what is not named *.safetensors is unpickled."""
    try:
        parts = strict_json.parse(index.read_bytes())
    except ValueError as e:
        raise ValueError(f"{index.name} is not JSON: {str(e)[:200]}") from e
    names = parts.get("weight_map") if isinstance(parts, dict) else None
    if not isinstance(names, dict) or not names:
        raise ValueError(f"{index.name} has no weight_map that says where each weight lies")
    for weight, part in names.items():
        plain = isinstance(part, str) and Path(part).name == part and "\\" not in part
        if not plain or not part.endswith(_WEIGHTS):
            raise ValueError(
                f"{index.name} lets {_shown(weight)} come from {_shown(part)}, which is no "
                f"*{_WEIGHTS} in its own folder"
            )


def _refuse_other_weights(config: dict[str, Any]) -> None:
    """A configuration can name the file of its weights, which then need not be safetensors."""
    named = config.get("transformers_weights")
    if named is not None and not (
        isinstance(named, str) and Path(named).name == named and named.endswith(_WEIGHTS)
    ):
        raise ValueError(
            f"{CONFIG} takes its weights from {_shown(named)}, which is no *{_WEIGHTS} in its "
            "own folder"
        )


def _refuse_foreign_words(settings: dict[str, Any]) -> None:
    """A tokenizer's settings can name any text file of this machine as its words, and the words of
    a tokenizer go into the log.
    """
    for name in ("vocab", "merges", "init_inputs"):
        value = settings.get(name)
        if value and (isinstance(value, str) or name == "init_inputs"):
            raise ValueError(
                f"tokenizer_config.json takes its words from elsewhere: {name} = {_shown(value)}"
            )


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 80 else text[:79] + "…"
