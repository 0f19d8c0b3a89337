"""The mathematical model of the "mirage" paper: one smooth loss, seen through several metrics.

Schaeffer, Miranda, Koyejo (2023), arXiv 2304.15004, sec. 2 and Fig. 2. The per-token loss
falls as a power law of the parameters; everything else is arithmetic on it. Depends on
NumPy only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


def token_loss(params: ArrayLike, reference: float, exponent: float) -> FloatArray:
    """Cross-entropy per target token, a power law of the parameters (sec. 2).

    Args:
        params: parameters N, a count > 0.
        reference: c_0, the N at which the loss is 1 nat.
        exponent: alpha, negative when the loss falls with scale.

    Returns:
        (N / c_0)^alpha in nats per token.
    """
    return np.asarray((np.asarray(params, dtype=float) / reference) ** exponent)


def token_probability(loss: ArrayLike) -> FloatArray:
    """Probability of the right token under one-hot targets: exp(-loss)."""
    return np.asarray(np.exp(-np.asarray(loss, dtype=float)))


def exact_match(probability: ArrayLike, length: int) -> FloatArray:
    """Expected accuracy when all `length` independent tokens must be right: p^L."""
    return np.asarray(np.asarray(probability, dtype=float) ** length)


def token_edits(probability: ArrayLike, length: int) -> FloatArray:
    """Expected edits per item with substitutions only: L (1 - p), not eq. (9)'s L (1 - e)."""
    return np.asarray(length * (1 - np.asarray(probability, dtype=float)))


def choice_grade(probability: ArrayLike, choices: int) -> FloatArray:
    """1 where the right choice has the largest mass, the rest being spread evenly.

    At p = 1/K all K choices tie; the grade is then 1/K, what breaking ties at random gives.
    """
    p = np.asarray(probability, dtype=float)
    rest = (1 - p) / (choices - 1)
    return np.where(p > rest, 1.0, np.where(p == rest, 1 / choices, 0.0))


def brier_sum(probability: ArrayLike, choices: int) -> FloatArray:
    """Squared distance to the truth summed over choices, the rest of the mass spread evenly.

    Between 0 and K/(K-1); an even guess has 1 - 1/K. (1 - p)^2 K / (K - 1).
    """
    p = np.asarray(probability, dtype=float)
    return np.asarray((1 - p) ** 2 * choices / (choices - 1))


def brier_mean(probability: ArrayLike, choices: int) -> FloatArray:
    """`brier_sum` divided by the number of choices, as BIG-bench reports it."""
    return brier_sum(probability, choices) / choices
