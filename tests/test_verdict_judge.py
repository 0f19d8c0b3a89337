"""The rule and the table of verdicts: each verdict, each reason, degenerate input, seeds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saltus.tables import Fits, Verdicts, schema
from saltus.verdicts.evidence import gather
from saltus.verdicts.judge import fits, judge
from saltus.verdicts.links import LINKS
from saltus.verdicts.rule import REASONS, VERDICTS, Ruling, rule
from saltus.verdicts.sentences import NOWHERE, SENTENCES, p_text, place_text
from saltus.verdicts.series import Checkpoints, Series, Unplaced
from verdict_series import RESIDUALS, FloatArray, X, golden, make

NAN = float("nan")


def verdict(series: Series, resamples: int = 199) -> tuple[str, str | None]:
    first = judge([series], np.random.default_rng(0), resamples=resamples).row(0, named=True)
    assert first["sentence"].endswith((".", ".)"))
    return first["verdict"], first["reason"]


def alone(series: Series, **fields: object) -> Series:
    """The thresholded metric without its continuous partner."""
    gone = np.full(series.x.size, NAN)
    return replace(series, partner=None, z=gone, variance=gone, tau=None, **fields)


# Verdicts and reasons


def test_loss_axis_turns_a_break_into_a_threshold() -> None:
    series = replace(golden("G2", 0.03), axis="loss", x=X - 13.0)
    row = judge([series], np.random.default_rng(0), resamples=199).row(0, named=True)
    assert row["verdict"] == "LOSS_THRESHOLD"
    assert row["threshold"] == pytest.approx(4.5)
    assert row["threshold_low"] <= 4.5 <= row["threshold_high"]
    assert "4.5 nats per token" in row["sentence"]
    assert "equal loss" in row["settle"]


def test_gradual_rise_from_well_above_the_floor() -> None:
    successes = np.array([60.0, 72, 85, 95, 110, 121, 135, 146])
    assert verdict(make(x=X, successes=successes, z=0.3 * X + RESIDUALS)) == ("GRADUAL", None)


def test_aggregates_alone_never_break_and_are_never_artefacts() -> None:
    assert verdict(alone(golden("G2", None)))[0] == "BELOW_RESOLUTION"
    assert verdict(alone(golden("G1", None))) == ("INCONCLUSIVE", "no_continuous_metric")
    assert verdict(alone(golden("G3", None))) == ("NO_EVIDENCE", None)
    step = make(x=X, successes=np.array([0, 2, 1, 1, 700, 705, 698, 702.0]), items=1000.0)
    assert verdict(step) == ("INCONCLUSIVE", "no_continuous_metric")


def test_aggregates_alone_that_rise_evenly_are_gradual() -> None:
    even = np.array([60.0, 72, 85, 95, 110, 121, 135, 146])
    assert verdict(make(x=X, successes=even)) == ("GRADUAL", None)
    # the same without items, but far above the floor: no number of items makes it emergent
    assert verdict(make(x=X, rate=0.3 + even / 300)) == ("GRADUAL", None)


def test_a_jump_of_the_rate_alone_is_not_called_gradual() -> None:
    jumpy = make(x=X, successes=np.array([300, 305, 298, 301, 300, 900, 905, 899.0]), items=1000.0)
    assert verdict(jumpy) == ("INCONCLUSIVE", "no_continuous_metric")


def test_unknown_items_and_chance_are_said() -> None:
    rates = np.array([0.0, 0.01, 0.0, 0.02, 0.1, 0.3, 0.5, 0.6])
    assert verdict(make(x=X, rate=rates)) == ("INCONCLUSIVE", "items_unknown")
    unknown = make(x=X, successes=200 * rates, chance=NAN)
    assert verdict(unknown) == ("INCONCLUSIVE", "chance_unknown")
    flat = make(x=X, rate=0.25 + RESIDUALS / 3, chance=NAN)
    assert verdict(flat) == ("NO_EVIDENCE", None)


def test_unknown_items_do_not_stand_in_the_way_of_a_break() -> None:
    series = golden("G2", 0.03)
    unknown = np.full(8, NAN)
    assert verdict(replace(series, items=unknown, successes=unknown))[0] == "BREAK"
    artefact = replace(golden("G1", 0.03), items=unknown, successes=unknown)
    assert verdict(artefact) == ("INCONCLUSIVE", "items_unknown")


def test_a_jump_at_the_last_of_few_scales_is_not_no_evidence() -> None:
    last = make(x=X[:5], successes=np.array([50.0, 56, 49, 44, 100]))
    assert verdict(last) == ("INCONCLUSIVE", "too_few_scales")
    flat = make(x=X[:5], successes=np.array([50.0, 56, 49, 44, 52]))
    assert verdict(flat) == ("NO_EVIDENCE", None)
    rates = make(x=X[:4], rate=np.array([0.2, 0.24, 0.17, 0.5]), chance=0.25)
    assert verdict(rates)[0] == "INCONCLUSIVE"


def test_continuous_metric_alone() -> None:
    assert verdict(make(x=X, z=golden("G2", None).z)) == ("BREAK", None)
    assert verdict(make(x=X, z=golden("G1", None).z)) == ("GRADUAL", None)
    assert verdict(make(x=X, z=golden("G3", None).z)) == ("NO_EVIDENCE", None)


def test_a_break_must_matter_and_must_surprise() -> None:
    rng = np.random.default_rng(0)
    evidence = gather(golden("G2", 0.03), rng, 199)
    assert rule(evidence) == Ruling("BREAK")
    assert rule(replace(evidence, gain=0.09)) == Ruling("INCONCLUSIVE", "not_material")
    covered = Ruling("INCONCLUSIVE", "break_without_extrapolation_failure")
    assert rule(replace(evidence, beyond=False)) == covered
    assert rule(replace(evidence, beyond=None)) == covered


def test_an_artefact_rests_on_positive_evidence() -> None:
    evidence = gather(golden("G1", 0.03), np.random.default_rng(0), 199)
    assert rule(evidence) == Ruling("METRIC_ARTEFACT")
    assert rule(replace(evidence, p_sub=0.03)) == Ruling("INCONCLUSIVE", "no_power")
    assert rule(replace(evidence, p_sub=None)) == Ruling("INCONCLUSIVE", "no_power")
    assert evidence.test is not None
    doubtful = replace(evidence.test, p_smooth=dict.fromkeys(evidence.test.p_smooth, 0.19))
    assert rule(replace(evidence, test=doubtful)) == Ruling("INCONCLUSIVE", "no_power")
    line_only = replace(evidence.test, p_smooth={"line": 0.01, "quadratic": 0.19})
    curved = Ruling("INCONCLUSIVE", "smooth_rejected_but_curved")
    assert rule(replace(evidence, test=line_only)) == curved


def test_improvement_below_guessing_is_called_calibration() -> None:
    series = golden("G1", 0.03)
    g = 0.05 * (X - 10.0) + RESIDUALS / 100
    series = replace(series, z=g, gain="identity", variance=np.full(8, 1e-6), tau=0.001)
    row = judge([series], np.random.default_rng(0), resamples=199).row(0, named=True)
    assert row["verdict"] == "METRIC_ARTEFACT"
    assert "calibration" in row["sentence"]
    # the same as probabilities of four choices, which lie below 1/4
    p = 0.25 + 0.75 * g
    logit = np.log(p / (1 - p))
    variance = 1e-6 * (0.75 / (p * (1 - p))) ** 2
    series = replace(series, z=logit, gain="expit", variance=variance, chance=0.25, tau=0.004)
    row = judge([series], np.random.default_rng(0), resamples=199).row(0, named=True)
    assert "calibration" in row["sentence"]


def test_every_verdict_and_reason_has_its_words() -> None:
    assert set(SENTENCES) == (set(VERDICTS) - {"INCONCLUSIVE"}) | set(REASONS)


# Inverse scaling


def test_falling_scores_are_reported_in_a_second_row() -> None:
    falling = make(x=X, z=-0.3 * X + RESIDUALS, successes=np.full(8, 100.0))
    table = judge([falling], np.random.default_rng(0), resamples=199)
    assert table["inverse"].to_list() == [False, True]
    assert table["verdict"].to_list() == ["NO_EVIDENCE", "GRADUAL"]
    assert "falls" in table["sentence"][1]


def test_a_sudden_fall_is_an_inverse_break() -> None:
    # Turned over, the golden break falls where it rose; the gain is a loss on the same scale.
    series = make(x=X, z=2.0 - golden("G2", None).z)
    table = judge([series], np.random.default_rng(0), resamples=199).filter(inverse=True)
    assert table["verdict"].to_list() == ["BREAK"]
    assert table["gain"][0] > 0.1
    assert table["threshold"][0] == pytest.approx(10**8.5)


def test_a_rising_score_has_no_second_row() -> None:
    assert judge([golden("G1", None)], np.random.default_rng(0), resamples=19).height == 1


# Seeds, order, tables


def test_the_order_and_company_of_series_do_not_matter() -> None:
    series = [golden(case, tau) for case in ("G1", "G2", "G3") for tau in (None, 0.03)]
    series = [replace(one, slice=f"{index}") for index, one in enumerate(series)]
    table = judge(series, np.random.default_rng(4), resamples=99)
    reverse = judge(series[::-1], np.random.default_rng(4), resamples=99)
    assert table.sort("slice").equals(reverse.sort("slice"))
    # all but the correction for the number of tests, which is the company's
    own = pl.exclude("p_break_adjusted", "sentence", "settle")
    single = judge(series[2:3], np.random.default_rng(4), resamples=99)
    assert single.select(own).equals(table.filter(slice="2").select(own))
    other = judge(series, np.random.default_rng(5), resamples=99)
    assert not other["p_break"].equals(table["p_break"])


# Many tests at once


def crowd(count: int) -> list[Series]:
    """One true break among so many flat series."""
    flat = [replace(golden("G3", None), task=f"flat {index}") for index in range(count)]
    return [*flat, golden("G2", None)]


def test_a_strong_break_survives_the_correction_through_more_draws() -> None:
    # with 99 draws the smallest p is .01, which 21 tests would make .77
    clear = replace(golden("G2", 0.03), task="clear")
    table = judge([*crowd(20)[:-1], clear], np.random.default_rng(0), resamples=99)
    row = table.filter(task="clear").row(0, named=True)
    assert (row["verdict"], row["p_break"]) == ("BREAK", 0.01)
    assert row["p_break"] <= row["p_break_adjusted"] <= 0.05
    assert "correction" not in row["sentence"]
    assert row["settle"] is None


def test_a_weak_break_says_that_it_does_not_survive() -> None:
    # its p of about .0005 becomes .0005 x 300 x 6.3 = .9
    table = judge(crowd(300), np.random.default_rng(0), resamples=199)
    row = table.filter(task="G2").row(0, named=True)
    assert row["verdict"] == "BREAK"
    assert row["p_break_adjusted"] > 0.05
    assert "301 break tests of this batch it does not survive the correction" in row["sentence"]
    assert "more scales between" in row["settle"]


def test_adjusted_p_values_are_benjamini_and_yekutielis() -> None:
    series = [golden(case, tau) for case in ("G1", "G2", "G3") for tau in (None, 0.03)]
    series = [replace(one, slice=f"{index}") for index, one in enumerate(series)]
    table = judge(series, np.random.default_rng(1), resamples=999)
    # by hand: rising p times 6 (1 + 1/2 + ... + 1/6) / rank, no larger than any after it
    p = np.sort(table["p_break"].to_numpy())
    raw = p * 6 * 2.45 / np.arange(1, 7)
    want = [min(1.0, raw[rank:].min()) for rank in range(6)]
    assert np.sort(table["p_break_adjusted"].to_numpy()) == pytest.approx(want)


def test_a_falling_series_is_no_test_of_the_batch() -> None:
    series = replace(golden("G2", None), z=-golden("G2", None).z)
    table = judge([series], np.random.default_rng(0), resamples=99)
    assert table["inverse"].to_list() == [False, True]
    assert table["p_break_adjusted"].to_list() == [table["p_break"][0], None]


def test_no_series_gives_empty_tables() -> None:
    assert judge([], np.random.default_rng(0)).schema == schema(Verdicts)
    assert fits([]).schema == schema(Fits)


def test_fits_of_every_family_and_of_the_best_break() -> None:
    table = fits([golden("G2", None), alone(golden("G1", None))])
    curves = ["line", "quadratic", "floor_exponential", "hinge"]
    assert table["curve"].to_list()[:4] == curves
    assert table["metric"].to_list() == ["token_error"] * 4 + ["exact_match"] * 4
    best = table.row(3, named=True)
    assert {p["name"]: p["value"] for p in best["parameters"]}["knot"] == pytest.approx(8.5)
    assert best["rss"] == pytest.approx(9.7824, abs=5e-5)
    np.testing.assert_allclose(best["fitted"], best["z"], atol=0.1)


def test_a_curve_that_cannot_be_fitted_says_so() -> None:
    table = fits([make(x=X[:2], z=X[:2])])
    assert table["status"].to_list()[0] == "converged"
    assert all("too few" in status for status in table["status"].to_list()[1:])
    assert table["rss"].null_count() == 3


def test_dropped_scales_are_counted_in_the_sentence() -> None:
    series = golden("G1", None)
    z = np.where(np.arange(8) < 2, NAN, series.z)
    row = judge([replace(series, z=z)], np.random.default_rng(0), resamples=19).row(0, named=True)
    assert row["scales"] == 6
    assert "2 scales without a value were left out" in row["sentence"]


def test_humbler_guesses_are_no_improvement_of_a_brier_score() -> None:
    """Up to an even guess such a score improves when confidence falls (science.md 2.5)."""
    series = replace(golden("G1", 0.03), gain="expit", chance=0.05)
    below = series.z - 8.0  # at the floor under logit(.05), at the largest scales above it

    def found(partner: str, z: FloatArray) -> str:
        return verdict(replace(series, partner=partner, z=z))[0]

    assert found("brier_sum", series.z) == "METRIC_ARTEFACT"
    assert found("brier_sum", below) == "INCONCLUSIVE"
    assert found("correct_choice_probability", below) == "METRIC_ARTEFACT"
    losses = replace(series, gain="exp_exp", partner="choice_log_loss")
    assert verdict(replace(losses, z=series.z))[0] == "METRIC_ARTEFACT"
    assert verdict(replace(losses, z=series.z - 3.7))[0] == "INCONCLUSIVE"


def test_models_off_the_link_scale_are_counted_and_named() -> None:
    series = golden("G1", None)
    z = np.where(np.arange(8) < 2, NAN, series.z)
    lost = Unplaced(("m0",), 1, "logit")
    row = judge(
        [replace(series, z=z, unplaced=lost)], np.random.default_rng(0), resamples=19
    ).row(0, named=True)  # fmt: skip
    assert row["unplaced"] == ["m0"]
    assert row["sentence"].endswith(
        " (1 scale without a value was left out.) (1 model is left out of token_error, which is "
        "exactly 0 or 1 and has no logit there: m0.)"
    )
    plain = judge([series], np.random.default_rng(0), resamples=19).row(0, named=True)
    assert plain["unplaced"] is None
    assert "left out" not in plain["sentence"]


def test_a_score_that_is_off_the_link_scale_throughout_is_not_merely_absent() -> None:
    names = tuple(f"m{place}" for place in range(8))
    series = replace(
        golden("G2", None), z=np.full(8, NAN), unplaced=Unplaced(names, 8, "logit")
    )  # fmt: skip
    row = judge([series], np.random.default_rng(0), resamples=19).row(0, named=True)
    assert row["verdict"] == "BELOW_RESOLUTION"
    assert row["unplaced"] == list(names)
    assert "8 models are left out of token_error" in row["sentence"]
    assert row["sentence"].endswith("m0, m1, m2, m3, m4 and 3 more.)")


@pytest.mark.parametrize("link", LINKS)
def test_every_link_says_why_a_value_has_no_place(link: str) -> None:
    assert link in NOWHERE or link == "identity"  # which has a place for every number


def test_numbers_in_words() -> None:
    assert [p_text(p) for p in (0.359, 0.0421, 4.64e-9, 0.0, 0.9996, 0.001)] == [
        ".36", ".042", "4.6e-9", "< 1e-15", "1.0", ".001",
    ]  # fmt: skip
    assert place_text(8.5, "params") == "3.2e8 parameters"
    assert place_text(-2.2, "loss") == "2.2 nats per token"
    assert place_text(9.0, "tokens") == "1e9 training tokens"


# Degenerate input


def pick(scales: int, *values: float) -> st.SearchStrategy[FloatArray]:
    drawn = st.lists(st.sampled_from(values), min_size=scales, max_size=scales)
    return drawn.map(lambda found: np.array(found, dtype=float))


@st.composite
def degenerate(draw: st.DrawFn) -> Series:
    scales = draw(st.integers(1, 14))
    steps = draw(pick(scales, 0.1, 0.5, 1.0))
    items = draw(pick(scales, 1, 50, 50, 1000, *([NAN] if draw(st.booleans()) else [])))
    rate = draw(pick(scales, 0.0, 0.0, 0.25, 0.5, 1.0, *([NAN] if draw(st.booleans()) else [])))
    successes = np.floor(rate * items)
    z = draw(st.one_of(
        pick(scales, 0.0), pick(scales, NAN), pick(scales, 0.3, NAN), pick(scales, -5.0, 0.1, 7.0),
        pick(scales, 1e-9, 2e-9), pick(scales, -1e6, 1e6), pick(scales, 0.0, 0.1, 0.2, 0.3, 0.9),
    ))  # fmt: skip
    variance = draw(st.one_of(pick(scales, 0.0), pick(scales, NAN), pick(scales, 0.0, 1e-4, 1.0)))
    base = make(x=7.0 + np.cumsum(steps), z=z, variance=variance, rate=rate)
    return replace(
        base,
        axis=draw(st.sampled_from(["params", "tokens", "loss"])),
        rate=np.where(np.isfinite(successes), successes / items, rate),
        successes=successes,
        items=np.where(np.isfinite(successes), items, NAN),
        chance=draw(st.sampled_from([0.0, 0.25, 1.0, NAN])),
        gain=draw(st.sampled_from(["identity", "expit", "exp_exp"])),
        tau=draw(st.sampled_from([None, 0.0, 0.05])),
        metric=draw(st.sampled_from([None, "exact_match"])),
        partner=draw(st.sampled_from([None, "token_error"])),
    )


@settings(deadline=None, max_examples=250)
@given(series=degenerate())
def test_degenerate_input_gets_a_verdict_or_a_reason(series: Series) -> None:
    table = judge([series], np.random.default_rng(0), resamples=19)
    assert table.height >= 1
    for row in table.iter_rows(named=True):
        assert row["verdict"] in VERDICTS
        assert (row["reason"] in REASONS) is (row["verdict"] == "INCONCLUSIVE")
        assert len(row["sentence"]) > 20
        assert "nan" not in row["sentence"].split()
        if row["partner"] is None:
            assert row["verdict"] not in {"BREAK", "LOSS_THRESHOLD", "METRIC_ARTEFACT"}
    assert fits([series])["status"].null_count() == 0


@pytest.mark.parametrize("scales", [1, 2])
def test_one_or_two_scales_are_too_few(scales: int) -> None:
    series = make(x=X[:scales], z=X[:scales], successes=np.full(scales, 3.0))
    assert verdict(series) == ("INCONCLUSIVE", "too_few_scales")
    row = judge([series], np.random.default_rng(0)).row(0, named=True)
    assert row["scales"] == scales
    missing = make(x=X, z=np.full(8, NAN), rate=np.full(8, NAN))
    assert verdict(missing) == ("INCONCLUSIVE", "too_few_scales")


def on_the_loss_axis(per_decade: float, luck: float = 0.0) -> Series:
    """A golden break against loss, with checkpoints of eight runs whose size may matter."""
    rng = np.random.default_rng(7)
    size, token = (
        part.ravel()
        for part in np.meshgrid(np.linspace(7, 9, 8), np.linspace(0, 1, 10), indexing="ij")
    )
    loss = 5.0 - 0.5 * (size - 7.0) - token
    run = np.repeat(np.arange(8), 10)
    value = 0.9 - 0.15 * loss + per_decade * (size - 8.0) + 0.004 * rng.standard_normal(80)
    value += luck * rng.standard_normal(8)[run]
    points = Checkpoints(loss, size, value, run, 0.02)
    return replace(golden("G2", 0.03), axis="loss", x=X - 13.0, checkpoints=points)


def judged(series: Series) -> dict[str, object]:
    return judge([series], np.random.default_rng(0), resamples=199).row(0, named=True)


def test_a_loss_threshold_needs_that_size_is_not_shown_to_matter() -> None:
    same = judged(on_the_loss_axis(0.0))
    assert same["verdict"] == "LOSS_THRESHOLD"
    assert "changes nothing that matters" in same["sentence"]
    assert same["settle"] is None
    assert abs(same["size_effect"]) < 0.01
    other = judged(on_the_loss_axis(0.08))
    assert (other["verdict"], other["reason"]) == ("INCONCLUSIVE", "size_matters_at_equal_loss")
    assert other["size_effect_low"] <= 0.08 <= other["size_effect_high"]
    assert other["p_size"] < 0.05
    lucky = judged(on_the_loss_axis(0.0, luck=0.03))  # luck of runs is no effect of size
    assert lucky["verdict"] == "LOSS_THRESHOLD"
    untested = judged(replace(golden("G2", 0.03), axis="loss", x=X - 13.0))
    assert "could not be tested" in untested["sentence"]
    # nothing else of the procedure moves: same draws, same numbers
    ours = ("p_break", "p_change", "threshold", "threshold_low", "threshold_high", "gain")
    assert [same[name] for name in ours] == [untested[name] for name in ours]
