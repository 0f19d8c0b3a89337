"""CIFAR-10 and CIFAR-100 in the binary version, unpacked or in the published archive.

Source: Krizhevsky 2009, "Learning multiple layers of features from tiny images", and the data
sets' page: one byte (CIFAR-10) or two (CIFAR-100: coarse, fine) for the label, then 3,072 bytes,
the red plane first. The Python version is a pickle, which can run code when it is opened; it is
refused.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import numpy as np

from saltus.errors import ReadError
from saltus.images.dataset import Images, ImageSet, joined
from saltus.readers.files import opened

PIXELS = 3 * 32 * 32
MOST_BYTES = 512 << 20
MOST_MEMBERS = 100


@dataclass(frozen=True)
class Layout:
    """One of the two sets as it is published.

    Args:
        name: cifar10 or cifar100.
        title: as the field writes it.
        classes: number of classes; the last byte before the pixels is the class.
        label_bytes: bytes before the pixels.
        train: file names of the training part.
        test: file name of the test part.
        folder: what the archive unpacks to.
        python: what the refused Python version unpacks to.
        archive: name of the published archive.
        md5: of the archive, from the data sets' page.
    """

    name: str
    title: str
    classes: int
    label_bytes: int
    train: tuple[str, ...]
    test: str
    folder: str
    python: str
    archive: str
    md5: str


CIFAR10 = Layout(
    "cifar10", "CIFAR-10", 10, 1, tuple(f"data_batch_{n}.bin" for n in range(1, 6)),
    "test_batch.bin", "cifar-10-batches-bin", "cifar-10-batches-py", "cifar-10-binary.tar.gz",
    "c32a1d4ab5d03f1284b67883e8d87530",
)  # fmt: skip
CIFAR100 = Layout(
    "cifar100", "CIFAR-100", 100, 2, ("train.bin",), "test.bin", "cifar-100-binary",
    "cifar-100-python", "cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8",
)  # fmt: skip


def cifar10(folder: Path) -> ImageSet | None:
    """CIFAR-10 in a folder; None where it is not there.

    Raises:
        ReadError: a part is missing or damaged, or only the Python version is there.
    """
    return _read(folder, CIFAR10)


def cifar100(folder: Path) -> ImageSet | None:
    """CIFAR-100 in a folder; None where it is not there.

    Raises:
        ReadError: a part is missing or damaged, or only the Python version is there.
    """
    return _read(folder, CIFAR100)


def _read(folder: Path, layout: Layout) -> ImageSet | None:
    wanted = (*layout.train, layout.test)
    for place in (folder / layout.folder, folder):
        parts = {name: place / name for name in wanted if (place / name).is_file()}
        if parts:
            found = {name: _unpacked(path, layout) for name, path in parts.items()}
            return _whole(place, found, layout)
    archive = folder / layout.archive
    if archive.is_file():
        return _whole(archive, dict(_packed(archive, layout)), layout)
    for python in (folder / layout.python, folder / f"{layout.python}.tar.gz",
                   folder / layout.archive.replace("binary", "python")):  # fmt: skip
        if python.exists():
            what = "is the Python version, a pickle, which can run code when it is opened"
            raise ReadError(f"{what}; put the binary version, {layout.archive}, beside it", python)
    return None


def _whole(place: Path, found: dict[str, Images], layout: Layout) -> ImageSet:
    missing = [name for name in (*layout.train, layout.test) if name not in found]
    if missing:
        raise ReadError(f"{layout.title} lacks {', '.join(missing)}; fetch it again", place)
    train = joined([found[name] for name in layout.train])
    test = found[layout.test]
    return ImageSet(
        layout.name, layout.title, train, test, layout.classes, place.name, "as published"
    )


def _unpacked(path: Path, layout: Layout) -> Images:
    with opened(path) as (_, stream):
        return _records(stream.read(MOST_BYTES + 1), path, layout)


def _packed(path: Path, layout: Layout) -> Iterator[tuple[str, Images]]:
    """The parts in the archive, read one after the other without unpacking it."""
    wanted = (*layout.train, layout.test)
    with opened(path) as (_, stream), _tar_faults(path):
        bounded = cast(IO[bytes], _Bounded(stream, path))
        with tarfile.open(fileobj=bounded, mode="r|") as members:
            for number, member in enumerate(members):
                if number >= MOST_MEMBERS:
                    raise ReadError(f"more than {MOST_MEMBERS} members: not {layout.title}", path)
                name = member.name.rpartition("/")[2]
                data = members.extractfile(member) if name in wanted and member.isreg() else None
                if data is not None:
                    yield name, _records(data.read(), Path(f"{path}:{name}"), layout)


@contextmanager
def _tar_faults(path: Path) -> Iterator[None]:
    try:
        yield
    except tarfile.TarError as fault:
        raise ReadError(f"the archive is cut short or damaged ({fault})", path) from None


class _Bounded:
    """A stream that refuses to grow beyond all measure when decompressed."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self._stream, self._path, self._left = stream, path, MOST_BYTES

    def read(self, size: int) -> bytes:
        """At most `size` bytes."""
        data = self._stream.read(min(size, self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            limit = MOST_BYTES >> 20
            raise ReadError(f"more than {limit} MB when decompressed: no CIFAR", self._path)
        return data


def _records(data: bytes, path: Path, layout: Layout) -> Images:
    """Label and planes of every picture."""
    length = layout.label_bytes + PIXELS
    if len(data) > MOST_BYTES:
        raise ReadError(f"more than {MOST_BYTES >> 20} MB: no part of {layout.title}", path)
    if not data or len(data) % length:
        what = f"{len(data)} bytes are no whole number of {length}-byte records (cut short?)"
        raise ReadError(f"{what}; fetch {layout.archive} again", path)
    rows = np.frombuffer(data, np.uint8).reshape(-1, length)
    labels = rows[:, layout.label_bytes - 1].astype(np.int64)
    if labels.max() >= layout.classes:
        raise ReadError(f"label {labels.max()} is no class of {layout.title}", path)
    planes = rows[:, layout.label_bytes :].reshape(-1, 3, 32, 32)
    return Images(np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels)
