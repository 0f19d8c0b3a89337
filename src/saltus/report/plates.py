"""The plates of `saltus reproduce`: one folder per experiment, one page for all.

An experiment's folder holds its figures (PNG, SVG), its tables (CSV) and `result.json` with
its words; the page is made from these folders alone, so experiments run at different times
stand on one page.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from saltus.report.document import encoded
from saltus.report.page import render
from saltus.report.plots import Json, beside
from saltus.report.text import number, safe

SCALE = 1.5  # PNG pixels per unit
SHOWN = 60  # rows of a table on the page; all are in its CSV
RESULT = "result.json"


@dataclass(frozen=True)
class Figure:
    """Panels that belong together.

    Args:
        name: of its files.
        caption: what it shows, with the number of items, runs and seeds.
        panels: Vega-Lite specifications, from `plots`.
        columns: panels in a row of the files.
    """

    name: str
    caption: str
    panels: Sequence[Json]
    columns: int = 3


@dataclass(frozen=True)
class Sheet:
    """A table with its caption; written as CSV, its first rows shown on the page."""

    name: str
    caption: str
    frame: pl.DataFrame


@dataclass(frozen=True)
class Plate:
    """What is shown of one experiment.

    Args:
        words: name, title, claim, expected, source, shown, checks, verdict, errors of the paper.
        figures: in order.
        sheets: in order.
    """

    words: Mapping[str, Any]
    figures: Sequence[Figure] = field(default_factory=tuple)
    sheets: Sequence[Sheet] = field(default_factory=tuple)


def write_plate(plate: Plate, folder: Path) -> list[Path]:
    """Write figures, tables and `result.json` of one experiment into its folder.

    Returns:
        The files written.
    """
    import vl_convert

    written = []
    for figure in plate.figures:
        whole = vl_convert.vegalite_to_svg(json.dumps(beside(figure.panels, figure.columns)))
        files = {f"{figure.name}.svg": whole.encode()}
        files[f"{figure.name}.png"] = vl_convert.svg_to_png(whole, scale=SCALE)
        for place, one in enumerate(figure.panels, 1):
            svg = vl_convert.vegalite_to_svg(json.dumps(one))
            files[f"panels/{figure.name}-{place}.svg"] = svg.encode()
        written += [_put(folder / name, content) for name, content in files.items()]
    for sheet in plate.sheets:
        written.append(_put(folder / f"{sheet.name}.csv", _csv(sheet.frame)))
    written.append(_put(folder / RESULT, encoded(_result(plate))))
    return written


def write_index(folder: Path, names: Sequence[str], manifest: Mapping[str, Any]) -> list[Path]:
    """Write `index.html` and `index.md` from the experiments' folders.

    Args:
        folder: of `saltus reproduce`.
        names: experiments in the order of the page; those without a folder are left out.
        manifest: of the whole, for the page's provenance.
    """
    found = [folder / name for name in names if (folder / name / RESULT).is_file()]
    entries = [_entry(one) for one in found]
    heading = "Are emergent abilities a mirage? Every figure again"
    page = render("plates.html.jinja", manifest, heading, {"entries": entries})
    texts = {"index.html": page, "index.md": _markdown(entries, heading)}
    return [_put(folder / name, text.encode()) for name, text in texts.items()]


def _put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # it may be a link to an older run's file
    path.write_bytes(content)
    return path


def _csv(frame: pl.DataFrame) -> bytes:
    lists = [name for name, kind in frame.schema.items() if kind.is_nested()]
    flat = frame.with_columns(pl.col(name).map_elements(str, pl.String) for name in lists)
    return flat.write_csv(float_precision=6).encode()


def _result(plate: Plate) -> Json:
    return {
        **plate.words,
        "figures": [
            {
                "name": figure.name,
                "caption": figure.caption,
                "panels": [f"{figure.name}-{i}.svg" for i in range(1, len(figure.panels) + 1)],
            }
            for figure in plate.figures
        ],
        "tables": [
            {
                "name": sheet.name,
                "caption": sheet.caption,
                "rows": sheet.frame.height,
                "columns": sheet.frame.columns,
                "numeric": [kind.is_numeric() for kind in sheet.frame.dtypes],
                "cells": [[*map(_cell, row)] for row in sheet.frame.head(SHOWN).rows()],
            }
            for sheet in plate.sheets
        ],
    }  # fmt: skip


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return number(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _entry(folder: Path) -> Json:
    """One experiment as the page needs it, its panels embedded."""
    words: Json = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    for figure in words["figures"]:
        paths = [folder / "panels" / name for name in figure["panels"]]
        figure["images"] = [base64.b64encode(path.read_bytes()).decode() for path in paths]
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return words | {"preset": manifest["preset"], "seed": manifest["seed"]}


def _markdown(entries: Sequence[Json], heading: str) -> str:
    """The outcome of every experiment as text: a table of all, then one section each."""
    lines = [f"# {heading}", "", "| experiment | preset, seed | checks | verdict |",
             "|---|---|---|---|"]  # fmt: skip
    for entry in entries:
        held = sum(check["holds"] is True for check in entry["checks"])
        cells = [entry["title"], f"{entry['preset']}, {entry['seed']}",
                 f"{held} of {len(entry['checks'])}", entry["verdict"]]  # fmt: skip
        lines.append(f"| {' | '.join(map(safe, cells))} |")
    for entry in entries:
        lines += ["", *_section(entry)]
    return "\n".join(lines) + "\n"


def _section(entry: Json) -> list[str]:
    shown = [f"- {safe(sentence)}" for sentence in entry["shown"]]
    checks = [f"- {_mark(check['holds'])}: {safe(check['what'])} ({safe(check['detail'])})"
              for check in entry["checks"]]  # fmt: skip
    errors = [f"- error in the paper, {error['where']}: {safe(error['problem'])}. Reading here: "
              f"{safe(error['reading'])}." for error in entry["errors"]]  # fmt: skip
    images = [f"![{safe(figure['caption'])}]({entry['name']}/{figure['name']}.png)"
              for figure in entry["figures"]]  # fmt: skip
    return [
        f"## {safe(entry['title'])}", "",
        f"Claim ({safe(entry['source'])}): {safe(entry['claim'])}", "",
        f"Expected: {safe(entry['expected'])}", "", "Shown:", "", *shown, "",
        f"Verdict: {safe(entry['verdict'])}", "", *checks, *errors, "", *images,
    ]  # fmt: skip


def _mark(holds: bool | None) -> str:
    return {True: "holds", False: "does not hold", None: "could not be tested"}[holds]
