"""Step 3, the break test: is every smooth family rejected in favour of a hinge or a jump?

For each smooth family F the statistic compares its residual sum of squares with that of
the best broken curve B: ln(RSS_F / RSS_B) in mode U, RSS_F - RSS_B in mode K. It counts
only when the fitted change is upward. The place of a break is not identified under the null
hypothesis (Davies 1987), so the p-value comes from a parametric bootstrap from the fitted
F, refitting F and B (Hansen 1996). A break is claimed only if every family is rejected
(intersection-union test): p_break is the largest p.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from saltus.curves.broken import broken_family
from saltus.curves.curve import FloatArray
from saltus.curves.fit import Design, Fit, best_point, design, fit_best, residual, rss_floor
from saltus.curves.smooth import smooth_families
from saltus.verdicts.measured import Measured

SCALES_KNOWN = 5
SCALES_UNKNOWN = 6


@dataclass(frozen=True)
class BreakTest:
    """The outcome of step 3.

    Args:
        p_smooth: bootstrap p-value of each smooth family, by name.
        rss_smooth: weighted residual sum of squares of each, by name.
        best: the best broken curve.
    """

    p_smooth: dict[str, float]
    rss_smooth: dict[str, float]
    best: Fit

    @property
    def p_break(self) -> float:
        """The largest p over the smooth families."""
        return max(self.p_smooth.values())

    @property
    def knot(self) -> float:
        """Place of the best break on the axis."""
        return self.best.parameters["knot"]

    @property
    def upward(self) -> bool:
        """Whether improvement accelerates at the break."""
        return self.best.parameters["change"] > 0.0


class _Projected(NamedTuple):
    """A design and the projections of the bootstrap errors on its columns.

    Args:
        columns: (columns, scales) orthonormal common columns, then one unit per grid point.
        shared: how many of them are common.
        errors: (columns, draws) projections of standard normal errors.
    """

    columns: FloatArray
    shared: int
    errors: FloatArray


class _Draws(NamedTuple):
    """Draws from one fitted smooth family: `mean + scale * errors`, whitened.

    Args:
        mean: (scales,) the fitted family.
        scale: standard deviation of the errors.
        total: (draws,) squared length of every draw.
    """

    mean: FloatArray
    scale: float
    total: FloatArray


def enough_scales(points: Measured) -> bool:
    """Whether the design carries a break test in its noise mode."""
    return points.scales >= (SCALES_KNOWN if points.known else SCALES_UNKNOWN)


def break_test(points: Measured, rng: np.random.Generator, resamples: int) -> BreakTest | None:
    """The break test, or None with too few scales.

    Args:
        points: at least 6 scales in mode U, 5 in mode K.
        rng: source of the bootstrap errors.
        resamples: draws R; the smallest p-value is 1 / (1 + R).
    """
    if not enough_scales(points):
        return None
    weights = 1.0 / points.variance
    # Every curve has an intercept, so centring changes no residual; it saves digits.
    whitened = points.root * (points.y - np.average(points.y, weights=weights))
    errors = rng.standard_normal((points.scales, resamples))
    best = fit_best(broken_family(), points.x, points.y, weights, points.axis)
    plan = design(broken_family(), points.x, weights, points.axis)
    least = max(best_point(plan, whitened)[1], rss_floor(whitened))
    broken = _project(plan, errors)
    p_smooth, rss_smooth = {}, {}
    for family in smooth_families(points.scales):
        plan = design((family,), points.x, weights, points.axis)
        point, rss = best_point(plan, whitened)
        rss_smooth[family.name] = rss
        floored = max(rss, least)
        freedom = points.scales - family.parameters
        scale = 1.0 if points.known else float(np.sqrt(floored / freedom))
        draws = _draw(_fitted(plan, point, whitened), scale, errors)
        smooth, _ = _least(_project(plan, errors), draws)
        rough, upward = _least(broken, draws)
        beyond = _beyond(smooth, rough, floored, least, points.known)
        hits = np.count_nonzero(beyond & upward)
        p_smooth[family.name] = float(1 + hits) / (1 + resamples)
    if best.parameters["change"] <= 0.0:
        p_smooth = dict.fromkeys(p_smooth, 1.0)
    return BreakTest(p_smooth, rss_smooth, best)


def _beyond(
    smooth: FloatArray, rough: FloatArray, rss: float, least: float, known: bool
) -> NDArray[np.bool_]:
    """(draws,) whether a draw favours the broken curve at least as much as the data do.

    Args:
        smooth: (draws,) residual sum of squares of the smooth family, refitted.
        rough: (draws,) that of the best broken curve, refitted.
        rss: that of the smooth family on the data.
        least: that of the best broken curve on the data.
        known: mode K compares differences, mode U ratios (the logarithm is monotone).
    """
    if known:
        return np.asarray(smooth - rough >= rss - least)
    return np.asarray(smooth * least >= rss * rough)


def _fitted(plan: Design, point: int, whitened: FloatArray) -> FloatArray:
    """(scales,) the fitted curve at one grid point, whitened."""
    rest = residual(plan.common, whitened)
    unit = plan.units[point]
    fitted: FloatArray = whitened - rest + (unit @ rest) * unit
    return fitted


def _draw(mean: FloatArray, scale: float, errors: FloatArray) -> _Draws:
    crossed = 2.0 * scale * (mean @ errors)
    squares = np.einsum("ij,ij->j", errors, errors)
    return _Draws(mean, scale, float(mean @ mean) + crossed + scale**2 * squares)


def _project(plan: Design, errors: FloatArray) -> _Projected:
    columns = np.concatenate([plan.common.T, plan.units])
    return _Projected(columns, plan.common.shape[1], columns @ errors)


def _least(plan: _Projected, draws: _Draws) -> tuple[FloatArray, NDArray[np.bool_]]:
    """(draws,) smallest residual sum of squares, and whether its change is upward."""
    projected = draws.scale * plan.errors
    projected += (plan.columns @ draws.mean)[:, None]
    common, varying = projected[: plan.shared], projected[plan.shared :]
    most, least = varying.max(axis=0), varying.min(axis=0)
    left = draws.total - np.einsum("ij,ij->j", common, common)
    return left - np.square(np.maximum(most, -least)), most > -least
