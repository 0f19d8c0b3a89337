"""Screens of the values: inside their bounds, not suspiciously exact."""

from __future__ import annotations

import numpy as np
import polars as pl

from saltus.metrics.metric import find
from saltus.screens.phrases import names, several
from saltus.screens.screen import LOSS_AXIS, Evidence, screen_for

CLEARLY_ABOVE = 0.05  # a score that no stray hit explains
LEAST_ITEMS = 100  # zeros of fewer items are no surprise
SURE_ITEMS = 1000  # zeros of so many are no lack of ability: the true rate is below 0.3 %
ABSURD = 1e6  # perplexity: no vocabulary is as large
MUCH_BETTER = 1e4
LEAST_LETTERS = 2
FEW_ITEMS = 20
SAME_LOSS = 0.999  # share of a loss's variance that proportion explains: two losses are one
FEWEST_LOSSES = 4


@screen_for(
    "Is a value outside the bounds of its metric?",
    "Percent read as fractions; a percentage is 0.37 under one tool and 37 under another",
    false_alarm="none for errors; percentages are units, not faults",
)
def out_of_bounds(evidence: Evidence) -> pl.DataFrame:
    """Reported values that their metric cannot take."""
    rows = evidence.estimates.filter(pl.col("missing").str.contains("outside the metric's bounds"))
    value = pl.col("missing").str.extract(r"^(\S+) is").cast(pl.Float64, strict=False)
    percent = value.is_between(0, 100) & pl.col("missing").str.contains(r"\[0.0, 1.0\]")
    return rows.group_by("family", "task", "metric").agg(
        # a percentage is another unit, which proves nothing against the numbers
        pl.when(percent.all()).then(pl.lit("warning")).otherwise(pl.lit("error")).alias("severity"),
        pl.len().cast(pl.Int64).alias("count"),
        pl.format(
            "{} and is left out; a percentage? then scale it with --columns value='NAME*0.01'",
            pl.col("missing").first(),
        ).alias("message"),
    )


@screen_for(
    "Is a score exactly 0 although a model of no more compute scores?",
    "lm-evaluation-harness issue 443: LLaMA at exactly 0 from tokenization",
    false_alarm="0 of 80 simulated families; a task that truly gets worse with scale",
)
def exact_zeros(evidence: Evidence) -> pl.DataFrame:
    """Values of exactly 0 where a smaller, no longer trained model of the family scores.

    Where another seed of the same size and length does score, runs differ, and no harness.
    """
    rising = [m for m in evidence.estimates["metric"].unique() if _better_when_higher(m)]
    rows = evidence.estimates.filter(
        pl.col("value").is_not_null(),
        pl.col("params").is_not_null(),
        pl.col("metric").is_in(rising),
    )
    series = ["family", "regime", "task", "metric"]
    learnt = (pl.col("value") > 0).any().over(*series, "params", "tokens")
    lottery = pl.col("seed").is_not_null() & learnt
    zeros = _beside_no_larger(
        rows.filter((pl.col("value") == 0) & ~lottery),
        rows.filter(pl.col("value") > CLEARLY_ABOVE),
        series,
    )
    best = zeros.group_by(*series, "model").agg(pl.col("other").max())
    found = best.group_by("family", "task", "metric").agg(
        pl.len().cast(pl.Int64).alias("count"),
        pl.format(
            "{}: exactly 0 although a model of no more compute scores {}",
            pl.col("model").sort().head(5).str.join(", "),
            pl.col("other").max().round(3),
        ).alias("message"),
    )
    return found.with_columns(severity=pl.lit("warning"))


