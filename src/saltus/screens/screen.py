"""What a screen is, and the stage that runs them all.

A screen asks one question of the tables and answers with findings: suspicions that the
harness or the file, not the model, made a number. It changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from saltus.registry import Registry
from saltus.tables import Findings, conform, empty


@dataclass(frozen=True)
class Evidence:
    """The tables that screens look at.

    Args:
        models: table `Models`.
        responses: table `Responses`, not yet collected.
        reported: table `Reported`.
        estimates: table `Estimates`.
    """

    models: pl.DataFrame
    responses: pl.LazyFrame
    reported: pl.DataFrame
    estimates: pl.DataFrame


@dataclass(frozen=True)
class Screen:
    """One screen: its facts and its function.

    Args:
        name: as it stands in the findings.
        question: what it asks, in one sentence.
        source: where the artefact was seen.
        false_alarm: how often it speaks where nothing is wrong; simulated or by its rule.
        function: evidence to rows of `Findings` (without `screen`).
    """

    name: str
    question: str
    source: str
    false_alarm: str
    function: Callable[[Evidence], pl.DataFrame]


SCREENS: Registry[Screen] = Registry(
    "screen",
    (
        "saltus.screens.alignment",
        "saltus.screens.extraction",
        "saltus.screens.items",
        "saltus.screens.outputs",
        "saltus.screens.scores",
        "saltus.screens.values",
    ),
)

Function = Callable[[Evidence], pl.DataFrame]


def screen_for(question: str, source: str, *, false_alarm: str) -> Callable[[Function], Function]:
    """Registers the function below as a screen; its name is the screen's name."""

    def register(function: Function) -> Function:
        SCREENS.add(Screen(function.__name__, question, source, false_alarm, function))
        return function

    return register


def screen(evidence: Evidence) -> pl.DataFrame:
    """The findings of every screen, worst first.

    Returns:
        Table `Findings`.
    """
    parts = [_findings(entry, evidence) for entry in SCREENS]
    order = pl.col("severity").replace_strict({"error": 0, "warning": 1, "note": 2})
    return pl.concat([empty(Findings), *parts]).sort(order, "screen", "task", "metric", "model")


def _findings(entry: Screen, evidence: Evidence) -> pl.DataFrame:
    rows = entry.function(evidence).with_columns(screen=pl.lit(entry.name))
    return conform(rows, Findings)
