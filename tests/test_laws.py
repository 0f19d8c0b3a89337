"""Laws over every scaling law, worked numbers, and the fitter against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import curve_fit, least_squares

from saltus.curves.curve import FloatArray
from saltus.curves.law import LAWS, Law
from saltus.curves.support import bootstrap, covariance, profile, resample, standard_errors
from saltus.curves.varpro import LawFits, fit_law

every_law = pytest.mark.parametrize("law", list(LAWS), ids=lambda law: law.name)

TRUTHS: dict[str, dict[str, float]] = {
    "power_law": {"gain": 40.0, "exponent": 0.21},
    "power_law_floor": {"floor": 1.7, "gain": 300.0, "exponent": 0.3},
    "accuracy_of_length": {"log10_unit_loss": 8.0, "exponent": 0.3, "length": 1.0},
    "pass_until": {"log10_coefficient": 3.2, "exponent": 0.35},
    "ladder": {
        "floor": 0.5, "params_gain": 90.0, "tokens_gain": 400.0, "params_exponent": 0.3,
        "tokens_exponent": 0.28,
    },
    "ladder_tied": {"floor": 0.5, "params_gain": 90.0, "tokens_gain": 400.0, "exponent": 0.3},
    "broken_power_law": {
        "limit": 0.1, "gain": 2.0, "first_exponent": 0.05, "exponent_change": 0.6,
        "log10_break": 8.6, "sharpness": 0.3,
    },
    "sigmoid": {"floor": 0.25, "ceiling": 0.9, "steepness": 4.0, "midpoint": 8.7},
    "sigmoid_of_loss": {"floor": 0.25, "ceiling": 0.9, "steepness": -5.0, "midpoint": 2.6},
    "exponential_of_loss": {"limit": 0.75, "gain": 2.0, "rate": 0.9},
    "hinge": {"intercept": -0.4, "slope": 0.05, "change": 0.7, "knot": 8.45},
    "jump": {"intercept": -0.4, "slope": 0.05, "change": 0.7, "knot": 8.47},
    "rectified_of_loss": {"level": 0.25, "slope": 0.4, "threshold": 2.71},
    "elbow_of_finetuning": {
        "level": 0.25, "slope": 0.4, "threshold": 2.3, "shift": 0.03, "power": 1.3,
    },
}  # fmt: skip


def places(law: Law, points: int = 16, seed: int = 0) -> FloatArray:
    """x for a law: scales of three decades, losses of 2 to 3.4 nats, or pairs."""
    rng = np.random.default_rng(seed)
    share = (np.arange(points) + rng.uniform(0.2, 0.8, points)) / points
    if law.axis == "scale":
        return 7.0 + 3.0 * share
    if law.axis == "loss":
        return 2.0 + 1.4 * share
    second = (7 * np.arange(points) % points) / points
    if law.axis == "params and tokens":
        return np.stack([7.0 + 3.0 * share, 8.5 + 2.0 * second], axis=1)
    return np.stack([2.0 + 1.4 * share, np.round(3000.0 * second)], axis=1)


def free(law: Law) -> list[str]:
    return [name for name, (low, high) in law.bounds.items() if low < high]


@every_law
def test_facts(law: Law) -> None:
    assert set(law.bounds) == set(law.names) == set(TRUTHS[law.name])
    assert law.question.endswith("?")
    assert law.source
    assert law.parts.__doc__


@every_law
def test_slopes_are_the_derivatives(law: Law) -> None:
    # every parameter moved by a little, against the analytic sensitivities in the support
    x, truth = places(law), TRUTHS[law.name]
    if law.scan == "step":
        return
    for name in law.nonlinear:
        step = 1e-6 * max(1.0, abs(truth[name]))
        up, down = (
            law.compute(x, **{**truth, name: truth[name] + sign * step}) for sign in (1, -1)
        )
        made = law.parts(x, *(np.float64(truth[n]) for n in law.nonlinear))
        place = law.nonlinear.index(name)
        slope = made.offset_slopes[place] if made.offset_slopes else 0.0
        for other, slopes in zip(law.linear, made.slopes, strict=True):
            if (one := slopes[place]) is not None:
                slope = slope + truth[other] * one
        np.testing.assert_allclose((up - down) / (2.0 * step), slope, rtol=2e-5, atol=1e-7)


@every_law
@pytest.mark.parametrize("batch", [1, 3])
def test_recovers_the_truth_without_noise(law: Law, batch: int) -> None:
    x, truth = places(law), TRUTHS[law.name]
    y = np.tile(law.compute(x, **truth), (batch, 1))
    found = fit_law(law, x, y)
    assert found.converged.all()
    assert found.rss == pytest.approx(np.zeros(batch), abs=1e-9)
    if law.scan == "step":  # a step may stand anywhere in its gap
        truth = {**truth, "knot": float(found.parameter("knot")[0])}
    for name in law.names:
        assert found.parameter(name) == pytest.approx(np.full(batch, truth[name]), rel=2e-3)


@every_law
def test_too_few_points_is_a_status_in_words(law: Law) -> None:
    x = places(law)[: len(free(law)) - 1]
    found = fit_law(law, x, np.ones(len(x)))
    assert "too few" in found.status[0]
    assert not found.converged[0]
    assert np.isnan(found.parameters).all()


@every_law
def test_a_missing_point_is_left_out(law: Law) -> None:
    x, rng = places(law), np.random.default_rng(1)
    y = law.compute(x, **TRUTHS[law.name]) + 0.01 * rng.standard_normal(len(x))
    kept = np.arange(len(x)) != 5
    whole = fit_law(law, x, np.where(kept, y, np.nan))
    assert whole.rss == pytest.approx(fit_law(law, x[kept], y[kept]).rss, rel=1e-9)
    assert whole.freedom[0] == len(x) - 1 - len(free(law))


@every_law
@pytest.mark.parametrize("seed", range(4))
def test_no_peer_finds_less(law: Law, seed: int) -> None:
    """Against SciPy's trust region from the truth and from places near it."""
    rng = np.random.default_rng(seed)
    x, truth = places(law, 20, seed % 1000), TRUTHS[law.name]
    y = law.compute(x, **truth) + 0.02 * rng.standard_normal(len(x))
    weights = rng.uniform(0.3, 3.0, len(x))
    found = fit_law(law, x, y, weights)
    # an elbow that moves has a kink, and a minimum, at every point that it passes
    slack = 5e-3 if law.name == "elbow_of_finetuning" else 1e-6
    assert found.rss[0] <= peer(law, x, y, weights, rng) * (1.0 + slack)
    root = np.sqrt(weights)
    left = root * (y - law.compute(x, **{n: found.parameter(n)[0] for n in law.names}))
    assert float(left @ left) == pytest.approx(found.rss[0], rel=1e-9)


