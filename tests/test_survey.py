from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from saltus.estimates.emergence import emergence
from saltus.estimates.multiplicity import benjamini_yekutieli
from saltus.tables import Estimates, conform, empty
from saltus.verdicts.survey import Survey, annotate, survey
from shared import SHARED, needs_shared

RISING = [0.0, 0.01, 0.0, 0.01, 0.02, 0.03, 0.4, 0.8]


def series(task: str, metric: str, values: list[float], **facts: object) -> pl.DataFrame:
    """Estimates of one triplet at 1e7, 1e8, ... parameters."""
    family = facts.pop("family", "made-up")
    rows = {
        "model": [f"{family}-{index}" for index in range(len(values))],
        "family": family,
        "task": task,
        "metric": metric,
        "params": [10.0 ** (7 + index) for index in range(len(values))],
        "value": values,
        **facts,
    }
    return conform(pl.DataFrame(rows), Estimates)


def counted(values: list[float], items: int) -> dict[str, object]:
    rates = np.array(values)
    return {
        "items": items,
        "successes": np.round(rates * items),
        "variance": rates * (1 - rates) / items,
    }


@pytest.fixture(scope="module")
def small() -> Survey:
    flat = [0.25, 0.26, 0.24, 0.25, 0.27, 0.25, 0.24, 0.26]
    falling_errors = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2]
    frames = [
        series("sums", "exact_match", RISING, **counted(RISING, 2000)),
        series("sums", "token_error_rate", falling_errors, variance=0.0001),
        series("quiz", "multiple_choice_grade", flat, **counted(flat, 500)),
        series("quiz", "homemade score", flat),
        series("short", "exact_match", [0.1, 0.7]),
        series("single", "exact_match", [0.1]),
    ]
    return survey(pl.concat(frames), np.random.default_rng(0), draws=499)


def row(found: Survey, task: str, metric: str) -> dict[str, object]:
    return found.triplets.row(
        by_predicate=(pl.col("task") == task) & (pl.col("metric") == metric), named=True
    )


def test_scores_of_each_triplet(small: Survey) -> None:
    sums = row(small, "sums", "exact_match")
    assert sums["score"] == pytest.approx(emergence([RISING]).score[0])
    assert (sums["class"], sums["scales"], sums["items"]) == ("thresholded", 8, 2000)
    assert (sums["p_method"], sums["gain"]) == ("binomial", 0.8)
    errors = row(small, "sums", "token_error_rate")  # lower is better
    assert errors["score"] == pytest.approx(7)
    assert (errors["class"], errors["p_method"]) == ("linear", "gaussian")
    assert errors["gain"] == pytest.approx(0.7)
    unknown = row(small, "quiz", "homemade score")
    assert (unknown["class"], unknown["p_method"]) == (None, "permutation")
    assert unknown["p"] == unknown["p_permutation"]
    assert row(small, "quiz", "multiple_choice_grade")["p"] > 0.05
    assert sums["p"] < 0.05


def test_too_short_series_have_no_p(small: Survey) -> None:
    single = row(small, "single", "exact_match")
    assert (single["score"], single["p"], single["p_method"]) == (None, None, None)
    assert row(small, "short", "exact_match")["score"] == 1


def test_adjusted_over_all_triplets_with_a_p(small: Survey) -> None:
    p = small.triplets["p"]
    expected = benjamini_yekutieli(p.fill_null(np.nan).to_numpy())
    np.testing.assert_array_equal(small.triplets["by"].fill_null(np.nan).to_numpy(), expected)
    assert p.null_count() == 1


def test_counts_per_metric_and_per_use(small: Survey) -> None:
    cut = small.metrics.filter(pl.col("criterion") == "score > 5")
    # the triplet of one scale has no score: no use of the metric that failed to be emergent
    assert cut["triplets"].sum() == small.triplets.height - 1
    assert small.triplets["score"].null_count() == 1
    exact = cut.row(by_predicate=pl.col("metric") == "exact_match", named=True)
    assert (exact["triplets"], exact["emergent"], exact["per_use"]) == (2, 1, 0.5)
    assert exact["share"] == 0.5  # the error rate is the other
    none = small.metrics.filter(pl.col("criterion") == "score > 100")
    assert none["share"].null_count() == none.height


