"""A user's rules, read from a TOML file that may hold anything."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rockcore.categories.patterns import BadRules, OwnPattern, matches_of, shown
from rockcore.categories.rules import RULES, SPECIAL, Rule

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]

MOST_BYTES, MOST_RULES = 2**20, 1_000
MOST_DOTS = 200  # in a line: a.a.a.… as a key takes time that grows with its square
MOST_LETTERS = 100  # of a category, which stands in tables and lists

_SHAPE = (
    'Write each rule as a table [[rule]] with at least category = "name" and pattern = '
    r"'\s?(Tom|Ana)', in single quotes"
)
_KEYS = {"category": str, "pattern": str, "meaning": str, "sentence_start": bool}


def load_rules(path: str | Path) -> tuple[Rule, ...]:
    """The rules of a TOML file, then the built-in ones, or with `builtin = false` only one that
    calls the rest content.

    Raises BadRules, which names the file, the first bad rule and what is wrong with it.
    """
    path = Path(path)
    table = _read(path)
    tables, builtin = table.pop("rule", []), table.pop("builtin", True)
    if table:
        raise BadRules(
            f"{path} has {_names(table)}",
            "At its top, only [[rule]] and builtin mean something",
            _SHAPE,
        )
    if not isinstance(builtin, bool):
        raise BadRules(
            f"{path}: builtin is {shown(builtin)}",
            "The built-in rules follow yours, or they do not",
            "Write true or false",
        )
    if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise BadRules(f"{path}: rule is no list of tables", "Rules have an order", _SHAPE)
    if len(tables) > MOST_RULES:
        raise BadRules(
            f"{path} has {len(tables):,} rules",
            f"Each is tried on every token, and at most {MOST_RULES:,} are taken",
            "Join patterns of one category by |",
        )
    for number, each in enumerate(tables, 1):
        _check(f"{path}, rule {number}", each)
    return _own(path, tables) + (RULES if builtin else RULES[-1:])


def _own(path: Path, tables: list[dict[str, Any]]) -> tuple[Rule, ...]:
    if not tables:
        return ()
    matches = matches_of(str(path), tuple((t["category"], t["pattern"]) for t in tables))
    matches.learn(())  # raises for what is no pattern
    return tuple(
        Rule(
            t["category"],
            OwnPattern(matches, number),
            t.get("meaning", ""),
            t.get("sentence_start", False),
        )
        for number, t in enumerate(tables)
    )


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        there = path.exists() or path.is_symlink()
        raise BadRules(
            f"{path} {'is no file' if there else 'does not exist'}",
            "Rules are read from a file",
            "Give the path of a TOML file",
        )
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
        _check_size(path, raw)
        return tomllib.loads(raw.decode("utf-8"))
    except (ValueError, OSError, RecursionError) as e:
        if isinstance(e, BadRules):
            raise
        about = e.strerror if isinstance(e, OSError) else (str(e).splitlines() or [""])[0][:200]
        raise BadRules(f"{path} cannot be read ({about})", "It is not valid TOML", _SHAPE) from e


def _check_size(path: Path, raw: bytes) -> None:
    """Refuse what would take long to parse."""
    if len(raw) > MOST_BYTES:
        raise BadRules(
            f"{path} has more than {MOST_BYTES:,} bytes",
            f"{MOST_RULES:,} rules need far fewer",
            "Shorten it",
        )
    for number, line in enumerate(raw.split(b"\n"), 1):
        if (dots := line.count(b".")) > MOST_DOTS:
            raise BadRules(
                f"{path}, line {number} has {dots:,} dots",
                f"More than {MOST_DOTS} can take very long to read",
                "Break it: a pattern that begins with (?x) may go over several lines, in '''",
            )


def _check(where: str, table: dict[str, Any]) -> None:
    """Raises BadRules for a table that is no rule."""
    if unknown := [name for name in table if name not in _KEYS]:
        raise BadRules(
            f"{where} has {_names(unknown)}",
            f"Only {', '.join(_KEYS)} mean something there",
            "Correct or remove it",
        )
    for name in ("category", "pattern"):
        if name not in table:
            raise BadRules(
                f"{where} has no {name} (found: {_names(table)})",
                "A rule says which tokens are what",
                _SHAPE,
            )
    for name, value in table.items():
        if not isinstance(value, _KEYS[name]):
            raise BadRules(
                f"{where}: {name} is {shown(value)}",
                f"It has to be of type {_KEYS[name].__name__}",
                _SHAPE,
            )
    _check_category(f"{where}: category is {shown(table['category'])}", table["category"])


def _check_category(found: str, category: str) -> None:
    if not category.strip():
        raise BadRules(found, "A category is shown by its name", "Give it a name")
    if category == SPECIAL:
        raise BadRules(found, "That is for what the tokenizer calls special", "Take another name")
    if not category.isprintable() or len(category) > MOST_LETTERS:
        raise BadRules(
            found,
            f"A category stands in tables and lists: at most {MOST_LETTERS} characters, and none "
            "that cannot be seen",
            "Take another name",
        )


def _names(names: Iterable[str]) -> str:
    """What a file calls its parts: as they are where that can be read."""
    names = list(names)
    told = [n if n.isprintable() and len(n) <= 40 else shown(n) for n in names[:8]]
    return ", ".join(told) + (f" and {len(names) - 8:,} more" if len(names) > 8 else "")
