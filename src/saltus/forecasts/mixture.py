"""Many curves at once: a mixture of Gaussian processes with the weights of their evidence.

A component is a guess about how a series moves: its shape (a straight line on the link scale,
one that levels off, one that speeds up, no change at all, or staying at chance), how steep, how
far it wanders from the curve from one scale to the next, and the model noise. Each has
normal priors, so its evidence and its prediction are closed forms; the mixture over the grid
carries the uncertainty of the curve, of its parameters and of the noise into the forecast.
The prior weights of the grid are learned from the training rows of all series (EM), which is how a
series with four scales borrows from the others what jumps and noise are usual.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

from saltus.forecasts.links import FloatArray

BENDS = (0.0, -0.7, 0.7, -1.8, 1.8)  # decades of change of the slope over the training range
SLOPES = ((0.0, 0.15), (0.3, 0.25), (0.8, 0.5))  # prior mean and spread of the slope, units
WALKS = (0.0, 0.1, 0.4)  # wandering per square root of a decade, units
NOISES = (0.015, 0.05, 0.15, 0.5)  # model noise tau, units
LEVEL = 3.0  # prior spread of the level, units
AT_CHANCE = 0.02  # spread of the level of a guesser
SHORTEST = 0.5  # decades that a training range counts at least
MISSING = 1e6  # variance of a value that is not there
PRIOR = 10.0  # series that the first weights count as
ROUNDS = 20  # of EM


class Component(NamedTuple):
    """One guess, in units of the link scale.

    Args:
        bend: decades by which the slope changes over the training range, 0 for a straight
            line; None for no change with scale.
        slope: prior mean of the slope per decade at the largest training scale.
        spread: prior standard deviation of the slope.
        walk: standard deviation of the wandering over one decade.
        noise: model noise tau.
        guess: whether the level is that of chance.
        weight: first weight, before the data are seen.
    """

    bend: float | None
    slope: float
    spread: float
    walk: float
    noise: float
    guess: bool
    weight: float


@dataclass(frozen=True)
class Batch:
    """Series that share their models: what one call works on, in units of the link scale.

    Args:
        x: (inputs, models + targets) log10 of the inputs, models first.
        place: (models + targets,) log10 of the scale along which a series wanders.
        z: (series, models) NaN where missing.
        variance: (series, models) sampling variance; NaN where not known.
        chance: (series,) NaN where not known.
    """

    x: FloatArray
    place: FloatArray
    z: FloatArray
    variance: FloatArray
    chance: FloatArray


class Predictions(NamedTuple):
    """Every component's say about every series.

    Args:
        evidence: (components, series) log marginal likelihood.
        mean: (components, series, targets).
        variance: (components, series, targets), model noise included.
    """

    evidence: FloatArray
    mean: FloatArray
    variance: FloatArray


def components() -> tuple[Component, ...]:
    """The grid of guesses with their first weights, which sum to 1."""
    grid = [
        Component(bend, *slope, walk, noise, False, 2.0 if bend == 0.0 else 1.0)
        for bend, slope, walk, noise in product(BENDS, SLOPES, WALKS, NOISES)
    ]
    grid += [Component(None, 0.0, 0.0, w, n, False, 3.0) for w, n in product(WALKS, NOISES)]
    grid += [Component(None, 0.0, 0.0, 0.0, n, True, 2.0) for n in NOISES]
    total = sum(entry.weight for entry in grid)
    return tuple(entry._replace(weight=entry.weight / total) for entry in grid)


COMPONENTS = components()


def shaped(x: FloatArray, rate: float) -> FloatArray:
    """Curve of slope 1 at x = 0: (10^(rate x) - 1) / (rate ln 10), a line at rate 0."""
    if rate == 0.0:
        return x
    bend = rate * np.log(10.0)
    return np.expm1(bend * x) / bend


def predict(batch: Batch) -> Predictions:
    """Evidence and prediction of every component, for every series of a batch."""
    parts = [_component(batch, entry) for entry in COMPONENTS]
    return Predictions(*(np.stack(part) for part in zip(*parts, strict=True)))


def _component(batch: Batch, entry: Component) -> tuple[FloatArray, FloatArray, FloatArray]:
    models = batch.z.shape[1]
    known = np.isfinite(batch.z)
    prior, mean, usable = _prior(batch, entry)
    sampling = np.where(np.isfinite(batch.variance), batch.variance, 0.0)
    noise = np.where(known, sampling + entry.noise**2, MISSING)
    shared = bool((noise == noise[0]).all())
    roots = np.linalg.cholesky(
        prior[:models, :models] + np.eye(models) * (noise[:1] if shared else noise)[:, None, :]
    )
    left = np.where(known, batch.z - mean[:, :models], 0.0)
    across = prior[:models, models:]
    if shared:
        both = np.linalg.solve(roots[0], np.concatenate([left.T, across], axis=1))
        white, half = both[:, : len(left)].T, both[:, len(left) :][None]
    else:
        tiled = np.broadcast_to(across, (len(left), *across.shape))
        both = np.linalg.solve(roots, np.concatenate([left[:, :, None], tiled], axis=2))
        white, half = both[:, :, 0], both[:, :, 1:]
    diagonal = np.diagonal(roots, axis1=1, axis2=2)
    logs = np.where(known, np.log(diagonal), 0.0).sum(axis=1)
    evidence = np.where(usable, -0.5 * np.square(white).sum(axis=1) - logs, -np.inf)
    ahead = mean[:, models:] + np.einsum("tmq,tm->tq", np.broadcast_to(half, (len(left), *across.shape)), white)
    spread = np.maximum(np.diagonal(prior)[models:] - np.square(half).sum(axis=1), 0.0)
    return evidence, ahead, np.broadcast_to(spread + entry.noise**2, ahead.shape)


def _prior(batch: Batch, entry: Component) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Covariance over all places, (series, places) mean, and which series it can speak of."""
    size = batch.place.size
    covariance = np.zeros((size, size))
    level = _level(batch, entry)
    mean = np.broadcast_to(level[:, None], (len(batch.z), size)).copy()
    covariance += (AT_CHANCE if entry.guess else LEVEL) ** 2
    last = batch.z.shape[1]
    if entry.bend is not None:
        for row in batch.x:
            span = max(float(np.ptp(row[:last])), SHORTEST)
            curve = shaped(row - row[:last].max(), entry.bend / span)
            covariance += entry.spread**2 * np.outer(curve, curve)
            mean += entry.slope * curve
    if entry.walk:
        steps = batch.place - batch.place.min()
        covariance += entry.walk**2 * np.minimum.outer(steps, steps)
    return covariance, mean, np.isfinite(level)


