"""Model noise pooled over the tasks of a family: what one task cannot tell, ten can.

One series of 6 to 12 scales has too few residuals to measure its own model noise, which is
why mode U has so little power. The tasks of a family share their models, and mostly their
noise: tau is the value at which the residuals of all tasks together are as large as they
should be. Residuals are those of the best broken curve, which follows smooth and broken
truths alike; as the best of many curves it leaves less than its degrees of freedom say, so
they are compared with what it leaves of pure noise.

Measured in docs/experiments.md. It is an option (`--pool-noise`) and not the default, because
a verdict then depends on the other tasks of its family.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from saltus.curves.broken import broken_family
from saltus.curves.curve import FloatArray
from saltus.curves.fit import best_point, design, residual
from saltus.verdicts.breaks import SCALES_UNKNOWN
from saltus.verdicts.measured import Measured, partner_points
from saltus.verdicts.series import Series

FEWEST_TASKS = 8
DRAWS = 200
HALVINGS = 20
LARGEST_TAU = 4.0


def pool_noise(series: Sequence[Series], rng: np.random.Generator) -> list[Series]:
    """The series, those without tau given that of their family's other tasks and their own.

    Args:
        series: tasks of one or several families. Pooled are those of one family, regime,
            axis, slice and continuous metric: another metric has another link scale.
        rng: its next four words are the seed of the reference draws.

    Returns:
        The series in their order; a group with fewer than 8 testable tasks stays as it is.
    """
    seed = rng.integers(2**32, size=4).tolist()
    groups: dict[tuple[str | None, ...], list[Series]] = defaultdict(list)
    for one in series:
        groups[_key(one)].append(one)
    known = {
        key: _group_tau(group, np.random.default_rng([*seed, zlib.crc32(repr(key).encode())]))
        for key, group in groups.items()
    }
    return [
        replace(one, tau=known[_key(one)], tau_source="pooled over tasks")
        if _testable(one)
        else one
        for one in series
    ]


def pooled_tau(points: Sequence[Measured], rng: np.random.Generator) -> float:
    """Standard deviation of the model noise that the residuals of many tasks imply.

    Args:
        points: one entry per task, at least 6 scales each, variances of sampling alone.
        rng: source of the draws of pure noise.

    Returns:
        tau on the link scale; 0 where the sampling errors alone explain the residuals.
    """
    errors = [rng.standard_normal((one.scales, DRAWS)) for one in points]

    def too_small(tau: float) -> bool:
        left = [_left(one, tau, noise) for one, noise in zip(points, errors, strict=True)]
        observed, expected = np.sum(left, axis=0)
        return bool(observed > expected)

    if not too_small(0.0):
        return 0.0
    low, high = 0.0, LARGEST_TAU
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if too_small(middle) else (low, middle)
    return high


def _key(series: Series) -> tuple[str | None, ...]:
    return series.family, series.regime, series.axis, series.slice, series.partner


def _group_tau(group: Sequence[Series], rng: np.random.Generator) -> float | None:
    points = [partner_points(one) for one in group if _testable(one)]
    return pooled_tau(points, rng) if len(points) >= FEWEST_TASKS else None


def _testable(series: Series) -> bool:
    """Whether a series lacks tau alone: enough scales, and every sampling variance known."""
    known = np.isfinite(series.z)
    enough = np.count_nonzero(known) >= SCALES_UNKNOWN
    return series.tau is None and bool(enough and np.isfinite(series.variance[known]).all())


def _left(points: Measured, tau: float, errors: FloatArray) -> tuple[float, float]:
    """What the best broken curve leaves of the values, and on average of pure noise."""
    weights = 1.0 / (points.variance + tau * tau)
    plan = design(broken_family(), points.x, weights, points.axis)
    centred = points.y - np.average(points.y, weights=weights)
    _, observed = best_point(plan, np.sqrt(weights) * centred)
    rest = residual(plan.common, errors)
    least = np.square(rest).sum(axis=0) - np.square(plan.units @ rest).max(axis=0)
    return observed, float(least.mean())
