"""Emergence score and linearity of a series of scores, for reproduction only.

The score (breakthroughness in BIG-bench) grows with the number of scales and is infinite by
chance where scores sit at a floor, so it never stands without a p-value (`nulls.py`) and
the flag `degenerate`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
Ties = Literal["first", "last"]


@dataclass(frozen=True)
class Emergence:
    """Scores of a batch of curves.

    Args:
        score: (curves,) emergence score; infinite where `degenerate`, 0 for a constant curve,
            NaN for one point or a missing value.
        linearity: (curves,) the same with the mean instead of the median of the squares.
        degenerate: (curves,) at least half of the steps are exactly 0: never rank on it.
    """

    score: FloatArray
    linearity: FloatArray
    degenerate: BoolArray


def emergence(values: ArrayLike, ties: Ties = "first") -> Emergence:
    """Signed range of each curve over the root median (or mean) square of its steps.

    Args:
        values: (curves, scales) scores in the order of scale, higher is better.
        ties: which of several equal extremes gives the sign: the first (NumPy's) or last.

    Source: Schaeffer et al. (2023), arXiv 2304.15004, eq. 1; Srivastava et al. (2022),
    arXiv 2206.04615, app. B (breakthroughness and linearity).
    """
    curves = np.atleast_2d(np.asarray(values, dtype=float))
    missing = np.isnan(curves).any(axis=1) | (curves.shape[1] < 2)
    filled = np.where(missing[:, None], 0.0, curves)
    if curves.shape[1] < 2:
        filled = np.zeros((len(curves), 2))
    squares = np.diff(filled, axis=1) ** 2
    numerator = signed_range(filled, ties)
    median = np.median(squares, axis=1)
    return Emergence(
        score=np.where(missing, np.nan, _ratio(numerator, median)),
        linearity=np.where(missing, np.nan, _ratio(numerator, squares.mean(axis=1))),
        degenerate=~missing & (median == 0),
    )


def signed_range(curves: FloatArray, ties: Ties = "first") -> FloatArray:
    """(curves,) range, negative where the maximum comes before the minimum."""
    if ties == "last":
        return -signed_range(curves[:, ::-1])
    order = np.sign(curves.argmax(axis=1) - curves.argmin(axis=1))
    return np.asarray(order * np.ptp(curves, axis=1))


def _ratio(numerator: FloatArray, square: FloatArray) -> FloatArray:
    """Numerator over the root; infinite over 0, and 0 over 0 is 0: nothing happened."""
    root = np.sqrt(square)
    ratio = np.copysign(np.inf, numerator)
    np.divide(numerator, root, out=ratio, where=root > 0)
    return np.where(numerator == 0, 0.0, ratio)
