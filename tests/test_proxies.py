"""Which proxy predicts: worked numbers, edges, and the table on families whose truth is known."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import stats

from forecast_worlds import family
from saltus.forecasts.block import families
from saltus.forecasts.proxies import decision_accuracy, rank, signal_to_noise, two_lines
from saltus.forecasts.proxy_table import proxies, sizes, summary


def test_the_worked_example_of_signal_and_noise() -> None:
    # (.61 - .42) / .5125; population standard deviation of the checkpoints over .61
    found = signal_to_noise(
        np.array([0.42, 0.47, 0.55, 0.61]), np.array([0.60, 0.62, 0.61, 0.59, 0.63])
    )
    assert found.signal == pytest.approx(0.370732, abs=1e-6)
    assert found.noise == pytest.approx(0.023184, abs=1e-6)
    assert found.ratio == pytest.approx(15.99, abs=0.005)


def test_without_noise_or_mean_nothing_is_made_up() -> None:
    assert signal_to_noise(np.array([0.4, 0.6]), np.array([0.5, 0.5])).ratio == np.inf
    assert np.isnan(signal_to_noise(np.array([0.5, 0.5]), np.array([0.5, 0.5])).ratio)
    assert np.isnan(signal_to_noise(np.array([-1.0, 1.0]), np.array([0.5, 0.6])).signal)


def test_decision_accuracy_is_kendalls_tau_moved_to_zero_and_one() -> None:
    rng = np.random.default_rng(0)
    small, large = rng.normal(size=12), rng.normal(size=12)
    tau = stats.kendalltau(small, large).statistic
    assert decision_accuracy(small, large) == pytest.approx((1 + tau) / 2)


def test_ties_count_half_and_missing_models_not_at_all() -> None:
    assert decision_accuracy(np.array([1.0, 1.0]), np.array([1.0, 2.0])) == 0.5
    assert decision_accuracy(np.array([1.0, np.nan, 2.0]), np.array([1.0, 9.0, 2.0])) == 1.0
    assert np.isnan(decision_accuracy(np.array([1.0]), np.array([2.0])))


def test_a_negative_mean_has_a_positive_signal() -> None:
    found = signal_to_noise(np.array([-0.4, -0.6]), np.array([-0.5, -0.6]))
    assert found.signal == pytest.approx(0.4)
    assert found.noise > 0.0


# ---- ranking ------------------------------------------------------------------------------------


def test_ranking_pools_pairs_over_sizes() -> None:
    large = np.array([1.0, 2.0, 3.0])
    found = rank(np.array([[1.0, 2.0, 3.0], [1.0, 3.0, 2.0], [1.0, np.nan, 2.0]]), large)
    assert found.by_size[:2] == pytest.approx([1.0, 2 / 3])
    assert np.isnan(found.by_size[2])  # two recipes are too few
    assert (found.units, found.pairs) == (3, 6)
    assert found.accuracy == pytest.approx(5 / 6)
    assert found.correlation == pytest.approx((1.0 + 0.5) / 2)


@pytest.mark.parametrize(
    ("small", "large", "words"),
    [
        ([[1.0, 2.0]], [1.0, 2.0], "fewer than 3"),
        ([[1.0, 1.0, 1.0]], [1.0, 2.0, 3.0], "all score alike"),
        ([[1.0, 2.0, 3.0]], [0.0, 0.0, 0.0], "all score alike"),
    ],
)
def test_what_cannot_be_ranked_says_why(
    small: list[list[float]], large: list[float], words: str
) -> None:
    found = rank(np.array(small), np.array(large))
    assert np.isnan(found.accuracy)
    assert np.isnan(found.correlation)
    assert words in found.reason


def test_two_straight_lines_are_found_again() -> None:
    x = np.array([8.0, 9.0, 10.0, 11.0])
    proxy = 0.5 * x - 3.0
    ahead = two_lines(x, proxy, 2.0 * proxy + 1.0, np.array([12.0]))
    assert ahead == pytest.approx([2.0 * 3.0 + 1.0])
    assert np.isnan(two_lines(x, np.ones(4), x, np.array([12.0]))).all()
    assert np.isnan(two_lines(x[:2], proxy[:2], x[:2], np.array([12.0]))).all()


# ---- the table ----------------------------------------------------------------------------------

SIZES = [1e8, 1e9, 1e10]
RATIOS = [10.0, 20.0, 40.0, 80.0]


def ladder_world() -> pl.DataFrame:
    """Sizes x tokens per parameter: the probability orders recipes, small accuracies are noise."""
    sizes = [size for size in SIZES for _ in RATIOS]
    tokens = [size * ratio for size in SIZES for ratio in RATIOS]
    probability = [0.2 + 0.1 * s + 0.02 * r for s in range(3) for r in range(4)]
    accuracy = [0.25, 0.27, 0.24, 0.26, 0.26, 0.24, 0.27, 0.25, 0.4, 0.5, 0.6, 0.7]
    shared = {"sizes": sizes, "tokens": tokens}
    return pl.concat(
        [
            family({"quiz": accuracy}, metric="acc", **shared),
            family({"quiz": probability}, metric="correct_choice_probability", **shared),
        ]
    )


def rows_of(estimates: pl.DataFrame) -> pl.DataFrame:
    return proxies(families(estimates), estimates)


def only(rows: pl.DataFrame, **facts: str) -> dict[str, object]:
    return rows.filter(*(pl.col(name) == value for name, value in facts.items())).row(0, named=True)


def test_a_continuous_score_ranks_recipes_where_accuracy_is_noise() -> None:
    rows = rows_of(ladder_world())
    good = only(rows, ranked="recipes", proxy="correct_choice_probability")
    base = only(rows, ranked="recipes", proxy="acc")
    assert (good["decision_accuracy"], good["rank_correlation"]) == pytest.approx((1.0, 1.0))
    assert (good["units"], good["pairs"]) == (4, 12)
    assert good["small_params"] == pytest.approx([1e8, 1e9])
    assert good["decisions"] == [1.0, 1.0]
    assert good["status"] == "noise: no smaller run with 3 checkpoints"
    smalls, large = np.array([[0.25, 0.27, 0.24, 0.26], [0.26, 0.24, 0.27, 0.25]]), RATIOS
    taus = [stats.kendalltau(small, large).statistic for small in smalls]
    assert base["decision_accuracy"] == pytest.approx((1 + np.mean(taus)) / 2)
    assert base["target"] == good["target"] == "acc"


def test_recipes_are_matched_by_tokens_per_parameter_not_by_order() -> None:
    shuffled = ladder_world().sample(fraction=1.0, shuffle=True, seed=3)
    assert rows_of(shuffled).equals(rows_of(ladder_world()))


def test_seeds_of_a_recipe_are_averaged_not_ranked() -> None:
    world = ladder_world()
    twins = world.with_columns(model=pl.col("model") + "@seed2", value=pl.col("value") + 0.01)
    rows, once = rows_of(pl.concat([world, twins])), rows_of(world)
    for proxy in ("acc", "correct_choice_probability"):
        pair = [only(table, ranked="recipes", proxy=proxy) for table in (rows, once)]
        assert pair[0]["pairs"] == pair[1]["pairs"] == 12
        assert pair[0]["decision_accuracy"] == pytest.approx(pair[1]["decision_accuracy"])
    seeds = pl.concat([family({"quiz": [0.3 + up, 0.4 - up, 0.5 + up]}, SIZES).with_columns(
        model=pl.col("model") + f"@seed{up}") for up in (0.0, 0.01, 0.02)])  # fmt: skip
    assert only(rows_of(seeds), ranked="recipes")["decision_accuracy"] is None


def test_noise_comes_from_the_last_checkpoints_of_the_largest_smaller_run() -> None:
    world = ladder_world()
    final = world.filter(pl.col("model") == "fam-7", pl.col("metric") == "acc")
    steps = [
        final.with_columns(
            model=pl.lit(f"fam-7@step{step}"), step=pl.lit(step, pl.Int64), value=pl.lit(value)
        )
        for step, value in [(1, 0.9), (2, 0.24), (3, 0.25), (4, 0.26), (5, 0.27)]
    ]
    row = only(rows_of(pl.concat([world, *steps])), ranked="recipes", proxy="acc")
    last = np.array([0.24, 0.25, 0.26, 0.27, 0.25])  # the final model closes the run
    small = np.array([0.25, 0.27, 0.24, 0.26, 0.26, 0.24, 0.27, 0.25])
    assert row["noise"] == pytest.approx(last.std() / last.mean())
    assert row["signal"] == pytest.approx(np.ptp(small) / small.mean())
    assert row["signal_to_noise"] == pytest.approx(row["signal"] / row["noise"])
    assert row["checkpoints"] == 5
    assert row["status"] == "found"


def test_one_model_a_size_cannot_rank_and_says_so() -> None:
    rows = rows_of(family({"quiz": [0.3, 0.4, 0.5]}, SIZES))
    row = only(rows, ranked="recipes")
    assert row["decision_accuracy"] is None
    assert row["rank_correlation"] is None
    assert "ranking: fewer than 3" in row["status"]
    assert row["signal"] is None
    assert "signal: fewer than 3 smaller models" in row["status"]
    assert row["error"] is None
    assert "error: fewer than 3" in row["status"]


def test_all_zero_scores_are_null_with_a_reason_never_zero() -> None:
    zero = family({"quiz": [0.0] * 12}, [s for s in SIZES for _ in RATIOS],
                  tokens=[s * r for s in SIZES for r in RATIOS])  # fmt: skip
    row = only(rows_of(zero), ranked="recipes")
    names = ("signal", "noise", "signal_to_noise", "decision_accuracy", "rank_correlation", "error")
    assert [row[name] for name in names] == [None] * len(names)
    assert "signal: the mean is 0" in row["status"]
    assert "all score alike" in row["status"]


def test_families_of_one_size_are_recipes_and_tasks_are_ranked_too() -> None:
    levels = {"a": 0.0, "b": 0.1, "c": 0.2}
    world = pl.concat(
        [
            family({f"task{t}": [0.3 + 0.1 * t + up, 0.35 + 0.1 * t + up, 0.4 + 0.1 * t + up]
                    for t in range(3)}, SIZES, name=name)
            for name, up in levels.items()
        ]
    )  # fmt: skip
    rows = rows_of(world)
    across = rows.filter(pl.col("ranked") == "recipes of all families")
    assert across["decision_accuracy"].to_list() == [1.0] * 3
    assert across["family"].null_count() == 3
    tasks = only(rows, ranked="tasks", family="a")
    assert (tasks["units"], tasks["rank_correlation"]) == (3, pytest.approx(1.0))


def test_the_summary_has_a_row_for_each_proxy() -> None:
    found = summary(rows_of(ladder_world()))
    assert found["proxy"].to_list() == ["acc", "correct_choice_probability"]
    assert found["tasks"].to_list() == [1, 1]


@pytest.mark.parametrize(
    ("params", "expected"), [([1e8, 1.2e8, 1.45e8, 1e9], [0, 0, 1, 2]), ([], [])]
)
def test_sizes_do_not_chain(params: list[float], expected: list[int]) -> None:
    assert sizes(np.array(params)).tolist() == expected
