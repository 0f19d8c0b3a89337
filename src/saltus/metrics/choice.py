"""Metrics of the log-probabilities of choices."""

from __future__ import annotations

import numpy as np

from saltus.metrics.choices import (
    Choices,
    flags_per_item,
    grades,
    log_right,
    prepared,
    probabilities,
)
from saltus.metrics.metric import BIG_BENCH, FloatArray, Ragged, Values, metric, present


def _placed(choices: Choices, value: FloatArray) -> Values:
    """Values of the scored items at their places among all items."""
    if choices.scored.all():
        return Values(value, choices.missing)
    whole = np.full(len(choices.scored), np.nan)
    whole[choices.scored] = value
    return Values(whole, choices.missing)


def _empty(choices: Choices) -> bool:
    return len(choices.starts) == 0


@metric(
    unit="share of items",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="thresholded",
    source=f"{BIG_BENCH}, `measure_multiple_choice_grade`; ties: expected value of breaking them "
    "at random (BIG-bench breaks them by a hash)",
    aliases=("mc_grade",),
    binary=True,
    chance="uniform",
    partners=(
        "correct_choice_probability", "brier_sum", "brier_mean", "choice_log_loss",
        "correct_answer_loss", "soft_log_prob", "calibration_multiple_choice_brier_score",
        "weighted_log_probabilities", "bits_per_byte", "target_log_loss",
        "calibration_resolution", "brier_skill", "probability_margin",
    ),
    default=True,
)  # fmt: skip
def multiple_choice_grade(choice_logprobs: Ragged, target_index: FloatArray) -> Values:
    """1 when the right choice has the largest probability, 1/m when it ties with m - 1 others.

    Args:
        choice_logprobs: nats, per item one per choice.
        target_index: (items,) place of the right choice, from 0.
    """
    choices = prepared(choice_logprobs, target_index)
    if _empty(choices):
        return _placed(choices, np.empty(0))
    return _placed(choices, grades(choices))


@metric(
    unit="share of items",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="thresholded",
    source="lm-evaluation-harness, `acc_bytes`: the largest log-probability per byte of choice",
    aliases=("acc_bytes",),
    binary=True,
    chance="uniform",
    partners=(
        "correct_choice_probability", "brier_sum", "brier_mean", "choice_log_loss",
        "correct_answer_loss", "bits_per_byte", "target_log_loss",
    ),
)  # fmt: skip
def multiple_choice_grade_per_byte(
    choice_logprobs: Ragged, choice_bytes: Ragged, target_index: FloatArray
) -> Values:
    """The multiple choice grade with each log-probability divided by the choice's bytes.

    Args:
        choice_logprobs: nats, per item one per choice.
        choice_bytes: length of each choice.
        target_index: (items,) place of the right choice, from 0.
    """
    flat, lengths = choice_logprobs
    sizes, counts = choice_bytes
    usable = (lengths == counts) & (flags_per_item(~(sizes > 0), counts) == 0)
    divisor = np.ones(len(flat))
    divisor[np.repeat(usable, lengths)] = sizes[np.repeat(usable, counts)]
    value, missing, _ = multiple_choice_grade(Ragged(flat / divisor, lengths), target_index)
    missing[~usable & present(missing)] = "no length in bytes for some choice"
    return Values(value, missing)


@metric(
    unit="probability",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="continuous",
    source="Schaeffer et al. 2024, arXiv:2406.04391, p^Choices; Du et al. 2024, "
    "arXiv:2403.15796, CorrectChoiceProb",
    aliases=("soft_prob", "correct_choice_prob", "correct_prob"),
    chance="uniform",
    link="logit",
    default=True,
)
def correct_choice_probability(choice_logprobs: Ragged, target_index: FloatArray) -> Values:
    """Probability of the right choice among the choices.

    Args:
        choice_logprobs: nats, per item one per choice; made to sum to 1 over the choices.
        target_index: (items,) place of the right choice, from 0.
    """
    choices = prepared(choice_logprobs, target_index)
    if _empty(choices):
        return _placed(choices, np.empty(0))
    return _placed(choices, probabilities(choices)[choices.right])


@metric(
    unit="squared probability, summed over choices",
    better="lower",
    bounds=(0.0, 2.0),
    reaction="continuous",
    source="Brier 1950, Monthly Weather Review 78(1), eq. 2; Du et al. 2024, eq. 2",
    aliases=("brier_score", "brier"),
    chance="brier_sum",
    link="brier",
    default=True,
)
def brier_sum(choice_logprobs: Ragged, target_index: FloatArray) -> Values:
    """Squared distance between the choice probabilities and the truth.

    0 when sure and right, 2 when sure and wrong, 1 - 1/K for an even guess. A fall towards
    1 - 1/K from above is calibration, not ability.

    Args:
        choice_logprobs: nats, per item one per choice; made to sum to 1 over the choices.
        target_index: (items,) place of the right choice, from 0.
    """
    choices = prepared(choice_logprobs, target_index)
    if _empty(choices):
        return _placed(choices, np.empty(0))
    distance = probabilities(choices).copy()
    distance[choices.right] -= 1.0
    distance *= distance
    return _placed(choices, np.add.reduceat(distance, choices.starts))


