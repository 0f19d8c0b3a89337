"""The tables of the road: one class per table, one `Column` per field.

Names use the field's standard terms; every log-probability is a natural logarithm; every
axis is stored raw (params, tokens, FLOPs, nats) and logged where it is used. A null is
always "not known" or "not there", never 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import polars as pl

from saltus.errors import TableError


@dataclass(frozen=True)
class Column:
    """One field of a table.

    Args:
        dtype: Polars type.
        doc: what it holds, with its unit.
        required: whether null is refused.
    """

    dtype: pl.DataType | type[pl.DataType]
    doc: str
    required: bool = False


FLOATS = pl.List(pl.Float64)


class Table:
    """A schema: the class attributes that are `Column`s, in order. Never instantiated."""

    name: ClassVar[str]


class Models(Table):
    """One model as it was evaluated: a size, a checkpoint, a seed, a prompt regime."""

    name = "models"
    model = Column(pl.String, "unique label: name[@stepN][@seedN][ [regime]]", required=True)
    model_name = Column(pl.String, "name as the log gives it", required=True)
    family = Column(pl.String, "same corpus, tokenizer, recipe")
    params = Column(pl.Float64, "parameters, embeddings included")
    tokens = Column(pl.Float64, "training tokens seen")
    flops = Column(pl.Float64, "training FLOPs; 6 x params x tokens unless the source states them")
    loss = Column(pl.Float64, "pre-training validation loss, nats per token")
    loss_name = Column(pl.String, "corpus and split of that loss")
    step = Column(pl.Int64, "training step of the checkpoint; null for the final model")
    seed = Column(pl.Int64, "training seed, where a family has several")
    regime = Column(pl.String, "prompt regime: shots, instruction-tuned; never mixed in a verdict")
    source = Column(pl.String, "where the facts come from")


class Responses(Table):
    """One answer of one model to one item."""

    name = "responses"
    model = Column(pl.String, "label in `models`", required=True)
    task = Column(pl.String, "name as the harness gives it", required=True)
    item = Column(pl.String, "identifier of the item within the task", required=True)
    item_hash = Column(pl.String, "hash of the item's content, where the log holds it")
    prompt_hash = Column(pl.String, "hash of the whole prompt, where the log holds it")
    sample = Column(pl.Int64, "index of the repeated answer, from 0", required=True)
    cluster = Column(pl.String, "items that share a passage or template share a cluster")
    filter = Column(pl.String, "post-processing that the harness applied to the output")
    output = Column(pl.String, "the model's answer")
    targets = Column(pl.List(pl.String), "accepted answers")
    target_index = Column(pl.Int64, "index of the right choice, from 0")
    choice_logprobs = Column(FLOATS, "log-probability of each choice, nats")
    choice_bytes = Column(pl.List(pl.Int64), "length of each choice in bytes")
    target_logprobs = Column(FLOATS, "log-probability of each target token, nats")
    target_bytes = Column(pl.Int64, "length of the target in bytes")
    finish = Column(pl.String, "why generation stopped: stop, length, ...")
    chance = Column(pl.Float64, "probability that a uniform guess is right, where the log tells")
    source = Column(pl.String, "file:line")


class Reported(Table):
    """One value that a file states: an aggregate over items, or (`item` set) one item's score."""

    name = "reported"
    model = Column(pl.String, "label in `models`", required=True)
    task = Column(pl.String, "name as the harness gives it", required=True)
    metric = Column(pl.String, "name as the harness gives it, `metric` or `metric,filter`", True)
    value = Column(pl.Float64, "as the file states it; null where it states none")
    stderr = Column(pl.Float64, "standard error as stated")
    items = Column(pl.Int64, "number of items as stated")
    item = Column(pl.String, "identifier of the item, for a per-item score")
    sample = Column(pl.Int64, "index of the repeated answer, for a per-item score")
    cluster = Column(pl.String, "cluster of the item, for a per-item score")
    chance = Column(pl.Float64, "chance level where the file states it")
    source = Column(pl.String, "file:line")


