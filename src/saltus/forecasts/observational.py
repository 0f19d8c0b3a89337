"""Forecasts through capabilities: compute to principal components to the score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from saltus.forecasts.block import Block, SeriesFacts
from saltus.forecasts.capability import COMPONENTS, Matrix, capabilities, matrix
from saltus.forecasts.direct import Inputs, along, curves
from saltus.forecasts.forecaster import DRAWS, forecaster, nothing
from saltus.forecasts.links import FloatArray, Link
from saltus.forecasts.regress import Regression, regress

FAMILY_SPREAD = 0.5  # prior spread of a family's own offset, units of the link scale
SLOPE_SPREAD = 1.0  # prior spread of the loading of a component, units
LEVEL_SPREAD = 3.0
CAPABILITY = Link("identity", None, None, 1.0)


@forecaster(
    needs="three or more other benchmarks and the size or FLOPs of the target",
    question="Do a few capabilities, each a curve in compute, carry the score?",
    source="Ruan et al. (2024), arXiv 2405.10938: PCA, S = gamma ln C + nu per family, then a "
    "sigmoid in S",
)
def observational(blocks: Sequence[Block], rng: np.random.Generator) -> list[FloatArray]:
    """Capabilities of the target by the mixture of curves, then the task from these.

    The components leave the task out under all its metrics; loadings are common to all
    families, each family has an offset of its own.
    """
    made = [nothing(block) for block in blocks]
    whole = matrix(blocks)
    tasks = sorted({task for _, task, _ in whole.columns})
    found = {task: capabilities(_without(whole, task)) for task in tasks}
    seen = {task: scores for task, scores in found.items() if scores is not None}
    ahead = _ahead(blocks, whole, seen, rng)
    seed = int(rng.integers(2**32))
    for task, scores in seen.items():
        for column, (regime, name, metric) in enumerate(whole.columns):
            if name == task:
                draws = np.random.default_rng([seed, column])
                _fill(made, blocks, whole, column, (regime, task, metric), scores, ahead, draws)
    return made


def _without(whole: Matrix, task: str) -> FloatArray:
    return whole.z[:, [name != task for _, name, _ in whole.columns]]


def _ahead(
    blocks: Sequence[Block], whole: Matrix, seen: dict[str, FloatArray], rng: np.random.Generator
) -> dict[tuple[int, str], FloatArray]:
    """(targets, draws, components) capabilities of every block's targets, per task left out."""
    tasks = list(seen)
    first: dict[tuple[object, ...], int] = {}  # regimes of a family share rows and targets
    same = [
        first.setdefault((*rows.tolist(), block.axis("params").tobytes()), place)
        for place, (block, rows) in enumerate(zip(blocks, whole.rows, strict=True))
    ]
    own = sorted(set(same)) if tasks else []
    made = []
    for k in range(COMPONENTS):
        stand_ins = [
            _stand_in(blocks[p], np.stack([seen[task][whole.rows[p], k] for task in tasks]))
            for p in own
        ]
        made.append(dict(zip(own, curves(stand_ins, compute, rng), strict=True)))
    return {
        (place, task): np.stack([part[same[place]][row] for part in made], axis=-1)
        for place in range(len(blocks))
        for row, task in enumerate(tasks)
    }


def compute(block: Block) -> tuple[FloatArray, FloatArray] | None:
    """FLOPs where they are known, else parameters."""
    order: tuple[Inputs, ...] = (along("flops"), along("params"))
    for inputs in order:
        given = inputs(block)
        if given is not None and np.isfinite(given[1]).all():
            return given
    return None


def _stand_in(block: Block, z: FloatArray) -> Block:
    """A block whose series are capabilities."""
    facts = SeriesFacts("", "capability", "", CAPABILITY, "continuous", False, np.nan, np.nan, ())
    series = (facts,) * len(z)
    return replace(block, series=series, z=z, variance=np.full_like(z, np.nan))


def _fill(
    made: list[FloatArray],
    blocks: Sequence[Block],
    whole: Matrix,
    column: int,
    key: tuple[str | None, str, str],
    scores: FloatArray,
    ahead: dict[tuple[int, str], FloatArray],
    rng: np.random.Generator,
) -> None:
    """The forecasts of one benchmark in all blocks that hold it."""
    regime, task, metric = key
    z = whole.z[:, column]
    known = np.isfinite(z)
    fit: Regression | None = None
    for place, block in enumerate(blocks):
        rows = [i for i, f in enumerate(block.series) if (f.task, f.metric) == (task, metric)]
        if block.regime != regime or not rows or known.sum() < COMPONENTS:
            continue
        unit = block.series[rows[0]].link.unit
        fit = fit or _regression(whole, scores, z, known, unit, rng)
        number = whole.family[whole.rows[place][0]] if whole.rows[place].size else -1
        inputs = _design(ahead[place, task], number, int(whole.family.max()) + 1)
        made[place][rows[0]] = fit.at(inputs, rng)


def _regression(
    whole: Matrix, scores: FloatArray, z: FloatArray, known: FloatArray, unit: float,
    rng: np.random.Generator,
) -> Regression:  # fmt: skip
    families = int(whole.family.max()) + 1
    design = np.concatenate([np.ones((len(z), 1)), scores, np.eye(families)[whole.family]], axis=1)
    spread = np.array([LEVEL_SPREAD] + [SLOPE_SPREAD] * COMPONENTS + [FAMILY_SPREAD] * families)
    return regress(design[known], z[known], unit * spread, unit, rng, DRAWS)


def _design(ahead: FloatArray, family: int, families: int) -> FloatArray:
    """(targets, draws, columns) of the regression at the targets' capabilities."""
    ones = np.ones((*ahead.shape[:2], 1))
    own = np.zeros((*ahead.shape[:2], families))
    own[..., family] = 1.0
    return np.concatenate([ones, ahead, own], axis=-1)
