"""The panels of the experiments' figures, as Vega-Lite specifications made with Altair.

A figure is a row of small panels: the page lets them wrap, the files show them side by side.
Every run of a family is drawn; where there are several, their mean is the bold line.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import altair as alt
import polars as pl

Json = dict[str, Any]

WIDTH, HEIGHT = 290, 200
INK, SOFT, LINE = "#23272e", "#6d737d", "#e4e3de"
FONT = "system-ui, -apple-system, Segoe UI, Helvetica, Liberation Sans, Arial, sans-serif"
# Okabe and Ito (2008), safe for the colour blind; yellow is left out on white
COLORS = ("#0b6fae", "#c4501b", "#2f8a63", "#8a4fa3", "#b07b00", "#2a8c9e", "#23272e", "#a8466b")
RAMP = ("#a6cfe6", "#5fa8d3", "#2a7ab8", "#164f86", "#0a2a52", "#04152b")  # short to long
RUN, MEAN = 0.9, 2.4  # widths of the lines
# fonts of a reader are wider than those that the drawing was measured with
PADDING = {"left": 16, "right": 12, "top": 6, "bottom": 6}


class Axis(NamedTuple):
    """One axis of a panel.

    Args:
        field: column of the frame.
        title: with its unit.
        log: whether it is logarithmic.
        reverse: whether it falls.
        domain: its ends; None takes them from the data.
        marks: places of its ticks; None leaves them to the scale.
    """

    field: str
    title: str
    log: bool = False
    reverse: bool = False
    domain: tuple[float, float] | None = None
    marks: Sequence[float] | None = None


class Rule(NamedTuple):
    """A horizontal line with its name, such as a chance level."""

    y: float
    name: str


@dataclass(frozen=True)
class Style:
    """How the rows of a panel are told apart.

    Args:
        group: column of the colour; None draws everything in one.
        title: of the legend.
        ordered: whether the groups are an order, such as lengths: one ramp of colour. Numbers are
            sorted, texts stay in the order of the rows.
        run: column that separates the runs of a group: each thin, their mean bold.
        low: column of the lower end of an interval.
        high: column of the upper end.
        points: whether every value is marked.
        line: whether the values of a run are joined.
        step: whether the line is a step.
        marker: shape of the points, such as triangle-down for an upper limit.
        mean: whether the mean of the runs is drawn.
    """

    group: str | None = None
    title: str = ""
    ordered: bool = False
    run: str | None = None
    low: str | None = None
    high: str | None = None
    points: bool = True
    line: bool = True
    step: bool = False
    marker: str = "circle"
    mean: bool = True


PLAIN = Style()


def panel(
    frame: pl.DataFrame,
    x: Axis,
    y: Axis,
    title: str,
    style: Style = PLAIN,
    rules: Sequence[Rule] = (),
    over: Sequence[tuple[pl.DataFrame, Style]] = (),
) -> Json:
    """One panel of lines and points.

    Args:
        frame: long rows with the columns that axes and style name; a null is not drawn.
        x: horizontal axis.
        y: vertical axis.
        title: of the panel.
        style: how the rows are told apart.
        rules: horizontal lines with names.
        over: more frames with the same axes and their styles, drawn on top.

    Returns:
        A Vega-Lite specification with its data in it.
    """
    drawn = [(_usable(rows, x, y), how) for rows, how in ((frame, style), *over)]
    names = _names(drawn)
    x, y = (_marked(axis, [rows for rows, _ in drawn]) for axis in (x, y))
    layers = [_rule(rule) for rule in rules]
    for rows, how in drawn:
        layers += _layers(rows, x, y, how, names)
    layers += [_rule_name(rule) for rule in rules]  # on top, where the data may lie under it
    chart = alt.layer(*layers).properties(width=WIDTH, height=HEIGHT, title=title)
    return _finished(chart)


def bars(
    frame: pl.DataFrame, x: Axis, name: str, title: str, group: str | None = None, order: str = "-x"
) -> Json:
    """Horizontal bars, one per name, the longest on top.

    Args:
        frame: rows with the columns of `x.field` and `name`.
        x: the length of a bar.
        name: column that names the bars.
        title: of the panel.
        group: column of the colour.
        order: of the bars, as Vega-Lite sorts.
    """
    style = Style(group=group)
    color = _color(style, _names([(frame, style)]))
    chart = (
        alt.Chart(_data(frame))
        .mark_bar(height={"band": 0.7})
        .encode(
            x=_position(alt.X, x, list(x.marks) if x.marks else None),
            y=alt.Y(f"{name}:N", sort=order, title=None, axis=alt.Axis(labelLimit=210)),
            color=color,
        )
        .properties(width=WIDTH, height={"step": 20}, title=title)
    )
    return _finished(chart)


def data_svg(spec: Json) -> str:
    """A panel as SVG in base64, for a page that loads nothing."""
    import vl_convert

    drawn = vl_convert.vegalite_to_svg(json.dumps(spec, allow_nan=False))
    return base64.b64encode(drawn.encode()).decode()


def beside(panels: Sequence[Json], columns: int) -> Json:
    """One specification of several panels, row by row, for the files."""
    shared = ("config", "$schema", "datasets")
    inner = [{k: v for k, v in one.items() if k not in shared} for one in panels]
    return {
        "$schema": panels[0]["$schema"],
        "datasets": {k: v for one in panels for k, v in one.get("datasets", {}).items()},
        "concat": inner,
        "columns": columns,
        "spacing": 28,
        "background": "white",
        "padding": 10,
        "resolve": {"scale": {"color": "independent"}},
        "config": panels[0]["config"],
    }


def _usable(frame: pl.DataFrame, x: Axis, y: Axis) -> pl.DataFrame:
    """Rows that have a place; nothing that a logarithmic axis cannot hold is moved onto it."""
    kept = frame.filter(pl.col(x.field).is_finite(), pl.col(y.field).is_finite())
    for axis in (x, y):
        kept = kept.filter(pl.col(axis.field) > 0) if axis.log else kept
    return kept


def _data(frame: pl.DataFrame) -> alt.InlineData:
    rows = frame.with_columns(pl.selectors.float().round_sig_figs(6).fill_nan(None))
    return alt.InlineData(values=rows.to_dicts())


def _layers(frame: pl.DataFrame, x: Axis, y: Axis, style: Style, names: list[Any]) -> list[Any]:
    base = alt.Chart(_data(frame)).encode(
        x=_position(alt.X, x, _ticks(frame, x)),
        y=_position(alt.Y, y, _ticks(frame, y)),
        color=_color(style, names),
    )
    several = style.run is not None and frame[style.run].n_unique() > 1
    found: list[Any] = []
    if style.low and style.high:
        ends = base.mark_rule(opacity=0.45, strokeWidth=1)
        found.append(ends.encode(y=alt.Y(f"{style.low}:Q"), y2=style.high))
    if style.line:
        shape: Any = "step-after" if style.step else "linear"
        width, faint = (RUN, 0.55) if several else (MEAN * 0.75, 1.0)
        one = base.mark_line(interpolate=shape, strokeWidth=width, opacity=faint)
        found.append(one.encode(detail=f"{style.run}:N") if style.run else one)
        found += [_mean(frame, x, y, style, names)] if several and style.mean else []
    if style.points:
        size, faint = (14, 0.7) if several else (26, 1.0)
        marks: Any = {"shape": style.marker, "size": size if style.marker == "circle" else 40}
        found.append(base.mark_point(filled=True, opacity=faint, **marks))
    return found


def _mean(frame: pl.DataFrame, x: Axis, y: Axis, style: Style, names: list[Any]) -> Any:
    """The mean over runs at each place; computed here, so that the chart holds no hidden step."""
    keys = [x.field] + ([style.group] if style.group else [])
    means = frame.group_by(keys, maintain_order=True).agg(pl.col(y.field).mean()).sort(x.field)
    chart = alt.Chart(_data(means)).mark_line(strokeWidth=MEAN)
    return chart.encode(
        x=_position(alt.X, x, _ticks(frame, x)),
        y=_position(alt.Y, y, _ticks(frame, y)),
        color=_color(style, names),
    )


def _marked(axis: Axis, frames: Sequence[pl.DataFrame]) -> Axis:
    """The axis with marks for all frames that share it."""
    places = pl.concat([frame.select(pl.col(axis.field).cast(pl.Float64)) for frame in frames])
    return axis._replace(marks=_ticks(places, axis))


def _ticks(frame: pl.DataFrame, axis: Axis) -> list[float] | None:
    """Marks as given; of a logarithmic axis powers of ten, with 2 and 5 where these are few."""
    if axis.marks:
        return list(axis.marks)
    values = axis.domain or (frame[axis.field].min(), frame[axis.field].max())
    if not axis.log or values[0] is None:
        return None
    low, high = (float(v) for v in values)  # type: ignore[arg-type]
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    step = max(1, round((last - first) / 6))
    parts = (1, 2, 5) if high / low < 100 else (1,)
    marks = [part * 10.0**power for power in range(first, last + 1, step) for part in parts]
    return [mark for mark in marks if low / 1.001 <= mark <= high * 1.001]


def _position(channel: Any, axis: Axis, ticks: list[float] | None = None) -> Any:
    scale: dict[str, Any] = {"type": "log" if axis.log else "linear", "reverse": axis.reverse}
    if axis.domain:
        scale |= {"domain": list(axis.domain), "nice": False}
    elif not axis.log:
        scale |= {"zero": False, "nice": True}
    else:
        scale |= {"nice": False, "padding": 8}
    shape = "~s" if channel is alt.X and axis.log else "~g"
    marks: Any = {"values": ticks} if ticks else {}
    look = alt.Axis(
        **marks,
        labelExpr=f"replace(format(datum.value, '{shape}'), 'G', 'B')",
        tickCount=5,
        labelOverlap=True,
        grid=channel is alt.Y,
    )
    return channel(f"{axis.field}:Q", title=axis.title, scale=alt.Scale(**scale), axis=look)


def _names(drawn: Sequence[tuple[pl.DataFrame, Style]]) -> list[Any]:
    """The groups of all frames of a panel, which share one legend."""
    found = [name for rows, how in drawn if how.group for name in rows[how.group].unique(
        maintain_order=True)]  # fmt: skip
    names = list(dict.fromkeys(found))
    numbers = any(how.ordered for _, how in drawn) and not any(isinstance(n, str) for n in names)
    return sorted(names) if numbers else names


def _color(style: Style, names: list[Any]) -> Any:
    if style.group is None:
        return alt.value(COLORS[0])
    palette = _ramp(len(names)) if style.ordered else [COLORS[i % 8] for i in range(len(names))]
    return alt.Color(
        f"{style.group}:N",
        scale=alt.Scale(domain=names, range=palette),
        legend=alt.Legend(
            title=style.title or None, columns=6 if style.ordered else 2, symbolOpacity=1
        ),
    )


def _ramp(count: int) -> list[str]:
    """From light to dark, as far apart as the ramp allows."""
    if count == 1:
        return [RAMP[2]]
    last = len(RAMP) - 2 if count < len(RAMP) else len(RAMP) - 1
    return [RAMP[round(place * last / (count - 1))] for place in range(count)]


def _rule(rule: Rule) -> Any:
    at = alt.Chart(alt.InlineData(values=[{"y": rule.y}]))
    return at.mark_rule(color=SOFT, strokeDash=[5, 4]).encode(y="y:Q")


def _rule_name(rule: Rule) -> Any:
    """The name at the rule's right end, on a white seam that keeps it legible over lines."""
    at = alt.Chart(alt.InlineData(values=[{"y": rule.y, "name": rule.name}]))
    place = {"y": "y:Q", "x": alt.value(WIDTH - 2), "text": "name:N"}
    look: Json = {"align": "right", "dy": -6, "color": SOFT, "fontSize": 10.5}
    seam = at.mark_text(**look, stroke="white", strokeWidth=3, strokeJoin="round").encode(**place)
    return seam + at.mark_text(**look).encode(**place)


def _finished(chart: Any) -> Json:
    look = (
        chart.configure(font=FONT, background="white", padding=PADDING)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=SOFT, titleColor=SOFT, titleFontWeight="normal", titleFontSize=11.5,
            titlePadding=9, labelFontSize=11, gridColor=LINE, domainColor=LINE, tickColor=LINE,
        )
        .configure_title(anchor="start", color=INK, fontSize=12.5, fontWeight=600, offset=8)
        .configure_legend(
            orient="bottom", labelColor=SOFT, titleColor=SOFT, titleFontWeight="normal",
            labelFontSize=11, titleFontSize=11, symbolStrokeWidth=2.5, symbolSize=60,
            labelLimit=130, columnPadding=28,
        )
    )  # fmt: skip
    made: Json = look.to_dict()
    return made