class Findings(Table):
    """One suspicion that the harness or the file, not the model, made a number."""

    name = "findings"
    screen = Column(pl.String, "name of the screen", required=True)
    severity = Column(pl.String, "note, warning or error", required=True)
    family = Column(pl.String, "null: several or all")
    model = Column(pl.String, "label in `models`; null: several or all")
    task = Column(pl.String, "null: several or all")
    metric = Column(pl.String, "null: not about one metric")
    count = Column(pl.Int64, "how many rows or cells it concerns", required=True)
    scope = Column(pl.String, "`earlier checkpoints`, `loss axis`: about those alone; null: any")
    message = Column(pl.String, "what was seen and what was done about it, one sentence", True)


class Stops(Table):
    """The rule by which a run decided for itself how many items of a task to ask a model."""

    name = "stops"
    model = Column(pl.String, "label in `models`", required=True)
    task = Column(pl.String, "name of the task", required=True)
    metric = Column(pl.String, "metric whose right answers the rule counted", required=True)
    width = Column(pl.Float64, "stop when the interval is no wider; 0: never for that", True)
    right = Column(pl.Int64, "stop after so many right answers; null: never for that")
    step = Column(pl.Int64, "items between two looks", required=True)
    level = Column(pl.Float64, "of the interval that the rule looks at", required=True)
    cap = Column(pl.Int64, "most items", required=True)


class Scores(Table):
    """One metric's value for one answer, or why there is none."""

    name = "scores"
    model = Column(pl.String, "label in `models`", required=True)
    task = Column(pl.String, "name as the harness gives it", required=True)
    item = Column(pl.String, "identifier of the item", required=True)
    sample = Column(pl.Int64, "index of the repeated answer", required=True)
    cluster = Column(pl.String, "cluster of the item")
    metric = Column(pl.String, "name in the metric registry", required=True)
    value = Column(pl.Float64, "in the metric's unit; null when missing")
    units = Column(pl.Float64, "tokens, words or characters that a per-unit value averages over")
    chance = Column(pl.Float64, "the metric's expected value for this item under uniform guessing")
    missing = Column(pl.String, "why there is no value; null when there is one")
    scorer = Column(pl.String, "hash of the scorer; the manifest has its name, version, parameters")


class Sets(Table):
    """One metric's value for all answers of one model to one task: no mean over items."""

    name = "sets"
    model = Column(pl.String, "label in `models`", required=True)
    task = Column(pl.String, "name as the harness gives it", required=True)
    metric = Column(pl.String, "name in the metric registry", required=True)
    value = Column(pl.Float64, "in the metric's unit; null when missing")
    variance = Column(pl.Float64, "sampling variance from the influences of the items")
    items = Column(pl.Int64, "items that took part", required=True)
    clusters = Column(pl.Int64, "clusters; null: items are independent")
    chance = Column(pl.Float64, "expected value under uniform guessing; null: not known")
    missing_items = Column(pl.Int64, "items that took no part", required=True)
    missing = Column(pl.String, "why there is no value; null when there is one")


class Estimates(Table):
    """Value and interval of one metric for one model and task."""

    name = "estimates"
    model = Column(pl.String, "label in `models`", required=True)
    family = Column(pl.String, "family of the model")
    regime = Column(pl.String, "prompt regime")
    params = Column(pl.Float64, "parameters")
    tokens = Column(pl.Float64, "training tokens")
    flops = Column(pl.Float64, "training FLOPs")
    loss = Column(pl.Float64, "validation loss, nats per token")
    step = Column(pl.Int64, "training step; null for the final model")
    seed = Column(pl.Int64, "training seed")
    task = Column(pl.String, "name as the harness gives it", required=True)
    metric = Column(pl.String, "name in the metric registry, or as reported", required=True)
    value = Column(pl.Float64, "mean over items in the metric's unit; null when missing")
    low = Column(pl.Float64, "lower end of the interval")
    high = Column(pl.Float64, "upper end of the interval")
    level = Column(pl.Float64, "coverage of the interval")
    method = Column(pl.String, "how the interval was made; null: no interval")
    variance = Column(pl.Float64, "sampling variance of the mean (items; clusters when given)")
    items = Column(pl.Int64, "items with a value; null: not known")
    items_method = Column(pl.String, "counted, stated, or how the number was recovered")
    clusters = Column(pl.Int64, "clusters; null: items are independent")
    successes = Column(pl.Float64, "items scored 1, for a 0/1 metric with known items")
    units = Column(pl.Float64, "total tokens (words, ...) that a per-unit value averages over")
    chance = Column(pl.Float64, "expected value under uniform guessing; null: not known")
    chance_source = Column(pl.String, "where the chance level comes from")
    missing_items = Column(pl.Int64, "items of the task without a value")
    missing = Column(pl.String, "why there is no value; null when there is one")


