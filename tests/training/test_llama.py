"""The fast Llama path against transformers' own implementation."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from rockcore.training.llama import FastLlama, fits
from rockcore.training.sampling import greedy, inverse_cdf


def llama(kv_heads: int = 4, tied: bool = True, **more) -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {
        "vocab_size": 97,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    config = LlamaConfig(
        **{
            **sizes,
            "num_key_value_heads": kv_heads,
            "tie_word_embeddings": tied,
            "initializer_range": 0.2,
            **more,
        }
    )
    return LlamaForCausalLM(config).eval()


PROMPTS = [[5, 6, 7], [8, 9, 10, 11, 12, 13], [14]]


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@pytest.mark.parametrize("tied", [True, False])
def test_hidden_states_and_gradients_equal_those_of_transformers(kv_heads, tied):
    net = llama(kv_heads, tied)
    ids = torch.randint(0, 97, (3, 9))
    at = torch.tensor([0, 3, 8, 9, 14, 26])
    want = net.model(ids).last_hidden_state.flatten(0, 1)[at]
    got = FastLlama(net).hidden(ids, at)
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
    gradients = [
        torch.autograd.grad(h.square().sum(), list(net.model.parameters())) for h in (got, want)
    ]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("kv_heads", [4, 2])
def test_greedy_sampling_equals_generate_for_prompts_of_unequal_length(kv_heads):
    net = llama(kv_heads)
    responses = FastLlama(net).sample(PROMPTS, net.lm_head.weight, greedy, frozenset({2}), 20)
    for prompt, response in zip(PROMPTS, responses, strict=True):
        ids = torch.tensor([prompt])
        want = net.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=20,
            eos_token_id=2,
            pad_token_id=0,
        )
        assert response == want[0, len(prompt) :].tolist()


def test_what_a_row_says_does_not_depend_on_its_neighbours():
    """Also when rows around it end early and the batch is narrowed."""
    net = llama()
    fast, stops = (
        FastLlama(net),
        frozenset(range(0, 97, 4)),
    )  # about a quarter of all tokens end a response
    prompts = [[i] for i in range(1, 33)]
    together = fast.sample(prompts, net.lm_head.weight, inverse_cdf(32, 30, 1.0, seed=3), stops, 30)
    assert len({len(r) for r in together}) > 3
    uniform = inverse_cdf(32, 30, 1.0, seed=3)
    for i in (0, 13, 31):
        alone = fast.sample(
            [prompts[i]],
            net.lm_head.weight,
            lambda lg, rows, t, i=i: uniform(lg, rows + i, t),
            stops,
            30,
        )
        assert alone == [together[i]]


def test_inverse_cdf_sampling_has_the_frequencies_of_the_softmax():
    logits = torch.tensor([2.0, 0.0, -torch.inf, 1.0]).expand(20_000, 4)
    drawn = inverse_cdf(20_000, 1, 0.7, seed=0)(logits, torch.arange(20_000), 0)
    share = torch.bincount(drawn, minlength=4) / 20_000
    torch.testing.assert_close(share, torch.softmax(logits[0] / 0.7, -1), atol=0.015, rtol=0)
    assert share[2] == 0


def test_only_plain_llama_models_take_the_fast_path():
    assert fits(llama())
    assert not fits(llama(attention_bias=True))
    assert not fits(
        llama(rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0})
    )
    mistral = MistralConfig(
        vocab_size=97,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=4,
    )
    assert not fits(MistralForCausalLM(mistral))
