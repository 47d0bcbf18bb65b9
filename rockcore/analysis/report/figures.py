"""The figures of the report on a set of Rock Tokens: what the parts found, drawn. No access to a
run: each gets the frames that its part says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from rockcore.analysis.report.drawing import (
    as_numbers,
    as_percents,
    draw,
    drawn,
    forest,
    name_points,
)
from rockcore.analysis.report.made import Figure
from rockcore.colours import CONTROL, KL, NEUTRAL, PAIR, ROCK, SKY, STUDENT, VIOLET
from rockcore.rocks import RockReport
from rockcore.rocks.tables import Densities
from rockcore.spelling import loss_name, percent, visible

_NAMED = 12  # Rock Tokens that have their name in a figure
_MANY = 1_500  # points that are dots of an image from here on, and not shapes


def course_of_loss(means: pd.DataFrame, loss: str, about: str) -> Figure:
    """Mean loss of fresh rollouts by step: step, mean, low, high."""
    loss = loss_name(loss)

    def paint(axes: Any) -> None:
        known = means.dropna(subset=["low", "high"])
        axes.fill_between(known.step, known.low, known.high, color=STUDENT, alpha=0.22, linewidth=0)
        axes.plot(means.step, means["mean"], color=STUDENT, marker="o", markersize=3)
        axes.set_ylim(bottom=0 if float(means["mean"].min()) >= 0 else None)
        axes.set_title(f"Mean {loss} of fresh rollouts, 95 % over rollouts")
        axes.set_xlabel("step (updates)")
        axes.set_ylabel(f"{loss} (nats)")

    alt = f"Mean {loss} of {len(means)} steps, with its interval"
    return draw("course", alt, about, paint, height=3.0)


def funnel(found: RockReport, controls: Sequence[int], band: pd.DataFrame, about: str) -> Figure:
    """Every type by frequency and mean loss; `band`: tables.frequency_band."""
    frame = found.tokens.loc[found.tokens["mean"] > 0]
    column = loss_name(found.rule.column)
    control = frame.token_id.isin(list(controls)) & ~frame.in_set
    groups = (
        ("other types", ~frame.in_set & ~control, NEUTRAL, "o", 14, "none"),
        ("types with control positions", control, CONTROL, "^", 24, CONTROL),
        ("Rock Tokens", frame.in_set, ROCK, "D", 42, ROCK),
    )

    def paint(axes: Any) -> None:
        if len(band) > 1:
            axes.fill_between(
                band.frequency, band.low, band.high, color=NEUTRAL, alpha=0.18, linewidth=0
            )
        for name, chosen, colour, marker, size, face in groups:
            part = frame[chosen]
            if part.empty and colour == CONTROL:
                continue
            axes.scatter(
                part.frequency, part["mean"], s=size, marker=marker, edgecolors=colour,
                facecolors=face, linewidths=1, label=f"{name}: {len(part)}",
                rasterized=len(part) > _MANY,
            )  # fmt: skip
        if len(frame):
            axes.set_xscale("log")
            axes.set_yscale("log")
            as_numbers(axes.xaxis, axes.yaxis)
        axes.set_title(f"Token types by frequency and mean {column}")
        axes.set_xlabel("frequency (tokens)")
        axes.set_ylabel(f"mean {column} (nats)")
        _name_rocks(axes, frame, "frequency", "mean")

    alt = (
        f"{len(frame)} token types by frequency and mean {column}, of which "
        f"{int(frame.in_set.sum())} are Rock Tokens"
    )
    return draw("funnel", alt, about, paint, height=4.6)


def _name_rocks(axes: Any, rows: pd.DataFrame, x: str, y: str) -> None:
    rocks = rows[rows.in_set].head(_NAMED)
    names = [visible(str(token)) for token in rocks.token]
    name_points(axes, names, rocks[x].tolist(), rocks[y].tolist())


def cutoff(found: RockReport, about: str) -> Figure:
    """Coverage and stability by the number of types, and where the set ends."""
    curves, k = found.curves, len(found.ids)

    def mark(axes: Any) -> None:
        if k:
            axes.axvline(k, color=ROCK, linewidth=1.5, linestyle="--", label=f"K = {k}")
        axes.set_xlabel("K, so many types of the highest score")

    def paint(left: Any, right: Any) -> None:
        left.plot(curves.k, curves.coverage, color=PAIR[0], label="coverage")
        left.set_title("Coverage: share of the loss")
        left.set_ylim(0, 1.02)
        as_percents(left.yaxis)
        mark(left)
        right.fill_between(curves.k, curves.low, curves.high, color=PAIR[1], alpha=0.2, linewidth=0)
        right.plot(curves.k, curves.jaccard, color=PAIR[1], label="disjoint halves")
        right.plot(curves.k, curves.nested, color=NEUTRAL, linestyle=":", label="nested, as paper")
        right.set_title("Stability: Jaccard of halves")
        right.set_ylim(0, 1.02)
        mark(right)

    alt = f"Coverage and split-half Jaccard for 1 to {len(curves)} types, K = {k} marked"
    return draw("cutoff", alt, about, paint, height=3.4, across=2)


def densities(found: Densities, about: str) -> Figure:
    """How dense rollouts are with rocks, under both definitions."""
    names = {
        "type": ("type density: every token of a rock type", NEUTRAL, "//"),
        "occurrence": ("occurrence density: kept occurrences only", ROCK, ""),
    }
    top = min(1.0, found.most * 1.05 + 0.005)

    def paint(axes: Any) -> None:
        for column, median in found.medians.items():
            name, colour, hatch = names[column]
            axes.hist(
                found.frame[column].dropna(), bins=24, range=(0, top), color=colour, alpha=0.6,
                hatch=hatch, edgecolor="white", label=f"{name}, median {percent(median)}",
            )  # fmt: skip
        axes.set_xlim(0, top)
        as_percents(axes.xaxis)
        axes.set_title("Rock density of each rollout, two definitions")
        axes.set_xlabel("share of its tokens")
        axes.set_ylabel("rollouts")

    medians = ", ".join(f"{name} {percent(median)}" for name, median in found.medians.items())
    return draw("density", f"Histogram of rock density; medians: {medians}", about, paint)


def categories(pair: pd.DataFrame, about: str) -> Figure:
    """Rock occurrences against the control's positions by category."""
    rows = pair[::-1]

    def paint(axes: Any) -> None:
        for shift, name, said, colour, hatch in (
            (0.2, "rocks", "Rock Tokens", ROCK, ""),
            (-0.2, "control", "control", CONTROL, "//"),
        ):
            places = [i + shift for i in range(len(rows))]
            total = int(rows[f"n_{name}"].sum())
            bars = axes.barh(
                places, rows[name], height=0.38, color=colour, hatch=hatch, edgecolor="white",
                label=f"{said}: {total:,} occurrences",
            )  # fmt: skip
            axes.bar_label(bars, [f"{100 * v:.0f} %" for v in rows[name]], padding=3, fontsize=9)
        axes.set_yticks(range(len(rows)), [drawn(str(c)) for c in rows.category])
        axes.set_xlim(0, 1.15 * max(*pair.rocks, *pair.control, 0.01))
        as_percents(axes.xaxis)
        axes.set_title("What Rock Tokens are made of, against a matched control")
        axes.set_xlabel("share of the positions")

    alt = f"{len(pair)} categories among rock occurrences and among the control's positions"
    return draw("categories", alt, about, paint, height=1.5 + 0.45 * len(pair))


