"""Which score at small scale tells what a metric does at large scale.

Signal, noise and decision accuracy follow Heineman et al. (2025), arXiv 2508.13144.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from saltus.forecasts.links import FloatArray

FEWEST = 3  # models, recipes or tasks that can be ranked


class SignalToNoise(NamedTuple):
    """Spread between models over the scatter of the last checkpoints of one.

    Args:
        signal: largest difference of two models over the size of their mean; NaN where that is 0.
        noise: standard deviation of the checkpoints over the size of their mean.
        ratio: signal over noise; infinite without noise, NaN without either.
    """

    signal: float
    noise: float
    ratio: float


def signal_to_noise(models: FloatArray, checkpoints: FloatArray) -> SignalToNoise:
    """How well a benchmark tells models apart.

    Args:
        models: (models,) final scores of comparable models.
        checkpoints: (checkpoints,) last scores of one run.
    """
    signal = _over_mean(float(np.ptp(models)), models)
    noise = _over_mean(float(checkpoints.std()), checkpoints)
    if noise == 0.0:
        return SignalToNoise(signal, noise, np.inf if signal > 0.0 else np.nan)
    return SignalToNoise(signal, noise, signal / noise)


def _over_mean(spread: float, values: FloatArray) -> float:
    mean = float(values.mean())
    return spread / abs(mean) if mean != 0.0 else float("nan")


def decision_accuracy(small: FloatArray, large: FloatArray) -> float:
    """Share of pairs of models that both scales order alike.

    Args:
        small: (models,) proxy at the small scale, higher is better; NaN where missing.
        large: (models,) target at the large scale.

    Returns:
        Between 0 and 1; a tie on either side counts half; NaN below two models.
    """
    known = np.isfinite(small) & np.isfinite(large)
    first, second = np.triu_indices(int(known.sum()), 1)
    if not first.size:
        return float("nan")
    near = np.sign(small[known][first] - small[known][second])
    far = np.sign(large[known][first] - large[known][second])
    return float(((1.0 + near * far) / 2.0).mean())


class Ranking(NamedTuple):
    """How a proxy at smaller sizes orders what the target orders at the large one.

    Args:
        units: recipes or tasks with both.
        pairs: pairs compared, over all smaller sizes.
        accuracy: share ordered alike, over all of them; NaN where none can be compared.
        by_size: (sizes,) the same for each smaller size.
        correlation: mean over sizes of Spearman's rank correlation.
        reason: why there is nothing; empty where there is something.
    """

    units: int
    pairs: int
    accuracy: float
    by_size: FloatArray
    correlation: float
    reason: str


def rank(small: FloatArray, large: FloatArray) -> Ranking:
    """Decision accuracy and rank correlation.

    Args:
        small: (sizes, units) proxy, higher is better; NaN where missing.
        large: (units,) target at the large size.

    Returns:
        Sizes with fewer than three units, or where either side is constant, take no part.
    """
    known = np.isfinite(small) & np.isfinite(large)
    counts = known.sum(axis=1)
    units = int(counts.max(initial=0))
    varied = [
        bool(_varies(row[k]) and _varies(large[k])) for row, k in zip(small, known, strict=False)
    ]
    usable = (counts >= FEWEST) & np.array(varied, dtype=bool)
    by_size = np.full(len(small), np.nan)
    by_size[usable] = [decision_accuracy(row, large) for row in small[usable]]
    if not usable.any():
        few = units < FEWEST
        reason = f"fewer than {FEWEST} to rank" if few else "all score alike: no order to predict"
        return Ranking(units, 0, np.nan, by_size, np.nan, reason)
    pairs = counts * (counts - 1) // 2
    share = float((by_size[usable] * pairs[usable]).sum() / pairs[usable].sum())
    ranks = [_spearman(small[s, known[s]], large[known[s]]) for s in np.flatnonzero(usable)]
    total = int(pairs[usable].sum())
    return Ranking(units, total, share, by_size, float(np.mean(ranks)), "")


def _varies(values: FloatArray) -> bool:
    return values.size > 0 and float(np.ptp(values)) > 0.0


def _spearman(first: FloatArray, second: FloatArray) -> float:
    return float(np.corrcoef(rankdata(first), rankdata(second))[0, 1])


def two_lines(
    x: FloatArray, proxy: FloatArray, target: FloatArray, ahead: FloatArray
) -> FloatArray:
    """Scale to proxy to target, a straight line each: what one proxy alone would predict.

    Args:
        x: (models,) log10 of the scale.
        proxy: (models,) on its link scale; NaN where missing.
        target: (models,) on its link scale.
        ahead: (targets,) log10 of the scales to predict.

    Returns:
        (targets,) on the target's link scale; NaN with fewer than three models or where scale
        or proxy do not vary.
    """
    known = np.isfinite(x) & np.isfinite(proxy) & np.isfinite(target)
    if known.sum() < FEWEST or not _varies(x[known]) or not _varies(proxy[known]):
        return np.full(ahead.shape, np.nan)
    first = np.polynomial.Polynomial.fit(x[known], proxy[known], 1)
    second = np.polynomial.Polynomial.fit(proxy[known], target[known], 1)
    return np.asarray(second(first(ahead)))
