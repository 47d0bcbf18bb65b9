"""RockReport: the Rock Tokens of a run under a rule, with everything needed to judge them: tables,
curves, intervals. What of it goes to a training is a `RockSet`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from rockcore.rocks.change import OLD_CLASSES
from rockcore.rocks.rockset import BadRockSet, RockSet
from rockcore.rocks.rule import RockRule
from rockcore.rocks.rule_fields import BadRule
from rockcore.rocks.scores import ranking_score
from rockcore.schema import Texts
from rockcore.spelling import as_csv, as_json
from rockcore.stats import Interval


def named_loss(column: str, estimator: str) -> str:
    """A loss and what its values are: of kl what the estimator says."""
    return f"{column}: {estimator if column == 'kl' else 'of the sampled token'}"


@dataclass(frozen=True)
class RockReport:
    """The Rock Tokens of a run under a rule, with everything needed to judge them. JSON out and in.

    `tokens` has one row a token type, the best first: token_id, token, category, class, frequency,
    mean and rock_score (nats, of the rule's column, at the last checkpoint), share and coverage (of
    the summed loss), persistent and consistent (occurrences), ccr = consistent / frequency,
    rock_score_ctx, score (what ranks), precision (kappa, of the set), in_set, mean_first,
    mean_middle, mean_last and change with change_low, change_high, change_naive (see
    change.classify). What is not known is NaN. `rollouts` holds tokens, type and occurrence counts
    by rollout_id; `curves` coverage and stability by K.
    """

    run: str  # path
    name: str
    fingerprint: str
    tokenizer_hash: str
    estimator: str
    mode: str  # paired | bounds | matched | single
    source: Texts  # whose texts
    steps: tuple[int, ...]
    rule: RockRule  # with tau_pre, tau_post and top_k as they were found from this run
    asked: RockRule  # as it was given
    chosen_by: str  # how K was chosen, see cutoff.cut: given | tau_rock | share | stability | none
    knee: int  # a mark on the curve, chooses nothing; 0 where no type has a score
    hard_from: float  # nats: from here on a type's mean counts as hard
    occurrences: dict[str, int | None]
    coverage: float
    stability: Interval  # of this very set; NaN where it is empty, or one rollout has no halves
    density: dict[str, float | None]  # overall shares of all tokens
    tokens: pd.DataFrame
    rollouts: pd.DataFrame
    curves: pd.DataFrame
    groups: pd.DataFrame
    control: dict[str, Any]
    notes: tuple[str, ...]
    why_empty: str = ""  # why no type is in the set, and what would help
    enough: int | None = None  # types that hold enough of the loss; None in reports of old
    # coverage by as many types chosen on one half of the rollouts, of the other half's loss: mean
    # and middle 95 % of the splits; NaN where unknown
    covered_elsewhere: Interval = Interval(math.nan, math.nan, math.nan)

    @property
    def single(self) -> bool:
        """Whether one checkpoint alone was looked at, and nothing is known of persistence."""
        return self.mode == "single"

    @property
    def score(self) -> str:
        """What ranks the types: without persistent occurrences not what the rule names, see
        Detection.score.
        """
        return ranking_score(self.rule.score, self.mode)

    @property
    def unstable(self) -> bool:
        """Whether there is no set because halves of the rollouts agree on none: the ranking stands,
        and may be another on other texts.
        """
        return self.chosen_by == "none"

    @property
    def no_set(self) -> str:
        """That there is no set, why, and what would help; empty if there is one."""
        if self.ids:
            return ""
        start = "No stable set." if self.unstable else "No type is in the set."
        return f"{start} {self.why_empty}"

    @property
    def how(self) -> str:
        """How K was chosen, in words; empty if there is no set."""
        if not self.ids:
            return ""
        if self.enough is None:  # a report of old
            return HOW_OF_OLD.get(self.chosen_by) or HOW.get(self.chosen_by, self.chosen_by)
        return HOW.get(self.chosen_by, self.chosen_by).format(enough=self.enough)

    @property
    def span(self) -> str:
        """The checkpoints in words."""
        first, last = self.steps[0], self.steps[-1]
        return f"step {last}" if len(self.steps) == 1 else f"steps {first} to {last}"

    @cached_property
    def ids(self) -> list[int]:
        """The token ids in the set, the best first."""
        return self.tokens.token_id[self.tokens.in_set].tolist()

    @property
    def rock_set(self) -> RockSet:
        """What a training needs of it."""
        return RockSet(
            tuple(self.ids), self.rule, self.tokenizer_hash, self.fingerprint, self.control
        )

    def _named(self, top: int | None) -> pd.DataFrame:
        if top is not None and top < 1:
            raise ValueError(f"top = {top}: a table has at least one row")
        tokens = self.tokens.rename(columns={"mean": f"mean_{self.rule.column}"})
        return tokens.head(len(tokens) if top is None else top)

    def to_dict(self, top: int | None = None, without: Collection[str] = ()) -> dict[str, Any]:
        """As JSON takes it: NaN is null; at most `top` rows of tokens (ValueError below 1);
        `without` some of the tables.
        """
        frames = {
            name: _records(self._named(top) if name == "tokens" else getattr(self, name))
            for name in _FRAMES
            if name not in without
        }
        return {**self._head(), **frames}

    def _head(self) -> dict[str, Any]:
        """All but the tables."""
        loss = self.rule.column
        return {
            "run": self.run,
            "name": self.name,
            "step": self.steps[-1],
            "estimator": self.estimator,
            f"total_{loss}": float(self.tokens.rock_score.sum()),
            "total_tokens": int(self.tokens.frequency.sum()),
            "tokenizer_hash": self.tokenizer_hash,
            "fingerprint": self.fingerprint,
            "mode": self.mode,
            "source": str(self.source),
            "steps": list(self.steps),
            "rule": asdict(self.rule),
            "asked": asdict(self.asked),
            "chosen_by": self.chosen_by,
            "knee": self.knee,
            "enough": self.enough,
            "hard_from": self.hard_from,
            "occurrences": self.occurrences,
            "coverage": self.coverage,
            "covered_elsewhere": _named_ends("share", self.covered_elsewhere),
            "stability": _named_ends("jaccard", self.stability),
            "density": self.density,
            "ids": self.ids,
            "control": self.control,
            "notes": list(self.notes),
            "why_empty": self.why_empty,
        }

    def to_json(self) -> str:
        return as_json(self.to_dict())

    def to_csv(self, top: int | None = None) -> str:
        """The rows of `tokens`; token text as JSON strings, which keep every character."""
        return as_csv(self._named(top), quoted=["token"])

    @classmethod
    def from_json(cls, text: str | bytes) -> RockReport:
        """Raises BadRockSet, also for a report that holds some of its types only, or BadRule for
        the rule inside.
        """
        try:
            return cls._from_dict(json.loads(text))
        except (BadRule, BadRockSet):
            raise
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as e:
            raise BadRockSet(
                f"This is no rock set ({type(e).__name__}: {e})",
                "Token ids alone do not say what they are",
                _AGAIN,
            ) from e

    @classmethod
    def _from_dict(cls, data: dict[str, Any]) -> RockReport:
        frames = {n: _frame(data[n]) for n in ("rollouts", "curves", "groups")}
        column = RockRule.from_dict(data["rule"]).column
        return cls.from_frames(data, {**frames, "tokens": _tokens_of(data["tokens"], column)})

    @classmethod
    def from_frames(cls, data: dict[str, Any], frames: Mapping[str, pd.DataFrame]) -> RockReport:
        """From what `to_dict` gives, with the tables as they are. Raises BadRockSet, BadRule, or
        what the lack of a name raises.
        """
        rule, asked = RockRule.from_dict(data["rule"]), RockRule.from_dict(data["asked"])
        tables: Any = dict(frames)
        report = cls(
            **{name: data[name] for name in _AS_IT_IS},
            **tables,
            source=Texts(data["source"]),
            steps=tuple(data["steps"]),
            rule=rule,
            asked=asked,
            stability=_interval("jaccard", data["stability"]),
            covered_elsewhere=_interval("share", data.get("covered_elsewhere", {})),
            notes=tuple(data["notes"]),
            why_empty=data.get("why_empty", ""),
            enough=data.get("enough"),
        )
        if len(report.ids) != rule.top_k:
            raise BadRockSet(
                f"This report holds {len(report.ids)} of the {rule.top_k} types of its set",
                "It was cut to its first rows when it was printed",
                "Write it without --top",
            )
        return report


HOW = {  # Cutoff.chosen_by in words
    "given": "as the rule says",
    "tau_rock": "by the threshold on the score",
    "share": "all that hold enough of the loss",
    "stability": "of {enough} that hold enough of the loss, as many as are stable",
}
HOW_OF_OLD = {
    "stability": "as many as are stable",
    "knee": "at the knee of coverage, for no number of types was stable",
}
_AGAIN = "Write it again: rockcore rocks RUN --json"
_FRAMES = ("tokens", "rollouts", "curves", "groups")
_AS_IT_IS = """run name fingerprint tokenizer_hash estimator mode chosen_by knee hard_from
occurrences coverage density control""".split()


def _named_ends(name: str, value: Interval) -> dict[str, Any]:
    """An interval as JSON takes it."""
    ends = zip((name, "low", "high"), value, strict=True)
    return {end: _null_if_unknown(number) for end, number in ends}


def _interval(name: str, ends: dict[str, Any]) -> Interval:
    numbers = (ends.get(end) for end in (name, "low", "high"))
    return Interval(*(math.nan if number is None else number for number in numbers))


def _null_if_unknown(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {name: _null_if_unknown(value) for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


def _tokens_of(records: list[dict[str, Any]], column: str) -> pd.DataFrame:
    """The rows of `tokens`, also those of a report of old, whose classes had other names."""
    tokens = _frame(records).rename(columns={f"mean_{column}": "mean"})
    return tokens.replace({"class": OLD_CLASSES}) if "class" in tokens else tokens


def _frame(records: list[dict[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(records)
    for name in frame.columns:
        if (
            frame[name].isna().any()
            and frame[name].map(lambda v: v is None or isinstance(v, float)).all()
        ):
            frame[name] = frame[name].astype(float)
    return frame