def set_over_steps(rows: pd.DataFrame, about: str) -> Figure:
    """The set's shares of tokens, kl and gradient at each logged step."""
    styles = {
        "tokens_share": ("tokens", NEUTRAL, ":", "s"),
        "kl_share": ("KL", KL, "--", "o"),
        "gradient_share": ("gradient norm", SKY, "-", "D"),
    }

    def paint(axes: Any) -> None:
        for column, (name, colour, dash, marker) in styles.items():
            axes.plot(
                rows.step, rows[column], color=colour, linestyle=dash, marker=marker, label=name
            )
        axes.set_ylim(bottom=0)
        as_percents(axes.yaxis)
        axes.set_title("What the Rock Tokens hold at each step")
        axes.set_xlabel("step (updates)")
        axes.set_ylabel("share of the step")

    return draw("gradient", f"Shares of the set at {len(rows)} steps", about, paint)


def group_changes(rows: pd.DataFrame, about: str) -> Figure:
    """Relative change of three groups of types, cross-fitted and naive."""

    def paint(axes: Any) -> None:
        names = [f"{g}: {t} types" for g, t in zip(rows.group, rows.types, strict=True)]
        ends = list(zip(rows.low, rows.high, strict=True))
        forest(axes, names, rows.crossed.tolist(), ends, [VIOLET] * len(rows))
        axes.plot(
            [], [], "o", color=VIOLET, label="chosen on one half, measured on the other, 95 %"
        )
        axes.plot(
            rows.naive, range(len(rows))[::-1], "x", color=NEUTRAL, markersize=8, linestyle="none",
            label="naive: chosen and measured on the same texts",
        )  # fmt: skip
        as_percents(axes.xaxis, signed=True)
        axes.set_title("Change of the mean from before to after")
        axes.set_xlabel("relative change")

    alt = f"Relative change of {len(rows)} groups of types, cross-fitted with interval and naive"
    return draw("change", alt, about, paint, height=2.7)


def early_late(frame: pd.DataFrame, steps: Sequence[int], column: str, about: str) -> Figure:
    """Each type's mean loss before and after, both logarithmic."""
    known, column = frame.loc[(frame.mean_first > 0) & (frame.mean_last > 0)], loss_name(column)

    def paint(axes: Any) -> None:
        for name, chosen, colour, marker, size, face in (
            ("other types", ~known.in_set, NEUTRAL, "o", 14, "none"),
            ("Rock Tokens", known.in_set, ROCK, "D", 42, ROCK),
        ):
            part = known[chosen]
            axes.scatter(
                part.mean_first, part.mean_last, s=size, marker=marker, edgecolors=colour,
                facecolors=face, linewidths=1, label=f"{name}: {len(part)}",
                rasterized=len(part) > _MANY,
            )  # fmt: skip
        if len(known):
            ends = known[["mean_first", "mean_last"]].to_numpy(float)
            span = [float(ends.min()) / 1.5, float(ends.max()) * 1.5]
            axes.plot(span, span, color=NEUTRAL, linewidth=1, linestyle="--", label="no change")
            axes.set_xscale("log")
            axes.set_yscale("log")
            as_numbers(axes.xaxis, axes.yaxis)
        axes.set_title(f"Mean {column} of each type, before and after")
        axes.set_xlabel(f"step {steps[0]} (nats)")
        axes.set_ylabel(f"step {steps[-1]} (nats)")
        _name_rocks(axes, known, "mean_first", "mean_last")

    alt = f"{len(known)} token types by mean {column} before and after"
    return draw("early-late", alt, about, paint, height=4.4)
