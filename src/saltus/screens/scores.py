"""Screens of the scores: too alike, the share of a class, not what their error or size allows."""

from __future__ import annotations

from math import comb

import numpy as np
import polars as pl

from saltus.estimates.recover import NOT_COUNTS, WHOLE, is_count
from saltus.metrics.metric import find
from saltus.readers.facts import task_facts
from saltus.screens.phrases import SHOWN, names, several
from saltus.screens.screen import Evidence, screen_for

ALIKE = 1e-4
"""Probability under independent answers below which equal scores are spoken of."""
LEAST_TASKS = 8
MOST = 0.9
OUT_OF_LINE = 0.10
_SERIES = ["family", "regime", "task", "metric"]


def _counts(evidence: Evidence) -> pl.DataFrame:
    """One row per size: the last checkpoint's successes among known items, zero-or-one metrics."""
    counted = [n for n in evidence.estimates["metric"].unique() if is_count(find(n))]
    rows = evidence.estimates.filter(
        pl.col("metric").is_in(counted),
        pl.all_horizontal(pl.col("family", "params", "successes", "items").is_not_null()),
    )
    last = pl.col("step").fill_null(2**62)
    return rows.sort(last, "model").unique([*_SERIES, "params"], keep="last", maintain_order=True)


def _listed(model: str = "model") -> pl.Expr:
    return pl.col(model).sort().head(SHOWN).str.join(", ")


@screen_for(
    "Do models of several sizes have the very same score?",
    "Pythia: WSC at 0.3654 = 38/104, the share of one answer, for most sizes",
    false_alarm=(
        "0 of 1,200 simulated, and of 80 families; models that share their easy items agree "
        "more often than independent ones"
    ),
)
def identical_scores(evidence: Evidence) -> pl.DataFrame:
    """Series where more sizes share one count than independent answers would make."""
    odd = _identical(_counts(evidence))
    share = [_class_share(*row) for row in odd.select("task", "metric", "value").iter_rows()]
    return odd.with_columns(pl.Series("share", share, dtype=pl.String)).select(
        pl.lit("warning").alias("severity"),
        "family",
        "task",
        "metric",
        pl.col("same").cast(pl.Int64).alias("count"),
        pl.format(
            "{} of {} sizes of {} score exactly {} ({} of {} items{}): such as when a model gives "
            "every item the same answer, or one run was logged under several names; {}",
            "same",
            "sizes",
            "family",
            pl.col("value").round(4),
            pl.col("successes").cast(pl.Int64),
            "items",
            pl.col("share").fill_null(""),
            "models",
        ).alias("message"),
    )


def _identical(rows: pl.DataFrame) -> pl.DataFrame:
    """One row per series and count that too many sizes share."""
    same = (
        rows.with_columns(sizes=pl.len().over(_SERIES))
        .group_by(*_SERIES, "successes", "items", "sizes")
        .agg(pl.len().alias("same"), pl.col("value").first(), _listed().alias("models"))
    )
    inside = (pl.col("successes") > 0) & (pl.col("successes") < pl.col("items"))
    same = same.filter(inside, pl.col("same") >= 3)
    luck = [_luck(*row) for row in same.select("successes", "items", "same", "sizes").iter_rows()]
    return same.filter(pl.Series("luck", luck, dtype=pl.Float64) < ALIKE)


def _luck(successes: float, items: int, same: int, sizes: int) -> float:
    """Bound of the probability that so many of the sizes meet at one count by luck.

    A binomial count is at its likeliest value with probability about
    1 / sqrt(2 pi n p (1 - p)); answers that models share make this too small, see
    docs/screens.md.
    """
    rate = successes / items
    likeliest = min(1.0, 1.0 / np.sqrt(2 * np.pi * items * rate * (1 - rate)))
    return float(comb(sizes - 1, same - 1) * likeliest ** (same - 1))


def _class_share(task: str, metric: str, value: float) -> str | None:
    facts = task_facts(task, metric)
    if facts is None or not facts.classes:
        return None
    total = sum(facts.classes)
    hit = [count for count in facts.classes if abs(value * total - count) <= WHOLE * total]
    return f", the share of one class: {hit[0]}/{total}" if hit else None


@screen_for(
    "Is the score just the share of one class?",
    "BIG-bench issue 667: chance is not 1/k where one answer is right more often",
    false_alarm="1 % where scores rise, 12 % where the true rate lies on that share",
)
def class_shares(evidence: Evidence) -> pl.DataFrame:
    """Tasks where several sizes of a family score exactly what one constant answer would."""
    rows = _counts(evidence)
    share = [_class_share(*row) for row in rows.select("task", "metric", "value").iter_rows()]
    hit = rows.with_columns(pl.Series("share", share, dtype=pl.String)).filter(
        pl.col("share").is_not_null()
    )
    found = hit.group_by(*_SERIES, "share").agg(
        pl.len().cast(pl.Int64).alias("count"), _listed().alias("models")
    )
    alike = _identical(rows)  # these are told as identical, with the same explanation
    found = found.join(alike, on=_SERIES, how="anti", nulls_equal=True)
    return found.filter(pl.col("count") >= 2).select(
        pl.lit("warning").alias("severity"),
        "family",
        "task",
        "metric",
        "count",
        pl.format(
            "{} models of {} score exactly what one constant answer scores{}: {}",
            "count",
            "family",
            "share",
            "models",
        ).alias("message"),
    )


