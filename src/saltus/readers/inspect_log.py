"""Logs of Inspect AI: `.eval` archives and `.json` documents, without inspect-ai itself.

An `.eval` file is a zip of `header.json`, `summaries.json` and one member per sample and epoch;
of a run that goes on or was killed, only the journal tells what it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from saltus.errors import ReadError
from saltus.readers.archive import MAGIC, Archive, open_archive, place
from saltus.readers.files import DOCUMENT_BYTES, document, is_there
from saltus.readers.inspect_parts import LOG, REDUCTIONS, SAMPLE, SUMMARIES, Log, Reduction
from saltus.readers.inspect_rows import Rows
from saltus.readers.inspect_scores import aggregates
from saltus.readers.lm_eval import Run
from saltus.readers.mend import decode
from saltus.readers.reader import Batch, Faults, Finding, Head, Options, finding, reader
from saltus.readers.twins import refuse_twins

HEADER, START = "header.json", "_journal/start.json"
SUMMARY, REDUCED = "summaries.json", "reductions.json"
JOURNAL, SAMPLES = "_journal/summaries/", "samples/"
SHOTS = ("fewshot", "num_fewshot", "n_fewshot", "few_shot", "shots", "n_shots")
_STEP = re.compile(r"step[_-]?(\d{1,15})(?!\d)")


def _sniff_archive(head: Head) -> bool:
    names = (b"_journal/", b"header.json", b"samples/", b"summaries.json")
    return head.data.startswith(MAGIC) and any(name in head.data for name in names)


def _sniff_document(head: Head) -> bool:
    return {"version", "eval"} <= head.keys and bool({"status", "plan"} & head.keys)


def run_of(log: Log, options: Options) -> tuple[Run, str]:
    """Who was evaluated, and on which task."""
    task = options.task or log.eval.task
    revision = (log.eval.model_args or {}).get("revision")
    step = _STEP.search(revision) if isinstance(revision, str) else None
    stated = ((log.eval.task_args or {}).get(name) for name in SHOTS)
    shots = [count for count in stated if isinstance(count, int) and not isinstance(count, bool)]
    model = options.model or log.eval.model
    return Run(model, int(step[1]) if step else None, None, {task: shots[0]} if shots else {}), task


@reader(sniff=_sniff_archive, source="Inspect AI, `--log-format eval`")
def inspect_eval(path: Path, options: Options) -> Iterator[Batch]:
    """An `.eval` archive, sample by sample; a run that did not end gives what is there.

    Raises:
        ReadError: a damaged archive, or a member that is no part of a log, both named.
    """
    merged = merged_log(path)
    if merged is not None:
        message = f"{path.name}: is part of {merged.name}, which holds its samples; left out"
        yield Batch(findings=(finding("shards", message, severity="warning"),))
        return
    with open_archive(path) as archive:
        log = _header(archive)
        run, task = run_of(log, options)
        rows, faults = _rows(log, run, task, path), Faults(path, options.keep_going)
        models: pl.DataFrame | None = run.models([task])
        for name in _members(archive, SAMPLES):
            _add_member(archive, name, rows, faults)
            options.advance(archive.members[name].packed)
            if rows.full:
                yield rows.batch(models)
                models = None
        _add_summaries(archive, log, rows, faults)
        if not rows.seen and REDUCED in archive.members:
            log.reductions = decode(REDUCTIONS, _text(archive, REDUCED), place(path, REDUCED))
        yield from _rest(log, rows, models, faults, archive.members)


@reader(sniff=_sniff_document, source="Inspect AI, `--log-format json`")
def inspect_json(path: Path, options: Options) -> Iterator[Batch]:
    """One JSON document with all samples.

    Raises:
        ReadError: larger than 256 MB, not JSON, or a sample that is none.
    """
    if path.stat().st_size > DOCUMENT_BYTES:
        limit = DOCUMENT_BYTES >> 20
        what = f"a log of more than {limit} MB; make it an .eval: inspect log convert --to eval"
        raise ReadError(what, path)
    log = decode(LOG, document(path), path)
    run, task = run_of(log, options)
    rows, faults = _rows(log, run, task, path), Faults(path, options.keep_going)
    models: pl.DataFrame | None = run.models([task])
    for record, raw in enumerate(log.samples or [], 1):
        try:
            at = place(path, f"samples[{record - 1}]")
            rows.add(decode(SAMPLE, raw, at), at, f"{path.name}:{record}", len(bytes(raw)))
        except ReadError as fault:
            faults.take(fault)
        if rows.full:
            yield rows.batch(models)
            models = None
    yield from _rest(log, rows, models, faults, (HEADER,))


def _rows(log: Log, run: Run, task: str, path: Path) -> Rows:
    epochs = log.eval.config.epochs if log.eval.config else None
    return Rows(run.label(task), task, path.name, epochs=(epochs or 1) > 1)


def merged_log(path: Path) -> Path | None:
    """The merged log that a shard's samples are in, where it lies beside the shards.

    A shard `k` lies in `NAME.shards/k/`; the ledger of `NAME.eval` names what was merged.
    """
    companion = path.absolute().parent.parent
    if companion.suffix != ".shards":
        return None
    merged = companion.with_suffix(".eval")
    if not is_there(merged):
        return None
    with open_archive(merged) as archive:
        shards = _header(archive).eval.shards
    names = {entry.shard for entry in shards.ledger} if shards else set()
    return merged if path.absolute().parent.name in names else None


def _header(archive: Archive) -> Log:
    """The header, or what the journal knew when the run began.

    Raises:
        ReadError: neither is there.
    """
    for name in (HEADER, START):
        if name in archive.members:
            log = decode(LOG, _text(archive, name), place(archive.path, name))
            log.samples = None
            return log
    raise ReadError(f"a zip without {HEADER} and {START}; no log of Inspect AI", archive.path)


def _text(archive: Archive, name: str) -> bytes:
    """A member that is JSON.

    Raises:
        ReadError: it cannot be unpacked, or an object in it has one key twice.
    """
    data = archive.read(name)
    refuse_twins(data, place(archive.path, name))
    return data


def _members(archive: Archive, folder: str) -> list[str]:
    return [n for n in archive.members if n.startswith(folder) and n.endswith(".json")]


def _add_member(archive: Archive, name: str, rows: Rows, faults: Faults) -> None:
    try:
        data, at = _text(archive, name), place(archive.path, name)
        rows.add(decode(SAMPLE, data, at), at, f"{archive.path.name}:{name}", len(data))
    except ReadError as fault:
        faults.take(fault)


def _add_summaries(archive: Archive, log: Log, rows: Rows, faults: Faults) -> None:
    """Scores of the samples that are not there themselves, from their summaries."""
    if log.results and 0 < log.results.total_samples <= len(rows.seen):
        return
    journal = sorted(_members(archive, JOURNAL), key=lambda name: (len(name), name))
    for name in [SUMMARY] if SUMMARY in archive.members else journal:
        try:
            found = decode(SUMMARIES, _text(archive, name), place(archive.path, name))
        except ReadError as fault:
            faults.take(fault)
            continue
        latest = {summary.key: summary for summary in found}  # a sample run again comes later
        for summary in latest.values():
            rows.summary(summary, f"{archive.path.name}:{name}")


def _rest(
    log: Log, rows: Rows, models: pl.DataFrame | None, faults: Faults, members: object
) -> Iterator[Batch]:
    """Aggregates, reduced scores where there are no others, and the findings."""
    if not rows.seen:
        _add_reductions(log.reductions or [], rows)
    place = {"model": rows.model, "task": rows.task, "source": rows.name}
    for row in aggregates(log.results):
        rows.reported.append({**place, **row, "chance": rows.chance(row["metric"])})
    yield rows.batch(models)
    yield Batch(findings=(*faults.findings(), *rows.findings(), *_run_notes(log, rows)))


def _add_reductions(reductions: list[Reduction], rows: Rows) -> None:
    for reduction in reductions:
        for entry in reduction.samples:
            if entry.sample_id is not None:
                item, source = str(entry.sample_id), f"{rows.name}:{REDUCED}"
                rows.score(item, reduction.scorer, entry.value, source)


def _run_notes(log: Log, rows: Rows) -> Iterator[Finding]:
    """What the log says of itself that makes its numbers doubtful."""
    for name, count, message in (*_ending(log, rows), *_selection(log), *_merging(log, rows)):
        yield finding(
            name, f"{rows.name}: {message}", severity="warning", model=rows.model,
            task=rows.task, count=count,
        )  # fmt: skip


def _ending(log: Log, rows: Rows) -> Iterator[tuple[str, int, str]]:
    planned = log.results.total_samples if log.results else 0
    of = f" of {planned}" if planned else ""
    there = f"{len(rows.seen)}{of} samples are in the log"
    if log.status != "success" or len(rows.seen) < planned:
        yield "unfinished", max(1, len(rows.seen)), f"the run's status is {log.status!r}; {there}"
    elif log.invalidated and not rows.notes["invalidated"]:
        yield "invalidated", 1, "the log was marked invalid after the run"


def _selection(log: Log) -> Iterator[tuple[str, int, str]]:
    data = log.eval.dataset
    chosen = len(data.sample_ids or []) if data else 0
    if data and data.samples and 0 < chosen < data.samples and not data.shuffled:
        message = (
            f"{chosen:,} of {data.samples:,} items were evaluated; a prefix of a test set is no "
            "random sample of it"
        )
        yield "limit", chosen, message


def _merging(log: Log, rows: Rows) -> Iterator[tuple[str, int, str]]:
    ledger = log.eval.shards.ledger if log.eval.shards else []
    stated = sum(entry.samples for entry in ledger)
    if ledger and stated != len(rows.seen):
        message = f"its {len(ledger)} shards had {stated} samples, the log has {len(rows.seen)}"
        yield "shards", abs(stated - len(rows.seen)), message
