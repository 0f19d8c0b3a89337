"""The smooth-null band: what would have been seen if the continuous metric had no break.

The best smooth curve through the continuous metric is pushed through the observed relation
between the two metrics and through the number of items. Points inside the band need no
emergence to explain them; the band is drawn behind them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from scipy import optimize, special

from saltus.curves.broken import broken_family
from saltus.curves.curve import CURVES
from saltus.curves.fit import Fit, fit, fit_best
from saltus.curves.smooth import smooth_families
from saltus.tables import Bands, conform, schema
from saltus.verdicts.judge import generator, seed_words
from saltus.verdicts.measured import Measured, partner_points
from saltus.verdicts.series import FloatArray, Series

DRAWS = 2000
PLACES = 33
TAILS = (0.025, 0.5, 0.975)
BROKEN_PARAMETERS = 4
SCALES = 4  # fewer leave no residual to measure the noise by


def bands(series: Sequence[Series], rng: np.random.Generator) -> pl.DataFrame:
    """The band of every series that has both metrics, its items and enough scales.

    Args:
        series: families, tasks and axes.
        rng: its next words are the seed, as in `judge`.

    Returns:
        Table `Bands`.
    """
    seed = seed_words(rng)
    rows = [_row(one, generator(one, seed, "band")) for one in series]
    kept = [row for row in rows if row is not None]
    return conform(pl.DataFrame(kept, schema=schema(Bands)), Bands)


class Relation(NamedTuple):
    """How the rate follows the link-scale value: rate = c + (1 - c) response(a + b z)."""

    gain: str
    chance: float
    level: float
    slope: float

    def rate(self, z: FloatArray) -> FloatArray:
        """The expected rate at link-scale values."""
        eta = np.clip(self.level + self.slope * z, -30.0, 30.0)
        # the paper's Acc = p^L is exp(-exp(ln L - z)) on this link
        response = np.exp(-np.exp(-eta)) if self.gain == "exp_exp" else special.expit(eta)
        return self.chance + (1.0 - self.chance) * response


def relation(series: Series) -> Relation | None:
    """The relation that makes the observed counts most likely; None when there is none."""
    use = np.isfinite(series.z) & np.isfinite(series.successes) & np.isfinite(series.items)
    if use.sum() < SCALES or not np.isfinite(series.chance):
        return None
    z, k, n = series.z[use], series.successes[use], series.items[use]
    centre, width = float(z.mean()), float(z.std()) or 1.0

    def fault(parameters: FloatArray) -> float:
        level, slope = parameters
        found = Relation(series.gain, series.chance, level, slope).rate((z - centre) / width)
        found = np.clip(found, 1e-9, 1 - 1e-9)
        return -float(np.sum(k * np.log(found) + (n - k) * np.log1p(-found)))

    starts = [np.array([level, slope]) for level in (-2.0, 0.0, 2.0) for slope in (0.5, 2.0)]
    attempts = [optimize.minimize(fault, start, method="BFGS") for start in starts]
    level, slope = (float(value) for value in min(attempts, key=lambda found: found.fun).x)
    return Relation(series.gain, series.chance, level - slope * centre / width, slope / width)


def _row(series: Series, rng: np.random.Generator) -> dict[str, Any] | None:
    if series.metric is None or series.partner is None:
        return None
    points = partner_points(series)
    found = relation(series) if points.scales >= SCALES else None
    smooth = best_smooth(points) if found else None
    if found is None or smooth is None:
        return None
    places = np.linspace(points.x[0], points.x[-1], PLACES)
    low, median, high = _quantiles(series, points, smooth, found, places, rng)
    seen = np.isfinite(series.rate)
    ends = _quantiles(series, points, smooth, found, series.x[seen], rng)
    inside = (ends[0] <= series.rate[seen]) & (series.rate[seen] <= ends[2])
    return {
        "family": series.family,
        "regime": series.regime,
        "task": series.task,
        "axis": series.axis,
        "slice": series.slice,
        "metric": series.metric,
        "partner": series.partner,
        "curve": smooth.curve,
        "x": places.tolist(),
        "low": low.tolist(),
        "median": median.tolist(),
        "high": high.tolist(),
        "inside": int(inside.sum()),
        "scales": int(seen.sum()),
    }


def best_smooth(points: Measured) -> Fit | None:
    """The smooth curve with the least residual variance; None when none can be fitted."""
    weights = 1.0 / points.variance
    attempts = [
        fit(curve, points.x, points.y, weights, points.axis)
        for curve in smooth_families(points.scales)
        if points.scales > curve.parameters
    ]
    done = [attempt for attempt in attempts if attempt.converged]
    if not done:
        return None
    return min(done, key=lambda attempt: attempt.rss / _freedom(attempt, points))


def _freedom(found: Fit, points: Measured) -> int:
    return points.scales - CURVES[found.curve].parameters


def _scatter(smooth: Fit, points: Measured) -> float:
    """Noise as a multiple of the variances, mode U.

    Read off the broken curve where that leaves less: a misfit of the smooth curve is what
    the band is to show, and must not widen it.
    """
    scatter = smooth.rss / _freedom(smooth, points)
    broken = fit_best(broken_family(), points.x, points.y, 1.0 / points.variance, points.axis)
    freedom = points.scales - BROKEN_PARAMETERS
    if not broken.converged or freedom < 1:
        return scatter
    return min(scatter, broken.rss / freedom)


def _quantiles(
    series: Series,
    points: Measured,
    smooth: Fit,
    found: Relation,
    places: FloatArray,
    rng: np.random.Generator,
) -> FloatArray:
    """(3, places) quantiles of the rate that would be observed at places on the axis."""
    centre = CURVES[smooth.curve].compute(places, **smooth.parameters)
    # noise between observed scales is read off the nearest ones
    variance = np.interp(places, points.x, points.variance)
    scale = 1.0 if points.known else _scatter(smooth, points)
    noise = np.sqrt(variance * scale) * rng.standard_normal((DRAWS, places.size))
    rate = np.clip(found.rate(centre + noise), 0.0, 1.0)
    known = np.isfinite(series.items)
    items = np.round(np.interp(places, series.x[known], series.items[known])).astype(int)
    seen = rng.binomial(items, rate) / items
    return np.asarray(np.quantile(seen, TAILS, axis=0), dtype=float)
