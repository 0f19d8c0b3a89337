"""The loss view: checkpoints on the loss axis, bends with intervals, who reaches them, the page."""

from __future__ import annotations

import json
from html import unescape
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from saltus import store
from saltus.cli import main
from saltus.curves.curve import FloatArray
from saltus.losses.bend import Bend, Place, locate
from saltus.losses.reach import drawn_thresholds, reach, scale_at_loss
from saltus.losses.rows import BITS_PER_BYTE, CHECKPOINTS, Group, bits_per_byte, groups, together
from saltus.losses.same import same_loss
from saltus.losses.thresholds import BENDS, SHAPES, loss_thresholds
from saltus.tables import Estimates, LossThresholds, Models, SameLoss, conform


def runs_of(
    score: FloatArray | None = None,
    *,
    sizes: int = 6,
    checkpoints: int = 8,
    seed: int = 0,
    threshold: float = 2.6,
    family: str = "Toy",
    shift: float = 0.0,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Estimates and models of a family whose accuracy leaves 1/4 below a loss threshold."""
    rng = np.random.default_rng(seed)
    size = np.repeat(10.0 ** np.linspace(7.5, 9.5, sizes), checkpoints)
    step = np.tile(np.unique(np.geomspace(100, 100000, checkpoints).astype(int)), sizes)
    tokens = step * 1e6
    loss = 1.7 + 120.0 * size**-0.28 + 160.0 * tokens**-0.28 + shift
    if score is None:
        rise = np.maximum(threshold - loss, 0.0)
        score = 0.25 + 0.6 * rise + 0.005 * rng.standard_normal(size.size)
    names = [f"{family}-{s:.0e}@step{t}" for s, t in zip(size, step, strict=True)]
    facts = {
        "model": names, "family": family, "params": size, "tokens": tokens, "loss": loss,
        "step": step, "flops": 6.0 * size * tokens,
    }  # fmt: skip
    estimates = pl.DataFrame(
        {**facts, "task": "choices", "metric": "accuracy", "value": score, "chance": 0.25,
         "missing_items": 0}
    )  # fmt: skip
    models = pl.DataFrame({**facts, "model_name": names, "loss_name": "corpus"})
    return conform(estimates, Estimates), conform(models, Models)


def only(estimates: pl.DataFrame, models: pl.DataFrame) -> Group:
    (group,) = groups(estimates, models)
    return group


def bend_of(score: FloatArray | None = None, **options: int) -> tuple[Group, dict[str, object]]:
    group = only(*runs_of(score, **options))
    (row,) = loss_thresholds([group], np.random.default_rng(0)).to_dicts()
    return group, row


def test_bits_per_byte() -> None:
    # 2.2 nats per token at 4.4 bytes per token
    assert bits_per_byte(2.2, 4.4) == pytest.approx(0.5 / np.log(2.0))


def test_checkpoints_of_a_run_stay_together_and_are_thinned() -> None:
    estimates, models = runs_of(checkpoints=40)
    group = only(estimates, models)
    assert group.rows["run"].n_unique() == 6
    assert group.rows.group_by("run").len()["len"].max() <= CHECKPOINTS
    assert set(np.unique(group.runs)) == set(range(6))
    first = group.rows.filter(pl.col("run") == group.rows["run"][0])["loss"]
    assert first.is_sorted(descending=True)


def test_losses_of_other_names_never_mix() -> None:
    estimates, models = runs_of()
    half = pl.int_range(pl.len()) % 2 == 0
    mixed = models.with_columns(
        pl.when(half).then(pl.lit("other")).otherwise("loss_name").alias("loss_name")
    )
    assert [group.loss_name for group in groups(estimates, mixed)] == ["corpus", "other"]


def test_families_are_compared_only_on_one_loss() -> None:
    first, second = runs_of(), runs_of(family="Other", threshold=2.8, seed=1)
    both = [*groups(*first), *groups(*second)]
    (pair,) = together(both)
    assert pair.family == "Toy + Other"
    renamed = [both[0], both[1]._replace(loss_name="another text")]
    assert not list(together(renamed))
    table = same_loss(both, [pair], np.random.default_rng(0), draws=199)
    family = table.filter(effect="family").to_dicts()[0]
    assert family["p_runs"] < 0.05  # the same ability at another loss
    assert "warning" in family["note"]
    sizes = table.filter(effect="size")
    assert sizes["same"].to_list() == [True, True]
    assert (sizes["p_runs"] > 0.01).all()


def test_bytes_per_token_change_the_unit() -> None:
    estimates, models = runs_of()
    plain = only(estimates, models)
    (bits,) = groups(estimates, models, bytes_per_token={"Toy": 4.4})
    assert bits.unit == BITS_PER_BYTE
    np.testing.assert_allclose(bits.column("loss"), bits_per_byte(plain.column("loss"), 4.4))
    (other,) = groups(estimates, models, bytes_per_token={"Other": 4.4})
    assert other.unit == plain.unit


def test_worked_scale_at_a_loss() -> None:
    # science.md 2.2: L_inf 1.7, N_0 1e8, alpha .3, eta 2.2
    assert scale_at_loss(2.2, 1.7, 1e8**0.3, 0.3) == pytest.approx(1.0079e9, rel=1e-4)
    losses = 1.7 + (1e8 / np.array([1e8, 1e9, 1e10])) ** 0.3
    np.testing.assert_allclose(losses, [2.7, 2.2012, 1.9512], atol=5e-5)
    assert scale_at_loss(1.7, 1.7, 1e8**0.3, 0.3) == np.inf
    assert scale_at_loss(1.6, 1.7, 1e8**0.3, 0.3) == np.inf


def test_threshold_and_who_reaches_it() -> None:
    _, row = bend_of()
    assert row["shape"] == "at guessing, then rising"
    assert row["threshold_low"] <= 2.6 <= row["threshold_high"]
    assert row["level"] == pytest.approx(0.25, abs=0.02)
    assert row["rise"] == pytest.approx(0.6, rel=0.2)
    # the final checkpoints' loss: 1.7 + 120 N^-.28 + 160 (1e11)^-.28
    true = scale_at_loss(2.6, 1.7 + 160.0 * 1e11**-0.28, 120.0, 0.28)
    assert row["params_low"] <= true <= row["params_high"]
    assert row["params"] == pytest.approx(float(true), rel=0.3)


def test_reach_needs_five_scales_and_may_never_come() -> None:
    scale, loss = 10.0 ** np.arange(7.0, 11.0), np.array([3.0, 2.5, 2.2, 2.05])
    few = reach(scale, loss, 2.1, np.full(10, 2.1), np.ones((10, 4)))
    assert "5 are needed" in few.status
    scale = 10.0 ** np.linspace(7.0, 10.0, 8)
    loss = 2.0 + 300.0 * scale**-0.35
    rng = np.random.default_rng(0)
    times = rng.multinomial(8, np.full(8, 1 / 8), size=100).astype(float)
    never = reach(scale, loss, 1.9, np.full(100, 1.9), times)
    assert never.scale == np.inf
    assert never.high == np.inf
    worse = reach(scale, loss[::-1].copy(), 2.1, np.full(100, 2.1), times)
    assert "does not fall" in worse.status


def covered(points: int, families: int = 300) -> float:
    """Share of simulated thresholds inside their interval, one checkpoint per run."""
    rng, hits = np.random.default_rng(points), 0
    for _ in range(families):
        loss = np.linspace(2.0, 4.0, points) + rng.uniform(-0.02, 0.02, points)
        true = rng.uniform(2.7, 3.3)
        y = 0.25 + 0.3 * np.maximum(true - loss, 0.0) + 0.02 * rng.standard_normal(points)
        found = locate(loss, y, np.arange(points))
        assert found is not None
        hits += not (found.low > true or found.high < true)
    return hits / families


@pytest.mark.parametrize("points", [8, 24])
def test_threshold_interval_covers(points: int) -> None:
    assert covered(points) >= 0.90


@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_the_interval_of_a_single_run_covers(correlation: float) -> None:
    rng, hits, families = np.random.default_rng(11), 0, 120
    for _ in range(families):
        loss = np.linspace(4.0, 2.0, 20) + rng.uniform(-0.02, 0.02, 20)
        true, noise = rng.uniform(2.7, 3.3), rng.standard_normal(20)
        for place in range(1, 20):
            fresh = np.sqrt(1.0 - correlation**2) * noise[place]
            noise[place] = correlation * noise[place - 1] + fresh
        y = 0.25 + 0.3 * np.maximum(true - loss, 0.0) + 0.02 * noise
        found = locate(loss, y, np.zeros(20, dtype=np.int64))
        assert found is not None
        hits += not (found.low > true or found.high < true)
    assert hits / families >= 0.9


def test_correlated_checkpoints_widen_the_interval() -> None:
    rng = np.random.default_rng(5)
    loss, run = np.tile(np.linspace(2.0, 4.0, 12), 6), np.repeat(np.arange(6), 12)
    y = 0.25 + 0.3 * np.maximum(3.0 - loss, 0.0) + 0.01 * rng.standard_normal(72)
    lucky = y + 0.03 * rng.standard_normal(6)[run]
    alone, clustered = locate(loss, lucky, np.arange(72)), locate(loss, lucky, run)
    assert alone is not None and clustered is not None  # noqa: PT018
    assert clustered.inflation > 3.0
    assert clustered.high - clustered.low > alone.high - alone.low


HARD = {
    "flat": lambda loss: np.full(loss.size, 0.25),
    "all zero": lambda loss: np.zeros(loss.size),
    "worse with less loss": lambda loss: 0.9 - 0.2 * (4.0 - loss),
    "dip": lambda loss: 0.3 + 0.2 * (loss - 3.2) ** 2,
    "step back": lambda loss: 0.25 + 0.5 * np.maximum(2.7 - loss, 0) * (np.abs(loss - 2.3) > 0.1),
}  # fmt: skip


@pytest.mark.parametrize("name", HARD)
def test_hard_inputs_get_an_honest_answer(name: str) -> None:
    estimates, _ = runs_of()
    noise = 0.003 * np.random.default_rng(1).standard_normal(estimates.height)
    score = HARD[name](estimates["loss"].to_numpy())
    score = score + (noise if np.ptp(score) else 0.0)
    group, row = bend_of(score)
    same = same_loss([group], [], np.random.default_rng(0), draws=199).to_dicts()[0]
    assert row["shape"] in SHAPES
    if name in ("flat", "all zero"):
        assert row["shape"] == "flat"
        assert row["status"] == same["status"] == "the score does not vary"
        assert row["threshold"] is None
    if name == "worse with less loss":
        assert row["shape"] == name
        assert row["params"] is None
    if name == "dip":
        assert row["shape"] == "no bend"  # a parabola describes it
        assert row["best_smooth"] == "quadratic"


def test_three_scales_and_a_loss_that_goes_up() -> None:
    _, row = bend_of(sizes=3, checkpoints=1)
    assert row["status"] == "3 distinct losses; 8 are needed"
    estimates, models = runs_of(sizes=3)
    same = same_loss([only(estimates, models)], [], np.random.default_rng(0)).to_dicts()[0]
    assert same["p"] is not None
    assert same["p_runs"] is None  # three runs cannot be permuted to a p of .05
    assert same["same"] is None
    # training diverges: the loss of the later checkpoints rises again, ability falls with it
    diverged = estimates.with_columns(
        pl.when(pl.col("step") > 20000).then(pl.col("loss") + 1.0).otherwise("loss").alias("loss")
    ).with_columns((0.25 + 0.6 * (2.6 - pl.col("loss")).clip(0.0)).alias("value"))
    group = only(diverged, models)
    (row,) = loss_thresholds([group], np.random.default_rng(0)).to_dicts()
    assert row["threshold"] == pytest.approx(2.6, abs=0.1)  # a function of the loss all the same


def test_a_metric_where_less_is_better_is_turned() -> None:
    estimates, models = runs_of()
    error = estimates.with_columns(
        pl.lit("brier_sum").alias("metric"), (1.0 - pl.col("value")).alias("value"),
        pl.lit(0.75).alias("chance"),
    )  # fmt: skip
    (row,) = loss_thresholds([only(error, models)], np.random.default_rng(0)).to_dicts()
    assert row["shape"] == "at guessing, then rising"
    assert row["level"] == pytest.approx(0.75, abs=0.02)
    assert row["chance"] == 0.75


def test_draws_hold_whole_runs() -> None:
    group, _ = bend_of()
    found, times = drawn_thresholds(
        group.column("loss"), group.column("value"), group.runs, np.random.default_rng(0), 50
    )
    assert (times.sum(axis=1) == 6).all()
    assert np.nanmedian(found) == pytest.approx(2.6, abs=0.1)


def test_best_law_by_bic_among_some() -> None:
    bend = Bend(Place(*[0.0] * 10), {"line": 3.0, "hinge": -2.0, "jump": float("nan")})
    assert bend.best(("line", "hinge")) == "hinge"
    assert bend.best(("jump",)) is None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An audit folder of two families, made from a plain table."""
    tables = [runs_of(), runs_of(family="Other", shift=0.15, seed=2)]
    rows = pl.concat([estimates for estimates, _ in tables]).with_columns(
        pl.col("model").str.replace(r"@step\d+", "").alias("model"), pl.lit("c4").alias("loss_name")
    )
    table = tmp_path / "scores.csv"
    names = (
        "model",
        "family",
        "params",
        "tokens",
        "flops",
        "loss",
        "loss_name",
        "step",
        "task",
        "metric",
        "value",
    )
    rows.select(names).write_csv(table)
    out = tmp_path / "audit"
    runner = CliRunner()
    for arguments in (
        ["read", str(table), "--out", str(out)],
        ["score", str(out)],
        ["estimate", str(out)],
    ):
        done = runner.invoke(main, arguments)
        assert done.exit_code == 0, done.output
    return out


def test_command_writes_tables_and_a_page(folder: Path) -> None:
    done = CliRunner().invoke(main, ["loss", str(folder), "--families", "--json"])
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["effect"] for line in lines if "effect" in line} == {"size", "family"}
    bends = store.load(folder, LossThresholds)
    assert set(bends["shape"]) <= set(BENDS)
    page = (folder / "loss.html").read_text()
    assert page.count("<svg") >= 3
    assert "://" not in page.replace("http://www.w3.org", "")
    assert json.loads((folder / "loss.json").read_text())["format"] == "saltus.loss/1"
    assert len(list((folder / "loss_figures").glob("*.png"))) == 3
    again = CliRunner().invoke(main, ["loss", str(folder), "--families"])
    assert "nothing had changed" in again.stderr
    assert store.load(folder, SameLoss).height == 3


