"""The steps of Learn, as data: what each tells and asks, the page it opens and in which state, and
what the reader does there for it to be ticked off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from app import data
from app.data.runs import RunKey

State = Mapping[str, str]  # name in the link -> text
Entered = dict[str, str]


@dataclass(frozen=True)
class LessonStep:
    """`text`: [S:…], [T:…], [K:…], [R:…] have the colours of the student, the teacher, kl and Rock
    Tokens. `answers`: what a reader may say to `question`, by the word that the link has for it.
    `todo`: what ticks the step off, done on `page`, or on Learn itself where that is empty.
    """

    id: str
    title: str
    text: str
    question: str
    answers: dict[str, str]
    todo: str
    done: Callable[[State, State], bool]  # (what `enter` set, what is asked for now)
    page: str = ""
    enter: Callable[[RunKey, data.rocks.RockRule], Entered] = lambda run, rule: {}
    leave: tuple[str, ...] = ()  # what of the state does not outlast the lesson
    hide: tuple[str, ...] = field(default=())  # controls that the page does without meanwhile


def moved(name: str) -> Callable[[State, State], bool]:
    """Ticked off when this is something else than the lesson set."""
    return lambda before, now: now.get(name, "") not in ("", before.get(name, ""))


def open_text(run: RunKey, rule: data.rocks.RockRule) -> Entered:
    """The text of the lesson, no token chosen."""
    try:
        at = data.lessons.occurrence(run, rule)
    except data.runs.RockError:
        return {}
    step = {"source": at.texts.value, "step": str(at.step), "rollout": str(at.rollout)}
    return {**step, "signal": "kl", "token_at": ""}


def open_token(run: RunKey, rule: data.rocks.RockRule) -> Entered:
    """The token of the lesson, before training."""
    try:
        at = data.lessons.occurrence(run, rule)
    except data.runs.RockError:
        return {}
    first = str(data.runs.steps(run, at.texts.value)[0])
    return {**open_text(run, rule), "step": first, "token_at": str(at.position)}


def open_rule(run: RunKey, rule: data.rocks.RockRule) -> Entered:
    return {"rule": rule.short(), "knob": "tau"}


def open_types(run: RunKey, rule: data.rocks.RockRule) -> Entered:
    """The run of the lesson, whose name another will take."""
    return {"rule": rule.short(), "run": data.lessons.name_of(run)}


def open_knockouts(run: RunKey, rule: data.rocks.RockRule) -> Entered:
    """A screened Rock Token, so that another one can be chosen."""
    screened = data.lessons.screened_rock(run, rule)
    return {"candidate": screened, "knockout_figure": "each"}


ON_POLICY = LessonStep(
    "picture",
    "Who writes, who judges",
    "A small [S:student] writes a text, token by token. A large [T:teacher] says at each token how "
    "it would have gone on. Their [K:KL] is how far apart the two are, in nats: 0 where they "
    "agree. Training moves the student towards the teacher.",
    "Whose texts does the student learn from?",
    {"teacher": "The teacher's", "own": "Its own", "book": "A textbook's"},
    "Choose any token of the text: click it, or walk there by arrow keys and press p.",
    moved("token_at"),
    "trace",
    open_text,
    ("token_at",),
    ("source", "step", "rollout", "signal"),
)
ONE_SAMPLE = LessonStep(
    "sample",
    "One draw says little",
    "The [K:KL] weighs all that the student could have written. The *sampled loss* looks at the "
    "one token that it did write: log p of the [S:student] less log p of the [T:teacher]. It is "
    "cheap, and right on average.",
    "Can the sampled loss of a token be negative?",
    {"no": "No, a distance is never negative", "yes": "Yes, and often"},
    "Draw 100 tokens again, and watch the mean.",
    moved("draw"),
)
OVER_TRAINING = LessonStep(
    "training",
    "The same token over training",
    "One text, and the student of every logged step is asked what it would write here. The "
    "[T:teacher] never changes its mind; the [S:student] may.",
    "What becomes of the KL at this token?",
    {
        "gone": "It falls below a tenth",
        "falls": "It falls, but not so far",
        "stays": "It stays within a tenth, or rises",
    },
    "Play the steps: ▶ play above the text, or Space in it.",
    moved("step"),
    "trace",
    open_token,
    ("token_at",),
    ("source", "rollout", "signal"),
)
GATES = LessonStep(
    "gates",
    "Three gates make a rock",
    "A token is *high* if its [K:KL] is at least τ before and after training. It is *recurring* if "
    "it is so in similar contexts. The types that hold enough of the loss this way are *in the "
    "set*: the [R:Rock Tokens].",
    "How many of all tokens pass the three gates?",
    {
        "many": "More than one in five",
        "some": "One in five to one in fifty",
        "few": "Fewer, but some",
        "none": "Not one",
    },
    "Move a threshold and see what comes in. Undo takes it back.",
    moved("rule"),
    "threshold_lab",
    open_rule,
    ("rule", "knob"),
)
GRADIENT = LessonStep(
    "gradient",
    "Who takes the gradient",
    "Each token pulls at the student's weights: how hard, says the length of its gradient. "
    "[R:Rock Tokens] are few.",
    "Which share of the gradient do they take?",
    {},
    "Set “Stacked by” to Rock Tokens.",
    lambda before, now: now.get("by") == "set",
    "gradients",
    lambda run, rule: {"rule": rule.short(), "by": "category", "gradient_figure": "takers"},
    ("by",),
    ("norm", "gradient_figure"),
)
REASONS = LessonStep(
    "reasons",
    "Three runs, three reasons",
    "In a small world we know why a KL stays. *habit*: the student learned other phrases before, "
    "slow. *hidden*: only the teacher reads a note on style, impossible. *skill*: the student "
    "lacks arithmetic, learnable.",
    "In which of them does the rule find no Rock Tokens?",
    {"habit": "habit", "hidden": "hidden", "skill": "skill"},
    "Change to another of the three runs, in the sidebar.",
    moved("run"),
    "rock_tokens",
    open_types,
    (),
    ("find", "only"),
)
CORNERSTONES = LessonStep(
    "cornerstones",
    "Cornerstone or stumbling block?",
    "Does the student need its [R:Rock Tokens]? *Knockout*: forbid it one, and grade it again. "
    "*Freeze*: leave them out of the loss, and train again.",
    "Knockout: what becomes of the right answers?",
    {"falls": "They fall", "rises": "They rise", "open": "Mostly, it cannot be told"},
    "Open another candidate: a point, a row, or in the list.",
    moved("candidate"),
    "knockout",
    open_knockouts,
    ("candidate",),
    ("kind", "needed", "knockout_figure"),
)
MISTAKES = LessonStep(
    "mistakes",
    "Where easy conclusions go wrong",
    "Here nothing happens: one student is called before *and* after, losses are shuffled over the "
    "tokens, simulated bans change no answer. What a number finds, it has made itself.",
    "How many of three easy numbers find something?",
    {"0": "Not one", "1": "One", "2": "Two", "3": "All three"},
    "Deal again: which numbers hold?",
    moved("deal"),
)

STEPS: dict[str, LessonStep] = {
    step.id: step
    for step in (
        ON_POLICY,
        ONE_SAMPLE,
        OVER_TRAINING,
        GATES,
        GRADIENT,
        REASONS,
        CORNERSTONES,
        MISTAKES,
    )
}


def number(step: LessonStep) -> str:
    """3 of 8."""
    return f"{list(STEPS).index(step.id) + 1} of {len(STEPS)}"


def after(step: LessonStep) -> LessonStep | None:
    """The next one; None after the last."""
    ids = list(STEPS)
    at = ids.index(step.id) + 1
    return STEPS[ids[at]] if at < len(ids) else None