class Fits(Table):
    """One curve fitted to one series (family x task x metric on one axis)."""

    name = "fits"
    family = Column(pl.String, "family", required=True)
    regime = Column(pl.String, "prompt regime")
    task = Column(pl.String, "task", required=True)
    metric = Column(pl.String, "metric that was fitted, on its link scale", required=True)
    axis = Column(pl.String, "params, tokens, flops or loss", required=True)
    slice = Column(pl.String, "what is held fixed, such as `final checkpoints`", required=True)
    curve = Column(pl.String, "name in the curve registry", required=True)
    parameters = Column(pl.List(pl.Struct({"name": pl.String, "value": pl.Float64})), "in order")
    rss = Column(pl.Float64, "weighted residual sum of squares")
    x = Column(FLOATS, "axis values, log10 (minus the loss in nats on the loss axis)")
    z = Column(FLOATS, "values on the link scale; higher is better")
    fitted = Column(FLOATS, "the curve at x, on the link scale")
    status = Column(pl.String, "converged, or what went wrong, in words", required=True)


class Verdicts(Table):
    """The verdict for one family and task on one axis, with its evidence."""

    name = "verdicts"
    family = Column(pl.String, "family", required=True)
    regime = Column(pl.String, "prompt regime")
    task = Column(pl.String, "task", required=True)
    axis = Column(pl.String, "params, tokens, flops or loss", required=True)
    slice = Column(pl.String, "what is held fixed, such as `final checkpoints`", required=True)
    verdict = Column(pl.String, "one of the names in `verdicts.rule.VERDICTS`", required=True)
    reason = Column(pl.String, "short name of the reason; null when the verdict needs none")
    sentence = Column(pl.String, "the verdict and its main evidence in plain words", required=True)
    settle = Column(pl.String, "what would settle it; null when settled")
    metric = Column(pl.String, "thresholded metric")
    partner = Column(pl.String, "continuous metric")
    scales = Column(pl.Int64, "distinct scales judged", required=True)
    items = Column(pl.Int64, "smallest number of items at any scale; null: not known")
    chance = Column(pl.Float64, "chance level of the thresholded metric")
    noise = Column(pl.String, "mode K (tau known) or U (unknown) of the model noise")
    unplaced = Column(
        pl.List(pl.String),
        "models left out because their continuous score has no place on its link scale, such as "
        "a mean probability of exactly 0 or 1",
    )
    tau = Column(pl.Float64, "standard deviation of model noise on the link scale, mode K")
    tau_source = Column(pl.String, "how tau is known: runs, last checkpoints, given, pooled")
    apparent = Column(pl.Boolean, "apparent emergence, step 1; null: could not be tested")
    near_floor = Column(pl.Int64, "m: leading scales near the floor, step 1")
    p_change = Column(pl.Float64, "one-sided p of change with scale, step 2")
    p_break = Column(pl.Float64, "largest p over the smooth families, step 3")
    p_break_adjusted = Column(
        pl.Float64, "p_break after Benjamini and Yekutieli's correction for all tests of the batch"
    )
    p_smooth = Column(pl.List(pl.Struct({"curve": pl.String, "p": pl.Float64})), "p per family")
    p_sub = Column(pl.Float64, "one-sided p of improvement below the threshold, step 6")
    p_deviance = Column(pl.Float64, "bootstrap deviance p of the smooth binomial curve")
    beyond_extrapolation = Column(pl.Boolean, "E: largest scale above the prediction limit")
    material = Column(pl.Boolean, "M: gain over the pre-break line is at least 0.10")
    gain = Column(pl.Float64, "that gain, on the gain scale of the partner")
    threshold = Column(pl.Float64, "scale of the break, raw units of the axis")
    threshold_low = Column(pl.Float64, "lower end of its interval; null: open")
    threshold_high = Column(pl.Float64, "upper end of its interval; null: open")
    size_effect = Column(pl.Float64, "loss axis: metric per decade of size at equal loss")
    size_effect_low = Column(pl.Float64, "lower end of its 90 % interval")
    size_effect_high = Column(pl.Float64, "upper end")
    p_size = Column(pl.Float64, "its p, runs permuted where they hold several checkpoints")
    items_needed = Column(pl.Int64, "items that would show the largest unseen excess")
    detectable_change = Column(pl.Float64, "smallest rise of the rate that this design resolves")
    inverse = Column(pl.Boolean, "the tests were run on falling scores (inverse scaling)")


