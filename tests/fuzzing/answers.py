"""What is asked of a run, and how two answers are told apart.

A question names the files that its answer may depend on: where a mutation has touched none of
them, the answer is as before, or refused with the run as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from rockcore.analysis import correlations, course, pairs, shares, signals, steps, texts
from rockcore.analysis.compare import rankings, to_json
from rockcore.analysis.geometry import Geometry
from rockcore.analysis.gradient_change import early_and_late
from rockcore.analysis.knockout_report import as_csv, as_dict
from rockcore.analysis.knockouts import examine, token_verdicts
from rockcore.log import Run
from rockcore.log.screens import Screen
from rockcore.rocks import ranking
from rockcore.rocks.examined import Examined
from rockcore.rocks.rule import preset
from rockcore.rocks.search import detect
from rockcore.schema import PROBE_SETS, RockError, Texts

SCREEN = (
    "knockout/*",
    "metrics/*",
    "probe/*",
    "tokens/*",
    "types/*",
    "rollouts/*",
    "vocab.parquet",
)
VOCAB, TOML = "vocab.parquet", "categories.toml"
READ = ("probe/*", "tokens/*", "types/*", "rollouts/*", VOCAB, TOML)
ROLLOUT = 1
FLOATS = (float, np.floating)


class Question(NamedTuple):
    name: str
    files: tuple[str, ...]  # patterns below the run's folder
    ask: Callable[[Run], Any]

    def depends_on(self, touched: set[str]) -> bool:
        always = ("run.json", *self.files)
        return any(fnmatch(path, pattern) for path in touched for pattern in always)


class Refusal(NamedTuple):
    """A question that was answered by a RockError."""

    error: str
    message: str


class Unordered(NamedTuple):
    """A table whose rows have no order."""

    frame: pd.DataFrame


def answer(question: Question, run: Run) -> Any:
    """A plain value, or a Refusal. Any other exception is a failure, and goes on."""
    try:
        return plain(question.ask(run))
    except RockError as e:
        return Refusal(type(e).__name__, str(e))


def step_file(table: str, step: int) -> str:
    return f"{table}/step={step:06d}.parquet"


def questions(run: Run, known: Sequence[int] = ()) -> Iterator[Question]:
    """All that is asked of a run: at the first and last step it lists, and at the `known` ones."""
    yield from OF_THE_RUN
    for table, at_step in OF_A_STEP.items():
        listed = _listed(run, table)
        for step in sorted({*listed[:1], *listed[-1:], *known}):
            for name, files, ask in at_step:
                there = tuple(f.format(step_file(table, step)) for f in files)
                yield Question(f"{name} at {step} of {table}", there, _at(ask, table, step))


def _listed(run: Run, table: str) -> list[int]:
    """The steps of a table; none where its folder is refused."""
    try:
        return run.steps(table)
    except RockError:
        return []


def _at(ask: Callable[[Run, str, int], Any], table: str, step: int) -> Callable[[Run], Any]:
    return lambda run: ask(run, table, step)


def _probe_set(table: str) -> str | None:
    return table.rpartition("/")[2] if "/" in table else None


def _texts(table: str) -> Texts:
    return Texts(_probe_set(table) or "fresh")


def _examined(run: Run) -> Any:
    found = Examined(run)
    return found.marks, found.halves, found.classes, found.instant


def _geometry(run: Run, probe_set: str, step: int) -> Any:
    found = Geometry.of(run, probe_set, step)
    return found.table(), found.cosine_error


def _course(run: Run) -> Any:
    found = course.course(run)
    return found.metrics, found.evals, found.means, found.tokens, found.generated, found.progress


def _screen(run: Run) -> Any:
    found = examine(Screen(run), draws=50)
    as_dict(found), as_csv(found)  # what the log predicts may be missing there, with a note
    return found.census, found.shams, found.placebo, found.signs, found.accuracy, found.power


def _screen_texts(run: Run) -> Any:
    screen = Screen(run)
    keys = [c.key for c in screen.finished]
    from rockcore.analysis import knockout_texts

    shown = [
        (knockout_texts.pairs(screen, key), knockout_texts.replacements(screen, key))
        for key in keys
    ]
    return screen.problems, screen.baseline, token_verdicts(screen, draws=50), shown


def _types_over_steps(run: Run, of: Texts) -> Any:
    found = steps.types(run, of, "kl")
    return found, steps.categories(found)


def _of_each_set(name: str, ask: Callable[[Run, str], Any], *files: str) -> list[Question]:
    def of(probe_set: str) -> Callable[[Run], Any]:
        return lambda run: ask(run, probe_set)

    return [
        Question(f"{name} of {s}", tuple(f.format(s) for f in files), of(s)) for s in PROBE_SETS
    ]


OF_THE_RUN = (
    Question("vocab", (VOCAB,), lambda run: Unordered(run.vocab)),
    Question("metrics", ("metrics/*",), lambda run: Unordered(run.metrics())),
    Question("evals", ("evals/*",), lambda run: run.evals()),
    Question("course", ("metrics/*", "evals/*", "tokens/*"), _course),
    Question("unscored", ("probe/*", "metrics/*", "tokens/*"), course.unscored),
    Question("sums of types", ("types/*",), lambda run: run.type_sums()),
    Question("sums of probe types", ("probe/*",), lambda run: run.type_sums("probe/final")),
    Question(
        "means of types", ("tokens/*",), lambda run: Unordered(run.type_means("tokens", "kl"))
    ),
    Question("scale of kl", ("tokens/*", "probe/*"), lambda run: signals.scale(run, "kl")),
    Question(
        "bars of a loss",
        ("tokens/*", "probe/*"),
        lambda run: signals.histogram(run, "sampled_loss"),
    ),
    Question("further texts", ("gradients/*",), lambda run: run.summed_ids()),
    Question("moments", ("optimizer/*", "types/*", VOCAB), correlations.second_moments),
    Question("shares", ("types/*", VOCAB), lambda run: shares.type_shares(run)),
    Question("projection", ("metrics/*",), lambda run: shares.projection_share(run)),
    *_of_each_set("ids", lambda run, s: run.probe_ids(s), "probe/{}/*"),
    *_of_each_set(
        "prompts", lambda run, s: Unordered(run.rollouts(probe_set=s)), "probe/{}/rollouts.parquet"
    ),
    *_of_each_set("loss over steps", lambda run, s: run.over_steps(ROLLOUT, s), "probe/{}/*"),
    *_of_each_set(
        "positions",
        lambda run, s: steps.positions(run, Texts(s), ROLLOUT, "kl"),
        *("probe/{}/*", "metrics/*", VOCAB),
    ),
    *_of_each_set(
        "types over steps",
        lambda run, s: _types_over_steps(run, Texts(s)),
        *("probe/{}/*", "metrics/*", "rollouts/*", VOCAB, TOML),
    ),
    *_of_each_set(
        "early and late",
        lambda run, s: early_and_late(
            Geometry.of(run, s, min(run.steps(f"gradients/{s}"), default=None)), Geometry.of(run, s)
        ),
        *("gradients/{}/*", "probe/{}/rollouts.parquet"),
    ),
    *_of_each_set(
        "exact norms", lambda run, s: correlations.exact_correlation(run, s), "gradients/{}/*"
    ),
    Question(
        "fresh types over steps",
        ("tokens/*", "types/*", "metrics/*", "rollouts/*", VOCAB, TOML),
        lambda run: _types_over_steps(run, Texts.FRESH),
    ),
    Question("rocks", READ, lambda run: detect(run).to_dict()),
    Question("rocks of the paper", READ, lambda run: detect(run, preset("paper")).to_dict()),
    Question("rocks as CSV", READ, lambda run: detect(run, preset("authors")).to_csv()),
    Question("what is persistent", READ, _examined),
    Question("two steps", ("types/*", VOCAB), lambda run: to_json(rankings(run, run))),
    Question("screen", SCREEN, _screen),
    Question("texts of the screen", SCREEN, _screen_texts),
)
_STEP = "{0}"
OF_A_STEP: dict[str, list[tuple[str, tuple[str, ...], Callable[[Run, str, int], Any]]]] = {
    "tokens": [
        ("sums by rollout", (_STEP,), lambda run, table, s: run.type_sums_by_rollout(s)),
        (
            "concentration",
            (_STEP,),
            lambda run, table, s: ranking.concentration(run, s, 5, draws=50),
        ),
    ],
    "types": [("ranking", (_STEP, VOCAB, TOML), lambda run, table, s: ranking.numbered(run, s))],
    "rollouts": [
        ("texts", (_STEP,), lambda run, table, s: Unordered(run.rollouts(s))),
        ("asked", (_STEP,), lambda run, table, s: _partners(run, s)),
    ],
    "optimizer": [("moments", (_STEP,), lambda run, table, s: Unordered(run.optimizer(s)))],
    "weights": [("weights", (_STEP,), lambda run, table, s: Unordered(run.weights(s)))],
}
for _name in ("tokens", "probe/first", "probe/final"):
    _also = () if _name == "tokens" else (f"{_name}/*",)
    OF_A_STEP.setdefault(_name, []).extend(
        [
            (
                "sums",
                (_STEP,),
                lambda run, table, s: run.rollout_sums(s, _probe_set(table)),
            ),
            ("values", (_STEP,), lambda run, table, s: np.sort(run.values(table, s, "kl"))),
            (
                "a text",
                (_STEP, "rollouts/*", VOCAB, TOML, *_also),
                lambda run, table, s: texts.text(run, _texts(table), s, ROLLOUT),
            ),
            (
                "readings",
                (_STEP, VOCAB, *_also),
                lambda run, table, s: texts.readings(run, _texts(table), s, ROLLOUT),
            ),
            (
                "a text as CSV",
                (_STEP, VOCAB, TOML, *_also),
                lambda run, table, s: texts.to_csv(texts.table(run, _texts(table), s, ROLLOUT)),
            ),
            (
                "hints",
                (_STEP, "rollouts/*", *_also),
                lambda run, table, s: course.graded_texts(run, _texts(table), s),
            ),
        ]
    )
for _name in ("gradients/first", "gradients/final"):
    OF_A_STEP[_name] = [
        (
            "geometry",
            (_STEP, "probe/*"),
            lambda run, table, s: _geometry(run, table.rpartition("/")[2], s),
        ),
        (
            "gradients",
            (_STEP,),
            lambda run, table, s: run.gradients(table.rpartition("/")[2], s),
        ),
    ]


def _partners(run: Run, step: int) -> Any:
    asked = pairs.asked(run, Texts.FRESH, step)
    shared = pairs.shared_prompts(asked, asked)
    return shared.both, shared.partners(ROLLOUT, same_texts=False)


# Plain values.

_OWN = ("run", "path", "fingerprint", "screen", "folder")  # differ from one copy to another


def plain(value: Any) -> Any:
    """Dicts, lists, arrays, tables and scalars; what is of one copy of the run alone left out."""
    if isinstance(value, (Unordered, pd.DataFrame)):
        return value
    if isinstance(value, pd.Series):
        return value.to_numpy()
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value) if f.name not in _OWN}
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items() if k not in _OWN}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return value if value.dtype != object else [plain(v) for v in value]
    return str(value) if isinstance(value, (Path, Enum)) else value


def difference(a: Any, b: Any, where: str = "") -> str:
    """The first place at which an answer `b` is not as `a`; empty where it is. Sums may differ in
    their last digits, and `b` may have further columns.
    """
    if isinstance(a, Unordered) and isinstance(b, Unordered):
        return _rows_differ(a.frame, b.frame, where)
    if isinstance(a, pd.DataFrame) and isinstance(b, pd.DataFrame):
        a, b = ({str(n): v.tolist() for n, v in frame.items()} for frame in (a, b))
        b = {name: b.get(name) for name in a}
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return _arrays_differ(a, b, where)
    if isinstance(a, dict) and isinstance(b, dict):
        if a.keys() != b.keys():
            return f"{where}: {sorted(a.keys() ^ b.keys())[:5]} on one side"
        found = (difference(a[name], b[name], f"{where}.{name}") for name in a)
        return next(filter(None, found), "")
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        if len(a) != len(b):
            return f"{where}: {len(a)} and {len(b)} items"
        found = (difference(x, y, f"{where}[{i}]") for i, (x, y) in enumerate(zip(a, b)))  # noqa: B905
        return next(filter(None, found), "")
    return "" if _same(a, b) else f"{where}: {a!r:.60} and {b!r:.60}"


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return False
    if isinstance(a, FLOATS) and isinstance(b, (*FLOATS, int)):
        both_nan = math.isnan(a) and math.isnan(b)
        return both_nan or a == b or math.isclose(a, b, rel_tol=1e-5, abs_tol=1e-7)
    if a is None or b is None or a is pd.NA or b is pd.NA or a is pd.NaT:
        return pd.isna(a) is True and pd.isna(b) is True
    return type(a) is type(b) and a == b or (isinstance(a, np.generic) and a == b)


def _arrays_differ(a: np.ndarray, b: np.ndarray, where: str) -> str:
    if a.shape != b.shape:
        return f"{where}: shapes {a.shape} and {b.shape}"
    if a.dtype.kind in "fc":
        same = np.isclose(a, b, rtol=1e-5, atol=1e-7, equal_nan=True)
    else:
        same = np.asarray(a == b)
    return "" if same.all() else f"{where}: {(~same).sum()} of {same.size} values"


def _rows_differ(a: pd.DataFrame, b: pd.DataFrame, where: str) -> str:
    names = list(a.columns)
    if missing := [name for name in names if name not in b]:
        return f"{where}: no column {missing[0]}"
    left, right = (sorted(map(repr, frame[names].itertuples(index=False))) for frame in (a, b))
    return "" if left == right else f"{where}: rows differ ({len(left)} and {len(right)})"
