"""The text that a token of a raw vocabulary stands for."""

from __future__ import annotations

import re


def _byte_alphabet() -> dict[str, int]:
    """The printable character that byte-level BPE writes for each byte (GPT-2's table)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    return {**{chr(b): b for b in printable}, **{chr(256 + i): b for i, b in enumerate(others)}}


BYTES = _byte_alphabet()
_RAW_SPACE = re.compile(r".*[ĠĊ].*|[ĉč]{2,}", re.S)  # a space, a line break, an indent of tabs
_FALLBACK = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_END_OF_WORD = "</w>"  # GPT-1, CLIP
_GOES_ON = re.compile(r"##(?=\w)")  # WordPiece; ## alone is a heading


def text_of_piece(token: str) -> str:
    r"""The text a raw vocabulary string stands for (`Ġthe`, `▁the`, `the</w>`, `##ing`, `<0x0A>`,
    `âĢĶ`); decoded text comes back as it is.

    A byte that is no text by itself is written \xNN. A token alone does not always tell which of
    the two it is. Decoded text is misread where it holds ▁, ends in </w> or begins with ## and a
    letter, holds Ġ or Ċ with no space before (Maltese capitals), or is mojibake such as Ã©. Raw
    strings stay as they are where they are good text too: ĉ and č (tab, carriage return), and
    single bytes like ± or ». Who knows which vocabulary it is, and wants these too, uses
    `log.vocabulary.piece_text`.
    """
    if token.endswith(_END_OF_WORD):
        return token[: -len(_END_OF_WORD)] + " "
    if _GOES_ON.match(token):
        return token[2:]
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
