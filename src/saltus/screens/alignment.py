"""Screens of what the models were asked: the same content, gold answer and prompt for all.

Items are known by (task, content hash, filter). Where the hashes of one identifier differ,
its answers belong to different questions, and no row is joined by the identifier alone.
"""

from __future__ import annotations

import polars as pl

from saltus.readers.align import content_key
from saltus.screens.phrases import either, names, percent, several
from saltus.screens.screen import Evidence, screen_for

MANY = 0.01
"""Share of repeated content above which it is a warning, not a note."""
LEAST_ALIKE = 8
"""Tasks on which two models have to agree before they are called one run."""


@screen_for(
    "Does an item's identifier stand for the same content in every model's log?",
    "lm-evaluation-harness issue 4084: --samples logs wrong document ids",
    false_alarm="none: hashes differ or not; a harness that hashes the prompt too is found as well",
)
def conflicting_items(evidence: Evidence) -> pl.DataFrame:
    """Identifiers with several contents, and contents with other identifiers in other models."""
    rows = evidence.responses.filter(pl.col("item_hash").is_not_null())
    contents = rows.group_by("task", "item").agg(
        pl.col("item_hash").n_unique().alias("contents"), pl.col("model").n_unique().alias("models")
    )
    ids = contents.group_by("task").agg(
        pl.len().alias("items"),
        (pl.col("contents") > 1).sum().cast(pl.Int64).alias("count"),
        pl.col("item").filter(pl.col("contents") > 1).sort().head(3).str.join(", ").alias("some"),
    )
    found = ids.filter(pl.col("count") > 0).collect(engine="streaming")
    return found.select(
        pl.lit("warning").alias("severity"),
        "task",
        "count",
        pl.format(
            "{} of {} {} one identifier and several contents in the models' logs (such as {}): "
            "question, options or answer were changed, or identifiers were mixed up; items are "
            "joined by content, and each model is scored on what it was asked",
            "count",
            several("items", "item"),
            either("count", "has", "have"),
            "some",
        ).alias("message"),
    )


@screen_for(
    "Is the right answer to an item the same in every model's log?",
    "MMLU-Pro: gold answers and lists of options were mended between the runs of models",
    false_alarm="none for equal texts; a changed spelling of the same answer counts",
)
def drifting_targets(evidence: Evidence) -> pl.DataFrame:
    """Items whose accepted answers, or number of options, differ between models."""
    gold = pl.concat_str(
        pl.col("targets").list.sort().list.join("\x1f"),
        pl.col("target_index").cast(pl.String),
        separator="\x1e",
        ignore_nulls=True,
    )
    items = (
        evidence.responses.select("task", "item", "model", "chance", gold.alias("gold"))
        .group_by("task", "item")
        .agg(
            pl.col("model").n_unique().alias("models"),
            (pl.col("gold").filter(pl.col("gold") != "").n_unique() > 1).alias("gold"),
            (pl.col("chance").drop_nulls().n_unique() > 1).alias("options"),
        )
    )
    tasks = items.group_by("task").agg(
        pl.len().alias("items"),
        pl.col("gold").sum().cast(pl.Int64),
        pl.col("options").sum().cast(pl.Int64),
        pl.col("item").filter("gold").sort().head(3).str.join(", ").alias("some"),
    )
    found = tasks.filter((pl.col("gold") > 0) | (pl.col("options") > 0)).collect(engine="streaming")
    return found.select(
        pl.lit("warning").alias("severity"),
        "task",
        (pl.col("gold") + pl.col("options")).alias("count"),
        pl.format(
            "other models' logs hold another right answer for {} and another number of options "
            "for {} of {}{}; each model is scored by its own log, so that models were not asked "
            "quite the same",
            "gold",
            "options",
            several("items", "item"),
            pl.when(pl.col("some") != "")
            .then(pl.format(" (such as {})", "some"))
            .otherwise(pl.lit("")),
        ).alias("message"),
    )


@screen_for(
    "Was the same item asked with the same prompt?",
    "lm-evaluation-harness `prompt_hash`; issue 2695: one space more, 0.5 % in place of 78.5 %",
    false_alarm="random few-shot examples per run are found too: they are prompts that differ",
)
def prompt_drift(evidence: Evidence) -> pl.DataFrame:
    """Items of one content whose prompts differ between models of one prompt regime."""
    regimes = evidence.models.select("model", "regime").lazy()
    items = (
        evidence.responses.filter(pl.col("prompt_hash").is_not_null())
        .select("task", "model", content_key().alias("key"), "prompt_hash")
        .join(regimes, on="model", how="inner")
        .group_by("task", "regime", "key")
        .agg(pl.col("prompt_hash").n_unique().alias("prompts"))
    )
    tasks = items.group_by("task", "regime").agg(
        pl.len().alias("items"), (pl.col("prompts") > 1).sum().cast(pl.Int64).alias("count")
    )
    found = tasks.filter(pl.col("count") > 0).collect(engine="streaming")
    return found.select(
        pl.lit("warning").alias("severity"),
        "task",
        "count",
        pl.format(
            "{} of {} {} put to the models in different prompts: templates, examples or white "
            "space differ, and so may scores for no reason of the models",
            "count",
            several("items", "item"),
            either("count", "was", "were"),
        ).alias("message"),
    )


