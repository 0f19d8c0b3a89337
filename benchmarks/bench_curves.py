"""Fits per CPU second and optima reached, against SciPy and lmfit on the same curves.

    python benchmarks/bench_curves.py [--curves 1000] [--peer-curves 60] [--lmfit-curves 20]

Reached: residual sum of squares within 1e-6 (relative) of the least that anyone found, SciPy
from twenty starts included. Bars, against one start of scipy's curve_fit (unbounded,
in the middle of x; answers outside our bounds are not compared): power law and hinge
x10, sigmoid x8, p^L x4, broken power law x2; at least 99 % reached.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable

import numpy as np
from scipy.optimize import curve_fit

from saltus.curves.curve import FloatArray
from saltus.curves.law import LAWS
from saltus.curves.varpro import fit_law

NOISE = 0.01
POINTS = {"broken_power_law": (12, 20, 30)}
BARS = {
    "power_law_floor": 10.0, "hinge": 10.0, "sigmoid": 8.0, "pass_until": 4.0,
    "broken_power_law": 2.0,
}  # fmt: skip
STARTS = 20
LN10 = float(np.log(10.0))


def truth(name: str, rng: np.random.Generator, curves: int) -> dict[str, FloatArray]:
    """Parameters of random curves over three decades from 1e7."""

    def draw(low: float, high: float) -> FloatArray:
        return rng.uniform(low, high, (curves, 1))

    if name == "power_law_floor":
        exponent = draw(0.05, 0.8)
        return {
            "floor": draw(0, 1),
            "gain": draw(0.3, 1) * 10 ** (8.5 * exponent),
            "exponent": exponent,
        }
    if name == "sigmoid":
        floor = draw(0, 0.3)
        return {
            "floor": floor,
            "ceiling": floor + draw(0.3, 0.7),
            "steepness": draw(1, 8),
            "midpoint": draw(7.3, 9.7),
        }
    if name == "hinge":
        return {
            "intercept": draw(0, 0.3),
            "slope": draw(-0.1, 0.1),
            "change": draw(0.1, 1),
            "knot": draw(7.5, 9.5),
        }
    if name == "pass_until":
        exponent = draw(0.2, 1.5)
        return {"log10_coefficient": exponent * draw(7.3, 9.7), "exponent": exponent}
    return {
        "limit": draw(0, 0.3), "gain": draw(1, 2), "first_exponent": draw(0.02, 0.08),
        "exponent_change": draw(0.1, 0.8), "log10_break": draw(7.5, 9.5),
        "sharpness": draw(0.05, 0.6),
    }  # fmt: skip


# What a user of SciPy would write: plain formulas about the middle of x, where float64 and the
# default unbounded Levenberg-Marquardt do best, and the way back to our parameters.
def power(x: FloatArray, a: float, b: float, c: float) -> FloatArray:
    return a + b * np.exp(-c * x)


def hinge(x: FloatArray, a: float, b: float, d: float, t: float) -> FloatArray:
    return a + b * x + d * np.maximum(x - t, 0.0)


def sigmoid(x: FloatArray, a: float, h: float, k: float, m: float) -> FloatArray:
    return a + h / (1.0 + np.exp(-k * (x - m)))


def to_the_length(x: FloatArray, b: float, c: float) -> FloatArray:
    return np.exp(-np.exp(b - c * x))


def broken(
    x: FloatArray, a: float, lb: float, c0: float, c1: float, d: float, lf: float
) -> FloatArray:
    f = np.exp(lf)
    return a + np.exp(lb - LN10 * c0 * x - c1 * f * np.logaddexp(0.0, LN10 * (x - d) / f))


FORMULAS = {
    "power_law_floor": power, "hinge": hinge, "sigmoid": sigmoid, "pass_until": to_the_length,
    "broken_power_law": broken,
}  # fmt: skip


def inside(name: str, values: FloatArray, x: FloatArray) -> bool:
    """Whether a peer's answer lies within our bounds; others are not compared."""
    law, middle = LAWS[name], float(x.mean())
    named = {
        "power_law_floor": lambda v: {"exponent": v[2] / LN10},
        "hinge": lambda v: {},
        "sigmoid": lambda v: {"steepness": abs(v[2]), "midpoint": v[3] + middle},
        "pass_until": lambda v: {"exponent": v[1] / LN10},
        "broken_power_law": lambda v: {
            "first_exponent": v[2], "exponent_change": v[3], "log10_break": v[4] + middle,
            "sharpness": np.exp(min(v[5], 50.0)),
        },
    }[name](values)  # fmt: skip
    span = float(np.ptp(x))
    ends = dict(law.bounds)
    for place, share in law.near.items():
        ends[place] = (x.min() - share * span, x.max() + share * span)
    return all(ends[key][0] <= value <= ends[key][1] for key, value in named.items())


