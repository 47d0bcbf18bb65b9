"""Files as the paper's authors' scripts write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch


def records(lengths: tuple[int, ...], seed: int = 0, vocab: int = 151_000) -> list[dict[str, Any]]:
    """One record a token, texts of these lengths one after another."""
    rng = np.random.default_rng(seed)
    found: list[dict[str, Any]] = []
    for sample, length in enumerate(lengths):
        kl = np.random.default_rng([seed, sample]).exponential(0.1, length).astype("f4").tolist()
        ids = np.random.default_rng(sample).integers(0, vocab, length).tolist()
        line = at = 0
        for place, token in enumerate(ids):
            ends = bool(rng.random() < 0.1)
            found.append(
                {
                    "sample_idx": sample,
                    "token_id": token,
                    "kl": kl[place],
                    "abs_position": place,
                    "rel_position": place / max(length - 1, 1),
                    "line_index": line,
                    "position_in_line": at,
                    "is_line_start": at == 0,
                    "is_newline": ends,
                    "seq_len": length,
                }
            )
            line, at = (line + 1, 0) if ends else (line, at + 1)
    return found


def save_occurrences(file: Path, found: list[Any], vocab: int = 1000, **how: Any) -> Path:
    frequencies = torch.zeros(vocab, dtype=torch.long)
    frequencies[0] = len(found)
    whole = {
        "student_id": "RockToken/student",
        "student_key": "onpolicy",
        "teacher_id": "Qwen/teacher",
        "vocab_size": vocab,
        "token_ids": torch.arange(vocab),
        "frequencies": frequencies,
        "cumulative_kl": torch.zeros(vocab, dtype=torch.float64),
        "average_kl": torch.zeros(vocab, dtype=torch.float64),
        "occurrences": found,
    }
    torch.save(whole, file, **how)
    return file


def trace(lengths: int = 4, same: bool = False) -> dict[str, Any]:
    rng = np.random.default_rng(lengths)
    student, teacher = -rng.exponential(size=(2, lengths))
    if same:
        teacher = student
    tokens = [
        {
            "idx": i,
            "token_id": 100 + i,
            "token_text": f" w{i}",
            "student_logprob": s,
            "teacher_logprob": t,
            "logprob_gap": t - s,
            "token_loss": -s,
            "is_candidate": False,
            "is_selected": False,
            "notes": None,
        }
        for i, (s, t) in enumerate(zip(student.tolist(), teacher.tolist(), strict=True))
    ]
    method = {
        "method_name": "original_opd",
        "prompt": "Add.",
        "prompt_text": "Add.",
        "response_text": "".join(t["token_text"] for t in tokens),
        "response_token_ids": [t["token_id"] for t in tokens],
        "tokens": tokens,
    }
    return {
        "prompt": "Add.",
        "created_at": 0.0,
        "original_response_text": method["response_text"],
        "baseline": method,
        "local_opd": {**method, "method_name": "local_opd"},
        "meta": {"schema_version": 3, "student_model": "s", "teacher_model": "t", "dtype": "bf16"},
    }
