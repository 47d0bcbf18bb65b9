"""The functions that write a token, without Python and with it."""

import warnings

import pytest
import torch
from test_llama import llama
from torch.jit import ScriptFunction

from rockcore.training import decoding
from rockcore.training.llama import FastLlama
from rockcore.training.sampling import greedy, inverse_cdf

PROMPTS = [list(range(3, 4 + n % 7)) for n in range(23)]


def written(monkeypatch, net, temperature, plain, prompts=PROMPTS):
    """The ids, and the logits that each was drawn from."""
    seen = []
    with monkeypatch.context() as patch:
        if plain:
            patch.setattr(decoding, "scripted", lambda function: function)
        B = len(prompts)
        pick = inverse_cdf(B, 25, temperature, seed=1) if temperature else greedy

        def watched(logits_BV, rows_B, t):
            seen.append((rows_B, logits_BV))
            return pick(logits_BV, rows_B, t)

        stops = frozenset(range(0, 97, 9))
        ids = FastLlama(net).sample(prompts, net.lm_head.weight, watched, stops, 25)
    return ids, seen


@pytest.mark.parametrize("temperature", [0, 0.7, 1.0])
@pytest.mark.parametrize("kv_heads, tied, prompts", [(4, True, 23), (2, False, 23), (1, True, 1)])
def test_what_is_written_without_python_is_the_same_to_the_bit(
    monkeypatch, kv_heads, tied, prompts, temperature
):
    net, of = llama(kv_heads, tied), PROMPTS[:prompts]
    assert isinstance(decoding.scripted(decoding.decode), ScriptFunction)
    ids, seen = written(monkeypatch, net, temperature, plain=False, prompts=of)
    plain_ids, plain_seen = written(monkeypatch, net, temperature, plain=True, prompts=of)
    assert ids == plain_ids and len(seen) == len(plain_seen)
    for (rows, logits), (plain_rows, plain_logits) in zip(seen, plain_seen, strict=True):
        assert torch.equal(rows, plain_rows) and torch.equal(logits, plain_logits)


def test_where_nothing_can_be_compiled_the_functions_run_as_they_are():
    exec_made: dict = {}
    exec("def made(x): return x", exec_made)  # has no source that torch could read
    assert decoding.scripted(exec_made["made"]) is exec_made["made"]


def test_compiling_tells_nobody_that_it_is_deprecated():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled = decoding._scripted.__wrapped__(decoding.ended)
    assert isinstance(compiled, ScriptFunction)
