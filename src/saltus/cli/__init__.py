"""The commands. Everything heavy is imported on use, so that `--help` costs next to nothing."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click

from saltus import __version__
from saltus.cli.common import CLEAN, ERROR
from saltus.errors import SaltusError

FILES = (
    "cache",
    "convert",
    "experiments",
    "forecasts",
    "loss",
    "metrics",
    "models",
    "run",
    "serve",
    "studies",
    "tasks",
    "train",
    "verbs",
)


class Group(click.Group):
    """Turns every error meant for the user into one line and status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; see the class."""
        try:
            return super().invoke(ctx)
        except SaltusError as fault:
            click.echo(f"Error: {fault}", err=True)
            ctx.exit(ERROR)
        except BrokenPipeError:  # the reader of our output, such as `head`, has gone
            sys.stderr.close()
            ctx.exit(CLEAN)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="saltus")
def main() -> None:
    """Tell whether a capability jump of a language model is real.

    \b
        saltus audit LOGS --out report/        the whole road, ends with a page
        saltus audit --example --out demo/     the same on data that ships with Saltus
    """


for _file in FILES:
    for _command in import_module(f"saltus.cli.{_file}").COMMANDS:
        main.add_command(_command)
