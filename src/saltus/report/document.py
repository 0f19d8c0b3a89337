"""The report as one JSON document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import polars as pl

from saltus.report.cards import Card
from saltus.report.evidence import evidence
from saltus.report.overview import chips, skipped, summary

FORMAT = "saltus.report/1"


def document(
    cards: Sequence[Card], tables: Mapping[str, pl.DataFrame], manifest: Mapping[str, Any]
) -> dict[str, Any]:
    """Verdicts with their evidence, findings, what was skipped, and the manifest."""
    views = [view for card in cards for view in card.views]
    return {
        "format": FORMAT,
        "manifest": dict(manifest),
        "summary": summary(cards, tables),
        "counts": {chip.word.name: chip.amount for chip in chips(views)},
        "verdicts": [
            dict(view.row) | {"evidence": [entry._asdict() for entry in evidence(view.row)]}
            for view in views
        ],
        "findings": tables["findings"].to_dicts(),
        "skipped": [entry._asdict() for entry in skipped(tables)],
    }


def encoded(document: Any) -> bytes:
    """Indented JSON with sorted keys; NaN and infinities, which JSON lacks, become null."""
    text = msgspec.json.encode(document, order="sorted", enc_hook=str)
    return msgspec.json.format(text, indent=1) + b"\n"
