"""Plain Parquet tables of answers, scores and aggregates, as `saltus read` takes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from saltus import store
from saltus.readers.reader import Finding, finding
from saltus.tables import Models, Reported, Responses, Table
from saltus.writers.tables import PER_ITEM, Read

FACTS = (
    "step", "seed", "regime", "family", "params", "tokens", "flops", "loss", "loss_name",
)  # fmt: skip
AGGREGATES = ("task", "metric", "value", "stderr", "items", "chance", "source")
SCORES = ("task", "item", "sample", "cluster", "metric", "value", "chance", "source")


def write_parquet(read: Read, folder: Path) -> Iterator[Finding]:
    """One table per kind; the columns of the models stand in each of its rows."""
    models = store.load(read.folder, Models)
    answers = [name for name in _columns(Responses) if name != "model"]
    parts = {
        "answers": store.scan(read.folder, Responses).select("model", *answers),
        "scores": store.scan(read.folder, Reported).filter(PER_ITEM).select("model", *SCORES),
        "aggregates": store.scan(read.folder, Reported)
        .filter(~PER_ITEM)
        .select("model", *AGGREGATES),
    }
    for name, rows in parts.items():
        if rows.select(pl.len()).collect().item():
            path = folder / f"{name}.parquet"
            _with_facts(rows, models).sink_parquet(path, row_group_size=50_000)
    yield from _lost(read, parts["scores"])


def _columns(table: type[Table]) -> list[str]:
    from saltus.tables import columns

    return [name for name, _ in columns(table)]


def _with_facts(rows: pl.LazyFrame, models: pl.DataFrame) -> pl.LazyFrame:
    """The model's name and facts in place of its label, which follows from them."""
    facts = models.lazy().select("model", "model_name", *FACTS)
    joined = rows.join(facts, on="model", how="left", maintain_order="left")
    return joined.drop("model").rename({"model_name": "model"})


def _lost(read: Read, scores: pl.LazyFrame) -> Iterator[Finding]:
    values = store.scan(read.folder, Reported).filter(PER_ITEM)
    counts = values.select(pl.col("stderr").count(), pl.col("items").count()).collect()
    if sum(counts.row(0)):
        yield finding("lost", "standard errors and sizes of single items' scores have no column")
