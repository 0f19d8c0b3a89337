"""Screens of the values: inside their bounds, not suspiciously exact."""

from __future__ import annotations

import polars as pl

from saltus.metrics.metric import find
from saltus.screens.screen import Evidence, screen_for

CLEARLY_ABOVE = 0.05  # a score that no stray hit explains


@screen_for(
    "Is a value outside the bounds of its metric?",
    "lm_eval_families: perplexities of 6e8; percent read as fractions",
)
def out_of_bounds(evidence: Evidence) -> pl.DataFrame:
    """Reported values that their metric cannot take."""
    rows = evidence.estimates.filter(pl.col("missing").str.contains("outside the metric's bounds"))
    return rows.group_by("task", "metric").agg(
        pl.lit("error").first().alias("severity"),
        pl.len().cast(pl.Int64).alias("count"),
        pl.format(
            "{} and is left out; a percentage? then scale it with --columns value='NAME*0.01'",
            pl.col("missing").first(),
        ).alias("message"),
    )


@screen_for(
    "Is a score exactly 0 although a model with less compute scores?",
    "lm-evaluation-harness issue 443: LLaMA at exactly 0 from tokenization",
)
def exact_zeros(evidence: Evidence) -> pl.DataFrame:
    """Values of exactly 0 where a smaller, no longer trained model of the family scores."""
    rising = [m for m in evidence.estimates["metric"].unique() if _better_when_higher(m)]
    compute = pl.coalesce("flops", "params")
    rows = evidence.estimates.filter(
        pl.col("value").is_not_null(), compute.is_not_null(), pl.col("metric").is_in(rising)
    ).sort(compute)
    before = pl.col("value").cum_max().shift(1).over("family", "regime", "task", "metric")
    dropped = rows.with_columns(before=before).filter(
        pl.col("value") == 0, pl.col("before") > CLEARLY_ABOVE
    )
    found = dropped.group_by("family", "task", "metric").agg(
        pl.len().cast(pl.Int64).alias("count"),
        pl.format(
            "{}: exactly 0 although a model with less compute scores {}",
            pl.col("model").sort().head(5).str.join(", "),
            pl.col("before").max().round(3),
        ).alias("message"),
    )
    return found.drop("family").with_columns(severity=pl.lit("warning"))


def _better_when_higher(name: str) -> bool:
    metric = find(name)
    return metric is not None and metric.better == "higher"


@screen_for(
    "Is the answer inside a longer reply that exact match cannot see?",
    "ZeroEval: a strict parse of the reply turns 25 % into 1.5 %",
)
def unextracted_answers(evidence: Evidence) -> pl.DataFrame:
    """Tasks at exactly 0 under exact match whose replies hold the target all the same."""
    wanted = evidence.estimates.filter(pl.col("metric").is_in(["exact_match", "contains"]))
    best = wanted.group_by("task").agg(
        pl.col("value").filter(pl.col("metric") == name).max().alias(name)
        for name in ("exact_match", "contains")
    )
    hidden = best.filter(pl.col("exact_match") == 0, pl.col("contains") > CLEARLY_ABOVE)
    return hidden.select(
        pl.lit("error").alias("severity"),
        "task",
        pl.lit("exact_match").alias("metric"),
        pl.lit(1, pl.Int64).alias("count"),
        pl.format(
            "exact match is 0 for every model, although up to {} % of the replies contain the "
            "target: the answers were not extracted from the replies; map the column with the "
            "extracted answer (--columns output=NAME) or judge by --metric contains",
            (100 * pl.col("contains")).round(1),
        ).alias("message"),
    )
