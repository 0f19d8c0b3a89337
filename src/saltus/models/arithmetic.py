"""Families of transformers that learn one task of `tasks/` from scratch.

Items are held out together with their variants (both orders of a pair), all sizes and seeds
answer the same ones, and the rest of the task is what is trained on.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from saltus.models.family import Learner, Preset, family

if TYPE_CHECKING:
    from saltus.models.family import Build

SOURCE = "our own, after Schaeffer et al. 2023, arXiv 2304.15004, sec. 3"
LOSS = "held-out items, nats per answer character"


def _build(size: int, seed: int, preset: Preset, task: str) -> Learner:
    from saltus.models.answering import Answering

    return Answering(task, size, seed, preset)


def _family(name: str, task: str, summary: str, presets: dict[str, Preset]) -> None:
    build: Build = partial(_build, task=task)
    family(name, task=task, loss_name=LOSS, presets=presets, source=SOURCE, summary=summary)(build)


_PRODUCTS = Preset(
    sizes=(4, 6, 8, 12, 16, 24, 32, 64), seeds=5, steps=2000, batch=256, items=500, checkpoints=10,
    learning_rate=1e-2, weight_decay=0.4,
)  # fmt: skip
_SUMS = Preset(
    sizes=(4, 6, 8, 12, 16, 24), seeds=5, steps=1500, batch=64, items=500, checkpoints=10,
    learning_rate=5e-3, weight_decay=0.01,
)  # fmt: skip


def _presets(paper: Preset, largest: tuple[int, ...]) -> dict[str, Preset]:
    """The paper's preset, a quick one, and one that takes a night."""
    smoke = replace(paper, sizes=(4, 8, 16, 32), seeds=3, steps=200, batch=64, checkpoints=4)
    sizes = (*paper.sizes, *largest)
    return {
        "smoke": replace(smoke, items=300, learning_rate=8e-3),
        "paper": paper,
        "full": replace(paper, sizes=sizes, steps=4 * paper.steps, batch=256),
    }


_family(
    "multiplication",
    "multiplication_2_reversed",
    "products of two 2-digit numbers, least significant digit first",
    _presets(_PRODUCTS, (96, 128)),
)
_family(
    "addition",
    "addition_4_reversed",
    "sums of two 4-digit numbers, least significant digit first",
    _presets(_SUMS, (32, 48)),
)
