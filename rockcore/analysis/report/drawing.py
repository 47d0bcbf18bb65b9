"""How figures of the report are drawn: by matplotlib's objects alone, without its global state of
windows, and without any of its markup.

Token text is hostile: `$` begins no formula here, and a character that the font lacks is spelled
out, where matplotlib would draw a box and warn. A figure is 7 inches wide, as the page is printed,
with letters of 9 points and more. The text of the SVG is outlines, so that it looks alike wherever
it is opened; its ink follows the light or dark scheme of the page around it.
"""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from rockcore.analysis.report.made import Figure
from rockcore.colours import PAGE, TEXT
from rockcore.spelling import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 7.0  # inches
_FONT = "DejaVu Sans"  # comes with matplotlib
_DPI = 160
_LONGEST, _IN_LINE = 24, 100  # letters of a name, and of a line below a title
STYLE: dict[str, Any] = {
    "font.family": _FONT,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "axes.axisbelow": True,
    "hatch.linewidth": 0.8,
    "text.parse_math": False,
    "axes.formatter.use_mathtext": False,
    "svg.fonttype": "path",
    **dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), TEXT[0]
    ),
    **dict.fromkeys(("figure.facecolor", "axes.facecolor"), PAGE[0]),
}
# settings of matplotlib are the process's: one figure at a time
_lock = threading.Lock()
_NO_ORIGIN = dict.fromkeys(("Date", "Creator", "Format", "Type"))
_IN_THE_DARK = f"""<style>@media (prefers-color-scheme: dark) {{
[style*="fill: {TEXT[0]}"] {{fill: {TEXT[1]} !important}}
[style*="stroke: {TEXT[0]}"] {{stroke: {TEXT[1]} !important}}
}}</style>"""


def draw(
    name: str,
    alt: str,
    about: str,
    paint: Callable[..., None],
    height: float = 3.4,
    across: int = 1,
) -> Figure:
    """The figure that `paint` makes of its axes, of which `across` stand side by side. `about`:
    what stands below it, of which run and texts it is.
    """
    import matplotlib
    from matplotlib.figure import Figure as Drawing

    lines = _lines(about)
    style: Any = {**STYLE, "svg.hashsalt": name}
    with _lock, matplotlib.rc_context(style):
        drawing = Drawing(figsize=(WIDTH, height + 0.16 * len(lines)), layout="constrained")
        axes = drawing.subplots(1, across, squeeze=False)[0]
        paint(*axes)
        _tell(axes, lines)
        _show_legend(drawing, axes)
        drawing.draw_without_rendering()
        drawing.set_layout_engine("none")  # it is laid out once: that takes longer than drawing
        svg, png = io.StringIO(), io.BytesIO()
        drawing.savefig(svg, format="svg", transparent=True, metadata=_NO_ORIGIN)
        drawing.savefig(png, format="png", dpi=_DPI)
    return Figure(name, alt, _for_pages(svg.getvalue()), png.getvalue())


def _lines(about: str) -> list[str]:
    """What stands below the title, in lines that fit."""
    lines = [""]
    for part in about.split(" · "):
        both = f"{lines[-1]} · {part}" if lines[-1] else part
        lines = [*lines[:-1], both] if len(both) <= _IN_LINE else [*lines, part]
    return [drawn(line, _IN_LINE) for line in lines if line]


def _tell(axes: Any, lines: Sequence[str]) -> None:
    """Write the lines between the first title and its axes."""
    for each in axes:
        each.set_title(each.get_title(loc="left"), pad=8 + 12 * len(lines))
    told = axes[0].annotate(
        "\n".join(lines),
        (0, 1),
        (0, 5),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=9,
        alpha=0.8,
    )
    told.set_in_layout(False)  # it may be wider than its axes


