"""Two steps: scale to a loss, loss to the metric, with both errors carried through.

Every draw weights the models anew (Bayesian bootstrap, Rubin 1981), fits both steps with these
weights and adds one model's pair of residuals. A model that is off in the loss is thereby
off in the metric as well, as it is in the data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from saltus.curves.law import LAWS, Law
from saltus.curves.varpro import LawFits, fit_law
from saltus.forecasts.block import Block, IntArray
from saltus.forecasts.forecaster import DRAWS, forecaster, nothing
from saltus.forecasts.links import EDGE, FloatArray

RESAMPLES = 25  # weightings of the models; each serves several residuals
POSITIVE = (0.0, float("inf"))
SHARE = (0.0, 1.0)
SMALLEST = 1e-9  # loss
FEWEST = 4  # models with both scores


Columns = Callable[[Block], FloatArray | None]


@forecaster(
    needs="a continuous partner with a loss scale (or a validation loss) and four FLOPs values",
    question="Is the score a function of a loss that is a power law in compute?",
    source="Llama 3 (2024), arXiv 2407.21783, sec. 3.2.1, with a floor; models resampled",
)
def two_stage(blocks: Sequence[Block], rng: np.random.Generator) -> list[FloatArray]:
    """FLOPs to loss by a power law with a floor, loss to score by a sigmoid."""
    return [_two_steps(block, _compute, rng) for block in blocks]


@forecaster(
    needs="a continuous partner with a loss scale (or a validation loss), four models of several "
    "sizes",
    question="Is the score a function of a task loss A N^-alpha + B D^-beta + E?",
    source="Bhagia et al. (2024), arXiv 2412.04403: the plain two-step ladder; models resampled",
)
def ladder(blocks: Sequence[Block], rng: np.random.Generator) -> list[FloatArray]:
    """Parameters and tokens to task loss, task loss to score by a sigmoid."""
    return [_two_steps(block, _size_and_data, rng) for block in blocks]


class Law1(NamedTuple):
    """Step 1 for one block: the law of the loss, its x, and bounds that make it a power law."""

    law: Law
    x: FloatArray
    bounds: dict[str, tuple[float, float]]


def _compute(block: Block) -> Law1 | None:
    """A power law with a floor in log10 FLOPs."""
    return _power_law(block, "flops")


def _size_and_data(block: Block) -> Law1 | None:
    """The ladder; where tokens are the same for all, their term is part of the floor."""
    both = np.stack([block.axis("params"), block.axis("tokens")], axis=-1)
    known = both[: block.models.height]
    if np.isfinite(both).all() and known.size and (np.ptp(known, axis=0) > 0.0).all():
        return Law1(LAWS["ladder"], both, {})
    return _power_law(block, "params")


def _power_law(block: Block, axis: str) -> Law1 | None:
    x = block.axis(axis)
    if not np.isfinite(x).all() or np.unique(x[: block.models.height]).size < 2:
        return None
    return Law1(LAWS["power_law_floor"], x, {"floor": POSITIVE, "gain": POSITIVE})


class Resampling(NamedTuple):
    """What all series of a block share.

    Args:
        weights: (resamples, models) of the Bayesian bootstrap.
        places: (draws,) between 0 and 1, which model's residuals a draw takes.
    """

    weights: FloatArray
    places: FloatArray


def _two_steps(
    block: Block, step_one: Callable[[Block], Law1 | None], rng: np.random.Generator
) -> FloatArray:
    made = nothing(block)
    first = step_one(block) if block.models.height and block.targets.height else None
    models = block.models.height
    drawn = Resampling(rng.exponential(size=(RESAMPLES, models)), rng.random(DRAWS))
    losses = np.stack([loss_behind(block, row) for row in range(len(block.series))])
    losses = np.where(np.isfinite(block.z), losses, np.nan)
    logits = np.array([facts.link.kind == "logit" for facts in block.series])
    rows = np.flatnonzero(logits & (np.isfinite(losses).sum(axis=1) >= FEWEST))
    if first is None or not rows.size:
        return made
    ones, which = _losses(first, losses[rows], drawn.weights)
    signs = np.array([facts.link.sign for facts in block.series])[rows, None]
    shares = 1.0 / (1.0 + np.exp(-signs * block.z[rows]))
    twos = _shares(losses[rows], shares, drawn.weights)
    for place, row in enumerate(rows.tolist()):
        one = _slice(ones, which[place])
        made[row] = _draws(block, row, first, one, _slice(twos, place), drawn)
    return made


def loss_behind(block: Block, row: int) -> FloatArray:
    """(models,) the loss that partners a series: of the task if there is one, else in general."""
    facts = block.series[row]
    at = {(other.task, other.entry): place for place, other in enumerate(block.series)}
    for partner in facts.partners:
        place = at.get((facts.task, partner))
        if place is not None and block.series[place].link.kind in ("log", "perplexity"):
            return np.asarray(np.exp(-block.z[place]))
    return block.models["loss"].cast(float).fill_null(np.nan).to_numpy()


def _losses(first: Law1, losses: FloatArray, weights: FloatArray) -> tuple[LawFits, IntArray]:
    """Step 1 under every weighting by least squares of relative errors, and whose fit is whose.

    A validation loss serves many tasks and is fitted once.
    """
    distinct, which = np.unique(np.nan_to_num(losses), axis=0, return_inverse=True)
    y = np.where(distinct > 0.0, distinct, np.nan)
    weighted = weights[None] / np.square(y)[:, None]
    fits = fit_law(
        first.law,
        first.x[: losses.shape[1]],
        _repeated(y),
        np.nan_to_num(weighted).reshape(-1, losses.shape[1]),
        bounds=first.bounds,
        refined=1,
    )
    return fits, which.reshape(-1)


def _shares(losses: FloatArray, shares: FloatArray, weights: FloatArray) -> LawFits:
    """Step 2 under every weighting: a sigmoid between two levels within the range."""
    return fit_law(
        LAWS["sigmoid_of_loss"],
        _repeated(losses),
        _repeated(shares),
        np.tile(weights, (len(losses), 1)),
        bounds={"floor": SHARE, "ceiling": SHARE},
        refined=1,
    )


def _repeated(rows: FloatArray) -> FloatArray:
    """Every row once per resample, its copies side by side."""
    return np.repeat(rows, RESAMPLES, axis=0)


def _slice(fits: LawFits, row: int) -> LawFits:
    """The resamples of one series."""
    part = slice(row * RESAMPLES, (row + 1) * RESAMPLES)
    whole = ("parameters", "rss", "fitted", "x", "y", "weights", "freedom", "status")
    return replace(fits, **{name: getattr(fits, name)[part] for name in whole})


def _draws(
    block: Block, row: int, first: Law1, one: LawFits, two: LawFits, drawn: Resampling
) -> FloatArray:
    """(targets, draws) on the link scale; NaN where a step cannot be fitted."""
    good = np.flatnonzero(one.converged & two.converged)
    if good.size < RESAMPLES // 5:
        return np.full((block.targets.height, DRAWS), np.nan)
    known = two.weights[0] > 0.0
    share, sign = two.y[0, known], block.series[row].link.sign
    sample = good[np.arange(DRAWS) % good.size]
    model = (drawn.places * share.size).astype(int)
    left_one = np.log(one.y[0, known] / np.maximum(one.fitted[:, known], SMALLEST)) * _freed(one)
    left_two = (share - two.fitted[:, known]) * _freed(two)
    left_two = left_two * _quiet(block.variance[row, known], share, left_two)
    ahead = np.maximum(one.predict(first.x[known.size :])[sample].T, SMALLEST)
    ahead = ahead * np.exp(left_one[sample, model])
    named = {name: two.parameter(name)[sample] for name in two.law.names}
    found = np.clip(two.law.compute(ahead, **named) + left_two[sample, model], EDGE, 1.0 - EDGE)
    return np.asarray(sign * (np.log(found) - np.log1p(-found)))


def _freed(fits: LawFits) -> float:
    """What residuals are short of the errors because parameters were fitted."""
    points = int((fits.weights[0] > 0.0).sum())
    return float(np.sqrt(points / max(int(fits.freedom[0]), 1)))


def _quiet(variance: FloatArray, share: FloatArray, left: FloatArray) -> float:
    """Share of the residuals that is not the noise of the items, which is added when observed."""
    known = np.isfinite(variance)
    spread = float(np.nanmean(np.square(left)))
    if not known.any() or spread == 0.0:
        return 1.0
    items = variance[known] * np.square(share * (1.0 - share))[known]
    return float(np.sqrt(max(0.0, 1.0 - float(items.mean()) / spread)))
