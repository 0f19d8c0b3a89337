"""What Every Eval Ever has no place for: the answers with their log-probabilities, as Parquet.

`UUID_saltus.parquet` lies beside `UUID_samples.jsonl` and names its SHA-256, so that it is not
taken for what another file says.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from saltus.errors import ReadError, TableError
from saltus.readers.eee_parts import DOCUMENT, run_of
from saltus.readers.files import document, is_there, sha256
from saltus.readers.mend import decode
from saltus.readers.reader import (
    BATCH_ROWS,
    Batch,
    Finding,
    Head,
    Options,
    finding,
    reader,
)
from saltus.tables import Responses, conform, schema

SAMPLES, SIDECAR = "_samples.jsonl", "_saltus.parquet"
CHECKSUM, NO_SAMPLES = "saltus_samples_sha256", "none"


def columns() -> list[str]:
    """Columns of the sidecar: those of an answer less the model, which the file is about."""
    return [name for name in schema(Responses) if name not in ("model", "source")]


def _checksum(path: Path) -> str | None:
    try:
        return pl.read_parquet_metadata(path).get(CHECKSUM)
    except (pl.exceptions.PolarsError, OSError):
        return None


def find(samples: Path) -> tuple[Path | None, tuple[Finding, ...]]:
    """The sidecar of an instance file, where there is one that belongs to it."""
    beside = samples.with_name(samples.name.removesuffix(SAMPLES) + SIDECAR)
    if not is_there(beside):
        return None, ()
    if _checksum(beside) == sha256(samples):
        return beside, ()
    message = (
        f"{beside.name}: was written beside another version of {samples.name}; not read, so its "
        "log-probabilities are missing"
    )
    return None, (finding("sidecar", message, severity="warning"),)


def frames(path: Path, model: str) -> Iterator[pl.DataFrame]:
    """The answers, batch by batch.

    Raises:
        ReadError: damaged, or with other columns.
    """
    try:
        rows = pl.scan_parquet(path).select(pl.len()).collect().item()
        for start in range(0, rows, BATCH_ROWS):
            part = pl.scan_parquet(path).slice(start, BATCH_ROWS).select(columns()).collect()
            lines = pl.int_range(start + 1, start + part.height + 1)
            source = pl.format("{}:{}", pl.lit(path.name), lines)
            named = part.with_columns(pl.lit(model).alias("model"), source.alias("source"))
            yield conform(named, Responses)
    except (pl.exceptions.PolarsError, TableError, OSError) as fault:
        raise ReadError(f"not a whole table of answers ({fault})", path) from None


def _sniff(head: Head) -> bool:
    return head.data.startswith(b"PAR1") and _checksum(head.path) is not None


@reader(
    sniff=_sniff, source="Saltus, beside Every Eval Ever's instances: log-probabilities and all"
)
def eee_answers(path: Path, options: Options) -> Iterator[Batch]:
    """No rows where instances lie beside it, which are read together with it; else its own.

    Raises:
        ReadError: the instances that it belongs to are not there, or nothing names the model.
    """
    stem = path.name.removesuffix(SIDECAR)
    if is_there(path.with_name(stem + SAMPLES)):
        yield Batch()
        return
    beside = path.with_name(f"{stem}.json")
    if _checksum(path) != NO_SAMPLES or not is_there(beside):
        raise ReadError(f"belongs to {stem}{SAMPLES}, which does not lie beside it", path)
    run = run_of(decode(DOCUMENT, document(beside), beside), options)
    for frame in frames(path, run.label):
        yield Batch(run.models(), frame)
