"""Power and false alarms with tau unknown, known, and pooled over the tasks of a family.

    python benchmarks/pooled_noise.py [--tasks 10] [--groups 15] [--spread 3]

Families of mixed truths over the design of docs/calibration.md; `--spread 3` lets the noise
of the tasks differ by up to a factor of three either way. The table of docs/experiments.md.
"""

from __future__ import annotations

import argparse
import zlib
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product
from multiprocessing import get_context

import numpy as np

from saltus.verdicts.calibrate import series_of
from saltus.verdicts.evidence import gather
from saltus.verdicts.pooled import pool_noise
from saltus.verdicts.rule import rule
from saltus.worlds import WORLDS, generate_arrays

KINDS = (
    ("i_power", "i_irred", "i_logistic", "ii_break", "iv_noise_em"),
    ("i_mcsmooth", "i_mclin", "iii_flatrise", "iii_step", "iv_noise_mc"),
)
RESAMPLES = 199

Job = tuple[tuple[str, ...], int, int, float, int, float, int]


def family(job: Job) -> Counter[tuple[str, str, str]]:
    """Verdicts of one family by world and noise mode."""
    worlds, scales, items, tau, tasks, spread, _ = job
    rng = np.random.default_rng(zlib.crc32(repr(job).encode()))
    names = rng.choice(worlds, size=tasks).tolist()
    known = []
    for name in names:
        noise = tau * spread ** rng.uniform(-1, 1)
        arrays = generate_arrays(WORLDS[name], rng, scales=scales, items=items, tau=noise)
        known.append(series_of(arrays, name, "family"))
    unknown = [replace(one, tau=None) for one in known]
    modes = {"unknown": unknown, "known": known, "pooled": pool_noise(unknown, rng)}
    found: Counter[tuple[str, str, str]] = Counter()
    for mode, batch in modes.items():
        for name, series in zip(names, batch, strict=True):
            evidence = gather(series, np.random.default_rng(1), RESAMPLES)
            found[name, mode, rule(evidence).verdict] += 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=10)
    parser.add_argument("--groups", type=int, default=15)
    parser.add_argument("--spread", type=float, default=1.0)
    options = parser.parse_args()
    sizes = product(KINDS, (6, 8, 12), (50, 200, 1000), (0.02, 0.1))
    jobs = [
        (*size, options.tasks, options.spread, group)
        for size in sizes
        for group in range(options.groups)
    ]
    found: Counter[tuple[str, str, str]] = Counter()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for part in pool.map(family, jobs, chunksize=10):
            found += part
    for world, mode in product((name for kind in KINDS for name in kind), modes_of(found)):
        total = sum(count for key, count in found.items() if key[:2] == (world, mode))
        rates = (found[world, mode, verdict] / total for verdict in ("BREAK", "METRIC_ARTEFACT"))
        print(f"{world:<14}{mode:<9}", *(f"{rate:.3f}" for rate in rates), total)


def modes_of(found: Counter[tuple[str, str, str]]) -> list[str]:
    return sorted({mode for _, mode, _ in found}, reverse=True)


if __name__ == "__main__":
    main()
