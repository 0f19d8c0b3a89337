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
from scipy.special import chdtrc

from saltus.curves.broken import broken_family
from saltus.curves.curve import Curve, FloatArray
from saltus.curves.fit import Design, Fit, best_point, design, fit_best, residual, rss_floor
from saltus.curves.smooth import smooth_families
from saltus.verdicts.measured import Measured

SCALES_KNOWN = 5
SCALES_UNKNOWN = 6
ENOUGH = 20  # exceedances after which more draws bring little
BATCH = 4_000  # draws held in memory at once when many are asked for
SMALL_PRODUCT = 2**18
LEAST_STEP = 64
FREE_SCALES = 4  # parameters of a broken curve, its place included
MISFIT = 0.05


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


class _Columns(NamedTuple):
    """A design as rows: `shared` orthonormal common columns, then one unit per grid point."""

    rows: FloatArray
    shared: int


class _Null(NamedTuple):
    """One smooth family fitted to the data, and what draws from it look like.

    Args:
        name: of the family.
        columns: its design.
        mean: (scales,) the fitted curve, whitened.
        scale: standard deviation of the whitened errors.
        rss: residual sum of squares of the fit.
    """

    name: str
    columns: _Columns
    mean: FloatArray
    scale: float
    rss: float


class _Setting(NamedTuple):
    """All that a bootstrap of the break test needs.

    Args:
        known: mode K compares differences of residual sums of squares, mode U ratios.
        best: the best broken curve.
        least: its residual sum of squares, kept above rounding.
        broken: the design of all broken curves.
        nulls: the smooth families.
    """

    known: bool
    best: Fit
    least: float
    broken: _Columns
    nulls: tuple[_Null, ...]


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
    setting = _setting(points)
    hits = _hits(setting, rng.standard_normal((points.scales, resamples)))
    p_values = (1.0 + hits) / (1.0 + resamples)
    if setting.best.parameters["change"] <= 0.0:
        p_values = np.ones_like(p_values)
    names = [null.name for null in setting.nulls]
    return BreakTest(
        dict(zip(names, p_values.tolist(), strict=True)),
        {null.name: null.rss for null in setting.nulls},
        setting.best,
    )


def refined_p_break(points: Measured, rng: np.random.Generator, most: int) -> float:
    """p_break of an upward break with more draws, as many as its size asks for.

    Draws until 20 exceed the data for some smooth family, then that family's p is known to
    about a quarter of itself (Besag and Clifford 1991, Biometrika 78(2)).

    Args:
        points: enough scales for a break test.
        rng: source of fresh draws.
        most: draws after which it stops in any case.
    """
    setting = _setting(points)
    hits, drawn = np.zeros(len(setting.nulls)), 0
    while drawn < most and hits.max() < ENOUGH:
        more = min(BATCH, most - drawn)
        hits += _hits(setting, rng.standard_normal((points.scales, more)))
        drawn += more
    return float((1.0 + hits.max()) / (1.0 + drawn))


def _setting(points: Measured) -> _Setting:
    """Fits of every family, and the designs whitened for the bootstrap."""
    weights = 1.0 / points.variance
    # Every curve has an intercept, so centring changes no residual; it saves digits.
    whitened = points.root * (points.y - np.average(points.y, weights=weights))
    best = fit_best(broken_family(), points.x, points.y, weights, points.axis)
    plan = design(broken_family(), points.x, weights, points.axis)
    least = max(best_point(plan, whitened)[1], rss_floor(whitened))
    nulls = tuple(
        _null(family, points, whitened, least) for family in smooth_families(points.scales)
    )
    return _Setting(points.known, best, least, _columns(plan), nulls)


def _null(family: Curve, points: Measured, whitened: FloatArray, least: float) -> _Null:
    plan = design((family,), points.x, 1.0 / points.variance, points.axis)
    point, rss = best_point(plan, whitened)
    freedom = points.scales - family.parameters
    scatter = _excess(points, least) if points.known else max(rss, least) / freedom
    scale = float(np.sqrt(scatter))
    return _Null(family.name, _columns(plan), _fitted(plan, point, whitened), scale, rss)


def _excess(points: Measured, least: float) -> float:
    """The factor by which the known variances are too small; 1 unless that is plain.

    Where even the best broken curve leaves more than chance would, either tau is too small
    or the truth is a smooth curve that no family can follow to within so little noise. With
    the variances as given, 1,000 items and tau = .02, smooth worlds were called broken in up
    to .23 of a cell (12 scales); with this factor in .04, at no loss of power.
    """
    freedom = points.scales - FREE_SCALES
    return least / freedom if chdtrc(freedom, least) < MISFIT else 1.0


def _columns(plan: Design) -> _Columns:
    return _Columns(np.concatenate([plan.common.T, plan.units]), plan.common.shape[1])


def _fitted(plan: Design, point: int, whitened: FloatArray) -> FloatArray:
    """(scales,) the fitted curve at one grid point, whitened."""
    rest = residual(plan.common, whitened)
    unit = plan.units[point]
    fitted: FloatArray = whitened - rest + (unit @ rest) * unit
    return fitted


def _hits(setting: _Setting, errors: FloatArray) -> FloatArray:
    """(smooth families,) draws that favour a break at least as much as the data do.

    Args:
        setting: the fits.
        errors: (scales, draws) standard normal errors.
    """
    scales, draws = errors.shape
    # Larger products would wake the threads of the BLAS, which cost more than they bring.
    step = max(LEAST_STEP, SMALL_PRODUCT // (setting.broken.rows.shape[0] * scales))
    hits = np.zeros(len(setting.nulls))
    for start in range(0, draws, step):
        part = errors[:, start : start + step]
        squares = np.einsum("ij,ij->j", part, part)
        broken = setting.broken.rows @ part
        hits += [_exceeding(setting, null, part, squares, broken) for null in setting.nulls]
    return hits


def _exceeding(
    setting: _Setting, null: _Null, errors: FloatArray, squares: FloatArray, broken: FloatArray
) -> int:
    """Draws `mean + scale * errors` whose break is upward and as clear as that of the data.

    Args:
        setting: the fits.
        null: the smooth family that is drawn from.
        errors: (scales, draws).
        squares: (draws,) their squared lengths.
        broken: (rows, draws) their projections on the design of the broken curves.
    """
    crossed = 2.0 * null.scale * (null.mean @ errors)
    total = float(null.mean @ null.mean) + crossed + null.scale**2 * squares
    smooth, _ = _least(null.columns, null, null.columns.rows @ errors, total)
    rough, upward = _least(setting.broken, null, broken, total)
    rss = max(null.rss, setting.least)
    if setting.known:
        beyond = smooth - rough >= rss - setting.least
    else:  # the logarithm is monotone, so the ratios do
        beyond = smooth * setting.least >= rss * rough
    return int(np.count_nonzero(beyond & upward))


def _least(
    design: _Columns, null: _Null, projections: FloatArray, total: FloatArray
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """(draws,) smallest residual sum of squares, and whether its change is upward."""
    projected = null.scale * projections
    projected += (design.rows @ null.mean)[:, None]
    common, varying = projected[: design.shared], projected[design.shared :]
    most, least = varying.max(axis=0), varying.min(axis=0)
    left = total - np.einsum("ij,ij->j", common, common)
    return left - np.square(np.maximum(most, -least)), most > -least
