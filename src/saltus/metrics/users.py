"""Metrics that are not Saltus's own: a function in a user's file, a tokenizer's tokens.

`resolve` is the one place where a file named by the user is run as Python, and only when it
is asked for as `FILE.py@FUNCTION`. The facts of such metrics go into the audit's manifest, so
that later verbs know them without running the file again.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from saltus.errors import SaltusError
from saltus.metrics.groups import Groups
from saltus.metrics.measure import measured
from saltus.metrics.metric import CORRECT, METRICS, Metric, Values, present
from saltus.metrics.text import PARTNERS, unusable
from saltus.metrics.tokens import tokenizer_metrics
from saltus.store import sha256
from saltus.tables import Responses, columns

SIMPLE = ("output", "target")
STATED = ("unit", "better", "bounds", "reaction", "chance", "partners", "link", "binary", "source")
TOKENS = ("token_edit_distance@", "token_error_rate@")
FACTS = tuple(
    field.name for field in fields(Metric) if field.name not in ("function", "kind", "needs")
)


def resolve(name: str) -> str:
    """The registered name of a metric, loading it first when it lies in a file.

    Args:
        name: a metric's name; `FILE.py@FUNCTION`; or `token_error_rate@FILE.json` and
            `token_edit_distance@FILE.json` for a Hugging Face tokenizer.

    Raises:
        SaltusError: the file or the function cannot be used, with the mend.
    """
    path, at, rest = name.rpartition("@")
    if at and path.endswith(".py"):
        return METRICS.put(load(Path(path), rest)).name
    kind = next((prefix for prefix in TOKENS if name.startswith(prefix)), None)
    if kind and name.endswith(".json"):
        path_of = Path(name.removeprefix(kind))
        made = tokenizer_metrics(path_of)[TOKENS.index(kind)]
        return METRICS.put(replace(made, source=f"{made.source}; {origin(path_of)}")).name
    return name


def load(path: Path, function: str) -> Metric:
    """The metric of a function in a user's Python file.

    The function takes (output, target), both text, and gives a number (None: no score); or
    it takes columns of `Responses` by their names as arrays and lists, and gives `Values` or
    an array of numbers, NaN where there is none. What it does not state in an attribute
    `facts` (a dictionary with keys of `Metric`) is safe: higher is better, no bounds, and
    whether it is all-or-nothing is measured.

    Raises:
        SaltusError: no such file or function, the file cannot be run, or the arguments fit
            no form.
    """
    found = _function(_module(path), path, function)
    known = next((entry for entry in METRICS if entry.function is found), None)
    if known is not None:  # the file registered it with @metric
        return replace(known, source=f"{known.source}; {origin(path)}@{function}")
    facts = _facts(found, path, function)
    arguments = tuple(inspect.signature(found).parameters)
    if arguments == SIMPLE:
        wrapped = _one_by_one(found, facts.get("better", "higher"))
        needs: tuple[str, ...] = ("output", "targets")
    else:
        wrapped, needs = _by_column(found), _needs(path, function, arguments)
    entry = Metric(
        name=function,
        function=wrapped,
        needs=needs,
        unit=facts.pop("unit", "as the function gives it"),
        better=facts.pop("better", "higher"),
        bounds=facts.pop("bounds", (None, None)),
        reaction=facts.pop("reaction", "continuous"),
        source=f"{facts.pop('source', 'a user')}; {origin(path)}@{function}",
        summary=(found.__doc__ or "A user's metric.").strip().partition("\n")[0],
        **facts,
    )
    return entry if "reaction" in getattr(found, "facts", {}) else _with_reaction(entry)


def origin(path: Path) -> str:
    """A file by name and content, so that a changed file is seen as another source."""
    return f"{path.name} (SHA-256 {sha256(path)[:16]})"


def recorded(names: Iterable[str]) -> list[dict[str, Any]]:
    """Facts of the metrics that Saltus does not ship, for the manifest."""
    entries = [METRICS[name] for name in names if name in METRICS]
    return [
        {name: getattr(entry, name) for name in FACTS}
        for entry in entries
        if entry.function is not None and not _ours(entry)
    ]


def remember(facts: Sequence[Mapping[str, Any]]) -> None:
    """Registers metrics of an audit's manifest as facts without functions."""
    for given in facts:
        if given["name"] not in METRICS:
            lists: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value
                for name, value in given.items()
            }
            METRICS.add(Metric(function=None, needs=(), **lists))


