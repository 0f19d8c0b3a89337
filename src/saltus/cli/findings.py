"""Findings and a summary of what was read, for the eye."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from saltus.cli.common import WIDE, show

if TYPE_CHECKING:
    import polars as pl

SEVERITIES = ("error", "warning", "note")
INDENT = " " * 9  # as wide as the severity and the space after it
PLACE = ("family", "model", "task", "metric", "scope")
READ = {"responses": "answers", "reported": "reported values", "models": "models"}


def show_findings(frame: pl.DataFrame, as_json: bool) -> None:
    """Findings as JSON lines, or as lines of text: errors first, each with its whole message."""
    if as_json:
        show(frame, as_json)
        return
    for severity in SEVERITIES:
        for row in frame.filter(severity=severity).iter_rows(named=True):
            _print(row)
    click.echo(counted(frame))


def _print(row: Mapping[str, Any]) -> None:
    # into a file or a pipe a message stays on one line
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDE
    place = ", ".join(row[name] for name in PLACE if row[name])
    head = f"{row['severity']:<8} {row['screen']} ({row['count']})"
    click.echo(f"{head}  {place}" if place else head)
    click.echo(
        textwrap.fill(row["message"], width, initial_indent=INDENT, subsequent_indent=INDENT)
    )


def counted(frame: pl.DataFrame) -> str:
    """How many findings of which severity."""
    found = Counter(frame["severity"])
    many = [number(found[name], name + "s") for name in SEVERITIES if found[name]]
    return f"findings: {', '.join(many) or 'none'}"


def summary(inputs: Sequence[Mapping[str, Any]], rows: Mapping[str, int]) -> str:
    """How many files by which readers, and what came out of them.

    Args:
        inputs: of the manifest.
        rows: table -> rows.
    """
    readers = Counter(entry["reader"] for entry in inputs)
    files = ", ".join(f"{name} {count}" for name, count in sorted(readers.items()))
    tables = ", ".join(number(rows.get(name, 0), what) for name, what in READ.items())
    return f"{number(len(inputs), 'files')} ({files}): {tables}"


def number(count: int, things: str) -> str:
    """A count with its noun, which is given in the plural."""
    return f"{count:,} {things if count != 1 else things.removesuffix('s')}"
