"""What the families that look at pictures share: their data, batches, and the `Learner`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from saltus.images.dataset import Images, ImageSet
from saltus.images.load import load_first
from saltus.models.transformer import parameters

ITEM_SEED = 0  # the same test pictures for every size and seed


@dataclass(frozen=True)
class Looking:
    """One size and seed of a family that looks at pictures: a `Learner` made of functions.

    Args:
        module: the network.
        flops_per_example: of training.
        batch: examples per step.
        pictures: per example.
        learning_rate: peak of the schedule.
        loss: step to the mean loss of its batch.
        validate: mean loss of the test pictures.
        respond: answers to them.
    """

    module: nn.Module
    flops_per_example: float
    batch: int
    pictures: int
    learning_rate: float
    loss: Callable[[int], Tensor]
    validate: Callable[[], float]
    respond: Callable[[], pl.DataFrame]

    @property
    def params(self) -> int:
        """Parameters of the network."""
        return parameters(self.module)

    @property
    def flops_per_step(self) -> float:
        """Training FLOPs of a batch."""
        return self.batch * self.flops_per_example

    @property
    def tokens_per_step(self) -> float:
        """Pictures of a batch."""
        return float(self.batch * self.pictures)


@lru_cache(maxsize=2)
def image_set(names: tuple[str, ...], folder: str | None) -> ImageSet:
    """The first of several sets that is in a folder, read once per process."""
    return load_first(names, None if folder is None else Path(folder))


def as_tensor(images: Images) -> Tensor:
    """(images, channels, rows, columns) from 0 to 1."""
    pixels = torch.from_numpy(images.pixels.astype(np.float32) / 255)
    return pixels.permute(0, 3, 1, 2).contiguous() if pixels.ndim == 4 else pixels[:, None]


def asked(images: Images, items: int) -> Images:
    """The test pictures that are asked, drawn once for all sizes and seeds."""
    order = np.random.default_rng(ITEM_SEED).permutation(len(images.labels))[:items]
    return Images(images.pixels[order], images.labels[order])


def item_names(images: Images) -> list[str]:
    """Identifiers of pictures by their order, as wide as the last needs."""
    width = len(str(len(images.labels) - 1))
    return [f"{place:0{width}}" for place in range(len(images.labels))]


def batch_at(seed: int, step: int, batch: int, examples: int) -> NDArray[np.int64]:
    """(batch,) places of the examples of a step: every epoch a new order, decided by the seed.

    Examples that fill no whole batch at the end of an epoch are left to later ones.
    """
    epoch, place = divmod(step, max(1, examples // batch))
    return _order(seed, epoch, examples)[place * batch : (place + 1) * batch]


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, examples: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, epoch)).permutation(examples)


def device_of(module: nn.Module) -> torch.device:
    """Where a network lies."""
    return next(module.parameters()).device
