"""BIG-bench's metrics against what its task_metrics.py says, item by item in plain loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from saltus.metrics.metric import METRICS, find
from saltus.metrics.score import score, score_sets
from strategies import logprobs, rows, texts

numerals = st.sampled_from(
    ["0", "-0", "12", "13.2", "-12", "-3e2", "nan", "inf", " 7 ", "1_0", "x"]
)
labels = st.lists(st.sampled_from(["B-PER", "O", "B-LOC", ""]), max_size=5).map(" ".join)
items = st.lists(
    st.lists(logprobs, min_size=2, max_size=6).flatmap(
        lambda c: st.tuples(st.just(c), st.integers(0, len(c) - 1))
    ),
    min_size=1,
    max_size=12,
)


def mean(name: str, frame: pl.DataFrame) -> float | None:
    """What a user sees as the metric's mean; every answer must have a value."""
    found = score(frame, [name])["value"]
    assert found.null_count() == 0
    value = found.mean()
    assert isinstance(value, float)
    return value


@settings(deadline=None)
@given(output=texts, targets=st.lists(texts, min_size=1, max_size=3))
def test_string_matches(output: str, targets: list[str]) -> None:
    frame = rows(output=[output], targets=[targets])
    assert mean("exact_str_match", frame) == float(output in targets)
    lower = [target.strip().lower() for target in targets]
    assert mean("case_insensitive_str_match", frame) == float(output.strip().lower() in lower)


def by_relative_error(output: str, target: str) -> float | None:
    """The quirk is BIG-bench's: the distance is divided by the target with its sign."""
    try:
        goal = float(target)
    except ValueError:
        return None
    try:
        given_number = float(output)
    except ValueError:
        return 0.0
    distance = abs(given_number - goal)
    return float((distance / goal if goal != 0 else distance) <= 0.1)


@given(output=numerals, target=numerals)
def test_numbers_within_a_tenth(output: str, target: str) -> None:
    found = score(rows(output=[output], targets=[[target]]), [
        "numeric_match_with_0_1_relative_error"
    ])  # fmt: skip
    wanted = None if target == "nan" else by_relative_error(output, target)
    assert found["value"].item() == wanted


def test_the_quirks_of_the_relative_error_are_named_and_avoidable() -> None:
    wrong = rows(output=["500"], targets=[["-2"]])
    near_zero = rows(output=["0.05"], targets=[["0"]])
    assert mean("numeric_match_with_0_1_relative_error", wrong) == 1.0
    assert mean("numeric_match_within_tenth", wrong) == 0.0
    assert mean("numeric_match_with_0_1_relative_error", near_zero) == 1.0
    assert mean("numeric_match_within_tenth", near_zero) == 0.0
    written = METRICS["numeric_match_with_0_1_relative_error"].function.__doc__ or ""
    assert "negative" in written


@given(output=labels, target=labels)
def test_sequence_f1_is_the_share_of_labels_in_place(output: str, target: str) -> None:
    goal = target.split(" ")
    said = (output.split(" ") + ["O"] * len(goal))[: len(goal)]
    wanted = 100 * np.mean([a == b for a, b in zip(said, goal, strict=True)])
    assert mean("sequence_f1", rows(output=[output], targets=[[target]])) == pytest.approx(wanted)


@settings(deadline=None)
@given(batch=items)
def test_choices_as_big_bench_means_them(batch: list[tuple[list[float], int]]) -> None:
    frame = rows(choice_logprobs=[c for c, _ in batch], target_index=[i for _, i in batch])
    absolute = [logs[right] for logs, right in batch]
    assert mean("weighted_log_probabilities", frame) == pytest.approx(np.mean(absolute))
    assert mean("weighted_probabilities", frame) == pytest.approx(np.mean(np.exp(absolute)))
    total, choices = 0.0, 0
    for logs, right in batch:
        for place, p in enumerate(softmax(logs)):
            total += (p - 1) ** 2 if place == right else p**2
            choices += 1
    found = score_sets(frame, ["calibration_multiple_choice_brier_score"])["value"].item()
    assert found == pytest.approx(total / choices)


