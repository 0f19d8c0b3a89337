"""What a metric is: facts around one pure function, found by name or by a harness's name.

The contract of a metric's function: its arguments are columns of `Responses` and arrive as

====================  =============================================================
column type           argument
====================  =============================================================
string                `list[str | None]`
list of strings       `Sequence[list[str] | None]`
list of numbers       `Ragged`: all lists end to end, and their lengths (0 where null)
number                float array, NaN where null
====================  =============================================================

It returns `Values`: one number per answer, NaN where there is none, and then the reason in
words. What cannot be scored is never scored 0.

A metric of a whole set (`kind="set"`: a calibration error, pass@k) gets the same arguments for
all answers of one model to one task, may ask for `correct` too (the answers' zero-or-one score,
NaN where missing), and returns a `SetValue`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, TypeVar

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
Chance = float | Literal["none", "uniform", "brier_sum", "brier_mean", "log", "minus_log"]
Link = Literal["nll", "perplexity", "error_rate", "identity", "logit", "brier"]
Bounds = tuple[float | None, float | None]
Kind = Literal["answer", "set"]


class _Ragged(NamedTuple):
    flat: FloatArray
    lengths: IntArray


class Ragged(_Ragged):
    """Lists of numbers of different lengths.

    Args:
        flat: (numbers,) all lists end to end; NaN where a number is null.
        lengths: (items,) numbers per list; 0 for an empty or absent list.
    """

    @cached_property
    def memo(self) -> dict[str, Any]:
        """What the metrics of one batch have worked out from it, so that they share it."""
        return {}


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


class SetValue(NamedTuple):
    """What a metric says about all answers of one model to one task.

    Args:
        value: in the metric's unit; NaN where missing.
        influence: (answers,) how far each answer moves the value (the first-order term of the
            value as a function of the answers' weights, sum near 0), from which its variance
            and that of clustered answers follow; NaN for an answer that takes no part.
        missing: why there is no value, None where there is one.
    """

    value: float
    influence: FloatArray
    missing: str | None = None


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
            "brier_mean" (1-1/K)/K, "log" ln K, "minus_log" -ln K for K choices; "none" where
            guessing is not defined.
        partners: continuous metrics that could see what this one rounds off, best first.
        link: how a mean becomes the z of smooth scaling (higher is better), or None.
            With l = value (minus the value when higher is better) and e = the distance from
            the best bound as a share of the range: "nll" -ln l; "perplexity" -ln ln value;
            "error_rate" -ln(-ln(1-e)); "identity" the chance-corrected mean, for values
            that do not bend near an end; "logit" ln(value/(1-value)); "brier" the logit of the
            probability of the right choice that has this Brier score.
        default: whether it is scored when nobody asks for metrics by name.
        summary: first line of the function's docstring.
        kind: "answer": one value per answer, and the mean counts; "set": one value of all
            answers of a model to a task (its function returns `SetValue`).
        judged: whether verdicts may rest on it; False for facts about the harness.
        group: of a set's metric that asks for K right answers at once, K.
    """

    name: str
    function: Callable[..., Values] | Callable[..., SetValue] | None
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
    group: int = 1

    @cached_property
    def known_as(self) -> frozenset[str]:
        """Name and aliases as `find` compares them."""
        return frozenset(map(plain, (self.name, *self.aliases)))

    @property
    def punishes_confidence(self) -> bool:
        """Whether it improves when guesses become humble (a Brier or logarithmic score)."""
        return self.chance in ("brier_sum", "brier_mean", "log", "minus_log")

    @property
    def is_loss(self) -> bool:
        """Whether it is a negative log-likelihood, or the exponential of one."""
        return self.link in ("nll", "perplexity")

    def compute(self, *arguments: object) -> Values:
        """The function's values, with a reason wherever there is no finite number.

        Raises:
            SaltusError: the metric is only known from reports, or is one of a whole set.
        """
        found = self._called(*arguments)
        if not isinstance(found, Values):
            raise SaltusError(f"metric {self.name!r} has a value for a set, not for an answer")
        value, missing, units = found
        odd = ~np.isfinite(value)
        if odd.any():
            there = present(missing)
            missing[odd & there] = "the value is not a number"
            missing[np.isinf(value) & there] = "the value is infinite"
        absent = ~present(missing)
        return Values(np.where(absent, np.nan, value) if absent.any() else value, missing, units)

    def compute_set(self, *arguments: object) -> SetValue:
        """The function's value for all answers of a model to a task.

        Raises:
            SaltusError: the metric is not one of a whole set.
        """
        found = self._called(*arguments)
        if not isinstance(found, SetValue):
            raise SaltusError(f"metric {self.name!r} has a value for each answer, not for a set")
        if found.missing is None and not np.isfinite(found.value):
            return SetValue(np.nan, found.influence, "the value is not a finite number")
        return found

    def _called(self, *arguments: object) -> Values | SetValue:
        if self.function is None:
            raise SaltusError(
                f"metric {self.name!r} is only known as a number that files report; "
                "it cannot be scored from answers"
            )
        return self.function(*arguments)


METRICS: Registry[Metric] = Registry(
    "metric",
    (
        "saltus.metrics.choice",
        "saltus.metrics.text",
        "saltus.metrics.edit",
        "saltus.metrics.likelihood",
        "saltus.metrics.overlap",
        "saltus.metrics.squad",
        "saltus.metrics.ngrams",
        "saltus.metrics.corpus",
        "saltus.metrics.numbers",
        "saltus.metrics.tokens",
        "saltus.metrics.sampling",
        "saltus.metrics.calibration",
        "saltus.metrics.labels",
        "saltus.metrics.bigbench",
        "saltus.metrics.vision",
        "saltus.metrics.reported",
        "saltus.metrics.extract",
    ),
)

Registered = TypeVar("Registered", bound=Callable[..., Any])
BIG_BENCH = "Srivastava et al. 2022, arXiv:2206.04615; BIG-bench, bigbench/api/task_metrics.py"
CORRECT = "correct"  # what a set metric may ask for beside the columns


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
    kind: Kind = "answer",
    judged: bool = True,
) -> Callable[[Registered], Registered]:
    """Registers the function below as a metric with these facts (see `Metric`).

    The function's name is the metric's name unless `name` is given.

    Raises:
        SaltusError: an argument that is no column of `Responses`, or a name that is taken.
    """

    def register(function: Registered) -> Registered:
        needs = tuple(inspect.signature(function).parameters)
        title = name or function.__name__
        known = {column for column, _ in columns(Responses)}
        if kind == "set":
            known.add(CORRECT)
        if unknown := set(needs) - known:
            raise SaltusError(f"metric {title!r}: no column {', '.join(sorted(unknown))}")
        METRICS.add(
            Metric(
                name=title, function=function, needs=needs, unit=unit, better=better,
                bounds=bounds, reaction=reaction, source=source, aliases=aliases, binary=binary,
                chance=chance, partners=partners, link=link, default=default,
                summary=(function.__doc__ or "").strip().partition("\n")[0], kind=kind,
                judged=judged,
            )
        )  # fmt: skip
        return function

    return register


def find(name: str) -> Metric | None:
    """The metric that a harness means by a name; None where nobody knows.

    Case, blanks, hyphens and a filter (`exact_match,strict-match`) make no difference.
    """
    wanted = plain(name.partition(",")[0])
    for entry in METRICS:
        if wanted in entry.known_as:
            return entry
    return None


def plain(name: str) -> str:
    """A name as `find` compares it: without case, blanks and hyphens."""
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
