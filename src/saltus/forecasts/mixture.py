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
CELLS = 4e6  # numbers of one array of covariances
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
    return np.asarray(np.expm1(bend * x) / bend)


class _Grid(NamedTuple):
    """The components as columns."""

    slope: FloatArray
    spread: FloatArray
    walk: FloatArray
    noise: FloatArray
    guess: FloatArray


def _grid(entries: Sequence[Component]) -> _Grid:
    columns = [[getattr(e, name) for e in entries] for name in _Grid._fields]
    return _Grid(*(np.array(column, dtype=float) for column in columns))


def predict(batch: Batch) -> Predictions:
    """Evidence and prediction of every component, for every series of a batch."""
    series, models = batch.z.shape
    step = max(1, int(CELLS / (series * models * models + 1)))
    parts = [
        _predict(batch, COMPONENTS[start : start + step])
        for start in range(0, len(COMPONENTS), step)
    ]
    return Predictions(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _predict(batch: Batch, entries: Sequence[Component]) -> Predictions:
    """All at once: arrays are (components, series, ...)."""
    models, grid = batch.z.shape[1], _grid(entries)
    known = np.isfinite(batch.z)
    prior, mean = _prior(batch, entries, grid)
    usable = np.isfinite(mean[:, :, 0])
    sampling = np.where(np.isfinite(batch.variance), batch.variance, 0.0)
    noise = np.where(known, sampling + grid.noise[:, None, None] ** 2, MISSING)
    if bool((noise == noise[:, :1]).all()):
        noise = noise[:, :1]
    covariance = prior[:, None, :models, :models] + noise[..., None, :] * np.eye(models)
    root = np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)
    left = np.where(known & usable[..., None], batch.z - mean[:, :, :models], 0.0)
    white, half = _whitened(root, left, prior[:, :models, models:])
    logs = np.log(np.diagonal(root, axis1=2, axis2=3))
    volume = np.where(known, logs, 0.0).sum(axis=2)
    evidence = np.where(usable, -0.5 * np.square(white).sum(axis=2) - volume, -np.inf)
    ahead = np.nan_to_num(mean[:, :, models:]) + np.einsum("ctmq,ctm->ctq", half, white)
    spread = np.diagonal(prior, axis1=1, axis2=2)[:, None, models:] - np.square(half).sum(axis=2)
    variance = np.maximum(spread, 0.0) + grid.noise[:, None, None] ** 2
    return Predictions(evidence, ahead, np.broadcast_to(variance, ahead.shape))


def _whitened(
    root: FloatArray, left: FloatArray, across: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Values (components, series, models) and priors (..., models, targets) over the root.

    One factor serves all series whose noise is the same.
    """
    if root.shape[1] == 1:
        whole = np.concatenate([np.swapaxes(left, 1, 2), across], axis=2)
        both = np.linalg.solve(root[:, 0], whole)
        white = np.swapaxes(both[:, :, : left.shape[1]], 1, 2)
        half = both[:, None, :, left.shape[1] :]
        return white, np.broadcast_to(half, (*left.shape, across.shape[2]))
    tiled = np.broadcast_to(across[:, None], (*left.shape, across.shape[2]))
    both = np.linalg.solve(root, np.concatenate([left[..., None], tiled], axis=3))
    return both[..., 0], both[..., 1:]


def _prior(
    batch: Batch, entries: Sequence[Component], grid: _Grid
) -> tuple[FloatArray, FloatArray]:
    """(components, places, places) covariance and (components, series, places) mean.

    The mean is NaN where a component cannot speak of a series: no chance level is known.
    """
    shapes = {bend: _curves(batch, bend) for bend in {entry.bend for entry in entries}}
    curves = np.stack([shapes[entry.bend] for entry in entries])
    level = np.where(grid.guess > 0.0, AT_CHANCE, LEVEL)
    steps = batch.place - batch.place.min()
    covariance = (
        np.square(level)[:, None, None]
        + np.square(grid.spread)[:, None, None] * np.einsum("cip,ciq->cpq", curves, curves)
        + np.square(grid.walk)[:, None, None] * np.minimum.outer(steps, steps)
    )
    known = np.isfinite(batch.z)
    centre = np.where(known, batch.z, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    start = np.where(grid.guess[:, None] > 0.0, batch.chance, centre)
    rise = grid.slope[:, None] * curves.sum(axis=1)
    return covariance, start[:, :, None] + rise[:, None, :]


def _curves(batch: Batch, bend: float | None) -> FloatArray:
    """(inputs, places) the curve along every input; zero without a change with scale."""
    if bend is None:
        return np.zeros_like(batch.x)
    known = batch.x[:, : batch.z.shape[1]]
    span = np.maximum(np.ptp(known, axis=1), SHORTEST)
    rows = zip(batch.x, known.max(axis=1), span, strict=True)
    return np.stack([shaped(row - last, bend / width) for row, last, width in rows])


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
    return np.asarray(shares / shares.sum(axis=0))


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
