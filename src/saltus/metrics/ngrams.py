"""BLEU, chrF, chrF++ and TER, equal to `sacrebleu` to the last bit.

The formulas take the counts that `saltus.kernels` makes and add up in the order in which
`sacrebleu` does, so that a score is the same number and not one close to it. A score of a
whole set of answers comes from summed counts; it is not the mean of the answers' scores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from saltus import kernels
from saltus.kernels import Counts, Tokenizer
from saltus.metrics.metric import FloatArray, Values, metric, present
from saltus.metrics.pairing import best_of, best_values, grouped, pairs
from saltus.metrics.text import Outputs, Targets, unusable

BLEU = "Papineni et al. 2002, P02-1040; Post 2018, arXiv:1804.08771"
CHRF = "Popovic 2015, W15-3049; as in `sacrebleu`, 6 orders, beta 2, white space removed"
CHRF_PLUS = "Popovic 2017, W17-4770: chrF and words in 2 orders; as in `sacrebleu`, word_order 2"
TER = "Snover et al. 2006, AMTA; as in `sacrebleu`, lower case, other settings at their defaults"

ORDERS = 4
BETA_SQUARED = 4
NO_LOG = -9999999999.0  # what `sacrebleu` takes for the logarithm of 0


def bleu_scores(counts: Counts, effective: bool) -> FloatArray:
    """BLEU with exponential smoothing.

    Args:
        counts: (rows, 6) see `saltus.kernels.bleu`; or (rows, 10) with the number of n-grams
            of the output for n = 1..4 behind it, as sums over answers need.
        effective: whether orders count only up to the longest n-gram that the output has, as
            for single answers.

    Returns:
        (rows,) percent.
    """
    length, closest, matches = counts[:, 0], counts[:, 1], counts[:, 2:6]
    totals = counts[:, 6:] if counts.shape[1] > 6 else bleu_totals(length)
    halvings = np.cumsum((matches == 0) & (totals > 0), axis=1)
    smoothed = np.where(matches == 0, 100.0 / 2.0**halvings, 100.0 * matches)
    with np.errstate(divide="ignore", invalid="ignore"):
        # 100 / (2^k total) for no match: 2^k is exact, so the order of divisions is free
        precision = np.where(totals > 0, smoothed / totals, 0.0)
        shortness = 1 - closest / length
    known = np.maximum((totals > 0).sum(axis=1), 1) if effective else ORDERS
    logs = _logarithms(precision, np.full(len(counts), known))
    # Python's sum, as `sacrebleu` has it: from 3.12 on it rounds otherwise than NumPy's
    means = np.fromiter(map(sum, zip(*logs, strict=True)), np.float64, len(counts)) / known
    brevity = (length >= closest) * 1.0
    short = (length > 0) & (length < closest)
    brevity[short] = list(map(math.exp, shortness[short].tolist()))
    score = brevity * np.fromiter(map(math.exp, means.tolist()), np.float64, len(means))
    return np.where(matches.any(axis=1), score, 0.0)


def bleu_totals(length: Counts) -> Counts:
    """(rows, 4) n-grams that an output of so many tokens has."""
    totals: Counts = np.maximum(length[:, None] - np.arange(ORDERS), 0)
    return totals


def _logarithms(precision: FloatArray, orders: Counts) -> list[list[float]]:
    """Per order the logarithms as `math.log` rounds them, 0 beyond the orders that count."""
    logs = np.where(np.arange(ORDERS) < orders[:, None], NO_LOG, 0.0)
    some = precision > 0
    logs[some] = list(map(math.log, precision[some].tolist()))
    columns: list[list[float]] = logs.T.tolist()
    return columns


def chrf_scores(counts: Counts) -> FloatArray:
    """The chrF from counts per order.

    Args:
        counts: (rows, orders, 3) n-grams of the output, of the target, and in common.

    Returns:
        (rows,) percent; 0 where no order has n-grams on both sides.
    """
    precision, recall = np.zeros(len(counts)), np.zeros(len(counts))
    orders = np.zeros(len(counts))
    for have, want, match in np.moveaxis(counts, 0, -1):
        both = (have > 0) & (want > 0)
        precision += np.where(both, match / np.maximum(have, 1), 0.0)
        recall += np.where(both, match / np.maximum(want, 1), 0.0)
        orders += both
    precision, recall = precision / np.maximum(orders, 1), recall / np.maximum(orders, 1)
    with np.errstate(invalid="ignore"):
        score = (1 + BETA_SQUARED) * precision * recall / (BETA_SQUARED * precision + recall)
    return np.where(precision + recall > 0, 100 * score, 0.0)


def chrf_counts(outputs: Sequence[str], targets: Sequence[str], words: bool = False) -> Counts:
    """(rows, orders, 3) n-grams of the output, of the target and in common, per order.

    Args:
        outputs: the answers.
        targets: (outputs) what each is compared with.
        words: whether word n-grams follow those of characters, as for chrF++.
    """
    of_characters = chrf_orders(kernels.chrf(outputs, targets))
    if not words:
        return of_characters
    return np.hstack([of_characters, chrf_orders(kernels.chrf_words(outputs, targets))])


def chrf_orders(counts: Counts) -> Counts:
    """(rows, 2 + orders) of `saltus.kernels.chrf` or `chrf_words` to (rows, orders, 3) n-grams.

    An output's n-grams of an order that the target has none of do not count.
    """
    fewer = np.arange(counts.shape[1] - 2)
    have, want = (np.maximum(counts[:, side, None] - fewer, 0) for side in (0, 1))
    return np.stack([np.where(want > 0, have, 0), want, counts[:, 2:]], axis=2)


def ter_scores(edits: FloatArray, length: FloatArray) -> FloatArray:
    """Edits per word of the target.

    Args:
        edits: (rows,) with shifts.
        length: (rows,) words of the target, a mean where there are several.

    Returns:
        (rows,) percent; of an empty target 100, or 0 where the output is empty too.
    """
    rate = edits / np.where(length > 0, length, 1.0)
    return np.asarray(100 * np.where(length > 0, rate, (edits > 0) * 1.0))


# ---- of a set of answers


def corpus_bleu(
    outputs: Sequence[str], targets: Sequence[Sequence[str]], tokenizer: Tokenizer = "13a"
) -> float:
    """BLEU of a set of answers, `sacrebleu`'s `corpus_bleu`.

    Args:
        outputs: the answers.
        targets: (outputs) the accepted answers of each, at least one.
        tokenizer: see `saltus.kernels.bleu`.

    Returns:
        Percent.
    """
    counts = kernels.bleu(outputs, targets, tokenizer)
    whole = np.hstack([counts, bleu_totals(counts[:, 0])]).sum(axis=0, keepdims=True)
    return float(bleu_scores(whole, effective=False)[0])


def corpus_chrf(
    outputs: Sequence[str], targets: Sequence[Sequence[str]], words: bool = False
) -> float:
    """The chrF of a set of answers, each with its best target: `sacrebleu`'s `corpus_chrf`.

    Args:
        outputs: the answers.
        targets: (outputs) the accepted answers of each, at least one.
        words: whether word n-grams count too, as in chrF++.

    Returns:
        Percent.
    """
    counts = chrf_of_best(outputs, targets, words)
    return float(chrf_scores(counts.sum(axis=0, keepdims=True))[0])


def chrf_of_best(
    outputs: Sequence[str], targets: Sequence[Sequence[str]], words: bool = False
) -> Counts:
    """(outputs, orders, 3) counts of each answer with the target that has the largest chrF."""
    item, have, want = pairs(outputs, targets)
    counts = chrf_counts(have, want, words)
    best: Counts = counts[best_of(item, chrf_scores(counts))]
    return best


def corpus_ter(outputs: Sequence[str], targets: Sequence[Sequence[str]]) -> float:
    """TER of a set of answers: `sacrebleu`'s `corpus_ter`.

    Args:
        outputs: the answers.
        targets: (outputs) the accepted answers of each, at least one.

    Returns:
        Percent.
    """
    edits, length = edits_and_lengths(outputs, targets)
    return float(ter_scores(np.array([sum(edits)]), np.array([sum(length)]))[0])


def edits_and_lengths(output: Outputs, targets: Targets) -> tuple[FloatArray, FloatArray]:
    """Per answer the least edits to a target and the targets' mean length; NaN without any."""
    item, have, want = pairs(output, targets)
    edits, length = np.full((2, len(output)), np.nan)
    if len(item):
        counts = kernels.ter(have, want)
        chosen = best_of(item, -counts[:, 2].astype(np.float64))
        edits[item[chosen]] = counts[chosen, 2]
        number = np.bincount(item, minlength=len(output))
        words = np.bincount(item, counts[:, 1], len(output))
        length[number > 0] = words[number > 0] / number[number > 0]
    return edits, length


