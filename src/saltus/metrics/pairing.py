"""Answers with several targets as pairs of one output and one target, and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import numpy as np

from saltus.metrics.metric import BoolArray, FloatArray, IntArray, Values, present
from saltus.metrics.text import Outputs, Targets, only_targets, unusable


class Pairs(NamedTuple):
    """Every answer with each of its targets, one row per pair.

    Args:
        item: (pairs,) which answer.
        outputs: the answers.
        targets: the accepted answers.
    """

    item: IntArray
    outputs: list[str]
    targets: list[str]


def pairs(output: Outputs, targets: Targets) -> Pairs:
    """The pairs of all answers that have an output and targets."""
    if (only := only_targets(output, targets)) is not None:
        return Pairs(np.arange(len(only)), cast(list[str], list(output)), only)
    rows = [
        (item, text, target)
        for item, (text, given) in enumerate(zip(output, targets, strict=True))
        if text is not None and given
        for target in given
        if target is not None
    ]
    items, outputs, goals = zip(*rows, strict=True) if rows else ((), (), ())
    return Pairs(np.array(items, dtype=np.int64), list(outputs), list(goals))


def grouped(
    output: Outputs, targets: Targets, there: BoolArray
) -> tuple[list[str], list[list[str]]]:
    """The answers where `there` holds, and the accepted answers of each."""
    items = np.flatnonzero(there).tolist()
    groups = [[target for target in targets[item] or () if target is not None] for item in items]
    return [output[item] or "" for item in items], groups


def best_of(item: IntArray, rank: FloatArray) -> IntArray:
    """The pair of each answer with the largest rank that is a number, the first of equals.

    Args:
        item: (pairs,) which answer, rising.
        rank: (pairs,) NaN for a pair that does not count.

    Returns:
        Numbers of the chosen pairs; an answer without any has none.
    """
    order = np.lexsort((np.arange(len(item)), -rank, item))
    order = order[~np.isnan(rank[order])]
    first = np.ones(len(order), dtype=bool)
    first[1:] = item[order[1:]] != item[order[:-1]]
    chosen: IntArray = order[first]
    return chosen


def best_values(
    output: Outputs,
    targets: Targets,
    scored: Callable[[Sequence[str], Sequence[str]], tuple[FloatArray, FloatArray]],
    nothing: str,
) -> Values:
    """Each answer's value with the target that suits it best.

    Args:
        output: the answers.
        targets: per answer the accepted answers.
        scored: pairs of texts to their values and their ranks, the largest of which counts;
            NaN for a target that nothing can be compared with.
        nothing: the reason when no target can be compared.
    """
    item, outputs, goals = pairs(output, targets)
    missing = unusable(output, targets)
    value = np.full(len(output), np.nan)
    if len(item):
        values, rank = scored(outputs, goals)
        chosen = best_of(item, rank)
        value[item[chosen]] = values[chosen]
    lacking: BoolArray = np.isnan(value) & present(missing)
    missing[lacking] = nothing
    return Values(value, missing)
