"""Pictures in NumPy's npz files: arrays `images` and `labels`, uint8, without pickles.

The names say the set: `mnist*.npz`, `cifar10_train*.npz` and `cifar10_test*.npz` (cifar100
likewise), `omniglot*.npz` with `class_names` and `drawer` too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saltus.errors import ReadError
from saltus.images.dataset import Images, ImageSet, Pixels, joined, split_by_lot
from saltus.images.omniglot import SIDE, Key, by_drawer, shrunk
from saltus.readers.archive import Archive, open_archive, place

Array = NDArray[Any]
PLAIN = "uibU"  # kinds of NumPy types that hold no objects and no fractions


def mnist(folder: Path) -> ImageSet | None:
    """Digits without a published split; None where there is no such file."""
    files = sorted(folder.glob("mnist*.npz"))
    if not files:
        return None
    train, test, how = split_by_lot(joined([_images(path, (28, 28), 10) for path in files]))
    return ImageSet("mnist", "MNIST", train, test, 10, _names(files), how)


def cifar10(folder: Path) -> ImageSet | None:
    """CIFAR-10 in two parts; None where one is not there."""
    return _cifar(folder, "cifar10", "CIFAR-10", 10)


def cifar100(folder: Path) -> ImageSet | None:
    """CIFAR-100 in two parts; None where one is not there."""
    return _cifar(folder, "cifar100", "CIFAR-100", 100)


def _cifar(folder: Path, name: str, title: str, classes: int) -> ImageSet | None:
    parts = [sorted(folder.glob(f"{name}_{part}*.npz")) for part in ("train", "test")]
    if not all(parts):
        return None
    train, test = (
        joined([_images(path, (32, 32, 3), classes) for path in files]) for files in parts
    )
    return ImageSet(name, title, train, test, classes, _names([*parts[0], *parts[1]]), "by file")


def omniglot(folder: Path) -> ImageSet | None:
    """Characters by drawer; None where there is no such file."""
    files = sorted(folder.glob("omniglot*.npz"))
    pictures: dict[Key, Pixels] = {}
    for path in files:
        arrays = _arrays(path, ("images", "labels", "class_names", "drawer"))
        pixels, labels, names, drawers = arrays.values()
        _check(path, pixels, labels, (SIDE, SIDE), len(names))
        if drawers.shape != labels.shape:
            raise ReadError(f"{len(drawers)} drawers for {len(labels)} images", path)
        small = shrunk(pixels > 0)
        keys = zip(names[labels].tolist(), drawers.tolist(), strict=True)
        pictures |= dict(zip(keys, small, strict=True))
    return by_drawer(pictures, _names(files)) if files else None


def _names(files: list[Path]) -> str:
    return ", ".join(path.name for path in files)


def _images(path: Path, shape: tuple[int, ...], classes: int) -> Images:
    pixels, labels = _arrays(path, ("images", "labels")).values()
    _check(path, pixels, labels, shape, classes)
    return Images(pixels, labels.astype(np.int64))


def _check(path: Path, pixels: Array, labels: Array, shape: tuple[int, ...], classes: int) -> None:
    if pixels.dtype != np.uint8 or pixels.shape[1:] != shape or not len(pixels):
        told = " x ".join(map(str, shape))
        what = f"`images` is {pixels.dtype} {pixels.shape}, not uint8 (images, {told})"
        raise ReadError(what, path)
    if labels.shape != pixels.shape[:1] or labels.dtype.kind not in "ui":
        raise ReadError(f"`labels` is not one whole number for each of {len(pixels)} images", path)
    if labels.min() < 0 or labels.max() >= classes:
        raise ReadError(f"`labels` reach {labels.max()}, beyond the {classes} classes", path)


def _arrays(path: Path, names: tuple[str, ...]) -> Mapping[str, Array]:
    with open_archive(path) as archive:
        return {name: _array(archive, name, path) for name in names}


def _array(archive: Archive, name: str, path: Path) -> Array:
    """One array, its size checked against its header before it is made."""
    if f"{name}.npy" not in archive.members:
        raise ReadError(f"has no array `{name}`", path)
    data, at = archive.read(f"{name}.npy"), place(path, f"{name}.npy")
    stream = BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise ReadError(f"format {version} of NumPy is not read; 1.0 is", at)
        shape, columns_first, dtype = np.lib.format.read_array_header_1_0(stream)
    except ValueError as fault:
        raise ReadError(f"no NumPy array ({fault})", at) from None
    if dtype.kind not in PLAIN or columns_first:
        raise ReadError(f"an array of {dtype} is not read: whole numbers or text, by rows", at)
    body = memoryview(data)[stream.tell() :]
    if math.prod(shape) * dtype.itemsize != len(body):
        raise ReadError("the array is not as large as its header says; make it again", at)
    return np.frombuffer(body, dtype).reshape(shape)
