"""Metrics of the log-probabilities of the target's tokens."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from saltus.metrics.choices import ROUNDING
from saltus.metrics.metric import (
    BIG_BENCH,
    BoolArray,
    FloatArray,
    Ragged,
    Reasons,
    Values,
    first_reasons,
    metric,
    present,
)
from saltus.metrics.text import Targets


def _unusable(tokens: Ragged) -> Reasons:
    """(items,) why a target's log-probabilities cannot be scored."""
    nan, above, zero = np.isnan(tokens.flat), tokens.flat > ROUNDING, tokens.flat == 0
    checks = [
        (tokens.lengths == 0, "no log-probabilities of the target"),
        (_sums(tokens, nan) > 0, "a log-probability of the target is not a number"),
        (_sums(tokens, above) > 0, "a target token has a probability above 1"),
        (
            _sums(tokens, zero) == tokens.lengths,
            "all log-probabilities are 0: they were not recorded",
        ),
    ]
    return first_reasons(len(tokens.lengths), checks)


def _sums(tokens: Ragged, numbers: FloatArray | BoolArray) -> FloatArray:
    """(items,) sum of one number per token."""
    places = np.repeat(np.arange(len(tokens.lengths)), tokens.lengths)
    weights = np.asarray(numbers, dtype=np.float64)
    return np.bincount(places, weights, len(tokens.lengths)).astype(np.float64)


def _mean(tokens: Ragged, numbers: FloatArray) -> Values:
    """Mean per token; the number of tokens are the units."""
    counts = tokens.lengths.astype(np.float64)
    value = _sums(tokens, numbers) / np.maximum(counts, 1.0)
    return Values(value, _unusable(tokens), np.where(counts > 0, counts, np.nan))


@metric(
    unit="nats per token",
    better="lower",
    bounds=(0.0, None),
    reaction="continuous",
    source="Schaeffer et al. 2023, arXiv:2304.15004, sec. 2: mean cross-entropy per target token",
    aliases=("cross_entropy", "ce_loss", "nll", "negative_log_likelihood", "val_loss"),
    link="nll",
    default=True,
)
def target_log_loss(target_logprobs: Ragged) -> Values:
    """Mean over the target's tokens of minus the log-probability.

    exp(-loss) is the geometric mean of the token probabilities, at most their mean (Jensen).

    Args:
        target_logprobs: nats, per item one per token of the target.
    """
    return _mean(target_logprobs, np.maximum(-target_logprobs.flat, 0.0))


@metric(
    unit="bits per byte",
    better="lower",
    bounds=(0.0, None),
    reaction="continuous",
    source="Gao et al. 2020, arXiv:2101.00027, sec. 3.1: nats / ln 2 / bytes, free of the "
    "tokenizer",
    aliases=("bpb",),
    link="nll",
    default=True,
)
def bits_per_byte(target_logprobs: Ragged, target_bytes: FloatArray) -> Values:
    """Bits that the model needs for the target, per byte of the target's text.

    Args:
        target_logprobs: nats, per item one per token of the target.
        target_bytes: (items,) length of the target in bytes.
    """
    missing = _unusable(target_logprobs)
    usable = target_bytes > 0
    missing[~usable & present(missing)] = "no length of the target in bytes"
    bits = _sums(target_logprobs, np.maximum(-target_logprobs.flat, 0.0)) / np.log(2.0)
    size = np.where(usable, target_bytes, np.nan)
    return Values(bits / size, missing, size)


@metric(
    unit="errors per token",
    better="lower",
    bounds=(0.0, 1.0),
    reaction="continuous",
    source="Schaeffer et al. 2023, arXiv:2304.15004, sec. 2: e = 1 - p per target token",
    link="error_rate",
)
def per_token_error(target_logprobs: Ragged) -> Values:
    """Mean over the target's tokens of the probability of drawing another token.

    The rate of wrong tokens when each is sampled at temperature 1 after the right prefix.

    Args:
        target_logprobs: nats, per item one per token of the target.
    """
    return _mean(target_logprobs, np.maximum(-np.expm1(target_logprobs.flat), 0.0))


@metric(
    unit="nats per item",
    better="higher",
    bounds=(None, 0.0),
    reaction="continuous",
    source=f"{BIG_BENCH}, `log_likelihood_fn`: of the whole target (BIG-bench adds up the "
    "probabilities of several)",
    aliases=("log_likelihood", "loglikelihood", "logprob"),
    link="nll",
)
def target_log_likelihood(target_logprobs: Ragged) -> Values:
    """Log-probability of the whole target.

    Args:
        target_logprobs: nats, per item one per token of the target.
    """
    total = _sums(target_logprobs, np.minimum(target_logprobs.flat, 0.0))
    return Values(total, _unusable(target_logprobs))


