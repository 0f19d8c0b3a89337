"""Beyond the paper: the same families against their validation loss, over all checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from saltus.curves.nested import Effect, effect, leave_one_size_out
from saltus.experiments.answers import Answers, answers_of, family_estimates, inputs_of, sized
from saltus.experiments.experiment import Check, Context, Outcome, experiment
from saltus.experiments.fig3 import FAMILIES
from saltus.experiments.judged import counted, judge_estimates, verdict_sheet
from saltus.report.plates import Figure, Sheet
from saltus.report.plots import Axis, Json, Style, panel
from saltus.screens.screen import screen_estimates
from saltus.verdicts.flag import flag

FloatArray = NDArray[np.float64]

EQUIVALENT = 0.02  # accuracy per decade of parameters that counts as the same
LEVEL = 0.05
LOSS = Axis("loss", "validation loss (nats per token), falling", reverse=True)
RUN = pl.col("model").str.replace(r"@step\d+", "")
LINE = "exp(-L x loss)"


@experiment(
    title="Beyond the paper: performance against loss",
    claim="Models with the same pre-training loss perform the same, whatever their size and "
    "training: an ability is a function of the loss, with a threshold where it is emergent.",
    expected="Every run and checkpoint of one task lies near one smooth curve around exp(-L loss), "
    "also where accuracy against parameters jumps; whether size matters at equal loss is tested, "
    "with labels permuted between runs, and 'the same' is claimed only within 0.02 per decade.",
    source="Du et al. (2024), arXiv 2403.15796, Sec. 2 and 3; our own families",
    families=FAMILIES,
)
def loss(context: Context) -> Outcome:
    """All checkpoints of the trained families, and of the user's folders that state losses."""
    folders = [context.trained(name) for name in FAMILIES] + list(context.responses)
    placed = [(one, _points(folder, one)) for folder in folders for one in answers_of(folder)]
    families = [(one, points) for one, points in placed if points.height]
    tests = pl.DataFrame([_tested(context, *pair) for pair in families], infer_schema_length=None)
    verdicts = pl.concat([_judged(context, folder) for folder in folders])
    return Outcome(
        figures=[Figure("loss", _caption(families), _panels(families), len(families))],
        sheets=[
            Sheet("tests", "Does size matter at equal loss? One row per family", tests),
            verdict_sheet(verdicts, "Verdicts on the axis of loss, final checkpoints"),
            Sheet("points", "Loss, accuracy and edit rate of every run and checkpoint",
                  pl.concat([points for _, points in families])),
        ],
        shown=[
            *(_sentence(row) for row in tests.iter_rows(named=True)),
            *(f"{row['family']}: {row['sentence']}"
              for row in verdicts.filter(reason="unexplained_finding").iter_rows(named=True)),
        ],
        checks=[check for row in tests.iter_rows(named=True) for check in _checks(row)],
        verdict=" ".join(
            f"{name}, on the axis of loss: {counted(verdicts.filter(family=name))}"
            for name in verdicts["family"].unique(maintain_order=True)
        ),
        inputs=inputs_of(folders),
    )  # fmt: skip


def _points(folder: Path, answers: Answers) -> pl.DataFrame:
    """One row per run and checkpoint: loss, accuracy, error rate; none where losses are unknown."""
    estimates = family_estimates(folder)
    task = answers.responses["task"][0]
    own = estimates.filter(
        pl.col("task") == task, pl.col("loss").is_not_null(), pl.col("params") > 0,
        pl.col("model").is_in(answers.models["model"].implode()),
    )  # fmt: skip
    if own.is_empty():
        return pl.DataFrame()
    wide = own.pivot("metric", index=["model", "params", "seed", "step", "loss"], values="value")
    points = wide.select(
        "model",
        "params",
        "seed",
        "step",
        "loss",
        family=pl.lit(answers.name),
        run=RUN,
        accuracy="exact_match",
        error="char_error_rate",
    )
    return sized(points).sort("params", "seed", "loss")  # fmt: skip


def _arrays(points: pl.DataFrame) -> tuple[FloatArray, FloatArray, FloatArray]:
    return (
        points["loss"].to_numpy(),
        np.log10(points["params"].to_numpy()),
        points["accuracy"].to_numpy(),
    )