@screen_for(
    "Is the loss axis the task's own loss?",
    "Our own trained families: against itself a loss bends by arithmetic, and looks like a break",
    false_alarm="under 3 % for precise losses of two texts (to 0.003 nats, 6 to 12 sizes, "
    "1,000 families each), under 2 % at 0.01 nats, 0 at 0.03",
)
def restated_losses(evidence: Evidence) -> pl.DataFrame:
    """Tasks with a loss that is that of the models, in the same unit or in another.

    A straight line alone would not tell: over eight sizes the precise losses of two texts lie on
    one with R² > .999 in every second family, but seldom on one through the origin.
    """
    rows = evidence.estimates.filter(
        pl.col("value").is_finite(), pl.col("loss").is_finite(), pl.col("family").is_not_null()
    )
    metrics = [name for name in rows["metric"].unique() if _is_loss(name)]
    groups = rows.filter(pl.col("metric").is_in(metrics)).partition_by(
        "family", "task", "metric", as_dict=True
    )
    best: dict[tuple[object, ...], tuple[float, str, int]] = {}  # of several losses of a task
    for (*key, metric), part in groups.items():
        share = _in_proportion(part)
        best[*key,] = max(best.get((*key,), (0.0, "", 0)), (share, str(metric), part.height))
    found = [
        {"family": family, "task": task, "severity": "warning", "scope": LOSS_AXIS, "count": count,
         "message": f"the loss of the models is the task's own: {metric} is proportional to it "
         f"(R² = {share:.5f}), so that this axis says nothing that the score does not"}
        for (family, task), (share, metric, count) in best.items() if share > SAME_LOSS
    ]  # fmt: skip
    return pl.DataFrame(found, schema_overrides={"count": pl.Int64})


def _is_loss(name: str) -> bool:
    metric = find(name)
    return metric is not None and metric.is_loss


def _in_proportion(rows: pl.DataFrame) -> float:
    """R² of a loss as a multiple of that of the models; a perplexity counts by its logarithm."""
    metric = find(rows["metric"][0])
    points = rows.group_by("loss").agg(pl.col("value").mean())
    if metric is not None and metric.link == "perplexity":
        points = points.filter(pl.col("value") > 0).with_columns(pl.col("value").log())
    if points.height < FEWEST_LOSSES:
        return 0.0
    x, y = (points[name].to_numpy() for name in ("loss", "value"))
    around = np.square(y - y.mean()).sum()
    if around == 0.0:
        return 0.0
    return float(1.0 - np.square(y - (x @ y) / (x @ x) * x).sum() / around)


