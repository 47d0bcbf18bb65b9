"""Dumps of trainers of slime's family, as their writers make them: texts of unequal lengths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

# how long prompts and responses are: none alike, one response of a single token
LENGTHS = ((3, 5), (7, 2), (1, 9), (4, 1), (2, 6))


def drawn(seed: int = 0, same: bool = False) -> list[dict[str, Any]]:
    """What happened in one rollout: ids, and log probabilities of everyone at the response.

    With `same`, the student is the teacher.
    """
    rng = np.random.default_rng(seed)
    texts = []
    for index, (prompt, length) in enumerate(LENGTHS):
        teacher, trainer, sampler, reference = -rng.exponential(size=(4, length)).astype("f4")
        if same:
            trainer = sampler = teacher
        texts.append(
            {
                "index": index,
                "tokens": rng.integers(0, 99, prompt + length).tolist(),
                "length": length,
                "teacher": teacher,
                "trainer": trainer,
                "sampler": sampler,
                "reference": reference,
                "entropy": rng.exponential(size=length).astype("f4"),
                "mask": (rng.random(length) < 0.7).astype("i4"),
                "prompt": f"question {index}",
            }
        )
    return texts


def trained_sample(text: dict[str, Any], of: str = "trainer") -> dict[str, Any]:
    """A sample of slime's train_data; `of`: whose log probabilities its loss took."""
    tensor = torch.tensor
    return {
        "data_parallel_rank": 0,
        "sample_index": text["index"],
        "rollout_position": text["index"],
        "tokens": tensor(text["tokens"]),
        "response_lengths": text["length"],
        "total_lengths": len(text["tokens"]),
        "loss_masks": tensor(text["mask"]),
        "rewards": 0.5,
        "truncated": 0,
        "rollout_log_probs": tensor(text["sampler"]),
        "teacher_log_probs": tensor(text["teacher"]),
        "log_probs": tensor(text["trainer"]),
        "ref_log_probs": tensor(text["reference"]),
        "kl": tensor(text["trainer"] - text["reference"]),
        "advantages": tensor(0.5 - (text[of] - text["teacher"])),
        "entropy": tensor(text["entropy"]),
        "opd_reverse_kl": tensor(text[of] - text["teacher"]),
    }


def sampled_sample(text: dict[str, Any]) -> dict[str, Any]:
    """A sample of rollout_data."""
    return {
        "group_index": 0,
        "index": text["index"],
        "prompt": text["prompt"],
        "tokens": text["tokens"],
        "response": f"answer {text['index']}",
        "response_length": text["length"],
        "label": "42",
        "reward": 1.0,
        "loss_mask": text["mask"].tolist(),
        "rollout_log_probs": text["sampler"].tolist(),
        "teacher_log_probs": text["teacher"].tolist(),
        "status": "completed" if text["index"] else "truncated",
        "metadata": {},
        "spec_info": {"completion_token_num": 0},
    }


def save(value: Any, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(value, file)
    return file


def save_trained(folder: Path, rollout: int, samples: list[Any], **more: Any) -> Path:
    """train_data of slime."""
    whole = {"format_version": 2, "rollout_id": rollout, "rank": 0, "samples": samples}
    layout = {"dp_shards": [{"rank": 0}], "raw_reward": [1.0] * len(samples)}
    return save(whole | layout | more, folder / "train_data" / f"{rollout}.pt")


def save_sampled(folder: Path, rollout: int, samples: list[Any], **more: Any) -> Path:
    """rollout_data; of miles with `metadata`."""
    whole = {"rollout_id": rollout, **more, "samples": samples}
    return save(whole, folder / "rollout_data" / f"{rollout}.pt")


def part(values: np.ndarray, text: dict[str, Any], rank: int, size: int) -> np.ndarray:
    """The slices that a rank holds of the values of a response, by brute force: tokens are dealt
    out in 2 * size chunks, and the value of a token lies where it is predicted.
    """
    if size == 1:
        return values
    total = len(text["tokens"])
    chunk = (total + 2 * size - 1) // (2 * size)
    mine = [i for c in (rank, 2 * size - 1 - rank) for i in range(c * chunk, (c + 1) * chunk)]
    start = total - text["length"]
    return np.array([values[i + 1 - start] for i in mine if start <= i + 1 < total], "f4")


def save_ranks(
    folder: Path, rollout: int, texts: list[Any], size: int = 1, only: tuple[int, ...] = ()
) -> list[Path]:
    """train_data of miles: two data parallel groups, each of `size` context parallel ranks."""
    files = []
    for group in range(2):
        mine = texts[group::2]
        for rank in range(size):
            columns = {
                "sample_indices": [t["index"] for t in mine],
                "tokens": [torch.tensor(t["tokens"]) for t in mine],
                "response_lengths": [t["length"] for t in mine],
                "total_lengths": [len(t["tokens"]) for t in mine],
                "loss_masks": [torch.tensor(t["mask"]) for t in mine],
                "raw_reward": [1.0] * len(texts),
                "log_probs": [torch.tensor(part(t["trainer"], t, rank, size)) for t in mine],
                "rollout_log_probs": [
                    torch.tensor(part(t["sampler"], t, rank, size)) for t in mine
                ],
                "entropy": [torch.tensor(part(t["entropy"], t, rank, size)) for t in mine],
                "opd_reverse_kl": [
                    torch.tensor(part(t["trainer"] - t["teacher"], t, rank, size)) for t in mine
                ],
                "teacher_log_probs": [
                    torch.tensor(part(t["teacher"], t, rank, size)) for t in mine
                ],
            }
            if only and group * size + rank not in only:
                continue
            value = {"rollout_id": rollout, "rank": group * size + rank, "rollout_data": columns}
            value |= {"cp_rank": rank, "cp_size": size, "qkv_format": "thd"}
            files.append(save(value, folder / "train_data" / f"{rollout}_{group * size + rank}.pt"))
    return files
