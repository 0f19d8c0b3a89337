"""Levels under uniform guessing, and scores measured from there."""

from __future__ import annotations

import numpy as np

from saltus.metrics.metric import Chance, FloatArray


def level(chance: Chance, choices: FloatArray) -> FloatArray:
    """Expected value of a metric under uniform guessing.

    Args:
        chance: how the metric states it.
        choices: (items,) number of choices K, NaN where not known.

    Returns:
        (items,) NaN where not defined. A uniform guess has a Brier score of 1 - 1/K summed
        over the choices (Du et al. 2024, appendix C, up to the factor K), and loses ln K.
    """
    even = 1.0 / np.where(choices >= 2, choices, np.nan)
    match chance:
        case "uniform":
            return even
        case "brier_sum":
            return 1.0 - even
        case "brier_mean":
            return (1.0 - even) * even
        case "log":
            return -np.log(even)
        case "minus_log":
            return np.log(even)
        case "none":
            return np.full_like(choices, np.nan)
        case _:
            return np.full_like(choices, chance)


def corrected(value: FloatArray, chance: FloatArray, best: float = 1.0) -> FloatArray:
    """Chance-corrected: (value - chance) / (best - chance), 0 when guessing, 1 at best.

    With `best=0` and a Brier score this is the skill score 1 - value / chance. NaN where the
    chance level is the best value. Source: Murphy (1973), J. Appl. Meteorol. 12, eq. 1.
    """
    room = np.where(chance == best, np.nan, best - chance)
    return (value - chance) / room
