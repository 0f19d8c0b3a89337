"""Several answers to one item: pass@k, PassUntil, majority vote, subsets of items."""

from __future__ import annotations

import json
import math
from itertools import combinations, product

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saltus.estimates.estimate import estimate
from saltus.metrics.sampling import pass_at_k, pass_until, pass_until_likelihood
from saltus.metrics.score import score, score_sets
from saltus.metrics.vision import reconstruction, squared_errors, subset_accuracy
from saltus.tables import Models, Reported, Scores, conform, empty
from saltus.verdicts.apparent import upper_tail
from shared import SHARED, needs_shared
from strategies import rows


def sampled(right: list[list[int]]) -> pl.DataFrame:
    """Answers, 1 right and 0 wrong, item by item."""
    flat = [(item, place, hit) for item, hits in enumerate(right) for place, hit in enumerate(hits)]
    frame = rows(output=[str(hit) for _, _, hit in flat], targets=[["1"]] * len(flat))
    return frame.with_columns(
        item=pl.Series([f"i{item}" for item, _, _ in flat]),
        sample=pl.Series([place for _, place, _ in flat]),
    )


def one(frame: pl.DataFrame, name: str) -> dict[str, object]:
    (row,) = score_sets(frame, [name]).to_dicts()
    return row


# ---- pass@k


@pytest.mark.parametrize(("n", "c", "k"), [(5, 2, 1), (5, 2, 3), (6, 0, 2), (6, 6, 4), (4, 1, 4)])
def test_pass_at_k_is_the_share_of_draws_that_hit(n: int, c: int, k: int) -> None:
    draws = list(combinations([1] * c + [0] * (n - c), k))
    wanted = sum(any(draw) for draw in draws) / len(draws)
    assert pass_at_k(np.array([n]), np.array([c]), k) == pytest.approx([wanted])


def test_pass_at_k_is_unbiased_where_the_plain_form_is_not() -> None:
    n, k, p = 6, 3, 0.3
    weights = [math.comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]
    values = pass_at_k(np.full(n + 1, n), np.arange(n + 1), k)
    assert weights @ values == pytest.approx(1 - (1 - p) ** k)
    plain = [1 - (1 - c / n) ** k for c in range(n + 1)]
    assert weights @ np.array(plain) < 1 - (1 - p) ** k - 0.02


def test_pass_at_k_refuses_fewer_answers_than_k() -> None:
    assert np.isnan(pass_at_k(np.array([3]), np.array([1]), 4)).all()
    found = one(sampled([[1, 0, 1, 0, 0], [0, 0, 0, 1]]), "pass@5")
    assert found["value"] is None
    assert found["missing"] == "some item has 4 answers, fewer than k = 5"


def test_pass_at_k_of_a_set_with_its_variance() -> None:
    found = one(sampled([[1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0]]), "pass@2")
    items = np.array([0.5, 0.0, 1 - 1 / 6])
    assert found["value"] == pytest.approx(items.mean())
    assert found["variance"] == pytest.approx(items.var(ddof=1) / 3)
    assert (found["items"], found["missing_items"]) == (3, 0)


def test_items_count_alike_however_many_answers_they_have() -> None:
    found = one(sampled([[1, 1, 1, 1, 1, 1], [0, 0]]), "pass@1")
    assert found["value"] == pytest.approx(0.5)
    assert found["variance"] == pytest.approx(np.var([1.0, 0.0], ddof=1) / 2)


def test_a_set_reaches_the_estimates() -> None:
    frame = sampled([[1, 0], [0, 0], [1, 1], [1, 0]])
    models = conform(pl.DataFrame({"model": ["m"], "model_name": ["m"]}), Models)
    found = estimate(
        score(frame, ["exact_match"]).lazy(), empty(Reported), models,
        score_sets(frame, ["pass@2", "majority_vote"]),
    )  # fmt: skip
    by = {row["metric"]: row for row in found.iter_rows(named=True)}
    assert by["pass@2"]["value"] == pytest.approx(0.75)
    assert by["pass@2"]["low"] < 0.75 < by["pass@2"]["high"]
    assert by["pass@2"]["items"] == by["exact_match"]["items"] == 4
    assert by["majority_vote"]["value"] == pytest.approx((0.5 + 0 + 1 + 0.5) / 4)


def test_clusters_are_the_draws_where_items_share_them() -> None:
    frame = sampled([[1], [1], [0], [0]]).with_columns(cluster=pl.Series(["a", "a", "b", "b"]))
    found = one(frame, "pass@1")
    assert found["clusters"] == 2
    assert found["variance"] == pytest.approx(2 * (2 * 0.5**2 + 2 * 0.5**2) / 16 * 2)


# ---- PassUntil


def test_worked_rates() -> None:
    # science.md 3.2
    assert pass_until(np.array([2]), np.array([90]), 2) == pytest.approx([0.011236], abs=5e-7)
    assert pass_until(np.array([3]), np.array([150]), 3) == pytest.approx([0.013423], abs=5e-7)


