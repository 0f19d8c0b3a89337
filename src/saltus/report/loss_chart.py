"""Performance against loss: all sizes over each other, the threshold and its interval."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from saltus.losses.rows import Group
from saltus.losses.thresholds import BENDS
from saltus.report.chart import FONT, LIGHT, Json
from saltus.report.text import scale

WIDTH, HEIGHT = 400, 230
FEW_SIZES = 8  # sizes that a legend names one by one
SHADES = "viridis"


def loss_chart(group: Group, threshold: Mapping[str, Any] | None = None) -> Json:
    """A Vega-Lite specification; the loss falls to the right, colour is the size.

    Args:
        group: checkpoints of one family, or of several.
        threshold: row of `LossThresholds`; its bend is drawn where it is one.
    """
    layers = [*_threshold(group, threshold), *_chance(group), _runs(group), _points(group)]
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": WIDTH,
        "height": HEIGHT,
        "background": LIGHT["paper"],
        "padding": 8,
        "title": {
            "text": f"{group.task}, {group.metric.replace('_', ' ')}",
            "subtitle": ", ".join(part for part in (group.family, group.regime) if part),
        },
        "datasets": {"points": _rows(group)},
        "layer": layers,
        "config": _config(),
    }


def loss_svg(group: Group, threshold: Mapping[str, Any] | None = None) -> str:
    """The chart as SVG text, without a browser."""
    import vl_convert

    return vl_convert.vegalite_to_svg(json.dumps(loss_chart(group, threshold), allow_nan=False))


def _rows(group: Group) -> list[Json]:
    several = " + " in group.family
    rows = group.rows.with_columns(
        pl.col("params")
        .map_elements(lambda size: scale(size, "params"), return_dtype=pl.String, skip_nulls=True)
        .fill_null("size not known")
        .alias("size")
    )
    names = ("model", "run", "family", "params", "size", "loss", "value")
    return [
        {**row, "colour": row["family"] if several else row["size"]}
        for row in rows.select(names).to_dicts()
    ]


def _colour(group: Group) -> Json:
    if " + " in group.family:
        return {"field": "family", "type": "nominal", "title": "family"}
    sizes = group.rows["params"].drop_nulls().unique().sort().to_list()
    if not sizes or len(sizes) > FEW_SIZES:
        ramp: Json = {"type": "log", "scheme": SHADES, "reverse": True}
        last = len(sizes) - 1
        places = range(FEW_SIZES + 1) if sizes else ()
        steps = sorted({sizes[place * last // FEW_SIZES] for place in places})
        words = "replace(format(datum.value, '.2~s'), 'G', 'B')"
        legend = {"title": "parameters", "values": steps, "labelExpr": words}
        return {"field": "params", "type": "quantitative", "scale": ramp, "legend": legend}
    names = list(dict.fromkeys(scale(size, "params") for size in sizes))
    ordered = {"domain": names, "range": _shades(len(names))}
    return {
        "field": "size",
        "type": "ordinal",
        "title": "parameters",
        "scale": ordered,
        "sort": names,
    }


def _shades(count: int) -> list[str]:
    """Dark blue to yellow-green, the smallest size lightest, as far apart as they go."""
    stops = ["#b8d53a", "#5bb85f", "#23948b", "#2f6f8e", "#3f4788", "#440f54"]
    places = [index * (len(stops) - 1) / max(count - 1, 1) for index in range(count)]
    return [_between(stops, place) for place in places]


def _between(stops: list[str], place: float) -> str:
    left = min(int(place), len(stops) - 2)
    share = place - left
    pair = [[int(stop[i : i + 2], 16) for i in (1, 3, 5)] for stop in stops[left : left + 2]]
    mixed = [round(a + (b - a) * share) for a, b in zip(*pair, strict=True)]
    return "#" + "".join(f"{part:02x}" for part in mixed)


def _axes(group: Group) -> tuple[Json, Json]:
    corpus = [group.loss_name] if group.loss_name else []  # a line of its own: it may be long
    x = {
        "field": "loss",
        "type": "quantitative",
        "title": [f"pre-training loss ({group.unit}), better to the right", *corpus],
        "scale": {"reverse": True, "zero": False, "nice": False, "padding": 8},
        "axis": {"grid": False, "tickCount": 6},
    }
    y = {
        "field": "value",
        "type": "quantitative",
        "title": None,
        "scale": {"zero": False, "nice": True, "padding": 6},
    }
    return x, y


def _points(group: Group) -> Json:
    x, y = _axes(group)
    return {
        "data": {"name": "points"},
        "mark": {"type": "point", "filled": True, "size": 26, "opacity": 0.85},
        "encoding": {"x": x, "y": y, "color": _colour(group)},
    }


def _runs(group: Group) -> Json:
    """A thin line along the checkpoints of each run."""
    x, y = _axes(group)
    colour = _colour(group)
    return {
        "data": {"name": "points"},
        "mark": {"type": "line", "strokeWidth": 0.8, "opacity": 0.45},
        "encoding": {
            "x": x, "y": y, "color": colour, "detail": {"field": "run", "type": "nominal"},
            "order": {"field": "loss", "type": "quantitative", "sort": "descending"},
        },
    }  # fmt: skip


def _chance(group: Group) -> list[Json]:
    if group.chance != group.chance:
        return []
    return [
        {
            "data": {"values": [{"y": group.chance}]},
            "mark": {"type": "rule", "strokeDash": [6, 4], "color": LIGHT["soft"]},
            "encoding": {"y": {"field": "y", "type": "quantitative"}},
        }
    ]


def _threshold(group: Group, row: Mapping[str, Any] | None) -> list[Json]:
    """The bend, and its interval as a band; an open end runs to the last point."""
    if row is None or row["threshold"] is None or row["shape"] not in BENDS:
        return []
    place = {"field": "x", "type": "quantitative"}
    loss = group.column("loss")
    low = loss.min() if row["threshold_low"] is None else row["threshold_low"]
    high = loss.max() if row["threshold_high"] is None else row["threshold_high"]
    full: Json = {"y": {"value": 0}, "y2": {"value": HEIGHT}}
    return [
        {
            "data": {"values": [{"x": float(low), "h": float(high)}]},
            "mark": {"type": "rect", "color": LIGHT["sharp"], "opacity": 0.12},
            "encoding": {"x": place, "x2": {"field": "h"}, **full},
        },
        {
            "data": {"values": [{"x": row["threshold"]}]},
            "mark": {"type": "rule", "color": LIGHT["sharp"], "strokeDash": [3, 3]},
            "encoding": {"x": place},
        },
    ]


def _config() -> Json:
    soft, line = LIGHT["soft"], LIGHT["line"]
    return {
        "font": FONT,
        "view": {"stroke": None},
        "axis": {
            "labelColor": soft, "titleColor": soft, "titleFontWeight": "normal",
            "gridColor": line, "domainColor": line, "tickColor": line, "titlePadding": 8,
        },
        "axisY": {"domain": False, "ticks": False, "tickCount": 5},
        "legend": {"labelColor": soft, "titleColor": soft, "titleFontWeight": "normal"},
        "title": {
            "anchor": "start", "frame": "group", "color": LIGHT["ink"], "fontSize": 13,
            "subtitleColor": soft, "fontWeight": 600, "offset": 10,
        },
    }  # fmt: skip
