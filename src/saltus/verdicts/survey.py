"""All task x metric x family triplets of a collection under the emergence score.

Schaeffer et al. (2023), arXiv 2304.15004, sec. 4 and Fig. 5, with what it lacks: p-values
under a null without change, multiplicity, counts relative to how often a metric is used, and
a test of "metrics, not tasks" that holds the task fixed. The paper states no cut for the
score, so counts are given for several.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from saltus.estimates.association import LabelTest, OddsRatio, label_permutation, mantel_haenszel
from saltus.estimates.emergence import emergence
from saltus.estimates.multiplicity import benjamini_hochberg, benjamini_yekutieli, holm
from saltus.estimates.nulls import binomial_null, gaussian_null, permutation_null
from saltus.metrics.measure import class_of
from saltus.metrics.metric import find

FloatArray = NDArray[np.float64]

KEY = ["family", "regime", "task", "metric"]
CUTS = (5.0, 10.0, 25.0, 100.0)
LEVEL = 0.05
LISTS = ("values", "successes", "items_at", "variances")


@dataclass(frozen=True)
class Survey:
    """What a collection shows under the emergence score.

    Args:
        triplets: one row per family, regime, task and metric: class (thresholded, nonlinear,
            linear, null: not known), scales, items (fewest), gain (last minus first value,
            higher is better), score, linearity, degenerate, p and p_method (binomial or
            gaussian sampling null; permutation where no error is known), p_permutation, and
            p adjusted by holm, bh, by.
        metrics: one row per criterion and metric: triplets (those with a score), emergent,
            per_use (emergent over triplets), share (of all emergent), degenerate (emergent
            with an infinite score).
        tests: one row per criterion: emergent, chi2 and p_within_task of labels shuffled
            inside each task and family, odds_ratio (with low, high, p_odds) of {thresholded
            or nonlinear} against linear metrics stratified on the task.
    """

    triplets: pl.DataFrame
    metrics: pl.DataFrame
    tests: pl.DataFrame


def survey(
    estimates: pl.DataFrame, rng: np.random.Generator, draws: int = 1000, axis: str = "params"
) -> Survey:
    """Score every triplet of a collection and test what emergence follows.

    Args:
        estimates: table `Estimates`; models without a family or a place on the axis are left
            out, as are checkpoints other than a run's last.
        rng: source of randomness of all nulls.
        draws: most draws per null; no p is below 1 / (draws + 1).
        axis: params or flops.
    """
    triplets = _judged(_curves(estimates, axis), rng, draws)
    # one scale has no score, so it is neither emergent nor a use that failed to be
    scored = triplets.filter(pl.col("score").is_not_null(), pl.col("p").is_not_null())
    marks = dict(_criteria(scored))
    return Survey(
        triplets=triplets,
        metrics=pl.concat([_per_metric(scored, *mark) for mark in marks.items()]),
        tests=pl.concat([_tested(scored, *mark, rng, draws) for mark in marks.items()]),
    )


def annotate(triplets: pl.DataFrame, annotations: pl.DataFrame, label: str) -> pl.DataFrame:
    """The triplets with what people wrote about their tasks.

    Task names are compared without case, punctuation and the name of their benchmark.

    Args:
        triplets: `Survey.triplets`.
        annotations: rows of `task` and a column `label`, such as the emergent tasks of Wei et
            al.; several labels of one task are joined by "; ".
        label: name of that column.

    Returns:
        The triplets with the column `label`; null for a task that nobody annotated.
    """
    wanted = annotations.select(_task_key(), pl.col(label).cast(pl.String)).drop_nulls()
    merged = wanted.group_by("task_key").agg(pl.col(label).unique().sort().str.join("; "))
    keyed = triplets.with_columns(_task_key())
    return keyed.join(merged, on="task_key", how="left", maintain_order="left").drop("task_key")


def _task_key() -> pl.Expr:
    plain = pl.col("task").str.to_lowercase().str.replace_all(r"[^a-z0-9]+", " ").str.strip_chars()
    return plain.str.replace(r"^(bigbench|big bench|bb|mmlu|hendryckstest) ", "").alias("task_key")


def _curves(estimates: pl.DataFrame, axis: str) -> pl.DataFrame:
    """One row per triplet with its points as lists in the order of scale, higher is better."""
    known = estimates.lazy().filter(
        pl.col("family").is_not_null(), pl.col(axis) > 0, pl.col("value").is_finite()
    )
    heads = known.select("family", "metric").unique().collect()
    facts = _facts(heads["metric"].unique().sort().to_list())
    models = _final_models(known, axis)
    # one family at a time, so that memory stays flat in the number of triplets
    parts = [
        _curves_of(known.filter(pl.col("family") == family), models, facts, axis)
        for family in heads["family"].unique().sort()
    ]
    return pl.concat(parts or [_curves_of(known, models, facts, axis)]).sort(KEY)


def _curves_of(
    known: pl.LazyFrame, models: pl.DataFrame, facts: pl.DataFrame, axis: str
) -> pl.DataFrame:
    chosen = known.select(*KEY, "model", axis, "value", "successes", "items", "variance")
    signed = chosen.join(models.lazy(), on="model", how="semi").join(facts.lazy(), on="metric")
    # runs at one scale share their items, so their mean counts as one run's
    points = signed.group_by(*KEY, axis).agg(
        (pl.col("value") * pl.col("sign")).mean(),
        pl.col("successes").mean().round(),
        pl.col("items").min(),
        pl.col("variance").mean(),
    )
    curves = points.group_by(*KEY).agg(
        pl.len().cast(pl.Int64).alias("scales"),
        pl.col("items").min(),
        (_in_order("value", axis).last() - _in_order("value", axis).first()).alias("gain"),
        _in_order("value", axis).alias("values"),
        _in_order("successes", axis),
        _in_order("items", axis).alias("items_at"),
        _in_order("variance", axis).alias("variances"),
    )
    return curves.join(facts.lazy().drop("sign"), on="metric").collect()


def _in_order(column: str, axis: str) -> pl.Expr:
    return pl.col(column).sort_by(axis)


def _final_models(known: pl.LazyFrame, axis: str) -> pl.DataFrame:
    """Last checkpoints; of sizes trained for several lengths, on the params axis the longest."""
    facts = ("model", "family", "regime", "params", "tokens", "step")
    models = known.select(facts).unique().collect()
    step = pl.col("step").fill_null(np.iinfo(np.int64).max)
    run = pl.col("model").str.replace(r"@step\d+", "")
    final = models.filter(step == step.max().over(run))
    if axis != "params":
        return final
    tokens = pl.col("tokens")
    longest = tokens == tokens.max().over("family", "regime", "params")
    return final.filter(tokens.is_null() | longest)


def _facts(names: list[str]) -> pl.DataFrame:
    """Direction and class of each metric; an unknown one counts as higher is better."""
    entries = [find(name) for name in names]
    return pl.DataFrame(
        {
            "metric": names,
            "sign": [-1.0 if entry and entry.better == "lower" else 1.0 for entry in entries],
            "binary": [bool(entry and entry.binary) for entry in entries],
            "class": [class_of(entry) for entry in entries],
        },
        schema={"metric": pl.String, "sign": pl.Float64, "binary": pl.Boolean, "class": pl.String},
    )  # fmt: skip


def _judged(curves: pl.DataFrame, rng: np.random.Generator, draws: int) -> pl.DataFrame:
    """The triplets with scores and p-values; curves of equal length are worked together."""
    parts = [
        _of_length(part, rng, draws)
        for part in curves.partition_by("scales", maintain_order=True)
    ]  # fmt: skip
    columns = ("score", "linearity", "degenerate", "p", "p_method", "p_permutation")
    schema = [pl.Float64, pl.Float64, pl.Boolean, pl.Float64, pl.String, pl.Float64]
    empty = curves.with_columns(
        pl.lit(None, dtype).alias(name) for name, dtype in zip(columns, schema, strict=True)
    )
    whole = pl.concat(parts) if parts else empty
    p = whole["p"].fill_null(np.nan).to_numpy()
    adjusted = {"holm": holm(p), "bh": benjamini_hochberg(p), "by": benjamini_yekutieli(p)}
    return (
        whole.with_columns(**{name: pl.Series(name, column) for name, column in adjusted.items()})
        .with_columns(pl.col("score", "linearity", "p", "p_permutation", *adjusted).fill_nan(None))
        .drop(*LISTS, "binary")
        .sort(KEY)
        .select(*KEY, "class", pl.exclude(*KEY, "class"))
    )


def _of_length(part: pl.DataFrame, rng: np.random.Generator, draws: int) -> pl.DataFrame:
    scales = part["scales"][0]
    values, k, n, variance = (_matrix(part, name, scales) for name in LISTS)
    found = emergence(values)
    shuffled = permutation_null(values, rng, draws).p
    p, method = shuffled.copy(), np.full(part.height, "permutation", dtype=object)
    counted = part["binary"].to_numpy() & np.isfinite(k).all(axis=1) & (n > 0).all(axis=1)
    measured = ~counted & np.isfinite(variance).all(axis=1) & (variance > 0).any(axis=1)
    p[counted] = binomial_null(k[counted], n[counted], rng, draws).p
    p[measured] = gaussian_null(values[measured], variance[measured], rng, draws).p
    method[counted], method[measured] = "binomial", "gaussian"
    method[np.isnan(p)] = None
    return part.with_columns(
        pl.Series("score", found.score),
        pl.Series("linearity", found.linearity),
        pl.Series("degenerate", found.degenerate),
        pl.Series("p", p),
        pl.Series("p_method", method, dtype=pl.String),
        pl.Series("p_permutation", shuffled),
    )


def _matrix(part: pl.DataFrame, name: str, scales: int) -> FloatArray:
    """(triplets, scales); NaN where null."""
    flat = part[name].explode().cast(pl.Float64).fill_null(np.nan).to_numpy()
    return flat.reshape(part.height, scales)


def _criteria(triplets: pl.DataFrame) -> Iterator[tuple[str, pl.Series]]:
    """What may be called emergent: rows of true and false by the name of the criterion."""
    score = triplets["score"]
    for name in ("by", "bh"):
        yield f"{name} <= {LEVEL}", (triplets[name] <= LEVEL) & (score > 0)
    for cut in CUTS:
        yield f"score > {cut:g}", score > cut


def _per_metric(triplets: pl.DataFrame, criterion: str, marked: pl.Series) -> pl.DataFrame:
    return (
        triplets.with_columns(marked.alias("marked"))
        .group_by("metric", "class")
        .agg(
            pl.len().cast(pl.Int64).alias("triplets"),
            pl.col("marked").sum().cast(pl.Int64).alias("emergent"),
            (pl.col("marked") & pl.col("degenerate")).sum().cast(pl.Int64).alias("degenerate"),
        )
        .select(
            pl.lit(criterion).alias("criterion"),
            pl.all(),
            (pl.col("emergent") / pl.col("triplets")).alias("per_use"),
            (pl.col("emergent") / pl.col("emergent").sum()).fill_nan(None).alias("share"),
        )
        .sort("emergent", "metric", descending=[True, False])
    )


def _tested(
    triplets: pl.DataFrame, criterion: str, marked: pl.Series, rng: np.random.Generator, draws: int
) -> pl.DataFrame:
    rows = triplets.with_columns(marked.alias("marked"))
    cell = rows.select(pl.struct("family", "regime", "task").rank("dense")).to_series()
    label = rows["metric"].rank("dense").cast(pl.Int64) - 1
    labels = label_permutation(rows["marked"], label, cell, rng, draws)
    return _test_row(criterion, int(marked.sum()), labels, mantel_haenszel(_by_task(rows)))


def _by_task(rows: pl.DataFrame) -> NDArray[np.int64]:
    """(tasks, 2, 2) counts: {thresholded or nonlinear} or linear, emergent or not."""
    hard, marked = pl.col("class") != "linear", pl.col("marked")
    tables = (
        rows.filter(pl.col("class").is_not_null())
        .group_by("task")
        .agg(
            (hard & marked).sum().alias("a"),
            (hard & ~marked).sum().alias("b"),
            (~hard & marked).sum().alias("c"),
            (~hard & ~marked).sum().alias("d"),
        )
        .sort("task")
    )
    return tables.drop("task").cast(pl.Int64).to_numpy().reshape(-1, 2, 2)


def _test_row(criterion: str, emergent: int, labels: LabelTest, odds: OddsRatio) -> pl.DataFrame:
    numbers = {
        "chi2": labels.statistic,
        "p_within_task": labels.p,
        "odds_ratio": odds.ratio,
        "low": odds.low,
        "high": odds.high,
        "p_odds": odds.p,
    }
    return pl.DataFrame(
        {"criterion": [criterion], "emergent": [emergent], "cells": [labels.cells]}
        | {name: [value] for name, value in numbers.items()}
        | {"strata": [odds.strata]}
    ).with_columns(pl.col(*numbers).fill_nan(None))
