"""The folder that a scan leaves behind: it opens as a run does, and holds what the scan found in
place of texts.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rockcore import schema
from rockcore.log import Run, RunWriter
from rockcore.log.files import commit
from rockcore.log.folders import META, fingerprint
from rockcore.rocks.scanned import FOLDER, Scanned, save
from rockcore.scale.errors import BadScan, NotScanned
from rockcore.scale.merged import FromPartials, report
from rockcore.scale.partial import not_written
from rockcore.scale.plan import Plan
from rockcore.scale.source import Source
from rockcore.scale.sums import paths
from rockcore.schema import LogWriteError

PARTIALS = "partials"


def refuse(out: Path) -> None:
    """Raises BadScan for a folder that is something else, as a run, or no folder at all."""
    if "://" in str(out) or str(out).split(":/")[0] in ("s3", "gs", "hf"):
        raise BadScan(
            f"--out {out} is an address",
            "Partials are files that every worker writes and reads under one name",
            "Give a folder; on a cluster one on a file system that all nodes share",
        )
    if out.exists() and not out.is_dir():
        raise BadScan(f"{out} is a file", "Partials are a folder", "Give another one")
    if (out / META).exists() and not (out / PARTIALS).exists():
        raise BadScan(
            f"{out} is a run",
            "What a scan finds would mix with its log",
            "Give a folder that is new, or that a scan has made",
        )


def there(plan: Plan, out: Path) -> Plan:
    """The plan of the shards whose first partials are there. Raises NotScanned where there are
    none, or none of the first checkpoint or the last.
    """
    made = [s for s in plan.shards if all(p.exists() for p in paths(plan, s, out / PARTIALS))]
    corpora = {s.corpus for s in plan.shards}
    if not made or {s.corpus for s in made} != corpora:
        raise NotScanned(
            f"{out} has partials of {len(made)} of {len(plan.shards)} shards",
            "What is merged needs one at least, of every checkpoint whose texts are its own",
            "Let the scan go on, or start it without --partial-ok",
        )
    return plan.only(made)


def conclude(plan: Plan, found: FromPartials, out: Path) -> Scanned:
    """Write the folder: run.json, the vocabulary, and the report. Raises BadScan on a full or
    guarded disk.
    """
    try:
        return _concluded(plan, found, out)
    except LogWriteError as e:
        raise not_written(out, e) from e


def _concluded(plan: Plan, found: FromPartials, out: Path) -> Scanned:
    source = Source(plan.shards[0].address)
    vocab = source.vocab()
    meta, positions = source.meta, len(found.corpus)
    scanned = Scanned(
        out,
        plan.log,
        len(plan.shards),
        plan.of,
        positions,
        found.corpus.rollouts,
        found.by_rollout.shares,
        plan.rule,
    )
    notes = [*meta.notes, scanned.sentence]
    config = {**meta.config, "scanned": plan.log}  # by which a reader knows where the texts are
    meta = replace(meta, notes=notes[-1000:], config=config, status="finished", reason="")
    writer = RunWriter(out, meta)
    writer.write("vocab", {name: vocab[name].to_pylist() for name in schema.VOCAB})
    commit(out / META, lambda tmp: tmp.write_text(meta.to_json()))
    _write_sums(found, out)
    known = report(Run.open(out), found, fingerprint(out))
    kappa = [] if found.consistent is None else [scanned.without_kappa]
    groups = [] if known.single else [scanned.without_groups]
    save(scanned, replace(known, notes=(*known.notes, *kappa, *groups)))
    return scanned


def _write_sums(found: FromPartials, out: Path) -> None:
    """The sums of each step and type, beside the report."""
    types = found.total.types
    table = pa.Table.from_pandas(types.drop(columns="histogram"), preserve_index=False)
    bins = np.concatenate([*types.histogram, np.zeros(0, np.int64)])  # lists of Python took 2 GB
    histogram = pa.FixedSizeListArray.from_arrays(pa.array(bins), len(schema.KL_EDGES) + 1)
    table = table.append_column("histogram", histogram)

    def write(tmp: Path) -> None:
        with tmp.open("wb") as file:
            pq.write_table(table, file)

    commit(out / FOLDER / "sums.parquet", write)
