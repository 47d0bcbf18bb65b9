"""Rules: what is out of range is refused by name, and every rule comes back from JSON and from a
link as it was.
"""

import json
import math
from dataclasses import asdict, fields, replace

import brute
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rockcore.rocks.rule import PRESETS, RockRule, preset
from rockcore.rocks.rule_fields import COLUMNS, CONTROLS, KNOBS, MODES, BadRule
from rockcore.rocks.scores import SCORES

WHOLE = {name for name, knob in KNOBS.items() if isinstance(knob.low, int)}
OPEN = {"tau_pre", "tau_post", "top_k", "tau_rock"}  # found from the run where they are None
NAMES = ["a b", "none", "ünï", "default", "paper 2", "x.y-z", "7", "_"]
HOSTILE = [
    "",
    " ",
    "=",
    "a;b",
    "default;gamma=1",
    "\x00",
    "'\"\\",
    "{}",
    "💥",
    "<script>",
    "../x",
    "\ud800",
    "a\n",
    "x" * 61,
]


def with_knob(name: str, value: object) -> RockRule:
    """A rule with this value in this field, and whatever has to go with it."""
    other = {"tau_pre": {"tau_post": 1.0}, "tau_post": {"tau_pre": 1.0}}
    return RockRule.from_dict({name: value, **other.get(name, {})})


@st.composite
def any_rule(draw: st.DrawFn) -> RockRule:
    """Rules over the whole of every range, built on a preset."""
    base = PRESETS[draw(st.sampled_from(sorted(PRESETS)))]
    changes: dict[str, object] = {}
    for name in draw(st.sets(st.sampled_from(sorted(KNOBS.keys() - OPEN)))):
        low, high = KNOBS[name].low, KNOBS[name].high
        changes[name] = draw(
            st.integers(int(low), int(high))
            if name in WHOLE
            else st.floats(low, high, exclude_min=name == "gamma")
        )
    if draw(st.booleans()):
        changes |= {name: draw(st.floats(0, 50)) for name in ("tau_pre", "tau_post")}
    changes |= draw(
        st.sampled_from(
            [{}, {"top_k": 7, "tau_rock": None}, {"tau_rock": 0.3, "top_k": None}, {"top_k": None}]
        )
    )
    window = changes.get("window", base.window)
    assert isinstance(window, int)
    offsets = st.integers(1, window) | st.integers(-window, -1)
    changes["excluded_types"] = tuple(draw(st.lists(st.integers(0, 10**6), max_size=3)))
    changes["excluded_contexts"] = tuple(
        draw(st.lists(st.tuples(offsets, st.integers(0, 10**6)), max_size=2))
    )
    choices = {
        "column": COLUMNS,
        "mode": MODES,
        "controls": CONTROLS,
        "score": sorted(SCORES),
        "probe_set": ("auto", "first", "final"),
    }
    changes |= {name: draw(st.sampled_from(values)) for name, values in choices.items()}
    changes["pre_step"] = draw(st.none() | st.integers(0, 10**6))
    return replace(base, **{**changes, "name": draw(st.sampled_from([base.name, *NAMES]))})


@brute.examples(150)
@given(any_rule())
def test_every_rule_comes_back_from_json(rule):
    assert RockRule.from_json(rule.to_json()) == rule
    assert RockRule.from_json(json.dumps(asdict(rule)).encode()) == rule, (
        "tuples as lists, letters escaped"
    )


@brute.examples(150)
@given(any_rule())
def test_every_rule_comes_back_from_its_short_form(rule):
    assert RockRule.from_short(rule.short()) == rule


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_its_own_short_form(name):
    assert (
        preset(name).short() == name
        and RockRule.from_short(name) == preset(name)
        and preset(name).name == name
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_would_break_a_link_or_a_path_is_refused(name):
    with pytest.raises(BadRule, match="name = "):
        RockRule(name=name)


@pytest.mark.parametrize("name", KNOBS)
def test_each_knob_takes_both_ends_of_its_range_and_refuses_what_lies_beyond_by_name(name):
    knob = KNOBS[name]
    low = 1e-9 if name == "gamma" else knob.low
    for value in (low, knob.high if math.isfinite(knob.high) else 1e300):
        assert getattr(with_knob(name, int(value) if name in WHOLE else value), name) == value
    beyond = [knob.low - 1, float("nan"), "1", [1], True, {}]
    beyond += [knob.high + 1] if math.isfinite(knob.high) else []
    beyond += [1.5] if name in WHOLE else []
    beyond += [] if name in OPEN else [None]
    for value in beyond:
        with pytest.raises(
            BadRule, match=rf"^{name} = .*(whole )?number (from|above) .* Change {name}\.$"
        ):
            with_knob(name, value)


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("gamma", 0),
        ("column", "loss"),
        ("column", []),
        ("mode", "nested"),
        ("mode", None),
        ("controls", "random"),
        ("probe_set", "last"),
        ("pre_step", -1),
        ("post_step", 1.5),
        ("excluded_types", ["12"]),
        ("excluded_types", [1.0]),
        ("excluded_types", "12"),
        ("excluded_types", 12),
        ("excluded_types", None),
        ("excluded_contexts", [[5, 12]]),
        ("excluded_contexts", [[0, 12]]),
        ("excluded_contexts", [[-1]]),
        ("excluded_contexts", [12]),
        ("excluded_contexts", [["-1", "12"]]),
    ],
)
def test_a_field_with_a_wrong_value_is_named(field, bad):
    with pytest.raises(BadRule, match=field):
        RockRule.from_dict({field: bad})


