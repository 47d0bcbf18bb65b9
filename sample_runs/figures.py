"""The figures of this folder's README, measured on the runs and models that are here; nothing in
the tables is typed by hand.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass, replace
from itertools import islice, product
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from rich.console import Console
from scipy.stats import bootstrap

from rockcore import world
from rockcore.analysis.arms import MEASURES, spelled_tests
from rockcore.analysis.knockouts import VERDICTS, examine
from rockcore.config import TUNED, ScenarioName, SessionConfig
from rockcore.log import Run, comparisons
from rockcore.log.arms import BASELINE
from rockcore.log.screens import Screen
from rockcore.rocks import search
from rockcore.rocks.rule import preset
from rockcore.schema import Prompt
from rockcore.spelling import visible
from rockcore.stats import Interval, proportion
from rockcore.training import evals, loading
from rockcore.training.session import train

HERE = Path(__file__).parent
SWEEP = HERE / "sweep.json"
K = 20
LONGEST = int(TUNED["habit"]["max_new_tokens"])  # tokens of a response


def percent(share: Interval) -> str:
    return f"{share.value:.0%} ({share.low:.0%}–{share.high:.0%})"


def teacher_accuracy(scenario: str, decoding: str, n: int = 512) -> str:
    teacher = loading.load(str(HERE / "models" / "teacher"), "cpu", "float32")
    tasks = [
        Prompt(p.teacher_prompt, p.teacher_prompt, p.answer)
        for p in islice(world.prompts(scenario, "held-out"), n)
    ]
    temperatures = {decoding: 0.0 if decoding == "greedy" else 1.0}
    right = evals.graded(teacher, tasks, LONGEST, temperatures, seed=0)[decoding].right
    return percent(proportion(int(right.sum()), n))


def rock_change(run: Run) -> Interval:
    """Relative change of the kl of rocks from the middle of training to its end, on texts that did
    not choose the rocks.

    The K types are chosen by Rock Score on one half of the probe rollouts and measured on the other
    half, so that regression to the mean does not pass for learning; the 95 % interval resamples
    rollouts.
    """
    steps = run.steps("probe/final")
    middle = min(steps, key=lambda s: abs(s - steps[-1] / 2))
    early, late = (
        pq.read_table(run.path / "probe" / "final" / f"step={s:06d}.parquet").to_pandas()
        for s in (middle, steps[-1])
    )
    chosen = late[late.rollout_id % 2 == 0].groupby("token_id").kl.sum().nlargest(K).index
    sums = [
        f[(f.rollout_id % 2 == 1) & f.token_id.isin(chosen)].groupby("rollout_id").kl.sum()
        for f in (early, late)
    ]

    def change(before: np.ndarray, after: np.ndarray, axis: int = -1) -> np.ndarray:
        return after.sum(axis) / before.sum(axis) - 1

    ci = bootstrap(
        tuple(s.to_numpy() for s in sums),
        change,
        paired=True,
        n_resamples=2000,
        rng=0,
        method="percentile",
    ).confidence_interval
    return Interval(float(change(*(s.to_numpy() for s in sums))), float(ci.low), float(ci.high))


def describe(run: Run) -> dict[str, float | str]:
    """One row of the sweep's table."""
    table = run.evals().set_index(["decoding", "step"])
    last = run.steps("evals")[-1]
    metrics = run.metrics().set_index("step").kl_mean
    change = rock_change(run)
    return {
        "scenario": run.meta.scenario,
        "steps": last,
        "lr": run.meta.config["lr"],
        "seed": run.meta.seed,
        "greedy": table.loc[("greedy", last)].accuracy,
        "sampled": table.loc[("sampled", last)].accuracy,
        "kl_first": metrics.iloc[:10].mean(),
        "kl_middle": metrics.iloc[last // 2 - 5 : last // 2 + 5].mean(),
        "kl_last": metrics.iloc[-10:].mean(),
        "rock_change": change.value,
        "rock_change_low": change.low,
        "rock_change_high": change.high,
    }


@dataclass(frozen=True)
class Trial:
    scenario: ScenarioName
    lr: float
    seed: int
    steps: int


SEEDS = (0, 1, 2)
TRIALS = [
    *(Trial("habit", lr, seed, 150) for lr, seed in product((3e-4, 1e-3, 3e-3), SEEDS)),
    Trial("habit", 1e-3, 0, 600),
    *(Trial("hidden", 2e-3, seed, 150) for seed in SEEDS),
    *(Trial("skill", 2e-3, seed, 200) for seed in SEEDS),
]


def sweep(trials: list[Trial] | None = None) -> None:
    """Train every trial in a temporary folder and add its row to sweep.json."""
    console, rows = Console(), json.loads(SWEEP.read_text()) if SWEEP.exists() else []
    for t in trials or TRIALS:
        folder = Path(tempfile.mkdtemp()) / "run"
        how = SessionConfig(
            out=folder,
            scenario=t.scenario,
            lr=t.lr,
            seed=t.seed,
            steps=t.steps,
            probes=0,
            final_probes=128,
        )
        train(replace(how, probe_every=t.steps // 2, log_every=t.steps))
        row = describe(Run.open(folder))
        shutil.rmtree(folder.parent)
        rows = [
            r
            for r in rows
            if (r["scenario"], r["lr"], r["seed"], r["steps"])
            != (t.scenario, t.lr, t.seed, t.steps)
        ] + [row]
        SWEEP.write_text(json.dumps(rows, indent=1))
        console.print({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()})


def accuracy_rows() -> list[str]:
    rows = []
    for scenario, decoding in product(world.SCENARIOS, ("greedy", "sampled")):
        run = Run.open(HERE / scenario)
        table = run.evals().query("decoding == @decoding").sort_values("step")
        before, after = (
            percent(Interval(r.accuracy, r.low, r.high)) for r in (table.iloc[0], table.iloc[-1])
        )
        rows.append(
            f"| {scenario} | {decoding} | {teacher_accuracy(scenario, decoding)} | {before} | "
            f"{after} | {table.n.iloc[0]} |"
        )
    return rows


def training_rows() -> list[str]:
    rows = []
    for scenario in world.SCENARIOS:
        run = Run.open(HERE / scenario)
        metrics, config = run.metrics(), run.meta.config
        settings = f"{run.meta.steps_planned} × {config['rollouts']}, {config['lr']:g}"
        kl = f"{metrics.kl_mean[:10].mean():.3f} → {metrics.kl_mean[-10:].mean():.3f}"
        texts = (
            f"{config['probes']} / {config['final_probes']}, every {config['probe_every']} steps"
        )
        rows.append(f"| {scenario} | {settings} | {texts} | {kl} |")
    return rows


def detection_rows() -> list[str]:
    rows = []
    for scenario, name in product(world.SCENARIOS, ("default", "paper")):
        found = search.detect(Run.open(HERE / scenario), preset(name))
        chosen = found.tokens.query("in_set")
        kl = chosen.groupby("category").rock_score.sum().sort_values(ascending=False)
        stable, density, n = found.stability, found.density, found.occurrences
        cells = [
            scenario,
            name,
            f"{found.rule.tau_post:.2f}",
            f"{len(chosen)} of {len(found.tokens)} ({found.how or 'no set is stable'})",
            f"{found.coverage:.0%}" if found.ids else "–",
            f"{stable.value:.2f} ({stable.low:.2f}–{stable.high:.2f})" if found.ids else "–",
            f"{density['type']:.1%} / {density['occurrence']:.1%}" if found.ids else "–",
            f"{n['persistent']} → {n['consistent']} → {n['in_set']} of {n['scored']}",
            ", ".join(f"{count} {kind}" for kind, count in chosen["class"].value_counts().items())
            or "–",
            ", ".join(f"{kind} {value / kl.sum():.0%}" for kind, value in kl.head(4).items())
            or "–",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def sweep_rows() -> list[str]:
    if not SWEEP.exists():
        return []
    frame = pd.DataFrame(json.loads(SWEEP.read_text()))
    rows = []
    for _, g in frame.groupby(["scenario", "steps", "lr"]):
        scenario, steps, lr = g.scenario.iloc[0], g.steps.iloc[0], g.lr.iloc[0]
        spread = ", ".join(
            f"{c:+.0%} ({low:+.0%} to {high:+.0%})"
            for c, low, high in zip(
                g.rock_change, g.rock_change_low, g.rock_change_high, strict=True
            )
        )
        kl = f"{g.kl_first.mean():.3f} → {g.kl_middle.mean():.3f} → {g.kl_last.mean():.3f}"
        sampled = f"{g.sampled.mean():.0%} ({g.sampled.min():.0%}–{g.sampled.max():.0%})"
        rows.append(f"| {scenario} | {steps} | {lr:g} | {len(g)} | {sampled} | {kl} | {spread} |")
    return rows


def screen_rows() -> list[str]:
    rows = []
    for scenario in world.SCENARIOS:
        found = examine(Screen(Run.open(HERE / scenario)))
        alone = found.candidates.query("kind == 'token'")
        verdicts = alone.verdict.value_counts()
        largest = ", ".join(
            f"{escaped(c.token)} {100 * c.delta:+.1f} ({100 * c.low:+.1f} to {100 * c.high:+.1f})"
            for c in alone[~alone.needed].head(4).itertuples()
        )
        band, naive = found.placebo, found.signs.naive
        cells = [
            scenario,
            f"{found.plan.problems} × {found.plan.rollouts}, {percent(found.accuracy)}",
            f"{len(alone)}, {int(alone.needed.sum())} needed",
            " / ".join(str(verdicts.get(verdict, 0)) for verdict in VERDICTS),
            f"{int((alone.p < found.levels.alpha).sum())}",
            "–" if band is None else f"{100 * band.low:+.1f} to {100 * band.high:+.1f}",
            f"{naive.negative}:{naive.positive}, p = {naive.p:.2g}; "
            f"{found.signs.centred.negative}:{found.signs.centred.positive}, "
            f"p = {found.signs.centred.p:.2g}",
            largest or "–",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def escaped(token: str) -> str:
    """A token as code in a cell of a table."""
    return f"`{visible(token)}`".replace("|", "\\|")


def arms_rows() -> list[str]:
    rows = []
    for folder in sorted((HERE / "arms").iterdir()):
        found = comparisons.read(folder)
        costs = found.costs.set_index("arm")
        tests = spelled_tests(found.tests).set_index(["arm", "measure"])
        rocks = found.rock_kl.query("tokens == 'rocks'").sort_values("step")
        for arm in found.plan.arms:
            cells = [folder.name, arm, f"{costs.left_out[arm]:.1%}"]
            for measure in MEASURES.values():
                if arm == BASELINE:
                    cells.append("–")
                else:
                    t = tests.loc[(arm, measure.name)]
                    cells.append(f"{t.difference} ({t.interval}), p = {t.p_holm:.2g}")
            kl = rocks[rocks.arm == arm].kl
            cells.append(f"{kl.iloc[0]:.2f} → {kl.iloc[-1]:.2f}")
            cells.append(f"{1000 * costs.step_s[arm]:.0f} ms")
            rows.append(f"| {' | '.join(cells)} |")
    return rows


def write_readme() -> None:
    """Fill the tables of README.md between their markers; the sentences around them are written by
    people.
    """
    path = HERE / "README.md"
    text = path.read_text(encoding="utf-8")
    tables = {
        "accuracy": accuracy_rows,
        "training": training_rows,
        "detection": detection_rows,
        "sweep": sweep_rows,
        "screens": screen_rows,
        "arms": arms_rows,
    }
    for name, rows in tables.items():
        before, rest = text.split(f"<!-- {name} -->\n")
        _, after = rest.split(f"<!-- end {name} -->")
        head = rest.split("\n")[:2]
        text = (
            f"{before}<!-- {name} -->\n"
            + "\n".join([*head, *rows()])
            + f"\n<!-- end {name} -->{after}"
        )
    path.write_text(text, encoding="utf-8")
