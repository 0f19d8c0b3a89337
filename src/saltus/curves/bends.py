"""Laws with a bend: sigmoids, the exponential in loss, hinges, jumps and the rectified line."""

from __future__ import annotations

import numpy as np

from saltus.curves.curve import FloatArray
from saltus.curves.law import INF, Parts, law, product

FREE = (-INF, INF)
STEEPNESS = np.array([1.5, 4.0, 9.0, 20.0, 60.0])
MIDPOINTS = np.array([-0.4, -0.1, 0.06, 0.17, 0.28, 0.39, 0.5, 0.61, 0.72, 0.83, 0.94, 1.1, 1.4])


def _logistic(x: FloatArray, steepness: FloatArray, midpoint: FloatArray) -> Parts:
    """Levels times (1 - s) and s, so that a box holds both levels."""
    share = 1.0 / (1.0 + np.exp(-np.clip(steepness * (x - midpoint), -500.0, 500.0)))
    steep = share * (1.0 - share)
    by_steepness, by_midpoint = steep * (x - midpoint), -steep * steepness
    return Parts((1.0 - share, share), ((-by_steepness, -by_midpoint), (by_steepness, by_midpoint)))


def _logistic_starts(low: FloatArray, high: FloatArray) -> FloatArray:
    """Starts of (steepness, midpoint), in proportion to the range of x."""
    steepness, midpoint = product(STEEPNESS, MIDPOINTS).T
    span = high - low
    return np.stack([steepness / span, low + span * midpoint], axis=-1)


@law(
    axis="scale",
    linear={"floor": FREE, "ceiling": FREE},
    nonlinear={"steepness": (0.01, 40.0), "midpoint": (-INF, INF)},
    near={"midpoint": 1.0},
    starts=_logistic_starts,
    refined=2,
    question="Does the score pass from one level to another along a sigmoid?",
    source="Owen (2024), arXiv 2401.04757; Ruan et al. (2024), arXiv 2405.10938",
)
def sigmoid(x: FloatArray, steepness: FloatArray, midpoint: FloatArray) -> Parts:
    """Floor to ceiling; steepness per decade, midpoint in log10 of the scale."""
    return _logistic(x, steepness, midpoint)


@law(
    axis="loss",
    linear={"floor": FREE, "ceiling": FREE},
    nonlinear={"steepness": (-200.0, -0.01), "midpoint": (-INF, INF)},
    near={"midpoint": 1.0},
    starts=lambda low, high: _logistic_starts(low, high) * np.array([-1.0, 1.0]),
    refined=2,
    question="Does the score follow one sigmoid of the loss?",
    source="Bhagia et al. (2024), arXiv 2412.04403, step 2: a / (1 + exp(-k (L - L0))) + b with "
    "a = ceiling - floor and b = floor",
)
def sigmoid_of_loss(loss: FloatArray, steepness: FloatArray, midpoint: FloatArray) -> Parts:
    """Ceiling at low loss, floor at high loss; bounds on both keep the score in its range."""
    return _logistic(loss, steepness, midpoint)


@law(
    axis="loss",
    linear={"limit": FREE, "gain": FREE},
    nonlinear={"rate": (0.01, 60.0)},
    starts=lambda low, high: (
        np.array([0.1, 0.3, 0.7, 1.5, 3.0, 6.0, 12.0])[:, None] / (high - low)[..., None]
    ),
    question="Does the error approach its limit exponentially in the loss?",
    source="Gadre et al. (2024), arXiv 2403.08540, eq. 5: Err(L) = eps - k exp(-gamma L)",
)
def exponential_of_loss(loss: FloatArray, rate: FloatArray) -> Parts:
    """Limit less gain times exp(-rate loss): smooth, it cannot express a threshold."""
    value = np.exp(-rate * loss)
    return Parts((np.ones_like(value), -value), ((None,), (loss * value,)))


def _no_start(low: FloatArray, high: FloatArray) -> FloatArray:
    """The knot is found by an exact scan."""
    return (low + (high - low) * 0.5)[..., None]


