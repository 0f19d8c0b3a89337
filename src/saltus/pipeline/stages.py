"""The work of every verb on a draft: which tables it reads, what decides it, what it writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from saltus import store
from saltus.errors import SaltusError
from saltus.pipeline.job import Job
from saltus.tables import (
    TABLES,
    Bands,
    Disagreements,
    Estimates,
    Findings,
    Fits,
    LossThresholds,
    MetricCounts,
    MetricTests,
    Models,
    Reported,
    Responses,
    SameLoss,
    Scores,
    Sets,
    Stops,
    Sweeps,
    Triplets,
    Verdicts,
)

if TYPE_CHECKING:
    from saltus.metrics.extract import Extraction, FailedAs

FEW = 1000  # answers looked at to tell whether there are few
CHUNK = 20_000  # answers scored at a time
RESAMPLES = 999
POOLING = 1  # keeps the draws of the pooled noise apart from those of the tests
REPORT = ("report.html", "report.md", "report.json", "figures")
CLOSE_LOOK = (
    "livebench_contains", "word_edit_distance_without_preamble",
    "word_edit_distance_with_spaced_dashes", "word_error", "char_edit_distance",
    "char_edit_distance_without_preamble", "char_error", "rouge1_f", "rougeL_f_words",
    "rougeL_precision", "rougeL_recall", "rougeL_f", "rougeLsum_f",
)  # fmt: skip
SWEEP = ("sweep.html", "sweep.json")
LOSS = ("loss.html", "loss.json", "loss_figures")
ANSWERS = ("answers.html", "answers.md", "answers.json", "answers.csv")


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
        cached: keep what is read of large files for the next time, and take what was kept.
    """

    paths: tuple[str, ...]
    columns: Mapping[str, str]
    models: Path | None = None
    loss: str | None = None
    task: str | None = None
    filtered: str | None = None
    keep_going: bool = False
    require_facts: bool = True
    cached: bool = True


def read_before(source: Source, out: Path | str | None) -> Path | None:
    """The audit folder that is named instead of logs, to be judged where it is; None: logs are.

    Raises:
        SaltusError: it is to be judged elsewhere, or with options that only logs have.
    """
    place = Path(source.paths[0]) if len(source.paths) == 1 else None
    if place is None or not store.is_audit(place):
        return None
    if out is not None and Path(out).resolve() != place.resolve():
        raise SaltusError(
            f"{place} is an audit folder, which is judged where it is; leave out --out"
        )
    if source != Source(source.paths, {}):
        raise SaltusError(
            f"{place} was read before; --columns, --models, --loss, --task, --filter and "
            "--keep-going belong to `saltus read`"
        )
    return place


def read(job: Job, source: Source) -> bool:
    """Files to `models`, `responses`, `reported` and `findings`."""
    from saltus.readers.cache import digest_later
    from saltus.readers.read import find
    from saltus.readers.read import read as read_paths

    found = find(
        source.paths, cached=source.cached, progress=lambda share: job.progress("fetch", share)
    )
    digests = {file.path: digest_later(file.path, source.cached) for file in found}

    def options() -> dict[str, Any]:
        return {
            "columns": dict(source.columns),
            "task": source.task,
            "filtered": source.filtered,
            "keep_going": source.keep_going,
            "require_facts": source.require_facts,
            "inputs": [[file.name, file.model, digests[file.path]()] for file in found],
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
            cached=source.cached,
            sink=writer.write,
            found=found,
        )
        if summary.filters:
            raise SaltusError(_several_filters(summary.filters))
        job.manifest["inputs"] = [asdict(entry) for entry in summary.inputs]
        job.manifest["stages"] = {}  # what was made from other inputs counts no more

    return job.run("read", (), options, make, (Models, Responses, Reported, Findings, Stops))


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


def score(job: Job, metrics: Sequence[str] | None, extract: Extract) -> bool:
    """`responses` to `scores` and, for metrics of many answers at once, `sets`."""
    from saltus.metrics.extract import named
    from saltus.metrics.score import score as score_batch
    from saltus.metrics.scorers import scorers
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
        made: dict[str, dict[str, Any]] = {}
        given = {"extract": extract.name, "failed_as": extract.failed_as} if extract.name else {}
        for start in range(0, total, CHUNK):
            batch = score_batch(responses.slice(start, CHUNK).collect(), names, extraction)
            new = set(batch["metric"].unique()) - made.keys()
            made |= {entry["metric"]: entry for entry in scorers(new, given)}
            hashes = {name: entry["scorer"] for name, entry in made.items()}
            scorer = pl.col("metric").replace_strict(hashes, return_dtype=pl.String)
            writer.write(Scores, batch.with_columns(scorer=scorer))
            job.progress("score", min(1.0, (start + CHUNK) / total))
        job.manifest["scorers"] = sorted(made.values(), key=lambda entry: str(entry["metric"]))
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


def resolved(metric: str | None) -> str | None:
    """The name of the metric to judge, loaded first where it lies in the user's own file."""
    from saltus.metrics.users import resolve

    return None if metric is None else resolve(metric)


