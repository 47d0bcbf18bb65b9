"""What makes a token a rock: every knob of the definition, its symbol and its range, as one value
that travels as JSON.

The paper (arXiv 2605.09253, section 2) leaves tau, w, gamma, eta and tau_R open. A default here is
justified where it stands; `KNOBS` says each in one sentence, which pages and error messages quote.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

from rockcore.schema import RockError

COLUMNS = ("kl", "sampled_loss")
MODES = ("auto", "paired", "bounds", "matched")
CONTROLS = ("positions", "windows", "authors")


class BadRule(RockError, ValueError):
    """A rule outside its range; the message names the field."""


class Knob(NamedTuple):
    """A number in a rule: its symbol, its range, and what it does."""

    symbol: str
    low: float
    high: float
    meaning: str


KNOBS: dict[str, Knob] = {
    "tau_quantile": Knob(
        "q",
        0.0,
        1.0,
        "Both thresholds stand at this quantile of the loss before training, unless they are "
        "given in nats.",
    ),
    "tau_pre": Knob(
        "τ_pre",
        0.0,
        1e6,
        "Before training the loss of a persistent occurrence is at least this, in nats.",
    ),
    "tau_post": Knob(
        "τ_post",
        0.0,
        1e6,
        "After training the loss of a persistent occurrence is at least this, in nats.",
    ),
    "window": Knob(
        "w", 1, 6, "Tokens on each side that make up the context; the token itself is left out."
    ),
    "gamma": Knob(
        "γ",
        0.0,
        1.0,
        "Two contexts are similar if at least this share of their 2w offsets hold the same token.",
    ),
    "eta": Knob(
        "η",
        0.0,
        1.0,
        "An occurrence is kept if at least this share of the type's other persistent ones are "
        "similar to it.",
    ),
    "min_support": Knob(
        "support",
        0,
        1000,
        "… and at least so many are; those whose windows overlap its own do not count.",
    ),
    "min_rollouts": Knob(
        "rollouts",
        0,
        2,
        "… from at least so many other rollouts; 0: also overlapping windows of one rollout count.",
    ),
    "top_k": Knob(
        "K",
        0,
        100_000,
        "The set holds this many types at most; empty: the largest K that is stable.",
    ),
    "tau_rock": Knob(
        "τ_R",
        0.0,
        1e12,
        "The set holds the types whose score is at least this, instead of a number of types.",
    ),
    "min_jaccard": Knob(
        "J",
        0.0,
        1.0,
        "K is the largest for which two disjoint halves of the rollouts agree at least this well.",
    ),
    "min_frequency": Knob("n ≥", 1, 1_000_000, "Types that occur less often are never in the set."),
    "drop_most_frequent": Knob(
        "drop", 0, 10_000, "So many of the most frequent types are never in the set."
    ),
    "draws": Knob("draws", 20, 10_000, "Random splits of the rollouts behind stability."),
    "seed": Knob("seed", 0, 2**32 - 1, "Fixes splits, resampling and controls."),
}
_WHOLE = {name for name, knob in KNOBS.items() if isinstance(knob.low, int)}
_OPTIONAL = {"tau_pre", "tau_post", "top_k", "tau_rock", "pre_step", "post_step"}
_ABOVE_ZERO = {"gamma"}
_NAME = r"\w[\w .-]{0,59}"


@dataclass(frozen=True)
class RockRule:
    """A definition of Rock Tokens. What is None is found from the run: thresholds from a quantile,
    K from stability.
    """

    name: str = "default"
    column: str = "kl"  # the loss that is thresholded and summed: kl | sampled_loss
    score: str = "rock_score_ctx"  # ranks the types: a key of scores.SCORES
    # of the loss before, for both ends: a quantile a checkpoint would always find "persistence"
    tau_quantile: float = 0.90
    tau_pre: float | None = None
    tau_post: float | None = None
    window: int = 4
    gamma: float = 0.5  # 4 of 8 neighbours
    # small: a type that lives in k contexts has a share near 1/k, and is no less a rock for it
    eta: float = 0.05
    min_support: int = 2
    min_rollouts: int = 2
    top_k: int | None = None
    tau_rock: float | None = None
    min_jaccard: float = 0.7
    min_frequency: int = 2
    drop_most_frequent: int = 0
    excluded_types: tuple[int, ...] = ()
    excluded_contexts: tuple[
        tuple[int, int], ...
    ] = ()  # (offset, token id): occurrences with this neighbour are not kept
    mode: str = (
        "auto"  # paired where fixed texts were scored at both ends, else bounds; matched on request
    )
    # final: texts of the trained student; first: of the starting one; auto: final where there is
    # one
    probe_set: str = "auto"
    pre_step: int | None = None  # the first logged, the last logged
    post_step: int | None = None
    controls: str = "positions"
    draws: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises BadRule for the first field out of its range."""
        if not isinstance(self.name, str) or not re.fullmatch(_NAME, self.name):
            raise BadRule(
                f"name = {self.name!r}",
                "A rule is named in links and files",
                "Use up to 60 letters, digits, spaces, dots and dashes",
            )
        if not isinstance(self.score, str):
            raise BadRule(f"score = {self.score!r}", "It names one of the scores", "Change score")
        for name, knob in KNOBS.items():
            self._check_number(name, getattr(self, name), knob)
        for name in ("pre_step", "post_step"):
            self._check_number(
                name, getattr(self, name), Knob(name, 0, 2**31, "Checkpoint of the comparison.")
            )
        for name, allowed in (
            ("column", COLUMNS),
            ("mode", MODES),
            ("controls", CONTROLS),
            ("probe_set", ("auto", "first", "final")),
        ):
            if getattr(self, name) not in allowed:
                raise BadRule(
                    f"{name} = {getattr(self, name)!r}",
                    f"There is only {', '.join(allowed)}",
                    "Choose one of them",
                )
        self._check_exclusions()
        if self.top_k is not None and self.tau_rock is not None:
            raise BadRule(
                f"top_k = {self.top_k} and tau_rock = {self.tau_rock}",
                "Either ends the list of types",
                "Give one of them",
            )
        if (self.tau_pre is None) != (self.tau_post is None):
            missing = "tau_pre" if self.tau_pre is None else "tau_post"
            raise BadRule(
                f"{missing} is missing",
                "Both thresholds are in nats, or neither",
                f"Give {missing} too, or tau_quantile alone",
            )

    def _check_number(self, name: str, value: Any, knob: Knob) -> None:
        if value is None and name in _OPTIONAL:
            return
        whole, open_end = name in _WHOLE or name.endswith("_step"), name in _ABOVE_ZERO
        kinds = int if whole else (int, float)
        if (
            not isinstance(value, kinds)
            or isinstance(value, bool)
            or not knob.low <= value <= knob.high
            or (open_end and value == 0)
        ):
            kind, low = (
                "a whole number" if whole else "a number",
                f"{'above' if open_end else 'from'} {knob.low:g}",
            )
            raise BadRule(
                f"{name} = {value!r}",
                f"{knob.meaning} It is {kind} {low} to {knob.high:g}",
                f"Change {name}",
            )

    def _check_exclusions(self) -> None:
        pairs = self.excluded_contexts
        for name, ok, shape in (
            ("excluded_types", all(_is_int(t) for t in self.excluded_types), "token ids: [12, 40]"),
            (
                "excluded_contexts",
                all(
                    len(p) == 2 and all(map(_is_int, p)) and 0 < abs(p[0]) <= self.window
                    for p in pairs
                ),
                f"pairs of an offset within the window (1 to {self.window} or negative) and a "
                "token id: [[-1, 12]]",
            ),
        ):
            if not ok:
                raise BadRule(
                    f"{name} = {list(getattr(self, name))}", f"It lists {shape}", f"Change {name}"
                )

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
        unknown = sorted(values.keys() - {f.name for f in fields(cls)})
        if unknown:
            known = ", ".join(f.name for f in fields(cls))
            raise BadRule(
                f"No field {', '.join(unknown)}",
                f"A rule has {known}",
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

    def short(self) -> str:
        """The rule as one line for a link: the preset it comes from, and the fields that differ.
        `from_short` reads it.
        """
        base = PRESETS.get(self.name.partition(" ")[0], PRESETS["default"])
        mine, its = asdict(self), asdict(base)
        differ = [
            f"{name}={json.dumps(value, ensure_ascii=False)}"
            for name, value in mine.items()
            if value != its[name]
        ]
        return ";".join([base.name, *differ])

    @classmethod
    def from_short(cls, text: str) -> RockRule:
        """Raises BadRule."""
        name, *settings = text.split(";")
        rule = asdict(preset(name)) | _parsed(settings)
        return cls.from_dict(rule)

    def with_settings(self, settings: Iterable[str]) -> RockRule:
        """Apply `name=value` settings, values as in JSON; `none` for found from the run. Raises
        BadRule.
        """
        return self.changed(**_parsed(settings))


def _parsed(settings: Iterable[str]) -> dict[str, Any]:
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


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


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