@law(
    axis="scale",
    linear={"intercept": FREE, "slope": FREE, "change": FREE},
    nonlinear={"knot": FREE},
    starts=_no_start,
    scan="ramp",
    question="Does growth change its pace at one place?",
    source="Muggeo (2003), Statistics in Medicine 22(19), sec. 2",
)
def hinge(x: FloatArray, knot: FloatArray) -> Parts:
    """A line whose slope changes at a knot."""
    beyond = x > knot
    return Parts(
        (np.ones_like(x), x, np.where(beyond, x - knot, 0.0)),
        ((None,), (None,), (np.where(beyond, -1.0, 0.0),)),
    )


@law(
    axis="scale",
    linear={"intercept": FREE, "slope": FREE, "change": FREE},
    nonlinear={"knot": FREE},
    starts=_no_start,
    scan="step",
    question="Does the score step up between two scales?",
    source="Andrews (1993), Econometrica 61(4), level shift at an unknown place",
)
def jump(x: FloatArray, knot: FloatArray) -> Parts:
    """A line that is lifted beyond a knot, which stands in the middle of a gap."""
    return Parts(
        (np.ones_like(x), x, np.where(x > knot, 1.0, 0.0)),
        ((None,), (None,), (None,)),
    )


@law(
    axis="loss",
    linear={"level": FREE, "slope": (0.0, INF)},
    nonlinear={"threshold": FREE},
    starts=_no_start,
    scan="ramp",
    question="Is the score flat until the loss falls below a threshold?",
    source="Du et al. (2024), arXiv 2403.15796, eq. 3 with a linear f; Snell et al. (2024), "
    "arXiv 2411.16035",
)
def rectified_of_loss(loss: FloatArray, threshold: FloatArray) -> Parts:
    """max(c, c + s (threshold - loss)): equal bounds on `level` put it at chance."""
    below = loss < threshold
    return Parts(
        (np.ones_like(loss), np.where(below, threshold - loss, 0.0)),
        ((None,), (np.where(below, 1.0, 0.0),)),
    )


def _elbow_starts(low: FloatArray, high: FloatArray) -> FloatArray:
    """Starts of (threshold without data, its shift, power of the log of the data)."""
    loss, most = (high[..., 0] - low[..., 0])[..., None], np.log1p(high[..., 1])[..., None]
    place, shift, power = product(
        np.array([0.0, 0.2, 0.4, 0.6, 0.8, 1.0]), np.array([0.0, 0.2, 0.5, 1.0]),
        np.array([0.5, 1.0, 2.0]),
    ).T  # fmt: skip
    threshold = low[..., 0][..., None] + loss * place
    moved = loss * shift / np.maximum(most, 1e-9) ** power
    whole = [threshold, moved, np.broadcast_to(power, moved.shape)]
    return np.concatenate([part.reshape(len(low), 1, -1) for part in whole], axis=1).swapaxes(1, 2)


@law(
    axis="loss and examples",
    linear={"level": FREE, "slope": (0.0, INF)},
    nonlinear={"threshold": FREE, "shift": (0.0, INF), "power": (0.1, 4.0)},
    starts=_elbow_starts,
    refined=12,
    question="Does finetuning move the threshold towards higher loss?",
    source="Snell et al. (2024), arXiv 2411.16035: the elbow moves as a power of log(1 + d)",
)
def elbow_of_finetuning(
    x: FloatArray, threshold: FloatArray, shift: FloatArray, power: FloatArray
) -> Parts:
    """Level c + s (threshold + shift log(1 + d)^power - loss)+, x the pair (loss, examples d).

    `threshold` is the elbow without finetuning, d = 0: that of the few-shot model.
    """
    loss, log_data = x[..., 0], np.log1p(x[..., 1])
    moved = log_data**power
    above = threshold + shift * moved - loss
    on = np.where(above > 0.0, 1.0, 0.0)
    by_power = np.where(
        log_data > 0.0, shift * moved * np.log(np.where(log_data > 0.0, log_data, 1.0)), 0.0
    )
    return Parts(
        (np.ones_like(above), on * above),
        ((None, None, None), (on, on * moved, on * by_power)),
    )