@pytest.mark.parametrize("wanted", [2, 3])
@pytest.mark.parametrize("p", [0.05, 0.4, 0.9])
def test_the_rate_is_unbiased_with_a_cut_off(wanted: int, p: float) -> None:
    most, total, chance = 9, 0.0, 0.0
    for draws in product([0, 1], repeat=most):  # every course that the sampling can take
        right = np.cumsum(draws)
        stop = int(np.argmax(right == wanted)) + 1 if right[-1] >= wanted else most
        weight = p ** sum(draws) * (1 - p) ** (most - sum(draws))
        found = pass_until(np.array([min(right[stop - 1], wanted)]), np.array([stop]), wanted)
        total += weight * float(found[0])
        chance += weight
    assert chance == pytest.approx(1.0)
    assert total == pytest.approx(p, rel=1e-12)


def test_dividing_successes_by_draws_is_too_large() -> None:
    # science.md 3.2: E[1/K] at r = 1 and p = 1e-3 is 0.006915
    p = 1e-3
    k = np.arange(1, 40_000)
    assert (p * (1 - p) ** (k - 1) / k).sum() == pytest.approx(0.006915, abs=1e-6)
    with pytest.raises(ValueError, match="below r = 2"):
        pass_until(np.array([1]), np.array([5]), 1)


def test_the_likelihood_sums_to_one_over_all_outcomes() -> None:
    most, wanted, p = 7, 2, 0.3
    reached = [(wanted, k) for k in range(wanted, most + 1)]
    cut = [(j, most) for j in range(wanted)]
    total = sum(
        math.exp(pass_until_likelihood(p, np.array([j]), np.array([k]), wanted))
        for j, k in reached + cut
    )
    assert total == pytest.approx(1.0)


def test_passuntil_of_a_log() -> None:
    # r = 2: reached after 3 and 5 draws, cut off at 6 with one
    frame = sampled([[1, 0, 1], [0, 0, 1, 0, 1], [0, 1, 0, 0, 0, 0]])
    assert one(frame, "passuntil")["value"] == pytest.approx((1 / 2 + 1 / 4 + 1 / 6) / 3)


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([[1, 1, 0], [1, 0, 1]], "items go on after 2 right answers"),
        ([[1, 0, 1], [0, 1]], "items go on after 2 right answers or stop before"),
        ([[1, 0], [0, 1]], "no item has 2 right answers"),
    ],
)
def test_answers_that_were_not_sampled_until(answers: list[list[int]], reason: str) -> None:
    assert str(one(sampled(answers), "passuntil")["missing"]).startswith(reason)


# ---- majority vote


def votes(*outputs: str | None) -> float | None:
    frame = rows(output=list(outputs), targets=[["4"]] * len(outputs)).with_columns(
        item=pl.lit("i"), sample=pl.int_range(len(outputs))
    )
    value: float | None = one(frame, "majority_vote")["value"]  # type: ignore[assignment]
    return value


def test_the_most_frequent_answer_counts_and_ties_share() -> None:
    assert votes("4", "4 ", "5") == 1.0
    assert votes("5", "4", "5") == 0.0
    assert votes("4", "5") == 0.5
    assert votes("4", None, None) is None  # a single vote is none
    assert votes("4", "4", None, None, None) == 1.0


# ---- subsets of items and images


def test_subset_accuracy_is_the_share_of_subsets_that_are_all_right() -> None:
    hits = [1, 1, 0, 1, 1, 0]
    subsets = list(combinations(hits, 3))
    wanted = sum(all(subset) for subset in subsets) / len(subsets)
    assert subset_accuracy(4, 6, 3) == pytest.approx(wanted)
    found = one(sampled([[hit] for hit in hits]), "subset_accuracy@3")
    assert found["value"] == pytest.approx(wanted)
    assert subset_accuracy(2, 6, 3) == 0.0
    assert math.isnan(subset_accuracy(2, 2, 3))


def test_the_variance_of_subset_accuracy_matches_a_simulation() -> None:
    rng = np.random.default_rng(3)
    draws = rng.random((300, 200)) < 0.8
    values = [subset_accuracy(int(hits.sum()), 200, 3) for hits in draws]
    found = [
        one(sampled([[int(hit)] for hit in hits]), "subset_accuracy@3")["variance"]
        for hits in draws[:20]
    ]
    assert np.mean(found) == pytest.approx(np.var(values), rel=0.25)  # type: ignore[arg-type]


def test_guessing_a_subset_is_the_power_of_guessing_one() -> None:
    choices = rows(choice_logprobs=[[-1.0, -2.0, -3.0, -4.0]] * 12, target_index=[0] * 12)
    assert one(choices, "subset_accuracy@3")["chance"] == pytest.approx(0.25**3)
    assert one(sampled([[1], [0], [1]]), "subset_accuracy@2")["chance"] == 0.0
    letters = rows(output=["A", "B", "A"], targets=[["A"]] * 3)
    assert (
        one(letters, "subset_accuracy@2")["chance"] is None
    )  # a guess can hit; who knows how often


