from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saltus.estimates.emergence import emergence
from saltus.estimates.nulls import _reached, binomial_null, gaussian_null, permutation_null

small_curves = st.lists(st.integers(0, 4), min_size=2, max_size=6)


def share_of_orders(curve: list[float], orders: np.ndarray) -> float:
    """How many of the orders score at least as much; rounding to make equal steps equal."""
    score = emergence([curve]).score[0]
    return float(np.mean(emergence(np.array(curve)[orders]).score >= score - 1e-7))


@settings(deadline=None)
@given(small_curves, st.sampled_from([1.0, 0.1]))
def test_all_orders_are_counted_where_they_are_few(curve: list[int], unit: float) -> None:
    scaled = [unit * value for value in curve]
    orders = np.array(list(permutations(range(len(curve)))))
    found = permutation_null([scaled], np.random.default_rng(0), draws=720)
    assert found.p[0] == pytest.approx(share_of_orders(scaled, orders))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 5), min_size=7, max_size=9), st.integers(0, 99))
def test_random_orders_are_counted_as_by_hand(curve: list[int], seed: int) -> None:
    draws = 150
    rng = np.random.default_rng(seed)
    orders = rng.permuted(np.tile(np.arange(len(curve)), (draws, 1)), axis=1)
    found = permutation_null([curve], np.random.default_rng(seed), draws, stop=draws + 1)
    hits = share_of_orders(curve, orders) * draws
    assert found.p[0] == pytest.approx((hits + 1) / (draws + 1))
    assert found.draws[0] == draws


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=8),
    st.lists(st.integers(0, 3), min_size=6, max_size=6),
    st.integers(2, 6),
)
def test_counting_agrees_with_the_score(drawn, curve, scales: int) -> None:
    sample = np.array(drawn, dtype=float)[:, :scales]
    score = emergence([curve[:scales]]).score
    expected = emergence(sample).score >= score - 1e-7
    found = _reached(sample.T[:, None, :], score[:, None])
    np.testing.assert_array_equal(found[0], expected)


def test_company_does_not_change_a_permutation_p() -> None:
    curves = np.random.default_rng(1).standard_normal((30, 8))
    together = permutation_null(curves, np.random.default_rng(2), draws=300)
    alone = permutation_null(curves[7:8], np.random.default_rng(2), draws=300)
    assert alone.p[0] == together.p[7]


NULLS = {
    "permutation": lambda rng, draws: permutation_null(rng.standard_normal((4000, 8)), rng, draws),
    "gaussian": lambda rng, draws: gaussian_null(
        rng.standard_normal((4000, 7)) * [1, 2, 1, 2, 1, 2, 1], [[1, 4, 1, 4, 1, 4, 1]] * 4000,
        rng, draws,
    ),
    "binomial": lambda rng, draws: binomial_null(
        rng.binomial(200, 0.4, (4000, 8)), np.full((4000, 8), 200), rng, draws
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NULLS)
def test_p_values_hold_their_level_without_change(name: str) -> None:
    found = NULLS[name](np.random.default_rng(5), 499)
    for level in (0.01, 0.05, 0.25, 0.5):
        allowed = level + 4 * np.sqrt(level * (1 - level) / 4000)
        assert np.mean(found.p <= level) <= allowed
    # and are not idle: continuous scores make them uniform
    assert np.mean(found.p <= 0.25) > 0.2


def test_early_stopping_saves_draws_and_keeps_small_p() -> None:
    rng = np.random.default_rng(3)
    curves = np.vstack([rng.standard_normal((200, 8)), [0, 0.01, 0, 0.02, 0.03, 0.6, 0.9, 1.5]])
    stopped = permutation_null(curves, np.random.default_rng(4), draws=1000, stop=20)
    whole = permutation_null(curves, np.random.default_rng(4), draws=1000, stop=1001)
    assert np.median(stopped.draws) < 150
    assert whole.draws.tolist() == [1000] * 201
    # a curve that did not stop has the same p either way
    same = stopped.draws == 1000
    assert same[-1]
    np.testing.assert_array_equal(stopped.p[same], whole.p[same])
    # one that did has p = stop / draws, an unbiased estimate within its own error
    error = whole.p[~same] / np.sqrt(20) + 1e-3
    assert np.mean(np.abs(stopped.p[~same] - whole.p[~same]) < 2.5 * error) > 0.9


def test_infinite_scores_near_a_floor_are_not_significant() -> None:
    k = [[0, 0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 0, 500]]
    assert np.isinf(emergence(k).score).all()
    found = binomial_null(k, [[20] * 8, [1000] * 8], np.random.default_rng(0), draws=1999)
    assert found.p[0] > 0.1  # the specification: .457 of constant series look like this
    assert found.p[1] < 0.01


def test_degenerate_input_gives_no_p_and_no_warning() -> None:
    rng = np.random.default_rng(0)
    assert np.isnan(permutation_null([[0.3]], rng).p).all()
    assert np.isnan(permutation_null([[0.3, np.nan, 0.4]], rng).p).all()
    assert permutation_null(np.empty((0, 5)), rng).p.shape == (0,)
    assert permutation_null([[0.2] * 8, [0.2] * 8], rng).p.tolist() == [1.0, 1.0]
    assert permutation_null([[0.1, 0.9]], rng).p.tolist() == [0.5]
    assert np.isnan(gaussian_null([[0.1, 0.2, 0.9]], [[0.0, 0.0, 0.0]], rng).p).all()
    assert np.isnan(gaussian_null([[0.1, 0.2, 0.9]], [[0.1, np.nan, 0.1]], rng).p).all()
    assert np.isnan(binomial_null([[1.0, np.nan, 3.0]], [[9, 9, 9]], rng).p).all()
    assert binomial_null([[0, 0, 0], [9, 9, 9]], [[9, 9, 9]] * 2, rng).p.tolist() == [1.0, 1.0]
    assert np.isnan(binomial_null([[1, 2, 3]], [[9, 0, 9]], rng).draws).sum() == 0
