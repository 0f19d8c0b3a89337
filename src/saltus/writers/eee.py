"""Every Eval Ever 0.3.0, valid under its schemas, with a sidecar for what it has no place for.

Per model: `UUID.json` (aggregates and model facts), `UUID_samples.jsonl` (one line per answer
and metric) and `UUID_saltus.parquet` (the answers with their log-probabilities). Source:
EvalEval coalition, every_eval_ever, `eval.schema.json` and `instance_level_eval.schema.json`.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from saltus import __version__
from saltus.metrics.metric import find
from saltus.metrics.score import score
from saltus.readers.eee_parts import NUMBERS, TEXTS, WHOLE
from saltus.readers.eee_sidecar import CHECKSUM, NO_SAMPLES, SAMPLES, SIDECAR, columns
from saltus.readers.reader import Finding, finding
from saltus.store import scan, sha256
from saltus.tables import Responses
from saltus.writers.eee_results import identifier, mean_of, result
from saltus.writers.tables import Read, file_name, split_metric

SCHEMA = "0.3.0"
LOST = {
    "no_value": "values that are missing: the schema asks for a number",
    "input": "answers without the text of their question, which Saltus does not keep; "
    "`input.raw` is empty",
    "scored_here": "answers that the log does not score; scored by Saltus's default metrics, for "
    "the schema asks for a score",
    "sidecar_only": "answers without a score; they stand in the sidecar only",
    "score_stderr": "standard errors and sizes of single items' scores",
    "unknown_metric": "metrics that Saltus does not know; `lower_is_better` is false because "
    "the schema asks for a value, and `is_correct` means a score of 1",
}
Row = dict[str, Any]


def write_eee(read: Read, folder: Path) -> Iterator[Finding]:
    """Three files per model under `data/saltus/DEVELOPER/MODEL/`."""
    for model in read.models():
        lost = Counter[str]()
        _write_model(read, model, folder, lost)
        for what, count in lost.items():
            if count:
                message = f"Every Eval Ever has no place for: {LOST[what]}"
                yield finding("lost", message, model=model["model"], count=count)


def _write_model(read: Read, model: Row, folder: Path, lost: Counter[str]) -> None:
    about = _about(read, model)
    digest = hashlib.sha256(about["evaluation_id"].encode()).digest()
    name = str(uuid.UUID(bytes=digest[:16], version=4))
    developer, _, rest = model["model"].rpartition("/")
    place = Path("data", "saltus", file_name(developer or "unknown"), file_name(rest))
    (folder / place).mkdir(parents=True, exist_ok=True)
    samples = folder / place / f"{name}{SAMPLES}"
    rows = 0
    with samples.open("w", encoding="utf-8", newline="\n") as stream:
        for task in read.tasks(model["model"]):
            results, instances = _task(read, model, task, about, lost)
            about["evaluation_results"] += results
            stream.writelines(f"{json.dumps(line, allow_nan=False)}\n" for line in instances)
            rows += len(instances)
    checksum = NO_SAMPLES
    if rows:
        checksum = sha256(samples)
        about["detailed_evaluation_results"] = {
            "format": "jsonl",
            "file_path": (place / samples.name).as_posix(),
            "hash_algorithm": "sha256",
            "checksum": checksum,
            "total_rows": rows,
        }
    else:
        samples.unlink()
    _write_sidecar(read, model["model"], folder / place / f"{name}{SIDECAR}", checksum)
    text = json.dumps(about, indent=1, allow_nan=False)
    (folder / place / f"{name}.json").write_text(text + "\n", "utf-8")


def _write_sidecar(read: Read, model: str, path: Path, checksum: str) -> None:
    answers = scan(read.folder, Responses).filter(pl.col("model") == model)
    if answers.select(pl.len()).collect().item():
        answers.select(columns()).sink_parquet(path, metadata={CHECKSUM: checksum})


def _about(read: Read, model: Row) -> Row:
    """The aggregate file, less the results."""
    facts = {**NUMBERS, **TEXTS, **{name: name for name in WHOLE}}
    details = {key: _text(model[column]) for key, column in facts.items()}
    known = {key: text for key, text in details.items() if text is not None}
    return {
        "schema_version": SCHEMA,
        "evaluation_id": f"saltus/{model['model']}/{read.seconds}",
        "retrieved_timestamp": str(read.seconds),
        "source_metadata": {
            "source_name": "logs converted by Saltus",
            "source_type": "evaluation_run",
            "source_organization_name": "unknown",
            "evaluator_relationship": "other",
        },
        "eval_library": {
            "name": read.library,
            "version": "unknown",
            "additional_details": {"converted_by": f"saltus {__version__}"},
        },
        "model_info": {
            "name": model["model"],
            "id": model["model_name"],
            "additional_details": {
                "deployment_type": "unknown",
                "model_availability": "unknown",
                **known,
            },
        },
        "evaluation_results": [],
    }


def _text(value: object) -> str | None:
    return None if value is None else repr(value) if isinstance(value, float) else str(value)


def _task(
    read: Read, model: Row, task: str, about: Row, lost: Counter[str]
) -> tuple[list[Row], list[Row]]:
    """Results and instances of one task."""
    answers = read.responses(model["model"], task)
    values = read.scores(model["model"], task)
    made = "mean"
    known = values.filter(pl.col("value").is_finite().fill_null(value=False))
    lost["no_value"] += values.height - known.height
    if known.is_empty() and not answers.is_empty():
        known, made = _scored(answers), "score"
        lost["scored_here"] += answers.height
    lost["score_stderr"] += known.select(
        (pl.col("stderr").is_not_null() | pl.col("items").is_not_null()).sum()
    ).item()
    results = _results(read.aggregates(model["model"], task), known, made, lost)
    instances = _instances(answers, known, model, about, made)
    scored = known.select("item", "sample").unique()
    lost["sidecar_only"] += answers.join(scored, on=["item", "sample"], how="anti").height
    lost["input"] += min(len(instances), answers.height)
    return results, instances


def _scored(answers: pl.DataFrame) -> pl.DataFrame:
    """The default metrics' values in the shape of reported ones."""
    scores = score(answers).filter(pl.col("value").is_not_null())
    return scores.select(
        "model", "task", "metric", "value", pl.lit(None, pl.Float64).alias("stderr"),
        pl.lit(None, pl.Int64).alias("items"), "item", "sample", "cluster", "chance",
    )  # fmt: skip


