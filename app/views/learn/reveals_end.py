"""What the last steps show once the reader has answered: what rocks are for, and what misleads."""

from __future__ import annotations

import streamlit as st

from app import data, selection, words
from app.views.learn import charts
from app.views.learn import words as sentences
from app.views.learn.asked import Asked, again_on_a_sample, draw_again


def show_cornerstones(asked: Asked) -> None:
    rows = data.lessons.knocked_out(asked.run, asked.rule)
    if not rows:
        measured = data.knockouts.measured(asked.run)
        why = f"Knockout of this run's Rock Tokens: {measured.missing}."
        again_on_a_sample(asked, why)
    else:
        show_knockouts(asked, rows)
    show_freeze()


def show_knockouts(asked: Asked, rows: list[data.lessons.KnockedOut]) -> None:
    pillars, stumbling = (sum(r.verdict == v for r in rows) for v in ("Pillar", "stumbling"))
    most = len(rows) / 2
    asked.tell("falls" if pillars > most else "rises" if stumbling > most else "open")
    st.plotly_chart(
        charts.deltas(
            [row._asdict() for row in rows],
            f"Knockout of Rock Tokens, 95 % over problems<br>{asked.name}",
        ),
        key="knockouts",
        alt="Change of accuracy by knockout of each Rock Token with intervals",
    )
    neutral = sum(row.verdict == "neutral" for row in rows)
    st.text(
        f"Of {sentences.times(len(rows), 'Rock Token')}: {pillars} Pillar (cornerstone), "
        f"{stumbling} stumbling, {neutral} neutral, "
        f"{len(rows) - pillars - stumbling - neutral} undecided; corrected for all tests."
    )


def show_freeze() -> None:
    """What a training without the rocks came to, or that none was measured."""
    offered = data.arms.offered()
    st.markdown("**Not training on them:**")
    for name, path in offered.items():
        try:
            found = data.arms.comparison(data.arms.key(path))
        except data.runs.RockError:
            continue
        if told := sentences.frozen(data.arms.tests(data.arms.key(path)), found.about["name"]):
            st.text(told)
            selection.link(
                "arms",
                ":material/open_in_new: The page Arms",
                comparison=name,
                arms_figure="difference",
            )
            return
    st.text("Not measured: rockcore arms trains it, rockcore compare-arms works it out.")


def show_mistakes(asked: Asked) -> None:
    seed = draw_again("deal", "Deal again")
    rows = [*regression(asked, seed), *densities(asked, seed), *screen(seed)]
    asked.tell(str(sum(row["finds"] for row in rows)))
    show_side_by_side(rows)
    if len(rows) < 3:
        st.text("Too few texts here to part them twice, so the first mistake is left out.")
    for line in often(asked):
        st.text(line)
    show_own(asked)


def show_side_by_side(rows: list[dict]) -> None:
    """Each claim, what the easy number says of it, and what the sound one says."""
    for row in rows:
        with st.container(border=True):
            claim, easy, sound = st.columns(3)
            claim.markdown(f"**{row['claim']}**")
            finds = ":material/warning: finds something" if row["finds"] else "finds nothing"
            easy.markdown(f"Easy, {finds}  \n{row['easy']}")
            sound.markdown(f"Sound  \n{row['sound']}")


def regression(asked: Asked, seed: int) -> list[dict]:
    """The types of highest KL in one half of the texts, looked at in the other half."""
    try:
        found = data.lessons.twice(asked.run, asked.rule, seed)
    except data.runs.RockError:
        return []
    return [
        {
            "claim": f"“Hard types are learned”: {found.types} types, one student on both sides",
            "easy": f"{sentences.change(found.naive)}, on the texts that chose them",
            "sound": f"{sentences.change(found.crossed)} ({sentences.change(found.low)} to "
            f"{sentences.change(found.high)}), on others",
            "finds": found.naive < 0,
        }
    ]


def densities(asked: Asked, seed: int) -> list[dict]:
    """What share of a text is rock, where losses are shuffled."""
    found = data.lessons.dealt_anew(asked.run, asked.rule, seed)
    sound = "not known: no text has a loss before and after"
    if found.by_occurrence is not None:
        sound = f"{words.percent(found.by_occurrence)}: high and recurring ones"
    return [
        {
            "claim": "“So much of a text is rock”: "
            f"{sentences.times(found.types, 'type')}, losses shuffled",
            "easy": f"{words.percent(found.by_type)}: all tokens of the largest types",
            "sound": sound,
            "finds": found.by_type > 0,
        }
    ]


def screen(seed: int) -> list[dict]:
    """Simulated knockouts without an effect."""
    found = data.lessons.shared_baseline(seed)
    naive, own = found.naive, found.sound
    return [
        {
            "claim": f"“Bans move the accuracy”: {found.candidates} simulated knockouts",
            "easy": f"{naive.negative} down, {naive.positive} up, p = {naive.p:.2g}: one baseline",
            "sound": f"{own.negative} down, {own.positive} up, p = {own.p:.2g}: one each",
            "finds": naive.p <= 0.05,
        }
    ]


def often(asked: Asked) -> list[str]:
    """How often each number misleads."""
    lines = []
    try:
        found = data.lessons.deals(asked.run, asked.rule)
        lines.append(
            f"Of {found.deals} deals the easy change falls in {found.naive_falls}; the sound "
            f"interval misses 0 in {found.sound_misses}."
        )
    except data.runs.RockError:
        pass  # said above
    wrong = data.lessons.rejections()
    lines.append(
        f"Of {wrong.screens} such screens the easy test finds something in {wrong.naive}, the "
        f"sound one in {wrong.sound}."
    )
    return lines


def show_own(asked: Asked) -> None:
    """This run's own pair of numbers."""
    row = data.lessons.own_fall(asked.run, asked.rule)
    if row is None:
        return
    st.text(
        f"{words.printable(asked.name)} itself, {sentences.times(row.types, 'rare hard type')}: "
        f"easy {sentences.change(row.naive)}, sound {sentences.change(row.crossed)} "
        f"({sentences.change(row.low)} to {sentences.change(row.high)})."
    )
