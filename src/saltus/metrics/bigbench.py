"""BIG-bench's own metrics where they differ from the field's: as its code computes them.

The names that BIG-bench shares with others (`multiple_choice_grade`, `rouge1`, ...) stand with
those; `saltus metrics` says for each which of its functions defines it.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence

import numpy as np

from saltus.metrics.choice import brier_sum
from saltus.metrics.choices import prepared
from saltus.metrics.metric import (
    BIG_BENCH,
    BoolArray,
    FloatArray,
    Ragged,
    SetValue,
    Values,
    metric,
    present,
)
from saltus.metrics.pairing import best_values
from saltus.metrics.sets import unscored, whole
from saltus.metrics.text import PARTNERS, Outputs, Targets, compared, each

FILLER = "O"  # label with which an output that is too short is filled up
TOLERANCE = 0.1


# ---- texts


@metric(
    unit="share of items",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="thresholded",
    source=f"{BIG_BENCH}, `exact_str_match_fn`",
    binary=True,
    chance=0.0,
    partners=PARTNERS,
)
def exact_str_match(output: Outputs, targets: Targets) -> Values:
    """1 when the output is a target to the last character, white space included.

    Args:
        output: the answers.
        targets: per answer the accepted answers; one that equals is enough.
    """

    def pairs(have: Sequence[str], want: Sequence[str]) -> BoolArray:
        return compared(operator.eq, have, want)

    return each(output, targets, lambda text, given: text in given, pairs)


@metric(
    unit="share of items",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="thresholded",
    source=f"{BIG_BENCH}, `case_insensitive_str_match_fn`",
    binary=True,
    chance=0.0,
    partners=PARTNERS,
)
def case_insensitive_str_match(output: Outputs, targets: Targets) -> Values:
    """1 when the output equals a target in lower case, white space at the ends aside.

    Args:
        output: the answers.
        targets: per answer the accepted answers; one that equals is enough.
    """

    def holds(text: str, given: Sequence[str]) -> bool:
        return text.strip().lower() in (target.strip().lower() for target in given)

    return each(output, targets, holds)


@metric(
    unit="percent of labels",
    better="higher",
    bounds=(0.0, 100.0),
    reaction="continuous",
    source=f"{BIG_BENCH}, `sequence_f1_fn`: no F1, but labels that are right in their place",
    link="error_rate",
)
def sequence_f1(output: Outputs, targets: Targets) -> Values:
    """Percent of the target's labels (parted by single blanks) that the output has in place.

    An output that is too short is filled up with "O", one that is too long is cut.

    Args:
        output: the answers.
        targets: per answer the accepted answers; the best counts, where BIG-bench takes the
            first.
    """

    def one(text: str, target: str) -> float:
        wanted = target.split(" ")
        given = text.split(" ")[: len(wanted)]
        given += [FILLER] * (len(wanted) - len(given))
        right = sum(one == goal for one, goal in zip(given, wanted, strict=True))
        return 100.0 * right / len(wanted)

    return best_values(output, targets, _one_by_one(one), "no target")


@metric(
    unit="share of items",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="thresholded",
    source=f"{BIG_BENCH}, `numeric_match_with_0_1_relative_error_fn`",
    binary=True,
    chance=0.0,
    partners=("numeric_relative_error", *PARTNERS),
)
def numeric_match_with_0_1_relative_error(output: Outputs, targets: Targets) -> Values:
    """1 when the output, as a whole a number to Python, is within a tenth of a target.

    Two quirks are kept: a target of 0 is met by what is at most 0.1 away, and a negative
    target by every number, since the distance is divided by the target with its sign. See
    `numeric_match_within_tenth` for one without them.

    Args:
        output: the answers, each a number and nothing else (extract it first).
        targets: per answer the accepted numbers; BIG-bench allows one.
    """

    def one(text: str, target: str) -> float:
        given, goal = _float(text), _float(target)
        if math.isnan(goal):
            return math.nan
        return float(abs(given - goal) / (goal or 1.0) <= TOLERANCE)

    return best_values(output, targets, _one_by_one(one), "no target is a number")


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _one_by_one(
    score: Callable[[str, str], float],
) -> Callable[[Sequence[str], Sequence[str]], tuple[FloatArray, FloatArray]]:
    """A score of one pair of texts as `best_values` takes it."""

    def scored(have: Sequence[str], want: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        value = np.fromiter(map(score, have, want), np.float64, len(have))
        return value, value

    return scored


# ---- choices


@metric(
    unit="nats per item",
    better="higher",
    bounds=(None, 0.0),
    reaction="continuous",
    source=f"{BIG_BENCH}, `measure_weighted_log_probabilities`, with one right choice",
    link="nll",
)
def weighted_log_probabilities(choice_logprobs: Ragged, target_index: FloatArray) -> Values:
    """Log-probability of the right choice among all strings, not only among the choices.

    Args:
        choice_logprobs: nats, per item one per choice, taken as they are.
        target_index: (items,) place of the right choice, from 0.
    """
    choices = prepared(choice_logprobs, target_index)
    value = np.full(len(choices.scored), np.nan)
    value[choices.scored] = np.minimum(choices.logprobs[choices.right], 0.0)
    return Values(value, choices.missing)


@metric(
    unit="squared probability, mean over choices",
    better="lower",
    bounds=(0.0, 1.0),
    reaction="continuous",
    source=f"{BIG_BENCH}, `measure_calibration_multiple_choice_brier_score`",
    chance="brier_mean",
    link="brier",
    kind="set",
)
def calibration_multiple_choice_brier_score(
    choice_logprobs: Ragged, target_index: FloatArray
) -> SetValue:
    """Brier score summed over all choices of all items, divided by the number of choices.

    The mean of `brier_mean` where all items have as many choices.

    Args:
        choice_logprobs: nats, per item one per choice; made to sum to 1 over the choices.
        target_index: (items,) place of the right choice, from 0.
    """
    value, missing, _ = brier_sum(choice_logprobs, target_index)
    there = present(missing)
    if not there.any():
        return unscored(missing)
    brier, sizes = value[there], choice_logprobs.lengths[there]
    ratio = float(brier.sum() / sizes.sum())
    return whole(there, ratio, (brier - ratio * sizes) / sizes.mean())
