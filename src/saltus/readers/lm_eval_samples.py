"""Answers per item of lm-evaluation-harness 0.4 (`--log_samples`)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from saltus.errors import ReadError
from saltus.readers.facts import find_model
from saltus.readers.files import byte_lines, decode
from saltus.readers.frames import DataType, frame_of
from saltus.readers.lm_eval import Run, metric_name, read_run
from saltus.readers.reader import (
    BATCH_BYTES,
    BATCH_ROWS,
    Batch,
    Faults,
    Finding,
    Head,
    Options,
    finding,
    reader,
)

_NAME = re.compile(r"^samples_(?P<task>.+)_(?P<date>\d{4}-\d\d-\d\dT[0-9.:-]*\d)\.jsonl?(\.gz)?$")


class Request(msgspec.Struct):
    """One request of an item: only its continuation is kept, the prompt is skipped over."""

    arg_1: Any = None


_LINE = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ANY = msgspec.json.Decoder(Any)
_ITEM = msgspec.json.Decoder(int | str)
_TEXT = msgspec.json.Decoder(str | None)
_NAMES = msgspec.json.Decoder(list[str])
_LISTS = msgspec.json.Decoder(list[Any])
_REQUESTS = msgspec.json.Decoder(dict[str, Request] | list[Any])
_NO_METRICS = {
    "doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics",
    "doc_hash", "prompt_hash", "target_hash",
}  # fmt: skip
_RESPONSES: dict[str, DataType] = {
    "model": pl.String, "task": pl.String, "item": pl.String, "item_hash": pl.String,
    "sample": pl.Int64, "filter": pl.String, "output": pl.String,
    "targets": pl.List(pl.String), "target_index": pl.Int64,
    "choice_logprobs": pl.List(pl.Float64), "choice_bytes": pl.List(pl.Int64),
    "chance": pl.Float64, "source": pl.String,
}  # fmt: skip
_REPORTED: dict[str, DataType] = {
    "model": pl.String, "task": pl.String, "metric": pl.String, "value": pl.Float64,
    "item": pl.String, "source": pl.String,
}  # fmt: skip
Row = dict[str, object]


def _sniff(head: Head) -> bool:
    return {"doc_id", "doc"} <= head.keys and bool({"resps", "arguments", "target"} & head.keys)


@dataclass(frozen=True)
class Line:
    """One line of the file, its members unparsed until they are needed."""

    path: Path
    number: int
    members: Mapping[str, msgspec.Raw]

    def get(self, name: str, decoder: Any = _ANY, default: Any = None) -> Any:
        """A member, typed; the default where the line lacks it."""
        raw = self.members.get(name)
        return default if raw is None else decode(decoder, raw, self.path, self.number, name)

    def need(self, name: str, decoder: Any = _ANY) -> Any:
        """A member that must be there."""
        if name not in self.members:
            raise self.fault("is missing", name)
        return self.get(name, decoder)

    def fault(self, what: str, field: str) -> ReadError:
        """An error at this line and field."""
        return ReadError(what, self.path, self.number, field)


@dataclass(frozen=True)
class Choices:
    """The requests of a multiple-choice item.

    Args:
        texts: continuation of each choice.
        logprobs: log-probability of each, nats; None where the log has NaN.
    """

    texts: list[str]
    logprobs: list[float] | None


def run_of(path: Path, options: Options) -> tuple[Run, str]:
    """Model and task of a samples file: from the results file of the same date beside it.

    Raises:
        ReadError: nothing names the model.
    """
    named = _NAME.match(path.name)
    task = named.group("task") if named else path.name.removeprefix("samples_").partition(".")[0]
    task = options.task or task
    beside = path.with_name(f"results_{named.group('date')}.json") if named else None
    if beside is not None and beside.is_file():
        return read_run(beside, options.model)[0], task
    folder = path.absolute().parent.name
    name = options.model or (folder if "__" in folder or find_model(folder) else None)
    if name is None:
        raise ReadError(
            "nothing names the model: no results_*.json of the same date lies beside the file, "
            "and the folder is not a model's name; say NAME=PATH",
            path,
        )
    return Run(name, None, None, {}), task


@reader(
    sniff=_sniff,
    source="lm-evaluation-harness 0.4, `--log_samples`",
)
def lm_eval_samples(path: Path, options: Options) -> Iterator[Batch]:
    """Answers and the harness's own score of each; multiple choice and generation.

    Raises:
        ReadError: a line that is not JSON, lacks a field, or whose right choice is not clear.
    """
    run, task = run_of(path, options)
    faults = Faults(path, options.keep_going)
    maker = _Rows(run.label(task), task, path.name)
    models: pl.DataFrame | None = run.models([task])
    size = 0
    for number, raw in byte_lines(path, options.advance):
        if raw.isspace():
            continue
        try:
            members: dict[str, msgspec.Raw] = decode(_LINE, raw, path, number)
            maker.add(Line(path, number, members))
        except ReadError as fault:
            faults.take(fault)
        size += len(raw)
        if len(maker.responses) >= BATCH_ROWS or size > BATCH_BYTES:
            yield maker.batch(models)
            models, size = None, 0
    yield maker.batch(models)
    yield Batch(findings=(*faults.findings(), *maker.findings()))


class _Rows:
    """Rows of one file, gathered until a batch is full."""

    def __init__(self, model: str, task: str, name: str) -> None:
        self.model, self.task, self.name = model, task, name
        self.responses: list[Row] = []
        self.reported: list[Row] = []
        self.without_answer = self.without_number = 0

    def add(self, line: Line) -> None:
        """The rows of one line."""
        item = str(line.need("doc_id", _ITEM))
        place = {"model": self.model, "task": self.task, "item": item}
        place["source"] = f"{self.name}:{line.number}"
        answers = _answers(line)
        scores = dict(self._scores(line))
        digest, filtered = line.get("doc_hash", _TEXT), line.get("filter", _TEXT)
        for answer in answers:
            self.responses.append({**place, "item_hash": digest, "filter": filtered, **answer})
        for metric, value in scores.items():
            self.reported.append({**place, "metric": metric_name(metric, filtered), "value": value})
        self.without_answer += not answers

    def _scores(self, line: Line) -> Iterator[tuple[str, float | None]]:
        stated = line.get("metrics", _NAMES)
        names = stated if stated is not None else [n for n in line.members if n not in _NO_METRICS]
        for name in names:
            value = line.get(name)
            if isinstance(value, int | float):
                yield name, float(value) if math.isfinite(value) else None
            else:
                self.without_number += 1

    def batch(self, models: pl.DataFrame | None) -> Batch:
        """What was gathered, and a fresh start."""
        responses = frame_of(self.responses, _RESPONSES)
        reported = frame_of(self.reported, _REPORTED)
        self.responses, self.reported = [], []
        return Batch(models, responses, reported)

    def findings(self) -> Iterator[Finding]:
        """What was not kept."""
        if self.without_answer:
            message = (
                f"{self.name}: items with one log-probability and no choices; only the harness's "
                "own scores are kept"
            )
            yield finding(
                "no_choices", message, model=self.model, task=self.task, count=self.without_answer
            )
        if self.without_number:
            message = f"{self.name}: scores that are lists or text, not numbers, were left out"
            yield finding(
                "not_numbers", message, model=self.model, task=self.task, count=self.without_number
            )


def _answers(line: Line) -> list[Row]:
    """Choices, generated texts, or nothing for a bare log-likelihood."""
    filtered = line.get("filtered_resps", _LISTS)
    responses = filtered if filtered is not None else line.need("resps", _LISTS)
    if all(_is_pair(member) for member in responses) and responses:
        return [_choice(line, responses)] if len(responses) > 1 else []
    texts = [text for member in responses for text in _flat(member)]
    if not all(isinstance(text, str) for text in texts):
        return []
    targets = _targets(line.need("target"))
    several = len(texts) > 1
    return [
        {"output": text, "targets": targets, "sample": index if several else None}
        for index, text in enumerate(texts)
    ]


def _is_pair(member: Any) -> bool:
    """[log-probability, is greedy]; both are often written as text."""
    return (
        isinstance(member, list)
        and len(member) == 2
        and str(member[1]).lower() in ("true", "false")
        and (isinstance(member[0], int | float) or _is_number(member[0]))
    )


def _is_number(text: Any) -> bool:
    try:
        float(text)
    except (TypeError, ValueError):
        return False
    return True


def _flat(member: Any) -> list[Any]:
    if not isinstance(member, list):
        return [member]
    return [text for inner in member for text in _flat(inner)]


def _targets(target: Any) -> list[str]:
    return [str(member) for member in target] if isinstance(target, list) else [str(target)]


def _choice(line: Line, pairs: Sequence[Sequence[Any]]) -> Row:
    choices = _choices(line, pairs)
    index = None if choices.logprobs is None else _target_index(line, choices)
    count = len(choices.texts)
    return {
        "choice_logprobs": choices.logprobs,
        "target_index": index,
        "choice_bytes": [len(text.removeprefix(" ").encode()) for text in choices.texts],
        "chance": 1.0 / count,
    }


def _choices(line: Line, pairs: Sequence[Sequence[Any]]) -> Choices:
    requests = line.need("arguments", _REQUESTS)
    texts = [_continuation(request) for request in _listed(requests)]
    # acc_mutual_info asks for every choice a second time, without its context
    if "acc_mutual_info" in line.members and len(pairs) % 2 == 0:
        pairs, texts = pairs[: len(pairs) // 2], texts[: len(texts) // 2]
    if len(texts) != len(pairs):
        raise line.fault(f"{len(texts)} requests for {len(pairs)} responses", "arguments")
    logprobs = [float(pair[0]) for pair in pairs]
    return Choices(texts, None if any(map(math.isnan, logprobs)) else logprobs)


def _listed(requests: dict[str, Request] | list[Any]) -> list[Any]:
    return list(requests.values()) if isinstance(requests, dict) else requests


def _continuation(request: Any) -> str:
    if isinstance(request, Request):
        return str(request.arg_1)
    return str(request[1]) if isinstance(request, list) and len(request) > 1 else ""


def _target_index(line: Line, choices: Choices) -> int:
    """The right choice, from the target as text, letter or index, checked by the harness's acc.

    Raises:
        ReadError: none or several choices fit.
    """
    target = line.need("target")
    fits = _candidates(line, target, choices.texts)
    if len(fits) != 1:
        fits = _settled(line, fits or set(range(len(choices.texts))), choices.logprobs or [])
    if len(fits) != 1:
        shown = f"{target!r:.60}"
        raise line.fault(f"which choice is right is not clear from {shown}", "target")
    return fits.pop()


def _candidates(line: Line, target: Any, texts: Sequence[str]) -> set[int]:
    wanted, count = str(target).strip(), len(texts)
    by_text = {i for i, text in enumerate(texts) if text.strip() == wanted}
    by_index = {int(wanted)} if wanted.isdecimal() and int(wanted) < count else set()
    if by_text or by_index:
        return by_text | by_index
    doc = line.get("doc")
    choices = doc.get("choices") if isinstance(doc, dict) else None
    lists = list(choices.values()) if isinstance(choices, dict) else [choices]
    return {
        index
        for members in lists
        if isinstance(members, list) and len(members) == count
        for index, member in enumerate(members)
        if str(member).strip() == wanted
    }


def _settled(line: Line, fits: set[int], logprobs: Sequence[float]) -> set[int]:
    """Candidates that agree with the harness: acc is 1 just when the likeliest is right."""
    doc = line.get("doc")
    gold = doc.get("gold") if isinstance(doc, dict) else None
    if isinstance(gold, int) and gold in fits:
        return {gold}
    acc = line.get("acc")
    if acc not in (0, 1):
        return fits
    best = max(range(len(logprobs)), key=logprobs.__getitem__)
    return fits & {best} if acc == 1 else fits - {best}
