"""Screens of the values: inside their bounds, not suspiciously exact."""

from __future__ import annotations

import polars as pl

from saltus.screens.screen import Evidence, screen_for


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
    "Is a score exactly 0 although its siblings score?",
    "lm-evaluation-harness issue 443: LLaMA at exactly 0 from tokenization",
)
def exact_zeros(evidence: Evidence) -> pl.DataFrame:
    """Values of exactly 0 on a task where a smaller model of the family scores."""
    rows = evidence.estimates.filter(pl.col("value").is_not_null(), pl.col("params").is_not_null())
    smaller = pl.col("value").cum_max().shift(1)
    group = ("family", "regime", "task", "metric")
    ordered = rows.sort("params").with_columns(
        best_before=smaller.over(*group, order_by=["params", "tokens"])
    )
    dropped = ordered.filter((pl.col("value") == 0) & (pl.col("best_before") > 0.05))
    return (
        dropped.group_by("family", "task", "metric")
        .agg(
            pl.lit("warning").first().alias("severity"),
            pl.len().cast(pl.Int64).alias("count"),
            pl.format(
                "{}: exactly 0 although a smaller or less trained model scores up to {}",
                pl.col("model").sort().head(5).str.join(", "),
                pl.col("best_before").max().round(3),
            ).alias("message"),
        )
        .drop("family")
    )
