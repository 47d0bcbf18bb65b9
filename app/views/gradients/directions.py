"""Where mean gradients point: lengths and cosines by group at one step, with what tests say."""

from __future__ import annotations

import streamlit as st

from app import cards, data, selection, tables
from app.views.gradients import charts
from app.views.gradients import words as sentences
from app.views.gradients.asked import Asked, RuleSet
from app.views.gradients.change import show_change
from app.views.gradients.one_type import show_type

VALUES = {"corrected": "corrected, cross-fitted", "naive": "naive"}
VALUES_HELP = (
    "The mean of n noisy gradients is long by noise alone, which makes rare types look long and "
    "turned away; corrected numbers use only "
    "products of occurrences in different rollouts, on rollouts that did not choose the types."
)


def show_directions(asked: Asked, rocks: RuleSet) -> None:
    """Lengths and cosines by group, of texts that have directions."""
    asked = of_summed(asked)
    run, facts, texts = asked.run, asked.facts, asked.texts
    if not rocks.ids:
        st.text("Without Rock Tokens there are no groups to compare.")
        return
    steps = data.gradients.direction_steps(run, texts)
    left, right = st.columns([2, 3])
    with left:
        step = selection.choose(
            "direction_step", st.select_slider, "Step of the directions", steps, steps[-1]
        )
    with right:
        values = selection.choose(
            "values",
            st.segmented_control,
            "Values",
            list(VALUES),
            "corrected",
            format_func=VALUES.get,
            required=True,
            help=VALUES_HELP,
        )
    about = f"{facts.meta.name} · {texts.label.lower()} · step {step} · {facts.estimator}"
    found = data.gradients.compared_groups(run, texts, step, rocks.rule)
    n = "" if found.texts is None else f"{found.texts:,} texts · "
    show_groups(found, values == "naive", f"{n}{about}")
    if error := data.gradients.cosine_error(run, texts, step):
        st.caption(
            f"The gradients are logged as random projections, which adds ±{error:.3f} (one "
            "standard deviation) to a cosine."
        )


def show_early_and_late(asked: Asked, rocks: RuleSet) -> None:
    """Each type at the first and the last step that have directions."""
    asked = of_summed(asked)
    if rocks.ids and len(ends := data.gradients.ends(asked.run, rocks.ids)) > 1:
        st.text(sentences.early_and_late(ends))
    steps = data.gradients.direction_steps(asked.run, asked.texts)
    if len(steps) > 1:
        show_change(asked, steps[0], steps[-1], rocks.ids)
        show_type(asked, rocks.ids)
    else:
        st.text(f"Only step {steps[0]} has directions, so there is no early and late.")


def of_summed(asked: Asked) -> Asked:
    """The same of texts whose gradients are summed, where those that were asked for are not."""
    summed = data.gradients.direction_texts(asked.run)
    return asked if asked.texts in summed else asked._replace(texts=summed[0])


def show_groups(found: data.gradients.Comparison, naive: bool, about: str) -> None:
    """The groups as histograms, then in numbers, then beside the paper's."""
    left, right = st.columns(2)
    with left:
        show_lengths(found, naive, about)
    with right:
        show_cosines(found, naive, about)
    st.caption(VALUES_HELP)
    cards.row("mean_gradient", "G_balanced", "cosine", "rare_high_kl", "cross_fitted")
    show_medians(found, naive)
    show_tests(found, naive)
    if sentence := sentences.beside_the_paper(found):
        st.text(sentence)


def show_lengths(found: data.gradients.Comparison, naive: bool, about: str) -> None:
    chart = charts.group_histogram(
        found.spread("norm", naive),
        f"Length of the mean gradient, {'naive' if naive else 'corrected'}",
        "‖mean gradient‖ of a type",
        about,
        logarithmic=True,
    )
    st.plotly_chart(chart, key="lengths", alt="Lengths of mean gradients by group")


def show_cosines(found: data.gradients.Comparison, naive: bool, about: str) -> None:
    cosines = found.spread("cos_balanced", naive)
    if not cosines.n:
        st.text(
            "No corrected cosine can be told here: no length of a type, or not that of the "
            "common direction, is above its noise on the rollouts that measure it. The naive "
            "values show what is left without the correction, noise and all."
        )
        return
    chart = charts.group_histogram(
        cosines,
        f"Cosine with the other types' mean, {'naive' if naive else 'corrected'}",
        "cosine, own type left out",
        about,
        logarithmic=False,
    )
    st.plotly_chart(chart, key="cosines", alt="Cosines with the common direction by group")


def show_medians(found: data.gradients.Comparison, naive: bool) -> None:
    """The three groups in numbers."""
    heads = {
        "norm": "median ‖ḡ‖",
        "norm_equal": f"‖mean of {found.n_equal}‖",
        "cos_balanced": "cos, G_balanced",
        "cos_global": "cos, G_global",
        "kl": "median KL (nats)",
    }
    alt = "Groups of types with their medians"
    if not naive:
        tables.show(sentences.medians(found, heads), hide_index=True, alt=alt)
        return
    number = st.column_config.NumberColumn
    tables.show(
        found.groups,
        hide_index=True,
        column_order=["group", "types", *[f"{name}_naive" for name in heads]],
        column_config={
            f"{name}_naive": number(f"{head}, naive", format="%.4g") for name, head in heads.items()
        },
        alt=alt,
    )


def show_tests(found: data.gradients.Comparison, naive: bool) -> None:
    """What the medians rest on, and what rank tests say of them."""
    if not naive:
        st.caption(
            "Medians over the types, the mean of both halves, with approximate 95 % intervals over "
            "texts; those of ratios take the types as drawn too. A length that is not told from 0 "
            "is bounded, and has no cosine. With few Rock Tokens all of these are rough."
        )
    for row in found.tests[found.tests.stat.isin(["norm", "cos_balanced"])].itertuples():
        if sentence := sentences.test(found, row, naive):
            st.text(sentence)
