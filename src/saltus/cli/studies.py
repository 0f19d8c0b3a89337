"""What is not the road itself: the catalogue, and studies of the procedure."""

from __future__ import annotations

import click

from saltus.cli.common import JSON, show


@click.command("list")
@click.argument("kind", default="metrics")
@JSON
def list_entries(kind: str, as_json: bool) -> None:
    """List what Saltus knows: metrics, readers, screens, curves, worlds or tables.

    \b
        saltus list readers
    """
    from saltus import catalogue

    show(catalogue.entries(kind), as_json)


COMMANDS = (list_entries,)
