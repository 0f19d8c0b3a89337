"""The one chart of the report: a thresholded metric above its continuous partner.

`template` makes the Vega-Lite specification, the same for every card up to the axis and
the number of panels; `fill` puts one card's data into it. The page ships each template
once and fills it by the same rule in page.js.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from saltus.report.vocabulary import AXIS_TITLES

Json = dict[str, Any]
Columns = Mapping[str, Any]

WIDTH, HEIGHT = 460, 165
LIGHT = {
    "ink": "#23272e",
    "soft": "#6d737d",
    "line": "#e4e3de",
    "zone": "#8d8778",
    "smooth": "#0b6fae",
    "sharp": "#c4501b",
    "paper": "#ffffff",
}
TOP_DATA = ("band", "points", "means", "zone", "chance", "threshold")
BOTTOM_DATA = ("partner", "partner_means", "partner_chance", "smooth", "sharp", "threshold")
SETTINGS = ("x_min", "x_max", "x_ticks", "x_labels", "y_floor")  # and y_log, y_ticks: page.js
FONT = "system-ui, -apple-system, Segoe UI, Helvetica, Liberation Sans, Arial, sans-serif"


@dataclass(frozen=True)
class Chart:
    """What one chart shows, in few bytes, ready to be put into its template.

    Args:
        axis: params, tokens, flops or loss.
        panels: heading and notes (lines) of each panel, the thresholded metric first.
        reverse: for each panel, whether its axis points down (lower is better).
        log: for each panel, the ticks of its logarithmic axis; None where it is linear.
        settings: values of the template's parameters, by name.
        data: data sets by name, column by column; a value that is no list stands for a
            column of that value; absent data sets are empty. `m` is the number of a model,
            whose place on the axis is its x; `x0` and `x1` are the ends of a curve whose
            points stand evenly along the axis.
        loggable: whether the first panel also makes sense on a logarithmic axis.
    """

    axis: str
    panels: tuple[tuple[str, list[str]], ...]
    reverse: tuple[bool, ...]
    log: tuple[list[float] | None, ...]
    settings: Mapping[str, Any]
    data: Mapping[str, Columns] = field(default_factory=dict)
    loggable: bool = False

    @property
    def template(self) -> str:
        """Key of the template that it fills."""
        return f"{self.axis}-{len(self.panels)}"

    def card(self) -> Json:
        """What the page embeds for it."""
        return {
            "axis": self.axis,
            "template": self.template,
            "panels": [list(panel) for panel in self.panels],
            "reverse": list(self.reverse),
            "log": list(self.log),
            "settings": dict(self.settings),
            "data": {name: dict(columns) for name, columns in self.data.items()},
            "loggable": self.loggable,
        }


def template(key: str) -> Json:
    """The specification for a template key, such as "params-2": axis and number of panels."""
    axis, _, panels = key.rpartition("-")
    stack = [_top(axis, last=panels == "1")]
    if panels == "2":
        stack.append(_bottom(axis))
    return {
        "datasets": {name: [] for name in dict.fromkeys(TOP_DATA + BOTTOM_DATA)},
        "params": [{"name": name, "value": value} for name, value in LIGHT.items()]
        + [{"name": name, "value": None} for name in SETTINGS],
        "vconcat": stack,
        "spacing": 14,
        "resolve": {"scale": {"y": "independent"}},
        "background": {"expr": "paper"},
        "padding": 6,
        "config": _config(),
    }


def fill(spec: Json, card: Json, models: Sequence[Json]) -> Json:
    """A template with one card's data in it.

    Args:
        spec: from `template`.
        card: from `Chart.card`.
        models: label and place on every axis of the models that `m` points to.
    """
    whole = copy.deepcopy(spec)
    for name, columns in card["data"].items():
        whole["datasets"][name] = rows(columns, models, card["axis"])
    for source, means in (("points", "means"), ("partner", "partner_means")):
        whole["datasets"][means] = _averages(whole["datasets"][source])
    for parameter in whole["params"]:
        parameter["value"] = card["settings"].get(parameter["name"], parameter["value"])
    for place, panel in enumerate(whole["vconcat"]):
        text, note = card["panels"][place]
        panel["title"] |= {"text": text, "subtitle": note}
        panel["encoding"]["y"]["scale"]["reverse"] = card["reverse"][place]
        if card["log"][place]:
            _make_logarithmic(panel["encoding"]["y"], card["log"][place])
    return whole


def _make_logarithmic(y: Json, marks: Sequence[float]) -> None:
    del y["scale"]["zero"]
    y["scale"] |= {"type": "log", "nice": False, "padding": 6}
    y["axis"] = {"values": list(marks), "format": "~g"}


def rows(columns: Columns, models: Sequence[Json], axis: str) -> list[Json]:
    """Rows from columns, with x looked up or spread, and model numbers replaced by labels."""
    count = next(len(values) for values in columns.values() if isinstance(values, list))
    whole = dict(columns)
    if "x0" in whole:
        whole["x"] = spread(whole.pop("x0"), whole.pop("x1"), count, axis)
    table = [
        {name: value[place] if isinstance(value, list) else value for name, value in whole.items()}
        for place in range(count)
    ]
    for row in table:
        if "m" in row:
            model = models[row["m"]]
            row |= {"m": model["model"], "x": model[axis]}
    return table


def spread(first: float, last: float, count: int, axis: str) -> list[float]:
    """Places from first to last, even on the axis."""
    shares = [place / (count - 1) for place in range(count)]
    if axis == "loss":
        return [first + (last - first) * share for share in shares]
    return [first * (last / first) ** share for share in shares]


def _averages(points: Sequence[Json]) -> list[Json]:
    """One point per scale for the line; runs at one scale count as their mean."""
    places: dict[float, list[float]] = {}
    for point in points:
        places.setdefault(point["x"], []).append(point["y"])
    return [{"x": x, "y": sum(places[x]) / len(places[x])} for x in sorted(places)]


def _top(axis: str, last: bool) -> Json:
    zone = {
        "data": {"name": "zone"},
        "mark": {"type": "rect", "color": {"expr": "zone"}, "opacity": 0.16},
        "encoding": {"y": {"field": "l"}, "y2": {"field": "h"}},
    }
    edge = {
        "data": {"name": "zone"},
        "mark": _rule("zone", dash=[1, 3], width=1.2),
        "encoding": {"y": {"field": "h"}},
    }
    limits = _limits()
    layers: list[Json] = [_band(), zone, edge, _chance("chance"), *_threshold(), _means("means")]
    layers += [_intervals("points"), *limits, *_marks("points")]
    return _panel(axis, last, layers, {"zero": True, "nice": True})


def _band() -> Json:
    return {
        "data": {"name": "band"},
        "mark": {"type": "area", "color": {"expr": "smooth"}, "opacity": 0.16},
        "encoding": {"x": {"field": "x"}, "y": {"field": "l"}, "y2": {"field": "h"}},
    }


def _bottom(axis: str) -> Json:
    layers: list[Json] = [
        _chance("partner_chance"),
        *_threshold(),
        _curve("sharp", "sharp", [5, 3]),
        _curve("smooth", "smooth", [1, 0]),
        _means("partner_means"),
        _intervals("partner"),
        *_marks("partner"),
    ]
    return _panel(axis, True, layers, {"zero": False, "nice": True})


def _panel(axis: str, last: bool, layers: list[Json], y_scale: Json) -> Json:
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "title": {"text": "", "subtitle": ""},
        "encoding": {
            "x": _x(axis, last),
            "y": {"type": "quantitative", "title": None, "scale": y_scale | {"reverse": False}},
        },
        "layer": layers,
    }


def _x(axis: str, last: bool) -> Json:
    loss = {"type": "linear", "reverse": True, "zero": False}
    kind = loss if axis == "loss" else {"type": "log"}
    ticks: Json = {
        "values": {"expr": "x_ticks"},
        "labelExpr": "x_labels[indexof(x_ticks, datum.value)]",
        "labelOverlap": True,
        "title": AXIS_TITLES[axis] if last else None,
        "labels": last,
        "ticks": last,
        "grid": False,
    }
    ends = {"domainMin": {"expr": "x_min"}, "domainMax": {"expr": "x_max"}, "nice": False}
    return {"type": "quantitative", "scale": kind | ends, "axis": ticks}


def _marks(data: str) -> list[Json]:
    """Filled points for one model a scale, small rings for several runs of one scale."""
    dot = {"type": "point", "filled": True, "size": 46, "opacity": 1, "color": {"expr": "ink"}}
    ring = dot | {"filled": False, "size": 22, "strokeWidth": 1.1, "opacity": 0.75}
    return [_pointed(data, 0, dot), _pointed(data, 1, ring)]


def _limits() -> list[Json]:
    """No success at all: an arrow that hangs from the upper limit, never a point at zero."""
    ink = {"color": {"expr": "ink"}}
    bar = {"type": "tick", "thickness": 1.6, "size": 11, "orient": "horizontal"} | ink
    head = {"type": "point", "shape": "triangle-down", "filled": True, "size": 42, "opacity": 1}
    return [_pointed("points", 2, bar, "h"), _pointed("points", 2, head | ink | {"yOffset": 5})]


def _pointed(data: str, kind: int, mark: Json, y: str = "yy") -> Json:
    return {
        "data": {"name": data},
        "transform": [{"filter": f"datum.k == {kind}"}, _clamped()],
        "mark": mark,
        "encoding": {"x": {"field": "x"}, "y": {"field": y}, "tooltip": _tooltip()},
    }


def _clamped() -> Json:
    # Only a logarithmic axis sets y_floor; a zero would have no place on it.
    return {"calculate": "y_floor === null ? datum.y : max(datum.y, y_floor)", "as": "yy"}


def _tooltip() -> list[Json]:
    return [
        {"field": "m", "title": "model", "type": "nominal"},
        {"field": "y", "title": "value", "type": "quantitative", "format": ".4~g"},
        {"field": "l", "title": "low", "type": "quantitative", "format": ".4~g"},
        {"field": "h", "title": "high", "type": "quantitative", "format": ".4~g"},
        {"field": "n", "title": "items", "type": "quantitative", "format": ","},
    ]


def _intervals(data: str) -> Json:
    low = "y_floor === null ? datum.l : max(datum.l, y_floor)"
    return {
        "data": {"name": data},
        "transform": [
            {"filter": "isValid(datum.l) && isValid(datum.h)"},
            {"calculate": low, "as": "ll"},
        ],
        "mark": {"type": "rule", "color": {"expr": "ink"}, "strokeWidth": 1.2, "opacity": 0.6},
        "encoding": {"x": {"field": "x"}, "y": {"field": "ll"}, "y2": {"field": "h"}},
    }


def _means(data: str) -> Json:
    return {
        "data": {"name": data},
        "transform": [_clamped()],
        "mark": {"type": "line", "color": {"expr": "soft"}, "strokeWidth": 1, "opacity": 0.65},
        "encoding": {"x": {"field": "x"}, "y": {"field": "yy"}},
    }


def _curve(data: str, color: str, dash: list[int]) -> Json:
    mark: Json = {"type": "line", "color": {"expr": color}, "strokeWidth": 2, "opacity": 0.85}
    return {
        "data": {"name": data},
        "mark": mark | ({"strokeDash": dash} if dash[1] else {}),
        "encoding": {"x": {"field": "x"}, "y": {"field": "y"}},
    }


def _chance(data: str) -> Json:
    mark = _rule("soft", [6, 4])
    return {"data": {"name": data}, "mark": mark, "encoding": {"y": {"field": "y"}}}


def _threshold() -> list[Json]:
    full = {"y": {"value": 0}, "y2": {"value": "height"}}
    band = {
        "data": {"name": "threshold"},
        "mark": {"type": "rect", "color": {"expr": "sharp"}, "opacity": 0.1, "clip": True},
        "encoding": {"x": {"field": "l"}, "x2": {"field": "h"}} | full,
    }
    line = {
        "data": {"name": "threshold"},
        "mark": _rule("sharp", [2, 2], 1.4),
        "encoding": {"x": {"field": "x"}} | full,
    }
    return [band, line]


def _rule(color: str, dash: list[int], width: float = 1.0) -> Json:
    return {"type": "rule", "color": {"expr": color}, "strokeDash": dash, "strokeWidth": width}


def _config() -> Json:
    soft, line, ink = {"expr": "soft"}, {"expr": "line"}, {"expr": "ink"}
    return {
        "font": FONT,
        "view": {"stroke": None},
        "axis": {
            "labelColor": soft,
            "titleColor": soft,
            "titleFontWeight": "normal",
            "titleFontSize": 11.5,
            "labelFontSize": 11,
            "gridColor": line,
            "domainColor": line,
            "tickColor": line,
            "tickCount": 4,
            "titlePadding": 8,
        },
        "axisY": {
            "domain": False,
            "ticks": False,
            "labelPadding": 6,
            "minExtent": 40,
            "maxExtent": 40,
        },
        "title": {
            "anchor": "start",
            "frame": "bounds",
            "color": ink,
            "subtitleColor": soft,
            "fontSize": 12.5,
            "fontWeight": 600,
            "subtitleFontSize": 11,
            "subtitlePadding": 3,
            "offset": 8,
        },
    }
