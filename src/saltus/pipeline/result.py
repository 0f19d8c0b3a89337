"""An audit folder, opened, and what it could not judge."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from saltus import store
from saltus.report.overview import lost_models, unknown_metrics
from saltus.report.text import several
from saltus.tables import TABLES, frequencies


@dataclass(frozen=True)
class Audit:
    """An audit folder, opened.

    Args:
        folder: where it lies; None when the audit was made in memory only.
        tables: every table by name.
        manifest: versions, seed, command and inputs.
    """

    folder: Path | None
    tables: Mapping[str, pl.DataFrame]
    manifest: Mapping[str, Any]

    @property
    def verdicts(self) -> pl.DataFrame:
        """One row per family, regime, task and axis."""
        return self.tables["verdicts"]

    @property
    def estimates(self) -> pl.DataFrame:
        """One row per model, task and metric."""
        return self.tables["estimates"]

    @property
    def findings(self) -> pl.DataFrame:
        """What the screens and the readers saw."""
        return self.tables["findings"]

    def judged(self) -> pl.DataFrame:
        """The verdicts that say more than that nothing could be said."""
        return self.verdicts.filter(pl.col("verdict") != "INCONCLUSIVE")

    def _repr_html_(self) -> str:
        counts = frequencies(self.verdicts["verdict"])
        words = ", ".join(f"{html.escape(name)}: {count}" for name, count in counts) or "none"
        shown = self.verdicts.select("family", "regime", "task", "axis", "verdict", "sentence")
        table: str = shown._repr_html_()
        return f"<p><strong>Verdicts</strong>: {words}</p>{table}"


def open_audit(folder: Path) -> Audit:
    """Every table of an audit folder.

    Raises:
        StoreError: it is not an audit folder.
    """
    manifest = store.load_manifest(folder)
    return Audit(folder, {table.name: store.load(folder, table) for table in TABLES}, manifest)


def why_unjudged(audit: Audit) -> str:
    """Why an audit came to no verdict, in one sentence."""
    if audit.estimates.is_empty():
        return "the input holds no answers that could be scored and no reported scores."
    axes = ("params", "tokens", "flops", "loss")
    placed = audit.estimates.filter(pl.any_horizontal(pl.col(axes).is_not_null()))
    if placed.is_empty():
        models = audit.tables["models"]["model_name"].n_unique()
        return (
            f"there is no scale axis. No model ({models:,} in all) has a known size, training "
            "tokens, FLOPs or loss, so nothing can be seen to change with scale; name them with "
            "`--models FILE` (columns model, family, params, tokens, flops)."
        )
    if audit.verdicts.is_empty():
        nameless = unknown_metrics(audit.estimates)
        return nameless or "no family has scores of one task at several scales."
    reasons = frequencies(audit.verdicts["reason"])
    counts = "; ".join(f"{count} x {name}" for name, count in reasons)
    most = max(audit.verdicts["scales"].to_list())
    everyone = audit.tables["models"]
    unknown = everyone.filter(pl.all_horizontal(pl.col(axes).is_null())).height
    longest = f"{counts}. The longest scale axis of one family has {several(most, 'scale')}"
    if unknown:
        have = "has" if unknown == 1 else "have"
        longest += (
            f"; {unknown:,} of {several(everyone.height, 'model')} {have} no known size, "
            "tokens, FLOPs or loss (`--models FILE` names them)"
        )
    return f"{longest}. {lost_models(audit.estimates)}".strip()
