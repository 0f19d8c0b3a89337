"""The pooled forecast: members weighted by their past scores, as wide as the past demands.

What pools what: weights and width are learned from origins further back of all families at
hand, from tasks like the one asked about (same reaction of the metric, moving with scale or
still). Points of one family and hidden size share their model, so the sample size that shrinks
weights to equal ones and the stretch to 1 is the number of such pairs, not of points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from saltus.forecasts.block import Block
from saltus.forecasts.forecaster import DRAWS, FORECASTERS, observe
from saltus.forecasts.links import FloatArray
from saltus.forecasts.rolling import Origin
from saltus.forecasts.scores import crps, interval

LEVEL = 0.9
EQUAL = 1.0  # hidden sizes that equal weights count as
UNSTRETCHED = 1.0  # hidden sizes that a width of 1 counts as
NAIVE = 0.5  # weight of a member of the naive set before there is a past
SHARPNESS = 6.0  # power of the inverse mean score
MOVING = 2.0  # |t| of the straight line above which a series moves with scale
STRETCHES = np.exp(np.linspace(np.log(0.7), np.log(4.0), 9))  # never much narrower than its parts

Class = tuple[str, bool]


class Past(NamedTuple):
    """Points of past origins in one class.

    Args:
        scores: (points, members) CRPS over the point's mean over members; NaN where absent.
        sizes: (points,) number of the family and hidden size of each point.
    """

    scores: FloatArray
    sizes: FloatArray


@dataclass(frozen=True)
class Experience:
    """What the past teaches: weights of members and stretch of the width, by class."""

    weights: dict[Class, FloatArray]
    stretch: dict[Class, float]


def members() -> list[str]:
    """Names of the forecasters, in the order of the weights."""
    return [entry.name for entry in FORECASTERS]


def classes(block: Block) -> list[Class]:
    """Reaction of the metric, and whether the series moves, for every series of a block."""
    place = block.axis("flops") if np.isfinite(block.axis("flops")).all() else block.axis("params")
    x = place[: block.models.height]
    return [(f.reaction, _moves(x, z)) for f, z in zip(block.series, block.z, strict=True)]


def _moves(x: FloatArray, z: FloatArray) -> bool:
    seen = np.isfinite(z) & np.isfinite(x)
    x, z = x[seen], z[seen]
    if np.unique(x).size < 3 or np.ptp(z) == 0.0:
        return bool(z.size > 1 and np.ptp(z) > 0.0)
    r = float(np.corrcoef(x, z)[0, 1])
    return bool(abs(r) * np.sqrt(x.size - 2) > MOVING * np.sqrt(max(1.0 - r * r, 1e-12)))


def learn(past: Sequence[Origin], rng: np.random.Generator) -> Experience:
    """Weights, and then the width of the ensemble that has them.

    Args:
        past: origins further back than the one to be forecast.
        rng: of the items.
    """
    found = _scores(past, rng)
    weights = {key: _weights(part) for key, part in found.items()}
    experience = Experience(weights, {})
    return Experience(weights, _stretches(past, experience, rng))


def _scores(past: Sequence[Origin], rng: np.random.Generator) -> dict[Class, Past]:
    rows: dict[Class, list[FloatArray]] = {}
    sizes: dict[Class, list[FloatArray]] = {}
    number = 0
    for origin in past:
        for place, (block, truth) in enumerate(zip(origin.blocks, origin.truths, strict=True)):
            number += 1
            table = np.stack(
                [crps(observe(block, origin.latent[name][place], rng), truth.value)
                 for name in members()], axis=-1,
            )  # fmt: skip
            for key, part in zip(classes(block), table, strict=True):
                seen = part[np.isfinite(part).any(axis=1)]
                rows.setdefault(key, []).append(_relative(seen))
                sizes.setdefault(key, []).append(np.full(len(seen), float(number)))
    return {key: Past(np.concatenate(rows[key]), np.concatenate(sizes[key])) for key in rows}


def _relative(scores: FloatArray) -> FloatArray:
    """Scores over the mean of the members that have one."""
    known = np.isfinite(scores)
    mean = np.where(known, scores, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return scores / np.where(mean > 0.0, mean, 1.0)[:, None]


def first_weights() -> FloatArray:
    """Equal weights, those of the naive set halved."""
    return np.array([NAIVE if entry.naive else 1.0 for entry in FORECASTERS])


def _weights(past: Past) -> FloatArray:
    known = np.isfinite(past.scores)
    count = known.sum(axis=0)
    mean = np.where(known, past.scores, 0.0).sum(axis=0) / np.maximum(count, 1)
    merit = np.where(count > 0, np.maximum(mean, 1e-3) ** -SHARPNESS, 1.0)
    size = np.unique(past.sizes).size
    equal = first_weights()
    earned = merit / merit.sum()
    blended: FloatArray = (size * earned + EQUAL * equal / equal.sum()) / (size + EQUAL)
    return blended


def pool(origin: Origin, place: int, experience: Experience) -> FloatArray:
    """(series, targets, draws) latent draws of the ensemble for one block."""
    block = origin.blocks[place]
    latent = np.stack([origin.latent[name][place] for name in members()])
    made = np.full(latent.shape[1:], np.nan)
    for row, key in enumerate(classes(block)):
        weights = experience.weights.get(key, first_weights())
        for target in range(block.targets.height):
            made[row, target] = _mixed(latent[:, row, target], weights)
        made[row] = _stretched(made[row], experience.stretch.get(key, 1.0))
    return made


def _mixed(draws: FloatArray, weights: FloatArray) -> FloatArray:
    """Quantiles of each member in proportion to its weight, (draws,) together."""
    usable = np.isfinite(draws).all(axis=1)
    if not usable.any():
        return np.full(DRAWS, np.nan)
    share = np.where(usable, weights, 0.0)
    bounds = np.round(np.cumsum(share / share.sum()) * DRAWS).astype(int)
    counts = np.diff(bounds, prepend=0)
    parts = [
        np.quantile(row, (np.arange(count) + 0.5) / count)
        for row, count in zip(draws, counts, strict=True)
        if count
    ]
    return np.concatenate(parts)


def _stretched(draws: FloatArray, factor: float) -> FloatArray:
    middle = np.median(draws, axis=-1, keepdims=True)
    return middle + factor * (draws - middle)


def _stretches(
    past: Sequence[Origin], experience: Experience, rng: np.random.Generator
) -> dict[Class, float]:
    """The stretch at which 90 % intervals held 90 % of the past, shrunk to 1."""
    inside: dict[Class, list[FloatArray]] = {}
    sizes: dict[Class, set[int]] = {}
    number = 0
    for origin in past:
        for place, (block, truth) in enumerate(zip(origin.blocks, origin.truths, strict=True)):
            number += 1
            pooled = pool(origin, place, experience)
            held = np.stack(
                [_held(block, _stretched(pooled, s), truth.value, rng) for s in STRETCHES]
            )
            for row, key in enumerate(classes(block)):
                known = held[:, row][:, np.isfinite(held[0, row])]
                inside.setdefault(key, []).append(known)
                sizes.setdefault(key, set()).add(number)
    return {
        key: _stretch(np.concatenate(parts, axis=1), len(sizes[key]))
        for key, parts in inside.items()
    }


def _held(
    block: Block, latent: FloatArray, value: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """(series, targets) 1 where the 90 % interval holds the value, NaN where either is missing."""
    low, high = interval(observe(block, latent, rng), LEVEL)
    known = np.isfinite(value) & np.isfinite(low)
    return np.where(known, (low <= value) & (value <= high), np.nan)


def _stretch(held: FloatArray, sizes: int) -> float:
    """Stretch by coverage; (stretches, points) of 0 and 1."""
    if not held.shape[1]:
        return 1.0
    share = np.maximum.accumulate(held.mean(axis=1))
    enough = np.flatnonzero(share >= LEVEL)
    found = STRETCHES[enough[0]] if enough.size else STRETCHES[-1]
    return float(np.exp(np.log(found) * sizes / (sizes + UNSTRETCHED)))
