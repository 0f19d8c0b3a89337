"""What a screen is, and the stage that runs them all.

A screen asks one question of the tables and answers with findings: suspicions that the
harness or the file, not the model, made a number. It changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from saltus.registry import Registry
from saltus.tables import Findings, Models, Reported, Responses, conform, empty


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
        apart: whether the earlier checkpoints of runs are asked about on their own, since what
            a network says before it has learnt to answer casts no doubt on the final models.
    """

    name: str
    question: str
    source: str
    false_alarm: str
    function: Callable[[Evidence], pl.DataFrame]
    apart: bool = False


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


def screen_for(
    question: str, source: str, *, false_alarm: str, apart: bool = False
) -> Callable[[Function], Function]:
    """Registers the function below as a screen; its name is the screen's name."""

    def register(function: Function) -> Function:
        entry = Screen(function.__name__, question, source, false_alarm, function, apart)
        SCREENS.add(entry)
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


def screen_estimates(name: str, estimates: pl.DataFrame) -> pl.DataFrame:
    """The findings of one screen that looks at estimates alone.

    Args:
        name: of the screen.
        estimates: table `Estimates`.

    Returns:
        Table `Findings`.
    """
    others = empty(Models), empty(Responses).lazy(), empty(Reported)
    return _named(SCREENS[name], SCREENS[name].function(Evidence(*others, estimates)))


EARLIER = "earlier checkpoints"
LOSS_AXIS = "loss axis"


def _findings(entry: Screen, evidence: Evidence) -> pl.DataFrame:
    earlier = _earlier(evidence.models) if entry.apart else []
    if not earlier:
        return _named(entry, entry.function(evidence))
    among = pl.col("model").is_in(earlier)
    first, last = (
        entry.function(replace(evidence, responses=evidence.responses.filter(part)))
        for part in (among, ~among)
    )
    message = pl.format("among " + EARLIER + ", {}", "message")
    scoped = first.with_columns(message=message, scope=pl.lit(EARLIER))
    return pl.concat([_named(entry, last), _named(entry, scoped)])


def _named(entry: Screen, rows: pl.DataFrame) -> pl.DataFrame:
    return conform(rows.with_columns(screen=pl.lit(entry.name)), Findings)


def _earlier(models: pl.DataFrame) -> list[str]:
    """Labels of the checkpoints that a later one of the same run follows."""
    run = pl.col("model").str.replace(r"@step\d+", "")
    step = pl.col("step").fill_null(np.iinfo(np.int64).max)  # the final model has no step
    return models.filter(step < step.max().over(run))["model"].to_list()
