"""The length laws of every model and task in a table of scores."""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from saltus.verdicts.lengths import (
    Answers,
    Commensurate,
    above_chance,
    commensurate,
    geometric_decay,
    quasi_linear,
)

LEVEL = 0.05


def length_laws(
    scores: pl.DataFrame,
    rng: np.random.Generator,
    exact: str = "exact_match",
    edit: str = "token_error_rate",
) -> pl.DataFrame:
    """The laws for every model and task whose items have target lengths.

    Args:
        scores: table `Scores`; only the first answer to each item is used.
        rng: splits the items and draws the bootstrap of P2.
        exact: thresholded metric, 0 or 1 per item.
        edit: continuous metric per token of the target, with `units` the target's length.

    Returns:
        Rows of task, model, law, items, lengths (how many), estimate with low and high,
        statistic, freedom, p, holds (null: could not be tested); sorted by task. `estimate`
        is the accuracy (P2 above chance), observed over predicted accuracy (P2
        commensurate), the token probability (P3a), q (P3a curvature), or gamma (P3b); a task
        whose targets have one length has P2 only.
    """
    first = scores.filter(pl.col("sample") == 0, pl.col("value").is_not_null())
    key = ["task", "model", "item"]
    pairs = first.filter(pl.col("metric") == edit, pl.col("units") > 0).join(
        first.filter(pl.col("metric") == exact).select(*key, exact="value"), on=key
    )
    rows: list[dict[str, object]] = []
    for (task,), group in pairs.group_by("task", maintain_order=True):
        models = [
            (str(model), _answers(rows_of))
            for (model,), rows_of in group.sort("item").group_by("model", maintain_order=True)
            if rows_of.height > 1
        ]
        rows += [{"task": task, **row} for row in _laws_of_task(models, rng)]
    return pl.DataFrame(rows, schema=LAWS).sort("task", maintain_order=True)


LAWS = pl.Schema(
    {
        "task": pl.String, "model": pl.String, "law": pl.String, "items": pl.Int64,
        "lengths": pl.Int64, "estimate": pl.Float64, "low": pl.Float64, "high": pl.Float64,
        "statistic": pl.Float64, "freedom": pl.Int64, "p": pl.Float64, "holds": pl.Boolean,
    }
)  # fmt: skip


def _answers(rows: pl.DataFrame) -> Answers:
    units = rows["units"].to_numpy()
    return Answers(rows["exact"].to_numpy(), np.round(rows["value"].to_numpy() * units), units)


def _laws_of_task(
    models: list[tuple[str, Answers]], rng: np.random.Generator
) -> list[dict[str, object]]:
    if not models:
        return []
    totals = np.array([(a.exact.sum(), a.exact.size) for _, a in models])
    adjusted = above_chance(totals[:, 0], totals[:, 1])
    predictions, _, _ = commensurate([answers for _, answers in models], rng)
    return [
        {"model": name, "items": answers.exact.size, "lengths": np.unique(answers.lengths).size,
         **law}
        for (name, answers), p, prediction in zip(models, adjusted, predictions, strict=True)
        for law in _laws_of_model(answers, float(p), prediction)
    ]  # fmt: skip


def _laws_of_model(
    answers: Answers, p_chance: float, prediction: Commensurate
) -> list[dict[str, object]]:
    size, place = np.unique(answers.lengths, return_inverse=True)
    n = np.bincount(place)
    mean = np.bincount(place, answers.edits) / n
    squares = np.bincount(place, (answers.edits - mean[place]) ** 2)
    decay = geometric_decay(size, np.bincount(place, answers.exact), n)
    growth = quasi_linear(size, mean, squares / np.maximum(n - 1, 1) / n)
    low, high = (math.exp(decay.slope + side * 1.96 * decay.slope_error) for side in (-1, 1))
    one = float(answers.exact.mean())
    accuracy = [
        _law("P2 above chance", one, p=p_chance, holds=p_chance < LEVEL),
        _law("P2 commensurate", prediction.ratio, prediction.low, prediction.high,
             prediction.statistic, 1, prediction.p),
    ]  # fmt: skip
    if size.size < 2:  # one length says nothing about lengths
        return accuracy
    return [
        *accuracy,
        _law("P3a geometric decay", decay.token_probability, low, high, decay.statistic,
             decay.freedom, decay.p),
        _law("P3a curvature", decay.curvature, statistic=decay.z, p=decay.p_curvature),
        _law("P3b quasi-linear edits", growth.elasticity, growth.low, growth.high,
             growth.statistic, growth.freedom, growth.p, growth.quasi_linear),
    ]  # fmt: skip


def _law(law: str, estimate: float, low: float = math.nan, high: float = math.nan,
         statistic: float = math.nan, freedom: int | None = None, p: float = math.nan,
         holds: bool | None = None) -> dict[str, object]:  # fmt: skip
    """One row; a law whose verdict is not given holds where its test does not reject."""
    numbers = {"estimate": estimate, "low": low, "high": high, "statistic": statistic, "p": p}
    known = {name: None if math.isnan(value) else value for name, value in numbers.items()}
    if holds is None and not law.startswith("P3b") and not math.isnan(p):
        holds = p >= LEVEL
    return {"law": law, **known, "freedom": freedom, "holds": holds}
