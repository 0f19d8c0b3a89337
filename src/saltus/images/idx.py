"""MNIST as published: IDX files, plain or gzipped.

Source: LeCun, Cortes, Burges, "The MNIST database of handwritten digits": a magic number (two
zero bytes, the type, the number of dimensions), one big-endian 32-bit size per dimension, then
the values.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from saltus.errors import ReadError
from saltus.images.dataset import Images, ImageSet
from saltus.readers.files import opened

UNSIGNED_BYTE = 8
MOST_BYTES = 1 << 30
CLASSES = 10
PARTS = {"train": "train", "test": "t10k"}
KINDS = {"pixels": "images-idx3-ubyte", "labels": "labels-idx1-ubyte"}
WANTED = ", ".join(f"{part}-{kind}.gz" for part in PARTS.values() for kind in KINDS.values())


def mnist(folder: Path) -> ImageSet | None:
    """The four files of MNIST in a folder; None where none of them is there.

    Raises:
        ReadError: some are missing, or one is damaged.
    """
    places = {
        (part, kind): _place(folder, f"{PARTS[part]}-{KINDS[kind]}")
        for part in PARTS
        for kind in KINDS
    }
    found = [place for place in places.values() if place]
    if not found:
        return None
    if missing := [f"{PARTS[p]}-{KINDS[k]}" for (p, k), place in places.items() if not place]:
        raise ReadError(f"MNIST is four files; put {', '.join(missing)} (or .gz) there", folder)
    train, test = (
        _pair(*(place for (p, _), place in places.items() if p == part and place)) for part in PARTS
    )
    names = ", ".join(place.name for place in found)
    return ImageSet("mnist", "MNIST", train, test, CLASSES, names, "as published")


def _place(folder: Path, name: str) -> Path | None:
    """The file under the names that it goes by."""
    dotted = name.replace("-idx", ".idx")
    names = [stem + ending for stem in (name, dotted) for ending in ("", ".gz")]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _pair(pixels_at: Path, labels_at: Path) -> Images:
    pixels, labels = read_idx(pixels_at, 3), read_idx(labels_at, 1)
    if len(pixels) != len(labels):
        what = f"{len(labels)} labels for the {len(pixels)} images of {pixels_at.name}"
        raise ReadError(f"{what}; fetch both files again", labels_at)
    if pixels.shape[1:] != (28, 28) or labels.max() >= CLASSES:
        raise ReadError("not the digits 0 to 9 in 28 x 28 pixels, as in MNIST", pixels_at)
    return Images(pixels, labels.astype(np.int64))


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """An IDX file of unsigned bytes, at most 1 GB.

    Args:
        path: the file, plain or gzipped.
        dimensions: how many it must have.

    Raises:
        ReadError: another type or shape, or not the bytes that its header announces.
    """
    with opened(path) as (_, stream):
        header = stream.read(4 + 4 * dimensions)
        if header[:4] != bytes((0, 0, UNSIGNED_BYTE, dimensions)):
            raise ReadError(f"no IDX file of unsigned bytes in {dimensions} dimension(s)", path)
        if len(header) < 4 + 4 * dimensions:
            raise ReadError("the IDX header is cut short; fetch the file again", path)
        shape = struct.unpack(f">{dimensions}I", header[4:])
        size = math.prod(shape)
        if not 0 < size <= MOST_BYTES:
            raise ReadError(f"the IDX header announces {size} bytes, beyond all use", path)
        data = stream.read(size + 1)
    if len(data) != size:
        there = "fewer" if len(data) < size else "more"
        told = " x ".join(map(str, shape))
        what = f"the IDX header announces {told} bytes and {there} are there"
        raise ReadError(f"{what}; fetch the file again", path)
    return np.frombuffer(data, np.uint8).reshape(shape)
