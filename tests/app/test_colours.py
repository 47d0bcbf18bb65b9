"""The palettes: ordered in lightness on either page; both sides of zero are equally strong."""

import itertools

import numpy as np
import pytest

from app.components import colours

THEMES = pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
NEAR = 6.0  # of L*, 0 to 100: neighbours of DIVERGING are 9 and more apart


def channels(colour: str) -> list[float]:
    return [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def lightness(colour: str) -> float:
    """L* of CIE 1976, by way of the sRGB curve."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels(colour)]
    y = sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return 116 * (y ** (1 / 3) if y > 0.008856 else 7.787 * y + 16 / 116) - 16


def away_from_the_page(pairs: list[tuple[str, str]], theme: int) -> bool:
    """Whether each colour stands out more than the one before it: darker on a light page, lighter
    on a dark one.
    """
    seen = [lightness(pair[theme]) for pair in pairs]
    return all(b > a if theme else b < a for a, b in itertools.pairwise(seen))


@THEMES
def test_higher_values_stand_out_more(theme: int) -> None:
    pairs = list(colours.SEQUENTIAL)
    assert away_from_the_page(pairs, theme)
    assert not away_from_the_page(pairs[::-1], theme)


@THEMES
def test_values_further_from_zero_stand_out_more_on_either_side(theme: int) -> None:
    middle = len(colours.DIVERGING) // 2
    assert colours.DIVERGING[middle] == colours.CLEAR
    assert away_from_the_page(list(colours.DIVERGING[middle + 1 :]), theme)
    assert away_from_the_page(list(colours.DIVERGING[:middle][::-1]), theme)


@THEMES
def test_both_sides_of_zero_are_as_light_as_each_other(theme: int) -> None:
    for below, above in zip(colours.DIVERGING[:5], colours.DIVERGING[:5:-1], strict=True):
        assert abs(lightness(below[theme]) - lightness(above[theme])) < NEAR


@THEMES
def test_below_zero_is_blue_and_above_it_orange(theme: int) -> None:
    for below, above in zip(colours.DIVERGING[:5], colours.DIVERGING[:5:-1], strict=True):
        (red, _, blue), (red_above, _, blue_above) = (
            channels(below[theme]),
            channels(above[theme]),
        )
        assert blue > red and red_above > blue_above


@pytest.mark.parametrize("bins", range(1, 13))
@pytest.mark.parametrize("signed", [False, True])
def test_every_bin_has_a_colour_and_a_higher_one_stands_out_more(bins: int, signed: bool) -> None:
    pairs = colours.palette(bins, signed)
    assert len(pairs) == bins and colours.CLEAR in pairs
    if pairs != colours.DIVERGING:
        assert pairs[0] == colours.CLEAR
        if bins <= len(colours.SEQUENTIAL) + 1:
            assert all(away_from_the_page(list(pairs[1:]), theme) for theme in (0, 1))


# Machado, Oliveira and Fernandes 2009, "A physiologically-based model for simulation of color
# vision deficiency", full severity, on linear light: what each of the four kinds of eye sees.
EYES = {
    "usual": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanope": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranope": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanope": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = [  # sRGB, D65, over its white
    [0.43396, 0.37623, 0.18984],
    [0.21267, 0.71515, 0.07218],
    [0.01776, 0.10946, 0.87278],
]


def lab(colour: str, eye: str) -> np.ndarray:
    """CIE 1976 L*a*b* of what an eye sees."""
    rgb = np.array(channels(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.array(TO_XYZ) @ np.clip(np.array(EYES[eye]) @ linear, 0, 1)
    f = np.where(seen > 0.008856, np.cbrt(seen), 7.787 * seen + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def distance(one: str, other: str) -> float:
    """Of two colours, to the eye that tells them apart least (ΔE 1976; 2.3 is just seen)."""
    return min(float(np.linalg.norm(lab(one, eye) - lab(other, eye))) for eye in EYES)


def contrast(one: str, other: str) -> float:
    low, high = sorted((colours.luminance(one), colours.luminance(other)))
    return (high + 0.05) / (low + 0.05)


OTHERS = {
    **{name: getattr(colours, name) for name in ("STUDENT", "TEACHER", "NEUTRAL", "CONTROL")},
    **{f"arm {name}": colour for name, colour in colours.ARMS.items()},
    **{f"phase {name}": colour for name, colour in colours.PHASES.items()},
    **{f"verdict {name}": colour for name, colour in colours.VERDICTS.items()},
    **{f"series {i}": colour for i, colour in enumerate(colours.SERIES)},
    **{f"class {i}": pair[0] for i, pair in enumerate(colours.CLASSES) if pair != colours.CLEAR},
    **{f"one of a pair {i}": colour for i, colour in enumerate(colours.PAIR)},
}


@pytest.mark.parametrize("name", OTHERS)
def test_no_other_thing_has_the_colour_of_the_rock_tokens_to_any_eye(name: str) -> None:
    assert distance(colours.ROCK, OTHERS[name]) > 20


def test_student_and_teacher_are_told_apart_by_any_eye_and_are_no_category() -> None:
    models = (colours.STUDENT, colours.TEACHER)
    assert distance(*models) > 50
    beside = {*colours.SERIES, *colours.ARMS.values(), *colours.VERDICTS.values(), *colours.PAIR}
    assert not beside & set(models)


def test_the_two_of_a_pair_and_the_verdicts_are_told_apart_by_any_eye() -> None:
    assert distance(*colours.PAIR) > 20
    pillar, stumbling, *_ = colours.VERDICTS.values()
    assert distance(pillar, stumbling) > 40 and distance(colours.HARD, colours.EASY) > 40
    assert distance(colours.ROCK, colours.CONTROL) > 25


def test_neighbours_among_the_categories_are_told_apart_by_any_eye() -> None:
    assert min(distance(*pair) for pair in itertools.pairwise(colours.SERIES)) > 12


@THEMES
def test_the_colour_of_the_rock_tokens_stands_out_on_the_page(theme: int) -> None:
    assert contrast(colours.ROCK, colours.PAGE[theme]) > 3  # WCAG 2.2, 1.4.11: graphics