class Bands(Table):
    """What a smooth family would have shown under the thresholded metric, for one series."""

    name = "bands"
    family = Column(pl.String, "family", required=True)
    regime = Column(pl.String, "prompt regime")
    task = Column(pl.String, "task", required=True)
    axis = Column(pl.String, "params, tokens, flops or loss", required=True)
    slice = Column(pl.String, "what is held fixed, such as `final checkpoints`", required=True)
    metric = Column(pl.String, "thresholded metric", required=True)
    partner = Column(pl.String, "continuous metric whose smooth curve was pushed through", True)
    curve = Column(pl.String, "that smooth curve, by name", required=True)
    x = Column(FLOATS, "places on the axis, log10 (minus the loss in nats on the loss axis)")
    low = Column(FLOATS, "2.5 % quantile of the rate that would have been observed")
    median = Column(FLOATS, "its median")
    high = Column(FLOATS, "97.5 % quantile")
    inside = Column(pl.Int64, "observed scales that lie in the band", required=True)
    scales = Column(pl.Int64, "observed scales", required=True)


class Triplets(Table):
    """One task x metric x family of a collection under the emergence score (`saltus survey`)."""

    name = "triplets"
    family = Column(pl.String, "family", required=True)
    regime = Column(pl.String, "prompt regime")
    task = Column(pl.String, "task", required=True)
    metric = Column(pl.String, "metric", required=True)
    reaction = Column(pl.String, "thresholded, nonlinear or linear; null: not known")
    scales = Column(pl.Int64, "distinct scales", required=True)
    items = Column(pl.Int64, "fewest items at any scale")
    gain = Column(pl.Float64, "last minus first value, higher is better")
    score = Column(pl.Float64, "emergence score (Schaeffer et al. 2023, eq. 1)")
    linearity = Column(pl.Float64, "BIG-bench linearity")
    degenerate = Column(pl.Boolean, "at least half of the steps are exactly 0: never rank on it")
    p = Column(pl.Float64, "Monte-Carlo p of the score without any change with scale")
    p_method = Column(pl.String, "binomial, gaussian or permutation null")
    p_permutation = Column(pl.Float64, "p under permutation of the scales")
    holm = Column(pl.Float64, "p adjusted by Holm")
    bh = Column(pl.Float64, "p adjusted by Benjamini and Hochberg")
    by = Column(pl.Float64, "p adjusted by Benjamini and Yekutieli")
    annotation = Column(pl.String, "what people called the task, where a file says so")


class MetricCounts(Table):
    """How often a metric is called emergent, and how often it is used."""

    name = "metric_counts"
    criterion = Column(pl.String, "what counts as emergent", required=True)
    metric = Column(pl.String, "metric", required=True)
    reaction = Column(pl.String, "thresholded, nonlinear or linear; null: not known")
    triplets = Column(pl.Int64, "triplets with a score that use the metric", required=True)
    emergent = Column(pl.Int64, "of these, emergent", required=True)
    degenerate = Column(pl.Int64, "of the emergent, with an infinite score", required=True)
    per_use = Column(pl.Float64, "emergent over triplets")
    share = Column(pl.Float64, "share of all emergent triplets")


