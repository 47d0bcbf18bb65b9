"""Rebuild everything in this folder from a seed: the tokenizer, the teacher, the starting students,
the runs, the figures.

    python sample_runs/make.py              models and runs, about 35 minutes on two cores
    python sample_runs/make.py --only runs  the runs with their screens and figures, from the models
    python sample_runs/make.py --only arms  the comparisons of arms and their figures
    python sample_runs/make.py --only sweep whether a plateau is real (rate, seed, length)

1. A tokenizer is trained on the built-in world.
2. The teacher learns from correct solutions, half of them with a style note in the prompt
   (pre-training).
3. Each starting student learns from texts that the teacher sampled (off-policy distillation:
   forward KL and cross-entropy, half each), until it solves about half of the problems. From there
   on-policy distillation takes over.
"""

from __future__ import annotations

import copy
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

import figures
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
import tyro
from rich.progress import Progress, track
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rockcore import cli, schema, world
from rockcore.analysis.knockout_candidates import Wanted
from rockcore.config import TUNED, ScenarioName, SessionConfig
from rockcore.log import Run, RunWriter
from rockcore.log.files import table_files, write_table
from rockcore.log.writer import type_sums
from rockcore.tasks import epochs
from rockcore.training import evals, loading, screen
from rockcore.training.llama import FastLlama
from rockcore.training.models import Ids, Model
from rockcore.training.session import train

HERE = Path(__file__).parent
MODELS = HERE / "models"
SCREENED, KEPT_TEXTS = 25, 12  # candidates by score, and texts of each
ARMS = "baseline,rock-freeze,random-freeze,dynamic"
COMPARED: tuple[ScenarioName, ...] = ("habit",)  # a quarter of an hour on two cores
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ '<user>' if m.role == 'user' else '<assistant>' "
    "}}{{ m.content }}"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


@dataclass(frozen=True)
class Size:
    width: int
    layers: int
    inner: int


TEACHER, STUDENT = Size(128, 4, 352), Size(96, 2, 256)


@dataclass(frozen=True)
class Lesson:
    """A response, and what each model reads before it; a loss is taken on the response only."""

    student_prompt: Ids
    teacher_prompt: Ids
    response: Ids

    def __len__(self) -> int:
        return len(self.student_prompt) + len(self.response)


def build_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    texts = [f"{prompt}\n{text}" for prompt, text in islice(world.lessons(seed), 8000)]
    return PreTrainedTokenizerFast(
        tokenizer_object=world.train_tokenizer(texts),
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        additional_special_tokens=["<user>", "<assistant>"],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def build_model(size: Size, tokenizer: PreTrainedTokenizerFast, seed: int) -> Model:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.width,
        num_hidden_layers=size.layers,
        intermediate_size=size.inner,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        initializer_range=0.05,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    net = LlamaForCausalLM(config)
    return Model("new", net, tokenizer, frozenset({2}), FastLlama(net), projects=True)


def save(model: Model, name: str) -> None:
    """Keep the weights as float16, in half the space; they are read back, and trained, as float32.

    Rounded so, of 256 held-out problems each model answered all in the same way greedily, and 1 to
    4 in another way when sampled.
    """
    folder = MODELS / name
    copy.deepcopy(model.net).half().save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)


def batches(
    lessons: Iterator[Lesson], seed: int, size: int = 32, pool: int = 16
) -> Iterator[list[Lesson]]:
    """Batches of similar length, in random order: little padding, no curriculum."""
    rng = random.Random(seed)
    while True:
        block = sorted(islice(lessons, size * pool), key=len)
        cut = [block[i : i + size] for i in range(0, len(block), size)]
        rng.shuffle(cut)
        yield from cut


def adamw(model: Model, lr: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        model.net.parameters(), lr=lr, weight_decay=0.01, betas=(0.9, 0.98), fused=True
    )


