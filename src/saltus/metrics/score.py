"""Answers to scores: every metric asked for, on every answer that it can speak about."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import polars as pl

from saltus.errors import SaltusError, UnknownNameError
from saltus.metrics.chance import level
from saltus.metrics.extract import EXTRACTED, Extraction, extracted
from saltus.metrics.groups import Groups
from saltus.metrics.metric import (
    CORRECT,
    METRICS,
    BoolArray,
    FloatArray,
    IntArray,
    Metric,
    Ragged,
    SetValue,
    Values,
    find,
    present,
)
from saltus.tables import Responses, Scores, Sets, conform, empty

KEYS = ("model", "task", "item", "sample", "cluster")
TEXTS = ("output", "targets")
OUTPUT = "output"

# Answers that a guess can hit although they are text: a letter of a choice, yes or no.
GUESSABLE = r"(?i)^\s*\(?(?:[a-z]|yes|no|true|false)\)?[.:]?\s*$"


class Batch:
    """Rows of `Responses` as metrics take them; a column becomes an argument once.

    Args:
        rows: the answers, extracted where that was asked for.
        failed: (rows,) replies in which no answer was found.
        extraction: how answers were found; None: replies are taken as they are.
        judge: zero-or-one metric that says which answers are `correct`; None: the first of
            the default ones that fits.
    """

    def __init__(
        self, rows: pl.DataFrame, failed: BoolArray, extraction: Extraction | None
    ) -> None:
        self.rows, self.failed, self.extraction = rows, failed, extraction
        self.judge: Metric | None = None
        self._arguments: dict[str, object] = {}

    def argument(self, name: str) -> object:
        """A column as a metric's function takes it, or `correct`."""
        if name not in self._arguments:
            self._arguments[name] = self._correct if name == CORRECT else argument(self.rows[name])
        return self._arguments[name]

    @cached_property
    def judged_by(self) -> Metric | None:
        """The zero-or-one metric that is named for `correct`, or the first that fits."""
        if self.judge is not None:
            return self.judge
        entries = [entry for entry in METRICS if entry.default and entry.binary]
        fits = [entry for entry in entries if self.rows.filter(_has(entry.needs)).height]
        return fits[0] if fits else None

    @cached_property
    def _correct(self) -> FloatArray:
        """Zero or one per answer by that metric."""
        if self.judged_by is None:
            return np.full(self.rows.height, np.nan)
        return values(self.judged_by, self).value

    @cached_property
    def distinct(self) -> tuple[Batch, IntArray]:
        """The rows without repeats of output and targets, and (rows,) which of them each is."""
        rows = self.rows.select(*TEXTS).with_row_index("row")
        first = rows.select(pl.col("row").min().over(TEXTS)).to_series().to_numpy()
        places, number = np.unique(first, return_inverse=True)
        if len(places) == len(first):
            return self, number
        return Batch(self.rows[places], self.failed[places], self.extraction), number

    def part(self, kept: pl.Series) -> Batch:
        """The rows that are kept; itself when all are."""
        if kept.all():
            return self
        return Batch(self.rows.filter(kept), self.failed[kept.to_numpy()], self.extraction)


def score(
    responses: pl.DataFrame,
    metrics: Sequence[str] | None = None,
    extraction: Extraction | None = None,
) -> pl.DataFrame:
    """Scores every answer of a batch.

    Args:
        responses: table `Responses`, or a batch of its rows.
        metrics: names (a harness's name will do); None for the default metrics, each on the
            tasks that have its columns. Metrics of whole sets are left to `score_sets`.
        extraction: how the answer is found in an output; None takes the output as it is.

    Returns:
        Table `Scores`: by metric, then in the order of the answers. An answer that cannot
        be scored has no value and a reason.

    Raises:
        UnknownNameError: a name that no metric has.
        SaltusError: a metric that can only be read from reports, or a user's metric that
            fails on an answer.
    """
    batch = batch_of(responses, extraction)
    if metrics is None:
        wanted = [(entry, _speaks_of(entry, batch)) for entry in applicable(batch.rows)]
    else:
        wanted = [(entry, batch) for entry in named(metrics) if entry.kind == "answer"]
    parts = [_scored(entry, part) for entry, part in _shared(wanted)]
    if extraction is not None:
        parts.append(_extraction_scores(batch, conform(responses, Responses)))
    return conform(pl.concat(parts), Scores) if parts else empty(Scores)