@metric(
    unit="squared probability, mean over choices",
    better="lower",
    bounds=(0.0, 1.0),
    reaction="continuous",
    source="Brier 1950, Monthly Weather Review 78(1), divided by K; BIG-bench's for items of as "
    "many choices each (see `calibration_multiple_choice_brier_score`)",
    aliases=("multiple_choice_brier_score",),
    chance="brier_mean",
    link="brier",
)
def brier_mean(choice_logprobs: Ragged, target_index: FloatArray) -> Values:
    """The Brier sum divided by the number of choices.

    Args:
        choice_logprobs: nats, per item one per choice; made to sum to 1 over the choices.
        target_index: (items,) place of the right choice, from 0.
    """
    value, missing, _ = brier_sum(choice_logprobs, target_index)
    return Values(value / np.maximum(choice_logprobs.lengths, 1), missing)


@metric(
    unit="nats per item",
    better="lower",
    bounds=(0.0, None),
    reaction="continuous",
    source="Good 1952, J. R. Statist. Soc. B 14(1): logarithmic score",
    aliases=("choice_logloss",),
    chance="log",
    link="nll",
)
def choice_log_loss(choice_logprobs: Ragged, target_index: FloatArray) -> Values:
    """Minus the log of the right choice's probability among the choices.

    Args:
        choice_logprobs: nats, per item one per choice; made to sum to 1 over the choices.
        target_index: (items,) place of the right choice, from 0.
    """
    choices = prepared(choice_logprobs, target_index)
    if _empty(choices):
        return _placed(choices, np.empty(0))
    # the largest of K numbers may come out above 0 by one rounding
    return _placed(choices, np.maximum(-log_right(choices), 0.0))


@metric(
    unit="nats per answer",
    better="lower",
    bounds=(0.0, None),
    reaction="continuous",
    source="Schaeffer et al. 2024, arXiv:2406.04391: -log p^Vocab(correct)",
    aliases=("correct_answer_loss_mean", "logits_correct"),
    link="nll",
)
def correct_answer_loss(choice_logprobs: Ragged, target_index: FloatArray) -> Values:
    """Minus the log-probability of the right choice among all strings.

    Args:
        choice_logprobs: nats, per item one per choice, taken as they are.
        target_index: (items,) place of the right choice, from 0.
    """
    choices = prepared(choice_logprobs, target_index)
    return _placed(choices, np.maximum(-choices.logprobs[choices.right], 0.0))


@metric(
    unit="nats",
    better="higher",
    bounds=(None, None),
    reaction="continuous",
    source="log-odds of the right choice against the best wrong one",
)
def choice_margin(choice_logprobs: Ragged, target_index: FloatArray) -> Values:
    """Log-probability of the right choice minus that of the best wrong one.

    Args:
        choice_logprobs: nats, per item one per choice.
        target_index: (items,) place of the right choice, from 0.
    """
    choices = prepared(choice_logprobs, target_index)
    if _empty(choices):
        return _placed(choices, np.empty(0))
    wrong = choices.logprobs.copy()
    wrong[choices.right] = -np.inf
    best_wrong = np.maximum.reduceat(wrong, choices.starts)
    return _placed(choices, choices.logprobs[choices.right] - best_wrong)


@metric(
    unit="nats per item",
    better="higher",
    bounds=(None, 0.0),
    reaction="continuous",
    source="OLMo ladder, `soft_log`: minus the logarithmic score of Good 1952",
    chance="minus_log",
    link="nll",
)
def soft_log_prob(choice_logprobs: Ragged, target_index: FloatArray) -> Values:
    """Log of the right choice's probability among the choices.

    Args:
        choice_logprobs: nats, per item one per choice; made to sum to 1 over the choices.
        target_index: (items,) place of the right choice, from 0.
    """
    value, missing, _ = choice_log_loss(choice_logprobs, target_index)
    return Values(-value, missing)


@metric(
    unit="probability",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="continuous",
    source="Schaeffer et al. 2024, arXiv:2406.04391: p^Vocab(correct); "
    f"{BIG_BENCH}, `measure_weighted_probabilities`, with one right choice",
    aliases=("p_vocab", "weighted_probabilities"),
)
def correct_answer_probability(choice_logprobs: Ragged, target_index: FloatArray) -> Values:
    """Probability of the right choice among all strings.

    Args:
        choice_logprobs: nats, per item one per choice, taken as they are.
        target_index: (items,) place of the right choice, from 0.
    """
    choices = prepared(choice_logprobs, target_index)
    return _placed(choices, np.exp(np.minimum(choices.logprobs[choices.right], 0.0)))


@metric(
    unit="probability",
    better="higher",
    bounds=(-1.0, 1.0),
    reaction="continuous",
    source="probability of the right choice less that of the best wrong one; finite where the "
    "log-odds of `choice_margin` are not",
)
def probability_margin(choice_logprobs: Ragged, target_index: FloatArray) -> Values:
    """Probability of the right choice minus that of the best wrong one.

    Args:
        choice_logprobs: nats, per item one per choice; made to sum to 1 over the choices.
        target_index: (items,) place of the right choice, from 0.
    """
    choices = prepared(choice_logprobs, target_index)
    if _empty(choices):
        return _placed(choices, np.empty(0))
    wrong = probabilities(choices).copy()
    wrong[choices.right] = 0.0
    best_wrong = np.maximum.reduceat(wrong, choices.starts)
    return _placed(choices, probabilities(choices)[choices.right] - best_wrong)
