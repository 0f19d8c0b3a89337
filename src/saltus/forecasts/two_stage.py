"""Two steps: scale to a loss, loss to the metric, with both errors carried through.

Every draw weights the models anew (Bayesian bootstrap, Rubin 1981), fits both steps with these
weights and adds one model's pair of residuals. A model that is off in the loss is thereby
off in the metric as well, as it is in the data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from saltus.forecasts.block import Block
from saltus.forecasts.forecaster import DRAWS, forecaster, nothing
from saltus.forecasts.links import EDGE, FloatArray

EXPONENTS = np.array([0.05, 0.08, 0.12, 0.17, 0.23, 0.3, 0.38, 0.48, 0.6, 0.8])  # per e-fold
STEEPNESS = np.array([0.7, 1.0, 1.5, 2.2, 3.2, 4.6, 6.6, 9.5, 14.0])  # over the range of the loss
MIDPOINTS = np.linspace(-1.0, 1.5, 13)  # shares of the range of the loss, 0 = smallest
RIDGE = 1e-6  # of the normal equations, relative
FEWEST = 4  # models with both scores


def ladder_loss(
    params: FloatArray, tokens: FloatArray, a: float, alpha: float, b: float, beta: float,
    floor: float,
) -> FloatArray:  # fmt: skip
    """Task loss of a model ladder: A N^-alpha + B D^-beta + E.

    Source: Bhagia et al. (2024), arXiv 2412.04403, step 1.
    """
    return a * params**-alpha + b * tokens**-beta + floor


def ladder_accuracy(
    loss: FloatArray, height: float, steepness: float, midpoint: float, floor: float
) -> FloatArray:
    """Accuracy from the task loss: a / (1 + exp(-k (L - L0))) + b, k < 0.

    Source: Bhagia et al. (2024), arXiv 2412.04403, step 2.
    """
    return height / (1.0 + np.exp(-steepness * (loss - midpoint))) + floor


class Ladder(NamedTuple):
    """The inputs of step 1 and what step 2 starts from.

    Args:
        inputs: (inputs, models + targets) natural logarithms, centred.
        loss: (models,) positive.
    """

    inputs: FloatArray
    loss: FloatArray


Columns = Callable[[Block], FloatArray | None]


@forecaster(
    needs="a continuous partner with a loss scale (or a validation loss) and four FLOPs values",
    question="Is the score a function of a loss that is a power law in compute?",
    source="Llama 3 (2024), arXiv 2407.21783, sec. 3.2.1, with a floor of the loss; models resampled",
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


def _compute(block: Block) -> FloatArray | None:
    return _varying([block.axis("flops")], block.models.height)


def _size_and_data(block: Block) -> FloatArray | None:
    """Tokens only where they vary: else their term is part of the floor."""
    found = _varying([block.axis("params"), block.axis("tokens")], block.models.height)
    return found if found is not None else _varying([block.axis("params")], block.models.height)


def _varying(axes: list[FloatArray], models: int) -> FloatArray | None:
    whole = np.stack(axes) * np.log(10.0)
    if not np.isfinite(whole).all() or (np.ptp(whole[:, :models], axis=1) < 1e-6).any():
        return None
    return whole - whole[:, :models].mean(axis=1, keepdims=True)


def _two_steps(block: Block, columns: Columns, rng: np.random.Generator) -> FloatArray:
    made = nothing(block)
    if block.models.height < FEWEST or not block.targets.height:
        return made
    inputs = columns(block)
    weights = rng.exponential(size=(DRAWS, block.models.height))
    chosen = rng.random((2, DRAWS))
    if inputs is None:
        return made
    for row, facts in enumerate(block.series):
        loss = loss_behind(block, row)
        known = np.isfinite(block.z[row]) & np.isfinite(loss)
        if facts.link.kind != "logit" or known.sum() < FEWEST + len(inputs) - 1:
            continue
        part = np.concatenate([inputs[:, :-block.targets.height][:, known],
                               inputs[:, -block.targets.height :]], axis=1)  # fmt: skip
        step = Ladder(part, loss[known])
        share = _share(facts.link.sign * block.z[row, known])
        noise = _item_noise(block.variance[row, known], share)
        found = _draws(step, share, noise, weights[:, known], chosen)
        made[row] = facts.link.sign * np.log(found / (1.0 - found))
    return made


def loss_behind(block: Block, row: int) -> FloatArray:
    """(models,) the loss that partners a series: of the task if there is one, else in general."""
    facts = block.series[row]
    at = {(other.task, other.entry): place for place, other in enumerate(block.series)}
    for partner in facts.partners:
        place = at.get((facts.task, partner))
        if place is not None and block.series[place].link.kind in ("log", "perplexity"):
            return np.exp(-block.z[place])
    return block.models["loss"].cast(float).fill_null(np.nan).to_numpy()


def _share(z: FloatArray) -> FloatArray:
    share: FloatArray = 1.0 / (1.0 + np.exp(-z))
    return share


def _item_noise(variance: FloatArray, share: FloatArray) -> float:
    """Mean sampling variance of the shares; it is added again when items are drawn."""
    known = np.isfinite(variance)
    spread = variance * np.square(share * (1.0 - share))
    return float(spread[known].mean()) if known.any() else 0.0


def _draws(
    step: Ladder, share: FloatArray, noise: float, weights: FloatArray, chosen: FloatArray
) -> FloatArray:
    """(targets, draws) shares of the range."""
    models = step.loss.size
    fitted, ahead = _step_one(step, weights)
    loss_left = (np.log(step.loss) - np.log(np.maximum(fitted, 1e-9))) * _freed(models, 3)
    at = (chosen[0] * models).astype(int)
    rows = np.arange(len(weights))
    loss = np.maximum(ahead, 1e-9) * np.exp(loss_left[rows, at])
    seen, found = _step_two(step.loss, share, weights, loss)
    left = (share - seen) * _freed(models, 3)
    spread = np.square(left).mean()
    quiet = np.sqrt(max(0.0, 1.0 - noise / spread)) if spread > 0.0 else 0.0
    return np.clip(found + quiet * left[rows, at], EDGE, 1.0 - EDGE)


def _freed(models: int, parameters: int) -> float:
    """What residuals are short of the errors because parameters were fitted."""
    return float(np.sqrt(models / max(models - parameters, 1)))


def _step_one(step: Ladder, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Fitted losses (draws, models) and predicted ones (targets, draws).

    Least squares of relative errors; exponents on a grid, the rest by projection. A grid
    point where a term grows with scale is no power law and is left out unless all are.
    """
    models = step.loss.size
    grids = np.stack(np.meshgrid(*[EXPONENTS] * len(step.inputs), indexing="ij")).reshape(
        len(step.inputs), -1
    )
    terms = np.exp(-grids.T[:, :, None] * step.inputs[None])
    design = np.concatenate([np.ones((len(terms), 1, terms.shape[2])), terms], axis=1)
    known = design[:, :, :models]
    best = _projected(known, step.loss, weights / np.square(step.loss), terms=len(step.inputs))
    fitted = np.einsum("dk,dkm->dm", best.coefficients, known[best.point])
    ahead = np.einsum("dk,dkq->qd", best.coefficients, design[best.point][:, :, models:])
    return fitted, ahead


