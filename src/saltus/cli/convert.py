"""`saltus convert`: logs of one tool as files of another."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from saltus.cli.common import JSON, named_logs, reading_options
from saltus.cli.findings import READ, number, show_findings

FORMATS = ("eee", "lm-eval", "parquet")


@click.command()
@reading_options
@click.option(
    "--to",
    required=True,
    type=click.Choice(FORMATS),
    help="Every Eval Ever 0.3, lm-evaluation-harness 0.4, or plain Parquet tables.",
)
@JSON
def convert(
    logs: tuple[str, ...], out: Path | None, to: str, as_json: bool, **reading: Any
) -> None:
    """Write LOGS in another format, and list what it cannot hold.

    \b
        saltus convert logs/*.eval --to eee --out converted/
    """
    from saltus.writers.convert import convert as convert_logs

    named = named_logs(logs)
    if out is None:
        raise click.UsageError("name a folder to write: --out DIR")
    made = convert_logs(named, to, out, seconds=int(time.time()), **reading)
    show_findings(made.findings, as_json)
    counts = ", ".join(
        number(count, READ.get(table, table)) for table, count in made.counts.items() if count
    )
    click.echo(f"convert: {out} ({number(len(made.files), 'files')} from {counts})", err=True)


COMMANDS = (convert,)