class MetricTests(Table):
    """Whether emergence follows the metric once the task is held fixed."""

    name = "metric_tests"
    criterion = Column(pl.String, "what counts as emergent", required=True)
    emergent = Column(pl.Int64, "emergent triplets", required=True)
    cells = Column(pl.Int64, "tasks x families with several metrics")
    chi2 = Column(pl.Float64, "association of emergence and metric")
    p_within_task = Column(pl.Float64, "its p with metric labels shuffled within each task")
    odds_ratio = Column(pl.Float64, "Mantel-Haenszel odds of {thresholded, nonlinear} v linear")
    low = Column(pl.Float64, "lower end of its 95 % interval")
    high = Column(pl.Float64, "upper end of its 95 % interval")
    p_odds = Column(pl.Float64, "p of odds ratio 1")
    strata = Column(pl.Int64, "tasks that carry the odds ratio")


class Sweeps(Table):
    """One metric of one family and task: how sharply it rises, and how foreseeable that is."""

    name = "sweeps"
    family = Column(pl.String, "family", required=True)
    regime = Column(pl.String, "prompt regime")
    task = Column(pl.String, "task", required=True)
    axis = Column(pl.String, "params, tokens, flops or loss", required=True)
    slice = Column(pl.String, "what is held fixed, such as `final checkpoints`", required=True)
    metric = Column(pl.String, "metric", required=True)
    reaction = Column(pl.String, "thresholded, nonlinear or linear, measured where it can be")
    nonlinearity = Column(pl.Float64, "nonlinearity index by simulation; null: not measured")
    scales = Column(pl.Int64, "distinct scales", required=True)
    rise = Column(pl.Float64, "last less first value, in the metric's unit, higher is better")
    rise_low = Column(pl.Float64, "lower end of its 95 % interval over items")
    rise_high = Column(pl.Float64, "upper end")
    sharpness = Column(pl.Float64, "share of the rise in one step beyond a straight line's; 0..1")
    sharpness_low = Column(pl.Float64, "lower end of its 95 % interval over items")
    sharpness_high = Column(pl.Float64, "upper end")
    step_from = Column(pl.String, "model before that step")
    step_to = Column(pl.String, "model after it")
    miss = Column(pl.Float64, "largest model less the smaller ones' line, share of link change")
    miss_se = Column(pl.Float64, "the same in standard errors")
    score = Column(pl.Float64, "emergence score of Schaeffer et al. 2023, for reference only")
    degenerate = Column(pl.Boolean, "its denominator is 0: the score says nothing")
    missing = Column(pl.String, "why there is no sharpness; null when there is one")
    x = Column(FLOATS, "axis values, log10 (minus the loss in nats on the loss axis)")
    values = Column(FLOATS, "the metric's means at x")
    low = Column(FLOATS, "lower ends of their intervals")
    high = Column(FLOATS, "upper ends")


class Disagreements(Table):
    """An answer that one metric calls good and another bad."""

    name = "disagreements"
    task = Column(pl.String, "task", required=True)
    low_metric = Column(pl.String, "metric with the worst value", required=True)
    high_metric = Column(pl.String, "metric with the best value", required=True)
    count = Column(pl.Int64, "answers to the task on which these two disagree most", required=True)
    model = Column(pl.String, "model", required=True)
    item = Column(pl.String, "item", required=True)
    sample = Column(pl.Int64, "index of the repeated answer", required=True)
    low_value = Column(pl.Float64, "value of the one, in its unit", required=True)
    high_value = Column(pl.Float64, "value of the other, in its unit", required=True)
    spread = Column(pl.Float64, "difference as shares of their ranges, 0..1", required=True)
    output = Column(pl.String, "start of the answer as it was scored")
    target = Column(pl.String, "start of the first accepted answer")


