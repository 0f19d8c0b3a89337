"""The road, verb by verb: read, score, estimate, screen, fit, judge, report.

Every verb works on an audit folder (tables in, tables out) and does nothing when the folder
already holds its result for the same tables and options. `audit` is all of them in a row.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from saltus import store
from saltus.errors import SaltusError
from saltus.tables import (
    TABLES,
    Bands,
    Disagreements,
    Estimates,
    Findings,
    Fits,
    MetricCounts,
    MetricTests,
    Models,
    Reported,
    Responses,
    Scores,
    Sets,
    Sweeps,
    Table,
    Triplets,
    Verdicts,
)

if TYPE_CHECKING:
    from saltus.metrics.extract import Extraction, FailedAs

Progress = Callable[[str, float | None], None]  # verb, share done (None: not known)
FEW = 1000  # answers looked at to tell whether there are few
CHUNK = 20_000  # answers scored at a time
RESAMPLES = 999
POOLING = 1  # keeps the draws of the pooled noise apart from those of the tests
REPORT = ("report.html", "report.md", "report.json", "figures")
# What answers few enough to be read one by one are scored by, beside the default metrics.
CLOSE_LOOK = (
    "livebench_contains", "word_edit_distance_without_preamble",
    "word_edit_distance_with_spaced_dashes", "word_error", "char_edit_distance",
    "char_edit_distance_without_preamble", "char_error", "rouge1_f", "rougeL_f_words",
    "rougeL_precision", "rougeL_recall", "rougeL_f", "rougeLsum_f",
)  # fmt: skip
SWEEP = ("sweep.html", "sweep.json")
ANSWERS = ("answers.html", "answers.md", "answers.json", "answers.csv")


def _silent(verb: str, share: float | None) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class Audit:
    """An audit folder, opened.

    Args:
        folder: where it lies; None when the audit was made in memory only.
        tables: every table by name.
        manifest: versions, seed, command and inputs.
    """

    folder: Path | None
    tables: Mapping[str, pl.DataFrame]
    manifest: Mapping[str, Any]

    @property
    def verdicts(self) -> pl.DataFrame:
        """One row per family, regime, task and axis."""
        return self.tables["verdicts"]

    @property
    def estimates(self) -> pl.DataFrame:
        """One row per model, task and metric."""
        return self.tables["estimates"]

    @property
    def findings(self) -> pl.DataFrame:
        """What the screens and the readers saw."""
        return self.tables["findings"]

    def judged(self) -> pl.DataFrame:
        """The verdicts that say more than that nothing could be said."""
        return self.verdicts.filter(pl.col("verdict") != "INCONCLUSIVE")

    def _repr_html_(self) -> str:
        counts = self.verdicts["verdict"].value_counts(sort=True).rows()
        words = ", ".join(f"{html.escape(name)}: {count}" for name, count in counts) or "none"
        shown = self.verdicts.select("family", "regime", "task", "axis", "verdict", "sentence")
        table: str = shown._repr_html_()
        return f"<p><strong>Verdicts</strong>: {words}</p>{table}"


def open_audit(folder: Path) -> Audit:
    """Every table of an audit folder.

    Raises:
        StoreError: it is not an audit folder.
    """
    manifest = store.load_manifest(folder)
    return Audit(folder, {table.name: store.load(folder, table) for table in TABLES}, manifest)


def why_unjudged(audit: Audit) -> str:
    """Why an audit came to no verdict, in one sentence."""
    if audit.estimates.is_empty():
        return "the input holds no answers that could be scored and no reported scores."
    axes = ("params", "tokens", "flops", "loss")
    placed = audit.estimates.filter(pl.any_horizontal(pl.col(axes).is_not_null()))
    if placed.is_empty():
        models = audit.tables["models"]["model_name"].n_unique()
        return (
            f"there is no scale axis. None of the {models} models has a known size, training "
            "tokens, FLOPs or loss, so nothing can be seen to change with scale; name them with "
            "`--models FILE` (columns model, family, params, tokens, flops)."
        )
    if audit.verdicts.is_empty():
        return "no family has a task with a metric whose facts Saltus knows (`saltus list`)."
    reasons = audit.verdicts["reason"].value_counts(sort=True).rows()
    counts = "; ".join(f"{count} x {name}" for name, count in reasons)
    most = max(audit.verdicts["scales"].to_list())
    everyone = audit.tables["models"]
    unknown = everyone.filter(pl.all_horizontal(pl.col(axes).is_null())).height
    return (
        f"{counts}. The longest scale axis of one family has {most} scales; {unknown} of "
        f"{everyone.height} models have no known size, tokens, FLOPs or loss (`--models FILE` "
        "names them)."
    )


@dataclass(frozen=True)
class Job:
    """A draft of an audit folder that verbs work on, one after the other."""

    draft: Path
    manifest: dict[str, Any]
    progress: Progress

    def load(self, table: type[Table]) -> pl.DataFrame:
        """A whole table of the draft."""
        return store.load(self.draft, table)

    def run(
        self,
        verb: str,
        reads: tuple[type[Table], ...],
        options: Mapping[str, Any],
        make: Callable[[store.TableWriter], None],
        writes: tuple[type[Table], ...],
    ) -> bool:
        """Do the verb's work unless the draft holds its result; say so on the way."""
        self.progress(verb, 0.0)
        done = store.run_stage(self.draft, self.manifest, verb, reads, options, make, writes)
        self.progress(verb, 1.0)
        return done


