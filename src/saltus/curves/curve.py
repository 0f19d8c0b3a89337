"""What a curve is: a formula, its facts, and the registry of curves.

Every curve here is linear in all parameters but at most two (a knot, a rate, a midpoint).
The fitter puts those on a grid and solves the rest exactly, so an entry states which
parameters are linear and what the grid is; nothing more is needed to fit it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from saltus.registry import Registry

FloatArray = NDArray[np.float64]
Formula = Callable[..., FloatArray]
Grid = Callable[[FloatArray, str], dict[str, FloatArray]]


def no_grid(x: FloatArray, axis: str) -> dict[str, FloatArray]:
    """The grid of a curve whose parameters are all linear: one point, no names."""
    return {}


@dataclass(frozen=True)
class Curve:
    """One curve on the link scale.

    Args:
        name: unique name.
        compute: formula, (x, *parameters) -> values of the shape of x. Linear in the
            parameters `linear`; all but the last of these multiply columns that do not
            depend on the grid.
        linear: names of the linear parameters, in order.
        grid: (x, axis) -> the other parameters' values, one array each of equal length.
        bounds: lower and upper end of every parameter, in the formula's order.
        shape: "smooth" or "broken".
        question: what the curve stands for, in one sentence.
        source: where it comes from.
    """

    name: str
    compute: Formula
    linear: tuple[str, ...]
    grid: Grid
    bounds: dict[str, tuple[float, float]]
    shape: str
    question: str
    source: str

    @property
    def parameters(self) -> int:
        """Number of parameters, those on the grid included."""
        return len(self.bounds)

    def columns(
        self, x: FloatArray, nonlinear: dict[str, FloatArray]
    ) -> tuple[FloatArray, FloatArray]:
        """The design at given nonlinear parameters.

        Args:
            x: (scales,) axis.
            nonlinear: what `grid` returned.

        Returns:
            (scales, len(linear) - 1) columns that the grid leaves alone, and
            (grid points, scales) the column of the last linear parameter.
        """
        first = {name: values[0] for name, values in nonlinear.items()}
        common = [self._column(x, name, first) for name in self.linear[:-1]]
        broadcast = {name: values[:, None] for name, values in nonlinear.items()}
        varying = self._column(x, self.linear[-1], broadcast)
        return np.stack(common, axis=1), np.atleast_2d(varying)

    def _column(self, x: FloatArray, name: str, nonlinear: dict[str, FloatArray]) -> FloatArray:
        unit = {other: float(other == name) for other in self.linear}
        return self.compute(x, **unit, **nonlinear)


CURVES: Registry[Curve] = Registry("curve", ("saltus.curves.smooth", "saltus.curves.broken"))


def curve(
    *,
    shape: str,
    linear: tuple[str, ...],
    bounds: dict[str, tuple[float, float]],
    question: str,
    source: str,
    grid: Grid = no_grid,
) -> Callable[[Formula], Curve]:
    """Register the decorated formula as a curve of the same name."""

    def register(formula: Formula) -> Curve:
        name = formula.__name__
        return CURVES.add(Curve(name, formula, linear, grid, bounds, shape, question, source))

    return register
