"""The same answers under every metric: sharpness, foresight, disagreement, page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from saltus import store
from saltus.cli import main
from saltus.estimates.estimate import estimate
from saltus.metrics.extract import named
from saltus.metrics.metric import METRICS
from saltus.metrics.score import score
from saltus.tables import Disagreements, Estimates, Models, Reported, Sweeps, conform, empty
from saltus.verdicts.disagree import APART, EXAMPLES, PAIRS, disagreements
from saltus.verdicts.sweep import Curve, alike, extrapolated, sharpness, sweep
from strategies import rows


def sharp(values: list[float], x: list[float] | None = None) -> float:
    place = np.arange(len(values), dtype=float) if x is None else np.array(x)
    return float(sharpness(np.array([values]), place)[0][0])


# ---- sharpness


def test_a_line_has_none_and_a_step_has_all() -> None:
    assert sharp([0.1, 0.2, 0.3, 0.4]) == pytest.approx(0.0)
    assert sharp([0.0, 0.0, 0.0, 0.8]) == pytest.approx(1.0)
    assert sharp([0.2, 0.2, 0.9, 0.9]) == pytest.approx(1.0)
    # half of the rise in one of four steps: (1/2 - 1/4) / (1 - 1/4)
    assert sharp([0.0, 0.1, 0.4, 0.5, 0.6]) == pytest.approx(1 / 3)


def test_unequal_steps_are_measured_against_their_width() -> None:
    assert sharp([0.0, 0.9, 1.0], [0.0, 0.9, 1.0]) == pytest.approx(0.0)
    assert sharp([0.0, 0.1, 1.0], [0.0, 0.9, 1.0]) == pytest.approx((0.9 - 0.1) / 0.9)


def test_a_fall_has_no_sharpness() -> None:
    assert np.isnan(sharp([0.5, 0.4, 0.3]))
    assert np.isnan(sharp([0.5, 0.6, 0.5]))


@settings(deadline=None)
@given(
    st.lists(st.floats(0, 1), min_size=3, max_size=8).filter(lambda v: v[-1] - v[0] > 0.01),
    st.floats(0.1, 100),
    st.floats(-10, 10),
)
def test_it_is_blind_to_the_unit(values: list[float], scale: float, shift: float) -> None:
    moved = [scale * value + shift for value in values]
    assert sharp(moved) == pytest.approx(sharp(values), rel=1e-6, abs=1e-9)
    assert sharp(values) >= -1e-9


def test_longer_answers_make_exact_match_sharper_and_edit_distance_not() -> None:
    p = np.exp(-((np.logspace(7, 12, 8) / 1e8) ** -0.3))
    found = [sharp((p**length).tolist()) for length in (1, 5, 30)]
    assert found[0] < found[1] < found[2]


# ---- foresight


def curve(z: list[float], variance: float) -> Curve:
    """A metric whose link is minus the log, at equal steps."""
    count = len(z)
    nothing = np.full(count, np.nan)
    loss = np.exp(-np.array(z))
    return Curve(
        np.arange(count) * 1.0, loss, variance * loss**2, nothing, np.full(count, 100.0),
        nothing, nothing, nothing, nothing, [f"m{place}" for place in range(count)],
    )  # fmt: skip


def test_the_largest_model_on_the_line_is_foreseen() -> None:
    found = extrapolated(METRICS["target_log_loss"], curve([0.0, 0.5, 1.0, 1.5], 0.01))
    assert found.error == pytest.approx(0.0, abs=1e-9)
    # 1 above the line: its own variance and that of the line at x = 3, .01 * (1 + 7/3)
    found = extrapolated(METRICS["target_log_loss"], curve([0.0, 0.5, 1.0, 2.5], 0.01))
    assert found.error == pytest.approx(1.0 / np.sqrt(0.01 * (1 + 7 / 3)))
    assert found.share == pytest.approx(1.0 / 2.5)


def test_scatter_beyond_the_sampling_error_widens_it() -> None:
    tight = extrapolated(METRICS["target_log_loss"], curve([0.0, 0.6, 0.9, 1.6, 3.0], 1e-6))
    loose = extrapolated(METRICS["target_log_loss"], curve([0.0, 0.6, 0.9, 1.6, 3.0], 1.0))
    assert np.isfinite(tight.error)
    assert abs(tight.error) < 20  # not thousands of standard errors
    assert abs(loose.error) < abs(tight.error)


def test_three_scales_foresee_nothing() -> None:
    found = extrapolated(METRICS["target_log_loss"], curve([0.0, 0.5, 1.0], 0.01))
    assert np.isnan(found.error)


# ---- the whole

SIZES = (1e7, 1e8, 1e9, 1e10)


def answers(items: int = 120, length: int = 6) -> pl.DataFrame:
    """Texts of a family whose token accuracy rises smoothly."""
    rng = np.random.default_rng(5)
    parts = []
    for size, right in zip(SIZES, (0.3, 0.55, 0.75, 0.95), strict=True):
        good = rng.random((items, length)) < right
        output = [" ".join("ok" if hit else "no" for hit in row) for row in good]
        frame = rows(output=output, targets=[[" ".join(["ok"] * length)]] * items)
        parts.append(frame.with_columns(model=pl.lit(f"m{size:.0e}"), task=pl.lit("sums")))
    return pl.concat(parts)


def swept(frame: pl.DataFrame, names: list[str], seed: int = 0) -> pl.DataFrame:
    models = conform(
        pl.DataFrame({
            "model": [f"m{size:.0e}" for size in SIZES], "params": SIZES,
            "model_name": "m", "family": "fam",
        }),
        Models,
    )  # fmt: skip
    estimates = estimate(score(frame, names).lazy(), empty(Reported), models)
    return sweep(estimates, np.random.default_rng(seed))


NAMES = ["exact_match", "token_error_rate", "word_accuracy"]


def test_exact_match_is_sharper_than_the_edit_distance_of_the_same_answers() -> None:
    found = swept(answers(), NAMES)
    by = {row["metric"]: row for row in found.iter_rows(named=True)}
    assert found["metric"][0] == "exact_match"  # the sharpest first
    assert by["exact_match"]["sharpness"] > by["token_error_rate"]["sharpness"] + 0.2
    assert by["exact_match"]["reaction"] == "thresholded"
    assert by["token_error_rate"]["rise"] > 0  # lower is better, and it falls
    for row in by.values():
        assert row["sharpness_low"] <= row["sharpness"] <= row["sharpness_high"]
        assert row["step_from"] in {f"m{size:.0e}" for size in SIZES}
        assert row["miss_se"] is not None
    assert by["token_error_rate"]["sharpness"] == pytest.approx(by["word_accuracy"]["sharpness"])


def test_a_flat_family_has_no_sharpness_but_a_reason() -> None:
    frame = answers().with_columns(output=pl.lit("ok no ok no ok no"))
    found = swept(frame, NAMES)
    assert found["sharpness"].null_count() == found.height
    assert found["missing"].unique().to_list() == ["no rise beyond its error"]


def test_a_seed_decides_the_intervals() -> None:
    one, same, other = (swept(answers(), NAMES, seed).sort("metric") for seed in (1, 1, 2))
    assert_frame_equal(one, same)
    alone = swept(answers(), ["exact_match"], 1)  # whatever else is swept beside it
    assert_frame_equal(one.filter(metric="exact_match"), alone)
    assert not one["sharpness_low"].equals(other["sharpness_low"])
    assert one["sharpness"].equals(other["sharpness"])


def test_nothing_to_sweep_is_an_empty_table() -> None:
    assert sweep(empty(Estimates), np.random.default_rng(0)).equals(empty(Sweeps))


# ---- disagreement


def test_answers_on_which_metrics_disagree_are_listed_with_their_count() -> None:
    frame = rows(output=["it is 4", "4", "5", "4 it is"], targets=[["4"]] * 4).with_columns(
        model=pl.Series(["a", "a", "b", "b"])
    )
    found = disagreements(score(frame, ["exact_match", "contains"]).lazy(), frame.lazy())
    assert found.select("low_metric", "high_metric", "count").unique().rows() == [
        ("exact_match", "contains", 2)
    ]
    assert sorted(found["output"]) == ["4 it is", "it is 4"]
    assert found["spread"].to_list() == [1.0, 1.0]
    assert (found["low_value"].sum(), found["high_value"].sum()) == (0.0, 2.0)


def test_the_list_is_bounded_and_shows_what_was_scored() -> None:
    frame = rows(output=["x" * 900 + " so 4"] * 60, targets=[["4"]] * 60)
    found = disagreements(score(frame, ["exact_match", "contains"]).lazy(), frame.lazy())
    assert found.height <= PAIRS * EXAMPLES
    assert found["count"].to_list() == [60] * found.height
    assert found["output"].str.len_chars().max() == 300  # type: ignore[operator]
    extraction = named("last_number")
    scored = score(frame, ["exact_match", "contains"], extraction)
    assert disagreements(scored.lazy(), frame.lazy(), extraction).equals(empty(Disagreements))
    assert 0.0 < APART < 1.0


# ---- the command


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    lines = [
        json.dumps({
            "model": model, "family": "fam", "params": float(model[1:]), "task": task,
            "item": item, "output": f"<b>{output}</b> & so on: {output}", "target": target[0],
        })
        for model, task, item, output, target in answers(40)
        .select("model", "task", "item", "output", "targets").iter_rows()
    ]  # fmt: skip
    path = tmp_path / "answers.jsonl"
    path.write_text("\n".join(lines))
    return path


def test_sweep_writes_tables_and_a_page(logs: Path, tmp_path: Path) -> None:
    out = tmp_path / "swept"
    result = run("sweep", logs, "--out", out)
    assert result.exit_code == 0, result.output
    found = store.load(out, Sweeps)
    assert {"contains", "token_error_rate", "rougeL_f"} <= set(found["metric"])
    page = (out / "sweep.html").read_text()
    assert "<svg" in page
    assert "<b>ok" not in page  # a model's text is escaped
    assert "&lt;b&gt;" in page
    document = json.loads((out / "sweep.json").read_text())
    assert document["format"] == "saltus.sweep/1"
    assert len(document["metrics"]) == found.height
    again = run("sweep", out)
    assert "nothing had changed" in again.output
    other = run("sweep", out, "--metric", "contains", "--metric", "word_error", "--json")
    rows_of = [json.loads(line) for line in other.stdout.splitlines() if line.startswith("{")]
    assert {row["metric"] for row in rows_of} == {"contains", "word_error"}


def test_reported_aggregates_are_swept_too(tmp_path: Path) -> None:
    lines = ["model,family,params,task,metric,value,items"]
    for place, size in enumerate(SIZES):
        head = f"m{place},fam,{size:.0f},quiz"
        lines += [f"{head},acc,{0.25 + 0.2 * place:.2f},500"]
        lines += [f"{head},brier_score,{0.7 - 0.1 * place:.2f},500"]
    path = tmp_path / "scores.csv"
    path.write_text("\n".join(lines) + "\n")
    result = run("sweep", path, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert set(store.load(tmp_path / "out", Sweeps)["metric"]) == {"acc", "brier_score"}


def test_too_few_scales_are_said_to_be_so(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("model,family,params,task,metric,value,items\nm,fam,1e8,quiz,acc,.3,500\n")
    result = run("sweep", path, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "no family has three scales" in result.output
    page = (tmp_path / "out" / "sweep.html").read_text()
    assert "Where metrics disagree" in page
    assert "0 metrics" not in page


def test_extraction_is_recorded_and_shown(logs: Path, tmp_path: Path) -> None:
    out = tmp_path / "audit"
    result = run("audit", logs, "--out", out, "--extract", "tag:b", "--resamples", 49)
    assert result.exit_code in (0, 2), result.output
    stage = json.loads((out / "manifest.json").read_text())["stages"]["score"]
    assert stage["options"]["extract"] == {"name": "tag:b", "failed_as": "missing"}
    estimates = store.load(out, Estimates)
    rate = estimates.filter(metric="answer_extracted")
    assert rate["value"].to_list() == [1.0] * 4
    assert estimates.filter(metric="exact_match")["value"].max() > 0.5  # type: ignore[operator]
    again = run("audit", logs, "--out", out, "--extract", "boxed", "--resamples", 49)
    assert again.exit_code == 2  # nothing could be scored
    lost = store.load(out, Estimates).filter(metric="exact_match")
    assert lost["value"].null_count() == 4
    assert all(r"no \boxed{...} found" in why for why in lost["missing"])


def test_metrics_are_listed_with_their_class() -> None:
    found = run("metrics", "--json")
    listed = {row["name"]: row for row in map(json.loads, found.stdout.splitlines())}
    assert set(listed) >= {"exact_match", "brier_sum", "acc", "expected_calibration_error"}
    assert listed["exact_match"]["class"] == "nonlinear"
    assert listed["brier_sum"]["nonlinearity"] == 0.25
    assert listed["acc"]["class"] is None  # only read, so there is nothing to measure
    assert all(row["source"] for row in listed.values())
    assert "exact_match" in run("metrics").stdout
    assert "did you mean" in run("metrics", "--metric", "exact_mach").output


def test_metrics_with_one_curve_are_shown_as_one() -> None:
    found = swept(answers(), [*NAMES, "word_error", "contains"])
    few = alike(found)
    groups = {row["metric"]: sorted(row["alike"]) for row in few.iter_rows(named=True)}
    # every word has the same length and no answer holds another: these differ in the unit only
    assert groups == {
        "exact_match": ["contains"], "token_error_rate": ["word_accuracy", "word_error"]
    }  # fmt: skip
    assert few["sharpness"].is_sorted(descending=True)
    assert alike(empty(Sweeps)).is_empty()
