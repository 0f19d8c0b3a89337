"""SQuAD's token F1; its exact match is `quasi_exact_match`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from saltus import kernels
from saltus.kernels import Counts
from saltus.metrics.metric import FloatArray, Values, metric
from saltus.metrics.pairing import best_values
from saltus.metrics.text import Outputs, Targets


def f1_scores(counts: Counts) -> FloatArray:
    """F1 of the tokens in common.

    Args:
        counts: (rows, 4) see `saltus.kernels.squad`.

    Returns:
        (rows,) shares; where a side has no tokens 1 if the other has none either, else 0, as
        SQuAD 2 has it for questions without an answer.
    """
    have, want, same = (counts[:, column].astype(np.float64) for column in range(3))
    precision, recall = same / np.maximum(have, 1), same / np.maximum(want, 1)
    f1 = 2 * precision * recall / np.where(same > 0, precision + recall, 1.0)
    empty = (have == 0) | (want == 0)
    return np.where(empty, counts[:, 3].astype(np.float64), f1)


@metric(
    unit="share of tokens",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="continuous",
    source="Rajpurkar et al. 2018, SQuAD 2, arXiv:1806.03822, `compute_f1`",
    aliases=("token_f1",),
    link="error_rate",
)
def squad_f1(output: Outputs, targets: Targets) -> Values:
    """F1 of the tokens in common, case, punctuation and articles aside.

    Args:
        output: the answers.
        targets: per answer the accepted answers; the one with the largest F1 counts.
    """

    def scored(have: Sequence[str], want: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        value = f1_scores(kernels.squad(have, want))
        return value, value

    return best_values(output, targets, scored, "no target")
