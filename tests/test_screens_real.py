"""The screens find what is known to be wrong in real results, and call only that conclusive."""

from __future__ import annotations

import csv
import gzip
import json
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


def rows(name: str) -> list[dict[str, str]]:
    """A published table by the standard library alone."""
    opened = gzip.open if name.endswith("gz") else open
    with opened(DATA / name, "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@needs_shared
def test_the_table_of_bloom_is_a_copy_of_its_files() -> None:
    (copied,) = told(findings("bloom"), "copied_models")
    assert copied["count"] == 5
    files = {path.stem: json.loads(path.read_text()) for path in (DATA / "bloom").glob("*.json")}
    for row in rows("bloom/bloom_evals.csv"):
        assert files[row["model"]]["results"][row["task"]][row["metric"]] == float(row["value"])


@needs_shared
def test_sizes_that_are_contradicted_are_counted_as_by_hand() -> None:
    found = findings("open_lm_scaling/open_lm_scaling.csv.gz", metric="kind", task="name")
    values: dict[str, list[tuple[float, float]]] = {}
    for row in rows("open_lm_scaling/open_lm_scaling.csv.gz"):
        if row["kind"] == "downstream_accuracy":
            values.setdefault(row["name"], []).append((float(row["value"]), float(row["n"] or 0)))
    odd = {
        task: sum(abs(v * n - round(v * n)) > 1e-6 * n for v, n in pairs)
        for task, pairs in values.items()
    }
    counted = {row["task"]: row["count"] for row in told(found, "contradicted_sizes")}
    assert counted == {task: count for task, count in odd.items() if count}
    assert set(counted) == {"arc_challenge", "bbq", "jeopardy", "mmlu", "mmlu_zeroshot"}


@needs_shared
def test_zeros_on_164_items_are_no_proof_against_a_harness() -> None:
    columns = {"value": "HumanEval,MMLU", "metric": "=acc"}
    found = findings("obscaling/base_llm_benchmark_eval.csv", **columns)
    zeros = told(found, "zero_families", "HumanEval")
    assert {row["severity"] for row in zeros} == {"warning"}
    families: dict[str, list[float]] = {}
    for row in rows("obscaling/base_llm_benchmark_eval.csv"):
        if row["HumanEval"]:
            families.setdefault(row["Model Family"], []).append(float(row["HumanEval"]))
    silent = {name for name, own in families.items() if len(own) > 1 and not any(own)}
    assert {row["family"] for row in zeros} == silent == {"GPT-2", "OpenLlama", "XGLM"}
