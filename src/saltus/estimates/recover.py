"""Sample sizes behind reported means: recovered where the numbers prove them, never believed.

The mean p of n zero-or-one scores with the standard error that harnesses print,
SE = sqrt(p (1 - p) / (n - 1)), gives n = p (1 - p) / SE^2 + 1, a whole number for which
p n is whole too. Anything else is another estimator, a rounded print or a damaged file.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from saltus.metrics.metric import Metric, find
from saltus.readers.facts import task_facts

WHOLE = 1e-6  # relative distance from a whole number that full double prints stay below
LARGEST = 20_000  # for common denominators: beyond it a chance hit is no longer negligible
DISTINCT = 3
POWERS_OF_TEN = tuple(10**decimals for decimals in range(7))
UNROUNDED = 12  # distinct values after which a divisor of 10^d is no luck of rounding

STATED = "stated"
RECOVERED = "recovered from value and standard error"
SIBLING = "recovered from other results of this task"
PUBLISHED = "published size of the task"
DENOMINATOR = "smallest common denominator of the values"
ZERO_STDERR = "unknown: standard error stated as 0"
NOT_WHOLE = "unknown: value and standard error give no whole number"
NOT_COUNTS = "unknown: value times items is not whole"
REFUTED = "unknown: most other values of the task are no whole number of the stated items"
UNSTATED = "unknown: not stated"

FloatArray = NDArray[np.float64]


class Sizes(NamedTuple):
    """Items and how they are known, for the rows of one task and one kind of metric."""

    items: FloatArray
    method: list[str]


def recovered(rows: pl.DataFrame) -> pl.DataFrame:
    """Aggregates of `Reported` with `items`, `items_method`, `successes` and `missing`.

    Args:
        rows: table `Reported` without per-item rows.

    Returns:
        The rows with items that can be trusted, or null with the reason in `items_method`;
        values outside the metric's bounds become null with the reason in `missing`.
    """
    if rows.is_empty():
        return rows.with_columns(
            pl.lit(None, pl.String).alias("items_method"),
            pl.lit(None, pl.Float64).alias("successes"),
            pl.lit(None, pl.String).alias("missing"),
        )
    parts = [_one(part) for part in rows.partition_by("task", "metric", maintain_order=True)]
    return _from_siblings(_unique(pl.concat(parts)))


def _one(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of one task and metric."""
    task, name = rows["task"][0], rows["metric"][0]
    metric = find(name)
    rows = _within_bounds(rows, metric.bounds if metric else (None, None))
    if not is_count(metric):
        method = (
            pl.when(pl.col("items").is_not_null()).then(pl.lit(STATED)).otherwise(pl.lit(UNSTATED))
        )
        return rows.with_columns(
            method.alias("items_method"), pl.lit(None, pl.Float64).alias("successes")
        )
    value, stderr, stated = (
        rows[column].cast(pl.Float64).fill_null(np.nan).to_numpy()
        for column in ("value", "stderr", "items")
    )
    facts = task_facts(task, name)
    published = facts.items if facts and facts.items else np.nan
    sizes = _sizes(value, stderr, stated, float(published))
    return rows.with_columns(
        pl.Series("items", sizes.items).fill_nan(None).cast(pl.Int64),
        pl.Series("items_method", sizes.method),
        pl.Series("successes", np.round(value * sizes.items)).fill_nan(None),
    )


def is_count(metric: Metric | None) -> bool:
    """Whether a mean of the metric is a number of items over their number."""
    return metric is not None and metric.binary and metric.bounds == (0.0, 1.0)


def _within_bounds(rows: pl.DataFrame, bounds: tuple[float | None, float | None]) -> pl.DataFrame:
    low, high = bounds
    value, outside = pl.col("value"), pl.lit(False)
    if low is not None:
        outside = outside | (value < low)
    if high is not None:
        outside = outside | (value > high)
    why = pl.format("{} is outside the metric's bounds {}", value, pl.lit(f"[{low}, {high}]"))
    return rows.with_columns(
        missing=pl.when(value.is_null())
        .then(pl.lit("no value in the file"))
        .when(outside)
        .then(why),
        value=pl.when(~outside).then(value),
    )


def is_whole(number: FloatArray, items: FloatArray) -> NDArray[np.bool_]:
    """Whether numbers are whole up to the rounding of a full double print of `items` items."""
    return np.abs(number - np.round(number)) <= WHOLE * np.maximum(items, 1)


