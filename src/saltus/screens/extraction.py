"""Screens of answer extraction: does the parser fail more for some models than for others?"""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy.stats import chi2

from saltus.metrics.extract import EXTRACTED
from saltus.metrics.metric import FloatArray
from saltus.screens.screen import Evidence, screen_for
from saltus.tables import Findings, empty

SMALL = 0.001  # p below which rates are said to differ: one test per task and family
NOTED = 0.01  # a rate of failures that is worth a note by itself


@screen_for(
    "Does the parser lose more answers of some models than of others?",
    "ZeroEval: a strict JSON parse loses 14 % of Qwen2.5-3B's replies and 2 % of Qwen2.5-32B's",
    false_alarm="0 of 80 simulated families; 1 in 1,000 per family and task",
)
def failed_extractions(evidence: Evidence) -> pl.DataFrame:
    """Tasks in which replies without an answer are many, or change with scale."""
    rows = evidence.estimates.filter(
        pl.col("metric") == EXTRACTED, pl.col("items") > 0, pl.col("value").is_not_null()
    )
    found = [
        finding
        for _, part in sorted(rows.group_by("task", "family"), key=lambda pair: str(pair[0]))
        if (finding := _of_family(part))
    ]
    return pl.DataFrame(found, schema=empty(Findings).drop("screen").schema)


def _of_family(part: pl.DataFrame) -> dict[str, object] | None:
    axis = "flops" if part["params"].null_count() else "params"
    ordered = part.sort(axis, "model", nulls_last=True)
    items = ordered["items"].to_numpy().astype(float)
    failed = np.rint((1 - ordered["value"].to_numpy()) * items)
    p = rates_differ(failed, items)
    if p > SMALL and failed.sum() <= NOTED * items.sum():
        return None
    worst, best = int(np.argmax(failed / items)), int(np.argmin(failed / items))
    names = ordered["model"].to_list()
    said = (
        f"no answer was found in {_percent(failed[worst] / items[worst])} of the replies of "
        f"{names[worst]} and {_percent(failed[best] / items[best])} of {names[best]}"
    )
    differs = p <= SMALL
    return {
        "severity": "warning" if differs else "note",
        "family": ordered["family"][0],
        "model": None,
        "task": ordered["task"][0],
        "metric": EXTRACTED,
        "count": int(failed.sum()),
        "message": f"{said}; {_meaning(differs, p)}",
    }


def _meaning(differs: bool, p: float) -> str:
    if not differs:
        return "the rates do not differ beyond chance between the models"
    return (
        f"the rates differ beyond chance (p = {p:.1g}), so the parser, not the model, may make "
        "part of a difference in scores; look at the failed replies and name a further extractor "
        "(--extract FIRST,SECOND)"
    )


def rates_differ(failed: FloatArray, items: FloatArray) -> float:
    """The p of equal failure rates: Pearson's chi-squared of a 2 x models table."""
    total, everyone = failed.sum(), items.sum()
    if len(items) < 2 or total in (0, everyone):
        return 1.0
    rate = total / everyone
    statistic = (np.square(failed - items * rate) / (items * rate * (1 - rate))).sum()
    return float(chi2.sf(statistic, len(items) - 1))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
