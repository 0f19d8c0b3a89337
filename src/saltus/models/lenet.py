"""LeNet-5 with one dial, after LeCun, Bottou, Bengio, Haffner (1998), Proc. IEEE 86(11), sec. II.B.

Two convolutions of 5 x 5 with tanh and average pooling, three layers of units. The dial is the
width of the first of these; at 120 it is LeNet-5 (6 and 16 channels, 120 and 84 units, 61,706
parameters), at 1 every layer is one wide (100 parameters). The second convolution sees all
channels of the first, and the output is a softmax: as everyone builds it today.
"""

from __future__ import annotations

from math import ceil

import polars as pl
import torch
from torch import Tensor, nn
from torch.nn import functional

from saltus.models.family import Preset
from saltus.models.pictures import Looking, as_tensor, asked, batch_at, image_set, item_names
from saltus.models.transformer import draw_weights

FULL = 120  # width of LeNet-5
CLASSES = 10
KERNEL = 5
FIRST, SECOND = 28 * 28, 10 * 10  # places of the two convolutions


class LeNet(nn.Module):
    """The network.

    Args:
        width: units of the first full layer, 1 to 120 and beyond.
        generator: source of the first weights.
    """

    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__()
        few, many, last = (ceil(width * full / FULL) for full in (6, 16, 84))
        self.convolution1 = nn.Conv2d(1, few, KERNEL, padding=2)
        self.convolution2 = nn.Conv2d(few, many, KERNEL)
        self.units1 = nn.Linear(many * 5 * 5, width)
        self.units2 = nn.Linear(width, last)
        self.head = nn.Linear(last, CLASSES)
        self.apply(lambda module: draw_weights(module, generator))

    def forward(self, pictures: Tensor) -> Tensor:
        """(batch, 1, 28, 28) to (batch, 10) logits."""
        x = functional.avg_pool2d(torch.tanh(self.convolution1(pictures)), 2)  # 14 x 14
        x = functional.avg_pool2d(torch.tanh(self.convolution2(x)), 2)  # 5 x 5
        x = torch.tanh(self.units1(x.flatten(1)))
        logits: Tensor = self.head(torch.tanh(self.units2(x)))
        return logits

    @property
    def flops_per_example(self) -> float:
        """Training FLOPs per picture: products of weights, forward and backward.

        Twice the weights at every place, three times over; the first layer needs no gradient of
        its input. Activations and pooling are left out.
        """
        first = 2.0 * FIRST * self.convolution1.weight.numel()
        second = 2.0 * SECOND * self.convolution2.weight.numel()
        units = sum(m.weight.numel() for m in (self.units1, self.units2, self.head))
        return float(2 * first + 3 * (second + 2.0 * units))


def digits(width: int, seed: int, preset: Preset) -> Looking:
    """A LeNet that learns MNIST; its answers are the log-probabilities of the ten digits."""
    images = image_set(("mnist",), preset.data)
    test = asked(images.test, preset.items)
    pictures, seen = as_tensor(images.train), as_tensor(test)
    wanted, truth = torch.from_numpy(images.train.labels), torch.from_numpy(test.labels)
    model = LeNet(width, torch.Generator().manual_seed(seed))

    def losses(pictures: Tensor, wanted: Tensor) -> Tensor:
        place = model.head.weight.device
        return functional.cross_entropy(model(pictures.to(place)), wanted.to(place))

    def loss(step: int) -> Tensor:
        chosen = torch.from_numpy(batch_at(seed, step, preset.batch, len(wanted)))
        return losses(pictures[chosen], wanted[chosen])

    def validate() -> float:
        with torch.no_grad():
            return float(losses(seen, truth))

    def respond() -> pl.DataFrame:
        with torch.no_grad():
            logits = model(seen.to(model.head.weight.device)).cpu()
        logprobs = torch.log_softmax(logits.double(), dim=1)
        return pl.DataFrame(
            {
                "item": item_names(test),
                "target_index": test.labels,
                "choice_logprobs": logprobs.tolist(),
                "output": list(map(str, logits.argmax(1).tolist())),
            }
        )

    return Looking(
        model, model.flops_per_example, preset.batch, 1, preset.learning_rate, loss, validate,
        respond,
    )  # fmt: skip
