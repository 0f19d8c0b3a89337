"""The shallow nonlinear autoencoder of Schaeffer et al. (2023), arXiv 2304.15004, sec. 5.

One hidden layer, the bottleneck, whose width is the dial; leaky ReLU behind it (ours: the paper
does not say which nonlinearity) and a linear output on the pixel scale from 0 to 1.
"""

from __future__ import annotations

import polars as pl
import torch
from torch import Tensor, nn
from torch.nn import functional

from saltus.models.family import Preset
from saltus.models.pictures import Looking, as_tensor, asked, batch_at, image_set, item_names
from saltus.models.transformer import draw_weights

SETS = ("cifar100", "cifar10")  # the paper's set, else the smaller one of the same pictures
LIMITS = (15.0, 20.0, 30.0)  # c, on the sum over 3,072 pixel values from 0 to 1

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
        weights: int = self.encoder.weight.numel()
        return 2.0 * weights * (2 + 3)


def pictures(width: int, seed: int, preset: Preset) -> Looking:
    """An autoencoder that learns CIFAR; its answers are squared errors and Reconstruction_c.

    A task per c, so that each has its verdict; rows of `Reported`, one per picture.
    """
    images = image_set(SETS, preset.data)
    test = asked(images.test, preset.items)
    shown, seen = as_tensor(images.train).flatten(1), as_tensor(test).flatten(1)
    model = Autoencoder(shown.shape[1], width, torch.Generator().manual_seed(seed))

    def errors(pictures: Tensor) -> Tensor:
        place = pictures.to(model.decoder.weight.device)
        return (model(place) - place).square().sum(1)

    def loss(step: int) -> Tensor:
        chosen = torch.from_numpy(batch_at(seed, step, preset.batch, len(shown)))
        return errors(shown[chosen]).mean()

    def validate() -> float:
        with torch.no_grad():
            return float(errors(seen).mean())

    def respond() -> pl.DataFrame:
        with torch.no_grad():
            found = errors(seen).double().cpu().numpy()
        parts = [
            pl.DataFrame({"item": item_names(test), "metric": metric, "value": value}).with_columns(
                task=pl.lit(f"{images.name}_c{limit:g}"), chance=pl.lit(chance, pl.Float64)
            )
            for limit in LIMITS
            for metric, value, chance in (
                ("reconstruction", (found < limit).astype(float), 0.0),
                ("squared_error", found, None),
            )
        ]
        return pl.concat(parts)

    return Looking(
        model, model.flops_per_example, preset.batch, 1, preset.learning_rate, loss, validate,
        respond,
    )  # fmt: skip
