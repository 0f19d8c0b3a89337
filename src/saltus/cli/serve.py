"""`saltus serve-family`: a trained family behind an OpenAI-compatible server."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("serve-family")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--port", default=8080, show_default=True, help="On 127.0.0.1; 0 takes a free one.")
@click.option("--no-echo", is_flag=True, help="Refuse the prompt's own tokens, as many servers do.")
@click.option(
    "--write-family",
    "family",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a family file of the models for `saltus run`.",
)
@click.option(
    "--api",
    type=click.Choice(["completions", "chat"]),
    default="completions",
    show_default=True,
    help="Interface that the family file names; the server speaks both.",
)
def serve_family(folder: Path, port: int, no_echo: bool, family: Path | None, api: str) -> None:
    """Serve every final model of a trained family, until it is interrupted.

    \b
        saltus train addition --preset smoke --out addition/
        saltus serve-family addition/ --write-family family.yaml
        saltus run --models family.yaml --tasks addition_4_reversed --out asked/
    """
    from saltus import store
    from saltus.models.family import need_torch

    need_torch()
    from saltus.runners.serve_family import HOST, FamilyServer, family_yaml, networks

    models = networks(folder)
    with FamilyServer(models, port, echo=not no_echo) as serving:
        if family is not None:
            store.write_text(family, family_yaml(folder, serving.server_port, api))
        click.echo(f"serve-family: {len(models)} models at http://{HOST}:{serving.server_port}/v1")
        try:
            serving.serve_forever()
        except KeyboardInterrupt:
            click.echo("serve-family: stopped", err=True)


COMMANDS = (serve_family,)
