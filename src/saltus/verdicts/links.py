"""From a continuous metric's mean to the scale on which "smooth" is defined (science.md 4.1)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import logit

from saltus.metrics.metric import Metric
from saltus.verdicts.series import FloatArray


class Points(NamedTuple):
    """Means of one metric at several models; NaN where not known.

    Args:
        value: means in the metric's unit.
        variance: their sampling variances.
        units: tokens (words, ...) behind a per-unit mean.
        items: number of items.
        chance: expected value under uniform guessing.
    """

    value: FloatArray
    variance: FloatArray
    units: FloatArray
    items: FloatArray
    chance: FloatArray


class Linked(NamedTuple):
    """The link-scale value, higher is better, and its sampling variance."""

    z: FloatArray
    variance: FloatArray


def to_link(metric: Metric, points: Points) -> Linked:
    """The z of science.md 4.1 and its delta-method variance, by the metric's link.

    A mean that has no place on the link scale (a loss of 0 or below) is NaN.
    """
    if metric.link is None:
        nothing = np.full_like(points.value, np.nan)
        return Linked(nothing, nothing)
    return LINKS[metric.link](metric, points)


def gain_of(metric: Metric | None) -> str:
    """How z maps to a gain in [0, 1] for materiality."""
    losses = ("nll", "perplexity", "error_rate")
    if metric is not None and metric.link in losses:
        return "exp_exp"
    return "expit" if metric is not None and metric.link in ("logit", "brier") else "identity"


def even_guess(metric: Metric | None, gain: str, chance: float) -> float:
    """Link-scale value of an even guess among choices; NaN where it is not known.

    Args:
        metric: the continuous metric.
        gain: its gain map.
        chance: share of right answers under guessing, 1/K.
    """
    if gain == "identity":
        return 0.0
    if gain == "expit":
        return float(logit(chance))
    logarithmic = metric is not None and metric.punishes_confidence
    return float(-np.log(-np.log(chance))) if logarithmic and 0 < chance < 1 else float("nan")


def ends(metric: Metric) -> tuple[float, float]:
    """Best and worst value; an open end counts as 1 or 0, so the unit stays the metric's."""
    low, high = metric.bounds
    ends = (0.0 if low is None else low, 1.0 if high is None else high)
    return ends if metric.better == "lower" else (ends[1], ends[0])


def _nll(metric: Metric, points: Points) -> Linked:
    """Loss l in nats: z = -ln l, variance var(l) / l^2."""
    loss = points.value if metric.better == "lower" else -points.value
    loss = np.where(loss > 0, loss, np.nan)
    return Linked(-np.log(loss), points.variance / loss**2)


def _perplexity(metric: Metric, points: Points) -> Linked:
    """The logarithm of a perplexity is a loss."""
    value = np.where(points.value > 1, points.value, np.nan)
    loss = np.log(value)
    return Linked(-np.log(loss), points.variance / (value * loss) ** 2)


def _error_rate(metric: Metric, points: Points) -> Linked:
    """Error rate e, clipped off 0: z = -ln(-ln(1 - e)), linear in log N for a power law."""
    units = np.where(np.isfinite(points.units), points.units, points.items)
    best, worst = ends(metric)
    rate = np.clip((points.value - best) / (worst - best), 0.0, 1.0)
    variance = points.variance / (worst - best) ** 2
    rate = np.where(np.isfinite(units), (rate * units + 0.5) / (units + 1), rate)
    rate = np.where((rate > 0) & (rate < 1), rate, np.nan)
    binomial = rate * (1 - rate) / units
    spread = np.fmax(variance, binomial)
    slope = (1 - rate) * np.log1p(-rate)
    return Linked(-np.log(-np.log1p(-rate)), spread / slope**2)


def _identity(metric: Metric, points: Points) -> Linked:
    """Chance-corrected mean: the share of the way from chance to the best value."""
    best, worst = ends(metric)
    chance = np.where(np.isfinite(points.chance), points.chance, worst)
    width = best - chance
    return Linked((points.value - chance) / width, points.variance / width**2)


def _logit(metric: Metric, points: Points) -> Linked:
    """Mean probability p of the right choice: z = ln(p / (1 - p)), near linear in its margin.

    On p itself the S-shaped rise from chance to certainty is no straight line, parabola or
    power, so that with ten choices a margin that grows evenly was called broken.
    """
    p = np.where((points.value > 0) & (points.value < 1), points.value, np.nan)
    return Linked(np.log(p / (1 - p)), points.variance / (p * (1 - p)) ** 2)


def _brier(metric: Metric, points: Points) -> Linked:
    """Logit of the probability of the right choice that has this Brier score.

    With the rest spread evenly over the other choices, 1 - p = wrong * sqrt(b / b_guess) for a
    guesser's share of wrong answers 1 - 1/K. Above K / (K - 1), worse than sure of the wrong
    choices evenly, there is no such p.
    """
    base = np.where(points.chance > 0, points.chance, np.nan)
    root = guessed_wrong(metric, base) * np.sqrt(points.value / base)
    p = np.where((root > 0) & (root < 1), 1 - root, np.nan)
    slope = root / (2 * points.value)
    return Linked(np.log(p / (1 - p)), points.variance * (slope / (p * (1 - p))) ** 2)


def guessed_wrong(metric: Metric, chance: FloatArray) -> FloatArray:
    """1 - 1/K from the Brier score of an even guess: 1 - 1/K as a sum, (1 - 1/K) / K as a mean."""
    if metric.chance == "brier_sum":
        return chance
    root = np.sqrt(np.maximum(1 - 4 * chance, 0.0))
    return (1 + root) / 2


LINKS = {
    "nll": _nll,
    "perplexity": _perplexity,
    "error_rate": _error_rate,
    "identity": _identity,
    "logit": _logit,
    "brier": _brier,
}
