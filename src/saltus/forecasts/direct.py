"""The score as a curve in scale: parameters, FLOPs, tokens, or parameters and tokens together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from saltus.forecasts.block import Block, IntArray, by_links
from saltus.forecasts.forecaster import DRAWS, forecaster, normal_scores, nothing
from saltus.forecasts.links import FloatArray
from saltus.forecasts.mixture import (
    Batch,
    Predictions,
    draw,
    learned_weights,
    places_of,
    posterior,
    predict,
    stacked,
)

FEWEST = 2  # models with a value; below it there is no slope to speak of
MIXTURE = (
    "Golub and Pereyra (1973), SIAM J. Numer. Anal. 10(2): linear parameters are integrated out"
)


class Part(NamedTuple):
    """Series of one block that were predicted together."""

    block: int
    rows: IntArray
    unit: float
    found: Predictions


Inputs = Callable[[Block], tuple[FloatArray, FloatArray] | None]


def curves(
    blocks: Sequence[Block], inputs: Inputs, rng: np.random.Generator, draws: int = DRAWS
) -> list[FloatArray]:
    """Draws of the mixture of curves for every block.

    Args:
        blocks: training rows and targets.
        inputs: a block to its inputs (inputs, models + targets) and the scale along which it
            wanders (models + targets,), both log10; None where they are not known.
        rng: of the draws, which all series share.
        draws: how many.
    """
    parts = [part for place, block in enumerate(blocks) for part in _parts(place, block, inputs)]
    scores, places = normal_scores(rng, draws), places_of(rng, draws)
    made = [nothing(block, draws) for block in blocks]
    for unit in sorted({part.unit for part in parts}):
        alike = [part for part in parts if part.unit == unit]
        prior = learned_weights(stacked([part.found.evidence for part in alike]))
        for part in alike:
            weights = posterior(part.found.evidence, prior)
            latent = draw(part.found, weights, scores, places)
            made[part.block][part.rows] = latent * unit
    return made


def _parts(place: int, block: Block, inputs: Inputs) -> list[Part]:
    given = inputs(block)
    if given is None or not block.targets.height:
        return []
    x, along = given
    usable = np.isfinite(along) & np.isfinite(x).all(axis=0)
    models = block.models.height
    if not usable[models:].all():
        return []
    z = np.where(usable[:models], block.z, np.nan)
    found = []
    for unit, rows in by_links(block):
        rows = rows[np.isfinite(z[rows]).sum(axis=1) >= FEWEST]
        if rows.size:
            found.append(Part(place, rows, unit, predict(_batch(block, x, along, z, rows, unit))))
    return found


def _batch(
    block: Block, x: FloatArray, along: FloatArray, z: FloatArray, rows: IntArray, unit: float
) -> Batch:
    """Models without a place on the axis are kept out by their missing values."""
    chance = np.array([block.series[row].chance for row in rows])
    filled = [np.where(np.isfinite(line), line, np.nanmin(line)) for line in x]
    return Batch(
        np.stack(filled),
        np.where(np.isfinite(along), along, np.nanmin(along)),
        z[rows] / unit,
        block.variance[rows] / unit**2,
        chance / unit,
    )


def along(axis: str) -> Inputs:
    """One axis as the only input; it must vary."""

    def inputs(block: Block) -> tuple[FloatArray, FloatArray] | None:
        place = block.axis(axis)
        known = place[: block.models.height]
        if np.unique(known[np.isfinite(known)]).size < FEWEST:
            return None
        return place[None, :], place

    return inputs


def params_and_tokens(block: Block) -> tuple[FloatArray, FloatArray] | None:
    """Parameters and tokens as two inputs, wandering along the compute."""
    both = np.stack([block.axis("params"), block.axis("tokens")])
    known = both[:, : block.models.height]
    known = known[:, np.isfinite(known).all(axis=0)]
    varies = [np.unique(row).size >= FEWEST for row in known]
    return (both, both.sum(axis=0)) if all(varies) else None


@forecaster(
    needs="training FLOPs of two or more models and of the target",
    question="Does the score follow a curve in training compute?",
    source=MIXTURE,
)
def direct_flops(blocks: Sequence[Block], rng: np.random.Generator) -> list[FloatArray]:
    """Mixture of curves in log10 FLOPs on the link scale."""
    return curves(blocks, along("flops"), rng)


@forecaster(
    needs="two or more sizes and that of the target",
    question="Does the score follow a curve in the number of parameters?",
    source=MIXTURE,
)
def direct_params(blocks: Sequence[Block], rng: np.random.Generator) -> list[FloatArray]:
    """Mixture of curves in log10 parameters on the link scale."""
    return curves(blocks, along("params"), rng)


@forecaster(
    needs="parameters and tokens that both vary, and those of the target",
    question="Does the score follow a curve in parameters plus one in tokens?",
    source="the inputs of Bhagia et al. (2024), arXiv 2412.04403, step 1, on the link scale",
)
def direct_params_tokens(blocks: Sequence[Block], rng: np.random.Generator) -> list[FloatArray]:
    """Mixture of sums of a curve in log10 parameters and one in log10 tokens."""
    return curves(blocks, params_and_tokens, rng)
