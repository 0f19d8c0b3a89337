"""A number that the harness made carries no verdict about the model."""

from __future__ import annotations

import polars as pl

from saltus.tables import Verdicts, conform


def flag(verdicts: pl.DataFrame, findings: pl.DataFrame) -> pl.DataFrame:
    """The verdicts, HARNESS_ARTEFACT where a screen is conclusive about task and metric.

    Args:
        verdicts: table `Verdicts`.
        findings: table `Findings`; those of severity "error" are conclusive.

    Returns:
        Table `Verdicts`; the evidence of a flagged row stays as it was measured.
    """
    conclusive = findings.filter(
        pl.col("severity") == "error", pl.col("task").is_not_null(), pl.col("metric").is_not_null()
    ).unique(["task", "metric"], keep="first", maintain_order=True)
    flagged = verdicts.join(
        conclusive.select("task", "metric", "screen", "message"),
        on=["task", "metric"],
        how="left",
        maintain_order="left",
    )
    hit = pl.col("screen").is_not_null()
    changes = {
        "verdict": pl.lit("HARNESS_ARTEFACT"),
        "reason": pl.col("screen"),
        "sentence": pl.format("The harness, not the models, made these numbers: {}.", "message"),
        "settle": pl.lit("repair or explain what the screen found, then judge again"),
    }
    columns = [
        pl.when(hit).then(value).otherwise(name).alias(name) for name, value in changes.items()
    ]
    judged = flagged.with_columns(columns).drop("screen", "message")
    return conform(_with_doubts(judged, findings), Verdicts)


def _with_doubts(verdicts: pl.DataFrame, findings: pl.DataFrame) -> pl.DataFrame:
    """The sentence of a BREAK names what screens suspect about its task and metric."""
    doubts = findings.filter(pl.col("severity") == "warning", pl.col("task").is_not_null())
    doubts = doubts.select("task", pl.col("metric").alias("about"), "message")
    rows = verdicts.with_row_index("row").join(doubts, on="task", how="inner")
    named = rows.filter(pl.col("about").is_null() | (pl.col("about") == pl.col("metric")))
    texts = named.group_by("row").agg(
        pl.col("message").unique().sort().str.join("; ").alias("doubt")
    )
    joined = verdicts.with_row_index("row").join(texts, on="row", how="left", maintain_order="left")
    doubtful = (pl.col("verdict") == "BREAK") & pl.col("doubt").is_not_null()
    sentence = pl.format("{} Not yet explained: {}.", "sentence", "doubt")
    return joined.with_columns(
        pl.when(doubtful).then(sentence).otherwise("sentence").alias("sentence")
    ).drop("row", "doubt")
