"""Every screen finds what it is for, and is silent on clean tables."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from saltus.screens.screen import SCREENS, Evidence, screen
from saltus.tables import Estimates, Findings, Models, Reported, Responses, Verdicts, conform, empty
from saltus.verdicts.flag import flag


def responses(rows: list[dict[str, Any]]) -> pl.DataFrame:
    base = {"task": "t", "sample": 0, "output": "x"}
    return conform(pl.DataFrame([base | row for row in rows], infer_schema_length=None), Responses)


def estimates(rows: list[dict[str, Any]]) -> pl.DataFrame:
    base = {"model": "m", "family": "f", "task": "t", "metric": "acc", "value": 0.5,
            "items": 100, "items_method": "stated", "missing_items": 0}  # fmt: skip
    return conform(pl.DataFrame([base | row for row in rows], infer_schema_length=None), Estimates)


def findings(**tables: pl.DataFrame) -> pl.DataFrame:
    known = {"models": empty(Models), "responses": empty(Responses), "reported": empty(Reported),
             "estimates": empty(Estimates)} | tables  # fmt: skip
    return screen(
        Evidence(known["models"], known["responses"].lazy(), known["reported"], known["estimates"])
    )


CLEAN = {
    "responses": responses([{"model": m, "item": i} for m in "ab" for i in "123"]),
    "estimates": estimates(
        [{"model": f"m{size:g}", "params": size, "value": value}
         for size, value in ((1e7, 0.0), (1e8, 0.2), (1e9, 0.4))]
    ),
}  # fmt: skip
OUTSIDE = "37.0 is outside the metric's bounds [0.0, 1.0]"
DIRTY: dict[str, dict[str, pl.DataFrame]] = {
    "different_items": {"responses": responses(
        [{"model": "a", "item": i} for i in "123"] + [{"model": "b", "item": i} for i in "12"])},
    "repeated_items": {"responses": responses(
        [{"model": "a", "item": "1", "sample": s} for s in (0, 1)])},
    "missing_scores": {"estimates": estimates([{"missing_items": 7, "missing": "7 of 10"}])},
    "unproven_items": {"estimates": estimates(
        [{"items": None, "items_method": "unknown: standard error stated as 0"}])},
    "different_sizes": {"estimates": estimates([{"model": "a"}, {"model": "b", "items": 99}])},
    "out_of_bounds": {"estimates": estimates([{"value": None, "missing": OUTSIDE}])},
    "exact_zeros": {"estimates": estimates(
        [{"model": f"m{size:g}", "params": size, "value": value}
         for size, value in ((1e8, 0.3), (1e9, 0.0))])},
    "unextracted_answers": {"estimates": estimates(
        [{"metric": "exact_match", "value": 0.0}, {"metric": "contains", "value": 0.28}])},
}  # fmt: skip


def test_clean_tables_raise_no_suspicion() -> None:
    assert findings(**CLEAN).is_empty()
    assert findings().equals(empty(Findings))


def test_every_screen_is_tried_here() -> None:
    assert {entry.name for entry in SCREENS} == set(DIRTY)
    assert all(entry.question.endswith("?") and entry.source for entry in SCREENS)


@pytest.mark.parametrize("name", DIRTY)
def test_a_screen_finds_what_it_is_for(name: str) -> None:
    frame = findings(**DIRTY[name])
    found = frame.filter(pl.col("screen") == name)
    assert found.height == 1
    assert found["count"][0] >= 1
    assert frame.height == 1, "one fault, one finding"


def test_zeros_before_training_are_no_suspicion() -> None:
    rows = [
        {"model": f"m{size:g}@step{step}", "params": size, "flops": size * step, "step": step,
         "value": step / 100}
        for size in (1e8, 1e9) for step in (0, 40)
    ]  # fmt: skip
    assert findings(estimates=estimates(rows)).is_empty()


def verdicts(task: str) -> pl.DataFrame:
    row = {"family": "f", "task": task, "axis": "params", "slice": "final checkpoints",
           "verdict": "NO_EVIDENCE", "sentence": "s", "metric": "exact_match",
           "scales": 4}  # fmt: skip
    return conform(pl.DataFrame([row]), Verdicts)


def test_a_conclusive_screen_takes_the_verdict_and_leaves_the_evidence() -> None:
    suspicion = findings(**DIRTY["unextracted_answers"])
    hit = flag(verdicts("t"), suspicion).row(0, named=True)
    assert (hit["verdict"], hit["reason"]) == ("HARNESS_ARTEFACT", "unextracted_answers")
    assert "28.0 % of the replies" in hit["sentence"]
    assert hit["scales"] == 4
    assert flag(verdicts("other"), suspicion).equals(verdicts("other"))
    assert flag(verdicts("t"), findings(**DIRTY["exact_zeros"])).equals(verdicts("t"))
