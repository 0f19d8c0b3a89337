"""The broken curves: a straight line with a hinge, or with a jump, at one place.

Under "no break" the place is not identified (Davies 1987), so their fits are compared with
smooth ones by a sup statistic and a bootstrap, never by a chi-squared or F table.
"""

from __future__ import annotations

import numpy as np

from saltus.curves.curve import Curve, FloatArray, curve

INF = float("inf")
KNOTS_PER_GAP = 4
EDGE = 2


def broken_family() -> tuple[Curve, ...]:
    """The alternatives that the break test takes the best of."""
    return (hinge, jump)


def two_sided(x: FloatArray, knots: FloatArray) -> FloatArray:
    """The knots with at least two scales at or below and at least two above them."""
    below = np.count_nonzero(x <= knots[:, None], axis=1)
    return np.asarray(knots[(below >= EDGE) & (x.size - below >= EDGE)])


def hinge_knots(x: FloatArray, axis: str) -> dict[str, FloatArray]:
    """A grid of 4 (S - 3) + 1 knots between the second and the last but one scale."""
    inner = x[1:-1] if x.size > EDGE else x[:0]
    count = KNOTS_PER_GAP * (x.size - 3) + 1
    knots = np.linspace(inner[0], inner[-1], count) if count > 0 else inner
    return {"knot": two_sided(x, knots)}


def jump_knots(x: FloatArray, axis: str) -> dict[str, FloatArray]:
    """The midpoints between neighbours, two scales at least on each side."""
    return {"knot": two_sided(x, (x[:-1] + x[1:]) / 2.0)}


BOUNDS = {
    "intercept": (-INF, INF),
    "slope": (-INF, INF),
    "change": (-INF, INF),
    "knot": (-INF, INF),
}


@curve(
    shape="broken",
    linear=("intercept", "slope", "change"),
    bounds=BOUNDS,
    grid=hinge_knots,
    question="Does growth change its pace at one scale?",
    source="Muggeo (2003), Statistics in Medicine 22(19), sec. 2",
)
def hinge(x: FloatArray, intercept: float, slope: float, change: float, knot: float) -> FloatArray:
    """A straight line whose slope changes at a knot.

    Args:
        x: (scales,) log10 of the axis, or minus the loss in nats.
        intercept: value of the first line at x = 0, link units.
        slope: rise per unit of x up to the knot.
        change: slope added after the knot.
        knot: place of the change.
    """
    return intercept + slope * x + change * np.maximum(x - knot, 0.0)


@curve(
    shape="broken",
    linear=("intercept", "slope", "change"),
    bounds=BOUNDS,
    grid=jump_knots,
    question="Does the score step up between two scales?",
    source="Andrews (1993), Econometrica 61(4), level shift at an unknown place",
)
def jump(x: FloatArray, intercept: float, slope: float, change: float, knot: float) -> FloatArray:
    """A straight line that is lifted beyond a knot.

    Args:
        x: (scales,) log10 of the axis, or minus the loss in nats.
        intercept: value of the line at x = 0, link units.
        slope: rise per unit of x on both sides.
        change: lift after the knot, link units.
        knot: place of the change.
    """
    return intercept + slope * x + change * (x > knot)