def _tested(context: Context, answers: Answers, points: pl.DataFrame) -> dict[str, object]:
    x, size, y = _arrays(points)
    found: Effect = effect(x, size, y, points["run"].to_numpy(), context.rng(answers.name))
    left = leave_one_size_out(x, size, y)
    near = np.abs(y - np.exp(-answers.lengths[-1] * x))
    return {
        "family": answers.name,
        "points": points.height,
        "runs": found.runs,
        "accuracy_per_decade": found.slope,
        "low": found.low,
        "high": found.high,
        "p_rows": found.p,
        "p_runs": found.p_runs,
        "p_shape": found.p_shape,
        "residual": found.residual,
        "left_out_rmse": left.rmse if left else None,
        "worst_size": left.worst if left else None,
        "worst_rmse": left.worst_rmse if left else None,
        "median_distance_from_power": float(np.median(near)) if answers.prefix else None,
        "status": found.status,
    }


def _judged(context: Context, folder: Path) -> pl.DataFrame:
    """Verdicts as an audit gives them: none is a break where the loss is the task's own."""
    estimates = family_estimates(folder, last_only=True)
    verdicts = judge_estimates(estimates, context.rng("verdict"), axis="loss")
    return flag(verdicts, screen_estimates("restated_losses", estimates))


def _panels(families: Sequence[tuple[Answers, pl.DataFrame]]) -> list[Json]:
    dots = Style(group="size", title="parameters", ordered=True, line=False)
    found = []
    for column, name in (("accuracy", "accuracy"), ("error", "error rate per character")):
        axis = Axis(column, name, reverse=column == "error", domain=(0.0, 1.0))
        for answers, points in families:
            over = []
            if column == "accuracy" and answers.prefix:
                over = [(_power(points, answers.lengths[-1]), Style(points=False))]
            found.append(panel(points, LOSS, axis, f"{answers.name}: {name}", dots, (), over))
    return found


def _power(points: pl.DataFrame, length: int) -> pl.DataFrame:
    losses = points["loss"].to_numpy()
    grid = np.linspace(losses.min(), losses.max(), 80)
    return pl.DataFrame({"loss": grid, "accuracy": np.exp(-length * grid)})


def _caption(families: Sequence[tuple[Answers, pl.DataFrame]]) -> str:
    parts = [
        f"{answers.name}: {points['params'].n_unique()} sizes, {points['run'].n_unique()} runs, "
        f"{points.height} checkpoints" for answers, points in families
    ]  # fmt: skip
    return (
        f"Every checkpoint of every run is a point. {'; '.join(parts)}. The line is {LINE}. What "
        "our families are trained on is the task itself, so the loss is that of held-out items."
    )


def _known(value: object, digits: int = 3) -> str:
    return f"{value:.{digits}f}" if isinstance(value, float) else "not known"


def _sentence(row: dict[str, object]) -> str:
    if row["status"] != "tested":
        return f"{row['family']}: size at equal loss could not be tested ({row['status']})."
    return (
        f"{row['family']}: at equal loss accuracy changes by {_known(row['accuracy_per_decade'])} "
        f"per decade of parameters (90 % {_known(row['low'])} to {_known(row['high'])}; p over "
        f"permuted runs {_known(row['p_runs'])}); the curve of the other sizes predicts a size "
        f"it has not seen within {_known(row['left_out_rmse'])} (root mean square), the scatter "
        f"about the common curve is {_known(row['residual'])}."
    )


def _checks(row: dict[str, object]) -> list[Check]:
    low, high, p = row["low"], row["high"], row["p_runs"]
    inside = None
    if isinstance(low, float) and isinstance(high, float):
        inside = low >= -EQUIVALENT and high <= EQUIVALENT
    return [
        Check(f"{row['family']}: one curve for all sizes is not rejected (permuted runs, p >= .05)",
              p >= LEVEL if isinstance(p, float) else None, f"p {_known(p)}"),
        Check(f"{row['family']}: the same at equal loss, within {EQUIVALENT} per decade", inside,
              f"90 % interval {_known(low)} to {_known(high)}"),
    ]  # fmt: skip
