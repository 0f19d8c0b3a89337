"""Metrics that count the edits between an output and a target.

Texts lose the white space at their ends first. Words are what white space parts; characters
are Unicode code points. Of several targets the one with the best value counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from rapidfuzz.distance import Levenshtein

from saltus.kernels import Counts, word_edits
from saltus.metrics.metric import FloatArray, IntArray, Values, metric, present
from saltus.metrics.normalise import stripped, with_spaced_dashes, without_preamble
from saltus.metrics.pairing import pairs
from saltus.metrics.text import Outputs, Targets, unusable

SOURCE = "Levenshtein 1966; Schaeffer et al. 2023, arXiv:2304.15004, app. A.2"

Normalise = Callable[[str], str]
Count = Callable[[Sequence[str], Sequence[str]], Counts]


class Edits(NamedTuple):
    """Edits between answers and targets, one row per pair.

    Args:
        item: (pairs,) which answer.
        distance: (pairs,) insertions, deletions and substitutions.
        output: (pairs,) length of the output.
        target: (pairs,) length of the target.
    """

    item: IntArray
    distance: FloatArray
    output: FloatArray
    target: FloatArray


def character_edits(outputs: Sequence[str], targets: Sequence[str]) -> Counts:
    """(pairs, 3) characters of the output, of the target, and edits, as `kernels.word_edits`."""
    counts = np.zeros((len(outputs), 3), dtype=np.int64)
    for column, numbers in enumerate(
        (map(len, outputs), map(len, targets), map(Levenshtein.distance, outputs, targets))
    ):
        counts[:, column] = np.fromiter(numbers, np.int64, len(outputs))
    return counts


def edits(output: Outputs, targets: Targets, count: Count, normal: Normalise = stripped) -> Edits:
    """Edits of every answer to each of its targets; answers that lack either have no row."""
    item, texts, goals = pairs(output, targets)
    counts = count([normal(text) for text in texts], [normal(goal) for goal in goals])
    have, want, distance = counts.astype(np.float64).T
    return Edits(item, distance, have, want)


def _least(output: Outputs, targets: Targets, found: Edits, value: FloatArray,
           units: FloatArray) -> Values:  # fmt: skip
    """The least value of each answer's pairs, the first target winning ties."""
    missing = unusable(output, targets)
    best, weight = np.full((2, len(output)), np.nan)
    # from the last choice to the first, so that the first target's least value stays
    order = np.lexsort((np.arange(len(value)), np.nan_to_num(value, nan=np.inf)))[::-1]
    item = found.item[order]
    best[item], weight[item] = value[order], units[order]
    missing[np.isnan(best) & present(missing)] = "the target is empty"
    return Values(best, missing, weight)


def _distance(output: Outputs, targets: Targets, count: Count,
              normal: Normalise = stripped) -> Values:  # fmt: skip
    found = edits(output, targets, count, normal)
    value, missing, _ = _least(output, targets, found, found.distance, found.target)
    return Values(value, missing)


def _share(output: Outputs, targets: Targets, count: Count) -> Values:
    """Distance over the longer length; 0 where both are empty."""
    found = edits(output, targets, count)
    longer = np.maximum(found.output, found.target)
    return _least(output, targets, found, found.distance / np.maximum(longer, 1.0), longer)


def _rate(output: Outputs, targets: Targets, count: Count) -> Values:
    """Distance over the target's length, at most 1; none where the target is empty."""
    found = edits(output, targets, count)
    length = np.where(found.target > 0, found.target, np.nan)
    return _least(output, targets, found, np.minimum(found.distance / length, 1.0), length)


@metric(
    unit="errors per character",
    better="lower",
    bounds=(0.0, 1.0),
    reaction="continuous",
    source=f"{SOURCE}; divided by the target's length, at most 1",
    link="error_rate",
    default=True,
)
def char_error_rate(output: Outputs, targets: Targets) -> Values:
    """Character edits per character of the target, at most 1.

    Args:
        output: the answers.
        targets: per answer the accepted answers; the nearest counts.
    """
    return _rate(output, targets, character_edits)


