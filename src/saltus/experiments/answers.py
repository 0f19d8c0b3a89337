"""Answers of a family, from its audit folder: whole, and cut to the first tokens of the target.

A token is a character where targets are single words, such as numbers; else a word. The
length of a target is varied as the data allow: where targets differ in length, by their
length; where all have the same (padded sums), by the first L tokens of every target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl

from saltus import store
from saltus.errors import SaltusError
from saltus.experiments.judged import estimates_of
from saltus.metrics.metric import METRICS
from saltus.report.text import si
from saltus.tables import Models, Responses

CHARACTERS, WORDS = "characters", "words"
LONGEST = 8  # lengths shown of a family whose targets differ in length


@dataclass(frozen=True)
class Answers:
    """The answers of one family to one task.

    Args:
        name: as figures show it.
        models: table `Models`.
        responses: table `Responses`, first samples only.
        unit: characters or words.
        lengths: target lengths that are looked at, ascending.
        prefix: whether a length means the first tokens of every target, not other items.
    """

    name: str
    models: pl.DataFrame
    responses: pl.DataFrame
    unit: str
    lengths: tuple[int, ...]
    prefix: bool


def answers_of(folder: Path) -> list[Answers]:
    """Every family and task of an audit folder whose answers are texts with targets.

    Raises:
        SaltusError: the folder holds none.
    """
    models, responses = store.load(folder, Models), store.load(folder, Responses)
    texts = responses.filter(
        pl.col("sample") == 0, pl.col("output").is_not_null(), pl.col("targets").list.len() > 0
    )
    placed = models.filter(pl.col("params") > 0, pl.col("family").is_not_null())
    joined = texts.join(placed.select("model", "family"), on="model")
    groups = joined.partition_by("family", "task", as_dict=True, maintain_order=True)
    tasks = joined["task"].n_unique() > 1
    found = [
        _answers(f"{family}: {task}" if tasks else str(family), models, rows.drop("family"))
        for (family, task), rows in groups.items()
    ]
    if not found:
        raise SaltusError(
            f"{folder} has no answers with targets of models whose family and size are known"
        )
    return found


def _answers(name: str, models: pl.DataFrame, responses: pl.DataFrame) -> Answers:
    target = pl.col("targets").list.first()
    words = responses.select(target.str.split(" ").list.len().median()).item()
    unit = CHARACTERS if words < 2 else WORDS
    size = responses.select(_length(target, unit).alias("size"))["size"]
    several = size.n_unique() > 1
    lengths = size.unique().sort().to_list() if several else range(1, size[0] + 1)
    there = models.join(responses.select("model").unique(), on="model", how="semi")
    return Answers(name, there, responses, unit, tuple(lengths)[:LONGEST], not several)


def _length(text: pl.Expr, unit: str) -> pl.Expr:
    found = text.str.len_chars() if unit == CHARACTERS else text.str.split(" ").list.len()
    return found.cast(pl.Int64)


def finals(answers: Answers) -> Answers:
    """The last checkpoint of every run."""
    step = pl.col("step").fill_null(np.iinfo(np.int64).max)
    run = pl.col("model").str.replace(r"@step\d+", "")
    last = answers.models.filter(step == step.max().over(run))
    kept = answers.responses.join(last.select("model"), on="model", how="semi")
    return Answers(answers.name, last, kept, answers.unit, answers.lengths, answers.prefix)


def cut(answers: Answers, length: int) -> pl.DataFrame:
    """Responses for one target length, with the task named after it.

    For prefixes both texts are cut to their first tokens, and so are the log-probabilities
    where there is one per token.
    """
    name = pl.format("{} ({} of the target)", "task", pl.lit(f"{length} {answers.unit}"))
    target = pl.col("targets").list.first()
    rows = answers.responses.with_columns(task=name)
    if not answers.prefix:
        return rows.filter(_length(target, answers.unit) == length)
    whole = length == answers.lengths[-1]
    output = pl.col("output") if whole else _first(pl.col("output"), length, answers.unit)
    per_token = pl.col("target_logprobs").list.len() == answers.lengths[-1]
    return rows.with_columns(
        output=output,
        targets=pl.concat_list(_first(target, length, answers.unit)),
        target_logprobs=pl.when(per_token).then(pl.col("target_logprobs").list.head(length)),
        target_bytes=pl.lit(None, pl.Int64),
    )


def _first(text: pl.Expr, length: int, unit: str) -> pl.Expr:
    if unit == CHARACTERS:
        return text.str.head(length)
    return text.str.split(" ").list.head(length).list.join(" ")


def scored(answers: Answers, length: int) -> pl.DataFrame:
    """Accuracy and edits of every final model at one target length.

    Returns:
        Rows of model, params, seed, length, items, successes, accuracy, edits (tokens per
        answer) and edits_variance (of that mean).
    """
    rows = cut(finals(answers), length)
    outputs, targets = rows["output"].to_list(), rows["targets"].to_list()
    distance = METRICS["char_edit_distance" if answers.unit == CHARACTERS else "word_edit_distance"]
    exact = METRICS["exact_match"].compute(outputs, targets).value
    edits = distance.compute(outputs, targets).value
    per_model = (
        rows.select("model", exact=pl.Series(exact), edits=pl.Series(edits))
        .group_by("model")
        .agg(
            items=pl.len().cast(pl.Int64),
            successes=pl.col("exact").sum().cast(pl.Int64),
            accuracy=pl.col("exact").mean(),
            edits=pl.col("edits").mean(),
            edits_variance=pl.col("edits").var() / pl.len(),
        )
    )
    facts = answers.models.select("model", "params", "seed")
    return (
        facts.join(per_model, on="model")
        .with_columns(length=pl.lit(length, pl.Int64), family=pl.lit(answers.name))
        .sort("params", "seed", nulls_last=True)
    )


def by_length(answers: Answers) -> pl.DataFrame:
    """`scored` at every target length."""
    return pl.concat([scored(answers, length) for length in answers.lengths])


@lru_cache(maxsize=16)
def _estimates(folder: Path, last_only: bool) -> pl.DataFrame:
    parts = []
    for answers in answers_of(folder):
        chosen = finals(answers) if last_only else answers
        parts.append(estimates_of(chosen.models, chosen.responses))
    return pl.concat(parts)


def family_estimates(folder: Path, *, last_only: bool = False) -> pl.DataFrame:
    """Table `Estimates` of all answers of an audit folder, scored once per process."""
    return _estimates(folder.absolute(), last_only)


def sized(rows: pl.DataFrame) -> pl.DataFrame:
    """With the size as figures write it, such as 26.5k."""
    return rows.with_columns(size=pl.col("params").map_elements(si, pl.String))


def inputs_of(folders: Sequence[Path]) -> list[Path]:
    """The tables that answers were taken from, for the manifest."""
    names = (f"{Models.name}.parquet", f"{Responses.name}.parquet")
    return [folder / name for folder in folders for name in names if (folder / name).is_file()]
