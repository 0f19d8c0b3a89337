"""The road, verb by verb: read, score, estimate, screen, fit, judge, report.

Every verb works on an audit folder (tables in, tables out) and does nothing when the folder
already holds its result for the same tables and options. `audit` is all of them in a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import polars as pl

from saltus import store
from saltus.pipeline import predictions, stages
from saltus.pipeline.job import Progress, job_on, silent
from saltus.pipeline.predictions import chosen, resolve, sealed
from saltus.pipeline.result import Audit, open_audit, why_unjudged
from saltus.pipeline.stages import CLOSE_LOOK, FEW, RESAMPLES, Extract, Source
from saltus.tables import Responses

if TYPE_CHECKING:
    from saltus.metrics.extract import FailedAs

__all__ = [
    "Audit", "audit", "backtest", "chosen", "estimate", "fit", "forecast", "judge", "loss",
    "open_audit", "proxies", "read", "report", "resolve", "score", "screen", "sealed", "survey",
    "sweep", "why_unjudged",
]  # fmt: skip

TEXTS = pl.col("output", "targets")


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
    cached: bool = True,
    command: str = "",
    progress: Progress = silent,
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
        cached: keep what is read of large files for the next time, and take what was kept.
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
        cached=cached,
    )
    with job_on(out, progress, new=True, command=command) as job:
        return stages.read(job, source)


def score(
    folder: Path,
    metrics: Sequence[str] | None = None,
    *,
    extract: str | None = None,
    failed_as: FailedAs = "missing",
    progress: Progress = silent,
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

    with job_on(folder, progress) as job:
        first = store.scan(job.draft, Responses).head(FEW).collect()
        close = few(first)
        whole = close and not first.filter(pl.any_horizontal(TEXTS.is_null())).height
        more = [entry.name for entry in applicable(first)] + list(CLOSE_LOOK) if whole else None
        done = stages.score(job, metrics or more, Extract(extract, failed_as))
        if close:
            stages.answers(job)
        return done


def sweep(
    folder: Path,
    metrics: Sequence[str] | None = None,
    *,
    extract: str | None = None,
    failed_as: FailedAs = "missing",
    axis: str | None = None,
    seed: int | None = None,
    progress: Progress = silent,
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
    with job_on(folder, progress, seed=seed) as job:
        return stages.sweep(job, metrics, Extract(extract, failed_as), axis)


def estimate(folder: Path, *, progress: Progress = silent) -> bool:
    """Scores and reported values to estimates with intervals."""
    with job_on(folder, progress) as job:
        return stages.estimate(job)


def screen(folder: Path, *, progress: Progress = silent) -> bool:
    """Suspicions that the harness, not the model, made a number."""
    with job_on(folder, progress) as job:
        return stages.screen(job)


def fit(folder: Path, metric: str | None = None, *, progress: Progress = silent) -> bool:
    """Smooth and broken curves through the estimates of every family and task."""
    with job_on(folder, progress) as job:
        return stages.fit(job, metric)


def judge(
    folder: Path,
    metric: str | None = None,
    *,
    seed: int | None = None,
    resamples: int = RESAMPLES,
    pool_noise: bool = False,
    tau: float | None = None,
    progress: Progress = silent,
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
    with job_on(folder, progress, seed=seed) as job:
        return stages.judge(job, metric, resamples, pool_noise, tau)


def survey(
    folder: Path,
    annotations: pl.DataFrame | None = None,
    *,
    axis: str = "params",
    draws: int = 1000,
    seed: int | None = None,
    progress: Progress = silent,
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
    with job_on(folder, progress, seed=seed) as job:
        return stages.survey(job, annotations, axis, draws)


def loss(
    folder: Path,
    metric: str | None = None,
    *,
    families: bool = False,
    margin: float = 0.02,
    bytes_per_token: Mapping[str, float] | None = None,
    seed: int | None = None,
    progress: Progress = silent,
) -> bool:
    """Performance against the pre-training loss: sameness, thresholds, and who reaches them.

    Args:
        folder: audit folder with estimates.
        metric: only this metric; None takes the thresholded one of each task and its partner.
        families: compare families too, where their losses have the same name.
        margin: share of the metric's range within which an effect is no difference.
        bytes_per_token: by family, or under "" for all: puts the loss in bits per byte.
        seed: of permutations and draws; None keeps the folder's.
        progress: called with the verb and the share that is done.

    Returns:
        Whether the work was done (False: the folder already holds its result).
    """
    with job_on(folder, progress, seed=seed) as job:
        return stages.loss(job, metric, families, margin, bytes_per_token or {})


def backtest(folder: Path, *, seed: int | None = None, progress: Progress = silent) -> bool:
    """Every forecaster on the hidden largest sizes of every family.

    Args:
        folder: audit folder with estimates.
        seed: of every draw; None keeps the folder's.
        progress: called with the verb and the share that is done.

    Returns:
        Whether the work was done (False: the folder already holds its result).
    """
    with job_on(folder, progress, seed=seed) as job:
        return predictions.backtest(job)


def forecast(
    folder: Path,
    at: Mapping[str, float | str],
    *,
    level: float | None = None,
    seed: int | None = None,
    progress: Progress = silent,
) -> bool:
    """What a model of a scale not yet seen would score, with the record of such forecasts.

    Args:
        folder: audit folder with estimates.
        at: params, tokens or flops of the model; what is left out follows the largest model.
        level: value whose passing is asked about, in the metric's unit.
        seed: of every draw; None keeps the folder's.
        progress: called with the verb and the share that is done.

    Returns:
        Whether the work was done (False: the folder already holds its result).

    Raises:
        SaltusError: an axis or a number that makes no sense, or no family with sizes.
    """
    from saltus.forecasts.forecast import parse_target

    target = parse_target({axis: str(value) for axis, value in at.items()})
    with job_on(folder, progress, seed=seed) as job:
        return predictions.forecast(job, target, level)


def proxies(folder: Path, *, progress: Progress = silent) -> bool:
    """Which continuous score at small scale ranks and predicts each thresholded metric.

    Args:
        folder: audit folder with estimates; answers with log-probabilities add single items.
        progress: called with the verb and the share that is done.

    Returns:
        Whether the work was done (False: the folder already holds its result).
    """
    with job_on(folder, progress) as job:
        return predictions.proxies(job)


def report(folder: Path, *, progress: Progress = silent) -> bool:
    """The page, its Markdown and JSON twins, and the figures."""
    with job_on(folder, progress) as job:
        return stages.report(job)


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
    cached: bool = True,
    seed: int = 0,
    resamples: int = RESAMPLES,
    pool_noise: bool = False,
    tau: float | None = None,
    command: str = "",
    notes: Sequence[str] = (),
    progress: Progress = silent,
) -> Audit:
    """Read logs, judge every family and task, and write a report.

    Args:
        paths: files, folders, globs, or NAME=PATH to name a run; or one audit folder whose
            tables are there already (read, trained or asked for), which is judged where it is.
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
        cached: keep what is read of large files for the next time, and take what was kept.
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
        cached=cached,
    )
    there = stages.read_before(source, out)
    with TemporaryDirectory() as scratch:
        out = there or out
        folder = Path(out) if out is not None else Path(scratch) / "audit"
        with job_on(folder, progress, new=True, seed=seed, command=command) as job:
            if not there:
                job.manifest["notes"] = list(notes)
                stages.read(job, source)
            metric = stages.resolved(metric)
            stages.score(job, stages.with_default(job, metric), Extract(extract, failed_as))
            stages.estimate(job)
            stages.screen(job)
            stages.fit(job, metric)
            stages.judge(job, metric, resamples, pool_noise, tau)
            if out is not None:
                stages.report(job)
        made = open_audit(folder)
        return made if out is not None else Audit(None, made.tables, made.manifest)
