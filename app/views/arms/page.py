"""Arms of one training compared: does it matter which tokens are trained on, and what does it cost
or save?
"""

from __future__ import annotations

import streamlit as st

from app import cards, controls, data, selection, tables, words
from app.components import token_pane
from app.views.arms import charts
from app.views.arms import words as arm_words

MAKE = "rockcore arms --arms baseline,rock-freeze,random-freeze,dynamic --seeds 5 --out runs/arms"
UNKNOWN = "–"  # in a cell
AXES = {"step": "updates", "seconds": "training time", "trained": "tokens trained on"}


def choose() -> data.arms.ArmsKey | None:
    """The comparison that is shown, or None after saying how to make one."""
    offered = data.arms.offered()
    if not offered:
        st.subheader("There is no comparison yet")
        st.text(f"Looked in: {', '.join(map(str, data.arms.looked_in()))}. This trains one:")
        st.code(MAKE, language=None)
        st.text("and this works it out, also when only some of its runs are finished:")
        st.code("rockcore compare-arms runs/arms", language=None)
        return None
    names = list(offered)
    name = selection.choose("comparison", st.selectbox, "Comparison", names, names[0])
    key = data.arms.key(offered[name])
    try:
        data.arms.comparison(key)
    except data.runs.RockError as e:
        st.subheader("This comparison cannot be shown")
        st.text(str(e))
        return None
    return key


def show_outcome(key: data.arms.ArmsKey) -> None:
    """What can be told from the baseline, and what cannot."""
    found = data.arms.comparison(key)
    st.subheader("Against the baseline")
    tests = data.arms.tests(key)
    if tests.empty:
        st.text("Nothing can be compared yet: no other arm has finished a seed of the baseline.")
    else:
        for line in found.about["verdicts"]:
            st.text(line)
        number, text = st.column_config.NumberColumn, st.column_config.TextColumn
        tables.show(
            tests,
            hide_index=True,
            column_config={
                "interval": text("95 %"),
                "p": number("p", format="%.2g"),
                "p_holm": number("p, Holm", format="%.2g", help="Corrected over the arms."),
                "dof": number("dof", format="%.1f"),
                "size": text("seeds × problems"),
            },
            placeholder=UNKNOWN,
            alt="Paired differences of each arm to the baseline with intervals and corrected p",
        )
        st.caption(arm_words.MODEL)
        cards.row("holm", "crossed", "interval")
    st.text(found.about["paper"])


def choose_decoding() -> str:
    return selection.choose(
        "decoding",
        st.segmented_control,
        "Decoding",
        ["greedy", "sampled"],
        "sampled",
        required=True,
    )


def show_accuracy(key: data.arms.ArmsKey) -> None:
    left, right = st.columns(2)
    with left:
        decoding = choose_decoding()
    with right:
        axis = selection.choose(
            "over",
            st.segmented_control,
            "Accuracy over",
            list(AXES),
            "step",
            format_func=AXES.get,
            required=True,
        )
    accuracy = data.arms.by_arm(key, "accuracy", decoding=decoding)
    if accuracy:
        st.plotly_chart(
            charts.accuracy(accuracy, decoding, axis, name_of(key)),
            key="arms accuracy",
            alt="Held-out accuracy of each arm with intervals",
        )
    else:
        st.text("No held-out accuracy is logged: the prompts have no known answers.")


def show_differences(key: data.arms.ArmsKey) -> None:
    decoding = choose_decoding()
    if differences := data.arms.by_arm(key, "differences", measure=decoding):
        st.plotly_chart(
            charts.differences(differences, "share right, less the baseline's", name_of(key)),
            key="arms difference",
            alt="Difference in accuracy to the baseline with intervals",
        )
        st.caption(
            "Paired by seed and problem: what the arms share, how hard a problem is and how good a "
            "seed, is not in it. The last milestone is the one that is tested."
        )
    else:
        st.text("No seed of another arm has been paired with the baseline's, so none differs yet.")


def name_of(key: data.arms.ArmsKey) -> str:
    return data.arms.comparison(key).about["name"]


def show_kl(key: data.arms.ArmsKey) -> None:
    fixed, fresh = data.arms.by_arm(key, "text_kl"), data.arms.by_arm(key, "fresh_kl")
    left, right = st.columns(2)
    with left:
        detail = "the starting student's, the same in all arms of a seed"
        if fixed:
            st.plotly_chart(
                charts.kl(fixed, "KL on the fixed texts", f"{detail}, 95 % over seeds and texts"),
                key="arms fixed kl",
                alt="Mean kl of the fixed texts by arm",
            )
        else:
            st.text("No fixed texts were scored, so the KL is not followed on the same texts.")
    with right:
        detail = "each arm's own, where all tokens were judged"
        if fresh:
            st.plotly_chart(
                charts.kl(fresh, "KL of fresh rollouts", f"{detail}, 95 % over seeds"),
                key="arms fresh kl",
                alt="Mean kl of fresh rollouts by arm",
            )
        else:
            st.text("No step has judged all tokens of its fresh rollouts in all seeds of an arm.")


