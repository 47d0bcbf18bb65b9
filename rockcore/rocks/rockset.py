"""RockSet: what travels from a detection to a training: which tokens, by which rule, of which run.

Small on purpose: the numbers behind it are in the report that lies beside it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from rockcore.rocks.rule import RockRule
from rockcore.rocks.rule_fields import BadRule
from rockcore.schema import RockError


class BadRockSet(RockError, ValueError):
    """A file that is no RockSet."""


@dataclass(frozen=True)
class RockSet:
    """The Rock Tokens of a run under a rule, as a training filters by them."""

    ids: tuple[int, ...]  # token ids, the best first
    rule: RockRule  # with tau_pre, tau_post and top_k as they were found from the run
    tokenizer_hash: str  # of the run: elsewhere the ids mean other tokens
    fingerprint: str  # of the run's files
    control: dict[str, Any]  # what to compare with: kind, how, seed, and its types or positions

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> RockSet:
        """Reads what `to_json` writes, and what `rockcore rocks --json` prints. Raises BadRockSet,
        or BadRule for the rule inside.
        """
        try:
            found = cls._from_dict(json.loads(text, parse_constant=_no_number))
            found.to_json().encode()  # 1e999 is read as infinity, and "\ud800" is half a letter
            return found
        except (BadRule, BadRockSet):
            raise
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as e:
            raise _refused(f"{type(e).__name__}: {e}") from e

    @classmethod
    def _from_dict(cls, data: dict[str, Any]) -> RockSet:
        rule = RockRule.from_dict(data["rule"])
        ids = data["ids"] if "ids" in data else [t["token_id"] for t in _in_set(data["tokens"])]
        whole = isinstance(ids, list) and all(type(i) is int and i >= 0 for i in ids)
        if not whole or len(set(ids)) < len(ids):
            raise _refused(f"ids = {str(ids)[:60]}")
        if rule.top_k is not None and rule.top_k != len(ids):
            raise _refused(f"it holds {len(ids)} of the {rule.top_k} types of its rule")
        texts = [data["tokenizer_hash"], data["fingerprint"]]
        if not all(isinstance(t, str) for t in texts) or not isinstance(data["control"], dict):
            raise _refused("tokenizer_hash and fingerprint are texts, control is an object")
        return cls(tuple(ids), rule, *texts, control=data["control"])


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _in_set(tokens: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [token for token in tokens if token["in_set"]]


def _refused(what: str) -> BadRockSet:
    return BadRockSet(
        f"This is no rock set ({what})",
        "Token ids alone do not say what they are",
        "Write it again: rockcore rocks RUN --json",
    )
