"""Answers per item of lm-evaluation-harness 0.4 (`--log_samples`)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from msgspec import UNSET

from saltus.errors import ReadError
from saltus.readers.facts import find_model
from saltus.readers.files import FAULTS, Block, collection_paused, is_there, line_blocks
from saltus.readers.frames import DataType, list_series
from saltus.readers.lm_eval import Run, metric_name, read_run
from saltus.readers.lm_eval_blocks import Answers, answers_of_lines, column, scores_of_lines
from saltus.readers.lm_eval_lines import (
    Answer,
    Line,
    Sample,
    answers_of,
    decoder_of,
    is_choice,
    score_field,
    slow_sample,
    target_index,
)
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
from saltus.readers.records import number as number_of
from saltus.readers.twins import refuse_twins

_NAME = re.compile(r"^samples_(?P<task>.+)_(?P<date>\d{4}-\d\d-\d\dT[0-9.:-]*\d)\.jsonl?(\.gz)?$")


def _sniff(head: Head) -> bool:
    return {"doc_id", "doc"} <= head.keys and bool({"resps", "arguments", "target"} & head.keys)


def run_of(path: Path, options: Options) -> tuple[Run, str]:
    """Model and task of a samples file: from the results file of the same date beside it.

    Raises:
        ReadError: nothing names the model.
    """
    named = _NAME.match(path.name)
    task = named.group("task") if named else path.name.removeprefix("samples_").partition(".")[0]
    task = options.task or task
    beside = path.with_name(f"results_{named.group('date')}.json") if named else None
    if beside is not None and is_there(beside):
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
    rows = _Rows(path, run.label(task), task)
    models: pl.DataFrame | None = run.models([task])
    size = 0
    for block in line_blocks(path, options.advance, of_json=True):
        with collection_paused():
            done = not block.doubtful and rows.add_block(block)
        if not done:
            for number, raw in enumerate(BytesIO(block.data), block.first):
                try:
                    rows.add(number, raw)
                except ReadError as fault:
                    faults.take(fault)
        size += len(block.data)
        if rows.count >= BATCH_ROWS or size > BATCH_BYTES:
            yield rows.batch(models)
            models, size = None, 0
    yield rows.batch(models)
    yield Batch(findings=(*faults.findings(), *rows.findings()))


@dataclass
class _Columns:
    """The answers of a batch, column by column; one append per cell costs least."""

    line: list[int] = field(default_factory=list)
    item: list[str] = field(default_factory=list)
    item_hash: list[str | None] = field(default_factory=list)
    prompt_hash: list[str | None] = field(default_factory=list)
    filter: list[str | None] = field(default_factory=list)
    sample: list[int | None] = field(default_factory=list)
    output: list[str | None] = field(default_factory=list)
    targets: list[list[str] | None] = field(default_factory=list)
    target_index: list[int | None] = field(default_factory=list)
    choice_logprobs: list[list[float] | None] = field(default_factory=list)
    choice_bytes: list[list[int] | None] = field(default_factory=list)
    chance: list[float | None] = field(default_factory=list)


_LISTED: dict[str, DataType] = {
    "targets": pl.String, "choice_logprobs": pl.Float64, "choice_bytes": pl.Int64,
}  # fmt: skip
_PLAIN: dict[str, DataType] = {
    "line": pl.Int64, "item": pl.String, "item_hash": pl.String, "prompt_hash": pl.String,
    "filter": pl.String, "sample": pl.Int64, "output": pl.String, "target_index": pl.Int64,
    "chance": pl.Float64,
}  # fmt: skip
Scores = tuple[list[int], list[str], list[float | None]]
"""Lines, items and values of one metric."""


class _Rows:
    """Rows of one file, gathered until a batch is full."""

    def __init__(self, path: Path, model: str, task: str) -> None:
        self.path, self.model, self.task = path, model, task
        self.answers = _Columns()
        self.scores: dict[str, Scores] = {}
        self.count = self.without_answer = self.without_number = 0
        self._parts: list[pl.DataFrame] = []
        self._lines: list[int] = []
        self._usual = Answers()
        self._metrics: tuple[str, ...] = ()
        self._choices = False

    def add_block(self, block: Block) -> bool:
        """The rows of many lines of the same kind at once; False where they need a closer look."""
        try:
            samples = decoder_of(self._metrics, self._choices).decode_lines(block.data)
        except FAULTS:
            return False
        stated = list(self._metrics)
        # blank lines are passed over, which would shift the numbers
        if len(samples) != block.lines or column(samples, "metrics").count(stated) < block.lines:
            return False
        answers = answers_of_lines(samples, self._choices)
        scores = [
            scores_of_lines(samples, score_field(n, name)) for n, name in enumerate(self._metrics)
        ]
        if answers is None or None in scores:
            return False
        try:
            self._settle(answers, samples, block.first)
        except ReadError:
            return False
        self._flush_closer()
        lines = range(block.first, block.first + block.lines)
        self._lines += lines
        self._usual.extend(answers)
        self._extend_scores(lines, answers, scores)
        self.count += len(samples)
        return True

    def _settle(self, answers: Answers, samples: list[Any], first: int) -> None:
        """Find the right choice also where the target alone does not tell it.

        Raises:
            ReadError: where nothing tells it.
        """
        if -1 not in answers.index:
            return
        starts = [0, *accumulate(answers.counts)]
        for place in (n for n, index in enumerate(answers.index) if index < 0):
            sample, line = samples[place], Line(self.path, first + place, b"")
            texts = [request.arg_1 for request in sample.arguments.values()]
            logprobs = answers.logprob[starts[place] : starts[place + 1]]
            answers.index[place] = target_index(line, sample, texts, logprobs)

    def _extend_scores(self, lines: range, answers: Answers, scores: list[Any]) -> None:
        places = range(len(lines))
        for filtered in dict.fromkeys(answers.filtered):
            mixed = answers.filtered.count(filtered) < len(lines)
            kept = [n for n in places if answers.filtered[n] == filtered] if mixed else places
            line, item = [lines[n] for n in kept], [answers.item[n] for n in kept]
            for name, values in zip(self._metrics, scores, strict=True):
                score = self.scores.setdefault(metric_name(name, filtered), ([], [], []))
                score[0].extend(line)
                score[1].extend(item)
                score[2].extend([values[n] for n in kept] if mixed else values)

    def _flush_usual(self) -> None:
        """Lines that were added in blocks become a part of their own, in order."""
        if self._lines:
            lines = pl.Series("line", self._lines, dtype=pl.Int64)
            self._parts.append(self._usual.frame().hstack([lines]))
            self._lines, self._usual = [], Answers()

    def _flush_closer(self) -> None:
        """So do lines that were added one by one."""
        if self.answers.line:
            columns = vars(self.answers)
            plain = [pl.Series(name, columns[name], dtype=dtype) for name, dtype in _PLAIN.items()]
            lists = [list_series(columns[n], dtype).alias(n) for n, dtype in _LISTED.items()]
            self._parts.append(pl.DataFrame([*plain, *lists]))
            self.answers = _Columns()

    def add(self, number: int, raw: bytes) -> None:
        """The rows of one line."""
        refuse_twins(raw, self.path, number)
        try:
            sample, scores = self._quick(raw)
        except FAULTS:
            if raw.isspace():
                return
            sample, scores = slow_sample(Line.parsed(self.path, number, raw))
        self._flush_usual()
        item = str(sample.doc_id)
        line = Line(self.path, number, raw)
        answers = answers_of(line, sample)
        for answer in answers:
            self._append(number, item, sample, answer)
        self.without_answer += not answers
        for name, value in scores.items():
            self._score(number, item, metric_name(name, sample.filter), value)
        self.count += 1

    def _quick(self, raw: bytes) -> tuple[Sample, dict[str, Any]]:
        """The line by the decoder that fitted the one before, and its scores."""
        try:
            sample = decoder_of(self._metrics, self._choices).decode(raw)
        except msgspec.ValidationError:
            self._choices = False
            sample = decoder_of(self._metrics, False).decode(raw)
        stated = sample.metrics
        if stated is UNSET:
            raise msgspec.ValidationError("the scores are not named")
        choices = is_choice(sample.filtered_resps)
        if tuple(stated) != self._metrics or choices != self._choices:
            self._metrics, self._choices = tuple(stated), choices
            sample = decoder_of(self._metrics, self._choices).decode(raw)
        return sample, {
            name: getattr(sample, score_field(n, name)) for n, name in enumerate(self._metrics)
        }

    def _append(self, number: int, item: str, sample: Sample, answer: Answer) -> None:
        columns = self.answers
        columns.line.append(number)
        columns.item.append(item)
        columns.item_hash.append(sample.doc_hash)
        columns.prompt_hash.append(sample.prompt_hash)
        columns.filter.append(sample.filter)
        columns.sample.append(answer.sample)
        columns.output.append(answer.output)
        columns.targets.append(answer.targets)
        columns.target_index.append(answer.target_index)
        columns.choice_logprobs.append(answer.choice_logprobs)
        columns.choice_bytes.append(answer.choice_bytes)
        columns.chance.append(answer.chance)

    def _score(self, number: int, item: str, name: str, value: Any) -> None:
        if not isinstance(value, int | float):
            self.without_number += 1
            return
        lines, items, values = self.scores.setdefault(name, ([], [], []))
        lines.append(number)
        items.append(item)
        values.append(number_of(value))

    def batch(self, models: pl.DataFrame | None) -> Batch:
        """What was gathered, and a fresh start."""
        self._flush_usual()
        self._flush_closer()
        responses = pl.concat(self._parts, how="diagonal") if self._parts else None
        reported = self._reported()
        self._parts, self.scores, self.count = [], {}, 0
        return Batch(models, self._placed(responses), self._placed(reported))

    def _reported(self) -> pl.DataFrame | None:
        parts = []
        for name, (lines, items, values) in self.scores.items():
            line = pl.Series("line", lines, dtype=pl.Int64)
            item = pl.Series("item", items, dtype=pl.String)
            value = pl.Series("value", values, dtype=pl.Float64)
            metric = pl.Series("metric", [name]).new_from_index(0, len(lines))
            parts.append(pl.DataFrame([line, item, value, metric]))
        return pl.concat(parts) if parts else None

    def _placed(self, frame: pl.DataFrame | None) -> pl.DataFrame | None:
        if frame is None:
            return None
        source = pl.concat_str(pl.lit(f"{self.path.name}:"), pl.col("line").cast(pl.String))
        place = {"model": pl.lit(self.model), "task": pl.lit(self.task), "source": source}
        return frame.select(pl.exclude("line"), **place)

    def findings(self) -> Iterator[Finding]:
        """What was not kept."""
        if self.without_answer:
            message = (
                f"{self.path.name}: items with one log-probability and no choices; only the "
                "harness's own scores are kept"
            )
            yield finding(
                "no_choices", message, model=self.model, task=self.task, count=self.without_answer
            )
        if self.without_number:
            message = f"{self.path.name}: scores that are lists or text, not numbers, were left out"
            yield finding(
                "not_numbers", message, model=self.model, task=self.task, count=self.without_number
            )
