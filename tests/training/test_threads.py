"""The choice of threads is measured once, kept, and never stands in the way."""

import json

import pytest
import torch

from rockcore.training import threads


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    before = torch.get_num_threads()
    torch.set_num_threads(2)  # there is a choice, whatever the machine and the other tests have
    yield tmp_path / "rock-token-explorer" / "threads.json"
    torch.set_num_threads(before)


def test_a_choice_is_remembered_for_its_shape_and_used_without_measuring(own_cache):
    calls = []
    first = threads.choose_threads(lambda: calls.append(torch.get_num_threads()), "32 rollouts")
    measured = len(calls)
    assert measured > 0 and set(json.loads(own_cache.read_text()).values()) == {first}
    torch.set_num_threads(max(calls))
    assert (
        threads.choose_threads(lambda: calls.append(0), "32 rollouts")
        == first
        == torch.get_num_threads()
    )
    assert len(calls) == measured
    threads.choose_threads(lambda: calls.append(0), "8 rollouts")
    assert len(calls) > measured


@pytest.mark.parametrize("content", ["not json", '{"a": "b"}', "[]"])
def test_a_spoiled_memory_is_measured_anew(own_cache, content):
    own_cache.parent.mkdir(parents=True)
    own_cache.write_text(content)
    assert threads.choose_threads(lambda: None, "x") >= 1


def test_a_cache_that_cannot_be_written_does_no_harm(own_cache):
    own_cache.parent.write_text("in the way")
    assert threads.choose_threads(lambda: None, "x") >= 1