@contextmanager
def _job(
    folder: Path,
    progress: Progress,
    *,
    new: bool = False,
    seed: int | None = None,
    command: str = "",
) -> Iterator[Job]:
    """A job on a folder, which changes as a whole when the block ends without an error."""
    if not new:
        store.load_manifest(folder)
    with store.draft_of(folder) as draft:
        fresh = not store.is_audit(draft)
        manifest = store.new_manifest() if fresh else store.load_manifest(draft)
        if seed is not None:
            manifest["seed"] = seed
        if command:
            manifest["command"] = command
        if manifest.get("metrics"):
            from saltus.metrics.users import remember

            remember(manifest["metrics"])
        yield Job(draft, manifest, progress)
        store.save_manifest(draft, manifest)


@dataclass(frozen=True)
class Source:
    """What to read, and how.

    Args:
        paths: files, folders, globs, or NAME=PATH to name a run.
        columns: role to column name, for plain tables.
        models: table of model facts (sizes, tokens, FLOPs, family) that overrides our own.
        loss: table of validation losses, FILE or LOSS_NAME=FILE.
        task: task name, for tables that have none.
        filtered: the harness's filter whose answers are taken.
        keep_going: list bad lines as findings instead of stopping at the first.
        require_facts: refuse models whose family and size nobody states.
    """

    paths: tuple[str, ...]
    columns: Mapping[str, str]
    models: Path | None = None
    loss: str | None = None
    task: str | None = None
    filtered: str | None = None
    keep_going: bool = False
    require_facts: bool = True


def _read(job: Job, source: Source) -> bool:
    from saltus.readers.read import find
    from saltus.readers.read import read as read_paths

    options = {
        "columns": dict(source.columns),
        "task": source.task,
        "filtered": source.filtered,
        "keep_going": source.keep_going,
        "require_facts": source.require_facts,
        "inputs": [
            [str(found.path), found.model, store.sha256(found.path)] for found in find(source.paths)
        ],
        "models": [str(source.models), store.sha256(source.models)] if source.models else None,
        "loss": _loss_digest(source.loss),
    }

    def make(writer: store.TableWriter) -> None:
        summary = read_paths(
            source.paths,
            columns=source.columns,
            models=source.models,
            loss=source.loss,
            task=source.task,
            filtered=source.filtered,
            keep_going=source.keep_going,
            require_facts=source.require_facts,
            sink=writer.write,
        )
        if summary.filters:
            raise SaltusError(_several_filters(summary.filters))
        job.manifest["inputs"] = [asdict(entry) for entry in summary.inputs]
        job.manifest["stages"] = {}  # what was made from other inputs counts no more

    return job.run("read", (), options, make, (Models, Responses, Reported, Findings))


def _loss_digest(loss: str | None) -> list[str] | None:
    if loss is None:
        return None
    place = Path(loss if Path(loss).is_file() else loss.partition("=")[2])
    return [loss, store.sha256(place)] if place.is_file() else [loss]


