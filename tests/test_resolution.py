from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saltus.estimates.resolution import (
    detectable_rate,
    items_above_chance,
    items_for_one_success,
    zero_success_bound,
)


@pytest.mark.parametrize(("rate", "items"), [(0.1, 29), (0.01, 299), (0.001, 2995), (1e-4, 29956)])
def test_items_for_one_success_worked_in_science_1_2(rate: float, items: int) -> None:
    assert items_for_one_success(rate) == items


@pytest.mark.parametrize(
    ("rate", "chance", "items"),
    [(0.27, 0.25, 2948), (0.30, 0.25, 483), (0.35, 0.25, 125), (0.52, 0.5, 3863), (0.55, 0.5, 617)],
)
def test_items_above_chance_worked_in_science_1_2(rate: float, chance: float, items: int) -> None:
    assert items_above_chance(rate, chance) == items


def test_zero_success_bound_worked_in_science_1_2() -> None:
    assert zero_success_bound(100) == pytest.approx(0.029513, abs=5e-7)
    assert zero_success_bound(100, 0.975) == pytest.approx(0.036217, abs=5e-7)


def test_never_when_there_is_nothing_to_find() -> None:
    assert items_for_one_success(0.0) == math.inf
    assert items_above_chance(0.25, 0.25) == math.inf
    assert items_above_chance(0.2, 0.25) == math.inf
    assert items_for_one_success(1.0) == 1.0


@given(items=st.integers(1, 10**6), chance=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9]))
def test_the_detectable_rate_needs_just_these_items(items: int, chance: float) -> None:
    rate = detectable_rate(items, chance)
    if math.isnan(rate):
        assert items_above_chance(1.0, chance) > items
    else:
        assert items_above_chance(rate + 1e-9, chance) <= items
        assert items_above_chance(rate * (1 - 1e-4) + chance * 1e-4, chance) >= items


def test_detectable_rate_of_one_item_and_of_certain_chance() -> None:
    assert detectable_rate(1, 0.0) == pytest.approx(0.8)
    assert math.isnan(detectable_rate(1, 0.9))
    assert math.isnan(detectable_rate(100, 1.0))
