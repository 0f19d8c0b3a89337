"""Capabilities behind the scores: principal components of a models x benchmarks matrix.

Source: Ruan et al. (2024), arXiv 2405.10938, sec. 3: impute, standardise, PCA. Everything is
fitted on training models only, and the components that a task is forecast from never saw
that task.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from saltus.forecasts.block import Block, IntArray
from saltus.forecasts.links import FloatArray

COMPONENTS = 3
FEWEST_MODELS = 4  # with a value, for a benchmark to be used
FEWEST_BENCHMARKS = 3
ROUNDS = 8  # of imputation


class Matrix(NamedTuple):
    """All training models of a collection against all its benchmarks.

    Args:
        names: family and model without its regime, a row each.
        columns: regime, task and metric of each column.
        z: (models, benchmarks) on the link scale; NaN where missing.
        rows: for each block, the rows of its models.
        family: (models,) number of the family.
    """

    names: list[tuple[str, str]]
    columns: list[tuple[str | None, str, str]]
    z: FloatArray
    rows: list[IntArray]
    family: IntArray


def matrix(blocks: Sequence[Block]) -> Matrix:
    """The blocks side by side: a model's regimes share its row."""
    rows: dict[tuple[str, str], int] = {}
    columns: dict[tuple[str | None, str, str], int] = {}
    places, cells = [], []
    for block in blocks:
        stems = [name.removesuffix(f" [{block.regime}]") for name in block.models["model"]]
        place = np.array(
            [rows.setdefault((block.family, stem), len(rows)) for stem in stems], dtype=np.int64
        )
        places.append(place)
        keys = [(block.regime, facts.task, facts.metric) for facts in block.series]
        column = np.array([columns.setdefault(key, len(columns)) for key in keys], dtype=np.int64)
        cells.append((place, column, block.z))
    z = np.full((len(rows), len(columns)), np.nan)
    for place, column, values in cells:
        z[place[:, None], column[None, :]] = values.T
    names = list(rows)
    families = {name: number for number, name in enumerate(dict.fromkeys(f for f, _ in names))}
    family = np.array([families[name] for name, _ in names], dtype=np.int64)
    return Matrix(names, list(columns), z, places, family)


def capabilities(z: FloatArray, components: int = COMPONENTS) -> FloatArray | None:
    """Scores of the models on the first principal components.

    Args:
        z: (models, benchmarks) with NaN where missing; better is higher.
        components: how many.

    Returns:
        (models, components), each with mean 0 and standard deviation 1 over the models and
        turned so that its mean loading is positive; zero where the rank is lower. None where
        too few models or benchmarks have values.
    """
    usable = np.isfinite(z).sum(axis=0) >= min(FEWEST_MODELS, max(len(z) - 1, 2))
    z = z[:, usable]
    known = np.isfinite(z)
    if min(z.shape, default=0) < FEWEST_BENCHMARKS:
        return None
    count = known.sum(axis=0)
    centre = np.where(known, z, 0.0).sum(axis=0) / count
    left = np.where(known, z - centre, 0.0)
    spread = np.sqrt(np.square(left).sum(axis=0) / count)
    standard = left / np.where(spread > 1e-9, spread, 1.0)
    return _components(_imputed(standard, known, components), components)


def _imputed(standard: FloatArray, known: FloatArray, components: int) -> FloatArray:
    """Missing cells by the low-rank approximation of the rest, shrunk by the share known."""
    filled = np.where(known, standard, 0.0)
    if known.all():
        return filled
    for _ in range(ROUNDS):
        left, values, right = np.linalg.svd(filled, full_matrices=False)
        low = (left[:, :components] * values[:components]) @ right[:components]
        filled = np.where(known, standard, low)
    return filled


def _components(filled: FloatArray, components: int) -> FloatArray:
    filled = filled - filled.mean(axis=0)
    left, values, right = np.linalg.svd(filled, full_matrices=False)
    found = np.zeros((len(filled), components))
    for k in range(min(components, int((values > 1e-9).sum()))):
        sign = 1.0 if right[k].mean() >= 0.0 else -1.0
        found[:, k] = sign * left[:, k] * np.sqrt(len(filled))
    return found