def _several_filters(filters: Mapping[str, Sequence[str]]) -> str:
    task, names = sorted(filters.items())[0]
    more = f" (and {len(filters) - 1} more tasks)" if len(filters) > 1 else ""
    return (
        f"the answers to {task!r}{more} stand in the log under several filters, once for each of "
        f"{', '.join(names)}; say which one counts with --filter NAME"
    )


@dataclass(frozen=True)
class Extract:
    """Where the answer stands in a reply.

    Args:
        name: an extractor, `NAME[:PARAMETER]`, or several to be tried in order; None takes the
            reply as it is.
        failed_as: "missing" or "wrong": what a reply without an answer counts as.
    """

    name: str | None = None
    failed_as: FailedAs = "missing"


def _score(job: Job, metrics: Sequence[str] | None, extract: Extract) -> bool:
    from saltus.metrics.extract import named
    from saltus.metrics.score import score as score_batch
    from saltus.metrics.users import recorded, resolve

    names = None if metrics is None else [resolve(name) for name in metrics]
    extraction = named(extract.name, extract.failed_as) if extract.name else None
    job.manifest["metrics"] = recorded(names or ())
    options = {
        "metrics": names,
        "extract": asdict(extract) if extract.name else None,
        "own": job.manifest["metrics"],
    }

    def make(writer: store.TableWriter) -> None:
        responses = store.scan(job.draft, Responses)
        total = responses.select(pl.len()).collect().item()
        for start in range(0, total, CHUNK):
            batch = responses.slice(start, CHUNK).collect()
            writer.write(Scores, score_batch(batch, names, extraction))
            job.progress("score", min(1.0, (start + CHUNK) / total))
        _score_sets(responses, names, extraction, writer)

    return job.run("score", (Responses,), options, make, (Scores, Sets))


def _score_sets(
    responses: pl.LazyFrame,
    metrics: Sequence[str] | None,
    extraction: Extraction | None,
    writer: store.TableWriter,
) -> None:
    """Metrics of all answers of a model to a task at once, one model in memory at a time."""
    from saltus.metrics.score import named, score_sets

    if not any(entry.kind == "set" for entry in named(metrics or ())):
        return
    models = responses.select("model").unique().collect()["model"].sort()
    for model in models:
        rows = responses.filter(pl.col("model") == model).collect()
        writer.write(Sets, score_sets(rows, metrics or (), extraction))


def _resolved(metric: str | None) -> str | None:
    """The name of the metric to judge, loaded first where it lies in the user's own file."""
    from saltus.metrics.users import resolve

    return None if metric is None else resolve(metric)


def _with_default(name: str | None) -> list[str] | None:
    """The metrics scored by default and one more, where that can be scored from answers."""
    from saltus.metrics.metric import METRICS

    if name is None or name not in METRICS or METRICS[name].function is None:
        return None
    return [entry.name for entry in METRICS if entry.default or entry.name == name]


def _estimate(job: Job) -> bool:
    from saltus.estimates.estimate import estimate as make_estimates

    def make(writer: store.TableWriter) -> None:
        scores = store.scan(job.draft, Scores)
        tables = (job.load(Reported), job.load(Models), job.load(Sets))
        writer.write(Estimates, make_estimates(scores, *tables))

    return job.run("estimate", (Models, Reported, Scores, Sets), {}, make, (Estimates,))


def _screen(job: Job) -> bool:
    from saltus.screens.screen import Evidence
    from saltus.screens.screen import screen as run_screens

    def make(writer: store.TableWriter) -> None:
        evidence = Evidence(
            models=job.load(Models),
            responses=store.scan(job.draft, Responses),
            reported=job.load(Reported),
            estimates=job.load(Estimates),
        )
        kept = job.load(Findings).filter(pl.col("screen").str.starts_with("read"))
        writer.write(Findings, pl.concat([kept, run_screens(evidence)]))

    return job.run("screen", (Models, Responses, Reported, Estimates), {}, make, (Findings,))


def _fit(job: Job, metric: str | None) -> bool:
    from saltus.verdicts.assemble import assemble
    from saltus.verdicts.judge import fits

    def make(writer: store.TableWriter) -> None:
        writer.write(Fits, fits(assemble(job.load(Estimates), metric)))

    return job.run("fit", (Estimates,), {"metric": metric}, make, (Fits,))


