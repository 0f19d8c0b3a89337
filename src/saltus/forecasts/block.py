"""What a forecaster may know: the training results of one family, and the scales to forecast.

A block holds the final checkpoints of one family under one prompt regime and all its series
(task x metric) side by side, so that forecasters work on arrays of many series at once. What
is held out is not in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from saltus.forecasts.links import FloatArray, Link, link_of
from saltus.metrics.metric import find
from saltus.verdicts.assemble import final_checkpoints

IntArray = NDArray[np.int64]
SAME_SCALE = 0.1  # decades of parameters within which models count as one scale
AXES = ("params", "tokens", "flops")
FACTS = ("model", *AXES, "loss")


@dataclass(frozen=True)
class SeriesFacts:
    """One task under one metric.

    Args:
        task: name as the harness gives it.
        metric: name in the estimates.
        entry: name in the metric registry.
        link: scale on which it is forecast.
        reaction: thresholded or continuous.
        binary: whether items score 0 or 1.
        chance: level under guessing on the link scale; NaN where not known.
        items: number of items of a new model; NaN where not known.
        partners: continuous metrics that see what this one rounds off, best first.
    """

    task: str
    metric: str
    entry: str
    link: Link
    reaction: str
    binary: bool
    chance: float
    items: float
    partners: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """Training rows of one family and regime, and the scales that are asked for.

    Args:
        family: family.
        regime: prompt regime; None where not stated.
        models: (models) rows model, params, tokens, flops, loss, by increasing scale.
        scale: (models,) number of each model's size, from 0.
        series: (series) what is forecast.
        z: (series, models) values on the link scale, higher is better; NaN where missing.
        variance: (series, models) sampling variance of z; NaN where not known.
        targets: rows model, params, tokens, flops of the scales to forecast.
    """

    family: str
    regime: str | None
    models: pl.DataFrame
    scale: IntArray
    series: tuple[SeriesFacts, ...]
    z: FloatArray
    variance: FloatArray
    targets: pl.DataFrame

    def axis(self, name: str) -> FloatArray:
        """(models + targets,) log10 of an axis; NaN where not known."""
        return np.concatenate([_log10(self.models[name]), _log10(self.targets[name])])

    @property
    def shape(self) -> tuple[int, int]:
        """Series and targets: the leading shape of every forecast."""
        return len(self.series), self.targets.height

    @property
    def scales(self) -> IntArray:
        """(series,) distinct sizes with a value."""
        seen = np.isfinite(self.z)
        if not self.scale.size:
            return np.zeros(len(self.series), dtype=np.int64)
        sizes = np.unique(self.scale)
        found = np.stack([seen[:, self.scale == size].any(axis=1) for size in sizes])
        return np.asarray(found.sum(axis=0))


@dataclass(frozen=True)
class Truth:
    """What was held out of a block.

    Args:
        value: (series, targets) in the metric's unit; NaN where missing.
        items: (series, targets) items behind it; NaN where not known.
    """

    value: FloatArray
    items: FloatArray


@dataclass(frozen=True)
class Family:
    """All results of one family and regime, from which blocks are cut.

    Args:
        family: family.
        regime: prompt regime.
        models: rows model, params, tokens, flops, loss, by increasing scale.
        scale: (models,) number of each model's size, from 0.
        keys: task and metric of every series.
        value: (series, models) NaN where missing.
        variance: (series, models) of the value, NaN where not known.
        items: (series, models) NaN where not known.
        chance: (series,) in the metric's unit, NaN where not known.
    """

    family: str
    regime: str | None
    models: pl.DataFrame
    scale: IntArray
    keys: tuple[tuple[str, str], ...]
    value: FloatArray
    variance: FloatArray
    items: FloatArray
    chance: FloatArray

    @property
    def scales(self) -> int:
        """Number of distinct sizes."""
        return int(self.scale[-1]) + 1 if self.scale.size else 0

    def hide(self, first: int) -> tuple[Block, Truth]:
        """The sizes below number `first` as a block whose target is that size, and the truth."""
        known, asked = self.scale < first, self.scale == first
        block = self._block(known, self.models.filter(asked))
        return block, Truth(self.value[:, asked], self.items[:, asked])

    def ask(self, targets: pl.DataFrame) -> Block:
        """All that is known as a block, with scales that nobody has seen as targets."""
        return self._block(np.ones(self.models.height, dtype=bool), targets)

    def _block(self, known: NDArray[np.bool_], targets: pl.DataFrame) -> Block:
        value, variance, items = (a[:, known] for a in (self.value, self.variance, self.items))
        facts = [
            _facts(key, chance, items[row])
            for row, (key, chance) in enumerate(zip(self.keys, self.chance, strict=True))
        ]
        z = [f.link.forward(value[row], items[row]) for row, f in enumerate(facts)]
        v = [
            f.link.variance(value[row], variance[row], items[row], f.binary)
            for row, f in enumerate(facts)
        ]
        return Block(
            self.family,
            self.regime,
            self.models.filter(known),
            self.scale[known],
            tuple(facts),
            _stack(z, value.shape),
            _stack(v, value.shape),
            targets,
        )


def families(estimates: pl.DataFrame) -> list[Family]:
    """Every family and regime with a size axis, from table `Estimates`.

    Only final checkpoints count, and only metrics whose facts are known.
    """
    size = pl.coalesce("params", "flops")
    rows = estimates.filter(pl.col("family").is_not_null(), size > 0, pl.col("value").is_not_null())
    names = [name for name in rows["metric"].unique() if (m := find(name)) and m.judged]
    rows = rows.filter(pl.col("metric").is_in(names))
    groups = rows.partition_by("family", "regime", as_dict=True)
    keyed = sorted(groups.items(), key=lambda pair: tuple(map(str, pair[0])))
    return [_family(key, final_checkpoints(group)) for key, group in keyed]


def _family(key: tuple[object, ...], rows: pl.DataFrame) -> Family:
    models = rows.unique("model").select(FACTS).sort("params", "flops", "tokens", "model")
    place = {name: number for number, name in enumerate(models["model"])}
    keys = tuple(rows.select("task", "metric").unique().sort("task", "metric").rows())
    column = rows["model"].replace_strict(place, return_dtype=pl.Int64).to_numpy()
    row_of = {pair: number for number, pair in enumerate(keys)}
    row = np.array([row_of[pair] for pair in rows.select("task", "metric").rows()])
    tables = [_spread(rows[name], row, column, (len(keys), models.height)) for name in
              ("value", "variance", "items", "chance")]  # fmt: skip
    value, variance, items, chance = tables
    return Family(
        str(key[0]),
        None if key[1] is None else str(key[1]),
        models,
        scale_numbers(models),
        keys,
        value,
        variance,
        items,
        _mean(chance),
    )


def scale_numbers(models: pl.DataFrame) -> IntArray:
    """Number of every model's size, sizes within 0.1 decade of the next counting as one."""
    size = _log10(models.select(pl.coalesce("params", "flops")).to_series())
    steps = np.diff(size, prepend=size[:1])
    return np.cumsum(steps > SAME_SCALE).astype(np.int64)