def _results(
    stated: pl.DataFrame, values: pl.DataFrame, made: str, lost: Counter[str]
) -> list[Row]:
    """Stated aggregates, and a mean for each metric that has only single items' values."""
    results: list[Row] = []
    names = Counter[str]()
    for row in stated.iter_rows(named=True):
        if row["value"] is None:
            lost["no_value"] += 1
        else:
            results.append(result(row, names[row["metric"]]))
            names[row["metric"]] += 1
    for (metric,), rows in values.group_by("metric", maintain_order=True):
        if metric not in names or made == "score":
            results.append(result(mean_of(rows), made=made))
    lost["unknown_metric"] += sum("metric_unit" not in r["metric_config"] for r in results)
    return results


def _instances(
    answers: pl.DataFrame, values: pl.DataFrame, model: Row, about: Row, made: str
) -> list[Row]:
    by_place: dict[tuple[str, int], dict[str | None, Row]] = {}
    for row in answers.iter_rows(named=True):
        by_place.setdefault((row["item"], row["sample"]), {})[row["filter"]] = row
    lines = []
    for value in values.iter_rows(named=True):
        filters = by_place.get((value["item"], value["sample"]), {})
        name = identifier(value["task"], value["metric"], made)
        place = {"evaluation_id": about["evaluation_id"], "model_id": model["model_name"]}
        answer = _fitting(filters, value["metric"])
        lines.append({"schema_version": SCHEMA, **place, **_instance(value, answer, name)})
    return lines


def _fitting(filters: dict[str | None, Row], metric: str) -> Row:
    """The answer that a metric is about: of its filter, else the only or the first one."""
    _, filtered = split_metric(metric)
    for name in (filtered, None, "none"):
        if name in filters:
            return filters[name]
    return next(iter(filters.values()), {})


def _instance(value: Row, answer: Row, result_id: str) -> Row:
    output = answer.get("output")
    extra = {
        "sample": value["sample"], "cluster": value["cluster"], "score_chance": value["chance"],
        **{name: answer.get(name) for name in ("filter", "finish", "chance", "target_index")},
    }  # fmt: skip
    metadata = {name: text for name, part in extra.items() if (text := _text(part)) is not None}
    return {
        "evaluation_name": value["task"],
        "evaluation_result_id": result_id,
        "sample_id": value["item"],
        "sample_hash": answer.get("item_hash"),
        "interaction_type": "single_turn",
        "input": {"raw": "", "reference": answer.get("targets") or []},
        "output": {"raw": [] if output is None else [output]},
        "answer_attribution": [],
        "evaluation": {"score": value["value"], "is_correct": _is_correct(value)},
        "metadata": metadata,
    }


def _is_correct(value: Row) -> bool:
    """Whether the score is the best there is; 1 where the best is not known."""
    metric = find(value["metric"])
    if metric is None:
        return bool(value["value"] == 1)
    best = metric.bounds[1 if metric.better == "higher" else 0]
    return bool(best is not None and value["value"] == best)
