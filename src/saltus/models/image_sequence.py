"""A causal transformer over pictures and their labels, after Chan et al. (2022), arXiv 2205.05055.

A sequence is picture, label, picture, label, ...; at every picture the network says the label.
Pictures are embedded by convolutions (Chan et al.: a small ResNet; here three with stride 2),
labels by a table, and the blocks are those of `transformer.py`. In training a share of the
sequences is bursty: one class fills several places. Test sequences are balanced: every test
picture is in one of them, so every class comes equally often and no picture twice.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from saltus.images.dataset import Images
from saltus.models.family import Preset
from saltus.models.pictures import ITEM_SEED, Looking, as_tensor, image_set
from saltus.models.transformer import BACKWARD, LAYERS, Block, draw_weights

IntArray = NDArray[np.int64]

LENGTH = 5  # pictures in a sequence, as in Fig. 8 of Schaeffer et al. 2023
BURSTY = 0.5  # share of the training sequences
SHOTS = 3  # places that a bursty sequence gives to one class (Chan et al., sec. 2)
SHIFT = 2  # pixels by which training pictures are moved, at most
PLACES = (14 * 14, 7 * 7, 4 * 4)  # of the three convolutions
LEARNING_RATE_WIDTH = 32  # where the preset's learning rate holds


class ImageSequence(nn.Module):
    """The network.

    Args:
        classes: number of labels.
        width: channels of the residual path, the dial of the family.
        generator: source of the first weights.
    """

    def __init__(self, classes: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        channels = (1, max(1, width // 4), max(1, width // 2), max(1, width // 2))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, padding=1) for before, after in pairwise(channels)
        )
        self.picture = nn.Linear(channels[-1] * PLACES[-1], width)
        self.label = nn.Embedding(classes, width)
        self.position = nn.Embedding(2 * LENGTH, width)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(LAYERS)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)
        self.apply(lambda module: draw_weights(module, generator))

    def forward(self, pictures: Tensor, labels: Tensor) -> Tensor:
        """(batch, length, 28, 28) and (batch, length) to (batch, length, classes) logits.

        The logits at a picture have seen it and all pictures and labels before, not its label.
        """
        batch, length = labels.shape
        x = pictures.reshape(batch * length, 1, 28, 28)
        for convolution in self.convolutions:
            x = functional.gelu(convolution(x))
        seen = self.picture(x.flatten(1)).view(batch, length, -1)
        pairs = torch.stack([seen, self.label(labels)], dim=2)  # (batch, length, 2, width)
        x = self.blocks(pairs.flatten(1, 2) + self.position.weight[: 2 * length])
        logits: Tensor = self.head(self.norm(x[:, ::2]))
        return logits

    @property
    def flops_per_example(self) -> float:
        """Training FLOPs per sequence: products of weights and of attention, three times over.

        The first convolution needs no gradient of its input.
        """
        first, *others = (
            2.0 * LENGTH * places * convolution.weight.numel()
            for places, convolution in zip(PLACES, self.convolutions, strict=True)
        )
        inside = sum(m.weight.numel() for m in self.blocks.modules() if isinstance(m, nn.Linear))
        ends = self.picture.weight.numel() + self.head.weight.numel()
        # queries with keys, and attention with values
        attention = 2 * 2.0 * LAYERS * (2 * LENGTH) ** 2 * self.norm.normalized_shape[0]
        whole = sum(others) + 2.0 * LENGTH * (2 * inside + ends) + attention
        return float((BACKWARD - 1) * first + BACKWARD * whole)


class Batch(NamedTuple):
    """Training sequences.

    Args:
        classes: (sequences, length) classes.
        drawers: (sequences, length) which picture of its class.
        shifts: (sequences, length, 2) pixels down and right.
    """

    classes: IntArray
    drawers: IntArray
    shifts: IntArray


def training_sequences(
    rng: np.random.Generator, sequences: int, classes: int, drawers: int, bursty: float = BURSTY
) -> Batch:
    """Sequences whose classes are drawn evenly, a share of them bursty.

    Args:
        rng: source of all draws.
        sequences: how many.
        classes: number of classes.
        drawers: pictures per class, at least the length of a sequence; none comes twice in one.
        bursty: share of the sequences that give `SHOTS` places to one class.
    """
    drawn = rng.integers(0, classes, (sequences, LENGTH))
    order = rng.random((sequences, LENGTH)).argsort(axis=1)
    crowded = rng.random(sequences) < bursty
    shots = order[crowded, :SHOTS]
    drawn[np.flatnonzero(crowded)[:, None], shots] = drawn[crowded, :1]
    pictures = rng.random((sequences, drawers)).argsort(axis=1)[:, :LENGTH]
    return Batch(drawn, pictures, rng.integers(-SHIFT, SHIFT + 1, (sequences, LENGTH, 2)))


def balanced_sequences(images: Images, most: int) -> IntArray:
    """(sequences, length) places of test pictures: each picture in one sequence at most."""
    order = np.random.default_rng(ITEM_SEED).permutation(len(images.labels))
    whole = order[: len(order) // LENGTH * LENGTH].reshape(-1, LENGTH)
    return whole[:most]


def by_class(images: Images) -> IntArray:
    """(classes, drawers) places of the pictures of each class, as many as the rarest has."""
    order = np.argsort(images.labels, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(images.labels[order])) + 1)
    least = min(map(len, groups))
    return np.stack([group[:least] for group in groups])


def moved(pictures: Tensor, shifts: IntArray) -> Tensor:
    """(..., 28, 28) pictures moved down and right by (..., 2) pixels; what enters is empty."""
    side = pictures.shape[-1]
    wide = functional.pad(pictures, (SHIFT, SHIFT, SHIFT, SHIFT)).flatten(0, -3)
    start = SHIFT - torch.from_numpy(shifts.reshape(-1, 2))
    rows, columns = (start[:, at, None] + torch.arange(side) for at in (0, 1))
    place = torch.arange(len(wide))[:, None, None]
    return wide[place, rows[:, :, None], columns[:, None, :]].view(pictures.shape)


def characters(width: int, seed: int, preset: Preset) -> Looking:
    """A causal transformer that learns to label Omniglot.

    Its answers are the labels of sequences of 1 to 5 pictures, a task per length: the first
    pictures of every balanced sequence.
    """
    images = image_set(("omniglot",), preset.data)
    shown, seen = as_tensor(images.train)[:, 0], as_tensor(images.test)[:, 0]
    table, tests = by_class(images.train), balanced_sequences(images.test, preset.items)
    truth = torch.from_numpy(images.test.labels[tests])
    model = ImageSequence(images.classes, width, torch.Generator().manual_seed(seed))

    def losses(pictures: Tensor, labels: Tensor) -> Tensor:
        place = model.head.weight.device
        logits, wanted = model(pictures.to(place), labels.to(place)), labels.to(place)
        return functional.cross_entropy(logits.flatten(0, 1), wanted.flatten())

    def loss(step: int) -> Tensor:
        rng = np.random.default_rng((seed, step))
        drawn = training_sequences(rng, preset.batch, *table.shape)
        pictures = moved(shown[table[drawn.classes, drawn.drawers]], drawn.shifts)
        return losses(pictures, torch.from_numpy(drawn.classes))

    def validate() -> float:
        with torch.no_grad():
            return float(losses(seen[tests], truth))

    def respond() -> pl.DataFrame:
        place = model.head.weight.device
        with torch.no_grad():
            logits = model(seen[tests].to(place), truth.to(place)).cpu().double()
        right = torch.log_softmax(logits, -1).gather(-1, truth[..., None])[..., 0].numpy()
        said, wanted = logits.argmax(-1).numpy(), truth.numpy()
        return pl.concat([_answers(said, wanted, right, n, images.classes) for n in LENGTHS])

    rate = preset.learning_rate * min(2.0, (LEARNING_RATE_WIDTH / width) ** 0.5)
    return Looking(
        model, model.flops_per_example, preset.batch, LENGTH, rate, loss, validate, respond
    )


LENGTHS = range(1, LENGTH + 1)


def _answers(
    said: IntArray, wanted: IntArray, right: NDArray[np.float64], length: int, classes: int
) -> pl.DataFrame:
    """Answers to the first pictures of every sequence, as labels in a row."""
    digits = len(str(len(wanted) - 1))
    return pl.DataFrame(
        {
            "task": f"omniglot_{length}",
            "item": [f"{place:0{digits}}" for place in range(len(wanted))],
            "output": [" ".join(map(str, row)) for row in said[:, :length].tolist()],
            "targets": [[" ".join(map(str, row))] for row in wanted[:, :length].tolist()],
            "target_logprobs": right[:, :length].tolist(),
            "finish": "stop",
            "chance": float(classes) ** -length,
        }
    )
