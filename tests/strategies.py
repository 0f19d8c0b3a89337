"""Hypothesis strategies: answers as logs hold them, good and bad."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import strategies as st

from saltus.tables import Responses, conform

# letters that collide often, white space of several kinds, a combining accent, CJK, digits
LETTERS = "aabbc .,\n\t\u00a0\u3000e\u0301é我爱1A"

texts = st.text(LETTERS, max_size=20)
words = st.lists(st.sampled_from(["cat", "dog", "Cat", "7", "the", "我"]), min_size=1, max_size=8)
sentences = words.map(" ".join)
logprobs = st.floats(-50.0, -1e-6, allow_nan=False)
bad_numbers = st.sampled_from([float("nan"), float("-inf"), float("inf"), 0.0, 0.5, None])


def rare(usual: st.SearchStrategy[Any], bad: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly the usual, now and then the bad."""
    return st.integers(0, 9).flatmap(lambda draw: bad if draw == 0 else usual)


def numbers(usual: st.SearchStrategy[float]) -> st.SearchStrategy[list[float | None]]:
    """A list of numbers as a log may hold it, also empty or with one that is none."""
    return st.lists(rare(usual, bad_numbers), max_size=6)


@st.composite
def answers(draw: st.DrawFn, max_size: int = 8) -> pl.DataFrame:
    """Rows of `Responses` that may lack any optional column's value."""
    size = draw(st.integers(1, max_size))
    columns: dict[str, st.SearchStrategy[Any]] = {
        "output": rare(texts | sentences, st.none()),
        "targets": rare(
            st.lists(texts | sentences | st.none(), max_size=3), st.none() | st.just([])
        ),
        "target_index": rare(st.integers(0, 4), st.none() | st.integers(-3, 9)),
        "choice_logprobs": rare(numbers(logprobs), st.none()),
        "choice_bytes": rare(st.lists(st.integers(0, 9), max_size=6), st.none()),
        "target_logprobs": rare(numbers(logprobs), st.none()),
        "target_bytes": rare(st.integers(1, 40), st.none() | st.integers(-1, 0)),
        "chance": rare(st.none(), st.floats(0.0, 1.0)),
    }
    data = {name: [draw(values) for _ in range(size)] for name, values in columns.items()}
    keys = {"model": "m", "task": "t", "sample": 0}
    frame = pl.DataFrame(data, schema={name: DTYPES[name] for name in data})
    frame = frame.with_columns(
        *(pl.lit(value).alias(name) for name, value in keys.items()),
        pl.int_range(pl.len()).cast(pl.String).alias("item"),
    )
    return conform(frame, Responses)


DTYPES = {
    name: vars(Responses)[name].dtype
    for name in (
        "output",
        "targets",
        "target_index",
        "choice_logprobs",
        "choice_bytes",
        "target_logprobs",
        "target_bytes",
        "chance",
    )
}


def rows(**columns: list[Any]) -> pl.DataFrame:
    """Answers of one model to one task from the columns given."""
    size = len(next(iter(columns.values())))
    frame = pl.DataFrame(columns, schema={name: DTYPES[name] for name in columns}, strict=False)
    keys = {"model": "m", "task": "t", "sample": 0}
    return conform(
        frame.with_columns(
            *(pl.lit(value).alias(name) for name, value in keys.items()),
            pl.Series("item", [str(item) for item in range(size)]),
        ),
        Responses,
    )


def needs_its_extra(name: str) -> None:
    """Skips a test of a metric whose optional package is not installed."""
    if name.endswith("_stemmed"):
        pytest.importorskip("nltk", reason="stemming needs the extra `stem`")
