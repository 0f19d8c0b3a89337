"""Screens of the items: the same ones for every model, each once, all with an answer."""

from __future__ import annotations

import polars as pl

from saltus.estimates.recover import NOT_COUNTS, REFUTED, is_count
from saltus.metrics.metric import find
from saltus.screens.phrases import SHOWN, either, names, several
from saltus.screens.screen import Evidence, screen_for


@screen_for(
    "Were all models of a task asked the same items?",
    "lm-evaluation-harness issue 2598: --limit takes the first rows of a task",
    false_alarm="none",
)
def different_items(evidence: Evidence) -> pl.DataFrame:
    """Tasks whose models answered different sets of items."""
    sets = (
        evidence.responses.select("model", "task", "item")
        .unique()
        .group_by("task", "model")
        .agg(
            pl.len().alias("items"),
            pl.col("item").hash(seed=1).sum().alias("set"),
            (pl.col("item").str.to_integer(strict=False).max() + 1).alias("end"),
        )
        .collect(engine="streaming")
    )
    tasks = sets.group_by("task").agg(
        pl.col("set").n_unique().alias("kinds"),
        pl.col("items").min().alias("fewest"),
        pl.col("items").max().alias("most"),
        pl.col("model").filter(pl.col("items") < pl.col("items").max()).sort().alias("short"),
        # items numbered 0 to n-1 without a gap, fewer than another model has
        ((pl.col("end") == pl.col("items")) & (pl.col("items") < pl.col("items").max()))
        .any()
        .alias("prefix"),
        pl.len().alias("models"),
    )
    odd = tasks.filter(pl.col("kinds") > 1)
    short = pl.col("short").list.head(SHOWN).list.join(", ")
    prefix = pl.when("prefix").then(
        pl.lit("; some hold just the first items, as --limit leaves them: no random sample")
    )
    return odd.select(
        pl.lit("warning").alias("severity"),
        "task",
        pl.col("models").cast(pl.Int64).alias("count"),
        pl.format(
            "the {} models answered different sets of items ({} to {} items; fewest: {}); each is "
            "scored on its own items, so part of a difference may be the items'{}",
            "models",
            "fewest",
            "most",
            short,
            prefix.otherwise(pl.lit("")),
        ).alias("message"),
    )


@screen_for(
    "Is an item answered more than once by one model?",
    "LiveBench issue 488: 984 duplicate judgments, 64 of which contradict",
    false_alarm="none; repeats on purpose are no fault",
)
def repeated_items(evidence: Evidence) -> pl.DataFrame:
    """Items with several answers of one model: repeats on purpose, or duplicates."""
    repeats = (
        evidence.responses.group_by("task", "model", "item")
        .agg(pl.len().alias("answers"), pl.col("output").n_unique().alias("outputs"))
        .filter(pl.col("answers") > 1)
        .group_by("task")
        .agg(
            pl.len().alias("count"),
            pl.col("answers").max(),
            (pl.col("outputs") > 1).sum().alias("differ"),
            pl.col("model").n_unique().alias("models"),
        )
        .collect(engine="streaming")
    )
    return repeats.select(
        pl.lit("note").alias("severity"),
        "task",
        pl.col("count").cast(pl.Int64),
        pl.format(
            "{} of {} {} up to {} answers, {} of them with different text; the answers to an "
            "item are averaged, none is dropped",
            several("count", "item"),
            several("models", "model"),
            either("count", "has", "have"),
            "answers",
            "differ",
        ).alias("message"),
    )


