"""The choices of a batch of items, checked and normalised once for all metrics that use them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from saltus.metrics.metric import (
    BoolArray,
    FloatArray,
    IntArray,
    Ragged,
    Reasons,
    first_reasons,
    present,
)

ROUNDING = 1e-6  # how far a log-probability may stand above 0 before it is none


class Choices(NamedTuple):
    """The items that can be scored, their choices end to end.

    Args:
        logprobs: (choices,) nats, not normalised.
        starts: (scored,) where each item's choices begin.
        lengths: (scored,) choices per item.
        right: (scored,) place of the right choice in `logprobs`.
        scored: (items,) which of all items these are.
        missing: (items,) why the others are not.
        memo: what several metrics need, worked out once.
    """

    logprobs: FloatArray
    starts: IntArray
    lengths: IntArray
    right: IntArray
    scored: BoolArray
    missing: Reasons
    memo: dict[str, FloatArray]


def flags_per_item(flags: BoolArray, lengths: IntArray) -> IntArray:
    """(items,) flags of each item that are set."""
    if not flags.any():  # the usual case: good input costs no pass over the items
        return np.zeros(len(lengths), dtype=np.int64)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    return np.bincount(owner[flags], minlength=len(lengths))


def prepared(choice_logprobs: Ragged, target_index: FloatArray) -> Choices:
    """The items whose choices and right answer are all there and make sense.

    Worked out once for all the metrics of a batch.
    """
    memo, key = choice_logprobs.memo, f"choices {id(target_index)}"
    if key not in memo:
        # the index is kept beside, so that its identity stays its own
        memo[key] = (_prepared(choice_logprobs, target_index), target_index)
    choices: Choices = memo[key][0]
    return choices._replace(missing=choices.missing.copy())


def _prepared(choice_logprobs: Ragged, target_index: FloatArray) -> Choices:
    flat, lengths = choice_logprobs
    # an index that is not an integer points at no choice either
    index_there = (target_index >= 0) & (target_index < lengths) & (target_index % 1 == 0)
    known = lengths > 0
    nan, above, zero, never = (
        flags_per_item(flags, lengths)
        for flags in (np.isnan(flat), flat > ROUNDING, flat == 0, np.isneginf(flat))
    )
    checks = [
        (~known, "no choices"),
        (lengths == 1, "a single choice"),
        (np.isnan(target_index), "no index of the right choice"),
        (~index_there, "the index of the right choice is out of range"),
        (nan > 0, "a log-probability of a choice is not a number"),
        (above > 0, "a choice has a probability above 1"),
        (known & (zero == lengths), "all log-probabilities are 0: they were not recorded"),
        (known & (never == lengths), "all choices have probability 0"),
    ]
    missing = first_reasons(len(lengths), checks)
    scored = present(missing)
    if scored.all():
        starts = np.cumsum(lengths) - lengths
        right = starts + target_index.astype(np.int64)
        return Choices(flat, starts, lengths, right, scored, missing, {})
    kept = lengths[scored]
    starts = np.cumsum(kept) - kept
    right = starts + target_index[scored].astype(np.int64)
    return Choices(flat[np.repeat(scored, lengths)], starts, kept, right, scored, missing, {})


def _shifted(choices: Choices) -> FloatArray:
    """(choices,) log-probabilities less the largest of their item; 0 at the likeliest."""
    if "shifted" not in choices.memo:
        peak = np.maximum.reduceat(choices.logprobs, choices.starts)
        choices.memo["shifted"] = choices.logprobs - np.repeat(peak, choices.lengths)
        choices.memo["weights"] = np.exp(choices.memo["shifted"])
    return choices.memo["shifted"]


def totals(choices: Choices) -> FloatArray:
    """(scored,) sum over an item's choices of the probabilities over the largest one.

    1 over it is the probability of the likeliest choice.
    """
    if "totals" not in choices.memo:
        _shifted(choices)
        choices.memo["totals"] = np.add.reduceat(choices.memo["weights"], choices.starts)
    return choices.memo["totals"]


def log_right(choices: Choices) -> FloatArray:
    """(scored,) log of the right choice's probability among the choices."""
    logs: FloatArray = _shifted(choices)[choices.right] - np.log(totals(choices))
    return logs


def probabilities(choices: Choices) -> FloatArray:
    """(choices,) probabilities that sum to 1 per item."""
    if "probabilities" not in choices.memo:
        whole = np.repeat(totals(choices), choices.lengths)
        choices.memo["probabilities"] = choices.memo["weights"] / whole
    return choices.memo["probabilities"]


def grades(choices: Choices) -> FloatArray:
    """(scored,) 1 where the right choice is likeliest, 1/m where it ties with m - 1 others."""
    if "grades" not in choices.memo:
        top = _shifted(choices) == 0.0
        hit = top[choices.right].astype(np.float64)
        if np.count_nonzero(top) > len(choices.starts):  # somewhere is a tie
            hit /= np.add.reduceat(top, choices.starts, dtype=np.float64)
        choices.memo["grades"] = hit
    return choices.memo["grades"]
