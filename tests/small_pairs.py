"""Tiny student–teacher pairs on disk, in Hugging Face format, for tests that need other models than
the built-in ones.
"""

import json
from itertools import islice
from pathlib import Path

import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from rockcore import world

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
FAMILIES = {
    "llama": (LlamaConfig, LlamaForCausalLM, {}),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM, {}),
    "gemma2": (Gemma2Config, Gemma2ForCausalLM, {"head_dim": 8, "final_logit_softcapping": 5.0}),
}


def tokenizer(vocab_size: int = 300) -> PreTrainedTokenizerFast:
    texts = [f"{p}\n{s}" for p, s in islice(world.lessons(0), 200)]
    return PreTrainedTokenizerFast(
        tokenizer_object=world.train_tokenizer(texts, vocab_size),
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
    )


def save(
    folder: Path,
    family: str = "llama",
    seed: int = 0,
    vocab_size: int = 300,
    tokens: int | None = None,
    **more,
) -> str:
    """Save a random model; `tokens` is the size of its tokenizer where that differs from what it
    predicts over.
    """
    config_class, model_class, extra = FAMILIES[family]
    torch.manual_seed(seed)
    config = config_class(
        vocab_size=vocab_size,
        initializer_range=0.3,
        eos_token_id=2,
        pad_token_id=0,
        bos_token_id=1,
        **{**SIZES, **extra, **more},
    )
    model_class(config).save_pretrained(folder)
    tokenizer(tokens or vocab_size).save_pretrained(folder)
    return str(folder)


def prompts_file(path: Path, n: int = 20, **columns) -> Path:
    rows = [
        {"prompt": p.prompt, "answer": p.answer, **columns}
        for p in islice(world.prompts("habit", 0), n)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path
