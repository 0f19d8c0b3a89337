"""Closed-form and exact intervals of means. Arrays in, arrays out; NaN where undefined."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

FloatArray = NDArray[np.float64]


class Interval(NamedTuple):
    """Lower and upper ends, of the shape of the arguments."""

    low: FloatArray
    high: FloatArray


def _z(level: float) -> float:
    return float(special.ndtri(0.5 + level / 2))


def wilson(successes: ArrayLike, items: ArrayLike, level: float = 0.95) -> Interval:
    """Wilson score interval of a proportion.

    Source: Wilson (1927), Journal of the American Statistical Association 22(158).
    """
    k, n = np.asarray(successes, float), np.asarray(items, float)
    z = _z(level)
    centre = (k + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * np.sqrt(k * (n - k) / n + z * z / 4)
    return Interval(centre - half, centre + half)


def clopper_pearson(successes: ArrayLike, items: ArrayLike, level: float = 0.95) -> Interval:
    """Exact interval of a proportion.

    Source: Clopper and Pearson (1934), Biometrika 26(4).
    """
    k, n = np.asarray(successes, float), np.asarray(items, float)
    tail = (1 - level) / 2
    # betaincinv wants positive shapes; the two ends that have none are 0 and 1 by definition
    low = special.betaincinv(np.maximum(k, 0.5), n - k + 1, tail)
    high = special.betaincinv(k + 1, np.maximum(n - k, 0.5), 1 - tail)
    return Interval(np.where(k == 0, 0.0, low), np.where(k == n, 1.0, high))


def beta_binomial(successes: ArrayLike, items: ArrayLike, level: float = 0.95) -> Interval:
    """Equal-tailed posterior interval under a uniform prior, Beta(1+k, 1+n-k).

    Source: Bowyer, Aitchison and Ivanova (2025), arXiv 2503.01747: intervals below a few
    hundred items.
    """
    k, n = np.asarray(successes, float), np.asarray(items, float)
    tail = (1 - level) / 2
    low = special.betaincinv(1 + k, 1 + n - k, tail)
    return Interval(low, special.betaincinv(1 + k, 1 + n - k, 1 - tail))


def needs_exact(successes: ArrayLike, items: ArrayLike) -> NDArray[np.bool_]:
    """Whether a proportion is too small, too extreme or too short for Wilson's interval."""
    k, n = np.asarray(successes, float), np.asarray(items, float)
    few: NDArray[np.bool_] = (n < 300) | (k < 10) | (n - k < 10)
    return few


def proportion(successes: ArrayLike, items: ArrayLike, level: float = 0.95) -> Interval:
    """The default interval of a proportion: Beta(1,1) where `needs_exact`, else Wilson."""
    exact = needs_exact(successes, items)
    small, large = beta_binomial(successes, items, level), wilson(successes, items, level)
    return Interval(np.where(exact, small.low, large.low), np.where(exact, small.high, large.high))


def student(
    value: ArrayLike, variance: ArrayLike, freedom: ArrayLike, level: float = 0.95
) -> Interval:
    """Mean plus and minus Student's t times its standard error.

    Args:
        value: means.
        variance: sampling variances of the means.
        freedom: degrees of freedom, items - 1 or clusters - 1; infinity for the normal law.
        level: coverage.
    """
    mean = np.asarray(value, float)
    half = special.stdtrit(np.asarray(freedom, float), 0.5 + level / 2)
    half = np.where(np.isinf(np.asarray(freedom, float)), _z(level), half)
    half = half * np.sqrt(np.asarray(variance, float))
    return Interval(mean - half, mean + half)


def mean_variance(squares: ArrayLike, total: ArrayLike, items: ArrayLike) -> FloatArray:
    """Variance of a mean of independent items from their sums; NaN for one item.

    Source: Miller (2024), arXiv 2411.00640, eq. 1: sum (s_i - mean)^2 / (n (n-1)).
    """
    q, s, n = (np.asarray(part, float) for part in (squares, total, items))
    spread = np.maximum(q - s * s / np.maximum(n, 1), 0.0)  # rounding can go below 0
    return np.where(n > 1, spread / np.maximum(n * (n - 1), 1), np.nan)
