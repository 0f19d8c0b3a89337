"""How often a series without change reaches the emergence score that was seen.

Three nulls: a binomial or Gaussian sampling law at the pooled mean, and the permutation of
the points. All are one-sided for growth: p is the chance of a score at least as large.

No draw is sorted. A score is reached when the maximum comes after the minimum and the median
squared step is at most (range / score)^2, and the latter is a count of steps. Under
permutation the range and the set of possible steps are fixed, so the count for all curves and
draws is one matrix product. Curves that reach their score `stop` times stop early with
p = hits / draws (Besag, Clifford 1991, Biometrika 78(2)); the others get
(1 + hits) / (1 + draws).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, permutations
from math import factorial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from saltus.estimates.emergence import BoolArray, FloatArray, IntArray, emergence

# Steps that differ by rounding only (0.2 - 0.1 against 0.1 - 0) count as equal.
SLACK = 1e-9
CELLS = 500_000  # numbers held at once per array in the first block
FIRST_BLOCK = 64

Block = Callable[[IntArray, int, int], BoolArray]


@dataclass(frozen=True)
class NullP:
    """Monte-Carlo p-values of a batch of curves.

    Args:
        p: (curves,) one-sided; NaN where the curve has a missing value or one point.
        draws: (curves,) draws made, 0 where p is NaN.
    """

    p: FloatArray
    draws: IntArray


def binomial_null(
    successes: ArrayLike,
    items: ArrayLike,
    rng: np.random.Generator,
    draws: int = 9999,
    stop: int = 20,
) -> NullP:
    """P-values under one common success rate at every scale.

    Args:
        successes: (curves, scales) k.
        items: (curves, scales) n, at least 1.
        rng: source of randomness.
        draws: most draws per curve.
        stop: hits after which a curve needs no more draws.
    """
    k, n = np.atleast_2d(successes).astype(float), np.atleast_2d(items).astype(float)
    known = np.isfinite(k).all(axis=1) & (n > 0).all(axis=1)
    n = np.where(known[:, None], n, 1.0)
    rate = np.where(known, k.sum(axis=1) / n.sum(axis=1), 0.0)
    counts = n.astype(np.int64).T[:, :, None]

    def sample(curves: IntArray, size: int) -> FloatArray:
        shape = (n.shape[1], curves.size, size)
        drawn = rng.binomial(counts[:, curves], rate[curves, None], shape)
        return np.asarray(drawn / counts[:, curves])

    return _sampled(np.where(known[:, None], k / n, np.nan), sample, draws, stop)


def gaussian_null(
    values: ArrayLike,
    variance: ArrayLike,
    rng: np.random.Generator,
    draws: int = 9999,
    stop: int = 20,
) -> NullP:
    """P-values under one common mean and the given standard errors.

    Args:
        values: (curves, scales) scores, higher is better.
        variance: (curves, scales) their sampling variances; a curve whose variances are not
            known or all 0 gets NaN.
        rng: source of randomness.
        draws: most draws per curve.
        stop: hits after which a curve needs no more draws.
    """
    squares = np.atleast_2d(np.asarray(variance, dtype=float))
    curves = np.atleast_2d(np.asarray(values, dtype=float))
    unknown = ~np.isfinite(squares).all(axis=1) | ~(squares > 0).any(axis=1)
    errors = np.sqrt(np.where(unknown[:, None], 0.0, squares)).T[:, :, None]

    def sample(chosen: IntArray, size: int) -> FloatArray:
        return rng.standard_normal((curves.shape[1], chosen.size, size)) * errors[:, chosen]

    return _sampled(np.where(unknown[:, None], np.nan, curves), sample, draws, stop)


def permutation_null(
    values: ArrayLike, rng: np.random.Generator, draws: int = 1000, stop: int = 20
) -> NullP:
    """P-values when the order of the points means nothing; all orders where these are few.

    The same random orders serve all curves, so a curve's p does not depend on its company.
    Exchangeable points are no model of smooth growth: a small p says that the score has a
    trend, not that it jumps.

    Args:
        values: (curves, scales) scores, higher is better.
        rng: source of randomness.
        draws: most draws per curve; with scales! <= draws the p-value is exact.
        stop: hits after which a curve needs no more draws.
    """
    curves = np.atleast_2d(np.asarray(values, dtype=float))
    scales = curves.shape[1]
    exact = factorial(scales) <= draws
    orders = (
        np.array(list(permutations(range(scales))))
        if exact
        else rng.permuted(np.tile(np.arange(scales), (draws, 1)), axis=1)
    )
    table = _Orders.of(orders)

    def run(rows: IntArray) -> NullP:
        return _sequential(rows.size, len(orders), len(orders) + 1 if exact else stop,
                           _permuted(curves[rows], table))  # fmt: skip

    result = _in_parts(curves, run, max(1, CELLS // FIRST_BLOCK // max(scales, 1)))
    if not exact:
        return result
    # the observed order is one of all orders: no draw to add
    hits = np.round(result.p * (len(orders) + 1) - 1)
    return NullP(hits / len(orders), result.draws)


@dataclass(frozen=True)
class _Orders:
    """Orders of the points, shared by all curves.

    Args:
        place: (scales, orders) where each point stands.
        steps: (orders, scales - 1) pair of points behind each step.
        incidence: (pairs, orders) 1 where the two points are neighbours.
        pairs: the two points of each pair.
    """

    place: NDArray[np.int8]
    steps: IntArray
    incidence: NDArray[np.float32]
    pairs: tuple[IntArray, IntArray]

    @staticmethod
    def of(orders: IntArray) -> _Orders:
        scales = orders.shape[1]
        pairs = np.array(list(combinations(range(scales), 2)), dtype=np.int64).reshape(-1, 2)
        number = np.zeros((scales, scales), dtype=np.int64)
        number[pairs[:, 0], pairs[:, 1]] = number[pairs[:, 1], pairs[:, 0]] = range(len(pairs))
        steps = number[orders[:, :-1], orders[:, 1:]]
        incidence = np.zeros((len(pairs), len(orders)), dtype=np.float32)
        incidence[steps.T, np.arange(len(orders))] = 1
        place = orders.argsort(axis=1).T.astype(np.int8)
        return _Orders(place, steps, incidence, (pairs[:, 0], pairs[:, 1]))


def _permuted(curves: FloatArray, table: _Orders) -> Block:
    """Which of the orders reach the score of each curve."""
    squares = (curves[:, table.pairs[0]] - curves[:, table.pairs[1]]) ** 2
    median = np.median(np.diff(curves, axis=1) ** 2, axis=1)
    falling = emergence(curves).score <= 0
    limit = _limit(median, falling)
    small = (squares <= limit[:, None]).astype(np.float32)
    half = (curves.shape[1] - 1) / 2
    tops = curves == curves.max(axis=1, keepdims=True)
    bottoms = curves == curves.min(axis=1, keepdims=True)

    def block(rows: IntArray, start: int, end: int) -> BoolArray:
        place = table.place[:, start:end]
        rising = _first(tops[rows], place) > _first(bottoms[rows], place)
        sided = rising ^ falling[rows, None]
        count = small[rows] @ table.incidence[:, start:end]
        event = sided & (count > half)
        row, order = np.nonzero(sided & (count == half))
        steps = squares[rows[row, None], table.steps[start + order]]
        event[row, order] = _middle_sum(steps.T, limit[rows[row]]) <= 2 * limit[rows[row]]
        # a falling curve is reached by every order that does not fall further
        return np.asarray(event ^ falling[rows, None])

    return block


def _limit(median: FloatArray, falling: BoolArray) -> FloatArray:
    """Largest median square that counts as reaching, or as falling strictly further."""
    below = np.where(median > 0, median * (1 - SLACK), -1.0)
    return np.where(falling, below, median * (1 + SLACK))


def _first(marked: BoolArray, place: NDArray[np.int8]) -> NDArray[np.int8]:
    """(curves, orders) place of the first of the marked points."""
    found: NDArray[np.int8] = place[marked.argmax(axis=1)]
    tied = np.flatnonzero(marked.sum(axis=1) > 1)
    for point in range(len(place) if tied.size else 0):
        other = np.where(marked[tied, point, None], place[point], np.int8(127))
        found[tied] = np.minimum(found[tied], other)
    return found


def _middle_sum(steps: FloatArray, limit: FloatArray) -> FloatArray:
    """Sum of the two middle squares where half of the steps (axis 0) are within the limit."""
    within = steps <= limit
    lower = np.where(within, steps, -np.inf).max(axis=0)
    upper = np.where(within, np.inf, steps).min(axis=0)
    return np.asarray(lower + upper)


def _sampled(
    values: FloatArray, sample: Callable[[IntArray, int], FloatArray], draws: int, stop: int
) -> NullP:
    """P-values against curves drawn by `sample`: (curves to draw, draws) -> (scales, ...)."""
    score = emergence(values).score

    def run(rows: IntArray) -> NullP:
        def block(active: IntArray, start: int, end: int) -> BoolArray:
            return _reached(sample(rows[active], end - start), score[rows[active], None])

        return _sequential(rows.size, draws, stop, block)

    return _in_parts(values, run, max(1, CELLS // FIRST_BLOCK // values.shape[1]))


def _reached(drawn: FloatArray, score: FloatArray) -> BoolArray:
    """Whether the score of each drawn curve (scales, curves, draws) is at least `score`."""
    order = drawn.argmax(axis=0) - drawn.argmin(axis=0)
    spread = np.ptp(drawn, axis=0)
    falling = score <= 0
    ratio = np.full_like(spread, np.inf)  # score 0: every drawn curve that falls is below
    np.divide(spread, score, out=ratio, where=score != 0)
    ratio **= 2
    limit = _limit(ratio, np.broadcast_to(falling, ratio.shape))
    steps = np.diff(drawn, axis=0) ** 2
    within = (steps <= limit).sum(axis=0, dtype=np.int8)
    small = within > len(steps) / 2
    even = within == len(steps) / 2
    small[even] = _middle_sum(steps[:, even], limit[even]) <= 2 * limit[even]
    return np.asarray(np.where(falling, ~((order < 0) & small), (order > 0) & small))


def _in_parts(values: FloatArray, run: Callable[[IntArray], NullP], size: int) -> NullP:
    """Run over the complete curves, `size` at a time; the others get NaN."""
    p, draws = np.full(len(values), np.nan), np.zeros(len(values), dtype=np.int64)
    complete = np.flatnonzero(~np.isnan(values).any(axis=1) & (values.shape[1] > 1))
    for start in range(0, complete.size, size):
        rows = complete[start : start + size]
        part = run(rows)
        p[rows], draws[rows] = part.p, part.draws
    return NullP(p, draws)


def _blocks(draws: int) -> Iterator[tuple[int, int]]:
    """Ranges of draws, doubling: most null curves stop within the first."""
    start, size = 0, FIRST_BLOCK
    while start < draws:
        yield start, min(start + size, draws)
        start, size = start + size, 2 * size


def _sequential(curves: int, draws: int, stop: int, block: Block) -> NullP:
    """Count hits block by block and drop the curves that have `stop` of them."""
    hits, used = np.zeros(curves), np.zeros(curves, dtype=np.int64)
    active = np.arange(curves)
    for start, end in _blocks(draws):
        hit = block(active, start, end)
        before = hits[active]
        hits[active] += hit.sum(axis=1)
        used[active] = end
        done = hits[active] >= stop
        reached = before[done, None] + np.cumsum(hit[done], axis=1) >= stop
        used[active[done]] = start + 1 + reached.argmax(axis=1)
        active = active[~done]
    p = np.where(hits >= stop, stop / np.maximum(used, 1), (hits + 1) / (used + 1))
    return NullP(p, used)
