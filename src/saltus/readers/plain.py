"""Plain tables: CSV, JSON lines, a JSON array or Parquet, recognised by their columns.

The contract is `KINDS`; roles are found by the synonyms in `roles.py` or mapped by the user.
An empty cell or null is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from saltus.errors import ReadError, SaltusError
from saltus.readers import wide
from saltus.readers.cells import Casts, logprob, member_text, whole
from saltus.readers.facts import FACTS, label_expression
from saltus.readers.files import head_bytes
from saltus.readers.reader import Batch, Faults, Finding, Head, Options, finding, reader
from saltus.readers.roles import SIZES, Column, resolve, stated
from saltus.readers.tabular import Chunk, chunks, first_header, shape

KINDS = {
    "answers": "model, task, item, and output with target(s), or choice_logprobs with "
    "target_index, or target_logprobs",
    "scores": "model, task, item, metric, value",
    "aggregates": "model, task, metric, value",
    "wide aggregates": "model and one column per <task>_<metric>, or value=COLUMN,COLUMN,...",
    "wide answers": "item, target and one column per model",
}
REQUIRED = {
    "answers": ("model_name", "task", "item"),
    "scores": ("model_name", "task", "metric", "item"),
    "aggregates": ("model_name", "task", "metric"),
    "wide aggregates": ("model_name",),
    "wide answers": ("task", "item"),
}
APART = {"wide answers": ("output",), "wide aggregates": ("value",)}
"""Roles that many columns play; they stand under their own names."""
LOSS_KIND = "val_loss"
"""What a `kind` or `metric` column says of rows that are validation losses, no tasks."""

Roles = Mapping[str, Column]
_NOBODY = Column(("",))


def _has_answer(roles: Roles) -> bool:
    return (
        ("output" in roles and ("target" in roles or "targets" in roles))
        or ("choice_logprobs" in roles and "target_index" in roles)
        or "target_logprobs" in roles
    )


def kind_of(header: tuple[str, ...], roles: Roles, model: str | None) -> str | None:
    """Which of the plain tables has such a header; None: none of them.

    Args:
        header: column names.
        roles: the roles found in it.
        model: name of the model, where the user gave one.
    """
    one_output = len(roles.get("output", _NOBODY).names) == 1
    named = "model" in roles or model is not None
    if named and "item" in roles and _has_answer(roles) and one_output:
        return "answers"
    if "model" in roles and wide.scores(header, roles):
        return "wide aggregates"
    if named and {"task", "metric", "value"} <= roles.keys():
        return "scores" if "item" in roles else "aggregates"
    if "model" not in roles and {"item", "target"} <= roles.keys() and wide.models(header, roles):
        return "wide answers"
    return None


def sniff(head: Head) -> bool:
    """Whether a file is a plain table of one of the kinds."""
    if shape(head) is None:
        return False
    header = first_header(head)
    try:
        return kind_of(header, resolve(header, head.columns), head.model) is not None
    except SaltusError:
        return True  # two columns for one role: an error with a mend, not a file to skip


def refusal(head: Head) -> str:
    """Why a file is not read as a plain table, for the error about an unknown file."""
    header = first_header(head)
    if not header:
        return "no reader recognises what is in it"
    roles = resolve(header, head.columns)
    found = ", ".join(f"{role}={','.join(c.names)}" for role, c in roles.items()) or "none"
    names = ", ".join(header[:30]) + (", ..." if len(header) > 30 else "")
    asked = [f"{role}={name}" for role, name in head.columns.items() if role not in roles]
    absent = f" Mapped, but not in this file: {', '.join(asked)}." if asked else ""
    kinds = "; ".join(f"{name}: {columns}" for name, columns in KINDS.items())
    return (
        f"its columns make none of the tables that are read. Columns: {names}. Roles found: "
        f"{found}.{absent} Needed: {kinds}. Name a column with --columns role=name"
    )


@reader(
    sniff=sniff,
    source="CSV, JSON lines or Parquet with the columns of the plain-table contract",
    general=True,
)
def plain(path: Path, options: Options) -> Iterator[Batch]:
    """Plain tables of answers, scores or aggregates, long or wide.

    Raises:
        ReadError: a column or cell that breaks the contract, with line and column.
    """
    head = Head(path, head_bytes(path), options.columns, options.model)
    faults, kind = Faults(path, options.keep_going), ""
    form = shape(head) or "csv"
    for chunk in chunks(path, form, options, faults, lambda header: _read_of(header, options)):
        roles = _roles(chunk, path, options)
        first = not kind
        kind = kind or kind_of(chunk.header, roles, options.model) or ""
        if not kind:
            raise ReadError(refusal(head), path)
        table = Table(path, chunk, roles, options, kind, Casts(path, chunk))
        batch = _batch(table, faults)
        yield batch._replace(findings=(*batch.findings, *_header_findings(table, first)))
    if not kind and not faults.count:
        raise ReadError("the table has a header but no rows", path)
    yield Batch(findings=faults.findings())


def _read_of(header: tuple[str, ...], options: Options) -> tuple[str, ...]:
    """The columns that play a role, or are wide."""
    try:
        roles = resolve(header, options.columns)
    except SaltusError:
        return ()  # the same error comes again, with its place, when the chunk is looked at
    played = (name for column in roles.values() for name in column.names)
    return (*played, *wide.models(header, roles), *wide.scores(header, roles))


def _roles(chunk: Chunk, path: Path, options: Options) -> dict[str, Column]:
    try:
        return resolve(chunk.header, options.columns)
    except SaltusError as fault:
        raise ReadError(str(fault), path, 1) from None


@dataclass(frozen=True)
class Table:
    """One chunk with everything that is known of it.

    Args:
        path: the file.
        chunk: its rows.
        roles: role -> column.
        options: what the user said.
        kind: one of `KINDS`.
        casts: the cells, typed; collects bad rows.
    """

    path: Path
    chunk: Chunk
    roles: Roles
    options: Options
    kind: str
    casts: Casts

    def text(self, role: str) -> pl.Series:
        """A role as text; several columns are joined by `/`, empty cells left out."""
        parts = [self.casts.text(name) for name in self.roles[role].names]
        joined = pl.concat_str(pl.all(), separator="/", ignore_nulls=True).replace("", None)
        return parts[0] if len(parts) == 1 else pl.DataFrame(parts).select(joined).to_series()

    def constant(self, text: str | None) -> pl.Series:
        """The same text in every row."""
        return pl.Series("", [text] * len(self.chunk.lines), dtype=pl.String)


CASTS: Mapping[str, Callable[[Casts, Column], pl.Series]] = {
    **dict.fromkeys(
        ("chance", "value", "stderr", "params", "tokens", "flops", "loss", "choices"),
        lambda casts, column: casts.floats(column.name, column.factor),
    ),
    **dict.fromkeys(
        ("sample", "target_index", "target_bytes", "items", "step", "seed", "shots"),
        lambda casts, column: casts.ints(column.name),
    ),
    **dict.fromkeys(
        ("choice_logprobs", "target_logprobs"),
        lambda casts, column: casts.lists(column.name, logprob, pl.Float64()),
    ),
    "choice_bytes": lambda casts, column: casts.lists(column.name, whole, pl.Int64()),
    "targets": lambda casts, column: casts.lists(column.name, member_text, pl.String()),
}


def _typed(table: Table, role: str) -> pl.Series:
    cast = CASTS.get(role)
    column = table.roles[role]
    return (table.text(role) if cast is None else cast(table.casts, column)).alias(role)


def _wide(table: Table) -> list[pl.Series]:
    header, roles, casts = table.chunk.header, table.roles, table.casts
    if table.kind == "wide answers":
        return [casts.text(name).alias(wide.PREFIX + name) for name in wide.models(header, roles)]
    if table.kind == "wide aggregates":
        return [casts.floats(name).alias(wide.PREFIX + name) for name in wide.scores(header, roles)]
    return []


def _frame(table: Table) -> pl.DataFrame:
    """Every role of the chunk as one typed column of its name, with model, task and source."""
    apart = ("model", "task", *APART.get(table.kind, ()))
    roles = [role for role in table.roles if role not in apart]
    given = {"model_name": ("model", table.options.model), "task": ("task", _task(table))}
    names = [
        (table.text(role) if role in table.roles else table.constant(value)).alias(name)
        for name, (role, value) in given.items()
    ]
    lines = pl.Series("line", table.chunk.lines, dtype=pl.Int64)
    return pl.DataFrame([*names, lines, *(_typed(table, r) for r in roles), *_wide(table)])


def _task(table: Table) -> str | None:
    if table.kind == "wide answers" and not table.options.task:
        return table.path.name.partition(".")[0]
    if table.kind == "answers" and "task" not in table.roles and not table.options.task:
        what = "no column says which task this is; use --task NAME or --columns task=name"
        raise ReadError(what, table.path, 1)
    return table.options.task


def _without_bad_rows(frame: pl.DataFrame, table: Table, faults: Faults) -> pl.DataFrame:
    """The first bad row is raised, or all are counted and dropped."""
    casts = table.casts
    for name in REQUIRED[table.kind]:
        absent = frame[name].is_null().arg_true() if name in frame.columns else range(len(frame))
        for index in absent:
            casts.fault(index, "is empty; it is required", name.removesuffix("_name"))
    if "chance" in frame.columns:
        for index in (~frame["chance"].is_between(0, 1)).fill_null(False).arg_true():
            what = f"{frame['chance'][index]:g} is no probability; is it a percentage?"
            casts.fault(index, what, table.roles["chance"].name)
    for index in sorted(casts.bad):
        faults.take(casts.bad[index])
    return frame.filter(~pl.int_range(pl.len()).is_in(list(casts.bad))) if casts.bad else frame


def _long(frame: pl.DataFrame, table: Table) -> pl.DataFrame:
    if table.kind == "wide answers":
        return wide.long_answers(frame)
    if table.kind == "wide aggregates":
        return wide.long_scores(frame, stated(table.options.columns, "metric"))
    return frame


def _completed(frame: pl.DataFrame, path: Path) -> pl.DataFrame:
    """The long frame with label, source and what follows from other columns."""
    nulls = {"step": pl.Int64, "seed": pl.Int64, "regime": pl.String, "filter": pl.String}
    frame = frame.with_columns(
        *(pl.lit(None, dtype).alias(n) for n, dtype in nulls.items() if n not in frame.columns),
        pl.concat_str(pl.lit(path.name + ":"), pl.col("line").cast(pl.String)).alias("source"),
    )
    if "shots" in frame.columns:
        shots = pl.format("{}-shot", pl.col("shots"))
        frame = frame.with_columns(pl.coalesce("regime", shots).alias("regime"))
    if "choices" in frame.columns and "chance" not in frame.columns:
        frame = frame.with_columns((1.0 / pl.col("choices")).alias("chance"))
    if "target" in frame.columns and "targets" not in frame.columns:
        one = pl.when(pl.col("target").is_not_null()).then(pl.concat_list("target"))
        frame = frame.with_columns(one.alias("targets"))
    return frame.with_columns(label_expression())


def _batch(table: Table, faults: Faults) -> Batch:
    used = frozenset(role for role, column in table.roles.items() if column.mapped)
    if table.kind == "wide aggregates" and stated(table.options.columns, "metric"):
        used |= {"metric"}
    frame = _without_bad_rows(_frame(table), table, faults)
    frame = _completed(_long(frame, table), table.path)
    models = _select(frame, ("model", "model_name", "step", "seed", "regime", *FACTS))
    if table.kind.endswith("answers"):
        reported = _reported(frame, "score") if "value" in frame.columns else None
        return Batch(models.unique(maintain_order=True), _responses(frame), reported, (), used)
    losses, chosen = _losses(frame, table.options.columns.get("loss"))
    models = pl.concat([_select(frame, models.columns), chosen], how="diagonal_relaxed")
    notes = _loss_findings(losses, chosen, table.path)
    used |= {"loss"} if chosen.height else set()
    rest = frame.join(losses.select("line"), on="line", how="anti") if losses.height else frame
    return Batch(models.unique(maintain_order=True), None, _reported(rest, None), notes, used)


def _select(frame: pl.DataFrame, names: tuple[str, ...] | list[str]) -> pl.DataFrame:
    return frame.select(name for name in names if name in frame.columns)


RESPONSE_COLUMNS = (
    "model", "task", "item", "item_hash", "prompt_hash", "sample", "cluster", "filter", "output",
    "targets", "target_index", "choice_logprobs", "choice_bytes", "target_logprobs",
    "target_bytes", "finish", "chance", "source",
)  # fmt: skip
REPORTED_COLUMNS = (
    "model", "task", "metric", "value", "stderr", "items", "item", "sample", "cluster",
    "chance", "source",
)  # fmt: skip


def _responses(frame: pl.DataFrame) -> pl.DataFrame:
    return _select(frame, RESPONSE_COLUMNS)


def _reported(frame: pl.DataFrame, metric: str | None) -> pl.DataFrame:
    """Reported values; a harness filter other than `none` becomes part of the metric's name."""
    if "metric" not in frame.columns:
        frame = frame.with_columns(pl.lit(metric).alias("metric"))
    filtered = pl.col("filter").is_not_null() & (pl.col("filter") != "none")
    named = pl.when(filtered).then(pl.format("{},{}", "metric", "filter")).otherwise("metric")
    return _select(frame.with_columns(named.alias("metric")), REPORTED_COLUMNS)


