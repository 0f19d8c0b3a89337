"""Families whose truth is known, as table `Estimates`, for the tests of forecasts."""

from __future__ import annotations

import numpy as np
import polars as pl

from saltus.tables import Estimates, conform

TOKENS = 3e11


def family(
    values: dict[str, list[float]],
    sizes: list[float],
    metric: str = "acc",
    items: int | None = 1000,
    name: str = "fam",
    chance: float | None = 0.25,
    tokens: list[float] | None = None,
) -> pl.DataFrame:
    """One row per task and size."""
    seen = tokens or [TOKENS] * len(sizes)
    rows = [
        {
            "model": f"{name}-{place}",
            "family": name,
            "params": size,
            "tokens": seen[place],
            "flops": 6.0 * size * seen[place],
            "task": task,
            "metric": metric,
            "value": scores[place],
            "variance": None if items is None else scores[place] * (1 - scores[place]) / items,
            "items": items,
            "chance": chance,
            "missing_items": 0,
        }
        for task, scores in values.items()
        for place, size in enumerate(sizes)
        if scores[place] is not None
    ]
    known = [name for name in rows[0] if name in Estimates.__dict__]
    return conform(pl.DataFrame(rows, infer_schema_length=None).select(known), Estimates)


def smooth_world(rng: np.random.Generator, tasks: int, sizes: list[float], tau: float,
                 items: int = 1000, name: str = "fam") -> pl.DataFrame:  # fmt: skip
    """Accuracies on curves that bend or not on the logit scale, with model noise tau."""
    x = np.log10(sizes) - np.log10(sizes[-2])
    values = {}
    for task in range(tasks):
        level, slope = rng.normal(0.0, 1.0), rng.gamma(2.0, 0.3)
        bend = rng.choice([0.0, 0.3, -0.3])
        curve = x if bend == 0.0 else (10.0 ** (bend * x) - 1.0) / (bend * np.log(10.0))
        z = level + slope * curve + tau * rng.standard_normal(x.size)
        values[f"task{task}"] = (rng.binomial(items, 1 / (1 + np.exp(-z))) / items).tolist()
    return family(values, sizes, items=items, name=name)
