"""Does size matter at equal loss: oracles, simulated truths, and the published test-bed."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.special import fdtrc

from saltus.curves.curve import FloatArray
from saltus.curves.nested import Effect, effect, leave_one_size_out, span, spline
from saltus.estimates.multiplicity import benjamini_hochberg
from shared import SHARED, needs_shared


def family(
    rng: np.random.Generator,
    runs: int = 8,
    checkpoints: int = 12,
    *,
    luck: float = 0.01,
    per_decade: float = 0.0,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Loss, log10 size, score and run of checkpoints; every run has its own luck."""
    sizes, tokens = np.linspace(8.0, 10.0, runs), np.linspace(9.0, 11.0, checkpoints)
    size, token = (part.ravel() for part in np.meshgrid(sizes, tokens, indexing="ij"))
    loss = 1.7 + 0.8 * 10.0 ** (0.3 * (8.0 - size)) + 1.2 * 10.0 ** (0.3 * (9.0 - token))
    run = np.repeat(np.arange(runs), checkpoints)
    score = 0.9 - 0.2 * loss + 0.05 * (loss - 2.5) ** 2 + per_decade * size
    score += luck * rng.standard_normal(runs)[run] + 0.01 * rng.standard_normal(run.size)
    return loss, size, score, run


def test_spline_is_a_quadratic_with_three_knots() -> None:
    loss = np.linspace(2.0, 4.0, 41)
    knots = np.quantile(loss, [0.25, 0.5, 0.75])
    plain = np.stack(
        [np.ones(41), loss, loss**2, *(np.maximum(loss - knot, 0.0) ** 2 for knot in knots)], axis=1
    )
    ours, theirs = span(spline(loss)), span(plain)
    assert ours.shape == (41, 6)
    np.testing.assert_allclose(ours @ ours.T, theirs @ theirs.T, atol=1e-8)


def test_f_test_equals_plain_least_squares() -> None:
    loss, size, score, run = family(np.random.default_rng(0), 5, 8)
    small = spline(loss)
    large = np.concatenate([small, size[:, None]], axis=1)
    left = [np.linalg.lstsq(design, score, rcond=None)[1][0] for design in (small, large)]
    ratio = (left[0] - left[1]) / (left[1] / (score.size - 7))
    found = effect(loss, size, score, run, None)
    assert found.p == pytest.approx(fdtrc(1, score.size - 7, ratio), rel=1e-9)
    assert found.slope == pytest.approx(np.linalg.lstsq(large, score, rcond=None)[0][-1], rel=1e-8)
    # the tail of science.md 2.3's example
    assert fdtrc(1, 16, 3.607) == pytest.approx(0.076, abs=5e-4)
    assert fdtrc(1, 16, 40.80) == pytest.approx(9.0e-6, rel=0.02)


