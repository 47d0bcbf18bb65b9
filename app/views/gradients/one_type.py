"""Evidence in sentences, for the type that was clicked or chosen."""

from __future__ import annotations

import streamlit as st

from app import controls, data, links, selection, words
from app.views.gradients import words as sentences
from app.views.gradients.asked import Asked

MOST_CHOICES = 300


def show_type(asked: Asked, rock_ids: set[int]) -> None:
    st.subheader("One type")
    now = data.gradients.at_step(asked.run, asked.texts, asked.norm, asked.step, rock_ids)
    ids = now.token_id.head(MOST_CHOICES).tolist()
    names = {
        i: f"{shown} · {words.percent(share)} of the gradient"
        for i, shown, share in zip(
            now.token_id.tolist(), now.shown, now.gradient_share, strict=True
        )
    }
    linked = selection.asked("token")
    if links.is_count(linked) and int(linked) in names:
        ids = list(dict.fromkeys([*ids, int(linked)]))
    token = selection.choose(
        "token", st.selectbox, "Token type", ids, ids[0], format_func=names.get
    )
    controls.link_token(asked.run, token)
    logged = data.gradients.direction_texts(asked.run)
    texts = asked.texts if asked.texts in logged else next(iter(logged), None)
    where, moved = data.gradients.about_type(asked.run, token, texts, rock_ids)
    for sentence in sentences.evidence(data.gradients.row_of(now, token), where, moved):
        st.text(sentence)
