"""Results of EleutherAI's lm-evaluation-harness: version 0.3 and forks, and 0.4."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from saltus.errors import ReadError
from saltus.readers.facts import find_model, label
from saltus.readers.files import decode, document
from saltus.readers.reader import Batch, Finding, Head, Options, finding, reader

_DOCUMENT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_RESULTS = msgspec.json.Decoder(dict[str, dict[str, Any]])
_ANY = msgspec.json.Decoder(Any)
_STEP = re.compile(r"step[_-]?(\d+)")
_NO_METRICS = {"alias", "name", "sample_len", "sample_count", "samples"}


class Config(msgspec.Struct):
    """The fields of `config` that say who was evaluated and how."""

    model_args: Any = None
    model_num_parameters: float | None = None
    model_revision: str | None = None
    num_fewshot: int | None = None


class Count(msgspec.Struct):
    """Items of a task: in the test set, and evaluated."""

    original: int | None = None
    effective: int | None = None


_CONFIG = msgspec.json.Decoder(Config)
_COUNTS = msgspec.json.Decoder(dict[str, Count])


@dataclass(frozen=True)
class Run:
    """Who was evaluated in one results file, and how.

    Args:
        model: name as the file gives it.
        step: training step from the revision or the file name.
        params: parameters as the harness counted them.
        shots: task -> examples in the prompt; "" stands for every task.
    """

    model: str
    step: int | None
    params: float | None
    shots: Mapping[str, int]

    def regime(self, task: str) -> str | None:
        """Prompt regime of a task, such as `5-shot`."""
        shots = self.shots.get(task, self.shots.get(""))
        return None if shots is None else f"{shots}-shot"

    def label(self, task: str) -> str:
        """Label of the model as it was evaluated on a task."""
        return label(self.model, self.step, None, self.regime(task))

    def models(self, tasks: list[str]) -> pl.DataFrame:
        """Rows of the models table, one per regime."""
        rows = {
            self.label(task): {
                "model": self.label(task),
                "model_name": self.model,
                "step": self.step,
                "regime": self.regime(task),
                "params": self.params,
            }
            for task in tasks
        }
        schema = {
            "model": pl.String,
            "model_name": pl.String,
            "step": pl.Int64,
            "regime": pl.String,
            "params": pl.Float64,
        }
        return pl.DataFrame(list(rows.values()), schema=schema)


def _sniff(head: Head) -> bool:
    keys = head.keys
    if not head.text.lstrip().startswith("{") or "config_general" in keys:  # lighteval
        return False
    if "table_results" in keys:
        return True
    marks = {"versions", "config", "configs", "group_subtasks", "groups", "n-shot"}
    return "results" in keys and bool(marks & keys)


def arguments(model_args: Any) -> dict[str, str]:
    """`pretrained=...,revision=...` or the same as an object, as text by name."""
    if isinstance(model_args, str):
        pairs = (part.partition("=") for part in model_args.split(","))
        return {name.strip(): value.strip() for name, _, value in pairs}
    if isinstance(model_args, dict):
        return {name: value for name, value in model_args.items() if isinstance(value, str)}
    return {}


def _step(text: str | None) -> int | None:
    found = _STEP.search(text or "")
    return int(found.group(1)) if found else None


def _model_name(stated: str | None, path: Path) -> str:
    """The stated name; for a folder on somebody's disk, a known model in the file's path."""
    if stated and not stated.startswith(("/", ".", "~")):
        return stated
    parts = [path.name.partition("_")[0], *(parent.name for parent in list(path.parents)[:3])]
    known = next((part for part in parts if part and find_model(part)), None)
    name = known or (stated or "").rstrip("/").rpartition("/")[2]
    if not name:
        raise ReadError("the file does not name its model; say NAME=PATH", path)
    return name


def _field(fields: Mapping[str, msgspec.Raw], name: str, decoder: Any, path: Path) -> Any:
    raw = fields.get(name)
    return None if raw is None else decode(decoder, raw, path, field=name)


def _shots(fields: Mapping[str, msgspec.Raw], config: Config, path: Path) -> dict[str, int]:
    stated = _field(fields, "n-shot", _ANY, path)
    if isinstance(stated, dict):
        return {task: shots for task, shots in stated.items() if isinstance(shots, int)}
    return {} if config.num_fewshot is None else {"": config.num_fewshot}


def read_run(path: Path, named: str | None) -> tuple[Run, dict[str, msgspec.Raw]]:
    """Who was evaluated, and the file's top-level fields.

    Args:
        path: a results file.
        named: the user's name for the model, from `NAME=PATH`.

    Raises:
        ReadError: not a results file, or one that does not name its model.
    """
    fields = decode(_DOCUMENT, document(path), path)
    config = _field(fields, "config", _CONFIG, path) or Config()
    stated = arguments(config.model_args)
    name = _field(fields, "model_name", _ANY, path)
    name = name if isinstance(name, str) else stated.get("pretrained") or stated.get("model")
    revision = stated.get("revision") or config.model_revision
    step = _step(revision) if revision and revision != "main" else _step(path.name)
    model = named or _model_name(name, path)
    params = config.model_num_parameters
    known = params if params is not None and params > 0 else None
    return Run(model, step, known, _shots(fields, config, path)), fields


@reader(
    sniff=_sniff,
    source="lm-evaluation-harness 0.3 and 0.4, `--output_path`",
)
def lm_eval_results(path: Path, options: Options) -> Iterator[Batch]:
    """Aggregates of a results file; rows of groups are left out, their tasks are there.

    Raises:
        ReadError: a results file of another shape, which forks write.
    """
    run, fields = read_run(path, options.model)
    results = _results(fields, path)
    groups = _groups(fields, path)
    counts: dict[str, Count] = _field(fields, "n-samples", _COUNTS, path) or {}
    tasks = [task for task in results if task not in groups]
    rows, odd = [], 0
    for task in tasks:
        found, other = _values(results[task])
        odd += other
        rows += [
            {
                "model": run.label(task),
                "task": task,
                "metric": metric,
                "value": value,
                "stderr": stderr,
                "items": counts[task].effective if task in counts else None,
                "source": path.name,
            }
            for metric, value, stderr in found
        ]
    notes = (*_group_note(path, groups), *_odd_note(path, odd), *_limit_notes(path, run, counts))
    schema = {"value": pl.Float64, "stderr": pl.Float64, "items": pl.Int64}
    reported = pl.DataFrame(rows, schema_overrides=schema) if rows else None
    yield Batch(run.models(tasks), None, reported, notes)


def _results(fields: Mapping[str, msgspec.Raw], path: Path) -> dict[str, dict[str, Any]]:
    what = (
        "is not an object of tasks with their metrics, as lm-evaluation-harness writes it; this "
        "fork's shape is not read, convert it to a plain table"
    )
    if "results" not in fields:
        raise ReadError(what, path, field="results")
    try:
        results = decode(_RESULTS, fields["results"], path)
    except ReadError:
        raise ReadError(what, path, field="results") from None
    if not results:
        raise ReadError("holds no task", path, field="results")
    return results


def _groups(fields: Mapping[str, msgspec.Raw], path: Path) -> set[str]:
    groups = _field(fields, "groups", _ANY, path)
    members = _field(fields, "group_subtasks", _ANY, path)
    named = set(groups) if isinstance(groups, dict) else set()
    with_members = {g for g, m in members.items() if m} if isinstance(members, dict) else set()
    return named | with_members


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def metric_name(metric: str, filtered: str | None) -> str:
    """`acc` for the filter `none`, else `metric,filter`."""
    return metric if not filtered or filtered == "none" else f"{metric},{filtered}"


def _values(row: Mapping[str, Any]) -> tuple[list[tuple[str, float | None, float | None]], int]:
    """(metric, value, standard error) of one task, and how many entries are no numbers.

    0.4 writes `acc,none` and `acc_stderr,none`; 0.3 `acc` and `acc_stderr`; a fork `acc_avg`
    and `acc_std_err`, which is given back as `acc`.
    """
    found, odd = [], 0
    for key, value in row.items():
        base, _, filtered = key.partition(",")
        if base in _NO_METRICS or base.endswith(("_stderr", "_std_err")):
            continue
        if not isinstance(value, int | float) and value != "N/A":
            odd += 1
            continue
        suffix = f",{filtered}" if filtered else ""
        fork = base.removesuffix("_avg")
        if base != fork and f"{fork}_std_err" in row:
            base, stderr = fork, row[f"{fork}_std_err"]
        else:
            stderr = row.get(f"{base}_stderr{suffix}")
        found.append((metric_name(base, filtered), _number(value), _number(stderr)))
    return found, odd


def _group_note(path: Path, groups: set[str]) -> Iterator[Finding]:
    if groups:
        names = ", ".join(sorted(groups))
        message = f"{path.name}: averages of groups were left out, their tasks are there: {names}"
        yield finding("groups", message, count=len(groups))


def _odd_note(path: Path, odd: int) -> Iterator[Finding]:
    if odd:
        message = f"{path.name}: entries that are no numbers were left out"
        yield finding("not_numbers", message, count=odd)


def _limit_notes(path: Path, run: Run, counts: Mapping[str, Count]) -> Iterator[Finding]:
    for task, count in counts.items():
        if count.original and count.effective and count.effective < count.original:
            message = (
                f"{path.name}: {count.effective:,} of {count.original:,} items were evaluated; a "
                "prefix of a test set is no random sample of it"
            )
            yield finding(
                "limit", message, severity="warning", model=run.label(task), task=task,
                count=count.effective,
            )  # fmt: skip
