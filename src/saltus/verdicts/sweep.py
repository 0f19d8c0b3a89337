"""The same outputs under every metric that applies: which turn a smooth rise into a jump.

Two questions per metric on one family, task and axis. How sharp: how much of its whole rise
falls into one step between neighbouring scales, beyond the share that a straight line over
the same scales would put there. How predictable: how far the largest model lies from the
straight line through the smaller ones, on the metric's link scale, in standard errors.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from saltus import store
from saltus.estimates.emergence import emergence
from saltus.metrics.extract import Extraction
from saltus.metrics.measure import class_of, measured
from saltus.metrics.metric import METRICS, IntArray, Metric, find
from saltus.metrics.score import fitting, score, score_sets
from saltus.tables import Scores, Sets, Sweeps, conform, empty
from saltus.verdicts.assemble import Slice, slices
from saltus.verdicts.links import Linked, Points, ends, to_link
from saltus.verdicts.series import FloatArray

DRAWS = 999
SAME = 6  # decimals to which two curves must agree to be one
CHUNK = 20_000  # answers scored at a time
FEWEST = 3  # scales: below it one step is half of the rise or all of it
FEWEST_AHEAD = 4  # scales for a line through at least three smaller models
LEVEL = 95.0
NO_RISE = "no rise beyond its error"
FALLS = "falls with scale"


def score_all(
    responses: pl.LazyFrame,
    metrics: Sequence[str] | None,
    extraction: Extraction | None,
    folder: Path,
    progress: Callable[[str, float | None], None],
) -> None:
    """Scores of every metric that applies, as tables `Scores` and `Sets` in a scratch folder.

    Args:
        responses: table `Responses`.
        metrics: names; None for every metric that some answer of a batch has the columns for.
        extraction: how the answer is found in an output.
        folder: where the tables go.
        progress: called with the verb and the share that is done.
    """
    writer = store.TableWriter(folder)
    total = max(responses.select(pl.len()).collect().item(), 1)
    for start in range(0, total, CHUNK):
        batch = responses.slice(start, CHUNK).collect()
        names = _names(batch, metrics)
        if names or extraction:
            writer.write(Scores, score(batch, names, extraction))
        progress("sweep", 0.8 * min(1.0, (start + CHUNK) / total))
    for model in responses.select("model").unique().collect()["model"].sort():
        rows = responses.filter(pl.col("model") == model).collect()
        writer.write(Sets, score_sets(rows, _names(rows, metrics), extraction))
    writer.close(Scores, Sets)


def _names(rows: pl.DataFrame, metrics: Sequence[str] | None) -> list[str]:
    return list(metrics) if metrics is not None else [entry.name for entry in fitting(rows)]


class Curve(NamedTuple):
    """One metric over the scales of a family, runs at one scale averaged; NaN: not known.

    Args:
        x: (scales,) log10 of the axis, minus the loss on the loss axis; increasing.
        value, variance, successes, items, units, chance, low, high: (scales,) of the estimates.
        models: (scales,) labels.
    """

    x: FloatArray
    value: FloatArray
    variance: FloatArray
    successes: FloatArray
    items: FloatArray
    units: FloatArray
    chance: FloatArray
    low: FloatArray
    high: FloatArray
    models: list[str]


def sweep(
    estimates: pl.DataFrame,
    rng: np.random.Generator,
    axis: str | None = None,
    draws: int = DRAWS,
) -> pl.DataFrame:
    """Sharpness and predictability of every metric of every family, regime and task.

    Args:
        estimates: table `Estimates`, of as many metrics as can be had.
        rng: source of the resampled means: items are resampled in closed form, a count from
            its Jeffreys posterior, any other mean from the normal law of its variance.
        axis: params, tokens, flops or loss; None takes for each task the first that has at
            least three scales.
        draws: resampled curves per metric.

    Returns:
        Table `Sweeps`, within each family, regime and task the sharpest metric first.
    """
    seed = rng.integers(0, 2**32, 4).tolist()
    known = estimates.filter(pl.col("family").is_not_null(), pl.col("value").is_not_null())
    groups = known.partition_by("family", "regime", "task", as_dict=True, maintain_order=True)
    rows = [
        {"family": key[0], "regime": key[1], "task": key[2], "axis": part.axis,
         "slice": part.name, "metric": name,
         **_row(entry, curve, _own(seed, (*key, part.axis, name)), draws)}
        for key, group in sorted(groups.items(), key=lambda pair: tuple(map(str, pair[0])))
        for part in _chosen(group, axis)
        for name, entry, curve in _curves(part)
    ]  # fmt: skip
    if not rows:
        return empty(Sweeps)
    table = pl.DataFrame(rows, infer_schema_length=None)
    floats = [name for name, dtype in table.schema.items() if dtype == pl.Float64]
    order = ["family", "regime", "task", "axis"]
    return conform(table.with_columns(pl.col(floats).fill_nan(None)), Sweeps).sort(
        *order, "sharpness", "metric", descending=[False] * 4 + [True, False], nulls_last=True
    )


def alike(swept: pl.DataFrame) -> pl.DataFrame:
    """One row per distinct curve: metrics whose means agree up to unit and direction together.

    Args:
        swept: table `Sweeps`.

    Returns:
        The row of the best known of each such group, with `alike`: the names of the others.
    """
    if swept.is_empty():
        return swept.with_columns(alike=pl.lit(None, pl.List(pl.String)))
    values = pl.col("values").list
    shape = pl.when(values.last() != values.first()).then(
        ((pl.col("values") - values.first()) / (values.last() - values.first())).list.eval(
            (pl.element() * 10**SAME).round().cast(pl.Int64, strict=False)
        )
    )
    key = ["family", "regime", "task", "axis"]
    marked = swept.with_columns(shape=shape.list.eval(pl.element().cast(pl.String)).list.join(" "))
    # a flat curve has no shape and stands for itself
    marked = marked.with_columns(shape=pl.coalesce("shape", "metric"))
    order = [entry.name for entry in sorted(METRICS, key=lambda entry: not entry.default)]
    place = pl.col("metric").replace_strict(order, range(len(order)), default=len(order))
    ranked = marked.with_row_index("row").sort(place, "metric")
    groups = ranked.group_by(*key, "shape", maintain_order=True)
    found = groups.agg(pl.all().first(), pl.col("metric").slice(1).alias("alike"))
    return found.sort("row").select(*swept.columns, "alike")


def _own(seed: list[int], key: tuple[object, ...]) -> np.random.Generator:
    """A generator keyed by the curve's name, so that no curve hangs on which others there are."""
    return np.random.default_rng([*seed, zlib.crc32(repr(key).encode())])


