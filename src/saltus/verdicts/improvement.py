"""Step 6, sub-threshold improvement: does the continuous score already rise at the floor?

The positive evidence that METRIC_ARTEFACT rests on. The last near-floor scale is left out:
its floor status is the least certain, and with it flat-then-rise truths were called
artefacts in 12-14 % of cases instead of about 1 %.
"""

from __future__ import annotations

import numpy as np

from saltus.curves.fit import Fit, rss_floor
from saltus.verdicts.apparent import Apparent
from saltus.verdicts.change import slope_test
from saltus.verdicts.measured import Measured

FREE_SCALES = 4


def improvement_below_threshold(
    points: Measured, apparent: Apparent, best: Fit | None
) -> float | None:
    """One-sided p of the slope over the first m - 1 scales.

    Args:
        points: the continuous metric.
        apparent: outcome of step 1.
        best: the best broken curve over all scales; mode U takes its residual variance when
            it has at least as many degrees of freedom as the sub-threshold line.

    Returns:
        None when step 1 saw nothing, or with fewer than three scales (two in mode K).
    """
    if not apparent.seen or not np.isfinite(apparent.floor_ends):
        return None
    freedom = points.scales - FREE_SCALES
    pooled = None
    if best is not None and best.converged and freedom > 0:
        whitened = points.root * (points.y - points.y.mean())
        pooled = (max(best.rss, rss_floor(whitened)) / freedom, freedom)
    tested = slope_test(points.up_to(apparent.floor_ends), pooled)
    return None if tested is None or points.scales < 2 else tested.p_value
