"""Whether a tokenizer cuts texts as its own file says: some classes of transformers build it anew
by rules of their family, and the model was trained with what the file has.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import Tokenizer

_TEXTS = (
    "So, 12 + 30 = 42.\n\nIt's 1,000.5 – naïve café\n",
    "  def f(x_1):\n\treturn [x_1, {'a': 2**7}]\n\n\n",
    "中文 日本語 😀 \\boxed{\\frac{1}{2}} $x^2$",
)
_SHOWN = 3


class Difference(NamedTuple):
    """Where two encodings of one text part: some tokens from there on."""

    read: list[str]
    meant: list[str]


def difference(tokenizer: Any, file: Path) -> Difference | None:
    """The first place where the tokenizer encodes otherwise than `file`, its tokenizer.json, read
    by the library that wrote it. Raises what tokenizers raises.
    """
    own = Tokenizer.from_file(str(file))
    own.no_truncation()
    own.no_padding()
    for text in _TEXTS:
        meant = own.encode(text, add_special_tokens=False)
        read = tokenizer(text, add_special_tokens=False)["input_ids"]
        if meant.ids != read:
            pairs = enumerate(zip(meant.ids, read, strict=False))
            at = next((i for i, pair in pairs if pair[0] != pair[1]), 0)
            end = at + _SHOWN
            return Difference(tokenizer.convert_ids_to_tokens(read[at:end]), meant.tokens[at:end])
    return None
