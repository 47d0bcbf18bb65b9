"""How fast a training step is, where its time goes, and what logging costs.

Logging is writing ("log"), numbers that only the log wants ("extra"), and the sums of gradients
over the starting student's 48 fixed texts ("sums": adding up and writing, divided by the steps
between two such sums in a run of default length). The 128 texts of the final student follow after
the last step: what the sums add to their scoring is told apart, and so is what --gradients full
costs a position.

    python tests/benchmarks/train_step.py [--steps 12] [--against-trl] [--json]

Two shapes: the built-in pair on the built-in world (32 rollouts, up to 150 tokens), and a random
pair of the same sizes with a vocabulary of 4,096 (8 rollouts of 64 tokens). With --against-trl the
same pair, prompts and lengths also go through TRL's DistillationTrainer, at the faster of one
thread and all. Every ratio is taken in this one run; medians over steps, CPU time beside the clock.
With OMP_NUM_THREADS=1 both sides have one core.

Where the CPU time of a step of the built-in pair goes (2,290 tokens, a core that gives 95 GFLOP/s
in matrix products of the models' own shapes): writing 0.13 s, judging and learning 0.26 s, the rest
0.01 s. Of the judging 55 to 61 % are matrix products, 17 to 19 % torch's attention, 6 to 8 %
products and sums by element. Of the writing 44 to 54 % are matrix products, those with keys and
values among them, 11 % copies. (`step_shares.py`: medians of an operation over all passes; two runs
on a busy machine.) While texts are written the second core has work only from the first whole group
of finished rollouts on. Prompts of the built-in world share two tokens, so there is no prefix to
read once. Tried, and not paying: norms of fewer operations (8 against 10 us each), oneDNN, torch's
attention for single queries (110 against 75 us), keys transposed (a tenth less at 32 rows, a
seventh more at 128), values transposed, all heads in one block, larger batches of held-out answers
(2 to 4 % an answer, for twice the cache).
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Annotated

import against_trl
import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from rockcore import world
from rockcore.config import OWN_PAIR, TUNED, SessionConfig
from rockcore.log import Run, RunWriter, sample_runs
from rockcore.schema import PHASES, Prompt
from rockcore.training import exact_gradients, gradient_sums, loading, updates
from rockcore.training.clock import Clock
from rockcore.training.divergence import judge
from rockcore.training.rollouts import Rollouts, sample
from rockcore.training.scoring import judge_texts, pieces
from rockcore.training.session import train
from rockcore.training.vocabulary import vocabulary_columns


@dataclass(frozen=True)
class Shape:
    name: str
    student: str
    teacher: str
    prompts: Path
    rollouts: int
    max_new_tokens: int
    probe_every: int  # in a run of default length; sums are taken at every second


def shapes(folder: Path) -> list[Shape]:
    builtin = sample_runs() / "models"
    prompts = folder / "prompts.jsonl"
    texts = [p.prompt for p in islice(world.prompts("habit", 0), 2000)]
    prompts.write_text("\n".join(json.dumps({"prompt": text}) for text in texts))
    random_pair = [
        random_model(folder / role, width, layers, inner)
        for role, width, layers, inner in (("s", 96, 2, 256), ("t", 128, 4, 352))
    ]
    return [
        Shape(
            "built-in pair, 32 x 150",
            str(builtin / "student-mixed"),
            str(builtin / "teacher"),
            prompts,
            32,
            150,
            TUNED["habit"]["steps"] // 10,
        ),
        Shape(
            "random pair, V = 4096, 8 x 64", *random_pair, prompts, 8, 64, OWN_PAIR["steps"] // 10
        ),
    ]


def random_model(folder: Path, width: int, layers: int, inner: int, vocab_size: int = 4096) -> str:
    """A model as small as the built-in ones over a larger vocabulary; its tokenizer is padded with
    unused words.
    """
    tokenizer = AutoTokenizer.from_pretrained(sample_runs() / "models" / "teacher")
    tokenizer.add_tokens([f"<w{i}>" for i in range(vocab_size - len(tokenizer))])
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=width,
        num_hidden_layers=layers,
        intermediate_size=inner,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)


def ours(shape: Shape, steps: int, folder: Path) -> dict:
    """Median seconds a step and by phase, from the run's own log; the first two steps warm up."""
    config = SessionConfig(
        out=folder / "run",
        student=shape.student,
        teacher=shape.teacher,
        prompts=shape.prompts,
        steps=steps + 2,
        rollouts=shape.rollouts,
        max_new_tokens=shape.max_new_tokens,
        lr=1e-6,
        probes=0,
        held_out=0,
        probe_every=10**6,
    )
    seconds, cpu = [], [time.process_time()]

    def listen(progress) -> None:
        seconds.append(progress.seconds)
        cpu.append(time.process_time())

    train(config, listen)
    run = Run.open(config.out)
    metrics = run.metrics().iloc[2:-1]
    step_s, extra_s = (
        float(np.median(seconds[2:-1])),
        extra_for_the_log(int(metrics.tokens.mean()), run.meta.vocab_size),
    )
    return {
        "step_s": step_s,
        "least_s": min(seconds[2:-1]),
        "cpu_s": float(np.median(np.diff(cpu)[2:-1])),
        "phases_s": {name: float(metrics[name].median()) for name in PHASES},
        "extra_s": extra_s,
        **(sums := sums_for_the_log(shape, folder)),
        "log_share": (
            float(metrics.log_s.median()) + extra_s + sums["sums_s"] / (2 * shape.probe_every)
        )
        / step_s,
        "tokens_per_step": float(metrics.tokens.mean()),
        "threads": run.meta.threads,
    }


