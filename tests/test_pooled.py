"""Model noise pooled over the tasks of a family."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from saltus.verdicts.calibrate import series_of
from saltus.verdicts.judge import judge
from saltus.verdicts.measured import Measured, partner_points
from saltus.verdicts.pooled import FEWEST_TASKS, pool_noise, pooled_tau
from saltus.verdicts.series import Series
from saltus.worlds import WORLDS, generate_arrays

TOKENS = ("i_power", "i_irred", "i_logistic", "ii_break", "iv_noise_em")


def tasks(count: int, scales: int, items: int, tau: float, seed: int = 0) -> list[Series]:
    """Tasks of one family with mixed truths, tau not told."""
    rng = np.random.default_rng(seed)
    names = [TOKENS[index % len(TOKENS)] for index in range(count)]
    made = [
        series_of(generate_arrays(WORLDS[name], rng, scales=scales, items=items, tau=tau), name, "")
        for name in names
    ]
    return [replace(one, task=f"{index}", tau=None) for index, one in enumerate(made)]


@pytest.mark.parametrize("tau", [0.05, 0.1, 0.3])
def test_recovers_gaussian_noise_about_lines(tau: float) -> None:
    rng = np.random.default_rng(1)
    x = np.linspace(7.0, 10.0, 8)
    points = [
        Measured("params", x, slope * x + tau * rng.standard_normal(8), np.full(8, 1e-6), False, 0)
        for slope in np.linspace(0.0, 1.0, 60)
    ]
    # 60 tasks of about 2 free residuals each: a standard error of 7 %
    assert pooled_tau(points, np.random.default_rng(0)) == pytest.approx(tau, rel=0.2)


def test_recovers_the_noise_of_a_world() -> None:
    points = [partner_points(one) for one in tasks(30, 12, 1000, 0.1)]
    assert 0.07 < pooled_tau(points, np.random.default_rng(0)) < 0.13


def test_sampling_errors_alone_leave_no_noise() -> None:
    rng = np.random.default_rng(2)
    x = np.linspace(7.0, 10.0, 8)
    points = [
        Measured("params", x, 0.05 * rng.standard_normal(8), np.full(8, 0.01), False, 0)
        for _ in range(20)
    ]
    assert pooled_tau(points, np.random.default_rng(0)) == 0.0


def test_only_large_groups_without_a_tau_get_one() -> None:
    many = tasks(FEWEST_TASKS, 6, 200, 0.1)
    few = [replace(one, family="small") for one in tasks(FEWEST_TASKS - 1, 6, 200, 0.1)]
    told = [replace(many[0], tau=0.7, task="told")]
    pooled = pool_noise([*many, *few, *told], np.random.default_rng(0))
    assert len({one.tau for one in pooled[:FEWEST_TASKS]}) == 1
    assert pooled[0].tau is not None
    assert [one.tau for one in pooled[FEWEST_TASKS:-1]] == [None] * (FEWEST_TASKS - 1)
    assert pooled[-1].tau == 0.7
    assert [one.task for one in pooled] == [one.task for one in [*many, *few, *told]]


def test_groups_do_not_mix() -> None:
    quiet, loud = tasks(10, 8, 1000, 0.02), tasks(10, 8, 1000, 0.3)
    loud = [replace(one, axis="flops") for one in loud]
    pooled = pool_noise([*quiet, *loud], np.random.default_rng(0))
    assert pooled[0].tau is not None
    assert pooled[-1].tau is not None
    assert pooled[0].tau < 0.15 < pooled[-1].tau


def test_finds_more_breaks_than_mode_u() -> None:
    series = [one for seed in range(3) for one in _family(seed)]
    broken = [f"{index}" for index in range(20) if TOKENS[index % len(TOKENS)] == "ii_break"]
    plain = judge(series, np.random.default_rng(0), resamples=199)
    pooled = judge(pool_noise(series, np.random.default_rng(0)), np.random.default_rng(0))
    found, helped = (
        table.filter(verdict="BREAK")["task"].is_in(broken).sum() for table in (plain, pooled)
    )
    assert helped > found


def _family(seed: int) -> list[Series]:
    return [replace(one, family=f"{seed}") for one in tasks(20, 6, 200, 0.1, seed)]
