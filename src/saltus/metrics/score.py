"""Answers to scores: every metric asked for, on every answer that it can speak about."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from saltus.errors import SaltusError, UnknownNameError
from saltus.metrics.chance import level
from saltus.metrics.metric import METRICS, FloatArray, Metric, Ragged, Values, find
from saltus.tables import Responses, Scores, conform, empty

KEYS = ("model", "task", "item", "sample", "cluster")
TEXTS = ("output", "targets")

# Answers that a guess can hit although they are text: a letter of a choice, yes or no.
GUESSABLE = r"(?i)^\s*\(?(?:[a-z]|yes|no|true|false)\)?[.:]?\s*$"


def score(responses: pl.DataFrame, metrics: Sequence[str] | None = None) -> pl.DataFrame:
    """Scores every answer of a batch.

    Args:
        responses: table `Responses`, or a batch of its rows.
        metrics: names (a harness's name will do); None for the default metrics, each on the
            tasks that have its columns.

    Returns:
        Table `Scores`: by metric, then in the order of the answers. An answer that cannot
        be scored has no value and a reason.

    Raises:
        UnknownNameError: a name that no metric has.
        SaltusError: a metric that can only be read from reports.
    """
    rows = conform(responses, Responses)
    if metrics is None:
        parts = [_scored(entry, _speaks_of(entry, rows)) for entry in applicable(rows)]
    else:
        parts = [_scored(entry, rows) for entry in _named(metrics)]
    return conform(pl.concat(parts), Scores) if parts else empty(Scores)


def applicable(responses: pl.DataFrame) -> list[Metric]:
    """The default metrics that at least one task of a batch has the columns for."""
    rows = conform(responses, Responses)
    return [entry for entry in METRICS if entry.default and _speaks_of(entry, rows).height]


def _speaks_of(entry: Metric, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of the tasks for which some answer has all that the metric needs.

    A task for which no default metric has all it needs is scored by those that have a part
    of it, so that its answers stand in the table as missing and are not forgotten.
    """
    others = [other.needs for other in METRICS if other.default]
    covered = pl.any_horizontal(_has(needs).any().over("task") for needs in others)
    part = pl.any_horizontal(pl.col(name).is_not_null().any().over("task") for name in entry.needs)
    return rows.filter(_has(entry.needs).any().over("task") | (~covered & part))


def _has(needs: Sequence[str]) -> pl.Expr:
    return pl.all_horizontal(pl.col(name).is_not_null() for name in needs)


def _named(names: Sequence[str]) -> list[Metric]:
    """The metrics of these names, each once.

    Raises:
        UnknownNameError: a name that no metric has.
        SaltusError: a metric without a function.
    """
    entries: dict[str, Metric] = {}
    for name in names:
        entry = find(name)
        if entry is None:
            raise UnknownNameError("metric", name, (known.name for known in METRICS))
        if entry.function is None:
            able = ", ".join(known.name for known in METRICS if known.function)
            raise SaltusError(
                f"metric {name!r} is only known as a number that files report and cannot be "
                f"scored from answers; those that can: {able}"
            )
        entries[entry.name] = entry
    return list(entries.values())


def _scored(entry: Metric, rows: pl.DataFrame) -> pl.DataFrame:
    """One metric's rows of the table."""
    value, missing, units = compute(entry, rows)
    return rows.select(
        *KEYS,
        pl.lit(entry.name).alias("metric"),
        pl.Series("value", value, pl.Float64).fill_nan(None),
        pl.Series("units", _or_nan(units, rows.height), pl.Float64).fill_nan(None),
        chance_levels(entry, rows),
        pl.Series("missing", missing.tolist(), pl.String),
    )


def _or_nan(units: FloatArray | None, items: int) -> FloatArray:
    return np.full(items, np.nan) if units is None else units


def compute(entry: Metric, rows: pl.DataFrame) -> Values:
    """A metric's values for every row; equal pairs of output and targets are scored once."""
    if not set(entry.needs) <= set(TEXTS):
        return entry.compute(*(argument(rows[name]) for name in entry.needs))
    numbered = rows.select(*entry.needs).with_row_index("row")
    first = numbered.select(pl.col("row").min().over(entry.needs)).to_series().to_numpy()
    distinct, place = np.unique(first, return_inverse=True)
    some = rows.select(pl.col(entry.needs).gather(pl.Series(distinct)))
    value, missing, units = entry.compute(*(argument(some[name]) for name in entry.needs))
    return Values(value[place], missing[place], None if units is None else units[place])


def argument(column: pl.Series) -> Ragged | FloatArray | list[object]:
    """A column as a metric's function takes it (see `saltus.metrics.metric`)."""
    if column.dtype == pl.String or column.dtype == pl.List(pl.String):
        return column.to_list()
    if isinstance(column.dtype, pl.List):
        lengths = column.list.len().fill_null(0).cast(pl.Int64).to_numpy()
        flat = column.filter(lengths > 0).explode()
        return Ragged(flat.cast(pl.Float64).fill_null(np.nan).to_numpy(), lengths)
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy()


def chance_levels(entry: Metric, rows: pl.DataFrame) -> pl.Series:
    """What guessing would score on each answer, null where it is not known.

    A number that the metric states is for free text; where the log tells the level, or the
    target is a letter or yes or no and the log does not, that comes first.
    """
    if isinstance(entry.chance, float):
        guessable = pl.col("targets").list.eval(pl.element().str.contains(GUESSABLE)).list.any()
        free = pl.when(~guessable.fill_null(value=False)).then(entry.chance)
        return rows.select(chance=pl.coalesce("chance", free)).to_series()
    choices = rows["choice_logprobs"].list.len().cast(pl.Float64).fill_null(np.nan).to_numpy()
    return pl.Series("chance", level(entry.chance, choices), pl.Float64).fill_nan(None)