def _judge(job: Job, metric: str | None, resamples: int, pool: bool, tau: float | None) -> bool:
    from saltus.verdicts.assemble import assemble
    from saltus.verdicts.band import bands
    from saltus.verdicts.flag import flag
    from saltus.verdicts.judge import judge as pass_judgement
    from saltus.verdicts.pooled import pool_noise

    seed = job.manifest["seed"]

    def make(writer: store.TableWriter) -> None:
        series = assemble(job.load(Estimates), metric, tau)
        rng = np.random.default_rng(seed)
        if pool:
            series = pool_noise(series, np.random.default_rng([seed, POOLING]))
        verdicts = pass_judgement(series, rng, resamples=resamples)
        writer.write(Verdicts, flag(verdicts, job.load(Findings)))
        writer.write(Bands, bands(series, rng))

    options = {
        "metric": metric,
        "seed": seed,
        "resamples": resamples,
        "pool_noise": pool,
        "tau": tau,
    }
    return job.run("judge", (Estimates, Findings), options, make, (Verdicts, Bands))


def _survey(job: Job, annotations: pl.DataFrame | None, axis: str, draws: int) -> bool:
    from saltus.verdicts.survey import annotate
    from saltus.verdicts.survey import survey as make_survey

    seed = job.manifest["seed"]

    def make(writer: store.TableWriter) -> None:
        found = make_survey(job.load(Estimates), np.random.default_rng(seed), draws, axis)
        triplets = found.triplets
        if annotations is not None:
            triplets = annotate(triplets, annotations, "annotation")
        writer.write(Triplets, triplets.rename({"class": "reaction"}))
        writer.write(MetricCounts, found.metrics.rename({"class": "reaction"}))
        writer.write(MetricTests, found.tests)

    written = None if annotations is None else annotations.rows()
    options = {"seed": seed, "axis": axis, "draws": draws, "annotations": written}
    made = (Triplets, MetricCounts, MetricTests)
    return job.run("survey", (Estimates,), options, make, made)


def _report(job: Job) -> bool:
    from saltus.report.write import report as write_report

    def make(writer: store.TableWriter) -> None:
        store.discard(job.draft, *REPORT)
        tables = {table.name: store.load(job.draft, table) for table in TABLES}
        write_report(tables, job.manifest, job.draft)

    reads = (Models, Reported, Findings, Estimates, Fits, Verdicts, Bands)
    return job.run("report", reads, {}, make, ())


def _answers(job: Job) -> bool:
    from saltus.report.answers import answers_page

    def make(writer: store.TableWriter) -> None:
        store.discard(job.draft, *ANSWERS)
        answers_page(job.load(Responses), job.load(Scores), job.manifest, job.draft)

    return job.run("answers", (Responses, Scores), {}, make, ())


def _sweep(job: Job, metrics: Sequence[str] | None, extract: Extract, axis: str | None) -> bool:
    from saltus.estimates.estimate import estimate as make_estimates
    from saltus.metrics.extract import named
    from saltus.metrics.users import recorded, resolve
    from saltus.report.sweep import sweep_page
    from saltus.verdicts.disagree import disagreements
    from saltus.verdicts.sweep import score_all, sweep

    names = None if metrics is None else [resolve(name) for name in metrics]
    extraction = named(extract.name, extract.failed_as) if extract.name else None
    seed = job.manifest["seed"]

    def make(writer: store.TableWriter) -> None:
        responses = store.scan(job.draft, Responses)
        with TemporaryDirectory() as scratch:
            scored = Path(scratch)
            score_all(responses, names, extraction, scored, job.progress)
            scores = store.scan(scored, Scores)
            tables = (job.load(Reported), job.load(Models), store.load(scored, Sets))
            swept = sweep(make_estimates(scores, *tables), np.random.default_rng(seed), axis)
            apart = disagreements(scores, responses, extraction)
        writer.write(Sweeps, swept)
        writer.write(Disagreements, apart)
        store.discard(job.draft, *SWEEP)
        sweep_page(swept, apart, job.manifest, job.draft)

    options = {"metrics": names, "extract": asdict(extract), "axis": axis, "seed": seed}
    options["own"] = recorded(names or ())
    reads = (Models, Responses, Reported)
    return job.run("sweep", reads, options, make, (Sweeps, Disagreements))


