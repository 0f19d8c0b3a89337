"""What the commands share: options, progress, and tables for the eye or as JSON."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import polars as pl

CLEAN, ERROR, UNJUDGED = 0, 1, 2
WIDE = 4000  # columns of a table that goes into a file or a pipe
GAP = 2  # between columns
BARS = 8  # more of them, and those that are done are taken away
SHOWN = 40  # rows of a table on a terminal before it is cut


def pairs(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """ROLE=NAME options as a mapping."""
    found = {}
    for value in values:
        role, equals, name = value.partition("=")
        if not (role and equals and name):
            raise click.BadParameter(f"{value!r} is not ROLE=NAME, such as model=Model")
        found[role.strip()] = name.strip()
    return found


JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object per row.")
SEED = click.option("--seed", default=0, show_default=True, help="Seed of every resampling step.")
RESAMPLES = click.option(
    "--resamples", default=999, show_default=True, help="Bootstrap draws per test."
)
POOL = click.option(
    "--pool-noise",
    is_flag=True,
    help="Measure the model noise over all tasks of a family (8 or more): more power.",
)
TAU = click.option(
    "--tau",
    type=click.FloatRange(min=0),
    help="Model noise on the link scale, where known; measured from seeds or checkpoints if out.",
)
METRIC = click.option("--metric", help="Thresholded metric to judge; the first that fits if out.")
FOLDER = click.argument("folder", type=click.Path(path_type=Path))


def reading_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of every command that reads logs."""
    options = [
        click.argument("logs", nargs=-1, metavar="LOGS..."),
        click.option("--out", type=click.Path(path_type=Path), help="Folder to write."),
        click.option(
            "--columns",
            multiple=True,
            callback=pairs,
            metavar="ROLE=NAME",
            help="Which column plays a role in a plain table, e.g. params='Size (B)*1e9'.",
        ),
        click.option(
            "--models",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Table of model facts: model, family, params, tokens, flops.",
        ),
        click.option(
            "--loss",
            metavar="FILE",
            help="Table of validation losses: model, loss, step; NAME=FILE takes one loss_name.",
        ),
        click.option("--task", help="Name of the task, where the file has none."),
        click.option(
            "--filter", "filtered", metavar="NAME", help="Filter of lm-evaluation-harness to take."
        ),
        click.option("--keep-going", is_flag=True, help="List bad lines instead of stopping."),
        click.option(
            "--no-cache",
            "cached",
            flag_value=False,
            default=True,
            help="Read large files anew and keep nothing (see saltus cache).",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def data_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of every command that trains families that look at pictures."""
    command = click.option(
        "--download", is_flag=True, help="Fetch them into that folder with torchvision."
    )(command)
    return click.option(
        "--data",
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        help="Pictures that vision families learn from: MNIST, CIFAR, Omniglot as published.",
    )(command)


def extraction_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of every command that scores: how the answer is found in a reply."""
    options = [
        click.option(
            "--extract",
            metavar="NAME",
            help="Find the answer in each reply: an extractor of `saltus list extractors`, or "
            "several that are tried in order, e.g. json_field:answer,boxed.",
        ),
        click.option(
            "--failed-as",
            type=click.Choice(["missing", "wrong"]),
            default="missing",
            show_default=True,
            help="What a reply without an answer counts as; the field's habit is wrong.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


EXAMPLES = {"trained": "runners", "synthetic": "worlds"}  # and the room that holds each


def named_logs(logs: tuple[str, ...], example: str | None = None) -> tuple[str, ...]:
    """The inputs: those named, or an example that ships with Saltus."""
    if example:
        from importlib.resources import files

        return (str(files("saltus") / EXAMPLES[example] / "example.parquet"),)
    if not logs:
        raise click.UsageError("name at least one file or folder to read")
    return logs


def out_folder(out: Path | None, logs: tuple[str, ...]) -> Path:
    """The folder named, or one beside the caller named after the first input."""
    if out is not None:
        return out
    from saltus.readers.addresses import ADDRESS, plain

    place = ADDRESS.search(logs[0])
    first = plain(logs[0][place.start() :])[0] if place else logs[0].rpartition("=")[2]
    name = re.sub(r'[*?"<>|]', "", Path(first).name.split(".")[0])
    return Path(f"saltus-{name or 'audit'}")


def answers_folder(
    logs: tuple[str, ...],
    out: Path | None,
    reading: dict[str, Any],
    progress: Callable[[str, float | None], None],
) -> Path:
    """The audit folder that is named, or the one that the logs are read into."""
    from saltus import pipeline, store

    if len(logs) == 1 and out is None and store.is_audit(Path(logs[0])):
        return Path(logs[0])
    folder = out_folder(out, logs)
    pipeline.read(
        logs, folder, require_facts=False, command=command_line(), **reading, progress=progress
    )
    return folder


def command_line() -> str:
    """The command as it was typed, for the manifest; no passwords and signatures of addresses."""
    from saltus.readers.addresses import told

    return shlex.join(["saltus", *map(told, sys.argv[1:])])


@contextmanager
def progress_bars() -> Iterator[Callable[[str, float | None], None]]:
    """A bar on stderr, and nothing where stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda verb, share: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:<9}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def advance(verb: str, share: float | None) -> None:
            if verb not in tasks:
                tasks[verb] = bars.add_task(verb, total=None)
            total = None if share is None else 1.0
            crowded = len(tasks) > BARS and share == 1.0
            bars.update(tasks[verb], total=total, completed=share or 0.0, visible=not crowded)

        yield advance


def show(frame: pl.DataFrame, as_json: bool, most: int = SHOWN) -> None:
    """A table as JSON lines or for the eye; columns that a terminal cannot hold are named."""
    if as_json:
        click.echo(frame.write_ndjson(), nl=False)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # into a file or a pipe a row stays on one line
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    cells = [[_cell(value) for value in row] for row in frame.head(most).iter_rows()]
    fitting = _fitting(frame.columns, cells, console.width)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in frame.columns[:fitting]:
        number = frame.schema[name].is_numeric()
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(text) for text in row[:fitting]))
    console.print(table)
    left = [f"{frame.height - most} more rows"] if frame.height > most else []
    left += [f"columns {', '.join(frame.columns[fitting:])}"] if fitting < frame.width else []
    if left:
        click.echo(f"... and {' and '.join(left)} (all with --json)")


def _fitting(names: list[str], cells: list[list[str]], width: int) -> int:
    """How many leading columns a line of this width holds."""
    used = 0
    for place, name in enumerate(names):
        used += max(len(name), *(len(row[place]) for row in cells), 0) + GAP
        if used > width and place > 1:
            return place
    return len(names)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float) and not (value.is_integer() and abs(value) < 1e9):
        return f"{value:.6g}"
    return f"{value:.0f}" if isinstance(value, float) else str(value)


def done(folder: Path, verb: str, fresh: bool) -> None:
    """Say on stderr which verb was run on which folder."""
    note = "" if fresh else " (nothing had changed)"
    click.echo(f"{verb}: {folder}{note}", err=True)
