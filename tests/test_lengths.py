from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from scipy.optimize import minimize
from scipy.stats import binom

from saltus.tables import Scores, conform, empty
from saltus.verdicts.length_table import length_laws
from saltus.verdicts.lengths import (
    Answers,
    above_chance,
    commensurate,
    geometric_decay,
    quasi_linear,
)

LENGTHS = np.arange(1, 6)


def test_worked_example_of_geometric_decay() -> None:
    rates = np.array([0.80, 0.63, 0.52, 0.41, 0.33])
    found = geometric_decay(LENGTHS, 500 * rates, [500] * 5)
    assert found.method == "wls"
    assert found.slope == pytest.approx(-0.222761, abs=5e-7)
    assert found.token_probability == pytest.approx(0.800306, abs=5e-7)
    assert (found.statistic, found.freedom) == (pytest.approx(0.3507, abs=5e-5), 4)
    assert found.p == pytest.approx(0.986, abs=5e-4)
    assert found.curvature == pytest.approx(0.001135, abs=5e-7)
    assert found.curvature / found.z == pytest.approx(0.005226, abs=5e-7)
    assert found.z == pytest.approx(0.217, abs=5e-4)


def test_worked_example_of_quasi_linear_edits() -> None:
    found = quasi_linear(LENGTHS, [0.21, 0.41, 0.60, 0.84, 1.02], LENGTHS * 0.2 * 0.8 / 500)
    assert found.slope == pytest.approx(0.205333, abs=5e-7)
    assert (found.statistic, found.freedom) == (pytest.approx(0.6354, abs=5e-5), 4)
    assert found.p == pytest.approx(0.959, abs=5e-4)
    assert found.quasi_linear is True
    assert 0.8 < found.low < 1 < found.high < 1.25


def test_lengths_without_success_enter_by_their_likelihood() -> None:
    k, n = np.array([310, 180, 20, 1, 0]), np.full(5, 500)
    found = geometric_decay(LENGTHS, k, n)

    def deviance(parameters: np.ndarray) -> float:
        slope, curvature = (*parameters, 0.0)[:2]
        log_rate = slope * LENGTHS + curvature * LENGTHS**2
        if (log_rate >= 0).any():
            return math.inf
        saturated = binom.logpmf(k, n, k / n)
        return float(2 * (saturated - binom.logpmf(k, n, np.exp(log_rate))).sum())

    # an independent search over the natural parameters
    line = minimize(deviance, [-0.5], method="Nelder-Mead", options={"xatol": 1e-9})
    bent = minimize(deviance, [-0.3, -0.1], method="Nelder-Mead", options={"xatol": 1e-9})
    assert found.method == "glm"
    assert found.slope == pytest.approx(line.x[0], rel=1e-4)
    assert found.statistic == pytest.approx(line.fun, rel=1e-5)
    assert found.curvature == pytest.approx(bent.x[1], rel=1e-3)
    assert found.z == pytest.approx(-math.sqrt(line.fun - bent.fun), rel=1e-3)


def test_geometric_decay_is_rejected_as_often_as_stated() -> None:
    rng = np.random.default_rng(0)
    for probability, length in ((0.8, LENGTHS), (0.35, LENGTHS)):
        found = [
            geometric_decay(length, rng.binomial(400, probability**length), [400] * 5).p_curvature
            for _ in range(400)
        ]
        assert np.mean(np.array(found) < 0.05) < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 400)


def test_decay_that_cannot_be_fitted_says_why() -> None:
    assert geometric_decay([1, 2], [0, 0], [9, 9]).status == "no success at any length"
    assert geometric_decay([1, 2], [9, 9], [9, 9]).status == "no failure at any length"
    one = geometric_decay([3], [40], [50])
    assert one.token_probability == pytest.approx(0.8 ** (1 / 3))
    assert math.isnan(one.p)
    assert math.isnan(one.p_curvature)
    nothing = quasi_linear([1, 2], [0, 0], [0, 0])
    assert nothing.quasi_linear is None
    assert math.isnan(nothing.slope)


def test_edits_that_do_not_grow_with_length_are_not_quasi_linear() -> None:
    found = quasi_linear(LENGTHS, [0.5] * 5, [0.0005] * 5)
    assert found.quasi_linear is False
    assert found.p < 1e-6
    wide = quasi_linear(LENGTHS, 0.2 * LENGTHS, [0.1] * 5)
    assert wide.quasi_linear is False  # not shown to be, though it fits