def test_the_effective_items_of_subsets_keep_the_level_of_the_exact_test() -> None:
    """ "Is the rate above r?" rejects a rate of r in about 5 %: the sizes of step 1 hold."""
    n, size, limit = 600, 5, 0.05
    kinds = np.random.default_rng(2).binomial(n, limit ** (1 / size), 4000)
    rejected = {k: _above(int(k), n, size, limit) for k in np.unique(kinds)}
    assert np.mean([rejected[k] for k in kinds]) == pytest.approx(0.05, abs=0.02)


def _above(right: int, items: int, size: int, limit: float) -> bool:
    hits = [[1]] * right + [[0]] * (items - right)
    found = one(sampled(hits), f"subset_accuracy@{size}")
    value, variance = float(found["value"]), float(found["variance"])  # type: ignore[arg-type]
    effective = value * (1 - value) / variance
    return bool(upper_tail(np.array([value * effective]), np.array([effective]), limit)[0] < 0.05)


def test_several_answers_per_item_make_no_subsets() -> None:
    assert one(sampled([[1, 0], [1, 1]]), "subset_accuracy@2")["missing"]


@settings(deadline=None)
@given(st.integers(0, 30), st.integers(1, 5))
def test_subset_accuracy_lies_between_its_bounds(right: int, size: int) -> None:
    value = subset_accuracy(right, 30, size)
    assert 0.0 <= value <= (right / 30) ** size + 1e-15


def test_reconstructions_within_a_limit() -> None:
    images = np.zeros((3, 2, 2))
    guesses = np.array([np.zeros((2, 2)), np.full((2, 2), 0.5), np.ones((2, 2))])
    errors = squared_errors(images, guesses)
    assert errors.tolist() == [0.0, 1.0, 4.0]
    assert reconstruction(np.append(errors, np.nan), 1.0).tolist()[:3] == [1.0, 0.0, 0.0]
    assert np.isnan(reconstruction(np.array([np.nan]), 1.0)).all()


def test_an_item_that_lost_its_answers_takes_no_part() -> None:
    frame = sampled([[1, 0], [0, 0], [1, 1]])
    output = pl.Series([None, None, *frame["output"].to_list()[2:]], dtype=pl.String)
    found = one(frame.with_columns(output=output), "pass@2")
    assert found["value"] == pytest.approx(0.5)
    assert (found["items"], found["missing_items"]) == (2, 1)
    models = conform(pl.DataFrame({"model": ["m"], "model_name": ["m"]}), Models)
    lost = score_sets(frame.with_columns(output=output), ["pass@2"])
    made = estimate(empty(Scores).lazy(), empty(Reported), models, lost)
    assert made["value"].to_list() == [None]  # a third of the items is more than 5 %
    assert made["missing"].to_list() == ["1 of 3 items have no value"]


# ---- CRUXEval: ten answers of codellama-7b to each of 800 programs, with pass@1 and pass@5

CRUX = "data/cruxeval/sample_scored_codellama-7b_temp0.2_output.json"


@needs_shared
def test_published_pass_at_k_is_reproduced() -> None:
    published = json.loads((SHARED / CRUX).read_text())
    scored = published["raw_scored_generations"]
    answers = np.array([len(marks) for marks in scored.values()])
    right = np.array([sum(marks) for marks in scored.values()])
    for k in (1, 5):
        found = 100 * pass_at_k(answers, right, k).mean()
        assert found == pytest.approx(published[f"pass_at_{k}"], rel=1e-12)


@needs_shared
def test_pass_at_k_from_the_texts_with_the_metric_that_is_named() -> None:
    published = json.loads((SHARED / CRUX).read_text())
    lines = (SHARED / "data/cruxeval/cruxeval.jsonl").read_text().splitlines()
    targets = {row["id"]: row["output"] for row in map(json.loads, lines)}
    flat = [
        (item, place, text, [targets[item]])
        for item, texts in published["raw_generations"].items()
        for place, text in enumerate(texts)
    ]
    frame = rows(output=[row[2] for row in flat], targets=[row[3] for row in flat]).with_columns(
        item=pl.Series([row[0] for row in flat]), sample=pl.Series([row[1] for row in flat])
    )
    found = score_sets(frame, ["pass@1", "pass@5", "exact_match_unquoted"])
    by = {row["metric"]: 100 * row["value"] for row in found.iter_rows(named=True)}
    # they run the answers as code; equal texts up to quotes miss two points of equal values
    assert by["pass@1"] == pytest.approx(published["pass_at_1"], abs=2.0)
    assert by["pass@5"] == pytest.approx(published["pass_at_5"], abs=2.5)
    strict = score_sets(frame, ["pass@1"])["value"].item()  # plain exact match, quotes and all
    assert 100 * strict < by["pass@1"]
