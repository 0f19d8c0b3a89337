"""The chain from log-probability to accuracy: worked numbers, edges, and the order of its steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from scipy import stats

from saltus import pipeline, store
from saltus.cli import main
from saltus.errors import SaltusError
from saltus.forecasts.chain import CHAIN, KINDS, chain, item_correlations
from saltus.metrics.metric import METRICS, Ragged
from saltus.tables import ItemCorrelations, Models, Proxies, Responses, conform
from saltus.worlds.choices import draw_choices

MODELS, ITEMS = 8, 300
X = np.linspace(18.0, 23.0, MODELS)  # log10 FLOPs


def scored(name: str, probabilities: list[float], right: int) -> float:
    entry = METRICS[name]
    choices = Ragged(np.log(np.array(probabilities)), np.array([len(probabilities)]))
    return float(entry.compute(choices, np.array([float(right)])).value[0])


def test_the_worked_example_of_the_chain() -> None:
    # science.md 3.1: p vocab .020, .015, .010, .005, the first is right
    mass = [0.020, 0.015, 0.010, 0.005]
    assert scored("correct_answer_probability", mass, 0) == pytest.approx(0.020)
    assert scored("correct_choice_probability", mass, 0) == pytest.approx(0.4)
    assert scored("correct_choice_probability", mass, 3) == pytest.approx(0.1)
    assert scored("brier_sum", mass, 0) == pytest.approx(0.50)
    assert scored("brier_mean", mass, 0) == pytest.approx(0.125)
    assert scored("multiple_choice_grade", mass, 0) == 1.0


def test_the_right_choices_mass_alone_does_not_decide_accuracy() -> None:
    other = [0.4, 0.6, 1e-12, 1e-12]
    assert scored("correct_choice_probability", other, 0) == pytest.approx(0.4)
    assert scored("multiple_choice_grade", other, 0) == 0.0


@pytest.mark.parametrize(
    ("kind", "oracle"), list(zip(KINDS, (stats.spearmanr, stats.pearsonr), strict=True))
)
def test_correlations_are_scipys_and_constant_items_have_none(kind: str, oracle: object) -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 3, (6, 5)).astype(float)
    scores[:, 2] = 1.0
    found = item_correlations(scores, X[:6], kind)
    for item in (0, 1, 3, 4):
        assert found[item] == pytest.approx(oracle(X[:6], scores[:, item]).statistic)  # type: ignore[operator]
    assert np.isnan(found[2])


def test_two_models_are_refused() -> None:
    with pytest.raises(SaltusError, match="fewer than 3 models"):
        item_correlations(np.zeros((2, 4)), X[:2], "spearman")
    with pytest.raises(SaltusError, match="same compute"):
        item_correlations(np.zeros((3, 4)), np.ones(3), "spearman")


def tables(log_probabilities: np.ndarray, x: np.ndarray) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Models and answers of (models, items, choices) log-probabilities, the first one right."""
    names = [f"m{place}" for place in range(len(x))]
    size = np.sqrt(10.0**x / 120.0)
    models = pl.DataFrame(
        {"model": names, "model_name": names, "family": "fam", "params": size,
         "tokens": 20.0 * size, "flops": 10.0**x}
    )  # fmt: skip
    items = log_probabilities.shape[1]
    answers = pl.DataFrame(
        {
            "model": np.repeat(names, items),
            "task": "quiz",
            "item": [str(item) for item in range(items)] * len(names),
            "sample": 0,
            "target_index": 0,
            "choice_logprobs": log_probabilities.reshape(-1, log_probabilities.shape[-1]).tolist(),
        }
    )
    return conform(models, Models), conform(answers, Responses)


def simulated(seed: int) -> np.ndarray:
    """(models, items, choices) log p vocab: the vocabulary's mass moves to the choices with scale.

    The margin of the right choice comes from `worlds`, with its noise of every choice.
    """
    draw = draw_choices(np.random.default_rng(seed), np.linspace(0.0, 1.5, MODELS), ITEMS, 0.1)
    return draw.logits - 12.0 + 1.0 * (X - X[0])[:, None, None]


def test_predictability_falls_along_the_chain() -> None:
    rows = chain(*tables(simulated(1), X))
    for kind in KINDS:
        part = rows.filter(pl.col("correlation") == kind).sort("step")
        assert part["score"].to_list() == list(CHAIN)
        mean = part["mean"].to_list()
        # log p vocab > p vocab > p choices >= Brier > accuracy; ranks do not tell p from log p
        assert mean[0] > mean[1] + 0.05 if kind == "pearson" else mean[0] == pytest.approx(mean[1])
        assert mean[1] > mean[2] + 0.05
        assert mean[2] >= mean[3] - 0.02
        assert mean[3] > mean[4]
    accuracy = rows.filter(pl.col("step") == 5, pl.col("correlation") == "spearman")
    always = (simulated(1).argmax(axis=-1) == 0).astype(int)
    assert accuracy["constant"].item() == int((np.ptp(always, axis=0) == 0).sum()) > 0
    assert accuracy["constant"].item() + accuracy["items"].item() == ITEMS


def test_missing_items_are_counted_apart() -> None:
    models, answers = tables(simulated(2)[:, :20], X)
    rows = chain(models, answers.filter((pl.col("model") != "m3") | (pl.col("item") != "7")))
    assert rows["missing"].unique().to_list() == [1]


def test_two_models_get_rows_that_say_why() -> None:
    rows = chain(*tables(simulated(3)[:2, :20], X[:2]))
    assert rows["mean"].null_count() == rows.height == 10
    assert set(rows["status"]) == {"fewer than 3 models: no correlation with compute"}


def test_the_command_writes_both_tables(tmp_path: Path) -> None:
    models, answers = tables(simulated(4)[:, :60], X)
    answers.join(models.select("model", "family", "params", "flops"), on="model").with_columns(
        choice_logprobs=pl.col("choice_logprobs")
    ).write_parquet(tmp_path / "answers.parquet")
    out = tmp_path / "audit"
    pipeline.read(tmp_path / "answers.parquet", out)
    pipeline.score(out)
    pipeline.estimate(out)
    result = CliRunner().invoke(main, ["proxies", str(out)])
    assert result.exit_code == 0, result.output
    assert "correct_choice_probability" in result.output
    assert store.load(out, Proxies).height
    assert store.load(out, ItemCorrelations).height == 10
    again = CliRunner().invoke(main, ["proxies", str(out), "--task", "quiz", "--json"])
    assert "nothing had changed" in again.stderr
    assert CliRunner().invoke(main, ["proxies", str(out), "--task", "quizz"]).exit_code == 1
