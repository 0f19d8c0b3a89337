"""The report in Markdown: the same content as the page, without the charts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from saltus.report.cards import Card, View
from saltus.report.evidence import evidence
from saltus.report.overview import chips, facts_of, screens, skipped, summary, title
from saltus.report.page import heading_of
from saltus.report.provenance import notes, provenance
from saltus.report.text import NOTHING, count, probability, safe
from saltus.report.vocabulary import WORDS, axis_name

Tables = Mapping[str, pl.DataFrame]


def markdown(cards: Sequence[Card], tables: Tables, manifest: Mapping[str, Any]) -> str:
    """The whole report as Markdown text."""
    parts = [
        _head(cards, tables, manifest),
        _screens(tables["findings"]),
        _overview(cards),
        _evidence(cards),
        _skipped(tables),
        _glossary(),
        origin(manifest),
    ]
    return "\n".join(line for part in parts for line in part).rstrip() + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """A Markdown table of foreign text, escaped cell by cell."""
    rule = "|" + "---|" * len(head)
    body = ["| " + " | ".join(safe(cell) for cell in row) + " |" for row in rows]
    return ["| " + " | ".join(head) + " |", rule, *body, ""]


def origin(manifest: Mapping[str, Any]) -> list[str]:
    """How the report was made."""
    made = provenance(manifest)
    rows = [*made.facts, *((f"input {entry.name}", entry.sha256) for entry in made.inputs)]
    return ["## How this report was made", "", *table(("what", "value"), rows)]


def _head(cards: Sequence[Card], tables: Tables, manifest: Mapping[str, Any]) -> list[str]:
    numbers = ", ".join(f"{number} {noun}" for number, noun in facts_of(tables, manifest))
    views = [view for card in cards for view in card.views]
    counts = table(("verdict", "series"), ((chip.word.title, chip.amount) for chip in chips(views)))
    return [
        f"# {safe(heading_of(tables))}",
        "",
        *(line for note in notes(manifest) for line in (f"> {safe(note)}", "")),
        *(line for text in summary(cards, tables) for line in (safe(text), "")),
        f"Audited: {numbers or 'nothing'}.",
        "",
        *(counts if views else []),
    ]


def _screens(findings: pl.DataFrame) -> list[str]:
    levels = screens(findings)
    if not levels:
        return []
    rows = [
        (level.title, row["count"], row["message"], _place(row))
        for level in levels
        for row in level.rows
    ]
    return ["## Screens", "", *table(("severity", "rows", "what was seen", "where"), rows)]


def _place(row: Mapping[str, Any]) -> str:
    return ", ".join(str(row[name]) for name in ("screen", "model", "task", "metric") if row[name])


def _overview(cards: Sequence[Card]) -> list[str]:
    if not cards:
        return []
    head = ("family", "task", "axis", "verdict", "range", "scales", "items", "p change", "p break")
    rows = [_overview_row(card, view) for card in cards for view in card.views]
    return ["## Overview", "", *table(head, rows)]


def _overview_row(card: Card, view: View) -> tuple[object, ...]:
    row = view.row
    return (
        title(card.family, card.regime),
        card.task,
        axis_name(row),
        view.word.title,
        view.range or NOTHING,
        row["scales"],
        count(row["items"]),
        probability(row["p_change"]),
        probability(row["p_break"]),
    )


def _evidence(cards: Sequence[Card]) -> list[str]:
    """One section per verdict that calls for a look; the others stand in the overview."""
    shown = [(card, view) for card in cards for view in card.views if view.word.notable]
    lines = [line for card, view in shown for line in _section(card, view)]
    return ["## Evidence", "", *lines] if lines else []


def _section(card: Card, view: View) -> list[str]:
    row = view.row
    where = f"{title(card.family, card.regime)}: {card.task}, {axis_name(row)}"
    steps = [step for step in evidence(row) if step.number != NOTHING or step.reading]
    settle = [f"What would settle it: {safe(row['settle'])}", ""] if row["settle"] else []
    return [
        f"### {view.word.title}: {safe(where)}",
        "",
        safe(row["sentence"]),
        "",
        *settle,
        *table(("step", "question", "number", "reading"), steps),
    ]


def _skipped(tables: Tables) -> list[str]:
    entries = skipped(tables)
    if not entries:
        return ["## What was skipped", "", "Nothing: every model and every score was used.", ""]
    return ["## What was skipped, and why", "", *table(("what", "why", "rows"), entries)]


def _glossary() -> list[str]:
    lines = [f"- **{word.title}** (`{word.name}`): {word.meaning} {word.limit}" for word in WORDS]
    return ["## What the verdicts mean", "", *lines, ""]
