"""One family, regime and task on one axis: what the procedure works on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


class Checkpoints(NamedTuple):
    """All checkpoints of a family on the loss axis: is size needed besides the loss?

    Args:
        loss: (points,) nats per token.
        log10_params: (points,).
        value: (points,) the metric that is judged, in its unit.
        runs: (points,) number of the training run.
        margin: effect per decade of size that counts as none.
    """

    loss: FloatArray
    log10_params: FloatArray
    value: FloatArray
    runs: NDArray[np.int64]
    margin: float


class Unplaced(NamedTuple):
    """Values at an end of a metric's range, such as a mean probability of exactly 0 or 1.

    Args:
        models: their labels, in the order of the scales.
        scales: scales that have no other value.
        link: name of the link scale on which they have no place.
    """

    models: tuple[str, ...] = ()
    scales: int = 0
    link: str | None = None


ALL_PLACED = Unplaced()


@dataclass(frozen=True)
class Series:
    """Scores of one family on one task along one axis, merged to one point per scale.

    Args:
        family: models of one corpus, tokenizer and recipe.
        regime: prompt regime, null when not stated.
        task: name as the harness gives it.
        axis: params, tokens, flops or loss.
        slice: what is held fixed, such as "final checkpoints".
        models: (scales,) labels of the models, several joined by " + " where merged.
        x: (scales,) log10 of the axis, minus the loss in nats on the loss axis; strictly
            increasing.
        metric: thresholded metric, or None.
        rate: (scales,) its value as a share of its range, 1 is best; NaN where missing.
        successes: (scales,) items scored 1; NaN where the items are not known.
        items: (scales,) number of items, of a set's metric their effective number; NaN where
            not known.
        chance: its level under uniform guessing; NaN where not known.
        partner: continuous metric, or None.
        z: (scales,) the partner on its link scale, higher is better; NaN where missing.
        variance: (scales,) sampling variance of z; NaN where not known.
        gain: how z maps to a gain between 0 and 1 for materiality: "exp_exp" for
            exp(-exp(-z)), "expit" for 1 / (1 + exp(-z)), "identity" for z clipped to [0, 1].
        tau: standard deviation of the model noise on the link scale, or None (mode U).
        tau_source: how tau is known: "runs at one scale", "last checkpoints" or "given".
        checkpoints: on the loss axis, what the test at equal loss works on.
        unplaced: models whose partner has a value, but none on the link scale.
    """

    family: str
    regime: str | None
    task: str
    axis: str
    slice: str
    models: tuple[str, ...]
    x: FloatArray
    metric: str | None
    rate: FloatArray
    successes: FloatArray
    items: FloatArray
    chance: float
    partner: str | None
    z: FloatArray
    variance: FloatArray
    gain: str
    tau: float | None
    tau_source: str | None = None
    checkpoints: Checkpoints | None = None
    unplaced: Unplaced = ALL_PLACED
