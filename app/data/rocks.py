"""The door from the pages to detection: what `rockcore.rocks` answers about a run under a rule,
kept while it is needed.

What a moving threshold needs comes from a sorted table in milliseconds; whole detections run beside
the page, give way to the next setting, and are remembered. Raises RockError where rockcore does.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from app.components.loss_histogram import Histogram
from app.components.packing import ids_as_key, ids_of_key
from app.data import rules, runs, texts
from app.data.runs import RunKey
from app.memory import known, remember
from app.work import Pulse, is_known, kept, kept_saying, weigh, work
from rockcore.analysis.rock_share import RockShare, rock_share
from rockcore.analysis.sets_beside import SetsBeside, sets_beside
from rockcore.rocks import Examined, RockReport, RockRule, occurrences, tables
from rockcore.rocks.change import CLASSES, HARD
from rockcore.rocks.examined import READS, Halves, Results, reads
from rockcore.rocks.rule import PRESETS
from rockcore.rocks.rule_fields import ABOUT, CHOICES, KNOBS, BadRule
from rockcore.rocks.scores import NEED_BEFORE, SCORES
from rockcore.rocks.tables import (
    ASCENDING,
    RANK,
    SORTS,
    Densities,
    Flow,
    Pick,
    frequency_band,
    ranked_by,
    types_by,
)
from rockcore.rocks.thresholds import Course, Instant, Reading
from rockcore.schema import Texts
from rockcore.spelling import visible

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = [
    "ABOUT",
    "ASCENDING",
    "CHOICES",
    "CLASSES",
    "HARD",
    "KNOBS",
    "PRESETS",
    "RANK",
    "SCORES",
    "SORTS",
    "BadRule",
    "Course",
    "Densities",
    "Examined",
    "Flow",
    "Instant",
    "Pick",
    "Reading",
    "RockReport",
    "RockRule",
    "RockShare",
    "frequency_band",
    "ranked_by",
    "types_by",
]

save_rule, named_rule = rules.save, rules.named

_CHOICES = 300  # token types offered by name, the most frequent
# from here on presets are only compared on request: each is a detection of its own
_LARGE = 2_000_000
_MOMENT = 300_000  # occurrences that a detection is done with in about a second


def rule(text: str) -> RockRule:
    """The rule of a link, which begins with a preset or a saved rule; raises BadRule."""
    return RockRule.from_short(text, rules.named)


def command_line(run: RunKey, rule: RockRule, command: str = "rocks") -> str:
    """What a terminal is told to do the same with a run under a rule."""
    return shlex.join(["rockcore", command, runs.short_path(run), *rule.flags()])


def rule_names() -> list[str]:
    """Presets, then the rules that were saved."""
    return [*PRESETS, *rules.names()]


@kept_saying("Reading the log")
def _read(run: RunKey, what: tuple[Any, ...]) -> Examined:
    """What the rules that read the same share."""
    return Examined(runs.log(run), RockRule(**dict(zip(READS, what, strict=True)))).loaded()


@kept_saying("Sorting the occurrences")
def _sorted(run: RunKey, what: tuple[Any, ...], reading: int) -> bool:
    """Whether there is a table; it is kept with what was read. `reading`: which, of those of one
    key that were read one after the other.
    """
    done = _read(run, what).table is not None
    weigh(_read, run, what)
    return done


@kept_saying("Looking at every occurrence, as one threshold is below the median")
def _looked_through(run: RunKey, rule: RockRule) -> Instant | None:
    return examined(run, rule).instant


def examined(run: RunKey, rule: RockRule) -> Examined:
    """The run under a rule, its log read; what takes longer is asked of `found`."""
    return _read(run, reads(rule)).under(rule)


def instant(run: RunKey, rule: RockRule) -> Instant | None:
    """What is persistent at the thresholds; None where no occurrence has both losses."""
    asked = examined(run, rule)
    _sorted(run, reads(rule), id(asked.material))
    if asked.table is not None and asked.table.is_slow(*asked.tau):
        return _looked_through(run, rule)
    return asked.instant


def courses(run: RunKey, rule: RockRule, as_one: bool) -> list[Course]:
    """What is persistent wherever a hand may put the thresholds; of what `instant` has sorted."""
    return examined(run, rule).courses(as_one)


def taus(run: RunKey, rule: RockRule) -> dict[str, float]:
    """Thresholds in nats."""
    pre, post = examined(run, rule).tau
    return {"tau_pre": pre, "tau_post": post}


def found(run: RunKey, rule: RockRule) -> Examined:
    """The whole detection, in a moment or while the page says what is being done."""
    asked = examined(run, rule)

    def detect(pulse: Pulse) -> Results:
        results = asked.under(rule, pulse).results
        weigh(_read, run, reads(rule))
        return results

    message = "Looking for recurring contexts and stable types"
    return asked.knowing(work((run, rule), detect, message))


def chosen_by_halves(run: RunKey, rule: RockRule) -> Halves:
    """Who would be chosen on either half of the rollouts, from a detection of its own: only one
    page asks, and all others would wait for it.
    """
    asked = examined(run, rule)
    return work(
        ("halves", run, rule),
        lambda pulse: asked.under(rule, pulse).halves,
        "Choosing on either half",
    )


def no_set(run: RunKey, rule: RockRule) -> str:
    """Why the rule finds no set here, and what would help; empty if it finds one."""
    return found(run, rule).report.no_set


@kept
def share(run: RunKey, rule: RockRule) -> RockShare:
    """The share of the rule's Rock Tokens of tokens, loss and gradient, or why there are none."""
    return rock_share(found(run, rule))


