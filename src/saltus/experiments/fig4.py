"""Fig. 4: the same models with few test items and with many, on a logarithmic accuracy axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from scipy.stats import binom

from saltus.estimates.intervals import clopper_pearson
from saltus.estimates.multiplicity import holm
from saltus.estimates.resolution import zero_success_bound
from saltus.experiments.answers import CHARACTERS, Answers, answers_of, cut, finals, inputs_of
from saltus.experiments.experiment import PAPER, Check, Context, Outcome, experiment
from saltus.experiments.fig3 import FAMILIES, PARAMS
from saltus.metrics.metric import METRICS
from saltus.report.plates import Figure, Sheet
from saltus.report.plots import Axis, Json, Rule, Style, panel
from saltus.report.text import listing, number, several
from saltus.worlds.paper import token_loss
from saltus.worlds.tokens import draw_tokens

FEW = 20  # items of the small test set
DIGITS = 10  # a uniform guess at one character of a number
LENGTH = 5  # of the mathematical model
LEVEL = 0.05
ACCURACY = Axis("accuracy", "accuracy", log=True)
DOTS = Style(line=False, low="low", high="high")
BOLD = Style(points=False)


@experiment(
    title="Fig. 4: more test items",
    claim="The smaller models' accuracy is not zero but below the resolution of a small test set, "
    "which is 1/n; with more items every model is above chance and improves smoothly.",
    expected="With few items small models read exactly 0 and cannot be placed on a logarithmic "
    "axis; with many items every model lies above chance (Holm).",
    source=f"{PAPER}, Sec. 3, prediction 2, and App. A",
    errors=(5, 6, 7),
    families=FAMILIES,
)
def fig4(context: Context) -> Outcome:
    """Families trained by Saltus, those of the user, and the mathematical model."""
    folders = [context.trained(name) for name in FAMILIES] + list(context.responses)
    families = [answers for folder in folders for answers in answers_of(folder)]
    rights = [("mathematical model", *_model(context)), *(_rights(one) for one in families)]
    table = pl.concat([_table(context, *right) for right in rights])
    names = [right[0] for right in rights]
    return Outcome(
        figures=[Figure("fig4", CAPTION, _panels(table, names), columns=2)],
        sheets=[Sheet("values", "Accuracy of every run with few and with all items", table)],
        shown=[_sentence(table.filter(family=name)) for name in names],
        checks=[_check(table.filter(family=name)) for name in names],
        verdict=_verdict(table, names),
        inputs=inputs_of(folders),
    )


CAPTION = (
    f"Left {FEW} items drawn at random, right all of them, with exact 95 % intervals; every run is "
    "a point, the line all runs of a size together. A triangle is the upper limit of a run without "
    "any success: it has no place on a logarithmic axis. Dashed: 1/n, the smallest accuracy that "
    "can be seen, and a uniform guess at every character, where that is known."
)

Right = tuple[pl.DataFrame, np.ndarray[tuple[int, int], np.dtype[np.bool_]], float | None]


def _rights(answers: Answers) -> tuple[str, *Right]:
    """Name, final models, (models, items) whether each answer is right, and the chance level."""
    last = finals(answers)
    rows = cut(last, last.lengths[-1]) if last.prefix else last.responses
    exact = METRICS["exact_match"].compute(rows["output"].to_list(), rows["targets"].to_list())
    marked = rows.select("model", "item", right=pl.Series(exact.value) == 1.0)
    wide = marked.pivot("item", index="model", values="right")
    models = last.models.select("model", "params", "seed").join(wide.select("model"), on="model")
    ordered = models.select("model").join(wide, on="model", maintain_order="left").drop("model")
    whole = ordered.select(name for name in ordered.columns if not ordered[name].null_count())
    numbers = last.unit == CHARACTERS and last.prefix
    chance = DIGITS ** -float(last.lengths[-1]) if numbers else None
    return last.name, models, whole.to_numpy().astype(bool), chance


def _model(context: Context) -> Right:
    """Answers drawn from the paper's model at ten sizes."""
    params = np.logspace(7, 11.5, 10)
    latent = np.log(token_loss(params, 1e8, -0.3))
    items = context.pick(20_000, 100_000)
    draw = draw_tokens(context.rng("model"), latent, LENGTH, items, 0.0, item_sd=0.0)
    models = pl.DataFrame({"model": [f"{p:.3g}" for p in params], "params": params})
    return models.with_columns(seed=pl.lit(0, pl.Int64)), draw.errors == 0, None