def test_a_loss_that_is_the_task_s_own_is_said_beside_its_bends(folder: Path) -> None:
    before = CliRunner().invoke(main, ["loss", str(folder)])
    assert store.load(folder, LossThresholds)["suspicion"].null_count() == 2
    assert "the task's own" not in (folder / "loss.html").read_text() + before.stderr
    rows = store.load(folder, Estimates)
    own = rows.filter(family="Other").with_columns(
        metric=pl.lit("bits_per_byte"), value=pl.col("loss") / (4.4 * np.log(2.0)), chance=None
    )
    pl.concat([rows, conform(own, Estimates)]).write_parquet(folder / "estimates.parquet")
    done = CliRunner().invoke(main, ["loss", str(folder)])
    assert done.exit_code == 0, done.output
    said = {
        row["family"]: row["suspicion"] for row in store.load(folder, LossThresholds).to_dicts()
    }
    assert set(said) == {"Toy", "Other"}
    assert said["Toy"] is None
    assert "bits_per_byte is proportional to it (R² = 1.00000)" in str(said["Other"])
    assert done.stderr.count("Note: Other, ") == 1
    page = unescape((folder / "loss.html").read_text())
    notice = f"Other, {own['task'][0]}: {said['Other']}. A bend against it may be arithmetic"
    assert page.count(notice) == 1
    # the note of the chart and the row of the table, of accuracy and of the bits
    assert page.count(", against the task's own loss") == 2 * 2
    rows_of = json.loads((folder / "loss.json").read_text())["thresholds"]
    assert {row["family"]: row["suspicion"] for row in rows_of} == said


def test_a_folder_without_losses_says_what_to_do(folder: Path) -> None:
    nothing = store.load(folder, Estimates).with_columns(pl.lit(None, pl.Float64).alias("loss"))
    nothing.write_parquet(folder / "estimates.parquet")
    done = CliRunner().invoke(main, ["loss", str(folder)])
    assert done.exit_code == 0, done.output
    assert "--loss FILE" in (folder / "loss.html").read_text()


def test_bytes_per_token_option_is_checked(folder: Path) -> None:
    wrong = CliRunner().invoke(main, ["loss", str(folder), "--bytes-per-token", "Toy=many"])
    assert wrong.exit_code != 0
    assert "not FAMILY=NUMBER" in wrong.output
