"""Intervals against science.md 3.15, SciPy and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from saltus.estimates import intervals

# Bowyer et al. (2025), as worked in science.md 3.15
WORKED = [
    (intervals.wilson, 3, 40, 0.025836, 0.198642),
    (intervals.clopper_pearson, 3, 40, 0.015742, 0.203865),
    (intervals.beta_binomial, 3, 40, 0.027227, 0.199246),
    (intervals.beta_binomial, 0, 40, 0.000617, 0.086044),
    (intervals.clopper_pearson, 0, 40, 0.0, 0.088097),
    (intervals.proportion, 4, 16, 0.1031, 0.4990),
]


@pytest.mark.parametrize(("method", "k", "n", "low", "high"), WORKED)
def test_worked_numbers(method, k: int, n: int, low: float, high: float) -> None:  # type: ignore[no-untyped-def]
    ends = method(k, n)
    digits = 1e-4 if n == 16 else 1e-6
    assert ends.low == pytest.approx(low, abs=digits)
    assert ends.high == pytest.approx(high, abs=digits)


counts = st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts, st.sampled_from([0.8, 0.95, 0.99]))
def test_agrees_with_scipy(pair: tuple[int, int], level: float) -> None:
    k, n = pair
    test = stats.binomtest(k, n)
    for method, name in ((intervals.wilson, "wilson"), (intervals.clopper_pearson, "exact")):
        ours, theirs = method(k, n, level), test.proportion_ci(level, name)
        assert ours.low == pytest.approx(theirs.low, abs=1e-9)
        assert ours.high == pytest.approx(theirs.high, abs=1e-9)


@given(counts)
def test_a_proportion_lies_in_its_interval_and_the_interval_in_the_unit(
    pair: tuple[int, int],
) -> None:
    k, n = pair
    ends = intervals.proportion(k, n)
    assert 0 <= ends.low < ends.high <= 1
    if 0 < k < n:
        assert ends.low < k / n < ends.high


def test_coverage_of_the_default_interval() -> None:
    rng = np.random.default_rng(3)
    for items, rate in ((40, 0.05), (200, 0.02), (1000, 0.3), (1000, 0.004)):
        ends = intervals.proportion(rng.binomial(items, rate, 20_000), items)
        covered = np.mean((ends.low <= rate) & (rate <= ends.high))
        assert 0.925 <= covered <= 0.99, (items, rate, covered)


def test_mean_variance_is_the_textbook_one() -> None:
    scores = np.array([0.2, 0.9, 0.4, 0.4])
    ours = intervals.mean_variance((scores**2).sum(), scores.sum(), 4)
    assert ours == pytest.approx(stats.sem(scores) ** 2)
    assert np.isnan(intervals.mean_variance(0.25, 0.5, 1))


def test_student_interval_is_scipys() -> None:
    ours = intervals.student(0.5, 0.01, 9, 0.9)
    assert (ours.low, ours.high) == pytest.approx(stats.t.interval(0.9, 9, 0.5, 0.1))
    normal = intervals.student(0.5, 0.01, np.inf, 0.9)
    assert (normal.low, normal.high) == pytest.approx(stats.norm.interval(0.9, 0.5, 0.1))
