"""A decoder-only transformer of characters, to be read from top to bottom.

Pre-norm blocks, learned positions, GELU, no dropout; after Radford et al. (2019), GPT-2, and
Vaswani et al. (2017), arXiv 1706.03762. One dial, the width: two layers, four times the width
in the feed-forward part, a head for every 16 channels and never fewer than two. A sequence is
prompt, answer, end mark; what follows is padding that nothing looks at, since attention only
looks back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

LAYERS = 2
HEADS = 2  # at least: an answer looks at two numbers
CHANNELS_PER_HEAD = 16
FEED_FORWARD = 4  # times the width
UNSEEN = -100  # label of a position whose prediction does not count
BACKWARD = 3  # forward and backward pass in forward passes (Kaplan et al. 2020, sec. 2.1)


@dataclass(frozen=True)
class Characters:
    """Characters as numbers: 0 is padding, 1 the end of an answer.

    Args:
        alphabet: the characters, in order.
    """

    alphabet: str
    padding = 0
    end = 1

    @property
    def size(self) -> int:
        """Number of different tokens."""
        return len(self.alphabet) + 2

    def encode(self, texts: Sequence[str], length: int) -> NDArray[np.int64]:
        """(texts, length) tokens, padded at the end.

        Raises:
            KeyError: a character is not of the alphabet.
        """
        place = {character: at + 2 for at, character in enumerate(self.alphabet)}
        rows = np.full((len(texts), length), self.padding)
        for row, text in zip(rows, texts, strict=True):
            row[: len(text)] = [place[character] for character in text]
        return rows

    def decode(self, tokens: Sequence[int]) -> str:
        """The text before the first end mark or padding."""
        text = ""
        for token in tokens:
            if token < 2:
                break
            text += self.alphabet[token - 2]
        return text


class Block(nn.Module):
    """Attention to what came before, then a feed-forward part, each beside a residual path."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = max(min(HEADS, width), width // CHANNELS_PER_HEAD)
        self.norm_attention = nn.LayerNorm(width)
        self.attention = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.norm_feed = nn.LayerNorm(width)
        self.up = nn.Linear(width, FEED_FORWARD * width)
        self.down = nn.Linear(FEED_FORWARD * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, width) to the same."""
        batch, length, width = x.shape
        joined = self.attention(self.norm_attention(x))
        split = joined.view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)  # each (batch, heads, length, channels)
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.mix(seen.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(functional.gelu(self.up(self.norm_feed(x))))


class Transformer(nn.Module):
    """The network.

    Args:
        tokens: size of the vocabulary.
        context: longest sequence.
        width: channels of the residual path, the dial of the family.
        generator: source of the first weights.
    """

    def __init__(self, tokens: int, context: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.context, self.width = context, width
        self.token = nn.Embedding(tokens, width)
        self.position = nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(LAYERS)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, tokens)
        self.apply(lambda module: draw_weights(module, generator))

    def forward(self, ids: Tensor) -> Tensor:
        """(batch, length) tokens to (batch, length, tokens) logits of the next token."""
        x = self.token(ids) + self.position.weight[: ids.shape[1]]
        logits: Tensor = self.head(self.norm(self.blocks(x)))
        return logits


def draw_weights(module: nn.Module, generator: torch.Generator) -> None:
    """Matrices with variance 1 / inputs, embeddings with standard deviation 1/2, no offsets."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.normal_(module.weight, 0, module.weight[0].numel() ** -0.5, generator)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, 0, 0.5, generator)


def parameters(module: nn.Module) -> int:
    """Parameters of a network, embeddings included."""
    return sum(weights.numel() for weights in module.parameters())


def flops_per_token(model: Transformer, length: int) -> float:
    """Training FLOPs per token: forward pass times three (Kaplan et al. 2020, table 1).

    Twice the weights of every matrix, and twice the products of queries with keys and of
    attention with values; look-ups, norms and activations are left out.
    """
    matrices = sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.Linear))
    attention = 2 * LAYERS * length * model.width
    return 2.0 * BACKWARD * float(matrices + attention)


def labels(ids: Tensor, prompts: Tensor, ends: Tensor) -> Tensor:
    """What each position must predict: the next token inside answers, `UNSEEN` elsewhere.

    Args:
        ids: (batch, length) tokens.
        prompts: (batch,) lengths of the prompts.
        ends: (batch,) lengths of prompt, answer and end mark.

    Returns:
        (batch, length - 1) labels for the logits of all positions but the last.
    """
    place = torch.arange(1, ids.shape[1], device=ids.device)
    counts = (place >= prompts[:, None]) & (place < ends[:, None])
    return torch.where(counts, ids[:, 1:], UNSEEN)


def token_losses(model: Transformer, ids: Tensor, wanted: Tensor) -> Tensor:
    """(batch, length - 1) cross-entropies in nats; 0 where a label is `UNSEEN`."""
    logits = model(ids[:, :-1])
    return functional.cross_entropy(
        logits.flatten(0, 1), wanted.flatten(), ignore_index=UNSEEN, reduction="none"
    ).view_as(wanted)


def generate(model: Transformer, ids: Tensor, prompts: Tensor, most: int) -> Tensor:
    """Greedy answers.

    Args:
        model: the network.
        ids: (batch, length) tokens; what stands behind a prompt is not looked at.
        prompts: (batch,) lengths of the prompts.
        most: tokens to generate; prompt and answer must fit into the context.

    Returns:
        (batch, most) tokens; behind an end mark they mean nothing.
    """
    row = torch.arange(len(ids), device=ids.device)
    room = int(prompts.max()) + most
    ids = functional.pad(ids, (0, max(0, room - ids.shape[1])))[:, :room].clone()
    with torch.no_grad():
        for place in range(most):
            at = prompts + place
            logits = model(ids[:, : int(at.max())])
            ids[row, at] = logits[row, at - 1].argmax(-1)
    return ids[row[:, None], prompts[:, None] + torch.arange(most, device=ids.device)]
