"""The measured error rates: a reduced calibration with a fixed seed, and the shipped table."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from math import sqrt

import numpy as np
import polars as pl
import pytest

from saltus.errors import UnknownNameError
from saltus.estimates.estimate import estimate
from saltus.metrics.metric import METRICS
from saltus.metrics.score import score
from saltus.tables import Reported, empty
from saltus.verdicts.assemble import assemble
from saltus.verdicts.calibrate import DESIGN, Cell, calibrate, coverage, families, series_of
from saltus.verdicts.calibration_text import markdown
from saltus.verdicts.evidence import gather
from saltus.verdicts.links import Points, gain_of, to_link
from saltus.verdicts.rates import MOST_SCALES, Rates, rates_for, summary
from saltus.verdicts.rule import rule
from saltus.worlds import WORLDS, generate, generate_arrays
from saltus.worlds.choices import draw_choices
from verdict_series import FloatArray, make

TRUTHS = {"smooth": 6, "break": 3, "none": 2}  # worlds of the design with each truth


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    """A part of the full design: 3 sizes, 40 families per cell, R = 199."""
    parts = [
        calibrate(
            np.random.default_rng(0), scales=[scales], items=[items], replicates=40, resamples=199
        )
        for scales, items in ((6, 200), (8, 1000), (12, 200))
    ]
    return pl.concat(parts)


def rate(table: pl.DataFrame, verdict: str, **where: object) -> tuple[float, float]:
    """How often these audits end in a verdict, and three binomial standard errors of the bar."""
    part = table.filter(**where)
    audits = part["count"].sum()
    return part.filter(verdict=verdict)["count"].sum() / audits, 3 / sqrt(audits)


# The road


@pytest.mark.parametrize("world", list(WORLDS), ids=lambda world: world.name)
def test_arrays_give_the_series_of_the_whole_road(world: object) -> None:
    world = WORLDS[world.name]  # type: ignore[attr-defined]
    for seed, scales in ((0, 6), (1, 9)):
        made = generate(world, np.random.default_rng(seed), scales=scales, items=60, tau=0.1)
        scores = score(made.responses)
        estimates = estimate(scores.lazy(), empty(Reported), made.models)
        (want,) = [one for one in assemble(estimates) if one.axis == "params"]
        arrays = generate_arrays(
            world, np.random.default_rng(seed), scales=scales, items=60, tau=0.1
        )
        have = series_of(arrays, world.name, want.family)
        for name in ("x", "rate", "successes", "items", "z", "variance"):
            np.testing.assert_allclose(
                getattr(have, name), getattr(want, name), rtol=1e-9, atol=1e-12, err_msg=name
            )
        assert have.chance == pytest.approx(want.chance)
        for name in ("task", "axis", "slice", "metric", "partner", "gain"):
            assert getattr(have, name) == getattr(want, name), name


def test_the_noise_that_mode_k_is_told() -> None:
    cell = Cell("i_mclin", 6, 50, 0.1, 2, 9, (0, 0, 0, 0))
    (first, _), (second, _) = families(cell)
    assert first.tau == second.tau == pytest.approx(0.08)  # .8 of it on the logit scale
    assert not np.array_equal(first.z, second.z)
    assert next(families(replace_world(cell, "i_power")))[0].tau == 0.1


def test_a_probability_that_rises_in_an_s_is_no_break() -> None:
    # ten choices: on the probability itself .28 of these families were called broken in mode K
    (drawn, *rest) = families(Cell("i_mcten", 9, 1000, 0.02, 40, 199, (0, 0, 0, 0)))
    assert drawn[1].chance == 0.1
    found = [
        rule(gather(series, np.random.default_rng(0), 199)).verdict for series, _ in (drawn, *rest)
    ]
    assert found.count("BREAK") <= 1


def by_brier(margin: FloatArray, x: FloatArray, factor: FloatArray, choices: int, seed: int) -> str:
    """The verdict on the Brier scores of 400 answers per model, logits times a factor."""
    rng = np.random.default_rng(seed)
    logits = draw_choices(rng, margin, 400, 0.02, choices=choices).logits * factor[:, None, None]
    p = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    score = np.square(p - (np.arange(choices) == 0)).sum(axis=2)
    right = (logits.argmax(axis=2) == 0).sum(axis=1).astype(float)
    count, chance = np.full(x.size, 400.0), np.full(x.size, 1 - 1 / choices)
    partner = METRICS["brier_sum"]
    z, variance = to_link(
        partner, Points(score.mean(axis=1), score.var(axis=1) / 400, count, count, chance)
    )
    series = make(
        x=x, z=z, variance=variance, successes=right, items=400.0, chance=1 / choices,
        gain=gain_of(partner), tau=0.02,
    )  # fmt: skip
    return rule(gather(replace(series, partner="brier_sum"), rng, 199)).verdict


def test_a_brier_score_that_rises_in_an_s_is_no_break() -> None:
    # forty choices: as skill, all of these families were called broken
    x = np.linspace(7.0, 10.0, 12)
    margin = np.linspace(0.0, 6.0, 12)
    found = [by_brier(margin, x, np.ones(12), 40, seed) for seed in range(20)]
    assert found.count("BREAK") <= 1


def test_a_break_behind_humbler_guesses_is_no_artefact_of_the_metric() -> None:
    # while improvement up to an even guess counted, 18 of these were called artefacts
    x = np.linspace(7.0, 10.0, 12)
    margin = 1.3 * np.maximum(x - 8.8, 0.0) / 1.2
    factor = np.maximum(1.0, 3.0 - 2.0 * (x - 7.0) / 1.8)
    found = [by_brier(margin, x, factor, 4, seed) for seed in range(20)]
    assert found.count("METRIC_ARTEFACT") <= 1


def replace_world(cell: Cell, world: str) -> Cell:
    return cell._replace(world=world)


# The bars, with three binomial standard errors of what the reduced design can see


@pytest.mark.parametrize("noise", ["U", "K"])
@pytest.mark.parametrize("world", [name for name in DESIGN if WORLDS[name].truth == "smooth"])
def test_a_smooth_family_is_not_called_broken(table: pl.DataFrame, world: str, noise: str) -> None:
    found, slack = rate(table, "BREAK", world=world, noise=noise)
    assert found <= 0.05 + slack * sqrt(0.05 * 0.95)


@pytest.mark.parametrize("noise", ["U", "K"])
@pytest.mark.parametrize("world", [name for name in DESIGN if WORLDS[name].truth == "break"])
def test_a_break_is_not_called_an_artefact(table: pl.DataFrame, world: str, noise: str) -> None:
    found, slack = rate(table, "METRIC_ARTEFACT", world=world, noise=noise)
    assert found <= 0.03 + slack * sqrt(0.03 * 0.97)


@pytest.mark.parametrize("noise", ["U", "K"])
@pytest.mark.parametrize("world", [name for name in DESIGN if WORLDS[name].truth == "none"])
def test_noise_is_no_evidence(table: pl.DataFrame, world: str, noise: str) -> None:
    quiet, slack = rate(table, "NO_EVIDENCE", world=world, noise=noise)
    assert quiet >= 0.92 - slack * sqrt(0.92 * 0.08)
    for verdict in ("BREAK", "METRIC_ARTEFACT"):
        assert rate(table, verdict, world=world, noise=noise)[0] <= 0.01 + slack * 0.1


@pytest.mark.parametrize(
    ("world", "power"), [("iii_step", 0.87), ("ii_break", 0.70), ("iii_flatrise", 0.33)]
)
def test_breaks_are_found_when_the_noise_is_known(
    table: pl.DataFrame, world: str, power: float
) -> None:
    found, slack = rate(table, "BREAK", world=world, noise="K")
    assert found >= power - slack * sqrt(power * (1 - power))


@pytest.mark.parametrize(
    ("world", "power"), [("ii_break", 0.80), ("iii_flatrise", 0.47), ("iii_step", 0.70)]
)
def test_breaks_are_found_at_twelve_scales(table: pl.DataFrame, world: str, power: float) -> None:
    found, slack = rate(table, "BREAK", world=world, noise="U", scales=12)
    assert found >= power - slack * sqrt(power * (1 - power))


def test_half_of_the_smooth_families_look_emergent(table: pl.DataFrame) -> None:
    """The error that the audit removes."""
    smooth = table.filter(pl.col("world") != "i_mcten", truth="smooth", noise="U")
    assert 0.4 < smooth["apparent"].sum() / smooth["count"].sum() < 0.6


def test_noise_that_is_said_too_small_makes_no_breaks() -> None:
    # 1,000 items, little noise: no smooth family follows these margins to within it
    cell = {"worlds": ["i_mcsmooth"], "scales": [12], "items": [1000], "taus": [0.02]}
    found = calibrate(np.random.default_rng(1), **cell, replicates=60, resamples=199)
    assert rate(found, "BREAK", noise="K")[0] < 0.1  # .23 with the variances as given


# The interval of the threshold


@pytest.mark.parametrize("scales", [8, 12, 24])
def test_the_interval_covers_the_threshold(scales: int) -> None:
    found = coverage(np.random.default_rng(0), scales=[scales], items=[1000], replicates=120)
    bar = 0.90 - 3 * sqrt(0.9 * 0.1 / 120)
    assert (found["rate"] >= bar).all()
    # informative: less than a third of the range, and narrower with more scales
    assert (found["width"] < 2.0 / scales).all()


# The table itself


def test_workers_do_not_change_the_table() -> None:
    few = {"worlds": ["ii_break", "iv_noise_mc"], "scales": [6], "items": [50], "replicates": 3}
    alone = calibrate(np.random.default_rng(3), **few, resamples=19)
    assert calibrate(np.random.default_rng(3), **few, resamples=19, workers=2).equals(alone)
    # a cell does not depend on the company of others
    part = calibrate(np.random.default_rng(3), **few | {"worlds": ["iv_noise_mc"]}, resamples=19)
    assert part.equals(alone.filter(world="iv_noise_mc"))
    other = calibrate(np.random.default_rng(4), **few | {"replicates": 9}, resamples=19)
    assert not other["count"].equals(alone["count"])


def test_every_family_gets_one_verdict(table: pl.DataFrame) -> None:
    cells = ["world", "scales", "items", "tau", "noise"]
    total = table.group_by(cells).agg(pl.col("count").sum(), pl.col("replicates").first())
    assert total["count"].equals(total["replicates"])
    assert (table["apparent"] <= table["count"]).all()
    assert (table["low"] - 1e-12 <= table["rate"]).all()  # Wilson rounds 0 to 7e-18
    assert (table["rate"] <= table["high"] + 1e-12).all()


def test_an_unknown_world_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="no world named 'i_powr'"):
        calibrate(np.random.default_rng(0), worlds=["i_powr"], replicates=1)


def test_the_page(table: pl.DataFrame) -> None:
    covered = coverage(np.random.default_rng(0), scales=[6], items=[50], replicates=5)
    page = markdown(table, covered, command="saltus calibrate --seed 0")
    assert "Made by `saltus calibrate --seed 0`" in page
    assert page.count("\n| i_power | smooth |") == 2
    shown = table.filter(world="iii_step", noise="K", verdict="BREAK")
    found = shown["count"].sum() / shown["replicates"].sum()
    (row,) = [line for line in page.splitlines() if line.startswith("| iii_step | break")][1:]
    assert row.split(" | ")[2].startswith(f"{found:.3f}".removeprefix("0") + "(")
    assert "Interval of the threshold" in page
    assert "nan" not in page.lower()


# The shipped rates


def test_the_shipped_rates_are_sums_of_a_full_run() -> None:
    shipped = pl.read_csv(str(files("saltus.verdicts").joinpath("calibration.csv")))
    assert shipped.height == 3 * 3 * 3 * 2  # truths, scales, items, modes
    for truth, worlds in TRUTHS.items():
        audits = shipped.filter(truth=truth)["audits"].unique().to_list()
        assert len(audits) == 1
        assert audits[0] % (worlds * 2) == 0  # two values of tau
        assert audits[0] >= 120 * worlds * 2
    smooth = shipped.filter(truth="smooth")
    assert smooth["breaks"].sum() / smooth["audits"].sum() < 0.02


def test_the_summary_pools_worlds_and_noise(table: pl.DataFrame) -> None:
    small = summary(table)
    row = small.filter(truth="break", scales=12, noise="U").row(0, named=True)
    part = table.filter(truth="break", scales=12, noise="U")
    assert row["audits"] == 3 * 2 * 40
    assert row["breaks"] == part.filter(verdict="BREAK")["count"].sum()


def test_rates_of_the_nearest_design() -> None:
    found = rates_for(11, 700, "U")
    assert isinstance(found, Rates)
    assert (found.scales, found.items, found.noise) == (12, 1000, "U")
    assert found.break_smooth.rate < 0.05 < found.break_break.rate
    assert found.artefact_break.rate < 0.05
    assert found.break_none.rate < 0.01
    known = rates_for(6, 50, "K")
    assert known is not None
    assert (known.scales, known.items) == (6, 50)


def test_rates_without_items_are_pooled() -> None:
    pooled = rates_for(8, None, "K")
    parts = [rates_for(8, items, "K") for items in (50, 200, 1000)]
    assert pooled is not None
    assert pooled.items is None
    assert pooled.break_break.count == sum(part.break_break.count for part in parts if part)


@pytest.mark.parametrize(
    ("scales", "items", "noise"),
    [(5, 200, "U"), (4, 200, "K"), (MOST_SCALES + 1, 200, "K"), (8, 0, "U"), (8, 200, "?")],
)
def test_no_rates_where_no_design_is_near(scales: int, items: int, noise: str) -> None:
    assert rates_for(scales, items, noise) is None
