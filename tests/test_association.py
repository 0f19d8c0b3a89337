from __future__ import annotations

import math
from itertools import permutations, product

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from saltus.estimates.association import label_permutation, mantel_haenszel

# Admissions to Berkeley by department: men admitted, refused, women admitted, refused
# (Bickel, Hammel, O'Connell 1975); the results are those of R's mantelhaen.test.
BERKELEY = np.array(
    [
        [[512, 313], [89, 19]],
        [[353, 207], [17, 8]],
        [[120, 205], [202, 391]],
        [[138, 279], [131, 244]],
        [[53, 138], [94, 299]],
        [[22, 351], [24, 317]],
    ]
)


def test_berkeley() -> None:
    found = mantel_haenszel(BERKELEY)
    assert found.ratio == pytest.approx(0.9046968, abs=5e-8)
    assert (found.low, found.high) == (
        pytest.approx(0.7719074, abs=5e-8),
        pytest.approx(1.0603298, abs=5e-8),
    )
    assert found.statistic == pytest.approx(1.5246, abs=5e-5)
    assert found.strata == 6


def test_one_table_is_its_own_odds_ratio() -> None:
    assert mantel_haenszel([[[6, 2], [3, 9]]]).ratio == pytest.approx(6 * 9 / (2 * 3))


def test_strata_without_information_do_not_count() -> None:
    padded = np.concatenate([BERKELEY, [[[5, 0], [7, 0]], [[0, 0], [3, 4]], [[0, 0], [0, 0]]]])
    assert mantel_haenszel(padded) == mantel_haenszel(BERKELEY)
    nothing = mantel_haenszel(np.empty((0, 2, 2)))
    assert (nothing.strata, math.isnan(nothing.ratio), math.isnan(nothing.p)) == (0, True, True)
    assert mantel_haenszel([[[3, 0], [0, 3]]]).ratio == math.inf
    assert mantel_haenszel([[[0, 3], [3, 0]]]).ratio == 0


def test_label_permutation_against_all_permutations() -> None:
    cells = [([1, 0, 0], [0, 1, 2]), ([1, 1, 0], [0, 1, 2]), ([1, 0], [0, 2]), ([1, 1], [0, 1])]
    marked = np.concatenate([flags for flags, _ in cells])
    label = np.concatenate([labels for _, labels in cells])
    cell = np.repeat(np.arange(4), [3, 3, 2, 2])

    def statistic(flags: np.ndarray) -> float:
        table = np.array([np.bincount(label[flags == value], minlength=3) for value in (0, 1)])
        return float(chi2_contingency(table, correction=False).statistic)

    every = [
        statistic(np.concatenate(choice))
        for choice in product(*(list(permutations(flags)) for flags, _ in cells))
    ]
    observed = statistic(marked)
    found = label_permutation(marked, label, cell, np.random.default_rng(0), 20_000)
    assert found.statistic == pytest.approx(observed)
    assert found.p == pytest.approx(np.mean(np.array(every) >= observed - 1e-9), abs=0.012)
    assert found.cells == 3


def test_order_of_rows_does_not_matter_for_the_statistic() -> None:
    rng = np.random.default_rng(1)
    marked, label, cell = rng.random(200) < 0.3, rng.integers(0, 4, 200), rng.integers(0, 40, 200)
    order = rng.permutation(200)
    one = label_permutation(marked, label, cell, np.random.default_rng(0), 99)
    two = label_permutation(marked[order], label[order], cell[order], np.random.default_rng(0), 99)
    assert one.statistic == pytest.approx(two.statistic)
    assert one.cells == two.cells


def test_hard_tasks_alone_do_not_make_metrics_differ() -> None:
    # marks depend on the task only; metric 0 is used on the hard tasks more often
    rng = np.random.default_rng(2)
    p = []
    for _ in range(150):
        hard = rng.random(60) < 0.5
        label = np.concatenate([[0, 1] if h else [1, 2] for h in hard])
        marked = rng.random(120) < np.repeat(np.where(hard, 0.7, 0.1), 2)
        p.append(label_permutation(marked, label, np.repeat(np.arange(60), 2), rng, 99).p)
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 150)


def test_nothing_to_test() -> None:
    rng = np.random.default_rng(0)
    for marked in ([False, False], [True, True], []):
        found = label_permutation(marked, range(len(marked)), [0] * len(marked), rng)
        assert math.isnan(found.statistic)
        assert math.isnan(found.p)
    lone = label_permutation([True, False], [0, 1], [0, 1], rng, 99)
    assert (lone.cells, lone.p) == (0, 1.0)
