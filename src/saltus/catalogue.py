"""What Saltus knows, kind by kind, as tables: the text of `saltus list`."""

from __future__ import annotations

import polars as pl

from saltus.errors import UnknownNameError
from saltus.tables import TABLES, columns


def _metrics() -> list[dict[str, object]]:
    from saltus.metrics.metric import METRICS

    return [
        {
            "name": entry.name,
            "reaction": entry.reaction,
            "better": entry.better,
            "unit": entry.unit,
            "bounds": "{} to {}".format(
                *("?" if end is None else f"{end:g}" for end in entry.bounds)
            ),
            "partners": ", ".join(entry.partners),
            "scored": "from answers" if entry.function else "as reported",
            "source": entry.source,
        }
        for entry in METRICS
    ]


def _readers() -> list[dict[str, object]]:
    from saltus.readers.reader import READERS

    return [{"name": entry.name, "source": entry.source} for entry in READERS]


def _screens() -> list[dict[str, object]]:
    from saltus.screens.screen import SCREENS

    return [
        {"name": entry.name, "question": entry.question, "source": entry.source}
        for entry in SCREENS
    ]


def _curves() -> list[dict[str, object]]:
    from saltus.curves.curve import CURVES

    return [{"name": entry.name, "shape": entry.shape, "source": entry.source} for entry in CURVES]


def _worlds() -> list[dict[str, object]]:
    from saltus.worlds import WORLDS

    return [{"name": entry.name, "truth": entry.truth, "source": entry.source} for entry in WORLDS]


def _tables() -> list[dict[str, object]]:
    return [
        {"table": table.name, "column": name, "type": str(field.dtype), "holds": field.doc}
        for table in TABLES
        for name, field in columns(table)
    ]


_KINDS = {
    "curves": _curves,
    "metrics": _metrics,
    "readers": _readers,
    "screens": _screens,
    "tables": _tables,
    "worlds": _worlds,
}


def entries(kind: str) -> pl.DataFrame:
    """Every entry of one kind, a row each.

    Raises:
        UnknownNameError: there is no such kind.
    """
    if kind not in _KINDS:
        raise UnknownNameError("kind of entry", kind, _KINDS)
    return pl.DataFrame(_KINDS[kind](), infer_schema_length=None)
