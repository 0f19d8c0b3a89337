"""The HTML page: everything in one file that loads nothing from the network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from saltus.report.cards import Card, View
from saltus.report.chart import Chart, template
from saltus.report.evidence import evidence
from saltus.report.overview import chips, facts_of, grids, screens, skipped, summary, title
from saltus.report.provenance import created, notes, provenance, version
from saltus.report.text import NOTHING, count, listing, probability
from saltus.report.vocabulary import AXES, REFERENCES, WORDS, axis_name

Tables = Mapping[str, pl.DataFrame]
Model = dict[str, Any]
COLUMNS = (
    ("task", ""),
    ("axis", ""),
    ("verdict", ""),
    ("", ""),
    ("range", "n"),
    ("metric / partner", ""),
    ("scales", "n"),
    ("items", "n"),
    ("p change", "n"),
    ("p break", "n"),
    ("in words", ""),
)


def page(
    cards: Sequence[Card], models: Sequence[Model], tables: Tables, manifest: Mapping[str, Any]
) -> str:
    """The whole page as text.

    Args:
        cards: from `cards.cards`.
        models: label and place on every axis of the models that the charts point to.
        tables: of the audit folder.
        manifest: of the audit folder.
    """
    content = context(cards, models, tables, manifest)
    return render("page.html.jinja", manifest, heading_of(tables), content)


def render(name: str, manifest: Mapping[str, Any], heading: str, context: Mapping[str, Any]) -> str:
    """One of the page templates, with what every page has."""
    shared = {
        "heading": heading,
        "version": version(manifest),
        "created": created(manifest),
        "origin": provenance(manifest),
        "notes": notes(manifest),
        "css": Markup(asset("page.css")),  # noqa: S704  (our own file)
        "js": Markup(asset("page.js")),  # noqa: S704  (our own file)
    }
    return _environment().get_template(name).render(**shared, **context)


def context(
    cards: Sequence[Card], models: Sequence[Model], tables: Tables, manifest: Mapping[str, Any]
) -> dict[str, Any]:
    """What the page template reads."""
    views = [view for card in cards for view in card.views]
    families, regimes = {card.family for card in cards}, {card.regime for card in cards}
    found = [
        (axis, name) for axis, name in AXES.items() if any(v.row["axis"] == axis for v in views)
    ]
    many = {"many_families": len(families) > 1, "many_regimes": len(regimes) > 1}
    extra = [("family", "")] * many["many_families"] + [("regime", "")] * many["many_regimes"]
    return {
        "summary": summary(cards, tables),
        "chips": chips(views),
        "facts": facts_of(tables, manifest),
        "screens": screens(tables["findings"]),
        "skipped": skipped(tables),
        "axes": found,
        "grid_axes": listing([name for _, name in found]),
        "columns": [*extra, *COLUMNS],
        "rows": sorted(
            (_row(card, place) for card in cards for place in range(len(card.views))),
            key=lambda row: row["view"].word.rank,
        ),
        "grids": grids(cards),
        "groups": _groups(cards),
        "cards": len(cards),
        "charts": embedded(charts(cards, models)),
        "vega": Markup(bundle()) if cards else "",  # noqa: S704  (from the installed vl-convert)
        "vocabulary": WORDS,
        "references": REFERENCES,
        "level": _level(tables["estimates"]),
        **many,
    }


def heading_of(tables: Tables) -> str:
    """Such as "Emergence audit of pythia"."""
    families = tables["verdicts"]["family"].unique().sort().to_list()
    if not families:
        return "Emergence audit"
    if len(families) <= 3:
        return f"Emergence audit of {listing(families)}"
    return f"Emergence audit of {len(families)} model families"


def _row(card: Card, place: int) -> dict[str, Any]:
    """One row of the overview."""
    view = card.views[place]
    row = view.row
    names = [name.replace("_", " ") for name in (row["metric"], row["partner"]) if name]
    return {
        "card": card,
        "view": view,
        "place": place,
        "group": title(card.family, card.regime),
        "axis": axis_name(row),
        "words": _words(card),
        "path": spark_path(view.spark),
        "metrics": " / ".join(names),
        "item_count": "" if row["items"] is None else count(row["items"]),
        "p_change": _blank(probability(row["p_change"])),
        "p_break": _blank(probability(row["p_break"])),
    }


def _blank(text: str) -> str:
    return "" if text == NOTHING else text


def _words(card: Card) -> str:
    """What the search box looks through."""
    return f"{card.family} {card.regime or ''} {card.task}".lower()


def spark_path(values: Sequence[float]) -> str:
    """An SVG path through the values, 100 wide and 20 high."""
    if len(values) < 2:
        return ""
    step = 100 / (len(values) - 1)
    corners = (f"{place * step:.0f} {20 - 20 * value:.0f}" for place, value in enumerate(values))
    return "M" + "L".join(corners)


def _groups(cards: Sequence[Card]) -> list[tuple[str, list[dict[str, Any]]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for card in cards:
        groups.setdefault(title(card.family, card.regime), []).append(card_context(card))
    return list(groups.items())


def card_context(card: Card) -> dict[str, Any]:
    """What the card template reads; empty steps of the evidence are left out."""
    steps = [evidence(view.row) for view in card.views]
    shown = [
        {"step": step[0].step, "question": step[0].question, "entries": step}
        for step in zip(*steps, strict=True)
        if any(entry.number != NOTHING or entry.reading for entry in step)
    ]
    return {
        "number": card.number,
        "task": card.task,
        "views": card.views,
        "lead": card.lead,
        "leading": card.leading,
        "note": _card_note(card),
        "agree": card.agree,
        "open": card.open,
        "names": [axis_name(view.row) for view in card.views],
        "verdicts": " ".join(dict.fromkeys(view.row["verdict"] for view in card.views)),
        "axes": " ".join(view.row["axis"] for view in card.views),
        "words": _words(card),
        "evidence": shown,
        "single": all(_single(view) for view in card.views),
    }


def _card_note(card: Card) -> str:
    """Beside the task's name: the metric's range, and whether the axes disagree."""
    row, span = card.leading.row, card.leading.range
    name = (row["metric"] or row["partner"] or "").replace("_", " ")
    parts = [f"{name} {span}" if span else "", "" if card.agree else "depends on the axis"]
    return " · ".join(part for part in parts if part)


def _single(view: View) -> bool:
    return view.chart is None or len(view.chart.panels) < 2


def charts(cards: Sequence[Card], models: Sequence[Model]) -> dict[str, Any]:
    """All chart data of the page.

    Templates, models, the panels and settings that charts share, and for every card one
    chart per view (null: none) that points to what it shares by number.
    """
    pool: dict[str, int] = {}
    made = [[_pooled(view.chart, pool) for view in card.views] for card in cards]
    shared = [json.loads(text) for text in pool]
    return {
        "templates": {entry["template"]: template(entry["template"]) for entry in shared},
        "models": list(models),
        "pool": shared,
        "cards": made,
    }


def _pooled(chart: Chart | None, pool: dict[str, int]) -> dict[str, Any] | None:
    if chart is None:
        return None
    card = chart.card()
    data = card.pop("data")
    return {"s": pool.setdefault(json.dumps(card, sort_keys=True), len(pool)), "data": data}


def embedded(document: Any) -> Markup:
    """JSON that is safe inside a script element: no `<`, no `&`, no NaN."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    for mark in "<>&":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return Markup(text)  # noqa: S704  (escaped above)


@cache
def bundle() -> str:
    """Vega-Embed with Vega and Vega-Lite as one script, from the installed vl-convert."""
    import vl_convert

    script: str = vl_convert.javascript_bundle("window.vegaEmbed=vegaEmbed;")
    return script.replace("</script", "<\\/script")


@cache
def asset(name: str) -> str:
    """A file of this package."""
    return (files("saltus.report") / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("saltus", "report"),
        autoescape=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )


def _level(estimates: pl.DataFrame) -> str:
    levels = estimates["level"].drop_nulls().unique().sort().to_list()
    return " and ".join(f"{100 * level:g}" for level in levels)
