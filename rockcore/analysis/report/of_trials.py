"""The parts of the report on experiments: what was knocked out, and what was not trained on."""

from __future__ import annotations

from rockcore.analysis.arms import spelled_tests
from rockcore.analysis.knockouts import VERDICTS
from rockcore.analysis.report import figures_of_trials as figures
from rockcore.analysis.report import words
from rockcore.analysis.report.asked import Asked
from rockcore.analysis.report.made import Found, Table
from rockcore.spelling import visible


def knockouts(asked: Asked) -> Found:
    """What became of the answers when the student might not write a token."""
    found, plan = asked.screen, asked.screen.plan
    size = f"{plan.problems} problems × {plan.rollouts} rollouts"
    rows = figures.farthest(found).to_dict("records")
    table = Table(
        f"{words.counted(len(rows), 'type')} of {len(found.by_token):,}, those whose knockout "
        "moved the accuracy most",
        ("token", "drawn", "Δ (points)", "95 %", "verdict", "p, max-T", "q, BH", "p"),
        [
            (visible(r["token"]), "at random" * (r["kind"] == "random"), words.points(r["delta"]),
             words.between(100 * r["low"], 100 * r["high"], "+.1f"),
             str(r["verdict"]) + " · the answer needs it" * bool(r["needed"]),
             words.number(r["p_max"]), words.number(r["q_bh"]), words.number(r["p"]))
            for r in rows
        ],
    )  # fmt: skip
    census = Table(
        "Verdicts with and without correction, of the tokens that were not drawn at random",
        ("how", *VERDICTS, "Pillars that the answer needs", "decides"),
        [
            (str(r["how"]), *(str(r[v]) for v in VERDICTS), str(r["pillars_needed"]),
             "yes" if r["decides"] else "")
            for r in found.census.to_dict("records")
        ],
    )  # fmt: skip
    said = [
        f"Baseline accuracy {words.share(found.accuracy.value)} (95 % "
        f"{words.share(found.accuracy.low)} to {words.share(found.accuracy.high)}). Neutral has to "
        f"be shown: the whole interval within ±{100 * found.levels.epsilon:g} points.",
        found.power.sentence(found.levels.epsilon),
        *found.notes,
    ]
    if found.placebo is not None:
        band = found.placebo
        said.insert(1, f"{band.n} shams, the same texts written anew without a ban: mean "
                    f"{words.points(band.mean)} points, 95 % of them within "
                    f"{words.points(band.low)} to {words.points(band.high)}.")  # fmt: skip
    left = len(plan.candidates) - len(found.candidates)
    if left:
        said.append(f"{words.counted(left, 'candidate')} of the screen not finished yet.")
    about = f"{asked.name} · student after step {plan.step} · {size}"
    return Found(
        {},
        tuple(said),
        {
            "n": f"{size}, {words.counted(len(found.by_token), 'type')}",
            "interval": f"95 % bootstrap over problems; p corrected by {found.levels.correction} "
            f"at {found.levels.alpha:g}",
            "estimator": "graded answers, rollouts coupled with the baseline's",
            "rule": "none: every candidate of the screen",
        },
        (table, census),
        (figures.deltas(found, about),),
    )


def arms(asked: Asked) -> Found:
    """What became of the training where tokens were left out."""
    found = asked.comparison
    plan, about = found.plan, found.about
    tests = spelled_tests(found.tests)
    table = Table(
        "Against the baseline at the last milestone, paired by seed and problem",
        ("arm", "measure", "difference", "95 %", "p", "p, Holm", "seeds × problems"),
        [
            (str(r["arm"]), str(r["measure"]), str(r["difference"]), str(r["interval"]),
             words.number(r["p"], ".2g"), words.number(r["p_holm"], ".2g"), str(r["size"]))
            for r in tests.to_dict("records")
        ],
    )  # fmt: skip
    shown = "  ".join(visible(t) for t in about["rock_tokens"][:20])
    drawn = []
    sampled = found.accuracy.loc[found.accuracy.decoding == "sampled"]
    line = f"{about['name']} · {len(plan.seeds)} seeds · {about['steps']} steps"
    if len(sampled):
        drawn.append(figures.arm_course(sampled, plan.arms, "sampled", line))
    if (found.tests.measure == "sampled").any():
        drawn.append(figures.arm_differences(found, "sampled", line))
    said = [
        f"{len(plan.arms)} arms, {len(plan.seeds)} seeds: {about['runs']} runs of the same "
        "training that differ in which tokens count.",
        f"Rock Tokens, {about['rocks_from']}: {shown or 'none'}",
        *about["verdicts"],
        *about["notes"],
        about["paper"],
    ]
    return Found(
        {},
        tuple(said),
        {
            "n": f"{len(plan.seeds)} seeds, {about['runs']} runs",
            "interval": "95 %, seeds and problems as crossed random effects; p by Holm over arms",
            "estimator": f"held-out accuracy; kl: {about['estimator']}",
            "rule": str(about["rocks_from"]),
        },
        (table,) if table.rows else (),
        tuple(drawn),
    )
