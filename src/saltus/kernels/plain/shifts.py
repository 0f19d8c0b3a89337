"""Translation edit rate (Snover et al. 2006) with the limits and quirks of `sacrebleu`'s Tercom.

The edit table is filled only within 25 columns of the diagonal, its last row to the end. A
shift moves at most 10 words over at most 50; of all shifts the best by (gain, length, earliest
start, earliest target) is made, until none gains; after 1,000 candidates the last is not made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from math import ceil, floor
from typing import NamedTuple

BEAM = 25
LONGEST_SHIFT = 10
FARTHEST_SHIFT = 50
MOST_CANDIDATES = 1000
FAR = 1 << 60  # no way leads here

Words = Sequence[str]


class Row(NamedTuple):
    """A row of the edit table inside the beam.

    Args:
        low: its first column.
        costs: edits from there on.
    """

    low: int
    costs: list[int]

    def at(self, column: int) -> int:
        """Edits at a column, FAR outside the beam."""
        place = column - self.low
        return self.costs[place] if 0 <= place < len(self.costs) else FAR


class Alignment(NamedTuple):
    """The cheapest edits from an output to a target.

    Args:
        place: per word of the target its place in the output, -1 before the output's start.
        wrong_target: (words + 1) errors among the first words of the target.
        wrong_output: (words + 1) errors among the first words of the output.
    """

    place: list[int]
    wrong_target: list[int]
    wrong_output: list[int]


class Shift(NamedTuple):
    """Words [start, start + length) go before place `to` of the output."""

    start: int
    length: int
    to: int


def edits_with_shifts(output: Words, target: Words) -> int:
    """Insertions, deletions, substitutions and shifts; all of the output where no target is."""
    if not target:
        return len(output)
    words, shifts, tried = list(output), 0, 0
    while True:
        table = _table(words, target)
        shift, tried = _best_shift(words, target, table, tried)
        if shift is None or tried >= MOST_CANDIDATES:
            return shifts + _distance(table)
        words = shifted(words, shift)
        shifts += 1


def shifted(words: list[str], shift: Shift) -> list[str]:
    """The words after a shift; one to inside themselves moves them by as much."""
    start, length, to = shift
    block, rest = words[start : start + length], words[:start] + words[start + length :]
    if to > start + length:
        to -= length
    return rest[:to] + block + rest[to:]


def _table(words: Words, target: Words, rows: Sequence[Row] = (), keep: int = 0) -> list[Row]:
    """The edit table of the words, the first `keep` words' rows taken from `rows`."""
    table = list(rows[: keep + 1]) or [Row(0, list(range(len(target) + 1)))]
    ratio = len(target) / len(words) if words else 1.0
    beam = ceil(ratio / 2 + BEAM) if ratio / 2 > BEAM else BEAM
    for number in range(len(table), len(words) + 1):
        middle = floor(number * ratio)
        past = len(target) + 1 if number == len(words) else min(len(target) + 1, middle + beam)
        columns = range(max(0, middle - beam), past)
        table.append(_row(table[-1], words[number - 1], target, columns))
    return table


def _row(above: Row, word: str, target: Words, columns: range) -> Row:
    costs: list[int] = []
    left, corner = FAR, above.at(columns.start - 1)
    for column in columns:
        over = above.at(column)
        wrong = word != target[column - 1] if column else FAR
        left = min(corner + wrong, over + 1, left + 1, FAR)
        costs.append(left)
        corner = over
    return Row(columns.start, costs)


def _distance(table: Sequence[Row]) -> int:
    return table[-1].costs[-1]


def _align(words: Words, target: Words, table: Sequence[Row]) -> Alignment:
    """Walks the table back: along both where that is cheapest, else up, else left."""
    place = [0] * len(target)
    wrong_target, wrong_output = [0] * (len(target) + 1), [0] * (len(words) + 1)
    row, column = len(words), len(target)
    while row or column:
        cost = table[row].at(column)
        wrong = int(not row or not column or words[row - 1] != target[column - 1])
        if row and column and table[row - 1].at(column - 1) + wrong == cost:
            wrong_target[column] = wrong_output[row] = wrong
            row, column = row - 1, column - 1
            place[column] = row
        elif row and table[row - 1].at(column) + 1 == cost:
            wrong_output[row] = 1
            row -= 1
        else:
            wrong_target[column] = 1
            column -= 1
            place[column] = row - 1
    return Alignment(place, list(accumulate(wrong_target)), list(accumulate(wrong_output)))


def _best_shift(words: list[str], target: Words, table: list[Row],
                tried: int) -> tuple[Shift | None, int]:  # fmt: skip
    """The best shift, None if none gains, and how many candidates were tried by then."""
    alignment = _align(words, target, table)
    best, chosen = (0, 0, 0, 0), None
    for start, goal, length in _runs(words, target):
        if _useless(alignment, start, goal, length):
            continue
        for to in _targets(alignment, goal, length):
            shift = Shift(start, length, to)
            moved = shifted(words, shift)
            cost = _distance(_table(moved, target, table, min(start, to)))
            rank = (_distance(table) - cost, length, -start, -to)
            tried += 1
            if rank[0] > 0 and rank > best:
                best, chosen = rank, shift
        if tried >= MOST_CANDIDATES:
            break
    return chosen, tried


def _runs(words: Words, target: Words) -> Iterator[tuple[int, int, int]]:
    """Start in the output, start in the target and length of all runs of equal words."""
    for start in range(len(words)):
        for goal in range(max(0, start - FARTHEST_SHIFT),
                          min(len(target), start + FARTHEST_SHIFT + 1)):  # fmt: skip
            most = min(LONGEST_SHIFT, len(words) - start, len(target) - goal)
            for length in range(most):
                if words[start + length] != target[goal + length]:
                    break
                yield start, goal, length + 1


def _useless(of: Alignment, start: int, goal: int, length: int) -> bool:
    """Whether all of the run is right on a side, or it would move into itself."""
    return (
        of.wrong_output[start] == of.wrong_output[start + length]
        or of.wrong_target[goal] == of.wrong_target[goal + length]
        or start <= of.place[goal] < start + length
    )


def _targets(of: Alignment, goal: int, length: int) -> Iterator[int]:
    """Places before which a run may go: after what is aligned with the words of its goal."""
    before = -1
    for word in range(goal - 1, goal + length):
        place = of.place[word] + 1 if word >= 0 else 0
        if place != before:
            yield place
        before = place
