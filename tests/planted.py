"""Logs whose truth is known, of any size: what a detection finds in them can be counted as right or
wrong.

Rollouts are free text with words at Zipf frequencies, and phrases that recur, each a row of words
with some slots. Tokens of some types are made hard, one reason a type (`KINDS`); all else is easy,
but with a heavy tail. Text is drawn and written in pieces, so a log may be larger than memory. A
`null` plan has no kinds: its three checkpoints are exchangeable, and whatever is said to have
changed is said wrongly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rockcore import schema
from rockcore.log import RunWriter
from rockcore.log.files import table_file, to_arrow
from rockcore.rocks.corpus import Corpus
from rockcore.schema import RunMeta

STEPS = (0, 50, 100)
KINDS: dict[
    str, tuple[float, float, float]
] = {  # mean kl of a hard occurrence at the three checkpoints, nats
    "easy": (0.05, 0.045, 0.04),
    "rock": (
        1.2,
        1.14,
        1.08,
    ),  # in its own phrases, easy elsewhere; falls by a tenth, as the paper's do
    "learned": (1.2, 0.12, 0.06),  # in its own phrases, easy elsewhere
    "scattered": (
        1.2,
        1.2,
        1.2,
    ),  # a frequent type that is hard wherever it stands, in no phrase: no rock
    "noisy": (1.5, 1.5, 1.5),  # a rare type, its checkpoints independent of each other
}
EASY, ROCK, LEARNED, SCATTERED, NOISY = range(5)
_LONGEST, _SLOT_WORDS, _PIECE = 16, 12, 1_000_000
_UNUSED = dict.fromkeys(
    ("sampled_loss", "student_logp", "teacher_logp", "student_entropy", "teacher_entropy"), np.nan
)


@dataclass(frozen=True)
class Plan:
    """How much text, and what is planted in it."""

    positions: int
    vocabulary: int
    rocks: int = 40
    learned: int = 40
    scattered: int = 15
    noisy: float = 0.05  # of the types
    tokens_per_rollout: int = 500
    phrases: float = 0.7  # of the stretches of text; the others are free
    spread: float = 0.5  # standard deviation of the types' log mean kl
    seed: int = 0
    easy: tuple[float, float, float] = KINDS["easy"]
    shared: float = (
        1.0  # gamma shape of what an occurrence has at every checkpoint; infinite: nothing
    )
    noise: float = 2.0  # gamma shape of what it has at one checkpoint alone

    @classmethod
    def sized(cls, positions: int, seed: int = 0) -> Plan:
        """Rocks, learned and noisy types in a vocabulary that grows with the text as Heaps' law has
        it: 50,000 at 10 M.
        """
        few = positions < 1_000_000
        return cls(
            positions,
            round(3.155 * positions**0.6),
            rocks=40 if few else 80,
            learned=40 if few else 80,
            seed=seed,
        )

    @classmethod
    def null(
        cls, seed: int, rollouts: int = 200, vocabulary: int = 300, tokens_per_rollout: int = 100
    ) -> Plan:
        """Nothing is learned: types differ, rollouts differ, and every checkpoint is one more draw
        of the same thing.
        """
        return cls(
            rollouts * tokens_per_rollout,
            vocabulary,
            rocks=0,
            learned=0,
            scattered=0,
            noisy=0.0,
            tokens_per_rollout=tokens_per_rollout,
            spread=0.3,
            seed=seed,
            easy=(0.2, 0.2, 0.2),
            shared=np.inf,
            noise=0.5,
        )


@dataclass(frozen=True)
class Piece:
    """Some whole rollouts, one after the other: N tokens."""

    lengths: np.ndarray  # (B,)
    token_id: np.ndarray  # (N,) int32
    kind: np.ndarray  # (N,) int8: which of KINDS the occurrence behaves like
    losses: list[np.ndarray]  # (N,) float32 each


@dataclass(frozen=True)
class Truth:
    kind: np.ndarray  # (V,) int8 by token id: which of KINDS the type is
    stubborn: np.ndarray  # (N,) bool: hard occurrences of rocks

    @property
    def rocks(self) -> np.ndarray:
        """Token ids."""
        return np.flatnonzero(self.kind == ROCK)

    def save(self, file: Path) -> None:
        np.savez(file, kind=self.kind, stubborn=np.packbits(self.stubborn), n=len(self.stubborn))

    @classmethod
    def load(cls, file: Path) -> Truth:
        with np.load(file) as saved:
            return cls(
                saved["kind"], np.unpackbits(saved["stubborn"], count=int(saved["n"])).astype(bool)
            )


class World:
    """Types with their kinds and phrases with their words, drawn once; `pieces` draws text."""

    def __init__(self, plan: Plan):
        self.plan, self.rng = plan, np.random.default_rng(plan.seed)
        v = plan.vocabulary
        self.by_rank = self.rng.permutation(v)  # token ids by falling frequency in free text
        self.zipf = np.cumsum(1 / (np.arange(v) + 2.7))
        self.zipf /= self.zipf[-1]
        self.kind = np.zeros(v, np.int8)
        head = self.by_rank[
            5 + self.rng.permutation(max(v // 10, plan.rocks + plan.learned + plan.scattered))
        ]
        for kind, n in ((ROCK, plan.rocks), (LEARNED, plan.learned), (SCATTERED, plan.scattered)):
            self.kind[head[:n]], head = kind, head[n:]
        self.kind[
            self.by_rank[v // 2 + self.rng.permutation(v - v // 2)[: round(plan.noisy * v)]]
        ] = NOISY
        self.type_effect = _factor(self.rng, plan.spread, v)
        self.type_effect[np.isin(self.kind, (ROCK, LEARNED))] **= 0.5
        self.hard_everywhere = np.where(self.kind >= SCATTERED, self.kind, EASY)
        self._make_phrases()

    def _make_phrases(self) -> None:
        """`words` (phrases + 1, longest, slot words): a fixed word is there as often as a slot has
        words; the last row is free text.
        """
        rng, plan = self.rng, self.plan
        planted = np.flatnonzero(np.isin(self.kind, (ROCK, LEARNED)))
        own = np.repeat(planted, rng.integers(1, 4, len(planted)))  # one to three phrases a type
        calm = rng.choice(np.flatnonzero(self.kind == EASY), max(50, plan.vocabulary // 20))
        focus = np.concatenate([own, calm])
        n = len(focus)
        self.size = np.append(rng.integers(9, _LONGEST + 1, n), 0)
        self.words = np.repeat(self._calm_words((n + 1, _LONGEST, 1)), _SLOT_WORDS, axis=2)
        slot = rng.random((n + 1, _LONGEST)) < 0.25
        self.words[slot] = self._calm_words((int(slot.sum()), _SLOT_WORDS))
        place = rng.integers(4, self.size[:-1] - 4)
        self.words[np.arange(n), place] = focus[:, None]
        self.phrase_kind = np.zeros((n + 1, _LONGEST), np.int8)
        self.phrase_kind[np.arange(n), place] = self.kind[focus]
        share = np.array([0.3, 0.45, 0.25])[self.kind[focus]]  # of all phrases: easy, rock, learned
        popular = _factor(rng, 0.7, n)
        of_kind = np.bincount(self.kind[focus], popular, 3)[self.kind[focus]]
        self.popular = np.cumsum(share * popular / of_kind)
        self.popular /= self.popular[-1]

    def _calm_words(self, shape: tuple[int, ...]) -> np.ndarray:
        """Words for phrases, none of them hard by itself."""
        allowed = self.by_rank[self.hard_everywhere[self.by_rank] == EASY]
        return (
            allowed[np.minimum(self._ranks(int(np.prod(shape))), len(allowed) - 1)]
            .reshape(shape)
            .astype(np.int32)
        )

    def _ranks(self, n: int) -> np.ndarray:
        return np.searchsorted(self.zipf, self.rng.random(n))

    def pieces(self) -> Iterator[Piece]:
        left = self.plan.positions
        while left:
            lengths = self._lengths(min(left, _PIECE))
            token_id, kind = self._text(int(lengths.sum()))
            yield Piece(lengths, token_id, kind, self._losses(token_id, kind, lengths))
            left -= len(token_id)

    def _lengths(self, n: int) -> np.ndarray:
        """Of rollouts that hold n tokens together; one in 33 is a short one."""
        mean = self.plan.tokens_per_rollout
        lengths = np.maximum(1, self.rng.gamma(4, mean / 4, 2 * n // mean + 20)).astype(np.int64)
        short = self.rng.random(len(lengths)) < 0.03
        lengths[short] = self.rng.integers(1, 21, short.sum())
        ends = np.cumsum(lengths)
        whole = int(np.searchsorted(ends, n))
        return np.append(lengths[:whole], n - (ends[whole - 1] if whole else 0))

    def _text(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        rng, free = self.rng, len(self.size) - 1
        phrase = np.searchsorted(
            self.popular, rng.random(n // 8 + 20)
        )  # stretches have 8.5 tokens or more on average
        phrase[rng.random(len(phrase)) >= self.plan.phrases] = free
        size = np.where(
            phrase == free, rng.integers(1, _LONGEST + 1, len(phrase)), self.size[phrase]
        )
        ends = np.cumsum(size)
        row = np.repeat(phrase, size)[:n]
        place = (np.arange(ends[-1]) - np.repeat(ends - size, size))[:n]
        token_id = self.words[row, place, rng.integers(0, _SLOT_WORDS, n)]
        loose = row == free
        token_id[loose] = self.by_rank[self._ranks(int(loose.sum()))]
        return token_id, np.where(
            loose, self.hard_everywhere[token_id], self.phrase_kind[row, place]
        ).astype(np.int8)

    def _losses(
        self, token_id: np.ndarray, kind: np.ndarray, lengths: np.ndarray
    ) -> list[np.ndarray]:
        """Mean kl of kind and checkpoint x type x rollout x what stays the same at this position x
        what does not.
        """
        rng, plan, n = self.rng, self.plan, len(token_id)
        means = np.array([plan.easy, *list(KINDS.values())[1:]], np.float32)
        fixed = self.type_effect[token_id] * np.repeat(_factor(rng, 0.3, len(lengths)), lengths)
        if np.isfinite(plan.shared):
            stays = rng.standard_gamma(plan.shared, n, dtype=np.float32) / np.float32(plan.shared)
            fixed *= np.where(kind == NOISY, np.float32(1), stays)
        losses = []
        for checkpoint in range(len(STEPS)):
            moves = np.repeat(_factor(rng, 0.1, len(lengths)), lengths)
            moves *= rng.standard_gamma(plan.noise, n, dtype=np.float32) / np.float32(plan.noise)
            losses.append(means[kind, checkpoint] * fixed * moves)
        return losses


def _factor(rng: np.random.Generator, spread: float, n: int) -> np.ndarray:
    """Log-normal factors with mean 1."""
    return np.exp(
        rng.standard_normal(n, dtype=np.float32) * np.float32(spread) - np.float32(spread**2 / 2)
    )


def corpus(plan: Plan) -> tuple[Corpus, Truth]:
    """The log in memory."""
    world = World(plan)
    pieces = list(world.pieces())
    lengths = np.concatenate([p.lengths for p in pieces])
    kind = np.concatenate([p.kind for p in pieces])
    losses = tuple(np.concatenate([p.losses[c] for p in pieces]) for c in range(len(STEPS)))
    ids = np.concatenate([p.token_id for p in pieces])
    found = Corpus(STEPS, np.arange(len(lengths)), np.cumsum(lengths) - lengths, ids, losses)
    return found, Truth(world.kind, kind == ROCK)


def write(path: Path, plan: Plan) -> Truth:
    """The same log as a run on disk: the probe set `final` at three checkpoints, with kl and a
    made-up gradient norm.
    """
    world, v = World(plan), plan.vocabulary
    meta = RunMeta(
        path.name,
        "planted-student",
        "planted-teacher",
        "planted",
        v,
        status="finished",
        steps_planned=STEPS[-1],
    )
    writer = RunWriter.create(
        path,
        meta,
        {"token_id": range(v), "token": [f" w{i}" for i in range(v)], "special": [False] * v},
    )
    stubborn, rollouts = [], 0
    paths = [table_file(path, "probe/final", s) for s in STEPS]
    paths[0].parent.mkdir(parents=True)
    files = [pq.ParquetWriter(p, schema.arrow_schema(schema.PROBE), **_how()) for p in paths]
    for piece in world.pieces():
        for step, file, kl in zip(STEPS, files, piece.losses, strict=True):
            file.write_table(to_arrow(schema.PROBE, _columns(piece, step, kl, rollouts)))
        stubborn.append(piece.kind == ROCK)
        rollouts += len(piece.lengths)
    for file in files:
        file.close()
    writer.write_probe_rollouts("final", _texts(rollouts))
    return Truth(world.kind, np.concatenate(stubborn))


def _how() -> dict[str, Any]:
    """As files.write_table writes, which wants the whole table at once."""
    floats = [name for name, column in schema.PROBE.items() if column.type == pa.float32()]
    ids = ["rollout_id", "position", "token_id", "step"]
    return {
        "compression": "zstd",
        "compression_level": 6,
        "use_dictionary": ids,
        "use_byte_stream_split": floats,
        "store_schema": False,
    }


def _columns(piece: Piece, step: int, kl: np.ndarray, before: int) -> dict[str, Any]:
    n = len(kl)
    return {
        "step": np.full(n, step, np.int32),
        "rollout_id": before
        + np.repeat(np.arange(len(piece.lengths), dtype=np.int32), piece.lengths),
        "position": (
            np.arange(n) - np.repeat(np.cumsum(piece.lengths) - piece.lengths, piece.lengths)
        ).astype(np.int32),
        "token_id": piece.token_id,
        "kl": kl,
        "grad_norm": 0.3 * kl,
        **{name: np.full(n, value, np.float32) for name, value in _UNUSED.items()},
        **{
            name: pa.nulls(n, schema.PROBE[name].type)
            for name in ("student_top_ids", "student_top_logps")
        },
    }


def _texts(rollouts: int) -> dict[str, Any]:
    text = {
        "prompt": "A planted log has no prompts.",
        "teacher_prompt": "",
        "response": "",
        "answer": None,
        "correct": None,
    }
    values = {"step": STEPS[-1], **text, "truncated": False}
    return {
        "rollout_id": range(rollouts),
        **{name: [value] * rollouts for name, value in values.items()},
    }
