"""Does one label go with another, given the group? Stratified tests of 2 x M and 2 x 2 tables."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

CELLS = 1_000_000  # labels permuted at once


@dataclass(frozen=True)
class LabelTest:
    """Permutation test of a 2 x M table within cells.

    Args:
        statistic: Pearson's chi-squared of the pooled table; NaN where all marks are equal.
        p: share of permutations with a statistic at least as large; NaN with the statistic.
        cells: cells in which a permutation can change anything.
    """

    statistic: float
    p: float
    cells: int


def label_permutation(
    marked: ArrayLike, label: ArrayLike, cell: ArrayLike, rng: np.random.Generator, draws: int = 999
) -> LabelTest:
    """Whether marks follow the labels when labels are shuffled inside each cell.

    Args:
        marked: (rows,) true or false.
        label: (rows,) number of the label, 0 to M - 1.
        cell: (rows,) number of the cell, such as task and family.
        rng: source of randomness.
        draws: permutations.
    """
    flags, labels = np.asarray(marked, dtype=bool), np.asarray(label, dtype=np.int64)
    uses = np.bincount(labels)
    share = flags.mean() if flags.size else 0.0
    if share in (0.0, 1.0):
        return LabelTest(math.nan, math.nan, 0)
    groups = _mixed_cells(flags, labels, np.asarray(cell, dtype=np.int64))
    moving = np.zeros(uses.size, dtype=np.int64)
    drawn = np.zeros((draws, uses.size), dtype=np.int64)
    for group_flags, group_labels in groups:
        moving += np.bincount(group_labels[group_flags], minlength=uses.size)
        drawn += _shuffled_counts(group_flags, group_labels, uses.size, rng, draws)
    seen = np.bincount(labels[flags], minlength=uses.size)
    used = uses > 0
    expected = uses[used] * share

    def statistic(counts: IntArray) -> FloatArray:
        return np.asarray(((counts[..., used] - expected) ** 2 / expected).sum(-1) / (1 - share))

    observed = float(statistic(seen))
    hits = int((statistic(drawn + seen - moving) >= observed * (1 - 1e-9)).sum())
    return LabelTest(observed, (1 + hits) / (1 + draws), sum(len(f) for f, _ in groups))


def _mixed_cells(
    flags: BoolArray, labels: IntArray, cell: IntArray
) -> list[tuple[BoolArray, IntArray]]:
    """Flags and labels (cells, size) of the cells with both kinds of marks, by cell size."""
    _, number, size = np.unique(cell, return_inverse=True, return_counts=True)
    marks = np.bincount(number, flags)
    mixed = (marks > 0) & (marks < size)
    order = np.argsort(number, kind="stable")
    result = []
    for width in np.unique(size[mixed]):
        rows = order[(mixed & (size == width))[number[order]]].reshape(-1, width)
        result.append((flags[rows], labels[rows]))
    return result


def _shuffled_counts(
    flags: BoolArray, labels: IntArray, kinds: int, rng: np.random.Generator, draws: int
) -> IntArray:
    """(draws, kinds) marks per label after shuffling each row of the flags."""
    counts = np.zeros((draws, kinds), dtype=np.int64)
    step = max(1, CELLS // flags.size)
    for start in range(0, draws, step):
        size = min(step, draws - start)
        shuffled = rng.permuted(np.broadcast_to(flags, (size, *flags.shape)), axis=2)
        codes = labels + kinds * np.arange(size)[:, None, None]
        found = np.bincount(codes[shuffled], minlength=size * kinds)
        counts[start : start + size] = found.reshape(size, kinds)
    return counts


@dataclass(frozen=True)
class OddsRatio:
    """Common odds ratio of stratified 2 x 2 tables.

    Args:
        ratio: Mantel-Haenszel estimate; infinite or NaN where the tables do not bound it.
        low: lower end of its 95 % interval, NaN where there is none.
        high: upper end of its 95 % interval.
        statistic: Cochran-Mantel-Haenszel chi-squared, without continuity correction.
        p: its p, 1 degree of freedom; NaN without informative strata.
        strata: tables that carry information: no margin is 0.
    """

    ratio: float
    low: float
    high: float
    statistic: float
    p: float
    strata: int


def mantel_haenszel(tables: ArrayLike) -> OddsRatio:
    """Odds ratio common to all strata.

    Args:
        tables: (strata, 2, 2) counts; rows are the exposure, columns the outcome.

    Source: Mantel, Haenszel (1959), JNCI 22(4); interval of Robins, Breslow, Greenland (1986),
    Biometrics 42(2).
    """
    counts = np.asarray(tables, dtype=float).reshape(-1, 2, 2)
    a, b, c, d = counts[:, 0, 0], counts[:, 0, 1], counts[:, 1, 0], counts[:, 1, 1]
    useful = (a + b > 0) & (c + d > 0) & (a + c > 0) & (b + d > 0)
    if not useful.any():
        nan = math.nan
        return OddsRatio(nan, nan, nan, nan, nan, 0)
    a, b, c, d = a[useful], b[useful], c[useful], d[useful]
    n = a + b + c + d
    r, s = a * d / n, b * c / n
    spread = ((a + b) * (c + d) * (a + c) * (b + d) / (n**2 * (n - 1))).sum()
    excess = (a - (a + b) * (a + c) / n).sum()
    statistic = float(excess**2 / spread)
    p, strata = float(chdtrc(1, statistic)), int(useful.sum())
    if r.sum() == 0 or s.sum() == 0:
        return OddsRatio(math.inf if r.sum() else 0.0, math.nan, math.nan, statistic, p, strata)
    ratio = float(r.sum() / s.sum())
    same, other = (a + d) / n, (b + c) / n
    variance = (
        (same * r).sum() / (2 * r.sum() ** 2)
        + (same * s + other * r).sum() / (2 * r.sum() * s.sum())
        + (other * s).sum() / (2 * s.sum() ** 2)
    )
    factor = math.exp(1.959963984540054 * math.sqrt(variance))
    return OddsRatio(ratio, ratio / factor, ratio * factor, statistic, p, strata)
