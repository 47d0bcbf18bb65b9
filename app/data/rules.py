"""Rules saved by name: JSON files in ./rules, which `rockcore rocks --rule` reads too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rockcore.log.files import commit
from rockcore.rocks.rule import PRESETS, BadRule, RockRule

FOLDER = Path("rules")


def names() -> list[str]:
    return sorted(f.stem for f in FOLDER.glob("*.json"))


def load(name: str) -> RockRule:
    """Raises BadRule for a file that holds no rule."""
    try:
        return RockRule.from_json((FOLDER / f"{name}.json").read_bytes())
    except OSError as e:
        raise BadRule(
            f"{FOLDER / name}.json cannot be read ({e.strerror})",
            "It should hold a saved rule",
            "Save the rule again",
        ) from e


def save(rule: RockRule, name: str) -> Path:
    """Write a rule under a name of its own; raises BadRule for a name that is no file's, or a
    preset's.
    """
    named = replace(rule, name=name)  # raises for a name that could lead out of the folder
    if name in PRESETS:
        raise BadRule(f"The name {name!r}", "Presets keep their names", "Choose another")
    path = FOLDER / f"{name}.json"
    commit(path, lambda tmp: tmp.write_text(named.to_json(), encoding="utf-8"))
    return path
