"""P-values of many tests at once: adjusted so that they can be compared with one level.

A NaN p-value is a test that was not made: it is not counted and stays NaN.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


def holm(p: ArrayLike) -> FloatArray:
    """Holm's adjusted p-values; controls the family-wise error under any dependence.

    Args:
        p: (tests,) p-values, 0 to 1 or NaN.

    Source: Holm (1979), Scandinavian Journal of Statistics 6(2).
    """
    return _adjust(p, _step_down)


def benjamini_hochberg(p: ArrayLike) -> FloatArray:
    """Benjamini and Hochberg's adjusted p-values; false discovery rate under independence.

    Args:
        p: (tests,) p-values, 0 to 1 or NaN.

    Source: Benjamini, Hochberg (1995), Journal of the Royal Statistical Society B 57(1).
    """
    return _adjust(p, _step_up)


def benjamini_yekutieli(p: ArrayLike) -> FloatArray:
    """Benjamini and Yekutieli's adjusted p-values; false discovery rate, any dependence.

    Args:
        p: (tests,) p-values, 0 to 1 or NaN.

    Source: Benjamini, Yekutieli (2001), Annals of Statistics 29(4), theorem 1.3.
    """
    return _adjust(p, lambda ordered: _step_up(ordered, (1 / np.arange(1, ordered.size + 1)).sum()))


def _adjust(p: ArrayLike, step: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """Adjust the known p-values in rising order, each put back where it came from."""
    values = np.array(p, dtype=float)
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    values[order] = step(values[order])
    return values


def _step_down(ordered: FloatArray) -> FloatArray:
    remaining = np.arange(ordered.size, 0, -1)
    return np.maximum.accumulate(np.minimum(1.0, remaining * ordered))


def _step_up(ordered: FloatArray, factor: float = 1.0) -> FloatArray:
    scaled = factor * ordered.size / np.arange(1, ordered.size + 1) * ordered
    return np.minimum.accumulate(np.minimum(1.0, scaled)[::-1])[::-1]