def score_sets(
    responses: pl.DataFrame, metrics: Sequence[str], extraction: Extraction | None = None
) -> pl.DataFrame:
    """Values of whole sets: all answers of one model to one task in one number.

    Args:
        responses: table `Responses`, or all its rows of some models and tasks.
        metrics: names; those that have a value for each answer are left to `score`, but the
            first zero-or-one metric among them says which answers are right.
        extraction: how the answer is found in an output; None takes the output as it is.

    Returns:
        Table `Sets`, sorted by model and task.
    """
    entries = [entry for entry in named(metrics) if entry.kind == "set"]
    judges = [entry for entry in named(metrics) if entry.kind == "answer" and entry.binary]
    if not entries or responses.is_empty():
        return empty(Sets)
    whole = conform(responses, Responses).sort("model", "task", maintain_order=True)
    groups = whole.partition_by("model", "task", maintain_order=True)
    batches = [batch_of(group, extraction) for group in groups]
    for batch in batches:
        batch.judge = judges[0] if judges else None
    rows = [_set_row(entry, batch) for batch in batches for entry in entries]
    return conform(pl.DataFrame(rows, infer_schema_length=None), Sets)


def batch_of(responses: pl.DataFrame, extraction: Extraction | None) -> Batch:
    """Answers ready to be scored, extracted where that is asked for."""
    rows = conform(responses, Responses)
    if extraction is None:
        return Batch(rows, np.zeros(rows.height, dtype=bool), None)
    answers = extracted(rows, extraction)
    failed = (answers[OUTPUT].is_null() & rows[OUTPUT].is_not_null()).to_numpy()
    return Batch(answers, failed, extraction)


def applicable(responses: pl.DataFrame) -> list[Metric]:
    """The default metrics that at least one task of a batch has the columns for."""
    rows = conform(responses, Responses)
    return [entry for entry in METRICS if entry.default and rows.filter(_covered(entry)).height]


def fitting(responses: pl.DataFrame) -> list[Metric]:
    """Every metric, default or not, that at least one answer of a batch has the columns for."""
    rows = conform(responses, Responses)
    entries = [entry for entry in METRICS if entry.function is not None]
    return [entry for entry in entries if rows.filter(_has(entry.needs)).height]


def _covered(entry: Metric) -> pl.Expr:
    """Rows of the tasks for which some answer has all that the metric needs.

    A task for which no default metric has all it needs is scored by those that have a part
    of it, so that its answers stand in the table as missing and are not forgotten.
    """
    others = [other.needs for other in METRICS if other.default]
    covered = pl.any_horizontal(_has(needs).any().over("task") for needs in others)
    part = pl.any_horizontal(pl.col(name).is_not_null().any().over("task") for name in entry.needs)
    return _has(entry.needs).any().over("task") | (~covered & part)


def _speaks_of(entry: Metric, batch: Batch) -> Batch:
    return batch.part(batch.rows.select(_covered(entry).alias("kept")).to_series())


def _shared(wanted: list[tuple[Metric, Batch]]) -> list[tuple[Metric, Batch]]:
    """The same, metrics that need the same columns of as many rows sharing one batch."""
    batches: dict[tuple[tuple[str, ...], int], Batch] = {}
    return [
        (entry, batches.setdefault((entry.needs, batch.rows.height), batch))
        for entry, batch in wanted
    ]


def _has(needs: Sequence[str]) -> pl.Expr:
    return pl.all_horizontal(pl.col(name).is_not_null() for name in needs if name != CORRECT)


def named(names: Sequence[str]) -> list[Metric]:
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


def _scored(entry: Metric, batch: Batch) -> pl.DataFrame:
    """One metric's rows of the table."""
    value, missing, units = values(entry, batch)
    rows = batch.rows
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


def values(entry: Metric, batch: Batch) -> Values:
    """A metric's values; a reply without an answer is missing or wrong, as was asked for."""
    found = _computed(entry, batch)
    if batch.extraction is None or OUTPUT not in entry.needs or not batch.failed.any():
        return found
    if batch.extraction.failed_as == "missing":
        found.missing[batch.failed & (found.missing == "no output")] = batch.extraction.reason
        return found
    return _counted_wrong(entry, batch, found)


def _counted_wrong(entry: Metric, batch: Batch, found: Values) -> Values:
    """Failed replies at the metric's worst value; where that is open, as an empty answer."""
    replaced = pl.when(pl.Series(batch.failed)).then(pl.lit("")).otherwise(OUTPUT)
    value, missing, units = _computed(
        entry, Batch(batch.rows.with_columns(replaced.alias(OUTPUT)), batch.failed, None)
    )
    worst = entry.bounds[0 if entry.better == "higher" else 1]
    wrong = batch.failed & present(missing)
    if worst is not None:
        value[wrong] = worst
    return Values(np.where(batch.failed, value, found.value),
                  np.where(batch.failed, missing, found.missing), units)  # fmt: skip


def _computed(entry: Metric, batch: Batch) -> Values:
    try:
        return compute(entry, batch)
    except SaltusError:
        raise
    except Exception as fault:
        raise SaltusError(_blame(entry, batch, fault)) from fault