def test_infinite_scores_are_flagged_where_they_are_counted() -> None:
    frame = series("floor", "exact_match", [0.0] * 6 + [0.05], **counted([0.0] * 6 + [0.05], 20))
    found = survey(frame, np.random.default_rng(0), 199)
    assert row(found, "floor", "exact_match")["degenerate"] is True
    assert found.metrics.filter(pl.col("criterion") == "score > 100")["degenerate"].to_list() == [1]
    assert row(found, "floor", "exact_match")["p"] > 0.05


def grid(thresholded_jumps: bool, seed: int = 1) -> pl.DataFrame:
    """Forty tasks under a thresholded and a linear metric; the jump is in one or in both."""
    rng = np.random.default_rng(seed)
    frames = []
    for task in range(40):
        jumps = task % 2 == 0
        for metric, sign in (("exact_match", 1), ("token_error_rate", -1)):
            noise = 0.01 * rng.standard_normal(8)
            sharp = jumps and (metric == "exact_match" or not thresholded_jumps)
            curve = np.array(RISING) if sharp else np.linspace(0.1, 0.5, 8)
            value = np.clip(curve + noise, 0, 1)
            frames.append(series(f"t{task}", metric, (value if sign > 0 else 1 - value).tolist()))
    return pl.concat(frames)


def test_emergence_that_follows_the_metric_is_found() -> None:
    found = survey(grid(thresholded_jumps=True), np.random.default_rng(2), 299)
    cut = found.tests.row(by_predicate=pl.col("criterion") == "score > 25", named=True)
    assert cut["p_within_task"] < 0.01
    assert cut["odds_ratio"] is not None
    assert cut["odds_ratio"] > 5


def test_emergence_that_follows_the_task_is_not_laid_on_the_metric() -> None:
    found = survey(grid(thresholded_jumps=False), np.random.default_rng(2), 299)
    cut = found.tests.row(by_predicate=pl.col("criterion") == "score > 25", named=True)
    assert cut["emergent"] > 10
    assert cut["p_within_task"] > 0.05
    # tasks in which both metrics jump tell nothing, so few or no strata are left
    assert cut["p_odds"] is None or cut["p_odds"] > 0.05


def test_the_order_of_rows_does_not_matter() -> None:
    frame = grid(thresholded_jumps=True)
    one = survey(frame, np.random.default_rng(3), 99)
    two = survey(frame.sample(fraction=1, shuffle=True, seed=4), np.random.default_rng(3), 99)
    assert one.triplets.equals(two.triplets)
    assert one.metrics.equals(two.metrics)
    assert one.tests.equals(two.tests)


def test_last_checkpoints_only_and_seeds_merged() -> None:
    base = series("t", "exact_match", [0.1, 0.2, 0.3])
    at = {number: pl.lit(number, pl.Int64) for number in (1, 5, 9)}
    early = base.with_columns(pl.col("model") + "@step5", step=at[5], value=pl.lit(0.9))
    late = base.with_columns(pl.col("model") + "@step9", step=at[9])
    other = base.with_columns(
        pl.col("model") + "@step9@seed1", pl.col("value") + 0.02, step=at[9], seed=at[1]
    )
    found = survey(pl.concat([early, late, other]), np.random.default_rng(0), 99)
    assert found.triplets["scales"].to_list() == [3]
    assert found.triplets["gain"][0] == pytest.approx(0.2)


def test_sizes_trained_for_several_lengths_keep_the_longest() -> None:
    short = series("t", "exact_match", [0.1, 0.2, 0.3], tokens=1e9)
    long = series("t", "exact_match", [0.3, 0.5, 0.9], tokens=2e9).with_columns(
        model=pl.col("model") + " long"
    )
    found = survey(pl.concat([short, long]), np.random.default_rng(0), 99)
    assert found.triplets["gain"][0] == pytest.approx(0.6)


