"""Fetching a set of pictures with torchvision, where the user asks for it."""

from __future__ import annotations

from pathlib import Path

from saltus.errors import SaltusError
from saltus.images.cifar import CIFAR10, CIFAR100

CIFAR_PAGE = "https://www.cs.toronto.edu/~kriz"


def fetch(name: str, folder: Path) -> None:
    """Puts the published files into a folder, their checksums verified.

    CIFAR comes in the binary version, which torchvision itself does not use.

    Raises:
        SaltusError: torchvision is not installed, or the files cannot be had.
    """
    try:
        from torchvision import datasets
        from torchvision.datasets.utils import download_url
    except ImportError:
        raise SaltusError(
            "torchvision, which fetches the images, is not installed: pip install torchvision, "
            "or put the files into the folder yourself"
        ) from None
    binary = {"cifar10": CIFAR10, "cifar100": CIFAR100}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if name in binary:
            archive = binary[name].archive
            download_url(f"{CIFAR_PAGE}/{archive}", str(folder), archive, binary[name].md5)
        elif name == "mnist":
            datasets.MNIST(str(folder), download=True)
        else:
            datasets.Omniglot(str(folder), background=True, download=True)
    except (OSError, RuntimeError) as fault:
        raise SaltusError(f"{name} could not be fetched into {folder}: {fault}") from None
