"""Calibration of choice probabilities: values of a whole set of answers, with their variance.

Bins are stated where they are used. A Brier score that falls towards that of an even guess is
calibration, not ability; the resolution is what is left of it (science.md 2.5).

Neither the resolution nor the skill has a link scale, so that no verdict rests on them: where a
margin grows evenly or like a power of scale they bend, and were called broken in up to .53 and .29
of such families (docs/experiments.md). Without the number of choices the skill is no function of
the probability of the right choice, and the bins put a floor under the resolution.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from saltus.metrics.choices import Choices, grades, prepared, probabilities, totals
from saltus.metrics.metric import BIG_BENCH, FloatArray, IntArray, Ragged, SetValue, metric
from saltus.metrics.sets import nothing, unscored, whole

BINS = 10
WIDE_BINS = 15  # of confidence, as BIG-bench and Guo et al. have them
MURPHY = (
    "Murphy 1973, J. Appl. Meteorol. 12: per choice and summed, in 10 bins of equal mass over "
    "the probability of the choice"
)


class Binned(NamedTuple):
    """Means per bin of forecasts and outcomes.

    Args:
        place: (forecasts,) bin of each.
        size: (bins,) number of forecasts.
        forecast: (bins,) mean forecast; 0 in an empty bin.
        outcome: (bins,) share that came true; 0 in an empty bin.
    """

    place: IntArray
    size: FloatArray
    forecast: FloatArray
    outcome: FloatArray


def binned(forecast: FloatArray, outcome: FloatArray, place: IntArray, bins: int) -> Binned:
    """Counts and means per bin."""
    count = np.bincount(place, minlength=bins).astype(np.float64)
    size = np.maximum(count, 1.0)
    means = [np.bincount(place, values, bins) / size for values in (forecast, outcome)]
    return Binned(place, count, means[0], means[1])


def equal_width(forecast: FloatArray, bins: int = WIDE_BINS) -> IntArray:
    """(forecasts,) bin of a probability: [0, 1/B), [1/B, 2/B), ..., and 1 in the last."""
    place = np.searchsorted(np.arange(1, bins) / bins, forecast, side="right")
    return place.astype(np.int64)


def equal_mass(forecast: FloatArray, bins: int = BINS) -> IntArray:
    """(forecasts,) bin between the quantiles at 1/B, 2/B, ...; equal forecasts share a bin."""
    if not len(forecast):
        return np.empty(0, dtype=np.int64)
    edges = np.quantile(forecast, np.arange(1, bins) / bins)
    return np.searchsorted(edges, forecast, side="right").astype(np.int64)


@metric(
    unit="probability",
    better="lower",
    bounds=(0.0, 1.0),
    reaction="continuous",
    source=f"Guo et al. 2017, arXiv:1706.04599, eq. 3; {BIG_BENCH}, "
    "`measure_expected_calibration_error`: confidence of the likeliest choice, 15 bins of equal "
    "width, lower edge inside; too large in small samples",
    aliases=("ece",),
    kind="set",
)
def expected_calibration_error(choice_logprobs: Ragged, target_index: FloatArray) -> SetValue:
    """Mean distance between confidence and accuracy in 15 bins of confidence.

    Args:
        choice_logprobs: nats, per item one per choice; made to sum to 1 over the choices.
        target_index: (items,) place of the right choice, from 0.
    """
    choices = prepared(choice_logprobs, target_index)
    if not len(choices.starts):
        return unscored(choices.missing)
    grade = grades(choices)
    confidence = 1.0 / totals(choices)
    bins = binned(confidence, grade, equal_width(confidence), WIDE_BINS)
    gap = bins.forecast - bins.outcome
    value = float(bins.size @ np.abs(gap) / len(grade))
    # within a bin the sign of the gap is taken as fixed
    influence = np.sign(gap)[bins.place] * (confidence - grade) - value
    return whole(choices.scored, value, influence)


class Options(NamedTuple):
    """Forecasts and outcomes, one per item and choice.

    Args:
        forecast: (choices,) probability.
        outcome: (choices,) 1 where the choice is right.
        column: (choices,) place of the choice within its item.
        item: (choices,) scored item.
        items: number of scored items.
    """

    forecast: FloatArray
    outcome: FloatArray
    column: IntArray
    item: IntArray
    items: int


def options(choices: Choices) -> Options:
    """Every choice of every scored item as a forecast."""
    forecast = probabilities(choices)
    outcome = np.zeros(len(forecast))
    outcome[choices.right] = 1.0
    item = np.repeat(np.arange(len(choices.starts)), choices.lengths)
    column = np.arange(len(forecast)) - np.repeat(choices.starts, choices.lengths)
    return Options(forecast, outcome, column, item, len(choices.starts))


class Murphy(NamedTuple):
    """The three parts of a Brier score, each with (choices,) terms whose mean per item it is.

    reliability - resolution + uncertainty is the Brier score up to the spread within bins.
    """

    reliability: FloatArray
    resolution: FloatArray
    uncertainty: FloatArray


def murphy(given: Options) -> Murphy:
    """Per choice its term of each part: the part's value and its influence in one.

    Summed over the choices of an item and averaged over the items, the terms are the parts;
    their spread over items is that of the parts to first order (delta method).
    """
    parts = Murphy(*np.zeros((3, len(given.forecast))))
    for column in range(int(given.column.max(initial=-1)) + 1):
        here = given.column == column
        forecast, outcome = given.forecast[here], given.outcome[here]
        bins = binned(forecast, outcome, equal_mass(forecast), BINS)
        place, base = bins.place, outcome.mean()
        gap, gain = (bins.forecast - bins.outcome)[place], (bins.outcome - base)[place]
        parts.reliability[here] = gap**2 + 2 * gap * (forecast - outcome - gap)
        parts.resolution[here] = gain**2 + 2 * gain * (outcome - bins.outcome[place])
        spread = base * (1 - base)
        parts.uncertainty[here] = spread + (1 - 2 * base) * (outcome - base)
    return parts


def _part(choice_logprobs: Ragged, target_index: FloatArray, name: str) -> SetValue:
    choices = prepared(choice_logprobs, target_index)
    if not len(choices.starts):
        return unscored(choices.missing)
    given = options(choices)
    terms = getattr(murphy(given), name)
    per_item: FloatArray = np.bincount(given.item, terms, given.items).astype(np.float64)
    value = float(per_item.mean())
    return whole(choices.scored, value, np.subtract(per_item, value))


@metric(
    unit="squared probability, summed over choices",
    better="lower",
    bounds=(0.0, 2.0),
    reaction="continuous",
    source=MURPHY,
    kind="set",
)
def calibration_reliability(choice_logprobs: Ragged, target_index: FloatArray) -> SetValue:
    """Mean squared distance between forecast and frequency: what calibration costs.

    Args:
        choice_logprobs: nats, per item one per choice; made to sum to 1 over the choices.
        target_index: (items,) place of the right choice, from 0.
    """
    return _part(choice_logprobs, target_index, "reliability")


@metric(
    unit="squared probability, summed over choices",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="continuous",
    source=MURPHY,
    chance=0.0,
    kind="set",
)
def calibration_resolution(choice_logprobs: Ragged, target_index: FloatArray) -> SetValue:
    """How far the forecasts sort the items: the part of the Brier score that is ability.

    Args:
        choice_logprobs: nats, per item one per choice; made to sum to 1 over the choices.
        target_index: (items,) place of the right choice, from 0.
    """
    return _part(choice_logprobs, target_index, "resolution")


@metric(
    unit="squared probability, summed over choices",
    better="lower",
    bounds=(0.0, 1.0),
    reaction="continuous",
    source=f"{MURPHY}; a fact about the targets, the same for every model",
    kind="set",
    judged=False,
)
def calibration_uncertainty(choice_logprobs: Ragged, target_index: FloatArray) -> SetValue:
    """Brier score of always forecasting the label frequencies.

    Args:
        choice_logprobs: nats, per item one per choice.
        target_index: (items,) place of the right choice, from 0.
    """
    return _part(choice_logprobs, target_index, "uncertainty")


@metric(
    unit="share of the guesser's Brier score",
    better="higher",
    bounds=(None, 1.0),
    reaction="continuous",
    source="Murphy 1973; base: the label frequencies, sum_j pi_j (1 - pi_j), not 1 - 1/K",
    aliases=("bss", "brier_skill_score"),
    chance=0.0,
    kind="set",
)
def brier_skill(choice_logprobs: Ragged, target_index: FloatArray) -> SetValue:
    """1 minus the Brier score over that of forecasting the label frequencies.

    Args:
        choice_logprobs: nats, per item one per choice; made to sum to 1 over the choices.
        target_index: (items,) place of the right choice, from 0.
    """
    choices = prepared(choice_logprobs, target_index)
    if not len(choices.starts):
        return unscored(choices.missing)
    given = options(choices)
    brier = np.bincount(given.item, (given.forecast - given.outcome) ** 2, given.items)
    label = given.column[given.outcome == 1.0]
    frequency: FloatArray = np.bincount(label) / given.items
    base = float((frequency * (1 - frequency)).sum())
    if base == 0:
        why = "all right choices stand in the same place: their frequencies leave nothing to gain"
        return nothing(len(choices.scored), why)
    mean = float(brier.mean())
    # the base falls by (1 - 2 pi_j) for an item of label j, less the mean of that
    slope = (1 - 2 * frequency)[label] - ((1 - 2 * frequency) * frequency).sum()
    influence = (mean / base**2) * slope - (brier - mean) / base
    return whole(choices.scored, 1.0 - mean / base, influence)