def test_missing_values_families_and_an_empty_table() -> None:
    rng = np.random.default_rng(0)
    nothing = survey(empty(Estimates), rng, 99)
    assert nothing.triplets.is_empty()
    assert nothing.metrics.is_empty()
    assert nothing.tests["emergent"].to_list() == [0] * 6
    frame = series("t", "exact_match", [0.1, None, float("nan"), 0.4])
    stray = frame.with_columns(family=pl.lit(None, pl.String))
    found = survey(pl.concat([frame, stray]), rng, 99)
    assert found.triplets["scales"].to_list() == [2]


def test_annotations_match_whatever_the_spelling() -> None:
    names = ["hendrycksTest-college_physics", "bigbench_odd_one_out", "Odd one-out", "piqa"]
    triplets = pl.DataFrame({"task": names})
    hand = pl.DataFrame(
        {"task": ["college_physics", "odd one out", "odd one out"], "size": ["70B", "8B", "13B"]}
    )
    found = annotate(triplets, hand, "size")
    assert found["task"].to_list() == names
    assert found["size"].to_list() == ["70B", "13B; 8B", "13B; 8B", None]


def pythia() -> pl.DataFrame:
    table = pl.read_csv(
        SHARED / "data" / "pythia" / "pythia_evals.csv.gz", infer_schema_length=None
    ).filter(pl.col("shots") == 0)
    accuracy = pl.col("metric").str.starts_with("acc")
    return conform(
        table.select(
            pl.format("{}@step{}", "model", "step").alias("model"),
            pl.lit("pythia").alias("family"),
            pl.col("params", "tokens").cast(pl.Float64),
            pl.col("step", "task", "metric", "value"),
            (pl.col("stderr") ** 2).alias("variance"),
            pl.col("n_items").cast(pl.Int64).alias("items"),
            pl.when(accuracy)
            .then((pl.col("value") * pl.col("n_items")).round())
            .alias("successes"),
        ),
        Estimates,
    )


@needs_shared
def test_pythia() -> None:
    found = survey(pythia(), np.random.default_rng(0), 499)
    assert found.triplets["scales"].unique().to_list() == [8]  # 27 checkpoints: the last only
    lambada = row(found, "lambada_openai", "acc")
    assert lambada["p_method"] == "binomial"
    # computed apart, from the eight final values
    assert lambada["score"] == pytest.approx(11.355932, abs=1e-6)
    assert row(found, "lambada_openai", "ppl")["score"] == pytest.approx(75.686968, abs=1e-6)
    hand = pl.read_csv(SHARED / "data" / "wei_emergent" / "emergent_first_size.csv")
    joined = annotate(found.triplets, hand, "first_emergent_size")
    matched = joined.filter(pl.col("first_emergent_size").is_not_null())
    assert matched["task"].n_unique() == 50  # all of the annotated MMLU tasks
    # Pythia is too small for MMLU: the hand-marked tasks are not emergent here
    assert (matched["by"] > 0.05).all()


@needs_shared
def test_observational_scaling_collection() -> None:
    folder = SHARED / "data" / "obscaling"
    facts = pl.read_csv(folder / "base_llm_benchmark_eval.csv").select(
        "Model", family="Model Family", params=pl.col("Model Size (B)") * 1e9
    )
    wide = pl.read_csv(folder / "base_llm_emergent_capability_eval.csv").join(facts, on="Model")
    long = wide.unpivot(index=["Model", "family", "params"], variable_name="name")
    parts = pl.col("name").str.extract_groups(r"^(?<task>.+)_(?<metric>acc|exact_match|bleu)$")
    frame = long.with_columns(parts.alias("parts")).unnest("parts")
    estimates = conform(
        frame.select("family", "params", "task", "metric", "value", model="Model"), Estimates
    )
    found = survey(estimates, np.random.default_rng(0), 199)
    assert set(found.triplets["p_method"].drop_nulls()) == {"permutation"}  # no errors given
    assert found.triplets.filter(pl.col("metric") == "bleu")["class"].unique().to_list() == [
        "nonlinear"
    ]
    counts = found.metrics.filter(pl.col("criterion") == "score > 5")
    assert counts["triplets"].sum() == found.triplets["score"].count() < found.triplets.height
    assert counts["emergent"].sum() < found.triplets.height / 2