def check(run: RunKey, rule: RockRule) -> None:
    """Raises RockError at once where the rule's score cannot be had from this run."""
    _ = examined(run, rule).detection


def ways_on(run: RunKey, text: str) -> dict[str, RockRule]:
    """What may be tried in place of the rule of a link that cannot be tried on this run, by what it
    does: another loss where the log has none of this, and by Rock Score where there is one
    checkpoint and the rule asks for two.
    """
    try:
        asked = rule(text)
    except runs.RockError:
        return {}
    found: dict[str, RockRule] = {}
    held = runs.holdings(run)
    if held.loss and not held.has(asked.column):
        found[f"Try it on {held.loss}"] = asked = asked.changed(column=held.loss)
    try:
        single = examined(run, asked).material.single
    except runs.RockError:
        return found
    if single and asked.score in NEED_BEFORE:
        found = {"Rank the one checkpoint without persistence": asked.changed(score="rock_score")}
    return found


def found_before(run: RunKey, rule: RockRule) -> RockReport | None:
    """The report, if it was worked out already."""
    done = known((run, rule))
    return None if done is None else done.report


def is_large(run: RunKey, rule: RockRule) -> bool:
    """Whether a detection takes minutes here."""
    return len(examined(run, rule).material.last) > _LARGE


@kept
def beside_presets(run: RunKey, rule: RockRule) -> pd.DataFrame:
    """This rule and each preset, on the texts this rule reads: see tables.side_by_side. Of one
    checkpoint only the presets that need no second one.
    """
    same = {name: getattr(rule, name) for name in READS}
    single = examined(run, rule).material.single
    every = {"this rule": rule} | {
        name: replace(each, **same)
        for name, each in PRESETS.items()
        if not (single and each.score in NEED_BEFORE)
    }
    return tables.side_by_side({name: found(run, one).report for name, one in every.items()})


@kept
def beside(run: RunKey, rule: RockRule, name: str) -> SetsBeside:
    """This rule beside a preset or a saved one, on the texts this rule reads. Raises BadRule."""
    other = replace(named_rule(name), **{field: getattr(rule, field) for field in READS})
    return sets_beside(found(run, rule), found(run, other), ("this rule", name))


def token_names(run: RunKey, rule: RockRule) -> dict[int, str]:
    """Id -> visible text of the most frequent types, and of those that the rule names."""
    named = (*rule.excluded_types, *(token for _, token in rule.excluded_contexts))
    return _token_names(run, reads(rule), named)


@kept
def _token_names(run: RunKey, what: tuple[Any, ...], named: tuple[int, ...]) -> dict[int, str]:
    most = occurrences.most_frequent(_read(run, what).material.last, _CHOICES)
    text = runs.log(run).vocab.set_index("token_id").token
    return {i: f"{visible(str(text.get(i, '?')))} · id {i}" for i in dict.fromkeys((*most, *named))}


def histogram(run: RunKey, rule: RockRule) -> Histogram:
    """Occurrences by loss before and after, on the texts that the rule reads."""
    return _histogram(run, reads(rule))


@kept
def _histogram(run: RunKey, what: tuple[Any, ...]) -> Histogram:
    return Histogram(*occurrences.loss_histogram(_read(run, what).material), unit="nats")


def corpus_line(run: RunKey, rule: RockRule) -> str:
    """What is being looked at, in one line: whose texts, how many, at which steps."""
    asked = examined(run, rule)
    scanned = asked.scanned
    return occurrences.line(asked.material) if scanned is None else scanned.sentence


def only_scanned(run: RunKey, rule: RockRule) -> bool:
    """Whether there is only what a scan found, and no texts."""
    return examined(run, rule).scanned is not None


def steps(run: RunKey, rule: RockRule) -> list[int]:
    """Checkpoints that the rule could compare."""
    return runs.steps(run, source(run, replace(rule, pre_step=None, post_step=None)))


def source(run: RunKey, rule: RockRule) -> Texts:
    """Whose texts the rule reads."""
    return examined(run, rule).material.source


