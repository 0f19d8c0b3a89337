"""Saltus's own verdict on what an experiment made, family by family and seed by seed."""

from __future__ import annotations

import numpy as np
import polars as pl

from saltus.estimates.estimate import estimate
from saltus.metrics.score import score, score_sets
from saltus.report.plates import Sheet
from saltus.tables import Reported, empty, frequencies
from saltus.verdicts.assemble import assemble
from saltus.verdicts.judge import judge

SHOWN = (
    "family", "task", "axis", "verdict", "reason", "metric", "partner", "scales", "items", "noise",
    "tau", "tau_source", "apparent", "near_floor", "p_change", "p_break", "p_sub",
    "beyond_extrapolation", "material", "gain", "threshold",
)  # fmt: skip
RESAMPLES = 999


def estimates_of(
    models: pl.DataFrame,
    responses: pl.DataFrame,
    metrics: list[str] | None = None,
    reported: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Table `Estimates` of answers, and of scores that are reported, as the road makes it."""
    scores = score(responses, metrics).lazy()
    stated = empty(Reported) if reported is None else reported
    return estimate(scores, stated, models, score_sets(responses, metrics or ()))


def judge_responses(
    models: pl.DataFrame,
    responses: pl.DataFrame,
    rng: np.random.Generator,
    *,
    tau: float | None = None,
    axis: str = "params",
) -> pl.DataFrame:
    """Verdicts on answers along one axis; tau is the model noise where it is known."""
    return judge_estimates(estimates_of(models, responses), rng, tau=tau, axis=axis)


def judge_estimates(
    estimates: pl.DataFrame,
    rng: np.random.Generator,
    *,
    tau: float | None = None,
    axis: str = "params",
    metric: str | None = None,
) -> pl.DataFrame:
    """Verdicts on estimates along one axis, without the rows for falling scores."""
    series = [one for one in assemble(estimates, metric, tau) if one.axis == axis]
    return judge(series, rng, resamples=RESAMPLES).remove("inverse")


def per_seed(
    estimates: pl.DataFrame,
    rng: np.random.Generator,
    *,
    axis: str = "params",
    metric: str | None = None,
) -> pl.DataFrame:
    """Verdicts of every seed alone, and of all seeds merged (seed null), one row each.

    A single seed cannot tell its own noise, so it borrows that of one run from the spread
    between seeds, where there are enough of them.
    """
    tau = _run_noise(estimates, axis, metric)
    whole = judge_estimates(estimates, rng, axis=axis, metric=metric)
    parts = [whole.with_columns(seed=pl.lit(None, pl.Int64))]
    for seed in estimates["seed"].drop_nulls().unique().sort():
        alone = estimates.filter(pl.col("seed") == seed)
        for task, rows in alone.partition_by("task", as_dict=True, maintain_order=True).items():
            noise = tau.get(str(task[0]))
            found = judge_estimates(rows, rng, tau=noise, axis=axis, metric=metric)
            parts.append(found.with_columns(seed=pl.lit(seed, pl.Int64)))
    return pl.concat(parts).sort("family", "task", "seed", nulls_last=True, maintain_order=True)


def each_alone(estimates: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Verdicts on parameters of every seed as if it were the only one, one row each.

    The noise is then that of its own last checkpoints. Where seeds are a lottery, the spread
    between them that `per_seed` borrows is large and leaves little power; both are shown.
    """
    seeds = estimates["seed"].drop_nulls().unique().sort()
    parts = [
        judge_estimates(estimates.filter(pl.col("seed") == seed), rng).with_columns(
            seed=pl.lit(seed, pl.Int64)
        )
        for seed in seeds
    ]
    return pl.concat(parts) if parts else judge_estimates(estimates, rng).clear()


def _run_noise(estimates: pl.DataFrame, axis: str, metric: str | None) -> dict[str, float]:
    """Task to the noise of one run on the link scale, from the runs merged at each scale.

    `assemble` gives that of their mean, which is smaller by the root of their number.
    """
    found = {}
    for series in assemble(estimates, metric):
        if series.axis == axis and series.tau_source == "runs at one scale" and series.tau:
            runs = min(label.count(" + ") + 1 for label in series.models)
            found[series.task] = series.tau * float(np.sqrt(runs))
    return found


def counted(verdicts: pl.DataFrame, where: str = "") -> str:
    """Such as "METRIC_ARTEFACT in 9 and BREAK in 1 of 10 audits with ...", from the rows."""
    parts = [f"{name} in {count}" for name, count in frequencies(verdicts["verdict"])]
    if not parts:
        return "There was nothing to judge."
    words = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"{words} of {verdicts.height} audits{' ' + where if where else ''}."


def verdict_sheet(verdicts: pl.DataFrame, caption: str, name: str = "verdicts") -> Sheet:
    """The verdicts with their main evidence; keys of the experiment first."""
    keys = [column for column in verdicts.columns if column in ("length", "seed", "truth")]
    ordered = verdicts.select(*keys, *(column for column in SHOWN if column in verdicts.columns))
    return Sheet(name, caption, ordered)
