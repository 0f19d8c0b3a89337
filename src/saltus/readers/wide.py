"""Wide plain tables: one column per model, or one per task and metric, made long."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from saltus.readers.facts import find_model
from saltus.readers.roles import Column

METRIC_SUFFIXES = (
    "acc", "acc_norm", "acc_len_norm", "accuracy", "exact_match", "exact_str_match",
    "multiple_choice_grade", "bleu", "rouge", "rouge1", "rouge2", "rougeL", "f1", "em",
    "ppl", "perplexity", "brier", "loss", "bpb", "cross_entropy", "soft_prob",
    "soft_log_prob", "mcc", "mc1", "mc2", "pass@1", "log_likelihood",
)  # fmt: skip
"""Endings by which a column `<task>_<metric>` is known; only names, the facts are elsewhere."""

PREFIX = "wide:"
"""Keeps the headers of wide columns apart from the names of roles."""

Roles = Mapping[str, Column]


def _free(header: tuple[str, ...], roles: Roles) -> list[str]:
    played = {name for column in roles.values() for name in column.names}
    return [name for name in header if name and name not in played]


def models(header: tuple[str, ...], roles: Roles) -> tuple[str, ...]:
    """Headers that are models: those mapped to `output`, or at least two known names."""
    if "output" in roles and len(roles["output"].names) > 1:
        return roles["output"].names
    if "output" in roles:
        return ()
    known = tuple(name for name in _free(header, roles) if find_model(name))
    return known if len(known) > 1 else ()


def split(header: str) -> tuple[str, str] | None:
    """Task and metric of a column `<task>_<metric>`, by the longest metric name that fits."""
    fits = [m for m in METRIC_SUFFIXES if header.lower().endswith("_" + m.lower())]
    if not fits:
        return None
    metric = max(fits, key=len)
    return header[: -len(metric) - 1], metric


def scores(header: tuple[str, ...], roles: Roles) -> tuple[str, ...]:
    """Headers that are a task and a metric, or those mapped to `value`: one task each."""
    if "value" in roles:
        return roles["value"].names if len(roles["value"].names) > 1 else ()
    return tuple(name for name in _free(header, roles) if split(name))


def unread(header: tuple[str, ...], roles: Roles, kind: str) -> list[str]:
    """Headers of a wide table that nothing is made of."""
    read = {"wide answers": models, "wide aggregates": scores}[kind](header, roles)
    return [name for name in _free(header, roles) if name not in read]


def long_answers(frame: pl.DataFrame) -> pl.DataFrame:
    """One row per item and model: `model_name`, `output` and the other columns."""
    return _unpivot(frame, "model_name", "output")


def long_scores(frame: pl.DataFrame, metric: str | None = None) -> pl.DataFrame:
    """One row per model, task and metric: `task`, `metric`, `value` and the other columns.

    Args:
        frame: one row per model.
        metric: what the columns are, where the user said it; each is then one task.
    """
    tall = _unpivot(frame, "header", "value")
    names = {
        name: (name, metric) if metric else split(name) or (name, "score")
        for name in tall["header"].unique()
    }
    return tall.with_columns(
        pl.col("header").replace_strict({n: t for n, (t, _) in names.items()}).alias("task"),
        pl.col("header").replace_strict({n: m for n, (_, m) in names.items()}).alias("metric"),
    ).drop("header")


def _unpivot(frame: pl.DataFrame, variable: str, value: str) -> pl.DataFrame:
    on = [name for name in frame.columns if name.startswith(PREFIX)]
    index = [name for name in frame.columns if name not in (*on, variable, value)]
    tall = frame.select(*index, *on).unpivot(
        on, index=index, variable_name=variable, value_name=value
    )
    return tall.with_columns(pl.col(variable).str.strip_prefix(PREFIX))
