"""Nested regressions of performance on loss: does anything else matter at equal loss?

M0 is a spline of the loss, M1 adds an effect (log10 of the size, or the family), M2 lets the
spline itself depend on it. Checkpoints of one run share its luck, so an F test calls a pure
run effect a size effect in 35 to 55 % of simulated families (nominal 5 %); permuting the labels
of whole runs, with a statistic that is robust to the correlation within them, does so in 3 to
4 % (tests/test_nested.py).

Source: science.md 2.3; Freedman and Lane (1983), J. Bus. Econ. Stat. 1(4), for permutation in
a regression; Liang and Zeger (1986), Biometrika 73(1), for the robust error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import fdtrc, stdtrit

from saltus.curves.curve import FloatArray
from saltus.curves.project import IntArray

FEWEST_POINTS = 15
FEWEST_RUNS = 4
QUARTILES = (0.25, 0.5, 0.75)
RANK = 1e-9
COVERAGE = 0.90
FLAT = 1e-20


@dataclass(frozen=True)
class Effect:
    """What is left for an effect once the loss is known.

    Args:
        points: rows that took part.
        runs: training runs.
        slope: the effect: metric per decade of size, or against the first family; None with
            several families.
        low: lower end of its 90 % interval.
        high: upper end.
        p: F test of M1 against M0, which takes rows as independent.
        p_runs: the same by permuting labels between runs; None with fewer than 4 runs.
        p_shape: F test of M2 against M0; None where the points do not carry M2.
        residual: standard deviation about M0, in the metric's unit.
        status: "tested", or why not, in words.
    """

    points: int
    runs: int
    slope: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_runs: float | None = None
    p_shape: float | None = None
    residual: float | None = None
    status: str = "tested"

    def within(self, margin: float) -> bool:
        """Whether the 90 % interval is known and lies inside the margin: no difference."""
        if self.low is None or self.high is None:
            return False
        return -margin < self.low and self.high < margin

    def differs(self, margin: float, level: float = 0.05) -> bool:
        """Whether an effect is shown, and not shown to be within the margin."""
        p = self.p if self.points == self.runs else self.p_runs
        return p is not None and p < level and not self.within(margin)


def spline(loss: FloatArray, knots: FloatArray | None = None) -> FloatArray:
    """(points, 6) quadratic truncated power basis with knots at the quartiles of the loss.

    Args:
        loss: (points,) any unit.
        knots: (3,) given knots, where a fit is carried to other losses.
    """
    places = np.quantile(loss, QUARTILES) if knots is None else knots
    width = max(float(np.ptp(places)), 1e-12)
    moved = (loss - places[1]) / width
    beyond = [np.maximum(loss - knot, 0.0) / width for knot in places]
    return np.stack([np.ones_like(moved), moved, moved**2, *(b**2 for b in beyond)], axis=1)


def span(columns: FloatArray) -> FloatArray:
    """(points, rank) orthonormal basis of the columns."""
    lengths = np.sqrt(np.square(columns).sum(axis=0))
    left, sizes, _ = np.linalg.svd(
        columns / np.where(lengths > 0.0, lengths, 1.0), full_matrices=False
    )
    return np.asarray(left[:, sizes > RANK * sizes[0]])


class _Test(NamedTuple):
    p: float
    freedom: int
    rss: float


def _f_test(small: FloatArray, large: FloatArray, y: FloatArray) -> _Test | None:
    """F test between nested spans; None where the larger one adds nothing or leaves nothing."""
    added, freedom = large.shape[1] - small.shape[1], y.size - large.shape[1]
    left = [float(np.square(y - basis @ (basis.T @ y)).sum()) for basis in (small, large)]
    if added < 1 or freedom < 1 or left[1] <= FLAT * float(np.square(y).sum()):
        return None
    ratio = max(left[0] - left[1], 0.0) / added / (left[1] / freedom)
    return _Test(float(fdtrc(added, freedom, ratio)), freedom, left[1])


def effect(
    loss: FloatArray,
    labels: FloatArray,
    y: FloatArray,
    runs: IntArray,
    rng: np.random.Generator | None,
    draws: int = 999,
) -> Effect:
    """Whether labels matter at equal loss.

    Args:
        loss: (points,) in one unit and on one text.
        labels: (points,) log10 of the size, or (points, families - 1) indicators; constant
            within a run.
        y: (points,) metric.
        runs: (points,) label of the training run.
        rng: of the permutations; None leaves them out.
        draws: permutations.
    """
    columns = labels.reshape(y.size, -1)
    names, first, place = np.unique(runs, return_index=True, return_inverse=True)
    if (why := _untestable(loss, columns, y)) is not None:
        return Effect(y.size, names.size, status=why)
    base = span(spline(loss))
    test = _f_test(base, span(np.concatenate([spline(loss), columns], axis=1)), y)
    if test is None:
        return Effect(y.size, names.size, status="at equal loss there is nothing to compare")
    shape = _f_test(base, span(_interaction(loss, columns)), y)
    rest = y - base @ (base.T @ y)
    found = _Runs(base, columns[first], place, rest)
    slope, low, high, p_runs = _by_runs(found, test, rng, draws)
    residual = float(np.sqrt(rest @ rest / (y.size - base.shape[1])))
    return Effect(
        y.size, names.size, slope, low, high, test.p, p_runs, shape.p if shape else None, residual
    )


def _untestable(loss: FloatArray, columns: FloatArray, y: FloatArray) -> str | None:
    if y.size < FEWEST_POINTS:
        return f"{y.size} points; {FEWEST_POINTS} are needed"
    if np.ptp(loss) == 0.0:
        return "all losses are equal"
    if np.ptp(y) == 0.0:
        return "the score does not vary"
    if (np.ptp(columns, axis=0) == 0.0).all():
        return "all points are of one size"
    return None


def _interaction(loss: FloatArray, columns: FloatArray) -> FloatArray:
    """M2: the spline, and the spline times each label."""
    curve = spline(loss)
    centred = columns - columns.mean(axis=0)
    return np.concatenate([curve, *(curve * one[:, None] for one in centred.T)], axis=1)


class _Runs(NamedTuple):
    """The regression seen by run.

    Args:
        base: (points, rank) span of M0.
        labels: (runs, k) label of every run.
        place: (points,) run of every point.
        rest: (points,) residuals of M0.
    """

    base: FloatArray
    labels: FloatArray
    place: IntArray
    rest: FloatArray


def _by_runs(
    found: _Runs, test: _Test, rng: np.random.Generator | None, draws: int
) -> tuple[float | None, float | None, float | None, float | None]:
    """Slope, the ends of its interval, and the p over permuted runs."""
    runs, effects = found.labels.shape
    if effects > 1:
        if rng is None or runs < FEWEST_RUNS:
            return None, None, None, None
        return None, None, None, _permuted_f(found, rng, draws)
    slope, robust, naive = (
        float(part[0]) for part in _studentised(found, found.labels[None, :, 0])
    )
    single = runs == found.place.size
    p_runs, reach = None, None
    if rng is not None and runs >= FEWEST_RUNS:
        orders = np.stack([rng.permutation(runs) for _ in range(draws)])
        slopes, errors, _ = _studentised(found, found.labels[orders, 0])
        heights = np.abs(slopes) / errors
        p_runs = (1 + int((heights >= abs(slope) / robust).sum())) / (1 + draws)
        reach = float(np.quantile(heights, COVERAGE)) * robust
    if single:
        reach = float(stdtrit(test.freedom, (1.0 + COVERAGE) / 2.0)) * naive
    elif reach is None and runs >= FEWEST_RUNS:
        reach = float(stdtrit(runs - 1, (1.0 + COVERAGE) / 2.0)) * robust
    return slope, *((None, None) if reach is None else (slope - reach, slope + reach)), p_runs


def _studentised(found: _Runs, labels: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Slopes for (draws, runs) labels, with errors robust to runs and those of the F test."""
    columns = labels[:, found.place]
    columns = columns - (columns @ found.base) @ found.base.T
    lengths = np.square(columns).sum(axis=1)
    slopes = columns @ found.rest / lengths
    left = found.rest - slopes[:, None] * columns
    member = np.zeros((found.place.size, found.labels.shape[0]))
    member[np.arange(found.place.size), found.place] = 1.0
    points, runs = member.shape
    freedom = points - found.base.shape[1] - 1
    factor = runs / (runs - 1) * (points - 1) / freedom if runs > 1 else np.nan
    robust = np.sqrt(factor * np.square((columns * left) @ member).sum(axis=1)) / lengths
    naive = np.sqrt(np.square(left).sum(axis=1) / freedom / lengths)
    return slopes, robust, naive


