"""Linear parameters by projection, many curves at a time, within a box where there is one.

Arrays are (curves, points). Columns are made orthonormal by Gram and Schmidt, twice, so that
the scale of a column does not matter. Where the free solution leaves its box, every pattern
of parameters held at an end is solved and the best feasible one taken: with at most three
parameters that is the exact constrained minimum.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from saltus.curves.curve import FloatArray

COLLINEAR = 1e-9
SLACK = 1e-9
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


class Projection(NamedTuple):
    """What the columns leave of the values.

    Args:
        coefficients: (curves, columns).
        residual: (curves, points) values less the fitted ones, whitened.
        units: per column (curves, points), orthonormal; zero where a column is not free.
        rss: (curves,) residual sum of squares.
    """

    coefficients: FloatArray
    residual: FloatArray
    units: list[FloatArray]
    rss: FloatArray


def dot(left: FloatArray, right: FloatArray) -> FloatArray:
    """(curves,) inner products over the points."""
    return np.asarray(np.einsum("cp,cp->c", left, right))


def project(
    columns: Sequence[FloatArray], values: FloatArray, low: FloatArray, high: FloatArray
) -> Projection:
    """Least squares of values on columns within a box.

    Args:
        columns: (curves, points) each, whitened.
        values: (curves, points), whitened.
        low: (curves, columns) lower ends; -inf for none.
        high: (curves, columns) upper ends.
    """
    free = _free(columns, values)
    if not columns or not (np.isfinite(low).any() or np.isfinite(high).any()):
        return free
    slack = SLACK * (1.0 + np.abs(free.coefficients))
    out = (free.coefficients < low - slack) | (free.coefficients > high + slack)
    rows = np.flatnonzero(out.any(axis=1))
    if rows.size:
        some = _held([c[rows] for c in columns], values[rows], low[rows], high[rows])
        free.coefficients[rows], free.residual[rows], free.rss[rows] = some[0], some[1], some[3]
        for unit, found in zip(free.units, some[2], strict=True):
            unit[rows] = found
    return free


def _free(columns: Sequence[FloatArray], values: FloatArray) -> Projection:
    """Gram-Schmidt, then back substitution; a column in the span of the others gets 0."""
    units: list[FloatArray] = []
    mixing: list[list[FloatArray]] = []
    heights: list[FloatArray] = []
    residual = values
    for column in columns:
        length = np.sqrt(dot(column, column))
        rest, along = column, [np.zeros_like(length) for _ in units]
        for _ in range(2):
            for place, unit in enumerate(units):
                share = dot(unit, rest)
                along[place] = along[place] + share
                rest = rest - share[:, None] * unit
        norm = np.sqrt(dot(rest, rest))
        usable = norm > COLLINEAR * length
        inverse = np.divide(1.0, norm, out=np.zeros_like(norm), where=usable)
        unit = rest * inverse[:, None]
        height = dot(unit, residual)
        residual = residual - height[:, None] * unit
        units.append(unit)
        mixing.append([*along, inverse])
        heights.append(height)
    coefficients = np.zeros((values.shape[0], len(columns)))
    for place in reversed(range(len(columns))):
        height = heights[place].copy()
        for later in range(place + 1, len(columns)):
            height -= mixing[later][place] * coefficients[:, later]
        coefficients[:, place] = height * mixing[place][place]
    return Projection(coefficients, residual, units, dot(residual, residual))


def _held(
    columns: Sequence[FloatArray], values: FloatArray, low: FloatArray, high: FloatArray
) -> Projection:
    """The best of all patterns of parameters held at an end of the box."""
    curves, count = values.shape[0], len(columns)
    best = Projection(
        np.zeros((curves, count)), values.copy(), [np.zeros_like(values) for _ in columns],
        np.full(curves, np.inf),
    )  # fmt: skip
    for pattern in product((0, 1, 2), repeat=count):
        if not any(pattern):
            continue
        ends = [(low, high)[kind - 1][:, j] if kind else None for j, kind in enumerate(pattern)]
        known = np.ones(curves, dtype=bool)
        for end in ends:
            known &= True if end is None else np.isfinite(end)
        if known.any():
            _try(best, columns, values, low, high, ends, known)
    return best


def _try(
    best: Projection, columns: Sequence[FloatArray], values: FloatArray, low: FloatArray,
    high: FloatArray, ends: Sequence[FloatArray | None], known: BoolArray,
) -> None:  # fmt: skip
    """Take one pattern over where it is feasible and better."""
    held = [(j, np.where(known, end, 0.0)) for j, end in enumerate(ends) if end is not None]
    loose = [j for j, end in enumerate(ends) if end is None]
    rest = values
    for j, end in held:
        rest = rest - end[:, None] * columns[j]
    found = _free([columns[j] for j in loose], rest)
    slack = SLACK * (1.0 + np.abs(found.coefficients))
    inside = (found.coefficients >= low[:, loose] - slack) & (
        found.coefficients <= high[:, loose] + slack
    )
    take = known & inside.all(axis=1) & (found.rss < best.rss)
    for place, j in enumerate(loose):
        best.coefficients[take, j] = found.coefficients[take, place]
        best.units[j][take] = found.units[place][take]
    for j, end in held:
        best.coefficients[take, j] = end[take]
        best.units[j][take] = 0.0
    best.residual[take] = found.residual[take]
    best.rss[take] = found.rss[take]
