"""Addition and multiplication of two numbers with a given number of digits.

Source: Brown et al. (2020), arXiv 2005.14165, sec. 3.9.1 (few-shot arithmetic as asked there);
Schaeffer et al. (2023), arXiv 2304.15004, sec. 3 (multiplication of 2 and addition of 4
digits, two shots). Four ways to write an item:

========== ====================================== ===================================
suffix     prompt                                 target
========== ====================================== ===================================
(none)     ``47*6=``: no number starts with 0     ``282``
_padded    ``47*06=``: numbers below 10^digits    ``0282``: always the same length
_reversed  as padded                              ``2820``: least significant first
_two_shot  two solved questions and the question  ``282``
========== ====================================== ===================================

In the plain form both numbers have exactly the named number of digits.
"""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from saltus.tasks.task import Draw, distinct, in_blocks, task

IntArray = NDArray[np.int64]

SOURCE = "Brown et al. 2020, arXiv 2005.14165, sec. 3.9.1; Schaeffer et al. 2023, arXiv 2304.15004"
DIGITS = range(1, 7)
STYLES = ("", "_padded", "_reversed", "_two_shot")
SHOTS = 2


class Operation(NamedTuple):
    """Facts of an operation: its sign, how a question names it, its answer."""

    name: str
    sign: str
    word: str

    def answer(self, left: IntArray, right: IntArray) -> IntArray:
        """(items,) sums or products."""
        return left + right if self.sign == "+" else left * right

    def width(self, digits: int) -> int:
        """Digits of the longest answer."""
        return digits + 1 if self.sign == "+" else 2 * digits


OPERATIONS = (Operation("addition", "+", "plus"), Operation("multiplication", "*", "times"))


def _bounds(digits: int, padded: bool) -> tuple[int, int]:
    """Least number, and one more than the greatest."""
    least = 0 if padded or digits == 1 else 10 ** (digits - 1)
    return least, 10**digits


def _population(digits: int, style: str) -> int:
    least, end = _bounds(digits, style in ("_padded", "_reversed"))
    return (end - least) ** 2 - (SHOTS if style == "_two_shot" else 0)


def _text(values: IntArray, width: int = 0) -> pl.Expr:
    return pl.lit(pl.Series(values).cast(pl.String).str.zfill(width))


def _pairs(left: IntArray, right: IntArray) -> pl.Expr:
    """Both orders of a pair share a cluster: who knows one knows the other."""
    low, high = np.minimum(left, right), np.maximum(left, right)
    return pl.concat_str(_text(low), _text(high), separator=" ")


def _compact(operation: Operation, digits: int, style: str) -> Draw:
    """Items such as ``47*06=``."""
    padded = style != ""
    least, end = _bounds(digits, padded)

    def rows(numbers: IntArray) -> pl.DataFrame:
        left, right = (part + least for part in np.divmod(numbers, end - least))
        width = digits if padded else 0
        answer = _text(operation.answer(left, right), operation.width(digits) if padded else 0)
        answer = answer.str.reverse() if style == "_reversed" else answer
        return pl.select(
            prompt=pl.format(
                "{}{}{}=", _text(left, width), pl.lit(operation.sign), _text(right, width)
            ),
            targets=pl.concat_list(answer),
            cluster=_pairs(left, right),
        )

    return lambda rng, count: in_blocks(rows, distinct(rng, (end - least) ** 2, count))


def _question(operation: Operation, left: pl.Expr, right: pl.Expr) -> pl.Expr:
    return pl.format("Q: What is {} {} {}?\nA:", left, pl.lit(operation.word), right)


def _two_shot(operation: Operation, digits: int) -> Draw:
    """Items as served models are asked; the solved questions are the same for every item."""
    least, end = _bounds(digits, False)
    span = end - least
    shown = np.array([span * (span // 3) + span // 2, span * (span // 2) + span // 4])

    def draw(rng: np.random.Generator, count: int) -> pl.DataFrame:
        numbers = distinct(rng, span**2 - SHOTS, count)
        for number in shown:  # ascending: every number above a shown one moves up
            numbers = numbers + (numbers >= number)
        return in_blocks(rows, numbers)

    def rows(numbers: IntArray) -> pl.DataFrame:
        left, right = (part + least for part in np.divmod(numbers, span))
        return pl.select(
            prompt=pl.lit(before) + _question(operation, _text(left), _text(right)),
            targets=pl.concat_list(_text(operation.answer(left, right))),
            stop=pl.lit(["\n"], pl.List(pl.String)),
            cluster=_pairs(left, right),
        )

    left, right = (part + least for part in np.divmod(shown, span))
    solved = pl.select(
        _question(operation, _text(left), _text(right))
        + " "
        + _text(operation.answer(left, right))
        + "\n\n"
    )
    before = "".join(solved.to_series())
    return draw


def _register(operation: Operation, digits: int, style: str) -> None:
    long = f"{digits} digit{'s' if digits > 1 else ''}"
    facts = {
        "": f"{operation.name} of two numbers of {long}",
        "_padded": f"{operation.name} of two numbers of up to {long}, padded with zeros",
        "_reversed": f"{operation.name} as padded, the answer's least significant digit first",
        "_two_shot": f"{operation.name} of two numbers of {long} after two solved questions",
    }
    draw = _two_shot if style == "_two_shot" else partial(_compact, style=style)
    register = task(
        f"{operation.name}_{digits}{style}",
        population=_population(digits, style),
        source=SOURCE,
        summary=facts[style],
    )
    register(draw(operation, digits))


for _operation, _digits, _style in product(OPERATIONS, DIGITS, STYLES):
    _register(_operation, _digits, _style)
