"""A transformer that learns to answer the items of a task: the `Learner` behind `arithmetic.py`."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from torch import Tensor

from saltus.models.family import Preset
from saltus.models.transformer import (
    Characters,
    Transformer,
    flops_per_token,
    generate,
    labels,
    parameters,
    token_losses,
)
from saltus.tasks import TASKS

POOL = 100_000  # items of a large task that are trained on
ITEM_SEED = 0  # the same items for every size and seed
LEARNING_RATE_WIDTH = 32  # where the preset's learning rate holds


class Examples(NamedTuple):
    """Encoded items.

    Args:
        ids: (items, length) prompt, answer, end mark, padding.
        labels: (items, length - 1) next tokens inside answers.
        prompts: (items,) lengths of the prompts.
    """

    ids: Tensor
    labels: Tensor
    prompts: Tensor


class Data(NamedTuple):
    """What a task is learnt from and asked with."""

    characters: Characters
    train: Examples
    held_out: Examples
    items: pl.DataFrame


@lru_cache(maxsize=2)
def data_of(task: str, items: int) -> Data:
    """Held-out items and the rest of a task; variants of held-out items are in neither."""
    entry = TASKS[task]
    count = POOL + items if entry.population is None else min(POOL + items, entry.population)
    drawn = entry.items(np.random.default_rng(ITEM_SEED), count)
    cluster = pl.col("cluster").fill_null(pl.col("item"))
    held = drawn.unique(cluster, keep="first", maintain_order=True).head(items)
    rest = drawn.join(
        held.select(cluster.alias("key")), left_on=cluster, right_on="key", how="anti"
    )
    letters = set("".join(drawn["prompt"])) | set("".join(drawn["targets"].list.first()))
    characters = Characters("".join(sorted(letters)))
    texts = pl.col("prompt").str.len_chars() + pl.col("targets").list.first().str.len_chars()
    length = int(drawn.select(texts.max()).item()) + 1
    return Data(
        characters, _encode(rest, characters, length), _encode(held, characters, length), held
    )


def _encode(items: pl.DataFrame, characters: Characters, length: int) -> Examples:
    answers = items["targets"].list.first()
    ids = torch.from_numpy(characters.encode((items["prompt"] + answers).to_list(), length))
    prompts = torch.from_numpy(items["prompt"].str.len_chars().cast(pl.Int64).to_numpy().copy())
    ends = prompts + torch.from_numpy(answers.str.len_chars().cast(pl.Int64).to_numpy().copy())
    ids[torch.arange(len(ids)), ends] = characters.end
    return Examples(ids, labels(ids, prompts, ends + 1), prompts)


class Answering:
    """One size and seed of a family that learns a task; a `Learner`.

    Args:
        task: name of a task whose items have one target.
        width: of the transformer.
        seed: of the first weights and the order of the data.
        preset: how much is trained.
    """

    def __init__(self, task: str, width: int, seed: int, preset: Preset) -> None:
        self.data = data_of(task, preset.items)
        self.seed, self.batch = seed, preset.batch
        self.context = self.data.held_out.ids.shape[1] - 1
        self.longest = int((self.data.held_out.labels >= 0).sum(1).max())  # answer and end mark
        generator = torch.Generator().manual_seed(seed)
        self.module = Transformer(self.data.characters.size, self.context, width, generator)
        self.learning_rate = preset.learning_rate * min(2.0, (LEARNING_RATE_WIDTH / width) ** 0.5)

    @property
    def params(self) -> int:
        """Parameters, embeddings included."""
        return parameters(self.module)

    @property
    def tokens_per_step(self) -> float:
        """Tokens of a batch, prompts included."""
        return float(self.batch * self.context)

    @property
    def flops_per_step(self) -> float:
        """See `flops_per_token`."""
        return self.tokens_per_step * flops_per_token(self.module, self.context)

    def batch_of(self, step: int) -> tuple[Tensor, Tensor]:
        """Tokens and labels of this step's examples, drawn with replacement."""
        train = self.data.train
        rng = np.random.default_rng((self.seed, step))
        chosen = torch.from_numpy(rng.integers(0, len(train.ids), self.batch))
        return train.ids[chosen], train.labels[chosen]

    def loss(self, step: int) -> Tensor:
        """Mean cross-entropy of the answers of this step's batch, end marks included."""
        ids, wanted = self.batch_of(step)
        return self._losses(ids, wanted).sum() / (wanted >= 0).sum()

    def validate(self) -> float:
        """Mean cross-entropy of the held-out answers, nats per character, end marks left out."""
        flat = [value for row in self.target_logprobs() for value in row]
        return -float(np.mean(flat))

    def respond(self) -> pl.DataFrame:
        """Greedy answers to the held-out items, and what their targets' characters cost.

        An answer has room for the longest target and its end mark; one that is cut there is
        wrong, so `finish` stays out.
        """
        held, items = self.data.held_out, self.data.items
        ids, prompts = self._here(held.ids, held.prompts)
        tokens = generate(self.module, ids, prompts, self.longest)
        rows = tokens.tolist()
        return items.select(
            "item",
            "targets",
            item_hash=pl.col("item"),
            output=pl.Series([self.data.characters.decode(row) for row in rows]),
            target_logprobs=pl.Series(self.target_logprobs(), dtype=pl.List(pl.Float64)),
            target_bytes=pl.col("targets").list.first().str.len_bytes().cast(pl.Int64),
            chance=pl.lit(0.0),
        )

    def target_logprobs(self) -> list[list[float]]:
        """Log-probabilities of the characters of each held-out target, end marks left out."""
        held = self.data.held_out
        with torch.no_grad():
            losses = self._losses(held.ids, held.labels).cpu()
        counts = held.labels > self.data.characters.end
        return [(-row[mask]).tolist() for row, mask in zip(losses, counts, strict=True)]

    def _losses(self, ids: Tensor, wanted: Tensor) -> Tensor:
        return token_losses(self.module, *self._here(ids, wanted))

    def _here(self, *tensors: Tensor) -> list[Tensor]:
        """Tensors on the device of the network."""
        return [tensor.to(self.module.head.weight.device) for tensor in tensors]
