"""Signal, noise and decision accuracy: worked numbers and edges."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from saltus.forecasts.proxies import decision_accuracy, signal_to_noise


def test_the_worked_example_of_signal_and_noise() -> None:
    # (.61 - .42) / .5125; population standard deviation of the checkpoints over .61
    found = signal_to_noise(
        np.array([0.42, 0.47, 0.55, 0.61]), np.array([0.60, 0.62, 0.61, 0.59, 0.63])
    )
    assert found.signal == pytest.approx(0.370732, abs=1e-6)
    assert found.noise == pytest.approx(0.023184, abs=1e-6)
    assert found.ratio == pytest.approx(15.99, abs=0.005)


def test_without_noise_or_mean_nothing_is_made_up() -> None:
    assert signal_to_noise(np.array([0.4, 0.6]), np.array([0.5, 0.5])).ratio == np.inf
    assert np.isnan(signal_to_noise(np.array([0.5, 0.5]), np.array([0.5, 0.5])).ratio)
    assert np.isnan(signal_to_noise(np.array([-1.0, 1.0]), np.array([0.5, 0.6])).signal)


def test_decision_accuracy_is_kendalls_tau_moved_to_zero_and_one() -> None:
    rng = np.random.default_rng(0)
    small, large = rng.normal(size=12), rng.normal(size=12)
    tau = stats.kendalltau(small, large).statistic
    assert decision_accuracy(small, large) == pytest.approx((1 + tau) / 2)


def test_ties_count_half_and_missing_models_not_at_all() -> None:
    assert decision_accuracy(np.array([1.0, 1.0]), np.array([1.0, 2.0])) == 0.5
    assert decision_accuracy(np.array([1.0, np.nan, 2.0]), np.array([1.0, 9.0, 2.0])) == 1.0
    assert np.isnan(decision_accuracy(np.array([1.0]), np.array([2.0])))
