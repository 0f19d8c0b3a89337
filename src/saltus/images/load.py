"""A set of pictures by name: found in a folder, or fetched there first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from saltus.errors import SaltusError, UnknownNameError
from saltus.images import cifar, idx, npz, omniglot
from saltus.images.dataset import ImageSet
from saltus.images.download import fetch

# where people and torchvision put the files, below the folder that is named
PLACES = (".", "MNIST/raw", "mnist", "cifar10", "cifar100", "omniglot", "omniglot-py", "images")

Reader = Callable[[Path], ImageSet | None]


@dataclass(frozen=True)
class Known:
    """One set that can be loaded.

    Args:
        title: as the field writes it.
        wanted: the files to put into a folder.
        readers: the formats that are tried, published ones first.
    """

    title: str
    wanted: str
    readers: tuple[Reader, ...]


KNOWN = {
    "mnist": Known("MNIST", idx.WANTED, (idx.mnist, npz.mnist)),
    "cifar10": Known("CIFAR-10", cifar.CIFAR10.archive, (cifar.cifar10, npz.cifar10)),
    "cifar100": Known("CIFAR-100", cifar.CIFAR100.archive, (cifar.cifar100, npz.cifar100)),
    "omniglot": Known("Omniglot", omniglot.WHOLE, (omniglot.omniglot, npz.omniglot)),
}


def load(name: str, folder: Path | None, download: bool = False) -> ImageSet:
    """A set of pictures.

    Args:
        name: mnist, cifar10, cifar100 or omniglot.
        folder: where its files are, as published.
        download: fetch them there with torchvision where they are not.

    Raises:
        SaltusError: no folder, no such files in it, or one that is damaged, with the mend.
    """
    if name not in KNOWN:
        raise UnknownNameError("set of images", name, KNOWN)
    known = KNOWN[name]
    wanted = f"put {known.wanted} into a folder and name it with --data FOLDER"
    if folder is None:
        raise SaltusError(f"{known.title} is needed: {wanted}")
    if not folder.is_dir() and not download:
        raise SaltusError(f"{folder}: no such folder; {known.title} is needed: {wanted}")
    found = _found(known, folder)
    if found is None and download:
        fetch(name, folder)
        found = _found(known, folder)
    if found is None:
        raise SaltusError(f"{folder}: {known.title} is not there; {wanted}, or add --download")
    return found


def load_first(names: tuple[str, ...], folder: Path | None, download: bool = False) -> ImageSet:
    """The first of several sets that is in the folder; with none there, as `load` of the first."""
    if folder is not None and folder.is_dir():
        for name in names:
            found = _found(KNOWN[name], folder)
            if found is not None:
                return found
    return load(names[0], folder, download)


def _found(known: Known, folder: Path) -> ImageSet | None:
    for place in PLACES:
        for reader in known.readers:
            found = reader(folder / place)
            if found is not None:
                return found
    return None
