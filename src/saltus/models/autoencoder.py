"""The shallow nonlinear autoencoder of Schaeffer et al. (2023), arXiv 2304.15004, sec. 5.

One hidden layer, the bottleneck, whose width is the dial; leaky ReLU behind it (ours: the paper
does not say which nonlinearity) and a linear output on the pixel scale from 0 to 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from saltus.models.pictures import draw_weights

SLOPE = 0.2  # of the leaky ReLU below 0


class Autoencoder(nn.Module):
    """The network.

    Args:
        values: pixel values of a picture, 3,072 for 32 x 32 in colour.
        width: units of the bottleneck.
        generator: source of the first weights.
    """

    def __init__(self, values: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.encoder = nn.Linear(values, width)
        self.decoder = nn.Linear(width, values)
        self.apply(lambda module: draw_weights(module, generator))

    def forward(self, pictures: Tensor) -> Tensor:
        """(batch, values) to the same."""
        found: Tensor = self.decoder(functional.leaky_relu(self.encoder(pictures), SLOPE))
        return found

    @property
    def flops_per_example(self) -> float:
        """Training FLOPs per picture; the first layer needs no gradient of its input."""
        weights = self.encoder.weight.numel()
        return 2.0 * weights * (2 + 3)
