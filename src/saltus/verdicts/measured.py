"""The points that one test works on: finite values with variances, and the noise mode.

Mode K ("known"): the variance of a point is its sampling variance plus tau squared, the
model noise measured outside. Mode U ("unknown"): the variances hold up to one unknown
factor, which every test estimates from its own residuals. Unknown model noise is the main
enemy: with sampling errors alone all tests would find too much.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from saltus.verdicts.series import FloatArray, Series

NO_VARIANCE = 1e-12


@dataclass(frozen=True)
class Measured:
    """Values of one metric on the scale on which lines are fitted.

    Args:
        axis: params, tokens, flops or loss.
        x: (scales,) strictly increasing.
        y: (scales,) higher is better, all finite.
        variance: (scales,) of y, positive; up to a factor in mode U.
        known: whether the variances are complete (mode K).
        dropped: scales left out because the value is missing.
    """

    axis: str
    x: FloatArray
    y: FloatArray
    variance: FloatArray
    known: bool
    dropped: int

    @property
    def scales(self) -> int:
        """Number of points."""
        return self.x.size

    @property
    def root(self) -> FloatArray:
        """(scales,) roots of the weights: what whitens values and designs."""
        return 1.0 / np.sqrt(self.variance)

    def up_to(self, place: float) -> Measured:
        """The points at or below a place on the axis."""
        keep = self.x <= place
        return Measured(
            self.axis, self.x[keep], self.y[keep], self.variance[keep], self.known, self.dropped
        )


def partner_points(series: Series, sign: float = 1.0) -> Measured:
    """The continuous metric of a series.

    Args:
        series: what is judged.
        sign: -1 turns the scores over, to look for inverse scaling.

    Returns:
        In mode K when tau and every sampling variance are known; unweighted and in mode U
        when a variance is missing.
    """
    kept = np.isfinite(series.z) & np.isfinite(series.x) & (series.partner is not None)
    variance = series.variance[kept]
    whole = bool(np.isfinite(variance).all())
    positive = _positive(variance) if whole else np.ones(variance.size)
    tau = series.tau
    known = whole and tau is not None and bool(np.isfinite(tau)) and _noisy(variance, tau)
    if known and tau is not None:
        positive = positive + tau * tau
    dropped = int(series.z.size - np.count_nonzero(kept)) if series.partner else 0
    return Measured(series.axis, series.x[kept], sign * series.z[kept], positive, known, dropped)


def rate_points(series: Series, sign: float = 1.0) -> Measured:
    """The thresholded metric itself, chance-corrected where chance is known; always mode U.

    Binomial weights use (k + 1) / (n + 2), which is never 0 or 1; without the number of
    items the points are unweighted.
    """
    kept = np.isfinite(series.rate) & np.isfinite(series.x) & (series.metric is not None)
    rate, items, successes = series.rate[kept], series.items[kept], series.successes[kept]
    chance = series.chance if knows_chance(series) else 0.0
    variance = np.ones(rate.size)
    if knows_items(series) and rate.size:
        shrunk = (successes + 1.0) / (items + 2.0)
        variance = shrunk * (1.0 - shrunk) / items
    dropped = int(series.rate.size - np.count_nonzero(kept)) if series.metric else 0
    corrected = sign * (rate - chance) / (1.0 - chance)
    return Measured(series.axis, series.x[kept], corrected, variance, False, dropped)


def knows_items(series: Series) -> bool:
    """Whether every scale with a rate has its number of items and successes."""
    kept = np.isfinite(series.rate) & np.isfinite(series.x)
    items, successes = series.items[kept], series.successes[kept]
    with_items = np.isfinite(items) & (items > 0.0) & np.isfinite(successes)
    return bool(with_items.all() and kept.any())


def knows_chance(series: Series) -> bool:
    """Whether the chance level is a number below 1."""
    return bool(np.isfinite(series.chance)) and 0.0 <= series.chance < 1.0


def _positive(variance: FloatArray) -> FloatArray:
    """Zero variances replaced by the smallest positive one, or by a tiny constant."""
    above = variance[variance > 0.0]
    return np.where(variance > 0.0, variance, above.min() if above.size else NO_VARIANCE)


def _noisy(variance: FloatArray, tau: float) -> bool:
    """Whether there is any noise to know: else only the residuals can tell it."""
    return tau > 0.0 or bool((variance > 0.0).any())
