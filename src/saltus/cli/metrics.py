"""Metrics as such: what they are, and what the same answers look like under all of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from saltus.cli.common import (
    JSON,
    SEED,
    answers_folder,
    done,
    extraction_options,
    named_logs,
    progress_bars,
    reading_options,
    show,
)

if TYPE_CHECKING:
    import polars as pl

    from saltus.metrics.extract import FailedAs


@click.command()
@click.option(
    "--metric",
    "names",
    multiple=True,
    help="Only this metric; FILE.py@FUNCTION measures one of your own.",
)
@JSON
def metrics(names: tuple[str, ...], as_json: bool) -> None:
    """List every metric with its facts and its measured class.

    The class comes from scoring simulated answers: how far the score is from linear in the
    error rate (0 is linear), and the largest jump of one answer's score, as a share of its
    range, when one token changes or a probability moves by almost nothing.

    \b
        saltus metrics
        saltus metrics --metric mine.py@closeness --json
    """
    from saltus import catalogue
    from saltus.metrics.users import resolve

    wanted = [resolve(name) for name in names]
    frame = catalogue.metric_facts(wanted or None)
    show(frame if as_json else _brief(frame), as_json, most=frame.height)


def _brief(frame: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    return frame.select(
        "name", "class", "nonlinearity", "jump", "reaction", "better", "unit", "kind",
        pl.col("partners").list.head(2).list.join(", ").alias("first partners"), "source",
    )  # fmt: skip


@click.command()
@reading_options
@click.option("--metric", "metrics", multiple=True, help="Only this metric; all that apply if out.")
@click.option(
    "--axis",
    type=click.Choice(["params", "tokens", "flops", "loss"]),
    help="Scale axis; the first with three scales if out.",
)
@extraction_options
@SEED
@JSON
def sweep(
    logs: tuple[str, ...],
    out: Path | None,
    metrics: tuple[str, ...],
    axis: str | None,
    extract: str | None,
    failed_as: FailedAs,
    seed: int,
    as_json: bool,
    **reading: Any,
) -> None:
    """Put the same answers under every metric that applies: LOGS, or an audit folder.

    Ranks the metrics by how much of their rise falls into one step between scales, and says
    how well the smaller models foretell the largest. Lists answers on which metrics disagree.

    \b
        saltus sweep logs/ --out swept/
        saltus sweep audit/ --extract json_field:answer,boxed
    """
    from saltus import pipeline, store
    from saltus.tables import Sweeps

    logs = named_logs(logs)
    with progress_bars() as progress:
        folder = answers_folder(logs, out, reading, progress)
        fresh = pipeline.sweep(
            folder,
            tuple(metrics) or None,
            extract=extract,
            failed_as=failed_as,
            axis=axis,
            seed=seed,
            progress=progress,
        )
    frame = store.load(folder, Sweeps)
    if frame.is_empty() and not as_json:
        click.echo(
            "sweep: no family has three scales with a known size, compute or loss (--models FILE "
            "gives them); the page lists where metrics disagree", err=True,
        )  # fmt: skip
    else:
        show(frame if as_json else _ranking(frame), as_json)
    done(folder, "sweep", fresh)
    click.echo(f"page: {folder / 'sweep.html'}", err=True)


def _ranking(frame: pl.DataFrame) -> pl.DataFrame:
    """One row per distinct curve, the sharpest first; `alike` counts the metrics that agree."""
    import polars as pl

    from saltus.verdicts.sweep import alike

    return alike(frame).select(
        "family", "task", "metric", pl.col("alike").list.len(), "reaction", "scales", "sharpness",
        "sharpness_low", "sharpness_high", "miss_se", "rise", "step_to", "missing",
    )  # fmt: skip


COMMANDS = (metrics, sweep)
