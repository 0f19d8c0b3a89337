"""The interval of the threshold: the sup test inverted over the places of the break.

All places t with RSS(t) <= RSS_min (1 + F / nu), F the 95 % quantile of F(1, nu) (Hansen
2000, Econometrica 68(3), for the idea). At every place the hinge may be sharp or slightly
rounded: a hinge of the latent margin or loss bends softly on the link of the averaged score
(probabilities are convex in the margin near chance, items differ in difficulty), so the best
sharp hinge lies beyond the true threshold. With sharp hinges alone the set covered .90 of
simulated thresholds with 8 or 12 scales, .83 with 48, and as little as .73 for token losses
with 1,000 items; with the rounded ones .91 to .96 on all of these, at widths a fifth larger
(docs/calibration.md). This stands in place of the 99 % quantile above 12 scales of
science.md 4.6a, which covers less at the same width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.special import chdtri, fdtri

from saltus.curves.broken import hinge, jump, jump_knots, two_sided
from saltus.curves.curve import Curve, FloatArray
from saltus.curves.fit import design, residual, rss_floor
from saltus.verdicts.measured import Measured

FINE = 40
FREE_SCALES = 4
TAIL = 0.05
ROUNDING = 1.15  # power of the distance beyond the knot; 1.1 to 1.25 cover alike


@dataclass(frozen=True)
class Threshold:
    """A place on the axis and its interval; None marks an open end."""

    place: float
    low: float | None
    high: float | None


class _Places(NamedTuple):
    """Candidate places: where each starts and ends, what it leaves, and the outer ones."""

    starts: FloatArray
    ends: FloatArray
    rss: FloatArray
    first: float
    last: float


def threshold_interval(points: Measured, knot: float) -> Threshold:
    """The interval of the break's place.

    Args:
        points: at least 5 scales (mode K) or 6 (mode U).
        knot: place of the best break.

    Returns:
        The hull of the accepted places. A jump stands for the whole gap between its two
        scales. An end that reaches the first or last candidate is open.
    """
    places = _candidates(points)
    accepted = places.rss <= _limit(points, float(places.rss.min()))
    # The knot comes from a coarser grid than the set, so it may just miss it.
    low = min(float(places.starts[accepted].min()), knot)
    high = max(float(places.ends[accepted].max()), knot)
    return Threshold(
        knot,
        None if low <= places.first else low,
        None if high >= places.last else high,
    )


def _candidates(points: Measured) -> _Places:
    """Hinges on a fine grid and jumps in every gap, with their residual sums of squares."""
    x = points.x
    knots = two_sided(x, np.linspace(x[1], x[-2], FINE * (x.size - 3) + 1))
    gaps = jump_knots(x, points.axis)["knot"]
    left = np.searchsorted(x, gaps) - 1
    sharp = replace(hinge, grid=lambda x, axis: {"knot": knots})
    hinges = np.minimum(_rss(points, sharp), _rss(points, replace(sharp, compute=_rounded)))
    return _Places(
        np.concatenate([knots, x[left]]),
        np.concatenate([knots, x[left + 1]]),
        np.concatenate([hinges, _rss(points, jump)]),
        float(knots[0]),
        float(knots[-1]),
    )


def _rounded(
    x: FloatArray, intercept: float, slope: float, change: float, knot: float
) -> FloatArray:
    """A hinge that starts softly."""
    return intercept + slope * x + change * np.maximum(x - knot, 0.0) ** ROUNDING


def _rss(points: Measured, broken: Curve) -> FloatArray:
    """(places,) residual sum of squares at every place."""
    plan = design((broken,), points.x, 1.0 / points.variance, points.axis)
    whitened = points.root * (points.y - points.y.mean())
    rest = residual(plan.common, whitened)
    left = float(rest @ rest) - np.square(plan.units @ rest)
    return np.maximum(left, rss_floor(whitened))


def _limit(points: Measured, least: float) -> float:
    if points.known:
        return least + float(chdtri(1, TAIL))
    freedom = points.scales - FREE_SCALES
    return least * (1.0 + float(fdtri(1, freedom, 1.0 - TAIL)) / freedom)
