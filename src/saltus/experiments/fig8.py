"""Fig. 8: a causal transformer labels Omniglot, per-image accuracy and all of L right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from saltus import store
from saltus.experiments.experiment import PAPER, Check, Context, Outcome, experiment
from saltus.experiments.judged import counted, verdict_sheet
from saltus.experiments.pictured import (
    PARAMS,
    estimated,
    expected_verdicts,
    floor_sizes,
    inputs_of,
    judged,
    largest_step,
    means,
    monotone,
    noted,
    reasons,
)
from saltus.report.plates import Figure, Sheet
from saltus.report.plots import Axis, Json, Style, panel
from saltus.tables import Models, Responses

FAMILY = "image_sequence"
HARD, SOFT = "exact_match", "target_log_loss"
LONGEST = 5
DRAWS = 2000


@experiment(
    title="Fig. 8: a causal transformer on Omniglot",
    claim="A transformer that labels sequences of pictures labels a picture rightly more often "
    "the larger it is; when accuracy is redefined as all L pictures of a sequence right, the "
    "ability seems to emerge.",
    expected="Per-image accuracy rises with every size; all of 5 stays at the floor for the "
    "smaller ones; all of L is close to the L-th power of per-image accuracy, since errors in a "
    "sequence are nearly independent; the cross-entropy falls where all of 5 sees nothing: "
    "METRIC_ARTEFACT.",
    source=f"{PAPER}, Sec. 5, Fig. 8; after Chan et al. (2022), arXiv 2205.05055",
    errors=(11,),
    families=(FAMILY,),
)
def fig8(context: Context) -> Outcome:
    """All of L for the first L pictures of every test sequence."""
    folder = context.trained(FAMILY)
    estimates = estimated(folder, [HARD, SOFT]).with_columns(
        L=pl.col("task").str.extract(r"_(\d+)$").cast(pl.Int64)
    )
    rows = estimates.select("params", "seed", "metric", "L", "value")
    powers = _powers(context, folder)
    verdicts = judged(context, estimates.drop("L"), [HARD], SOFT)
    five = verdicts.filter(pl.col("task").str.ends_with(f"_{LONGEST}"))
    return Outcome(
        figures=[
            Figure("fig8", _caption(estimates, noted(folder)), _panels(rows, powers), columns=2)
        ],
        sheets=[
            Sheet("values", "Mean over the seeds, by sequence length", _wide(rows, powers)),
            Sheet("powers", "All of 5 against the 5th power of per-image accuracy, with 95 % "
                  "intervals over the test sequences", powers),
            verdict_sheet(verdicts, "Verdicts per L: every seed alone, and all together (no seed)"),
        ],
        shown=[*_shown(rows, powers), *filter(None, [reasons(five)])],
        checks=[*_checks(rows, powers), expected_verdicts(five, "all of 5")],
        verdict=counted(five, "of all-5-correct"),
        inputs=inputs_of(folder),
    )  # fmt: skip


def _hits(folder: Path) -> pl.DataFrame:
    """Per final model: params, seed, and (sequences, 5) whether each label is right."""
    models = store.load(folder, Models).filter(pl.col("step").is_null())
    whole = store.load(folder, Responses).filter(pl.col("task").str.ends_with(f"_{LONGEST}"))
    said, wanted = (pl.col(name).str.split(" ") for name in ("output", "target"))
    hits = whole.with_columns(target=pl.col("targets").list.first()).select(
        "model", "item", hits=pl.concat_list(
            (said.list.get(at) == wanted.list.get(at)).cast(pl.Float64) for at in range(LONGEST)
        ),
    )  # fmt: skip
    return hits.join(models.select("model", "params", "seed"), on="model").sort("params", "seed")


def _powers(context: Context, folder: Path) -> pl.DataFrame:
    """Per-image accuracy, all of 5, and their ratio to independence, by size; all seeds."""
    rows, rng = _hits(folder), context.rng("powers")
    parts = []
    for (params,), group in rows.partition_by("params", as_dict=True, maintain_order=True).items():
        runs = group.partition_by("seed", maintain_order=True)
        hits = np.stack([np.array(run.sort("item")["hits"].to_list()) for run in runs])
        # sequences are the draws; the runs share them
        chosen = rng.integers(0, hits.shape[1], (DRAWS, hits.shape[1]))
        drawn = np.array([_gap(hits[:, rows]) for rows in chosen])
        low, high = np.quantile(drawn, (0.025, 0.975))
        each, whole = hits.mean(axis=(1, 2)), hits.all(axis=2).mean(axis=1)
        parts.append({
            "params": params, "per_image": each.mean(), "all_of_5": whole.mean(),
            "fifth_power": (each**LONGEST).mean(), "difference": _gap(hits), "low": low,
            "high": high,
        })  # fmt: skip
    return pl.DataFrame(parts)


def _gap(hits: NDArray[np.float64]) -> float:
    """All of 5 less the 5th power of per-image accuracy, mean over the runs."""
    whole = hits.all(axis=2).mean(axis=1)
    return float((whole - hits.mean(axis=(1, 2)) ** LONGEST).mean())


def _panels(rows: pl.DataFrame, powers: pl.DataFrame) -> list[Json]:
    by_length = Style(group="L", title="L", ordered=True, run="seed")
    share = Axis("value", "all L right", domain=(0.0, 1.0))
    hard = rows.filter(pl.col("metric") == HARD).sort("L", "seed", "params")
    soft = rows.filter(pl.col("metric") == SOFT, pl.col("L") == LONGEST)
    long = powers.unpivot(["all_of_5", "fifth_power"], index="params", variable_name="curve",
                          value_name="value")  # fmt: skip
    words = {"all_of_5": "all of 5", "fifth_power": "(per image)^5"}
    return [
        panel(powers, PARAMS, Axis("per_image", "accuracy", domain=(0.0, 1.0)),
              "B  Per-image accuracy"),
        panel(hard, PARAMS, share, "C  All L right", by_length),
        panel(soft, PARAMS, Axis("value", "nats per image", reverse=True), "Cross-entropy",
              Style(run="seed")),
        panel(long.with_columns(pl.col("curve").replace(words)), PARAMS,
              Axis("value", "share of sequences"), "All of 5 and independence",
              Style(group="curve")),
    ]  # fmt: skip


def _caption(estimates: pl.DataFrame, source: str) -> str:
    seeds, sizes = estimates["seed"].n_unique(), estimates["params"].n_unique()
    items = int(estimates.filter(metric=HARD)["items"].to_numpy().min())
    return (
        f"Causal transformers with {sizes} widths and {seeds} seeds (thin; bold: their mean), "
        f"{items} test sequences of 5 pictures, no picture twice. {source}. Panel letters as in "
        "the paper; its A shows another paper's curve. Sizes, steps and rates are ours."
    )


def _wide(rows: pl.DataFrame, powers: pl.DataFrame) -> pl.DataFrame:
    named = rows.with_columns(name=pl.format("{}_{}", "metric", "L"))
    wide = means(named, "name").pivot("name", index="params", values="value")
    return powers.select("params", "per_image").join(wide, on="params").sort("params")


def _curve(rows: pl.DataFrame, length: int) -> pl.DataFrame:
    return means(rows.filter(pl.col("metric") == HARD, pl.col("L") == length))


def _shown(rows: pl.DataFrame, powers: pl.DataFrame) -> list[str]:
    five = _curve(rows, LONGEST)
    floor = floor_sizes(five)
    ends = powers["per_image"]
    off = powers.filter((pl.col("low") > 0) | (pl.col("high") < 0)).height
    largest = powers.row(-1, named=True)
    return [
        f"Per-image accuracy goes from {ends[0]:.3f} to {ends[-1]:.2f}; all of 5 from "
        f"{five['value'][0]:.3f} to {five['value'][-1]:.2f}.",
        f"All of 5 is at most 0.05 for the {floor} smallest of {five.height} sizes, while "
        f"per-image accuracy reaches {ends[max(floor - 1, 0)]:.2f} there; the largest step holds "
        f"{largest_step(five):.0%} of its rise.",
        f"At the largest size all of 5 is {largest['all_of_5']:.3f} and the 5th power of "
        f"per-image accuracy {largest['fifth_power']:.3f} (difference {largest['difference']:+.3f},"
        f" 95 % from {largest['low']:+.3f} to {largest['high']:+.3f}); the interval excludes 0 at "
        f"{off} of {powers.height} sizes.",
    ]


def _checks(rows: pl.DataFrame, powers: pl.DataFrame) -> list[Check]:
    floors = {length: floor_sizes(_curve(rows, length)) for length in (1, LONGEST)}
    apart = float(np.abs(powers["difference"].to_numpy()).max())
    loss = rows.filter(pl.col("metric") == SOFT, pl.col("L") == LONGEST)
    first = rows.filter(pl.col("metric") == HARD, pl.col("L") == 1)
    return [
        monotone(first, "accuracy of the first picture", rises=True),
        monotone(loss, "the cross-entropy", rises=False),
        Check("all of 5 stays at the floor (0.05) for two sizes more than the first picture",
              floors[LONGEST] >= floors[1] + 2,
              f"leading sizes at most 0.05: {floors[1]} (L = 1), {floors[LONGEST]} (L = 5)"),
        Check("all of 5 is within 0.05 of the 5th power of per-image accuracy at every size",
              apart <= 0.05, f"largest difference {apart:.3f}"),
    ]  # fmt: skip