@screen_for(
    "Do all items have a score?",
    "science.md 0 (a): beyond 5 % missing a mean no longer speaks of the task",
    false_alarm=(
        "none by its rule; 8 of 80 simulated families, whose parser loses 2 % of 120 replies "
        "and by luck more than 5 % in one of 8 models"
    ),
)
def missing_scores(evidence: Evidence) -> pl.DataFrame:
    """Models and tasks with items that could not be scored."""
    gaps = evidence.estimates.filter(pl.col("missing_items") > 0)
    per_metric = gaps.group_by("task", "metric").agg(
        pl.col("missing_items").sum().alias("count"),
        pl.col("missing").is_not_null().sum().alias("dropped"),
        pl.col("model").n_unique().alias("models"),
        names("model").alias("names"),
    )
    # the same answers lack every metric that needs what they lack: one finding for them all
    rows = per_metric.group_by("task", "count", "dropped", "models", "names").agg(
        names("metric").alias("lacking"),
        pl.when(pl.len() == 1).then(pl.col("metric").first()).alias("metric"),
    )
    lost = pl.col("dropped") > 0
    many = several("dropped", "model loses", "models lose")
    dropped = pl.when(lost).then(
        pl.format(" ({} more than 5 % and {} no estimate)", many, either("dropped", "gets", "get"))
    )
    return rows.select(
        pl.when(lost).then(pl.lit("warning")).otherwise(pl.lit("note")).alias("severity"),
        "task",
        "metric",
        "count",
        pl.format(
            "{} of {} {} no {} and {} left out, never counted as 0{}: {}",
            several("count", "answer"),
            several("models", "model"),
            either("count", "has", "have"),
            "lacking",
            either("count", "is", "are"),
            dropped.otherwise(pl.lit("")),
            "names",
        ).alias("message"),
    )


@screen_for(
    "Is the number of items behind a reported mean proven?",
    "lm-evaluation-harness issue 3966: standard errors of exactly 0 inside (0, 1)",
    false_alarm="0 of 80 simulated families; none",
)
def unproven_items(evidence: Evidence) -> pl.DataFrame:
    """Reported zero-or-one means whose sample size could not be recovered."""
    counts = [name for name in evidence.estimates["metric"].unique() if is_count(find(name))]
    doubtful = evidence.estimates.filter(
        pl.col("items_method").str.starts_with("unknown"),
        ~pl.col("items_method").is_in([NOT_COUNTS, REFUTED]),  # `contradicted_sizes` speaks of them
        pl.col("value").is_not_null(),
        pl.col("metric").is_in(counts),
    )
    rows = doubtful.group_by("items_method", "metric").agg(
        pl.len().alias("count"),
        pl.col("task").n_unique().alias("tasks"),
        names("task").alias("names"),
    )
    stated = pl.col("items_method").str.contains("not stated")
    return rows.select(
        pl.when(stated).then(pl.lit("note")).otherwise(pl.lit("warning")).alias("severity"),
        "metric",
        pl.col("count").cast(pl.Int64),
        pl.format(
            "items {} for {} of {} ({}); no exact test is run on them",
            "items_method",
            several("count", "value"),
            several("tasks", "task"),
            "names",
        ).alias("message"),
    )


@screen_for(
    "Was a task's size the same for every model?",
    "every_eval_ever pull request 285: sizes stated wrongly in aggregated results",
    false_alarm="0 of 80 simulated families; a chance common denominator: below 1 in 1,000",
)
def different_sizes(evidence: Evidence) -> pl.DataFrame:
    """Reported tasks whose recovered sizes differ between models."""
    sized = evidence.estimates.filter(
        pl.col("items").is_not_null(), pl.col("items_method") != "counted"
    )
    rows = sized.group_by("task", "metric").agg(
        pl.col("items").n_unique().alias("kinds"),
        pl.col("items").unique().sort().cast(pl.String).str.join(", ").alias("sizes"),
        pl.col("model").n_unique().alias("count"),
    )
    return rows.filter(pl.col("kinds") > 1).select(
        pl.lit("warning").alias("severity"),
        "task",
        "metric",
        pl.col("count").cast(pl.Int64),
        pl.format("models were measured on different numbers of items: {}", "sizes").alias(
            "message"
        ),
    )
