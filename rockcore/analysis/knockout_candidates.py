"""Which tokens a screen knocks out: the rock candidates of a run, or those that are named, each
alone, with its spellings and with its window, and random types of like frequency beside them.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from rockcore.interventions import Batch, Window, bans, check_set, load_set
from rockcore.log import Run
from rockcore.rocks.examined import Examined
from rockcore.schema import RockError
from rockcore.schema.screen import Candidate
from rockcore.spelling import visible

COUNT, RANDOM = 50, 10


class BadCandidates(RockError, ValueError):
    """Tokens that cannot be knocked out, because they are not there or mean something else."""


@dataclass(frozen=True)
class Wanted:
    """What a person asks to knock out."""

    names: tuple[str, ...] = ()  # ids, texts of tokens, or files of a set; without any, by score
    # by score, the set and then what follows; default: the whole set, and COUNT at least
    count: int | None = None
    random: int | None = None  # default: RANDOM beside those by score, none beside those named
    steered: bool = True
    windows: bool = True
    seed: int = 0  # of the random types


def choose(
    run: Run, wanted: Wanted, say: Callable[[str], object] = lambda _: None
) -> tuple[Candidate, ...]:
    """The candidates as they are asked for. Raises BadCandidates, or for candidates by score what
    `Examined` raises; where only the windows or random types cannot be told, says so.
    """
    ids = named_ids(run, wanted.names)
    examined = Examined(run)
    if ids:
        sources = dict.fromkeys(ids, "given")
        try:
            examined.loaded()
        except RockError as e:
            say(f"No windows and no random types: {e}")
            wanted = replace(wanted, windows=False, random=0)
    else:
        sources = _by_score(examined, run, wanted.count)
    found = [Candidate(f"token-{i}", "token", i, (i,), source) for i, source in sources.items()]
    if wanted.steered:
        alike = spellings(run.vocab)
        found += [
            Candidate(f"steered-{i}", "steered", i, alike[i], sources[i])
            for i in sources
            if len(alike.get(i, ())) > 1
        ]
    if wanted.windows:
        rocks = ids or [int(i) for i in examined.report.ids]
        found += [
            Candidate(f"window-{i}", "window", i, window, sources[i])
            for i, window in ((i, window_ids(examined, i, rocks)) for i in sources)
            if len(window) > 1
        ]
    beside = (0 if ids else RANDOM) if wanted.random is None else wanted.random
    if beside:
        drawn = matched_types(examined, run, tuple(sources), beside, wanted.seed)
        found += [Candidate(f"random-{i}", "random", i, (i,), "random") for i in drawn]
    return joined((), found)


def joined(known: Sequence[Candidate], more: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """All of both, each key once, the first; one that bans the same ids as an earlier one refers to
    it.
    """
    found = {c.key: c for c in known}
    first = {c.ids: c.key for c in reversed(known) if not c.same_as}
    for candidate in more:
        if candidate.key not in found:
            key = first.setdefault(candidate.ids, candidate.key)
            found[candidate.key] = replace(candidate, same_as="" if key == candidate.key else key)
    return tuple(found.values())


def _by_score(examined: Examined, run: Run, count: int | None) -> dict[int, str]:
    """Id -> where it is from: the default rule's set, then the types that follow by score, those
    without one by Rock Score.
    """
    if count is not None and count < 1:
        raise BadCandidates(f"--count {count}", "It is the number of candidates", "Give 1 or more")
    tokens = examined.report.tokens
    special = set(run.vocab.token_id[run.vocab.special])
    rest = tokens[~tokens.in_set & ~tokens.token_id.isin(special)]
    found = dict.fromkeys(map(int, tokens.token_id[tokens.in_set][:count]), "set")
    count = COUNT if count is None else count
    found |= dict.fromkeys(map(int, rest.token_id[: max(0, count - len(found))]), "next")
    return found


def named_ids(run: Run, names: Sequence[str]) -> tuple[int, ...]:
    """The ids that are named, each once: a whole number is an id, a file a RockSet or a report,
    text in double quotes JSON, and all else the text of one token. Raises BadCandidates, or
    BadIntervention or BadRockSet for a file.
    """
    ids: dict[int, None] = {}
    for name in names:
        ids |= dict.fromkeys(_ids_of(run, name))
    return tuple(ids)


def _ids_of(run: Run, name: str) -> tuple[int, ...]:
    known = run.vocab.token_id
    if re.fullmatch(r"-?[0-9]{1,18}", name):
        if int(name) not in set(known):
            raise BadCandidates(
                f"The id {name} is outside the vocabulary of {run.path.name} "
                f"(0 to {int(known.max())})",
                "No token has it",
                "Give an id that is there; a token that reads so is written with quotes: '\"7\"'",
            )
        return (int(name),)
    if name.endswith(".json") or os.sep in name and Path(name).is_file():
        return _ids_of_file(run, Path(name))
    text = name
    if len(name) > 1 and name[0] == name[-1] == '"':
        try:
            text = str(json.loads(name))
        except ValueError:
            text = name
    return (_id_of_text(run, text),)


def _ids_of_file(run: Run, file: Path) -> tuple[int, ...]:
    """Raises BadIntervention too: see interventions.check_set."""
    chosen = load_set(file)
    check_set(file, chosen, run.meta.tokenizer_hash, run.meta.vocab_size)
    return chosen.ids


def _id_of_text(run: Run, text: str) -> int:
    vocab = run.vocab
    ids = vocab.token_id[vocab.token == text].tolist()
    if len(ids) == 1:
        return int(ids[0])
    if ids:
        raise BadCandidates(
            f"{len(ids)} tokens read {visible(text)!r}: {', '.join(map(str, ids[:5]))}",
            "It is not clear which is meant",
            "Give the id",
        )
    core = text.strip().casefold()
    alike = vocab.token[vocab.token.str.strip().str.casefold() == core] if core else vocab.token[:0]
    near = ", ".join(repr(t) for t in alike[:5])
    raise BadCandidates(
        f"{visible(text)!r} is no single token of {run.path.name}",
        "A ban takes one id at a time out of the prediction",
        f"There is {near}" if near else "Give a token as rockcore rocks prints it, or its id",
    )


def spellings(vocab: pd.DataFrame) -> dict[int, tuple[int, ...]]:
    """Id -> all ids of its type, ascending: the same text after white space around it is dropped,
    whatever the case of its first letter. Special tokens and white space have no other spelling.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    ordinary = vocab[~vocab.special]
    for token_id, text in zip(ordinary.token_id, ordinary.token, strict=True):
        core = text.strip()
        if core:
            groups[core[0].lower() + core[1:]].append(int(token_id))
    return {i: tuple(sorted(group)) for group in groups.values() for i in group}


