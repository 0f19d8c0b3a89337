"""What class a metric belongs to, measured: how far from linear in the errors, and how jumpy.

Answers are simulated at error rates from 0 to 1 and scored by the metric itself, so the class
of a user's metric is known as well as our own. Texts are L tokens, each wrong with
probability e on its own; choices carry probability p = 1 - e on the right one and share the
rest; target tokens all have log-probability ln(1 - e).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
import polars as pl

from saltus.errors import SaltusError
from saltus.metrics.metric import FloatArray, Metric, present
from saltus.metrics.score import Batch, compute
from saltus.tables import Responses, conform

LENGTH, CHOICES = 5, 2
ANSWERS = 400  # simulated answers per error rate
RATES = 21
VOCABULARY = 1000
STEP = 1e-3  # share of the range beyond which a change over almost nothing is a jump
TINY = 1e-9  # a change of probability that is as good as none

Class = Literal["linear", "mildly nonlinear", "nonlinear"]
Design = Literal["words", "digits", "letters", "choices", "tokens"]


class Limits(NamedTuple):
    """Where one class ends: science.md 1.7."""

    linear: float = 0.1
    mildly: float = 0.3


LIMITS = Limits()


class Measured(NamedTuple):
    """A metric's measured class.

    Args:
        nonlinearity: max over e of |m(e) - straight line|, m made to run from 1 to 0.
        rate: error rate at which that is.
        jump: largest change of one answer's score, as a share of its range, when a
            probability changes by almost nothing, or, for a text, when one token changes; NaN
            for a metric of a whole set.
        discontinuous: whether the score of an answer jumps at all as a probability moves;
            for a text, whether answers only ever get one of two scores.
        design: what was simulated.
        most: largest error rate simulated; below 1 where the score is infinite at 1.
        kind: linear, mildly nonlinear or nonlinear.
    """

    nonlinearity: float
    rate: float
    jump: float
    discontinuous: bool
    design: Design
    most: float
    kind: Class


def class_of(metric: Metric | None) -> str | None:
    """Thresholded, nonlinear or linear: measured where the metric can be scored, else as stated.

    Mildly nonlinear counts as linear here. None for a metric that nobody knows.
    """
    if metric is None:
        return None
    if metric.reaction == "thresholded":
        return "thresholded"
    found = measured(metric)
    return "nonlinear" if found and found.kind == "nonlinear" else "linear"


@cache
def measured(metric: Metric) -> Measured | None:
    """The class of a metric under the standard design, worked out once; None where none fits."""
    return measure(metric, np.random.default_rng(0))


def measure(
    metric: Metric, rng: np.random.Generator, length: int = LENGTH, answers: int = ANSWERS
) -> Measured | None:
    """Nonlinearity index and jump of a metric by simulation.

    Args:
        metric: any metric with a function for answers.
        rng: source of the simulated errors; the same errors at every rate, nested, so that
            the curve over e is smooth.
        length: L, tokens per answer.
        answers: simulated answers per error rate.

    Returns:
        None for a metric without a function, or that no design has columns for.

    Source: science.md 1.7; edit distance 0, accuracy .25 (L = 2) and .535 (L = 5), Brier .25.
    """
    if metric.function is None:
        return None
    for design, make, spans in _designs(metric, rng, length, answers):
        for least, most in spans:
            rates = np.linspace(least, most, RATES)
            try:
                means = np.array([_mean(metric, make(rate)) for rate in rates])
            except SaltusError:
                break
            if np.isfinite(means[[0, -1]]).all() and means[0] != means[-1]:
                return _found(metric, design, make, rates, means)
    return None


Maker = Callable[[float], pl.DataFrame]
WHOLE, UPPER, INNER = (0.0, 1.0), (0.0, 1.0 - 1.0 / CHOICES), (0.01, 0.99)


def _designs(
    metric: Metric, rng: np.random.Generator, length: int, answers: int
) -> Iterator[tuple[Design, Maker, tuple[tuple[float, float], ...]]]:
    """Ways to simulate answers that a metric can score, with the error rates to try."""
    needs = set(metric.needs)
    if needs <= {"output", "targets"}:
        for design in ("words", "digits", "letters"):
            yield design, _texts(design, rng, length, answers), (WHOLE,)
    elif needs <= {"target_logprobs", "target_bytes", "targets"}:
        yield "tokens", _tokens(length), (WHOLE, UPPER, INNER)
    elif needs <= {"choice_logprobs", "choice_bytes", "target_index"}:
        yield "choices", _choices, (WHOLE, UPPER, INNER)


def _texts(design: Design, rng: np.random.Generator, length: int, answers: int) -> Maker:
    right, wrong = _symbols(design, rng, (answers, length))
    level = rng.random((answers, length))
    glue = " " if design == "words" else ""
    targets = [[glue.join(row)] for row in right.tolist()]

    def make(rate: float) -> pl.DataFrame:
        given = np.where(level < rate, wrong, right)
        return _rows(output=[glue.join(row) for row in given.tolist()], targets=targets)

    return make


def _symbols(
    design: Design, rng: np.random.Generator, shape: tuple[int, int]
) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.str_]], ...]:
    """Right tokens, and for each a wrong one."""
    size = {"words": VOCABULARY, "digits": 9, "letters": 26}[design]
    right = rng.integers(0, size, shape)
    wrong = (right + rng.integers(1, size, shape)) % size
    names = {
        "words": [f"w{number}" for number in range(VOCABULARY)],
        "digits": [str(number) for number in range(1, 10)],
        "letters": [chr(ord("a") + number) for number in range(26)],
    }[design]
    table = np.array(names)
    return table[right], table[wrong]


def _tokens(length: int) -> Maker:
    def make(rate: float) -> pl.DataFrame:
        with np.errstate(divide="ignore"):
            logprob = float(np.log1p(-rate)) or -(TINY**2)
        return _rows(
            target_logprobs=[[logprob] * length], target_bytes=[length], targets=[["x" * length]]
        )

    return make


def _choices(rate: float) -> pl.DataFrame:
    with np.errstate(divide="ignore"):
        logs = np.log(np.r_[1.0 - rate, np.full(CHOICES - 1, rate / (CHOICES - 1))])
    return _rows(choice_logprobs=[logs.tolist()], target_index=[0], choice_bytes=[[1] * CHOICES])


def _rows(**given: Sequence[object]) -> pl.DataFrame:
    size = len(next(iter(given.values())))
    frame = pl.DataFrame(given, strict=False).with_columns(
        model=pl.lit("simulated"), task=pl.lit("simulated"), sample=pl.lit(0, pl.Int64),
        item=pl.int_range(size).cast(pl.String),
    )  # fmt: skip
    return conform(frame, Responses)


def _scores(metric: Metric, rows: pl.DataFrame) -> FloatArray:
    found = compute(metric, Batch(rows, np.zeros(rows.height, dtype=bool), None))
    return np.where(present(found.missing), found.value, np.nan)


def _mean(metric: Metric, rows: pl.DataFrame) -> float:
    """Mean score, or the set's; NaN when any answer has none, so that the design is given up."""
    if metric.kind == "answer":
        return float(_scores(metric, rows).mean())
    batch = Batch(rows, np.zeros(rows.height, dtype=bool), None)
    return float(metric.compute_set(*map(batch.argument, metric.needs)).value)


