"""Metrics that compare numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np

from saltus.metrics.metric import Values, metric, present
from saltus.metrics.text import PARTNERS, Outputs, Targets, unusable

# a number as people write it: currency before, unit or percent sign behind
PLAIN = re.compile(
    r"[$€£¥]?\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?)\s*(?:[%$€£¥]|[a-zA-Z]+\.?)?\.?"
)
SEPARATOR = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
FRACTION = re.compile(r"([-+]?\d{1,15})\s*/\s*(\d{1,15})")

Near = Callable[[float, float], bool]


def number(text: str | None) -> float:
    """The number that a whole text is, NaN where it is none.

    Thousands separators, a currency sign, a unit, a percent sign and a fraction of whole
    numbers are understood; a sentence around the number is not (see the extractors).
    """
    plain = SEPARATOR.sub("", (text or "").strip().replace("−", "-").replace("\\", ""))
    if fraction := FRACTION.fullmatch(plain):
        over, under = map(int, fraction.groups())
        return over / under if under else math.nan
    found = PLAIN.fullmatch(plain)
    return float(found.group(1)) if found else math.nan


def _match(output: Outputs, targets: Targets, near: Near) -> Values:
    """1 where the output is a number near a target's.

    An output that is no number is a wrong answer; targets of which none is a number leave
    nothing to compare with.
    """
    missing = unusable(output, targets)
    value = np.full(len(output), np.nan)
    for item in np.flatnonzero(present(missing)).tolist():
        wanted = [goal for text in targets[item] or () if math.isfinite(goal := number(text))]
        if not wanted:
            missing[item] = "no target is a number"
            continue
        given = number(output[item])
        value[item] = math.isfinite(given) and any(near(given, goal) for goal in wanted)
    return Values(value, missing)


@metric(
    unit="share of items",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="thresholded",
    source="lm-evaluation-harness and ZeroEval on GSM8K: equal as numbers",
    binary=True,
    chance=0.0,
    partners=("numeric_relative_error", *PARTNERS),
)
def numeric_match(output: Outputs, targets: Targets) -> Values:
    """1 when the output is the same number as a target, to nine digits.

    Args:
        output: the answers, each a number and nothing else (extract it first).
        targets: per answer the accepted numbers.
    """
    return _match(output, targets, lambda one, goal: math.isclose(one, goal, rel_tol=1e-9))


@metric(
    unit="share of items",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="thresholded",
    source="within 10 % of the target; BIG-bench's rule of that tolerance is "
    "`numeric_match_with_0_1_relative_error`",
    binary=True,
    chance=0.0,
    partners=("numeric_relative_error", *PARTNERS),
)
def numeric_match_within_tenth(output: Outputs, targets: Targets) -> Values:
    """1 when the output is a number within a tenth of a target; a target of 0 must be met.

    Args:
        output: the answers, each a number and nothing else (extract it first).
        targets: per answer the accepted numbers.
    """
    return _match(output, targets, lambda one, goal: abs(one - goal) <= 0.1 * abs(goal))


@metric(
    unit="share of the target, at most 1",
    better="lower",
    bounds=(0.0, 1.0),
    reaction="continuous",
    source="|output - target| / |target|, at most 1; what a tolerance rounds off",
    link="error_rate",
)
def numeric_relative_error(output: Outputs, targets: Targets) -> Values:
    """Distance to the nearest target as a share of it, at most 1; 1 for what is no number.

    Args:
        output: the answers, each a number and nothing else (extract it first).
        targets: per answer the accepted numbers.
    """
    missing = unusable(output, targets)
    value = np.full(len(output), np.nan)
    for item in np.flatnonzero(present(missing)).tolist():
        wanted = [goal for text in targets[item] or () if math.isfinite(goal := number(text))]
        if not wanted:
            missing[item] = "no target is a number"
            continue
        given = number(output[item])
        value[item] = min((_relative(given, goal) for goal in wanted), default=1.0)
    return Values(value, missing)


def _relative(given: float, goal: float) -> float:
    if not math.isfinite(given):
        return 1.0
    if given == goal:
        return 0.0
    return min(abs(given - goal) / abs(goal), 1.0) if goal else 1.0
