"""open_lm scaling runs: one JSON per trained model and one per evaluation of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from saltus.errors import ReadError
from saltus.readers.files import decode, document, is_there
from saltus.readers.reader import Batch, Finding, Head, Options, finding, reader
from saltus.readers.records import Row, Rows, model_row, number

METRIC = "downstream_accuracy"


class Hyperparameters(msgspec.Struct):
    """Size and length of a training run."""

    tokens: float | None = None
    params: float | None = None
    params_no_embed: float | None = None


class Loss(msgspec.Struct):
    """One validation loss, nats per token, and the files that it was measured on."""

    loss: float
    val_data: list[str] = []


class Model(msgspec.Struct):
    """A file of `exp_data/models`."""

    name: str
    hyperparameters: Hyperparameters
    results: list[Loss] = []


class Metrics(msgspec.Struct):
    """In-context scores by task."""

    icl: dict[str, Any]


class Evaluation(msgspec.Struct):
    """A file of `exp_data/evals`."""

    eval_metrics: Metrics


_MODEL = msgspec.json.Decoder(Model)
_EVALUATION = msgspec.json.Decoder(Evaluation)


def _is_model(head: Head) -> bool:
    return {"name", "hyperparameters", "results"} <= head.keys


def _is_evaluation(head: Head) -> bool:
    return "eval_metrics" in head.keys


def loss_name(val_data: list[str]) -> str:
    """Two folders that name a validation set: `eval_data/c4_val`, `val_tok_mult/openlm`."""
    parts = Path(val_data[0]).parts if val_data else ()
    return "/".join(parts[-3:-1])


def _facts(path: Path, wanted: str | None) -> tuple[str, Row, list[str]]:
    """Name, facts and names of the losses of a model file."""
    model: Model = decode(_MODEL, document(path), path)
    sizes = model.hyperparameters
    losses = {loss_name(result.val_data): number(result.loss) for result in model.results}
    facts: Row = {"params": number(sizes.params), "tokens": number(sizes.tokens)}
    if wanted in losses:
        facts |= {"loss": losses[wanted], "loss_name": wanted}
    return model.name, facts, sorted(losses)


@reader(sniff=_is_model, source="mlfoundations/scaling, exp_data/models/<run>.json")
def open_lm_models(path: Path, options: Options) -> Iterator[Batch]:
    """Size, tokens and, where `--columns loss=eval_data/c4_val` names one, the loss of a run.

    Raises:
        ReadError: not such a file.
    """
    wanted = options.columns.get("loss")
    name, facts, losses = _facts(path, wanted)
    rows = Rows()
    rows.add(model_row(options.model or name, **facts), 0)
    notes = tuple(_notes(losses, wanted))
    yield rows.batch(frozenset({"loss"} if wanted in losses else ()))._replace(findings=notes)


def _notes(losses: list[str], wanted: str | None) -> Iterator[Finding]:
    left = [name for name in losses if name != wanted]
    if left:
        message = (
            "validation losses are axes, not tasks, and were left out; --columns loss=NAME "
            f"takes one of {', '.join(left)}"
        )
        yield finding("validation_losses", message, count=len(left))


@reader(sniff=_is_evaluation, source="mlfoundations/scaling, exp_data/evals/evaluation_<run>.json")
def open_lm_evals(path: Path, options: Options) -> Iterator[Batch]:
    """Downstream accuracies; sizes come from the model's file where it lies beside them.

    Raises:
        ReadError: not such a file, or one whose name holds no run.
    """
    found: Evaluation = decode(_EVALUATION, document(path), path)
    stem = path.name.removesuffix(".gz").removesuffix(".json")
    run = stem.removeprefix("evaluation_").removesuffix("_heavy")
    name, wanted = options.model or run, options.columns.get("loss")
    facts: Row = {}
    if not name:
        raise ReadError("the file's name holds no run; say NAME=PATH", path)
    beside = path.absolute().parent.parent / "models" / f"{run}.json"
    losses: list[str] = []
    if is_there(beside):
        _, facts, losses = _facts(beside, wanted)
    rows = Rows()
    place = {"model": rows.add(model_row(name, **facts), 0), "source": path.name}
    rows.reported = [
        {**place, "task": task, "metric": METRIC, "value": number(value)}
        for task, value in found.eval_metrics.icl.items()
    ]
    yield rows.batch(frozenset({"loss"} if wanted in losses else ()))
