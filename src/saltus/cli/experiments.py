"""The paper's figures, made again."""

from __future__ import annotations

from pathlib import Path

import click

from saltus.cli.common import JSON, SEED, command_line, data_options, progress_bars, show


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--preset",
    type=click.Choice(["smoke", "paper", "full"]),
    default="smoke",
    show_default=True,
    help="How much is drawn and trained: minutes, an hour, more.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("reproduced"),
    show_default=True,
    help="Folder for figures, tables and the page.",
)
@click.option(
    "--trained",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder of families trained before; those in it are not trained again.",
)
@click.option(
    "--responses",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Audit folder of your own: figures 3 to 6 show it too; repeat.",
)
@data_options
@SEED
@JSON
def reproduce(
    names: tuple[str, ...],
    preset: str,
    out: Path,
    trained: Path | None,
    responses: tuple[Path, ...],
    data: Path | None,
    download: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Make the figures of the "mirage" paper again, each with its claim and its verdict.

    NAME is one of `saltus list experiments`, several, or all. Every experiment writes its
    figures (PNG, SVG), tables and a manifest into a folder of its own below --out; index.html
    there shows all of them.

    \b
        saltus reproduce all --preset smoke --out figures/
        saltus reproduce fig2 fig9
        saltus reproduce fig3 fig4 --responses audit/
        saltus reproduce fig7 fig8 fig10 --data pictures/
    """
    from saltus.experiments.reproduce import reproduce as run

    with progress_bars() as progress:
        rows = run(
            names,
            out,
            preset=preset,
            seed=seed,
            trained=trained,
            responses=responses,
            data=data,
            download=download,
            command=command_line(),
            progress=progress,
        )
    show(rows, as_json)
    click.echo(f"reproduce: {out / 'index.html'}", err=True)


COMMANDS = (reproduce,)
