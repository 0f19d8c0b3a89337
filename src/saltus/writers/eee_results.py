"""One aggregate as an entry of `evaluation_results` in Every Eval Ever 0.3.0."""

from __future__ import annotations

import math
from typing import Any

import polars as pl

from saltus.metrics.metric import Metric, find
from saltus.readers.eee_parts import MADE_HERE

Row = dict[str, Any]


def identifier(task: str, metric: str, made: str | None) -> str:
    """What instances call an entry by; scores of our own stand apart from those of the log."""
    return f"{task}/{metric}" + ("/saltus" if made == "score" else "")


def result(row: Row, taken: int = 0, made: str | None = None) -> Row:
    """One entry.

    Args:
        row: task, metric, value, stderr, items, chance.
        taken: how many entries of this task and metric there are already.
        made: `mean` or `score`: what Saltus computed for the file; None: the log states it.
    """
    details = {MADE_HERE: made} if made else {}
    if row["chance"] is not None:
        details["chance"] = repr(row["chance"])
    entry: Row = {
        "evaluation_result_id": identifier(row["task"], row["metric"], made)
        + (f"#{taken + 1}" if taken else ""),
        "evaluation_name": row["task"],
        "source_data": {"dataset_name": row["task"], "source_type": "other"},
        "metric_config": _config(row["metric"]),
        "score_details": {"score": row["value"]},
    }
    if details:
        entry["score_details"]["details"] = details
    if uncertainty := _uncertainty(row):
        entry["score_details"]["uncertainty"] = uncertainty
    return entry


def _config(name: str) -> Row:
    """Direction and bounds where the metric is known; else it is said that they are not."""
    metric = find(name)
    config: Row = {
        "metric_id": name,
        "metric_name": name,
        "lower_is_better": metric is not None and metric.better == "lower",
        "score_type": "continuous",
        "min_score": _bound(metric, 0),
        "max_score": _bound(metric, 1),
    }
    if metric is None:
        config["additional_details"] = {"direction": "not known"}
    else:
        config["metric_unit"] = metric.unit
    return config


def _bound(metric: Metric | None, side: int) -> float | str | None:
    if metric is None:
        return None
    bound = metric.bounds[side]
    return ("-Infinity", "Infinity")[side] if bound is None else bound


def _uncertainty(row: Row) -> Row:
    found: Row = {}
    if row["stderr"] is not None and math.isfinite(row["stderr"]):
        found["standard_error"] = {"value": row["stderr"]}
    if row["items"] is not None:
        found["num_samples"] = row["items"]
    return found


def mean_of(rows: pl.DataFrame) -> Row:
    """The mean of single items' values, repeated answers averaged first.

    Args:
        rows: values of one task and metric, none of them missing.
    """
    items = rows.group_by("item").agg(pl.col("value").mean())
    return {
        "task": rows["task"][0],
        "metric": rows["metric"][0],
        "value": items["value"].mean(),
        "stderr": None,
        "items": items.height,
        "chance": None,
    }
