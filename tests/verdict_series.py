"""Series with known truth, for the tests of the procedure (science.md 4.8)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from saltus.verdicts.series import Series

FloatArray = NDArray[np.float64]

X = np.linspace(7.0, 10.0, 8)
RESIDUALS = np.array([0.03, -0.02, 0.01, -0.03, 0.02, 0.03, -0.02, -0.01])
ITEMS = 200.0
VARIANCE = 0.0004


def golden(case: str, tau: float | None) -> Series:
    """G1 (metric artefact), G2 (break), G3 (noise) of science.md 4.8."""
    hinge = np.where(X < 8.5, 0.1 * (X - 8.5), 2.2 * (X - 8.5)) - 2.2 * 1.5
    length, z = {
        "G1": (20, -np.log(-np.log(0.60) / 20) + 0.8 * (X - 10.0) + RESIDUALS),
        "G2": (8, -np.log(-np.log(0.75) / 8) + hinge + RESIDUALS),
        "G3": (8, 1.0 + RESIDUALS),
    }[case]
    successes = np.round(ITEMS * np.exp(-length * np.exp(-z)))
    return make(x=X, successes=successes, z=z, variance=VARIANCE, tau=tau, task=case)


def make(
    *,
    x: FloatArray,
    z: FloatArray | None = None,
    variance: FloatArray | float = VARIANCE,
    successes: FloatArray | None = None,
    rate: FloatArray | None = None,
    items: float = ITEMS,
    chance: float = 0.0,
    tau: float | None = None,
    gain: str = "exp_exp",
    axis: str = "params",
    task: str = "task",
    **fields: Any,
) -> Series:
    """A series from what a test cares about; the rest is plain or missing."""
    missing = np.full(x.size, np.nan)
    counted = missing if successes is None else successes
    known = np.full(x.size, items) if successes is not None else missing
    shown = counted / items if successes is not None else rate
    return Series(
        family=fields.get("family", "family"),
        regime=None,
        task=task,
        axis=axis,
        slice="final checkpoints",
        models=tuple(f"m{index}" for index in range(x.size)),
        x=x,
        metric=None if shown is None else "exact_match",
        rate=missing if shown is None else shown,
        successes=counted,
        items=known,
        chance=chance,
        partner=None if z is None else "token_error",
        z=missing if z is None else z,
        variance=missing if z is None else np.broadcast_to(variance, x.shape).astype(float),
        gain=gain,
        tau=tau,
    )