def _permuted_f(found: _Runs, rng: np.random.Generator, draws: int) -> float:
    """P of several effects at once: the drop of the residual sum of squares, runs permuted."""

    def explained(labels: FloatArray) -> float:
        columns = labels[found.place]
        columns = columns - found.base @ (found.base.T @ columns)
        return float(np.square(span(columns).T @ found.rest).sum())

    observed = explained(found.labels)
    orders = (rng.permutation(found.labels.shape[0]) for _ in range(draws))
    more = sum(explained(found.labels[order]) >= observed * (1.0 - 1e-12) for order in orders)
    return (1 + more) / (1 + draws)


class LeftOut(NamedTuple):
    """How well the other sizes' curve predicts a size that it has not seen.

    Args:
        rmse: root mean square error over the points of all left-out sizes.
        points: points predicted: those within the other sizes' losses.
        worst: size with the largest root mean square error, raw units.
        worst_rmse: that error.
    """

    rmse: float
    points: int
    worst: float
    worst_rmse: float


def leave_one_size_out(loss: FloatArray, log10_size: FloatArray, y: FloatArray) -> LeftOut | None:
    """Errors of the curve of all other sizes, size by size; None where none can be predicted.

    Args:
        loss: (points,).
        log10_size: (points,).
        y: (points,) metric.
    """
    squares: dict[float, FloatArray] = {}
    for size in np.unique(log10_size):
        others = log10_size != size
        if others.sum() < FEWEST_POINTS:
            continue
        inside = ~others & (loss >= loss[others].min()) & (loss <= loss[others].max())
        if not inside.any():
            continue
        knots = np.quantile(loss[others], QUARTILES)
        fit, *_ = np.linalg.lstsq(spline(loss[others], knots), y[others], rcond=None)
        squares[float(size)] = np.square(y[inside] - spline(loss[inside], knots) @ fit)
    if not squares:
        return None
    worst = max(squares, key=lambda size: float(squares[size].mean()))
    every = np.concatenate(list(squares.values()))
    return LeftOut(
        float(np.sqrt(every.mean())), every.size, 10.0**worst, float(np.sqrt(squares[worst].mean()))
    )