def _found(
    metric: Metric, design: Design, make: Maker, rates: FloatArray, means: FloatArray
) -> Measured:
    continuous = design in ("choices", "tokens")
    single, glue = metric.kind == "answer", " " if design == "words" else ""
    jump = math.nan
    if single:
        jump = _jump(metric, make, rates) if continuous else _token_jump(metric, make, means, glue)
    if continuous:  # a step counts just beside itself, where the grid need not look
        beside = np.concatenate([rates[:-1] + TINY, rates[1:] - TINY])
        rates = np.concatenate([rates, beside])
        means = np.concatenate([means, [_mean(metric, make(rate)) for rate in beside]])
        order = np.argsort(rates)
        rates, means = rates[order], means[order]
    share = (means - means[-1]) / (means[0] - means[-1])
    line = 1.0 - (rates - rates[0]) / (rates[-1] - rates[0])
    gap = np.abs(share - line)
    worst = int(gap.argmax())
    index = float(gap[worst])
    kind: Class = (
        "linear" if index <= LIMITS.linear
        else "mildly nonlinear" if index <= LIMITS.mildly
        else "nonlinear"
    )  # fmt: skip
    steps = single and (jump > STEP if continuous else _two_scores(metric, make, rates))
    return Measured(index, float(rates[worst]), jump, steps, design, float(rates[-1]), kind)


def _two_scores(metric: Metric, make: Maker, rates: FloatArray) -> bool:
    middle = make(float(rates[len(rates) // 4]))  # some answers right, most a little wrong
    return len(np.unique(_scores(metric, middle))) <= 2


def _jump(metric: Metric, make: Maker, rates: FloatArray) -> float:
    """Largest step of one answer's score over a change of e that is as good as none.

    The steepest interval of a grid is halved, keeping the steeper half, until it is tiny.
    """

    def at(rate: float) -> float:
        return _mean(metric, make(rate))

    values = np.array([at(rate) for rate in rates])
    whole = abs(values[-1] - values[0])
    # the middle of an interval may hide a tie, so both neighbours of the steepest are kept
    place = int(np.abs(np.diff(values)).argmax())
    low, high = rates[max(place - 1, 0)], rates[min(place + 2, len(rates) - 1)]
    while high - low > TINY:
        middle = (low + high) / 2
        left, centre, right = at(low), at(middle), at(high)
        low, high = (low, middle) if abs(centre - left) >= abs(right - centre) else (middle, high)
    return float(abs(at(high) - at(low)) / whole)


def _token_jump(metric: Metric, make: Maker, means: FloatArray, glue: str) -> float:
    """Largest change of a right text's score when one of its tokens is wrong."""
    right, spoilt = make(0.0), make(1.0)
    before, whole = _scores(metric, right), abs(means[0] - means[-1])
    after = [_scores(metric, one) for one in _one_wrong(right, spoilt, glue)]
    return min(float(max(np.nanmax(np.abs(before - one)) for one in after) / whole), 1.0)


def _one_wrong(right: pl.DataFrame, spoilt: pl.DataFrame, glue: str) -> Iterator[pl.DataFrame]:
    """The right texts with one token, the first to the last, taken from the spoilt ones."""
    split: Callable[[str], list[str]] = str.split if glue else list
    pairs = [
        (split(good), split(bad))
        for good, bad in zip(right["output"], spoilt["output"], strict=True)
    ]
    for place in range(len(pairs[0][0])):
        mixed = [glue.join([*good[:place], bad[place], *good[place + 1 :]]) for good, bad in pairs]
        yield right.with_columns(pl.Series("output", mixed, pl.String))
