"""What is wrong in the paper, and the reading that is implemented here, by number.

Schaeffer, Miranda, Koyejo (2023), arXiv 2304.15004. Our own reading; every entry can be
checked against the place that it names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Erratum(NamedTuple):
    """One error of the paper.

    Args:
        where: equation, figure or section.
        problem: what is wrong.
        reading: what is right, or what is done instead.
    """

    where: str
    problem: str
    reading: str


ERRATA: Mapping[int, Erratum] = {
    1: Erratum(
        "eqs. (9) and (10)",
        "e is the error probability, yet the expected edit distance is given as L (1 - e)",
        "L e, as in the main text and in eq. (17)",
    ),
    2: Erratum(
        "eqs. (6) and (7)",
        "the edit distance is said to be at least the Hamming distance; a minimal edit distance "
        "can be smaller",
        "at most the Hamming distance for equal lengths, so that the distance is not shown to "
        "grow faster than linearly",
    ),
    3: Erratum(
        "eq. (5)",
        "the number of substitutions is identified with the mismatches position by position",
        "true only without insertions and deletions",
    ),
    4: Erratum(
        "eqs. (13) to (16)",
        "the expected log of an accuracy that can be 0 is minus infinity, so that (16) gives 0",
        "independence alone gives an expected accuracy of (1 - e)^L exactly",
    ),
    5: Erratum(
        "eq. (10)",
        "the resolution of the mean edit distance is given as 1/(NL)",
        "the mean over N items moves in steps of 1/N; distance divided by length in 1/(NL)",
    ),
    6: Erratum(
        "eq. (19)",
        "the resolution of accuracy is given as 1/(NL)",
        "1/N, as the paper's own footnote 2 says",
    ),
    7: Erratum(
        "eq. (3)",
        "floor brackets stand for rounding to the nearest multiple",
        "round half up",
    ),
    8: Erratum(
        "Sec. 2 and App. A",
        "the per-token error rate is said to scale geometrically in the target length",
        "accuracy does; the error rate is what both metrics are computed from",
    ),
    9: Erratum(
        "Sec. 3",
        "the emergent arithmetic of earlier papers is cited as Fig. 2E, the panel of the linear "
        "metric",
        "Fig. 1 or the inset of Fig. 2C",
    ),
    10: Erratum("App. A.3", "refers to the edit distance as App. A.3", "App. A.2"),
    11: Erratum(
        "Sec. 5",
        "subset accuracy is cited as Fig. 8B, which is accuracy per image",
        "Fig. 8C",
    ),
    12: Erratum(
        "Sec. 7",
        "220 tasks x 40 metrics x 10 families is given as about 10^6 triplets",
        "88,000",
    ),
    13: Erratum(
        "Sec. 7 against Sec. 4",
        "about 40 metrics per task",
        "39 preferred metrics over the whole benchmark; most tasks have one to five",
    ),
    14: Erratum(
        "Sec. 4",
        "no threshold of the emergence score and no error rates are given",
        "counts at several thresholds, with p-values under a null without change",
    ),
    15: Erratum(
        "Sec. 4 against Fig. 5",
        "at most 5 metrics (by the score) and 4 (by hand) are different procedures, and the share "
        "above 92 % refers to the hand annotation",
        "both are kept apart",
    ),
    16: Erratum(
        "App. A.4",
        "candidate and references are swapped against Lin (2004), and subsequences are said to be "
        "stitched across references",
        "the union is over the candidate's sentences, for each sentence of one reference",
    ),
    17: Erratum(
        "Fig. 9 and App. A.4",
        "ROUGE-L-Sum is called sharp",
        "it is linear in the error probability (computed here)",
    ),
    18: Erratum(
        "Sec. 4",
        "the binary Brier score is called the mean squared error of one class",
        "that is half of the sum over both classes; one convention is used throughout and named",
    ),
    19: Erratum(
        "Sec. 2",
        "accuracy is computed from the mean loss",
        "exp(-mean loss) is a geometric mean of probabilities and lies below their mean",
    ),
    20: Erratum("eq. (2)", "a fraction is called an average number", "the fraction of test data"),
    21: Erratum(
        "throughout",
        "N stands for parameters, for test data and for the number of scales",
        "parameters N, items n, scales S",
    ),
    22: Erratum(
        "Fig. 6",
        "a Brier score that improves while it is worse than an even guess is read as ability",
        "ability counts from the chance line on; above it, a fall is calibration",
    ),
}
