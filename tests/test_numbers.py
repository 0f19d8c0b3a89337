"""Numbers, bytes, ids, prefixes, likelihoods: the smaller entries of the catalogue."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saltus.metrics.metric import METRICS, find
from saltus.metrics.numbers import number
from saltus.metrics.score import score
from strategies import logprobs, rows

BIG_BENCH = (
    "multiple_choice_grade", "exact_str_match", "case_insensitive_str_match",
    "numeric_match_with_0_1_relative_error", "rouge1", "rouge2", "rougeLsum", "bleu",
    "sequence_f1", "macro_f1", "bleurt", "bleurt_diff",
    "calibration_multiple_choice_brier_score", "expected_calibration_error", "log_likelihood",
    "weighted_log_probabilities", "weighted_probabilities", "normalized_aggregate_score",
)  # fmt: skip


def one(name: str, **columns: object) -> float | None:
    frame = rows(**{column: [value] for column, value in columns.items()})
    value: float | None = score(frame, [name])["value"].item()
    return value


@pytest.mark.parametrize("name", BIG_BENCH)
def test_every_big_bench_metric_is_known(name: str) -> None:
    assert find(name) is not None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,234.5", 1234.5), (" $18 ", 18.0), ("-3", -3.0), ("50%", 50.0), ("3/4", 0.75),
        ("12 apples", 12.0), ("1e3", 1000.0), ("−2", -2.0), ("18.", 18.0), ("1,2", math.nan),
        ("x = 3", math.nan), ("", math.nan), ("1/0", math.nan), ("3 big apples", math.nan),
    ],
)  # fmt: skip
def test_texts_that_are_numbers(text: str, value: float) -> None:
    assert number(text) == pytest.approx(value, nan_ok=True)


@pytest.mark.parametrize(
    ("output", "target", "same", "near", "error"),
    [
        ("18", "18.0", 1, 1, 0.0), ("109", "100", 0, 1, 0.09), ("111", "100", 0, 0, 0.11),
        ("-100", "100", 0, 0, 1.0), ("0", "0", 1, 1, 0.0), ("0.01", "0", 0, 0, 1.0),
        ("so 18", "18", 0, 0, 1.0),
    ],
)  # fmt: skip
def test_numbers_are_compared_as_numbers(
    output: str, target: str, same: float, near: float, error: float
) -> None:
    given_texts = {"output": output, "targets": [target]}
    assert one("numeric_match", **given_texts) == same
    assert one("numeric_match_within_tenth", **given_texts) == near
    assert one("numeric_relative_error", **given_texts) == pytest.approx(error)


def test_a_target_that_is_no_number_leaves_nothing_to_compare() -> None:
    found = score(rows(output=["4"], targets=[["four"]]), ["numeric_match"])
    assert found["missing"].to_list() == ["no target is a number"]


def test_bytes_and_ids() -> None:
    assert one("byte_edit_distance", output="naïve", targets=["naive"]) == 2.0
    assert one("char_edit_distance", output="naïve", targets=["naive"]) == 1.0
    assert one("byte_error_rate", output="ab", targets=["abcd"]) == 0.5
    assert one("id_edit_distance", output="[464, 3797]", targets=["464 3797 12"]) == 1.0
    assert one("byte_error_rate", output="ab", targets=[""]) is None


def test_prefixes_of_words() -> None:
    assert one("prefix_accuracy", output="a b x d", targets=["a b c d"]) == 0.5
    assert one("prefix_accuracy", output="x b c d", targets=["a b c d"]) == 0.0
    assert one("prefix_accuracy", output="a b", targets=["z", "a b c d"]) == 0.5
    assert one("prefix_accuracy", output="a b c d e", targets=["a b c d"]) == 1.0


def test_quotes_around_a_literal() -> None:
    assert one("exact_match_unquoted", output='"yes "', targets=["'yes '"]) == 1.0
    assert one("exact_match_unquoted", output="yes", targets=["'yes'"]) == 1.0
    assert one("exact_match_unquoted", output="'", targets=["''"]) == 0.0


def test_likelihoods_by_hand() -> None:
    logs = [math.log(0.5), math.log(0.25)]
    assert one("target_log_likelihood", target_logprobs=logs) == pytest.approx(math.log(0.125))
    assert one("target_probability", target_logprobs=logs) == pytest.approx(0.125)
    assert one("prefix_survival", target_logprobs=logs) == pytest.approx((0.5 + 0.125) / 2)
    per_byte = one("target_log_loss_per_byte", target_logprobs=logs, target_bytes=4)
    assert per_byte == pytest.approx(-math.log(0.125) / 4)
    per_character = one("target_log_loss_per_character", target_logprobs=logs, targets=["né"])
    assert per_character == pytest.approx(-math.log(0.125) / 2)


@settings(max_examples=50, deadline=None)
@given(batch=st.lists(st.lists(logprobs, min_size=1, max_size=6), min_size=1, max_size=5))
def test_survival_agrees_with_a_loop_and_lies_above_the_whole(batch: list[list[float]]) -> None:
    frame = rows(target_logprobs=batch)
    survival = score(frame, ["prefix_survival"])["value"].to_list()
    whole = score(frame, ["target_probability"])["value"].to_list()
    wanted = [float(np.exp(np.cumsum(logs)).mean()) for logs in batch]
    assert survival == pytest.approx(wanted, rel=1e-12)
    assert all(one >= all_of_it - 1e-15 for one, all_of_it in zip(survival, whole, strict=True))


def test_choices_by_hand() -> None:
    # Schaeffer et al. 2024: p^Vocab .020 .015 .010 .005, right the first
    right = {"choice_logprobs": np.log([0.020, 0.015, 0.010, 0.005]).tolist(), "target_index": 0}
    assert one("correct_answer_probability", **right) == pytest.approx(0.020)
    assert one("probability_margin", **right) == pytest.approx(0.4 - 0.3)
    assert one("soft_log_prob", **right) == pytest.approx(math.log(0.4))
    assert one("weighted_probabilities", **right) == pytest.approx(0.020)  # among all strings
    assert one("weighted_log_probabilities", **right) == pytest.approx(math.log(0.020))
    sure = {"choice_logprobs": [0.0, -math.inf], "target_index": 0}
    assert one("probability_margin", **sure) == 1.0


def test_the_first_metrics_are_where_verdicts_look_first() -> None:
    # a verdict takes the first thresholded metric at hand, so the order is part of the contract
    names = [entry.name for entry in METRICS if entry.reaction == "thresholded"]
    order = ["multiple_choice_grade", "exact_match", "contains", "numeric_match", "acc"]
    assert [name for name in names if name in order] == order
    assert names[-1] == "answer_extracted"
