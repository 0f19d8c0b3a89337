"""Event logs of OpenAI's evals (`oaieval`, `--record_path`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from saltus.errors import ReadError
from saltus.readers.content import content_hash
from saltus.readers.reader import Batch, Faults, Finding, Head, Options, finding, reader
from saltus.readers.records import Row, Rows, line_records, model_row, number, texts


class Spec(msgspec.Struct):
    """The first line: what was run; the first releases wrote one model's name."""

    completion_fns: list[str] = []
    eval_name: str | None = None
    model_name: str | None = None


class Event(msgspec.Struct):
    """One line: the specification, the final report, or something that happened to a sample.

    The recorder writes whatever an evaluation hands it as report, or as data of its own events.
    """

    spec: Spec | None = None
    final_report: Any = None
    sample_id: str | None = None
    type: str | None = None
    data: Any = None


_EVENT = msgspec.json.Decoder(Event)
ERRORS = ("boostrap_std", "bootstrap_std")
"""The standard error of the accuracy, as the writer spells it: deviation over half samples."""
COSTS = "usage_"
"""Counts of tokens in the report are no scores."""


def _sniff(head: Head) -> bool:
    named = ('"completion_fns"', '"model_name"')
    return "spec" in head.keys and '"eval_name"' in head.text and any(n in head.text for n in named)


@reader(sniff=_sniff, source="OpenAI evals, event log of `oaieval`")
def openai_evals(path: Path, options: Options) -> Iterator[Batch]:
    """Matched answers with their targets, scores per sample, and the final report.

    Raises:
        ReadError: a line that is no event, or a log without its specification.
    """
    faults, log = Faults(path, options.keep_going), _Log(path, options)
    for line, size, event in line_records(path, _EVENT, options, faults):
        try:
            log.take(event, line, size)
        except ReadError as fault:
            faults.take(fault)
        if log.rows.full:
            yield log.rows.batch()
    log.finish()
    yield log.rows.batch()._replace(findings=(*faults.findings(), *log.findings()))


def _members(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


class _Log:
    """One event log as it is read from top to bottom."""

    def __init__(self, path: Path, options: Options) -> None:
        self.path, self.options, self.rows = path, options, Rows()
        self.model: Row | None = None
        self.task = options.task or ""
        self.asked: dict[str, tuple[int, dict[str, Any]]] = {}
        self.errors = 0
        self.finished = False

    def take(self, event: Event, line: int, size: int) -> None:
        """The rows of one event."""
        if event.spec is not None:
            self._begin(event.spec, line)
            return
        if self.model is None:
            raise ReadError("an event stands before the specification of the run", self.path, line)
        name = self.rows.add(self.model, size)
        place = {"model": name, "task": self.task, "source": f"{self.path.name}:{line}"}
        if event.final_report is not None:
            self.finished = True
            self._report(place, _members(event.final_report))
        elif event.sample_id is not None:
            sample = {**place, "item": event.sample_id}
            self._sample(sample, event.type, _members(event.data), line)

    def _begin(self, spec: Spec, line: int) -> None:
        name = self.options.model or ",".join(spec.completion_fns) or spec.model_name
        if not name:
            raise ReadError("is empty; say NAME=PATH", self.path, line, "completion_fns")
        self.model, self.task = model_row(name), self.task or spec.eval_name or self.path.stem

    def _report(self, place: Row, report: dict[str, Any]) -> None:
        error = next((number(report[name]) for name in ERRORS if name in report), None)
        for metric, value in report.items():
            if metric in ERRORS or metric.startswith(COSTS) or (value := number(value)) is None:
                continue
            stderr = error if metric == "accuracy" else None
            row = {**place, "metric": metric, "value": value, "stderr": stderr}
            self.rows.reported.append(row)

    def _sample(self, place: Row, kind: str | None, data: dict[str, Any], line: int) -> None:
        if kind == "sampling":
            self.asked[place["item"]] = (line, data)
        elif kind == "match":
            self._match(place, data)
        elif kind == "metrics":
            for metric, value in data.items():
                if (value := number(value)) is not None:
                    self.rows.reported.append({**place, "metric": metric, "value": value})
        elif kind == "error":
            self.errors += 1

    def _match(self, place: Row, data: dict[str, Any]) -> None:
        _, asked = self.asked.pop(place["item"], (0, {}))
        sampled = data.get("sampled", asked.get("sampled"))
        output = sampled[0] if isinstance(sampled, list) and sampled else sampled
        expected = texts(data.get("expected"))
        self.rows.responses.append(
            {
                **place,
                "item_hash": content_hash(asked["prompt"], expected) if "prompt" in asked else None,
                "output": output if isinstance(output, str) else None,
                "targets": expected,
            }
        )
        correct = data.get("correct")
        value = float(correct) if isinstance(correct, bool) else None
        self.rows.reported.append({**place, "metric": "accuracy", "value": value})

    def finish(self) -> None:
        """Answers that no match speaks of: graded otherwise, so without a target."""
        for item, (line, data) in self.asked.items():
            sampled = data.get("sampled")
            output = sampled[0] if isinstance(sampled, list) and sampled else sampled
            if isinstance(output, str) and self.model is not None:
                place = {"model": self.rows.add(self.model, 0), "task": self.task, "item": item}
                place["source"] = f"{self.path.name}:{line}"
                self.rows.responses.append({**place, "output": output})

    def findings(self) -> Iterator[Finding]:
        """What is wrong with the log as a whole."""
        if self.errors:
            message = f"{self.path.name}: samples that ended in an error have no answer"
            yield finding("failed_requests", message, severity="warning", count=self.errors)
        if not self.finished:
            message = f"{self.path.name}: the log has no final report; the run did not end"
            yield finding("unfinished_run", message, severity="warning")
