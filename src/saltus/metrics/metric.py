"""What a metric is: facts around one pure function, found by name or by a harness's name.

The contract of a metric's function: its arguments are columns of `Responses` and arrive as

====================  =============================================================
column type           argument
====================  =============================================================
string                `list[str | None]`
list of strings       `list[list[str] | None]`
list of numbers       `Ragged`: all lists end to end, and their lengths (0 where null)
number                float array, NaN where null
====================  =============================================================

It returns `Values`: one number per answer, NaN where there is none, and then the reason in
words. What cannot be scored is never scored 0.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from saltus.errors import SaltusError
from saltus.registry import Registry
from saltus.tables import Responses, columns

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Reasons = NDArray[np.object_]

Better = Literal["higher", "lower"]
Reaction = Literal["thresholded", "continuous"]
Chance = float | Literal["none", "uniform", "brier_sum", "brier_mean", "log"]
Link = Literal["nll", "perplexity", "error_rate", "identity", "skill"]
Bounds = tuple[float | None, float | None]
Kind = Literal["answer", "set"]


class Ragged(NamedTuple):
    """Lists of numbers of different lengths.

    Args:
        flat: (numbers,) all lists end to end; NaN where a number is null.
        lengths: (items,) numbers per list; 0 for an empty or absent list.
    """

    flat: FloatArray
    lengths: IntArray


class Values(NamedTuple):
    """What a metric says about a batch of answers.

    Args:
        value: (items,) in the metric's unit, NaN where missing.
        missing: (items,) why there is no value, None where there is one.
        units: (items,) tokens, words, ... that the value averages over; None: not a mean.
    """

    value: FloatArray
    missing: Reasons
    units: FloatArray | None = None


@dataclass(frozen=True)
class Metric:
    """One metric: its facts and, unless it is only known from reports, its function.

    Args:
        name: the name in tables and on the command line.
        function: columns of `Responses` to `Values`; None for a metric that Saltus only
            meets as an aggregate in files.
        needs: names of the function's arguments.
        unit: of the value.
        better: which way is up.
        bounds: least and greatest value; None: unbounded.
        reaction: "thresholded" when a small change of the model leaves most scores as they
            are and flips a few, "continuous" when it moves them all a little.
        source: paper and equation, or the code that defines it.
        aliases: names that harnesses use for it.
        binary: whether an item scores 0 or 1 (a tie may score between).
        chance: level under uniform guessing: a number; "uniform" 1/K, "brier_sum" 1-1/K,
            "brier_mean" (1-1/K)/K, "log" ln K for K choices; "none" where guessing is not
            defined.
        partners: continuous metrics that could see what this one rounds off, best first.
        link: how a mean becomes the z of smooth scaling (higher is better), or None.
            With l = value (minus the value when higher is better) and e = the distance from
            the best bound as a share of the range: "nll" -ln l; "perplexity" -ln ln value;
            "error_rate" -ln(-ln(1-e)); "identity" the chance-corrected mean; "skill"
            1 - value/chance.
        default: whether it is scored when nobody asks for metrics by name.
        summary: first line of the function's docstring.
        kind: "answer": one value per answer, and the mean counts; "set": one value of all
            answers of a model to a task (its function returns `SetValue`).
        judged: whether verdicts may rest on it; False for facts about the harness.
    """

    name: str
    function: Callable[..., Values] | None
    needs: tuple[str, ...]
    unit: str
    better: Better
    bounds: Bounds
    reaction: Reaction
    source: str
    aliases: tuple[str, ...] = ()
    binary: bool = False
    chance: Chance = "none"
    partners: tuple[str, ...] = ()
    link: Link | None = None
    default: bool = False
    summary: str = ""
    kind: Kind = "answer"
    judged: bool = True

    @cached_property
    def known_as(self) -> frozenset[str]:
        """Name and aliases as `find` compares them."""
        return frozenset(map(_plain, (self.name, *self.aliases)))

    def compute(self, *arguments: object) -> Values:
        """The function's values, with a reason wherever there is no finite number.

        Raises:
            SaltusError: the metric is only known from reports.
        """
        if self.function is None:
            raise SaltusError(
                f"metric {self.name!r} is only known as a number that files report; "
                "it cannot be scored from answers"
            )
        value, missing, units = self.function(*arguments)
        missing[np.isinf(value) & present(missing)] = "the value is infinite"
        missing[~np.isfinite(value) & present(missing)] = "the value is not a number"
        return Values(np.where(present(missing), value, np.nan), missing, units)


METRICS: Registry[Metric] = Registry(
    "metric",
    (
        "saltus.metrics.choice",
        "saltus.metrics.text",
        "saltus.metrics.edit",
        "saltus.metrics.likelihood",
        "saltus.metrics.overlap",
        "saltus.metrics.reported",
    ),
)

Function = Callable[..., Values]


def metric(
    *,
    unit: str,
    better: Better,
    bounds: Bounds,
    reaction: Reaction,
    source: str,
    name: str | None = None,
    aliases: tuple[str, ...] = (),
    binary: bool = False,
    chance: Chance = "none",
    partners: tuple[str, ...] = (),
    link: Link | None = None,
    default: bool = False,
) -> Callable[[Function], Function]:
    """Registers the function below as a metric with these facts (see `Metric`).

    The function's name is the metric's name unless `name` is given.

    Raises:
        SaltusError: an argument that is no column of `Responses`, or a name that is taken.
    """

    def register(function: Function) -> Function:
        needs = tuple(inspect.signature(function).parameters)
        title = name or function.__name__
        if unknown := set(needs) - {column for column, _ in columns(Responses)}:
            raise SaltusError(f"metric {title!r}: no column {', '.join(sorted(unknown))}")
        METRICS.add(
            Metric(
                name=title, function=function, needs=needs, unit=unit, better=better,
                bounds=bounds, reaction=reaction, source=source, aliases=aliases, binary=binary,
                chance=chance, partners=partners, link=link, default=default,
                summary=(function.__doc__ or "").strip().partition("\n")[0],
            )
        )  # fmt: skip
        return function

    return register


def find(name: str) -> Metric | None:
    """The metric that a harness means by a name; None where nobody knows.

    Case, blanks, hyphens and a filter (`exact_match,strict-match`) make no difference.
    """
    plain = _plain(name.partition(",")[0])
    for entry in METRICS:
        if plain in entry.known_as:
            return entry
    return None


def _plain(name: str) -> str:
    return name.strip().casefold().replace("-", "_").replace(" ", "_")


def first_reasons(items: int, checks: Iterable[tuple[BoolArray, str]]) -> Reasons:
    """(items,) the first reason whose mask holds, None where none does."""
    missing: Reasons = np.full(items, None, dtype=object)
    for mask, reason in reversed(tuple(checks)):
        missing[mask] = reason
    return missing


def present(missing: Reasons) -> BoolArray:
    """(items,) where there is a value, that is no reason why there is none."""
    there: BoolArray = missing == None  # noqa: E711
    return there
