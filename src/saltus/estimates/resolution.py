"""What a number of items can and cannot resolve: planning formulas, all closed or monotone.

"Above chance" is a one-sided test of one proportion against a known level; at chance 0 any
success rejects, so the exact zero-success probability replaces the normal approximation.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtri


def zero_success_bound(items: int, confidence: float = 0.95) -> float:
    """Upper confidence bound of a rate after no success at all.

    Args:
        items: number of items, at least 1.
        confidence: one-sided; 0.975 gives the end of the two-sided 95 % interval.

    Source: Clopper and Pearson (1934), Biometrika 26(4), k = 0.
    """
    return float(-np.expm1(np.log1p(-confidence) / items))


def items_for_one_success(rate: float, confidence: float = 0.95) -> float:
    """Items needed to see at least one success with the given confidence.

    Args:
        rate: probability of success per item, 0 to 1.
        confidence: probability of at least one success.

    Returns:
        A whole number, infinite at rate 0.
    """
    if rate <= 0.0:
        return math.inf
    if rate >= 1.0:
        return 1.0
    return float(np.ceil(np.log1p(-confidence) / np.log1p(-rate)))


def items_above_chance(
    rate: float, chance: float, alpha: float = 0.05, power: float = 0.8
) -> float:
    """Items needed to find that a rate lies above chance.

    Args:
        rate: true rate, 0 to 1.
        chance: level under guessing, 0 to 1.
        alpha: one-sided level of the test.
        power: probability of finding it.

    Returns:
        A whole number, infinite when the rate is not above chance.

    Source: Fleiss, Levin, Paik (2003), Statistical Methods for Rates and Proportions, 2.4.
    """
    if rate <= chance:
        return math.inf
    if chance <= 0.0:
        return items_for_one_success(rate, power)
    root = _spread(rate, chance, alpha, power) / (rate - chance)
    return float(np.ceil(root * root))


def detectable_rate(items: int, chance: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest rate that this many items tell from chance: `items_above_chance` inverted.

    Args:
        items: number of items, at least 1.
        chance: level under guessing, 0 to 1.
        alpha: one-sided level of the test.
        power: probability of finding it.

    Returns:
        A rate, or NaN when even a rate of 1 would not do.
    """
    if chance <= 0.0:
        return zero_success_bound(items, power)
    if chance >= 1.0:
        return math.nan

    def excess(rate: float) -> float:
        return math.sqrt(items) * (rate - chance) - _spread(rate, chance, alpha, power)

    return float(brentq(excess, chance, 1.0)) if excess(1.0) > 0.0 else math.nan


def _spread(rate: float, chance: float, alpha: float, power: float) -> float:
    """Standard deviations of one item at both levels, times their normal quantiles."""
    null = ndtri(1.0 - alpha) * math.sqrt(chance * (1.0 - chance))
    return float(null + ndtri(power) * math.sqrt(rate * (1.0 - rate)))