def scale_axis(models: pl.DataFrame) -> tuple[str, FloatArray]:
    """FLOPs where all models have them, else parameters: the axis and its log10, (models,)."""
    for name in ("flops", "params"):
        x = _log10(models[name])
        if np.isfinite(x).all():
            return name, x
    return name, x


def _spread(
    column: pl.Series, row: IntArray, place: IntArray, shape: tuple[int, int]
) -> FloatArray:
    table = np.full(shape, np.nan)
    table[row, place] = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
    return table


def _mean(table: FloatArray) -> FloatArray:
    known = np.isfinite(table)
    total = np.where(known, table, 0.0).sum(axis=1)
    count = known.sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _facts(key: tuple[str, str], chance: float, items: FloatArray) -> SeriesFacts:
    metric = find(key[1])
    assert metric is not None  # noqa: S101  (families() keeps known metrics only)
    link = link_of(metric)
    known = items[np.isfinite(items)]
    level = (
        link.forward(np.array([chance]), np.array([np.nan]))[0] if link.kind == "logit" else np.nan
    )
    return SeriesFacts(
        *key,
        metric.name,
        link,
        metric.reaction,
        metric.binary,
        float(level),
        float(np.median(known)) if known.size else float("nan"),
        metric.partners,
    )


def _stack(rows: list[FloatArray], shape: tuple[int, ...]) -> FloatArray:
    return np.stack(rows) if rows else np.zeros(shape)


def _log10(column: pl.Series) -> FloatArray:
    return np.asarray(np.log10(column.cast(pl.Float64).fill_null(np.nan).to_numpy()))


def by_links(block: Block) -> Iterator[tuple[float, IntArray]]:
    """The series of a block that share a unit of the link scale, and that unit."""
    units = np.array([facts.link.unit for facts in block.series])
    for unit in np.unique(units):
        yield float(unit), np.flatnonzero(units == unit)
