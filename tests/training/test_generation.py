"""Prompts are answered in groups: no answer depends on which of them are answered together."""

import pytest
import small_pairs
import torch
from hypothesis import given
from hypothesis import strategies as st

from rockcore.training import generation, loading
from rockcore.training.generation import together
from rockcore.training.models import Model

FAMILIES = {**small_pairs.FAMILIES, **small_pairs.RENAMED}


@given(
    st.lists(st.integers(1, 200), max_size=40),
    st.integers(1, 50),
    st.integers(1, 2000),
)
def test_groups_hold_every_row_once_are_alike_in_length_and_fit(lengths, new_tokens, most):
    groups = list(together(lengths, new_tokens, most))
    assert sorted(r for g in groups for r in g) == list(range(len(lengths)))
    for group in groups:
        longest, shortest = (f(lengths[r] for r in group) for f in (max, min))
        assert len(group) == 1 or len(group) * (longest + new_tokens) <= most
        assert longest <= 2 * (shortest + new_tokens) and group == sorted(group)


@pytest.fixture(scope="module", params=FAMILIES)
def model(request, tmp_path_factory) -> Model:
    folder = tmp_path_factory.mktemp(request.param)
    return loading.load(small_pairs.save(folder, request.param), "cpu", "float32")


def prompts() -> list[list[int]]:
    generator = torch.Generator().manual_seed(0)
    lengths = [3, 40, 9, 41, 4, 120, 38]
    return [torch.randint(3, 290, (n,), generator=generator).tolist() for n in lengths]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_what_is_written_does_not_depend_on_what_is_written_beside_it(
    model, temperature, monkeypatch
):
    monkeypatch.setattr(generation, "places", lambda net, half: 10**9)
    longest = model.sample(prompts(), 6, temperature, seed=0)
    monkeypatch.setattr(generation, "together", lambda n, *_: [[i] for i in range(len(n))])
    assert model.sample(prompts(), 6, temperature, seed=0) == longest
    monkeypatch.setattr(generation, "together", lambda n, *_: [list(range(len(n)))])
    assert model.sample(prompts(), 6, temperature, seed=0) == longest


def test_no_more_rows_are_answered_at_once_than_the_budget_has_room_for(model, monkeypatch):
    seen: list[int] = []
    room = 100 * generation.cache_bytes(model.net, model.half)
    monkeypatch.setattr(generation, "CPU_BYTES", room)
    writing = model.fast or model.net
    name = "sample" if model.fast else "generate"
    write = getattr(writing, name)

    def watched(*args, **kwargs):
        rows = args[0] if args else kwargs["input_ids"]
        seen.append(len(rows))
        assert len(rows) == 1 or len(rows) * (max(map(len, rows)) + 6) <= 100
        return write(*args, **kwargs)

    monkeypatch.setattr(writing, name, watched)
    model.sample(prompts(), 6, 0.0, seed=0)
    assert sum(seen) == 7 and max(seen) > 1 and len(seen) > 3


def test_a_row_ends_at_the_first_of_several_end_tokens(model, monkeypatch):
    monkeypatch.setattr(model, "stop_ids", frozenset())
    monkeypatch.setattr(model.net.generation_config, "eos_token_id", None)
    free = model.sample(prompts(), 12, 1.0, seed=1)
    ends = frozenset({free[0][2], free[-1][3]})
    monkeypatch.setattr(model, "stop_ids", ends)
    monkeypatch.setattr(model.net.generation_config, "eos_token_id", sorted(ends))
    first = [next((t for t, i in enumerate(row) if i in ends), 11) for row in free]
    assert len(set(first)) > 1
    assert model.sample(prompts(), 12, 1.0, seed=1) == [
        row[: t + 1] for row, t in zip(free, first, strict=True)
    ]


def test_the_bytes_of_a_token_are_those_of_the_models_cache(tmp_path):
    for family in small_pairs.FAMILIES:
        net = loading.load(small_pairs.save(tmp_path / family, family), "cpu", "float32").net
        cache = net(torch.arange(3, 8)[None], use_cache=True).past_key_values
        kept = sum(x.nbytes for layer in cache.layers for x in (layer.keys, layer.values))
        assert generation.cache_bytes(net, half=False) * 5 == kept
        assert generation.cache_bytes(net, half=True) * 10 == kept
