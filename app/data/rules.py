"""Rules saved by name: JSON files in ./rules, which `rockcore rocks --rule` reads too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from app import access
from rockcore.log.files import commit
from rockcore.rocks.rule import PRESETS, RockRule
from rockcore.rocks.rule_fields import BadRule, is_name

FOLDER = Path("rules")


def names() -> list[str]:
    """The saved rules: files of a name that a link can carry, and that no preset has."""
    found = (f.stem for f in FOLDER.glob("*.json") if f.is_file())
    return sorted(name for name in found if is_name(name) and name not in PRESETS)


def load(name: str) -> RockRule:
    """A saved rule under the name of its file. Raises BadRule for a file that holds no rule."""
    path = FOLDER / f"{name}.json"
    try:
        return replace(RockRule.from_json(path.read_bytes()), name=name)
    except OSError as e:
        raise BadRule(
            f"{path} cannot be read ({e.strerror})",
            "It should hold a saved rule",
            "Save the rule again",
        ) from e
    except BadRule as e:
        raise BadRule(
            f"{path} holds no rule that can be used: {e}",
            "It should be what the Threshold lab saves",
            "Correct the file, or save a rule under this name again",
        ) from e


def named(name: str) -> RockRule:
    """A preset or a saved rule. Raises BadRule for a name that is neither."""
    if name in PRESETS:
        return PRESETS[name]
    if name in names():
        return load(name)
    raise BadRule(
        f"No preset {name!r}",
        f"There are {', '.join([*PRESETS, *names()])}",
        "Choose one of them, or save a rule under this name in the Threshold lab",
    )


def save(rule: RockRule, name: str) -> Path:
    """Write a rule under a name of its own; raises BadRule for a name that is no file's, or a
    preset's, and Refused for a visitor who may not act.
    """
    access.require("Saving a rule")
    saved = replace(rule, name=name)  # raises for a name that could lead out of the folder
    if name in PRESETS:
        raise BadRule(f"The name {name!r}", "Presets keep their names", "Choose another")
    path = FOLDER / f"{name}.json"
    commit(path, lambda tmp: tmp.write_text(saved.to_json(), encoding="utf-8"))
    return path