def _chosen(group: pl.DataFrame, axis: str | None) -> Iterator[Slice]:
    """The one slice that is swept."""
    for part in slices(group):
        if axis in (None, part.axis) and part.rows[part.axis].n_unique() >= FEWEST:
            yield part
            return


def _curves(part: Slice) -> Iterator[tuple[str, Metric, Curve]]:
    """Every metric with known facts that has a value at all of at least three scales."""
    for name in part.rows["metric"].unique().sort():
        entry = find(name)
        rows = part.rows.filter(pl.col("metric") == name)
        if entry is None or not entry.judged or rows[part.axis].n_unique() < FEWEST:
            continue
        yield name, entry, _curve(part.axis, rows)


def _curve(axis: str, rows: pl.DataFrame) -> Curve:
    place = -pl.col(axis) if axis == "loss" else pl.col(axis).log10()
    runs = pl.len().cast(pl.Float64)
    merged = rows.group_by(place.alias("x")).agg(
        pl.col("value").mean(),
        # runs at one scale share their items: their mean is about as sure as one of them
        pl.col("variance").mean(),
        pl.when(runs == 1).then(pl.col("successes").first()),
        pl.col("items", "units").min(),
        pl.col("chance", "low", "high").mean(),
        pl.col("model").sort().str.join(" + ").alias("models"),
    )
    frame = merged.sort("x")
    numbers = {
        name: frame[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
        for name in Curve._fields
        if name != "models"
    }
    return Curve(**numbers, models=frame["models"].to_list())


def _row(entry: Metric, curve: Curve, rng: np.random.Generator, draws: int) -> dict[str, object]:
    sign = 1.0 if entry.better == "higher" else -1.0
    resampled = sign * _resampled(entry, curve, rng, draws)
    values = sign * curve.value
    rise = _interval(resampled[:, -1] - resampled[:, 0])
    steps, place = sharpness(values[None, :], curve.x)
    rising = rise[0] > 0
    many = _interval(sharpness(resampled, curve.x)[0]) if rising else (math.nan, math.nan)
    at = int(place[0])
    ahead = extrapolated(entry, curve)
    score = emergence(values[None, :])
    found = measured(entry)
    return {
        "reaction": class_of(entry),
        "nonlinearity": found.nonlinearity if found else None,
        "scales": len(values),
        "rise": float(values[-1] - values[0]),
        "rise_low": rise[0],
        "rise_high": rise[1],
        "sharpness": float(steps[0]) if rising else None,
        "sharpness_low": many[0],
        "sharpness_high": many[1],
        "step_from": curve.models[at] if rising else None,
        "step_to": curve.models[at + 1] if rising else None,
        "miss": ahead.share,
        "miss_se": ahead.error,
        "score": None if score.degenerate[0] else float(score.score[0]),
        "degenerate": bool(score.degenerate[0]),
        "missing": None if rising else FALLS if rise[1] < 0 else NO_RISE,
        "x": curve.x.tolist(),
        "values": curve.value.tolist(),
        "low": [None if math.isnan(end) else end for end in curve.low],
        "high": [None if math.isnan(end) else end for end in curve.high],
    }


def _interval(draws: FloatArray) -> tuple[float, float]:
    known = draws[np.isfinite(draws)]
    if not len(known):
        return math.nan, math.nan
    tail = (100.0 - LEVEL) / 2
    low, high = np.percentile(known, [tail, 100.0 - tail])
    return float(low), float(high)


def sharpness(values: FloatArray, x: FloatArray) -> tuple[FloatArray, IntArray]:
    """How much of the whole rise one step takes beyond a straight line's share.

    max over steps i of (s_i - w_i) / (1 - w_i), with s_i the step's share of the rise from
    the first to the last scale and w_i its share of the axis. 0: no step beats the line; 1:
    the whole rise is in one step; above 1: a step overshoots it. Blind to the metric's unit.

    Args:
        values: (curves, scales), higher is better.
        x: (scales,) increasing.

    Returns:
        (curves,) the sharpness, NaN without a rise, and the number of that step.
    """
    width = np.diff(x) / (x[-1] - x[0])
    rise = values[:, -1:] - values[:, :1]
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = (np.diff(values, axis=1) / rise - width) / (1.0 - width)
    sharp = np.where(rise[:, 0] > 0, excess.max(axis=1), np.nan)
    return sharp, np.nan_to_num(excess, nan=-np.inf).argmax(axis=1)


def _resampled(entry: Metric, curve: Curve, rng: np.random.Generator, draws: int) -> FloatArray:
    """(draws, scales) means as other samples of items would have given them."""
    shape = (draws, len(curve.value))
    spread = np.sqrt(curve.variance)  # an unknown variance makes an unknown interval
    means = curve.value + spread * rng.standard_normal(shape)
    counted = np.isfinite(curve.successes) & (curve.items > 0) & entry.binary
    right = np.where(counted, np.clip(curve.successes, 0.0, curve.items), 0.0)
    wrong = np.where(counted, curve.items - right, 0.0)
    counts = rng.beta(right + 0.5, wrong + 0.5, shape)
    drawn: FloatArray = np.clip(np.where(counted, counts, means), *entry.bounds)
    return drawn


class Ahead(NamedTuple):
    """How far the largest model is from where the smaller ones point.

    Args:
        error: in standard errors, above 0 when it is better than predicted; NaN: not known.
        share: the same as a share of the whole change on the link scale.
    """

    error: float
    share: float


NOWHERE = Ahead(math.nan, math.nan)


def extrapolated(entry: Metric, curve: Curve) -> Ahead:
    """The largest model against a weighted straight line through the others, on the link scale.

    The line's residual scatter, where it exceeds the sampling errors, widens its error.
    """
    linked = _linked(entry, curve)
    usable = np.isfinite(linked.z) & np.isfinite(linked.variance) & (linked.variance > 0)
    if not usable[-1] or usable.sum() < FEWEST_AHEAD:
        return NOWHERE
    x, z, v = curve.x[usable], linked.z[usable], linked.variance[usable]
    design = np.stack([np.ones(len(x)), x - x[-1]], axis=1)[:-1]
    information = np.linalg.inv(design.T @ (design / v[:-1, None]))
    line = information @ (design.T @ (z[:-1] / v[:-1]))
    scatter = float((np.square(z[:-1] - design @ line) / v[:-1]).sum()) / (len(x) - 3)
    error = math.sqrt((v[-1] + information[0, 0]) * max(scatter, 1.0))
    miss, whole = float(z[-1] - line[0]), float(abs(z[-1] - z[0]))
    return Ahead(miss / error, miss / whole if whole else math.nan)


def _linked(entry: Metric, curve: Curve) -> Linked:
    """The values on their link scale; metrics that state none by the rule of their bounds.

    A metric between two bounds goes as the error rate from its chance level up; one without
    stays as it is.
    """
    points = Points(curve.value, curve.variance, curve.units, curve.items, curve.chance)
    low, high = entry.bounds
    if entry.link is not None:
        return to_link(entry, points)
    if low is None or high is None:
        sign = 1.0 if entry.better == "higher" else -1.0
        return Linked(sign * curve.value, curve.variance)
    best, worst = ends(entry)
    known = curve.chance[np.isfinite(curve.chance)]
    floor = float(known.mean()) if len(known) and known.mean() != best else worst
    bounds = (floor, best) if best > floor else (best, floor)
    return to_link(replace(entry, link="error_rate", bounds=bounds), points)
