"""Fig. 5 on published results: `python examples/survey_data.py OUT DATA > docs/survey_tables.md`.

OUT holds the audit folders that `examples/real_data.py` made, DATA the published results.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl

from saltus.verdicts.survey import annotate, survey

COLLECTIONS = ("pythia", "obscaling", "olmo_ladder", "open_lm_scaling", "bloom", "llama", "mamba2")
BIAS = ("likelihood_difference", "pct_stereotype")  # of stereotypes, not abilities


def markdown(frame: pl.DataFrame) -> str:
    head = f"| {' | '.join(frame.columns)} |\n|{'---|' * frame.width}\n"
    return head + "".join(f"| {' | '.join(map(cell, row))} |\n" for row in frame.rows())


def cell(value: object) -> str:
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def pooled(out: Path) -> pl.DataFrame:
    parts = [pl.read_parquet(out / name / "estimates.parquet") for name in COLLECTIONS]
    named = [
        part.with_columns(family=pl.format("{} ({})", "family", pl.lit(name)))
        for part, name in zip(parts, COLLECTIONS, strict=True)
    ]
    return pl.concat(named, how="vertical_relaxed").filter(~pl.col("metric").is_in(BIAS))


def main(out: Path, data: Path) -> None:
    found = survey(pooled(out), np.random.default_rng(0), draws=9999)
    wei = pl.read_csv(data / "wei_emergent" / "bigbench_scaling_annotation.csv")
    triplets = annotate(found.triplets, wei, "annotation")
    scored, infinite = triplets["score"].count(), triplets["degenerate"].sum()
    print(f"{triplets.height} triplets, {scored} with a score, {infinite} of these infinite\n")
    print(markdown(found.metrics.filter(pl.col("emergent") > 0)))
    print(markdown(found.tests))
    known = triplets.filter(pl.col("annotation").is_not_null())
    by = known.group_by("annotation").agg(
        pl.len().alias("triplets"),
        pl.col("score").filter(~pl.col("degenerate")).median().alias("median score"),
        (pl.col("score") > 5).mean().alias("share above 5"),
        (pl.col("bh") <= 0.05).sum().alias("bh <= .05"),
    )
    print(markdown(by.sort("annotation")))
    strong = triplets.filter(~pl.col("degenerate"), pl.col("bh") <= 0.05)
    top = strong.sort("score", descending=True)
    columns = ("family", "task", "metric", "scales", "score", "linearity", "p", "bh", "by")
    print(markdown(top.select(columns).head(20)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
