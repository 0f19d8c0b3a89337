"""How predictable each step from a log-probability to accuracy is, item by item.

Source: Schaeffer et al. (2024), arXiv 2406.04391: the correct choice's log-probability, its
probability, its share among the choices, then Brier score or accuracy. For each item, the
correlation of each score with log compute over the models of one family.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
from scipy.stats import rankdata

from saltus.errors import SaltusError
from saltus.forecasts.block import scale_axis
from saltus.forecasts.links import FloatArray
from saltus.metrics.metric import METRICS
from saltus.metrics.score import argument
from saltus.tables import ItemCorrelations, conform, empty

CHAIN = (
    "correct_answer_loss", "correct_answer_probability", "correct_choice_probability",
    "brier_sum", "multiple_choice_grade",
)  # fmt: skip
NEEDS = ("choice_logprobs", "target_index")
KINDS = ("spearman", "pearson")
FEWEST = 3  # models
QUANTILES = np.arange(1, 20) / 20


def item_correlations(scores: FloatArray, log10_compute: FloatArray, kind: str) -> FloatArray:
    """Correlation of every item's score with log compute.

    Args:
        scores: (models, items).
        log10_compute: (models,).
        kind: spearman (mean ranks for ties) or pearson.

    Returns:
        (items,) between -1 and 1; NaN for an item that all models score alike.

    Raises:
        SaltusError: fewer than three models, or all of the same compute.
    """
    if len(log10_compute) < FEWEST:
        raise SaltusError(f"fewer than {FEWEST} models: no correlation with compute")
    if np.ptp(log10_compute) == 0.0:
        raise SaltusError("all models have the same compute: no correlation with it")
    constant = np.ptp(scores, axis=0) == 0.0
    x = log10_compute
    if kind == "spearman":
        x, scores = rankdata(x), rankdata(scores, axis=0)
    away, apart = x - x.mean(), scores - scores.mean(axis=0)
    spread = np.sqrt(np.square(away).sum() * np.square(apart).sum(axis=0))
    known = ~constant & (spread > 0.0)
    return np.where(known, away @ apart / np.where(known, spread, 1.0), np.nan)


def chain(models: pl.DataFrame, responses: pl.DataFrame) -> pl.DataFrame:
    """Table `ItemCorrelations` of one family, regime and task.

    Args:
        models: rows model, family, regime, params, flops: the final checkpoints.
        responses: their answers to the task: model, task, item, choice_logprobs, target_index.
    """
    rows = responses.unique(["model", "item"], keep="first", maintain_order=True)
    models = models.filter(pl.col("model").is_in(rows["model"].unique().to_list()))
    axis, x = scale_axis(models)
    tables = {name: _spread(rows, models, name) for name in CHAIN}
    found = [
        {"step": place + 1, "score": name, "axis": axis, **row}
        for place, (name, scores) in enumerate(tables.items())
        for row in _rows(scores, x)
    ]
    facts = {name: models[name][0] for name in ("family", "regime")} | {"task": rows["task"][0]}
    return conform(pl.DataFrame([facts | row for row in found], infer_schema_length=None),
                   ItemCorrelations) if found else empty(ItemCorrelations)  # fmt: skip


def _spread(rows: pl.DataFrame, models: pl.DataFrame, name: str) -> FloatArray:
    """(models, items) of one score, higher is better; NaN where missing."""
    entry = METRICS[name]
    value, _, _ = entry.compute(*(argument(rows[need]) for need in entry.needs))
    place = {label: number for number, label in enumerate(models["model"])}
    items = {label: number for number, label in enumerate(rows["item"].unique(maintain_order=True))}
    table = np.full((len(place), len(items)), np.nan)
    row = rows["model"].replace_strict(place, return_dtype=pl.Int64).to_numpy()
    column = rows["item"].replace_strict(items, return_dtype=pl.Int64).to_numpy()
    table[row, column] = value if entry.better == "higher" else -value
    return table


def _rows(scores: FloatArray, x: FloatArray) -> Iterator[dict[str, object]]:
    whole = np.isfinite(scores).all(axis=0)
    counts = {"models": len(x), "missing": int((~whole).sum())}
    for kind in KINDS:
        try:
            found = item_correlations(scores[:, whole], x, kind)
        except SaltusError as fault:
            yield counts | {"correlation": kind, "status": str(fault)}
            continue
        moved = found[np.isfinite(found)]
        yield counts | {
            "correlation": kind, "items": moved.size, "constant": found.size - moved.size,
        } | _summary(moved)  # fmt: skip


def _summary(found: FloatArray) -> dict[str, object]:
    if not found.size:
        return {"status": "no item that every model answered and not all alike"}
    return {
        "mean": float(found.mean()),
        "median": float(np.median(found)),
        "share_above_half": float((found > 0.5).mean()),
        "quantiles": np.quantile(found, QUANTILES).tolist(),
        "status": "found",
    }