def _table(
    context: Context, name: str, models: pl.DataFrame,
    right: np.ndarray[tuple[int, int], np.dtype[np.bool_]], chance: float | None,
) -> pl.DataFrame:  # fmt: skip
    """One row per run and test set."""
    few = context.rng(name).permutation(right.shape[1])[:FEW]
    parts = []
    for chosen in (right[:, few], right):
        n, k = chosen.shape[1], chosen.sum(axis=1)
        ends = clopper_pearson(k, n)
        none = np.clip((1 - right.mean(axis=1)) ** FEW, 0, 1)
        p = holm(binom.sf(k - 1, n, chance or 0.0))
        parts.append(models.with_columns(
            pl.lit(name).alias("family"), pl.lit(n, pl.Int64).alias("items"),
            pl.Series("successes", k, pl.Int64), pl.Series("accuracy", k / n),
            pl.Series("low", np.asarray(ends.low)), pl.Series("high", np.asarray(ends.high)),
            pl.lit(zero_success_bound(n)).alias("limit"),
            pl.lit(chance, pl.Float64).alias("chance"), pl.Series("p_holm", p),
            pl.Series("p_zero_with_few", none),
        ))  # fmt: skip
    return pl.concat(parts)


def _panels(table: pl.DataFrame, names: Sequence[str]) -> list[Json]:
    lowest = [*table["chance"].drop_nulls(), *table.filter(successes=1)["accuracy"], 1e-3]
    y = ACCURACY._replace(domain=(min(lowest) / 2, 1.0))
    return [
        _panel(rows, name, y)
        for name in names
        for rows in table.filter(family=name).partition_by("items", maintain_order=True)
    ]


def _panel(rows: pl.DataFrame, name: str, y: Axis) -> Json:
    n, chance, sizes = rows["items"][0], rows["chance"][0], rows["params"].to_list()
    x = PARAMS._replace(domain=(min(sizes) / 1.4, max(sizes) * 1.4))
    floor = y.domain[0] if y.domain else 0.0
    seen = rows.filter(pl.col("successes") > 0).with_columns(low=pl.col("low").clip(floor))
    zero = rows.filter(successes=0).with_columns(accuracy=pl.col("limit"))
    rules = [Rule(1 / n, f"1/n = 1/{n:,}"), *([Rule(chance, "uniform guess")] if chance else [])]
    over = [(zero, Style(line=False, marker="triangle-down")), (_pooled(rows), BOLD)]
    return panel(seen, x, y, f"{name}: {n:,} items", DOTS, rules, over)


def _pooled(rows: pl.DataFrame) -> pl.DataFrame:
    """All runs of a size together, those without success included."""
    sums = rows.group_by("params").agg(pl.col("successes", "items").sum(), pl.col("chance").first())
    return sums.with_columns(accuracy=pl.col("successes") / pl.col("items")).sort("params")


def _sentence(rows: pl.DataFrame) -> str:
    few, many = (rows.filter(items=n) for n in rows["items"].unique().sort())
    runs = many.height
    zeros = [part.filter(successes=0).height for part in (few, many)]
    small = many.filter(pl.col("params") == pl.col("params").min())
    none = float(small["p_zero_with_few"].to_numpy().mean())
    return (
        f"{rows['family'][0]}: with {FEW} items {zeros[0]} of {several(runs, 'run')} have no "
        f"success, with {many['items'][0]:,} items {zeros[1]}; the chance that {FEW} items show "
        f"none at the smallest size is {none:.2f}."
    )


def _above(rows: pl.DataFrame) -> tuple[int, int]:
    """Sizes above chance with all items, runs pooled, and sizes (Holm)."""
    pooled = _pooled(rows.filter(pl.col("items") == pl.col("items").max()))
    p = binom.sf(pooled["successes"] - 1, pooled["items"], pooled["chance"].fill_null(0.0))
    return int((holm(p) < LEVEL).sum()), pooled.height


def _check(rows: pl.DataFrame) -> Check:
    above, sizes = _above(rows)
    chance = rows["chance"][0]
    many = rows.filter(pl.col("items") == pl.col("items").max())
    alone = many.filter(pl.col("p_holm") < LEVEL).height
    level = "no success at all" if chance is None else f"a uniform guess, {number(chance)}"
    return Check(
        f"{rows['family'][0]}: with all items every size is above chance (Holm, p < {LEVEL})",
        above == sizes,
        f"{above} of {sizes}; of single runs {alone} of {many.height}; chance is {level}",
    )


def _verdict(table: pl.DataFrame, names: Sequence[str]) -> str:
    parts = []
    for name in names:
        above, sizes = _above(table.filter(family=name))
        parts.append(f"{name} {above} of {sizes}")
    return f"Sizes above chance with all items: {listing(parts)}."
