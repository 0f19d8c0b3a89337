"""How answers of different models are joined: by content, never by an index alone."""

from __future__ import annotations

import polars as pl


def content_key() -> pl.Expr:
    """What an item is known by across models: the hash of its content, else its identifier.

    The identifier counts only where the log holds no content, so that two models whose
    logs number the items differently are never paired by number.
    """
    return pl.coalesce("item_hash", pl.format("id:{}", "item"))


def joined(first: pl.LazyFrame, second: pl.LazyFrame) -> pl.LazyFrame:
    """Answers of two models to the same items, side by side; the second's have `_right`.

    Args:
        first: rows of `Responses`, of one model.
        second: rows of `Responses`, of another model.

    Returns:
        One row per task, content, filter and sample that both have. Items that only one
        model has, or whose content differs, are not there.
    """
    keys = ["task", "key", "filter", "sample"]
    sides = [rows.with_columns(content_key().alias("key")) for rows in (first, second)]
    return sides[0].join(sides[1], on=keys, how="inner", nulls_equal=True)
