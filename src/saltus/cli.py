"""The commands: parse, call one function, print. Everything heavy is imported on use."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from saltus import __version__
from saltus.errors import SaltusError

if TYPE_CHECKING:
    import polars as pl

CLEAN, ERROR, UNJUDGED = 0, 1, 2
WIDE = 400  # columns of a table that no terminal shows
SHOWN = 40  # rows of a table on a terminal before it is cut


class _Group(click.Group):
    """Turns every error meant for the user into one line and status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SaltusError as fault:
            click.echo(f"Error: {fault}", err=True)
            ctx.exit(ERROR)
        except BrokenPipeError:  # the reader of our output, such as `head`, has gone
            sys.stderr.close()
            ctx.exit(CLEAN)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="saltus")
def main() -> None:
    """Tell whether a capability jump of a language model is real.

    \b
        saltus audit LOGS --out report/        the whole road, ends with a page
        saltus audit --example --out demo/     the same on data that ships with Saltus
    """


def _pairs(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """ROLE=NAME options as a mapping."""
    pairs = {}
    for value in values:
        role, equals, name = value.partition("=")
        if not (role and equals and name):
            raise click.BadParameter(f"{value!r} is not ROLE=NAME, such as model=Model")
        pairs[role.strip()] = name.strip()
    return pairs


_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object per row.")
_SEED = click.option("--seed", default=0, show_default=True, help="Seed of every resampling step.")
_RESAMPLES = click.option(
    "--resamples", default=999, show_default=True, help="Bootstrap draws per test."
)
_METRIC = click.option("--metric", help="Thresholded metric to judge; the first that fits if out.")
_FOLDER = click.argument("folder", type=click.Path(path_type=Path))


def _reading(command: Callable[..., None]) -> Callable[..., None]:
    """The options of every command that reads logs."""
    options = [
        click.argument("logs", nargs=-1, metavar="LOGS..."),
        click.option("--out", type=click.Path(path_type=Path), help="Audit folder to write."),
        click.option(
            "--columns",
            multiple=True,
            callback=_pairs,
            metavar="ROLE=NAME",
            help="Which column plays a role in a plain table, e.g. params='Size (B)*1e9'.",
        ),
        click.option(
            "--models",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Table of model facts: model, family, params, tokens, flops.",
        ),
        click.option("--task", help="Name of the task, where the file has none."),
        click.option("--keep-going", is_flag=True, help="List bad lines instead of stopping."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _logs(logs: tuple[str, ...], example: bool = False) -> tuple[str, ...]:
    if example:
        from importlib.resources import files

        return (str(files("saltus") / "worlds" / "example.parquet"),)
    if not logs:
        raise click.UsageError("name at least one file or folder to read")
    return logs


def _out(out: Path | None, logs: tuple[str, ...]) -> Path:
    """The folder named, or one beside the caller named after the first input."""
    return out or Path(f"saltus-{Path(logs[0].rpartition('=')[2]).name.split('.')[0] or 'audit'}")


def _command() -> str:
    return shlex.join(["saltus", *sys.argv[1:]])


@contextmanager
def _progress() -> Iterator[Callable[[str, float | None], None]]:
    """A bar on stderr, and nothing where stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda verb, share: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<9}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def advance(verb: str, share: float | None) -> None:
            if verb not in tasks:
                tasks[verb] = bars.add_task(verb, total=None)
            total = None if share is None else 1.0
            bars.update(tasks[verb], total=total, completed=share or 0.0)

        yield advance


def _show(frame: pl.DataFrame, as_json: bool) -> None:
    """A table as JSON lines or for the eye."""
    if as_json:
        click.echo(frame.write_ndjson(), nl=False)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in frame.columns:
        number = frame.schema[name].is_numeric()
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in frame.head(SHOWN).iter_rows():
        table.add_row(*(Text(_cell(value)) for value in row))
    # into a file or a pipe a row stays on one line
    Console(width=None if sys.stdout.isatty() else WIDE).print(table)
    if frame.height > SHOWN:
        click.echo(f"... and {frame.height - SHOWN} more rows (all with --json)")


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _done(folder: Path, verb: str, fresh: bool) -> None:
    note = "" if fresh else " (nothing had changed)"
    click.echo(f"{verb}: {folder}{note}", err=True)


@main.command()
@_reading
@_JSON
def read(
    logs: tuple[str, ...],
    out: Path | None,
    as_json: bool,
    **reading: Any,
) -> None:
    """Read LOGS into the tables of an audit folder.

    \b
        saltus read results/ --out audit/
    """
    from saltus import pipeline, store
    from saltus.tables import Models

    logs = _logs(logs)
    folder = _out(out, logs)
    with _progress() as progress:
        fresh = pipeline.read(
            logs,
            folder,
            command=_command(),
            **reading,
            progress=progress,
        )
    _show(store.load(folder, Models), as_json)
    _done(folder, "read", fresh)


@main.command()
@_reading
@click.option("--metric", "metrics", multiple=True, help="Metric to score; all that fit if out.")
@_JSON
def score(
    logs: tuple[str, ...],
    out: Path | None,
    metrics: tuple[str, ...],
    as_json: bool,
    **reading: Any,
) -> None:
    """Score recorded answers: LOGS, or an audit folder that was read before.

    \b
        saltus score answers.md --out scored/
        saltus score audit/ --metric exact_match --metric word_error
    """
    from saltus import pipeline, store
    from saltus.report.answers import few
    from saltus.tables import Responses, Scores

    logs = _logs(logs)
    named = tuple(metrics) or None
    with _progress() as progress:
        if len(logs) == 1 and out is None and store.is_audit(Path(logs[0])):
            folder = Path(logs[0])
        else:
            folder = _out(out, logs)
            pipeline.read(
                logs,
                folder,
                require_facts=False,
                command=_command(),
                **reading,
                progress=progress,
            )
        fresh = pipeline.score(folder, named, progress=progress)
        if few(store.load(folder, Responses)):
            pipeline.answers(folder, progress=progress)
    scores = store.load(folder, Scores)
    _show(scores if as_json else _means(scores), as_json)
    _done(folder, "score", fresh)
    if (folder / "answers.html").is_file():
        click.echo(f"page: {folder / 'answers.html'}", err=True)


def _means(scores: pl.DataFrame) -> pl.DataFrame:
    """One row per model and task, one column per metric."""
    wide = scores.pivot(
        "metric", index=["task", "model", "sample"], values="value", aggregate_function="mean"
    )
    return wide if wide["sample"].n_unique() > 1 else wide.drop("sample")


@main.command()
@_FOLDER
@_JSON
def estimate(folder: Path, as_json: bool) -> None:
    """Estimate means with intervals from the scores of FOLDER.

    \b
        saltus estimate audit/
    """
    from saltus import pipeline, store
    from saltus.tables import Estimates

    with _progress() as progress:
        fresh = pipeline.estimate(folder, progress=progress)
    frame = store.load(folder, Estimates)
    shown = ("model", "task", "metric", "value", "low", "high", "items", "method")
    _show(frame if as_json else frame.select(shown), as_json)
    _done(folder, "estimate", fresh)


@main.command()
@_FOLDER
@_JSON
def screen(folder: Path, as_json: bool) -> None:
    """Look for numbers that the harness, not the model, made.

    \b
        saltus screen audit/
    """
    from saltus import pipeline, store
    from saltus.tables import Findings

    with _progress() as progress:
        fresh = pipeline.screen(folder, progress=progress)
    _show(store.load(folder, Findings), as_json)
    _done(folder, "screen", fresh)


@main.command()
@_FOLDER
@_METRIC
@_JSON
def fit(folder: Path, metric: str | None, as_json: bool) -> None:
    """Fit smooth and broken curves to every family and task of FOLDER.

    \b
        saltus fit audit/
    """
    from saltus import pipeline, store
    from saltus.tables import Fits

    with _progress() as progress:
        fresh = pipeline.fit(folder, metric, progress=progress)
    frame = store.load(folder, Fits)
    shown = ("family", "task", "axis", "metric", "curve", "rss", "status")
    _show(frame if as_json else frame.select(shown), as_json)
    _done(folder, "fit", fresh)


@main.command()
@_FOLDER
@_METRIC
@_SEED
@_RESAMPLES
@_JSON
def judge(folder: Path, metric: str | None, seed: int, resamples: int, as_json: bool) -> None:
    """Give a verdict for every family, task and axis of FOLDER.

    \b
        saltus judge audit/ --seed 1
    """
    from saltus import pipeline, store
    from saltus.tables import Verdicts

    with _progress() as progress:
        fresh = pipeline.judge(folder, metric, seed=seed, resamples=resamples, progress=progress)
    _verdicts(store.load(folder, Verdicts), as_json)
    _done(folder, "judge", fresh)


@main.command()
@_FOLDER
@_JSON
def report(folder: Path, as_json: bool) -> None:
    """Write the page, its Markdown and JSON, and the figures of FOLDER.

    \b
        saltus report audit/
    """
    from saltus import pipeline, store
    from saltus.tables import Verdicts

    with _progress() as progress:
        fresh = pipeline.report(folder, progress=progress)
    if as_json:
        _show(store.load(folder, Verdicts), as_json)
    _done(folder, "report", fresh)
    click.echo(f"page: {folder / 'report.html'}", err=as_json)


@main.command()
@_reading
@click.option("--example", is_flag=True, help="Audit the example that ships with Saltus.")
@_METRIC
@_SEED
@_RESAMPLES
@_JSON
def audit(
    logs: tuple[str, ...],
    out: Path | None,
    example: bool,
    metric: str | None,
    seed: int,
    resamples: int,
    as_json: bool,
    **reading: Any,
) -> None:
    """Read LOGS, judge every family and task, and write a page.

    Ends with status 0, 1 on an error, or 2 when nothing could be judged.

    \b
        saltus audit logs/*/samples_*.jsonl --out report/
        saltus audit scores.csv --models sizes.csv --columns model=Model --out report/
    """
    from saltus import pipeline

    logs = _logs(logs, example)
    folder = _out(out, logs)
    with _progress() as progress:
        result = pipeline.audit(
            logs,
            folder,
            metric=metric,
            seed=seed,
            resamples=resamples,
            command=_command(),
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
    _show(frame if as_json else frame.select(shown), as_json)


@main.command("list")
@click.argument("kind", default="metrics")
@_JSON
def list_entries(kind: str, as_json: bool) -> None:
    """List what Saltus knows: metrics, readers, screens, curves, worlds or tables.

    \b
        saltus list readers
    """
    from saltus import catalogue

    _show(catalogue.entries(kind), as_json)