def window_ids(examined: Examined, token_id: int, rocks: Sequence[int]) -> tuple[int, ...]:
    """The rock candidates of W(v) on the texts of a detection, v included, ascending: see
    interventions.bans.

    `rocks` are the Rock Tokens of the rule, or the tokens that were named. With all types that
    follow in rank a window would hold commas and digits, and its ban would cost whole answers (80
    points on the built-in pair), whatever v is.
    """
    texts = Batch.of(examined.material.last)
    return bans(Window(token_id, texts, tuple(rocks), examined.tau[1]))


def matched_types(
    examined: Examined, run: Run, pool: Sequence[int], n: int, seed: int
) -> tuple[int, ...]:
    """Types that are no candidates and no Rock Tokens, n at most: each is the one nearest in log
    frequency, of those left, to a candidate drawn at random. Special tokens are left out.
    """
    tokens = examined.report.tokens
    special = set(run.vocab.token_id[run.vocab.special])
    frequency = tokens.set_index("token_id").frequency
    rocks = tokens.token_id[tokens.in_set]
    free = frequency[~frequency.index.isin([*pool, *special, *rocks])].astype(float)
    ours = frequency.reindex(list(pool)).dropna().to_numpy(float)
    rng, drawn = np.random.default_rng(seed), []
    for wanted in rng.permutation(ours)[:n]:
        if not len(free):
            break
        chosen = free.index[np.argmin(np.abs(np.log(free.to_numpy() / wanted)))]
        drawn.append(int(chosen))
        free = free.drop(chosen)
    return tuple(drawn)