def test_brier_over_choices_is_the_mean_where_all_items_have_as_many() -> None:
    rng = np.random.default_rng(0)
    logs, right = rng.normal(size=(50, 4)) - 3, rng.integers(0, 4, 50)
    frame = rows(choice_logprobs=logs.tolist(), target_index=right.tolist())
    found = score_sets(frame, ["calibration_multiple_choice_brier_score"]).row(0, named=True)
    alone = score(frame, ["brier_mean"])["value"]
    assert found["value"] == pytest.approx(alone.mean())
    assert found["variance"] == pytest.approx(alone.var() / 50)  # type: ignore[operator]
    assert found["chance"] == pytest.approx(0.1875)


def test_log_likelihoods_per_character_and_word() -> None:
    frame = rows(target_logprobs=[[-1.0, -2.0], [-3.0]], targets=[["ab cd"], ["x"]])
    assert mean("log_likelihood", frame) == pytest.approx(-3.0)
    assert mean("log_likelihood_per_char", frame) == pytest.approx((-3 / 5 - 3) / 2)
    assert mean("log_likelihood_per_word", frame) == pytest.approx((-3 / 2 - 3) / 2)


def test_rouge_lsum_takes_a_full_stop_between_blanks_as_the_end_of_a_line() -> None:
    frame = rows(output=["c d . a b"], targets=[["a b . c d"]])
    assert mean("rougeLsum", frame) == pytest.approx(100 * mean("rougeLsum_f", rows(
        output=["c d .\na b"], targets=[["a b .\nc d"]]
    )))  # fmt: skip
    assert mean("rougeLsum_f", frame) != pytest.approx(mean("rougeLsum", frame) / 100)


def test_bleu_of_a_set_is_that_of_intl_tokens() -> None:
    sacrebleu = pytest.importorskip("sacrebleu", reason="sacrebleu is an extra (bench)")
    outputs = ["the cat sat — on the mat", "「狗」 runs on grass"]
    targets = ["the cat sat — on a mat", "「狗」 runs over grass"]
    frame = rows(output=outputs, targets=[[target] for target in targets])
    for name, tokenizer in (("bleu", "13a"), ("bleu_intl", "intl"), ("bleu_char", "char")):
        theirs = sacrebleu.corpus_bleu(outputs, [targets], tokenize=tokenizer).score
        assert score_sets(frame, [name])["value"].item() == theirs


CITED: list[tuple[str, Any]] = [
    ("multiple_choice_grade", "measure_multiple_choice_grade"),
    ("exact_str_match", "exact_str_match_fn"),
    ("case_insensitive_str_match", "case_insensitive_str_match_fn"),
    ("numeric_match_with_0_1_relative_error", "numeric_match_with_0_1_relative_error_fn"),
    ("rouge1", "rouge_fn"), ("rouge2", "rouge_fn"), ("rougeLsum", "rouge_fn"),
    ("bleu_intl", "bleu_fn"), ("sequence_f1", "sequence_f1_fn"), ("macro_f1", "macro_f1_fn"),
    ("calibration_multiple_choice_brier_score", "measure_calibration_multiple_choice_brier_score"),
    ("expected_calibration_error", "measure_expected_calibration_error"),
    ("log_likelihood", "log_likelihood_fn"),
    ("weighted_log_probabilities", "measure_weighted_log_probabilities"),
    ("weighted_probabilities", "measure_weighted_probabilities"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "function"), CITED)
def test_the_source_names_file_and_function(name: str, function: str) -> None:
    entry = find(name)
    assert entry is not None
    assert "bigbench/api/task_metrics.py" in entry.source
    assert f"`{function}`" in entry.source


def test_the_grade_breaks_ties_by_their_expected_value() -> None:
    tied = rows(choice_logprobs=[[math.log(0.4), math.log(0.4), -3.0]], target_index=[1])
    assert mean("multiple_choice_grade", tied) == 0.5