@screen_for(
    "Does a test set hold the same item twice?",
    "LiveBench issue 488; duplicates in test sets count one ability twice",
    false_alarm="none: equal hashes",
)
def duplicate_items(evidence: Evidence) -> pl.DataFrame:
    """Contents that one model was asked under several identifiers."""
    rows = evidence.responses.filter(pl.col("item_hash").is_not_null())
    again = (
        rows.group_by("task", "model", "item_hash")
        .agg(pl.col("item").n_unique().alias("ids"))
        .group_by("task", "model")
        .agg(pl.col("ids").sum().alias("items"), (pl.col("ids") - 1).sum().alias("extra"))
        .group_by("task")
        .agg(pl.col("items").max(), pl.col("extra").max().cast(pl.Int64).alias("count"))
        .filter(pl.col("count") > 0)
        .collect(engine="streaming")
    )
    many = pl.col("count") / pl.col("items") > MANY
    return again.select(
        pl.when(many).then(pl.lit("warning")).otherwise(pl.lit("note")).alias("severity"),
        "task",
        "count",
        pl.format(
            "{} of {} items {} the content of another one ({}); each is counted, so intervals "
            "are a little too narrow",
            "count",
            "items",
            either("count", "repeats", "repeat"),
            percent(pl.col("count") / pl.col("items")),
        ).alias("message"),
    )


@screen_for(
    "Do several files state different values for one model, task and metric?",
    "lm_eval_families: Mamba-2 was run more than once",
    false_alarm="none",
)
def several_runs(evidence: Evidence) -> pl.DataFrame:
    """Aggregates that are stated several times, with different values."""
    rows = evidence.reported.filter(pl.col("item").is_null(), pl.col("value").is_not_null())
    spread = rows.group_by("model", "task", "metric").agg(
        pl.len().alias("runs"),
        (pl.col("value").max() - pl.col("value").min()).alias("spread"),
        pl.col("source").str.replace(r":\d+$", "").n_unique().alias("files"),
    )
    odd = spread.filter(pl.col("spread") > 0)
    found = odd.group_by("metric").agg(
        pl.len().cast(pl.Int64).alias("count"),
        pl.col("task").n_unique().alias("tasks"),
        pl.col("runs").max(),
        pl.col("spread").max(),
        names("model").alias("names"),
    )
    return found.select(
        pl.lit("warning").alias("severity"),
        "metric",
        "count",
        pl.format(
            "{} of {} {} stated up to {} times with different values (up to {} apart): several "
            "runs of {}; their mean is used; name runs apart with NAME=PATH",
            several("count", "value"),
            several("tasks", "task"),
            either("count", "is", "are"),
            "runs",
            pl.col("spread").round_sig_figs(2),
            "names",
        ).alias("message"),
    )


@screen_for(
    "Is one run logged under two names?",
    "A folder that holds the results of BLOOM as the harness wrote them, and a table made of them",
    false_alarm="none seen; two seeds agree on 8 tasks of 100 items with a chance of 1e-8",
)
def copied_models(evidence: Evidence) -> pl.DataFrame:
    """Two models of one size and length of training that agree on all of their tasks.

    Such copies do not tell how much one run differs from another. Scores of 0 and 1, which
    agree at a bound, do not count.
    """
    place = ["family", "regime", "params", "tokens", "flops", "step"]
    rows = evidence.estimates.filter(
        pl.col("family").is_not_null(), pl.col("params").is_not_null(),
        pl.col("value").is_finite(), ~pl.col("value").is_in([0.0, 1.0]),
    ).select(*place, "task", "metric", "model", "value")  # fmt: skip
    crowded = rows.filter(pl.col("model").n_unique().over(place) > 1)
    pairs = crowded.join(crowded, on=[*place, "task", "metric"], nulls_equal=True, suffix="_other")
    both = (
        pairs.filter(pl.col("model") < pl.col("model_other"))
        .group_by("family", "model", "model_other")
        .agg(
            (pl.col("value") == pl.col("value_other")).all().alias("same"),
            pl.col("task").n_unique().alias("tasks"),
        )
        .filter("same", pl.col("tasks") >= LEAST_ALIKE)
        .with_columns(pair=pl.format("{} = {}", "model", "model_other"))
    )
    found = both.group_by("family").agg(
        pl.len().cast(pl.Int64).alias("count"), pl.col("tasks").min(), names("pair").alias("names")
    )
    return found.select(
        pl.lit("warning").alias("severity"),
        "family",
        "count",
        pl.format(
            "{} of {} {} the very same values on all {} tasks or more: one run under two names, "
            "which says nothing of the noise between runs; leave one of the two out: {}",
            several("count", "pair of models", "pairs of models"),
            "family",
            either("count", "has", "have"),
            "tasks",
            "names",
        ).alias("message"),
    )
