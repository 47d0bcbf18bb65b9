"""The teacher reads texts that are judged again and again only once, and no number changes."""

from itertools import islice

import numpy as np
import pytest

from rockcore import world
from rockcore.log import sample_runs
from rockcore.training import loading, reread
from rockcore.training.clock import Clock
from rockcore.training.reread import Reread
from rockcore.training.rollouts import sample
from rockcore.training.scoring import Alternatives, groups_of, judge_texts


@pytest.fixture(scope="module")
def pair():
    folder = sample_runs() / "models"
    paths = str(folder / "student-mixed"), str(folder / "teacher")
    return loading.load_pair(*paths, "cpu", "float32")


@pytest.fixture(scope="module")
def texts(pair):
    student, teacher = pair
    return sample(student, teacher, list(islice(world.prompts("habit", 0), 24)), 60, 1.0, seed=1)


@pytest.fixture
def reads(pair, monkeypatch):
    """How many groups the teacher has read."""
    found, features = [], pair[1].features
    monkeypatch.setattr(pair[1], "features", lambda *a: found.append(1) or features(*a))
    return found


def scored(pair, texts, read=None):
    tops = Alternatives(sum(texts.lengths[:10]))
    student, teacher = pair
    found = judge_texts(student, teacher, texts, Clock(), watchers=[tops], read=read)
    return {**found.losses, **tops.arrays()}


def test_texts_that_were_read_once_are_judged_as_if_they_were_read_again(pair, texts, reads):
    plain, groups = scored(pair, texts), len(groups_of(texts, *pair))
    part, groups_of_part = scored(pair, texts[:7]), len(groups_of(texts[:7], *pair))
    reads.clear()
    read = Reread(pair[1], texts)
    for expected, judged in ((plain, texts), (part, texts[:7]), (plain, texts), (part, texts[:7])):
        for name, values in scored(pair, judged, read).items():
            np.testing.assert_array_equal(values, expected[name], err_msg=name)
    assert len(reads) == groups + groups_of_part


def test_what_is_kept_is_bounded_and_the_rest_is_read_again(pair, texts, reads, monkeypatch):
    plain, groups = scored(pair, texts), groups_of(texts, *pair)
    first = len(groups[0][1]) * pair[1].width * 4
    monkeypatch.setattr(reread, "KEPT", first)  # room for one group
    reads.clear()
    read = Reread(pair[1], texts)
    for _ in range(2):
        for name, values in scored(pair, texts, read).items():
            np.testing.assert_array_equal(values, plain[name], err_msg=name)
    assert len(reads) == 2 * len(groups) - 1
    assert reread.kept_bytes(pair[1], 10**9) == first
