"""Classes of metrics by simulation, against the worked numbers of science.md 1.7."""

from __future__ import annotations

import numpy as np
import pytest

from saltus.metrics.measure import class_of, measure, measured
from saltus.metrics.metric import METRICS, Metric, find
from saltus.metrics.users import load
from strategies import needs_its_extra

MEASURED = [entry for entry in METRICS if entry.function and entry.kind == "answer"]


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    len(METRICS)
    monkeypatch.setattr(METRICS, "_entries", dict(METRICS._entries))


def index(name: str, length: int = 5) -> float:
    found = measure(METRICS[name], np.random.default_rng(7), length, 4000)
    assert found is not None
    return found.nonlinearity


@pytest.mark.parametrize(("length", "wanted"), [(1, 0.0), (2, 0.25), (5, 0.535)])
def test_accuracy_bends_with_the_length_of_the_answer(length: int, wanted: float) -> None:
    assert index("exact_match", length) == pytest.approx(wanted, abs=0.025)
    assert index("word_edit_distance", length) == pytest.approx(0.0, abs=0.025)


def test_accuracy_is_furthest_from_a_line_where_calculus_says() -> None:
    # d/dq (q - q^5) = 0 at q = 5^(-1/4) = .669
    found = measure(METRICS["exact_match"], np.random.default_rng(0), 5, 4000)
    assert found is not None
    assert 1 - found.rate == pytest.approx(0.669, abs=0.051)


def test_probability_metrics() -> None:
    assert index("brier_sum") == pytest.approx(0.25, abs=1e-6)
    assert index("multiple_choice_grade") == pytest.approx(0.5, abs=1e-6)
    assert index("correct_choice_probability") == pytest.approx(0.0, abs=1e-9)
    assert index("target_probability") == pytest.approx(0.535, abs=0.005)


@pytest.mark.parametrize(
    ("name", "jumps"),
    [
        ("multiple_choice_grade", True), ("exact_match", True), ("numeric_match", True),
        ("numeric_match_with_0_1_relative_error", True), ("brier_sum", False),
        ("correct_choice_probability", False), ("word_error", False), ("prefix_accuracy", False),
        ("target_log_loss", False), ("rougeL_f", False),
    ],
)  # fmt: skip
def test_discontinuous_is_a_measured_fact(name: str, jumps: bool) -> None:
    found = measured(METRICS[name])
    assert found is not None
    assert found.discontinuous is jumps
    assert (found.jump > 0.99) or not jumps


@pytest.mark.parametrize("entry", MEASURED, ids=lambda entry: entry.name)
def test_what_is_stated_is_what_is_measured(entry: Metric) -> None:
    needs_its_extra(entry.name)
    found = measured(entry)
    assert found is not None
    assert found.discontinuous == (entry.reaction == "thresholded")
    assert 0.0 <= found.nonlinearity <= 1.0


def test_the_class_does_not_hang_on_the_seed() -> None:
    for name in ("exact_match", "rougeL_f", "char_error_rate", "brier_sum"):
        kinds = set()
        for seed in range(4):
            found = measure(METRICS[name], np.random.default_rng(seed))
            kinds.add(found.kind if found else None)
        assert len(kinds) == 1, name


def test_classes_of_the_survey() -> None:
    assert class_of(None) is None
    assert class_of(METRICS["acc"]) == "thresholded"
    assert class_of(METRICS["exact_match"]) == "thresholded"
    assert class_of(METRICS["target_probability"]) == "nonlinear"
    assert class_of(METRICS["brier_sum"]) == "linear"  # mildly nonlinear
    bleu = find("bleu")
    assert bleu is not None
    if bleu.function:  # about (1 - e)^2.5
        assert class_of(bleu) == "nonlinear"


def test_a_users_metric_is_measured(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "mine.py"
    path.write_text(
        "def squared(output, target):\n"
        "    have, want = output.split(), target.split()\n"
        "    return (sum(a == b for a, b in zip(have, want)) / len(want)) ** 2\n"
        "def same(output, target):\n"
        "    return output == target\n"
    )
    found = measured(load(path, "squared"))
    assert found is not None
    assert found.kind == "mildly nonlinear"
    assert not found.discontinuous
    assert load(path, "same").reaction == "thresholded"
    assert load(path, "squared").reaction == "continuous"
