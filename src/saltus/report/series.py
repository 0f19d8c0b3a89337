"""The chart of one verdict from the estimates and fits behind it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from saltus.curves.curve import CURVES
from saltus.metrics.metric import Metric, find
from saltus.report.chart import Chart
from saltus.report.text import count, number, scientific, si
from saltus.verdicts.links import guessed_wrong

Row = Mapping[str, Any]
FloatArray = NDArray[np.float64]
Inverse = Callable[[FloatArray], FloatArray]
CURVE_POINTS = 25
WIDE = 6.0  # ratio of largest to smallest value from which an axis is logarithmic
ONE_SIDED = 1.6449  # normal quantile at .95


@cache
def facts(name: str) -> Metric | None:
    """The facts of a metric; None where the registry does not know the name."""
    return find(name)


@dataclass(frozen=True)
class Behind:
    """What is drawn behind the points of one verdict; None where there is nothing.

    Args:
        fits: `Fits` of the same family, regime, task, axis and slice.
        bands: `Bands` of the same.
    """

    fits: pl.DataFrame | None
    bands: pl.DataFrame | None


def chart_of(row: Row, rows: pl.DataFrame, behind: Behind, models: Mapping[str, int]) -> Chart:
    """What was seen on one axis: points, limits and fits.

    Args:
        row: the verdict, a row of `Verdicts`.
        rows: `Estimates` of the models that make its scales.
        behind: curves and band of the same series.
        models: number of each model label, for the data sets' column `m`.
    """
    axis = row["axis"]
    panels = [name for name in (row["metric"], row["partner"]) if name]
    frames = [_placed(rows, name, axis) for name in panels]
    data = _top_data(row, frames[0], models) if frames else {}
    if len(panels) == 2:
        data |= _bottom_data(frames[1], models) | _fit_data(row, frames[1], behind.fits)
        data |= _band_data(row, behind.bands)
    settings = _settings(axis, frames, data)
    data |= _threshold(row, settings["x_min"], settings["x_max"])
    return Chart(
        axis=axis,
        panels=tuple(_heading(name, place, row, data) for place, name in enumerate(panels)),
        reverse=tuple(_lower(name) for name in panels),
        log=tuple(_log_ticks(name, frame) for name, frame in zip(panels, frames, strict=True)),
        settings=settings,
        data={name: _bare(columns) for name, columns in data.items() if columns},
        loggable=_loggable(frames, row),
    )


def _placed(rows: pl.DataFrame, metric: str, axis: str) -> pl.DataFrame:
    """Estimates of one metric that have a value, with x and how many share that x."""
    x = pl.col(axis).alias("x")
    known = rows.filter(pl.col("metric") == metric, pl.col("value").is_finite())
    return known.with_columns(x, pl.len().over(axis).alias("runs")).sort("x", "model")


def _top_data(row: Row, frame: pl.DataFrame, models: Mapping[str, int]) -> dict[str, Any]:
    nothing = (pl.col("value") == 0) & (pl.col("high") > 0) & (pl.col("chance").fill_null(0) == 0)
    kind = pl.when(nothing).then(2).when(pl.col("runs") > 1).then(1).otherwise(0)
    return {
        "points": _point_columns(frame.with_columns(kind.alias("k")), models),
        "zone": _zone(row, frame),
        "chance": _chance(row["chance"]),
    }


def _bottom_data(frame: pl.DataFrame, models: Mapping[str, int]) -> dict[str, Any]:
    kind = pl.when(pl.col("runs") > 1).then(1).otherwise(0)
    return {
        "partner": _point_columns(frame.with_columns(kind.alias("k")), models),
        "partner_chance": _chance(_median(frame["chance"])),
    }


def _point_columns(frame: pl.DataFrame, models: Mapping[str, int]) -> dict[str, Any]:
    if frame.is_empty():
        return {}
    return {
        "m": [models[name] for name in frame["model"]],
        "y": rounded(frame["value"]),
        "l": rounded(frame["low"]),
        "h": rounded(frame["high"]),
        "n": _constant(frame["items"].to_list()),
        "k": _constant(frame["k"].to_list()),
    }


def _constant(values: list[Any]) -> Any:
    """A column of one value as that value alone."""
    return values[0] if len(set(values)) == 1 else values


def _zone(row: Row, frame: pl.DataFrame) -> dict[str, Any]:
    """The rates that this many items cannot tell from the floor (science.md 1.2, 4.3).

    Without chance one success is the least that can be seen, 1/n; above a chance level c it
    is the one-sided 95 % limit of guessing, c + 1.64 sqrt(c (1 - c) / n).
    """
    items = row["items"] or min(frame["items"].drop_nulls().to_list(), default=0)
    values = frame["value"].to_list()
    if not items or min(values, default=-1) < 0 or max(values) > 1:
        return {}
    chance = row["chance"] if row["chance"] is not None and 0 <= row["chance"] < 1 else 0.0
    least = max(1.0, ONE_SIDED * math.sqrt(items * chance * (1 - chance))) / items
    words = f"grey: cannot see below 1/n = {number(least, 2)}"
    if chance:
        words = "grey: cannot be told from chance"
    return {"l": [chance], "h": [significant(chance + least)], "t": words}


def _chance(level: float | None) -> dict[str, Any]:
    if level is None or not math.isfinite(level) or level == 0:
        return {}
    return {"y": [significant(level)], "t": f"dashed: chance {number(level)}"}


def _threshold(row: Row, first: float, last: float) -> dict[str, Any]:
    """Place of the break and its interval, cut at the ends of the panel."""
    if row["threshold"] is None:
        return {}
    low = first if row["threshold_low"] is None else max(first, row["threshold_low"])
    high = last if row["threshold_high"] is None else min(last, row["threshold_high"])
    x, low, high = (significant(place, 6) for place in (row["threshold"], low, high))
    return {"threshold": {"x": [x], "l": [low], "h": [high]}}


def _fit_data(row: Row, frame: pl.DataFrame, fits: pl.DataFrame | None) -> dict[str, Any]:
    """The best smooth and the best broken curve, mapped back from the link scale."""
    inverse = unlink(facts(row["partner"]), _median(frame["chance"]))
    if inverse is None or fits is None:
        return {}
    own = fits.filter(
        pl.col("metric") == row["partner"], pl.col("rss").is_finite(), pl.col("x").list.len() > 1
    )
    broken = pl.col("curve").is_in([entry.name for entry in CURVES if entry.shape == "broken"])
    parts = {"smooth": own.filter(~broken), "sharp": own.filter(broken)}
    return {
        name: _curve_columns(part.sort("rss", "curve").row(0, named=True), row, inverse)
        for name, part in parts.items()
        if part.height
    }


def _band_data(row: Row, bands: pl.DataFrame | None) -> dict[str, Any]:
    """What the smooth curve would have shown under the thresholded metric (95 %)."""
    if bands is None or row["inverse"]:
        return {}
    own = bands.filter(pl.col("metric") == row["metric"], pl.col("x").list.len() > 1)
    if own.is_empty():
        return {}
    band = own.row(0, named=True)
    place = np.asarray(band["x"], dtype=np.float64)
    grid = np.linspace(place[0], place[-1], CURVE_POINTS)
    low, high = (np.interp(grid, place, np.asarray(band[name])) for name in ("low", "high"))
    # the table has thresholded metrics turned so that higher is better
    sign = -1.0 if _lower(row["metric"]) else 1.0
    words = f"blue: what smooth would look like; {band['inside']} of {band['scales']} scales inside"
    ends = _ends(place, row["axis"])
    return {"band": ends | {"l": rounded(sign * low, 3), "h": rounded(sign * high, 3), "t": words}}


def _curve_columns(fit: Row, row: Row, inverse: Inverse) -> dict[str, Any]:
    scales = np.asarray(fit["x"], dtype=np.float64)
    y = _smoothly(inverse(_trace(fit, scales)))
    return _ends(scales, row["axis"]) | {"y": y, "c": fit["curve"]}


def _ends(places: FloatArray, axis: str) -> dict[str, Any]:
    """First and last place of a curve, in raw units of the axis."""
    ends = np.array([places.min(), places.max()])
    first, last = -ends if axis == "loss" else 10.0**ends
    return {"x0": significant(first, 6), "x1": significant(last, 6)}


def _trace(fit: Row, scales: FloatArray) -> FloatArray:
    """The curve on an even grid; straight between the scales when its formula is not known."""
    place = np.linspace(scales.min(), scales.max(), CURVE_POINTS)
    parameters = {entry["name"]: entry["value"] for entry in fit["parameters"] or []}
    if fit["curve"] in CURVES and set(parameters) == set(CURVES[fit["curve"]].bounds):
        return CURVES[fit["curve"]].compute(place, **parameters)
    order = np.argsort(scales)
    fitted = np.asarray(fit["fitted"], dtype=np.float64)
    return np.interp(place, scales[order], fitted[order])


def unlink(metric: Metric | None, chance: float | None) -> Inverse | None:
    """The inverse of a metric's link (see `Metric.link`), or None where there is none.

    Args:
        metric: its facts, None for one that the registry does not know.
        chance: its chance level, where the link is chance-corrected.
    """
    if metric is None:
        return None
    low = 0.0 if metric.bounds[0] is None else metric.bounds[0]
    high = 1.0 if metric.bounds[1] is None else metric.bounds[1]
    lower = metric.better == "lower"
    best, worst = (low, high) if lower else (high, low)
    floor = chance if chance is not None else worst
    inverses: dict[str, Inverse] = {
        "nll": lambda z: np.exp(-z) if lower else -np.exp(-z),
        "perplexity": lambda z: np.exp(np.exp(-z)),
        "error_rate": lambda z: best - np.expm1(-np.exp(-z)) * (worst - best),
        "identity": lambda z: -z * high if lower else floor + z * (best - floor),
        "logit": lambda z: 1 / (1 + np.exp(-z)),
    }
    if chance:
        wrong = float(guessed_wrong(metric, np.array(chance)))
        inverses["brier"] = lambda z: chance * (1 / (1 + np.exp(z)) / wrong) ** 2
    return inverses.get(metric.link or "")


def _heading(name: str, place: int, row: Row, data: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Name of the metric, and two lines: its facts, and what the lines and zones mean."""
    known = facts(name)
    reaction = known.reaction if known else ("continuous" if place else "as reported")
    notes = [reaction, known.unit if known else ""]
    if _lower(name):
        notes.append("lower is better, axis turned")
    if place == 0 and row["items"]:
        notes.append(f"n = {count(row['items'])}")
    legend = [_legend_bottom(data)] if place else _legend_top(data)
    lines = (" · ".join(note for note in part if note) for part in (notes, *legend))
    return name.replace("_", " "), [line for line in lines if line]