@metric(
    unit="nats per byte",
    better="lower",
    bounds=(0.0, None),
    reaction="continuous",
    source="bits per byte times ln 2; lm-evaluation-harness, log of `byte_perplexity`",
    link="nll",
)
def target_log_loss_per_byte(target_logprobs: Ragged, target_bytes: FloatArray) -> Values:
    """Nats that the model needs for the target, per byte of the target's text.

    Args:
        target_logprobs: nats, per item one per token of the target.
        target_bytes: (items,) length of the target in bytes.
    """
    bits, missing, size = bits_per_byte(target_logprobs, target_bytes)
    return Values(bits * np.log(2.0), missing, size)


@metric(
    unit="nats per character",
    better="lower",
    bounds=(0.0, None),
    reaction="continuous",
    source="nats over the Unicode code points of the first accepted answer",
    link="nll",
)
def target_log_loss_per_character(target_logprobs: Ragged, targets: Targets) -> Values:
    """Nats that the model needs for the target, per character of the target's text.

    Args:
        target_logprobs: nats, per item one per token of the target.
        targets: per answer the accepted answers; the log-probabilities are of the first.
    """
    return _per_piece(target_logprobs, targets, len, -1.0)


@metric(
    unit="nats per character",
    better="higher",
    bounds=(None, 0.0),
    reaction="continuous",
    source=f"{BIG_BENCH}, `log_likelihood_fn`",
    link="nll",
)
def log_likelihood_per_char(target_logprobs: Ragged, targets: Targets) -> Values:
    """Log-probability of the target per character of its text.

    Args:
        target_logprobs: nats, per item one per token of the target.
        targets: per answer the accepted answers; the log-probabilities are of the first.
    """
    return _per_piece(target_logprobs, targets, len, 1.0)


@metric(
    unit="nats per word",
    better="higher",
    bounds=(None, 0.0),
    reaction="continuous",
    source=f"{BIG_BENCH}, `log_likelihood_fn`",
    link="nll",
)
def log_likelihood_per_word(target_logprobs: Ragged, targets: Targets) -> Values:
    """Log-probability of the target per word of its text.

    Args:
        target_logprobs: nats, per item one per token of the target.
        targets: per answer the accepted answers; the log-probabilities are of the first.
    """
    return _per_piece(target_logprobs, targets, lambda text: len(text.split()), 1.0)


def _per_piece(
    tokens: Ragged, targets: Targets, count: Callable[[str], int], sign: float
) -> Values:
    """The target's log-probability, or minus it, over the pieces of its text."""
    missing = _unusable(tokens)
    length = np.array([count(given[0] or "") if given else 0 for given in targets], np.float64)
    missing[(length == 0) & present(missing)] = "no text of the target"
    size = np.where(length > 0, length, np.nan)
    total = _sums(tokens, np.minimum(tokens.flat, 0.0))
    return Values(sign * total / size, missing, size)


@metric(
    unit="probability",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="continuous",
    source="Schaeffer et al. 2023, arXiv:2304.15004, sec. 2: p^L, the expected exact match when "
    "sampling at temperature 1",
)
def target_probability(target_logprobs: Ragged) -> Values:
    """Probability of the whole target, the product over its tokens.

    Args:
        target_logprobs: nats, per item one per token of the target.
    """
    total = _sums(target_logprobs, np.minimum(target_logprobs.flat, 0.0))
    return Values(np.exp(total), _unusable(target_logprobs))


@metric(
    unit="share of tokens",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="continuous",
    source="survival of prefixes: mean over k of the probability of the first k tokens",
)
def prefix_survival(target_logprobs: Ragged) -> Values:
    """Expected share of the target that is right before the first wrong token.

    Args:
        target_logprobs: nats, per item one per token of the target.
    """
    flat, lengths = target_logprobs
    starts = np.cumsum(lengths) - lengths
    alive, total = np.ones(len(lengths)), np.zeros(len(lengths))
    for place in range(int(lengths.max(initial=0))):
        going = lengths > place
        alive[going] *= np.exp(np.minimum(flat[starts[going] + place], 0.0))
        total[going] += alive[going]
    counts = lengths.astype(np.float64)
    units = np.where(counts > 0, counts, np.nan)
    return Values(total / np.maximum(counts, 1.0), _unusable(target_logprobs), units)