def _losses(frame: pl.DataFrame, wanted: str | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows that are validation losses, and the facts of those the user chose as loss axis."""
    marks = [pl.col(name) == LOSS_KIND for name in ("kind", "metric") if name in frame.columns]
    losses = frame.filter(pl.any_horizontal(marks)) if marks else frame.clear()
    chosen = losses.filter(pl.col("task") == (wanted or "")).select(
        "model", "model_name", "step", "seed", "regime",
        pl.col("value").alias("loss"), pl.col("task").alias("loss_name"),
    )  # fmt: skip
    return losses, chosen


def _loss_findings(losses: pl.DataFrame, chosen: pl.DataFrame, path: Path) -> tuple[Finding, ...]:
    left = losses.height - chosen.height
    if not left:
        return ()
    names = ", ".join(losses["task"].unique().sort())
    message = (
        f"{path.name}: rows of validation losses are axes, not tasks, and were left out; "
        f"--columns loss=NAME takes one of {names}"
    )
    return (finding("validation_losses", message, count=left),)


def _header_findings(table: Table, first: bool) -> Iterator[Finding]:
    if not first:
        return
    name = table.path.name
    for role in SIZES:
        column = table.roles.get(role, _NOBODY)
        if column.factor != 1.0:
            message = f"{name}: {column.name!r} is read as {role}, times {column.factor:g}"
            yield finding("units", message)
    choices = table.roles.get("choice_logprobs")
    if table.kind == "answers" and choices and "target_index" not in table.roles:
        message = (
            f"{name}: {choices.name!r} holds log-probabilities of choices, but no column says "
            "which choice is right, so they are not scored; name it with --columns "
            "target_index=NAME"
        )
        yield finding("choices_not_scored", message)
    if table.kind.startswith("wide"):
        left = wide.unread(table.chunk.header, table.roles, table.kind)
        if left:
            message = f"{name}: columns that name no known model or metric: {', '.join(left)}"
            yield finding("columns_not_read", message, count=len(left))