def _legend_top(data: Mapping[str, Any]) -> list[list[str]]:
    words = [data[name]["t"] for name in ("chance", "zone") if data.get(name)]
    return [words, [data["band"]["t"]] if data.get("band") else []]


def _legend_bottom(data: Mapping[str, Any]) -> list[str]:
    styles = {"smooth": "blue: smooth fit ({})", "sharp": "orange: broken fit ({})"}
    fits = [
        style.format(data[name]["c"].replace("_", " "))
        for name, style in styles.items()
        if name in data
    ]
    return [*fits, data["partner_chance"]["t"]] if data.get("partner_chance") else fits


def _bare(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Without the words, which stand in the panels' notes."""
    return {name: values for name, values in columns.items() if name not in ("t", "c")}


def _lower(name: str) -> bool:
    known = facts(name)
    return known is not None and known.better == "lower"


def _log_ticks(name: str, frame: pl.DataFrame) -> list[float] | None:
    """Ticks of a loss or perplexity that spans so much that only a logarithmic axis shows it."""
    known = facts(name)
    values = frame["value"].to_list() + frame["low"].drop_nulls().to_list()
    if known is None or not known.is_loss or not values:
        return None
    least, most = float(min(values)), float(max(values))
    return log_ticks(least, most) if 0 < least * WIDE < most else None


def _loggable(frames: Sequence[pl.DataFrame], row: Row) -> bool:
    """Whether a logarithmic rate says more: near-zero scores without a chance level."""
    if not frames or frames[0].is_empty() or row["chance"]:
        return False
    values = frames[0]["value"]
    least, most = values.min(), values.max()
    return isinstance(least, float) and isinstance(most, float) and 0 <= least < 0.1 < most <= 1


def _settings(axis: str, frames: Sequence[pl.DataFrame], data: Mapping[str, Any]) -> dict[str, Any]:
    places = [float(value) for frame in frames for value in frame["x"]]
    low, high = _domain(axis, places)
    marks = ticks(axis, low, high)
    zone = (data.get("zone") or {}).get("h", [0.001])
    floor = significant(0.4 * min(zone, default=0.001))
    return {
        "x_min": significant(low, 6),
        "x_max": significant(high, 6),
        "x_ticks": marks,
        "x_labels": [_tick_label(axis, mark) for mark in marks],
        "y_floor": None,
        "y_log": floor,
        "y_ticks": log_ticks(floor, 1.0),
    }


def _domain(axis: str, places: Sequence[float]) -> tuple[float, float]:
    if not places:
        return 1.0, 10.0
    low, high = min(places), max(places)
    if axis == "loss":
        edge = 0.06 * (high - low) or 0.1
        return low - edge, high + edge
    edge = (high / low) ** 0.06 if high > low else 2.0
    return low / edge, high * edge


def ticks(axis: str, low: float, high: float) -> list[float]:
    """Tick values of an axis."""
    return _even_ticks(low, high) if axis == "loss" else log_ticks(low, high)


def log_ticks(low: float, high: float) -> list[float]:
    """Ticks between two positive values: 1, 2, 5 where these are near, decades where far."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    spread = math.log10(high / low)
    steps = (1, 2, 5) if spread < 2 else (1, 3) if spread < 3 else (1,)
    stride = max(1, math.ceil(spread / 6))
    powers = range(first, last + 1, stride)
    marks = [float(f"{step}e{power}") for power in powers for step in steps]
    return [mark for mark in marks if low <= mark <= high]


def _even_ticks(low: float, high: float) -> list[float]:
    rough = (high - low) / 5
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
    first = math.ceil(low / step)
    return [significant(step * place, 6) for place in range(first, math.floor(high / step) + 1)]


def _tick_label(axis: str, value: float) -> str:
    if axis == "loss":
        return f"{value:g}"
    if axis != "flops":
        return si(value)
    return scientific(value).replace(".0 ×", " ×").replace(" × ", "×")


def significant(value: float, digits: int = 4) -> float:
    """Rounded to significant digits, whole numbers as such, to keep the page small."""
    short = float(f"{value:.{digits}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def rounded(values: Any, digits: int = 4) -> list[float | None]:
    """Rounded to significant digits; what is missing or not finite is None."""
    return [
        None if value is None or not math.isfinite(value) else significant(float(value), digits)
        for value in values
    ]


def _smoothly(values: FloatArray) -> list[float | None]:
    """A curve to a 500th of its span, or 3 digits, so that no steps are seen."""
    known = values[np.isfinite(values)]
    step = float(np.ptp(known)) / 500 if known.size else 0.0
    size = np.abs(values) / step if step else np.ones_like(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        digits = np.clip(np.nan_to_num(np.ceil(np.log10(size)) + 1), 3, 12).astype(int)
    return [rounded([y], int(most))[0] for y, most in zip(values, digits, strict=True)]


def _median(values: pl.Series) -> float | None:
    middle = values.drop_nulls().drop_nans().median()
    return float(middle) if isinstance(middle, float | int) else None