def peer(
    law: Law, x: FloatArray, y: FloatArray, weights: FloatArray, rng: np.random.Generator
) -> float:
    """Least residual sum of squares of SciPy's bounded trust region from several starts."""
    names = [name for name in free(law) if not (law.scan == "step" and name == "knot")]
    low, high = np.array([law.bounds[name] for name in names]).T
    least, root = np.inf, np.sqrt(weights)

    def miss(values: FloatArray) -> FloatArray:
        parameters = TRUTHS[law.name] | dict(zip(names, values, strict=True))
        return np.asarray(root * (y - law.compute(x, **parameters)))

    for attempt in range(4):
        spread = 0.0 if attempt == 0 else 0.15
        start = np.array([TRUTHS[law.name][name] for name in names])
        start = start * (1.0 + spread * rng.standard_normal(len(names)))
        inside = np.clip(start, low + 1e-6, high - 1e-6)
        found = least_squares(miss, inside, bounds=(low, high), x_scale=np.abs(inside) + 1e-3)
        least = min(least, 2.0 * found.cost)
    return least


def test_a_batch_is_its_curves_one_by_one() -> None:
    law, rng = LAWS["sigmoid"], np.random.default_rng(3)
    x = np.stack([places(law, 12, seed) for seed in range(6)])
    y = law.compute(x, **TRUTHS["sigmoid"]) + 0.02 * rng.standard_normal(x.shape)
    together = fit_law(law, x, y)
    alone = [fit_law(law, one, values) for one, values in zip(x, y, strict=True)]
    np.testing.assert_allclose(together.rss, [fit.rss[0] for fit in alone], rtol=1e-9)
    np.testing.assert_allclose(
        together.fitted, np.concatenate([fit.fitted for fit in alone]), atol=1e-6
    )


