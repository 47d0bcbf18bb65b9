"""What the type takes, where its gradient pulls, and what became of training and answers without
it.
"""

from __future__ import annotations

import streamlit as st

from app import controls, data, selection, words
from app.views.token.asked import Asked


def show_share(asked: Asked) -> None:
    found = data.token.share(asked.run, asked.rule, asked.token_id)
    names = {"KL": f"the {words.loss_name(asked.rule.column)}"}
    with st.container(horizontal=True):
        for name, share in found.told.items():
            value, _, interval = share.partition(" (")
            with st.container(width=150, gap="xxsmall"):
                st.metric(f"of {names.get(name, f'the {name}')}", value)
                st.caption(words.literal(interval.rstrip(")")))
    st.caption(
        f"{found.n:,} of {found.of_tokens:,} tokens of {found.texts:,} texts, step {found.step}; "
        "95 % over texts. The gradient is the summed length of that of the logits."
    )
    controls.show_rock_line(asked.run)


def show_gradient(asked: Asked) -> None:
    logged = data.gradients.direction_texts(asked.run)
    if data.runs.holdings(asked.run).elsewhere:
        st.text(str(data.runs.holdings(asked.run).lack("grad_norm")))
        return
    if not logged:
        st.text("No summed gradients are logged, so no direction can be told.")
        st.text(
            "A training logs them with probe texts: rockcore train --gradients sums, the default"
        )
        return
    where, _ = data.gradients.about_type(asked.run, asked.token_id, logged[0], set())
    if where is None:
        st.text(f"It does not stand in the {logged[0].phrase} whose gradients are summed.")
        return
    for sentence in data.gradients.pointing(where):
        st.text(sentence)
    selection.link(
        "gradients",
        "Beside the other types, on the page Gradients",
        token=str(asked.token_id),
        gradient_figure="types",
    )


def show_knockout(asked: Asked) -> None:
    measured = data.knockouts.measured(asked.run)
    told = measured.words.get(asked.token_id)
    if told is None:
        st.text(measured.others.replace("{id}", str(asked.token_id)))
        return
    st.text(f"{told}.")
    if measured.note:
        st.caption(words.literal(measured.note))
    selection.link("knockout", "All candidates, on the page Knockout", knockout_figure="each")


def show_not_trained(asked: Asked) -> None:
    found = data.token.not_trained(asked.run, asked.token_id)
    for one in found:
        others = "alone" if one.types == 1 else f"together with {one.types - 1} other types"
        models = "" if one.same_models else f", of other models ({one.student}, {one.teacher})"
        st.text(f"In the comparison {one.comparison}{models} it was left out {others}:")
        for sentence in one.sentences:
            st.text(sentence)
        selection.link(
            "arms", words.literal(f"The comparison {one.comparison}"), comparison=one.comparison
        )
    if found:
        return
    st.text("Not measured: no comparison of arms here leaves this type out. This measures it:")
    st.code(
        f"{data.rocks.command_line(asked.run, asked.rule)} --json > set.json\n"
        "rockcore arms --rocks set.json --arms baseline,rock-freeze,random-freeze --out runs/arms",
        language=None,
    )