@pytest.mark.parametrize(
    ("field", "bad"), [("name", None), ("name", 5), ("name", []), ("score", []), ("score", None)]
)
def test_a_name_or_score_that_is_no_text_is_refused_by_name(field, bad):
    with pytest.raises(BadRule, match=field):
        RockRule.from_dict({field: bad}).short()
        raise AssertionError("not refused")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        '"a"',
        "null",
        "{'gamma': 1}",
        b"\xff\xfe",
        "\x00",
        '{"gamma": 1' + "0" * 5000 + "}",
    ],
)
def test_what_is_no_json_object_is_refused(text):
    with pytest.raises(BadRule, match='For example {"top_k": 50, "gamma": 0.5}|gamma'):
        RockRule.from_json(text)


@pytest.mark.parametrize(
    "read", [RockRule.from_json, lambda text: RockRule().with_settings([f"gamma={text}"])]
)
def test_json_too_deep_to_read_is_refused_too(read):
    with pytest.raises(BadRule):
        read("[" * 100_000)


def test_fields_that_do_not_exist_are_named_with_those_that_do():
    with pytest.raises(BadRule, match="No field gama, taus. A rule has name, column, .*seed"):
        RockRule.from_dict({"gama": 1, "taus": 2, "eta": 0.1})
    with pytest.raises(BadRule, match="No field gama"):
        RockRule().with_settings(["gama=1"])


@pytest.mark.parametrize(
    "text",
    [
        "nowhere",
        "",
        ";",
        "default;gamma",
        "default;gamma=2",
        "paper;name",
        "default;eta=0.1;;",
        "x;gamma=1",
    ],
)
def test_a_broken_link_is_refused(text):
    with pytest.raises(BadRule):
        RockRule.from_short(text)


def test_thresholds_are_both_in_nats_or_neither():
    with pytest.raises(BadRule, match="tau_post is missing.*Give tau_post too"):
        RockRule(tau_pre=0.3)
    with pytest.raises(BadRule, match="tau_pre is missing"):
        RockRule(tau_post=0.3)


def test_a_set_ends_by_number_or_by_score_but_not_by_both():
    with pytest.raises(BadRule, match="top_k = 5 and tau_rock = 0.2"):
        RockRule(top_k=5, tau_rock=0.2)


def test_one_threshold_in_nats_sets_both_until_the_other_is_given():
    one = RockRule().with_settings(["tau_pre=0.3"])
    assert (one.tau_pre, one.tau_post) == (0.3, 0.3)
    assert RockRule().with_settings(["tau_post=0.3"]) == one
    two = one.with_settings(["tau_post=0.5"])
    assert (two.tau_pre, two.tau_post) == (0.3, 0.5)
    assert RockRule().with_settings(["tau_pre=0.3", "tau_post=0.5"]) == two


def test_a_quantile_takes_the_place_of_nats():
    rule = RockRule(tau_pre=0.3, tau_post=0.4).with_settings(["tau_quantile=0.8"])
    assert (rule.tau_pre, rule.tau_post, rule.tau_quantile) == (None, None, 0.8)


def test_a_number_of_types_takes_the_place_of_a_threshold_for_the_score_and_the_other_way_round():
    assert RockRule(tau_rock=0.5).with_settings(["top_k=9"]) == RockRule(top_k=9)
    assert RockRule(top_k=9).with_settings(["tau_rock=0.5"]) == RockRule(tau_rock=0.5)
    assert RockRule(top_k=9).with_settings(["top_k=none"]) == RockRule()


def test_settings_are_read_as_json_or_as_bare_words_and_the_last_one_counts():
    rule = RockRule().with_settings(
        [
            " gamma = 0.25 ",
            "mode=bounds",
            'score="joint"',
            "excluded_contexts=[[-1, 3]]",
            "window=3",
            "window=2",
        ]
    )
    assert rule == RockRule(
        gamma=0.25, mode="bounds", score="joint", excluded_contexts=((-1, 3),), window=2
    )


def test_a_setting_without_a_value_or_with_a_wrong_one_is_named():
    for setting, name in (
        ("gamma", "--set gamma"),
        ("gamma=much", "gamma = 'much'"),
        ("window=2.5", "window = 2.5"),
        ("=3", "No field"),
    ):
        with pytest.raises(BadRule, match=name):
            RockRule().with_settings([setting])


def test_each_preset_differs_from_the_default_and_ranks_by_a_score_that_exists():
    assert {"default", "paper", "authors", "strict", "lenient"} <= set(PRESETS)
    assert all(rule.score in SCORES for rule in PRESETS.values())
    assert len({replace(rule, name="same") for rule in PRESETS.values()}) == len(PRESETS)
    with pytest.raises(BadRule, match="No preset 'best'.*default, paper"):
        preset("best")


def test_every_knob_is_a_field():
    assert set(KNOBS) <= {field.name for field in fields(RockRule)}