def guess(name: str, x: FloatArray, y: FloatArray, rng: np.random.Generator | None) -> FloatArray:
    """What a user would start from: a look at the data; moved about for more starts."""
    low, rise, span = float(y.min()), float(np.ptp(y)), float(np.ptp(x))
    rising = 1.0 if y[-1] > y[0] else -1.0
    values = np.array({
        "power_law_floor": [y[-1], y[0] - y[-1], 0.7],
        "sigmoid": [low, rise, 3.0 * rising, 0.0],
        "hinge": [y[0], 0.0, rise / span, 0.0],
        "pass_until": [0.0, 1.0],
        "broken_power_law": [0.0, np.log(max(abs(y).max(), 0.1)), 0.05, 0.4, 0.0, -1.2],
    }[name])  # fmt: skip
    if rng is None:
        return values
    values = values * np.exp(0.5 * rng.standard_normal(values.size))
    place = {"hinge": 3, "sigmoid": 3, "broken_power_law": 4}.get(name)
    if place is not None:
        values[place] = rng.uniform(x[0], x[-1])
    if name == "pass_until":
        values[0] = values[1] * rng.uniform(x[0], x[-1])
    return values


def scipy_from(name: str, x: FloatArray, y: FloatArray, start: FloatArray) -> float:
    middle = float(x.mean())
    try:
        found, _ = curve_fit(FORMULAS[name], x - middle, y, p0=start)
    except (RuntimeError, ValueError):
        return np.inf
    rss = float(np.square(y - FORMULAS[name](x - middle, *found)).sum())
    return rss if inside(name, found, x) else np.inf


def one_start(name: str, x: FloatArray, y: FloatArray) -> float:
    return scipy_from(name, x, y, guess(name, x - x.mean(), y, None))


def many_starts(name: str, x: FloatArray, y: FloatArray) -> float:
    rng = np.random.default_rng(0)
    return min(scipy_from(name, x, y, guess(name, x - x.mean(), y, rng)) for _ in range(STARTS))


def with_lmfit(name: str, x: FloatArray, y: FloatArray) -> float:
    import lmfit

    model, middle = lmfit.Model(FORMULAS[name]), float(x.mean())
    start = dict(zip(model.param_names, guess(name, x - middle, y, None), strict=True))
    try:
        found = model.fit(y, x=x - middle, **start)
    except (ValueError, RuntimeError):
        return np.inf
    values = np.array([found.best_values[key] for key in model.param_names])
    return float(np.square(found.residual).sum()) if inside(name, values, x) else np.inf


def timed(work: Callable[[], list[float]]) -> tuple[list[float], float]:
    start = time.process_time()
    found = work()
    return found, time.process_time() - start


def race(name: str, points: int, options: argparse.Namespace) -> None:
    law, rng = LAWS[name], np.random.default_rng(points)
    x = np.sort(7.0 + 3.0 * (np.arange(points) + rng.uniform(0.1, 0.9, points)) / points)
    parameters = truth(name, rng, options.curves)
    y = law.compute(x, **parameters) + NOISE * rng.standard_normal((options.curves, points))
    ours, cost = timed(lambda: fit_law(law, x, y).rss.tolist())
    rows = {"ours": (np.array(ours), options.curves / cost)}
    peers = {
        "curve_fit": (one_start, options.peer_curves),
        "lmfit": (with_lmfit, options.lmfit_curves),
        f"curve_fit x{STARTS}": (many_starts, options.start_curves),
    }
    for label, (peer, count) in peers.items():
        found, cost = timed(
            lambda peer=peer, count=count: [peer(name, x, one) for one in y[:count]]
        )
        rows[label] = (np.array(found), count / cost)
    least = np.full(options.curves, np.inf)
    for rss, _ in rows.values():
        least[: rss.size] = np.fmin(least[: rss.size], rss)
    base = rows["curve_fit"][1]
    compared = max(count for _, count in peers.values())
    for label, (rss, rate) in rows.items():
        seen = min(rss.size, compared)
        reached = np.mean(rss[:seen] <= least[:seen] * (1.0 + 1e-6) + 1e-15)
        verdict = ""
        if label == "ours":
            good = rate / base >= BARS[name] and reached >= 0.99
            verdict = "ok" if good else f"BELOW THE BAR x{BARS[name]:g}, 99 %"
        print(
            f"{name:<17} {points:3d}  {label:<14} {rate:9.0f}  x{rate / base:<7.2g} "
            f"{reached:6.1%}  {verdict}"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--curves", type=int, default=1000)
    parser.add_argument("--peer-curves", type=int, default=100)
    parser.add_argument("--lmfit-curves", type=int, default=20)
    parser.add_argument("--start-curves", type=int, default=25)
    parser.add_argument("--law", choices=list(BARS))
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of the peers: covariance not estimated, overflow
    print("law             points  who            fits/CPU s  ratio   reached")
    for name in BARS if options.law is None else [options.law]:
        for points in POINTS.get(name, (6, 12, 30)):
            race(name, points, options)


if __name__ == "__main__":
    main()
