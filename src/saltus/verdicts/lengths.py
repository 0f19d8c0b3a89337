"""The predictions of the "mirage" paper about target lengths, as tests.

Schaeffer et al. (2023), arXiv 2304.15004, sec. 3. P1 (another metric, the same outputs) is
the verdict itself. Here stand P2 (enough items show that no model is at zero, and accuracy is
what the token error rate predicts), P3a (accuracy decays geometrically with the length) and
P3b (edit distance grows quasi-linearly).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import ndtr, ndtri, xlogy
from scipy.stats import binom, chi2

from saltus.estimates.intervals import clopper_pearson
from saltus.estimates.multiplicity import holm

FloatArray = NDArray[np.float64]

EQUIVALENCE = (0.8, 1.25)  # elasticities of the edit distance called quasi-linear
LOG_RATES = (-20.0, 6.0)  # search range of ln(-ln p): p from exp(-403) to 1 - 2e-9


class Answers(NamedTuple):
    """One model's answers to the items of a task.

    Args:
        exact: (items,) 1 where the whole answer is right, else 0.
        edits: (items,) token edits to the target.
        lengths: (items,) tokens of the target, at least 1.
    """

    exact: FloatArray
    edits: FloatArray
    lengths: FloatArray


@dataclass(frozen=True)
class Commensurate:
    """P2: accuracy against the prediction of the same model's token error rate.

    Args:
        observed: accuracy on one half of the items.
        predicted: mean of (1 - e)^L there, with e from the other half.
        ratio: observed over predicted.
        low: lower end of its 95 % interval.
        high: upper end of its 95 % interval.
        statistic: G.
        p: parametric bootstrap, both halves drawn anew. A small p with a ratio above 1 says
            that items differ in difficulty; it is no evidence of emergence.
    """

    observed: float
    predicted: float
    ratio: float
    low: float
    high: float
    statistic: float
    p: float


@dataclass(frozen=True)
class GeometricDecay:
    """P3a: ln accuracy = slope x L, and the deviation q L^2 from it.

    Args:
        slope: ln of the token probability; NaN where the status says why.
        slope_error: its standard error.
        token_probability: exp(slope).
        statistic: chi-squared of the fit (deviance for "glm"), with `freedom` degrees.
        freedom: lengths minus 1.
        p: of that statistic; NaN with one length.
        curvature: q; positive when accuracy decays more slowly than geometrically.
        z: two-sided test of q (signed root of the deviance difference for "glm").
        p_curvature: its p; NaN with one length.
        method: "wls", or "glm" where a length has no or only successes.
        status: "fitted", or why not, in words.
    """

    slope: float
    slope_error: float
    token_probability: float
    statistic: float
    freedom: int
    p: float
    curvature: float
    z: float
    p_curvature: float
    method: str
    status: str


@dataclass(frozen=True)
class QuasiLinear:
    """P3b: mean edits = slope x L, and the elasticity of edits in L.

    Args:
        slope: edits per token.
        statistic: chi-squared of the lack of fit, with `freedom` degrees.
        freedom: lengths minus 1.
        p: of that statistic; NaN with one length.
        elasticity: gamma in ln edits = a + gamma ln L; NaN with fewer than two lengths with
            edits.
        low: lower end of its 90 % interval.
        high: upper end of its 90 % interval.
        quasi_linear: the interval lies within 0.8 to 1.25; None where there is none.
    """

    slope: float
    statistic: float
    freedom: int
    p: float
    elasticity: float
    low: float
    high: float
    quasi_linear: bool | None


def above_chance(successes: ArrayLike, items: ArrayLike, chance: float = 0.0) -> FloatArray:
    """P2: Holm-adjusted exact one-sided p-values of each model against chance.

    Args:
        successes: (models,) k.
        items: (models,) n.
        chance: level under guessing; at 0 any success rejects.
    """
    k, n = np.asarray(successes, dtype=float), np.asarray(items, dtype=float)
    return holm(binom.sf(k - 1, n, chance))


def commensurate(
    models: Sequence[Answers], rng: np.random.Generator, draws: int = 999
) -> tuple[list[Commensurate], float, float]:
    """P2 for the models of one task, each and all together.

    Args:
        models: answers of each model, at least 2 items.
        rng: splits the items and draws the bootstrap.
        draws: bootstrap draws.

    Returns:
        The result of each model, and G summed over the models with its p.
    """
    total, drawn = 0.0, np.zeros(draws)
    results = []
    for answers in models:
        result, statistics = _commensurate(answers, rng, draws)
        results.append(result)
        total, drawn = total + result.statistic, drawn + statistics
    return results, total, _share(drawn, total)


def geometric_decay(lengths: ArrayLike, successes: ArrayLike, items: ArrayLike) -> GeometricDecay:
    """P3a for one model.

    Args:
        lengths: (lengths,) distinct target lengths L.
        successes: (lengths,) k.
        items: (lengths,) n, at least 1.
    """
    size, k, n = (np.asarray(values, dtype=float) for values in (lengths, successes, items))
    if k.sum() == 0:
        return _no_decay("no success at any length", size.size)
    if (k == n).all():
        return _no_decay("no failure at any length", size.size)
    inner = bool(((k > 0) & (k < n)).all())
    return _decay_by_wls(size, k / n, n) if inner else _decay_by_glm(size, k, n)


def quasi_linear(lengths: ArrayLike, edits: ArrayLike, variance: ArrayLike) -> QuasiLinear:
    """P3b for one model.

    Args:
        lengths: (lengths,) distinct target lengths L.
        edits: (lengths,) mean token edits per item.
        variance: (lengths,) sampling variances of those means; a length without a positive
            one is left out.
    """
    arrays = (np.asarray(values, dtype=float) for values in (lengths, edits, variance))
    table = np.array([*arrays])
    size, mean, spread = table[:, table[2] > 0]
    if not size.size:
        nan = math.nan
        return QuasiLinear(nan, nan, 0, nan, nan, nan, nan, None)
    fit = _wls(size[:, None], mean, 1 / spread)
    gamma, error = math.nan, math.nan
    has = mean > 0
    if has.sum() > 1:
        design = np.column_stack([np.ones(has.sum()), np.log(size[has])])
        log_fit = _wls(design, np.log(mean[has]), mean[has] ** 2 / spread[has])
        gamma, error = float(log_fit.slopes[1]), float(log_fit.errors[1])
    low, high = gamma + ndtri(0.05) * error, gamma + ndtri(0.95) * error
    inside = None if math.isnan(gamma) else bool(low >= EQUIVALENCE[0] and high <= EQUIVALENCE[1])
    freedom = size.size - 1
    return QuasiLinear(float(fit.slopes[0]), fit.rss, freedom, _chi2_p(fit.rss, freedom),
                       gamma, float(low), float(high), inside)  # fmt: skip


def _commensurate(
    answers: Answers, rng: np.random.Generator, draws: int
) -> tuple[Commensurate, FloatArray]:
    order = rng.permutation(len(answers.exact))
    first, second = np.array_split(order, 2)
    tokens = answers.lengths[first].sum()
    rate = (min(answers.edits[first].sum(), tokens) + 0.5) / (tokens + 1)
    size, count = np.unique(answers.lengths[second], return_counts=True)
    n, k = second.size, answers.exact[second].sum()
    predicted = float(_predict(rate, size, count))
    statistic = float(_deviance(k, n, predicted))
    rates = (rng.binomial(int(tokens), rate, draws) + 0.5) / (tokens + 1)
    successes = rng.binomial(count, (1 - rate) ** size, (draws, size.size)).sum(axis=1)
    drawn = _deviance(successes, n, _predict(rates, size, count))
    error = math.sqrt(rate * (1 - rate) / tokens)
    bounds = _predict(np.clip([rate + 1.96 * error, rate - 1.96 * error], 0, 1), size, count)
    ratio, low, high = _ratio(k, n, predicted, bounds)
    result = Commensurate(k / n, predicted, ratio, low, high, statistic, _share(drawn, statistic))
    return result, drawn


def _predict(rate: ArrayLike, size: FloatArray, count: NDArray[np.int64]) -> FloatArray:
    """Mean accuracy (1 - e)^L over items, for each error rate."""
    powers = (1 - np.asarray(rate, dtype=float))[..., None] ** size
    return np.asarray(powers @ count / count.sum())


def _deviance(k: ArrayLike, n: ArrayLike, rate: ArrayLike) -> FloatArray:
    """G of k successes in n against a rate; 0 ln 0 is 0."""
    k, n, a = (np.asarray(values, dtype=float) for values in (k, n, rate))
    tiny = np.finfo(float).tiny
    a = np.clip(a, tiny, 1 - np.finfo(float).epsneg)
    hit = xlogy(k, np.maximum(k, tiny) / (n * a))
    return np.asarray(2 * (hit + xlogy(n - k, np.maximum(n - k, tiny) / (n * (1 - a)))))


def _ratio(k: float, n: int, predicted: float, bounds: FloatArray) -> tuple[float, float, float]:
    """Observed over predicted with a 95 % interval that combines both on the log scale.

    Zou, Donner (2008), Statistics in Medicine 27(10): recovered variance (MOVER).
    """
    interval = clopper_pearson(k, n)
    low, high = (float(np.asarray(end)) for end in (interval.low, interval.high))
    with np.errstate(divide="ignore"):
        down = np.hypot(np.log(k / n) - np.log(low), np.log(bounds[1] / predicted)) if k else np.inf
        up = np.hypot(np.log(high * n / max(k, 1)), np.log(predicted / bounds[0]))
    start = max(k, 1) / n / predicted  # no success: the upper limit is the exact one, widened
    return k / n / predicted, float(k / n / predicted * np.exp(-down)), float(start * np.exp(up))


def _share(drawn: FloatArray, statistic: float) -> float:
    return float((1 + (drawn >= statistic * (1 - 1e-9)).sum()) / (1 + drawn.size))


class _Fit(NamedTuple):
    slopes: FloatArray
    errors: FloatArray
    rss: float


def _wls(design: FloatArray, y: FloatArray, weights: FloatArray) -> _Fit:
    covariance = np.linalg.pinv(design.T * weights @ design)
    slopes = covariance @ (design.T * weights @ y)
    rss = float((weights * (y - design @ slopes) ** 2).sum())
    return _Fit(slopes, np.sqrt(np.diag(covariance)), rss)


def _chi2_p(statistic: float, freedom: int) -> float:
    return float(chi2.sf(statistic, freedom)) if freedom > 0 else math.nan


def _no_decay(status: str, lengths: int) -> GeometricDecay:
    nan = math.nan
    return GeometricDecay(nan, nan, nan, nan, lengths - 1, nan, nan, nan, nan, "none", status)


def _decay(size: int, slope: float, error: float, statistic: float, curvature: float, z: float,
           method: str) -> GeometricDecay:  # fmt: skip
    several = size > 1
    return GeometricDecay(
        slope=slope,
        slope_error=error,
        token_probability=math.exp(slope),
        statistic=statistic,
        freedom=size - 1,
        p=_chi2_p(statistic, size - 1),
        curvature=curvature if several else math.nan,
        z=z if several else math.nan,
        p_curvature=float(2 * ndtr(-abs(z))) if several else math.nan,
        method=method,
        status="fitted",
    )


def _decay_by_wls(size: FloatArray, rate: FloatArray, n: FloatArray) -> GeometricDecay:
    weights = n * rate / (1 - rate)
    line = _wls(size[:, None], np.log(rate), weights)
    bent = _wls(np.column_stack([size, size**2]), np.log(rate), weights)
    q, error = float(bent.slopes[1]), float(bent.errors[1])
    return _decay(size.size, float(line.slopes[0]), float(line.errors[0]), line.rss, q,
                  q / error if error > 0 else 0.0, "wls")  # fmt: skip


def _decay_by_glm(size: FloatArray, k: FloatArray, n: FloatArray) -> GeometricDecay:
    """Binomial likelihood with log link; the rate of decay is positive at every length."""

    def deviance(log_decay: FloatArray) -> float:
        return float(_deviance(k, n, np.exp(-np.exp(log_decay) * size)).sum())

    line = minimize_scalar(lambda t: deviance(np.full(size.size, t)), bounds=LOG_RATES)
    slope = -math.exp(line.x)
    rate = np.exp(slope * size)
    error = 1 / math.sqrt(float((n * size**2 * rate / (1 - rate)).sum()))
    if size.size < 2:
        return _decay(1, slope, error, float(line.fun), math.nan, 0.0, "glm")
    # decay per token falls or rises linearly with L: -(s + q L), positive at both ends
    share = (size - size.min()) / np.ptp(size)

    def per_token(ends: FloatArray) -> FloatArray:
        return np.asarray((1 - share) * np.exp(ends[0]) + share * np.exp(ends[1]))

    def bent_deviance(ends: FloatArray) -> float:
        return deviance(np.log(per_token(ends)))

    start = np.array([line.x, line.x], dtype=np.float64)
    bent = minimize(bent_deviance, start, method="L-BFGS-B", bounds=[LOG_RATES, LOG_RATES])
    q = (math.exp(bent.x[0]) - math.exp(bent.x[1])) / float(np.ptp(size))
    z = math.copysign(math.sqrt(max(float(line.fun - bent.fun), 0.0)), q)
    return _decay(size.size, slope, error, float(line.fun), q, z, "glm")
