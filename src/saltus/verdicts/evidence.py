"""All numbers of the procedure for one series: what the rule decides on.

Cases beyond the specification of the procedure, and what is done about them:

- No usable continuous partner: the tests of change run on the chance-corrected rate itself
  (binomial weights when the items are known, else unweighted; always mode U). A break test
  of the rate is only a screen: it can forbid GRADUAL and NO_EVIDENCE, it never gives BREAK.
- Items not known: apparent emergence is decided only where no number of items could change
  it (`apparent._absent_at_any_size`), else it is null.
- Chance not known: apparent emergence is null.
- Only a continuous metric: there is no thresholded jump to explain, so steps 2 to 5 decide.
- A Brier or logarithmic score counts as improving below the threshold only from an even guess on.
- A missing value is dropped for its own metric only.
- Inverse scaling: the continuous values are turned over and steps 2 to 5 run again;
  materiality is the loss on the original gain scale.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from saltus.curves.nested import Effect, effect
from saltus.estimates.resolution import detectable_rate
from saltus.metrics.metric import find
from saltus.verdicts.apparent import Apparent, apparent_emergence, clear_rise
from saltus.verdicts.below_resolution import Resolution, below_resolution
from saltus.verdicts.breaks import BreakTest, break_test
from saltus.verdicts.change import Slope, slope_test
from saltus.verdicts.extrapolation import beyond_extrapolation
from saltus.verdicts.improvement import improvement_below_threshold
from saltus.verdicts.links import even_guess
from saltus.verdicts.material import LEAST_GAIN, gain_at_largest
from saltus.verdicts.measured import (
    Measured,
    knows_chance,
    knows_items,
    partner_points,
    rate_points,
)
from saltus.verdicts.series import ALL_PLACED, Checkpoints, Series, Unplaced
from saltus.verdicts.threshold import Threshold, threshold_interval

P_BREAK = 0.04


@dataclass(frozen=True)
class Evidence:
    """The outcome of every step for one series.

    Args:
        axis: params, tokens, flops or loss.
        metric: thresholded metric, or None.
        partner: continuous metric that was used, or None.
        points: the values that steps 2 to 5 worked on.
        dropped: scales without a value of that metric.
        apparent: step 1.
        change: step 2; None with too few scales.
        test: step 3; None with too few scales. A mere screen when there is no partner.
        beyond: step 4, E; None when it could not be tested.
        gain: step 5, on the gain scale; None without a break test.
        p_sub: step 6; None when not run.
        resolution: smooth binomial curve of the rate; only without a partner.
        rise: some scale stands clearly above all smaller ones on the thresholded metric.
        rate_change: step 2 on the thresholded metric, where step 1 could not be tested.
        below_chance: the continuous scores at the floor scales are below guessing.
        threshold: place of the break and its interval, when every smooth family is rejected.
        items: smallest number of items; None when not known.
        detectable: smallest rise of the rate at the largest scale that its items show.
        inverse: the scores were turned over.
        size: on the loss axis, the effect of size at equal loss; None when not needed.
        same_within: effect that counts as none, metric's unit per decade.
        unplaced: models whose continuous score has no place on its link scale.
        soft: name of that score.
    """

    axis: str
    metric: str | None
    partner: str | None
    points: Measured
    dropped: int
    apparent: Apparent
    change: Slope | None
    test: BreakTest | None
    beyond: bool | None
    gain: float | None
    p_sub: float | None
    resolution: Resolution | None
    rise: bool
    rate_change: Slope | None
    below_chance: bool
    threshold: Threshold | None
    items: int | None
    detectable: float | None
    inverse: bool
    size: Effect | None = None
    same_within: float = 0.0
    unplaced: Unplaced = ALL_PLACED
    soft: str | None = None

    @property
    def p_break(self) -> float | None:
        """Largest p over the smooth families; None without a continuous partner."""
        return self.test.p_break if self.test and self.partner else None

    @property
    def p_screen(self) -> float | None:
        """The same number on the thresholded metric alone."""
        return self.test.p_break if self.test and not self.partner else None

    @property
    def size_matters(self) -> bool:
        """The equivalence test of 2.3 failed: at equal loss, size still shows."""
        return self.size is not None and self.size.differs(self.same_within)

    @property
    def material(self) -> bool | None:
        """M: the gain is at least 0.10."""
        return None if self.gain is None else self.gain >= LEAST_GAIN


def gather(series: Series, rng: np.random.Generator, resamples: int) -> Evidence:
    """Run every step that the series can carry.

    Args:
        series: what is judged.
        rng: source of all bootstrap draws of this series.
        resamples: bootstrap draws per test.
    """
    usable = _uses_partner(series)
    points = partner_points(series) if usable else rate_points(series)
    apparent = apparent_emergence(series)
    found = _steps(series, points, usable, rng, resamples)
    if usable:
        best = found.test.best if found.test else None
        counted = _from_guessing_on(series, points)
        p_sub = improvement_below_threshold(counted, apparent, best)
        below = _below_chance(series, points, apparent)
        found = replace(found, p_sub=p_sub, below_chance=below)
    elif apparent.seen and apparent.near_floor is not None:
        resolution = below_resolution(series, apparent.near_floor, rng, resamples)
        found = replace(found, resolution=resolution)
    rate_change = slope_test(rate_points(series)) if apparent.untested else None
    if series.checkpoints is not None and found.threshold is not None:
        # last, so that the draws of all other tests are the same with and without checkpoints
        found = replace(
            found, size=_size_at_equal_loss(series.checkpoints, rng, resamples),
            same_within=series.checkpoints.margin,
        )  # fmt: skip
    return replace(found, apparent=apparent, rise=clear_rise(series), rate_change=rate_change)


def _size_at_equal_loss(
    points: Checkpoints, rng: np.random.Generator, resamples: int
) -> Effect | None:
    """The effect of size once the loss is known (science.md 2.3); None when not testable."""
    found = effect(points.loss, points.log10_params, points.value, points.runs, rng, resamples)
    return found if found.p is not None else None


def gather_inverse(series: Series, rng: np.random.Generator, resamples: int) -> Evidence:
    """Steps 2 to 5 on the scores turned over: does the ability fall with scale?"""
    usable = _uses_partner(series)
    points = partner_points(series, -1.0) if usable else rate_points(series, -1.0)
    return _steps(series, points, usable, rng, resamples, sign=-1.0)


def _uses_partner(series: Series) -> bool:
    """Whether the continuous metric carries the tests; if neither does, the longer series."""
    continuous, rates = partner_points(series), rate_points(series)
    if slope_test(continuous) is not None:
        return True
    return slope_test(rates) is None and continuous.scales >= max(rates.scales, 1)


def _steps(
    series: Series, points: Measured, continuous: bool, rng: np.random.Generator,
    resamples: int, sign: float = 1.0,
) -> Evidence:  # fmt: skip
    """Steps 2 to 5 on one set of points."""
    test = break_test(points, rng, resamples)
    carried = test is not None and continuous
    beyond = beyond_extrapolation(points, test.knot) if test and carried else None
    gain = gain_at_largest(test.best, points.x[-1], series.gain, sign) if test and carried else None
    rejected = test is not None and carried and test.upward and test.p_break <= P_BREAK
    items = _items(series)
    return Evidence(
        axis=series.axis,
        metric=series.metric,
        partner=series.partner if continuous else None,
        points=points,
        dropped=points.dropped,
        apparent=Apparent(None, None, float("nan"), "no_thresholded_metric"),
        change=slope_test(points),
        test=test,
        beyond=beyond,
        gain=gain,
        p_sub=None,
        resolution=None,
        rise=False,
        rate_change=None,
        below_chance=False,
        threshold=threshold_interval(points, test.knot) if test and rejected else None,
        items=items,
        detectable=_detectable(series) if items is not None else None,
        inverse=sign < 0.0,
        unplaced=series.unplaced,
        soft=series.partner,
    )


def _items(series: Series) -> int | None:
    """The smallest number of items at any scale with a rate."""
    if not knows_items(series):
        return None
    return int(series.items[np.isfinite(series.rate) & np.isfinite(series.x)].min())


def _detectable(series: Series) -> float | None:
    """Smallest rise at the largest scale that its items show, one-sided .05, power .8.

    The rise starts from the pooled rate of all scales, or from chance where that is higher.
    """
    kept = np.isfinite(series.rate) & np.isfinite(series.x)
    items, successes = series.items[kept], series.successes[kept]
    pooled = float(np.clip(successes.sum() / items.sum(), 0.0, 1.0))
    start = max(pooled, series.chance) if knows_chance(series) else pooled
    rise = detectable_rate(max(int(items[-1]), 1), start) - start
    return float(rise) if np.isfinite(rise) else None


def _even_guess(series: Series) -> float:
    metric = find(series.partner) if series.partner else None
    return even_guess(metric, series.gain, series.chance)


def _from_guessing_on(series: Series, points: Measured) -> Measured:
    """Values of a Brier or logarithmic score, those worse than an even guess as one.

    Up to there it improves when confident guesses become humble, which is no ability: breaks
    behind such an improvement were called artefacts of the metric.
    """
    metric, guessing = find(series.partner or ""), _even_guess(series)
    if metric is None or not metric.punishes_confidence or np.isnan(guessing):
        return points
    return replace(points, y=np.maximum(points.y, guessing))


def _below_chance(series: Series, points: Measured, apparent: Apparent) -> bool:
    """Whether the scores at the floor scales are all below guessing, where that is known."""
    guessing = _even_guess(series)
    if np.isnan(guessing) or not apparent.seen:
        return False
    floor = points.y[points.x <= apparent.floor_ends]
    return bool(floor.size and (floor < guessing).all())
