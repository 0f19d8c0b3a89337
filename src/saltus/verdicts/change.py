"""Step 2, change: does the score rise with scale at all?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, stdtr

from saltus.curves.fit import rss_floor
from saltus.verdicts.measured import Measured


@dataclass(frozen=True)
class Slope:
    """A weighted straight line and its one-sided test.

    Args:
        slope: rise per unit of x, link units.
        statistic: slope over its standard error.
        p_value: one-sided p that the slope is not above 0.
    """

    slope: float
    statistic: float
    p_value: float


def slope_test(points: Measured, pooled: tuple[float, int] | None = None) -> Slope | None:
    """One-sided test that a weighted straight line rises.

    Args:
        points: the values; two are needed in mode K, three in mode U.
        pooled: mode U may borrow a residual variance and its degrees of freedom, which is
            used when there are at least as many as the line itself leaves.

    Returns:
        Normal in mode K, Student's t in mode U; None with too few points.
    """
    freedom = points.scales - 2
    if points.scales < 2 or (not points.known and freedom < 1):
        return None
    root = points.root
    middle = np.average(points.x, weights=root * root)
    run = root * (points.x - middle)
    spread = float(run @ run)
    values = root * (points.y - np.average(points.y, weights=root * root))
    slope = float(run @ values) / spread
    if points.known:
        return _slope(slope, slope * np.sqrt(spread), None)
    left = values - slope * run
    scatter = max(float(left @ left), rss_floor(values)) / freedom
    if pooled is not None and pooled[1] >= freedom:
        scatter, freedom = pooled
    return _slope(slope, slope * np.sqrt(spread / scatter), freedom)


def _slope(slope: float, statistic: float, freedom: int | None) -> Slope:
    tail = ndtr(-statistic) if freedom is None else stdtr(freedom, -statistic)
    return Slope(slope, float(statistic), float(tail))
