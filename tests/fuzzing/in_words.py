"""Mutations of what is written as JSON or TOML: run.json above all, and what lies beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from fuzzing.damage import DoesNotApply, Effect, Mutation, Target

from rockcore.schema import RunMeta

META = "run.json"
DEEP = "[" * 100_000
REST = ("knockout/screen.json", "arms.json", "comparison/comparison.json", "rocks.json")
# what JSON can say, as it is written
VALUES = ("null", "true", "false", "5", '"x"', "[]", "{}", '["a", 1]', '{"a": [1]}', '""')
NUMBERS = ("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1.5", "1" + "0" * 400)
NUMBERS += ("9223372036854775808", "-9223372036854775809", "9" * 5000)
HALF = ('"\\ud800"', '"a\\udfffb"')
KINDS: dict[str, type | tuple[type, ...]] = {"str": str, "int": int, "float": (int, float)}


def read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_bytes())


def written_with(file: Path, name: str, value: str) -> None:
    """The object again, one field of it as given: also what Python's own writer would not write."""
    rest = {n: json.dumps(v, ensure_ascii=False) for n, v in read(file).items()} | {name: value}
    inside = ",\n".join(f"{json.dumps(n)}: {v}" for n, v in rest.items())
    file.write_text("{" + inside + "}", encoding="utf-8")


def field_of_another_type(target: Target) -> Effect:
    file = target.pick(META)
    f = target.rng.choice(fields(RunMeta))
    value = target.rng.choice(VALUES + NUMBERS + HALF + (DEEP,))
    target.say(f"{f.name} = {value[:60]}")
    written_with(file, f.name, value)
    return Effect.ANY if _may_be(str(f.type), value) else Effect.REFUSED


def _may_be(kind: str, value: str) -> bool:
    """Whether a field of this kind could hold the value."""
    if value in HALF or value == DEEP:
        return False
    if kind.startswith("dict"):
        return value.startswith("{")
    found: Any = json.loads(value) if len(value) < 1000 else 1
    if isinstance(found, bool) or len(value) > 1000:
        return False
    if isinstance(found, float) and (found != found or abs(found) == float("inf")):
        return False
    return isinstance(found, KINDS[kind])


def number_out_of_range(target: Target) -> None:
    file = target.pick(META)
    name = target.rng.choice(
        [f.name for f in fields(RunMeta) if f.type in ("int", "float") and f.name[:6] != "schema"]
    )
    value = target.rng.choice(
        ["0", "-1", "-0", "1", "2147483648", "9223372036854775807", "-5e-324"]
    )
    target.say(f"{name} = {value}")
    written_with(file, name, value)


WORDS: dict[str, tuple[str, ...]] = {
    "estimator": ("absent", "topk+tail", "exact", ""),
    "dtype": ("float16", "bfloat16", "int8", ""),
    "status": ("running", "stopped", "failed", "asleep"),
    "scenario": ("hidden", "skill", "nothing", ""),
    "started": ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "yesterday", "2026-W01"),
    "ended": ("9999-12-31", "20260101T000000Z", "2026-02-30", "-"),
    "normaliser": ("weights", "nothing"),
    "tokenizer_hash": ("1" * 16, ""),
}


def other_word(target: Target) -> None:
    name = target.rng.choice(sorted(WORDS))
    value = target.rng.choice(WORDS[name])
    target.say(f"{name} = {value}")
    written_with(target.pick(META), name, json.dumps(value))


SIGNS = ("\0", "\x1b]0;TITLE\x07\x1b[2J", "\u202e\u2066gnihtyna", "\r\n\x0b", "=1+1", "[bold]x[/]")
SIGNS += ("<b>x</b>", "**x** $x^2$ :red[x]", "a" * 200_000, "\ufeff", "\ud7ff\U0010ffff", "%s {x}")


def odd_signs(target: Target) -> None:
    name = target.rng.choice([f.name for f in fields(RunMeta) if f.type == "str"])
    value = target.rng.choice(SIGNS)
    target.say(f"{name} = {ascii(value)[:60]}")
    written_with(target.pick(META), name, json.dumps(value))


