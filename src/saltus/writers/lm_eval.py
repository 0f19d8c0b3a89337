"""Files of lm-evaluation-harness 0.4: `results_DATE.json` and `samples_TASK_DATE.jsonl`.

One line per item, repeated answer and filter. The harness's log has the texts of the choices,
Saltus has their lengths: the continuations are written as that many question marks, and a
field `doc.saltus` says so.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from saltus import __version__
from saltus.readers.reader import Finding, finding
from saltus.writers.tables import Read, free_name, split_metric

NONE = "none"
PLACEHOLDER = "choice texts are not known; arg_1 has their length in bytes"
_SHOTS = re.compile(r"^(\d+)-shot$")
MODEL_FACTS = ("family", "tokens", "flops", "loss", "seed")
LOST = {
    "texts_of_choices": "choices whose texts are unknown; question marks of their length stand "
    "for them",
    "lengths_of_choices": "choices whose lengths are unknown; they read back as 0 bytes",
    "output_of_choice": "answers with choices and a text; only the choices are kept",
    "no_target": "answers without a target or without a text",
    "target_logprobs": "log-probabilities of the target's tokens",
    "cluster": "clusters of items",
    "finish": "reasons why generation stopped",
    "chance": "chance levels",
    "target_index": "indices of the right choice of answers that are texts",
    "aggregates": "further aggregates of the same task and metric; the first is kept",
    "items": "numbers of items that differ between the metrics of a task",
    "score_stderr": "standard errors and sizes of single items' scores",
    "facts": "model facts (family, tokens, FLOPs, loss, seed)",
    "regime": "prompt regimes that are no number of shots",
    "task": "tasks whose names cannot be file names; other characters became _",
}
Row = dict[str, Any]


def write_lm_eval(read: Read, folder: Path) -> Iterator[Finding]:
    """One folder per model with its aggregates and one file of samples per task."""
    date = datetime.fromtimestamp(read.seconds, UTC).strftime("%Y-%m-%dT%H-%M-%S")
    folders = set[str]()
    for model in read.models():
        place = folder / free_name(model["model"].replace("/", "__"), folders)
        place.mkdir()
        lost = Counter[str]()
        results, names = _about(model, lost), set[str]()
        for task in read.tasks(model["model"]):
            name = free_name(task, names)
            lost["task"] += name != task
            _add_aggregates(results, name, read.aggregates(model["model"], task), lost)
            lines = list(_lines(read, model["model"], task, lost))
            if lines:
                path = place / f"samples_{name}_{date}.jsonl"
                path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")
        shots = _SHOTS.match(model["regime"] or "")
        if shots:
            results["n-shot"] = dict.fromkeys(results["results"], int(shots[1]))
        text = json.dumps(results, indent=1)
        (place / f"results_{date}.json").write_text(text + "\n", "utf-8")
        for what, count in lost.items():
            if count:
                message = f"lm-eval samples have no place for: {LOST[what]}"
                yield finding("lost", message, model=model["model"], count=count)


def _about(model: Mapping[str, Any], lost: Counter[str]) -> Row:
    """The results file, less the results."""
    lost["facts"] += sum(model[name] is not None for name in MODEL_FACTS)
    regime = model["regime"]
    lost["regime"] += regime is not None and not _SHOTS.match(regime)
    step = "" if model["step"] is None else f",revision=step{model['step']}"
    config: Row = {"model": "hf", "model_args": f"pretrained={model['model_name']}{step}"}
    if model["params"] is not None:
        config["model_num_parameters"] = model["params"]
    return {
        "results": {},
        "group_subtasks": {},
        "configs": {},
        "versions": {},
        "n-shot": {},
        "n-samples": {},
        "config": config,
        "model_name": model["model_name"],
        "saltus_version": __version__,
    }


def _add_aggregates(results: Row, task: str, rows: pl.DataFrame, lost: Counter[str]) -> None:
    values: Row = results["results"].setdefault(task, {"alias": task})
    for row in rows.iter_rows(named=True):
        metric, filtered = split_metric(row["metric"])
        key = f"{metric},{filtered or NONE}"
        if key in values:
            lost["aggregates"] += 1
            continue
        values[key] = "N/A" if row["value"] is None else row["value"]
        stderr = row["stderr"]
        values[f"{metric}_stderr,{filtered or NONE}"] = "N/A" if stderr is None else stderr
    sizes = rows["items"].drop_nulls().unique()
    lost["items"] += len(sizes) > 1 or (len(sizes) == 1 and rows["items"].null_count() > 0)
    lost["chance"] += rows["chance"].count()
    if len(sizes):
        results["n-samples"][task] = {"original": sizes.max(), "effective": sizes.max()}


def _lines(read: Read, model: str, task: str, lost: Counter[str]) -> Iterator[Row]:
    """One line per answer, with its scores; then lines of scores without an answer."""
    values: dict[tuple[str, int | None, str], Row] = {}
    for row in read.scores(model, task).iter_rows(named=True):
        metric, filtered = split_metric(row["metric"])
        lost["score_stderr"] += row["stderr"] is not None or row["items"] is not None
        lost["cluster"] += row["cluster"] is not None
        lost["chance"] += row["chance"] is not None
        value = float("nan") if row["value"] is None else row["value"]
        values.setdefault((row["item"], row["sample"], filtered or NONE), {})[metric] = value
    answers = read.responses(model, task).sort("sample", maintain_order=True)
    for row in answers.iter_rows(named=True):
        key = (row["item"], row["sample"], row["filter"] or NONE)
        answer = _answer(row, lost)
        if answer is not None:
            yield {**_line(key, values.pop(key, {})), **answer, **_marks(row)}
    for key, scores in sorted(values.items(), key=lambda entry: entry[0][1] or 0):
        yield {**_line(key, scores), "target": "", "resps": [], "filtered_resps": []}


def _line(key: tuple[str, int | None, str], scores: Row) -> Row:
    """What every line has."""
    item, _, filtered = key
    number = item.isascii() and item.isdecimal() and str(int(item)) == item and len(item) < 19
    line: Row = {"doc_id": int(item) if number else item, "doc": {}, "arguments": {}}
    return {**line, "filter": filtered, "metrics": list(scores), **scores}


def _marks(row: Row) -> Row:
    """Hashes as far as they are known; an answer that no filter saw says so with null."""
    known = {"doc_hash": row["item_hash"], "prompt_hash": row["prompt_hash"]}
    marks = {name: digest for name, digest in known.items() if digest is not None}
    return marks if row["filter"] else {**marks, "filter": None}


def _answer(row: Row, lost: Counter[str]) -> Row | None:
    """Choices, or a text with its target; None where the format has neither."""
    for name in ("cluster", "finish", "target_logprobs"):
        lost[name] += row[name] is not None
    if row["choice_logprobs"] is not None and row["target_index"] is not None:
        lost["output_of_choice"] += row["output"] is not None
        return _choices(row, lost)
    for name in ("chance", "target_index"):
        lost[name] += row[name] is not None
    targets = row["targets"] or []
    if row["output"] is None or not targets:
        lost["no_target"] += 1
        return None
    target = targets[0] if len(targets) == 1 else targets
    return {"target": target, "resps": [[row["output"]]], "filtered_resps": [row["output"]]}


def _choices(row: Row, lost: Counter[str]) -> Row:
    logprobs: list[float] = row["choice_logprobs"]
    lengths: list[int] | None = row["choice_bytes"]
    lost["texts_of_choices" if lengths else "lengths_of_choices"] += 1
    best = max(range(len(logprobs)), key=lambda index: logprobs[index])
    pairs = [[str(value), str(index == best)] for index, value in enumerate(logprobs)]
    texts = ["?" * length for length in lengths or [0] * len(logprobs)]
    return {
        "doc": {"saltus": PLACEHOLDER, "gold": row["target_index"]},
        "target": str(row["target_index"]),
        "arguments": {
            f"gen_args_{index}": {"arg_0": "", "arg_1": f" {text}"}
            for index, text in enumerate(texts)
        },
        "resps": [[pair] for pair in pairs],
        "filtered_resps": pairs,
    }
