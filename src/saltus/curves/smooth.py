"""The smooth families F1 to F4: what a break has to be told from.

"Smooth" is relative to these families on the stated link, so the p-value of each is
reported. F4 is needed only on dense designs (more than 12 scales), where F1 to F3 reject
smooth margins too often; on sparser ones it would cost half of the power.
"""

from __future__ import annotations

import numpy as np

from saltus.curves.curve import Curve, FloatArray, curve

INF = float("inf")
RATES_PER_DECADE = np.array([0.15, 0.25, 0.35, 0.5, 0.7, 1.0])
RATES_OVER_RANGE = np.array([1.0, 1.7, 2.4, 3.5, 4.8, 6.9])
STEEPNESS = np.array([3.0, 4.5, 6.5, 9.0, 13.0])
MIDPOINTS = np.array([0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.15, 1.4])
DENSE = 12


def smooth_families(scales: int) -> tuple[Curve, ...]:
    """The smooth families that a design of this many scales is tested against."""
    families = (line, quadratic, floor_exponential)
    return families if scales <= DENSE else (*families, floor_logistic)


def exponential_rates(x: FloatArray, axis: str) -> dict[str, FloatArray]:
    """Rates per decade on a log10 axis; rates that span the same shapes on the loss axis.

    On log10 axes a rate of at most 1 per decade means a margin that grows no faster than in
    proportion to the axis. The loss has no decades, so there the dimensionless rates
    kappa = rate ln(10) (x_S - x_1) of the same curves over three decades are used.
    """
    if axis != "loss":
        return {"rate": RATES_PER_DECADE}
    return {"rate": RATES_OVER_RANGE / (np.log(10.0) * (x[-1] - x[0]))}


def logistic_grid(x: FloatArray, axis: str) -> dict[str, FloatArray]:
    """Steepness and midpoint with a 10-90 % width of at least a third of the range."""
    span = x[-1] - x[0]
    steepness, midpoint = np.meshgrid(STEEPNESS / span, x[0] + span * MIDPOINTS, indexing="ij")
    return {"steepness": steepness.ravel(), "midpoint": midpoint.ravel()}


@curve(
    shape="smooth",
    linear=("intercept", "slope"),
    bounds={"intercept": (-INF, INF), "slope": (-INF, INF)},
    question="Does the score grow by the same amount per decade throughout?",
    source="Schaeffer, Miranda, Koyejo (2023), arXiv 2304.15004, sec. 2: a power law on its link",
)
def line(x: FloatArray, intercept: float, slope: float) -> FloatArray:
    """F1, a straight line: a power law of the per-token loss on the log-log link.

    Args:
        x: (scales,) log10 of the axis, or minus the loss in nats.
        intercept: value at x = 0, link units.
        slope: rise per unit of x.
    """
    return intercept + slope * x


@curve(
    shape="smooth",
    linear=("intercept", "slope", "curvature"),
    bounds={"intercept": (-INF, INF), "slope": (-INF, INF), "curvature": (-INF, INF)},
    question="Does growth speed up or slow down evenly?",
    source="second order expansion of any smooth curve on the link scale",
)
def quadratic(x: FloatArray, intercept: float, slope: float, curvature: float) -> FloatArray:
    """F2, a parabola.

    Args:
        x: (scales,) log10 of the axis, or minus the loss in nats.
        intercept: value at x = 0, link units.
        slope: rise per unit of x at x = 0.
        curvature: half of the second derivative.
    """
    return intercept + slope * x + curvature * np.square(x)


@curve(
    shape="smooth",
    linear=("floor", "gain"),
    bounds={"floor": (-INF, INF), "gain": (-INF, INF), "rate": (0.0, INF)},
    grid=exponential_rates,
    question="Does a margin grow like a power of scale from a floor?",
    source="margin growing like a power of scale; Ruan et al. (2024), arXiv 2405.10938, "
    "and Gadre et al. (2024), arXiv 2403.08540, use the same shape",
)
def floor_exponential(x: FloatArray, floor: float, gain: float, rate: float) -> FloatArray:
    """F3, a floor plus a power of the axis: smooth, yet flat-then-rising to the eye.

    Args:
        x: (scales,) log10 of the axis, or minus the loss in nats.
        floor: limit at small scale, link units.
        gain: factor of the power, link units at x = 0.
        rate: exponent per unit of x, base 10.
    """
    return floor + gain * np.power(10.0, rate * x)


@curve(
    shape="smooth",
    linear=("floor", "height"),
    bounds={
        "floor": (-INF, INF),
        "height": (-INF, INF),
        "steepness": (0.0, INF),
        "midpoint": (-INF, INF),
    },
    grid=logistic_grid,
    question="Does the score follow one wide sigmoid?",
    source="Bhagia et al. (2024), arXiv 2412.04403, step 2 (model ladder), steepness bounded",
)
def floor_logistic(
    x: FloatArray, floor: float, height: float, steepness: float, midpoint: float
) -> FloatArray:
    """F4, a floor plus a logistic of bounded steepness.

    Args:
        x: (scales,) log10 of the axis, or minus the loss in nats.
        floor: lower limit, link units.
        height: upper limit less lower limit, link units.
        steepness: logistic rate per unit of x.
        midpoint: x at half height.
    """
    return floor + height / (1.0 + np.exp(-steepness * (x - midpoint)))
