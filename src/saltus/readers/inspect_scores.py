"""Inspect AI's score values as numbers, and its aggregates as reported values."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

from saltus.readers.inspect_parts import Aggregate, Results

GRADES = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}
"""correct, incorrect, partly, no answer: `value_to_float` of inspect_ai 0.3."""
WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
STDERR = ("stderr", "bootstrap_stderr")
MEANS = ("accuracy", "mean")
"""Aggregates whose standard error `stderr` is."""


def values(scorer: str, value: Any, notes: Counter[str]) -> Iterator[tuple[str, float | None]]:
    """(metric, number) of one score: several for a dict or a list, `scorer/key` each.

    Args:
        scorer: its name.
        value: as the log has it.
        notes: counts refusals, and what is no number, by the name of the note.
    """
    if isinstance(value, dict):
        for key, member in value.items():
            yield f"{scorer}/{key}", number(member, notes)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield f"{scorer}/{index}", number(member, notes)
    else:
        yield scorer, number(value, notes)


def number(value: Any, notes: Counter[str]) -> float | None:
    """One score as a number; null where it is none, and never 0 for that.

    A grade is what Inspect counts it as: `N`, no answer, is 0 there and is counted as a note.
    """
    if value is None:
        notes["unscored"] += 1
        return None
    if isinstance(value, str):
        return _from_text(value, notes)
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    notes["odd_scores"] += 1
    return None


def _from_text(value: str, notes: Counter[str]) -> float | None:
    if value in GRADES:
        notes["no_answer"] += value == "N"
        return GRADES[value]
    if value.lower() in WORDS:
        return WORDS[value.lower()]
    try:
        found = math.nan if "_" in value else float(value)
    except ValueError:
        found = math.nan
    if math.isfinite(found):
        return found
    notes["odd_scores"] += 1
    return None


def aggregates(results: Results | None) -> Iterator[dict[str, Any]]:
    """Rows of reported values: `metric,scorer`, with the standard error beside its mean."""
    for entry in results.scores if results else []:
        errors = [entry.metrics[name].value for name in STDERR if name in entry.metrics]
        for name, metric in entry.metrics.items():
            if name in STDERR:
                continue
            yield {
                "metric": f"{name},{_view(entry)}",
                "value": metric.value,
                "stderr": errors[0] if errors and name in MEANS else None,
                "items": entry.scored_samples,
            }


def _view(entry: Aggregate) -> str:
    """The scorer, and how epochs were reduced where that is not their mean."""
    plain = entry.reducer in (None, "", "mean")
    return entry.name if plain else f"{entry.name}/{entry.reducer}"
