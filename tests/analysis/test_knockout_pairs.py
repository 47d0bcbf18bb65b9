"""A rollout with a token and without it: they part where it first stands, and every position is
told by what the other side has.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rockcore.analysis.knockout_pairs import ROLES, beside, readings_of, shared_start, text_of
from rockcore.log import Run

LEFT_OUT, INSTEAD, ALONE, SAME = range(len(ROLES))
IDS = st.lists(st.integers(0, 4), max_size=24)


@given(IDS, IDS, IDS, st.integers(0, 4))
def test_texts_are_equal_up_to_where_they_part_and_every_mark_is_true(start, a, b, banned) -> None:
    """`start` is shared; the coupled rollouts differ from the first banned token on."""
    ids_a = np.array([*[t for t in start if t != banned], banned, *a])
    ids_b = np.array([*[t for t in start if t != banned], *[t for t in b if t != banned]], int)
    found = beside(ids_a, ids_b, [banned])
    parts_at = found.parts_at
    assert parts_at is not None
    assert parts_at == list(ids_a).index(banned) == shared_start(ids_a, ids_b)
    assert (np.diff(found.aligned.a) > 0).all() and (np.diff(found.aligned.b) > 0).all()
    assert (ids_a[found.aligned.a] == ids_b[found.aligned.b]).all()
    assert found.aligned.a[:parts_at].tolist() == list(range(parts_at))
    assert (
        np.flatnonzero(found.marks_a == LEFT_OUT).tolist()
        == np.flatnonzero(ids_a == banned).tolist()
    )
    assert np.flatnonzero(found.marks_b == INSTEAD).tolist() == (
        [parts_at] if parts_at < len(ids_b) else []
    )
    alone = set(range(len(ids_b))) - set(found.aligned.b.tolist()) - {parts_at}
    assert set(np.flatnonzero(found.marks_b == ALONE).tolist()) == alone


@given(IDS)
def test_equal_texts_never_part(ids) -> None:
    found = beside(np.array(ids, int), np.array(ids, int), [9])
    assert found.parts_at is None and (found.marks_a == SAME).all()
    assert (found.marks_b == SAME).all()


def test_a_text_of_ids_is_spelled_and_an_id_beyond_the_vocabulary_is_named(tiny_run) -> None:
    run = Run.open(tiny_run())
    found = text_of(run, [7, 8, 9_999], "How many?")
    assert found.tokens == ["So", " Let", "id 9999"] and found.prompt == "How many?"
    assert len(found.categories) == 3 and found.curves is None and found.teacher is None
    assert readings_of([7, 8]).signals == {}
    assert text_of(run, [], "").tokens == []
