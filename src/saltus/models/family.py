"""What a trainable family is: one dial, presets, and a function that builds one network.

A family of a new kind is a function `build` under `@family(...)` that returns a `Learner`; the
training engine (`runners/train.py`), `saltus train` and `saltus list families` need no more.
Modules that register families must not import torch when they are imported: `build` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import polars as pl

from saltus.errors import SaltusError, UnknownNameError
from saltus.registry import Registry

if TYPE_CHECKING:
    import torch

PRESETS = ("smoke", "paper", "full")


@dataclass(frozen=True)
class Preset:
    """How much of a family is trained.

    Args:
        sizes: values of the family's dial, smallest first.
        seeds: runs of each size, seeds 0, 1, ...
        steps: optimizer steps of each run.
        batch: examples per step.
        items: held-out items that every checkpoint answers.
        checkpoints: checkpoints of each run that answer, log-spaced in steps, the last one
            included.
        learning_rate: peak, of a size whose `build` does not scale it.
        weight_decay: of AdamW, on matrices.
        data: folder with the files that the family learns from, where it needs any.
    """

    sizes: tuple[int, ...]
    seeds: int
    steps: int
    batch: int
    items: int
    checkpoints: int
    learning_rate: float
    weight_decay: float = 0.01
    data: str | None = None


class Learner(Protocol):
    """One network of a family in training: a size and a seed.

    `module` holds every parameter; all else is decided by the size, the seed and the preset.
    """

    module: torch.nn.Module

    @property
    def params(self) -> int:
        """Parameters, embeddings included."""
        ...

    @property
    def flops_per_step(self) -> float:
        """Training FLOPs of one step: forward and backward pass."""
        ...

    @property
    def tokens_per_step(self) -> float:
        """Training tokens (images, ...) of one step."""
        ...

    @property
    def learning_rate(self) -> float:
        """Peak of the schedule for this size."""
        ...

    def loss(self, step: int) -> torch.Tensor:
        """Mean loss of the batch of this step (from 0): a scalar that can be differentiated.

        The batch is decided by the seed and the step alone, so that a resumed run sees the
        same data.
        """
        ...

    def validate(self) -> float:
        """Mean loss on held-out data, nats per token (or the family's `loss_name`)."""
        ...

    def respond(self) -> pl.DataFrame:
        """Answers to the held-out items: columns of `Responses` but for `model` and `source`.

        A family whose answers are no text gives scores per item instead, columns of `Reported`.
        `task` may be left out where the family has one task, `sample` where items have one.
        """
        ...


Build = Callable[[int, int, Preset], Learner]


@dataclass(frozen=True)
class Family:
    """One trainable family: its facts and its function.

    Args:
        name: as on the command line and in `Models.family`.
        build: (size, seed, preset) to a `Learner` whose weights are those of this seed.
        task: name in `Responses.task`.
        dial: what a size is, such as "width".
        loss_name: of `Learner.validate`, for `Models.loss_name`.
        presets: by name, at least "smoke" and "paper".
        source: paper and section.
        summary: what is trained, in one line.
        images: sets of `images/` that it learns from; the first that is there is taken.
    """

    name: str
    build: Build
    task: str
    dial: str
    loss_name: str
    presets: Mapping[str, Preset]
    source: str
    summary: str
    images: tuple[str, ...] = ()

    def preset(self, name: str) -> Preset:
        """A preset by its name.

        Raises:
            UnknownNameError: the family has no such preset.
        """
        if name not in self.presets:
            raise UnknownNameError(f"preset of {self.name}", name, self.presets)
        return self.presets[name]


FAMILIES: Registry[Family] = Registry(
    "family", ("saltus.models.arithmetic", "saltus.models.vision")
)


def family(
    name: str,
    *,
    task: str,
    dial: str = "width",
    loss_name: str,
    presets: Mapping[str, Preset],
    source: str,
    summary: str,
    images: tuple[str, ...] = (),
) -> Callable[[Build], Family]:
    """Registers the function below as a trainable family."""

    def register(function: Build) -> Family:
        facts = (name, function, task, dial, loss_name, presets, source, summary, images)
        return FAMILIES.add(Family(*facts))

    return register


def need_torch() -> None:
    """Refuse in one line where PyTorch is not installed.

    Raises:
        SaltusError: with the command that installs it.
    """
    from importlib.util import find_spec

    if find_spec("torch") is None:
        raise SaltusError("training needs PyTorch: pip install 'saltus[train]'")