def with_default(job: Job, name: str | None) -> list[str] | None:
    """The metrics scored by default here and one more, where that can be scored from answers."""
    from saltus.metrics.metric import METRICS
    from saltus.metrics.score import applicable

    if name is None or name not in METRICS or METRICS[name].function is None:
        return None
    first = store.scan(job.draft, Responses).head(FEW).collect()
    return list(dict.fromkeys([*(entry.name for entry in applicable(first)), name]))


def estimate(job: Job) -> bool:
    """`scores`, `sets` and `reported` to `estimates`."""
    from saltus.estimates.estimate import estimate as make_estimates

    def make(writer: store.TableWriter) -> None:
        scores = store.scan(job.draft, Scores)
        tables = (job.load(Reported), job.load(Models), job.load(Sets), job.load(Stops))
        writer.write(Estimates, make_estimates(scores, *tables))

    return job.run("estimate", (Models, Reported, Stops, Scores, Sets), {}, make, (Estimates,))


def screen(job: Job) -> bool:
    """Everything so far to `findings`; those of the readers stay."""
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


def fit(job: Job, metric: str | None) -> bool:
    """`estimates` to `fits`."""
    from saltus.verdicts.assemble import assemble
    from saltus.verdicts.judge import fits

    def make(writer: store.TableWriter) -> None:
        writer.write(Fits, fits(assemble(job.load(Estimates), metric)))

    return job.run("fit", (Estimates,), {"metric": metric}, make, (Fits,))


def judge(job: Job, metric: str | None, resamples: int, pool: bool, tau: float | None) -> bool:
    """`estimates` and `findings` to `verdicts` and `bands`."""
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


def survey(job: Job, annotations: pl.DataFrame | None, axis: str, draws: int) -> bool:
    """`estimates` to `triplets`, `metric_counts` and `metric_tests`."""
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


def report(job: Job) -> bool:
    """All tables to the page, its twins and its figures."""
    from saltus.report.write import report as write_report

    def make(writer: store.TableWriter) -> None:
        store.discard(job.draft, *REPORT)
        tables = {table.name: store.load(job.draft, table) for table in TABLES}
        write_report(tables, job.manifest, job.draft)

    reads = (Models, Reported, Findings, Estimates, Fits, Verdicts, Bands)
    return job.run("report", reads, {}, make, ())


def answers(job: Job) -> bool:
    """`responses` and `scores` to the page of single answers."""
    from saltus.report.answers import answers_page

    def make(writer: store.TableWriter) -> None:
        store.discard(job.draft, *ANSWERS)
        answers_page(job.load(Responses), job.load(Scores), job.manifest, job.draft)

    return job.run("answers", (Responses, Scores), {}, make, ())


def sweep(job: Job, metrics: Sequence[str] | None, extract: Extract, axis: str | None) -> bool:
    """`responses` under every metric to `sweeps` and `disagreements`, and their page."""
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
            kept = (job.load(Reported), job.load(Models))
            tables = (*kept, store.load(scored, Sets), job.load(Stops))
            swept = sweep(make_estimates(scores, *tables), np.random.default_rng(seed), axis)
            apart = disagreements(scores, responses, extraction)
        writer.write(Sweeps, swept)
        writer.write(Disagreements, apart)
        store.discard(job.draft, *SWEEP)
        sweep_page(swept, apart, job.manifest, job.draft)

    options = {"metrics": names, "extract": asdict(extract), "axis": axis, "seed": seed}
    options["own"] = recorded(names or ())
    reads = (Models, Responses, Reported, Stops)
    return job.run("sweep", reads, options, make, (Sweeps, Disagreements))


def loss(
    job: Job,
    metric: str | None,
    families: bool,
    margin: float,
    bytes_per_token: Mapping[str, float],
) -> bool:
    """`estimates` to `same_loss` and `loss_thresholds`, and their page."""
    from saltus.losses.rows import groups, together
    from saltus.losses.same import same_loss
    from saltus.losses.suspicion import with_suspicion
    from saltus.losses.thresholds import loss_thresholds
    from saltus.report.loss import loss_page

    seed = job.manifest["seed"]

    def make(writer: store.TableWriter) -> None:
        estimates = job.load(Estimates)
        within = list(groups(estimates, job.load(Models), metric, bytes_per_token))
        across = list(together(within)) if families else []
        rng = np.random.default_rng(seed)
        same = same_loss(within, across, rng, margin=margin)
        bends = with_suspicion(loss_thresholds(within, rng), estimates)
        writer.write(SameLoss, same)
        writer.write(LossThresholds, bends)
        store.discard(job.draft, *LOSS)
        loss_page(within, across, same, bends, job.manifest, job.draft)

    options = {"metric": metric, "families": families, "margin": margin, "seed": seed}
    options["bytes_per_token"] = dict(bytes_per_token)
    return job.run("loss", (Estimates, Models), options, make, (SameLoss, LossThresholds))
