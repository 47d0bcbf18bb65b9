"""The fields of a rule, each described once: its default, its symbol, its range and what it does.

The paper (arXiv 2605.09253, section 2) leaves tau, w, gamma, eta and tau_R open. A default here is
justified where it stands. The checks, the controls of the lab, the help of the command line and
error messages follow from these descriptions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any

from rockcore.rocks.knobs import Choice, Knob, choice, knob
from rockcore.schema import PROBE_SETS, RockError

COLUMNS = ("kl", "sampled_loss")
MODES = ("auto", "paired", "bounds", "matched")
CONTROLS = ("positions", "windows", "authors")
TEXTS_READ = ("auto", *PROBE_SETS)
_NAME = r"\w[\w .-]{0,59}"


class BadRule(RockError, ValueError):
    """A rule outside its range; the message names the field."""


@dataclass(frozen=True)
class RuleFields:
    """What a rule consists of; see `rule.RockRule`, which adds how it travels.

    What is None is found from the run: thresholds from a quantile, K from shares and stability.
    """

    name: str = "default"
    column: str = choice("kl", COLUMNS, "The loss that is thresholded and summed.")
    score: str = "rock_score_ctx"  # ranks the types: a key of scores.SCORES
    # of the loss before, for both ends: a quantile a checkpoint would always find "persistence"
    tau_quantile: float = knob(
        0.90,
        "q",
        0.0,
        1.0,
        "Both thresholds stand at this quantile of the loss before training, unless they are "
        "given in nats.",
    )
    tau_pre: float | None = knob(
        None,
        "τ_pre",
        0.0,
        1e6,
        "Before training the loss of a persistent occurrence is at least this, in nats.",
        optional=True,
    )
    tau_post: float | None = knob(
        None,
        "τ_post",
        0.0,
        1e6,
        "After training the loss of a persistent occurrence is at least this, in nats.",
        optional=True,
    )
    window: int = knob(
        4,
        "w",
        1,
        6,
        "Tokens on each side that make up the context; the token itself is left out.",
    )
    gamma: float = knob(  # 4 of 8 neighbours
        0.5,
        "γ",
        0.0,
        1.0,
        "Two contexts are similar if at least this share of their 2w offsets hold the same token.",
        exclusive=True,
    )
    # small: a type that lives in k contexts has a share near 1/k, and is no less a rock for it
    eta: float = knob(
        0.05,
        "η",
        0.0,
        1.0,
        "An occurrence is kept if at least this share of the type's other persistent ones are "
        "similar to it.",
    )
    min_support: int = knob(
        2,
        "support",
        0,
        1000,
        "… and at least so many are; those whose windows overlap its own do not count.",
    )
    min_rollouts: int = knob(
        2,
        "rollouts",
        0,
        2,
        "… from at least so many other rollouts; 0: also overlapping windows of one rollout count.",
    )
    top_k: int | None = knob(
        None,
        "K",
        0,
        100_000,
        "The set holds this many types at most; empty: those that hold enough of the loss, as far "
        "as they are stable.",
        optional=True,
    )
    tau_rock: float | None = knob(
        None,
        "τ_R",
        0.0,
        1e12,
        "The set holds the types whose score is at least this, instead of a number of types.",
        optional=True,
    )
    # An effect size, tau_R in relative form: with enough text every ranking is stable, so
    # stability alone takes ever more types. On planted logs the two give the same K from 10^5 to
    # 10^7 positions. They leave light rocks out.
    least_share: float = knob(
        0.001,
        "share",
        0.0,
        1.0,
        "By its score a type of the set holds at least this share of the summed loss (of the "
        "summed means, where the score is a mean) …",
    )
    even_share: float = knob(
        1.0,
        "even",
        0.0,
        1000.0,
        "… and more than so many even shares: 1/V for V types that occur. 0: not asked for.",
    )
    min_jaccard: float = knob(
        0.7,
        "J",
        0.0,
        1.0,
        "… and there are at most as many as disjoint halves of the rollouts agree on this well. "
        "Where they agree on no number of types, there is no set.",
    )
    min_frequency: int = knob(
        2, "n ≥", 1, 1_000_000, "Types that occur less often are never in the set."
    )
    drop_most_frequent: int = knob(
        0, "drop", 0, 10_000, "So many of the most frequent types are never in the set."
    )
    excluded_types: tuple[int, ...] = ()
    # (offset, token id): occurrences with this neighbour are not kept
    excluded_contexts: tuple[tuple[int, int], ...] = ()
    # paired where fixed texts were scored at both ends, else bounds; matched on request
    mode: str = choice("auto", MODES, "How the losses before and after are brought together.")
    # final: texts of the trained student; first: of the starting one; auto: final where there are
    # some
    probe_set: str = choice("auto", TEXTS_READ, "Whose fixed texts are read.")
    # None: the first logged, the last logged
    pre_step: int | None = knob(None, "", 0, 2**31, "Checkpoint of the comparison.", optional=True)
    post_step: int | None = knob(None, "", 0, 2**31, "Checkpoint of the comparison.", optional=True)
    controls: str = choice("positions", CONTROLS, "What the rocks are compared with.")
    draws: int = knob(20, "draws", 20, 10_000, "Random splits of the rollouts behind stability.")
    seed: int = knob(0, "seed", 0, 2**32 - 1, "Fixes splits, resampling and controls.")

    @property
    def automatic(self) -> bool:
        """Whether K is found from the run: by the shares and stability."""
        return self.top_k is None and self.tau_rock is None

    def __post_init__(self) -> None:
        """Raises BadRule for the first field out of its range."""
        if not is_name(self.name):
            raise BadRule(
                f"name = {self.name!r}",
                "A rule is named in links and files",
                "Use up to 60 letters, digits, spaces, dots and dashes",
            )
        if not isinstance(self.score, str):
            raise BadRule(f"score = {self.score!r}", "It names one of the scores", "Change score")
        for name, about in ABOUT.items():
            value = getattr(self, name)
            if isinstance(about, Knob) and not about.takes(value):
                raise BadRule(
                    f"{name} = {value!r}", f"{about.meaning} It is {about.range}", f"Change {name}"
                )
            if isinstance(about, Choice) and value not in about.options:
                raise BadRule(
                    f"{name} = {value!r}",
                    f"There is only {', '.join(about.options)}",
                    "Choose one of them",
                )
        self._check_exclusions()
        self._check_pairs()

    def _check_pairs(self) -> None:
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


def is_name(name: Any) -> bool:
    """Whether a rule can be called so: in a link, and as the name of a file."""
    return isinstance(name, str) and re.fullmatch(_NAME, name) is not None


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


ABOUT: dict[str, Knob | Choice] = {
    f.name: f.metadata["about"] for f in fields(RuleFields) if "about" in f.metadata
}
# the numbers that have a symbol; a checkpoint is no matter of taste
KNOBS: dict[str, Knob] = {
    name: about for name, about in ABOUT.items() if isinstance(about, Knob) and about.symbol
}
CHOICES: dict[str, Choice] = {
    name: about for name, about in ABOUT.items() if isinstance(about, Choice)
}
FIELDS = tuple(f.name for f in fields(RuleFields))
OF_CONTEXTS = ("window", "gamma", "eta", "min_support", "min_rollouts", "excluded_contexts")
FIND_K = ("least_share", "even_share", "min_jaccard")  # void where the rule says itself where K is
