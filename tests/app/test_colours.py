"""The palettes: ordered in lightness on either page; both sides of zero are equally strong."""

import itertools

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
