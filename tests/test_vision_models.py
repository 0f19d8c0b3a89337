"""LeNet, the autoencoder and the image sequences: shapes, counts, FLOPs, batches, answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch", reason="the families are trained with PyTorch (saltus[train])")

from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from saltus.cli import main  # noqa: E402
from saltus.images.dataset import Images  # noqa: E402
from saltus.metrics.score import score  # noqa: E402
from saltus.models.autoencoder import Autoencoder  # noqa: E402
from saltus.models.family import FAMILIES, Learner  # noqa: E402
from saltus.models.image_sequence import (  # noqa: E402
    LENGTH,
    SHOTS,
    ImageSequence,
    balanced_sequences,
    by_class,
    moved,
    training_sequences,
)
from saltus.models.lenet import LeNet  # noqa: E402
from saltus.models.pictures import batch_at  # noqa: E402
from saltus.pipeline import audit  # noqa: E402
from saltus.runners.train import train  # noqa: E402
from saltus.tables import Reported, Responses, conform  # noqa: E402

VISION = ("lenet", "autoencoder", "image_sequence")
RNG = np.random.default_rng(3)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small sets of noise in which a class is a brightness."""
    place = tmp_path_factory.mktemp("pictures")
    labels = np.arange(300) % 10
    bright = RNG.integers(0, 30, (300, 28, 28)) + 20 * labels[:, None, None]
    np.savez(place / "mnist.npz", images=bright.astype(np.uint8), labels=labels)
    for part, count in (("train", 200), ("test", 100)):
        colour = RNG.integers(0, 256, (count, 1, 1, 3)) * np.ones((1, 32, 32, 1))
        np.savez(
            place / f"cifar10_{part}.npz", images=colour.astype(np.uint8), labels=labels[:count]
        )
    ink = RNG.integers(0, 2, (160, 105, 105)).astype(np.uint8)
    np.savez(
        place / "omniglot.npz", images=ink, labels=np.arange(160) // 20,
        class_names=np.array([f"a/{n}" for n in range(8)]), drawer=np.arange(160) % 20 + 1,
    )  # fmt: skip
    return place


def learner(name: str, folder: Path, size: int | None = None, seed: int = 0) -> Learner:
    family = FAMILIES[name]
    preset = replace(family.preset("smoke"), data=str(folder), batch=16, items=100)
    return family.build(size or preset.sizes[1], seed, preset)


def steps(learner: Learner, count: int) -> list[float]:
    optimizer = torch.optim.AdamW(learner.module.parameters(), lr=learner.learning_rate)
    losses = []
    for step in range(count):
        optimizer.zero_grad()
        loss = learner.loss(step)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(
    ("model", "params"),
    [
        # LeCun et al. 1998 as built today: 156 + 2,416 + 48,120 + 10,164 + 850
        (LeNet(120, torch.Generator()), 61_706),
        (LeNet(1, torch.Generator()), 26 + 26 + 26 + 2 + 20),
        (Autoencoder(3072, 7, torch.Generator()), 2 * 7 * 3072 + 7 + 3072),
    ],
    ids=["LeNet-5", "smallest LeNet", "autoencoder"],
)
def test_parameters_by_hand(model: torch.nn.Module, params: int) -> None:
    assert sum(weights.numel() for weights in model.parameters()) == params


@pytest.mark.parametrize("name", VISION)
@pytest.mark.parametrize("size", [1, 2, 8, 32])
def test_flops_are_those_that_torch_counts(name: str, size: int, folder: Path) -> None:
    one = learner(name, folder, size)
    # only the plain kernel of attention consists of products that are counted
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        one.loss(0).backward()
    assert one.flops_per_step == counter.get_total_flops()
    assert one.params == sum(weights.numel() for weights in one.module.parameters())


