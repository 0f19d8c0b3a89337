"""Accuracy against the probabilities of positions: identities, a bootstrap, and coverage."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from saltus import store
from saltus.cli import main
from saltus.tables import Responses, conform
from saltus.verdicts.positions import Deviation, deviations, position_laws


def by_law(found: list[Deviation]) -> dict[str, Deviation]:
    return {deviation.law: deviation for deviation in found}


def heterogeneous(rng: np.random.Generator, items: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of different difficulty, items of different difficulty; answers sampled."""
    logit = np.array([3.0, 1.0, -0.5, 4.0]) + rng.normal(0, 1, (items, 1))
    share = 1 / (1 + np.exp(-logit))
    return (rng.random(share.shape) < share).all(axis=1), np.log(share)


def test_worked_by_hand() -> None:
    share = np.array([[0.5, 1.0], [0.25, 0.5]])
    found = by_law(deviations([1, 0], np.log(share)))
    assert found["mean_power"].predicted == pytest.approx(0.5625**2)
    assert found["position_product"].predicted == pytest.approx(0.375 * 0.75)
    assert found["sequence_probability"].predicted == pytest.approx((0.5 + 0.125) / 2)
    assert found["geometric_power"].predicted == pytest.approx((0.5 * 0.125) ** 0.5)
    assert {d.accuracy for d in found.values()} == {0.5}
    assert found["mean_power"].ratio == pytest.approx(0.5625**2 / 0.5)


def test_all_agree_where_positions_and_items_are_equal() -> None:
    found = deviations([1, 0, 1, 0], np.full((4, 3), np.log(0.7)))
    assert [d.predicted for d in found] == pytest.approx([0.343] * 4)
    one = deviations([1, 0, 1, 0], np.log([[0.3], [0.5], [0.9], [0.2]]))
    assert [d.predicted for d in one[:3]] == pytest.approx([0.475] * 3)  # L = 1


def test_order_of_the_predictions() -> None:
    right, logs = heterogeneous(np.random.default_rng(0), 4000)
    found = by_law(deviations(right, logs))
    assert found["mean_power"].low > 1
    assert found["mean_power"].predicted > found["position_product"].predicted
    assert found["sequence_probability"].predicted > found["position_product"].predicted
    assert found["geometric_power"].predicted < found["sequence_probability"].predicted  # Jensen


def test_unequal_positions_alone_make_the_mean_overestimate() -> None:
    share = np.tile([0.96, 0.77, 0.34, 0.998], (2000, 1))
    right = (np.random.default_rng(4).random(share.shape) < share).all(axis=1)
    found = by_law(deviations(right, np.log(share)))
    assert found["mean_power"].predicted == pytest.approx(np.mean(share[0]) ** 4)
    assert found["mean_power"].low > 1.2
    for law in ("position_product", "sequence_probability", "geometric_power"):
        assert found[law].low < 1 < found[law].high  # equal items: all three are the product


@pytest.mark.parametrize("law", ["mean_power", "position_product", "sequence_probability"])
def test_intervals_agree_with_a_bootstrap(law: str) -> None:
    rng = np.random.default_rng(1)
    right, logs = heterogeneous(rng, 1500)
    found = by_law(deviations(right, logs))[law]
    drawn = []
    for _ in range(400):
        chosen = rng.integers(0, 1500, 1500)
        drawn.append(np.log(by_law(deviations(right[chosen], logs[chosen]))[law].ratio))
    error = np.log(found.high / found.low) / (2 * 1.959964)
    assert error == pytest.approx(np.std(drawn), rel=0.15)


def test_the_interval_of_the_law_that_holds_covers_one() -> None:
    rng = np.random.default_rng(2)
    covered = [
        found.low <= 1 <= found.high
        for _ in range(300)
        for found in [by_law(deviations(*heterogeneous(rng, 600)))["sequence_probability"]]
    ]
    assert 0.91 < np.mean(covered) < 0.985


def test_without_a_right_answer_there_is_no_ratio() -> None:
    found = deviations([0, 0, 0], np.log([[0.5, 0.5]] * 3))
    assert all(np.isnan([d.ratio, d.low, d.high]).all() for d in found)
    with pytest.raises(ValueError, match="two items"):
        deviations([1], [[-0.1]])


def test_a_table_of_answers(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    right, logs = heterogeneous(rng, 50)
    rows = pl.DataFrame(
        {
            "model": ["m"] * 50,
            "task": ["t"] * 50,
            "item": [str(item) for item in range(50)],
            "sample": [0] * 50,
            "output": np.where(right, "1234", "9999"),
            "targets": [["1234"]] * 50,
            "target_logprobs": logs.tolist(),
        }
    )
    more = rows.head(1).with_columns(sample=pl.lit(1, pl.Int64))
    mute = rows.head(1).with_columns(item=pl.lit("x"), target_logprobs=pl.lit(None))
    table = position_laws(conform(pl.concat([rows, more, mute.cast(rows.schema)]), Responses))
    assert table["items"].unique().to_list() == [50]
    assert table["length"].unique().to_list() == [4]
    expected = deviations(right, logs)
    assert table["law"].to_list() == [d.law for d in expected]
    np.testing.assert_allclose(table["ratio"], [d.ratio for d in expected])
    with store.draft_of(tmp_path / "audit") as draft:
        store.save_manifest(draft, store.new_manifest())
        conform(rows, Responses).write_parquet(draft / "responses.parquet")
    shown = CliRunner().invoke(main, ["lengths", str(tmp_path / "audit"), "--positions", "--json"])
    assert pl.read_ndjson(io.StringIO(shown.output))["ratio"].to_list() == pytest.approx(
        table["ratio"].to_list()
    )
    none = position_laws(conform(rows.with_columns(output=pl.lit("0")), Responses))
    assert none["ratio"].null_count() == none.height
    assert none["accuracy"].to_list() == [0.0] * 4
