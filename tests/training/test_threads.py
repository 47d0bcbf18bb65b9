"""The choice of threads is measured once, kept, and never stands in the way."""

import json

import pytest
import small_pairs
import torch

from rockcore.config import SessionConfig
from rockcore.tasks import Tasks
from rockcore.training import loading, threads


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


def test_a_number_of_threads_that_is_far_slower_is_tried_once(own_cache, monkeypatch):
    now, calls = [0.0], []

    def work() -> None:
        calls.append(torch.get_num_threads())
        now[0] += 1.0 if calls[-1] == 1 else 50.0

    monkeypatch.setattr(threads.time, "perf_counter", lambda: now[0])
    assert threads.choose_threads(work, "busy cores") == 1
    assert calls == [1, 1, 1, 1, 2]


def test_a_large_pair_is_tried_with_one_thread_too_on_a_few_tokens(
    own_cache, tmp_path, monkeypatch
):
    paths = [small_pairs.save(tmp_path / r, "qwen2", i) for i, r in enumerate("st")]
    student, teacher = loading.load_pair(*paths, "cpu", "float32")
    monkeypatch.setattr(threads, "SMALL", 0)
    tried, sample = [], student.sample

    def watched(prompts, new_tokens, *how, **more):
        assert len(prompts) == 2 and max(map(len, prompts)) <= 32 and new_tokens == 4
        tried.append(torch.get_num_threads())
        return sample(prompts, new_tokens, *how, **more)

    monkeypatch.setattr(student, "sample", watched)
    config = SessionConfig(
        student=paths[0],
        teacher=paths[1],
        prompts=small_pairs.prompts_file(tmp_path / "p.jsonl"),
    ).resolved()
    chosen = threads.threads_for(config, Tasks.of(config), student, teacher)
    assert set(tried) == {1, 2} and chosen == torch.get_num_threads()
    assert all(p.grad is None for p in student.net.parameters())
