"""Training families of our own."""

from __future__ import annotations

from pathlib import Path

import click

from saltus.cli.common import JSON, command_line, data_options, done, progress_bars, show

SHOWN = ("model", "params", "seed", "tokens", "flops", "loss")


@click.command()
@click.argument("family")
@click.option("--preset", default="smoke", show_default=True, help="smoke, paper or full.")
@click.option("--out", type=click.Path(path_type=Path), help="Audit folder to write.")
@data_options
@click.option(
    "--workers", type=click.IntRange(min=1), help="Processes side by side; one per core if out."
)
@JSON
def train(
    family: str,
    preset: str,
    out: Path | None,
    data: Path | None,
    download: bool,
    workers: int | None,
    as_json: bool,
) -> None:
    """Train every size and seed of FAMILY and write what each checkpoint answers.

    Killed at any moment, the same command goes on from the last saved states. The folder is
    like any other: `saltus audit DIR` judges it. `saltus list families` names the families.

    \b
        saltus train multiplication --preset smoke --out multiplication/
        saltus audit multiplication/
        saltus train lenet --data pictures/
    """
    from saltus import store
    from saltus.runners.train import train as train_family
    from saltus.tables import Models

    out = out or Path(f"saltus-{family}-{preset}")
    with progress_bars() as progress:
        fresh = train_family(
            family,
            preset,
            out,
            data=data,
            download=download,
            workers=workers,
            command=command_line(),
            progress=progress,
        )
    models = store.load(out, Models)
    finals = models.filter(models["step"].is_null()).sort("params", "seed")
    show(models if as_json else finals.select(SHOWN), as_json, finals.height)
    done(out, "train", fresh)


COMMANDS = (train,)
