"""What an evaluation must cost to see something, and the least that one at hand can see.

Rates against chance come from `resolution.py`; here stand gaps between two models (Miller
2024, arXiv 2411.00640), rises of a rate and trends over scales, and the tables of both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import ndtri

from saltus.errors import SaltusError
from saltus.estimates.resolution import (
    items_above_chance,
    items_for_one_success,
    zero_success_bound,
)

ALPHA, POWER = 0.05, 0.8


def items_for_gap(
    gap: float,
    between: float,
    within: tuple[float, float],
    samples: tuple[int, int] = (1, 1),
    alpha: float = ALPHA,
    power: float = POWER,
) -> float:
    """Items needed to tell two models apart on the same items, two-sided.

    Args:
        gap: true difference of the mean scores.
        between: omega^2, variance over items of the difference of their conditional means.
        within: sigma^2 of each model, mean over items of the variance of repeated answers.
        samples: K, answers per item of each model.
        alpha: two-sided level.
        power: probability of finding the gap.

    Returns:
        A whole number, infinite at gap 0.

    Source: Miller (2024), arXiv 2411.00640, sec. 5, sample-size formula.
    """
    if gap == 0:
        return math.inf
    spread = _gap_variance(between, within, samples)
    return float(np.ceil((_quantiles(alpha / 2, power) / gap) ** 2 * spread))


def detectable_gap(
    items: int,
    between: float,
    within: tuple[float, float],
    samples: tuple[int, int] = (1, 1),
    alpha: float = ALPHA,
    power: float = POWER,
) -> float:
    """The smallest gap that this many items tell from 0: `items_for_gap` inverted."""
    spread = _gap_variance(between, within, samples)
    return _quantiles(alpha / 2, power) * math.sqrt(spread / items)


def detectable_rise(
    rate: float, items: tuple[int, int], alpha: float = ALPHA, power: float = POWER
) -> float:
    """The smallest rise from a rate that independent answers at two scales resolve, one-sided.

    Args:
        rate: at the lower scale, 0 to 1.
        items: number of items at the lower and at the upper scale.
        alpha: one-sided level.
        power: probability of finding the rise.

    Returns:
        Upper rate minus lower rate, or NaN when even a rate of 1 would not do.

    Source: Fleiss, Levin, Paik (2003), Statistical Methods for Rates and Proportions, 4.2.
    """
    lower, upper = items

    def excess(above: float) -> float:
        pooled = (lower * rate + upper * above) / (lower + upper)
        null = pooled * (1 - pooled) * (1 / lower + 1 / upper)
        true = rate * (1 - rate) / lower + above * (1 - above) / upper
        needed = ndtri(1 - alpha) * math.sqrt(null) + ndtri(power) * math.sqrt(true)
        return float(above - rate - needed)

    if rate >= 1 or excess(1.0) < 0:
        return math.nan
    # just above the rate the excess is negative; a rate of 0 is the only exact root there
    return float(brentq(excess, rate + 1e-9 * (1 - rate), 1.0)) - rate


def detectable_trend(
    x: ArrayLike, variance: ArrayLike, alpha: float = ALPHA, power: float = POWER
) -> float:
    """The smallest total rise over the scales that a weighted straight line resolves.

    Args:
        x: (scales,) log10 of the axis.
        variance: (scales,) variance of the value at each scale: sampling plus model noise.
        alpha: one-sided level of the slope's test.
        power: probability of finding it.

    Returns:
        Slope times the range of x, in the unit of the value; NaN without two scales or with
        a variance that is not known; 0 when all variances are.
    """
    axis, spread = np.asarray(x, dtype=float), np.asarray(variance, dtype=float)
    if np.unique(axis).size < 2 or not np.isfinite(spread).all():
        return math.nan
    if (spread <= 0).any():
        return 0.0 if (spread == 0).all() else math.nan
    weights = 1 / spread
    centred = axis - np.average(axis, weights=weights)
    slope_error = 1 / math.sqrt(float((weights * centred**2).sum()))
    return _quantiles(alpha, power) * slope_error * float(np.ptp(axis))


def plan_rates(
    rates: Sequence[float], chance: float = 0.0, alpha: float = ALPHA, power: float = POWER
) -> pl.DataFrame:
    """Items needed to see each rate.

    Args:
        rates: true rates, such as a smooth curve predicts for each scale.
        chance: level under guessing.
        alpha: one-sided level.
        power: probability of finding it above chance; at least one success is planned at .95.

    Returns:
        One row per rate: rate, chance, items_for_one_success, items_above_chance; infinity
        where no number of items would do.
    """
    for rate in (*rates, chance):
        if not 0 <= rate <= 1:
            raise SaltusError(f"rate {rate} is not between 0 and 1; give a fraction, not percent")
    return pl.DataFrame(
        {
            "rate": [float(rate) for rate in rates],
            "chance": [float(chance)] * len(rates),
            "items_for_one_success": [items_for_one_success(rate) for rate in rates],
            "items_above_chance": [items_above_chance(r, chance, alpha, power) for r in rates],
        },
        schema_overrides={"rate": pl.Float64, "chance": pl.Float64},
    )


def plan_gap(
    gap: float,
    between: float,
    within: float,
    samples: Sequence[int] = (1, 2, 5, 10),
    alpha: float = ALPHA,
    power: float = POWER,
) -> pl.DataFrame:
    """Items needed to tell two models apart, for several numbers of answers per item.

    Args:
        gap: true difference of the mean scores.
        between: variance over items of the difference of conditional means.
        within: variance of repeated answers to an item, the same for both models.
        samples: numbers of answers per item to compare.
        alpha: two-sided level.
        power: probability of finding the gap.

    Returns:
        One row per number of samples: samples, items, answers (per model: items x samples).
    """
    items = [items_for_gap(gap, between, (within, within), (k, k), alpha, power) for k in samples]
    return pl.DataFrame({"samples": samples, "items": items}).with_columns(
        answers=pl.col("samples") * pl.col("items")
    )


def plan_items(
    items: Sequence[int], rate: float, alpha: float = ALPHA, power: float = POWER
) -> pl.DataFrame:
    """What each number of items resolves.

    Args:
        items: numbers of items to compare.
        rate: success rate at the lower of two scales.
        alpha: one-sided level.
        power: probability of finding the rise.

    Returns:
        One row per number: items, resolution (1/n), zero_success_bound (upper limit of the
        rate after no success, one-sided at 1 - alpha), detectable_rise from `rate` between
        two models with as many items each.
    """
    return pl.DataFrame(
        {
            "items": items,
            "resolution": [1 / n for n in items],
            "zero_success_bound": [zero_success_bound(n, 1 - alpha) for n in items],
            "detectable_rise": [detectable_rise(rate, (n, n), alpha, power) for n in items],
        }
    )


def _gap_variance(between: float, within: tuple[float, float], samples: tuple[int, int]) -> float:
    return between + within[0] / samples[0] + within[1] / samples[1]


def _quantiles(alpha: float, power: float) -> float:
    return float(ndtri(1 - alpha) + ndtri(power))
