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


WIDTHS = (4, 6, 8, 12, 16, 24, 32, 64)
_PAPER = Preset(
    sizes=WIDTHS, seeds=5, steps=2500, batch=256, items=600, checkpoints=10,
    learning_rate=3e-3, weight_decay=1.0,
)  # fmt: skip
_SMOKE = replace(
    _PAPER, sizes=(4, 8, 16, 32), seeds=3, steps=200, batch=64, items=300, checkpoints=4,
    learning_rate=8e-3,
)  # fmt: skip
PRESETS = {
    "smoke": _SMOKE,
    "paper": _PAPER,
    "full": replace(_PAPER, sizes=(*WIDTHS, 128), steps=10_000),
}

_family(
    "multiplication",
    "multiplication_2_reversed",
    "products of two 2-digit numbers, least significant digit first",
    PRESETS,
)
_family("addition", "addition_4_padded", "sums of two 4-digit numbers, padded with zeros", PRESETS)
