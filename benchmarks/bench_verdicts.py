"""Full verdicts per CPU second: a batch of smooth, broken and flat families at R = 999.

    python benchmarks/bench_verdicts.py [--series 500] [--resamples 999]

Bar: at least 200 verdicts per second on two cores for at most 12 scales, which is 100 per
CPU second of one core.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np

from saltus.verdicts.judge import judge
from saltus.verdicts.series import Series

ITEMS = 200.0
LENGTH = 8.0
NOISE = 0.02
BAR = 100.0


def family(number: int, scales: int, rng: np.random.Generator) -> Series:
    """A family whose link-scale values are a line, a hinge or flat, with counts to match."""
    x = np.linspace(7.0, 10.0, scales)
    shape = (0.8 * (x - 10.0), 2.2 * np.maximum(x - 8.5, 0.0) - 3.3, np.zeros(scales))[number % 3]
    z = 3.2 + shape + NOISE * rng.standard_normal(scales)
    successes = rng.binomial(int(ITEMS), np.exp(-LENGTH * np.exp(-z))).astype(np.float64)
    return Series(
        family="bench", regime=None, task=f"task {number}", axis="params", slice="final",
        models=tuple(str(index) for index in range(scales)), x=x, metric="exact_match",
        rate=successes / ITEMS, successes=successes, items=np.full(scales, ITEMS), chance=0.0,
        partner="token_error", z=z, variance=np.full(scales, NOISE**2), gain="exp_exp", tau=None,
    )  # fmt: skip


def variants(batch: list[Series]) -> dict[str, list[Series]]:
    """The two noise modes, and the thresholded metric alone."""
    return {
        "U": batch,
        "K": [replace(one, tau=NOISE) for one in batch],
        "no partner": [replace(one, partner=None, z=np.full(one.x.size, np.nan)) for one in batch],
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--series", type=int, default=500)
    parser.add_argument("--resamples", type=int, default=999)
    options = parser.parse_args()
    print("scales  noise        verdicts per CPU second  (bar 100)")
    for scales in (6, 8, 12):
        rng = np.random.default_rng(scales)
        batch = [family(number, scales, rng) for number in range(options.series)]
        for name, series in variants(batch).items():
            start = time.process_time()
            judge(series, np.random.default_rng(0), resamples=options.resamples)
            rate = len(series) / (time.process_time() - start)
            print(
                f"{scales:6d}  {name:<11}  {rate:10.0f}  {'ok' if rate >= BAR else 'BELOW THE BAR'}"
            )


if __name__ == "__main__":
    main()
