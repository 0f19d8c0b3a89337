"""Calibration of a whole set against loops, simulations, and numbers worked by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from saltus.metrics.calibration import equal_mass, equal_width
from saltus.metrics.metric import METRICS, Ragged
from saltus.metrics.score import score, score_sets
from strategies import rows

NAMES = (
    "expected_calibration_error", "calibration_reliability", "calibration_resolution",
    "calibration_uncertainty", "brier_skill",
)  # fmt: skip


def of(logits: list[list[float]], right: list[int]) -> dict[str, dict[str, object]]:
    frame = rows(choice_logprobs=logits, target_index=right)
    return {row["metric"]: row for row in score_sets(frame, NAMES).to_dicts()}


def value(name: str, logits: list[list[float]], right: list[int]) -> float:
    found = of(logits, right)[name]["value"]
    assert isinstance(found, float)
    return found


def simulated(
    rng: np.random.Generator, items: int, choices: int, sharp: float = 1.0
) -> tuple[list[list[float]], list[int]]:
    """Forecasts that are honest when sharp is 1, too sure above it; log-probabilities."""
    honest = rng.standard_normal((items, choices)) * 1.5 + np.linspace(1, 0, choices)
    drawn = [int(rng.choice(choices, p=p)) for p in softmax(honest, axis=1)]
    logs = np.log(softmax(sharp * honest, axis=1)) - 1.0
    return logs.tolist(), drawn


batches = st.lists(
    st.lists(st.floats(-9, -0.1), min_size=2, max_size=4).flatmap(
        lambda c: st.tuples(st.just(c), st.integers(0, len(c) - 1))
    ),
    min_size=1,
    max_size=40,
)


def ece_by_loop(logits: list[list[float]], right: list[int]) -> float:
    bins: dict[int, list[tuple[float, float]]] = {}
    for logs, target in zip(logits, right, strict=True):
        p = softmax(logs)
        best = [place for place, one in enumerate(logs) if one == max(logs)]
        grade = 1 / len(best) if target in best else 0.0
        number = next(b for b in range(15) if p.max() < (b + 1) / 15 or b == 14)
        bins.setdefault(number, []).append((float(p.max()), grade))
    return sum(abs(sum(c for c, _ in one) - sum(g for _, g in one)) for one in bins.values()) / len(
        right
    )


@settings(deadline=None)
@given(batch=batches)
def test_calibration_error_agrees_with_a_loop(batch: list[tuple[list[float], int]]) -> None:
    logits, right = [logs for logs, _ in batch], [target for _, target in batch]
    # confidences on an edge may fall to either side by one rounding
    edges = [abs(float(softmax(logs).max()) * 15 % 1) for logs in logits]
    if all(1e-9 < edge < 1 - 1e-9 for edge in edges):
        found = value("expected_calibration_error", logits, right)
        assert found == pytest.approx(ece_by_loop(logits, right), abs=1e-12)


def test_brier_skill_against_the_label_frequencies() -> None:
    # labels 0, 0, 0, 1: base 2 * 3/4 * 1/4 = .375; an even guess has Brier .5
    even = [[np.log(0.5)] * 2] * 4
    assert value("brier_skill", even, [0, 0, 0, 1]) == pytest.approx(1 - 0.5 / 0.375)
    known = [[np.log(0.75), np.log(0.25)]] * 4
    assert value("brier_skill", known, [0, 0, 0, 1]) == pytest.approx(0.0)


def test_equal_labels_leave_no_skill_to_have() -> None:
    found = of([[-1.0, -2.0]] * 3, [0, 0, 0])["brier_skill"]
    assert found["value"] is None
    assert "stand in the same place" in str(found["missing"])


def test_an_even_guess_and_a_confident_constant_one() -> None:
    # science.md 2.5, K = 4: Brier .75 and 1.5; neither has resolution
    labels = [0, 1, 2, 3] * 5
    sure = [[np.log(0.997), np.log(0.001), np.log(0.001), np.log(0.001)]] * 20
    for logits in ([[-1.5] * 4] * 20, sure):
        assert value("calibration_resolution", logits, labels) == pytest.approx(0.0, abs=1e-12)
        assert value("calibration_uncertainty", logits, labels) == pytest.approx(0.75)
    assert value("calibration_reliability", [[-1.5] * 4] * 20, labels) == pytest.approx(0.0)
    assert value("calibration_reliability", sure, labels) == pytest.approx(0.75, abs=0.01)
    assert value("brier_skill", sure, labels) == pytest.approx(-1.0, abs=0.01)


def test_the_parts_sum_to_the_brier_score_when_bins_hold_one_forecast_each() -> None:
    rng = np.random.default_rng(0)
    few = np.log(np.array([[0.2, 0.8], [0.5, 0.5], [0.7, 0.3], [0.9, 0.1]]))
    logits = few[rng.integers(0, 4, 300)].tolist()
    right = rng.integers(0, 2, 300).tolist()
    found = {name: row["value"] for name, row in of(logits, right).items()}
    brier = score(rows(choice_logprobs=logits, target_index=right), ["brier_sum"])["value"].mean()
    parts = (
        found["calibration_reliability"] - found["calibration_resolution"]  # type: ignore[operator]
        + found["calibration_uncertainty"]
    )  # fmt: skip
    assert parts == pytest.approx(brier, abs=1e-12)


def test_calibration_is_not_resolution() -> None:
    rng = np.random.default_rng(1)
    logits, right = simulated(rng, 4000, 4)
    honest = of(logits, right)
    sharper = of((np.array(logits) * 3).tolist(), right)
    for name in ("expected_calibration_error", "calibration_reliability"):
        assert sharper[name]["value"] > 3 * honest[name]["value"]  # type: ignore[operator]
    resolution = [found["calibration_resolution"]["value"] for found in (honest, sharper)]
    assert resolution[1] == pytest.approx(resolution[0], rel=0.1)


@pytest.mark.parametrize("name", NAMES)
def test_the_variance_matches_a_simulation(name: str) -> None:
    rng = np.random.default_rng(4)
    found = [of(*simulated(rng, 500, 3, sharp=2.0))[name] for _ in range(150)]
    spread = np.var([row["value"] for row in found], ddof=1)  # type: ignore[arg-type]
    stated = np.mean([row["variance"] for row in found])  # type: ignore[arg-type]
    assert stated == pytest.approx(spread, rel=0.4)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=30, deadline=None)
@given(batch=batches, data=st.data())
def test_the_order_of_items_does_not_matter(
    name: str, batch: list[tuple[list[float], int]], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(batch))))
    logits, right = [logs for logs, _ in batch], [target for _, target in batch]
    here = of(logits, right)[name]
    there = of([logits[i] for i in order], [right[i] for i in order])[name]
    assert (here["value"] is None) == (there["value"] is None)
    if here["value"] is not None:
        assert there["value"] == pytest.approx(here["value"], abs=1e-12)
        low, high = METRICS[name].bounds
        assert low is None or here["value"] >= low - 1e-12  # type: ignore[operator]
        assert high is None or here["value"] <= high + 1e-12  # type: ignore[operator]


def test_items_that_cannot_be_scored_take_no_part() -> None:
    frame = rows(
        choice_logprobs=[[-1.0, -2.0], [0.0, 0.0], None, [-3.0, -0.1]], target_index=[0, 0, 0, 1]
    )
    (row,) = score_sets(frame, ["ece"]).to_dicts()
    assert (row["items"], row["missing_items"]) == (2, 2)
    none = score_sets(frame[1:3], ["ece"]).row(0, named=True)
    assert none["value"] is None
    assert none["missing"].startswith("no item has a value: ")


def test_bins_have_stated_edges() -> None:
    edges = np.array([0.0, 1 / 15, 0.0666, 1 / 3, 0.95, 1.0])
    assert equal_width(edges).tolist() == [0, 1, 0, 5, 14, 14]
    ties = equal_mass(np.array([0.5] * 7 + [0.9] * 3))
    assert len(set(ties[:7].tolist())) == 1
    assert ties[-1] > ties[0]
    assert len(equal_mass(np.empty(0))) == 0


def test_the_metrics_of_a_batch_share_what_they_work_out() -> None:
    flat, index = Ragged(np.array([-1.0, -2.0, -3.0, -1.0]), np.array([2, 2])), np.array([0.0, 1.0])
    METRICS["brier_sum"].compute(flat, index)
    (kept,) = flat.memo.values()
    METRICS["expected_calibration_error"].compute_set(flat, index)
    assert list(flat.memo.values()) == [kept]
    assert METRICS["multiple_choice_grade"].compute(flat, index).value.tolist() == [1.0, 1.0]


def test_macro_f1_agrees_with_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is an extra oracle")
    rng = np.random.default_rng(2)
    for _ in range(20):
        have, said = rng.choice(list("abcd"), 40), rng.choice(list("abcde"), 40)
        frame = rows(output=said.tolist(), targets=[[label] for label in have])
        found = score_sets(frame, ["macro_f1"])["value"].item()
        labels = sorted(set(have))
        wanted = metrics.f1_score(have, said, labels=labels, average="macro", zero_division=0)
        assert found == pytest.approx(wanted)


def test_macro_f1_by_hand() -> None:
    # a: TP 2, said 3, have 2 -> 4/5; b: TP 0, said 0, have 1 -> 0
    frame = rows(output=["A", "a", "zebra", "a"], targets=[["a"], ["b"], ["b"], ["a"]])
    (row,) = score_sets(frame, ["macro_f1"]).to_dicts()
    assert row["value"] == pytest.approx((4 / 5 + 0) / 2)
    texts = rows(output=["x", "y"], targets=[["one text"], ["another"]])
    assert "no set of labels" in score_sets(texts, ["macro_f1"])["missing"].item()
    assert pl.Series([row["variance"]]).is_finite().all()
