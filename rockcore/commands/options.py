"""What the flags of several commands share. A flag that would be ignored is refused."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import tyro

from rockcore.rocks.rule import RockRule, parsed, preset
from rockcore.rocks.rule_fields import FIND_K, OF_CONTEXTS, BadRule
from rockcore.schema import RockError


class BadOptions(RockError, ValueError):
    """Flags that contradict each other, or that nothing would come of."""


MemoryOption = Annotated[
    str | None,
    tyro.conf.arg(
        help="Memory that may be taken, such as 8GB; what does not fit goes to a folder for "
        "temporary files (TMPDIR). Default: ROCKCORE_MEMORY, else half of the machine's."
    ),
]


def check_top(top: int | None) -> None:
    """Raises BadOptions for a number of rows that is none."""
    if top is not None and top < 1:
        raise BadOptions(
            f"--top {top}",
            "It is the number of types, from 1 on",
            "Leave it out for the number that is usual",
        )


def chosen_rule(
    file: Path | None, name: str | None, settings: Iterable[str], step: int | None
) -> RockRule:
    """The rule of --rule or --preset, changed by --set and --step. Raises BadRule, or BadOptions
    for a flag that would be ignored.
    """
    if file is not None and name is not None:
        raise BadRule(
            "--rule and --preset",
            "Either is a whole rule",
            "Give one of them, and change its fields with --set",
        )
    rule = preset(name or "default") if file is None else _from(file)
    rule, given = from_settings(rule, settings)
    if step is None:
        return rule
    if given.get("post_step") not in (None, step):
        raise BadOptions(
            f"--step {step} and --set post_step={given['post_step']}",
            "Both name the checkpoint after training",
            "Give one of them",
        )
    return rule.changed(post_step=step)


def _from(file: Path) -> RockRule:
    try:
        return RockRule.from_json(file.read_bytes())
    except OSError as e:
        raise BadRule(
            f"{file} cannot be read ({e.strerror})",
            "It should hold a rule as JSON",
            "Check the path",
        ) from e


def from_settings(rule: RockRule, settings: Iterable[str]) -> tuple[RockRule, dict[str, Any]]:
    """The rule with `name=value` settings, and the fields they give. Raises BadRule, or BadOptions
    for a field that another one makes void.
    """
    settings = tuple(settings)
    given = {name: value for name, value in parsed(settings).items() if value is not None}
    rule = rule.with_settings(settings)
    nats = given.keys() & {"tau_pre", "tau_post"}
    if "tau_quantile" in given and nats:
        raise BadOptions(
            f"--set tau_quantile and --set {min(nats)}",
            "Thresholds are a quantile, or given in nats",
            "Give one of them",
        )
    if "probe_set" in given and rule.mode in ("bounds", "matched"):
        raise BadOptions(
            f"--set probe_set={given['probe_set']} with mode = {rule.mode}",
            "This mode reads the fresh rollouts and no probe texts",
            "Leave probe_set out, or set mode to paired",
        )
    if rule.mode == "bounds" and (contexts := [f for f in OF_CONTEXTS if f in given]):
        raise BadOptions(
            f"--set {contexts[0]}={given[contexts[0]]} with mode = bounds",
            "This mode compares sums of token types, and looks at no occurrence in its context",
            f"Leave {contexts[0]} out, or set mode to paired or matched",
        )
    ends = [f for f in ("top_k", "tau_rock") if getattr(rule, f) is not None]
    if ends and (finds := [f for f in FIND_K if f in given]):
        raise BadOptions(
            f"--set {finds[0]}={given[finds[0]]} with {ends[0]} = {getattr(rule, ends[0])}",
            "It finds how many types are in the set, and the rule says itself where they end",
            f"Leave {finds[0]} out, or add --set {ends[0]}=none",
        )
    if given.get("top_k") is not None and given.get("tau_rock") is not None:
        raise BadOptions(
            "--set top_k and --set tau_rock", "Either ends the list of types", "Give one of them"
        )
    return rule, given
