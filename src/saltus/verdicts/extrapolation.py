"""Step 4, extrapolation: does the largest scale surprise those at or below the break?"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri, stdtrit

from saltus.curves.fit import rss_floor
from saltus.verdicts.measured import Measured

LEVEL = 0.975


def beyond_extrapolation(points: Measured, knot: float) -> bool | None:
    """Whether the largest scale lies above the upper 97.5 % limit of the pre-break line.

    The limit is that of one new point, its own noise included (science.md 3.16).

    Args:
        points: the values.
        knot: place of the estimated break.

    Returns:
        None when fewer than three scales (two in mode K) lie at or below the break.
    """
    before = points.up_to(knot)
    freedom = before.scales - 2
    if freedom < (0 if points.known else 1):
        return None
    root = before.root
    design = np.stack([np.ones(before.scales), before.x - before.x.mean()], axis=1)
    target = np.array([1.0, points.x[-1] - before.x.mean()])
    inverse = np.linalg.inv((design * np.square(root)[:, None]).T @ design)
    line = inverse @ ((design * np.square(root)[:, None]).T @ before.y)
    spread = points.variance[-1] + float(target @ inverse @ target)
    quantile = float(ndtri(LEVEL))
    if not points.known:
        left = root * (before.y - design @ line)
        whitened = points.root * (points.y - points.y.mean())
        spread *= max(float(left @ left), rss_floor(whitened)) / freedom
        quantile = float(stdtrit(freedom, LEVEL))
    return bool(points.y[-1] - target @ line > quantile * np.sqrt(spread))
