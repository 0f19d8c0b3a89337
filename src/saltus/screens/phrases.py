"""What the messages of screens share: lists of names, shares of answers by model."""

from __future__ import annotations

import polars as pl

SHOWN = 5
FEW = 0.05
"""Share of a model's answers to a task from which a symptom is spoken of."""
LEAST_ANSWERS = 20
"""Answers below which a share is not spoken of."""


def names(column: str) -> pl.Expr:
    """The first few distinct names of a group, and how many more there are."""
    found = pl.col(column).unique().sort()
    more = pl.when(found.len() > SHOWN).then(pl.format(" and {} more", found.len() - SHOWN))
    return pl.concat_str(found.head(SHOWN).str.join(", "), more.otherwise(pl.lit("")))


def either(count: str, one: str, many: str) -> pl.Expr:
    """The form of a word that fits a count."""
    return pl.when(pl.col(count) == 1).then(pl.lit(one)).otherwise(pl.lit(many))


def several(count: str, one: str, many: str | None = None) -> pl.Expr:
    """A count with its noun, such as `1 task` and `12 tasks`."""
    return pl.format("{} {}", count, either(count, one, many or one + "s"))


def percent(share: pl.Expr) -> pl.Expr:
    """A share in words, such as `12 %`."""
    return pl.format("{} %", (100 * share).round(1))


def hits(responses: pl.LazyFrame, symptom: pl.Expr, asked: pl.Expr) -> pl.DataFrame:
    """Models and tasks where a symptom shows in more than a few of the answers.

    Args:
        responses: table `Responses`.
        symptom: whether an answer shows it.
        asked: which answers can show it.

    Returns:
        task, model, answers, count, share.
    """
    rows = (
        responses.filter(asked)
        .group_by("task", "model")
        .agg(
            pl.len().cast(pl.Int64).alias("answers"),
            symptom.fill_null(False).sum().cast(pl.Int64).alias("count"),
        )
    )
    shares = rows.with_columns(share=pl.col("count") / pl.col("answers"))
    return shares.filter(pl.col("answers") >= LEAST_ANSWERS, pl.col("share") >= FEW).collect(
        engine="streaming"
    )


def by_task(found: pl.DataFrame, severity: str, message: str) -> pl.DataFrame:
    """One finding per task: the count, the models, and the range of their shares.

    Args:
        found: as `hits` gives it.
        severity: note, warning or error.
        message: with three gaps: number of models, their shares, names.
    """
    rows = found.group_by("task").agg(
        pl.col("count").sum(),
        pl.col("model").n_unique().alias("models"),
        pl.col("share").min().alias("least"),
        pl.col("share").max().alias("most"),
        names("model").alias("names"),
    )
    least, most = percent(pl.col("least")), percent(pl.col("most"))
    shares = pl.when(least == most).then(least).otherwise(pl.format("{} to {}", least, most))
    text = pl.format(message, "models", shares, "names")
    return rows.select(pl.lit(severity).alias("severity"), "task", "count", text.alias("message"))