def test_any_success_is_above_a_chance_of_zero() -> None:
    np.testing.assert_array_equal(above_chance([0, 1, 5], [100, 100, 100]), [1, 0, 0])
    expected = binom.sf(34, 100, 0.25) * 2
    assert above_chance([35, 25], [100, 100], 0.25)[0] == pytest.approx(expected)


def answers(rng: np.random.Generator, error: float, spread: float, items: int = 400) -> Answers:
    lengths = np.full(items, 5.0)
    item_error = np.clip(error * np.exp(spread * rng.standard_normal(items)), 0, 1)
    edits = rng.binomial(5, item_error).astype(float)
    return Answers((edits == 0).astype(float), edits, lengths)


def test_commensurate_holds_its_level_for_independent_tokens() -> None:
    rng = np.random.default_rng(3)
    runs = [commensurate([answers(rng, e, 0.0) for e in (0.3, 0.1)], rng, 199) for _ in range(200)]
    single = np.array([[r.p for r in run[0]] for run in runs])
    joint = np.array([run[2] for run in runs])
    for p in (single[:, 0], single[:, 1], joint):
        assert np.mean(p <= 0.05) <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 200)
        assert np.mean(p <= 0.5) > 0.35
    covered = [r.low <= 1 <= r.high for run in runs for r in run[0]]
    assert np.mean(covered) > 0.91


def test_items_of_different_difficulty_reject_upwards() -> None:
    rng = np.random.default_rng(4)
    (result,), total, p = commensurate([answers(rng, 0.3, 1.2, 2000)], rng)
    assert result.ratio > result.low > 1
    assert total == pytest.approx(result.statistic)
    assert p == result.p <= 0.01


def test_no_success_gives_an_upper_limit_only() -> None:
    rng = np.random.default_rng(5)
    hopeless = Answers(np.zeros(100), np.full(100, 4.0), np.full(100, 5.0))
    (result,), _, p = commensurate([hopeless], rng, 99)
    assert (result.ratio, result.low) == (0, 0)
    assert 1 < result.high < math.inf
    assert p > 0.05


def scores_of(answers_of: dict[str, Answers]) -> pl.DataFrame:
    frames = []
    for model, (exact, edits, lengths) in answers_of.items():
        base = pl.DataFrame(
            {
                "model": [model] * len(exact),
                "task": ["sums"] * len(exact),
                "item": [str(index) for index in range(len(exact))],
                "sample": [0] * len(exact),
            }
        )
        frames += [
            base.with_columns(metric=pl.lit("exact_match"), value=pl.Series(exact)),
            base.with_columns(
                metric=pl.lit("token_error_rate"),
                value=pl.Series(edits / lengths),
                units=pl.Series(lengths),
            ),
        ]
    return conform(pl.concat(frames, how="diagonal"), Scores)


def test_laws_of_a_table_of_scores() -> None:
    rng = np.random.default_rng(7)
    lengths = np.tile(LENGTHS, 1000).astype(float)
    models = {}
    for name, error in (("small", 0.5), ("large", 0.1)):
        wrong = rng.binomial(lengths.astype(int), error).astype(float)
        models[name] = Answers((wrong == 0).astype(float), wrong, lengths)
    found = length_laws(scores_of(models), rng)
    assert found["law"].to_list()[:5] == [
        "P2 above chance", "P2 commensurate", "P3a geometric decay", "P3a curvature",
        "P3b quasi-linear edits",
    ]  # fmt: skip
    equivalent = found.filter(pl.col("law").is_in(["P2 above chance", "P3b quasi-linear edits"]))
    assert equivalent["holds"].to_list() == [True] * 4
    assert found.filter(pl.col("law") != "P2 above chance")["p"].min() > 1e-3
    assert found["items"].to_list() == [5000] * 10
    token = found.filter(pl.col("law") == "P3a geometric decay")
    by_model = dict(zip(token["model"], token["estimate"], strict=True))
    assert by_model["small"] == pytest.approx(0.5, abs=0.03)
    assert by_model["large"] == pytest.approx(0.9, abs=0.02)


def test_a_table_without_lengths_has_no_laws() -> None:
    assert length_laws(empty(Scores), np.random.default_rng(0)).is_empty()


def test_one_length_gives_the_laws_of_accuracy_only() -> None:
    rng = np.random.default_rng(8)
    found = length_laws(scores_of({"a": answers(rng, 0.1, 0.0), "b": answers(rng, 1.0, 0.0)}), rng)
    assert found["law"].unique().sort().to_list() == ["P2 above chance", "P2 commensurate"]
    chance = dict(found.filter(pl.col("law") == "P2 above chance").select("model", "holds").rows())
    assert chance == {"a": True, "b": False}
