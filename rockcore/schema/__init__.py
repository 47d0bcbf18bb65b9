"""The log contract: what a run on disk holds, column by column, and the errors that speak of it.

Everything else in the project imports this package; it imports nothing of ours but the way in
which its names are loaded once they are asked for: an error alone needs neither numpy nor Arrow.
A run is a folder:

    run.json                       RunMeta
    vocab.parquet                  VOCAB
    metrics/step=000050.parquet    METRICS: one row a step
    rollouts/step=000050.parquet   ROLLOUTS: the fresh rollouts of a step
    tokens/step=000050.parquet     TOKENS: one row an occurrence of these rollouts
    types/step=000050.parquet      TYPES: additive sums over these occurrences, by token type
    optimizer/step=000050.parquet  OPTIMIZER: what Adam has gathered about each row of the
                                   vocabulary projection
    weights/step=000050.parquet    WEIGHTS: what each token type weighs from this step on, in the
                                   arm dynamic
    probe/SET/rollouts.parquet     ROLLOUTS: texts that stay the same over training (SET: first,
                                   final)
    probe/SET/step=000050.parquet  PROBE: these texts rescored by the student of step 50
    probe/SET/teacher.parquet      PROBE_TEACHER: what the teacher would have said there, which no
                                   step changes (of `final` only the first texts have
                                   alternatives, the others have null)
    gradients/SET/step=000050.parquet  GRADIENTS: summed gradients over a probe set, by token type
                                   and fold of rollouts
    gradients/SET/exact.parquet    EXACT: gradients in all parameters, for a sample of the
                                   positions of a probe set
    evals/step=000050.parquet      EVALS: graded answers to held-out problems
    checkpoints/step=000050/       students, and what is needed to resume

TABLES says the same to programs: which files there are follows from it alone.

*Step s is the student after s updates*, everywhere: its fresh rollouts, its probe values, its
accuracy. *A value sits at the index of the token it judges*: position t of a response carries what
student and teacher predicted for the token at t. Prompts are not scored.

What holds of a column's values stands with it (`Column.holds`), what tells the rows of a file apart
with its table (`LogTable.key`); a file that breaks it is refused when it is first read. A number
that is not known is null or NaN, never infinite, but where the column says so.

A column may be *optional*: a log written before it existed, or by a trainer that cannot tell it,
lacks it or has null there, opens all the same, and is read as NaN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rockcore.lazy import load_from

if TYPE_CHECKING:
    from rockcore.schema.columns import (
        EVALS,
        EXACT,
        FOLDS,
        GRADIENTS,
        KL_EDGES,
        METRICS,
        OPTIMIZER,
        PHASES,
        PROBE,
        PROBE_TEACHER,
        ROLLOUTS,
        SUMMED_TEXTS,
        TOKENS,
        TOP_ALTERNATIVES,
        TYPES,
        VOCAB,
        WEIGHTS,
        Column,
        arrow_schema,
        noise_floor,
    )
    from rockcore.schema.errors import (
        DamagedRun,
        LogWriteError,
        NoGradients,
        RockError,
        RunNotFound,
        SchemaMismatch,
    )
    from rockcore.schema.meta import SCHEMA_VERSION, Prompt, RunMeta, Turn, moment, tokenizer_hash
    from rockcore.schema.tables import PROBE_SETS, TABLES, LogTable, Texts

__all__ = [
    "EVALS",
    "EXACT",
    "FOLDS",
    "GRADIENTS",
    "KL_EDGES",
    "METRICS",
    "OPTIMIZER",
    "PHASES",
    "PROBE",
    "PROBE_SETS",
    "PROBE_TEACHER",
    "ROLLOUTS",
    "SCHEMA_VERSION",
    "SUMMED_TEXTS",
    "TABLES",
    "TOKENS",
    "TOP_ALTERNATIVES",
    "TYPES",
    "VOCAB",
    "WEIGHTS",
    "Column",
    "DamagedRun",
    "LogTable",
    "LogWriteError",
    "NoGradients",
    "Prompt",
    "RockError",
    "RunMeta",
    "RunNotFound",
    "SchemaMismatch",
    "Texts",
    "Turn",
    "arrow_schema",
    "moment",
    "noise_floor",
    "tokenizer_hash",
]
_HOMES = {
    "Column": "rockcore.schema.columns",
    "DamagedRun": "rockcore.schema.errors",
    "EVALS": "rockcore.schema.columns",
    "EXACT": "rockcore.schema.columns",
    "FOLDS": "rockcore.schema.columns",
    "GRADIENTS": "rockcore.schema.columns",
    "KL_EDGES": "rockcore.schema.columns",
    "LogTable": "rockcore.schema.tables",
    "LogWriteError": "rockcore.schema.errors",
    "METRICS": "rockcore.schema.columns",
    "NoGradients": "rockcore.schema.errors",
    "OPTIMIZER": "rockcore.schema.columns",
    "PHASES": "rockcore.schema.columns",
    "PROBE": "rockcore.schema.columns",
    "PROBE_SETS": "rockcore.schema.tables",
    "PROBE_TEACHER": "rockcore.schema.columns",
    "Prompt": "rockcore.schema.meta",
    "ROLLOUTS": "rockcore.schema.columns",
    "RockError": "rockcore.schema.errors",
    "RunMeta": "rockcore.schema.meta",
    "RunNotFound": "rockcore.schema.errors",
    "SCHEMA_VERSION": "rockcore.schema.meta",
    "SUMMED_TEXTS": "rockcore.schema.columns",
    "SchemaMismatch": "rockcore.schema.errors",
    "TABLES": "rockcore.schema.tables",
    "TOKENS": "rockcore.schema.columns",
    "TOP_ALTERNATIVES": "rockcore.schema.columns",
    "TYPES": "rockcore.schema.columns",
    "Texts": "rockcore.schema.tables",
    "Turn": "rockcore.schema.meta",
    "VOCAB": "rockcore.schema.columns",
    "WEIGHTS": "rockcore.schema.columns",
    "arrow_schema": "rockcore.schema.columns",
    "moment": "rockcore.schema.meta",
    "noise_floor": "rockcore.schema.columns",
    "tokenizer_hash": "rockcore.schema.meta",
}
__getattr__ = load_from(__name__, _HOMES)
