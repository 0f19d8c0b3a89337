"""Bends against a loss that is the task's own: what the screen says, beside each of them."""

from __future__ import annotations

import polars as pl

from saltus.screens.screen import screen_estimates
from saltus.tables import LossThresholds, conform


def with_suspicion(bends: pl.DataFrame, estimates: pl.DataFrame) -> pl.DataFrame:
    """The thresholds with what `restated_losses` finds about their family and task.

    Args:
        bends: table `LossThresholds`.
        estimates: table `Estimates` that they come from.

    Returns:
        Table `LossThresholds`, in the same order.
    """
    found = screen_estimates("restated_losses", estimates)
    said = found.select("family", "task", suspicion="message")
    bare = bends.drop("suspicion")
    return conform(
        bare.join(said, on=["family", "task"], how="left", maintain_order="left"), LossThresholds
    )
