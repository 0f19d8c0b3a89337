"""The parts of Every Eval Ever 0.3 that Saltus needs, as types; everything else is skipped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import polars as pl

from saltus.readers.facts import label
from saltus.readers.mend import Count
from saltus.readers.reader import Options

MADE_HERE = "saltus"
"""Key in `score_details.details` of a number that a log did not state."""
NUMBERS = {
    "n_params": "params", "n_tokens": "tokens", "train_flops": "flops", "validation_loss": "loss",
}  # fmt: skip
WHOLE = ("step", "seed")
LARGEST = 1e15
TEXTS = {"model_family": "family", "validation_loss_name": "loss_name", "regime": "regime"}


class StandardError(msgspec.Struct):
    """A standard error."""

    value: float | None = None


class Uncertainty(msgspec.Struct):
    """How sure an aggregate is."""

    standard_error: StandardError | None = None
    num_samples: Count | None = None


class ScoreDetails(msgspec.Struct):
    """An aggregate."""

    score: float | None = None
    details: dict[str, Any] | None = None
    uncertainty: Uncertainty | None = None

    @property
    def stderr(self) -> float | None:
        """Its standard error as stated."""
        found = self.uncertainty.standard_error if self.uncertainty else None
        return found.value if found else None

    @property
    def items(self) -> int | None:
        """The number of items as stated."""
        return self.uncertainty.num_samples if self.uncertainty else None


class MetricConfig(msgspec.Struct):
    """Which metric."""

    metric_id: str | None = None
    metric_name: str | None = None
    metric_kind: str | None = None


class Result(msgspec.Struct):
    """One aggregate of one evaluation."""

    evaluation_name: str
    evaluation_result_id: str | None = None
    metric_config: MetricConfig = msgspec.field(default_factory=MetricConfig)
    score_details: ScoreDetails = msgspec.field(default_factory=ScoreDetails)

    @property
    def metric(self) -> str:
        """The metric's most exact name; `score` where none is given."""
        config = self.metric_config
        return config.metric_id or config.metric_name or config.metric_kind or "score"

    @property
    def made_here(self) -> str | None:
        """What Saltus computed for the file, if it did: `mean` or `score`."""
        made = (self.score_details.details or {}).get(MADE_HERE)
        return made if isinstance(made, str) else None


class ModelInfo(msgspec.Struct):
    """Who was evaluated."""

    name: str
    id: str
    additional_details: dict[str, Any] | None = None


class Details(msgspec.Struct):
    """About the file of instances."""

    total_rows: Count | None = None


class Document(msgspec.Struct):
    """One aggregate file."""

    schema_version: str
    evaluation_id: str
    model_info: ModelInfo
    evaluation_results: list[Result]
    detailed_evaluation_results: Details | None = None


class Input(msgspec.Struct):
    """The item."""

    raw: str = ""
    formatted: str | None = None
    reference: list[str] = []
    choices: list[str] | None = None


class Output(msgspec.Struct):
    """The answer of a single turn."""

    raw: list[str] = []


class Turn(msgspec.Struct):
    """One message of several turns."""

    role: str = ""
    content: str | None = None


class Evaluation(msgspec.Struct):
    """The instance's score."""

    score: float | None = None


class Instance(msgspec.Struct):
    """One answer under one metric."""

    evaluation_name: str
    model_id: str
    sample_id: str
    evaluation: Evaluation
    evaluation_result_id: str | None = None
    sample_hash: str | None = None
    input: Input = msgspec.field(default_factory=Input)
    output: Output | None = None
    messages: list[Turn] | None = None
    error: str | None = None
    metadata: dict[str, Any] | None = None

    @property
    def extra(self) -> dict[str, str]:
        """The free fields, as text."""
        return {k: str(v) for k, v in (self.metadata or {}).items() if v is not None}

    @property
    def answer(self) -> str | None:
        """The model's text; of several turns, its last."""
        if self.output is not None:
            return self.output.raw[0] if self.output.raw else None
        said = [turn.content for turn in self.messages or [] if turn.role == "assistant"]
        return said[-1] if said else None


DOCUMENT = msgspec.json.Decoder(Document)
INSTANCE = msgspec.json.Decoder(Instance)


@dataclass(frozen=True)
class Run:
    """Who was evaluated.

    Args:
        label: label of the model.
        facts: columns of the models table.
        unread: facts that are no numbers, as they stand in the file.
    """

    label: str
    facts: Mapping[str, Any]
    unread: Mapping[str, str] = field(default_factory=dict)

    def models(self) -> pl.DataFrame:
        """The row of the models table."""
        texts = ("model", "model_name", "family", "loss_name", "regime")
        schema = {
            name: pl.String if name in texts else pl.Int64 if name in WHOLE else pl.Float64
            for name in self.facts
        }
        return pl.DataFrame([dict(self.facts)], schema=schema)


def run_of(found: Document, options: Options) -> Run:
    """The model with the facts that its free fields hold."""
    name = options.model or found.model_info.id
    details = found.model_info.additional_details or {}
    facts: dict[str, Any] = {TEXTS[key]: str(details[key]) for key in TEXTS if key in details}
    unread: dict[str, str] = {}
    for key, column in {**NUMBERS, **{name: name for name in WHOLE}}.items():
        text = details.get(key)
        value = _number(text)
        if value is not None and key in WHOLE and not (value.is_integer() and value < LARGEST):
            value = None
        if text is not None and value is None:
            unread[key] = str(text)
        facts[column] = int(value) if value is not None and key in WHOLE else value
    title = label(name, facts["step"], facts["seed"], facts.get("regime"))
    return Run(title, {"model": title, "model_name": name, **facts}, unread)


def _number(text: object) -> float | None:
    try:
        value = float(str(text))
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None
