"""The verbs of the road, each a few lines: parse, call one function, print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from saltus.cli.common import (
    CLEAN,
    EXAMPLES,
    FOLDER,
    JSON,
    METRIC,
    POOL,
    RESAMPLES,
    SEED,
    TAU,
    UNJUDGED,
    answers_folder,
    command_line,
    done,
    extraction_options,
    named_logs,
    out_folder,
    progress_bars,
    reading_options,
    show,
)

if TYPE_CHECKING:
    import polars as pl

    from saltus.metrics.extract import FailedAs


EXAMPLE_NOTES = {
    "trained": "The models of this page are small transformers that Saltus trained itself (seed 0 "
    "of the families multiplication and addition, docs/training.md): real networks, toy tasks. "
    "Exact match jumps in both. The errors of multiplication fall smoothly all along; addition is "
    "learnt at once, under every metric.",
    "synthetic": "The data of this page are synthetic: Saltus made this family itself, from "
    "formulas, so that the truth is known. synthetic_metric_jump improves smoothly and only exact "
    "match jumps; synthetic_true_break breaks under every metric; synthetic_gradual rises; "
    "synthetic_chance stays at chance. No real model was asked.",
}


@click.command()
@reading_options
@JSON
def read(
    logs: tuple[str, ...],
    out: Path | None,
    as_json: bool,
    **reading: Any,
) -> None:
    """Read LOGS into the tables of an audit folder.

    Models whose family nobody states are read and named; `audit` refuses them.

    \b
        saltus read results/ --out audit/
        saltus read 's3://bucket/*/samples_*.jsonl' --out audit/
    """
    from saltus import pipeline, store
    from saltus.cli.findings import counted, summary
    from saltus.tables import Findings, Models, Reported, Responses

    logs = named_logs(logs)
    folder = out_folder(out, logs)
    with progress_bars() as progress:
        fresh = pipeline.read(
            logs,
            folder,
            require_facts=False,
            command=command_line(),
            **reading,
            progress=progress,
        )
    models, findings = store.load(folder, Models), store.load(folder, Findings)
    for message in findings.filter(screen="read.unknown_models")["message"]:
        click.echo(f"Note: {message}", err=True)
    known = [name for name in models.columns if models[name].null_count() < models.height]
    show(models if as_json else models.select(n for n in known if n != "model_name"), as_json)
    rows = {table.name: store.height(folder, table) for table in (Responses, Reported, Models)}
    click.echo(summary(store.load_manifest(folder)["inputs"], rows), err=True)
    hint = f" (saltus screen {folder} shows them)" if findings.height else ""
    click.echo(f"{counted(findings)}{hint}", err=True)
    done(folder, "read", fresh)


@click.command()
@reading_options
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    help="Metric to score, or FILE.py@FUNCTION; the default ones that fit if out.",
)
@extraction_options
@JSON
def score(
    logs: tuple[str, ...],
    out: Path | None,
    metrics: tuple[str, ...],
    extract: str | None,
    failed_as: FailedAs,
    as_json: bool,
    **reading: Any,
) -> None:
    """Score recorded answers: LOGS, or an audit folder that was read before.

    \b
        saltus score answers.md --out scored/
        saltus score audit/ --metric exact_match --metric word_error
        saltus score replies.jsonl --extract last_number --metric numeric_match
        saltus score audit/ --metric mine.py@closeness
    """
    from saltus import pipeline, store
    from saltus.tables import Scores, Sets

    logs = named_logs(logs)
    named = tuple(metrics) or None
    with progress_bars() as progress:
        folder = answers_folder(logs, out, reading, progress)
        fresh = pipeline.score(
            folder, named, extract=extract, failed_as=failed_as, progress=progress
        )
    scores, sets = store.load(folder, Scores), store.load(folder, Sets)
    if scores.height or not sets.height:
        show(scores if as_json else _means(scores), as_json)
    if sets.height:
        show(sets, as_json)
    done(folder, "score", fresh)
    if (folder / "answers.html").is_file():
        click.echo(f"page: {folder / 'answers.html'}", err=True)


def _means(scores: pl.DataFrame) -> pl.DataFrame:
    """One row per model and task, one column per metric."""
    wide = scores.pivot(
        "metric", index=["task", "model", "sample"], values="value", aggregate_function="mean"
    )
    return wide if wide["sample"].n_unique() > 1 else wide.drop("sample")


@click.command()
@FOLDER
@JSON
def estimate(folder: Path, as_json: bool) -> None:
    """Estimate means with intervals from the scores of FOLDER.

    \b
        saltus estimate audit/
    """
    from saltus import pipeline, store
    from saltus.tables import Estimates

    with progress_bars() as progress:
        fresh = pipeline.estimate(folder, progress=progress)
    frame = store.load(folder, Estimates)
    shown = ("model", "task", "metric", "value", "low", "high", "items", "method")
    show(frame if as_json else frame.select(shown), as_json)
    done(folder, "estimate", fresh)


@click.command()
@FOLDER
@JSON
def screen(folder: Path, as_json: bool) -> None:
    """Look for numbers that the harness, not the model, made.

    \b
        saltus screen audit/
    """
    from saltus import pipeline, store
    from saltus.cli.findings import show_findings
    from saltus.tables import Findings

    with progress_bars() as progress:
        fresh = pipeline.screen(folder, progress=progress)
    show_findings(store.load(folder, Findings), as_json)
    done(folder, "screen", fresh)


@click.command()
@FOLDER
@METRIC
@JSON
def fit(folder: Path, metric: str | None, as_json: bool) -> None:
    """Fit smooth and broken curves to every family and task of FOLDER.

    \b
        saltus fit audit/
    """
    from saltus import pipeline, store
    from saltus.tables import Fits

    with progress_bars() as progress:
        fresh = pipeline.fit(folder, metric, progress=progress)
    frame = store.load(folder, Fits)
    shown = ("family", "task", "axis", "metric", "curve", "rss", "status")
    show(frame if as_json else frame.select(shown), as_json)
    done(folder, "fit", fresh)


@click.command()
@FOLDER
@METRIC
@SEED
@RESAMPLES
@POOL
@TAU
@JSON
def judge(
    folder: Path,
    metric: str | None,
    seed: int,
    resamples: int,
    pool_noise: bool,
    tau: float | None,
    as_json: bool,
) -> None:
    """Give a verdict for every family, task and axis of FOLDER.

    \b
        saltus judge audit/ --seed 1
    """
    from saltus import pipeline, store
    from saltus.tables import Verdicts

    with progress_bars() as progress:
        fresh = pipeline.judge(
            folder,
            metric,
            seed=seed,
            resamples=resamples,
            pool_noise=pool_noise,
            tau=tau,
            progress=progress,
        )
    _verdicts(store.load(folder, Verdicts), as_json)
    done(folder, "judge", fresh)


@click.command()
@FOLDER
@JSON
def report(folder: Path, as_json: bool) -> None:
    """Write the page, its Markdown and JSON, and the figures of FOLDER.

    \b
        saltus report audit/
    """
    from saltus import pipeline, store
    from saltus.tables import Verdicts

    with progress_bars() as progress:
        fresh = pipeline.report(folder, progress=progress)
    if as_json:
        show(store.load(folder, Verdicts), as_json)
    done(folder, "report", fresh)
    click.echo(f"page: {folder / 'report.html'}", err=as_json)


@click.command()
@reading_options
@click.option(
    "--example",
    is_flag=False,
    flag_value="trained",
    type=click.Choice(list(EXAMPLES)),
    help="Audit an example that ships with Saltus: networks we trained, or synthetic families.",
)
@METRIC
@extraction_options
@SEED
@RESAMPLES
@POOL
@TAU
@JSON
def audit(
    logs: tuple[str, ...],
    out: Path | None,
    example: str | None,
    metric: str | None,
    extract: str | None,
    failed_as: FailedAs,
    seed: int,
    resamples: int,
    pool_noise: bool,
    tau: float | None,
    as_json: bool,
    **reading: Any,
) -> None:
    """Read LOGS, judge every family and task, and write a page.

    Ends with status 0, 1 on an error, or 2 when nothing could be judged.

    \b
        saltus audit logs/*/samples_*.jsonl --out report/
        saltus audit scores.csv --models sizes.csv --columns model=Model --out report/
        saltus audit trained/                  a folder of `saltus train` or `saltus run`
    """
    from saltus import pipeline, store

    logs = named_logs(logs, example)
    there = len(logs) == 1 and out is None and store.is_audit(Path(logs[0]))
    folder = Path(logs[0]) if there else out_folder(out, logs)
    with progress_bars() as progress:
        result = pipeline.audit(
            logs,
            folder,
            metric=metric,
            extract=extract,
            failed_as=failed_as,
            seed=seed,
            resamples=resamples,
            pool_noise=pool_noise,
            tau=tau,
            command=command_line(),
            notes=[EXAMPLE_NOTES[example]] if example else [],
            **reading,
            progress=progress,
        )
    _verdicts(result.verdicts, as_json)
    if result.judged().is_empty():
        click.echo(f"Nothing could be judged: {pipeline.why_unjudged(result)}", err=True)
    click.echo(f"page: {folder / 'report.html'}", err=as_json)
    sys.exit(UNJUDGED if result.judged().is_empty() else CLEAN)


def _verdicts(frame: pl.DataFrame, as_json: bool) -> None:
    shown = (
        "family",
        "regime",
        "task",
        "axis",
        "verdict",
        "reason",
        "inverse",
        "scales",
        "p_break",
    )
    show(frame if as_json else frame.select(shown), as_json)


COMMANDS = (read, score, estimate, screen, fit, judge, report, audit)
