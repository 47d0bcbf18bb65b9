"""The formats that a filter is taken away in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

from rockcore.exporters import lists, masks, snippets
from rockcore.exporters.found import Found


@dataclass(frozen=True)
class Exporter:
    """One format: what it is, how its file is called, and what it cannot do without."""

    about: str
    file: str  # the name that a file of it usually has
    write: Callable[[Found, BinaryIO], None]
    needs: str = "set"  # set | run | report
    warning: str = ""  # what whoever uses it has to know

    def rendered(self, found: Found) -> bytes:
        """The whole file. Raises BadExport, DamagedRun."""
        file = BytesIO()
        self.write(found, file)
        return file.getvalue()


NORMALISER = (
    "prime-rl divides by the number of tokens whose weight is not 0, so a weight of 0 makes the "
    "rest count more; a small one does not, and is written in its place"
)
EXPORTERS: dict[str, Exporter] = {
    "ids": Exporter(
        "token ids as a JSON list, KDFlow's `--token_freeze_path`",
        "rock.json",
        lists.write_ids,
        warning=lists.OFF_BY_ONE,
    ),
    "rock-vs-control": Exporter(
        "each rock beside a type that is none, matched in frequency: the authors' CSV",
        "rock_vs_control.csv",
        lists.write_rock_vs_control,
        needs="report",
        warning="Matched types have fewer positions than the rocks wherever these are frequent; "
        "random-freeze of `rockcore train` matches positions",
    ),
    "weights": Exporter(
        "a weight for each type of the set, with tokenizer hash and rule, as JSON",
        "weights.json",
        lists.write_weights,
    ),
    "weights-parquet": Exporter(
        "the same as Parquet", "weights.parquet", lists.write_weights_parquet
    ),
    "mask": Exporter(
        "keep and weight of every logged position, as Parquet",
        "mask.parquet",
        masks.write_mask,
        needs="run",
    ),
    "trl": Exporter("a module for TRL's DistillationTrainer", "rocks_trl.py", snippets.write_trl),
    "slime": Exporter(
        "a module for slime's `--rollout-data-postprocess-path`",
        "rocks_slime.py",
        snippets.write_slime,
    ),
    "verl": Exporter(
        "a module that registers a loss with verl", "rocks_verl.py", snippets.write_verl
    ),
    "kdflow": Exporter(
        "a module that registers an algorithm with KDFlow",
        "rocks_kdflow.py",
        snippets.write_kdflow,
    ),
    "prime-rl": Exporter(
        "a module that sets prime-rl's `ref_kl_weights`",
        "rocks_prime_rl.py",
        snippets.write_prime_rl,
        warning=NORMALISER,
    ),
}