@needs_shared
def test_the_published_test_bed() -> None:
    """Gadre et al. (2024): 46 tasks x 2 corpora; counts and p as the specification states."""
    rows = pl.read_csv(
        SHARED / "data/open_lm_scaling/open_lm_scaling.csv.gz", infer_schema_length=None
    )
    losses = rows.filter(pl.col("name") == "eval_data/c4_val").select("model", loss="value")
    rows = rows.filter(pl.col("kind") == "downstream_accuracy").join(losses, on="model")
    within, strong = [], []
    for part in rows.partition_by("train_set", "name"):
        loss, score = part["loss"].to_numpy(), part["value"].to_numpy()
        found = effect(loss, part["params"].log10().to_numpy(), score, np.arange(loss.size), None)
        within.append(found.p)
        if (
            pl.DataFrame({"a": loss, "b": score})
            .select(pl.corr("a", "b", method="spearman"))
            .item()
            < -0.95
        ):
            strong.append(found.slope)
    p, slopes = np.array(within, dtype=float), np.array(strong, dtype=float)
    assert p.size == 92
    assert abs(int((p < 0.05).sum()) - 4) <= 2
    assert int((benjamini_hochberg(p) < 0.05).sum()) == 0
    assert abs(slopes.size - 19) <= 2
    assert np.median(np.abs(slopes)) == pytest.approx(0.0066, abs=2e-4)
    assert np.abs(slopes).max() == pytest.approx(0.0316, abs=2e-4)
    assert abs(int((slopes < 0.0).sum()) - 15) <= 2
    across = {}
    for part in rows.partition_by("name"):
        corpus = (part["train_set"] == "rpj").cast(pl.Float64).to_numpy()
        found = effect(
            part["loss"].to_numpy(), corpus, part["value"].to_numpy(), np.arange(part.height), None
        )
        across[part["name"][0]] = found.p
    p = np.array(list(across.values()), dtype=float)
    assert p.size == 46
    assert abs(int((p < 0.05).sum()) - 22) <= 2
    assert abs(int((benjamini_hochberg(p) < 0.05).sum()) - 15) <= 2
    assert across["lambada_openai"] == pytest.approx(1.4756e-17, rel=0.01)
    assert across["piqa"] == pytest.approx(1.1648e-16, rel=0.01)


def rejected(per_decade: float, families: int = 120) -> tuple[float, float, float]:
    """Shares of families where the F test and the run test find a size, and of covered slopes."""
    rng = np.random.default_rng(1)
    found = [
        effect(*family(rng, per_decade=per_decade), rng, 199) for _ in range(families)
    ]  # fmt: skip
    covered = [
        one.low <= per_decade <= one.high
        for one in found
        if one.low is not None and one.high is not None
    ]
    return (
        float(np.mean([one.p < 0.05 for one in found if one.p is not None])),
        float(np.mean([one.p_runs < 0.05 for one in found if one.p_runs is not None])),
        float(np.mean(covered)),
    )


def test_luck_of_runs_fools_the_f_test_but_not_permuted_runs() -> None:
    plain, by_runs, covered = rejected(0.0)
    assert plain > 0.2
    assert by_runs <= 0.09
    assert covered >= 0.85


def test_a_true_effect_is_found_and_covered() -> None:
    _, by_runs, covered = rejected(0.06)
    assert by_runs > 0.7
    assert covered >= 0.85


def test_leaving_a_size_out_sees_its_own_offset() -> None:
    rng = np.random.default_rng(2)
    loss, size, score, _ = family(rng, 6, 15, luck=0.0)
    even = leave_one_size_out(loss, size, score)
    assert even is not None
    assert even.rmse == pytest.approx(0.01, rel=0.5)
    odd = leave_one_size_out(loss, size, score + 0.1 * (size == np.unique(size)[3]))
    assert odd is not None
    assert odd.worst == pytest.approx(10.0 ** np.unique(size)[3])
    assert odd.worst_rmse == pytest.approx(0.1, rel=0.3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"y": np.full(20, 0.25)}, "does not vary"),
        ({"loss": np.full(20, 3.0)}, "losses are equal"),
        ({"labels": np.full(20, 9.0)}, "one size"),
    ],
)
def test_what_cannot_be_tested_says_why(change: dict[str, FloatArray], words: str) -> None:
    rng = np.random.default_rng(3)
    given = {
        "loss": np.linspace(2.0, 4.0, 20), "labels": np.repeat([8.0, 9.0], 10),
        "y": rng.uniform(size=20), "runs": np.arange(20),
    }  # fmt: skip
    found = effect(**{**given, **change}, rng=rng)
    assert words in found.status
    assert found.p is None
    few = effect(*(part[:10] for part in given.values()), rng)
    assert few == Effect(10, 10, status="10 points; 15 are needed")


def test_three_runs_are_too_few_to_permute() -> None:
    found = effect(*family(np.random.default_rng(4), 3, 12), np.random.default_rng(4))
    assert found.p is not None
    assert found.p_runs is None
    assert found.low is None
