"""The metrics that stand on the kernels: several targets, what is missing, sets of answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from kernel_pairs import pairs
from saltus.metrics import ngrams, overlap
from saltus.metrics.metric import METRICS, find
from saltus.metrics.pairing import best_of
from saltus.metrics.score import score
from strategies import rows


def value(name: str, output: str, *targets: str) -> float:
    found: float = score(rows(output=[output], targets=[targets]), [name])["value"].item()
    return found


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("sacrebleu", "bleu"),
        ("chrf", "chrf"),
        ("rougeL_max", "rougeL"),
        ("rouge2", "rouge2"),
        ("rouge_l", "rougeL_f_stemmed"),  # HELM's
        ("token_f1", "squad_f1"),
    ],
)
def test_harness_names_are_scores_now(given: str, name: str) -> None:
    entry = find(given)
    assert entry is not None
    assert entry.name == name
    assert entry.function is not None


def test_the_best_target_counts() -> None:
    assert value("rouge2_f", "a b c", "x y", "a b c", "a b") == 1.0
    assert value("rouge2", "a b c", "a b d") == 50.0
    assert value("squad_f1", "a cat", "dog", "The cat") == 1.0
    assert value("sentence_chrf", "cat", "dog", "cat") == 100.0
    # edits to the nearest target over the mean length, as sacrebleu has it
    assert value("sentence_ter", "a b", "a b", "a b c d") == 0.0
    assert value("sentence_ter", "a x", "a b", "c d e f") == pytest.approx(100 / 3)
    # n-grams of all targets together, the length of the closest one
    assert value("sentence_bleu", "a b c d", "a b c d e f", "c d e") == pytest.approx(100.0)


def test_precision_and_recall_come_from_the_target_with_the_best_f() -> None:
    assert value("rougeL_precision", "a b", "a b c d e f g", "a x") == 0.5
    assert value("rougeL_recall", "a b", "a b c d", "a x") == 0.5
    assert best_of(np.array([0, 0, 0, 2, 2]), np.array([1.0, 3.0, 3.0, np.nan, 0.0])).tolist() == [
        1, 4,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "target", "reason"),
    [
        ("rouge1_f", "\u6211\u7231", "the target has no words to compare"),
        ("rouge2_f", "one", "the target has no pair of words to compare (rouge_score gives 0)"),
        ("rouge2", "one", "the target has no pair of words to compare (rouge_score gives 0)"),
        ("rougeL_f_words", "\u3000", "the target has no words to compare"),
        ("sentence_bleu", " \n", "the target is empty"),
        ("sentence_bleu_char", "", "the target is empty"),
        ("sentence_chrf", "\t", "the target is empty"),
        ("sentence_chrf++", " ", "the target is empty"),
        ("sentence_ter", "", "the target is empty"),
    ],
)
def test_a_target_with_nothing_to_compare_is_missing(name: str, target: str, reason: str) -> None:
    found = score(rows(output=["a b"], targets=[[target]]), [name])
    assert found["value"].to_list() == [None]
    assert found["missing"].to_list() == [reason]


@pytest.mark.parametrize("name", ["rougeL_f", "sentence_bleu", "sentence_chrf", "squad_f1"])
def test_an_empty_output_scores_nothing(name: str) -> None:
    assert value(name, "", "a target") == 0.0


def test_stems_without_their_package_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "can_stem", lambda: False)
    found = score(rows(output=["a", None], targets=[["a"], ["a"]]), ["rougeL_f_stemmed"])
    assert found["missing"].to_list() == ["stemming needs the extra `stem` (nltk)", "no output"]


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("bleu", ngrams.corpus_bleu),
        ("chrf", ngrams.corpus_chrf),
        ("ter", ngrams.corpus_ter),
    ],
)
def test_the_influence_of_an_answer_is_what_leaving_it_out_does(
    name: str, whole: Callable[[Sequence[str], Sequence[Sequence[str]]], float]
) -> None:
    outputs, targets = pairs(400, seed=3)
    outputs, targets = [*outputs, None], [[target] for target in targets] + [["a"]]
    found = METRICS[name].compute_set(outputs, targets)
    assert found.value == whole(outputs[:400], targets[:400])
    assert np.isnan(found.influence[400])
    assert abs(found.influence[:400].sum()) < 1e-9
    left_out = [
        whole(outputs[:k] + outputs[k + 1 : 400], targets[:k] + targets[k + 1 : 400])
        for k in range(25)
    ]
    effect = (found.value - np.array(left_out)) * 399
    np.testing.assert_allclose(effect, found.influence[:25], rtol=0.05, atol=0.5)


@pytest.mark.parametrize("name", ["bleu", "chrf", "ter"])
def test_a_set_without_anything_to_compare_is_missing(name: str) -> None:
    for outputs, targets, reason in [
        ([None], [["a"]], "no item has a value: no output"),
        (["a"], [[]], "no item has a value: no target"),
        (["a", "b"], [[" "], ["\n"]], "all targets are empty"),
        ([], [], "no item has a value: no answers"),
    ]:
        found = METRICS[name].compute_set(outputs, targets)
        assert np.isnan(found.value)
        assert found.missing == reason
        assert np.isnan(found.influence).all()


def test_a_set_without_a_match_has_no_influence() -> None:
    found = METRICS["chrf"].compute_set(["x", "y"], [["a"], ["b"]])
    assert found.value == 0.0
    assert found.influence.tolist() == [0.0, 0.0]
    assert METRICS["bleu"].compute_set(["x", "y"], [["a"], ["b"]]).value == 0.0


def test_a_set_of_short_outputs_pays_for_brevity() -> None:
    long = "one two three four five six seven"
    found = METRICS["bleu"].compute_set(["one two three four five", long], [[long], [long]])
    assert 0 < found.value < 100
    assert found.influence[0] < 0 < found.influence[1]