def field_missing(target: Target) -> Effect:
    file, data = target.pick(META), read(target.run / META)
    f = target.rng.choice(fields(RunMeta))
    target.say(f.name)
    data.pop(f.name, None)
    file.write_text(json.dumps(data), encoding="utf-8")
    needed = f.default is MISSING and f.default_factory is MISSING or f.name == "schema_version"
    return Effect.REFUSED if needed else Effect.ANY


def field_twice(target: Target) -> None:
    file = target.pick(META)
    text = file.read_text(encoding="utf-8").rstrip()
    name = target.rng.choice(["name", "vocab_size", "schema_version", "estimator"])
    target.say(name)
    file.write_text(f'{{"{name}": 1,' + text[1:], encoding="utf-8")


NO_OBJECTS = ("", " ", "null", "5", '"run"', "[]", "[{}]", "{}", "{", "nul", "{'a': 1}", DEEP)
NO_OBJECTS += ('{"a":' * 50_000, "\0" * 100, "PAR1", "{}{}", '{"schema_version": 1}')


def no_object(target: Target) -> None:
    text = target.rng.choice(NO_OBJECTS)
    target.say(text[:40])
    target.pick(META).write_text(text, encoding="utf-8")


def other_version(target: Target) -> None:
    value = target.rng.choice(["0", "2", "-1", "99", "1.0", "true", '"1"', "null", "[1]", "NaN"])
    target.say(value)
    written_with(target.pick(META), "schema_version", value)


def unknown_field(target: Target) -> None:
    value = target.rng.choice(
        ['"x"', "null", '{"a": {"b": []}}', "[1, 2]", '"' + "a" * 10**6 + '"']
    )
    written_with(target.pick(META), "a field of tomorrow", value)


def huge_field(target: Target) -> None:
    """Fifty megabytes in one field."""
    name = target.rng.choice(["name", "student", "reason", "code_version", "a field of tomorrow"])
    target.say(name)
    written_with(target.pick(META), name, '"' + "a" * (50 << 20) + '"')


def deep_field(target: Target) -> None:
    name = target.rng.choice(["config", "a field of tomorrow"])
    target.say(name)
    written_with(target.pick(META), name, "[" * 100_000 + "]" * 100_000)


def other_layout(target: Target) -> None:
    """The same object, written otherwise."""
    file, data = target.pick(META), read(target.run / META)
    names = list(data)
    target.rng.shuffle(names)
    file.write_text(json.dumps({n: data[n] for n in names}, indent=target.rng.choice([None, 7])))


