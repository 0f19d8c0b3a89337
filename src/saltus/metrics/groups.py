"""The accepted answers of a batch as a table's column holds them: texts end to end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

import polars as pl

Group = list[str | None] | None


class Groups(Sequence[Group]):
    """Per answer the list of its targets, None where there is none; read like a list of lists.

    The lists are made when they are asked for. A list kept for every answer would cost ten
    times its text: the garbage collector looks at each of them again and again.

    Args:
        column: lists of texts.
    """

    def __init__(self, column: pl.Series) -> None:
        lengths = column.list.len()
        self._flat: list[str | None] = column.filter(lengths > 0).explode().to_list()
        one_each = not column.null_count() and bool((lengths == 1).all())
        self.only = self._flat if one_each else None
        """Each answer's one target; None unless all answers have just one."""
        self._size = len(column)
        self._ends: list[int] = [] if one_each else lengths.fill_null(0).cum_sum().to_list()
        self._nulls: list[bool] = [] if one_each else column.is_null().to_list()

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, place: int) -> Group: ...
    @overload
    def __getitem__(self, place: slice) -> list[Group]: ...
    def __getitem__(self, place: int | slice) -> Group | list[Group]:
        numbers = range(self._size)[place]
        return self._at(numbers) if isinstance(numbers, int) else [*map(self._at, numbers)]

    def _at(self, place: int) -> Group:
        if self.only is not None:
            return [self.only[place]]
        start = self._ends[place - 1] if place else 0
        return None if self._nulls[place] else self._flat[start : self._ends[place]]

    def __iter__(self) -> Iterator[Group]:
        return map(self._at, range(self._size))
