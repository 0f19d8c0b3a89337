"""Scores that rouge_score 0.1.2, sacrebleu 2.6.0 and nltk 3.10 gave, typed in: always checked."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from saltus import kernels
from saltus.kernels import plain
from saltus.metrics import ngrams, overlap
from saltus.metrics.metric import METRICS
from saltus.metrics.overlap import can_stem, stemmed

# output, target, F of ROUGE-1, -2, -L, -Lsum, sentence BLEU of 13a, intl, char, chrF, TER
GOLDEN: list[tuple[str, str, list[float]]] = [
    ("the cat sat on the mat.", "The cat is on the mat.",
     [0.8333333333333334, 0.6, 0.8333333333333334, 0.8333333333333334,
      43.47208719449914, 43.47208719449914, 66.54377827941899,
      60.27590743659707, 16.666666666666664]),
    ("police kill the gunman\nthe gunman was ended",
     "the gunman was shot down by police\npolice kill the gunman now",
     [0.7000000000000001, 0.5555555555555556, 0.4, 0.7000000000000001,
      30.32653298563168, 30.32653298563168, 56.14512110132764, 59.01901116236164, 50.0]),
    ("It's 3.14, e.g. 1,000 &amp; 5-4...", "It is 3.14 -- e.g. 1,000 & 5-4 ...",
     [0.8571428571428572, 0.631578947368421, 0.8571428571428572, 0.8571428571428572,
      74.06375008540005, 44.81501736040872, 60.94880572755877,
      56.68536417311145, 77.77777777777779]),
    ("\u6211\u7231\u732b\uff0c\u732b\u7231\u6211\u3002",
     "\u6211\u7231\u72d7\uff0c\u72d7\u7231\u6211\u3002",
     [0.0, 0.0, 0.0, 0.0, 0.0, 18.99589214128981, 27.054113452696992,
      22.420634920634924, 100.0]),
    ("a\xa0b\u3000c \u212aelvin \u0130stanbul", "a b c kelvin istanbul",
     [0.7272727272727272, 0.6666666666666665, 0.7272727272727272, 0.7272727272727272,
      39.76353643835252, 39.76353643835252, 64.22727797927409, 52.25472240178123, 20.0]),
    ("running runners ran easily", "the runner runs an easy run",
     [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 43.937095446369234, 36.81856355481546, 100.0]),
    ("w5 w6 w7 w8 w1 w2 w3 w4", "w1 w2 w3 w4 w5 w6 w7 w8",
     [1.0, 0.8571428571428571, 0.5, 0.5, 69.14415692838826, 69.14415692838826,
      88.5700028538295, 79.53046953046953, 12.5]),
    ("lone \ud800 half", "lone half \udfff",
     [1.0, 1.0, 1.0, 1.0, 34.66806371753173, 34.66806371753173, 59.694917920196445,
      42.3941798941799, 66.66666666666666]),
    ("", "the empty answer", [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 100.0]),
]  # fmt: skip

OUTPUTS = [output for output, _, _ in GOLDEN]
TARGETS = [target for _, target, _ in GOLDEN]
both = pytest.mark.parametrize("module", [kernels, plain], ids=["chosen", "plain"])


def scores(module: Any, outputs: list[str], targets: list[str]) -> np.ndarray:
    rouge = module.rouge(outputs, targets)
    ter = module.ter(outputs, targets).astype(float)
    bleu = (module.bleu(outputs, [[t] for t in targets], kind) for kind in ("13a", "intl", "char"))
    columns = [overlap.rouge(rouge, kind).f for kind in ("1", "2", "L", "Lsum")]
    columns += [ngrams.bleu_scores(counts, effective=True) for counts in bleu]
    columns += [ngrams.chrf_scores(ngrams.chrf_orders(module.chrf(outputs, targets)))]
    columns += [ngrams.ter_scores(ter[:, 2], ter[:, 1])]
    return np.stack(columns, axis=1)


@both
def test_scores_are_the_packages_to_the_last_bit(module: ModuleType) -> None:
    np.testing.assert_array_equal(scores(module, OUTPUTS, TARGETS), [row for *_, row in GOLDEN])


def test_scores_of_the_whole_set_are_the_packages() -> None:
    groups = [[target] for target in TARGETS]
    assert ngrams.corpus_bleu(OUTPUTS, groups) == 48.021930384881344
    assert ngrams.corpus_chrf(OUTPUTS, groups) == 51.82676280617377
    assert ngrams.corpus_ter(OUTPUTS, groups) == 52.83018867924528
    for name, value in {"bleu": 48.021930384881344, "chrf": 51.82676280617377,
                        "ter": 52.83018867924528}.items():  # fmt: skip
        assert METRICS[name].compute_set(OUTPUTS, groups).value == value


@pytest.mark.skipif(not can_stem(), reason="nltk is not installed (extra `stem`)")
def test_scores_of_stems_are_the_packages() -> None:
    texts = [[stemmed(text) for text in side] for side in (OUTPUTS, TARGETS)]
    counts = kernels.rouge(*texts)
    assert stemmed(OUTPUTS[5]) == "run runner ran easili"
    assert overlap.rouge(counts, "1").f[5] == 0.4
    assert overlap.rouge(counts, "Lsum").f[5] == 0.2


def test_squad_scores_worked_by_hand() -> None:
    counts = kernels.squad(
        ["The cat, sat!", "a the an", "t'he x\x00the\x01y", "\u00c9t\u00e9 the", ""],
        ["cat sat down", "The.", "x\x00 \x01y", "\u00e9t\u00e9", "dog"],
    )
    assert counts.tolist() == [[2, 3, 2, 0], [0, 0, 0, 1], [2, 2, 2, 1], [1, 1, 1, 1], [0, 1, 0, 0]]
    from saltus.metrics.squad import f1_scores

    assert f1_scores(counts).tolist() == [0.8, 1.0, 1.0, 1.0, 0.0]
