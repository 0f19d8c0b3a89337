"""Read into memory, for tests of the readers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from saltus import tables
from saltus.readers.read import ReadSummary, read


@dataclass
class Tables:
    """What a sink received."""

    frames: dict[str, list[pl.DataFrame]] = field(default_factory=dict)
    batches: Counter[str] = field(default_factory=Counter)
    summary: ReadSummary | None = None

    def take(self, table: type[tables.Table], frame: pl.DataFrame) -> None:
        assert frame.schema == tables.schema(table)
        self.frames.setdefault(table.name, []).append(frame)
        self.batches[table.name] += 1

    def table(self, name: str) -> pl.DataFrame:
        kind = next(table for table in tables.TABLES if table.name == name)
        return pl.concat([tables.empty(kind), *self.frames.get(name, [])])

    @property
    def responses(self) -> pl.DataFrame:
        return self.table("responses")

    @property
    def reported(self) -> pl.DataFrame:
        return self.table("reported")

    @property
    def models(self) -> pl.DataFrame:
        return self.table("models")

    def named(self, screen: str) -> list[dict[str, Any]]:
        return self.table("findings").filter(pl.col("screen") == screen).to_dicts()


def read_tables(paths: Sequence[Path | str], **options: Any) -> Tables:
    found = Tables()
    found.summary = read([str(path) for path in paths], sink=found.take, **options)
    return found