def _level(batch: Batch, entry: Component) -> FloatArray:
    if entry.guess:
        return batch.chance
    known = np.isfinite(batch.z)
    count = np.maximum(known.sum(axis=1), 1)
    centre: FloatArray = np.where(known, batch.z, 0.0).sum(axis=1) / count
    return centre


def learned_weights(evidence: FloatArray) -> FloatArray:
    """(components,) prior weights from the evidence of all series, by EM.

    Args:
        evidence: (components, series) log marginal likelihoods.
    """
    first = np.array([entry.weight for entry in COMPONENTS])
    weights = first
    for _ in range(ROUNDS if evidence.shape[1] else 0):
        counts = posterior(evidence, weights).sum(axis=1)
        weights = (PRIOR * first + counts) / (PRIOR + counts.sum())
    return weights


def posterior(evidence: FloatArray, weights: FloatArray) -> FloatArray:
    """(components, series) posterior weights; they sum to 1 over the components."""
    logs = evidence + np.log(weights)[:, None]
    shares = np.exp(logs - logs.max(axis=0))
    return shares / shares.sum(axis=0)


def draw(
    found: Predictions, weights: FloatArray, scores: FloatArray, places: FloatArray
) -> FloatArray:
    """(series, targets, draws) draws of the mixture.

    Args:
        found: predictions of the components.
        weights: (components, series) posterior weights.
        scores: (draws,) standard normal.
        places: (draws,) between 0 and 1, which component each draw comes from.
    """
    bounds = np.cumsum(weights, axis=0)
    chosen = [np.searchsorted(column, places * column[-1]) for column in bounds.T]
    index = np.minimum(np.stack(chosen), len(weights) - 1)
    rows = np.arange(index.shape[0])[:, None]
    mean = found.mean[index, rows]
    spread = np.sqrt(found.variance[index, rows])
    return np.swapaxes(mean + spread * scores[None, :, None], 1, 2)


def places_of(rng: np.random.Generator, draws: int) -> FloatArray:
    """(draws,) increasing, one in each of `draws` equal slices of 0 to 1."""
    return (np.arange(draws) + rng.random(draws)) / draws


def stacked(parts: Sequence[FloatArray]) -> FloatArray:
    """(components, all series) evidence of several batches side by side."""
    return np.concatenate(parts, axis=1) if parts else np.zeros((len(COMPONENTS), 0))