@pytest.mark.parametrize("name", VISION)
def test_a_seed_decides_weights_and_data(name: str, folder: Path) -> None:
    one, same, other = (learner(name, folder, seed=seed) for seed in (1, 1, 2))
    assert steps(one, 3) == steps(same, 3) != steps(other, 3)
    assert one.respond().equals(same.respond())


@pytest.mark.parametrize("name", VISION)
def test_training_lowers_the_loss(name: str, folder: Path) -> None:
    one = learner(name, folder, 8)
    losses = steps(one, 60)
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:5])


@pytest.mark.parametrize("name", VISION)
def test_every_size_of_every_preset_can_be_built(name: str, folder: Path) -> None:
    for preset in FAMILIES[name].presets.values():
        params = [learner(name, folder, size).params for size in preset.sizes]
        assert params == sorted(set(params))


def test_a_missing_folder_is_one_clear_line() -> None:
    from saltus.errors import SaltusError

    family = FAMILIES["lenet"]
    with pytest.raises(SaltusError, match=r"MNIST is needed: put train-images.*--data FOLDER"):
        family.build(1, 0, family.preset("smoke"))


def test_lenet_answers_with_log_probabilities(folder: Path) -> None:
    one = learner("lenet", folder)
    rows = one.respond()
    table = conform(rows.with_columns(model=pl.lit("m"), task=pl.lit("t"), sample=0), Responses)
    found = score(table, ["multiple_choice_grade", "choice_log_loss"])
    losses = found.filter(pl.col("metric") == "choice_log_loss")["value"]
    assert losses.mean() == pytest.approx(one.validate(), rel=1e-5)
    right = (rows["output"].cast(pl.Int64) == rows["target_index"]).mean()
    grades = found.filter(pl.col("metric") == "multiple_choice_grade")["value"]
    assert grades.mean() == right


def test_the_autoencoder_reports_squared_errors_of_pixels_from_0_to_1(folder: Path) -> None:
    one = learner("autoencoder", folder)
    rows = conform(one.respond().with_columns(model=pl.lit("m")), Reported)
    errors = rows.filter(pl.col("metric") == "squared_error", pl.col("task") == "cifar10_c20")
    right = rows.filter(pl.col("metric") == "reconstruction", pl.col("task") == "cifar10_c20")
    assert errors["value"].mean() == pytest.approx(one.validate(), rel=1e-5)
    assert right["value"].to_list() == [float(error < 20) for error in errors["value"]]
    assert rows["task"].unique().sort().to_list() == ["cifar10_c15", "cifar10_c20", "cifar10_c30"]
    with torch.no_grad():
        for weights in one.module.parameters():
            weights.zero_()
    # a network that says black everywhere errs by the sum of the squared pixels
    images = np.load(folder / "cifar10_test.npz")["images"] / 255
    errors = one.respond().filter(pl.col("metric") == "squared_error")["value"]
    assert errors.max() == pytest.approx(np.square(images).reshape(100, -1).sum(1).max(), rel=1e-5)


def test_image_sequences_answer_for_every_length(folder: Path) -> None:
    one = learner("image_sequence", folder)
    rows = one.respond()
    assert rows["task"].unique().sort().to_list() == [f"omniglot_{n}" for n in range(1, 6)]
    whole = rows.filter(pl.col("task") == "omniglot_5")
    assert whole["target_logprobs"].explode().mean() == pytest.approx(-one.validate(), rel=1e-5)
    first = rows.filter(pl.col("task") == "omniglot_1")
    assert first["output"].to_list() == [text.split()[0] for text in whole["output"]]
    assert first["target_logprobs"].list.first().equals(whole["target_logprobs"].list.first())


def test_labels_are_not_seen_before_they_are_said() -> None:
    model = ImageSequence(9, 8, torch.Generator().manual_seed(0))
    pictures = torch.rand(4, LENGTH, 28, 28)
    labels = torch.randint(0, 9, (4, LENGTH))
    changed = labels.clone()
    changed[:, 2] = (changed[:, 2] + 1) % 9
    one, two = model(pictures, labels), model(pictures, changed)
    torch.testing.assert_close(one[:, :3], two[:, :3])
    assert not torch.allclose(one[:, 3:], two[:, 3:])


