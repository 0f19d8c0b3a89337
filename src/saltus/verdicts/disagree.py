"""Answers that one metric calls good and another bad: where to look before believing either."""

from __future__ import annotations

import polars as pl

from saltus.metrics.extract import Extraction
from saltus.metrics.metric import METRICS
from saltus.metrics.score import batch_of
from saltus.tables import Disagreements, conform, empty, schema

APART = 0.5  # share of their ranges from which two metrics disagree
PAIRS = 8  # pairs of metrics shown per task
EXAMPLES = 5  # answers shown per pair, one per model as long as these last
SHOWN = 300  # characters of an answer
ANSWER = ["model", "task", "item", "sample"]


def disagreements(
    scores: pl.LazyFrame, responses: pl.LazyFrame, extraction: Extraction | None = None
) -> pl.DataFrame:
    """Answers on which metrics are furthest apart, by pair of metrics, the commonest first.

    Scores are put on a scale from 0 (worst) to 1 (best); metrics without two bounds and facts
    about the harness take no part.

    Args:
        scores: table `Scores`.
        responses: table `Responses` that was scored.
        extraction: how answers were found, so that the answer shown is the one scored.

    Returns:
        Table `Disagreements`, bounded: a few answers of a few pairs per task.
    """
    apart = _extremes(scores).filter(pl.col("spread") >= APART).collect(engine="streaming")
    if apart.is_empty():
        return empty(Disagreements)
    pair = ["task", "low_metric", "high_metric"]
    counted = apart.with_columns(pl.len().over(pair).cast(pl.Int64).alias("count"))
    common = pl.struct("count", "low_metric", "high_metric").rank("dense", descending=True)
    kept = counted.filter(common.over("task") <= PAIRS)
    # one answer per model before a second of any
    turn = pl.struct("spread", "item").rank("ordinal", descending=True).over([*pair, "model"])
    ordered = kept.with_columns(turn=turn).sort(
        *pair, "turn", "spread", "model", descending=[False] * 4 + [True, False]
    )
    shown = ordered.group_by(pair, maintain_order=True).head(EXAMPLES)
    texts = _texts(responses, shown.select(ANSWER), extraction)
    whole = shown.join(texts, on=ANSWER, how="left", maintain_order="left").drop("turn")
    order = ["task", "count", "low_metric", "high_metric"]
    return conform(whole.select(schema(Disagreements).names()), Disagreements).sort(
        *order, descending=[False, True, False, False], maintain_order=True
    )


def _extremes(scores: pl.LazyFrame) -> pl.LazyFrame:
    """Per answer its worst and its best metric, thresholded ones first among equals."""
    ordered = sorted(METRICS, key=lambda entry: entry.reaction != "thresholded")
    bounded = [
        (place, entry.name, *entry.bounds, entry.better == "higher")
        for place, entry in enumerate(ordered)
        if None not in entry.bounds and entry.judged and entry.kind == "answer"
    ]
    facts = pl.LazyFrame(
        bounded, schema=["place", "metric", "floor", "ceiling", "rising"], orient="row"
    )
    share = (pl.col("value") - pl.col("floor")) / (pl.col("ceiling") - pl.col("floor"))
    good = pl.when("rising").then(share).otherwise(1 - share)
    known = scores.filter(pl.col("value").is_not_null()).select(*ANSWER, "metric", "value")
    placed = known.join(facts, on="metric").with_columns(good=good.round(9))
    return placed.group_by(ANSWER).agg(
        *_at(pl.col("good").min(), "low"),
        *_at(pl.col("good").max(), "high"),
        (pl.col("good").max() - pl.col("good").min()).alias("spread"),
    )


def _at(extreme: pl.Expr, name: str) -> tuple[pl.Expr, pl.Expr]:
    """Metric and value at an extreme, the first in place of those that share it."""
    here = pl.col("good") == extreme
    first = pl.col("place").filter(here).arg_min()
    return (
        pl.col("metric").filter(here).get(first).alias(f"{name}_metric"),
        pl.col("value").filter(here).get(first).alias(f"{name}_value"),
    )


def _texts(
    responses: pl.LazyFrame, wanted: pl.DataFrame, extraction: Extraction | None
) -> pl.DataFrame:
    """The starts of these answers and of their targets."""
    rows = responses.join(wanted.lazy().unique(), on=ANSWER, how="semi").collect()
    scored = batch_of(rows, extraction).rows
    return scored.select(
        *ANSWER,
        pl.col("output").str.slice(0, SHOWN),
        pl.col("targets").list.first().str.slice(0, SHOWN).alias("target"),
    ).unique(ANSWER, keep="first", maintain_order=True)
