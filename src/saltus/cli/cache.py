"""What is kept of files that were read or fetched."""

from __future__ import annotations

import click

from saltus.cli.common import JSON, show

KINDS = {
    "logs": "columns of large logs that were read",
    "digests": "SHA-256 of large files that did not change",
    "remote": "files fetched from addresses",
}


@click.command()
@click.option("--clear", is_flag=True, help="Remove everything that is kept.")
@JSON
def cache(clear: bool, as_json: bool) -> None:
    """Show what is kept of logs that were read, so that the next reading is fast, and where.

    The folder is the platform's for caches, or the environment variable SALTUS_CACHE. It holds at
    most 10 GB; what was used longest ago goes first. --no-cache reads without it.

    \b
        saltus cache
        saltus cache --clear
    """
    import polars as pl

    from saltus.readers import cache as kept

    if clear:
        click.echo(f"{kept.clear()} files removed from {kept.cache_folder()}", err=True)
        return
    rows = [
        {"kind": kind, "files": files, "bytes": size, "what": KINDS[kind]}
        for kind, (files, size) in kept.kept().items()
    ]
    show(pl.DataFrame(rows), as_json)
    click.echo(f"folder: {kept.cache_folder()}", err=True)


COMMANDS = (cache,)
