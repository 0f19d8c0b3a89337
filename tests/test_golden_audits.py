"""The golden audits G1 to G3 of science.md 4.8, in both noise modes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from saltus.verdicts.apparent import apparent_emergence
from saltus.verdicts.breaks import break_test
from saltus.verdicts.evidence import gather
from saltus.verdicts.judge import judge
from saltus.verdicts.measured import partner_points
from saltus.verdicts.rule import rule
from verdict_series import golden

RESAMPLES = 1999


class Golden(NamedTuple):
    case: str
    tau: float | None
    successes: tuple[int, ...]
    apparent: tuple[bool, int]
    p_change: float | None  # None: below 1e-15
    p_sub: float | None
    rss: tuple[float, float, float, float]
    p_smooth: tuple[float, float, float]
    knot: tuple[float, str, float, float]
    beyond_and_material: bool
    verdict: tuple[str, str | None]


G1 = (1, 3, 12, 25, 49, 75, 96, 119)
G2 = (0, 0, 0, 0, 2, 32, 94, 150)
G3 = (11, 10, 11, 10, 11, 11, 10, 10)
RSS_U, RSS_K = (9.7887, 9.7753), (3.0119, 3.0078)
CASES = [
    Golden("G1", None, G1, (True, 3), 8.06e-11, None, (*RSS_U, 269.5061, 4.6812),
           (.216, .112, .002), (8.5, "jump", .7662, .0655), False, ("INCONCLUSIVE", "no_power")),
    Golden("G1", .03, G1, (True, 3), None, 4.64e-9, (*RSS_K, 82.925, 1.4404),
           (.357, .258, .0005), (8.5, "jump", .7662, .0655), False, ("METRIC_ARTEFACT", None)),
    Golden("G2", None, G2, (True, 5), .000783, .0586, (5083.5387, 246.0253, 735.7726, 9.7824),
           (.0005, .001, .0005), (8.5, "hinge", .0941, 2.1023), True, ("BREAK", None)),
    Golden("G2", .03, G2, (True, 5), None, .0420, (1564.1658, 75.7001, 226.3916, 3.0100),
           (.0005, .0005, .0005), (8.5, "hinge", .0941, 2.1023), True, ("BREAK", None)),
    Golden("G3", None, G3, (False, 8), .687, None, (*RSS_U, 9.5721, 4.6812),
           (.216, .112, .181), (8.5, "jump", -.0338, .0655), False, ("NO_EVIDENCE", None)),
    Golden("G3", .03, G3, (False, 8), .642, None, (*RSS_K, 2.9453, 1.4404),
           (.357, .258, .314), (8.5, "jump", -.0338, .0655), False, ("NO_EVIDENCE", None)),
]  # fmt: skip

every_case = pytest.mark.parametrize("want", CASES, ids=lambda want: f"{want.case}-{want.tau}")


@every_case
def test_counts_and_apparent_emergence(want: Golden) -> None:
    series = golden(want.case, want.tau)
    seen = apparent_emergence(series)
    assert tuple(series.successes) == want.successes
    assert (seen.seen, seen.near_floor) == want.apparent


@every_case
def test_residual_sums_and_the_best_break(want: Golden) -> None:
    test = break_test(partner_points(golden(want.case, want.tau)), np.random.default_rng(0), 9)
    assert test is not None
    rss = (*test.rss_smooth.values(), test.best.rss)
    # The table has four decimals, and rounds 4.68125 down.
    assert rss == pytest.approx(want.rss, abs=1.01e-4)
    found = test.best.parameters
    assert test.best.curve == want.knot[1]
    numbers = (found["knot"], found["slope"], found["change"])
    assert numbers == pytest.approx((want.knot[0], *want.knot[2:]), abs=5.1e-5)


@every_case
def test_bootstrap_p_values(want: Golden) -> None:
    # The table's own draws are 1,999; ours are many, so that only its error counts.
    test = break_test(partner_points(golden(want.case, want.tau)), np.random.default_rng(1), 19_999)
    assert test is not None
    assert list(test.p_smooth) == ["line", "quadratic", "floor_exponential"]
    assert tuple(test.p_smooth.values()) == pytest.approx(want.p_smooth, abs=0.015)


@every_case
def test_the_other_steps_and_the_verdict(want: Golden) -> None:
    evidence = gather(golden(want.case, want.tau), np.random.default_rng(2), RESAMPLES)
    assert evidence.change is not None
    if want.p_change is None:
        assert evidence.change.p_value < 1e-15
    else:
        assert evidence.change.p_value == pytest.approx(want.p_change, rel=2e-3)
    if want.p_sub is None:
        assert evidence.p_sub is None
    else:
        assert evidence.p_sub == pytest.approx(want.p_sub, rel=2e-3)
    assert bool(evidence.beyond and evidence.material) is want.beyond_and_material
    assert (rule(evidence).verdict, rule(evidence).reason) == want.verdict


def test_the_table_of_verdicts() -> None:
    series = [golden(want.case, want.tau) for want in CASES]
    table = judge(series, np.random.default_rng(0), resamples=RESAMPLES)
    assert list(zip(table["verdict"], table["reason"], strict=True)) == [w.verdict for w in CASES]
    assert table["noise"].to_list() == ["U", "K"] * 3
    broken = table.filter(verdict="BREAK")
    assert broken["threshold"].to_list() == pytest.approx([10**8.5] * 2)
    assert (broken["threshold_low"] <= 10**8.5).all()
    assert (broken["threshold_high"] >= 10**8.5 * (1 - 1e-9)).all()
