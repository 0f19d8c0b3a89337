"""Laws that every metric of the registry keeps."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from saltus.errors import SaltusError, UnknownNameError
from saltus.metrics.groups import Groups
from saltus.metrics.metric import METRICS, Metric, Ragged, Values, find, metric
from saltus.metrics.score import applicable, argument, batch_of, compute, score
from saltus.tables import Responses, Scores, schema
from strategies import answers, needs_its_extra, rows, texts

COMPUTED = [entry for entry in METRICS if entry.function and entry.kind == "answer"]

every = pytest.mark.parametrize("entry", list(METRICS), ids=lambda entry: entry.name)
computed = pytest.mark.parametrize("entry", COMPUTED, ids=lambda entry: entry.name)
NAMES = [entry.name for entry in COMPUTED]
CHOICES = {"choice_logprobs", "target_index"}

PERFECT = rows(
    output=["the cat sat", "7 dogs"],
    targets=[["the cat sat"], ["7 dogs", "8 dogs"]],
    target_index=[0, 2],
    choice_logprobs=[[-0.0, -math.inf], [-math.inf, -math.inf, -1e-12]],
    choice_bytes=[[3, 4], [1, 1, 1]],
    target_logprobs=[[-1e-12, 0.0], [-1e-12]],
    target_bytes=[11, 6],
)


# ---- facts


@every
def test_facts_are_complete(entry: Metric) -> None:
    assert entry.unit
    assert entry.source
    assert entry.better in ("higher", "lower")
    low, high = entry.bounds
    assert low is None or high is None or low < high
    if entry.binary:
        assert entry.bounds == (0.0, 1.0)
    if entry.link in ("error_rate", "identity"):
        assert low is not None or isinstance(entry.chance, float)
        assert high is not None
    if entry.link == "logit":
        assert entry.bounds == (0.0, 1.0)
    if entry.link == "brier":
        assert entry.chance != "none"
    assert entry.function is None or entry.summary.endswith(".")


@every
def test_a_thresholded_metric_names_continuous_partners(entry: Metric) -> None:
    assert bool(entry.partners) == (entry.reaction == "thresholded" and entry.judged)
    for name in entry.partners:
        assert METRICS[name].reaction == "continuous"
    assert entry.reaction == "continuous" or entry.link is None


def test_names_and_aliases_are_unique_and_found() -> None:
    names = [name for entry in METRICS for name in (entry.name, *entry.aliases)]
    assert [name for name, count in Counter(map(str.casefold, names)).items() if count > 1] == []
    for entry in METRICS:
        for name in (entry.name, *entry.aliases):
            assert find(name) is entry
            assert find(f" {name.upper()},none") is entry


@pytest.mark.parametrize(
    ("given_name", "name"),
    [
        ("acc,none", "acc"),
        ("exact_match,flexible-extract", "exact_match"),
        ("Exact-Match", "exact_match"),
        ("soft_prob", "correct_choice_probability"),
        ("brier_score", "brier_sum"),
        ("bpb", "bits_per_byte"),
        ("perplexity", "ppl"),
        ("acc_len_norm", "acc_norm"),
    ],
)
def test_harness_names_are_found(given_name: str, name: str) -> None:
    entry = find(given_name)
    assert entry is not None
    assert entry.name == name


def test_an_unknown_name_stays_unknown() -> None:
    assert find("bleurt_diff_of_tuesday") is None
    assert find("") is None


def test_an_argument_that_is_no_column_is_refused() -> None:
    def odd(outputs: list[str]) -> Values:
        raise NotImplementedError

    with pytest.raises(SaltusError, match="'odd': no column outputs"):
        metric(unit="", better="higher", bounds=(0, 1), reaction="continuous", source="")(odd)
    assert "odd" not in METRICS


@computed
def test_needs_are_columns(entry: Metric) -> None:
    assert entry.needs
    assert set(entry.needs) <= set(schema(Responses))


# ---- values


@computed
def test_a_perfect_answer_has_the_best_value(entry: Metric) -> None:
    needs_its_extra(entry.name)
    numeric = rows(output=["12", "-7.5"], targets=[["12"], ["-7.5", "8"]])
    found = score(numeric if entry.name.startswith("numeric") else PERFECT, [entry.name])
    if entry.name == "choice_margin":  # a margin over probability 0 has no end
        assert found["missing"].to_list() == ["the value is infinite"] * 2
        return
    best = entry.bounds[1 if entry.better == "higher" else 0]
    assert found["value"].to_list() == pytest.approx([best, best], abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(frame=answers())
def test_values_are_in_bounds_or_missing_with_a_reason(frame: pl.DataFrame) -> None:
    found = score(frame, NAMES)
    assert found.height == frame.height * len(NAMES)
    assert found.schema == schema(Scores)
    for row in found.iter_rows(named=True):
        low, high = METRICS[row["metric"]].bounds
        assert (row["value"] is None) == (row["missing"] is not None)
        if row["value"] is not None:
            assert math.isfinite(row["value"])
            assert low is None or row["value"] >= low
            assert high is None or row["value"] <= high + 1e-12
            assert row["units"] is None or row["units"] >= 0


@settings(max_examples=60, deadline=None)
@given(frame=answers(), data=st.data())
def test_the_order_of_items_does_not_matter(frame: pl.DataFrame, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(frame.height)))
    found = score(frame, NAMES).sort("metric", "item")
    shuffled = score(frame[order], NAMES).sort("metric", "item")
    assert_frame_equal(shuffled, found, check_exact=True)


@settings(max_examples=20, deadline=None)
@given(frame=answers(max_size=4))
def test_batches_and_repeats_do_not_matter(frame: pl.DataFrame) -> None:
    whole = score(frame, NAMES).sort("metric", "item")
    parts = pl.concat(score(frame[item], NAMES) for item in range(frame.height))
    assert_frame_equal(parts.sort("metric", "item"), whole, check_exact=True)
    twice = score(pl.concat([frame, frame]), NAMES).sort("metric", "item")
    assert_frame_equal(twice, pl.concat([whole, whole]).sort("metric", "item"), check_exact=True)


@computed
def test_what_is_absent_is_missing_with_a_reason(entry: Metric) -> None:
    for name in entry.needs:
        found = score(PERFECT.with_columns(pl.lit(None).alias(name)), [entry.name])
        assert found["value"].null_count() == 2
        assert found["missing"].null_count() == 0


@computed
def test_an_empty_batch_has_no_scores(entry: Metric) -> None:
    assert score(PERFECT.clear(), [entry.name]).height == 0


# ---- score


def test_default_metrics_are_those_that_the_columns_allow() -> None:
    assert [entry.name for entry in applicable(rows(output=["a"], targets=[["a"]]))] == [
        "exact_match", "contains", "char_error_rate", "token_error_rate", "word_edit_distance",
        "word_accuracy",
    ]  # fmt: skip
    choices = rows(choice_logprobs=[[-1.0, -2.0]], target_index=[0])
    names = [entry.name for entry in applicable(choices)]
    assert names == ["multiple_choice_grade", "correct_choice_probability", "brier_sum"]


def test_a_metric_is_scored_on_the_tasks_that_have_its_columns() -> None:
    free = rows(output=["a", None], targets=[["a"], ["b"]])
    choices = rows(choice_logprobs=[[-1.0, -2.0]], target_index=[0]).with_columns(task=pl.lit("c"))
    found = score(pl.concat([free, choices]))
    tasks = found.group_by("metric").agg(pl.col("task").unique())
    assert dict(tasks.iter_rows())["exact_match"] == ["t"]
    assert dict(tasks.iter_rows())["multiple_choice_grade"] == ["c"]
    exact = found.filter(metric="exact_match")
    assert exact["value"].to_list() == [1.0, None]
    assert exact["missing"].to_list() == [None, "no output"]


def test_a_task_without_any_output_is_missing_and_not_forgotten() -> None:
    found = score(rows(output=[None, None], targets=[["a"], ["b"]]))
    assert found.filter(metric="exact_match")["missing"].to_list() == ["no output"] * 2


def test_unknown_and_reported_metrics_are_refused_with_a_hint() -> None:
    with pytest.raises(UnknownNameError, match="did you mean exact_match"):
        score(PERFECT, ["exact_mach"])
    with pytest.raises(SaltusError, match="'acc' is only known as a number that files report"):
        score(PERFECT, ["acc"])
    with pytest.raises(SaltusError, match="only known as a number that files report"):
        METRICS["acc"].compute()


def test_a_metric_named_twice_is_scored_once() -> None:
    assert score(PERFECT, ["exact_match", "em"]).height == 2


def chances(frame: pl.DataFrame, name: str) -> list[float | None]:
    return score(frame, [name])["chance"].to_list()


def test_chance_of_choices_follows_their_number() -> None:
    frame = rows(choice_logprobs=[[-1.0] * 4, [-1.0] * 2, None], target_index=[0, 0, 0])
    assert chances(frame, "multiple_choice_grade") == [0.25, 0.5, None]
    assert chances(frame, "brier_sum") == [0.75, 0.5, None]
    assert chances(frame, "brier_mean") == [0.1875, 0.25, None]  # Du et al., appendix C
    assert chances(frame, "choice_log_loss")[:2] == pytest.approx([math.log(4), math.log(2)])
    assert chances(frame, "choice_margin") == [None] * 3


def test_an_even_guess_scores_the_chance_level() -> None:
    frame = rows(choice_logprobs=[[-2.0] * k for k in range(2, 9)], target_index=[1] * 7)
    for entry in COMPUTED:
        if set(entry.needs) == CHOICES and entry.chance != "none":
            found = score(frame, [entry.name])
            np.testing.assert_allclose(found["value"], found["chance"], rtol=1e-14)


def test_chance_of_a_text_is_zero_unless_a_guess_can_hit_it() -> None:
    frame = rows(
        output=["x"] * 6,
        targets=[["5555"], ["B"], ["(c)"], ["Yes"], ["B"], None],
        chance=[None, None, None, None, 0.1, None],
    )
    assert chances(frame, "exact_match") == [0.0, None, None, None, 0.1, 0.0]
    assert chances(frame, "char_error_rate") == [None] * 6


@pytest.mark.parametrize(
    ("logprobs", "index", "reason"),
    [
        (None, 0, "no choices"),
        ([], 0, "no choices"),
        ([-1.0], 0, "a single choice"),
        ([-1.0, -2.0], None, "no index of the right choice"),
        ([-1.0, -2.0], 2, "the index of the right choice is out of range"),
        ([-1.0, -2.0], -1, "the index of the right choice is out of range"),
        ([-1.0, math.nan], 0, "a log-probability of a choice is not a number"),
        ([-1.0, None], 0, "a log-probability of a choice is not a number"),
        ([-1.0, 0.2], 0, "a choice has a probability above 1"),
        ([0.0, 0.0, 0.0], 0, "all log-probabilities are 0: they were not recorded"),
        ([-math.inf, -math.inf], 0, "all choices have probability 0"),
    ],
)
def test_choices_that_cannot_be_scored(
    logprobs: list[float] | None, index: int | None, reason: str
) -> None:
    frame = rows(choice_logprobs=[[-1.0, -2.0], logprobs], target_index=[0, index])
    for name in ("multiple_choice_grade", "brier_sum", "correct_choice_probability"):
        assert score(frame, [name])["missing"].to_list() == [None, reason]


@pytest.mark.parametrize(
    ("logprobs", "reason"),
    [
        (None, "no log-probabilities of the target"),
        ([], "no log-probabilities of the target"),
        ([-1.0, math.nan], "a log-probability of the target is not a number"),
        ([-1.0, 0.2], "a target token has a probability above 1"),
        ([0.0, 0.0], "all log-probabilities are 0: they were not recorded"),
        ([-1.0, -math.inf], "the value is infinite"),
    ],
)
def test_targets_that_cannot_be_scored(logprobs: list[float] | None, reason: str) -> None:
    frame = rows(target_logprobs=[[-1.0], logprobs], target_bytes=[3, 3])
    for name in ("target_log_loss", "bits_per_byte"):
        assert score(frame, [name])["missing"].to_list() == [None, reason]


@pytest.mark.parametrize("size", [None, 0, -1])
def test_bits_per_byte_need_bytes(size: int | None) -> None:
    found = score(rows(target_logprobs=[[-1.0]], target_bytes=[size]), ["bits_per_byte"])
    assert found["missing"].to_list() == ["no length of the target in bytes"]


def test_choices_without_lengths_have_no_grade_per_byte() -> None:
    frame = rows(
        choice_logprobs=[[-4.0, -3.0]] * 4,
        choice_bytes=[[4, 1], [4], [4, 0], None],
        target_index=[0] * 4,
    )
    found = score(frame, ["multiple_choice_grade_per_byte"])
    assert found["value"].to_list() == [1.0, None, None, None]
    assert set(found["missing"].to_list()[1:]) == {"no length in bytes for some choice"}


@pytest.mark.parametrize("targets", [None, [], [None]])
def test_answers_without_targets_are_missing(targets: list[str] | None) -> None:
    frame = rows(output=["a"], targets=[targets])
    for entry in COMPUTED:
        if set(entry.needs) == {"output", "targets"}:
            assert score(frame, [entry.name])["missing"].to_list() == ["no target"]


def test_columns_become_arguments() -> None:
    frame = rows(target_logprobs=[[-1.0, None], None, [], [-2.0]], target_index=[1, None, 2, 3])
    ragged = argument(frame["target_logprobs"])
    assert isinstance(ragged, Ragged)
    np.testing.assert_array_equal(ragged.flat, [-1.0, np.nan, -2.0])
    np.testing.assert_array_equal(ragged.lengths, [2, 0, 0, 1])
    np.testing.assert_array_equal(argument(frame["target_index"]), [1, np.nan, 2, 3])
    assert argument(frame["output"]) == [None] * 4


def test_equal_pairs_reach_a_metric_once() -> None:
    seen: list[int] = []

    def count(output: list[str], targets: list[list[str]]) -> Values:
        seen.append(len(output))
        return Values(np.arange(len(output), dtype=float), np.full(len(output), None, object))

    entry = Metric("count", count, ("output", "targets"), "", "higher", (0, None), "continuous", "")
    frame = rows(output=["a", "b", "a", "a"], targets=[["x"], ["x"], ["x"], ["x", "y"]])
    assert compute(entry, batch_of(frame, None)).value.tolist() == [0.0, 1.0, 0.0, 2.0]
    assert seen == [3]


@given(
    column=st.lists(
        st.none()
        | st.lists(texts | st.none(), max_size=3)
        | st.lists(texts, min_size=1, max_size=1)
    )
)
def test_groups_read_like_a_list_of_lists(column: list[list[str | None] | None]) -> None:
    groups = Groups(pl.Series(column, dtype=pl.List(pl.String)))
    assert list(groups) == column
    assert [groups[place] for place in range(-len(column), 0)] == column
    assert groups[1:] == column[1:]
    assert len(groups) == len(column)
    alone = all(group is not None and len(group) == 1 for group in column)
    assert groups.only == ([group[0] for group in column if group] if alone else None)