def learn(
    model: Model,
    batch: list[Lesson],
    optimizer: torch.optim.Optimizer,
    teacher: Model | None = None,
) -> None:
    """One step on cross-entropy; with a teacher, on half cross-entropy and half forward KL."""
    responses = [b.response for b in batch]
    target_N = torch.tensor([token for r in responses for token in r])
    logp_NV = torch.log_softmax(
        model.logits(model.features([b.student_prompt for b in batch], responses)), -1
    )
    objective = F.nll_loss(logp_NV, target_N)
    if teacher is not None:
        with torch.no_grad():
            logq_NV = torch.log_softmax(
                teacher.logits(teacher.features([b.teacher_prompt for b in batch], responses)), -1
            )
        objective = 0.5 * objective + 0.5 * (logq_NV.exp() * (logq_NV - logp_NV)).sum(-1).mean()
    optimizer.zero_grad()
    objective.backward()
    torch.nn.utils.clip_grad_norm_(model.net.parameters(), 1.0)
    optimizer.step()


def make_teacher(seed: int, steps: int = 2900, lr: float = 2e-3) -> None:
    """Pre-train the teacher on about 10 million tokens. Arithmetic comes late in the decay of the
    rate: do not stop early.
    """
    tokenizer = build_tokenizer(seed)
    model = build_model(TEACHER, tokenizer, seed)
    texts = (
        (model.encode(p), tokenizer(text, add_special_tokens=False)["input_ids"] + [2])
        for p, text in world.lessons(seed + 100)
    )
    stream, optimizer = batches((Lesson(p, p, r) for p, r in texts), seed), adamw(model, lr)
    for step in track(range(steps), description="teacher"):
        for group in optimizer.param_groups:
            group["lr"] = lr * min(1.0, (step + 1) / 100) * max(0.02, 1 - step / steps)
        learn(model, next(stream), optimizer)
    save(model, "teacher")


def sampled_lessons(teacher: Model, noted: bool, n: int, seed: int) -> list[Lesson]:
    """Texts by the teacher in moods drawn at random; the student's prompt names the mood too, or
    does not.
    """
    rng, lessons = random.Random(f"stage one {seed}"), []
    for start in track(range(0, n, 250), description="texts for the student"):
        drawn = [(world.problem(rng).text, world.note(rng.choice(world.MOODS))) for _ in range(250)]
        read = [teacher.encode(note + text) for text, note in drawn]
        written = teacher.sample(read, figures.LONGEST, 1.0, seed=seed + start)
        own = read if noted else [teacher.encode(text) for text, _ in drawn]
        lessons += map(Lesson, own, read, written)
    return lessons


def make_student(
    name: str, noted: bool, target: float, seed: int, lr: float = 2e-3, at_most: int = 4000
) -> None:
    """Off-policy distillation until sampled accuracy on held-out problems reaches `target`."""
    teacher = loading.load(str(MODELS / "teacher"), "cpu", "float32")
    model = build_model(STUDENT, teacher.tokenizer, seed)
    lessons = sampled_lessons(teacher, noted, 6000, seed)
    held_out = list(islice(world.prompts("skill" if noted else "hidden", "stage one"), 256))
    optimizer = adamw(model, lr)
    stream = batches(epochs(lessons, random.Random(seed)), seed)
    with Progress() as progress:
        task = progress.add_task(name, total=at_most)
        for step in range(at_most):
            for group in optimizer.param_groups:
                group["lr"] = lr * min(1.0, (step + 1) / 50)
            learn(model, next(stream), optimizer, teacher)
            progress.advance(task)
            if (step + 1) % 50 == 0:
                found = evals.graded(model, held_out, figures.LONGEST, {"sampled": 1.0}, seed=0)
                accuracy = found["sampled"].right.mean()
                progress.update(task, description=f"{name}: sampled accuracy {accuracy:.2f}")
                if accuracy >= target:
                    break
    save(model, name)