def other_encoding(target: Target) -> None:
    encoding = target.rng.choice(["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "utf-7"])
    target.say(encoding)
    file = target.pick(META)
    file.write_bytes(file.read_text(encoding="utf-8").encode(encoding))


def no_encoding(target: Target) -> None:
    written_with(target.pick(META), "name", '"Ü"')
    file = target.run / META
    file.write_bytes(file.read_text(encoding="utf-8").encode("latin-1"))


CONFIGS = ('{"arm": 5}', '{"arm": []}', '{"arm": {}}', '{"arm": "rock-freeze", "lambda_": "x"}')
CONFIGS += ('{"arm": "\\u001b[2J"}', '{"arm": "dynamic", "share": [1]}', '{"steps": null}')
CONFIGS += ('{"arm": "rock-freeze", "rocks": 5, "window": {}}', '{"probes": "many"}')


def odd_config(target: Target) -> None:
    value = target.rng.choice(CONFIGS)
    target.say(value)
    written_with(target.pick(META), "config", value)


# What lies beside the log.


def leaf_changed(target: Target) -> None:
    """One value anywhere in another JSON file, replaced by another one."""
    file = target.pick(*REST)
    data = read(file)
    holder, key = target.rng.choice(list(_leaves(data)))
    value = target.rng.choice(VALUES + NUMBERS[:6] + NUMBERS[7:9] + HALF)
    target.say(f"{key} = {value[:40]}")
    holder[key] = json.loads(value)
    file.write_text(json.dumps(data), encoding="utf-8", errors="surrogatepass")


def _leaves(data: Any) -> Any:
    pairs = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in pairs:
        yield data, key
        if isinstance(value, (dict, list)) and value:
            yield from _leaves(value)


def rest_is_no_object(target: Target) -> None:
    file = target.pick(*REST)
    text = target.rng.choice(NO_OBJECTS)
    target.say(text[:40])
    file.write_text(text, encoding="utf-8")


def rest_lacks_a_field(target: Target) -> None:
    file = target.pick(*REST)
    data = read(file)
    holders = [data, *(v for v in data.values() if isinstance(v, dict))]
    holder = target.rng.choice([h for h in holders if h])
    gone = target.rng.choice(sorted(holder))
    target.say(gone)
    del holder[gone]
    file.write_text(json.dumps(data), encoding="utf-8")


RULE = "[[rule]]\ncategory = {category}\npattern = {pattern}\n"
CATEGORIES: tuple[str | bytes, ...] = (
    "",
    "builtin = 1",
    "rule = 5",
    "[rule]\na = 1",
    "[[rule]]",
    b"\xff\xfe",
    "a = " + "[" * 100_000,
    RULE.format(category='"x"', pattern="'(a+)+b'"),
    RULE.format(category='"x"', pattern=r"'(.*)\1{5,}x'"),
    RULE.format(category='"x"', pattern="'(((a?){30}){30}){30}'"),
    RULE.format(category='"=1+1"', pattern="'.*'"),
    RULE.format(category='"\\u001b[2J"', pattern="'.*'"),
    RULE.format(category='"a,b"', pattern="'.*'"),
    RULE.format(category='"special"', pattern="'.*'"),
    RULE.format(category='"x"', pattern="'('"),
    RULE.format(category='"x"', pattern="5"),
    RULE.format(category='"x"', pattern='"' + "a" * 10**6 + '"'),
    RULE.format(category='"x"', pattern="'(?i)ß'") * 2000,
    RULE.format(category='"' + "y" * 10**5 + '"', pattern="'.*'"),
    "builtin = false\n" + RULE.format(category='"<b>x</b>"', pattern="'a'"),
)


def other_categories(target: Target) -> None:
    text = target.rng.choice(CATEGORIES)
    target.say(ascii(text[:90]))
    raw = text if isinstance(text, bytes) else text.encode()
    (target.run / "categories.toml").write_bytes(raw)


def of_words(apply: Callable[[Target], Any]) -> Callable[[Target], Any]:
    """Not for what an earlier mutation has left of a file."""

    def careful(target: Target) -> Any:
        try:
            return apply(target)
        except (ValueError, RecursionError, AttributeError, IndexError, TypeError) as e:
            raise DoesNotApply from e

    return careful


MUTATIONS = tuple(
    Mutation(name, effect, of_words(apply))
    for name, effect, apply in (
        ("a field of another type", Effect.REFUSED, field_of_another_type),
        ("a field of another type still", Effect.REFUSED, field_of_another_type),
        ("a number out of range", Effect.ANY, number_out_of_range),
        ("another word", Effect.ANY, other_word),
        ("odd signs in a field", Effect.ANY, odd_signs),
        ("a field is missing", Effect.REFUSED, field_missing),
        ("a field twice", Effect.REFUSED, field_twice),
        ("run.json is no object", Effect.REFUSED, no_object),
        ("another schema version", Effect.REFUSED, other_version),
        ("a field of tomorrow", Effect.SAME, unknown_field),
        ("brackets without end in a field", Effect.ANY, deep_field),
        ("another layout of run.json", Effect.SAME, other_layout),
        ("another encoding of run.json", Effect.KEPT, other_encoding),
        ("run.json is no UTF-8", Effect.REFUSED, no_encoding),
        ("odd settings", Effect.ANY, odd_config),
        ("a value beside the log", Effect.ANY, leaf_changed),
        ("no object beside the log", Effect.ANY, rest_is_no_object),
        ("a field is missing beside the log", Effect.ANY, rest_lacks_a_field),
        ("other categories", Effect.ANY, other_categories),
    )
)
HEAVY = (Mutation("fifty megabytes in a field", Effect.ANY, of_words(huge_field)),)
