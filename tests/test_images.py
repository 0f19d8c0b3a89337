"""Pictures in their published formats, written here byte by byte, and files that lie."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import sys
import tarfile
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saltus.errors import ReadError, SaltusError
from saltus.images import cifar, idx, omniglot
from saltus.images.dataset import Images, split_by_lot
from saltus.images.load import load, load_first
from shared import SHARED, needs_shared

RNG = np.random.default_rng(5)
TRAIN, TEST = "train-images-idx3-ubyte", "t10k-images-idx3-ubyte"
LABELS = "train-labels-idx1-ubyte"


def idx_bytes(array: np.ndarray[Any, Any]) -> bytes:
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_mnist(folder: Path, packed: bool = True) -> dict[str, np.ndarray[Any, Any]]:
    arrays = {
        TRAIN: RNG.integers(0, 256, (30, 28, 28)),
        LABELS: RNG.integers(0, 10, 30),
        TEST: RNG.integers(0, 256, (10, 28, 28)),
        "t10k-labels-idx1-ubyte": RNG.integers(0, 10, 10),
    }
    for name, array in arrays.items():
        data = idx_bytes(array)
        path = folder / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(data) if packed else data)
    return arrays


def cifar_bytes(images: np.ndarray[Any, Any], *labels: np.ndarray[Any, Any]) -> bytes:
    return b"".join(
        bytes(int(label[row]) for label in labels) + image.transpose(2, 0, 1).tobytes()
        for row, image in enumerate(images)
    )


def pictures(count: int) -> np.ndarray[Any, Any]:
    return RNG.integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)


def png(side: int = 105, ink: tuple[int, int] | None = None) -> bytes:
    image = pytest.importorskip("PIL.Image", reason="Pillow writes the pictures")
    pixels = np.full((side, side), 255, np.uint8)
    if ink:
        pixels[ink[0] :, ink[1] :] = 0
    out = io.BytesIO()
    image.fromarray(pixels).convert("1").save(out, "PNG")
    return out.getvalue()


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def drawing(alphabet: str, character: int, drawer: int) -> str:
    return f"images_background/{alphabet}/character{character:02}/0001_{drawer:02}.png"


@pytest.mark.parametrize("packed", [True, False], ids=["gz", "plain"])
def test_mnist_comes_back_as_it_was_written(tmp_path: Path, packed: bool) -> None:
    arrays = write_mnist(tmp_path, packed)
    found = load("mnist", tmp_path)
    np.testing.assert_array_equal(found.train.pixels, arrays[TRAIN])
    np.testing.assert_array_equal(found.train.labels, arrays[LABELS])
    np.testing.assert_array_equal(found.test.pixels, arrays[TEST])
    assert (found.split, found.classes) == ("as published", 10)


def test_mnist_is_found_where_torchvision_puts_it(tmp_path: Path) -> None:
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    write_mnist(tmp_path / "MNIST" / "raw")
    assert len(load("mnist", tmp_path).test.labels) == 10


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (idx_bytes(np.zeros((3, 28, 28)))[:-1], "3 x 28 x 28 bytes and fewer are there"),
        (idx_bytes(np.zeros((3, 28, 28))) + b"x", "and more are there"),
        (b"\0\0\x08\x03" + struct.pack(">3I", 2**31, 2**31, 2**31), "beyond all use"),
        (b"\0\0\x08\x03" + struct.pack(">3I", 0, 28, 28), "beyond all use"),
        (b"\0\0\x08\x03\0\0", "header is cut short"),
        (b"\0\0\x0d\x03" + bytes(100), "no IDX file of unsigned bytes"),
        (b"PK\x03\x04 a zip", "no IDX file"),
        (b"", "empty"),
    ],
)
def test_a_damaged_idx_file_is_one_clear_line(tmp_path: Path, data: bytes, told: str) -> None:
    write_mnist(tmp_path, packed=False)
    (tmp_path / TRAIN).write_bytes(data)
    with pytest.raises(ReadError, match=told) as fault:
        load("mnist", tmp_path)
    assert TRAIN in str(fault.value)
    assert "\n" not in str(fault.value)


def test_a_truncated_gzip_names_the_file(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    place = tmp_path / f"{TRAIN}.gz"
    place.write_bytes(place.read_bytes()[:-400])
    with pytest.raises(ReadError, match=r"gzip data are cut short.*fetch the file again"):
        load("mnist", tmp_path)


def test_a_gzip_bomb_stops_at_what_the_header_announces(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    bomb = idx_bytes(np.zeros((2, 28, 28))) + bytes(50 << 20)
    (tmp_path / f"{TRAIN}.gz").write_bytes(gzip.compress(bomb))
    with pytest.raises(ReadError, match="more are there"):
        load("mnist", tmp_path)


def test_missing_parts_of_mnist_are_named(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    (tmp_path / f"{LABELS}.gz").unlink()
    with pytest.raises(ReadError, match=f"four files; put {LABELS}"):
        load("mnist", tmp_path)


def test_labels_that_do_not_fit_the_images(tmp_path: Path) -> None:
    write_mnist(tmp_path, packed=False)
    (tmp_path / LABELS).write_bytes(idx_bytes(np.zeros(29)))
    with pytest.raises(ReadError, match="29 labels for the 30 images"):
        load("mnist", tmp_path)
    (tmp_path / LABELS).write_bytes(idx_bytes(np.full(30, 10)))
    with pytest.raises(ReadError, match="not the digits"):
        load("mnist", tmp_path)


@given(data=st.binary(max_size=200))
def test_no_bytes_break_the_idx_reader(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("idx") / "any"
    path.write_bytes(b"\0\0\x08\x03" + data)
    try:
        found = idx.read_idx(path, 3)
    except ReadError:
        return
    assert found.tobytes() == data[12:]


def test_cifar10_files_and_archive_hold_the_same(tmp_path: Path) -> None:
    members = {}
    for name in (*cifar.CIFAR10.train, cifar.CIFAR10.test):
        images, labels = pictures(4), RNG.integers(0, 10, 4)
        members[name] = (images, labels, cifar_bytes(images, labels))
    plain, packed = tmp_path / "plain" / cifar.CIFAR10.folder, tmp_path / "packed"
    plain.mkdir(parents=True)
    packed.mkdir()
    with tarfile.open(packed / cifar.CIFAR10.archive, "w:gz") as archive:
        for name, (_, _, data) in members.items():
            (plain / name).write_bytes(data)
            entry = tarfile.TarInfo(f"{cifar.CIFAR10.folder}/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    one, two = load("cifar10", plain.parent), load("cifar10", packed)
    np.testing.assert_array_equal(one.train.pixels[4:8], members["data_batch_2.bin"][0])
    np.testing.assert_array_equal(one.train.labels[4:8], members["data_batch_2.bin"][1])
    for part in ("train", "test"):
        np.testing.assert_array_equal(getattr(one, part).pixels, getattr(two, part).pixels)
        np.testing.assert_array_equal(getattr(one, part).labels, getattr(two, part).labels)


def test_cifar100_takes_the_fine_label(tmp_path: Path) -> None:
    images, coarse, fine = pictures(5), np.full(5, 19), np.arange(95, 100)
    for name in ("train.bin", "test.bin"):
        (tmp_path / name).write_bytes(cifar_bytes(images, coarse, fine))
    found = load("cifar100", tmp_path)
    np.testing.assert_array_equal(found.test.pixels, images)
    assert found.test.labels.tolist() == fine.tolist()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (bytes(3072), "no whole number of 3074-byte records"),
        (b"\x00\xc8" + bytes(3072), "label 200 is no class of CIFAR-100"),
        (b"", "empty"),
    ],
)
def test_a_damaged_cifar_file(tmp_path: Path, data: bytes, told: str) -> None:
    for name in ("train.bin", "test.bin"):
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ReadError, match=told):
        load("cifar100", tmp_path)


def test_a_missing_part_of_cifar_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.bin").write_bytes(bytes(3074))
    with pytest.raises(ReadError, match=r"lacks test\.bin"):
        load("cifar100", tmp_path)


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("a pickle was opened",))


def test_the_python_version_is_refused_unopened(tmp_path: Path) -> None:
    folder = tmp_path / cifar.CIFAR10.python
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ReadError, match=r"pickle.*put the binary version, cifar-10-binary"):
        load("cifar10", tmp_path)


def test_archives_that_grow_or_are_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / cifar.CIFAR100.archive
    with tarfile.open(place, "w:gz") as archive:
        entry = tarfile.TarInfo("filler")
        entry.size = 3 << 20
        archive.addfile(entry, io.BytesIO(bytes(entry.size)))
    whole = place.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(cifar, "MOST_BYTES", 1 << 20)
        with pytest.raises(ReadError, match="more than 1 MB when decompressed"):
            load("cifar100", tmp_path)
    with pytest.raises(ReadError, match=r"lacks train\.bin, test\.bin"):
        load("cifar100", tmp_path)
    place.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ReadError, match="cut short or damaged"):
        load("cifar100", tmp_path)
    place.write_bytes(gzip.compress(RNG.bytes(20_000)))
    with pytest.raises(ReadError, match="cut short or damaged"):
        load("cifar100", tmp_path)


def test_omniglot_is_split_by_drawer_and_made_small(tmp_path: Path) -> None:
    corner, blank = png(ink=(0, 0)), png()
    members = {drawing("Greek", 1, drawer): corner for drawer in range(1, 21)}
    members |= {drawing("Latin", 2, drawer): blank for drawer in range(1, 21)}
    zipped(tmp_path / omniglot.WHOLE, members)
    found = load("omniglot", tmp_path)
    assert found.train.pixels.shape == (30, 28, 28)
    assert found.test.pixels.shape == (10, 28, 28)
    assert found.test.labels.tolist() == [0] * 5 + [1] * 5
    assert (found.test.pixels[0] == 255).all()
    assert (found.test.pixels[-1] == 0).all()


def test_characters_in_both_small_archives_count_once(tmp_path: Path) -> None:
    one = {drawing("Greek", 1, drawer): png() for drawer in range(1, 21)}
    two = {drawing("Tagalog", 3, drawer): png() for drawer in range(1, 21)}
    zipped(tmp_path / omniglot.SMALLS[0], one)
    zipped(tmp_path / omniglot.SMALLS[1], one | two)
    found = load("omniglot", tmp_path)
    assert found.classes == 2
    assert len(found.train.labels) == 30


def test_area_means_keep_the_ink() -> None:
    ink = RNG.random((6, 105, 105)) < 0.3
    small = omniglot.shrunk(ink)
    means = small.reshape(6, -1).mean(axis=1) / 255
    np.testing.assert_allclose(means, ink.reshape(6, -1).mean(axis=1), atol=0.002)
    # one old pixel fills (28/105)^2 of the new one that it lies in
    lone = np.zeros((105, 105), bool)
    lone[0, 0] = True
    assert omniglot.shrunk(lone)[0, 0] == round(255 * (28 / 105) ** 2)


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"readme.txt": b"x"}, "holds no images_background"),
        ({drawing("Greek", 1, 1): b"\x89PNG not"}, "no whole PNG"),
        ({drawing("Greek", 1, 33): b"x"}, "drawer 33 is none of the 20"),
        ({drawing("Greek", 1, 1): bytes(70_000)}, "a picture of more than 64 KB"),
    ],
)
def test_a_zip_that_is_no_omniglot(tmp_path: Path, members: dict[str, bytes], told: str) -> None:
    pytest.importorskip("PIL", reason="Pillow reads the pictures")
    zipped(tmp_path / omniglot.WHOLE, members)
    with pytest.raises(ReadError, match=told):
        load("omniglot", tmp_path)


def test_pictures_of_another_size_are_not_decoded(tmp_path: Path) -> None:
    zipped(tmp_path / omniglot.WHOLE, {drawing("Greek", 1, 1): png(side=3000)})
    with pytest.raises(ReadError, match=r"\(3000, 3000\) pixels, not 105 x 105"):
        load("omniglot", tmp_path)


def test_png_and_zip_cut_short(tmp_path: Path) -> None:
    zipped(tmp_path / omniglot.WHOLE, {drawing("Greek", 1, 1): png(ink=(50, 50))[:-30]})
    with pytest.raises(ReadError, match="no whole PNG"):
        load("omniglot", tmp_path)
    path = zipped(tmp_path / omniglot.WHOLE, {drawing("Greek", 1, 1): png()})
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ReadError, match="cut short or never closed"):
        load("omniglot", tmp_path)


def test_without_pillow_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zipped(tmp_path / omniglot.WHOLE, {drawing("Greek", 1, 1): b"any"})
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(SaltusError, match=r"Pillow is not installed: pip install"):
        load("omniglot", tmp_path)


def test_npz_is_split_by_the_same_lot_every_time(tmp_path: Path) -> None:
    images = RNG.integers(0, 256, (50, 28, 28)).astype(np.uint8)
    np.savez_compressed(tmp_path / "mnist_some.npz", images=images, labels=np.arange(50) % 10)
    one, two = load("mnist", tmp_path), load("mnist", tmp_path)
    np.testing.assert_array_equal(one.test.labels, two.test.labels)
    assert (len(one.train.labels), len(one.test.labels)) == (40, 10)
    both = np.concatenate([one.train.pixels, one.test.pixels])
    assert sorted(map(bytes, both)) == sorted(map(bytes, images))
    assert "seed" in one.split


def test_a_lot_keeps_images_and_labels_together() -> None:
    labels = np.arange(25)
    pixels = np.broadcast_to(labels[:, None, None], (25, 2, 2)).astype(np.uint8)
    for part in split_by_lot(Images(pixels, labels))[:2]:
        np.testing.assert_array_equal(part.pixels[:, 0, 0], part.labels)


def npy(header: str, body: bytes = b"") -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body


def npz_error(tmp_path: Path, images: bytes | np.ndarray[Any, Any], labels: Any = 0) -> str:
    raw = io.BytesIO()
    np.save(raw, np.asarray(labels), allow_pickle=True)
    if isinstance(images, np.ndarray):
        whole = io.BytesIO()
        np.save(whole, images)
        images = whole.getvalue()
    zipped(tmp_path / "mnist.npz", {"images.npy": images, "labels.npy": raw.getvalue()})
    with pytest.raises(ReadError) as fault:
        load("mnist", tmp_path)
    return str(fault.value)


def test_arrays_that_lie_about_their_size_or_hold_objects(tmp_path: Path) -> None:
    huge = "{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999, 28, 28)}"
    objects = "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}"
    good = np.zeros((4, 28, 28), np.uint8)
    assert "not as large as its header says" in npz_error(tmp_path, npy(huge, bytes(784)))
    assert "array of object is not read" in npz_error(tmp_path, npy(objects, pickle.dumps(Trap())))
    assert "no NumPy array" in npz_error(tmp_path, b"nothing")
    assert "not uint8" in npz_error(tmp_path, good.astype(np.int64), np.zeros(4, int))
    assert "reach 11" in npz_error(tmp_path, good, [0, 1, 2, 11])
    assert "one whole number for each of 4" in npz_error(tmp_path, good, [0, 1])
    assert "array of object" in npz_error(tmp_path, good, np.array([Trap()], dtype=object))


def test_what_to_do_where_there_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(SaltusError, match=r"MNIST is needed: put train-images.*--data FOLDER"):
        load("mnist", None)
    with pytest.raises(SaltusError, match=r"no such folder; Omniglot is needed: put images_back"):
        load("omniglot", tmp_path / "absent")
    with pytest.raises(SaltusError, match=r"CIFAR-100 is not there; put cifar-100-binary\.tar\.gz"):
        load("cifar100", tmp_path)
    with pytest.raises(SaltusError, match="did you mean mnist"):
        load("minst", tmp_path)


def test_the_first_set_at_hand_is_taken(tmp_path: Path) -> None:
    for name in (*cifar.CIFAR10.train, cifar.CIFAR10.test):
        (tmp_path / name).write_bytes(bytes(3073))
    assert load_first(("cifar100", "cifar10"), tmp_path).name == "cifar10"
    with pytest.raises(SaltusError, match="CIFAR-100 is needed"):
        load_first(("cifar100", "cifar10"), None)


def test_downloading_without_torchvision_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(SaltusError, match=r"torchvision.*pip install torchvision, or put") as fault:
        load("mnist", tmp_path, download=True)
    assert "\n" not in str(fault.value)


def test_torchvision_is_asked_for_what_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[Any, ...]] = []

    def refuse(*given: Any, **_: Any) -> None:
        calls.append(given)
        raise RuntimeError("no network")

    def write(root: str, download: bool) -> None:
        write_mnist(Path(root))

    datasets = types.SimpleNamespace(MNIST=write, Omniglot=refuse)
    monkeypatch.setitem(sys.modules, "torchvision", types.SimpleNamespace(datasets=datasets))
    monkeypatch.setitem(sys.modules, "torchvision.datasets", datasets)
    utils = types.SimpleNamespace(download_url=refuse)
    monkeypatch.setitem(sys.modules, "torchvision.datasets.utils", utils)
    assert len(load("mnist", tmp_path / "new", download=True).train.labels) == 30
    with pytest.raises(SaltusError, match=r"cifar100 could not be fetched into .*: no network"):
        load("cifar100", tmp_path, download=True)
    assert calls[0][2:] == (cifar.CIFAR100.archive, cifar.CIFAR100.md5)


@needs_shared
@pytest.mark.parametrize(
    ("name", "train", "test"), [("mnist", 7200, 1800), ("cifar10", 5000, 1000)]
)
def test_the_shared_pictures(name: str, train: int, test: int) -> None:
    found = load(name, SHARED / "data" / "images")
    assert (len(found.train.labels), len(found.test.labels)) == (train, test)
    assert set(found.test.labels.tolist()) == set(range(10))


@needs_shared
def test_the_shared_omniglot_has_every_character_by_every_drawer() -> None:
    found = load("omniglot", SHARED / "data" / "images")
    assert found.classes == 242  # 136 + 156, Greek and Latin in both
    assert np.bincount(found.train.labels).tolist() == [15] * 242
    assert np.bincount(found.test.labels).tolist() == [5] * 242
