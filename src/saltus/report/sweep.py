"""The page of a sweep: the same answers under every metric, side by side, the sharpest first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from saltus.report.document import encoded
from saltus.report.page import render
from saltus.report.text import number, several
from saltus.verdicts.sweep import alike

SHOWN = 40  # families and tasks on the page; all are in the tables
WIDTH, HEIGHT, MARGIN = 150.0, 44.0, 5.0


class Panel(NamedTuple):
    """A small multiple: one metric over the scales.

    Args:
        line: SVG path through the values.
        bars: SVG path of the intervals.
        dots: places of the values.
        step: SVG path of the sharpest step, empty where there is none.
    """

    line: str
    bars: str
    dots: list[tuple[float, float]]
    step: str


def sweep_page(
    swept: pl.DataFrame, apart: pl.DataFrame, manifest: Mapping[str, Any], folder: Path
) -> list[Path]:
    """Write `sweep.html` and `sweep.json`.

    Args:
        swept: table `Sweeps`.
        apart: table `Disagreements`.
        manifest: of the audit folder.
        folder: where the files go.

    Returns:
        The files written, the page first.
    """
    groups = alike(swept).partition_by("family", "regime", "task", maintain_order=True)
    context = {
        "groups": [_group(rows.to_dicts()) for rows in groups[:SHOWN]],
        "left_out": max(len(groups) - SHOWN, 0),
        "pairs": _pairs(apart),
        "lede": _lede(swept, apart),
        "width": WIDTH,
        "height": HEIGHT,
    }
    document = {
        "format": "saltus.sweep/1",
        "manifest": dict(manifest),
        "metrics": swept.to_dicts(),
        "disagreements": apart.to_dicts(),
    }
    texts = {
        "sweep.html": render("sweep.html.jinja", manifest, _heading(swept), context).encode(),
        "sweep.json": encoded(document),
    }
    for name, text in texts.items():
        (folder / name).write_bytes(text)
    return [folder / name for name in texts]


def _heading(swept: pl.DataFrame) -> str:
    if swept.is_empty():
        return "Where metrics disagree on the same answers"
    amount = swept["metric"].n_unique()
    return f"The same answers under {several(amount, 'metric')}"


def _lede(swept: pl.DataFrame, apart: pl.DataFrame) -> list[str]:
    if swept.is_empty():
        text = (
            "No family has at least three scales with a known size, training compute or loss, so "
            "nothing can be said about sharpness."
        )
        return [text + (" The answers on which metrics disagree are below." if len(apart) else "")]
    return [
        "Sharpness is the share of a metric's whole rise that falls into one step between "
        "neighbouring scales, beyond what a straight line would put there: 0 is a straight line, "
        "1 a rise in a single step. It is left out where the rise is within its error.",
        "The miss is how far the largest model lies from the straight line through the smaller "
        "ones on the metric's link scale, in standard errors: near 0 it was foreseeable.",
    ]


def _group(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    first = rows[0]
    regime = f", {first['regime']}" if first["regime"] else ""
    return {
        "title": f"{first['task']}: {first['family']}{regime}",
        "note": f"{first['scales']} scales on {first['axis']}, {first['slice']}",
        "rows": [_line(row) for row in rows],
    }


def _line(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "metric": row["metric"],
        "alike": [name.replace("_", " ") for name in row["alike"]],
        "reaction": row["reaction"] or "",
        "nonlinearity": number(row["nonlinearity"], 2),
        "panel": panel(row),
        "first": number(row["values"][0]),
        "last": number(row["values"][-1]),
        "sharpness": number(row["sharpness"], 2),
        "interval": _interval(row),
        "step": f"{row['step_from']} to {row['step_to']}" if row["step_from"] else "",
        "miss": number(row["miss_se"], 2),
        "score": "infinite" if row["degenerate"] else number(row["score"], 3),
        "missing": row["missing"] or "",
    }


def _interval(row: Mapping[str, Any]) -> str:
    ends = row["sharpness_low"], row["sharpness_high"]
    return "" if None in ends else f"{number(ends[0], 2)} to {number(ends[1], 2)}"


def panel(row: Mapping[str, Any]) -> Panel:
    """A metric's values and intervals as SVG paths in a box, better upwards."""
    x, values = row["x"], row["values"]
    low = [v if end is None else end for v, end in zip(values, row["low"], strict=True)]
    high = [v if end is None else end for v, end in zip(values, row["high"], strict=True)]
    floor, ceiling = min(*low, *values), max(*high, *values)
    across = [_place(one, x[0], x[-1], WIDTH) for one in x]

    falls_for_better = (row["rise"] >= 0) != (values[-1] >= values[0])

    def up(value: float) -> float:
        place = _place(value, floor, ceiling, HEIGHT)
        return place if falls_for_better else HEIGHT - place

    dots = [(one, up(value)) for one, value in zip(across, values, strict=True)]
    bars = "".join(
        f"M{one:.1f} {up(bottom):.1f}V{up(top):.1f}"
        for one, bottom, top in zip(across, low, high, strict=True)
    )
    return Panel(_path(dots), bars, dots, _step(row, dots))


def _step(row: Mapping[str, Any], dots: Sequence[tuple[float, float]]) -> str:
    """The sharpest step: the one whose change exceeds the straight line's share by the most."""
    x, values = row["x"], row["values"]
    if row["sharpness"] is None or values[-1] == values[0]:
        return ""
    rise, width = values[-1] - values[0], x[-1] - x[0]
    shares = [
        ((values[i + 1] - values[i]) / rise - (w := (x[i + 1] - x[i]) / width)) / (1 - w)
        for i in range(len(x) - 1)
    ]
    at = shares.index(max(shares))
    return _path(dots[at : at + 2])


def _place(value: float, first: float, last: float, size: float) -> float:
    if not math.isfinite(value) or last == first:
        return size / 2
    return MARGIN + (size - 2 * MARGIN) * (value - first) / (last - first)


def _path(dots: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in dots)


def _pairs(apart: pl.DataFrame) -> list[dict[str, Any]]:
    pairs = apart.partition_by("task", "low_metric", "high_metric", maintain_order=True)
    return [_pair(rows.to_dicts()) for rows in pairs]


def _pair(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    first = rows[0]
    return {
        "task": first["task"],
        "low": first["low_metric"],
        "high": first["high_metric"],
        "count": f"{first['count']:,}",
        "answers": [
            {**row, "low_value": number(row["low_value"]), "high_value": number(row["high_value"])}
            for row in rows
        ],
    }
