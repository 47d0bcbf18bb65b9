"""Tiny student–teacher pairs on disk, in Hugging Face format, for tests that need other models than
the built-in ones.
"""

import json
from itertools import islice
from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    DeepseekV3Config,
    DeepseekV3ForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    NemotronHConfig,
    NemotronHForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2MoeConfig,
    Qwen2MoeForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
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

# families whose files name or cut their weights in another way than the model in memory does
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
RENAMED = {
    "gpt-neox": (GPTNeoXConfig, GPTNeoXForCausalLM, {}),
    "mixtral": (MixtralConfig, MixtralForCausalLM, {"num_local_experts": 4}),
    "qwen2-moe": (
        Qwen2MoeConfig,
        Qwen2MoeForCausalLM,
        {**_EXPERTS, "shared_expert_intermediate_size": 16},
    ),
    "qwen3-moe": (Qwen3MoeConfig, Qwen3MoeForCausalLM, {**_EXPERTS, "head_dim": 8}),
    "deepseek-v3": (
        DeepseekV3Config,
        DeepseekV3ForCausalLM,
        {
            "num_key_value_heads": 4,
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 16,
            "n_group": 1,
            "topk_group": 1,
            "first_k_dense_replace": 1,
            "q_lora_rank": 16,
            "kv_lora_rank": 16,
            "qk_rope_head_dim": 8,
            "qk_nope_head_dim": 8,
            "v_head_dim": 8,
        },
    ),
    "nemotron-h": (
        NemotronHConfig,
        NemotronHForCausalLM,
        {
            "num_hidden_layers": 4,
            "hybrid_override_pattern": "M-*E",
            "mamba_num_heads": 4,
            "mamba_head_dim": 16,
            "ssm_state_size": 8,
            "n_groups": 2,
            "chunk_size": 16,
            "head_dim": 8,
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 16,
            "moe_shared_expert_intermediate_size": 16,
        },
    ),
    "gemma3": (Gemma3Config, Gemma3ForConditionalGeneration, {"head_dim": 8}),  # multimodal
}
# further families by the names that transformers has for them, with what each calls its sizes
_GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_inner": 48}
OTHERS: dict[str, dict] = {
    "gpt2": {**_GPT, "n_positions": 128},
    "gptj": {**_GPT, "n_positions": 128, "rotary_dim": 8},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32, "max_position_embeddings": 128},
    "bloom": {"n_layer": 2, "n_head": 4},
    "falcon": {"new_decoder_architecture": True, "num_kv_heads": 2},
    "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 2, "expansion_ratio": 2, "max_seq_len": 128},
    "phi": {},
    "phi3": {},
    "gemma": {"head_dim": 8},
    "gemma3_text": {"head_dim": 8, "sliding_window": 8},
    "qwen3": {"head_dim": 8},
    "mistral": {"sliding_window": 8},
    "olmo2": {},
    "cohere": {"logit_scale": 0.25},
    "granite": {"logits_scaling": 4.0, "embedding_multiplier": 2.0, "residual_multiplier": 0.5},
    "stablelm": {},
    "starcoder2": {},
    "smollm3": {},
    "glm": {"head_dim": 8},
    "mamba": {"state_size": 8, "expand": 2},
}
_EYES = {
    "vision_config": {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    },
    "mm_tokens_per_image": 1,
    "image_token_index": 290,
    "boi_token_index": 291,
    "eoi_token_index": 292,
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
    known = {**FAMILIES, **RENAMED}
    config_class, model_class, extra = known.get(family, (None, None, OTHERS.get(family)))
    torch.manual_seed(seed)
    sizes = {
        "vocab_size": vocab_size,
        "initializer_range": 0.3,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "bos_token_id": 1,
        **SIZES,
        **extra,
        **more,
    }
    if family == "gpt-neox":
        del sizes["num_key_value_heads"]
    if family in OTHERS:
        net = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **sizes))
        net.save_pretrained(folder)
        tokenizer(tokens or vocab_size).save_pretrained(folder)
        return str(folder)
    config = config_class(**({"text_config": sizes, **_EYES} if family == "gemma3" else sizes))
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