def extra_for_the_log(n: int, vocab_size: int, repeats: int = 9) -> float:
    """Seconds a step spends on numbers that only the log wants: all that `judge` gives beyond kl
    and its gradient.
    """
    p_NV, q_NV, ids_N = (
        torch.randn(n, vocab_size),
        torch.randn(n, vocab_size),
        torch.randint(0, vocab_size, (n,)),
    )

    def only_what_training_needs(p_logits, q_logits, ids):
        lp, lq = torch.log_softmax(p_logits, -1), torch.log_softmax(q_logits, -1)
        p = lp.exp()
        kl = (p * (lp - lq)).sum(-1)
        return p * (lp - lq - kl[:, None])

    def seconds(judging) -> float:
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            for piece in pieces(n, vocab_size, torch.device("cpu")):
                judging(p_NV[piece], q_NV[piece], ids_N[piece])
            times.append(time.perf_counter() - start)
        return float(np.median(times))

    with torch.no_grad():
        return max(0.0, seconds(judge) - seconds(only_what_training_needs))


class Timed:
    """A watcher that is timed."""

    def __init__(self, watch):
        self.watch, self.seconds = watch, 0.0

    def __call__(self, piece) -> None:
        start = time.perf_counter()
        self.watch(piece)
        self.seconds += time.perf_counter() - start


def sums_for_the_log(shape: Shape, folder: Path, repeats: int = 5) -> dict[str, float]:
    """Seconds that the sums of gradients add to one scoring of the fixed texts, and that an exact
    gradient takes.
    """
    student, teacher = loading.load_pair(shape.student, shape.teacher, "cpu", "float32")
    texts = [json.loads(line)["prompt"] for line in shape.prompts.read_text().splitlines()[:128]]
    tasks = [Prompt(text, text, None) for text in texts]
    final = sample(student, teacher, tasks, shape.max_new_tokens, 1.0, seed=0)
    optimizer = torch.optim.AdamW(student.net.parameters(), fused=True)
    student.head.grad = torch.ones_like(student.head)
    optimizer.step()
    writer = RunWriter.create(
        folder / "sums",
        replace(Run.open(folder / "run").meta, name="sums"),
        vocabulary_columns(student),
    )

    def adding(texts: Rollouts) -> tuple[float, float]:
        start = time.perf_counter()
        sums = gradient_sums.sums_of(student, texts)
        watch, made = Timed(sums), time.perf_counter() - start
        scored = judge_texts(student, teacher, texts, Clock(), watchers=[watch])
        scored_s = time.perf_counter() - start - made - watch.seconds
        start = time.perf_counter()
        writer.append_gradients("first", 1, sums.columns(1, scored))
        writer.append("optimizer", 1, updates.second_moments(1, optimizer, student.head) or {})
        return made + watch.seconds + time.perf_counter() - start, scored_s

    first, last = (
        np.median([adding(texts) for _ in range(repeats)], axis=0) for texts in (final[:48], final)
    )
    at = exact_gradients.exact_sample(final, 20, seed=0)
    start = time.perf_counter()
    exact_gradients.exact_norms(student, teacher, final, at)
    exact_s = (time.perf_counter() - start) / len(at)
    return {
        "sums_s": float(first[0]),
        "score_s": float(first[1]),
        "final_share": float(last[0] / last[1]),
        "exact_s": exact_s,
    }