def make_run(scenario: ScenarioName, seed: int) -> None:
    """One run of a scenario at its tuned settings, logged at every sixth of it, with a screen of
    its last student; the checkpoints, which the screen needs, are left out in the end.
    """
    out, every = HERE / scenario, -(-int(TUNED[scenario]["steps"]) // 6)
    shutil.rmtree(out, ignore_errors=True)
    with Progress() as progress:
        task = progress.add_task(scenario)
        train(
            SessionConfig(
                out=out,
                scenario=scenario,
                seed=seed,
                probes=16,
                final_probes=96,
                probe_every=every,
                log_every=every,
                gradients="full",
                gradient_texts=512,
            ),
            lambda p: progress.update(
                task, completed=p.step, total=p.steps, description=f"{scenario}: KL {p.kl:.3f}"
            ),
        )
    settings = screen.ScreenSettings(Wanted(count=SCREENED), kept_texts=KEPT_TEXTS)
    screen.run(out, settings, say=print)
    shutil.rmtree(out / "checkpoints")
    slim(out)


def make_arms(scenario: ScenarioName, processes: int) -> None:
    """Arms of a scenario, the same seeds for each, and what comparing them came to; the runs
    themselves are left out.
    """
    out = HERE / "arms" / scenario
    shutil.rmtree(out, ignore_errors=True)
    cli.main(
        ["arms", "--scenario", scenario, "--arms", ARMS, "--seeds", "5", "--out", str(out)]
        + ["--processes", str(processes)]
    )
    cli.main(["compare-arms", str(out)])
    for folder in ("runs", "scout"):
        shutil.rmtree(out / folder)


def slim(run: Path) -> None:
    """What these runs leave out of a log to stay small, and others have no need to.

    Floats keep 11 of their 24 significant bits, as many as float16 has. Of the summed gradients
    those of the first student's texts under itself stay, and those of the final texts under the
    first and the last student; of Adam's second moments the last ones.
    """
    for table, columns in (
        *((f"probe/{s}", schema.PROBE) for s in schema.PROBE_SETS),
        ("tokens", schema.TOKENS),
    ):
        for file in table_files(run, table):
            write_table(file, columns, rounded(pq.read_table(file)))
    for step in Run.open(run).steps():  # the sums by type are those of the tokens that are there
        tokens = pq.read_table(run / "tokens" / f"step={step:06d}.parquet")
        RunWriter.reopen(run).write("types", type_sums(step, columns_of(tokens)), step)
    (run / "gradients" / "first" / "texts.parquet").unlink()
    for table, kept in (
        ("gradients/first", slice(1, None)),
        ("gradients/final", slice(1, -1)),
        ("optimizer", slice(0, -1)),
    ):
        for file in table_files(run, table)[kept]:
            file.unlink()


def columns_of(table: pa.Table) -> dict[str, Any]:
    return {name: table[name].to_numpy() for name in table.column_names}


def rounded(table: pa.Table) -> dict[str, Any]:
    """The columns of a table, its float32 to 11 significant bits."""
    values = table.to_pydict()
    drop = np.uint32(24 - 11)
    for name in (n for n in table.column_names if table.schema.field(n).type == pa.float32()):
        bits = table[name].to_numpy().view(np.uint32) + (np.uint32(1) << (drop - np.uint32(1)))
        values[name] = (bits >> drop << drop).view(np.float32)
    return values


def main(
    only: Literal["all", "models", "runs", "arms", "sweep"] = "all",
    seed: int = 0,
    processes: int = 1,
) -> None:
    """Rebuild the sample models and runs."""
    if only in ("all", "models"):
        make_teacher(seed)
        make_student("student-mixed", noted=False, target=0.5, seed=seed + 1)
        make_student("student-styled", noted=True, target=0.35, seed=seed + 2)
    if only in ("all", "runs"):
        for scenario in get_args(ScenarioName):
            make_run(scenario, seed)
        figures.write_readme()
    if only in ("all", "arms"):
        for scenario in COMPARED:
            make_arms(scenario, processes)
        figures.write_readme()
    if only == "sweep":
        figures.sweep()
        figures.write_readme()


if __name__ == "__main__":
    tyro.cli(main)