class SameLoss(Table):
    """Whether size (or family) matters for one metric at equal pre-training loss."""

    name = "same_loss"
    effect = Column(pl.String, "size, or family", required=True)
    family = Column(pl.String, "family; several joined by ` + ` where families are compared", True)
    regime = Column(pl.String, "prompt regime")
    task = Column(pl.String, "task", required=True)
    metric = Column(pl.String, "metric", required=True)
    loss_name = Column(pl.String, "corpus and split of the loss")
    unit = Column(pl.String, "unit of the loss", required=True)
    points = Column(pl.Int64, "checkpoints that took part", required=True)
    runs = Column(pl.Int64, "training runs that they come from", required=True)
    sizes = Column(pl.Int64, "distinct sizes; null: families are compared")
    slope = Column(pl.Float64, "metric per decade of size (against the first family) at equal loss")
    slope_low = Column(pl.Float64, "lower end of its 90 % interval")
    slope_high = Column(pl.Float64, "upper end")
    margin = Column(pl.Float64, "effect below which performance counts as the same", required=True)
    same = Column(pl.Boolean, "the interval lies within the margin; null: no interval")
    p = Column(pl.Float64, "F test that takes checkpoints as independent")
    p_runs = Column(pl.Float64, "the same with labels permuted between runs")
    bh = Column(pl.Float64, "p_runs (p where null) adjusted by Benjamini and Hochberg")
    p_shape = Column(pl.Float64, "F test of a curve that itself depends on size (or family)")
    residual = Column(pl.Float64, "standard deviation about the common curve, metric's unit")
    rmse_left_out = Column(pl.Float64, "error of each size under the curve of the others")
    points_left_out = Column(pl.Int64, "points predicted so")
    worst_size = Column(pl.Float64, "size predicted worst, parameters")
    note = Column(pl.String, "a warning")
    status = Column(pl.String, "tested, or why not, in words", required=True)


class LossThresholds(Table):
    """Where the performance of one family bends along the loss, and who reaches that loss."""

    name = "loss_thresholds"
    family = Column(pl.String, "family", required=True)
    regime = Column(pl.String, "prompt regime")
    task = Column(pl.String, "task", required=True)
    metric = Column(pl.String, "metric", required=True)
    loss_name = Column(pl.String, "corpus and split of the loss")
    unit = Column(pl.String, "unit of the loss", required=True)
    points = Column(pl.Int64, "checkpoints that took part", required=True)
    runs = Column(pl.Int64, "training runs that they come from", required=True)
    shape = Column(pl.String, "what the curve does, in words", required=True)
    chance = Column(pl.Float64, "level under guessing; null: not known")
    level = Column(pl.Float64, "value at the bend")
    threshold = Column(pl.Float64, "loss of the bend")
    threshold_low = Column(pl.Float64, "lower end of its 95 % interval; null: open")
    threshold_high = Column(pl.Float64, "upper end; null: open")
    rise = Column(pl.Float64, "change of the slope at the bend, metric per unit of loss")
    inflation = Column(pl.Float64, "variance inflation by the correlation within runs")
    best_smooth = Column(pl.String, "smooth law with the lowest BIC")
    best_broken = Column(pl.String, "broken law with the lowest BIC")
    bic_gap = Column(pl.Float64, "BIC of the smooth less that of the broken one; a description")
    params = Column(pl.Float64, "parameters at which the family's loss falls to the threshold")
    params_low = Column(pl.Float64, "lower end of its 95 % interval")
    params_high = Column(pl.Float64, "upper end; null: perhaps never")
    flops = Column(pl.Float64, "training FLOPs at which it does")
    flops_low = Column(pl.Float64, "lower end of its 95 % interval")
    flops_high = Column(pl.Float64, "upper end; null: perhaps never")
    status = Column(pl.String, "found, or what is missing, in words", required=True)
    suspicion = Column(pl.String, "why the loss may be no axis of its own; null: no suspicion")


