"""The back-test: every forecaster at every origin against what was hidden, as table `Backtests`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from saltus.forecasts.block import AXES, Block, Truth
from saltus.forecasts.ensemble import LEVEL, classes, learn, members, pool
from saltus.forecasts.forecaster import FORECASTERS, observe
from saltus.forecasts.links import FloatArray
from saltus.forecasts.rolling import Origin
from saltus.forecasts.scores import crps, interval, pit
from saltus.tables import Backtests, conform, empty

ENSEMBLE = "ensemble"


def backtest(origins: Sequence[Origin], seed: int, most: int | None = None) -> pl.DataFrame:
    """Table `Backtests`.

    Args:
        origins: from `rolling.roll`, all of them: each learns from those further back.
        seed: of the items.
        most: origins to score; None for all.
    """
    frames = [
        frame
        for place in range(len(origins[:most]))
        for frame in _scored(origins[place], origins[place + 1 :], seed)
    ]
    return (
        with_naive(conform(_finished(pl.concat(frames)), Backtests)) if frames else empty(Backtests)
    )


def _finished(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with a value, NaN as null, and what follows from value and forecast."""
    needs = {entry.name: entry.needs for entry in FORECASTERS} | {ENSEMBLE: "any forecast"}
    wanted = pl.col("forecaster").replace_strict(needs, return_dtype=pl.String)
    none = pl.when(pl.col("crps").is_null()).then("no forecast: needs " + wanted)
    return (
        rows.with_columns(pl.col(pl.Float64).fill_nan(None))
        .filter(pl.col("value").is_not_null())
        .with_columns(
            covered=pl.col("value").is_between("low", "high"),
            error=pl.col("median") - pl.col("value"),
            status=none.otherwise(pl.lit("forecast")),
        )
    )


def _scored(origin: Origin, past: Sequence[Origin], seed: int) -> Iterator[pl.DataFrame]:
    experience = learn(past, np.random.default_rng([seed, origin.number]))
    for place, (block, truth) in enumerate(zip(origin.blocks, origin.truths, strict=True)):
        for name in (*members(), ENSEMBLE):
            latent = (
                pool(origin, place, experience) if name == ENSEMBLE else origin.latent[name][place]
            )
            rng = np.random.default_rng([seed, origin.number, place])
            yield _rows(origin, block, truth, name, observe(block, latent, rng))


def _rows(origin: Origin, block: Block, truth: Truth, name: str, draws: FloatArray) -> pl.DataFrame:
    """One row per series and hidden model that has a value."""
    series, targets = block.shape
    low, high = interval(draws, LEVEL)
    facts = [entry for entry in block.series for _ in range(targets)]
    size = series * targets
    ahead = {
        axis: np.tile(block.targets[axis].cast(pl.Float64).fill_null(np.nan).to_numpy(), series)
        for axis in AXES
    }
    return pl.DataFrame(
        {
            "family": [block.family] * size,
            "regime": pl.Series([block.regime] * size, dtype=pl.String),
            "task": [entry.task for entry in facts],
            "metric": [entry.metric for entry in facts],
            "reaction": [entry.reaction for entry in facts],
            "moving": np.repeat([moving for _, moving in classes(block)], targets),
            "forecaster": [name] * size,
            "hidden": [origin.number + 1] * size,
            "scales": np.repeat(block.scales, targets),
            "model": pl.Series(block.targets["model"].to_list() * series, dtype=pl.String),
            **ahead,
            "value": truth.value.ravel(),
            "low": low.ravel(),
            "median": np.median(draws, axis=-1).ravel(),
            "high": high.ravel(),
            "crps": crps(draws, truth.value).ravel(),
            "pit": pit(draws, truth.value).ravel(),
        }
    )


SERIES = ("family", "regime", "task", "metric")


def with_naive(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with the mean CRPS of the naive set at the same point."""
    naive = [entry.name for entry in FORECASTERS if entry.naive]
    key = (*SERIES, "model", "hidden")
    base = (
        rows.filter(pl.col("forecaster").is_in(naive))
        .group_by(key)
        .agg(pl.col("crps").mean().alias("naive_crps"))
    )
    return (
        rows.drop("naive_crps")
        .join(base, on=key, how="left", nulls_equal=True)
        .select(rows.columns)
    )


def per_task(rows: pl.DataFrame) -> pl.DataFrame:
    """Mean scores of every forecaster for every series: what wins are counted on.

    Args:
        rows: table `Backtests`, such as those with `hidden` 1.
    """
    scored = rows.filter(pl.col("crps").is_not_null())
    return scored.group_by(*SERIES, "forecaster", maintain_order=True).agg(
        pl.col("crps", "naive_crps").mean(),
        pl.col("error").abs().mean(),
        pl.col("covered").mean(),
        pl.len().alias("points"),
    )


def record(rows: pl.DataFrame) -> pl.DataFrame:
    """How each forecaster did on similar series: same family, reaction, moving or still.

    Returns:
        Rows family, regime, reaction, moving, forecaster with points, coverage, skill (1 - the
        mean CRPS over that of the naive set, averaged over metrics) and whether it lost to it.
    """
    key = ("family", "regime", "reaction", "moving", "forecaster")
    scored = rows.filter(pl.col("crps").is_not_null(), pl.col("naive_crps").is_not_null())
    means = scored.group_by(*key, "metric").agg(
        pl.len().alias("points"), pl.col("covered").sum(), pl.col("crps", "naive_crps").mean()
    )
    naive = pl.col("naive_crps").filter(pl.col("naive_crps") > 0.0)
    share = (pl.col("crps").filter(pl.col("naive_crps") > 0.0) / naive).mean()
    return (
        means.group_by(key)
        .agg(pl.col("points").sum(), covered=pl.col("covered").sum(), skill=1.0 - share)
        .with_columns(coverage=pl.col("covered") / pl.col("points"), loses=pl.col("skill") < 0.0)
        .drop("covered")
    )


def summary(rows: pl.DataFrame, hidden: int = 1) -> pl.DataFrame:
    """One row per forecaster: coverage, CRPS ratio and wins over the naive set.

    Args:
        rows: table `Backtests`.
        hidden: which origin: 1 hides the largest size only.
    """
    part = rows.filter(pl.col("hidden") == hidden)
    tasks = per_task(part)
    naive = pl.col("naive_crps") > 0.0
    ratio = (pl.col("crps") / pl.col("naive_crps")).filter(naive, pl.col("crps") > 0.0)
    found = tasks.group_by("forecaster", maintain_order=True).agg(
        pl.len().alias("tasks"),
        pl.col("points").sum(),
        ((pl.col("covered") * pl.col("points")).sum() / pl.col("points").sum()).alias("coverage"),
        ratio.log().mean().exp().alias("crps_ratio"),
        (pl.col("crps") < pl.col("naive_crps")).mean().alias("beats_naive"),
    )
    return found.sort("crps_ratio", nulls_last=True)
