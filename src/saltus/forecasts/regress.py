"""Bayesian linear regression with normal priors and an unknown noise on a grid."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from saltus.forecasts.links import FloatArray

NOISES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)  # residual standard deviation, units


class Regression(NamedTuple):
    """Draws of the coefficients and of the noise.

    Args:
        coefficients: (draws, columns).
        noise: (draws,) residual standard deviation.
    """

    coefficients: FloatArray
    noise: FloatArray

    def at(self, design: FloatArray, rng: np.random.Generator) -> FloatArray:
        """(targets, draws) draws of new values at (targets, draws, columns) designs."""
        mean = np.einsum("qdk,dk->qd", design, self.coefficients)
        return np.asarray(mean + self.noise * rng.standard_normal(mean.shape))


def regress(
    design: FloatArray, z: FloatArray, spread: FloatArray, unit: float, rng: np.random.Generator,
    draws: int,
) -> Regression:  # fmt: skip
    """The posterior of a regression of z on a design.

    Args:
        design: (rows, columns).
        z: (rows,).
        spread: (columns,) prior standard deviations, mean 0; z is centred first.
        unit: of the link scale; the grid of the noise is in it.
        rng: of the draws.
        draws: how many.
    """
    centre = float(z.mean())
    noises = np.array(NOISES) * unit
    gram, moment = design.T @ design, design.T @ (z - centre)
    square = float(np.square(z - centre).sum())
    fits = [_fit(gram, moment, square, z.size, spread, noise) for noise in noises]
    logs = np.array([fit[2] for fit in fits])
    shares = np.exp(logs - logs.max())
    chosen = rng.choice(noises.size, size=draws, p=shares / shares.sum())
    normal = rng.standard_normal((draws, design.shape[1]))
    means = np.stack([fit[0] for fit in fits])[chosen]
    roots = np.stack([fit[1] for fit in fits])[chosen]
    coefficients = means + np.einsum("dkj,dj->dk", roots, normal)
    coefficients[:, 0] += centre
    return Regression(coefficients, noises[chosen])


def _fit(
    gram: FloatArray, moment: FloatArray, square: float, rows: int, spread: FloatArray,
    noise: float,
) -> tuple[FloatArray, FloatArray, float]:  # fmt: skip
    """Posterior mean, a root of the covariance, and the log evidence at one noise."""
    precision = gram / noise**2 + np.diag(1.0 / np.square(spread))
    covariance = np.linalg.inv(precision)
    mean = covariance @ moment / noise**2
    fit = square / noise**2 - float(mean @ moment) / noise**2
    _, volume = np.linalg.slogdet(precision)
    evidence = -0.5 * (fit + volume + 2.0 * np.log(spread).sum()) - rows * np.log(noise)
    root = np.asarray(np.linalg.cholesky((covariance + covariance.T) / 2.0))
    return mean, root, float(evidence)
