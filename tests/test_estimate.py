"""Scores and reported values to estimates."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saltus.estimates import recover
from saltus.estimates.estimate import estimate
from saltus.estimates.sequential import mixture_interval
from saltus.estimates.stopping import StoppingRule, stopped
from saltus.tables import Models, Reported, Scores, Stops, conform, empty

MODELS = conform(
    pl.DataFrame(
        {"model": ["m", "w"], "model_name": ["m", "w"], "family": "f", "params": [1e8, 1e9]}
    ),
    Models,
)


def scores(values: list[float | None], **columns: Any) -> pl.LazyFrame:
    frame = pl.DataFrame(
        {
            "model": "m",
            "task": "t",
            "item": [str(index) for index in range(len(values))],
            "sample": 0,
            "metric": "exact_match",
            "value": values,
        },
        schema_overrides={"value": pl.Float64},
    ).with_columns(**columns)
    reason = pl.when(pl.col("value").is_null()).then(pl.lit("no output"))
    return conform(frame.with_columns(missing=reason), Scores).lazy()


def one(frame: pl.LazyFrame) -> dict[str, Any]:
    rows = estimate(frame, empty(Reported), MODELS)
    assert rows.height == 1
    return rows.row(0, named=True)


def test_clustered_variance_of_the_worked_example() -> None:
    # science.md 3.15: clusters (1,1), (0,0,0), (1,1,1)
    frame = scores([1, 1, 0, 0, 0, 1, 1, 1], cluster=pl.Series(list("aabbbccc")))
    row = one(frame)
    assert row["value"] == pytest.approx(0.625)
    assert row["variance"] ** 0.5 == pytest.approx(0.288957, abs=1e-6)
    assert (row["clusters"], row["method"]) == (3, "cluster-robust t")
    naive = one(scores([1, 1, 0, 0, 0, 1, 1, 1]))
    assert naive["variance"] ** 0.5 == pytest.approx(0.182981, abs=1e-6)
    assert (naive["method"], naive["successes"]) == ("Beta(1,1)", 5)


def under_rule(values: list[float | None], cap: int, **columns: Any) -> dict[str, Any]:
    rule = pl.DataFrame(
        {"model": "m", "task": "t", "metric": "exact_match", "width": 0.3, "right": 3, "step": 10,
         "level": 0.95, "cap": cap}
    )  # fmt: skip
    frame = scores(values, **columns)
    rows = estimate(frame, empty(Reported), MODELS, stops=conform(rule, Stops))
    return rows.row(0, named=True)


def test_a_rule_that_stopped_makes_the_rate_unbiased() -> None:
    rule = StoppingRule(0.3, right=3, step=10)
    row = under_rule([1.0] * 3 + [0.0] * 17, 100)
    wanted = stopped(3, 20, rule, 100)
    assert row["value"] == wanted.rate != 3 / 20
    assert (row["low"], row["high"]) == pytest.approx((wanted.low, wanted.high))
    assert row["variance"] == wanted.variance
    assert (row["successes"], row["method"]) == (3, "exact under the stopping rule")


def test_variants_of_one_item_lengthen_the_arms_under_a_rule() -> None:
    twins = pl.Series([str(n // 2) for n in range(20)])
    wanted = stopped(4, 20, StoppingRule(0.3, right=3, step=10), 100)
    row = under_rule([1.0] * 4 + [0.0] * 16, 100, cluster=twins)
    effect = (4 * 16 / 20**3 * 2) / (4 / 20 * 16 / 20 / 19)  # clusters of two equal answers
    assert row["variance"] == pytest.approx(effect * wanted.variance)
    arm = effect**0.5 * (wanted.high - wanted.rate)
    assert row["high"] == pytest.approx(wanted.rate + arm)


def test_an_end_that_the_rule_cannot_reach_keeps_its_plain_mean() -> None:
    row = under_rule([1.0] * 13 + [0.0] * 7, 100)  # at most 2 of the first 10, then at most 10
    assert row["value"] == 13 / 20
    wanted = mixture_interval(13, 20, 0.95)  # holds however it stopped
    assert (row["low"], row["high"]) == pytest.approx((float(wanted.low), float(wanted.high)))
    assert row["method"] == "confidence sequence"
    assert under_rule([1.0] * 4 + [0.0] * 40, 30)["value"] == 4 / 44  # beyond the cap


def test_missing_is_missing_and_never_zero() -> None:
    few = one(scores([1.0] * 60 + [0.0] * 39 + [None]))
    assert few["value"] == pytest.approx(60 / 99)
    assert (few["items"], few["missing_items"]) == (99, 1)
    many = one(scores([1.0] * 9 + [None]))
    assert many["value"] is None
    assert many["low"] is None
    assert many["missing"] == "1 of 10 items have no value (no output)"
    none = one(scores([None, None]))
    assert (none["value"], none["missing"]) == (None, "no item has a value: no output")


def test_repeated_answers_are_averaged_within_their_item() -> None:
    frame = pl.concat([scores([1, 0, 1]), scores([0, 0, 1], sample=pl.lit(1))])
    row = one(frame)
    assert (row["items"], row["successes"]) == (3, None)
    assert row["variance"] == pytest.approx(np.var([0.5, 0, 1], ddof=1) / 3)


def test_all_equal_scores_get_an_exact_interval() -> None:
    row = one(scores([0.0] * 100))
    assert (row["value"], row["low"]) == (0.0, pytest.approx(0.000251, abs=1e-6))
    assert row["high"] == pytest.approx(0.0359, abs=1e-4)
    graded = one(scores([0.5] * 10, metric=pl.lit("word_error")))
    assert graded["value"] == 0.5
    assert graded["low"] is None
    assert graded["method"] is None


@given(st.permutations(range(12)))
def test_the_order_of_rows_does_not_matter(order: list[int]) -> None:
    values = [float(index % 3 == 0) for index in range(12)]
    frame = scores(values, cluster=pl.Series([str(index // 4) for index in range(12)]))
    shuffled = frame.collect()[list(order)].lazy()
    assert one(shuffled) == pytest.approx(one(frame))


def reported(rows: list[dict[str, Any]]) -> pl.DataFrame:
    base = {"model": "m", "task": "t", "metric": "acc"}
    return conform(pl.DataFrame([base | row for row in rows], infer_schema_length=None), Reported)


def stderr(successes: int, items: int) -> float:
    rate = successes / items
    return float(np.sqrt(rate * (1 - rate) / (items - 1)))


@given(st.integers(2, 15_000).flatmap(lambda n: st.tuples(st.integers(1, n - 1), st.just(n))))
def test_sizes_come_back_from_value_and_standard_error(pair: tuple[int, int]) -> None:
    successes, items = pair
    rows = reported([{"value": successes / items, "stderr": stderr(successes, items)}])
    row = recover.recovered(rows).row(0, named=True)
    assert (row["items"], row["successes"]) == (items, successes)
    assert row["items_method"] == recover.RECOVERED


def test_what_cannot_be_proven_is_flagged_and_not_believed() -> None:
    rows = reported(
        [
            {"task": "a", "value": 0.37, "stderr": 0.0},
            {"task": "b", "value": 0.37, "stderr": 0.021},
            {"task": "c", "value": 0.3712, "items": 100},
            {"task": "d", "value": 0.37},
        ]
    )
    found = recover.recovered(rows).sort("task")
    assert found["items"].to_list() == [None] * 4
    assert found["successes"].to_list() == [None] * 4
    assert found["items_method"].to_list() == [
        recover.ZERO_STDERR,
        recover.NOT_WHOLE,
        recover.NOT_COUNTS,
        recover.UNSTATED,
    ]


def test_one_whole_number_by_luck_does_not_save_a_stated_size_that_others_refute() -> None:
    values = [0.0, 5 / 20, 0.3712, 0.4423, 0.1234]  # averages of categories, said to be of 20 items
    rows = reported([{"model": str(k), "value": v, "items": 20} for k, v in enumerate(values)])
    found = recover.recovered(rows).sort("model")
    assert found["items"].to_list() == [None] * 5
    assert found["items_method"].to_list() == [recover.REFUTED] * 2 + [recover.NOT_COUNTS] * 3
    most = [0.0, 5 / 20, 6 / 20, 7 / 20, 0.1234]  # one damaged value refutes itself alone
    rows = reported([{"model": str(k), "value": v, "items": 20} for k, v in enumerate(most)])
    assert recover.recovered(rows).sort("model")["items"].to_list() == [20] * 4 + [None]


def test_a_zero_takes_its_size_from_the_other_models_of_the_task() -> None:
    rows = reported(
        [
            {"value": 0.0, "stderr": 0.0},
            {"model": "w", "value": 40 / 1172, "stderr": stderr(40, 1172)},
        ]
    )
    found = recover.recovered(rows).sort("model")
    assert found["items"].to_list() == [1172, 1172]
    assert found["successes"].to_list() == [0, 40]
    assert found["items_method"][0] == recover.SIBLING


def test_sizes_from_a_common_denominator() -> None:
    values = [264 / 1050, 301 / 1050, 680 / 1050]
    rows = reported([{"model": str(k), "value": v} for k, v in enumerate(values)])
    assert set(recover.recovered(rows)["items"]) == {1050}
    rounded = reported([{"model": str(k), "value": round(v, 4)} for k, v in enumerate(values)])
    assert set(recover.recovered(rounded)["items"]) == {None}


def test_values_outside_the_bounds_are_left_out_with_the_reason() -> None:
    frame = estimate(empty(Scores).lazy(), reported([{"value": 37.0, "stderr": 1.0}]), MODELS)
    row = frame.row(0, named=True)
    assert row["value"] is None
    assert "outside the metric's bounds [0" in row["missing"]


def test_a_reported_value_stands_beside_our_own() -> None:
    rows = reported([{"metric": "exact_match", "value": 0.25, "stderr": stderr(1, 4)}])
    frame = estimate(scores([1, 1, 0, 0]), rows, MODELS)
    assert dict(frame.select("metric", "value").rows()) == {
        "exact_match": 0.5,
        "exact_match,reported": 0.25,
    }
