"""Metrics of several answers to one item: pass@k, PassUntil, majority vote.

They are values of a whole set: an item's answers make one number, and items (or clusters of
items) are the draws of the variance.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from saltus.metrics.metric import (
    METRICS,
    FloatArray,
    IntArray,
    Metric,
    SetValue,
    metric,
)
from saltus.metrics.normalise import stripped
from saltus.metrics.sets import nothing
from saltus.metrics.text import Outputs, Targets

CHEN = "Chen et al. 2021, arXiv:2107.03374, eq. 1: 1 - C(n - c, k) / C(n, k)"
HU = "Hu et al. 2023, arXiv:2310.03262, PassUntil; unbiased form of Girshick et al. 1946"
KS = (1, 2, 4, 5, 8, 10, 16, 20, 25, 32, 50, 64, 100, 200)


def pass_at_k(answers: IntArray, right: IntArray, k: int) -> FloatArray:
    """Probability that k answers drawn from the n given ones hold a right one.

    The unbiased estimate of 1 - (1 - p)^k, which 1 - (1 - c/n)^k is not (it is too low).

    Args:
        answers: (items,) n, number of answers.
        right: (items,) c, how many of them are right.
        k: answers that may be tried, at least 1.

    Returns:
        (items,) NaN where n < k: fewer answers say nothing about k of them.
    """
    counts = np.stack([answers, right], axis=-1).reshape(-1, 2)
    kinds, place = np.unique(counts, axis=0, return_inverse=True)
    values = [
        1.0 - math.comb(n - c, k) / math.comb(n, k) if n >= k else math.nan
        for n, c in kinds.astype(int).tolist()
    ]
    return np.array(values, dtype=np.float64)[place.reshape(-1)].reshape(np.shape(answers))


def pass_until(right: IntArray, draws: IntArray, wanted: int) -> FloatArray:
    """Unbiased rate of right answers when each item is sampled until `wanted` right ones.

    (r - 1) / (K - 1) for an item that got its r right answers in K draws, and j / K_max for
    one that was cut off with j < r. This is the one unbiased function of the two counts, with
    or without a cut-off, so items may be averaged; r / K is up to 7 times too large.

    Args:
        right: (items,) right answers, at most `wanted`; the last draw of an item with
            `wanted` of them is right.
        draws: (items,) answers drawn.
        wanted: r, at least 2 (for r = 1 the only unbiased rate is whether the first is right).

    Raises:
        ValueError: `wanted` below 2, or counts that no such sampling gives.
    """
    if wanted < 2:
        raise ValueError(f"r = {wanted}: no unbiased rate of use exists below r = 2")
    if np.any((right > wanted) | (right < 0) | (draws < np.maximum(right, 1))):
        raise ValueError("counts of right answers must lie between 0 and r and within the draws")
    reached = right == wanted
    return np.where(reached, (wanted - 1) / np.maximum(draws - 1, 1), right / draws)


def pass_until_likelihood(rate: float, right: IntArray, draws: IntArray, wanted: int) -> float:
    """Log-likelihood (nats) of one rate shared by all items, cut-off items included.

    Items that reached r give C(K - 1, r - 1) p^r (1 - p)^(K - r), the others
    C(K, j) p^j (1 - p)^(K - j).
    """
    total = 0.0
    for j, drawn in zip(right.tolist(), draws.tolist(), strict=True):
        ways = math.comb(drawn - 1, wanted - 1) if j == wanted else math.comb(drawn, j)
        total += math.log(ways) + j * math.log(rate) + (drawn - j) * math.log1p(-rate)
    return total


class Tally(NamedTuple):
    """Answers grouped by item.

    Args:
        place: (answers,) number of the answer's item.
        answers: (items,) scored answers.
        right: (items,) right answers.
    """

    place: IntArray
    answers: IntArray
    right: IntArray


def tally(item: Sequence[str], correct: FloatArray) -> Tally:
    """Counts per item; an answer without a score is not counted."""
    _, place = np.unique(np.array(item, dtype=object).astype(str), return_inverse=True)
    scored = np.isfinite(correct)
    answers = np.bincount(place[scored], minlength=place.max(initial=-1) + 1)
    right = np.bincount(place[scored], correct[scored] == 1.0, len(answers))
    return Tally(place, answers, right.astype(np.int64))


def of_items(value: FloatArray, place: IntArray) -> SetValue:
    """The mean over items as a set's value; items without a value take no part."""
    known = np.isfinite(value)
    if not known.any():
        return nothing(len(place), "no item has a value")
    mean = float(value[known].mean())
    sizes = np.bincount(place, minlength=len(value))
    taking = known[place]
    # an item weighs 1 / items, shared among its answers: times answers, per answer
    scale = taking.sum() / (known.sum() * sizes[place])
    influence = np.where(taking, (value[place] - mean) * scale, np.nan)
    return SetValue(mean, influence)