def _beside_no_larger(odd: pl.DataFrame, others: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    """Odd rows beside each other row of a model that is no larger and was trained no longer.

    Compute alone would not do: a large model after a few steps has spent more than a small
    one at its end, and knows less.

    Returns:
        The pairs: columns of `odd`, and the other's value in `other`.
    """
    trained = pl.coalesce("tokens", pl.col("flops") / (6 * pl.col("params")))
    sides = others.select(
        *key, pl.col("model").alias("name"), pl.col("params").alias("size"),
        trained.alias("seen"), pl.col("value").alias("other"),
    )  # fmt: skip
    pairs = odd.join(sides, on=key, how="inner", nulls_equal=True)
    no_longer = (pl.col("seen") <= trained) | (pl.col("seen").is_null() & trained.is_null())
    smaller = (pl.col("size") <= pl.col("params")) & (pl.col("name") != pl.col("model"))
    return pairs.filter(smaller, no_longer)


def _better_when_higher(name: str) -> bool:
    metric = find(name)
    return metric is not None and metric.better == "higher"


@screen_for(
    "Is a task at exactly 0 for every size of a family, with a standard error of 0?",
    "lm-evaluation-harness issue 443: LLaMA 7B and 13B at exactly 0 on all arithmetic",
    false_alarm=(
        "0 of 80 simulated families; warnings: tasks that are too hard; errors: a model that "
        "learnt the very task"
    ),
)
def zero_families(evidence: Evidence) -> pl.DataFrame:
    """Tasks at exactly 0 for all sizes of a family, which is an error where others score.

    Conclusive where a model of another family with no more compute clearly scores in the
    same regime, and many items are known: then the task can be done, and these models' answers
    were not seen. Of few items a family may miss all because it was not trained for the task.
    """
    rising = [m for m in evidence.estimates["metric"].unique() if _better_when_higher(m)]
    rows = evidence.estimates.filter(
        pl.col("metric").is_in(rising), pl.col("value").is_not_null(),
        pl.col("family").is_not_null(), (pl.col("chance") == 0) | pl.col("chance").is_null(),
    )  # fmt: skip
    explained = _hidden(evidence.estimates).select("task", metric=pl.lit("exact_match"))
    rows = rows.join(explained, on=["task", "metric"], how="anti")
    groups = rows.group_by("family", "regime", "task", "metric").agg(
        pl.col("value").abs().max().alias("best"),
        pl.col("params").n_unique().alias("sizes"),
        pl.col("items").min(),
        (pl.col("items") >= SURE_ITEMS).fill_null(False).all().alias("many"),
        pl.col("flops").max(),
        pl.col("model").sort().head(5).str.join(", ").alias("models"),
        pl.len().cast(pl.Int64).alias("count"),
    )
    zeros = groups.filter(
        pl.col("best") == 0,
        pl.col("sizes") > 1,
        # without items a standard error of 0 was stated, which proves none
        pl.col("items").fill_null(LEAST_ITEMS) >= LEAST_ITEMS,
    )
    scoring = rows.filter(pl.col("value") > CLEARLY_ABOVE, pl.col("flops").is_not_null())
    key = ["task", "metric", "regime"]
    others = scoring.select(*key, pl.col("flops").alias("spent"), pl.col("value").alias("reached"))
    others = others.sort("spent").unique(key, keep="first", maintain_order=True)
    found = zeros.join(others, on=key, how="left", nulls_equal=True)
    sure = (pl.col("spent") <= pl.col("flops")).fill_null(False)
    found = found.with_columns(sure=sure & pl.col("many"))
    certain = found.filter("sure").select(
        pl.lit("error").alias("severity"),
        "family",
        "task",
        "metric",
        "count",
        pl.format(
            "all sizes of {} ({}) are at exactly 0, although a model of no more compute scores {}: "
            "a prompt, a tokenizer or a parser that never fits does this; look at the outputs",
            "family",
            "models",
            pl.col("reached").round(3),
        ).alias("message"),
    )
    return pl.concat([certain, _doubtful_zeros(found.filter(~pl.col("sure")))])


def _doubtful_zeros(found: pl.DataFrame) -> pl.DataFrame:
    """One finding per family and metric: tasks may also just be too hard."""
    groups = found.group_by("family", "metric", "models").agg(
        pl.col("count").sum(),
        pl.when(pl.len() == 1).then(pl.col("task").first()).alias("task"),
        pl.col("task").n_unique().alias("tasks"),
        names("task").alias("names"),
    )
    return groups.select(
        pl.lit("warning").alias("severity"),
        "family",
        "task",
        "metric",
        "count",
        pl.format(
            "all sizes of {} ({}) are at exactly 0 on {}: {}; too hard, or a prompt, a "
            "tokenizer or a parser that never fits: look at the outputs",
            "family",
            "models",
            several("tasks", "task"),
            "names",
        ).alias("message"),
    )


@screen_for(
    "Is a perplexity worse than guessing any token?",
    "lm_eval_families: LLaMA 13B at 1.3e6 on LAMBADA; Pythia 12B at 6e8 at step 8",
    false_alarm="warnings: untrained checkpoints; errors: none known",
)
def absurd_perplexities(evidence: Evidence) -> pl.DataFrame:
    """Perplexities above a million; an error where a model of no more compute has a usual one."""
    named = [
        name
        for name in evidence.estimates["metric"].unique()
        if (metric := find(name)) is not None and metric.link == "perplexity"
    ]
    rows = evidence.estimates.filter(pl.col("metric").is_in(named), pl.col("value").is_not_null())
    odd = rows.filter(pl.col("value") > ABSURD)
    usual = rows.filter(pl.col("value") < ABSURD)
    key = ["task", "metric", "regime"]
    least = (
        _beside_no_larger(odd, usual, key)
        .group_by("model", *key)
        .agg(pl.col("other").min().alias("least"))
    )
    odd = odd.join(least, on=["model", *key], how="left", nulls_equal=True)
    sure = (pl.col("least") * MUCH_BETTER < pl.col("value")).fill_null(False)
    odd = odd.with_columns(sure=sure)
    certain = odd.filter("sure").group_by("metric", pl.col("task")).agg(*_perplexities())
    doubtful = (
        odd.filter(~pl.col("sure"))
        .group_by("metric")
        .agg(
            pl.when(pl.col("task").n_unique() == 1).then(pl.col("task").first()).alias("task"),
            *_perplexities(),
        )
    )
    return pl.concat(
        [
            _perplexity_findings(certain, "error", "although a model of no more compute has {}"),
            _perplexity_findings(doubtful, "warning", "untrained, or a wrong prompt or tokenizer"),
        ]
    )


def _perplexities() -> tuple[pl.Expr, ...]:
    return (
        pl.len().cast(pl.Int64).alias("count"),
        pl.col("value").max(),
        pl.col("least").min(),
        names("model").alias("models"),
    )


def _perplexity_findings(found: pl.DataFrame, severity: str, reason: str) -> pl.DataFrame:
    messages = [
        f"perplexities up to {value:.2g}, worse than guessing any token of a vocabulary, "
        f"{reason.format(f'{least:.3g}' if least else '')}: {models}"
        for value, least, models in found.select("value", "least", "models").iter_rows()
    ]
    return found.select(
        pl.lit(severity).alias("severity"),
        "task",
        "metric",
        "count",
        pl.Series("message", messages, dtype=pl.String),
    )


@screen_for(
    "Is the answer inside a longer reply that exact match cannot see?",
    "ZeroEval: a strict parse of the reply turns 25 % into 1.5 %",
    false_alarm=(
        "0 of 80 simulated families; a target that stands in any reply by luck, hence the "
        "exceptions"
    ),
)
def unextracted_answers(evidence: Evidence) -> pl.DataFrame:
    """Tasks at exactly 0 under exact match whose replies hold the target all the same.

    Not certain where targets are single letters, which stand in any reply by luck, or where
    there are few items.
    """
    hidden = _hidden(evidence.estimates)
    first = pl.col("targets").list.first().str.len_chars()
    lengths = (
        evidence.responses.filter(pl.col("task").is_in(hidden["task"].to_list()))
        .group_by("task")
        .agg(first.median().alias("length"))
        .collect(engine="streaming")
    )
    rows = hidden.join(lengths, on="task", how="left").with_columns(
        pl.col("length").fill_null(LEAST_LETTERS)
    )
    sure = (pl.col("length") >= LEAST_LETTERS) & (pl.col("items") >= FEW_ITEMS)
    return rows.select(
        pl.when(sure).then(pl.lit("error")).otherwise(pl.lit("warning")).alias("severity"),
        "task",
        pl.lit("exact_match").alias("metric"),
        pl.lit(1, pl.Int64).alias("count"),
        pl.format(
            "exact match is 0 for every model, although up to {} % of the replies contain the "
            "target: {}; extract them (--extract NAME), map the column with the extracted answer "
            "(--columns output=NAME) or judge by --metric contains",
            (100 * pl.col("contains")).round(1),
            pl.when(sure)
            .then(pl.lit("the answers were not extracted from the replies"))
            .otherwise(
                pl.lit(
                    "where this is no luck of few items or short targets, the answers were not "
                    "extracted from the replies"
                )
            ),
        ).alias("message"),
    )


def _hidden(estimates: pl.DataFrame) -> pl.DataFrame:
    """Tasks with exact match at 0 for all models although replies contain the target."""
    wanted = estimates.filter(pl.col("metric").is_in(["exact_match", "contains"]))
    best = wanted.group_by("task").agg(
        pl.col("items").max(),
        *(
            pl.col("value").filter(pl.col("metric") == name).max().alias(name)
            for name in ("exact_match", "contains")
        ),
    )
    return best.filter(pl.col("exact_match") == 0, pl.col("contains") > CLEARLY_ABOVE)
