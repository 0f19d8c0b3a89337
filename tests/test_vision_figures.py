"""Fig. 7, 8 and 10 on families drawn from formulas, against plain loops."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from saltus import store
from saltus.errors import SaltusError
from saltus.experiments import EXPERIMENTS, Context, Outcome, judged
from saltus.experiments.pictured import floor_sizes, largest_step
from saltus.experiments.reproduce import reproduce
from saltus.tables import Models, Reported, Responses, Table, conform

SIZES = np.logspace(2, 5, 9)
SEEDS, ITEMS, CLASSES = 3, 120, 242
NAMES = {"fig7": "autoencoder", "fig8": "image_sequence", "fig10": "lenet"}


def written(folder: Path, name: str, table: type[Table], parts: list[pl.DataFrame]) -> None:
    models = [
        {"model": f"{size:g}@seed{seed}", "model_name": f"{size:g}", "family": name,
         "params": size, "seed": seed, "source": "drawn for a test"}
        for size in SIZES for seed in range(SEEDS)
    ]  # fmt: skip
    with store.draft_of(folder / name) as draft:
        writer = store.TableWriter(draft)
        writer.write(Models, conform(pl.DataFrame(models), Models))
        writer.write(table, conform(pl.concat(parts), table))
        writer.close(Models, table)
        store.save_manifest(draft, store.new_manifest() | {"notes": ["noise from a test"]})


def draws() -> Iterator[tuple[str, float, np.random.Generator]]:
    for place, size in enumerate(SIZES):
        for seed in range(SEEDS):
            rng = np.random.default_rng([place, seed])
            yield f"{size:g}@seed{seed}", place / (len(SIZES) - 1), rng


def items(count: int = ITEMS) -> list[str]:
    return [f"{item:03}" for item in range(count)]


def lenet() -> list[pl.DataFrame]:
    parts = []
    for model, place, rng in draws():
        logits = rng.normal(0, 1, (ITEMS, 10))
        logits[:, 3] += 5 * place
        logprobs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        parts.append(pl.DataFrame({
            "model": model, "task": "mnist", "item": items(), "target_index": 3,
            "choice_logprobs": logprobs.tolist(),
        }).with_columns(sample=pl.lit(0, pl.Int64)))  # fmt: skip
    return parts


def autoencoder() -> list[pl.DataFrame]:
    parts = []
    for model, place, rng in draws():
        errors = 150 * 10 ** (-0.9 * place) * rng.lognormal(0, 0.5, ITEMS)
        for c in (15, 20, 30):
            for metric, value in (("squared_error", errors), ("reconstruction", errors < c)):
                parts.append(pl.DataFrame({
                    "model": model, "task": f"cifar10_c{c}", "item": items(), "metric": metric,
                    "value": value.astype(float),
                    "chance": [0.0 if metric == "reconstruction" else None] * ITEMS,
                }, schema_overrides={"chance": pl.Float64}))  # fmt: skip
    return parts


def image_sequence() -> list[pl.DataFrame]:
    parts = []
    for model, place, rng in draws():
        loss = 5 * 10 ** (-1.5 * place) * rng.lognormal(0, 0.2, (ITEMS, 5))
        right = rng.random((ITEMS, 5)) < np.exp(-loss)
        for length in range(1, 6):
            said = np.where(right[:, :length], 17, 18)
            parts.append(pl.DataFrame({
                "model": model, "task": f"omniglot_{length}", "item": items(),
                "output": [" ".join(map(str, row)) for row in said],
                "targets": [[" ".join(["17"] * length)]] * ITEMS,
                "target_logprobs": (-loss[:, :length]).tolist(),
                "chance": float(CLASSES) ** -length,
            }).with_columns(sample=pl.lit(0, pl.Int64)))  # fmt: skip
    return parts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("trained")
    written(place, "lenet", Responses, lenet())
    written(place, "autoencoder", Reported, autoencoder())
    written(place, "image_sequence", Responses, image_sequence())
    return place


@pytest.fixture(scope="module")
def outcomes(folder: Path) -> Iterator[dict[str, Outcome]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judged, "RESAMPLES", 99)
        yield {
            name: EXPERIMENTS[name].function(Context(name, "smoke", 0, folder.joinpath))
            for name in NAMES
        }


def sheet(outcome: Outcome, name: str) -> pl.DataFrame:
    (found,) = (one.frame for one in outcome.sheets if one.name == name)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_seed_and_all_together_are_judged(name: str, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes[name]
    verdicts = sheet(outcome, "verdicts")
    seeds = verdicts.group_by("task", "metric", "partner").agg(pl.col("seed").sort(nulls_last=True))
    assert all(found == [0, 1, 2, None] for found in seeds["seed"].to_list())
    assert verdicts["apparent"].null_count() == 0
    assert (verdicts["noise"] == "K").all()
    assert "noise from a test" in outcome.figures[0].caption
    assert all(path.is_file() for path in outcome.inputs)
    assert all(check.detail for check in outcome.checks)


def test_k_of_k_is_judged_with_both_partners(outcomes: dict[str, Outcome]) -> None:
    pairs = sheet(outcomes["fig10"], "verdicts").group_by("metric", "partner").len()
    assert pairs.height == 2 * 5
    assert set(pairs["partner"]) == {"correct_choice_probability", "choice_log_loss"}


def test_a_smooth_family_is_never_a_break(outcomes: dict[str, Outcome]) -> None:
    for outcome in outcomes.values():
        verdicts = sheet(outcome, "verdicts").filter(
            pl.col("partner") != "correct_choice_probability"  # an S: docs/vision.md
        )
        assert "BREAK" not in verdicts["verdict"].to_list()


def test_fig10_is_the_share_of_subsets(outcomes: dict[str, Outcome], folder: Path) -> None:
    values = sheet(outcomes["fig10"], "values")
    rows = store.load(folder / "lenet", Responses)
    for place, size in ((2, SIZES[2]), (8, SIZES[8])):
        wanted = []
        for seed in range(SEEDS):
            run = rows.filter(model=f"{size:g}@seed{seed}")["choice_logprobs"]
            right = sum(max(range(10), key=row.__getitem__) == 3 for row in run.to_list())
            wanted.append(math.comb(right, 5) / math.comb(ITEMS, 5))
        assert values["subset_accuracy@5"][place] == pytest.approx(np.mean(wanted))


def test_fig7_counts_the_errors_below_c(outcomes: dict[str, Outcome], folder: Path) -> None:
    values = sheet(outcomes["fig7"], "values")
    rows = store.load(folder / "autoencoder", Reported).filter(metric="squared_error")
    last = rows.filter(pl.col("model").str.starts_with(f"{SIZES[-1]:g}@"))
    for c in (15, 20, 30):
        errors = last.filter(task=f"cifar10_c{c}")["value"]
        assert values[f"reconstruction_c{c}"][-1] == pytest.approx((errors < c).mean())
        assert values["squared_error"][-1] == pytest.approx(errors.mean())
    assert "CIFAR-10 instead of the paper's CIFAR-100" in outcomes["fig7"].figures[0].caption


def test_fig8_compares_all_of_5_with_independence(outcomes: dict[str, Outcome]) -> None:
    powers, values = (sheet(outcomes["fig8"], name) for name in ("powers", "values"))
    assert powers["all_of_5"].to_list() == pytest.approx(values["exact_match_5"].to_list())
    assert (
        (powers["low"] <= powers["difference"]) & (powers["difference"] <= powers["high"])
    ).all()
    # errors were drawn independently but for the difficulty of a place
    assert powers["difference"].abs().max() < 0.1
    accuracy, fifth = powers["per_image"], powers["fifth_power"]
    assert (fifth >= accuracy**5 - 1e-12).all()  # mean of powers over the seeds


def test_floors_and_steps() -> None:
    curve = pl.DataFrame({"params": [4.0, 1.0, 2.0, 3.0], "value": [0.8, 0.0, 0.04, 0.2]})
    assert floor_sizes(curve) == 2
    assert largest_step(curve) == pytest.approx(0.75)
    assert math.isnan(largest_step(curve.with_columns(value=0.1)))


def test_figures_without_pictures_are_refused_by_name_and_left_out_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="families are trained with PyTorch (saltus[train])")
    with pytest.raises(SaltusError, match=r"fig10: MNIST is needed: put train-images"):
        reproduce(["fig10"], tmp_path / "out")
    with pytest.raises(SaltusError, match=r"fig8: .*Omniglot is not there; put images_background"):
        reproduce(["fig8"], tmp_path / "out", data=tmp_path)
    assert not (tmp_path / "out").exists()
    fast = ("fig2", "fig7")
    with monkeypatch.context() as patch:
        patch.setattr("saltus.experiments.reproduce._names", lambda names: list(fast))
        rows = reproduce([], tmp_path / "out")
    assert rows["experiment"].to_list() == list(fast)
    assert rows["checks"][1] == "left out"
    assert "CIFAR-100 is needed" in rows["verdict"][1]
    assert (tmp_path / "out" / "fig2").is_dir()
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"cut")
    with pytest.raises(SaltusError, match="MNIST is four files"):
        reproduce(["fig10"], tmp_path / "new", data=tmp_path)


def test_figures_of_given_families_need_no_pictures(folder: Path, tmp_path: Path) -> None:
    (row,) = reproduce(["fig7"], tmp_path / "out", trained=folder).to_dicts()
    assert row["checks"] != "left out"
    assert (tmp_path / "out" / "fig7" / "fig7.png").stat().st_size > 10_000