@kept
def rollouts(run: RunKey, rule: RockRule) -> list[int]:
    """Rollouts of the last checkpoint, those with most kept occurrences first."""
    return occurrences.by_kept(found(run, rule))


class Verdict(NamedTuple):
    """What a rule makes of one text, for the token pane."""

    tau: float | None  # τ_post in nats
    names: list[str]  # of the classes
    # a byte for each token: index into `names`, 255 where the rule does not know the type; empty if
    # `why`
    classes: bytes
    # a byte for each token: 0, or as in Marks; empty where the text is none that the rule judges
    marks: bytes
    why: str  # why something is missing; empty if nothing is
    later: bool = False  # whether more can be known in a moment
    no_set: str = ""  # why the rule has no set on the texts it judges; empty if it has one
    column: str = "kl"  # whose threshold `tau` is


def verdict(
    run: RunKey, rule: RockRule, where: str, rollout: int, ids: np.ndarray, at_once: bool = False
) -> Verdict:
    """The text `rollout` of the source `where`, token ids (T,), under a rule.

    `at_once`: only if it has been worked out before. Never raises for a rule that finds nothing:
    then `why` says so.
    """
    try:
        if at_once and known((run, rule)) is None:
            return _not_yet(run, rule)
        return _verdict(run, rule, where, rollout, ids_as_key(ids))
    except runs.RockError as e:
        return Verdict(None, [], b"", b"", str(e))


@kept
def _verdict(run: RunKey, rule: RockRule, where: str, rollout: int, key: bytes) -> Verdict:
    done, ids = found(run, rule), ids_of_key(key)
    report, read = done.report, done.material.source
    classes = occurrences.class_codes(report, ids).tobytes()
    why = ""
    if where != read:
        why = f"The rule judges other texts (source {read}): no occurrence here is kept by it."
    elif report.occurrences["consistent"] is None:
        why = f"Which occurrences are high before and after is not known ({report.mode})."
    elif not occurrences.judges(done, rollout, ids):
        why = f"The rule judges the texts of step {report.steps[-1]}: this is another one."
    marks = b"" if why else occurrences.marks_of(done, rollout).tobytes()
    judged = Verdict(report.rule.tau_post, list(CLASSES), classes, marks, why)
    return judged._replace(no_set=report.no_set, column=rule.column)


def _not_yet(run: RunKey, rule: RockRule) -> Verdict:
    sizes = [runs.tokens(run, texts) for texts in runs.logged_texts(run)]
    why = "This log is large: open the page Rock tokens once, which works the rule out."
    if max(sizes) > _LARGE and not is_known(_read, run, reads(rule)):
        return Verdict(None, [], b"", b"", why, column=rule.column)  # to read it takes too long
    asked = examined(run, rule)
    large = len(asked.material.last) > _MOMENT
    why = why if large else "The rule is being worked out."
    return Verdict(asked.tau[1], [], b"", b"", why, later=not large, column=rule.column)


def preview(run: RunKey, rule: RockRule, rollout: int, step: int) -> dict[str, Any]:
    """One rollout at a step for the token pane: its text and values, and its occurrences marked as
    the rule judges them.
    """
    done = found(run, rule)
    where = done.material.source
    return {
        "text": texts.text(run, where, step, rollout),
        "values": texts.values(run, where, step, rollout),
        "marks": occurrences.marks_of(done, rollout).tolist(),
    }


def table(run: RunKey, rule: RockRule) -> pd.DataFrame:
    """The types of the report with their course over the steps: see tables.type_table."""
    key = ("table", run, rule)
    if (before := known(key)) is not None:
        return before
    done = found(run, rule)
    # the course over the steps takes the texts, which a scan leaves where they are
    series = {} if done.scanned else _series(run, done.material.source, rule.column)
    return remember(key, tables.type_table(done.report, series))


@kept
def _series(run: RunKey, source: Texts, column: str) -> dict[int, list[float]]:
    return tables.mean_series(runs.log(run), source, column)


@kept
def contexts(run: RunKey, rule: RockRule, token_id: int, most: int) -> list[dict[str, Any]]:
    """The first of a type's occurrences in context, those in the set first, as records."""
    return occurrences.examples(found(run, rule), token_id, most).to_dict("records")


def control_types(run: RunKey, rule: RockRule) -> list[int]:
    """Token types that hold positions of the control."""
    return occurrences.control_types(found(run, rule))


def category_pair(run: RunKey, rule: RockRule) -> pd.DataFrame:
    """Share of each category among rock occurrences and the control's positions."""
    return occurrences.category_pair(found(run, rule))


def densities(run: RunKey, rule: RockRule) -> Densities:
    """How dense each rollout is with rocks, by both definitions."""
    return tables.densities(found(run, rule).report)


def flow(run: RunKey, rule: RockRule) -> Flow:
    """How many types are hard from checkpoint to checkpoint."""
    return tables.flow(found(run, rule).report)