def test_training_sequences_are_bursty_as_often_as_asked() -> None:
    drawn = training_sequences(RNG, 4000, 500, 15, bursty=0.3)
    most = np.array([np.bincount(row).max() for row in drawn.classes])
    assert (most >= SHOTS).mean() == pytest.approx(0.3, abs=0.03)
    assert (np.sort(drawn.drawers, axis=1)[:, 1:] != np.sort(drawn.drawers, axis=1)[:, :-1]).all()
    counts = np.bincount(drawn.classes.ravel(), minlength=500)
    assert counts.min() > 0


def test_balanced_sequences_show_every_picture_once() -> None:
    images = Images(np.zeros((23, 28, 28), np.uint8), np.arange(23) % 4)
    places = balanced_sequences(images, 100)
    assert places.shape == (4, LENGTH)
    assert len(set(places.ravel().tolist())) == 20
    np.testing.assert_array_equal(images.labels[by_class(images)], np.arange(4)[:, None] + [0] * 5)


def test_pictures_are_moved_as_told() -> None:
    pictures = torch.rand(2, 3, 28, 28)
    shifts = np.zeros((2, 3, 2), np.int64)
    shifts[1, 2] = 2, -1
    found = moved(pictures, shifts)
    torch.testing.assert_close(found[0], pictures[0])
    torch.testing.assert_close(found[1, 2, 2:, :-1], pictures[1, 2, :-2, 1:])
    assert (found[1, 2, :2] == 0).all()


def test_every_epoch_is_another_order_of_all_examples() -> None:
    epochs = [np.concatenate([batch_at(7, e * 5 + s, 4, 20) for s in range(5)]) for e in (0, 1)]
    assert all(sorted(epoch) == list(range(20)) for epoch in epochs)
    assert not np.array_equal(*epochs)


@pytest.mark.parametrize("name", VISION)
def test_a_trained_folder_can_be_judged(name: str, folder: Path, tmp_path: Path) -> None:
    whole = FAMILIES[name].preset("smoke")
    preset = replace(whole, sizes=whole.sizes[:4], seeds=2, steps=2, batch=8, items=100)
    out = tmp_path / name
    assert train(name, preset, out, data=folder, workers=1)
    metric = "subset_accuracy@5" if name == "lenet" else None
    found = audit(out, metric=metric, resamples=99)
    params = found.verdicts.filter(pl.col("axis") == "params", ~pl.col("inverse"))
    assert params["apparent"].null_count() == 0
    pair = {
        "lenet": ("subset_accuracy@5", "correct_choice_probability"),
        "autoencoder": ("reconstruction", "squared_error"),
        "image_sequence": ("exact_match", "target_log_loss"),
    }[name]
    assert set(params.select("metric", "partner").iter_rows()) == {pair}
    (note,) = json.loads((out / "manifest.json").read_text())["notes"]
    assert ".npz" in note


def test_pictures_are_looked_for_before_anything_is_trained(folder: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    out = str(tmp_path / "out")
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03")
    for given, told in (
        (["lenet"], "MNIST is needed: put train-images-idx3-ubyte.gz"),
        (["lenet", "--data", str(tmp_path / "no")], "no such folder; MNIST is needed"),
        (["lenet", "--data", str(tmp_path)], "MNIST is four files; put train-labels"),
        (["image_sequence", "--data", str(tmp_path)], "Omniglot is not there; put images_back"),
        (["addition", "--data", str(folder)], "this family learns from no files"),
        (["lenet", "--preset", "huge", "--data", str(folder)], "no preset of lenet named 'huge'"),
    ):
        result = runner.invoke(main, ["train", *given, "--out", out])
        assert result.exit_code == 1
        assert told in result.output
        assert len(result.output.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["train-images-idx3-ubyte"]
