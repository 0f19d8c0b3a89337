"""`saltus tasks`: the items of our tasks, to look at or for lm-evaluation-harness."""

from __future__ import annotations

from pathlib import Path

import click

from saltus.cli.common import JSON, SEED, show


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAMES...")
@click.option("--items", default=200, show_default=True, help="Items of each task.")
@click.option(
    "--lm-eval",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write the tasks there for `lm-eval run --include_path DIR --tasks NAMES`.",
)
@SEED
@JSON
def tasks(
    names: tuple[str, ...], items: int, folder: Path | None, seed: int, as_json: bool
) -> None:
    """Show the items of tasks (`saltus list tasks`), or write them for another harness.

    Inspect AI finds them by itself: inspect eval saltus/items -T task=addition_4.

    \b
        saltus tasks addition_4 --items 5
        saltus tasks addition_4 typos_1 --lm-eval lm_eval_tasks/
    """
    import numpy as np

    from saltus.tasks import TASKS

    for name in names:
        if folder is None:
            show(TASKS[name].items(np.random.default_rng(seed), items), as_json)
            continue
        from saltus.writers.lm_eval_task import write_lm_eval_task

        for path in write_lm_eval_task(name, items, seed, folder):
            click.echo(f"tasks: {path}", err=True)


COMMANDS = (tasks,)
