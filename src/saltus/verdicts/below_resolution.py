"""Aggregates alone: is the thresholded metric compatible with a smooth curve it cannot resolve?

The smooth curve is the binomial model y = c + (1 - c) E[exp(-exp(eta + sigma u))] with eta
falling in a straight line along the axis and u standard normal: with sigma = 0 the
complementary log-log line of science.md 1.1, with sigma > 0 the same for items of unequal
difficulty (Jensen's caveat there). It passes when its deviance, over an estimated
dispersion, is no larger than in bootstrap draws.

Dispersion. Model noise moves eta, so at many items the counts scatter more than binomial
counts do. Its variance factor is the Pearson statistic of the best hinge or jump in eta over
its degrees of freedom, so that a true break does not hide as noise. The draws carry that
noise, and every draw estimates its own factor again, with the hinge or jump by its score at
the smooth fit, which they come from.

The draws are never refitted one by one: the log-likelihood is linear in the counts, so a
grid of curves around the fit is one matrix product for all draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy

from saltus.curves.broken import broken_family
from saltus.curves.curve import FloatArray
from saltus.curves.fit import design
from saltus.estimates.resolution import items_above_chance, items_for_one_success
from saltus.verdicts.series import Series

ALPHA = 0.05
HETEROGENEITY = (0.0, 0.7, 1.4)
ETA_LOW, ETA_HIGH = -7.0, 9.0
NODES, NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(15)
ZOOMS = 8
LEAST_RATE = 1e-12
FREE_SCALES = 4
FISHER_STEPS = 25
LONGEST_STEP = 1.0
ETA_REACH = 20.0
RIDGE = 1e-3


@dataclass(frozen=True)
class Resolution:
    """What the aggregate allows to say.

    Args:
        p_deviance: bootstrap p of the smooth curve's deviance.
        dispersion: estimated variance factor of the counts, at least 1.
        unresolved: near-floor scales whose expected excess the items cannot show.
        items_needed: items that would resolve the largest of these excesses; NaN without one.
        expected: (scales,) rate of the smooth curve.
    """

    p_deviance: float
    dispersion: float
    unresolved: int
    items_needed: float
    expected: FloatArray

    @property
    def below(self) -> bool:
        """Compatible with smooth, and two near-floor scales at least cannot show it."""
        return self.p_deviance > ALPHA and self.unresolved >= 2


@dataclass(frozen=True)
class _Counts:
    """Binomial counts: place on [0, 1], items, successes, chance."""

    u: FloatArray
    items: FloatArray
    successes: FloatArray
    chance: float


@dataclass(frozen=True)
class _Smooth:
    """The fitted curve: eta at the first and the last scale, and the heterogeneity."""

    ends: FloatArray
    sigma: float
    log_likelihood: float


def below_resolution(
    series: Series, near_floor: int, rng: np.random.Generator, resamples: int
) -> Resolution | None:
    """The smooth binomial curve of a thresholded metric, its test and the items it asks for.

    Args:
        series: with known items and chance.
        near_floor: m of step 1.
        rng: source of the bootstrap draws.
        resamples: number of draws.

    Returns:
        None with fewer than four scales: two parameters and heterogeneity need one more.
    """
    kept = np.isfinite(series.rate) & np.isfinite(series.x)
    x = series.x[kept]
    if x.size < FREE_SCALES:
        return None
    u = (x - x[0]) / (x[-1] - x[0])
    items = np.maximum(np.round(series.items[kept]), 1.0)
    counts = _Counts(u, items, np.clip(series.successes[kept], 0.0, items), series.chance)
    fits = [_fit(counts, sigma) for sigma in HETEROGENEITY]
    best = max(fits, key=lambda fit: fit.log_likelihood)
    p_deviance, dispersion = _deviance_test(counts, fits, best, rng, resamples)
    expected = _rates(best.ends, best.sigma, counts)
    return _resolution(p_deviance, dispersion, expected, counts, near_floor)


def _resolution(
    p_deviance: float, dispersion: float, expected: FloatArray, counts: _Counts, near_floor: int
) -> Resolution:
    chance, items = counts.chance, counts.items[:near_floor]
    excess = items * (expected[:near_floor] - chance)
    visible = np.maximum(3.0, 1.64 * np.sqrt(items * chance * (1.0 - chance)))
    rates = expected[:near_floor][excess < visible]
    needed = [_items(float(rate), chance) for rate in rates]
    least = min(needed, default=float("nan"))
    return Resolution(p_deviance, dispersion, len(needed), least, expected)


def _items(rate: float, chance: float) -> float:
    """Items that would show this rate, science.md 1.2."""
    return items_for_one_success(rate) if chance <= 0.0 else items_above_chance(rate, chance)


def _rates(ends: FloatArray, sigma: float, counts: _Counts) -> FloatArray:
    """(..., scales) rates of curves whose eta at the first and last scale is given."""
    eta = ends[..., :1] * (1.0 - counts.u) + ends[..., 1:] * counts.u
    return _link(eta, sigma, counts.chance)


def _link(eta: FloatArray, sigma: float, chance: float) -> FloatArray:
    """Rates c + (1 - c) E[exp(-exp(eta + sigma u))], kept off 0 and 1."""
    if sigma == 0.0:
        passed = np.exp(-np.exp(eta))
    else:
        weights = NODE_WEIGHTS / NODE_WEIGHTS.sum()
        passed = np.exp(-np.exp(eta[..., None] + sigma * NODES)) @ weights
    return np.clip(chance + (1.0 - chance) * passed, LEAST_RATE, 1.0 - LEAST_RATE)


def _log_likelihoods(rates: FloatArray, successes: FloatArray, items: FloatArray) -> FloatArray:
    """(curves, draws) binomial log-likelihood without its constant: one matrix product."""
    odds = np.log(rates) - np.log1p(-rates)
    likelihood: FloatArray = odds @ successes
    likelihood += (np.log1p(-rates) @ items)[:, None]
    return likelihood


def _fit(counts: _Counts, sigma: float) -> _Smooth:
    """Maximum likelihood by zooming grids: no derivative, no start, no divergence."""
    low, high = np.full(2, ETA_LOW), np.full(2, ETA_HIGH)
    best, likelihood = (low + high) / 2.0, -np.inf
    for _ in range(ZOOMS):
        ends = _mesh(np.linspace(low[0], high[0], 21), np.linspace(low[1], high[1], 21))
        found = _log_likelihoods(
            _rates(ends, sigma, counts), counts.successes[:, None], counts.items
        )[:, 0]
        at = int(np.argmax(found))
        best, likelihood = ends[at], float(found[at])
        reach = (high - low) * 0.15
        low, high = np.maximum(best - reach, ETA_LOW), np.minimum(best + reach, ETA_HIGH)
    return _Smooth(best, sigma, likelihood)


def _mesh(first: FloatArray, last: FloatArray) -> FloatArray:
    return np.stack(np.meshgrid(first, last, indexing="ij"), axis=-1).reshape(-1, 2)


def _deviance_test(
    counts: _Counts,
    fits: Sequence[_Smooth],
    best: _Smooth,
    rng: np.random.Generator,
    resamples: int,
) -> tuple[float, float]:
    """Bootstrap p of the deviance over the dispersion, and the dispersion."""
    noise = _Noise(counts, best)
    observed = counts.successes[:, None]
    factor = _broken_dispersion(counts, best) if noise.freedom > 1 else 1.0
    spread = float(np.sqrt(max(0.0, factor - 1.0) / noise.sensitivity))
    eta = _eta(counts, best)
    shaken = eta + spread * rng.standard_normal((resamples, eta.size))
    rates = _link(shaken, best.sigma, counts.chance)
    drawn = rng.binomial(counts.items.astype(np.int64), rates).T.astype(np.float64)
    grid = np.concatenate([_around(counts, fit) for fit in fits])
    statistic = _deviances(grid, drawn, counts.items) / noise.dispersion(drawn)
    seen = _deviances(grid, observed, counts.items) / factor
    hits = int(np.count_nonzero(statistic >= seen[0]))
    return (1.0 + hits) / (1.0 + resamples), factor


def _around(counts: _Counts, centre: _Smooth) -> FloatArray:
    """(curves, scales) rates on a grid of four standard errors around a fit."""
    tangents = _tangents(counts, centre)
    information = tangents.T @ tangents + 1e-6 * np.eye(2)
    values, vectors = np.linalg.eigh(information)
    steps = np.linspace(-4.0, 4.0, 21)
    moves = _mesh(steps / np.sqrt(values[0]), steps / np.sqrt(values[1])) @ vectors.T
    ends = np.clip(centre.ends + moves, ETA_LOW, ETA_HIGH)
    return _rates(ends, centre.sigma, counts)


def _deviances(rates: FloatArray, successes: FloatArray, items: FloatArray) -> FloatArray:
    """(draws,) twice the distance of the best curve from the saturated model."""
    missed = items[:, None] - successes
    share = successes / items[:, None]
    saturated = (xlogy(successes, share) + xlogy(missed, 1.0 - share)).sum(axis=0)
    best = _log_likelihoods(rates, successes, items).max(axis=0)
    return np.asarray(np.maximum(2.0 * (saturated - best), 0.0))


def _eta(counts: _Counts, best: _Smooth) -> FloatArray:
    """(scales,) the straight line of a fit."""
    return np.asarray(best.ends[0] * (1.0 - counts.u) + best.ends[1] * counts.u)


def _derivative(counts: _Counts, eta: FloatArray, sigma: float) -> tuple[FloatArray, FloatArray]:
    """Rates and their derivative in eta, of the shape of eta."""
    step = 1e-4
    rise = _link(eta + step, sigma, counts.chance)
    fall = _link(eta - step, sigma, counts.chance)
    return _link(eta, sigma, counts.chance), (rise - fall) / (2.0 * step)


def _broken_dispersion(counts: _Counts, best: _Smooth) -> float:
    """Pearson statistic of the best hinge or jump in eta over its freedom, at least 1.

    Damped Fisher scoring of all hinges and jumps at once, started at the smooth fit.
    """
    columns = np.concatenate(
        [curve.columns(counts.u, curve.grid(counts.u, "params"))[1] for curve in broken_family()]
    )
    shared = np.broadcast_to(np.stack([1.0 - counts.u, counts.u]), (len(columns), 2, counts.u.size))
    designs = np.concatenate([shared, columns[:, None, :]], axis=1)
    found = np.zeros(designs.shape[:2])
    found[:, :2] = best.ends
    for _ in range(FISHER_STEPS):
        eta = np.einsum("gp,gps->gs", found, designs)
        rates, slopes = _derivative(counts, eta, best.sigma)
        precision = counts.items / (rates * (1.0 - rates))
        scored = np.einsum("gps,gs->gp", designs, slopes * precision * _gap(counts, rates))
        weighted = designs * (precision * np.square(slopes))[:, None, :]
        information = np.einsum("gps,gqs->gpq", weighted, designs) + RIDGE * np.eye(3)
        step = np.linalg.solve(information, scored[..., None])[..., 0]
        found = found + np.clip(step, -LONGEST_STEP, LONGEST_STEP)
        found = np.clip(found, -ETA_REACH, ETA_REACH)
    rates = _link(np.einsum("gp,gps->gs", found, designs), best.sigma, counts.chance)
    variance = counts.items * rates * (1.0 - rates) + 0.5
    pearson = (np.square(counts.items * _gap(counts, rates)) / variance).sum(axis=1)
    return max(1.0, float(pearson.min()) / (counts.u.size - FREE_SCALES))


def _gap(counts: _Counts, rates: FloatArray) -> FloatArray:
    """Observed rates less expected ones."""
    return np.asarray(counts.successes / counts.items - rates)


def _tangents(counts: _Counts, best: _Smooth) -> FloatArray:
    """(scales, 2) change of the Pearson residuals with the two ends of eta."""
    rates, slopes = _derivative(counts, _eta(counts, best), best.sigma)
    whitened = slopes * np.sqrt(counts.items / (rates * (1.0 - rates)))
    return whitened[:, None] * np.stack([1.0 - counts.u, counts.u], axis=1)


class _Noise:
    """Dispersion of counts around the fit, beside a hinge or a jump in eta."""

    def __init__(self, counts: _Counts, best: _Smooth):
        rates, slopes = _derivative(counts, _eta(counts, best), best.sigma)
        self.mean = counts.items * rates
        # Half a success more keeps one lucky answer at the floor from being all the noise.
        self.deviation = np.sqrt(counts.items * rates * (1.0 - rates) + 0.5)
        self.reaction = counts.items * slopes / self.deviation
        # With one degree of freedom or none the noise cannot be told from the misfit.
        self.freedom = counts.u.size - FREE_SCALES
        weights = np.maximum(np.square(self.reaction), 1e-9)
        self.sensitivity = float(weights.mean())
        self.plan = design(broken_family(), counts.u, weights, "params")

    def dispersion(self, successes: FloatArray) -> FloatArray:
        """(draws,) Pearson statistic over its degrees of freedom, at least 1."""
        residuals = (successes - self.mean[:, None]) / self.deviation[:, None]
        rest = residuals - self.plan.common @ (self.plan.common.T @ residuals)
        if self.freedom < 2:
            return np.ones(successes.shape[1])
        best = np.square(self.plan.units @ rest).max(axis=0)
        left = np.einsum("ij,ij->j", rest, rest) - best
        return np.asarray(np.maximum(left / self.freedom, 1.0))
