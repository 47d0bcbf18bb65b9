"""The parts of the report on the set: what it holds, how types come into it, what they are."""

from __future__ import annotations

from rockcore.analysis.report import figures, words
from rockcore.analysis.report.asked import Asked
from rockcore.analysis.report.made import Found, NotFound, Table
from rockcore.analysis.rock_share import rock_share
from rockcore.rocks import occurrences, tables
from rockcore.spelling import visible

_TYPES = 30
_MIDDLE = (
    "middle 95 % of {} splits of the rollouts into halves; splits share rollouts, so this is no "
    "confidence interval"
)


def facts(asked: Asked, n: str, interval: str) -> dict[str, str]:
    """What a part under the rule says of its numbers."""
    return {
        "n": n,
        "interval": interval,
        "estimator": asked.estimator,
        "rule": asked.found.asked.short(),
    }


def counted(asked: Asked) -> str:
    """What the rule looked at, as n."""
    found = asked.found
    tokens = int(found.occurrences["scored"] or 0)
    return (
        f"{words.counted(len(found.rollouts), 'text')}, {words.counted(tokens, 'token')}, "
        f"{words.counted(len(found.tokens), 'type')}"
    )


def on_rule(asked: Asked) -> dict[str, str]:
    """The values of an address that show the rule."""
    return {"rule": asked.found.asked.short()}


def share(asked: Asked) -> Found:
    """What share the Rock Tokens have."""
    found = rock_share(asked.examined)
    return Found(
        on_rule(asked),
        tuple(filter(None, (found.sentence, found.about))),
        facts(asked, counted(asked), "95 % over the texts (Student's t), for this very set"),
    )


def funnel(asked: Asked) -> Found:
    """The three gates, and every type by frequency and loss."""
    found = asked.found
    about = f"{asked.name} · {asked.estimator} · {asked.corpus}"
    # which types the control's positions are of, the texts tell
    control = [] if asked.examined.scanned else occurrences.control_types(asked.examined)
    drawn = figures.funnel(found, control, tables.frequency_band(found.tokens), about)
    said = (words.gates(found), found.no_set or f"K = {len(found.ids)}: {found.how}.", *found.notes)
    return Found(
        on_rule(asked),
        said,
        facts(asked, counted(asked), "of changes: 95 % over rollouts, measured on the other half"),
        (_types(asked),),
        (drawn,),
    )


def _types(asked: Asked) -> Table:
    found = asked.found
    rows = found.tokens[found.tokens.in_set] if found.ids else found.tokens
    shown = rows.head(_TYPES)
    which = "Rock Tokens" if found.ids else "types with the highest score, none of them in a set"
    return Table(
        f"{words.counted(len(shown), 'row')} of {len(rows):,}: {which}, the best first",
        ("token", "id", "category", "class", "n", "mean (nats)", "R(v) (nats)", "of the loss",
         "high", "recurring", "change (95 %)"),
        [
            (
                visible(row["token"]), str(row["token_id"]), str(row["category"]),
                str(row["class"]), f"{row['frequency']:,}", words.number(row["mean"]),
                words.number(row["rock_score"]), words.share(row["share"]),
                words.number(row["persistent"], ",.0f"), words.number(row["consistent"], ",.0f"),
                words.between(row["change_low"], row["change_high"], "+.2f"),
            )
            for row in shown.to_dict("records")
        ],
    )  # fmt: skip


def cutoff(asked: Asked) -> Found:
    """Coverage and stability over K."""
    found = asked.found
    about = f"{asked.name} · {asked.estimator} · {asked.corpus}"
    said = (
        (found.no_set, "Without a set there is no coverage and no stability of it; the curves "
         "say what each K would have.")
        if found.no_set
        else (words.coverage(found), words.stability(found))
    )  # fmt: skip
    return Found(
        on_rule(asked),
        said,
        facts(asked, counted(asked), _MIDDLE.format(found.rule.draws)),
        (),
        (figures.cutoff(found, about),) if len(found.curves) > 1 else (),
    )


def density(asked: Asked) -> Found:
    """How dense texts are with rocks, by both definitions."""
    need_set(asked)
    shares = tables.densities(asked.found)
    known = asked.found.density
    overall = {name: "unknown" if v is None else words.share(v) for name, v in known.items()}
    said = (
        f"Type density {overall['type']} (every token of a rock type), occurrence density "
        f"{overall['occurrence']} (those that are high and recur in similar contexts): the two "
        "definitions differ, because a rock type also stands where it is easy.",
        "The paper's text says 18 %, by occurrences; its drawn panel shows 52.5 %, by types.",
    )
    return Found(
        on_rule(asked),
        said,
        facts(asked, counted(asked), "none: each text counts once in the histogram"),
        (),
        (figures.densities(shares, f"{asked.name} · {asked.corpus}"),),
    )


def categories(asked: Asked) -> Found:
    """What rocks are made of, against the control."""
    need_set(asked)
    control = asked.found.control
    pair = occurrences.category_pair(asked.examined)
    if not len(pair):
        raise NotFound(
            f"{asked.name} has no occurrence in the set",
            "A control is placed beside occurrences that are high and recur",
            "Try a rule with lower thresholds in the Threshold lab",
        )
    short = f" {control['short']} could not be placed." if control.get("short") else ""
    table = Table(
        "Positions by category",
        ("category", "rock occurrences", "share", "control", "share"),
        [
            (str(r["category"]), f"{r['n_rocks']:,}", words.share(r["rocks"]),
             f"{r['n_control']:,}", words.share(r["control"]))
            for r in pair.to_dict("records")
        ],
    )  # fmt: skip
    rocks, others = int(pair.n_rocks.sum()), int(pair.n_control.sum())
    return Found(
        on_rule(asked),
        (f"Control: {control['how']}{short}",),
        facts(asked, f"{rocks:,} rock occurrences, {others:,} of the control", "none: counts"),
        (table,),
        (figures.categories(pair, f"{asked.name} · {asked.corpus}"),),
    )


def need_set(asked: Asked) -> None:
    """Raises NotFound where the rule finds no set."""
    if asked.found.no_set:
        raise NotFound(
            asked.found.no_set,
            "This part is about the types of a set",
            "Try another rule in the Threshold lab, or rockcore report --set tau_quantile=0.8",
        )
