r"""What kind of token a token is: an ordered table of rules over its text and its place. The first
rule that fits decides.

A category describes text and place alone; it knows nothing of losses, so that it can be set against
them. A user's rules come from a TOML file: `builtin = false` at its top leaves out the built-in
ones, and each rule is a table

    [[rule]]
    category = "name"
    pattern = '\s?(Tom|Ana)'  # a Python regular expression that has to match the whole token
    meaning = "who the task speaks of"  # optional
    sentence_start = false  # optional; true: only where the token opens a sentence

A token *type* has no place of its own. Where the share of its occurrences that open a sentence is
known, judge the type with `sentence_start = share >= 0.5`; where it is not, as if it always opened
one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rockcore.schema import RockError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]


class BadRules(RockError, ValueError):
    """A file of rules that is not what was asked for."""


class Rule(NamedTuple):
    category: str
    pattern: re.Pattern[str]  # must match the whole token, as `text_of_piece` writes it
    meaning: str
    sentence_start: bool = False  # only where the token opens a sentence


_DISCOURSE = (
    "So|Let|Lets|We|But|Now|Wait|Then|Since|This|Thus|Hence|Therefore|Next|First|Second|Finally|Final|Okay|OK|Hmm|Well|"
    "However|Also|If|Because|Alternatively|Actually|Note|Given|Suppose|Recall|Similarly|And|Or|Good|In|To|Step"
)
# how a command looks where the tokenizer cuts its backslash off; no word that English has too, but
# for `boxed`
_COMMANDS = "[dt]?frac|sqrt|boxed|c?dots?|ldots|cdots|leq|geq|neq|infty|math(bb|bf|cal|rm)"
# all that is punctuation. A list of what is not (emoji, control characters, vowel signs, ...) would
# never end
_SIGNS = (
    r"!-/:-@\[\]^-`{-~¡-©«¬®-±´¶-¸»¿\u060c\u061b\u061f\u0964\u0965\u2010-\u2027\u2030-\u205e\u20a0-\u20cf"
    r"\u3001-\u3003\u3008-\u301f\ufe30-\ufe4f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
)

RULES: tuple[Rule, ...] = (
    Rule("whitespace", re.compile(r"\s+"), "line breaks, blank lines and spaces"),
    Rule("digit", re.compile(r" ?\d+"), "digits and numbers"),
    # above 0x7f only: a lower byte is a character. \xi and \xrightarrow are commands, \xe2 is not
    Rule(
        "content",
        re.compile(r".*\\x[89a-f][0-9a-f].*", re.S),
        "bytes that are no text by themselves",
    ),
    Rule(
        "latex",
        re.compile(
            rf"\s*(\\.*|[\W_]*[$\\^][\W_]*|([{{}}&]|_(?!_))+|.*\\[a-zA-Z].*|(?<!\s)({_COMMANDS}))\s*",
            re.S,
        ),
        "LaTeX: delimiters, commands, braces",
    ),
    Rule(
        "markdown",
        re.compile(r"\s*([:.,!?()]*(\*\*+|__+)[:.,!?()]*|#+|-{3,}|`+|(?<! )>)\s*"),
        "markdown: bold, headings, rules, code",
    ),
    Rule(
        "operator",
        re.compile(r"\s*[-+*/=<>×÷±\u2190-\u22ff]+\s*"),
        "arithmetic operators, relations and arrows",
    ),
    Rule(
        "discourse",
        re.compile(rf"\s*({_DISCOURSE})"),
        "words that open or turn a step of reasoning: So, Wait, Then",
        True,
    ),
    Rule("punctuation", re.compile(rf"\s*[{_SIGNS}]+\s*"), "punctuation and brackets"),
    Rule("content", re.compile(r".*", re.S), "everything else: words, names, fragments"),
)
SPECIAL = "special"


def categories_of(rules: Iterable[Rule]) -> tuple[str, ...]:
    """The categories that tokens can have under `rules`: each once, by their first rule, `special`
    last.
    """
    return (*dict.fromkeys(rule.category for rule in rules), SPECIAL)


CATEGORIES = categories_of(RULES)


def _byte_alphabet() -> dict[str, int]:
    """The printable character that byte-level BPE writes for each byte (GPT-2's table)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    return {**{chr(b): b for b in printable}, **{chr(256 + i): b for i, b in enumerate(others)}}


BYTES = _byte_alphabet()
_RAW_SPACE = re.compile(r".*[ĠĊ].*|[ĉč]{2,}", re.S)  # a space, a line break, an indent of tabs
_FALLBACK = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def text_of_piece(token: str) -> str:
    r"""The text a raw vocabulary string stands for (`Ġthe`, `▁the`, `<0x0A>`, `âĢĶ`); decoded text
    comes back as it is.

    A byte that is no text by itself is written \xNN. A token alone does not always tell which of
    the two it is. Decoded text is misread where it holds ▁, or Ġ or Ċ with no space before (Maltese
    capitals), or is mojibake such as Ã©. Raw strings stay as they are where they are good text too:
    ĉ and č (tab, carriage return), and single bytes like ± or ». Who knows which vocabulary it is,
    and wants these too, uses `training.vocabulary.piece_text`.
    """
    if token.isascii():
        byte = _FALLBACK.fullmatch(token)
        return bytes.fromhex(byte[1]).decode("utf-8", errors="backslashreplace") if byte else token
    if "▁" in token:
        return token.replace("▁", " ")
    raw = [BYTES.get(c, -1) for c in token]
    if -1 in raw:
        return token
    text = bytes(raw).decode("utf-8", errors="backslashreplace")
    # Ā to ġ would be control characters, but Čapek is a name
    whole = min(raw) > 0x20 and 0x7F not in raw and "\\x" not in text
    return text if whole or _RAW_SPACE.fullmatch(token) else token


def categorize(
    token: str, special: bool = False, sentence_start: bool = True, rules: Sequence[Rule] = RULES
) -> str:
    """The category of one token; `special` if the tokenizer calls it so, that of the last rule if
    no rule fits.
    """
    if special:
        return SPECIAL
    text = text_of_piece(token)
    for rule in rules:
        if rule.pattern.fullmatch(text) and (sentence_start or not rule.sentence_start):
            return rule.category
    return rules[-1].category


def categorize_all(
    tokens: Iterable[str],
    special: Iterable[bool],
    sentence_start: Iterable[bool] | None = None,
    rules: Sequence[Rule] = RULES,
) -> list[str]:
    """The category of each token; without `sentence_start`, each is judged as if it opened a
    sentence.

    Raises ValueError if the three differ in length.
    """
    tokens = list(tokens)
    keys = list(
        zip(
            tokens,
            special,
            [True] * len(tokens) if sentence_start is None else sentence_start,
            strict=True,
        )
    )
    known = {key: categorize(*key, rules) for key in set(keys)}
    return [known[key] for key in keys]


# what may stand between a full stop and the next word, on either side of a token's edge: it leaves
# open what came before. $ and \ are here for "$x = 3.$ So" and "\]": that a formula opens a
# sentence hurts nothing, for x is no discourse marker
_AROUND = r"""[\s*_#>\-–—"'“”‘’„«»「」『』()\[\]{}（）【】$\\`~|•·]"""
_TAG = r"<[^<>\s]+>"  # <think>, <|im_start|>
_ENDS = re.compile(rf"[\n\r.!?:…。！？：｡؟।]{_AROUND}*\Z")
_BETWEEN = re.compile(rf"{_AROUND}*|{_TAG}")
_BREAKS = re.compile(rf"{_AROUND}*?[\n\r]")
PLAIN, ENDS, BETWEEN, BREAKS = range(4)


def sentence_marks(texts: Iterable[str]) -> np.ndarray:
    r"""What each text does to sentences, (V,) int8: PLAIN, ENDS one, stands BETWEEN, or BREAKS the
    line and goes on.

    A line break, or any of . ! ? : and their kin, ends a sentence where only brackets, quotes,
    markdown and math delimiters follow. A token of these alone, a tag, or an empty one is between.
    "\nBut" breaks: it opens a sentence by itself. A colon ends too: "Step 2: Now, …". So does every
    full stop, that of "3.5" and of "e.g." as well.
    """

    def mark(text: str) -> int:
        if _ENDS.search(text):
            return ENDS
        return BETWEEN if _BETWEEN.fullmatch(text) else BREAKS if _BREAKS.match(text) else PLAIN

    return np.array([mark(text_of_piece(text)) for text in texts], np.int8)


def sentence_starts_of(
    token_id_N: np.ndarray, starts_N: np.ndarray, marks_V: np.ndarray
) -> np.ndarray:
    """Whether each position opens a sentence, (N,) bool, for responses one after the other.

    `starts_N` (bool) marks each response's first token; `marks_V` is `sentence_marks` of the
    vocabulary. A position opens a sentence if it is first, or if what stands before it, BETWEEN
    left aside, ENDS one or is nothing.
    """
    marks_N = marks_V[token_id_N]
    before_N = np.full_like(marks_N, BETWEEN)
    before_N[1:] = marks_N[:-1]
    opens_N = starts_N | (before_N == ENDS)
    # the last position that settles the matter, and in the lowest bit how: one running maximum
    # carries both
    settled_N = np.where(starts_N | (before_N != BETWEEN), 2 * np.arange(len(marks_N)) + opens_N, 1)
    return (np.maximum.accumulate(settled_N) & 1).astype(bool) | (marks_N == BREAKS)


def sentence_starts(tokens: Sequence[str]) -> np.ndarray:
    """Whether each token of one response opens a sentence, (T,) bool; see `sentence_starts_of`."""
    ids = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    token_id_T = np.array([ids[token] for token in tokens], np.int64)
    return sentence_starts_of(token_id_T, np.arange(len(tokens)) == 0, sentence_marks(ids))


_SHAPE = (
    'Write each rule as a table [[rule]] with at least category = "name" and pattern = '
    r"'\s?(Tom|Ana)', in single quotes"
)
_KEYS = {"category": str, "pattern": str, "meaning": str, "sentence_start": bool}


def load_rules(path: str | Path) -> tuple[Rule, ...]:
    """The rules of a TOML file, then the built-in ones, or with `builtin = false` only one that
    calls the rest content.

    Raises BadRules, which names the file, the first bad rule and what is wrong with it.
    """
    path = Path(path)
    table = _read(path)
    tables, builtin = table.pop("rule", []), table.pop("builtin", True)
    if table:
        raise BadRules(
            f"{path} has {', '.join(table)}",
            "At its top, only [[rule]] and builtin mean something",
            _SHAPE,
        )
    if not isinstance(builtin, bool):
        raise BadRules(
            f"{path}: builtin is {builtin!r}",
            "The built-in rules follow yours, or they do not",
            "Write true or false",
        )
    if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise BadRules(f"{path}: rule is no list of tables", "Rules have an order", _SHAPE)
    own = tuple(_rule(f"{path}, rule {number}", t) for number, t in enumerate(tables, 1))
    return own + (RULES if builtin else RULES[-1:])


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise BadRules(
            f"{path} does not exist", "Rules are read from a file", "Give the path of a TOML file"
        )
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as e:
        raise BadRules(
            f"{path} cannot be read ({str(e).splitlines()[0]})", "It is not valid TOML", _SHAPE
        ) from e


def _rule(where: str, table: dict[str, Any]) -> Rule:
    if unknown := [name for name in table if name not in _KEYS]:
        raise BadRules(
            f"{where} has {', '.join(unknown)}",
            f"Only {', '.join(_KEYS)} mean something there",
            "Correct or remove it",
        )
    for name in ("category", "pattern"):
        if name not in table:
            raise BadRules(
                f"{where} has no {name} (found: {', '.join(table)})",
                "A rule says which tokens are what",
                _SHAPE,
            )
    for name, value in table.items():
        if not isinstance(value, _KEYS[name]):
            raise BadRules(
                f"{where}: {name} is {value!r}",
                f"It has to be of type {_KEYS[name].__name__}",
                _SHAPE,
            )
    category = table["category"]
    if not category.strip():
        raise BadRules(
            f"{where}: category is {category!r}",
            "A category is shown by its name",
            "Give it a name",
        )
    if category == SPECIAL:
        raise BadRules(
            f"{where}: category is '{SPECIAL}'",
            "That is for what the tokenizer calls special",
            "Take another name",
        )
    try:
        pattern = re.compile(table["pattern"])
    except (re.error, OverflowError, RecursionError) as e:
        why = f"It is no regular expression of Python's re module: {e}"
        raise BadRules(
            f"{where} ({category}): pattern is {table['pattern']!r}", why, "Correct the pattern"
        ) from e
    return Rule(category, pattern, table.get("meaning", ""), table.get("sentence_start", False))
