"""The parts of the report on the training: who takes the gradient, and what became of the types."""

from __future__ import annotations

from typing import Any

from rockcore.analysis import groups, shares
from rockcore.analysis.geometry import Geometry
from rockcore.analysis.groups import Comparison, RockChoice
from rockcore.analysis.report import figures, words
from rockcore.analysis.report.asked import Asked
from rockcore.analysis.report.made import Found, NotFound, Table
from rockcore.analysis.report.of_set import counted, facts, need_set, on_rule
from rockcore.schema import NoGradients, Texts

_HEADS = {
    "norm": "‖ḡ‖",
    "cos_balanced": "cos with G_balanced",
    "kl": "KL (nats)",
}


def course(asked: Asked) -> Found:
    """What this run is, and how its loss and its accuracy went."""
    facts_of, meta = asked.course, asked.course.meta
    said = [
        f"Student {meta.student}, teacher {meta.teacher}; {meta.status}.",
        *filter(None, (facts_of.summary, facts_of.objective)),
        *facts_of.provenance,
    ]
    means, drawn = facts_of.means, ()
    if len(means):
        about = f"{meta.name} · {facts_of.measured(facts_of.loss)}"
        drawn = (figures.course_of_loss(means, facts_of.loss, about),)
    else:
        said.append("No step has a mean loss: fresh rollouts with a loss are not logged.")
    table = Table(
        "Held-out accuracy, first and last",
        ("decoding", "step", "right", "accuracy", "95 % (Wilson)"),
        [_accuracy(row) for row in _ends(facts_of.evals)],
    )
    if not table.rows:
        said.append("No held-out accuracy is logged.")
    return Found(
        {},
        tuple(said),
        {
            "n": f"{words.counted(len(means), 'step')} with a mean loss",
            "interval": "95 % over the rollouts of a step: mean ± 1.96 standard errors",
            "estimator": facts_of.measured(facts_of.loss),
            "rule": "none: all types",
        },
        (table,) if table.rows else (),
        drawn,
    )


