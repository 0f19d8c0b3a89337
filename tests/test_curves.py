"""Laws over every curve, and the fitter against a plain least squares over the grid."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saltus.curves.broken import broken_family, hinge, hinge_knots, jump, jump_knots
from saltus.curves.curve import CURVES, Curve, FloatArray
from saltus.curves.fit import best_point, design, fit, fit_best, rss_floor
from saltus.curves.smooth import (
    RATES_OVER_RANGE,
    RATES_PER_DECADE,
    exponential_rates,
    line,
    logistic_grid,
    quadratic,
    smooth_families,
)
from saltus.errors import UnknownNameError

every_curve = pytest.mark.parametrize("curve", list(CURVES), ids=lambda curve: curve.name)
every_axis = pytest.mark.parametrize("axis", ["params", "loss"])


def jittered(scales: int, seed: int) -> FloatArray:
    rng = np.random.default_rng(seed)
    return np.linspace(0.0, 3.0, scales) + 7.0 + rng.uniform(-0.1, 0.1, scales)


def brute_force(
    curve: Curve, x: FloatArray, z: FloatArray, weights: FloatArray, axis: str
) -> float:
    """Least residual sum of squares over the grid, one least squares problem at a time."""
    grid = curve.grid(x, axis)
    points = list(zip(*grid.values(), strict=True)) or [()]
    root = np.sqrt(weights)
    least = np.inf
    for point in points:
        chosen = dict(zip(grid, point, strict=True))
        columns = [
            curve.compute(x, **{p: float(p == name) for p in curve.linear}, **chosen)
            for name in curve.linear
        ]
        matrix = np.stack(columns, axis=1) * root[:, None]
        solution, *_ = np.linalg.lstsq(matrix / np.abs(matrix).max(axis=0), root * z, rcond=None)
        left = root * z - matrix / np.abs(matrix).max(axis=0) @ solution
        least = min(least, float(left @ left))
    return least


@every_curve
def test_facts_match_the_formula(curve: Curve) -> None:
    signature = list(inspect.signature(curve.compute).parameters)
    assert signature == ["x", *curve.bounds]
    nonlinear = [name for name in curve.bounds if name not in curve.linear]
    assert list(curve.grid(jittered(8, 0), "params")) == nonlinear
    assert curve.shape in {"smooth", "broken"}
    assert curve.question.endswith("?")
    assert curve.source
    assert curve.compute.__doc__


@every_curve
@every_axis
def test_linear_parameters_are_linear(curve: Curve, axis: str) -> None:
    x = jittered(9, 1)
    chosen = {name: float(values[1]) for name, values in curve.grid(x, axis).items()}
    rng = np.random.default_rng(2)
    first, second = ({name: rng.normal() for name in curve.linear} for _ in range(2))
    both = {name: first[name] + 2.0 * second[name] for name in curve.linear}
    parts = curve.compute(x, **first, **chosen) + 2.0 * curve.compute(x, **second, **chosen)
    np.testing.assert_allclose(curve.compute(x, **both, **chosen), parts, rtol=1e-9)


@every_curve
@every_axis
def test_only_the_last_linear_parameter_feels_the_grid(curve: Curve, axis: str) -> None:
    x = jittered(9, 3)
    grid = curve.grid(x, axis)
    last = {name: float(values[-1]) for name, values in grid.items()}
    common, varying = curve.columns(x, grid)
    for index, name in enumerate(curve.linear[:-1]):
        unit = {other: float(other == name) for other in curve.linear}
        np.testing.assert_allclose(common[:, index], curve.compute(x, **unit, **last))
    assert varying.shape == (max([len(v) for v in grid.values()], default=1), x.size)


@every_curve
@every_axis
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), scales=st.integers(6, 16))
def test_projection_equals_least_squares_over_the_grid(
    curve: Curve, axis: str, seed: int, scales: int
) -> None:
    rng = np.random.default_rng(seed)
    x, z = jittered(scales, seed), rng.normal(size=scales)
    weights = rng.uniform(0.2, 5.0, scales)
    found = fit(curve, x, z, weights, axis)
    assert found.converged
    assert found.rss == pytest.approx(brute_force(curve, x, z, weights, axis), rel=1e-6)
    left = np.sqrt(weights) * (z - found.fitted)
    assert float(left @ left) == pytest.approx(found.rss, rel=1e-6)


@every_curve
def test_recovers_a_curve_on_its_grid(curve: Curve) -> None:
    x = jittered(10, 4)
    truth = dict(zip(curve.linear, (0.3, 0.7, 0.9), strict=False))
    truth |= {name: float(values[3]) for name, values in curve.grid(x, "params").items()}
    found = fit(curve, x, curve.compute(x, **truth), np.ones(10))
    assert list(found.parameters) == list(curve.bounds)
    assert found.parameters == pytest.approx(truth, rel=1e-6)


@every_curve
def test_too_few_scales_is_a_status_in_words(curve: Curve) -> None:
    x = jittered(8, 0)[: curve.parameters - 1]
    found = fit(curve, x, x, np.ones(x.size))
    assert "too few" in found.status
    assert found.parameters == {}
    assert np.isnan(found.rss)


def test_a_break_needs_two_scales_on_each_side() -> None:
    for scales in range(4, 15):
        x = jittered(scales, scales)
        for knots in (hinge_knots(x, "params")["knot"], jump_knots(x, "params")["knot"]):
            assert all((x <= knot).sum() >= 2 <= (x > knot).sum() for knot in knots)
        # 4 (S - 3) + 1 knots on the grid, of which the last has one scale above it
        assert len(hinge_knots(x, "params")["knot"]) == 4 * (scales - 3)
        assert len(jump_knots(x, "params")["knot"]) == scales - 3


def test_best_of_hinge_and_jump() -> None:
    x = jittered(9, 5)
    step = 0.1 * x + (x > 8.4)
    assert fit_best(broken_family(), x, step, np.ones(9), "params").curve == "jump"
    bend = 0.1 * x + hinge.compute(x, 0, 0, 2.0, hinge_knots(x, "params")["knot"][9])
    assert fit_best(broken_family(), x, bend, np.ones(9), "params").curve == "hinge"


def test_hinges_and_jumps_join_in_one_design() -> None:
    x, rng = jittered(9, 6), np.random.default_rng(6)
    z, weights = rng.normal(size=9), rng.uniform(0.5, 2.0, 9)
    plan = design(broken_family(), x, weights, "params")
    point, rss = best_point(plan, np.sqrt(weights) * z)
    best = fit_best(broken_family(), x, z, weights, "params")
    assert rss == pytest.approx(best.rss)
    assert len(plan.units) == len(hinge_knots(x, "")["knot"]) + len(jump_knots(x, "")["knot"])
    assert (point >= len(hinge_knots(x, "")["knot"])) == (best.curve == "jump")
    np.testing.assert_allclose(plan.units @ plan.common, 0.0, atol=1e-12)
    np.testing.assert_allclose(np.square(plan.units).sum(axis=1), 1.0)


def test_dense_designs_get_a_fourth_family() -> None:
    assert [curve.name for curve in smooth_families(12)] == [
        "line", "quadratic", "floor_exponential",
    ]  # fmt: skip
    assert smooth_families(13)[-1].name == "floor_logistic"


def test_rates_on_the_loss_axis_are_those_of_three_decades() -> None:
    # kappa = beta ln(10) (x_S - x_1); science.md rounds it to two digits at three decades
    np.testing.assert_allclose(RATES_PER_DECADE * np.log(10.0) * 3.0, RATES_OVER_RANGE, atol=0.07)
    x = np.array([-3.5, -3.0, -2.4, -2.0])
    rates = exponential_rates(x, "loss")["rate"]
    np.testing.assert_allclose(rates * np.log(10.0) * 1.5, RATES_OVER_RANGE)
    np.testing.assert_array_equal(exponential_rates(x, "flops")["rate"], RATES_PER_DECADE)


def test_logistic_is_never_steeper_than_a_third_of_the_range() -> None:
    x = jittered(20, 7)
    steepest = logistic_grid(x, "params")["steepness"].max()
    # From 10 % to 90 % a logistic takes 2 ln 9 over its rate.
    assert 2.0 * np.log(9.0) / steepest >= (x[-1] - x[0]) / 3.0


@settings(deadline=None, max_examples=25)
@given(shift=st.floats(-50, 50), factor=st.floats(0.01, 100), move=st.floats(-5, 5))
def test_residuals_follow_an_affine_change_of_values(
    shift: float, factor: float, move: float
) -> None:
    x, rng = jittered(8, 8), np.random.default_rng(8)
    z = rng.normal(size=8)
    for curve in (line, quadratic, hinge, jump):
        before = fit(curve, x, z, np.ones(8)).rss
        after = fit(curve, x + move, factor * z + shift, np.ones(8)).rss
        assert after == pytest.approx(factor**2 * before, rel=1e-5)


def test_bic_calls_a_straight_line_broken_as_often_as_science_3_16_says() -> None:
    draws = 4000
    for scales, share in ((6, 0.71), (8, 0.60), (12, 0.44), (24, 0.26)):
        x, weights = np.linspace(0.0, 3.0, scales), np.ones(scales)
        noise = np.random.default_rng(scales).standard_normal((scales, draws))
        smooth = np.minimum(bic(least((line,), x, weights, noise), scales, 2),
                            bic(least((quadratic,), x, weights, noise), scales, 3))  # fmt: skip
        broken = bic(least(broken_family(), x, weights, noise), scales, 4)
        assert np.mean(broken < smooth) == pytest.approx(share, abs=0.03)


def least(
    curves: tuple[Curve, ...], x: FloatArray, weights: FloatArray, values: FloatArray
) -> FloatArray:
    plan = design(curves, x, weights, "params")
    rest = values - plan.common @ (plan.common.T @ values)
    return np.square(rest).sum(axis=0) - np.square(plan.units @ rest).max(axis=0)


def bic(rss: FloatArray, scales: int, parameters: int) -> FloatArray:
    return scales * np.log(rss / scales) + parameters * np.log(scales)


def test_the_rounding_floor_is_positive_and_far_below_the_scatter() -> None:
    assert rss_floor(np.zeros(5)) > 0.0
    values = np.array([1.0, 2.0, 4.0])
    assert rss_floor(values) < 1e-9 * np.square(values - values.mean()).sum()


def test_an_unknown_curve_is_named_with_its_neighbours() -> None:
    with pytest.raises(UnknownNameError, match="did you mean hinge"):
        CURVES["hinges"]
