"""Series to verdicts and fits: the procedure on a whole collection.

Every series draws from its own generator, keyed by its family, regime, task, axis, slice
and metrics, so its verdict depends on the seed and on itself alone, not on the order or the
company of the others. Only `p_break_adjusted`, and the words about it, depend on the company:
among many tests some breaks appear by chance, so a headline needs p_break <= .05 after
Benjamini and Yekutieli's correction for all tests of the batch (science.md 4.3 iii).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from saltus.curves.broken import broken_family
from saltus.curves.fit import Fit, fit, fit_best
from saltus.curves.smooth import smooth_families
from saltus.estimates.multiplicity import benjamini_yekutieli
from saltus.tables import Fits, Verdicts, conform, schema
from saltus.verdicts.breaks import ENOUGH, refined_p_break
from saltus.verdicts.evidence import P_BREAK, Evidence, gather, gather_inverse
from saltus.verdicts.measured import Measured, knows_chance, partner_points, rate_points
from saltus.verdicts.rule import BREAKS, LEVEL, P_FALL, Ruling, rule
from saltus.verdicts.sentences import Batch, raw, sentence, settle
from saltus.verdicts.series import FloatArray, Series

SEED_WORDS = 4
LARGEST_COUNT = 2**53
MOST_DRAWS = 99_999


class Judged(NamedTuple):
    """A series with its evidence and what the rule made of it."""

    series: Series
    evidence: Evidence
    ruling: Ruling


def judge(
    series: Sequence[Series], rng: np.random.Generator, *, resamples: int = 999
) -> pl.DataFrame:
    """The verdict for every series, and a second row where scores fall with scale.

    Args:
        series: families, tasks and axes to judge.
        rng: its next four words are the seed; equal seeds give equal verdicts whatever the
            order of the series.
        resamples: bootstrap draws per test; 999 or more for a final verdict.

    Returns:
        Table `Verdicts`.
    """
    seed = seed_words(rng)
    judged = [found for one in series for found in _judge(one, seed, resamples)]
    batches = _batches(judged, seed, resamples)
    rows = [_row(found, batch) for found, batch in zip(judged, batches, strict=True)]
    return conform(pl.DataFrame(rows, schema=schema(Verdicts)), Verdicts)


def fits(series: Sequence[Series]) -> pl.DataFrame:
    """The fits of every smooth family and of the best break, for every series.

    Args:
        series: families, tasks and axes; the continuous metric is fitted where there is
            one, else the chance-corrected rate.

    Returns:
        Table `Fits`; a curve that could not be fitted is a row with a status in words.
    """
    rows = [row for one in series for row in _fit_rows(one)]
    return conform(pl.DataFrame(rows, schema=schema(Fits)), Fits)


def seed_words(rng: np.random.Generator) -> list[int]:
    """The next words of a generator, as a seed for those of the single series."""
    words: list[int] = rng.integers(2**32, size=SEED_WORDS).tolist()
    return words


def generator(series: Series, seed: Sequence[int], purpose: str) -> np.random.Generator:
    """The generator of one series: the seed, and a stable hash of what the series is."""
    key = (
        series.family, series.regime, series.task, series.axis, series.slice, series.metric,
        series.partner, purpose,
    )  # fmt: skip
    return np.random.default_rng([*seed, zlib.crc32(repr(key).encode())])


def _judge(series: Series, seed: Sequence[int], resamples: int) -> Iterator[Judged]:
    evidence = gather(series, generator(series, seed, "forward"), resamples)
    ruling = rule(evidence)
    yield Judged(series, evidence, ruling)
    if ruling.verdict not in BREAKS and _falls(evidence):
        turned = gather_inverse(series, generator(series, seed, "inverse"), resamples)
        yield Judged(series, turned, rule(turned))


def _batches(judged: Sequence[Judged], seed: Sequence[int], resamples: int) -> list[Batch | None]:
    """Every p_break adjusted for all of them; None where there is none, or on inverse rows.

    An adjusted p is never below the p itself.
    """
    plain = np.array([_tested(found) for found in judged], dtype=np.float64)
    adjusted = np.fmax(plain, benjamini_yekutieli(_refined(plain, judged, seed, resamples)))
    tests = int(np.count_nonzero(np.isfinite(plain)))
    return [Batch(float(p), tests) if np.isfinite(p) else None for p in adjusted]


def _refined(
    plain: FloatArray, judged: Sequence[Judged], seed: Sequence[int], resamples: int
) -> FloatArray:
    """Small p-values from as many draws as the correction for their number asks for.

    The smallest p of R draws, 1 / (1 + R), would let no break survive among many tests. So
    those that do not survive, and whose draws are too few to tell, are drawn again, four
    times as often each time.
    """
    fine, drawn = plain.copy(), np.full(plain.size, resamples)
    draws = resamples
    while draws < MOST_DRAWS:
        lost = (plain <= P_BREAK) & (benjamini_yekutieli(fine) > LEVEL)
        unclear = np.flatnonzero(lost & (fine * (1 + drawn) < 1 + ENOUGH)).tolist()
        if not unclear:
            break
        draws = min(MOST_DRAWS, 4 * draws)
        for index in unclear:
            series, evidence, _ = judged[index]
            rng = generator(series, seed, "refined")
            fine[index] = refined_p_break(evidence.points, rng, draws)
            drawn[index] = draws
    return fine


def _tested(found: Judged) -> float:
    p_break = found.evidence.p_break
    return np.nan if p_break is None or found.evidence.inverse else p_break


def _falls(evidence: Evidence) -> bool:
    return evidence.change is not None and 1.0 - evidence.change.p_value < P_FALL


def _row(judged: Judged, batch: Batch | None) -> dict[str, Any]:
    series, evidence, ruling = judged
    return {
        "family": series.family,
        "regime": series.regime,
        "task": series.task,
        "axis": series.axis,
        "slice": series.slice,
        "verdict": ruling.verdict,
        "reason": ruling.reason,
        "sentence": sentence(evidence, ruling, batch),
        "settle": settle(evidence, ruling, batch),
        "metric": series.metric,
        "partner": series.partner,
        "scales": evidence.points.scales,
        "items": evidence.items,
        "chance": series.chance if knows_chance(series) else None,
        "noise": "K" if evidence.points.known else "U",
        "unplaced": list(evidence.unplaced.models) or None,
        "tau": series.tau if evidence.points.known else None,
        "tau_source": series.tau_source if evidence.points.known else None,
        "p_break_adjusted": batch.p_adjusted if batch else None,
        **_numbers(evidence),
        **_size(evidence),
        **_threshold(evidence),
    }


def _numbers(evidence: Evidence) -> dict[str, Any]:
    """The outcome of every step as columns."""
    test = evidence.test if evidence.partner else None
    found = evidence.resolution
    families = test.p_smooth.items() if test else ()
    return {
        "apparent": evidence.apparent.seen,
        "near_floor": evidence.apparent.near_floor,
        "p_change": evidence.change.p_value if evidence.change else None,
        "p_break": evidence.p_break,
        "p_smooth": [{"curve": name, "p": p} for name, p in families] or None,
        "p_sub": evidence.p_sub,
        "p_deviance": found.p_deviance if found else None,
        "beyond_extrapolation": evidence.beyond,
        "material": evidence.material,
        "gain": evidence.gain,
        "items_needed": _whole(found.items_needed) if found else None,
        "detectable_change": evidence.detectable,
        "inverse": evidence.inverse,
    }


def _size(evidence: Evidence) -> dict[str, float | None]:
    """The effect of size at equal loss, where a threshold asked for it."""
    found = evidence.size
    if found is None:
        return {}
    p = found.p if found.points == found.runs else found.p_runs
    return {
        "size_effect": found.slope, "size_effect_low": found.low, "size_effect_high": found.high,
        "p_size": p,
    }  # fmt: skip


def _threshold(evidence: Evidence) -> dict[str, float | None]:
    """The place of the break in raw units; on the loss axis a low loss is the high end."""
    found = evidence.threshold
    if found is None:
        return {"threshold": None, "threshold_low": None, "threshold_high": None}
    ends = [None if end is None else raw(end, evidence.axis) for end in (found.low, found.high)]
    low, high = reversed(ends) if evidence.axis == "loss" else ends
    place = raw(found.place, evidence.axis)
    return {"threshold": place, "threshold_low": low, "threshold_high": high}


def _whole(count: float) -> int | None:
    return int(count) if np.isfinite(count) and count < LARGEST_COUNT else None


def _fit_rows(series: Series) -> Iterator[dict[str, Any]]:
    continuous = partner_points(series)
    use_partner = series.partner is not None and continuous.scales > 0
    points = continuous if use_partner else rate_points(series)
    metric = series.partner if use_partner else series.metric
    if metric is None:
        return
    weights = 1.0 / points.variance
    attempts = [
        fit(curve, points.x, points.y, weights, points.axis)
        for curve in smooth_families(points.scales)
    ]
    attempts.append(fit_best(broken_family(), points.x, points.y, weights, points.axis))
    for attempt in attempts:
        yield _fit_row(series, metric, points, attempt)


def _fit_row(series: Series, metric: str, points: Measured, found: Fit) -> dict[str, Any]:
    parameters = [{"name": name, "value": value} for name, value in found.parameters.items()]
    return {
        "family": series.family,
        "regime": series.regime,
        "task": series.task,
        "metric": metric,
        "axis": series.axis,
        "slice": series.slice,
        "curve": found.curve,
        "parameters": parameters or None,
        "rss": found.rss if found.converged else None,
        "x": points.x.tolist(),
        "z": points.y.tolist(),
        "fitted": found.fitted.tolist() if found.converged else None,
        "status": found.status,
    }
