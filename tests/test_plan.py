from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from saltus.errors import SaltusError
from saltus.estimates.plan import (
    detectable_gap,
    detectable_rise,
    detectable_trend,
    items_for_gap,
    plan_gap,
    plan_items,
    plan_rates,
)

THIRD = (1 / 6, 1 / 6)


def test_millers_worked_numbers() -> None:
    assert items_for_gap(0.03, 1 / 9, THIRD) == 3876
    assert items_for_gap(0.03, 1 / 9, THIRD, (10, 10)) == 1260
    assert plan_gap(0.03, 1 / 9, 1 / 6, (1, 10))["items"].to_list() == [3876, 1260]
    assert plan_gap(0.03, 1 / 9, 1 / 6, (1, 10))["answers"].to_list() == [3876, 12600]
    assert items_for_gap(0.0, 1 / 9, THIRD) == math.inf


@given(st.floats(0.005, 0.5), st.floats(0.01, 0.25), st.floats(0, 0.25), st.integers(1, 20))
def test_gap_and_items_are_inverse(gap: float, between: float, within: float, k: int) -> None:
    items = items_for_gap(gap, between, (within, within), (k, k))
    assert detectable_gap(int(items), between, (within, within), (k, k)) <= gap * (1 + 1e-9)
    if items > 1:
        assert detectable_gap(int(items) - 1, between, (within, within), (k, k)) > gap


def test_rates_as_in_the_specification() -> None:
    table = plan_rates([0.1, 0.01, 0.001, 0.0001], power=0.95)
    assert table["items_for_one_success"].to_list() == [29, 299, 2995, 29956]
    table = plan_rates([0.25, 0.27, 0.30, 0.35], chance=0.25)
    assert table["items_above_chance"].to_list() == [math.inf, 2948, 483, 125]
    assert plan_rates([0.52, 0.55], chance=0.5)["items_above_chance"].to_list() == [3863, 617]
    assert plan_rates([]).height == 0
    with pytest.raises(SaltusError, match="27 is not between 0 and 1; give a fraction"):
        plan_rates([27], chance=0.25)


def test_a_detectable_rise_is_found_as_often_as_stated() -> None:
    rng = np.random.default_rng(0)
    rate, n, m = 0.2, 300, 500
    rise = detectable_rise(rate, (n, m))
    low, high = rng.binomial(n, rate, 20_000) / n, rng.binomial(m, rate + rise, 20_000) / m
    pooled = (n * low + m * high) / (n + m)
    z = (high - low) / np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    assert np.mean(z > norm.ppf(0.95)) == pytest.approx(0.8, abs=0.015)


@given(st.floats(0, 0.95), st.integers(20, 5000), st.integers(20, 5000))
def test_a_rise_needs_less_with_more_items(rate: float, n: int, m: int) -> None:
    rise = detectable_rise(rate, (n, m))
    finer = detectable_rise(rate, (2 * n, 2 * m))
    if math.isnan(rise):
        assert rate > 0.5  # too little room above
    else:
        assert 0 < finer < rise <= 1 - rate


def test_a_rise_without_room_is_nan() -> None:
    assert math.isnan(detectable_rise(1.0, (100, 100)))
    assert math.isnan(detectable_rise(0.99, (10, 10)))


def test_a_detectable_trend_is_found_as_often_as_stated() -> None:
    rng = np.random.default_rng(1)
    x = np.array([7, 7.4, 8, 8.3, 9, 10])
    variance = np.array([0.04, 0.01, 0.02, 0.01, 0.03, 0.02])
    rise = detectable_trend(x, variance)
    y = rise / 3 * x + np.sqrt(variance) * rng.standard_normal((20_000, 6))
    design = np.column_stack([np.ones(6), x])
    covariance = np.linalg.inv(design.T / variance @ design)
    slopes = y / variance @ design @ covariance[:, 1]
    power = np.mean(slopes / np.sqrt(covariance[1, 1]) > norm.ppf(0.95))
    assert power == pytest.approx(0.8, abs=0.015)


def test_trends_that_cannot_be_planned() -> None:
    assert math.isnan(detectable_trend([7.0], [0.1]))
    assert math.isnan(detectable_trend([7.0, 7.0], [0.1, 0.1]))
    assert math.isnan(detectable_trend([7.0, 8.0], [0.1, math.nan]))
    assert math.isnan(detectable_trend([7.0, 8.0], [0.1, 0.0]))
    assert detectable_trend([7.0, 8.0], [0.0, 0.0]) == 0.0


def test_table_of_items() -> None:
    table = plan_items([100, 1000], 0.25)
    assert table["resolution"].to_list() == [0.01, 0.001]
    assert table["zero_success_bound"][0] == pytest.approx(0.029513, abs=5e-7)
    assert table["detectable_rise"][1] < table["detectable_rise"][0] < 0.2
