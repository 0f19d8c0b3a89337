"""Metrics of the log-probabilities of the target's tokens."""

from __future__ import annotations

import numpy as np

from saltus.metrics.choice import ROUNDING
from saltus.metrics.metric import (
    BoolArray,
    FloatArray,
    Ragged,
    Reasons,
    Values,
    first_reasons,
    metric,
    present,
)


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
