"""The page of the loss view: what matters at equal loss, and where performance bends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from markupsafe import Markup

from saltus.losses.rows import Group
from saltus.losses.thresholds import BENDS
from saltus.report.document import encoded
from saltus.report.loss_chart import loss_svg
from saltus.report.page import render
from saltus.report.text import number, probability, scale, several, slug
from saltus.tables import frequencies

SHOWN = 24  # charts on the page; all groups are in the tables
FIGURES = "loss_figures"
PNG_SCALE = 2.0
ARITHMETIC = "A bend against it may be arithmetic; no verdict calls it a threshold."
OWN_LOSS = "against the task's own loss"
_Drawn = tuple[Group, Mapping[str, Any] | None]


def loss_page(
    within: Sequence[Group],
    across: Sequence[Group],
    same: pl.DataFrame,
    thresholds: pl.DataFrame,
    manifest: Mapping[str, Any],
    folder: Path,
) -> list[Path]:
    """Write `loss.html`, `loss.json` and the charts as PNG and SVG in `loss_figures`.

    Args:
        within: groups of one family each.
        across: groups of several families.
        same: table `SameLoss`.
        thresholds: table `LossThresholds`, in the order of `within`.
        manifest: of the audit folder.
        folder: where the files go.

    Returns:
        The files written, the page first.
    """
    rows = thresholds.to_dicts()
    sizes = same.filter(effect="size").to_dicts()
    order = sorted(range(len(within)), key=lambda place: _rank(rows[place], sizes[place]))[:SHOWN]
    charts: list[_Drawn] = [(within[place], rows[place]) for place in order]
    charts += [(group, None) for group in across[: max(0, SHOWN - len(charts))]]
    drawings = [loss_svg(group, row) for group, row in charts]
    context = {
        "lede": _lede(within, same, thresholds),
        "suspicions": _suspicions(thresholds),
        "charts": [
            {"svg": Markup(svg), "note": _note(group, row)}  # noqa: S704  (drawn by vl-convert)
            for svg, (group, row) in zip(drawings, charts, strict=True)
        ],
        "left_out": len(within) + len(across) - len(charts),
        "sizes": [_same_line(row) for row in sizes],
        "families": [_same_line(row) for row in same.filter(effect="family").to_dicts()],
        "thresholds": [_threshold_line(row) for row in rows],
    }
    document = {
        "format": "saltus.loss/1",
        "manifest": dict(manifest),
        "same_loss": same.to_dicts(),
        "thresholds": rows,
    }
    heading = "Performance as a function of the pre-training loss"
    texts = {
        "loss.html": render("loss.html.jinja", manifest, heading, context).encode(),
        "loss.json": encoded(document),
    }
    for name, text in texts.items():
        (folder / name).write_bytes(text)
    return [folder / name for name in texts] + _figures(charts, drawings, folder / FIGURES)


def _figures(charts: Sequence[_Drawn], drawings: Sequence[str], folder: Path) -> list[Path]:
    import vl_convert

    folder.mkdir(exist_ok=True)
    written = []
    for (group, _), svg in zip(charts, drawings, strict=True):
        path = folder / f"{slug(group.task, group.metric, group.family, group.regime or '')}.svg"
        path.write_text(svg, encoding="utf-8")
        path.with_suffix(".png").write_bytes(vl_convert.svg_to_png(svg, scale=PNG_SCALE))
        written += [path.with_suffix(".png"), path]
    return written


def _rank(row: Mapping[str, Any], size: Mapping[str, Any]) -> tuple[int, float]:
    """Thresholds first, then the strongest effects of size."""
    found = {shape: place for place, shape in enumerate(BENDS)}
    p = size["p_runs"] if size["p_runs"] is not None else size["p"]
    return found.get(row["shape"], 3), 1.0 if p is None else p


def _lede(within: Sequence[Group], same: pl.DataFrame, thresholds: pl.DataFrame) -> list[str]:
    if not within:
        return [
            "No model has a known pre-training loss. Name the losses with --loss FILE (columns "
            "model, loss, step) when the logs are read, or pick one of a log's own with "
            "--columns loss=NAME."
        ]
    tested = same.filter(pl.col("effect") == "size", pl.col("p").is_not_null())
    lines = [_size_words(tested) if tested.height else _untested(same)]
    rising = thresholds.filter(pl.col("shape").is_in(BENDS[:2]))
    lines.append(
        f"Level, and then rising as the loss falls: {several(rising.height, 'curve')} of "
        f"{thresholds.height:,}. A bend is named only where a broken law beats every smooth one by "
        "a BIC difference of 6 or more; that describes the curve, the calibrated verdict decides."
    )
    if same.filter(effect="family").height:
        lines.append(str(same.filter(effect="family")["note"][0]).capitalize() + ".")
    return lines


def _suspicions(thresholds: pl.DataFrame) -> list[str]:
    """Families and tasks whose loss is no axis of its own, and what that means for the bends."""
    said = thresholds.filter(pl.col("suspicion").is_not_null())
    rows = said.select("family", "task", "suspicion").unique(maintain_order=True)
    return [
        f"{row['family']}, {row['task']}: {row['suspicion']}. {ARITHMETIC}"
        for row in rows.to_dicts()
    ]


def _size_words(tested: pl.DataFrame) -> str:
    different = tested.filter(pl.col("bh") < 0.05).height
    alike = tested.filter(pl.col("same")).height
    return (
        f"At equal loss, size still matters in {different} of {several(tested.height, 'test')} "
        f"(Benjamini and Hochberg, .05); in {alike} the 90 % interval of its effect lies within "
        "the margin, which is what sameness means. The others are neither shown to differ nor "
        "shown to be the same."
    )


def _untested(same: pl.DataFrame) -> str:
    reasons = frequencies(same["status"])
    return "Size could not be tested at equal loss: " + "; ".join(
        f"{words} ({count})" for words, count in reasons
    )


def _note(group: Group, row: Mapping[str, Any] | None) -> str:
    runs = several(group.rows["run"].n_unique(), "run")
    points = f"{several(group.rows.height, 'checkpoint')} of {runs}"
    if row is None:
        return f"{points}; several families"
    shape = f"{points}; {_shape(row)}"
    if row["threshold"] is None or row["shape"] not in BENDS:
        return shape
    return f"{shape}; threshold {_threshold_words(row)}"


def _shape(row: Mapping[str, Any]) -> str:
    return f"{row['shape']}, {OWN_LOSS}" if row["suspicion"] else row["shape"]


def _threshold_words(row: Mapping[str, Any]) -> str:
    return f"{number(row['threshold'])} ({_ends(row['threshold_low'], row['threshold_high'])})"


def _ends(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return "open on both sides"
    if low is None:
        return f"at most {number(high)}"
    return f"at least {number(low)}" if high is None else f"{number(low)} to {number(high)}"


def _same_line(row: Mapping[str, Any]) -> dict[str, Any]:
    known = row["slope_low"] is not None
    return {
        "family": row["family"],
        "task": row["task"],
        "metric": row["metric"],
        "points": f"{row['points']} / {row['runs']}",
        "slope": number(row["slope"]),
        "interval": f"{number(row['slope_low'])} to {number(row['slope_high'])}" if known else "",
        "margin": number(row["margin"]),
        "same": {True: "same", False: "not shown", None: ""}[row["same"]],
        "p": probability(row["p"]),
        "p_runs": probability(row["p_runs"]),
        "bh": probability(row["bh"]),
        "left_out": number(row["rmse_left_out"]),
        "residual": number(row["residual"]),
        "status": "" if row["status"] == "tested" else row["status"],
    }


def _threshold_line(row: Mapping[str, Any]) -> dict[str, Any]:
    rising = row["threshold"] is not None and row["shape"] in BENDS
    return {
        "family": row["family"],
        "task": row["task"],
        "metric": row["metric"],
        "shape": _shape(row),
        "chance": number(row["chance"]),
        "threshold": number(row["threshold"]) if rising else "",
        "interval": _ends(row["threshold_low"], row["threshold_high"]) if rising else "",
        "gap": number(row["bic_gap"]),
        "params": _reach(row, "params"),
        "flops": _reach(row, "flops"),
        "status": "" if row["status"] == "found" else row["status"],
    }


def _reach(row: Mapping[str, Any], axis: str) -> str:
    if row[axis] is None:
        return ""
    low, high = row[f"{axis}_low"], row[f"{axis}_high"]
    ends = (
        f"{scale(low, axis)} to {scale(high, axis) if high is not None else 'never'}" if low else ""
    )
    return f"{scale(row[axis], axis)} ({ends})" if ends else scale(row[axis], axis)