class Forecasts(Table):
    """What one forecaster says of one series at a scale not yet seen."""

    name = "forecasts"
    family = Column(pl.String, "family", required=True)
    regime = Column(pl.String, "prompt regime")
    task = Column(pl.String, "task", required=True)
    metric = Column(pl.String, "metric", required=True)
    forecaster = Column(pl.String, "name in the forecaster registry, or `ensemble`", required=True)
    params = Column(pl.Float64, "parameters of the model that is asked about")
    tokens = Column(pl.Float64, "its training tokens")
    flops = Column(pl.Float64, "its training FLOPs")
    axis = Column(pl.String, "what `fan_x` is: params, tokens or flops", required=True)
    interval = Column(pl.Float64, "stated coverage of low to high; null: no forecast")
    low = Column(pl.Float64, "lower end of the predictive interval, in the metric's unit")
    median = Column(pl.Float64, "middle of the predictive distribution")
    high = Column(pl.Float64, "upper end")
    level = Column(pl.Float64, "value whose passing is asked about; null: none")
    probability = Column(pl.Float64, "probability that the measured value is at it or better")
    quantiles = Column(FLOATS, "quantiles .05, .10, ... .95 of the predictive distribution")
    scales = Column(pl.Int64, "distinct sizes that it rests on", required=True)
    models = Column(pl.Int64, "models that it rests on", required=True)
    points = Column(pl.Int64, "back-tested points of similar series of the family; null: none")
    coverage = Column(pl.Float64, "share of them inside this forecaster's intervals")
    skill = Column(pl.Float64, "1 - CRPS over that of the naive set, mean over them")
    loses = Column(pl.Boolean, "whether it lost to the naive set on them")
    fan_x = Column(FLOATS, "places from the largest model to the target, raw units of the axis")
    fan_low = Column(FLOATS, "lower ends there")
    fan_median = Column(FLOATS, "medians there")
    fan_high = Column(FLOATS, "upper ends there")
    status = Column(pl.String, "forecast, weak, far, or why there is none, in words", True)


class Backtests(Table):
    """What one forecaster would have said of a hidden model, and what was seen."""

    name = "backtests"
    family = Column(pl.String, "family", required=True)
    regime = Column(pl.String, "prompt regime")
    task = Column(pl.String, "task", required=True)
    metric = Column(pl.String, "metric", required=True)
    reaction = Column(pl.String, "thresholded or continuous", required=True)
    moving = Column(pl.Boolean, "whether the known part moved with scale", required=True)
    forecaster = Column(pl.String, "name in the forecaster registry, or `ensemble`", required=True)
    hidden = Column(pl.Int64, "largest sizes that were hidden; the smallest of them is asked", True)
    scales = Column(pl.Int64, "distinct sizes that were known", required=True)
    model = Column(pl.String, "label of the hidden model", required=True)
    params = Column(pl.Float64, "its parameters")
    tokens = Column(pl.Float64, "its training tokens")
    flops = Column(pl.Float64, "its training FLOPs")
    value = Column(pl.Float64, "what it scored, in the metric's unit", required=True)
    low = Column(pl.Float64, "5 % quantile of the forecast; null: no forecast")
    median = Column(pl.Float64, "its median")
    high = Column(pl.Float64, "its 95 % quantile")
    crps = Column(pl.Float64, "continuous ranked probability score, in the metric's unit")
    naive_crps = Column(pl.Float64, "mean CRPS of the naive set at the same point")
    error = Column(pl.Float64, "median less value")
    covered = Column(pl.Boolean, "whether low to high holds the value")
    pit = Column(pl.Float64, "share of the forecast below the value")
    status = Column(pl.String, "forecast, or why there is none, in words", required=True)


class Proxies(Table):
    """What one score at small scale tells of a thresholded metric at large scale."""

    name = "proxies"
    ranked = Column(pl.String, "what is ranked: recipes, recipes of all families, or tasks", True)
    family = Column(pl.String, "family; null: all families")
    regime = Column(pl.String, "prompt regime")
    task = Column(pl.String, "task; null: all tasks of the family")
    target = Column(pl.String, "thresholded metric at the large size", required=True)
    proxy = Column(pl.String, "score at the small sizes; the target itself is the baseline", True)
    signal = Column(pl.Float64, "largest difference of the smaller models over their mean")
    noise = Column(pl.Float64, "standard deviation of one run's last checkpoints over their mean")
    signal_to_noise = Column(pl.Float64, "signal over noise")
    checkpoints = Column(pl.Int64, "checkpoints behind the noise")
    large_params = Column(pl.Float64, "parameters at the large size (their median)")
    small_params = Column(FLOATS, "parameters at each smaller size that is ranked")
    units = Column(pl.Int64, "recipes or tasks with both scores, at most over the sizes")
    pairs = Column(pl.Int64, "pairs compared, over all smaller sizes")
    decision_accuracy = Column(pl.Float64, "share of pairs ordered alike; a tie counts half")
    decisions = Column(FLOATS, "the same for each smaller size")
    rank_correlation = Column(pl.Float64, "Spearman, mean over the smaller sizes")
    points = Column(pl.Int64, "hidden models of the family's largest size that were predicted")
    error = Column(pl.Float64, "mean absolute error of scale to proxy to target, target's unit")
    status = Column(pl.String, "found, or why a number is null, in words", required=True)