def _ends(evals: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for _, of in evals.groupby("decoding", sort=True):
        rows += of.sort_values("step").iloc[[0, -1] if len(of) > 1 else [0]].to_dict("records")
    return rows


def _accuracy(row: dict[str, Any]) -> tuple[str, ...]:
    ends = words.between(100 * row["low"], 100 * row["high"], ".0f")
    right = f"{row['correct']:,} of {row['n']:,}"
    return (str(row["decoding"]), str(row["step"]), right, words.share(row["accuracy"]), ends)


def gradient(asked: Asked) -> Found:
    """The set's shares of the gradient norm over the steps, and how long its mean gradients are."""
    need_set(asked)
    stack = shares.stacked(asked.type_shares, asked.found.tokens, "in_set")
    rows = stack.frame.loc[stack.frame.label == shares.IN_SET]
    row = stack.at_last_step(shares.IN_SET)
    if row is None:
        raise NoGradients(
            f"{asked.name} has no gradient of a Rock Token in the {asked.texts.phrase}",
            "No token of the set stands in a step that logs its gradient",
            "Log more steps: rockcore train --log-every 10",
        )
    said = [
        f"At step {row.step} the Rock Tokens are {words.share(row.tokens_share)} of the tokens, "
        f"{words.share(row.kl_share)} of the KL and {words.share(row.gradient_share)} of the "
        "summed gradient norm."
    ]
    table, sentence, interval = _lengths(asked)
    return Found(
        {**on_rule(asked), "source": asked.texts.value, "by": "set"},
        (*said, *filter(None, (sentence,))),
        facts(asked, f"{words.counted(len(rows), 'step')}, {asked.texts.phrase}", interval),
        table,
        (figures.set_over_steps(rows, f"{asked.name} · {asked.texts.phrase} · ‖g‖ of the logits"),),
    )


def _lengths(asked: Asked) -> tuple[tuple[Table, ...], str, str]:
    """The three groups of the paper's RQ1, where summed gradients are logged."""
    run = asked.run
    kind = next((t for t in (Texts.FINAL, Texts.FIRST) if run.steps(f"gradients/{t.value}")), None)
    none = "none of the shares: all tokens of a step are counted"
    if kind is None:
        return (), (
            "Which way mean gradients point is unknown: no summed gradients are logged (rockcore "
            "train --gradients sums, the default, with probe texts, logs them)."
        ), none  # fmt: skip
    steps = run.steps(f"gradients/{kind.value}")
    first, last = (Geometry.of(run, kind.value, step) for step in (steps[0], steps[-1]))
    found = groups.compare(last, first, RockChoice(*asked.examined.halves))
    rows: list[dict[str, Any]] = found.groups.to_dict("records")
    table = Table(
        f"Medians over types at step {steps[-1]}, {kind.phrase}: cross-fitted with approximate "
        "95 %, and naive",
        ("group", "types", *(f"{h}{end}" for h in _HEADS.values() for end in ("", ", naive"))),
        [
            (str(r["group"]), f"{r['types']:,}",
             *(cell for stat in _HEADS for cell in _both(r, stat)))
            for r in rows
        ],
    )  # fmt: skip
    return (table,), _beside_the_paper(found), f"{none}; of medians a jackknife over folds of texts"


def _both(row: dict[str, Any], stat: str) -> tuple[str, str]:
    return _median(row, stat), words.number(row[f"{stat}_naive"])


def _median(row: dict[str, Any], stat: str) -> str:
    value, low, high = (row[f"{stat}{end}"] for end in ("", "_low", "_high"))
    if value != value:
        return "not told"
    if stat == "norm" and not row["norm_told"]:
        return f"at most {words.number(row['norm_most'])}"
    ends = words.between(low, high, ".3g")
    return words.number(value) if ends == words.UNKNOWN else f"{words.number(value)} ({ends})"


def _beside_the_paper(found: Comparison) -> str:
    """Whether this run shows what the paper saw of lengths."""
    row = found.test("rare, high KL", "norm")
    verdict = "cannot be told"
    if row.ratio_high < 1:
        verdict = "is so here too"
    elif row.ratio_low > 1:
        verdict = "is the other way round here"
    return (
        "The paper finds Rock Tokens with much shorter mean gradients than rare types of high KL "
        f"(naive medians 0.016 and 0.54): without noise, on texts that did not choose the types, "
        f"that {verdict}."
    )


def change(asked: Asked) -> Found:
    """Early against late: groups of types, cross-fitted beside naive, and every type."""
    found = asked.found
    if found.single:
        raise NotFound(
            f"{asked.name} has one checkpoint of these texts, step {found.steps[-1]}",
            "A change takes the same types at two checkpoints",
            "Log more steps, or score the texts under another student: rockcore score",
        )
    rows, scanned = found.groups.loc[found.groups.types > 0], asked.examined.scanned
    table = Table(
        "Relative change of the mean, before to after",
        ("group", "types", "tokens", "naive", "cross-fitted", "95 %"),
        [
            (str(r["group"]), f"{r['types']:,}", f"{r['tokens']:,}", _signed(r["naive"]),
             _signed(r["crossed"]), _span(r["low"], r["high"]))
            for r in rows.to_dict("records")
        ],
    )  # fmt: skip
    about = f"{asked.name} · {asked.corpus} · {asked.estimator}"
    drawn = [figures.early_late(found.tokens, found.steps, found.rule.column, about)]
    if rows.crossed.notna().any():
        drawn.insert(0, figures.group_changes(rows[rows.crossed.notna()], about))
    interval = "none" if scanned else "95 %, rollouts and types taken as drawn"
    return Found(
        on_rule(asked),
        (*_MEASURED_AGAIN, *_verdicts(rows)) if scanned is None else (scanned.without_groups,),
        facts(asked, counted(asked), interval),
        (table,) if scanned is None else (),
        tuple(drawn),
    )


_MEASURED_AGAIN = (
    "Types that were picked because they were high fall when they are measured again, even where "
    "nothing is learned: that is in the naive number and not in the cross-fitted one, for which "
    "one half of the texts chooses and the other is measured.",
)


def _verdicts(rows: Any) -> list[str]:
    """What can be told of each group."""
    said = []
    for row in rows.itertuples():
        if row.low != row.low:
            continue
        way = (
            "fell" if row.high < 0 else "rose" if row.low > 0 else "did not change that can be told"
        )
        said.append(
            f"{row.group[0].upper()}{row.group[1:]}: {way} ({_signed(row.crossed)}, 95 % "
            f"{_span(row.low, row.high)}; naive {_signed(row.naive)})."
        )
    return said


def _signed(value: float) -> str:
    return words.number(value, "+.0%").replace("%", "\u00a0%")


def _span(low: float, high: float) -> str:
    return words.between(low, high, "+.0%").replace("%", "\u00a0%")
