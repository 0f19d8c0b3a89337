from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from saltus.estimates.multiplicity import benjamini_hochberg, benjamini_yekutieli, holm

EXAMPLE = [0.0002, 0.003, 0.011, 0.021, 0.04, 0.05, 0.3, 0.62]
p_values = st.lists(st.floats(0, 1), min_size=1, max_size=30)
every_method = pytest.mark.parametrize("adjust", [holm, benjamini_hochberg, benjamini_yekutieli])


def test_worked_example() -> None:
    np.testing.assert_allclose(
        benjamini_hochberg(EXAMPLE),
        [0.0016, 0.012, 0.029333, 0.042, 0.064, 0.066667, 0.342857, 0.62],
        atol=5e-7,
    )
    np.testing.assert_allclose(
        benjamini_yekutieli(EXAMPLE),
        [0.004349, 0.032614, 0.079724, 0.114150, 0.173943, 0.181190, 0.931837, 1],
        atol=5e-7,
    )
    np.testing.assert_allclose(
        holm(EXAMPLE), [0.0016, 0.021, 0.066, 0.105, 0.16, 0.16, 0.6, 0.62], atol=1e-12
    )


@given(p_values)
def test_false_discovery_rates_as_scipy_has_them(p: list[float]) -> None:
    np.testing.assert_allclose(
        benjamini_hochberg(p), false_discovery_control(p, method="bh"), atol=1e-300
    )
    np.testing.assert_allclose(
        benjamini_yekutieli(p), false_discovery_control(p, method="by"), atol=1e-300
    )


@given(p_values)
def test_holm_is_the_closed_test_of_bonferroni(p: list[float]) -> None:
    # step by step, as the paper has it: compare the smallest with alpha / m, and so on
    order = np.argsort(p, kind="stable")
    running, expected = 0.0, np.empty(len(p))
    for place, index in enumerate(order):
        running = max(running, min(1.0, (len(p) - place) * p[index]))
        expected[index] = running
    np.testing.assert_allclose(holm(p), expected, atol=1e-300)


@every_method
@given(p=p_values, seed=st.integers(0, 2**32 - 1))
def test_missing_tests_are_not_counted_and_order_does_not_matter(adjust, p, seed) -> None:
    plain = adjust(p)
    places = np.random.default_rng(seed).permutation(len(p) + 2)
    padded = np.array([*p, np.nan, np.nan])[places]
    expected = np.array([*plain, np.nan, np.nan])[places]
    np.testing.assert_array_equal(adjust(padded), expected)


@every_method
def test_edges(adjust) -> None:
    assert adjust([]).tolist() == []
    assert np.isnan(adjust([np.nan])).all()
    assert adjust([0.0, 0.5])[0] == 0.0
    given_p = np.array([0.5, 0.1])
    adjust(given_p)
    assert given_p.tolist() == [0.5, 0.1]  # the input is left alone


def test_yekutieli_factor_of_a_large_grid() -> None:
    assert (benjamini_yekutieli(np.full(88_000, 1e-3)) / 1e-3)[0] == pytest.approx(11.962, abs=5e-4)