# ---- of single answers


@metric(
    unit="percent",
    better="higher",
    bounds=(0.0, 100.0),
    reaction="continuous",
    source=f"{BLEU}; `sentence_bleu`: tokens 13a, exponential smoothing, effective order",
    link="error_rate",
)
def sentence_bleu(output: Outputs, targets: Targets) -> Values:
    """BLEU of each answer; a set's BLEU is not the mean of these.

    Args:
        output: the answers.
        targets: per answer the accepted answers; an n-gram counts as often as the one that
            has it most often.
    """
    return _bleu(output, targets, "13a")


@metric(
    unit="percent",
    better="higher",
    bounds=(0.0, 100.0),
    reaction="continuous",
    source=f"{BLEU}; `sentence_bleu` with tokens intl",
    link="error_rate",
)
def sentence_bleu_intl(output: Outputs, targets: Targets) -> Values:
    """BLEU of each answer with Unicode's punctuation and symbols as tokens.

    Args:
        output: the answers.
        targets: per answer the accepted answers.
    """
    return _bleu(output, targets, "intl")


@metric(
    unit="percent",
    better="higher",
    bounds=(0.0, 100.0),
    reaction="continuous",
    source=f"{BLEU}; `sentence_bleu` with tokens char",
    link="error_rate",
)
def sentence_bleu_char(output: Outputs, targets: Targets) -> Values:
    """BLEU of each answer with characters as tokens, for scripts without spaces.

    Args:
        output: the answers.
        targets: per answer the accepted answers.
    """
    return _bleu(output, targets, "char")