def _blame(entry: Metric, batch: Batch, fault: Exception) -> str:
    """Which answer a metric's function fails on, found by giving it one at a time."""
    for place in range(batch.rows.height):
        one = batch.rows[place]
        try:
            compute(entry, Batch(one, np.zeros(1, dtype=bool), None))
        except Exception as single:
            model, task, item, sample, _ = one.select(KEYS).row(0)
            answer = f" (answer {sample + 1})" if sample else ""
            return (
                f"metric {entry.name!r} failed on item {item!r}{answer} of task {task!r}, model "
                f"{model!r}: {type(single).__name__}: {single}"
            )
    return f"metric {entry.name!r} failed on {batch.rows.height} answers at once: {fault!r}"


def compute(entry: Metric, batch: Batch) -> Values:
    """A metric's values for every row; equal pairs of output and targets are scored once."""
    if not set(entry.needs) <= set(TEXTS):
        return _checked(entry, entry.compute(*map(batch.argument, entry.needs)), batch.rows.height)
    some, place = batch.distinct
    found = entry.compute(*map(some.argument, entry.needs))
    value, missing, units = _checked(entry, found, some.rows.height)
    return Values(value[place], missing[place], None if units is None else units[place])


def _checked(entry: Metric, found: Values, items: int) -> Values:
    """The values, if there is one for every answer."""
    if len(found.value) != items:
        raise SaltusError(
            f"metric {entry.name!r} gave {len(found.value)} values for {items} answers; it must "
            "give one for each, NaN where there is none"
        )
    return found


def _extraction_scores(batch: Batch, replies: pl.DataFrame) -> pl.DataFrame:
    """Whether an answer was found in each reply, as scores of `answer_extracted`."""
    there = replies[OUTPUT].is_not_null()
    found = pl.Series("value", np.where(batch.failed, 0.0, 1.0))
    return replies.select(
        *KEYS,
        pl.lit(EXTRACTED).alias("metric"),
        pl.when(there).then(found).alias("value"),
        pl.lit(None, pl.Float64).alias("units"),
        pl.lit(None, pl.Float64).alias("chance"),
        pl.when(~there).then(pl.lit("no output")).alias("missing"),
    )


class _Spread(NamedTuple):
    variance: float | None
    items: int
    clusters: int | None
    missing_items: int


def _set_row(entry: Metric, batch: Batch) -> dict[str, object]:
    rows = batch.rows
    found = entry.compute_set(*map(batch.argument, entry.needs))
    spread = _spread(found, rows)
    known = found.missing is None
    return {
        "model": rows["model"][0],
        "task": rows["task"][0],
        "metric": entry.name,
        "value": float(found.value) if known else None,
        "variance": spread.variance if known else None,
        "items": spread.items,
        "clusters": spread.clusters,
        "chance": _set_chance(entry, batch),
        "missing_items": spread.missing_items,
        "missing": found.missing,
    }


def _set_chance(entry: Metric, batch: Batch) -> float | None:
    """What guessing would score; K right answers at once have the K-th power of one's level."""
    one = batch.judged_by if entry.group > 1 else entry
    levels = pl.Series([None]) if one is None else chance_levels(one, batch.rows)
    if levels.null_count():
        return None
    return float(levels.to_numpy().mean()) ** entry.group


def _spread(found: SetValue, rows: pl.DataFrame) -> _Spread:
    """Variance of a set's value from the influences of its answers.

    Answers to one item are one draw, and so are items of one cluster; the delta method with
    the correction g / (g - 1) for g draws.
    """
    frame = rows.select("item", "cluster").with_columns(
        pl.Series("influence", found.influence).fill_nan(None)
    )
    used = frame.filter(pl.col("influence").is_not_null())
    items = used["item"].n_unique()
    clustered = not used["cluster"].null_count() and 0 < used["cluster"].n_unique() < items
    sums = used.group_by("cluster" if clustered else "item").agg(pl.col("influence").sum())
    draws = sums.height
    total = float((sums["influence"] ** 2).sum()) / max(used.height, 1) ** 2
    return _Spread(
        variance=total * draws / (draws - 1) if draws > 1 else None,
        items=items,
        clusters=draws if clustered else None,
        missing_items=frame["item"].n_unique() - items,
    )


def argument(column: pl.Series) -> Ragged | FloatArray | Groups | list[object]:
    """A column as a metric's function takes it (see `saltus.metrics.metric`)."""
    if column.dtype == pl.String:
        return column.to_list()
    if column.dtype == pl.List(pl.String):
        return Groups(column)
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
    if isinstance(entry.chance, float) and entry.reaction == "continuous":
        return rows.select(chance=pl.lit(entry.chance)).to_series().new_from_index(0, rows.height)
    if isinstance(entry.chance, float):
        guessable = pl.col("targets").list.eval(pl.element().str.contains(GUESSABLE)).list.any()
        free = pl.when(~guessable.fill_null(value=False)).then(entry.chance)
        return rows.select(chance=pl.coalesce("chance", free)).to_series()
    choices = rows["choice_logprobs"].list.len().cast(pl.Float64).fill_null(np.nan).to_numpy()
    return pl.Series("chance", level(entry.chance, choices), pl.Float64).fill_nan(None)
