"""Which model and task gets the next items, and when it has enough.

Adaptive: every cell is asked in rounds of items; after a round it has enough when the
interval of its rate is narrow, or when it has enough right answers for a precise ratio. The
interval holds at every look (`mixture_interval`), and the rule looks at a cell's own counts
alone, after whole rounds, so that the rate that it stops with has an unbiased estimate
(`stopped_rate`), cells cut off at the cap included. What other models did decides only who is
asked first, which matters when a budget ends the run: the models on both sides of a step that
could be the largest of their task, then the widest intervals.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from saltus.estimates.sequential import mixture_interval, stopped_rate
from saltus.runners.asking import Cell

ROUND = 20  # items that a cell is asked before it is looked at again


class Allocation(Protocol):
    """Decides when a cell has enough items."""

    def prepare(self, cells: Sequence[Cell]) -> None:
        """Set the first limits."""
        ...

    def grow(self, cells: Sequence[Cell]) -> None:
        """Give cells that came to their limit more items, where they need them."""
        ...

    def rate(self, items: int, right: int) -> float:
        """Unbiased share of right answers of a cell that ended with these counts."""
        ...


class Fixed:
    """The same number of items for everybody, decided beforehand."""

    def prepare(self, cells: Sequence[Cell]) -> None:
        """Every cell may be asked all of its items."""

    def grow(self, cells: Sequence[Cell]) -> None:
        """Nobody gets more."""

    def rate(self, items: int, right: int) -> float:
        """The mean."""
        return right / items


@dataclass(frozen=True)
class Adaptive:
    """Rounds of items until a cell's rate is known well enough.

    Args:
        width: a cell is narrow enough when its interval is no wider.
        right: a cell has enough when so many answers are right; None: only `width` decides.
        step: items per round.
        level: of the intervals.
    """

    width: float
    right: int | None = None
    step: int = ROUND
    level: float = 0.95

    def prepare(self, cells: Sequence[Cell]) -> None:
        """One round for every cell."""
        for cell in cells:
            cell.limit = min(self.step, cell.items.height)

    def grow(self, cells: Sequence[Cell]) -> None:
        """Another round for every cell whose last one is over and did not suffice."""
        open_cells = (cell for cell in cells if not cell.settled and cell.exhausted)
        ended = [cell for cell in open_cells if cell.limit < cell.items.height]
        for cell in ended:
            cell.settled = self.enough(cell.scored, cell.right)
            if not cell.settled:
                cell.limit = min(cell.limit + self.step, cell.items.height)
        if ended:
            rank(cells, self.level)

    def enough(self, items: int, right: int) -> bool:
        """Whether a cell with so many right answers is known well enough."""
        return bool(self.stops(items, np.array([right]))[0])

    def stops(self, items: int, right: NDArray[np.int64]) -> NDArray[np.bool_]:
        """The rule, for several counts of right answers."""
        if items == 0:
            return np.zeros(len(right), bool)
        low, high = mixture_interval(right, items, self.level)
        over: NDArray[np.bool_] = high - low <= self.width
        return over | (right >= self.right) if self.right is not None else over

    def rate(self, items: int, right: int) -> float:
        """Unbiased rate of a cell that stopped by this rule or was cut off.

        Where answers failed, the looks were others than those of a whole run, and the mean is
        given if the rule could not have ended there.
        """
        looks = list(range(self.step, items, self.step))
        try:
            return stopped_rate(right, items, [*looks, items], self.stops)
        except ValueError:
            return right / items


def rank(cells: Sequence[Cell], level: float) -> None:
    """Who is asked first: both sides of a step that may be the largest, then the widest."""
    tasks = defaultdict(list)
    for cell in cells:
        tasks[cell.task, cell.served.family, cell.regime].append(cell)
    for row in tasks.values():
        row.sort(key=lambda cell: (cell.served.params or 0.0, cell.served.flops or 0.0))
        right, scored = [cell.right for cell in row], [cell.scored for cell in row]
        low, high = mixture_interval(right, scored, level)
        possible, sure = high[1:] - low[:-1], low[1:] - high[:-1]
        contends = np.zeros(len(row), bool)
        if len(row) > 1:
            steps = possible >= max(0.0, sure.max())
            contends[1:] |= steps
            contends[:-1] |= steps
        for place, cell in enumerate(row):
            cell.priority = float(contends[place]) + float(high[place] - low[place])
