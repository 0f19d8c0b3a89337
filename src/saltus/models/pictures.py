"""What the networks that look at pictures share: first weights, tensors and batches."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from saltus.images.dataset import Images

ITEM_SEED = 0  # the same test pictures for every size and seed


def draw_weights(module: nn.Module, generator: torch.Generator) -> None:
    """Weights with variance 1 / inputs, no offsets."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        inputs = module.weight[0].numel()
        nn.init.normal_(module.weight, 0, inputs**-0.5, generator)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def as_tensor(images: Images) -> Tensor:
    """(images, channels, rows, columns) from 0 to 1."""
    pixels = torch.from_numpy(images.pixels.astype(np.float32) / 255)
    return pixels.permute(0, 3, 1, 2).contiguous() if pixels.ndim == 4 else pixels[:, None]


def asked(images: Images, items: int) -> NDArray[np.int64]:
    """Places of the test pictures that are asked, drawn once for all sizes and seeds."""
    order = np.random.default_rng(ITEM_SEED).permutation(len(images.labels))
    return np.asarray(np.sort(order[:items]), np.int64)


def batch_at(seed: int, step: int, batch: int, examples: int) -> Tensor:
    """(batch,) places of the pictures of a step: every epoch a new order, decided by the seed.

    Pictures that fill no whole batch at the end of an epoch are left to later ones.
    """
    epoch, place = divmod(step, max(1, examples // batch))
    return torch.from_numpy(_order(seed, epoch, examples)[place * batch : (place + 1) * batch])


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, examples: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, epoch)).permutation(examples)
