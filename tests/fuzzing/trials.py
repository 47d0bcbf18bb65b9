"""One trial: a run is damaged by what a number draws, then everything is asked of it."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import traceback
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
from fuzzing import in_files, in_paths, in_tables, in_words
from fuzzing.answers import Question, Refusal, answer, difference, questions
from fuzzing.asked import complaint, pages, printed
from fuzzing.bases import BASES
from fuzzing.damage import (
    DoesNotApply,
    Effect,
    Mutation,
    Target,
    contents,
    expected,
)

from rockcore.log import Run
from rockcore.schema import RockError

LIGHT: tuple[Mutation, ...] = (
    *in_files.MUTATIONS,
    *in_tables.MUTATIONS,
    *in_words.MUTATIONS,
    *in_paths.MUTATIONS,
)
HEAVY: tuple[Mutation, ...] = (*in_tables.HEAVY, *in_words.HEAVY)  # take seconds
MUTATIONS = LIGHT + HEAVY
NEVER_ASKED, FAILED = object(), object()  # in place of an answer
# how many questions are asked in a trial: of those whose files were touched, and of the others
ASKED, ALSO_ASKED = 14, 4
COMMANDS = 0.6  # the share of trials in which a command is tried too
# most often one mutation alone: of what several do together less can be said
DEPTHS = (1, 1, 1, 1, 1, 1, 2, 2, 3)


@dataclass
class Result:
    """What came of one trial."""

    number: int
    base: str
    mutations: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    outcome: str = ""  # unchanged | another answer | refused: CLASS | refused in part | FAILED
    failures: list[str] = field(default_factory=list)
    damaging_s: float = 0.0  # of CPU: what the mutations themselves took

    @property
    def story(self) -> str:
        failures = "".join(f"\n    {f}" for f in self.failures)
        return (
            f"trial {self.number} ({self.base}): {' + '.join(self.mutations)} "
            f"[{'; '.join(self.said)}] -> {self.outcome}{failures}"
        )


class Before:
    """The untouched run of a base, one beside it, and what it answers when it is asked."""

    def __init__(self, base: str, folder: Path):
        write = BASES[base][1]
        self.run, self.other = (write(folder / name / "run", i) for i, name in enumerate("ab"))
        self.root = folder / "a" / "run"
        self.opened = Run.open(self.run)
        steps = sorted({s for t in ("tokens", "probe/final") for s in self.opened.steps(t)})
        self.steps = [*steps[:1], *steps[1:][-1:]]
        self.questions = {q.name: q for q in questions(self.opened, self.steps)}
        self.contents = contents(self.run)
        self._answers: dict[str, Any] = {}

    def answer(self, name: str) -> Any:
        """To a question, or what a command prints; NEVER_ASKED for one of a step it has not."""
        if name not in self._answers:
            if line := commands(self.run, self.other).get(name):
                self._answers[name] = printed(*line)[0]
            else:
                of = self.questions.get(name)
                self._answers[name] = NEVER_ASKED if of is None else answer(of, self.opened)
        return self._answers[name]


def commands(run: Path, other: Path) -> dict[str, list[str]]:
    """Command lines on a run, by a name for each."""
    found = {
        "rockcore rocks --json": ["rocks", str(run), "--json", "--preset", "paper"],
        "rockcore rocks --csv": ["rocks", str(run), "--csv", "--preset", "authors"],
        "rockcore rocks": ["rocks", str(run), "--set", "score=rock_score"],
        "rockcore compare two": ["compare", str(other), str(run), "--preset", "authors", "--json"],
        "rockcore compare steps": ["compare", str(run), str(run), "--json"],
        "rockcore compare": ["compare", str(run), str(run)],
    }
    if (run.parents[1] / "arms.json").exists():
        found = {
            "rockcore compare-arms": ["compare-arms", str(run.parents[1]), "--json"],
            "rockcore compare-arms in words": ["compare-arms", str(run.parents[1])],
        }
    return found


@cache
def before(base: str) -> Before:
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir=os.environ.get("FUZZ_FOLDER")))
    return Before(base, folder)


def trial(number: int, with_pages: bool = False, only: str | None = None) -> Result:
    """The trial of this number; `only`: of the mutation of this name alone."""
    rng = Random(number)
    names, shares = zip(*((n, share) for n, (share, _) in BASES.items()), strict=True)
    result = Result(number, rng.choices(names, shares)[0])
    start = before(result.base)
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=os.environ.get("FUZZ_FOLDER")) as place:
        root = shutil.copytree(start.root, Path(place) / "run")
        run = root / start.run.relative_to(start.root)
        target = Target(run, rng, start.other)
        here = os.getcwd()
        os.chdir(place)
        try:
            began = time.process_time()
            effect = _damage(target, number, result, only)
            result.damaging_s = time.process_time() - began
            _judge(target, start, effect, result)
            if with_pages:
                result.failures += pages(target.run, start.other)
        except Exception as e:
            result.failures.append(f"the trial: {raised(e)}")
        finally:
            os.chdir(here)
    result.said = target.said
    if result.failures:
        result.outcome, result.failures = "FAILED", in_short(result.failures)
    return result


def is_heavy(number: int) -> bool:
    """Whether the trial of this number takes seconds by what it does."""
    return number % len(MUTATIONS) >= len(LIGHT)


def _damage(target: Target, number: int, result: Result, only: str | None) -> Effect:
    """Apply what is drawn; the first mutation goes through all kinds in turn."""
    effects: list[Effect] = []
    depth = 1 if only else target.rng.choice(DEPTHS)
    drawn = [m for m in MUTATIONS if m.name == only] or [MUTATIONS[number % len(MUTATIONS)]]
    for _ in range(50):
        mutation = drawn.pop() if drawn else target.rng.choice(LIGHT)
        kept = len(target.said)
        try:
            effect = mutation.apply(target)
        except (DoesNotApply, pa.ArrowInvalid, FileNotFoundError):
            del target.said[kept:]
            continue
        result.mutations.append(mutation.name)
        effects.append(mutation.effect if effect is None else effect)
        if len(effects) == depth:
            break
    return expected(effects) if effects else Effect.SAME


def _judge(target: Target, start: Before, effect: Effect, result: Result) -> None:
    """Ask everything, and tell what must not be."""
    try:
        run = Run.open(target.run)
    except RockError as e:
        result.outcome = f"refused: {type(e).__name__}"
        result.failures += filter(None, [complaint(str(e))])
        if effect is Effect.SAME:
            result.failures.append(f"refused, though it is harmless: {e}"[:600])
        _judge_commands(target, start, Effect.ANY, {"run.json"}, result)
        return
    if effect is Effect.REFUSED:
        result.failures.append("opened without a word")
    now = contents(target.run)
    touched = {p for p in now.keys() | start.contents.keys() if now.get(p) != start.contents.get(p)}
    seen: set[str] = set()
    for question in _drawn(list(questions(run, start.steps)), touched, target.rng):
        found, was = _ask(question, run, result), start.answer(question.name)
        seen.add(_judged(question, found, was, effect, touched, result))
    seen.add(_judge_commands(target, start, effect, touched, result))
    refused = sorted(s for s in seen if s.startswith("refused"))
    if refused:
        result.outcome = f"refused in part{refused[0].removeprefix('refused')}"
    else:
        result.outcome = "another answer" if "another answer" in seen else "unchanged"


def _drawn(all_of_them: list[Question], touched: set[str], rng: Random) -> list[Question]:
    """Those that are asked in one trial: most of them about what was touched."""
    about = [q for q in all_of_them if q.depends_on(touched)]
    others = [q for q in all_of_them if not q.depends_on(touched)]
    return [
        q
        for of, most in ((about, ASKED), (others, ALSO_ASKED))
        for q in rng.sample(of, len(of))[:most]
    ]


def _ask(question: Question, run: Run, result: Result) -> Any:
    try:
        found = answer(question, run)
    except Exception as e:
        result.failures.append(f"{question.name}: {raised(e)}")
        return FAILED
    if isinstance(found, Refusal) and (wrong := complaint(found.message)):
        result.failures.append(f"{question.name}: {wrong}")
    return found


def _judged(
    question: Question, found: Any, was: Any, effect: Effect, touched: set[str], result: Result
) -> str:
    """In a word, what became of an answer; what must not be goes to the failures."""
    if isinstance(found, Refusal) and isinstance(was, Refusal):
        return "unchanged"
    if isinstance(found, Refusal):
        if effect is Effect.SAME and was is not NEVER_ASKED:
            result.failures.append(f"{question.name}: refused, though harmless: {found.message}")
        return f"refused: {found.error}"
    if was is NEVER_ASKED or found is FAILED:
        return "another answer"
    other = "answered, where it was refused" if isinstance(was, Refusal) else difference(was, found)
    if not other:
        return "unchanged"
    if effect in (Effect.SAME, Effect.KEPT, Effect.REFUSED):
        result.failures.append(f"{question.name}: another answer without a word: {other}")
    elif not question.depends_on(touched):
        result.failures.append(f"{question.name}: another answer, its files untouched: {other}")
    return "another answer"


def _judge_commands(
    target: Target, start: Before, effect: Effect, touched: set[str], result: Result
) -> str:
    """One command line on the run, in most trials."""
    if target.rng.random() > COMMANDS:
        return ""
    asked = commands(target.run.absolute(), start.other)
    name = target.rng.choice(sorted(asked))
    try:
        found, wrong = printed(*asked[name])
    except Exception as e:
        result.failures.append(f"{name}: {raised(e)}")
        return "another answer"
    if wrong:
        result.failures.append(f"{name}: {wrong}")
        return "another answer"
    for of in ("run", "fingerprint", "a", "b"):
        for data in (found, start.answer(name)):
            if isinstance(data, dict):
                data.pop(of, None)
    question = Question(name, ("*",), lambda run: None)
    return _judged(question, found, start.answer(name), effect, touched, result)


def raised(e: Exception) -> str:
    """An exception in a line: what it says, and where it came from."""
    ours = [f for f in traceback.extract_tb(e.__traceback__) if "rockcore" in f.filename]
    frames = [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in ours[-4:]]
    return f"{type(e).__name__}: {str(e)[:300]} ({' > '.join(frames)})"


def in_short(failures: list[str]) -> list[str]:
    """The first failure of each kind, and how many more are like it."""
    kinds: dict[str, list[str]] = {}
    for failure in failures:
        kinds.setdefault(failure.partition(": ")[2], []).append(failure)
    more = {kind: f" (and {len(of) - 1} more)" if len(of) > 1 else "" for kind, of in kinds.items()}
    return [of[0] + more[kind] for kind, of in kinds.items()]


def as_json(result: Result) -> dict[str, Any]:
    return asdict(result)
