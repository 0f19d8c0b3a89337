"""Weighted least squares over grids of nonlinear parameters, by projection.

Only one column of a curve's design depends on its grid. Made orthonormal once per design,
the residual sum of squares of every grid point and every bootstrap draw is a difference of
squared projections,

    RSS_g(y) = |y|^2 - |Q^T y|^2 - (q_g . y)^2,

with Q the common columns and q_g the unit vector of grid point g: one matrix product for
all grid points and all draws (variable projection, Golub and Pereyra 1973).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from saltus.curves.curve import Curve, FloatArray

COLLINEAR = 1e-9
ROUNDING = 1e-10
TINY = 1e-200


@dataclass(frozen=True)
class Design:
    """Orthonormal columns of one or several curves that share their common columns.

    Args:
        common: (scales, common columns) orthonormal, whitened.
        units: (grid points, scales) unit vectors orthogonal to `common`, zero where the
            column lies in their span.
        norms: (grid points,) length of the column before it was made a unit vector.
        curves: (grid points,) index of the curve that a grid point belongs to.
        points: (grid points,) index within that curve's own grid.
    """

    common: FloatArray
    units: FloatArray
    norms: FloatArray
    curves: tuple[int, ...]
    points: tuple[int, ...]


@dataclass(frozen=True)
class Fit:
    """One fitted curve.

    Args:
        curve: name in the registry.
        parameters: in the formula's order; empty when the fit failed.
        rss: weighted residual sum of squares.
        fitted: (scales,) the curve at x.
        status: "converged", or what went wrong, in words.
    """

    curve: str
    parameters: dict[str, float]
    rss: float
    fitted: FloatArray
    status: str

    @property
    def converged(self) -> bool:
        """Whether there is a curve."""
        return self.status == "converged"


def orthonormal(columns: FloatArray) -> FloatArray:
    """Orthonormal basis of the span of (scales, k) columns, by Gram-Schmidt, twice."""
    basis: list[FloatArray] = []
    for column in columns.T:
        rest = column
        for _ in range(2):
            for unit in basis:
                rest = rest - (unit @ rest) * unit
        basis.append(rest / np.sqrt(rest @ rest))
    return np.stack(basis, axis=1)


def design(curves: tuple[Curve, ...], x: FloatArray, weights: FloatArray, axis: str) -> Design:
    """The whitened design of curves with the same common columns.

    Args:
        curves: such as the hinge and the jump; their grids are joined in this order.
        x: (scales,) strictly increasing.
        weights: (scales,) one over the variance.
        axis: name of the axis.
    """
    root = np.sqrt(weights)
    parts = [curve.columns(x, curve.grid(x, axis)) for curve in curves]
    common = orthonormal(root[:, None] * parts[0][0])
    columns = np.concatenate([varying for _, varying in parts]) * root
    lengths = np.sqrt(np.square(columns).sum(axis=1))
    rest = columns - (columns @ common) @ common.T
    rest = rest - (rest @ common) @ common.T
    norms = np.sqrt(np.square(rest).sum(axis=1))
    norms = np.where(norms > COLLINEAR * lengths, norms, 0.0)
    units = np.divide(rest, norms[:, None], out=np.zeros_like(rest), where=norms[:, None] > 0.0)
    counts = [len(varying) for _, varying in parts]
    owners = tuple(index for index, count in enumerate(counts) for _ in range(count))
    points = tuple(point for count in counts for point in range(count))
    return Design(common, units, norms, owners, points)


def rss_floor(whitened: FloatArray) -> float:
    """The residual sum of squares below which there is only rounding.

    Args:
        whitened: (scales,) values times the root of their weights.
    """
    scatter = float(np.square(whitened - whitened.mean()).sum())
    return ROUNDING * scatter + 1e-24 * float(np.square(whitened).sum()) + TINY


def residual(common: FloatArray, whitened: FloatArray) -> FloatArray:
    """(scales, ...) what the common columns leave of whitened values."""
    return whitened - common @ (common.T @ whitened)


def best_point(plan: Design, whitened: FloatArray) -> tuple[int, float]:
    """The grid point with the smallest residual sum of squares, and that sum.

    Args:
        plan: a design.
        whitened: (scales,) values times the root of their weights.
    """
    rest = residual(plan.common, whitened)
    projections = plan.units @ rest
    best = int(np.argmax(np.abs(projections)))
    left = rest - projections[best] * plan.units[best]
    return best, float(left @ left)


def fit(
    curve: Curve, x: FloatArray, z: FloatArray, weights: FloatArray, axis: str = "params"
) -> Fit:
    """The weighted least squares fit of one curve.

    Args:
        curve: an entry of the registry.
        x: (scales,) strictly increasing.
        z: (scales,) values on the link scale.
        weights: (scales,) one over the variance.
        axis: name of the axis; the rates of some grids depend on it.

    Returns:
        The fit, or one without parameters whose status tells why there is none.
    """
    nothing = np.full(x.size, np.nan)
    if x.size < curve.parameters:
        words = f"{x.size} scales are too few for {curve.parameters} parameters"
        return Fit(curve.name, {}, float("nan"), nothing, words)
    nonlinear = curve.grid(x, axis)
    if any(values.size == 0 for values in nonlinear.values()):
        return Fit(curve.name, {}, float("nan"), nothing, "no place with two scales on each side")
    root = np.sqrt(weights)
    best, rss = best_point(design((curve,), x, weights, axis), root * z)
    chosen = {name: float(values[best]) for name, values in nonlinear.items()}
    return _solve(curve, x, z, root, chosen, rss)


def _solve(
    curve: Curve, x: FloatArray, z: FloatArray, root: FloatArray, chosen: dict[str, float],
    rss: float,
) -> Fit:  # fmt: skip
    """The linear parameters at the chosen nonlinear ones."""
    common, varying = curve.columns(x, {name: np.array([at]) for name, at in chosen.items()})
    columns = np.concatenate([common, varying.T], axis=1) * root[:, None]
    lengths = np.sqrt(np.square(columns).sum(axis=0))
    scaled, *_ = np.linalg.lstsq(columns / lengths, root * z, rcond=None)
    found = dict(zip(curve.linear, (scaled / lengths).tolist(), strict=True)) | chosen
    parameters = {name: found[name] for name in curve.bounds}
    return Fit(curve.name, parameters, rss, curve.compute(x, **parameters), "converged")


def fit_best(
    curves: tuple[Curve, ...], x: FloatArray, z: FloatArray, weights: FloatArray, axis: str
) -> Fit:
    """The fit of the curve that leaves least; the first one's failure if all fail."""
    attempts = [fit(curve, x, z, weights, axis) for curve in curves]
    done = [attempt for attempt in attempts if attempt.converged]
    return min(done, key=lambda attempt: attempt.rss) if done else attempts[0]
