"""Rolling origins: what every forecaster would have said when the family was smaller.

Origin 0 hides the largest size of every family at once, origin 1 the two largest and asks for the
smaller of them, and so on. An origin is scored by what was hidden, and only origins further back
may teach it anything, so no held-out value ever reaches its own forecast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from saltus.forecasts.block import Block, Family, Truth
from saltus.forecasts.forecaster import FORECASTERS
from saltus.forecasts.links import FloatArray

FEWEST_SCALES = 2  # training sizes at an origin
ORIGINS = 4  # how far back: the past of origin 0 is three sizes deep


@dataclass(frozen=True)
class Origin:
    """All families with their largest sizes hidden, and every forecaster's draws.

    Args:
        number: sizes hidden beyond the one asked for; -1 where nothing is hidden.
        blocks: what was known.
        truths: what was hidden, one for each block; empty at -1.
        latent: forecaster to draws (series, targets, draws) for each block, on the link scale.
    """

    number: int
    blocks: tuple[Block, ...]
    truths: tuple[Truth, ...]
    latent: Mapping[str, Sequence[FloatArray]]


def ask(
    families: Sequence[Family], targets: Sequence[pl.DataFrame], rng: np.random.Generator
) -> Origin:
    """The forecasts that nobody can score yet: all is known, the targets lie ahead."""
    blocks = tuple(f.ask(t) for f, t in zip(families, targets, strict=True))
    return Origin(-1, blocks, (), run(blocks, rng))


def roll(
    families: Sequence[Family], rng: np.random.Generator, origins: int = ORIGINS
) -> list[Origin]:
    """Origins 0, 1, ... as far as any family has two smaller sizes."""
    made = []
    for number in range(origins):
        firsts = [(family, family.scales - 1 - number) for family in families]
        cuts = [family.hide(first) for family, first in firsts if first >= FEWEST_SCALES]
        if cuts:
            blocks = tuple(block for block, _ in cuts)
            truths = tuple(truth for _, truth in cuts)
            made.append(Origin(number, blocks, truths, run(blocks, rng)))
    return made


def run(blocks: Sequence[Block], rng: np.random.Generator) -> dict[str, list[FloatArray]]:
    """Every forecaster on the same blocks, each with a generator of its own."""
    seeds = rng.integers(2**32, size=2)
    return {
        entry.name: entry.function(blocks, np.random.default_rng([*seeds, *entry.name.encode()]))
        for entry in FORECASTERS
    }
