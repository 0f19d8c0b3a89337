"""`saltus loss`: performance as a function of the pre-training loss."""

from __future__ import annotations

from pathlib import Path

import click

from saltus.cli.common import FOLDER, JSON, SEED, done, progress_bars, show

SAME = (
    "effect", "task", "family", "metric", "points", "runs", "slope", "slope_low", "slope_high",
    "same", "p", "p_runs", "bh", "status",
)  # fmt: skip
BENDS = (
    "task", "family", "metric", "shape", "threshold", "threshold_low", "threshold_high",
    "bic_gap", "params", "params_low", "params_high", "status",
)  # fmt: skip


def ratios(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, float]:
    """FAMILY=NUMBER options, or one NUMBER for all, as a mapping."""
    found = {}
    for value in values:
        name, _, number = value.rpartition("=")
        try:
            found[name] = float(number)
        except ValueError:
            raise click.BadParameter(
                f"{value!r} is not FAMILY=NUMBER, such as Pythia=4.3"
            ) from None
        if found[name] <= 0.0:
            raise click.BadParameter(f"{value!r}: bytes per token are more than 0")
    return found


@click.command()
@FOLDER
@click.option("--metric", help="Only this metric; the judged one and its partner if out.")
@click.option(
    "--families",
    is_flag=True,
    help="Compare families too, where their losses have the same name; read it as a warning.",
)
@click.option(
    "--margin",
    default=0.02,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Effect per decade of size that counts as none, as a share of the metric's range.",
)
@click.option(
    "--bytes-per-token",
    "bytes_per_token",
    multiple=True,
    callback=ratios,
    metavar="[FAMILY=]NUMBER",
    help="Put the loss in bits per byte, for families with other tokenizers.",
)
@SEED
@JSON
def loss(
    folder: Path,
    metric: str | None,
    families: bool,
    margin: float,
    bytes_per_token: dict[str, float],
    seed: int,
    as_json: bool,
) -> None:
    """Ask of FOLDER whether performance is a function of the pre-training loss.

    Does size matter at equal loss, where does performance bend, at what scale does the family
    get there? Needs losses: `--loss FILE`, or `--columns loss=NAME`, when the logs are read.

    \b
        saltus loss audit/
        saltus loss audit/ --families --json
    """
    from saltus import pipeline, store
    from saltus.tables import LossThresholds, SameLoss

    with progress_bars() as progress:
        fresh = pipeline.loss(
            folder,
            metric,
            families=families,
            margin=margin,
            bytes_per_token=bytes_per_token,
            seed=seed,
            progress=progress,
        )
    same, bends = store.load(folder, SameLoss), store.load(folder, LossThresholds)
    show(same if as_json else same.select(SAME), as_json)
    show(bends if as_json else bends.select(BENDS), as_json)
    said = bends.drop_nulls("suspicion").select("family", "task", "suspicion")
    for family, task, message in said.unique(maintain_order=True).iter_rows():
        click.echo(f"Note: {family}, {task}: {message}", err=True)
    done(folder, "loss", fresh)
    click.echo(f"page: {folder / 'loss.html'}", err=True)


COMMANDS = (loss,)
