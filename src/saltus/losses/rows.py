"""Checkpoints on the loss axis, one group per family, prompt regime, task and metric.

A loss is comparable only on one text under one tokenizer, so a group never mixes losses of
different names. Checkpoints of one run are kept together by its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import polars as pl

from saltus.curves.curve import FloatArray
from saltus.curves.project import IntArray
from saltus.verdicts.assemble import RUN, continuous_partner, thresholded_metric

CHECKPOINTS = 24  # of one run; denser ones tell nothing new (science.md 4.7)
NATS, BITS_PER_BYTE = "nats per token", "bits per byte"
COLUMNS = (
    "model", "run", "family", "regime", "params", "tokens", "flops", "step", "loss", "task",
    "metric", "value", "variance", "items", "chance", "loss_name",
)  # fmt: skip


class Group(NamedTuple):
    """The checkpoints of one family and regime on one task under one metric.

    Args:
        family: its name; several joined by " + " where families are compared.
        regime: prompt regime.
        task: task.
        metric: metric.
        loss_name: text that the loss was measured on; None where nobody states it.
        unit: unit of the loss.
        rows: columns `COLUMNS`, sorted by run and falling loss.
    """

    family: str
    regime: str | None
    task: str
    metric: str
    loss_name: str | None
    unit: str
    rows: pl.DataFrame

    def column(self, name: str) -> FloatArray:
        """(points,) one numeric column, NaN where not known."""
        return self.rows[name].cast(pl.Float64).fill_null(np.nan).to_numpy()

    @property
    def runs(self) -> IntArray:
        """(points,) number of the run of each point, from 0."""
        return self.rows["run"].rank("dense").cast(pl.Int64).to_numpy() - 1

    @property
    def chance(self) -> float:
        """Level under guessing; NaN where not known."""
        known = self.column("chance")
        known = known[np.isfinite(known)]
        return float(known.mean()) if known.size else float("nan")


def bits_per_byte(nats_per_token: float | FloatArray, bytes_per_token: float) -> float | FloatArray:
    """A loss that does not depend on the tokenizer, on one fixed text.

    Args:
        nats_per_token: cross-entropy per token, natural log.
        bytes_per_token: bytes of the text over its number of tokens.
    """
    return nats_per_token / (float(np.log(2.0)) * bytes_per_token)


def groups(
    estimates: pl.DataFrame,
    models: pl.DataFrame,
    metric: str | None = None,
    bytes_per_token: Mapping[str, float] | None = None,
) -> Iterator[Group]:
    """Every group with a loss, sorted by family, regime, task; the thresholded metric first.

    Args:
        estimates: table `Estimates`.
        models: table `Models`, which names the losses.
        metric: the only metric to look at; None takes for each task the thresholded metric that
            would be judged, and its continuous partner.
        bytes_per_token: by family, or under "" for all: turns nats per token to bits per byte.
    """
    named = estimates.join(models.select("model", "loss_name"), on="model", how="left")
    known = named.filter(
        pl.col("loss").is_finite(), pl.col("value").is_finite(), pl.col("family").is_not_null()
    ).with_columns(run=RUN)
    keys = ("family", "regime", "task", "loss_name")
    parts = known.partition_by(*keys, as_dict=True, maintain_order=True)
    for key, part in sorted(parts.items(), key=lambda pair: tuple(map(str, pair[0]))):
        family, regime, task, loss_name = key
        ratio = (bytes_per_token or {}).get(str(family), (bytes_per_token or {}).get(""))
        for name in _metrics(part, metric):
            rows = _thinned(part.filter(pl.col("metric") == name)).select(COLUMNS)
            if ratio is not None:
                rows = rows.with_columns(pl.col("loss") / (np.log(2.0) * ratio))
            yield Group(
                str(family), _text(regime), str(task), name, _text(loss_name),
                NATS if ratio is None else BITS_PER_BYTE,
                rows.sort("run", "loss", descending=[False, True]),
            )  # fmt: skip


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _metrics(part: pl.DataFrame, wanted: str | None) -> list[str]:
    if wanted is not None:
        return [wanted] if wanted in part["metric"] else []
    hard = thresholded_metric(part)
    found = (hard, continuous_partner(part, hard))
    return [name for name in found if name is not None]


def _thinned(rows: pl.DataFrame) -> pl.DataFrame:
    """At most `CHECKPOINTS` of each run, even in the logarithm of tokens, else of the step."""
    return pl.concat([_thin(run) for run in rows.partition_by("run", maintain_order=True)])


def _thin(run: pl.DataFrame) -> pl.DataFrame:
    if run.height <= CHECKPOINTS:
        return run
    clock = next((c for c in ("tokens", "step") if run[c].null_count() == 0), "loss")
    run = run.sort(clock, descending=clock == "loss")
    place = np.log10(np.maximum(run[clock].to_numpy().astype(np.float64), 1.0))
    wanted = np.linspace(place[0], place[-1], CHECKPOINTS)
    nearest = np.abs(place[None, :] - wanted[:, None]).argmin(axis=1)
    kept: list[int] = np.unique(nearest).tolist()
    return run[kept]


def together(found: list[Group]) -> Iterator[Group]:
    """Groups of several families on one task, for families whose loss has the same name."""
    shared: dict[tuple[str | None, str, str, str | None, str], list[Group]] = {}
    for group in found:
        key = (group.regime, group.task, group.metric, group.loss_name, group.unit)
        shared.setdefault(key, []).append(group)
    for members in shared.values():
        if len(members) > 1:
            first = members[0]
            names = " + ".join(member.family for member in members)
            rows = pl.concat([member.rows for member in members])
            yield first._replace(family=names, rows=rows)
