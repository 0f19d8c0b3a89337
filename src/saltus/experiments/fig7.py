"""Fig. 7: shallow autoencoders on CIFAR, squared error and Reconstruction_c."""

from __future__ import annotations

import numpy as np
import polars as pl

from saltus.experiments.experiment import PAPER, Check, Context, Outcome, experiment
from saltus.experiments.judged import counted, verdict_sheet
from saltus.experiments.pictured import (
    PARAMS,
    estimated,
    expected_verdicts,
    floor_sizes,
    inputs_of,
    judged,
    largest_step,
    means,
    monotone,
    noted,
    reasons,
)
from saltus.report.plates import Figure, Sheet
from saltus.report.plots import Axis, Json, Style, panel

FAMILY = "autoencoder"
HARD, SOFT = "reconstruction", "squared_error"
PIXELS = "summed over 3,072 pixel values from 0 to 1"


@experiment(
    title="Fig. 7: autoencoders on CIFAR",
    claim="The squared error of shallow nonlinear autoencoders falls smoothly with the width of "
    "the bottleneck, while Reconstruction_c, the share of test pictures with a squared error below "
    "c, shows a sharp and seemingly unpredictable ability for particular c.",
    expected="The mean squared error falls with every size, near a straight line on two "
    "logarithmic axes. Reconstruction_c stays near 0 for the small sizes and then rises, later "
    "for a smaller c, and the error already falls where it sees nothing: METRIC_ARTEFACT.",
    source=f"{PAPER}, Sec. 5, eq. 2 and Fig. 7",
    errors=(20,),
    families=(FAMILY,),
)
def fig7(context: Context) -> Outcome:
    """Three values of c on one scale of pixels."""
    folder = context.trained(FAMILY)
    estimates = estimated(folder).with_columns(
        c=pl.col("task").str.extract(r"_c([0-9.]+)$").cast(pl.Float64)
    )
    rows = estimates.select("params", "seed", "metric", "c", "value", "task")
    verdicts = judged(context, estimates.drop("c"), [HARD], SOFT)
    sets = f"{_title(rows)}; {noted(folder)}"
    return Outcome(
        figures=[Figure("fig7", _caption(estimates, sets), _panels(rows))],
        sheets=[
            Sheet("values", f"Mean over the seeds; squared error {PIXELS}", _wide(rows)),
            verdict_sheet(verdicts, "Verdicts per c: every seed alone, and all together (no seed)"),
        ],
        shown=[*_shown(rows), *filter(None, [reasons(verdicts)])],
        checks=[*_checks(rows), expected_verdicts(verdicts, "Reconstruction_c")],
        verdict=counted(verdicts, "of Reconstruction_c"),
        inputs=inputs_of(folder),
    )


def _title(rows: pl.DataFrame) -> str:
    """The set of pictures; the paper's is CIFAR-100."""
    hundred = rows["task"].str.starts_with("cifar100").all()
    return "CIFAR-100" if hundred else "CIFAR-10 instead of the paper's CIFAR-100"


def _errors(rows: pl.DataFrame) -> pl.DataFrame:
    """The squared errors, which are the same for every c."""
    return rows.filter(pl.col("metric") == SOFT, pl.col("c") == pl.col("c").min())


def _panels(rows: pl.DataFrame) -> list[Json]:
    hard = rows.filter(pl.col("metric") == HARD).sort("c", "seed", "params")
    by_c = Style(group="c", title="c", ordered=True, run="seed")
    top = max(0.1, float(hard.select(pl.col("value").max()).item()))
    share = Axis("value", "share of pictures", domain=(0.0, top))
    return [
        panel(_errors(rows), PARAMS, Axis("value", "squared error", log=True),
              "B  Mean squared error", Style(run="seed")),
        panel(hard, PARAMS, share, "C  Reconstruction_c", by_c),
    ]  # fmt: skip


def _caption(estimates: pl.DataFrame, source: str) -> str:
    seeds, sizes = estimates["seed"].n_unique(), estimates["params"].n_unique()
    items = int(estimates["items"].to_numpy().min())
    return (
        f"Autoencoders with {sizes} bottlenecks and {seeds} seeds (thin; bold: their mean), "
        f"{items} test pictures; squared error {PIXELS}. {source}. Panel letters as in the paper; "
        "its A shows another paper's curve. Sizes, steps, rates and c are ours."
    )


def _wide(rows: pl.DataFrame) -> pl.DataFrame:
    hard = rows.filter(pl.col("metric") == HARD)
    name = pl.format("reconstruction_c{}", pl.col("c").cast(pl.Int64))
    named = pl.concat([_errors(rows).with_columns(name=pl.lit(SOFT)), hard.with_columns(name=name)])
    return means(named, "name").pivot("name", index="params", values="value").sort("params")


def _curves(rows: pl.DataFrame) -> dict[float, pl.DataFrame]:
    hard = rows.filter(pl.col("metric") == HARD)
    return {c: means(hard.filter(pl.col("c") == c)) for c in hard["c"].unique().sort()}


def _straight(rows: pl.DataFrame) -> float:
    """Share of the variance of log error that a straight line in log size explains."""
    curve = means(_errors(rows))
    x, y = (np.log10(curve[name].to_numpy()) for name in ("params", "value"))
    return float(np.corrcoef(x, y)[0, 1] ** 2)


def _shown(rows: pl.DataFrame) -> list[str]:
    error, curves = means(_errors(rows))["value"], _curves(rows)
    ends = ", ".join(
        f"{curve['value'][0]:.3f} to {curve['value'][-1]:.3f} (c = {c:g})"
        for c, curve in curves.items()
    )
    steps = ", ".join(f"{largest_step(curve):.0%} (c = {c:g})" for c, curve in curves.items())
    return [
        f"The mean squared error falls from {error[0]:.0f} to {error[-1]:.0f} ({PIXELS}).",
        f"Reconstruction_c goes from {ends}.",
        f"The largest step between neighbouring sizes holds {steps} of the rise.",
    ]


def _checks(rows: pl.DataFrame) -> list[Check]:
    curves, straight = _curves(rows), _straight(rows)
    floors = [floor_sizes(curve) for curve in curves.values()]
    told = ", ".join(f"c = {c:g}: {floor}" for c, floor in zip(curves, floors, strict=True))
    sizes = next(iter(curves.values())).height
    return [
        monotone(_errors(rows), "the squared error", rises=False),
        Check("log error is near a straight line in log size (R² at least 0.95)", straight >= 0.95,
              f"R² = {straight:.3f}"),
        Check("Reconstruction_c is at the floor (0.05) for two sizes at least and above it for "
              "the largest", min(floors) >= 2 and max(floors) < sizes,
              f"leading sizes at most 0.05: {told} of {sizes}"),
        Check("the smaller c is, the later Reconstruction_c rises",
              floors == sorted(floors, reverse=True) and floors[0] > floors[-1],
              f"leading sizes at most 0.05: {told}"),
    ]  # fmt: skip
