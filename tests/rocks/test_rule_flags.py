"""The command that a page prints for a rule is one that the command line takes."""

from __future__ import annotations

import pytest

from rockcore.commands.options import chosen_rule
from rockcore.rocks.rule import PRESETS, RockRule

RULE = RockRule()
RULES = {
    **PRESETS,
    "a name of its own": RockRule(name="my rule", top_k=5),
    "a quantile, then nats": RULE.changed(tau_quantile=0.8).changed(tau_pre=0.5, tau_post=0.6),
    "shares, then K": RULE.changed(least_share=0.01, min_jaccard=0.5).changed(top_k=5),
    "contexts, then bounds": RULE.changed(window=2, probe_set="first").changed(mode="bounds"),
    "excluded": RULE.changed(excluded_types=(3, 4), excluded_contexts=((-1, 7),)),
}


@pytest.mark.parametrize("name", RULES)
def test_the_flags_of_a_rule_give_it_back_but_for_what_is_void(name: str) -> None:
    rule = RULES[name]
    flags = rule.flags()
    assert flags[::2] == ["--preset", *["--set"] * (len(flags) // 2 - 1)]
    read = chosen_rule(None, flags[1], flags[3::2], None)
    void = {change.split()[0] for change in rule.changes_from(read)}
    assert void <= {"tau_quantile", "least_share", "min_jaccard", "window", "probe_set"}
    for field in ("tau_pre", "tau_post", "top_k", "mode", "excluded_types", "excluded_contexts"):
        assert getattr(read, field) == getattr(rule, field)