def _ours(entry: Metric) -> bool:
    inside: str = getattr(entry.function, "__module__", "")
    return inside.startswith("saltus.") and "@token" not in f"@{entry.name}" and inside != __name__


def _module(path: Path) -> ModuleType:
    if not path.is_file():
        raise SaltusError(f"{path}: no such file; a user's metric is named FILE.py@FUNCTION")
    spec = spec_from_file_location(f"saltus_user_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise SaltusError(f"{path}: not a Python file")
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except SaltusError:
        raise
    except Exception as fault:
        raise SaltusError(f"{path}: cannot be run: {type(fault).__name__}: {fault}") from fault
    return module


def _function(module: ModuleType, path: Path, name: str) -> Callable[..., Any]:
    found = getattr(module, name, None)
    if callable(found):
        made: Callable[..., Any] = found
        return made
    there = [key for key, value in vars(module).items() if callable(value) and key[0] != "_"]
    raise SaltusError(f"{path}: no function {name!r}; it has {', '.join(there) or 'none'}")


def _facts(function: Callable[..., Any], path: Path, name: str) -> dict[str, Any]:
    facts = dict(getattr(function, "facts", {}))
    if unknown := set(facts) - set(STATED):
        raise SaltusError(
            f"{path}@{name}: facts has no {', '.join(sorted(unknown))}; it may have "
            f"{', '.join(STATED)}"
        )
    return facts


def _needs(path: Path, name: str, arguments: tuple[str, ...]) -> tuple[str, ...]:
    known = [column for column, _ in columns(Responses)]
    if not arguments or set(arguments) - set(known) - {CORRECT}:
        raise SaltusError(
            f"{path}@{name}: arguments ({', '.join(arguments)}) are neither (output, target) nor "
            f"columns of the answers: {', '.join(known)}"
        )
    return arguments


def _one_by_one(function: Callable[..., Any], better: str) -> Callable[..., Values]:
    """(output, target) -> number as a metric's function; of several targets the best counts."""
    best = max if better == "higher" else min

    def values(output: list[str | None], targets: list[list[str | None] | None]) -> Values:
        missing = unusable(output, targets)
        value = np.full(len(output), np.nan)
        for item in np.flatnonzero(present(missing)).tolist():
            goals = [target for target in targets[item] or () if target is not None]
            found = [_number(function(output[item], target)) for target in goals]
            known = [number for number in found if not math.isnan(number)]
            if known:
                value[item] = best(known)
            else:
                missing[item] = "the metric gave no value"
        return Values(value, missing)

    return values


def _number(value: object) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool | int | float | np.number | np.bool_):
        return float(value)
    raise TypeError(f"gave {value!r}, which is no number")


def _by_column(function: Callable[..., Any]) -> Callable[..., Values]:
    def values(*arguments: object) -> Values:
        found = function(*(list(a) if isinstance(a, Groups) else a for a in arguments))
        if isinstance(found, Values):
            return found
        value = np.array(found, dtype=np.float64)
        missing = np.full(len(value), None, dtype=object)
        missing[np.isnan(value)] = "the metric gave no value"
        return Values(value, missing)

    return values


def _with_reaction(entry: Metric) -> Metric:
    """The metric, thresholded where one changed token takes a score across its whole range."""
    try:
        found = measured(entry)
    except Exception:  # a function that fails on made-up answers may do well on real ones
        return entry
    if found is None or not found.discontinuous:
        return entry
    return replace(entry, reaction="thresholded", partners=PARTNERS)