def _source(paths: Sequence[str | Path] | str | Path, **options: Any) -> Source:
    many = [paths] if isinstance(paths, str | Path) else paths
    columns = options.pop("columns", None) or {}
    return Source(tuple(map(str, many)), columns, **options)


def read(
    paths: Sequence[str | Path] | str | Path,
    out: Path,
    *,
    columns: Mapping[str, str] | None = None,
    models: Path | None = None,
    loss: str | None = None,
    task: str | None = None,
    filtered: str | None = None,
    keep_going: bool = False,
    require_facts: bool = True,
    command: str = "",
    progress: Progress = _silent,
) -> bool:
    """Logs to the tables `models`, `responses`, `reported` and `findings` of a folder.

    Args:
        paths: files, folders, globs, or NAME=PATH to name a run.
        out: audit folder to make or to change.
        columns: role to column name, for plain tables.
        models: table of model facts (sizes, tokens, FLOPs, family) that overrides our own.
        loss: table of validation losses, FILE or LOSS_NAME=FILE.
        task: task name, for tables that have none.
        filtered: the harness's filter whose answers are taken.
        keep_going: list bad lines as findings instead of stopping at the first.
        require_facts: refuse models whose family and size nobody states.
        command: recorded in the manifest.
        progress: called with the verb and the share that is done.

    Returns:
        Whether anything was read (False: the folder already holds these inputs).

    Raises:
        SaltusError: a file cannot be read, with its place and the mend.
    """
    source = _source(
        paths,
        columns=columns,
        models=models,
        loss=loss,
        task=task,
        filtered=filtered,
        keep_going=keep_going,
        require_facts=require_facts,
    )
    with _job(out, progress, new=True, command=command) as job:
        return _read(job, source)


def score(
    folder: Path,
    metrics: Sequence[str] | None = None,
    *,
    extract: str | None = None,
    failed_as: FailedAs = "missing",
    progress: Progress = _silent,
) -> bool:
    """Answers to scores: the metrics that apply by default, or the named ones.

    Answers few enough to be read one by one get more metrics and a page with their words.

    Args:
        folder: audit folder with answers.
        metrics: names of metrics; None for the default.
        extract: extractor that finds the answer in a reply; None takes the reply.
        failed_as: "missing" or "wrong": what a reply without an answer counts as.
        progress: called with the verb and the share that is done.

    Returns:
        Whether the work was done (False: the folder already holds its result).
    """
    from saltus.metrics.score import applicable
    from saltus.report.answers import few

    with _job(folder, progress) as job:
        first = store.scan(job.draft, Responses).head(FEW).collect()
        close = few(first)
        more = [entry.name for entry in applicable(first)] + list(CLOSE_LOOK) if close else None
        done = _score(job, metrics or more, Extract(extract, failed_as))
        if close:
            _answers(job)
        return done


def sweep(
    folder: Path,
    metrics: Sequence[str] | None = None,
    *,
    extract: str | None = None,
    failed_as: FailedAs = "missing",
    axis: str | None = None,
    seed: int | None = None,
    progress: Progress = _silent,
) -> bool:
    """The same answers under every metric that applies, and where the metrics disagree.

    Args:
        folder: audit folder that was read.
        metrics: names of metrics; None for all that apply.
        extract: extractor that finds the answer in a reply; None takes the reply.
        failed_as: "missing" or "wrong": what a reply without an answer counts as.
        axis: params, tokens, flops or loss; None takes the first that serves.
        seed: of the resampled means; None keeps the folder's.
        progress: called with the verb and the share that is done.

    Returns:
        Whether the work was done (False: the folder already holds its result).
    """
    with _job(folder, progress, seed=seed) as job:
        return _sweep(job, metrics, Extract(extract, failed_as), axis)


def estimate(folder: Path, *, progress: Progress = _silent) -> bool:
    """Scores and reported values to estimates with intervals."""
    with _job(folder, progress) as job:
        return _estimate(job)


def screen(folder: Path, *, progress: Progress = _silent) -> bool:
    """Suspicions that the harness, not the model, made a number."""
    with _job(folder, progress) as job:
        return _screen(job)


def fit(folder: Path, metric: str | None = None, *, progress: Progress = _silent) -> bool:
    """Smooth and broken curves through the estimates of every family and task."""
    with _job(folder, progress) as job:
        return _fit(job, metric)


