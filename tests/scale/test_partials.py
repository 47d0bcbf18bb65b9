"""The folder that a scan leaves, read as a run is, and what it does not answer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from planted import Plan as Planted
from planted import write

from rockcore import schema
from rockcore.analysis.report import of_change, of_set
from rockcore.analysis.report.asked import Asked
from rockcore.analysis.rock_share import rock_share
from rockcore.cli import main
from rockcore.log import Run
from rockcore.rocks import RockRule
from rockcore.rocks.examined import Examined
from rockcore.rocks.scanned import OnlyScanned


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("partials") / "log"
    write(path, Planted(20_000, 400, rocks=20, learned=10, tokens_per_rollout=150, seed=1))
    return path


@pytest.fixture(scope="module")
def partials(log: Path) -> Path:
    out = log.parent / "partials"
    main(["scan", str(log), "--out", str(out), "--workers", "1", "--shard-rows", "9000"])
    return out


def test_the_command_line_reads_partials_as_it_reads_a_run(
    log: Path, partials: Path, capsys: pytest.CaptureFixture[str]
):
    found = []
    for run in (log, partials):
        main(["rocks", str(run), "--json"])
        found.append(json.loads(capsys.readouterr().out))
    assert found[0]["ids"] == found[1]["ids"] and len(found[0]["ids"]) > 5
    for name in ("curves", "rollouts", "control"):
        assert found[0][name] == found[1][name]
    main(["rocks", str(partials)])
    assert "Rock Tokens, " in (said := capsys.readouterr().out) and "nan" not in said


def test_the_shares_of_a_set_have_their_intervals_over_rollouts(log: Path, partials: Path):
    whole, found = (rock_share(Examined(Run.open(run))) for run in (log, partials))
    assert (found.sentence, found.about) == (whole.sentence, whole.about)
    for name in ("token_share", "loss_share", "gradient"):
        assert getattr(found, name) == pytest.approx(getattr(whole, name), rel=1e-12)


def test_a_report_has_the_parts_that_partials_answer(log: Path, partials: Path):
    whole, found = (Asked(Examined(Run.open(run)), arms=None) for run in (log, partials))
    assert of_set.share(found).said == of_set.share(whole).said
    assert "20,000 positions, from partials" in found.corpus
    assert of_set.cutoff(found).figures
    assert of_set.counted(found) == of_set.counted(whole) and found.texts == whole.texts
    (said,) = of_change.change(found).said
    assert "three groups" in said and f"Open {log}" in said
    kappa, groups = found.found.notes[-2:]
    assert kappa.startswith("κ is not known") and groups == said
    assert found.found.notes[:-2] == whole.found.notes


def test_the_sums_beside_the_report_are_those_of_the_whole_log(log: Path, partials: Path):
    sums = pd.read_parquet(partials / "scanned" / "sums.parquet")
    rows = pd.read_parquet(log / "probe" / "final" / "step=000100.parquet")
    of, mine = rows.groupby("token_id"), sums[sums.step == 100].set_index("token_id")
    assert (mine.n == of.kl.size()).all() and (mine.loss_max == of.kl.max()).all()
    wide = rows.assign(kl=rows.kl.astype(np.float64)).groupby("token_id").kl
    np.testing.assert_allclose(mine.loss_sum, wide.sum(), rtol=1e-13)
    np.testing.assert_allclose(mine.loss_sq_sum, wide.apply(lambda x: (x * x).sum()), rtol=1e-13)
    bins = np.searchsorted(schema.KL_EDGES, rows.kl, side="right")
    wanted = pd.crosstab(rows.token_id, bins).reindex(columns=range(64), fill_value=0)
    assert (np.stack(mine.histogram.to_numpy()) == wanted.to_numpy()).all()


def test_what_partials_do_not_answer_is_said_in_three_parts(log: Path, partials: Path):
    run = Run.open(partials)
    with pytest.raises(OnlyScanned) as raised:
        _ = Examined(run, RockRule(gamma=0.25)).report
    found, why, todo = raised.value.parts
    assert "3 shards" in found and "gamma 0.5 → 0.25" in why and f"rockcore scan {log}" in todo
    with pytest.raises(OnlyScanned):
        _ = Examined(run).material


def test_a_dry_run_says_what_would_be_read_and_writes_nothing(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    main(["scan", str(log), "--out", str(out), "--dry-run", "--shard-rows", "9000"])
    said = capsys.readouterr().out
    assert "3 shards, 20,000 positions" in said and "bytes" in said and not out.exists()


def test_a_run_is_not_overwritten_by_what_a_scan_finds(
    log: Path, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit):
        main(["scan", str(log), "--out", str(log)])
    assert "is a run" in capsys.readouterr().err
