"""What is not the road itself: the catalogue, and studies of the procedure."""

from __future__ import annotations

from pathlib import Path

import click

from saltus.cli.common import FOLDER, JSON, SEED, command_line, done, progress_bars, show


@click.command("list")
@click.argument("kind", default="metrics")
@JSON
def list_entries(kind: str, as_json: bool) -> None:
    """List what Saltus knows of a kind: metrics, readers, screens, tasks, experiments, ...

    \b
        saltus list readers
    """
    from saltus import catalogue

    show(catalogue.entries(kind), as_json)


@click.command()
@FOLDER
@click.option(
    "--annotations",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="CSV of what people called the tasks: a column task and one more.",
)
@click.option("--label", default="annotation", show_default=True, help="That other column.")
@click.option("--axis", default="params", type=click.Choice(["params", "flops"]), show_default=True)
@click.option("--draws", default=1000, show_default=True, help="Most draws per null.")
@SEED
@JSON
def survey(
    folder: Path,
    annotations: Path | None,
    label: str,
    axis: str,
    draws: int,
    seed: int,
    as_json: bool,
) -> None:
    """Put every task x metric x family of FOLDER under the emergence score.

    Reproduces Fig. 5 of Schaeffer et al. (2023) as far as the data allow, with p-values,
    corrections for multiplicity, and a test of "metrics, not tasks".

    \b
        saltus survey audit/ --annotations wei.csv --label annotation
    """
    from saltus import pipeline, store
    from saltus.readers.annotations import read_annotations
    from saltus.tables import MetricCounts, MetricTests, Triplets

    called = read_annotations(annotations, label) if annotations else None
    with progress_bars() as progress:
        fresh = pipeline.survey(
            folder, called, axis=axis, draws=draws, seed=seed, progress=progress
        )
    if as_json:
        show(store.load(folder, Triplets), as_json)
    else:
        show(store.load(folder, MetricCounts).remove(emergent=0), as_json)
        show(store.load(folder, MetricTests), as_json)
    done(folder, "survey", fresh)


@click.command()
@click.option("--rate", "rates", type=float, multiple=True, help="True rate to be seen; repeat.")
@click.option("--chance", default=0.0, show_default=True, help="Level under guessing.")
@click.option("--items", type=int, multiple=True, help="Number of items to look at; repeat.")
@click.option("--gap", type=float, help="Difference of two models to be told apart.")
@click.option("--between", default=1 / 9, help="Variance over items of that difference.")
@click.option("--within", default=1 / 6, help="Variance of repeated answers to an item.")
@click.option("--power", default=0.8, show_default=True, help="Probability of finding it.")
@JSON
def plan(
    rates: tuple[float, ...],
    chance: float,
    items: tuple[int, ...],
    gap: float | None,
    between: float,
    within: float,
    power: float,
    as_json: bool,
) -> None:
    """Say how many items and samples it takes to resolve a rate or a gap.

    \b
        saltus plan --rate 0.01 --rate 0.1
        saltus plan --rate 0.3 --chance 0.25
        saltus plan --items 100 --items 1000 --rate 0.05
        saltus plan --gap 0.03
    """
    from saltus.estimates.plan import plan_gap, plan_items, plan_rates

    if gap is None and not rates:
        raise click.UsageError("name a --rate or a --gap to resolve")
    if gap is not None:
        show(plan_gap(gap, between, within, power=power), as_json)
    if items:
        for rate in rates:
            show(plan_items(items, rate, power=power), as_json)
    elif rates:
        show(plan_rates(rates, chance, power=power), as_json)


@click.command()
@FOLDER
@click.option(
    "--positions", is_flag=True, help="Accuracy against the probabilities of the target's tokens."
)
@SEED
@JSON
def lengths(folder: Path, positions: bool, seed: int, as_json: bool) -> None:
    """Test how the scores of FOLDER depend on the length of the target.

    Accuracy above chance and as the token errors predict it (P2), its geometric decay (P3a) and
    the quasi-linear edit distance (P3b) of Schaeffer et al. (2023, Sec. 3), for every model and
    task whose targets have several lengths.

    \b
        saltus lengths audit/
        saltus lengths audit/ --positions      accuracy against p^L and its better variants
    """
    import numpy as np

    from saltus import store
    from saltus.tables import Responses, Scores
    from saltus.verdicts.length_table import length_laws
    from saltus.verdicts.positions import position_laws

    if positions:
        show(position_laws(store.load(folder, Responses)), as_json)
        return
    show(length_laws(store.load(folder, Scores), np.random.default_rng(seed)), as_json)


@click.command()
@click.option("--replicates", default=120, show_default=True, help="Families per cell.")
@click.option("--resamples", default=999, show_default=True, help="Bootstrap draws per test.")
@click.option("--workers", default=2, show_default=True, help="Processes that share the work.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Markdown file to write."
)
@SEED
@JSON
def calibrate(
    replicates: int, resamples: int, workers: int, out: Path | None, seed: int, as_json: bool
) -> None:
    """Measure how often the verdict is wrong, on synthetic families of known truth.

    Worlds x scales x items x noise, in both noise modes: 180 cells, 43,200 audits by default.

    \b
        saltus calibrate --replicates 120 --seed 0 --out docs/calibration.md
    """
    import numpy as np

    from saltus import store
    from saltus.verdicts import calibrate as study
    from saltus.verdicts.calibration_text import markdown

    rng = np.random.default_rng(seed)
    table = study.calibrate(rng, replicates=replicates, resamples=resamples, workers=workers)
    covered = study.coverage(rng, replicates=replicates, workers=workers)
    text = markdown(table, covered, command=command_line())
    if out is not None:
        store.write_text(out, text)
        click.echo(f"calibrate: {out}", err=True)
    if as_json:
        show(table, as_json)
    elif out is None:
        click.echo(text)


COMMANDS = (list_entries, plan, survey, lengths, calibrate)