def judge(
    folder: Path,
    metric: str | None = None,
    *,
    seed: int | None = None,
    resamples: int = RESAMPLES,
    pool_noise: bool = False,
    tau: float | None = None,
    progress: Progress = _silent,
) -> bool:
    """A verdict for every family, regime, task and axis.

    Args:
        folder: audit folder with estimates.
        metric: thresholded metric to judge; None takes the first that fits each task.
        seed: of every bootstrap.
        resamples: bootstrap draws per test.
        pool_noise: measure the model noise over all tasks of a family (docs/experiments.md).
        tau: model noise on the link scale, where it is known; None measures it if it can.
        progress: called with the verb and the share that is done.

    Returns:
        Whether the work was done (False: the folder already holds its result).
    """
    with _job(folder, progress, seed=seed) as job:
        return _judge(job, metric, resamples, pool_noise, tau)


def survey(
    folder: Path,
    annotations: pl.DataFrame | None = None,
    *,
    axis: str = "params",
    draws: int = 1000,
    seed: int | None = None,
    progress: Progress = _silent,
) -> bool:
    """Every task x metric x family of the folder under the emergence score.

    Args:
        folder: audit folder with estimates.
        annotations: what people called the tasks: columns task and annotation.
        axis: params or flops.
        draws: most draws per null.
        seed: of the nulls.
        progress: called with the verb and the share that is done.

    Returns:
        Whether the work was done (False: the folder already holds its result).
    """
    with _job(folder, progress, seed=seed) as job:
        return _survey(job, annotations, axis, draws)


def report(folder: Path, *, progress: Progress = _silent) -> bool:
    """The page, its Markdown and JSON twins, and the figures."""
    with _job(folder, progress) as job:
        return _report(job)


def audit(
    paths: Sequence[str | Path] | str | Path,
    out: Path | str | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    models: Path | None = None,
    loss: str | None = None,
    task: str | None = None,
    filtered: str | None = None,
    metric: str | None = None,
    extract: str | None = None,
    failed_as: FailedAs = "missing",
    keep_going: bool = False,
    seed: int = 0,
    resamples: int = RESAMPLES,
    pool_noise: bool = False,
    tau: float | None = None,
    command: str = "",
    notes: Sequence[str] = (),
    progress: Progress = _silent,
) -> Audit:
    """Read logs, judge every family and task, and write a report.

    Args:
        paths: files, folders, globs, or NAME=PATH to name a run.
        out: audit folder; None keeps the tables in memory and writes no page.
        columns: role to column name, for plain tables.
        models: table of model facts that overrides our own.
        loss: table of validation losses, FILE or LOSS_NAME=FILE.
        task: task name, for tables that have none.
        filtered: the harness's filter whose answers are taken.
        metric: thresholded metric to judge; None takes the first that fits each task.
        extract: extractor that finds the answer in a reply; None takes the reply.
        failed_as: "missing" or "wrong": what a reply without an answer counts as.
        keep_going: list bad lines as findings instead of stopping at the first.
        seed: of every resampling step.
        resamples: bootstrap draws per test.
        pool_noise: measure the model noise over all tasks of a family (docs/experiments.md).
        tau: model noise on the link scale, where it is known; None measures it if it can.
        command: recorded in the manifest.
        notes: what a reader of the page must know of the data, recorded in the manifest.
        progress: called with the verb and the share that is done.

    Returns:
        The tables and the manifest.

    Raises:
        SaltusError: an input cannot be read, with its place and the mend.
    """
    source = _source(
        paths,
        columns=columns,
        models=models,
        loss=loss,
        task=task,
        filtered=filtered,
        keep_going=keep_going,
    )
    with TemporaryDirectory() as scratch:
        folder = Path(out) if out is not None else Path(scratch) / "audit"
        with _job(folder, progress, new=True, seed=seed, command=command) as job:
            job.manifest["notes"] = list(notes)
            _read(job, source)
            metric = _resolved(metric)
            _score(job, _with_default(metric), Extract(extract, failed_as))
            _estimate(job)
            _screen(job)
            _fit(job, metric)
            _judge(job, metric, resamples, pool_noise, tau)
            if out is not None:
                _report(job)
        made = open_audit(folder)
        return made if out is not None else Audit(None, made.tables, made.manifest)
