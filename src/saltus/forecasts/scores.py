"""How good a predictive distribution was: proper scores from its draws.

CRPS is exact for the empirical distribution of the draws (Gneiting and Raftery 2007, JASA
102(477), eq. 21): E|X - y| - E|X - X'| / 2.
"""

from __future__ import annotations

import numpy as np

from saltus.forecasts.links import FloatArray


def crps(draws: FloatArray, value: FloatArray) -> FloatArray:
    """Continuous ranked probability score, in the unit of the value; lower is better.

    Args:
        draws: (..., draws) of the predictive distribution.
        value: (...) what was seen.

    Returns:
        (...), NaN where the value or a draw is.
    """
    count = draws.shape[-1]
    ordered = np.sort(draws, axis=-1)
    ranks = 2.0 * np.arange(1, count + 1) - count - 1.0
    away = np.abs(ordered - value[..., None]).mean(axis=-1)
    apart: FloatArray = (ordered * ranks).sum(axis=-1) / count**2
    return np.asarray(away - apart)


def interval(draws: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
    """Ends of the central interval of this probability, (...) each."""
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(draws, [tail, 1.0 - tail], axis=-1)
    return low, high


def pit(draws: FloatArray, value: FloatArray) -> FloatArray:
    """Probability integral transform: share of the draws below the value, ties counting half."""
    below = (draws < value[..., None]).mean(axis=-1)
    ties = (draws == value[..., None]).mean(axis=-1)
    return np.where(np.isfinite(value) & np.isfinite(draws).all(axis=-1), below + ties / 2, np.nan)


def brier(probability: FloatArray, happened: FloatArray) -> FloatArray:
    """Squared distance of a probability from what happened (0 or 1)."""
    squared: FloatArray = np.square(probability - happened)
    return squared