def _bleu(output: Outputs, targets: Targets, tokenizer: Tokenizer) -> Values:
    missing = unusable(output, targets)
    value = np.full(len(output), np.nan)
    items = np.flatnonzero(present(missing))
    texts, groups = grouped(output, targets, present(missing))
    counts = kernels.bleu(texts, groups, tokenizer)
    value[items] = bleu_scores(counts, effective=True)
    empty = np.array([not any(map(str.strip, group)) for group in groups], dtype=bool)
    value[items[empty]] = np.nan
    missing[items[empty]] = "the target is empty"
    return Values(value, missing)


@metric(
    unit="percent",
    better="higher",
    bounds=(0.0, 100.0),
    reaction="continuous",
    source=f"{CHRF}; `sentence_chrf`",
    link="error_rate",
)
def sentence_chrf(output: Outputs, targets: Targets) -> Values:
    """The chrF of each answer: common character n-grams, recall counting double.

    Args:
        output: the answers.
        targets: per answer the accepted answers; the one with the largest value counts.
    """
    return _chrf(output, targets, words=False)


@metric(
    name="sentence_chrf++",
    unit="percent",
    better="higher",
    bounds=(0.0, 100.0),
    reaction="continuous",
    source=f"{CHRF_PLUS}; `sentence_score`",
    link="error_rate",
)
def sentence_chrf_plus(output: Outputs, targets: Targets) -> Values:
    """The chrF++ of each answer: common n-grams of characters and of words.

    Args:
        output: the answers.
        targets: per answer the accepted answers; the one with the largest value counts.
    """
    return _chrf(output, targets, words=True)


def _chrf(output: Outputs, targets: Targets, words: bool) -> Values:
    def scored(have: Sequence[str], want: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        counts = chrf_counts(have, want, words)
        value = np.where(counts[:, 0, 1] > 0, chrf_scores(counts), np.nan)
        return value, value

    return best_values(output, targets, scored, "the target is empty")


@metric(
    unit="percent edits per word",
    better="lower",
    bounds=(0.0, None),
    reaction="continuous",
    source=f"{TER}; `sentence_ter`",
)
def sentence_ter(output: Outputs, targets: Targets) -> Values:
    """Translation edit rate of each answer: word edits and moved blocks per word of the target.

    Args:
        output: the answers.
        targets: per answer the accepted answers; the least edits count, over the mean length.
    """
    missing = unusable(output, targets)
    edits, length = edits_and_lengths(output, targets)
    missing[(length == 0) & present(missing)] = "the target is empty"
    there = present(missing)
    value = np.full(len(output), np.nan)
    value[there] = ter_scores(edits[there], length[there])
    return Values(value, missing, np.where(there, length, np.nan))
