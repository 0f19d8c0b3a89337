"""The fitter on NIST's certified nonlinear regressions: agreeing digits of parameters and RSS.

The models are not in the registry: each is written here as a `Law`, linear parameters apart, with
complex-step derivatives, and is followed from NIST's own two starting points.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from saltus.curves.curve import FloatArray
from saltus.curves.law import INF, Law, Parts
from saltus.curves.support import standard_errors
from saltus.curves.varpro import fit_law
from shared import SHARED, needs_shared

Formula = Callable[..., Any]
STEP = 1e-30


class Model(NamedTuple):
    """Linear parameters with their columns, the rest, and what no linear one multiplies."""

    linear: str
    nonlinear: str
    columns: Formula
    offset: Formula | None = None


def ratio(top: int, bottom: int) -> Formula:
    """Columns x^j / (1 + b x + ...) of a ratio of polynomials."""

    def columns(x: Any, *b: Any) -> list[Any]:
        under = 1.0 + sum(b[j] * x ** (j + 1) for j in range(bottom))
        return [x**j / under for j in range(top + 1)]

    return columns


def waves(x: Any, b4: Any, b7: Any) -> list[Any]:
    turn = 2.0 * np.pi * x
    return [f(turn / period) for period in (12.0, b4, b7) for f in (np.cos, np.sin)]


def bumps(x: Any, b2: Any, b4: Any, b5: Any, b7: Any, b8: Any) -> list[Any]:
    return [np.exp(-b2 * x), np.exp(-(((x - b4) / b5) ** 2)), np.exp(-(((x - b7) / b8) ** 2))]


GAUSS = Model("1 3 6", "2 4 5 7 8", bumps)
LANCZOS = Model("1 3 5", "2 4 6", lambda x, *b: [np.exp(-rate * x) for rate in b])
CHWIRUT = Model(
    "", "1 2 3", lambda x, *b: [], lambda x, b1, b2, b3: np.exp(-b1 * x) / (b2 + b3 * x)
)
CUBIC = Model("1 2 3 4", "5 6 7", ratio(3, 3))
SATURATION = Model("1", "2", lambda x, b: [1.0 - np.exp(-b * x)])
MODELS = {
    "Misra1a": SATURATION,
    "Misra1b": Model("1", "2", lambda x, b: [1.0 - (1.0 + b * x / 2.0) ** -2]),
    "Misra1c": Model("1", "2", lambda x, b: [1.0 - (1.0 + 2.0 * b * x) ** -0.5]),
    "Misra1d": Model("1", "2", lambda x, b: [b * x / (1.0 + b * x)]),
    "BoxBOD": SATURATION,
    "DanWood": Model("1", "2", lambda x, b: [x**b]),
    "Chwirut1": CHWIRUT,
    "Chwirut2": CHWIRUT,
    "Lanczos1": LANCZOS,
    "Lanczos2": LANCZOS,
    "Lanczos3": LANCZOS,
    "Gauss1": GAUSS,
    "Gauss2": GAUSS,
    "Gauss3": GAUSS,
    "Kirby2": Model("1 2 3", "4 5", ratio(2, 2)),
    "Hahn1": CUBIC,
    "Thurber": CUBIC,
    "MGH09": Model("1", "2 3 4", lambda x, b2, b3, b4: [(x**2 + x * b2) / (x**2 + x * b3 + b4)]),
    "MGH10": Model("1", "2 3", lambda x, b2, b3: [np.exp(b2 / (x + b3))]),
    "MGH17": Model("1 2 3", "4 5", lambda x, *b: [1.0 + 0.0 * x, *(np.exp(-x * r) for r in b)]),
    "Rat42": Model("1", "2 3", lambda x, b2, b3: [1.0 / (1.0 + np.exp(b2 - b3 * x))]),
    "Rat43": Model(
        "1", "2 3 4", lambda x, b2, b3, b4: [(1.0 + np.exp(b2 - b3 * x)) ** (-1.0 / b4)]
    ),
    "Eckerle4": Model("1", "2 3", lambda x, b2, b3: [np.exp(-0.5 * ((x - b3) / b2) ** 2) / b2]),
    "Bennett5": Model("1", "2 3", lambda x, b2, b3: [(b2 + x) ** (-1.0 / b3)]),
    "Roszman1": Model(
        "1 2", "3 4", lambda x, *b: [1.0 + 0.0 * x, -x],
        lambda x, b3, b4: -np.arctan(b3 / (x - b4)) / np.pi,
    ),
    "ENSO": Model("1 2 3 5 6 8 9", "4 7", lambda x, *b: [1.0 + 0.0 * x, *waves(x, *b)]),
    "Nelson": Model(
        "1 2", "3", lambda x, b3: [1.0 + 0.0 * x[..., 0], -x[..., 0] * np.exp(-b3 * x[..., 1])]
    ),
}  # fmt: skip


class Certified(NamedTuple):
    x: FloatArray
    y: FloatArray
    starts: FloatArray
    values: FloatArray
    errors: FloatArray
    rss: float


def certified(name: str) -> Certified:
    text = (SHARED / f"data/nist/{name}.dat").read_text()
    rows = [
        line.split("=")[1].split() for line in text.splitlines() if re.match(r" *b\d+ *=", line)
    ]
    table = np.array(rows, dtype=np.float64)
    found = re.search(r"Residual Sum of Squares: *(\S+)", text)
    assert found is not None
    lines = text[text.rindex("Data:") :].splitlines()[1:]
    data = np.array([line.split() for line in lines if line.strip()], dtype=np.float64)
    y, x = data[:, 0], data[:, 1]
    if name == "Nelson":
        y, x = np.log(y), data[:, 1:]
    return Certified(x, y, table[:, :2].T, table[:, 2], table[:, 3], float(found[1]))


def law_of(name: str, given: Certified) -> Law:
    model = MODELS[name]
    place = [int(number) - 1 for number in model.nonlinear.split()]

    def parts(x: FloatArray, *theta: FloatArray) -> Parts:
        shape = np.broadcast_shapes(
            x.shape[: 2 if name != "Nelson" else x.ndim - 1], np.shape(theta[0])
        )

        def whole(column: Any) -> FloatArray:
            return np.broadcast_to(np.real(column), shape)

        def slopes(formula: Formula) -> list[list[FloatArray]]:
            moved = [
                [t + (1j * STEP if j == k else 0.0) for j, t in enumerate(theta)]
                for k in range(len(theta))
            ]
            return [
                [np.broadcast_to(np.imag(c) / STEP, shape) for c in formula(x, *m)] for m in moved
            ]

        columns = tuple(whole(column) for column in model.columns(x, *theta))
        by_theta = slopes(model.columns)
        tables = tuple(tuple(row[j] for row in by_theta) for j in range(len(columns)))
        if model.offset is None:
            return Parts(columns, tables)
        offset = model.offset
        moved = slopes(lambda *a: [offset(*a)])
        return Parts(columns, tables, whole(offset(x, *theta)), tuple(row[0] for row in moved))

    linear = tuple(f"b{number}" for number in model.linear.split())
    nonlinear = tuple(f"b{number}" for number in model.nonlinear.split())
    return Law(
        name, parts, linear, nonlinear, dict.fromkeys(linear + nonlinear, (-INF, INF)), {},
        lambda low, high: given.starts[None][:, :, place],
        "a and b" if name == "Nelson" else "scale", 2, None, 1, "?", "NIST StRD",
    )  # fmt: skip


def digits(found: FloatArray, truth: FloatArray) -> float:
    """Fewest agreeing significant digits, at most the eleven that NIST certifies."""
    miss = np.abs(found - truth) / np.abs(truth)
    return float(min(11.0, -np.log10(np.max(miss) + 1e-99)))


@needs_shared
@pytest.mark.parametrize("name", sorted(MODELS))
def test_agrees_with_the_certified_values(name: str) -> None:
    given = certified(name)
    # the sign of Eckerle4's width is free: b1 / b2 and b2 squared stay
    bounds = {"b2": (1e-3, INF)} if name == "Eckerle4" else {}
    found = fit_law(law_of(name, given), given.x, given.y, bounds=bounds)
    assert found.converged[0]
    order = np.argsort([int(parameter[1:]) for parameter in found.law.names])
    assert digits(found.parameters[0][order], given.values) >= 6.0
    if given.rss > 1e-20:  # Lanczos1 is exact up to rounding
        assert digits(found.rss, np.array([given.rss])) >= 8.0
        assert digits(standard_errors(found)[0][order], given.errors) >= 4.0


@needs_shared
def test_every_certified_regression_is_here() -> None:
    assert {path.stem for path in (SHARED / "data/nist").glob("*.dat")} == set(MODELS)
