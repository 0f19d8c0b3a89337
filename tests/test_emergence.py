from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saltus.estimates.emergence import emergence

# curve, emergence score, linearity: the worked examples of the specification
EXAMPLES = [
    ((0, 0, 0, 0, 0.8), np.inf, 2.0),
    ((0.1, 0.12, 0.11, 0.13, 0.6), 25.0, 2.123338),
    ((0.1, 0.2, 0.3, 0.4, 0.5), 4.0, 4.0),
    ((0.5, 0.4, 0.3, 0.2, 0.1), -4.0, -4.0),
    ((0.2, 0.2, 0.2, 0.2, 0.2), 0.0, 0.0),
    ((0, 0.3, 0.1, 0.6, 0.2), 1.697056, 1.632993),
    ((0.25, 0.26, 0.25, 0.27, 0.70, 0.90), 32.5, 3.060731),
]
curves = st.lists(st.integers(0, 20), min_size=2, max_size=10)


@pytest.mark.parametrize(("curve", "score", "linearity"), EXAMPLES)
def test_worked_examples(curve, score, linearity) -> None:
    found = emergence([curve])
    assert found.score[0] == pytest.approx(score, abs=5e-7)
    assert found.linearity[0] == pytest.approx(linearity, abs=1e-6)
    assert found.degenerate[0] == (np.isinf(score) or score == 0)


def by_hand(curve: list[int]) -> float:
    """Equation 1 word for word."""
    squares = sorted((b - a) ** 2 for a, b in pairwise(curve))
    middle = len(squares) // 2
    median = squares[middle] if len(squares) % 2 else (squares[middle - 1] + squares[middle]) / 2
    spread = max(curve) - min(curve)
    sign = np.sign(curve.index(max(curve)) - curve.index(min(curve)))
    if spread == 0:
        return 0.0
    return float(sign * (spread / median**0.5 if median else np.inf))


@given(curves)
def test_agrees_with_the_equation(curve: list[int]) -> None:
    assert emergence([curve]).score[0] == pytest.approx(by_hand(curve))


@given(curves, st.floats(-5, 5), st.integers(1, 50))
def test_location_and_scale_do_not_matter(curve: list[int], shift: float, scale: int) -> None:
    moved = np.round(shift) + scale * np.array(curve, dtype=float)
    assert emergence([moved]).score[0] == pytest.approx(emergence([curve]).score[0])
    assert emergence([moved]).linearity[0] == pytest.approx(emergence([curve]).linearity[0])


@given(curves)
def test_bounds(curve: list[int]) -> None:
    found = emergence([curve])
    if len(curve) == 2:
        assert found.score[0] == np.sign(curve[1] - curve[0])
    if len(curve) == 3 and np.isfinite(found.score[0]):
        assert abs(found.score[0]) <= 2 + 1e-12
    # the root mean square is at least range / (scales - 1)
    assert abs(found.linearity[0]) <= len(curve) - 1 + 1e-9


@given(curves)
def test_the_last_of_equal_extremes_is_the_first_from_behind(curve: list[int]) -> None:
    turned = emergence([curve[::-1]]).score[0]
    assert emergence([curve], ties="last").score[0] == pytest.approx(-turned)


def test_ties_decide_the_sign() -> None:
    curve = [[0.0, 0.5, 0.4, 0.5, 0.0]]
    assert emergence(curve).score[0] > 0
    assert emergence(curve, ties="last").score[0] < 0


def test_missing_values_and_single_points_have_no_score() -> None:
    found = emergence([[0.1, np.nan, 0.3], [0.1, 0.2, 0.3]])
    assert np.isnan(found.score[0])
    assert np.isnan(found.linearity[0])
    assert found.score[1] == pytest.approx(2)
    assert np.isnan(emergence([[0.3]]).score).all()
    assert emergence(np.empty((0, 5))).score.shape == (0,)


# scales, quantiles at 90, 95, 99 %, P(score > 5), P(score > 10) under Gaussian noise
NULL_TABLE = [
    (3, 1.74, 1.93, 2.00, 0, 0),
    (4, 3.06, 4.16, 8.62, 0.0332, 0.0073),
    (5, 2.94, 3.68, 5.92, 0.0176, 0.0019),
    (6, 3.68, 4.73, 8.29, 0.0429, 0.0057),
    (8, 4.06, 5.07, 7.96, 0.0522, 0.0044),
    (10, 4.29, 5.21, 7.77, 0.0580, 0.0035),
    (12, 4.47, 5.35, 7.65, 0.0650, 0.0027),
    (20, 4.90, 5.64, 7.38, 0.0916, 0.0011),
]


@pytest.mark.parametrize("row", NULL_TABLE, ids=lambda row: f"S={row[0]}")
def test_null_table_under_gaussian_noise(row) -> None:
    scales, *expected = row
    draws = 60_000
    score = emergence(np.random.default_rng(scales).standard_normal((draws, scales))).score
    np.testing.assert_allclose(np.quantile(score, [0.9, 0.95]), expected[:2], rtol=0.025)
    np.testing.assert_allclose(np.quantile(score, 0.99), expected[2], rtol=0.06)
    for cut, share in zip((5, 10), expected[3:], strict=True):
        # four standard errors of both simulations and the rounding of the table
        slack = 4 * np.sqrt(share * (1 - share) * (1 / draws + 1 / 200_000)) + 1e-4
        assert np.mean(score > cut) == pytest.approx(share, abs=slack)


FLOOR_TABLE = [
    (4, 0.121, 0.097, 0.011, 0.143, 0.007),
    (5, 0.101, 0.044, 0.0015, 0.092, 0.0005),
    (8, 0.457, 0.085, 0.0013, 0.270, 0.0004),
    (12, 0.628, 0.064, 0.0001, 0.301, 0.0000),
]


@pytest.mark.parametrize("row", FLOOR_TABLE, ids=lambda row: f"S={row[0]}")
def test_infinite_scores_by_chance_near_a_floor(row) -> None:
    scales, *expected = row
    rng = np.random.default_rng(scales)
    designs = [(20, 0.01), (100, 0.01), (1000, 0.01), (1000, 0.0005), (100, 0.25)]
    for (items, rate), share in zip(designs, expected, strict=True):
        score = emergence(rng.binomial(items, rate, (30_000, scales))).score
        found = np.mean(score == np.inf)
        assert found == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 23_000) + 7e-4)
