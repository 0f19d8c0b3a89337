"""Worlds whose answers are rows of tokens; exact match jumps where token errors need not.

Source of the design: the validation plan of the Saltus procedure. The accuracy of the
largest model is drawn from U(.4, .9), which fixes its mean loss -ln(accuracy) / L; the length
L comes from {4, 6, 8, 10}; items share their difficulty (SD .7 on ln loss, mean loss kept)
between models. Where the design leaves a choice open, the one here gives the same share of
apparent emergence as was measured for the design (.46 for `i_power`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from saltus.worlds.world import DECADES, Tokens, world

FloatArray = NDArray[np.float64]

ITEM_SD = 0.7
LENGTHS = (4, 6, 8, 10)
DESIGN = "Saltus validation design, after Schaeffer et al. (2023), arXiv 2304.15004, sec. 2"


def draw_tokens(
    rng: np.random.Generator,
    latent: FloatArray,
    length: int,
    items: int,
    tau: float,
    threshold: float = float("nan"),
    item_sd: float = ITEM_SD,
) -> Tokens:
    """Answers of models with the given ln per-token loss.

    Args:
        rng: source of randomness.
        latent: (scales,) ln of the mean loss over items, nats per token.
        length: tokens per answer.
        items: number of items.
        tau: standard deviation of the model noise on ln loss.
        threshold: passed on.
        item_sd: standard deviation of the shared item difficulty on ln loss.
    """
    noisy = latent + tau * rng.standard_normal(latent.size)
    difficulty = item_sd * rng.standard_normal(items) - item_sd**2 / 2  # E[exp] = 1
    wrong = -np.expm1(-np.exp(noisy[:, None] + difficulty))
    return Tokens(latent, rng.binomial(length, wrong), length, threshold)


def _largest(rng: np.random.Generator) -> tuple[int, float]:
    """Length of the answers, and ln loss of the largest model."""
    length = int(rng.choice(LENGTHS))
    return length, float(np.log(-np.log(rng.uniform(0.4, 0.9)) / length))


@world(truth="smooth", source=DESIGN)
def i_power(rng: np.random.Generator, x: FloatArray, items: int, tau: float) -> Tokens:
    """Loss is a power law of scale: log loss falls by U(.5, 1.6) per decade."""
    length, ln_loss = _largest(rng)
    latent = ln_loss + rng.uniform(0.5, 1.6) * (DECADES - x)
    return draw_tokens(rng, latent, length, items, tau)


@world(truth="smooth", source=DESIGN)
def i_irred(rng: np.random.Generator, x: FloatArray, items: int, tau: float) -> Tokens:
    """The same power law above an irreducible loss of .4 of the largest model's loss."""
    length, ln_loss = _largest(rng)
    decay = np.exp(rng.uniform(0.5, 1.6) * (DECADES - x))
    return draw_tokens(rng, ln_loss + np.log(0.4 + 0.6 * decay), length, items, tau)


@world(truth="smooth", source=DESIGN)
def i_logistic(rng: np.random.Generator, x: FloatArray, items: int, tau: float) -> Tokens:
    """Logit of the token probability rises by U(.8, 2) per decade: another link than ours."""
    length, ln_loss = _largest(rng)
    top = -np.log(np.expm1(np.exp(ln_loss)))  # logit of exp(-l)
    logit = top - rng.uniform(0.8, 2.0) * (DECADES - x)
    return draw_tokens(rng, np.log(np.logaddexp(0, -logit)), length, items, tau)


@world(truth="break", source=DESIGN)
def ii_break(rng: np.random.Generator, x: FloatArray, items: int, tau: float) -> Tokens:
    """Log loss falls by U(0, .2) per decade, after 40-65 % of the range by U(1.8, 3)."""
    length, ln_loss = _largest(rng)
    threshold = rng.uniform(0.40, 0.65) * DECADES
    before, after = rng.uniform(0.0, 0.2), rng.uniform(1.8, 3.0)
    fall = before * np.minimum(x - threshold, 0) + after * np.maximum(x - threshold, 0)
    latent = ln_loss + after * (DECADES - threshold) - fall
    return draw_tokens(rng, latent, length, items, tau, threshold)


@world(truth="none", source=DESIGN)
def iv_noise_em(rng: np.random.Generator, x: FloatArray, items: int, tau: float) -> Tokens:
    """Nothing depends on scale; every model has the accuracy U(.4, .9) but for its noise."""
    length, ln_loss = _largest(rng)
    return draw_tokens(rng, np.full(x.size, ln_loss), length, items, tau)
