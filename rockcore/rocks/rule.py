"""What makes a token a rock: a definition of Rock Tokens as one value that travels as JSON, as a
line in a link and as settings; and the presets.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from rockcore.rocks.rule_fields import FIELDS, FIND_K, OF_CONTEXTS, BadRule, RuleFields


@dataclass(frozen=True)
class RockRule(RuleFields):
    """A definition of Rock Tokens. What is None is found from the run: thresholds from a quantile,
    K from shares of the loss and stability. Raises BadRule for the first field out of its range.
    """

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_dict(cls, values: Any) -> RockRule:
        """Raises BadRule for anything that is no rule, also for a field that does not exist."""
        if not isinstance(values, dict):
            raise BadRule(
                f"A rule that is {type(values).__name__}",
                "A rule is a JSON object",
                'For example {"top_k": 50, "gamma": 0.5}',
            )
        unknown = sorted(values.keys() - set(FIELDS))
        if unknown:
            raise BadRule(
                f"No field {', '.join(unknown)}",
                f"A rule has {', '.join(FIELDS)}",
                "Correct the name, or leave it out",
            )
        try:
            lists = {
                "excluded_types": tuple(values.get("excluded_types", ())),
                "excluded_contexts": tuple(
                    tuple(pair) for pair in values.get("excluded_contexts", ())
                ),
            }
        except TypeError as e:
            raise BadRule(
                "excluded_types or excluded_contexts is no list",
                "They list ids, and pairs of offset and id",
                "Give lists",
            ) from e
        return cls(**{**values, **lists})

    @classmethod
    def from_json(cls, text: str | bytes) -> RockRule:
        """Raises BadRule."""
        try:
            return cls.from_dict(json.loads(text))
        except BadRule:
            raise
        except (ValueError, RecursionError) as e:
            raise BadRule(
                f"A rule that is not JSON ({e})",
                "Rules are JSON objects",
                'For example {"top_k": 50, "gamma": 0.5}',
            ) from e

    def changed(self, **changes: Any) -> RockRule:
        """The rule with some fields changed. Thresholds follow the way they were last given: a
        quantile, or nats for both ends.
        """
        if "tau_quantile" in changes and "tau_pre" not in changes and "tau_post" not in changes:
            changes |= {"tau_pre": None, "tau_post": None}
        for one, other in (("tau_pre", "tau_post"), ("tau_post", "tau_pre")):
            if (
                changes.get(one) is not None
                and other not in changes
                and getattr(self, other) is None
            ):
                changes[other] = changes[one]
        for one, other in (("top_k", "tau_rock"), ("tau_rock", "top_k")):
            if changes.get(one) is not None and other not in changes:
                changes[other] = None
        return RockRule.from_dict({**asdict(self), **changes})

    def changes_from(self, other: RockRule) -> list[str]:
        """Which fields differ from another rule and how, in words; the name is no field of it."""
        mine, its = asdict(self), asdict(other)
        return [
            f"{name} {_shown(its[name])} → {_shown(value)}"
            for name, value in mine.items()
            if value != its[name] and name != "name"
        ]

    def short(self) -> str:
        """The rule as one line for a link: the preset it comes from, and the fields that differ.
        `from_short` reads it.
        """
        return ";".join([self._base.name, *self._differs()])

    @property
    def called(self) -> str:
        """How a sentence names the rule: by its name, and what it changes of a preset."""
        differ = self._differs()
        if self.name != self._base.name or not differ:
            return self.name
        what = ", ".join(differ) if len(differ) <= 3 else f"{len(differ)} changes"
        return f"{self.name} with {what}"

    @property
    def _base(self) -> RockRule:
        return PRESETS.get(self.name.partition(" ")[0], PRESETS["default"])

    def flags(self) -> list[str]:
        """The arguments by which a command takes the rule. A command refuses a field that another
        one makes void, so those are left out.
        """
        void: set[str] = set()
        if self.tau_pre is not None or self.tau_post is not None:
            void.add("tau_quantile")
        if self.top_k is not None or self.tau_rock is not None:
            void.update(FIND_K)
        if self.mode in ("bounds", "matched"):
            void.add("probe_set")
        if self.mode == "bounds":
            void.update(OF_CONTEXTS)
        given = [s for s in self._differs() if s.partition("=")[0] not in void]
        return ["--preset", self._base.name, *(part for s in given for part in ("--set", s))]

    def _differs(self) -> list[str]:
        """The fields in which it is not the preset it comes from, as `name=value`."""
        mine, its = asdict(self), asdict(self._base)
        return [
            f"{name}={json.dumps(value, ensure_ascii=False)}"
            for name, value in mine.items()
            if value != its[name]
        ]

    @classmethod
    def from_short(cls, text: str, named: Callable[[str], RockRule] | None = None) -> RockRule:
        """`named` gives the rule that the line begins with if it is no preset. Raises BadRule."""
        name, *settings = text.split(";")
        base = PRESETS[name] if name in PRESETS else (named or preset)(name)
        return cls.from_dict(asdict(base) | parsed(settings))

    def with_settings(self, settings: Iterable[str]) -> RockRule:
        """Apply `name=value` settings, values as in JSON; `none` for found from the run. Raises
        BadRule.
        """
        return self.changed(**parsed(settings))


def _shown(value: Any) -> str:
    """A value of a field in a few letters."""
    if value is None:
        return "found from the run"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, tuple):
        return f"{len(value)} named"
    return str(value)


def parsed(settings: Iterable[str]) -> dict[str, Any]:
    """The fields that `name=value` settings change. Raises BadRule for one without a sign."""
    changes: dict[str, Any] = {}
    for setting in settings:
        name, sign, text = setting.partition("=")
        if not sign:
            raise BadRule(
                f"--set {setting}",
                "A setting has a name and a value",
                "For example --set gamma=0.5",
            )
        try:
            changes[name.strip()] = (
                None if text.strip().lower() in ("none", "null", "") else json.loads(text)
            )
        except (ValueError, RecursionError):
            changes[name.strip()] = text.strip()
    return changes


PRESETS: dict[str, RockRule] = {
    rule.name: rule
    for rule in (
        RockRule(),
        # K and the bare fraction of the paper's text; its tau, w, gamma and eta are not given
        # there, so ours stand in.
        RockRule(name="paper", top_k=100, min_support=0, min_rollouts=0, min_frequency=1),
        # The authors' released script: frequency x mean kl, without the five most frequent types;
        # it looks at no context.
        RockRule(name="authors", score="authors", top_k=100, controls="authors"),
        RockRule(name="strict", tau_quantile=0.95, gamma=0.75, eta=0.10, min_support=3),
        RockRule(
            name="lenient", tau_quantile=0.80, gamma=0.375, eta=0.02, min_support=1, min_rollouts=1
        ),
    )
}


def preset(name: str) -> RockRule:
    """Raises BadRule for a name that is no preset."""
    if name not in PRESETS:
        raise BadRule(
            f"No preset {name!r}",
            f"There are {', '.join(PRESETS)}",
            "Choose one of them, or give a rule as a file",
        )
    return PRESETS[name]
