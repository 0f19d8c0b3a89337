"""The smooth-null band holds what smooth families show, and not what broken ones do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from saltus.tables import Bands, schema
from saltus.verdicts.band import Relation, bands, relation
from saltus.verdicts.series import FloatArray, Series

X = np.linspace(7, 10, 8)
ITEMS, LENGTH = 400, 8


def series(z: FloatArray, rng: np.random.Generator, task: str = "t", noise: float = 0.02) -> Series:
    seen = z + noise * rng.standard_normal(z.size)
    successes = rng.binomial(ITEMS, np.exp(-LENGTH * np.exp(-seen))).astype(float)
    return Series(
        family="f", regime=None, task=task, axis="params", slice="final checkpoints",
        models=tuple("abcdefgh"), x=X, metric="exact_match", rate=successes / ITEMS,
        successes=successes, items=np.full(8, float(ITEMS)), chance=0.0,
        partner="token_error_rate", z=seen, variance=np.full(8, noise**2), gain="exp_exp",
        tau=None,
    )  # fmt: skip


SMOOTH = 3.2 + 0.9 * (X - 10)
BROKEN = 1.0 + np.where(X > 8.6, 1.8 * (X - 8.6), 0.0)


def test_the_relation_recovers_the_length_of_the_answers() -> None:
    found = relation(series(SMOOTH, np.random.default_rng(1)))
    assert found is not None
    # accuracy = p^L = exp(-exp(ln L - z))
    assert np.exp(-found.level) == pytest.approx(LENGTH, rel=0.3)
    assert found.slope == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("rise", [0.5, 0.9, 1.5, 2.0])
def test_the_relation_is_the_most_likely_one(rise: float) -> None:
    one = series(3.2 + rise * (X - 10), np.random.default_rng(6))
    found = relation(one)
    assert found is not None

    def fault(level: float, slope: float) -> float:
        rate = np.clip(replace_shape(found, level, slope).rate(one.z), 1e-9, 1 - 1e-9)
        return -float(stats.binom.logpmf(one.successes, ITEMS, rate).sum())

    least = fault(found.level, found.slope)
    grid = [fault(a, b) for a in np.linspace(-6, 3, 91) for b in np.linspace(0, 3, 61)]
    assert least <= min(grid) + 1e-3


def replace_shape(shape: Relation, level: float, slope: float) -> Relation:
    return shape._replace(level=level, slope=slope)


def test_smooth_families_lie_in_their_band() -> None:
    rng = np.random.default_rng(2)
    many = [series(SMOOTH, rng, f"t{index}") for index in range(100)]
    frame = bands(many, rng)
    inside = frame["inside"].sum() / frame["scales"].sum()
    assert 0.93 <= inside <= 1.0  # 8 points a band, its curve fitted to the same 8 points


def test_a_broken_family_leaves_the_band() -> None:
    rng = np.random.default_rng(3)
    sharp = [series(BROKEN, rng, f"t{index}", noise=0.005) for index in range(20)]
    frame = bands(sharp, rng)
    assert (frame["inside"] < frame["scales"]).mean() > 0.9


def test_the_band_is_ordered_and_stays_in_the_unit() -> None:
    row = bands([series(SMOOTH, np.random.default_rng(4))], np.random.default_rng(0)).row(
        0, named=True
    )
    low, median, high = (np.array(row[name]) for name in ("low", "median", "high"))
    assert np.all((low >= 0) & (low <= median) & (median <= high) & (high <= 1))
    assert (row["x"][0], row["x"][-1]) == (7, 10)


@pytest.mark.parametrize(
    "change",
    [
        {"metric": None},
        {"partner": None},
        {"chance": np.nan},
        {"successes": np.full(8, np.nan)},
        {"z": np.full(8, np.nan)},
        {"z": np.array([1.0, 2.0, 3.0] + [np.nan] * 5)},
    ],
)
def test_no_band_without_the_evidence_for_one(change: dict[str, object]) -> None:
    poor = replace(series(SMOOTH, np.random.default_rng(5)), **change)  # type: ignore[arg-type]
    frame = bands([poor], np.random.default_rng(0))
    assert frame.is_empty()
    assert frame.schema == schema(Bands)


def test_constant_scores_have_a_band_too() -> None:
    flat = replace(series(SMOOTH, np.random.default_rng(5)), z=np.full(8, 1.0))
    frame = bands([flat], np.random.default_rng(0))
    assert frame.height == 1


def test_rates_never_fall_below_chance() -> None:
    shape = Relation("identity", 0.25, -2.0, 4.0)
    rates = shape.rate(np.linspace(-5, 5, 50))
    assert rates.min() >= 0.25
    assert np.all(np.diff(rates) >= 0)