def show_costs(key: data.arms.ArmsKey) -> None:
    found = data.arms.comparison(key)
    costs, machines = found.costs, ", ".join(found.about["machines"])
    st.plotly_chart(
        charts.phase_times(costs, f"{found.about['name']} · {machines}"),
        key="arms phases",
        alt="Seconds per phase of a step by arm",
    )
    for row in costs.itertuples():
        st.text(arm_words.cost(row, data.arms.BASELINE))
    bounds = [bound for bound in costs.bound if bound == bound]
    if bounds:
        st.text(arm_words.small_saving(max(bounds)))
    number = st.column_config.NumberColumn
    per = "Sampled accuracy gained from the first to the last milestone, as a share, "
    tables.show(
        costs,
        hide_index=True,
        column_order=["arm", "seeds", "trained", "seconds", "gain"]
        + [f"gain_per_{x}{end}" for x in ("minute", "million") for end in ("", "_low", "_high")],
        column_config={
            "trained": number("tokens trained", format="%d"),
            "seconds": number("training time (s)", format="%.1f"),
            "gain": number("gain", format="percent", help=per.rstrip(", ") + "."),
            "gain_per_minute": number(
                "gain a minute", format="percent", help=per + "by a minute of training time."
            ),
            "gain_per_minute_low": number("95 % from", format="percent"),
            "gain_per_minute_high": number("to", format="percent"),
            "gain_per_million": number(
                "gain a million tokens", format="percent", help=per + "by a million trained tokens."
            ),
            "gain_per_million_low": number("95 %: from", format="percent"),
            "gain_per_million_high": number("to ", format="percent"),
        },
        placeholder=UNKNOWN,
        alt="Tokens, time and accuracy gained for either by arm",
    )


def show_rocks(key: data.arms.ArmsKey) -> None:
    rocks = data.arms.by_arm(key, "rock_kl", tokens="rocks")
    if not rocks:
        st.text("No set was given or looked for, so there are no Rock Tokens to follow.")
        return
    others = data.arms.by_arm(key, "rock_kl", tokens="others")
    st.plotly_chart(
        charts.rock_kl(rocks, others, f"{name_of(key)} · fixed texts of the starting student"),
        key="arms rocks",
        alt="Mean kl of the Rock Tokens and of all other tokens by arm",
    )


def show_left_out(key: data.arms.ArmsKey) -> None:
    rollouts = data.arms.rollouts(key)
    if not rollouts:
        st.text("No step has logged its tokens in all arms of one seed.")
        return
    rollout = selection.choose("text", st.segmented_control, "Text", rollouts, 0, required=True)
    st.text(
        "Each student wrote its own text on the same prompt. Blue: the token weighed less in the "
        "update, the strongest not at all. Orange: it weighed more."
    )
    places = st.columns(2)
    for i, arm in enumerate(data.arms.comparison(key).plan.arms):
        text = data.arms.text(key, arm, rollout)
        if text is None:
            continue
        view = token_pane.View(
            scale=data.arms.WEIGHT_SCALE,
            caption=f"{arm}, seed {text.seed}, step {text.step}. {arm_words.left_out(text)}",
            categories=data.arms.categories(),
            state=token_pane.State(rollout, text.step),
            steps=[text.step],
            narrow=True,
            quiet=True,
        )
        with places[i % 2]:
            st.markdown(f"**{words.literal(arm)}**")
            token_pane.show(f"arms {arm}", text.text, text.values, view)


def show_weights(key: data.arms.ArmsKey) -> None:
    """For an arm that gives each token type a weight: which, and by what rule."""
    found = data.arms.comparison(key)
    if not found.about["weight_rule"]:
        st.text("No arm gave each type a weight of its own.")
        return
    weights = data.arms.by_arm(key, "weights")
    for arm, frame in weights.items():
        st.subheader(f"What {words.literal(arm)} weighed")
        st.plotly_chart(
            charts.type_weights(
                frame, [words.visible(t) for t in frame.token], found.about["name"]
            ),
            key=f"arms weights {arm}",
            alt="Weight of token types over the steps",
        )
        st.text("The types that weighed least. How a weight moves:")
    if not weights:
        st.subheader("What dynamic weighed")
        st.text("No weight of a type has moved in its finished runs. How one would move:")
    st.code(found.about["weight_rule"], language=None, wrap_lines=True)


FIGURES = {
    "accuracy": show_accuracy,
    "difference": show_differences,
    "kl": show_kl,
    "cost": show_costs,
    "rocks": show_rocks,
    "left_out": show_left_out,
    "weights": show_weights,
}
LABELS = {
    "accuracy": "Accuracy over the training",
    "difference": "Against the baseline",
    "kl": "KL",
    "cost": "What it cost",
    "rocks": "What became of the Rock Tokens",
    "left_out": "What each arm left out",
    "weights": "Weights of the types",
}

st.title("Arms")
st.text(
    "The same training several times, which differ in one thing: how much each token counts. Does "
    "it matter which tokens are left out, and what does that save?"
)
chosen = choose()
if chosen is not None:
    about = data.arms.comparison(chosen).about
    st.text(arm_words.size(data.arms.comparison(chosen)))
    st.text(arm_words.rocks(about, [words.visible(t) for t in about["rock_tokens"]]))
    for note in about["notes"]:
        st.info(words.literal(note), icon=":material/info:")
    show_outcome(chosen)
    FIGURES[controls.figure("arms_figure", LABELS)](chosen)