def _show_legend(drawing: Any, axes: Any) -> None:
    """One legend for all axes, below them."""
    found: dict[str, Any] = {}
    for each in axes:
        handles, labels = each.get_legend_handles_labels()
        found |= dict(zip(labels, handles, strict=True))
    if found:
        widest = max(len(name) for name in found)
        columns = max(1, min(len(found), 90 // (widest + 6)))
        drawing.legend(found.values(), found.keys(), loc="outside lower left", ncols=columns)


def _for_pages(svg: str) -> str:
    """The SVG alone, without the prologue that names an address, its ink following the scheme."""
    svg = re.sub(r"^.*?(?=<svg)", "", svg, count=1, flags=re.DOTALL)
    return svg.rstrip().removesuffix("</svg>") + _IN_THE_DARK + "</svg>\n"


@cache
def _letters() -> frozenset[int]:
    """The characters that the font has."""
    from matplotlib.font_manager import findfont
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(findfont(_FONT)).get_charmap())


def drawn(text: str, longest: int = _LONGEST) -> str:
    """Text of a log on one line, of characters that can be drawn; longer ones are cut."""
    shown = visible(text, spaces=True)
    shown = shown if len(shown) <= longest else f"{shown[: longest - 1]}…"
    return "".join(c if ord(c) in _letters() else f"\\u{ord(c):04x}" for c in shown)


def as_percents(axis: Any, signed: bool = False, unit: str = " %") -> None:
    """Write an axis of shares in hundredths."""
    from matplotlib.ticker import FuncFormatter

    def written(x: float, _: object) -> str:
        value = round(100 * x, 9)
        return f"{value:{'+' if signed and value else ''}.3g}{unit}".replace("-", "−")

    axis.set_major_formatter(FuncFormatter(written))


def as_numbers(*axes: Any) -> None:
    """Write logarithmic axes in plain numbers: matplotlib would write powers as formulas."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for axis in axes:
        axis.set_major_locator(LogLocator(numticks=8))
        axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axis.set_minor_formatter(NullFormatter())


def forest(
    axes: Axes,
    names: Sequence[str],
    middles: Sequence[float],
    ends: Sequence[tuple[float, float]],
    colours: Sequence[str],
    markers: Sequence[str] = (),
) -> None:
    """One row a name, the first on top: a point and its interval, where it has one."""
    rows, shapes = range(len(names))[::-1], markers or ["o"] * len(names)
    for row, middle, (low, high), colour, marker in zip(
        rows, middles, ends, colours, shapes, strict=True
    ):
        if low == low and high == high:
            axes.plot([low, high], [row, row], color=colour, linewidth=1.6)
        axes.plot([middle], [row], marker, color=colour, markersize=6)
    axes.set_yticks(list(rows), [drawn(name, 34) for name in names])
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.axvline(0, color=TEXT[0], linewidth=0.8)


def name_points(axes: Any, names: Sequence[str], x: Sequence[float], y: Sequence[float]) -> None:
    """Write names beside points, each where no other name or point is, with a line to its point.
    After everything else is drawn.
    """
    axes.get_figure().draw_without_rendering()
    points = [axes.transData.transform(at) for at in zip(x, y, strict=True)]
    taken = [(px - 5, py - 5, px + 5, py + 5) for px, py in points]
    per_letter, tall = 6.0, 11.0  # pixels, which are points here
    for name, (px, py) in zip(names, points, strict=True):
        shown = drawn(name)
        wide = per_letter * len(shown)
        dx, dy = next((d for d in _AROUND if _is_free((px, py), d, wide, tall, taken)), _AROUND[0])
        taken.append((px + dx, py + dy, px + dx + wide, py + dy + tall))
        axes.annotate(
            shown,
            axes.transData.inverted().transform((px, py)),
            (dx, dy),
            textcoords="offset pixels",
            fontsize=9,
            arrowprops={"arrowstyle": "-", "linewidth": 0.6, "color": TEXT[0]},
        )


_AROUND = [
    (dx, dy)
    for reach in (8, 22, 38, 56, 76)
    for dx, dy in ((reach, reach - 4), (reach, -reach - 6), (-reach - 40, reach - 4),
                   (-reach - 40, -reach - 6), (-14, reach), (-14, -reach - 10))
]  # fmt: skip


def _is_free(
    point: tuple[float, float],
    offset: tuple[float, float],
    wide: float,
    tall: float,
    taken: Sequence[tuple[float, float, float, float]],
) -> bool:
    """Whether a name has room there."""
    left, low = point[0] + offset[0], point[1] + offset[1]
    return all(left + wide < a or left > c or low + tall < b or low > d for a, b, c, d in taken)