class ItemCorrelations(Table):
    """How one score of single items goes with compute, over the models of a family."""

    name = "item_correlations"
    family = Column(pl.String, "family", required=True)
    regime = Column(pl.String, "prompt regime")
    task = Column(pl.String, "task", required=True)
    step = Column(pl.Int64, "place in the chain from log-probability (1) to accuracy (5)", True)
    score = Column(pl.String, "name in the metric registry, turned so that higher is better", True)
    axis = Column(pl.String, "compute: log10 of flops or params", required=True)
    correlation = Column(pl.String, "spearman or pearson", required=True)
    models = Column(pl.Int64, "models", required=True)
    items = Column(pl.Int64, "items with a correlation")
    constant = Column(pl.Int64, "items that all models score alike: no correlation")
    missing = Column(pl.Int64, "items without a value for some model", required=True)
    mean = Column(pl.Float64, "mean over items")
    median = Column(pl.Float64, "median over items")
    share_above_half = Column(pl.Float64, "share of items whose correlation is above .5")
    quantiles = Column(FLOATS, "quantiles .05, .10, ... .95 over items")
    status = Column(pl.String, "found, or why there is none, in words", required=True)


TABLES: tuple[type[Table], ...] = (
    Models, Responses, Reported, Findings, Stops, Scores, Sets, Estimates, Fits, Verdicts, Bands,
    Triplets, MetricCounts, MetricTests, Sweeps, Disagreements, SameLoss, LossThresholds,
    Forecasts, Backtests, Proxies, ItemCorrelations,
)  # fmt: skip


def columns(table: type[Table]) -> Iterator[tuple[str, Column]]:
    """The fields of a table with their names, in order."""
    return ((name, field) for name, field in vars(table).items() if isinstance(field, Column))


def schema(table: type[Table]) -> pl.Schema:
    """The Polars schema of a table."""
    return pl.Schema({name: field.dtype for name, field in columns(table)})


def empty(table: type[Table]) -> pl.DataFrame:
    """A table without rows."""
    return pl.DataFrame(schema=schema(table))


def conform(frame: pl.DataFrame, table: type[Table]) -> pl.DataFrame:
    """The frame with exactly the columns of `table`, absent ones as nulls.

    Raises:
        TableError: a column that the table does not know, a type that cannot be cast
            without loss, or a null where a value is required.
    """
    fields = dict(columns(table))
    if unknown := [name for name in frame.columns if name not in fields]:
        raise TableError(f"table {table.name!r} has no column {', '.join(unknown)}")
    try:
        whole = pl.DataFrame([cells(frame, name, table) for name in fields])
    except pl.exceptions.PolarsError as fault:
        raise TableError(f"table {table.name!r}: {fault}") from None
    for name, field in fields.items():
        if field.required and whole[name].null_count():
            raise TableError(f"table {table.name!r}: column {name!r} has a null; it is required")
    return whole


def cells(frame: pl.DataFrame, name: str, table: type[Table]) -> pl.Series:
    """One column of a table, as nulls where the frame lacks it.

    Series by themselves cost a fraction of a Polars query, and readers give many small frames.

    Raises:
        PolarsError: a type that cannot be cast without loss.
    """
    field: Column = getattr(table, name)
    null = _null(name, field.dtype)
    if name not in frame.columns:
        return null.new_from_index(0, frame.height)
    found = frame.get_column(name)
    return found if found.dtype == null.dtype else found.cast(null.dtype)


@lru_cache(maxsize=512)
def _null(name: str, dtype: pl.DataType | type[pl.DataType]) -> pl.Series:
    return pl.Series(name, [None], dtype=dtype)


def frequencies(values: pl.Series) -> list[tuple[str, int]]:
    """How often each text stands in a column, the most frequent first, always in one order."""
    counts = values.value_counts(name="count")
    return counts.sort("count", values.name, descending=True).rows()
