"""What run.json says of an import: what its numbers are, and what its reader must know besides."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from rockcore.importers.format import About, Export, Format
from rockcore.importers.gathering import Gathered
from rockcore.importers.vocabulary import unknown_hash
from rockcore.schema import RunMeta

UNKNOWN = "not named in the export"
NO_TEACHER = "No teacher values in this export."
RESCORE = "To have its texts judged: rockcore score RUN --student DIR --teacher DIR"


def meta_of(format: Format, export: Export, out: Path, gathered: Gathered) -> RunMeta:
    """What run.json says of the export."""
    options, about = export.options, export.about
    tokenizer, columns = gathered.tokenizer, gathered.columns
    judged_by = about.student_logps or format.student_logps
    return RunMeta(
        name=_name(out.resolve().name),
        student=_name(options.student or about.student),
        teacher=_name(options.teacher or about.teacher),
        tokenizer_hash=tokenizer.hash if tokenizer else unknown_hash(export.files),
        vocab_size=1 + max(gathered.seen.last, tokenizer.last if tokenizer else -1),
        estimator=(options.estimator or about.estimator or format.estimator)
        if "kl" in columns
        else "absent",
        student_logps=judged_by if columns & {"student_logp", "sampled_loss"} else "absent",
        source=format.name,
        notes=[_line(note) for note in _notes(format, about, gathered)],
        started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        config=about.config,
    )


def _line(text: str) -> str:
    """Text as run.json takes it."""
    return text.replace("\0", "").encode(errors="backslashreplace").decode()[:2000]


def _name(text: str) -> str:
    return _line(text) or UNKNOWN


def _notes(format: Format, about: About, gathered: Gathered) -> list[str]:
    """What a reader of the run must know besides."""
    tokenizer, seen = gathered.tokenizer, gathered.seen
    judged_by_none = not gathered.columns & {"kl", "sampled_loss", "teacher_logp"}
    beyond = seen.beyond(tokenizer) if tokenizer else 0
    own = {
        "The export names tokens by their text alone: ids count the different texts.": (
            gathered.numbered
        ),
        "The export has text without token ids: the ids are of the tokenizer that was given, and "
        "may differ from what was sampled.": gathered.encoded,
        "No tokenizer was given: tokens are shown by their ids.": (
            gathered.with_ids and not tokenizer and not seen.texts
        ),
        f"The tokenizer lacks {beyond} ids of the export: they are shown by their ids.": beyond,
        NO_TEACHER: judged_by_none,
        RESCORE: judged_by_none,
    }
    return [*format.notes, *about.notes, *(note for note, holds in own.items() if holds)]
