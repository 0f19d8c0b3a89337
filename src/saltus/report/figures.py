"""Figures as PNG and SVG, without a browser, from the page's own specification."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from saltus.report.cards import Card
from saltus.report.chart import Chart, Json, fill, template
from saltus.report.vocabulary import AXIS_PHRASES

SCALE = 2.0  # PNG pixels per unit


def specification(card: Card, chart: Chart, models: Sequence[Json]) -> str:
    """The chart of a card's leading axis with its title, as JSON text."""
    spec = fill(template(chart.template), chart.card(), models)
    axis = AXIS_PHRASES.get(chart.axis, chart.axis)
    spec["title"] = {
        "text": f"{card.leading.word.symbol} {card.leading.word.title}: {card.task}",
        "subtitle": ", ".join(part for part in (card.family, card.regime, f"by {axis}") if part),
        "color": card.leading.word.color,
        "fontSize": 15,
        "offset": 14,
    }
    return json.dumps(spec, allow_nan=False)


def write_figures(cards: Sequence[Card], models: Sequence[Json], folder: Path) -> list[Path]:
    """One PNG and one SVG per card, of its leading axis.

    One figure costs about a quarter of a second, so the other axes stay on the page.

    Returns:
        The files, in the order of the cards.
    """
    import vl_convert

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for card in cards:
        if card.leading.chart is None:
            continue
        svg = vl_convert.vegalite_to_svg(specification(card, card.leading.chart, models))
        path = folder / f"{card.slug}.svg"
        path.write_text(svg, encoding="utf-8")
        path.with_suffix(".png").write_bytes(vl_convert.svg_to_png(svg, scale=SCALE))
        written += [path.with_suffix(".png"), path]
    return written
