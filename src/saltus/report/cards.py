"""One card per family, prompt regime and task; one view in it per axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from saltus.report.chart import Chart
from saltus.report.series import Behind, chart_of
from saltus.report.text import number, slug
from saltus.report.vocabulary import AXES, Word, word
from saltus.verdicts.assemble import slices

Row = Mapping[str, Any]
Key = tuple[str | None, str | None, str | None]
KEY = ("family", "regime", "task")
GROUP = (*KEY, "axis", "slice")
ALIKE = {"LOSS_THRESHOLD": "BREAK"}


@dataclass(frozen=True)
class View:
    """One verdict and what it was read from.

    Args:
        row: the row of `Verdicts`.
        chart: its chart, None when no estimate of its metrics has a value.
        low: least value of the thresholded metric, None where there is none.
        high: greatest value.
        spark: (points,) the thresholded metric from 0 to 1 of its range, along the axis.
    """

    row: Row
    chart: Chart | None
    low: float | None
    high: float | None
    spark: tuple[float, ...]

    @property
    def word(self) -> Word:
        """How its verdict is shown."""
        return word(self.row["verdict"])

    @property
    def range(self) -> str:
        """The metric's values from least to greatest."""
        if self.low is None:
            return ""
        low, high = number(self.low), number(self.high)
        return low if low == high else f"{low} to {high}"


@dataclass(frozen=True)
class Card:
    """A family and task in one prompt regime.

    Args:
        number: place on the page, from 1.
        family: family.
        regime: prompt regime, None when not stated.
        task: task.
        views: one per axis, in the fixed order of axes.
        lead: place of the view that leads the card.
    """

    number: int
    family: str
    regime: str | None
    task: str
    views: tuple[View, ...]
    lead: int

    @property
    def leading(self) -> View:
        """The view that leads: the first axis that could be judged."""
        return self.views[self.lead]

    @property
    def comparable(self) -> bool:
        """Whether at least two axes could be judged."""
        return len(self._closed) > 1

    @property
    def agree(self) -> bool:
        """Whether the axes that could be judged give one verdict.

        A threshold in loss is a break on the axis of loss, so the two agree.
        """
        return len({ALIKE.get(verdict, verdict) for verdict in self._closed}) < 2

    @property
    def _closed(self) -> list[str]:
        forward = (view.row for view in self.views if not view.row["inverse"])
        return [row["verdict"] for row in forward if row["verdict"] != "INCONCLUSIVE"]

    def on(self, axis: str) -> View | None:
        """The view of an axis, None where there is none."""
        return next((view for view in self.views if view.row["axis"] == axis), None)

    @property
    def rank(self) -> int:
        """Place of its most notable verdict in the order of the vocabulary."""
        return min(view.word.rank for view in self.views)

    @property
    def open(self) -> bool:
        """Whether it stands open: a verdict that calls for a look, or an apparent jump."""
        return any(view.word.notable or view.row["apparent"] for view in self.views)

    @property
    def slug(self) -> str:
        """Name of its figure."""
        return slug(self.family, self.regime, self.task)


def cards(tables: Mapping[str, pl.DataFrame], models: Mapping[str, int]) -> list[Card]:
    """Every card, by family and regime, those with a verdict that calls for a look first.

    Args:
        tables: `verdicts`, `estimates`, `fits` and `bands` are read.
        models: number of each model label.
    """
    rows = _grouped(tables["estimates"], KEY)
    fits = _grouped(tables["fits"], GROUP)
    bands = _grouped(tables["bands"], GROUP)
    verdicts = _grouped(tables["verdicts"], KEY)
    made = []
    for key, own in sorted(verdicts.items(), key=_order):
        parts = _parts(rows.get(key))
        views = tuple(
            _view(row, parts, fits, bands, models)
            for row in sorted(own.to_dicts(), key=_axis_order)
        )
        family, regime, task = key
        made.append(Card(0, str(family), regime, str(task), views, _lead(views)))
    made.sort(key=lambda card: (card.family, card.regime or "", card.rank))
    return [replace(card, number=place) for place, card in enumerate(made, start=1)]


def _grouped(frame: pl.DataFrame, by: Sequence[str]) -> dict[Any, pl.DataFrame]:
    return frame.partition_by(list(by), as_dict=True, maintain_order=True)


def _order(pair: tuple[Key, pl.DataFrame]) -> tuple[str, ...]:
    return tuple(part or "" for part in pair[0])


def _axis_order(row: Row) -> tuple[int, bool, str]:
    place = list(AXES).index(row["axis"]) if row["axis"] in AXES else len(AXES)
    return place, bool(row["inverse"]), row["slice"]


def _parts(rows: pl.DataFrame | None) -> dict[tuple[str, str], pl.DataFrame]:
    """The estimates of each axis and slice, cut as the judge cut them."""
    if rows is None:
        return {}
    return {(part.axis, part.name): part.rows for part in slices(rows)}


def _view(
    row: Row,
    parts: Mapping[tuple[str, str], pl.DataFrame],
    fits: Mapping[Any, pl.DataFrame],
    bands: Mapping[Any, pl.DataFrame],
    models: Mapping[str, int],
) -> View:
    rows = parts.get((row["axis"], row["slice"]))
    if rows is None or rows.is_empty():
        return View(row, None, None, None, ())
    place = tuple(row[name] for name in GROUP)
    chart = chart_of(row, rows, Behind(fits.get(place), bands.get(place)), models)
    seen = rows.filter(
        pl.col("metric") == (row["metric"] or row["partner"]), pl.col("value").is_finite()
    )
    if seen.is_empty():
        return View(row, None, None, None, ())
    values = seen["value"].to_list()
    return View(row, chart, min(values), max(values), _spark(seen, row["axis"]))


def _spark(seen: pl.DataFrame, axis: str) -> tuple[float, ...]:
    means = seen.group_by(axis).agg(pl.col("value").mean()).sort(axis, descending=axis == "loss")
    line = means["value"].to_list()
    if len(line) < 2:
        return ()
    low, high = min(line), max(line)
    span = high - low
    return tuple((value - low) / span if span else 0.0 for value in line)


def _lead(views: Sequence[View]) -> int:
    """The first axis, in the fixed order, that could be judged; else the first."""
    closed = (place for place, view in enumerate(views) if view.row["verdict"] != "INCONCLUSIVE")
    return next(closed, 0)