class Projection(NamedTuple):
    """For every draw the best grid point and its linear parameters."""

    point: np.typing.NDArray[np.int64]
    coefficients: FloatArray


def _projected(
    design: FloatArray, y: FloatArray, weights: FloatArray, terms: int
) -> Projection:
    """Weighted least squares for all draws and grid points by two matrix products.

    Args:
        design: (grid, columns, rows), the last `terms` columns with a sign that must be +.
        y: (rows,).
        weights: (draws, rows).
        terms: how many trailing columns must not be negative.
    """
    grid, size, rows = design.shape
    products = np.einsum("gim,gjm->mgij", design, design).reshape(rows, -1)
    gram = (weights @ products).reshape(-1, grid, size, size)
    moment = (weights @ (design * y).transpose(2, 0, 1).reshape(rows, -1)).reshape(-1, grid, size)
    scale = np.trace(gram, axis1=2, axis2=3)[..., None, None] / size
    found = np.linalg.solve(gram + RIDGE * scale * np.eye(size), moment[..., None])[..., 0]
    total = (weights @ np.square(y))[:, None]
    left = total - 2.0 * (found * moment).sum(axis=-1) + np.einsum(
        "dgi,dgij,dgj->dg", found, gram, found
    )
    wrong = (found[..., size - terms :] < 0.0).any(axis=-1)
    point = np.argmin(np.where(wrong & ~wrong.all(axis=1, keepdims=True), np.inf, left), axis=1)
    return Projection(point, found[np.arange(len(point)), point])


def _step_two(
    loss: FloatArray, share: FloatArray, weights: FloatArray, ahead: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Fitted shares (draws, models) and predicted ones (targets, draws).

    The sigmoid's height and floor by projection, steepness and midpoint on a grid over the
    range of the loss.
    """
    low, width = loss.min(), max(float(np.ptp(loss)), 1e-9)
    steep, middle = (grid.ravel() for grid in np.meshgrid(STEEPNESS, MIDPOINTS, indexing="ij"))

    def sigmoid(places: FloatArray, k: FloatArray, m: FloatArray) -> FloatArray:
        return ladder_accuracy((places - low) / width, 1.0, -k, m, 0.0)  # type: ignore[arg-type]

    column = sigmoid(loss[None, :], steep[:, None], middle[:, None])
    design = np.stack([np.ones_like(column), column], axis=1)
    best = _projected(design, share, weights, terms=1)
    floor, height = best.coefficients[:, 0], best.coefficients[:, 1]
    fitted = floor[:, None] + height[:, None] * column[best.point]
    found = floor + height * sigmoid(ahead, steep[best.point], middle[best.point])
    return fitted, found

