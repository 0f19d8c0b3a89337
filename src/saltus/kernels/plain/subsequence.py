"""Longest common subsequences with whole numbers as bit vectors (Hyyro 2004), and ROUGE's counts.

Bit i of the vector after column j is 0 where the table of subsequence lengths grows from row
i to row i + 1.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from itertools import chain, islice, pairwise
from math import isqrt
from typing import TypeVar

Tokens = Sequence[str]
Lines = Sequence[Tokens]
Thing = TypeVar("Thing")

# So many columns' vectors are kept at once; of longer sequences only some, and between those
# they are made again.
AT_ONCE = 1024


def rouge_row(
    output: Lines, target: Lines, ngrams: bool, lcs: bool, union: bool
) -> tuple[int, ...]:
    """Tokens of both, common 1-grams and 2-grams, subsequence, union: 0 for what is not wanted."""
    have, want = list(chain(*output)), list(chain(*target))
    return (
        len(have),
        len(want),
        common(Counter(have), Counter(want)) if ngrams else 0,
        common(Counter(pairwise(have)), Counter(pairwise(want))) if ngrams else 0,
        lcs_length(want, have) if lcs else 0,
        union_lcs(output, target) if union else 0,
    )


def common(have: Counter[Thing], want: Counter[Thing]) -> int:
    """How many there are in both, each as often as both have it."""
    return sum(min(count, want[thing]) for thing, count in have.items() if thing in want)


def lcs_length(one: Tokens, other: Tokens) -> int:
    """Length of the longest common subsequence."""
    last = deque(_vectors(_masks(one), _full(one), _full(one), other), maxlen=1)
    return len(one) - last.pop().bit_count()


def lcs_places(target: Tokens, output: Tokens) -> set[int]:
    """Places in the target of one longest common subsequence.

    Of several the one that `rouge_score` takes: walking from the ends, along equal tokens,
    else to the previous output token where the table is strictly larger there, else to the
    previous target token.
    """
    masks, full = _masks(target), _full(target)
    step = max(AT_ONCE, isqrt(len(output)) + 1)
    starts = range(0, len(output), step)
    kept = [full]
    if len(starts) > 1:
        kept = list(islice(_vectors(masks, full, full, output), 0, None, step))
    places: set[int] = set()
    row = len(target)
    for start in reversed(starts):
        columns = output[start : start + step]
        vectors = list(_vectors(masks, full, kept[start // step], columns))
        row = _walk(target, row, columns, vectors, places)
    return places


def union_lcs(output: Lines, target: Lines) -> int:
    """Per line of the target the union of its common subsequences with the output's lines.

    No token counts more often than the output has it (as ROUGE 1.5.5 counts).
    """
    left = Counter(chain(*output))
    hits = 0
    for line in target:
        for place in _union(line, output):
            hits += left[line[place]] > 0
            left[line[place]] -= 1
    return hits


def _union(line: Tokens, output: Lines) -> set[int]:
    if line in output:
        return set(range(len(line)))
    return set().union(*(lcs_places(line, other) for other in output))


def _masks(row: Tokens) -> dict[str, int]:
    masks: dict[str, int] = {}
    for place, token in enumerate(row):
        masks[token] = masks.get(token, 0) | (1 << place)
    return masks


def _full(row: Tokens) -> int:
    return (1 << len(row)) - 1


def _vectors(masks: dict[str, int], full: int, vector: int, columns: Tokens) -> Iterator[int]:
    """The bit vector before the first and after every column."""
    yield vector
    for token in columns:
        if token in masks:
            hits = vector & masks[token]
            vector = ((vector + hits) | (vector - hits)) & full
        yield vector


def _walk(target: Tokens, row: int, columns: Tokens, vectors: Sequence[int],
          places: set[int]) -> int:  # fmt: skip
    """Walks up and left through these columns; the row in which it leaves them."""
    column = len(columns)
    while row and column:
        if target[row - 1] == columns[column - 1]:
            row, column = row - 1, column - 1
            places.add(row)
        elif vectors[column] >> (row - 1) & 1:
            row -= 1
        else:
            column -= 1
    return row
