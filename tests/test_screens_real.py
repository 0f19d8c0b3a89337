"""The screens find what is known to be wrong in real results, and call only that conclusive."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl

from reading import read_tables
from saltus.estimates.estimate import estimate
from saltus.metrics.score import score
from saltus.screens.screen import Evidence, screen
from saltus.tables import Responses, Scores, empty
from shared import SHARED, needs_shared

DATA = SHARED / "data"


@lru_cache(maxsize=4)
def findings(name: str, **columns: str) -> pl.DataFrame:
    """Findings on one of the shared data sets."""
    options: dict[str, Any] = {"columns": columns} if columns else {}
    found = read_tables([Path(DATA / name)], require_facts=False, **options)
    scores = score(found.responses) if found.responses.height else empty(Scores)
    estimates = estimate(scores.lazy(), found.reported, found.models)
    responses = found.responses if found.responses.height else empty(Responses)
    return screen(Evidence(found.models, responses.lazy(), found.reported, estimates))


def told(frame: pl.DataFrame, screen_name: str, task: str | None = None) -> list[dict[str, Any]]:
    rows = frame.filter(pl.col("screen") == screen_name)
    return [row for row in rows.to_dicts() if task is None or row["task"] == task]


LEGACY = "lm_eval_families/legacy_llama_bloom.csv"


@needs_shared
def test_llama_is_at_exactly_0_on_all_arithmetic() -> None:
    doubtful = [row for row in told(findings(LEGACY), "zero_families") if "llama" in row["message"]]
    arithmetic = next(row for row in doubtful if "arithmetic_1dc" in row["message"])
    assert arithmetic["severity"] == "warning"
    assert "llama-13B [5-shot], llama-7B [5-shot]" in arithmetic["message"]


@needs_shared
def test_llama_on_lambada_is_conclusive_beside_bloom() -> None:
    (zero,) = told(findings(LEGACY), "zero_families", "lambada_openai")
    (perplexity,) = told(findings(LEGACY), "absurd_perplexities", "lambada_openai")
    assert {zero["severity"], perplexity["severity"]} == {"error"}
    errors = findings(LEGACY).filter(pl.col("severity") == "error")
    assert set(errors["task"]) == {"lambada_openai", "triviaqa"}


@needs_shared
def test_pythia_has_the_same_score_at_all_sizes_on_wsc_and_no_error() -> None:
    found = findings("pythia/pythia_evals.csv.gz")
    (same,) = told(found, "identical_scores")
    assert (same["task"], same["count"]) == ("wsc", 8)
    assert "exactly 0.3654 (38 of 104 items, the share of one class: 38/104)" in same["message"]
    assert told(found, "class_shares", "wsc")
    (perplexity,) = told(found, "absurd_perplexities")
    assert "6.4e+08" in perplexity["message"]
    assert "error" not in found["severity"].to_list()


@needs_shared
def test_the_wrong_number_of_items_of_arc_challenge() -> None:
    found = findings("open_lm_scaling/open_lm_scaling.csv.gz", metric="kind", task="name")
    (wrong,) = told(found, "contradicted_sizes", "arc_challenge")
    assert wrong["count"] == 69
    assert "2376 items that the file states, but of the task's published 1172" in wrong["message"]


@needs_shared
def test_answers_that_a_naive_parse_does_not_see() -> None:
    whole = findings("zeroeval/raw/crux_gemma-2-27b-it.json")
    (hidden,) = told(whole, "unextracted_answers")
    assert (hidden["severity"], hidden["task"]) == ("error", "crux")
    naive = findings("zeroeval/crux_outputs.jsonl.gz", output="answer_json")
    (lost,) = told(naive, "missing_scores")
    assert lost["count"] == 422
    assert "4 models lose more than 5 %" in lost["message"]


@needs_shared
def test_mmlu_pro_files_that_agree_raise_no_suspicion_of_drift() -> None:
    found = findings("mmlu_pro/raw")
    assert not told(found, "drifting_targets")
    assert not told(found, "conflicting_items")
