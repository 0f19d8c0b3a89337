"""Worlds of the quantization model: skills are learned one by one, and each one jumps.

Michaud et al. (2023), arXiv 2303.13506: quanta with use frequency p_k ~ k^-(alpha+1) are
learned in order, as many as the parameters allow, so the share not yet learned, weighted by
use, falls as N^-alpha. Items jump, the mean is smooth.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from saltus.worlds.world import Tokens, world

FloatArray = NDArray[np.float64]

KNOWN_ERROR = 0.005  # per token, its quantum learned
UNKNOWN_ERROR = 0.9  # its quantum not learned: a guess among ten digits
SOURCE = "Michaud et al. (2023), arXiv 2303.13506, sec. 2"


def _learned(
    rng: np.random.Generator, x: FloatArray, tau: float, shape: tuple[int, ...]
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Log share not learned (scales,), and which quanta each model has.

    Quanta are drawn by use: P(index > n) = n^-alpha, and a model knows the first n of them,
    n = N / N_smallest. The smallest model knows next to none.
    """
    exponent = rng.uniform(0.25, 0.6)
    latent = -exponent * np.log(10) * x
    noisy = latent + tau * rng.standard_normal(x.size)
    rank = rng.uniform(size=shape)  # index^-alpha: uniform, small = rare
    return latent, rank >= np.exp(noisy).reshape(-1, *(1,) * len(shape))


@world(truth="smooth", source=SOURCE)
def quanta_mono(rng: np.random.Generator, x: FloatArray, items: int, tau: float) -> Tokens:
    """Each item needs one quantum: every item jumps somewhere, the mean is a power law."""
    length = 6
    latent, learned = _learned(rng, x, tau, (items,))
    errors = rng.binomial(length, np.where(learned, KNOWN_ERROR, UNKNOWN_ERROR))
    return Tokens(latent, errors, length)


@world(truth="smooth", source=SOURCE)
def quanta_poly(rng: np.random.Generator, x: FloatArray, items: int, tau: float) -> Tokens:
    """Each token of an item needs its own quantum: exact match turns the power law sharp."""
    length = 6
    latent, learned = _learned(rng, x, tau, (items, length))
    wrong = rng.uniform(size=learned.shape) < np.where(learned, KNOWN_ERROR, UNKNOWN_ERROR)
    return Tokens(latent, wrong.sum(axis=2), length)