def test_hinge_equals_a_fine_grid_of_knots() -> None:
    law = LAWS["hinge"]
    for seed in range(6):
        rng = np.random.default_rng(seed)
        x = np.sort(rng.uniform(7.0, 10.0, 9))
        y, root = rng.normal(size=9), np.sqrt(weights := rng.uniform(0.2, 4.0, 9))
        least = np.inf
        for knot in np.linspace(x[1], x[-2], 601):
            design = np.stack([np.ones(9), x, np.maximum(x - knot, 0.0)], axis=1) * root[:, None]
            solution, *_ = np.linalg.lstsq(design, root * y, rcond=None)
            least = min(least, float(np.square(root * y - design @ solution).sum()))
        found = fit_law(law, x, y, weights)
        assert found.rss[0] <= least * (1.0 + 1e-9)
        assert found.rss[0] >= least * (1.0 - 0.02)  # the grid is fine: no lower optimum exists


def test_bounds_hold_and_equal_ends_fix() -> None:
    law, rng = LAWS["power_law_floor"], np.random.default_rng(5)
    x = places(law)
    y = law.compute(x, floor=-0.3, gain=300.0, exponent=0.3) + 0.01 * rng.standard_normal(x.size)
    held = fit_law(law, x, y, bounds={"floor": (0.0, 1.0)})
    assert held.parameter("floor")[0] == 0.0
    assert held.status[0] == "converged, floor at an end of the bounds"
    # the same as fitting the power law alone
    assert held.rss == pytest.approx(fit_law(LAWS["power_law"], x, y).rss, rel=1e-6)
    fixed = fit_law(law, x, y, bounds={"exponent": (0.25, 0.25)})
    assert fixed.parameter("exponent")[0] == 0.25
    assert fixed.freedom[0] == x.size - 2
    design = np.stack([np.ones(x.size), 10.0 ** (-0.25 * x)], axis=1)
    solution, *_ = np.linalg.lstsq(design / design.max(axis=0), y, rcond=None)
    left = y - design / design.max(axis=0) @ solution
    assert fixed.rss[0] == pytest.approx(float(left @ left), rel=1e-9)


def test_rectified_line_at_chance_is_flat_there() -> None:
    law = LAWS["rectified_of_loss"]
    x, rng = places(law), np.random.default_rng(6)
    y = law.compute(x, level=0.25, slope=0.4, threshold=2.5) + 0.01 * rng.standard_normal(x.size)
    found = fit_law(law, x, y, bounds={"level": (0.25, 0.25)})
    assert found.parameter("level")[0] == 0.25
    assert found.parameter("threshold")[0] == pytest.approx(2.5, abs=0.1)
    rising = fit_law(law, x, -y)  # better with more loss: the slope stays at 0
    assert rising.parameter("slope")[0] == pytest.approx(0.0, abs=1e-12)


def test_worked_numbers() -> None:
    broken = LAWS["broken_power_law"].compute(
        np.array([2.0, 3.0, 4.0]), limit=0.1, gain=2.0, first_exponent=0.05, exponent_change=1.0,
        log10_break=3.0, sharpness=0.1,
    )  # fmt: skip
    assert broken == pytest.approx([1.688656, 1.421074, 0.226191], abs=1e-6)  # 3.3
    error = LAWS["exponential_of_loss"].compute(
        np.array([2.0, 2.5, 3.0, 3.5]), limit=0.75, gain=2.0, rate=0.9
    )
    assert error == pytest.approx([0.419402, 0.539202, 0.615589, 0.664296], abs=1e-6)  # 3.5
    step = LAWS["sigmoid_of_loss"].compute(
        np.array([0.4, 0.8, 1.2]), floor=0.25, ceiling=0.9, steepness=-5.0, midpoint=0.8
    )
    assert step == pytest.approx([0.822518, 0.575, 0.327482], abs=1e-6)  # 3.6
    accuracy = LAWS["accuracy_of_length"].compute(
        np.array([7.0, 9.0, 11.0]), log10_unit_loss=8.0, exponent=0.3, length=5.0
    )
    assert accuracy == pytest.approx([0.000046, 0.081599, 0.532878], abs=1e-6)  # 1.1, L = 5


