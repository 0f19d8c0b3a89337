"""What the vision figures share: their families' estimates, verdicts per run, and checks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from saltus import store
from saltus.experiments.experiment import Check, Context
from saltus.experiments.judged import estimates_of, per_seed
from saltus.report.plots import Axis
from saltus.tables import Models, Reported, Responses, frequencies

PARAMS = Axis("params", "parameters", log=True)
METRIC_ARTEFACT = "METRIC_ARTEFACT"
FLOOR = 0.05  # what counts as near the floor, as in step 1 of the procedure


def estimated(folder: Path, metrics: list[str] | None = None) -> pl.DataFrame:
    """Table `Estimates` of the last checkpoint of every run of a trained family."""
    models = store.load(folder, Models).filter(pl.col("step").is_null())
    there = pl.col("model").is_in(models["model"].implode())
    responses = store.load(folder, Responses).filter(there)
    return estimates_of(models, responses, metrics, store.load(folder, Reported).filter(there))


def inputs_of(folder: Path) -> list[Path]:
    """The tables of a trained family, for the manifest."""
    names = (f"{table.name}.parquet" for table in (Models, Responses, Reported))
    return [folder / name for name in names if (folder / name).is_file()]


def noted(folder: Path) -> str:
    """The pictures that a family learnt from, as its manifest tells."""
    return "; ".join(store.load_manifest(folder).get("notes", [])) or "source not recorded"


def judged(
    context: Context, estimates: pl.DataFrame, metrics: list[str], partner: str
) -> pl.DataFrame:
    """Verdicts under each metric, of every seed alone and of all merged (seed null)."""
    parts = []
    for metric in metrics:
        rows = estimates.filter(pl.col("metric").is_in([metric, partner]))
        parts.append(per_seed(rows, context.rng(f"verdict/{metric}/{partner}"), metric=metric))
    return pl.concat(parts)


def means(rows: pl.DataFrame, *keys: str) -> pl.DataFrame:
    """Mean value of the seeds at every size, by keys."""
    grouped = rows.group_by(*keys, "params").agg(pl.col("value").mean())
    return grouped.sort(*keys, "params")


def largest_step(values: pl.DataFrame) -> float:
    """Largest rise between neighbouring sizes as a share of the whole rise."""
    curve = values.sort("params")["value"].to_numpy()
    whole = float(curve.max() - curve[0])
    return float(np.diff(curve).max()) / whole if whole > 0 else float("nan")


def monotone(rows: pl.DataFrame, name: str, rises: bool) -> Check:
    """Whether the mean of the runs moves one way with every size, beyond twice its noise."""
    spread = pl.col("value").var() / pl.len()
    points = rows.group_by("params").agg(pl.col("value").mean(), v=spread).sort("params")
    sign = 1.0 if rises else -1.0
    steps = sign * np.diff(points["value"].to_numpy())
    noise = points["v"].fill_null(0.0).to_numpy()
    room = 2.0 * np.sqrt(noise[1:] + noise[:-1])
    word = "rises" if rises else "falls"
    back = int(np.count_nonzero(steps < -room))
    values = points["value"]
    return Check(f"{name} {word} with size, within twice the noise of the runs", back == 0,
                 f"from {values[0]:.3g} to {values[-1]:.3g} over {points.height} sizes, "
                 f"{back} of {steps.size} steps against it")  # fmt: skip


def floor_sizes(values: pl.DataFrame) -> int:
    """Leading sizes whose mean is at most 0.05."""
    high = values.sort("params")["value"].to_numpy() > FLOOR
    return int(np.argmax(high)) if high.any() else int(high.size)


def expected_verdicts(verdicts: pl.DataFrame, what: str) -> Check:
    """Whether every run and their mean are called METRIC_ARTEFACT, as the paper says."""
    found = verdicts["verdict"].to_list()
    told = ", ".join(f"{name} {count}" for name, count in frequencies(verdicts["verdict"]))
    holds = found.count(METRIC_ARTEFACT) == len(found)
    return Check(f"{what}: the verdict is METRIC_ARTEFACT for every run and for their mean",
                 holds, told)  # fmt: skip


def reasons(verdicts: pl.DataFrame) -> str:
    """Why runs got another verdict, in the words of the table."""
    others = verdicts.filter(pl.col("verdict") != METRIC_ARTEFACT)
    if others.is_empty():
        return ""
    words = (
        others.group_by("verdict", "reason").len().sort("len", "verdict", "reason", descending=True)
    )
    parts = [f"{v}{f' ({r})' if r else ''} {n}" for v, r, n in words.iter_rows()]
    return f"Other verdicts: {', '.join(parts)}."
