"""What a set of pictures is, and how one without a published split is split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]

TEST_SHARE = 0.2
SPLIT_SEED = 20230428


class Images(NamedTuple):
    """Pictures and what they show.

    Args:
        pixels: (images, rows, columns) or (images, rows, columns, 3), 0 to 255.
        labels: (images,) class of each, from 0.
    """

    pixels: Pixels
    labels: Labels


@dataclass(frozen=True)
class ImageSet:
    """A set of pictures, split for training and test.

    Args:
        name: mnist, cifar10, cifar100 or omniglot.
        title: as the field writes it.
        train: what networks are trained on.
        test: what they are asked.
        classes: number of classes.
        source: the files that were read.
        split: how training and test were told apart.
    """

    name: str
    title: str
    train: Images
    test: Images
    classes: int
    source: str
    split: str


def split_by_lot(images: Images) -> tuple[Images, Images, str]:
    """Training and test pictures where the files do not say: always the same lot.

    Args:
        images: all pictures.

    Returns:
        Four fifths, one fifth, and how that was done.
    """
    order = np.random.default_rng(SPLIT_SEED).permutation(len(images.labels))
    test = round(TEST_SHARE * len(order))
    parts = [Images(images.pixels[rows], images.labels[rows]) for rows in np.split(order, [-test])]
    return parts[0], parts[1], f"one fifth drawn for the test with seed {SPLIT_SEED}"


def joined(parts: list[Images]) -> Images:
    """Several files of one set, end to end."""
    return Images(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