def test_pass_until_is_linear_on_its_link() -> None:
    x = np.linspace(7.0, 11.0, 9)
    rate = LAWS["pass_until"].compute(x, log10_coefficient=3.2, exponent=0.35)
    np.testing.assert_allclose(np.diff(np.log(-np.log(rate)), 2), 0.0, atol=1e-9)


def test_broken_power_law_is_refused_below_nine_points_and_never_overflows() -> None:
    law = LAWS["broken_power_law"]
    assert "needs 9" in fit_law(law, np.arange(8.0), np.arange(8.0)).status[0]
    sharp = law.compute(
        np.array([0.0, 400.0]), limit=0.0, gain=1.0, first_exponent=0.1, exponent_change=0.5,
        log10_break=200.0, sharpness=0.02,
    )  # fmt: skip
    assert np.isfinite(sharp).all()


def test_flat_zero_and_missing_values_have_an_answer() -> None:
    x = np.linspace(7.0, 10.0, 10)
    for law in (LAWS["power_law_floor"], LAWS["sigmoid"], LAWS["hinge"], LAWS["broken_power_law"]):
        for values in (np.zeros(10), np.full(10, 0.3)):
            found = fit_law(law, x, values)
            assert found.converged[0]
            np.testing.assert_allclose(found.fitted[0], values, atol=1e-9)
        nothing = fit_law(law, x, np.full(10, np.nan))
        assert nothing.status[0].startswith("0 distinct points are too few")
        infinite = fit_law(law, x, np.where(x > 9.9, np.inf, x))
        assert np.isfinite(infinite.rss).all()


def gaussian(law: Law, x: FloatArray, curves: int, noise: float, seed: int) -> LawFits:
    rng = np.random.default_rng(seed)
    y = law.compute(x, **TRUTHS[law.name]) + noise * rng.standard_normal((curves, len(x)))
    return fit_law(law, x, y)


def test_standard_errors_equal_curve_fit() -> None:
    law = LAWS["sigmoid"]
    x = places(law, 25)
    found = gaussian(law, x, 1, 0.01, 7)

    def formula(x: FloatArray, *values: float) -> FloatArray:
        return law.compute(x, **dict(zip(law.names, values, strict=True)))

    start = [TRUTHS["sigmoid"][name] for name in law.names]
    _, spread = curve_fit(formula, x, found.y[0], p0=start)
    np.testing.assert_allclose(covariance(found)[0], spread, rtol=1e-3, atol=1e-9)


def test_intervals_cover() -> None:
    """Profiles and standard errors of the exponent, nominal 95 %, over 400 families."""
    law = LAWS["power_law_floor"]
    x, truth = np.linspace(7.0, 10.0, 12), TRUTHS["power_law_floor"]["exponent"]
    found = gaussian(law, x, 400, 0.02, 8)
    ends = profile(found, "exponent", np.linspace(0.05, 0.9, 35))
    inside = ~(ends.low > truth) & ~(ends.high < truth)  # an open end covers
    assert 0.92 <= inside.mean() <= 0.98
    spread = standard_errors(found)[:, law.names.index("exponent")]
    near = np.abs(found.parameter("exponent") - truth) <= 2.262 * spread  # t of 9, 97.5 %
    assert 0.90 <= near.mean() <= 0.99


def test_bootstrap_spread_agrees_with_the_linearised_one() -> None:
    law, rng = LAWS["sigmoid"], np.random.default_rng(9)
    found = gaussian(law, places(law, 25), 2, 0.005, 9)
    for draws, spread in zip(bootstrap(found, rng, 300), standard_errors(found), strict=True):
        np.testing.assert_allclose(draws.parameters.std(axis=0), spread, rtol=0.25)


def test_resampling_whole_runs_keeps_them_together() -> None:
    law, rng = LAWS["hinge"], np.random.default_rng(10)
    found = gaussian(law, places(law, 16), 1, 0.02, 10)
    runs = np.repeat(np.arange(4), 4)
    (draws,) = resample(found, rng, 50, clusters=runs)
    times = draws.weights.reshape(50, 4, 4)
    assert (times == times[:, :, :1]).all()
    assert draws.converged.mean() > 0.8
    assert all(
        "too few" in words or "place" in words or words.startswith("conv") for words in draws.status
    )
