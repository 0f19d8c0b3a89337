"""Omniglot as published: zip archives of PNGs, `images_background*.zip`.

Source: Lake, Salakhutdinov, Tenenbaum 2015, Science 350(6266), and the data set's repository:
`images_background/ALPHABET/characterNN/IIII_DD.png`, 105 x 105 black on white, one picture per
character and drawer DD. Pictures are made 28 x 28 by area means, ink bright, as is usual.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from saltus.errors import ReadError, SaltusError
from saltus.images.dataset import Images, ImageSet, Pixels
from saltus.readers.archive import open_archive, place

SIDE, SMALL = 105, 28
TEST_DRAWERS = 5
DRAWERS = 20
MOST_IMAGES = 40_000
MOST_BYTES = 64 << 10
NAMED = re.compile(r"images_\w+/([^/]+)/(character\d\d)/\d+_(\d\d)\.png")
WHOLE = "images_background.zip"
SMALLS = ("images_background_small1.zip", "images_background_small2.zip")

Key = tuple[str, int]  # alphabet/character, drawer


def omniglot(folder: Path) -> ImageSet | None:
    """The background set in a folder, or what the two small archives hold of it.

    Raises:
        ReadError: an archive is damaged or holds something else.
        SaltusError: Pillow is not installed.
    """
    names = [WHOLE] if (folder / WHOLE).is_file() else list(SMALLS)
    archives = [folder / name for name in names if (folder / name).is_file()]
    if not archives:
        return None
    pictures = {key: picture for path in archives for key, picture in _pictures(path)}
    return by_drawer(pictures, ", ".join(path.name for path in archives))


def by_drawer(pictures: dict[Key, Pixels], source: str) -> ImageSet:
    """The last five drawers of every character are the test.

    Args:
        pictures: (28, 28) by character and drawer.
        source: the files they are from.
    """
    keys = sorted(pictures)
    names = sorted({name for name, _ in keys})
    place = {name: number for number, name in enumerate(names)}
    pixels = np.stack([pictures[key] for key in keys])
    labels = np.array([place[name] for name, _ in keys])
    late = np.array([drawer for _, drawer in keys]) > DRAWERS - TEST_DRAWERS
    if late.all() or not late.any():
        raise SaltusError(f"{source}: the drawers are all among the first 15 of 20, or none is")
    train, test = (Images(pixels[rows], labels[rows]) for rows in (~late, late))
    split = f"drawers 1 to {DRAWERS - TEST_DRAWERS} train, the last {TEST_DRAWERS} test"
    return ImageSet("omniglot", "Omniglot", train, test, len(names), source, split)


def shrunk(ink: NDArray[np.bool_]) -> Pixels:
    """28 x 28 area means of 105 x 105 pictures, 255 where all is ink.

    Args:
        ink: (..., 105, 105) where the pen was.
    """
    fine = np.linspace(0.0, SIDE, SMALL + 1)
    edges = np.arange(SIDE)
    # share of every old pixel that lies in a new one
    share = np.clip(
        np.minimum(fine[1:, None], edges + 1) - np.maximum(fine[:-1, None], edges), 0, 1
    )
    weights = share * SMALL / SIDE
    mean = weights @ ink.astype(np.float64) @ weights.T
    return np.asarray(np.rint(255 * mean), np.uint8)


def _pictures(path: Path) -> Iterator[tuple[Key, Pixels]]:
    with open_archive(path) as archive:
        found = {name: named.groups() for name in archive.members
                 if (named := NAMED.fullmatch(name))}  # fmt: skip
        if not found:
            raise ReadError("holds no images_background/ALPHABET/characterNN/*.png", path)
        if len(found) > MOST_IMAGES:
            raise ReadError(f"more than {MOST_IMAGES} pictures: not Omniglot", path)
        for name, (alphabet, character, drawer) in sorted(found.items()):
            at = place(path, name)
            if archive.members[name].size > MOST_BYTES:
                raise ReadError(f"a picture of more than {MOST_BYTES >> 10} KB", at)
            if not 1 <= int(drawer) <= DRAWERS:
                raise ReadError(f"drawer {drawer} is none of the {DRAWERS}", at)
            key = f"{alphabet}/{character}", int(drawer)
            yield key, shrunk(_ink(archive.read(name), at))


def _ink(data: bytes, at: Path) -> NDArray[np.bool_]:
    """Where a PNG is black; its size is looked at before anything is decoded."""
    try:
        from PIL import Image
    except ImportError:
        raise SaltusError("Pillow is not installed: pip install 'saltus[train]'") from None
    try:
        with Image.open(BytesIO(data), formats=("PNG",)) as picture:
            if picture.size != (SIDE, SIDE):
                raise ReadError(f"{picture.size} pixels, not {SIDE} x {SIDE}", at)
            return np.asarray(picture.convert("L")) < 128
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as fault:
        raise ReadError(f"no whole PNG ({fault}); fetch the file again", at) from None
