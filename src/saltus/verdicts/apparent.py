"""Step 1, apparent emergence: absent in the smaller models, present in the largest.

The pattern of Wei et al. (2022), arXiv 2206.07682, on the thresholded metric, made
operational by exact binomial tests (science.md 4.2). It says what is seen, not why: it
fires in about half of the smooth families.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betainc, ndtr

from saltus.verdicts.measured import knows_chance, knows_items
from saltus.verdicts.series import FloatArray, Series

LEVEL = 0.05
FLOOR_MARGIN = 0.05
PRESENT_MARGIN = 0.10
CLEAR_RISE = 0.10
OBVIOUS = 0.30


@dataclass(frozen=True)
class Apparent:
    """The outcome of step 1.

    Args:
        seen: apparent emergence; None when it could not be tested.
        near_floor: m, leading scales near the floor; None likewise.
        floor_ends: x of the last but one of these (step 6 leaves the last out), NaN if none.
        untested: items_unknown, chance_unknown, no_thresholded_metric, or None.
    """

    seen: bool | None
    near_floor: int | None
    floor_ends: float
    untested: str | None


def upper_tail(successes: FloatArray, items: FloatArray, rate: float) -> FloatArray:
    """P(X >= successes) for a binomial X: the exact one-sided p-value of "rate is not above".

    Args:
        successes: (scales,) counts; a fractional count (averaged re-runs) interpolates.
        items: (scales,) number of items.
        rate: rate under the null hypothesis.
    """
    counted = np.clip(successes, 0.0, items)
    above = np.where(counted > 0.0, counted, 1.0)
    tail = betainc(above, items - above + 1.0, rate)
    return np.where(counted > 0.0, tail, 1.0)


def apparent_emergence(series: Series) -> Apparent:
    """Leading scales near the floor while the largest one is clearly above it."""
    untested = _why_not(series)
    if untested == "items_unknown" and _absent_at_any_size(series):
        return Apparent(False, None, float("nan"), None)
    if untested:
        return Apparent(None, None, float("nan"), untested)
    kept = np.isfinite(series.rate) & np.isfinite(series.x)
    x, items, successes = series.x[kept], series.items[kept], series.successes[kept]
    near = upper_tail(successes, items, _lifted(series.chance, FLOOR_MARGIN)) >= LEVEL
    leading = int(near.size if near.all() else np.argmin(near))
    last = upper_tail(successes, items, _lifted(series.chance, PRESENT_MARGIN))[-1]
    enough = max(2, -(-x.size // 3)) <= leading < x.size
    ends = float(x[leading - 2]) if leading >= 2 else float("nan")
    return Apparent(bool(enough and last < LEVEL), leading, ends, None)


def _absent_at_any_size(series: Series) -> bool:
    """Whether the pattern is excluded without knowing the number of items.

    It is when the largest scale does not exceed the level it would have to reject, or when
    one of the scales that would have to be near the floor lies 0.30 above it, which ten
    items already show.
    """
    if not knows_chance(series):
        return False
    rate = series.rate[np.isfinite(series.rate) & np.isfinite(series.x)]
    leading = rate[: max(2, -(-rate.size // 3))]
    high = leading.max() >= _lifted(series.chance, FLOOR_MARGIN) + OBVIOUS
    return bool(high or rate[-1] <= _lifted(series.chance, PRESENT_MARGIN))


def clear_rise(series: Series) -> bool:
    """Whether some scale stands clearly above all smaller ones together.

    A straight line may see nothing where only the last scale jumps. With items known:
    one-sided two-proportion tests of each scale against the pooled smaller ones, at .05
    over the number of tests. Without items: a rise of 0.10 above every smaller scale.
    """
    kept = np.isfinite(series.rate) & np.isfinite(series.x)
    rate = series.rate[kept]
    if rate.size < 2:
        return False
    if not knows_items(series):
        best = np.maximum.accumulate(rate)[:-1]
        return bool((rate[1:] - best >= CLEAR_RISE).any())
    return bool((_rise_scores(series.successes[kept], series.items[kept]) < LEVEL).any())


def _rise_scores(successes: FloatArray, items: FloatArray) -> FloatArray:
    """(scales - 1,) Bonferroni p-values that a scale is not above the smaller ones pooled.

    Given the total of successes, the number at the larger scale is about binomial with
    the pooled rate; half a success is added to the pooled ones so that a floor of zeros
    does not make one lucky answer significant.
    """
    before, tried = np.cumsum(successes)[:-1], np.cumsum(items)[:-1]
    pooled = np.minimum((before + 0.5 + successes[1:]) / (tried + items[1:] + 0.5), 1.0)
    spread = np.sqrt(pooled * (1.0 - pooled) * (1.0 / tried + 1.0 / items[1:]))
    rise = successes[1:] / items[1:] - before / tried
    score = np.divide(rise, spread, out=np.zeros_like(rise), where=spread > 0.0)
    return np.asarray(ndtr(-score)) * rise.size


def _lifted(chance: float, share: float) -> float:
    """Chance plus a share of what lies above it."""
    return chance + (1.0 - chance) * share


def _why_not(series: Series) -> str | None:
    if series.metric is None or not np.isfinite(series.rate).any():
        return "no_thresholded_metric"
    if not knows_items(series):
        return "items_unknown"
    return None if knows_chance(series) else "chance_unknown"