@metric(
    unit="errors per word",
    better="lower",
    bounds=(0.0, 1.0),
    reaction="continuous",
    source=f"{SOURCE}; divided by the target's length, at most 1",
    link="error_rate",
    default=True,
)
def token_error_rate(output: Outputs, targets: Targets) -> Values:
    """Word edits per word of the target, at most 1.

    Args:
        output: the answers.
        targets: per answer the accepted answers; the nearest counts.
    """
    return _rate(output, targets, word_edits)


@metric(
    unit="edits",
    better="lower",
    bounds=(0.0, None),
    reaction="continuous",
    source=SOURCE,
    aliases=("token_edit_distance",),
    default=True,
)
def word_edit_distance(output: Outputs, targets: Targets) -> Values:
    """Words to insert, delete or replace to turn the output into the target.

    Args:
        output: the answers.
        targets: per answer the accepted answers; the nearest counts.
    """
    return _distance(output, targets, word_edits)


@metric(
    unit="share of words",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="continuous",
    source=f"{SOURCE}; 1 minus the distance over the longer length",
    link="error_rate",
    default=True,
)
def word_accuracy(output: Outputs, targets: Targets) -> Values:
    """1 minus word edits over the words of the longer text.

    Args:
        output: the answers.
        targets: per answer the accepted answers; the nearest counts.
    """
    value, missing, units = _share(output, targets, word_edits)
    return Values(1.0 - value, missing, units)


@metric(
    unit="errors per word",
    better="lower",
    bounds=(0.0, 1.0),
    reaction="continuous",
    source=f"{SOURCE}; divided by the longer length",
    link="error_rate",
)
def word_error(output: Outputs, targets: Targets) -> Values:
    """Word edits over the words of the longer text.

    Args:
        output: the answers.
        targets: per answer the accepted answers; the nearest counts.
    """
    return _share(output, targets, word_edits)


@metric(
    unit="errors per character",
    better="lower",
    bounds=(0.0, 1.0),
    reaction="continuous",
    source=f"{SOURCE}; divided by the longer length",
    link="error_rate",
)
def char_error(output: Outputs, targets: Targets) -> Values:
    """Character edits over the characters of the longer text.

    Args:
        output: the answers.
        targets: per answer the accepted answers; the nearest counts.
    """
    return _share(output, targets, character_edits)


@metric(
    unit="edits", better="lower", bounds=(0.0, None), reaction="continuous", source=SOURCE
)  # fmt: skip
def char_edit_distance(output: Outputs, targets: Targets) -> Values:
    """Characters to insert, delete or replace to turn the output into the target.

    Args:
        output: the answers.
        targets: per answer the accepted answers; the nearest counts.
    """
    return _distance(output, targets, character_edits)


@metric(
    unit="edits", better="lower", bounds=(0.0, None), reaction="continuous", source=SOURCE
)  # fmt: skip
def word_edit_distance_without_preamble(output: Outputs, targets: Targets) -> Values:
    """Word edits after an introducing "Here is the text with ...: " is removed.

    Args:
        output: the answers.
        targets: per answer the accepted answers; the nearest counts.
    """
    return _distance(output, targets, word_edits, without_preamble)


@metric(
    unit="edits", better="lower", bounds=(0.0, None), reaction="continuous", source=SOURCE
)  # fmt: skip
def word_edit_distance_with_spaced_dashes(output: Outputs, targets: Targets) -> Values:
    """Word edits without the preamble and with every dash a word of its own.

    Args:
        output: the answers.
        targets: per answer the accepted answers; the nearest counts.
    """
    return _distance(output, targets, word_edits, with_spaced_dashes)


@metric(
    unit="edits", better="lower", bounds=(0.0, None), reaction="continuous", source=SOURCE
)  # fmt: skip
def char_edit_distance_without_preamble(output: Outputs, targets: Targets) -> Values:
    """Character edits after an introducing "Here is the text with ...: " is removed.

    Args:
        output: the answers.
        targets: per answer the accepted answers; the nearest counts.
    """
    return _distance(
        output, targets, character_edits, lambda text: stripped(without_preamble(text))
    )
