"""Rates under peeking: intervals that hold at every look, means that stopping does not bias."""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from saltus.estimates.intervals import clopper_pearson
from saltus.estimates.sequential import mixture_interval, stopped_rate
from saltus.runners.allocate import Adaptive


def test_the_interval_is_where_the_mixture_beats_the_rate_by_twenty() -> None:
    """Oracle: the marginal likelihood by quadrature, the ends by a fine grid."""
    from scipy.integrate import quad

    k, n = 7, 40
    marginal = quad(
        lambda p: p**k * (1 - p) ** (n - k) * stats.beta(0.5, 0.5).pdf(p), 0, 1, epsabs=0
    )[0]
    grid = np.linspace(1e-6, 1 - 1e-6, 400_001)
    inside = grid[grid**k * (1 - grid) ** (n - k) >= 0.05 * marginal]
    low, high = mixture_interval(k, n)
    assert float(low) == pytest.approx(inside[0], abs=1e-5)
    assert float(high) == pytest.approx(inside[-1], abs=1e-5)


@given(st.integers(0, 60), st.integers(0, 60))
def test_intervals_hold_the_mean_mirror_and_are_wider_than_for_one_look(k: int, rest: int) -> None:
    n = k + rest
    low, high = (float(end) for end in mixture_interval(k, n))
    mirrored = mixture_interval(rest, n)
    assert low == pytest.approx(1 - float(mirrored.high), abs=1e-9)
    assert 0 <= low <= high <= 1
    if n:
        assert low <= k / n <= high
    if k and rest:
        exact = clopper_pearson(k, n, 0.90)
        assert high - low > float(exact.high) - float(exact.low)


def test_nothing_seen_is_nothing_known() -> None:
    low, high = mixture_interval([0, 0], [0, 100])
    assert low.tolist() == [0.0, 0.0]
    assert high[0] == 1.0
    assert 0.03 < high[1] < 0.08


LOOKS = 150


@lru_cache(maxsize=1)
def tables() -> list[np.ndarray]:
    """Ends of the sequence and of the exact interval by [items, successes]."""
    n, k = np.meshgrid(np.arange(LOOKS + 1), np.arange(LOOKS + 1), indexing="ij")
    k = np.minimum(k, n)
    ours, fixed = mixture_interval(k, n), clopper_pearson(k[1:], n[1:])
    return [*ours, *(np.concatenate([end[:1], end]) for end in fixed)]


@pytest.mark.parametrize("rate", [0.02, 0.3, 0.5, 0.9])
def test_the_sequence_holds_at_every_look_at_once(rate: float) -> None:
    """Looking after each of 150 items the interval misses in at most 5 % of 4,000 runs."""
    rng = np.random.default_rng(int(rate * 1000))
    counts = (rng.random((4000, LOOKS)) < rate).cumsum(axis=1)
    n = np.broadcast_to(np.arange(1, LOOKS + 1), counts.shape)
    low, high, fixed_low, fixed_high = (end[n, counts] for end in tables())
    ever = ((low > rate) | (high < rate)).any(axis=1).mean()
    assert ever <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4000)
    peeked = ((fixed_low > rate) | (fixed_high < rate)).any(axis=1).mean()
    assert peeked > max(0.06, ever)  # an interval for one look does not hold


def test_the_unbiased_rate_is_the_mean_without_a_rule_and_passuntil_with_it() -> None:
    never = lambda n, k: np.zeros(len(k), bool)  # noqa: E731
    assert stopped_rate(7, 40, [10, 20, 40], never) == pytest.approx(7 / 40)
    until = lambda n, k: k >= 3  # noqa: E731
    for n in (3, 5, 50):
        rate = stopped_rate(3, n, range(1, n + 1), until)
        assert rate == pytest.approx((3 - 1) / (n - 1))
    assert stopped_rate(1, 30, range(1, 31), until) == pytest.approx(1 / 30)  # cut off


def test_the_unbiased_rate_against_a_count_of_all_orders() -> None:
    """Oracle: every sequence of 8 answers, looked at after 2, 4, 6 and 8."""
    rule = Adaptive(0.6, right=3, step=2)
    looks = [2, 4, 6, 8]
    ends: dict[tuple[int, int], set[tuple[int, ...]]] = {}
    for answers in product((0, 1), repeat=8):
        n = next(n for n in looks if n == 8 or rule.enough(n, sum(answers[:n])))
        ends.setdefault((n, sum(answers[:n])), set()).add(answers[:n])
    assert len(ends) > 4
    for (n, k), paths in ends.items():
        share = sum(path[0] for path in paths) / len(paths)
        assert rule.rate(n, k) == pytest.approx(share), (n, k)
    for p in (0.1, 0.5, 0.8):
        mean = sum(
            len(paths) * p**k * (1 - p) ** (n - k) * rule.rate(n, k)
            for (n, k), paths in ends.items()
        )
        assert mean == pytest.approx(p)


def test_the_unbiased_rate_of_many_answers_does_not_underflow() -> None:
    rule = Adaptive(0.005, step=100)
    assert rule.rate(5000, 2500) == pytest.approx(0.5)
    assert abs(rule.rate(5000, 2400) - 0.48) < 0.02


def test_ends_that_cannot_be_are_errors() -> None:
    rule = Adaptive(0.2, step=20)
    with pytest.raises(ValueError, match="not one of the looks"):
        stopped_rate(1, 5, [2, 4], rule.stops)
    with pytest.raises(ValueError, match="cannot be reached"):
        stopped_rate(1000, 2000, range(20, 2001, 20), rule.stops)  # narrow long before
    assert rule.rate(2000, 1000) == 0.5  # as answers that failed may leave it
