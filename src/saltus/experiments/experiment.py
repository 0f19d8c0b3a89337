"""What an experiment is: a pure function from a context to figures, tables, words and checks.

The claim is what the source says, the expectation what the figure must show if the claim and
the mathematics hold; what it does show is computed from the results, never typed, and so is
the verdict. Where the paper has an error that bears on the figure, the entry names it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from saltus.experiments.errata import ERRATA, Erratum
from saltus.registry import Registry
from saltus.report.plates import Figure, Sheet

PRESETS = ("smoke", "paper", "full")
PAPER = "Schaeffer et al. (2023), arXiv 2304.15004"


class Check(NamedTuple):
    """One acceptance test of a figure, decided in code.

    Args:
        what: is tested, as a statement that may hold.
        holds: whether it does; None where the data cannot tell.
        detail: the numbers.
    """

    what: str
    holds: bool | None
    detail: str


@dataclass(frozen=True)
class Outcome:
    """What an experiment shows.

    Args:
        figures: in order.
        sheets: tables behind the figures.
        shown: sentences computed from the results.
        checks: acceptance tests.
        verdict: one sentence, by Saltus's own procedure.
        inputs: files that the result rests on beside the seed.
    """

    figures: Sequence[Figure]
    sheets: Sequence[Sheet]
    shown: Sequence[str]
    checks: Sequence[Check]
    verdict: str
    inputs: Sequence[Path] = ()


@dataclass(frozen=True)
class Context:
    """What an experiment may use.

    Args:
        name: of the experiment.
        preset: smoke, paper or full.
        seed: of everything random.
        trained: family to the audit folder of its trained models; trains them when needed.
        responses: audit folders of the user, with answers or scores.
    """

    name: str
    preset: str
    seed: int
    trained: Callable[[str], Path]
    responses: Sequence[Path] = ()

    def rng(self, purpose: str = "") -> np.random.Generator:
        """A generator of its own for each purpose, so that no draw depends on another."""
        return np.random.default_rng([self.seed, zlib.crc32(f"{self.name}/{purpose}".encode())])

    def pick(self, smoke: int, paper: int, full: int | None = None) -> int:
        """A count by preset; `full` is that of `paper` if left out."""
        return {"smoke": smoke, "paper": paper, "full": paper if full is None else full}[
            self.preset
        ]


@dataclass(frozen=True)
class Experiment:
    """An experiment with its facts.

    Args:
        name: unique; the function's name, such as fig2.
        function: context to outcome.
        title: of the figure.
        claim: what the source says.
        expected: what must show if it is right.
        source: where the claim stands.
        errors: what is wrong in the paper at this figure.
        families: trained families that it needs.
    """

    name: str
    function: Callable[[Context], Outcome] = field(repr=False)
    title: str
    claim: str
    expected: str
    source: str
    errors: Sequence[Erratum] = ()
    families: Sequence[str] = ()


# on the page in this order
ORDER = (
    "fig2", "fig3", "fig4", "fig5", "fig6", "fig7", "fig8", "fig9", "fig10", "predictions",
    "addition", "loss",
)  # fmt: skip
EXPERIMENTS: Registry[Experiment] = Registry(
    "experiment", tuple(f"saltus.experiments.{name}" for name in ORDER)
)


def experiment(
    *,
    title: str,
    claim: str,
    expected: str,
    source: str,
    errors: Sequence[int] = (),
    families: Sequence[str] = (),
) -> Callable[[Callable[[Context], Outcome]], Experiment]:
    """Register the decorated function as an `Experiment`; errors are numbers of `ERRATA`."""

    def register(function: Callable[[Context], Outcome]) -> Experiment:
        known = tuple(ERRATA[number] for number in errors)
        entry = Experiment(
            function.__name__, function, title, claim, expected, source, known, tuple(families)
        )
        return EXPERIMENTS.add(entry)

    return register
