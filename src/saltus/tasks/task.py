"""What a task is: facts around one pure function from a generator to items."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import polars as pl
from numpy.typing import NDArray

from saltus.errors import SaltusError
from saltus.registry import Registry

Draw = Callable[[np.random.Generator, int], pl.DataFrame]

ITEMS: dict[str, pl.DataType | type[pl.DataType]] = {
    "item": pl.String,
    "prompt": pl.String,
    "targets": pl.List(pl.String),
    "choices": pl.List(pl.String),
    "target_index": pl.Int64,
    "stop": pl.List(pl.String),
    "cluster": pl.String,
}
SMALL = 200_000  # populations that are shuffled whole
BLOCK = 1024  # draws at a time, so that a longer draw starts with the shorter one
ROWS = 1 << 15  # rows of text that are made at a time
HEX = 16  # digits of an item's hash


@dataclass(frozen=True)
class Task:
    """One task: its facts and its function.

    Args:
        name: as it stands in `Responses.task`.
        function: (rng, count) to at least `prompt` and `targets` of distinct items; the items
            of a smaller count are the first ones of a larger count from the same seed.
        population: how many distinct items there are; None: more than can be counted.
        chance: exact match of a uniform guess among the answers; 0 where they are open.
        metrics: names of metrics that suit it, thresholded first.
        source: paper and section, or that it is our own.
        summary: what is asked, in one line.
    """

    name: str
    function: Draw
    population: int | None
    chance: float
    metrics: tuple[str, ...]
    source: str
    summary: str

    def items(self, rng: np.random.Generator, count: int) -> pl.DataFrame:
        """Items of the task, no two of them the same.

        Args:
            rng: source of randomness; the same state gives the same items.
            count: how many.

        Returns:
            (count,) rows: `item` (hash of the content), `prompt`, `targets` (accepted answers),
            `choices` and `target_index` (null where the answer is open), `stop` (strings that
            end an answer), `cluster` (items that share it are variants of one; null: none are).

        Raises:
            SaltusError: fewer than one item is asked for, or more than there are.
        """
        if count < 1 or (self.population is not None and count > self.population):
            there = "no end of" if self.population is None else f"{self.population:,}"
            raise SaltusError(f"task {self.name!r} has {there} items; {count:,} cannot be drawn")
        drawn = self.function(rng, count)
        return _whole(drawn.with_columns(item=_hashes(drawn)))


TASKS: Registry[Task] = Registry(
    "task", ("saltus.tasks.arithmetic", "saltus.tasks.controls", "saltus.tasks.typos")
)


def task(
    name: str,
    *,
    population: int | None,
    chance: float = 0.0,
    metrics: tuple[str, ...] = ("exact_match", "target_log_loss", "char_error_rate"),
    source: str,
    summary: str,
) -> Callable[[Draw], Task]:
    """Registers the function below as a task."""

    def register(function: Draw) -> Task:
        return TASKS.add(Task(name, function, population, chance, metrics, source, summary))

    return register


def distinct(rng: np.random.Generator, population: int, count: int) -> NDArray[np.int64]:
    """Distinct numbers below `population` in random order; a longer draw extends a shorter one.

    Args:
        rng: source of randomness.
        population: numbers to draw from, 0 ... population - 1.
        count: how many, at most `population`.

    Returns:
        (count,) numbers.
    """
    if population <= SMALL:
        return rng.permutation(population)[:count]
    drawn = np.empty(0, np.int64)
    while drawn.size < count:
        more = rng.integers(0, population, max(BLOCK, count // BLOCK * BLOCK))
        values, first = np.unique(np.concatenate([drawn, more]), return_index=True)
        drawn = values[np.argsort(first)]
    return drawn[:count]


def in_blocks(
    make: Callable[[NDArray[np.int64]], pl.DataFrame], numbers: NDArray[np.int64]
) -> pl.DataFrame:
    """Rows of many numbers, `ROWS` at a time: what lies between them and the text stays small.

    Args:
        make: (rows,) numbers to a table of so many rows.
        numbers: (count,), at least one.

    Returns:
        (count,) rows.
    """
    parts = (make(numbers[first : first + ROWS]) for first in range(0, len(numbers), ROWS))
    return pl.concat(parts, rechunk=False)


def _hashes(drawn: pl.DataFrame) -> pl.Series:
    """One name per content: the hash of prompt and targets."""
    content = pl.concat_list("prompt", "targets").list.join("\0")
    parts = (part.select(content).to_series() for part in drawn.iter_slices(ROWS))
    return pl.concat([pl.Series("item", map(_hash, part), pl.String) for part in parts])


def _hash(content: str) -> str:
    return sha256(content.encode()).hexdigest()[:HEX]


def _whole(drawn: pl.DataFrame) -> pl.DataFrame:
    """All columns of a table of items, null where the task says nothing."""
    return drawn.select(
        (pl.col(name) if name in drawn.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in ITEMS.items()
    )
