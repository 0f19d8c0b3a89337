"""How often scores of choices are judged wrongly, by metric, where the truth is known.

    python benchmarks/link_alarms.py [--replicates 20] [--worlds even10,power10] [--seed 0]

Families of 6, 8 and 12 sizes on 200 and 1,000 items, with a model noise of .02 and .1 on the logit
margin. In mode K the noise on the link scale is told: the margin's, times the slope of the score in
the margin. The tables of docs/experiments.md.
"""

from __future__ import annotations

import argparse
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np

from saltus.metrics.metric import METRICS, FloatArray, Ragged
from saltus.verdicts.evidence import gather
from saltus.verdicts.links import Linked, Points, gain_of, to_link
from saltus.verdicts.rule import rule
from saltus.verdicts.series import Series
from saltus.worlds.choices import draw_choices, margin_at
from saltus.worlds.world import DECADES, SMALLEST, axis

SCORES = ("correct_choice_probability", "brier_sum", "choice_log_loss")
CHANCE = (lambda k: 1 / k, lambda k: 1 - 1 / k, np.log)
CELLS = tuple(product((6, 8, 12), (200, 1000), (0.02, 0.1)))
NUDGE = 0.2  # of the margin, for the slope
Margin = Callable[[np.random.Generator, FloatArray], FloatArray]


def even(low: float, high: float) -> Margin:
    """Linear in log scale, up to a margin between two ends."""

    def margin(rng: np.random.Generator, x: FloatArray) -> FloatArray:
        top, start = rng.uniform(low, high), rng.uniform(0.0, 0.2)
        return top * (start + (1 - start) * x / DECADES)

    return margin


def power(low: float, high: float) -> Margin:
    """A power of scale."""
    return lambda rng, x: rng.uniform(low, high) * 10 ** (rng.uniform(0.2, 0.8) * (x - DECADES))


def late(low: float, high: float) -> Margin:
    """None up to 40 to 65 % of the range, then linear."""

    def margin(rng: np.random.Generator, x: FloatArray) -> FloatArray:
        begin = rng.uniform(0.40, 0.65) * DECADES
        return rng.uniform(low, high) * np.maximum(x - begin, 0) / (DECADES - begin)

    return margin


def four(rng: np.random.Generator, x: FloatArray) -> FloatArray:
    """Linear, up to the margin of an accuracy of .4 to .9 with four choices."""
    return even(*(2 * [margin_at(rng.uniform(0.4, 0.9))]))(rng, x)


# choices, margin, factor on all logits of the smallest model, which falls to 1 by 60 % of the range
WORLDS: dict[str, tuple[int, Margin, float]] = {
    "even4": (4, four, 1.0),
    "even10": (10, even(3, 5), 1.0),
    "even40": (40, even(5, 8), 1.0),
    "power4": (4, power(0.6, 2.6), 1.0),
    "power10": (10, power(3, 5), 1.0),
    "late4": (4, late(1.2, 2.2), 1.0),
    "late10": (10, late(2, 4), 1.0),
    "humble4": (4, late(1.2, 2.2), 2.0),
    "humbler4": (4, late(1.2, 2.2), 5.0),
    "humble10": (10, late(2, 4), 2.0),
}


def scores_of(logits: FloatArray) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Mean of every score at every scale, and its sampling variance; the first choice is right."""
    scales, items, choices = logits.shape
    shifted = logits - logits.max(axis=2, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=2, keepdims=True))
    right = np.zeros(items)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in SCORES}
    for scale in range(scales):
        given = Ragged(np.minimum(logs[scale].ravel(), 0.0), np.full(items, choices))
        for name in SCORES:
            value = METRICS[name].compute(given, right).value
            found[name].append((float(value.mean()), float(value.var(ddof=1)) / items))
    return {name: tuple(np.array(rows).T) for name, rows in found.items()}  # type: ignore[misc]


def series_of(key: tuple[str, int, int, float, int, int]) -> dict[str, Series]:
    """One family by each score, in mode K."""
    world, scales, items, tau, _, _ = key
    rng = np.random.default_rng(zlib.crc32(repr(key).encode()))
    choices, margin, confident = WORLDS[world]
    x = axis(rng, scales)
    factor = np.maximum(1.0, confident - (confident - 1.0) * x / (0.6 * DECADES))
    logits = draw_choices(rng, margin(rng, x), items, tau, choices=choices).logits
    grade = (logits[:, :, 0] > logits[:, :, 1:].max(axis=2)).sum(axis=1).astype(float)
    nudged = logits + NUDGE * (np.arange(choices) == 0)
    drawn, moved = (scores_of(part * factor[:, None, None]) for part in (logits, nudged))
    count = np.full(scales, float(items))
    made = {}
    for name, level in zip(SCORES, CHANCE, strict=True):
        chance = np.full(scales, level(choices))

        def link(values: tuple[FloatArray, FloatArray], name: str = name) -> Linked:
            return to_link(METRICS[name], Points(*values, count, count, chance))  # noqa: B023

        z, slope = link(drawn[name]), (link(moved[name]).z - link(drawn[name]).z) / NUDGE
        noise = tau * float(np.sqrt(np.nanmean(slope**2))) if np.isfinite(slope).any() else None
        made[name] = Series(
            "family", None, world, "params", "final checkpoints", ("",) * scales, SMALLEST + x,
            "multiple_choice_grade", grade / items, grade, count, 1 / choices, name, z.z,
            z.variance, gain_of(METRICS[name]), noise,
        )  # fmt: skip
    return made


def main() -> None:
    """One line per world and score: share of BREAK and METRIC_ARTEFACT in modes U and K."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=20)
    parser.add_argument("--worlds", default=",".join(WORLDS))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print("world, score: BREAK and METRIC_ARTEFACT in mode U, in mode K; scales without a place")
    for world in options.worlds.split(","):
        found: Counter[tuple[str, str, str]] = Counter()
        lost: Counter[str] = Counter()
        keys = product([world], CELLS, range(options.replicates))
        for name, cell, replicate in keys:
            for score, known in series_of((name, *cell, replicate, options.seed)).items():
                lost[score] += int(np.isnan(known.z).sum())
                for mode, one in (("U", replace(known, tau=None)), ("K", known)):
                    evidence = gather(one, np.random.default_rng(replicate), 199)
                    found[score, mode, rule(evidence).verdict] += 1
        total = len(CELLS) * options.replicates
        for score in SCORES:
            rates = [
                found[score, mode, verdict] / total
                for mode, verdict in product("UK", ("BREAK", "METRIC_ARTEFACT"))
            ]
            print(f"{world:<9}{score:<28}", *(f"{rate:.3f}" for rate in rates), lost[score])


if __name__ == "__main__":
    main()
