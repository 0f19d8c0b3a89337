"""The link scale of science.md 4.1, against finite differences and the paper's identities."""

from __future__ import annotations

import numpy as np
import pytest

from saltus.metrics.metric import METRICS, Metric, find
from saltus.verdicts.links import LINKS, Points, even_guess, to_link


def points(value: float, variance: float = 1e-6, **known: float) -> Points:
    rest = {"units": np.nan, "items": 100.0, "chance": np.nan} | known
    arrays = {name: np.array([number]) for name, number in rest.items()}
    return Points(np.array([value]), np.array([variance]), **arrays)


def named(name: str) -> Metric:
    metric = find(name)
    assert metric is not None
    return metric


LINKED = [metric for metric in METRICS if metric.link]


@pytest.mark.parametrize("metric", LINKED, ids=lambda metric: metric.name)
def test_better_values_have_a_higher_z(metric: Metric) -> None:
    low, high = metric.bounds
    start = 0.3 if metric.link != "perplexity" else 3.0
    if low is None and high == 0.0:
        start = -0.3
    step = 0.05 if metric.better == "higher" else -0.05
    chance = {"chance": 0.75} if metric.link == "brier" else {}
    worse, better = (to_link(metric, points(v, **chance)).z[0] for v in (start, start + step))
    assert better > worse


@pytest.mark.parametrize("metric", LINKED, ids=lambda metric: metric.name)
def test_the_variance_is_that_of_the_delta_method(metric: Metric) -> None:
    value = {"perplexity": 7.0}.get(str(metric.link), 0.3)
    if metric.bounds == (None, 0.0):
        value = -0.3
    shape = {"units": 1e9, "chance": 0.75 if metric.link == "brier" else 0.1}
    sigma = 1e-3  # far above the binomial floor of 1e9 units
    z, variance = to_link(metric, points(value, sigma**2, **shape))
    ends = [to_link(metric, points(value + d, sigma**2, **shape)).z[0] for d in (-1e-5, 1e-5)]
    slope = (ends[1] - ends[0]) / 2e-5
    assert variance[0] == pytest.approx((slope * sigma) ** 2, rel=1e-3)
    assert np.isfinite(z[0])


def test_the_power_law_is_straight_on_the_link() -> None:
    # science.md 1.1: N = 1e7 ... 1e12, l = (N / 1e8)^-0.3, so z rises by 0.3 ln 10 per decade
    size = 10.0 ** np.arange(7, 13)
    loss = (size / 1e8) ** -0.3
    error = 1 - np.exp(-loss)
    many = np.full(6, 1e12)
    nothing = np.full(6, np.nan)
    by_loss = to_link(named("target_log_loss"), Points(loss, loss * 0, nothing, many, nothing))
    by_error = to_link(named("token_error_rate"), Points(error, loss * 0, many, many, nothing))
    assert np.diff(by_loss.z) == pytest.approx(0.3 * np.log(10))
    assert by_error.z == pytest.approx(by_loss.z, abs=1e-6)


@pytest.mark.parametrize("choices", [2, 4, 10, 40])
def test_an_even_margin_is_straight_under_every_brier_score(choices: int) -> None:
    margin = np.linspace(-1.0, 6.0, 8)
    p = np.exp(margin) / (np.exp(margin) + choices - 1)
    total = (1 - p) ** 2 + (1 - p) ** 2 / (choices - 1)  # the rest spread evenly
    nothing, guess = np.full(8, np.nan), np.full(8, 1 - 1 / choices)
    for name, share in (
        ("brier_sum", 1), ("brier_mean", choices),
        ("calibration_multiple_choice_brier_score", choices),
    ):  # fmt: skip
        given = Points(total / share, 0 * p, nothing, nothing, guess / share)
        z = to_link(named(name), given).z
        np.testing.assert_allclose(z, margin - np.log(choices - 1), rtol=1e-9, atol=1e-9)
    even = even_guess(named("brier_sum"), "expit", 1 / choices)
    assert even == pytest.approx(-np.log(choices - 1))


def test_a_brier_score_worse_than_an_even_wrong_answer_has_no_place() -> None:
    z = [to_link(named("brier_sum"), points(b, chance=0.75)).z[0] for b in (1.33, 1.34)]
    assert np.isfinite(z[0])
    assert np.isnan(z[1])  # beyond K / (K - 1)
    assert np.isnan(to_link(named("brier_sum"), points(0.5)).z[0])  # chance not known


def test_where_an_even_guess_lies() -> None:
    assert even_guess(named("choice_log_loss"), "exp_exp", 0.25) == pytest.approx(
        to_link(named("choice_log_loss"), points(np.log(4.0))).z[0]
    )
    assert even_guess(named("soft_log_prob"), "exp_exp", 0.25) == pytest.approx(
        to_link(named("soft_log_prob"), points(-np.log(4.0))).z[0]
    )
    assert np.isnan(even_guess(named("target_log_loss"), "exp_exp", 0.25))


def test_zero_errors_are_clipped_by_the_number_of_tokens() -> None:
    z = to_link(named("token_error_rate"), points(0.0, 0.0, units=499.0)).z[0]
    assert z == pytest.approx(-np.log(-np.log1p(-0.5 / 500)))


def test_a_loss_of_zero_has_no_place_on_the_scale() -> None:
    assert np.isnan(to_link(named("target_log_loss"), points(0.0)).z[0])


def test_an_even_margin_is_straight_on_the_logit() -> None:
    margin = np.linspace(-1.0, 6.0, 8)
    p = np.exp(margin) / (np.exp(margin) + 9)
    nothing = np.full(8, np.nan)
    z = to_link(named("correct_choice_probability"), Points(p, 0 * p, nothing, nothing, nothing)).z
    np.testing.assert_allclose(z, margin - np.log(9), rtol=1e-12)


@pytest.mark.parametrize("end", [0.0, 1.0])
def test_certainty_has_no_place_on_the_logit(end: float) -> None:
    assert np.isnan(to_link(named("correct_choice_probability"), points(end)).z[0])


def test_every_link_is_used() -> None:
    # metrics of a user's own file may state the identity
    assert {metric.link for metric in LINKED} == set(LINKS) - {"identity"}