def _pass_entry(k: int) -> Metric:
    def function(item: list[str], correct: FloatArray) -> SetValue:
        counts = tally(item, correct)
        # an item that lost answers to a parser takes no part; one that never had k refuses all
        fewest = int(min(np.bincount(counts.place).tolist(), default=0))
        if fewest < k:
            return nothing(len(item), f"some item has {fewest} answers, fewer than k = {k}")
        return of_items(pass_at_k(counts.answers, counts.right, k), counts.place)

    return Metric(
        f"pass@{k}", function, ("item", "correct"), "share of items", "higher", (0.0, 1.0),
        "thresholded", CHEN, (f"pass_at_{k}",), binary=k == 1,
        chance=0.0 if k == 1 else "none", kind="set",
        partners=("target_log_loss", "bits_per_byte", "token_error_rate", "char_error_rate"),
        summary=f"Probability that one of {k} answers is right, unbiased; refused for fewer.",
    )  # fmt: skip


for _k in KS:
    METRICS.add(_pass_entry(_k))


@metric(
    unit="share of items",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="thresholded",
    source="Wang et al. 2022, arXiv:2203.11171, self-consistency; ties: expected value of "
    "breaking them at random",
    aliases=("maj_vote", "self_consistency"),
    partners=("target_log_loss", "bits_per_byte", "token_error_rate", "char_error_rate"),
    kind="set",
)
def majority_vote(item: list[str], output: Outputs, targets: Targets) -> SetValue:
    """Share of items whose most frequent answer is right, white space at the ends aside.

    Args:
        item: (answers,) identifiers.
        output: the answers, extracted; an answer that is null casts no vote.
        targets: per answer the accepted answers.
    """
    names, place = np.unique(np.array(item, dtype=object).astype(str), return_inverse=True)
    votes: list[Counter[str]] = [Counter() for _ in names]
    accepted: list[set[str]] = [set() for _ in names]
    for number, text, given in zip(place.tolist(), output, targets, strict=True):
        accepted[number] |= {stripped(target) for target in given or () if target is not None}
        if text is not None:
            votes[number][stripped(text)] += 1
    if max((count.total() for count in votes), default=0) < 2:
        return nothing(len(item), "one answer per item: there is nothing to vote on")
    return of_items(np.array([*map(_elected, votes, accepted)]), place)


def _elected(votes: Counter[str], accepted: set[str]) -> float:
    """1 when the winner is accepted, a share when it ties, NaN without votes or targets."""
    if not votes or not accepted:
        return math.nan
    most = max(votes.values())
    winners = [text for text, count in votes.items() if count == most]
    return sum(text in accepted for text in winners) / len(winners)


@metric(
    unit="share of answers",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="continuous",
    source=HU,
    link="error_rate",
    kind="set",
)
def passuntil(item: list[str], sample: FloatArray, correct: FloatArray) -> SetValue:
    """Rate of right answers of items that were sampled until r right ones or a cut-off.

    r is the largest number of right answers of any item; the others were cut off.

    Args:
        item: (answers,) identifiers.
        sample: (answers,) place of each answer among those to its item, from 0.
        correct: (answers,) 1 where right.
    """
    counts = tally(item, correct)
    wanted = int(counts.right.max(initial=0))
    if np.isnan(correct).any():
        return nothing(len(item), "an answer without a score: the draws cannot be counted")
    if wanted < 2:
        return nothing(len(item), f"no item has 2 right answers (most: {wanted}); r >= 2 is needed")
    if not _stopped(counts, sample, correct, wanted):
        return nothing(
            len(item), f"items go on after {wanted} right answers or stop before; use pass@1"
        )
    return of_items(pass_until(counts.right, counts.answers, wanted), counts.place)


def _stopped(counts: Tally, sample: FloatArray, correct: FloatArray, wanted: int) -> bool:
    """Whether items end with the r-th right answer, and the others all at one cut-off."""
    order = np.lexsort((sample, counts.place))
    ends = np.append([b != a for a, b in pairwise(counts.place[order])], True)
    last_right = correct[order][ends] == 1.0
    reached = counts.right == wanted
    cut = counts.answers[~reached]
    longest = counts.answers.max()
    return bool(last_right[reached].all() and (cut == longest).all())
