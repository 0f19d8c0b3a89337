"""Logs of any readable format to files of any that can be written."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from saltus import __version__, store
from saltus.errors import StoreError, UnknownNameError
from saltus.readers.read import ReadSummary, read
from saltus.tables import Findings, Models, Reported, Responses, conform, schema
from saltus.writers.eee import write_eee
from saltus.writers.lm_eval import write_lm_eval
from saltus.writers.plain import write_parquet
from saltus.writers.tables import Read, Write

WRITERS: Mapping[str, Write] = {
    "eee": write_eee,
    "lm-eval": write_lm_eval,
    "parquet": write_parquet,
}
RECORD = "conversion.json"
LIBRARIES = {"inspect": "inspect_ai", "lm_eval": "lm_eval", "helm": "helm"}


@dataclass(frozen=True)
class Conversion:
    """What was converted.

    Args:
        files: the files that were written, relative to the folder.
        findings: what the logs lack, and what the format could not hold.
        counts: rows that were read, per table.
    """

    files: tuple[str, ...]
    findings: pl.DataFrame
    counts: Mapping[str, int]


def convert(
    paths: Sequence[str],
    to: str,
    out: Path,
    *,
    seconds: int,
    columns: Mapping[str, str] | None = None,
    models: Path | None = None,
    loss: str | None = None,
    task: str | None = None,
    filtered: str | None = None,
    keep_going: bool = False,
    cached: bool = True,
    advance: Callable[[int], None] | None = None,
) -> Conversion:
    """Read logs and write them in another format; the folder appears whole or not at all.

    Args:
        paths: files, folders, globs, or NAME=PATH.
        to: name in `WRITERS`.
        out: folder to write; it must not exist, or be empty.
        seconds: the present time, in seconds since 1970, for formats that ask for it.
        columns: role -> column name, for plain tables.
        models: table of model facts.
        loss: table of validation losses, FILE or LOSS_NAME=FILE.
        task: name of the task, where a file does not say.
        filtered: the harness's filter whose answers are taken; None takes them all.
        keep_going: list bad lines as findings instead of stopping at the first.
        cached: keep what is read of large files for the next time, and take what was kept.
        advance: called with numbers of bytes as they are read.

    Raises:
        UnknownNameError: no such format.
        ReadError: a file that cannot be read.
        StoreError: the folder is not empty.
    """
    if to not in WRITERS:
        raise UnknownNameError("format to write", to, WRITERS)
    if store.is_audit(out):
        raise StoreError(f"{out} is an audit folder; name another one, nothing was written")
    with store.draft_of(out) as draft, TemporaryDirectory() as scratch:
        writer = store.TableWriter(Path(scratch))
        summary = read(
            paths, sink=writer.write, columns=columns, models=models, loss=loss, task=task,
            filtered=filtered, keep_going=keep_going, require_facts=False, cached=cached,
            advance=advance,
        )  # fmt: skip
        writer.close(Models, Responses, Reported, Findings)
        tables = Read(Path(scratch), _library(summary), seconds)
        lost = pl.DataFrame(list(WRITERS[to](tables, draft)), schema=schema(Findings))
        findings = pl.concat([store.load(Path(scratch), Findings), conform(lost, Findings)])
        files = sorted(f.relative_to(draft).as_posix() for f in draft.rglob("*") if f.is_file())
        _record(draft, to, summary, findings)
    return Conversion(tuple(files), findings, summary.counts)


def _library(summary: ReadSummary) -> str:
    """The tool that wrote all the logs, or `unknown`."""
    names = {
        next((n for start, n in LIBRARIES.items() if file.reader.startswith(start)), "unknown")
        for file in summary.inputs
    }
    return names.pop() if len(names) == 1 else "unknown"


def _record(draft: Path, to: str, summary: ReadSummary, findings: pl.DataFrame) -> None:
    """What was made from what, and what got lost, for whoever opens the folder later."""
    record = {
        "saltus": __version__,
        "format": to,
        "inputs": [asdict(file) for file in summary.inputs],
        "rows": dict(summary.counts),
        "findings": findings.to_dicts(),
    }
    store.write_text(draft / RECORD, json.dumps(record, indent=1, allow_nan=False) + "\n")
