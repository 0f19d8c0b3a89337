"""Which score at small scale tells what a metric does at large scale.

Signal, noise and decision accuracy follow Heineman et al. (2025), arXiv 2508.13144.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from saltus.forecasts.links import FloatArray


class SignalToNoise(NamedTuple):
    """Spread between models over the scatter of the last checkpoints of one.

    Args:
        signal: largest difference of two models over their mean; NaN where the mean is 0.
        noise: standard deviation of the checkpoints over their mean.
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
    return spread / mean if mean != 0.0 else float("nan")


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
