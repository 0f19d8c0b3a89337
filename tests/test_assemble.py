"""Estimates to series: the right models at the right places."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from saltus.errors import UnknownNameError
from saltus.tables import Estimates, conform
from saltus.verdicts.assemble import TAU_FREEDOM, assemble
from saltus.verdicts.series import Series

SIZES = (1e7, 1e8, 1e9)


def estimates(rows: list[dict[str, Any]]) -> pl.DataFrame:
    base = {"family": "f", "task": "t", "metric": "acc", "value": 0.5, "items": 100}
    frame = pl.DataFrame([base | row for row in rows], infer_schema_length=None)
    rest = {"successes": 50.0, "variance": 0.0025, "chance": 0.25}
    missing = {name: pl.lit(value) for name, value in rest.items() if name not in frame.columns}
    return conform(frame.with_columns(**missing), Estimates)


def by_axis(frame: pl.DataFrame, metric: str | None = None) -> dict[str, Series]:
    return {series.axis: series for series in assemble(frame, metric)}


def checkpoints() -> pl.DataFrame:
    return estimates(
        [
            {"model": f"m{size:g}@step{step}", "params": size, "step": step,
             "tokens": step * 1e6, "flops": 6 * size * step * 1e6, "value": step / 100}
            for size in SIZES for step in (0, 10, 20, 40)
        ]
    )  # fmt: skip


def test_params_and_flops_take_final_checkpoints() -> None:
    found = by_axis(checkpoints())
    for axis in ("params", "flops"):
        assert found[axis].slice == "final checkpoints"
        assert found[axis].models == ("m1e+07@step40", "m1e+08@step40", "m1e+09@step40")
    assert found["params"].x == pytest.approx(np.log10(SIZES))
    assert found["params"].rate == pytest.approx([0.4] * 3)


def test_tokens_take_the_checkpoints_of_the_largest_model() -> None:
    series = by_axis(checkpoints())["tokens"]
    assert series.slice == "checkpoints of m1e+09"
    assert series.x == pytest.approx(np.log10([1e7, 2e7, 4e7]))  # step 0 has no logarithm
    assert series.rate == pytest.approx([0.1, 0.2, 0.4])


def test_one_run_gives_the_checkpoints_and_they_are_thinned() -> None:
    rows = [
        {"model": f"{name}@step{step}", "params": 1e9, "tokens": step * 1e6, "step": step}
        for name, last in (("short", 40), ("long", 300)) for step in range(1, last + 1)
    ]  # fmt: skip
    series = by_axis(estimates(rows))["tokens"]
    assert series.slice == "checkpoints of long"
    assert all(name.startswith("long") for name in series.models)
    assert 15 <= series.x.size <= 24
    assert series.x[[0, -1]] == pytest.approx([6, np.log10(3e8)])
    steps = np.diff(series.x[5:])
    assert steps.max() < 2.5 * steps.min()


def test_of_two_logs_of_one_run_the_fuller_gives_the_checkpoints() -> None:
    full = [{"model": f"run@step{k}", "tokens": k * 1e9, "step": k} for k in range(1, 9)]
    part = [{"model": f"a/run@step{k}", "tokens": k * 1e9, "step": k} for k in (1, 8)]
    rows = [row | {"params": 1e9, "value": row["step"] / 10} for row in full + part]
    series = by_axis(estimates(rows))["tokens"]
    assert series.slice == "checkpoints of run"
    assert series.x.size == 8


def test_an_untrained_checkpoint_does_not_spoil_the_thinning() -> None:
    rows = [
        {"model": f"m@step{step}", "params": 1e8, "step": step, "tokens": step * 1e6,
         "loss": 4.0 - step / 40, "value": step / 100}
        for step in range(40)
    ]  # fmt: skip
    found = by_axis(estimates(rows))["loss"].checkpoints
    assert found is not None
    assert 15 <= found.loss.size <= 24
    assert found.loss.min() == 4.0 - 39 / 40  # the ends of the run stay


def test_one_size_keeps_its_longest_trained_model_on_the_params_axis() -> None:
    frame = estimates(
        [
            {"model": name, "params": 1e8, "tokens": tokens, "flops": tokens, "value": value}
            for name, tokens, value in (("short", 1e9, 0.3), ("long", 4e9, 0.6))
        ]
    )
    found = by_axis(frame)
    assert found["params"].models == ("long",)
    assert found["flops"].models == ("short", "long")


def test_regimes_are_never_mixed() -> None:
    frame = estimates(
        [
            {"model": f"m{size:g} [{regime}]", "params": size, "regime": regime}
            for size in SIZES for regime in ("0-shot", "5-shot")
        ]
    )  # fmt: skip
    assert [series.regime for series in assemble(frame)] == ["0-shot", "5-shot"]
    assert all(series.x.size == 3 for series in assemble(frame))


def test_models_without_family_or_size_are_left_out() -> None:
    frame = estimates([{"model": "a", "family": None, "params": 1e9}, {"model": "b"}])
    assert assemble(frame) == []


def seeds(spread: float) -> pl.DataFrame:
    rows = [
        {"model": f"m{size:g}@seed{seed}", "params": size, "seed": seed, "metric": metric,
         "value": value * (1 + spread * (seed - 1)), "successes": successes}
        for size in SIZES for seed in range(3)
        for metric, value, successes in (("exact_match", 0.2, 20.0), ("target_log_loss", 1.0, None))
    ]  # fmt: skip
    return estimates(rows)


def test_seeds_are_merged_and_measure_the_noise() -> None:
    series = by_axis(seeds(0.1))["params"]
    assert (series.metric, series.partner) == ("exact_match", "target_log_loss")
    assert series.successes == pytest.approx([20.0] * 3)
    z = -np.log([0.9, 1.0, 1.1])
    assert series.z == pytest.approx([z.mean()] * 3)
    # 3 sizes of 3 seeds: 6 degrees of freedom, and a point is the mean of 3 runs
    assert TAU_FREEDOM == 6
    assert series.tau == pytest.approx(np.sqrt(z.var(ddof=1) / 3))


def test_one_run_under_three_names_measures_no_noise() -> None:
    assert by_axis(seeds(0.0))["params"].tau is None


def test_too_few_seeds_leave_the_noise_unknown() -> None:
    few = seeds(0.1).filter(pl.col("seed") < 2)
    assert by_axis(few)["params"].tau is None


def training(noise: float) -> pl.DataFrame:
    rng = np.random.default_rng(5)
    rows = [
        {"model": f"m{size:g}@step{step}", "params": size, "step": step, "tokens": step * 1e6,
         "metric": metric, "value": value, "successes": None}
        for size in 10.0 ** np.arange(7, 13) for step in range(10, 110, 10)
        for metric, value in (
            ("exact_match", 0.2),
            # z = -ln loss: a power law of size and steps, and noise
            ("target_log_loss", float(np.exp(-0.1 * np.log10(size) - 0.3 * np.log10(step)
                                             - noise * rng.standard_normal()))),
        )
    ]  # fmt: skip
    return estimates(rows)


def test_the_last_checkpoints_measure_the_noise() -> None:
    series = by_axis(training(0.05))["params"]
    assert series.tau_source == "last checkpoints"
    assert series.tau == pytest.approx(0.05, rel=0.5)
    still = by_axis(training(0.0))["params"]
    assert still.tau == pytest.approx(0.0, abs=1e-9)
    assert by_axis(training(0.05))["tokens"].tau is None


def test_a_tau_can_be_given() -> None:
    [series] = [one for one in assemble(training(0.05), tau=0.2) if one.axis == "params"]
    assert (series.tau, series.tau_source) == (0.2, "given")


def test_a_metric_can_be_named() -> None:
    rows = [
        {"model": f"m{size:g}", "params": size, "metric": metric, "value": value}
        for size in SIZES for metric, value in (("acc", 0.4), ("acc_norm", 0.6))
    ]  # fmt: skip
    assert by_axis(estimates(rows))["params"].metric == "acc"
    assert by_axis(estimates(rows), "acc_norm")["params"].rate == pytest.approx([0.6] * 3)
    with pytest.raises(UnknownNameError, match=r"no metric named .ac.; did you mean acc"):
        assemble(estimates(rows), "ac")


def test_falling_metrics_are_turned_round() -> None:
    rows = [
        {"model": f"m{size:g}", "params": size, "metric": "pct_stereotype", "value": 0.6,
         "successes": 60.0, "chance": 0.5}
        for size in SIZES
    ]  # fmt: skip
    series = by_axis(estimates(rows))["params"]
    assert series.rate == pytest.approx([0.4] * 3)
    assert series.successes == pytest.approx([40.0] * 3)
    assert series.chance == pytest.approx(0.5)


def test_a_metric_of_whole_sets_counts_by_its_effective_items() -> None:
    """A share from the U-statistic over subsets has the variance of as many plain items."""
    rows = [
        {"model": f"m{size:g}", "metric": "subset_accuracy@5", "params": size, "items": 1000,
         "value": value, "variance": variance, "successes": None, "chance": 1e-5}
        for size, value, variance in zip(
            SIZES, (0.0, 0.2, 1.0), (0.0, 0.2 * 0.8 / 640, 0.0), strict=True)
    ]  # fmt: skip
    series = by_axis(estimates(rows), "subset_accuracy@5")["params"]
    assert series.items == pytest.approx([200, 640, 200])  # at the ends: groups of five
    assert series.successes == pytest.approx([0, 128, 200])
    assert series.chance == pytest.approx(1e-5)


def test_effective_items_of_a_plain_share_are_its_items() -> None:
    rows = [
        {"model": "m", "metric": "pass@4", "params": 1e7, "items": 50, "value": 0.3,
         "variance": 0.3 * 0.7 / 50, "successes": None, "chance": 0.0}
    ]  # fmt: skip
    assert by_axis(estimates(rows), "pass@4")["params"].items == pytest.approx([50])


def test_one_token_per_item_is_coarse_for_errors_but_not_for_probabilities() -> None:
    def partner(name: str) -> str | None:
        rows = [
            {"model": f"m{size:g}", "metric": metric, "params": size, "value": value, "units": 100}
            for size in SIZES for metric, value in (("exact_match", 0.5), (name, 0.4))
        ]  # fmt: skip
        return by_axis(estimates(rows))["params"].partner

    assert partner("token_error_rate") is None
    assert partner("target_log_loss") == "target_log_loss"


def pairs(values: dict[str, list[float]], **facts: Any) -> pl.DataFrame:
    """Models of growing size with accuracy and a continuous metric each."""
    return estimates(
        [
            {"model": f"m{place}", "params": 10.0 ** (7 + place), "metric": metric, "value": value}
            | facts
            for metric, row in values.items() for place, value in enumerate(row)
        ]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "values", "lost"),
    [
        ("correct_choice_probability", [0.0, 0.3, 0.6, 1.0], ("m0", "m3")),
        ("correct_choice_probability", [0.2, 0.3, 0.6, 0.9], ()),
        ("choice_log_loss", [1.4, 0.8, 0.3, 0.0], ("m3",)),
        ("ppl", [1.0, 2.0, 1.5, 1.2], ("m0",)),
    ],
)
def test_values_off_the_link_scale_are_named(
    metric: str, values: list[float], lost: tuple[str, ...]
) -> None:
    series = by_axis(pairs({"acc": [0.2, 0.3, 0.6, 0.8], metric: values}))["params"]
    assert series.unplaced.models == lost
    assert series.unplaced.scales == len(lost)
    assert np.isnan(series.z).sum() == len(lost)


def test_a_run_off_the_link_scale_is_named_though_its_scale_keeps_another() -> None:
    rows = pairs({"acc": [0.2, 0.3], "correct_choice_probability": [0.3, 0.6]})
    twin = rows.filter(params=1e8).with_columns(
        model=pl.lit("m1@seed2"),
        value=pl.when(metric="correct_choice_probability").then(1.0).otherwise("value"),
    )
    series = by_axis(pl.concat([rows, twin]))["params"]
    assert (series.unplaced.models, series.unplaced.scales) == (("m1@seed2",), 0)
    assert np.isfinite(series.z).all()


def test_a_metric_without_a_link_never_stands_before_one_that_has_it() -> None:
    values = {"char_edit_distance": [3.0, 2.0], "char_error_rate": [0.5, 0.4]}
    # alone, the metrics stand in the order of their names; the distance covers more models too
    more = pairs({"char_edit_distance": [3.0, 2.0, 1.0], "char_error_rate": [0.5, 0.4]})
    for frame in (pairs(values), more):
        assert by_axis(frame)["params"].partner == "char_error_rate"
    assert by_axis(pairs({"char_edit_distance": [3.0, 2.0]}))["params"].partner is not None
    behind = {"multiple_choice_grade": [0.2, 0.3], "probability_margin": [0.1, 0.2]}
    beside = pairs(behind | {"choice_log_loss": [1.0]})
    assert by_axis(beside)["params"].partner == "choice_log_loss"