@screen_for(
    "Is a stated standard error possible?",
    "lm-evaluation-harness issue 3966: standard errors of exactly 0 for scores inside (0, 1)",
    false_alarm="0 of 80 simulated families; none",
)
def impossible_errors(evidence: Evidence) -> pl.DataFrame:
    """Standard errors that no mean of zero-or-one scores can have."""
    counts = [name for name in evidence.reported["metric"].unique() if is_count(find(name))]
    value, stderr = pl.col("value"), pl.col("stderr")
    rows = evidence.reported.filter(
        pl.col("item").is_null(), pl.col("metric").is_in(counts), stderr.is_not_null()
    )
    zero = (stderr == 0) & (value > 0) & (value < 1)
    # n = 2 has the largest: sqrt(p (1 - p))
    large = stderr > (value * (1 - value)).clip(0).sqrt() * (1 + WHOLE) + 1e-12
    odd = rows.filter(value.is_between(0, 1) & (zero | large | (stderr < 0)))
    found = odd.group_by("metric").agg(
        pl.len().cast(pl.Int64).alias("count"),
        zero.sum().alias("zeros"),
        pl.col("task").n_unique().alias("tasks"),
        names("task").alias("names"),
    )
    return found.select(
        pl.lit("warning").alias("severity"),
        "metric",
        "count",
        pl.format(
            "impossible for the mean beside it: {} of {} ({} of them 0 for a mean inside 0 and "
            "1): {}; no interval is built on them",
            several("count", "standard error"),
            several("tasks", "task"),
            "zeros",
            "names",
        ).alias("message"),
    )


@screen_for(
    "Do the values fit the number of items that the file states?",
    "open_lm eval_metadata.csv: ARC-Challenge with the 2,376 items of ARC-Easy",
    false_alarm=(
        "0 of 80 simulated families; averages over subtasks are no whole numbers either: "
        "their stated size is still not that of one sample"
    ),
)
def contradicted_sizes(evidence: Evidence) -> pl.DataFrame:
    """Stated numbers of items of which a reported share is no whole count."""
    odd = evidence.estimates.filter(
        pl.col("items_method") == NOT_COUNTS, pl.col("value").is_not_null()
    )
    stated = (
        evidence.reported.filter(pl.col("item").is_null(), pl.col("items").is_not_null())
        .group_by("task", "metric")
        .agg(pl.col("items").unique().sort().cast(pl.String).str.join(", ").alias("stated"))
    )
    tasks = odd.group_by("task", "metric").agg(
        pl.col("value"), pl.len().cast(pl.Int64).alias("count")
    )
    hints = [_published(*row) for row in tasks.select("task", "metric", "value").iter_rows()]
    found = tasks.with_columns(pl.Series("hint", hints, dtype=pl.String))
    return found.join(stated, on=["task", "metric"], how="left").select(
        pl.lit("warning").alias("severity"),
        "task",
        "metric",
        "count",
        pl.format(
            "{} no whole number of the {} items that the file states{}; the stated number is "
            "not used",
            several("count", "value is", "values are"),
            pl.col("stated").fill_null("?"),
            "hint",
        ).alias("message"),
    )


def _published(task: str, metric: str, values: list[float]) -> str:
    facts = task_facts(task, metric)
    if facts is None or facts.items is None:
        return ""
    counts = np.array(values) * facts.items
    fits = int((np.abs(counts - np.round(counts)) <= WHOLE * facts.items).sum())
    if fits == len(values):
        return f", but of the task's published {facts.items}"
    return f" (and {fits} of them of the task's published {facts.items})"


@screen_for(
    "Is one model out of line with its family on nearly all tasks?",
    "lm_eval_families: Mamba-2 runs with different files for one model; issue 443",
    false_alarm=(
        "0 to 3 % for model effects of 0.02 to 0.03; 20 % where models of a family truly "
        "differ by 0.05; 0 of 80 simulated families"
    ),
)
def models_out_of_line(evidence: Evidence) -> pl.DataFrame:
    """Models far below the sizes beside them on nearly all of their tasks."""
    rising = [n for n in evidence.estimates["metric"].unique() if is_count(find(n))]
    rows = evidence.estimates.filter(
        pl.col("metric").is_in(rising),
        pl.all_horizontal(pl.col("family", "params", "value").is_not_null()),
    )
    last = pl.col("step").fill_null(2**62)
    rows = rows.sort(last, "model").unique([*_SERIES, "params"], keep="last").sort("params")
    before, after = (pl.col("value").shift(n).over(_SERIES) for n in (1, -1))
    # the largest model has no larger one beside it; the smallest is not judged
    beside = (before + after.fill_null(before)) / 2
    gaps = rows.with_columns(gap=pl.col("value") - beside).filter(pl.col("gap").is_not_null())
    found = gaps.group_by("family", "model").agg(
        pl.len().alias("tasks"),
        (pl.col("gap") < 0).mean().alias("below"),
        pl.col("gap").median(),
        (pl.col("gap") < 0).sum().cast(pl.Int64).alias("count"),
    )
    odd = found.filter(
        pl.col("tasks") >= LEAST_TASKS, pl.col("below") >= MOST, pl.col("gap") <= -OUT_OF_LINE
    )
    return odd.select(
        pl.lit("warning").alias("severity"),
        "family",
        "model",
        "count",
        pl.format(
            "below the sizes beside it in {} on {} of {} tasks, by {} in the median: another "
            "tokenizer, precision or prompt than its family, or another model under its name",
            "family",
            "count",
            "tasks",
            (-pl.col("gap")).round(3),
        ).alias("message"),
    )
