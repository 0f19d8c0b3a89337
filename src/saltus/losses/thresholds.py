"""Where every task's performance bends along the loss, what kind of bend, and who gets there."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import polars as pl

from saltus.curves.curve import FloatArray
from saltus.losses.bend import BROKEN, NEAR_GUESSING, Bend, find_bend
from saltus.losses.reach import Reach, drawn_thresholds, reach
from saltus.losses.rows import Group
from saltus.metrics.metric import find
from saltus.tables import LossThresholds, conform, schema
from saltus.verdicts.links import ends

SMOOTH = ("line", "quadratic", "sigmoid_of_loss", "exponential_of_loss")
CLEAR = 6.0  # BIC difference called strong (Kass and Raftery 1995, JASA 90, table)
CLEARLY = 2.0  # standard deviations about the hinge that make a rise or a fall clear
BENDS = ("at guessing, then rising", "flat, then rising", "faster below")
SHAPES = (
    *BENDS, "falling, then rising", "slower below", "no clear rise", "no bend",
    "worse with less loss", "flat", "not known",
)  # fmt: skip


def loss_thresholds(found: Sequence[Group], rng: np.random.Generator) -> pl.DataFrame:
    """One row per group.

    Args:
        found: groups of one family each.
        rng: its next words are the seed; each group draws from its own generator.

    Returns:
        Table `LossThresholds`.
    """
    seed = rng.integers(2**32, size=4).tolist()
    rows = []
    for group in found:
        key = repr((group.family, group.regime, group.task, group.metric, group.loss_name))
        rows.append(_row(group, np.random.default_rng([*seed, zlib.crc32(key.encode())])))
    return conform(pl.DataFrame(rows, schema=schema(LossThresholds)), LossThresholds)


def _row(group: Group, rng: np.random.Generator) -> dict[str, object]:
    loss, runs = group.column("loss"), group.runs
    turned = sign(group.metric)
    y, chance = turned * group.column("value"), turned * group.chance
    bend = None if np.ptp(y) == 0.0 else find_bend(loss, y, runs, chance)
    row: dict[str, object] = {
        "family": group.family,
        "regime": group.regime,
        "task": group.task,
        "metric": group.metric,
        "loss_name": group.loss_name,
        "unit": group.unit,
        "points": y.size,
        "runs": int(runs.max()) + 1,
        "chance": group.chance if np.isfinite(group.chance) else None,
        "shape": "flat" if np.ptp(y) == 0.0 else "not known",
        "status": _why_not(loss, y),
    }
    if bend is None:
        return row
    shape = describe(bend, y, chance, _best(group.metric, turned))
    row |= {
        "shape": shape,
        "status": "found",
        "level": turned * bend.at.level,
        "threshold": bend.at.place,
        "threshold_low": _known(bend.at.low),
        "threshold_high": _known(bend.at.high),
        "rise": bend.at.change,
        "inflation": bend.at.inflation,
        "best_smooth": bend.best(SMOOTH),
        "best_broken": bend.best(BROKEN),
        "bic_gap": gap(bend),
    }
    return row | (_reaches(group, bend, y, rng) if shape in BENDS else {})


def sign(metric: str) -> float:
    """1 where more is better, -1 where less is."""
    facts = find(metric)
    return -1.0 if facts is not None and facts.better == "lower" else 1.0


def _best(metric: str, turned: float) -> float:
    facts = find(metric)
    return turned * ends(facts)[0] if facts is not None else float("nan")


def _why_not(loss: FloatArray, y: FloatArray) -> str:
    if np.ptp(y) == 0.0:
        return "the score does not vary"
    return f"{np.unique(loss).size} distinct losses; 8 are needed"


def gap(bend: Bend) -> float | None:
    """BIC of the best smooth law less that of the best broken one; above 0 favours a bend."""
    smooth, broken = bend.best(SMOOTH), bend.best(BROKEN)
    return None if smooth is None or broken is None else bend.bic[smooth] - bend.bic[broken]


def describe(bend: Bend, y: FloatArray, chance: float, best: float) -> str:
    """What the curve does, in words.

    Args:
        bend: the bend.
        y: (points,) metric, higher is better.
        chance: level under guessing, turned alike; NaN where not known.
        best: best value, turned alike; NaN where not known.
    """
    favoured, at = gap(bend), bend.at
    if at.before <= 0.0 and at.before + at.change <= 0.0:
        return "worse with less loss"
    if favoured is None or favoured < CLEAR:
        return "no bend"
    if at.change <= 0.0:
        return "slower below"
    if at.start - at.level > CLEARLY * at.noise:
        return "falling, then rising"
    known = bool(np.isfinite(chance))
    width = best - chance if np.isfinite(best) and known else float(np.ptp(y))
    floor = chance if known else at.start
    if at.level > floor + NEAR_GUESSING * width:
        return "faster below"
    if at.end <= floor + CLEARLY * at.noise:
        return "no clear rise"
    return "at guessing, then rising" if known else "flat, then rising"


def _reaches(
    group: Group, bend: Bend, y: FloatArray, rng: np.random.Generator
) -> dict[str, object]:
    """Params and FLOPs at which the family's final checkpoints reach the threshold."""
    etas, times = drawn_thresholds(group.column("loss"), y, group.runs, rng)
    last = group.rows.with_columns(number=pl.Series(group.runs))
    step = pl.col("step").fill_null(np.iinfo(np.int64).max)
    last = last.filter(step == step.max().over("run")).unique("run", maintain_order=True)
    made: dict[str, object] = {}
    for axis in ("params", "flops"):
        models = last.filter(pl.col(axis) > 0)
        if axis == "params":  # of models that differ in tokens at one size, the longest-trained
            tokens = pl.col("tokens")
            models = models.filter(tokens.is_null() | (tokens == tokens.max().over("params")))
        weights = times[:, models["number"].to_numpy().astype(int)]
        scale = models[axis].cast(pl.Float64).to_numpy()
        got = reach(scale, models["loss"].to_numpy(), bend.at.place, etas, weights)
        made |= _scales(axis, got)
    return made


def _scales(axis: str, got: Reach) -> dict[str, object]:
    return {
        axis: _known(got.scale),
        f"{axis}_low": _known(got.low),
        f"{axis}_high": _known(got.high),
    }


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