def _sizes(value: FloatArray, stderr: FloatArray, stated: FloatArray, published: float) -> Sizes:
    usable = (stderr > 0) & (value > 0) & (value < 1)
    raw = np.where(usable, value * (1 - value) / np.where(usable, stderr, 1.0) ** 2 + 1, np.nan)
    proven = usable & is_whole(raw, raw) & is_whole(value * np.round(raw), raw)
    stated_fits = np.isfinite(stated) & is_whole(value * stated, stated)
    refuted = _refuted(value, stated, stated_fits)
    by_size = np.isfinite(value) & is_whole(value * published, np.full_like(value, published))
    common = _common_denominator(value) if not np.isfinite(published) else np.nan
    items, method = np.full_like(value, np.nan), [""] * len(value)
    for row in range(len(value)):
        if proven[row]:
            items[row], method[row] = np.round(raw[row]), RECOVERED
        elif stated_fits[row] and refuted[row]:
            method[row] = REFUTED
        elif stated_fits[row]:
            items[row], method[row] = stated[row], STATED
        elif np.isfinite(stated[row]):
            method[row] = NOT_COUNTS
        elif stderr[row] == 0:
            method[row] = ZERO_STDERR
        elif usable[row]:
            method[row] = NOT_WHOLE
        elif by_size[row]:
            items[row], method[row] = published, PUBLISHED
        elif np.isfinite(common):
            items[row], method[row] = common, DENOMINATOR
        else:
            method[row] = UNSTATED
    return Sizes(items, method)


def _refuted(value: FloatArray, stated: FloatArray, fits: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether most values inside (0, 1) with the same stated size are no counts of it.

    Of a large size one average in ten is whole by luck, and 0 is of any.
    """
    inside = (value > 0) & (value < 1)
    refuted = np.zeros_like(fits)
    for size in np.unique(stated[np.isfinite(stated)]):
        own = stated == size
        judged = own & inside
        refuted |= own & bool(judged.any() and fits[judged].mean() < 0.5)
    return refuted


def _common_denominator(value: FloatArray) -> float:
    """Smallest n with every value a multiple of 1/n: a lower bound of the number of items.

    NaN where the values are too few, or where they may just have been rounded: d decimals
    make the denominator 10^d, and a divisor of it only by a luck of 1/2 per value or less.
    """
    distinct = np.unique(value[np.isfinite(value)])
    if len(distinct) < DISTINCT:
        return np.nan
    sizes = np.arange(2, LARGEST + 1, dtype=float)
    for candidate in distinct:
        sizes = sizes[is_whole(candidate * sizes, np.ones_like(sizes))]
    if not len(sizes):
        return np.nan
    smallest = int(sizes[0])
    luck = 10**6 % smallest == 0 and (smallest in POWERS_OF_TEN or len(distinct) < UNROUNDED)
    return np.nan if luck else float(smallest)


def _unique(rows: pl.DataFrame) -> pl.DataFrame:
    """One row per model, task and metric: repeated statements are averaged.

    Equal repeats keep their items; different values (re-runs under one label) have no
    count of successes any more.
    """
    key = ["model", "task", "metric"]
    if rows.select(key).is_unique().all():
        return rows
    same = pl.col("value").n_unique() == 1
    return rows.group_by(key, maintain_order=True).agg(
        pl.col("value").mean(),
        pl.col("stderr").mean(),
        pl.col("items").min(),
        pl.col("items_method").first(),
        pl.when(same).then(pl.col("successes").first()).alias("successes"),
        pl.col("chance").first(),
        pl.col("missing").first(),
    )


def _from_siblings(rows: pl.DataFrame) -> pl.DataFrame:
    """Fill unknown sizes of a task from its proven ones, where these agree."""
    proven = rows.filter(pl.col("items_method").is_in([RECOVERED, STATED]))
    sizes = proven.group_by("task").agg(
        pl.col("items").first().alias("sibling"), pl.col("items").n_unique().alias("kinds")
    )
    rows = rows.join(sizes.filter(pl.col("kinds") == 1).drop("kinds"), on="task", how="left")
    product = pl.col("value") * pl.col("sibling")
    whole = (product - product.round()).abs() <= WHOLE * pl.col("sibling")
    doubtful = pl.col("items_method").is_in([ZERO_STDERR, UNSTATED, DENOMINATOR])
    zero_or_one = [name for name in rows["metric"].unique() if is_count(find(name))]
    fills = doubtful & whole & pl.col("metric").is_in(zero_or_one)
    return rows.with_columns(
        items=pl.when(fills).then("sibling").otherwise("items"),
        items_method=pl.when(fills).then(pl.lit(SIBLING)).otherwise("items_method"),
        successes=pl.when(fills).then(product.round()).otherwise("successes"),
    ).drop("sibling")