def trl(shape: Shape, steps: int, folder: Path) -> dict:
    """The same pair, prompts and lengths in TRL, beta = 1 being the reverse KL; the better of one
    thread and all.
    """
    return min(
        (_trl(shape, steps, folder, threads) for threads in sorted({1, torch.get_num_threads()})),
        key=lambda r: r["step_s"],
    )


def _trl(shape: Shape, steps: int, folder: Path, threads: int) -> dict:
    place = str(shape.prompts)
    step = against_trl.Step(
        shape.student,
        shape.teacher,
        place,
        shape.rollouts,
        shape.max_new_tokens,
        steps,
        threads=threads,
    )
    return {**against_trl.trl(step, folder), "threads": threads}


def say_round(name: str, found: dict) -> None:
    """Both sides of one round, and their ratios with all logging and without."""
    for side in ("ours", "trl"):
        step = found[side]
        print(
            f"{name}: {side} {step['step_s'] * 1e3:.0f} ms a step (least "
            f"{step['least_s'] * 1e3:.0f}), {step['cpu_s'] * 1e3:.0f} ms of CPU time, "
            f"{step['threads']} threads"
        )
    mine, other = found["ours"], found["trl"]
    ratios = [other[n] / mine[n] for n in ("step_s", "least_s", "cpu_s")]
    bare = found["ratio"] / (1 - mine["log_share"])
    print("TRL / ours: {:.2f}, least {:.2f}, CPU {:.2f}; ".format(*ratios), end="")
    print(f"without logging {bare:.2f}", flush=True)


def main(
    steps: int = 12,
    against_trl: bool = False,
    as_json: Annotated[bool, tyro.conf.arg(name="json")] = False,
    repeats: int = 1,
) -> None:
    """Measure a training step."""
    results: dict[str, dict] = {}
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        shape_by_name = {shape.name: shape for shape in shapes(root)}
        for i, shape in enumerate(shape_by_name.values()):
            rounds = []
            for j in range(repeats):
                torch.set_num_threads(threads)
                round_ = {"ours": ours(shape, steps, root / f"{i}-{j}")}
                if against_trl:
                    torch.set_num_threads(threads)
                    round_["trl"] = trl(shape, steps, root / f"{i}-{j}")
                    round_["ratio"] = round_["trl"]["step_s"] / round_["ours"]["step_s"]
                    say_round(shape.name, round_)
                rounds.append(round_)
            results[shape.name] = sorted(rounds, key=lambda r: r.get("ratio", r["ours"]["step_s"]))[
                len(rounds) // 2
            ]
    table = Table(
        "shape",
        "ours, ms a step",
        *(p.removesuffix("_s") for p in PHASES),
        "extra",
        "sums / step",
        "logging / step",
        "sums / scoring of final texts",
        "exact, ms",
        "threads",
        "TRL, ms a step",
        "TRL / ours",
    )
    for shape_name, r in results.items():
        mine, other = r["ours"], r.get("trl")
        phases = [f"{mine['phases_s'][p] * 1e3:.1f}" for p in PHASES]
        theirs = (
            [f"{other['step_s'] * 1e3:.0f} ({other['threads']} threads)", f"{r['ratio']:.1f}"]
            if other
            else ["-", "-"]
        )
        table.add_row(
            shape_name,
            f"{mine['step_s'] * 1e3:.0f}",
            *phases,
            f"{mine['extra_s'] * 1e3:.1f}",
            f"{mine['sums_s'] / (2 * shape_by_name[shape_name].probe_every) / mine['step_s']:.1%}",
            f"{mine['log_share']:.1%}",
            f"{mine['final_share']:.0%}",
            f"{mine['exact_s'] * 1e3:.0f}",
            str(mine["threads"]),
            *theirs,
        )
    Console(width=220).print(table)
    if as_json:
        print(json.dumps(results))


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
