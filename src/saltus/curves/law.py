"""What a scaling law is: columns, their derivatives, bounds and starts; and the registry.

A law is linear in some parameters and free in the others,

    y(x) = offset(x; theta) + sum_j beta_j column_j(x; theta).

An entry writes the offset and columns with their derivatives by theta; evaluation, fits
(`varpro`), standard errors and intervals (`support`) follow from those. The curves of
`curve.py`, with fixed grids on the link scale, serve the calibrated verdict; laws are fitted
freely, to plot and to forecast.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from saltus.curves.curve import FloatArray
from saltus.registry import Registry

INF = float("inf")
Bounds = dict[str, tuple[float, float]]


class Parts(NamedTuple):
    """The columns of a law at some nonlinear parameters.

    Args:
        columns: arrays that broadcast to (curves, points), one per linear parameter.
        slopes: per column its derivatives, one per nonlinear parameter; None for zero.
        offset: what no linear parameter multiplies; None for zero.
        offset_slopes: its derivatives, one per nonlinear parameter.
    """

    columns: tuple[FloatArray, ...]
    slopes: tuple[tuple[FloatArray | None, ...], ...]
    offset: FloatArray | None = None
    offset_slopes: tuple[FloatArray, ...] = ()


Formula = Callable[..., Parts]
Starts = Callable[[FloatArray, FloatArray], FloatArray]


@dataclass(frozen=True)
class Law:
    """One law.

    Args:
        name: unique name.
        parts: formula, (x, *nonlinear parameters) -> its parts.
        linear: names of the linear parameters, one per column.
        nonlinear: names of the others, in the order of the formula.
        bounds: lower and upper end of every parameter, linear ones first; equal ends fix it.
        near: names of places on the axis that must lie near the data, with how many ranges of x
            they may lie beyond its ends; given bounds take their place.
        starts: (lowest x, highest x), each (curves, 1) or (curves, 1, 2) -> start points
            (curves or 1, starts, nonlinear).
        axis: what x is: "scale" (log10 of params, tokens or FLOPs), "loss" (nats or bits);
            or a pair on a last axis of length 2: "params and tokens" (both log10), "loss and
            examples".
        refined: how many of the best starts are followed to their minimum.
        scan: None, or the kind of knot that is found exactly: "ramp" or "step".
        least_points: fewest points that it is fitted to.
        question: what the law stands for, in one sentence.
        source: where it comes from.
    """

    name: str
    parts: Formula
    linear: tuple[str, ...]
    nonlinear: tuple[str, ...]
    bounds: Bounds
    near: dict[str, float]
    starts: Starts
    axis: str
    refined: int
    scan: str | None
    least_points: int
    question: str
    source: str

    @property
    def names(self) -> tuple[str, ...]:
        """All parameters, linear ones first."""
        return self.linear + self.nonlinear

    def compute(self, x: FloatArray, **parameters: float | FloatArray) -> FloatArray:
        """The law at x.

        Args:
            x: (..., points), or (..., points, 2) of log10 params and log10 tokens.
            parameters: one value each, or arrays that broadcast with (..., points).
        """
        made = self.parts(np.asarray(x, dtype=np.float64), *(parameters[n] for n in self.nonlinear))
        terms = [parameters[n] * c for n, c in zip(self.linear, made.columns, strict=True)]
        if made.offset is not None:
            terms.append(made.offset)
        return np.asarray(sum(terms[1:], start=terms[0]))


LAWS: Registry[Law] = Registry("law", ("saltus.curves.scaling", "saltus.curves.bends"))


def law(
    *,
    linear: Bounds,
    nonlinear: Bounds,
    starts: Starts,
    axis: str,
    question: str,
    source: str,
    near: dict[str, float] | None = None,
    refined: int = 1,
    scan: str | None = None,
    least_points: int | None = None,
) -> Callable[[Formula], Law]:
    """Register the decorated formula as a law of the same name."""
    bounds = linear | nonlinear

    def register(formula: Formula) -> Law:
        free = sum(low < high for low, high in bounds.values())
        return LAWS.add(
            Law(
                formula.__name__, formula, tuple(linear), tuple(nonlinear), bounds, near or {},
                starts, axis, refined, scan, least_points or free, question, source,
            )
        )  # fmt: skip

    return register


def product(*choices: FloatArray) -> FloatArray:
    """(starts, parameters) every combination of the choices for each parameter."""
    grids = np.meshgrid(*choices, indexing="ij")
    return np.stack([grid.ravel() for grid in grids], axis=-1)


def fixed_starts(*choices: FloatArray) -> Starts:
    """Starts that do not depend on x."""
    grid = product(*choices)[None]
    return lambda low, high: grid
