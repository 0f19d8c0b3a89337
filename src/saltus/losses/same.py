"""Same loss, same performance? Effects of size, and of family, at equal loss, task by task.

"Same" is an equivalence claim: the 90 % interval of the effect lies within a margin. That no
difference was found is not yet sameness.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import polars as pl

from saltus.curves.nested import Effect, LeftOut, effect, leave_one_size_out
from saltus.estimates.multiplicity import benjamini_hochberg
from saltus.losses.rows import Group
from saltus.tables import SameLoss, conform, schema
from saltus.verdicts.assemble import SAME_WITHIN, metric_range

ACROSS = (
    "across families a loss per token is comparable only under one tokenizer, and corpora differ: "
    "read the family effect as a warning"
)


def same_loss(
    within: Sequence[Group],
    across: Sequence[Group],
    rng: np.random.Generator,
    *,
    margin: float = SAME_WITHIN,
    draws: int = 999,
) -> pl.DataFrame:
    """One row per group: does size, or the family, matter at equal loss?

    Args:
        within: groups of one family each, tested for size.
        across: groups of several families, tested for family.
        rng: its next words are the seed; each group draws from its own generator.
        margin: share of the metric's range within which an effect is no difference.
        draws: permutations of runs.

    Returns:
        Table `SameLoss`, p-values corrected among the tests of one effect.
    """
    seed = rng.integers(2**32, size=4).tolist()
    rows = [_size_row(group, _generator(group, seed), margin, draws) for group in within]
    rows += [_family_row(group, _generator(group, seed), draws) for group in across]
    table = pl.DataFrame(rows, schema=schema(SameLoss))
    parts = [_corrected(part) for part in table.partition_by("effect", maintain_order=True)]
    return conform(pl.concat(parts) if parts else table, SameLoss)


def _generator(group: Group, seed: list[int]) -> np.random.Generator:
    key = repr((group.family, group.regime, group.task, group.metric, group.loss_name))
    return np.random.default_rng([*seed, zlib.crc32(key.encode())])


def _corrected(part: pl.DataFrame) -> pl.DataFrame:
    p = part["p_runs"].fill_null(part["p"]).cast(pl.Float64).fill_null(np.nan).to_numpy()
    return part.with_columns(pl.Series("bh", benjamini_hochberg(p)).fill_nan(None))


def _size_row(
    group: Group, rng: np.random.Generator, margin: float, draws: int
) -> dict[str, object]:
    sized = group._replace(rows=group.rows.filter(pl.col("params") > 0))
    loss, size = sized.column("loss"), np.log10(sized.column("params"))
    y = sized.column("value")
    found = effect(loss, size, y, sized.runs, rng, draws)
    width = margin * metric_range(group.metric, y)
    left = leave_one_size_out(loss, size, y) if found.p is not None else None
    return _row(group, "size", found, width, left) | {"sizes": len(np.unique(size))}


def _family_row(group: Group, rng: np.random.Generator, draws: int) -> dict[str, object]:
    names = group.rows["family"].unique().sort().to_list()
    columns = np.stack(
        [(group.rows["family"] == name).cast(pl.Float64).to_numpy() for name in names[1:]], axis=1
    )
    y = group.column("value")
    found = effect(group.column("loss"), columns, y, group.runs, rng, draws)
    width = SAME_WITHIN * metric_range(group.metric, y)
    return _row(group, "family", found, width, None) | {"note": ACROSS}


def _row(
    group: Group, name: str, found: Effect, width: float, left: LeftOut | None
) -> dict[str, object]:
    known = found.low is not None and found.high is not None
    return {
        "effect": name,
        "family": group.family,
        "regime": group.regime,
        "task": group.task,
        "metric": group.metric,
        "loss_name": group.loss_name,
        "unit": group.unit,
        "points": found.points,
        "runs": found.runs,
        "slope": found.slope,
        "slope_low": found.low,
        "slope_high": found.high,
        "margin": width,
        "same": found.within(width) if known else None,
        "p": found.p,
        "p_runs": found.p_runs,
        "p_shape": found.p_shape,
        "residual": found.residual,
        "rmse_left_out": left.rmse if left else None,
        "points_left_out": left.points if left else None,
        "worst_size": left.worst if left else None,
        "status": found.status,
    }
