"""Training curves of the OLMo ladder as its logger exports them: one wide CSV per run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from saltus.errors import ReadError
from saltus.readers.cells import Casts
from saltus.readers.facts import label_expression
from saltus.readers.reader import Batch, Faults, Finding, Head, Options, finding, reader
from saltus.readers.tabular import Chunk, chunks, first_header, shape

TOKENS = "throughput/total_tokens"
_LOSS = re.compile(r"^eval/(?P<name>.+?)(?:-validation)?/CrossEntropyLoss$")
_SCORE = re.compile(
    r"^eval/downstream(?:_bpb|_soft|_soft_log)?/(?P<task>.+?)_(?P<split>val|test)_(?P<format>rc|mc)"
    r"_(?P<shots>\d+)shot_(?P<metric>len_norm|acc|bpb|soft_log|soft)$"
)
METRICS = {
    "len_norm": "acc_len_norm", "acc": "acc", "bpb": "bpb", "soft": "soft_prob",
    "soft_log": "soft_log_prob",
}  # fmt: skip
"""Ending of a column -> name of the metric."""


def _sniff(head: Head) -> bool:
    header = first_header(head) if shape(head) == "csv" else ()
    return TOKENS in header and any(_LOSS.match(name) or _SCORE.match(name) for name in header)


@reader(sniff=_sniff, source="OLMo ladder, src/scripts/paper/data/ladder-runs/<run>.csv")
def olmo_ladder(path: Path, options: Options) -> Iterator[Batch]:
    """Every score of every checkpoint; the task is `<name>/<split>/<format>`.

    `--columns loss=c4_en` takes that validation loss, nats per token, as the loss axis.

    Raises:
        ReadError: a cell that is no number, with line and column.
    """
    name = options.model or path.name.partition(".csv")[0]
    wanted = options.columns.get("loss")
    faults, noted, used = Faults(path, options.keep_going), False, False
    for chunk in chunks(path, "csv", options, faults):
        losses = {_LOSS.sub(r"\g<name>", n): n for n in chunk.header if _LOSS.match(n)}
        frame = _frame(chunk, path, faults, losses.get(wanted or ""))
        frame = _named(frame, name)
        used = used or wanted in losses
        notes = () if noted else tuple(_loss_note(path, losses, wanted))
        noted = True
        yield _batch(frame, chunk.header, path, wanted if wanted in losses else None, notes, used)
    yield Batch(findings=faults.findings())


def _frame(chunk: Chunk, path: Path, faults: Faults, loss: str | None) -> pl.DataFrame:
    """Cells as numbers, and where each row stands."""
    casts = Casts(path, chunk)
    scores = [casts.floats(name) for name in chunk.header if _SCORE.match(name)]
    columns = [pl.Series("line", chunk.lines), casts.floats(TOKENS).alias("tokens"), *scores]
    if "_step" in chunk.header:
        columns.append(casts.ints("_step").alias("step"))
    else:
        columns.append(pl.Series("step", [None] * len(chunk.lines), dtype=pl.Int64))
    if loss is not None:
        columns.append(casts.floats(loss).alias("loss"))
    for index in sorted(casts.bad):
        faults.take(casts.bad[index])
    frame = pl.DataFrame(columns)
    good = ~pl.int_range(pl.len()).is_in(list(casts.bad))
    return frame.filter(good) if casts.bad else frame


def _named(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    nothing = [pl.lit(None, pl.Int64).alias("seed")]
    return frame.with_columns(pl.lit(name).alias("model_name"), *nothing)


def _batch(
    frame: pl.DataFrame, header: tuple[str, ...], path: Path, loss: str | None,
    notes: tuple[Finding, ...], used: bool,
) -> Batch:  # fmt: skip
    columns = {name: found for name in header if (found := _SCORE.match(name))}
    if not columns:
        raise ReadError("has losses, but no downstream score", path, 1)
    fixed = [n for n in ("line", "tokens", "step", "seed", "model_name", "loss") if n in frame]
    tall = frame.unpivot(list(columns), index=fixed, variable_name="column").drop_nulls("value")
    facts = pl.DataFrame(
        [
            (n, f"{m['task']}/{m['split']}/{m['format']}", METRICS[m["metric"]], m["shots"])
            for n, m in columns.items()
        ],
        schema=["column", "task", "metric", "shots"],
        orient="row",
    )
    tall = tall.join(facts, on="column", maintain_order="left").with_columns(
        pl.format("{}-shot", "shots").alias("regime"),
        pl.format("{}:{}", pl.lit(path.name), "line").alias("source"),
    )
    tall = tall.with_columns(label_expression())
    if loss is not None:
        tall = tall.with_columns(pl.lit(loss).alias("loss_name"))
    place = ("model", "model_name", "step", "seed", "regime", "tokens", "loss", "loss_name")
    models = tall.select(n for n in place if n in tall.columns).unique(maintain_order=True)
    reported = tall.select("model", "task", "metric", "value", "source")
    return Batch(models, None, reported, notes, frozenset({"loss"} if used else ()))


def _loss_note(path: Path, losses: dict[str, str], wanted: str | None) -> Iterator[Finding]:
    left = sorted(set(losses) - {wanted})
    if left:
        message = (
            f"{path.name}: validation losses are axes, not tasks, and were left out; --columns "
            f"loss=NAME takes one of {', '.join(left)}"
        )
        yield finding("validation_losses", message, count=len(left))
