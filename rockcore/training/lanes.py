"""Work on several cores at once, with the numbers of one.

An operation of a small model is too short to be shared among threads. So each thread, a lane, does
whole pieces of work by itself, and what they add up is added in the order of the pieces: how many
lanes there are changes no number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Piece = TypeVar("Piece")
Found = TypeVar("Found")
Wait = Callable[[], object]  # returns once all pieces before one's own are done


def side_by_side(
    work: Callable[[Piece, Wait], Found], pieces: Sequence[Piece], lanes: int
) -> list[Found]:
    """What `work` finds in each piece, `lanes` of them at a time. It is given, beside its piece,
    what it has to call before it touches what pieces share. Raises what the first piece raised that
    failed.
    """
    if lanes < 2 or len(pieces) < 2:
        return [work(piece, lambda: None) for piece in pieces]
    going: list[Future[Found]] = []
    with ThreadPoolExecutor(lanes) as pool:  # takes them in their order, so none waits for ever
        for piece in pieces:
            before = going[-1].result if going else lambda: None
            going.append(pool.submit(_in_turn, work, piece, before))
    return [one.result() for one in going]


def _in_turn(work: Callable[[Piece, Wait], Found], piece: Piece, before: Wait) -> Found:
    try:
        return work(piece, before)
    finally:
        before()
