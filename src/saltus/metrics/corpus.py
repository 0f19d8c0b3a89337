"""BLEU, chrF, chrF++ and TER of all answers of a model to a task, as `sacrebleu` reports them.

Counts are added up over the answers before the formula, so a long answer weighs more than a
short one and the value is no mean. Its influence function is the formula's derivative at the
sums, per answer.
"""

from __future__ import annotations

import numpy as np

from saltus import kernels
from saltus.kernels import Counts, Tokenizer
from saltus.metrics import ngrams
from saltus.metrics.metric import BIG_BENCH, FloatArray, SetValue, metric, present
from saltus.metrics.ngrams import BETA_SQUARED, ORDERS
from saltus.metrics.pairing import grouped
from saltus.metrics.sets import nothing, unscored, whole
from saltus.metrics.text import Outputs, Targets, unusable


def _relative(counts: Counts) -> FloatArray:
    """(answers, columns) each answer's counts over their mean; 0 where no answer has any."""
    mean = counts.mean(axis=0)
    return np.where(mean > 0, counts / np.where(mean > 0, mean, 1.0), 0.0)


def bleu_influence(counts: Counts, value: float) -> FloatArray:
    """How far each answer moves a set's BLEU.

    Args:
        counts: (answers, 6) see `saltus.kernels.bleu`.
        value: BLEU of the set.
    """
    totals = ngrams.bleu_totals(counts[:, 0])
    length, closest = counts[:, 0].mean(), counts[:, 1].mean()
    terms = (_relative(counts[:, 2:6]) - _relative(totals)).sum(axis=1) / ORDERS
    if 0 < length < closest:  # the brevity penalty exp(1 - closest / length)
        terms += (closest * counts[:, 0] / length - counts[:, 1]) / length
    # orders without any match are smoothed by their totals alone, whose terms sum to -1 each
    influence: FloatArray = value * (terms - terms.mean())
    return influence


def chrf_influence(counts: Counts) -> FloatArray:
    """How far each answer moves a set's chrF.

    Args:
        counts: (answers, orders, 3) n-grams of the output, of the target, and in common.
    """
    mean = counts.mean(axis=0)
    orders = (mean[:, 0] > 0) & (mean[:, 1] > 0)
    if not orders.any() or not mean[orders, 2].any():
        return np.zeros(len(counts))
    shares, moves = [], []
    for side in (0, 1):
        share = mean[orders, 2] / mean[orders, side]
        move = (counts[:, orders, 2] - share * counts[:, orders, side]) / mean[orders, side]
        shares.append(share.mean())
        moves.append(move.mean(axis=1))
    precision, recall = shares
    below = BETA_SQUARED * precision + recall
    slopes = recall**2, BETA_SQUARED * precision**2
    scale = 100 * (1 + BETA_SQUARED) / below**2
    return np.asarray(scale * (slopes[0] * moves[0] + slopes[1] * moves[1]))


def _of_bleu(name: str, tokenizer: Tokenizer, aliases: tuple[str, ...], says: str) -> None:
    """Registers the BLEU of a set with one of `sacrebleu`'s tokenizers."""

    def bleu(output: Outputs, targets: Targets) -> SetValue:
        missing = unusable(output, targets)
        there = present(missing)
        if not there.any():
            return unscored(missing)
        counts = kernels.bleu(*grouped(output, targets, there), tokenizer)
        if not counts[:, 1].any():
            return nothing(len(output), "all targets are empty")
        sums = np.hstack([counts, ngrams.bleu_totals(counts[:, 0])]).sum(axis=0, keepdims=True)
        value = float(ngrams.bleu_scores(sums, effective=False)[0])
        return whole(there, value, bleu_influence(counts, value))

    bleu.__doc__ = f"BLEU of the whole set of answers, tokens {tokenizer}."
    metric(
        name=name, unit="percent", better="higher", bounds=(0.0, 100.0), reaction="continuous",
        source=f"{ngrams.BLEU}; `corpus_bleu`: {says}", aliases=aliases, link="error_rate",
        kind="set",
    )(bleu)  # fmt: skip


_of_bleu("bleu", "13a", ("sacrebleu", "corpus_bleu"), "tokens 13a, exponential smoothing")
_of_bleu(
    "bleu_intl", "intl", (), f"tokens intl, exponential smoothing, as in {BIG_BENCH}, `bleu_fn`"
)
_of_bleu("bleu_char", "char", (), "tokens char, exponential smoothing, for scripts without spaces")


def _of_chrf(name: str, source: str, aliases: tuple[str, ...], words: bool) -> None:
    """Registers the chrF of a set, with or without word n-grams."""

    def chrf(output: Outputs, targets: Targets) -> SetValue:
        missing = unusable(output, targets)
        there = present(missing)
        if not there.any():
            return unscored(missing)
        counts = ngrams.chrf_of_best(*grouped(output, targets, there), words)
        if not counts[:, 0, 1].any():
            return nothing(len(output), "all targets are empty")
        value = float(ngrams.chrf_scores(counts.sum(axis=0, keepdims=True))[0])
        return whole(there, value, chrf_influence(counts))

    chrf.__doc__ = f"The {name.replace('f', 'F')} of the whole set of answers, best targets."
    metric(
        name=name, unit="percent", better="higher", bounds=(0.0, 100.0), reaction="continuous",
        source=f"{source}; `corpus_score`", aliases=aliases, link="error_rate", kind="set",
    )(chrf)  # fmt: skip


_of_chrf("chrf", ngrams.CHRF, ("corpus_chrf",), words=False)
_of_chrf("chrf++", ngrams.CHRF_PLUS, ("corpus_chrf++",), words=True)


@metric(
    unit="percent edits per word",
    better="lower",
    bounds=(0.0, None),
    reaction="continuous",
    source=f"{ngrams.TER}; `corpus_ter`",
    aliases=("corpus_ter",),
    kind="set",
)
def ter(output: Outputs, targets: Targets) -> SetValue:
    """Translation edit rate of the whole set of answers.

    Args:
        output: the answers.
        targets: per answer the accepted answers; the least edits count, over the mean length.
    """
    missing = unusable(output, targets)
    there = present(missing)
    if not there.any():
        return unscored(missing)
    edits, length = ngrams.edits_and_lengths(*grouped(output, targets, there))
    if not length.any():
        return nothing(len(output), "all targets are empty")
    value = float(ngrams.ter_scores(np.array([sum(edits)]), np.array([sum(length)]))[0])
    return whole(there, value, (100 * edits - value * length) / length.mean())
