"""The measured error rates that ship with Saltus, looked up by the design of an audit.

`calibration.csv` is the table that `saltus calibrate` makes, pooled over the worlds of one
truth and over the model noise; docs/calibration.md shows it in full.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from math import log

import polars as pl

FEWEST_SCALES = {"U": 6, "K": 5}  # with fewer there is no break test
MOST_SCALES = 16  # beyond, another smooth family enters the test


@dataclass(frozen=True)
class Share:
    """How often one verdict was given to simulated families of one truth."""

    count: int
    audits: int

    @property
    def rate(self) -> float:
        """The share, 0 to 1."""
        return self.count / self.audits


@dataclass(frozen=True)
class Rates:
    """Error rates and power in simulated families of about the same design.

    Args:
        scales: scales S of the simulated families.
        items: items n of these; None: pooled over 50 to 1,000.
        noise: mode K (tau known) or U.
        break_smooth: BREAK given to smooth families, the false-alarm rate.
        break_none: BREAK given to families that do not depend on scale.
        break_break: BREAK given to families that break, the power.
        artefact_smooth: METRIC_ARTEFACT given to smooth families.
        artefact_none: METRIC_ARTEFACT given to families that do not depend on scale.
        artefact_break: METRIC_ARTEFACT given to families that break, an error.
    """

    scales: int
    items: int | None
    noise: str
    break_smooth: Share
    break_none: Share
    break_break: Share
    artefact_smooth: Share
    artefact_none: Share
    artefact_break: Share


def summary(table: pl.DataFrame) -> pl.DataFrame:
    """The small table that ships: counts by truth, scales, items and noise mode.

    Args:
        table: what `calibrate` returned.

    Returns:
        truth, scales, items, noise, audits, breaks, artefacts; pooled over worlds and tau.
    """
    keys = ("truth", "scales", "items", "noise")
    verdict, count = pl.col("verdict"), pl.col("count")
    return (
        table.group_by(keys)
        .agg(
            count.sum().alias("audits"),
            count.filter(verdict == "BREAK").sum().alias("breaks"),
            count.filter(verdict == "METRIC_ARTEFACT").sum().alias("artefacts"),
        )
        .sort(keys)
    )


def rates_for(scales: int, items: int | None, noise: str) -> Rates | None:
    """The rates measured for the design nearest to that of an audit.

    Args:
        scales: scales of the audit.
        items: its items; None: not known, the rates are pooled over items.
        noise: "U" or "K".

    Returns:
        Rates at the nearest S and (on a log scale) the nearest n, or None where no
        simulated design is near: too few scales for a break test, or more than 16.
    """
    counts = _counts()
    if noise not in FEWEST_SCALES or not FEWEST_SCALES[noise] <= scales <= MOST_SCALES:
        return None
    rows = [row for row in counts if row["noise"] == noise]
    if not rows or (items is not None and items < 1):
        return None
    near = min({int(row["scales"]) for row in rows}, key=lambda known: abs(known - scales))
    rows = [row for row in rows if int(row["scales"]) == near]
    sizes = {int(row["items"]) for row in rows}
    like = None if items is None else min(sizes, key=lambda known: abs(log(known / items)))
    rows = [row for row in rows if like in (None, int(row["items"]))]
    shares = {
        f"{name}_{truth}": _share(rows, truth, column)
        for name, column in (("break", "breaks"), ("artefact", "artefacts"))
        for truth in ("smooth", "none", "break")
    }
    return Rates(near, like, noise, **shares)


@lru_cache(maxsize=1)
def _counts() -> tuple[dict[str, str], ...]:
    text = files("saltus.verdicts").joinpath("calibration.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


def _share(rows: list[dict[str, str]], truth: str, column: str) -> Share:
    of_truth = [row for row in rows if row["truth"] == truth]
    return Share(
        sum(int(row[column]) for row in of_truth), sum(int(row["audits"]) for row in of_truth)
    )
