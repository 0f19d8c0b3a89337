"""Rates that are looked at while they come in. Arrays in, arrays out.

Intervals that hold at every look, and means that a stopping rule does not bias.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaln
from scipy.stats import binom

from saltus.estimates.intervals import FloatArray, Interval

PRIOR = 0.5  # Beta(1/2, 1/2): narrow near 0 and 1, where emergent tasks begin and end
HALVINGS = 40  # to 1e-12
Stop = Callable[[int, NDArray[np.int64]], NDArray[np.bool_]]
"""(items, (m,) successes) -> (m,) whether a cell with so many successes stops there."""


def mixture_interval(
    successes: ArrayLike, items: ArrayLike, level: float = 0.95, prior: float = PRIOR
) -> Interval:
    """Confidence sequence of a rate: holds at all numbers of items at once.

    The rates p with p^k (1-p)^(n-k) >= alpha B(a+k, a+n-k) / B(a, a). The likelihood ratio of
    a Beta(a, a) mixture against the true rate is a martingale of mean 1, so that by Ville's
    inequality it ever exceeds 1/alpha with probability at most alpha: one may look after
    every item and stop when one likes.

    Args:
        successes: k.
        items: n, at least 0.
        level: 1 - alpha.
        prior: a of the mixture; decides where the interval is narrow, not whether it holds.

    Source: Robbins (1970), Annals of Mathematical Statistics 41(5); Howard, Ramdas, McAuliffe
    and Sekhon (2021), Annals of Statistics 49(2).
    """
    k, n = np.broadcast_arrays(np.asarray(successes, float), np.asarray(items, float))
    least = math.log(1 - level) + betaln(prior + k, prior + n - k) - betaln(prior, prior)
    centre = np.where(n > 0, k / np.maximum(n, 1), 0.5)
    ends = [_end(np.full(k.shape, edge), centre, k, n, least) for edge in (0.0, 1.0)]
    return Interval(np.where(k > 0, ends[0], 0.0), np.where(k < n, ends[1], 1.0))


def _end(
    outside: FloatArray, inside: FloatArray, k: FloatArray, n: FloatArray, least: FloatArray
) -> FloatArray:
    """Where the likelihood, which has one peak, falls to `least`, by bisection."""
    for _ in range(HALVINGS):
        middle = (outside + inside) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            likelihood = np.where(k > 0, k * np.log(middle), 0.0)
            likelihood += np.where(k < n, (n - k) * np.log1p(-middle), 0.0)
        within = likelihood >= least
        inside, outside = np.where(within, middle, inside), np.where(within, outside, middle)
    return outside


def stopped_rate(successes: int, items: int, looks: Sequence[int], stop: Stop) -> float:
    """Unbiased rate of a cell that stopped by its own count, or was cut off at the last look.

    The first answer alone is unbiased; given the end (n, k) every order of answers that leads
    there without stopping earlier is equally likely, so that the share of those that begin
    with a success is its Rao-Blackwell estimate. For one look it is k / n, for sampling until
    r successes (r - 1) / (n - 1).

    Args:
        successes: k at the end.
        items: n at the end, one of the looks.
        looks: numbers of items after which the rule was asked, rising.
        stop: the rule; at the last look everything stops.

    Raises:
        ValueError: the end is no look, or no order of answers leads to it.

    Source: Girshick, Mosteller and Savage (1946), Annals of Mathematical Statistics 17(1).
    """
    if items not in looks:
        raise ValueError(f"{items} is not one of the looks")
    if successes in (0, items):
        return successes / items
    reference = successes / items  # the shares do not depend on it; here nothing underflows
    every, begun = np.ones(1), np.zeros(1)
    before = 0
    for look in (n for n in looks if n <= items):
        every, begun = _grown(every, begun, before, look, reference)
        if look < items:
            over = stop(look, np.arange(look + 1))
            every, begun = np.where(over, 0.0, every), np.where(over, 0.0, begun)
        before = look
    if every[successes] <= 0:
        raise ValueError(f"{successes} of {items} cannot be reached: the rule stops before")
    return float(begun[successes] / every[successes])


def _grown(
    every: FloatArray, begun: FloatArray, before: int, look: int, rate: float
) -> tuple[FloatArray, FloatArray]:
    """Distributions of the successes at the next look: of all, and of those begun with one."""
    step = look - before
    more = binom.pmf(np.arange(step + 1), step, rate)
    if before == 0:
        first = np.zeros(step + 1)
        first[1:] = rate * binom.pmf(np.arange(step), step - 1, rate)
        return more, first
    return np.convolve(every, more), np.convolve(begun, more)
