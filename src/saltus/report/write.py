"""All tables to files: page, Markdown, JSON and figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from saltus.report.cards import cards
from saltus.report.document import document, encoded
from saltus.report.figures import write_figures
from saltus.report.markdown import markdown
from saltus.report.page import page
from saltus.report.series import significant
from saltus.report.vocabulary import AXES
from saltus.tables import Bands, Estimates, Findings, Fits, Models, Verdicts, conform, empty


def report(
    tables: Mapping[str, pl.DataFrame],
    manifest: Mapping[str, Any],
    folder: Path,
    *,
    figures: bool = True,
) -> list[Path]:
    """Write the report of an audit.

    Args:
        tables: of the audit folder, by name; absent ones count as empty.
        manifest: of the audit folder.
        folder: where the files go; made when it is not there.
        figures: whether to write one PNG and SVG per card too (about a quarter of a second
            each).

    Returns:
        The files written, `report.html` first.
    """
    data = whole(tables)
    models = _places(data["estimates"])
    made = cards(data, {entry["model"]: number for number, entry in enumerate(models)})
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "report.html": page(made, models, data, manifest).encode(),
        "report.md": markdown(made, data, manifest).encode(),
        "report.json": encoded(document(made, data, manifest)),
    }
    for name, text in texts.items():
        (folder / name).write_bytes(text)
    drawn = write_figures(made, models, folder / "figures") if figures else []
    return [*(folder / name for name in texts), *drawn]


def whole(tables: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The tables with those that the report reads in full, absent ones empty."""
    read = (Models, Findings, Estimates, Fits, Verdicts, Bands)
    return dict(tables) | {
        table.name: conform(tables[table.name], table) if table.name in tables else empty(table)
        for table in read
    }


def _places(estimates: pl.DataFrame) -> list[dict[str, Any]]:
    """Every model's label and its place on each axis, which charts share."""
    known = estimates.select("model", *AXES).unique("model").sort("model")
    return [
        {
            name: significant(value, 6) if isinstance(value, float) else value
            for name, value in row.items()
        }
        for row in known.iter_rows(named=True)
    ]
