"""The exact best knot of a hinge, a rectified line or a jump, many curves at a time.

Within a gap between neighbouring points the column of a hinge is u - t w, u = x and w = 1
beyond the gap, so what it explains,

    (A - t B)^2 / (a - 2 b t + c t^2),

has one stationary point, t = (B a - A b) / (B b - A c), besides A = t B where it explains
nothing. The best knot is one of these or a point: no grid, no iteration.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from saltus.curves.curve import FloatArray

EDGE = 2  # points that must lie on each side of a knot
TINY = 1e-12


class Knots(NamedTuple):
    """Candidate knots and what each explains; -1 where there is no such knot.

    Args:
        places: (curves, candidates).
        explained: (curves, candidates) drop of the residual sum of squares.
        change: (curves, candidates) coefficient of the column.
    """

    places: FloatArray
    explained: FloatArray
    change: FloatArray


def knots(
    kind: str, x: FloatArray, root: FloatArray, units: list[FloatArray], residual: FloatArray
) -> Knots:
    """Every candidate knot of sorted points.

    Args:
        kind: "ramp" or "step".
        x: (curves, points) not decreasing; the column lives beyond the knot.
        root: (curves, points) root of the weights, 0 for a missing point.
        units: orthonormal columns that the fit has besides, whitened.
        residual: (curves, points) what they leave of the values.
    """
    centre = x.mean(axis=1, keepdims=True)
    places = x - centre
    steps = _beyond(root * residual)
    free = np.concatenate([_beyond(root * unit)[None] for unit in units]) if units else None
    flat = _left(_beyond(root * root), free, free)
    gaps = (places[:, :-1], places[:, 1:])
    open_gap = _two_sided(root) & (gaps[1] > gaps[0])
    if kind == "step":
        return _steps(gaps, steps, flat, open_gap, centre)
    rising = _beyond(root * residual * places)
    slanted = (
        np.concatenate([_beyond(root * unit * places)[None] for unit in units]) if units else None
    )
    steep = _left(_beyond(root * root * places * places), slanted, slanted)
    mixed = _left(_beyond(root * root * places), slanted, free)
    with np.errstate(divide="ignore", invalid="ignore"):
        still = (steps * steep - rising * mixed) / (steps * mixed - rising * flat)
    still = np.clip(np.where(np.isfinite(still), still, gaps[0]), *gaps)
    found = []
    for at in (still, *gaps):
        height = rising - at * steps
        length = steep - 2.0 * at * mixed + at * at * flat
        usable = open_gap & (length > TINY * steep.max(axis=1, keepdims=True))
        found.append(_candidates(at + centre, height, length, usable))
    return Knots(*(np.concatenate(part, axis=1) for part in zip(*found, strict=True)))


def _steps(
    gaps: tuple[FloatArray, FloatArray], height: FloatArray, length: FloatArray,
    usable: FloatArray, centre: FloatArray,
) -> Knots:  # fmt: skip
    """One step per gap, in its middle."""
    usable = usable & (length > TINY * length.max(axis=1, keepdims=True))
    return _candidates((gaps[0] + gaps[1]) / 2.0 + centre, height, length, usable)


def _candidates(
    places: FloatArray, height: FloatArray, length: FloatArray, usable: FloatArray
) -> Knots:
    safe = np.where(usable, length, 1.0)
    return Knots(places, np.where(usable, height**2 / safe, -1.0), height / safe)


def _beyond(terms: FloatArray) -> FloatArray:
    """(curves, gaps) sums over the points beyond each gap."""
    return np.asarray(np.cumsum(terms[:, ::-1], axis=1)[:, ::-1][:, 1:])


def _left(whole: FloatArray, first: FloatArray | None, second: FloatArray | None) -> FloatArray:
    """Inner products of what the other columns leave."""
    if first is None or second is None:
        return whole
    return np.asarray(whole - (first * second).sum(axis=0))


def _two_sided(root: FloatArray) -> FloatArray:
    """(curves, gaps) whether enough points lie on each side."""
    present = np.cumsum(root > 0.0, axis=1)
    return np.asarray((present[:, :-1] >= EDGE) & (present[:, -1:] - present[:, :-1] >= EDGE))
