"""Token types ranked by Rock Score: which few carry the loss, and are they frequent, far off, or both?"""

import streamlit as st

from app import charts, data, selection

run = selection.run()
facts = data.facts(run)
st.title("Rock tokens")

steps = data.steps(run)
if not steps:
    st.text("No step has logged its tokens yet. Reload in a moment (press R) if the run is training.")
    selection.stop()
left, right = st.columns(2)
with left:
    step = selection.choose("step", st.select_slider, "Step", steps, steps[-1])
with right:
    top = selection.count("top", "Top", 1, 10_000, 20)

share = data.concentration(run, step, top)
if not share.tokens:
    st.text(f"Step {step} logged no tokens: its rollouts were empty.")
    selection.stop()
st.markdown(
    f"The top {share.top} of {share.types} types are **{100 * share.token_share:.0f} %** of the {share.tokens:,} tokens "
    f"and **{100 * share.kl_share:.0f} %** of the kl at step {step}."
)
ranking = data.ranking(run, step)
st.dataframe(
    ranking,
    hide_index=True,
    height=420,
    column_order=["rank", "shown", "token_id", "category", "frequency", "mean_kl", "rock_score", "share", "coverage"],
    column_config={
        "rank": st.column_config.NumberColumn("#", width="small"),
        "shown": st.column_config.TextColumn("token", help="␣ space, ⏎ line break"),
        "token_id": st.column_config.NumberColumn("id", format="%d"),
        "frequency": st.column_config.NumberColumn("frequency", format="%d", help="Occurrences in this step's fresh rollouts."),
        "mean_kl": st.column_config.NumberColumn("mean kl (nats)", format="%.4f"),
        "rock_score": st.column_config.NumberColumn(
            "Rock Score (nats)", format="%.3f", help="R(v) = mean kl × frequency = Σ kl of the type."
        ),
        "share": st.column_config.NumberColumn("share of kl", format="percent"),
        "coverage": st.column_config.NumberColumn("coverage", format="percent", help="Share of the kl of this type and all above it."),
    },
    alt="Token types by falling Rock Score",
)
st.caption(f"{data.plain(facts.meta.name)} · step {step} · {data.plain(facts.estimator)} · {share.types} types")
st.download_button(
    "Download as CSV", lambda: data.ranking_csv(run, step), f"{facts.meta.name}-step{step}-rocks.csv", "text/csv", on_click="ignore"
)

st.plotly_chart(charts.funnel(ranking, facts.meta.name, step, facts.estimator), key="funnel", alt="Token types by frequency and mean kl")
st.caption("Upper right: frequent and far from the teacher. Along a dotted line the Rock Score is the same.")
shares = data.category_shares(run, step)
st.plotly_chart(
    charts.category_bars(shares, facts.meta.name, step, facts.estimator), key="categories", alt="Share of tokens and of kl by category"
)
heaviest = shares.iloc[0]
st.text(
    f"{heaviest.category} carries most: {100 * heaviest.kl_share:.0f} % of the kl on {100 * heaviest.token_share:.0f} % of the tokens "
    f"({heaviest.frequency:,} of {share.tokens:,})."
)
