"""Many usual lines of a samples file at once: flat lists over all lines instead of line by line.

Whatever is not usual, such as a choice that the target does not name, is told by an index of -1
or by nothing, and `lm_eval_lines` takes its closer look.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from operator import attrgetter, eq, itemgetter, sub
from typing import Any

import numpy as np
import polars as pl
from msgspec import UnsetType
from numpy.typing import NDArray

from saltus.readers.frames import nested

Whole = NDArray[np.int64]
_FIRST, _TEXT = itemgetter(0), attrgetter("arg_1")  # map over these runs at the speed of C
DIGITS = 9
"""An index of more digits is none."""


@dataclass
class Answers:
    """The answers of many lines, one per line; what belongs to choices stands end to end.

    Args:
        item: identifiers.
        item_hash: hashes of the items.
        prompt_hash: hashes of the prompts.
        filtered: the harness's filters.
        output: generated texts; nothing for multiple choice.
        target: right answers to them.
        counts: choices of each line; nothing for generated texts.
        index: the right choice; -1: not clear from the target.
        logprob: of each choice, nats.
        size: of each choice, bytes.
    """

    item: list[str] = field(default_factory=list)
    item_hash: list[str | None] = field(default_factory=list)
    prompt_hash: list[str | None] = field(default_factory=list)
    filtered: list[str | None] = field(default_factory=list)
    output: list[str] = field(default_factory=list)
    target: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    index: list[int] = field(default_factory=list)
    logprob: list[float] = field(default_factory=list)
    size: list[int] = field(default_factory=list)

    def extend(self, more: Answers) -> None:
        """Add the answers of further lines of the same kind."""
        for name, cells in vars(more).items():
            getattr(self, name).extend(cells)

    def frame(self) -> pl.DataFrame:
        """One row per line."""
        texts: dict[str, Sequence[str | None]] = {
            "item": self.item, "item_hash": self.item_hash, "prompt_hash": self.prompt_hash,
            "filter": self.filtered,
        }  # fmt: skip
        columns = [pl.Series(name, cells, dtype=pl.String) for name, cells in texts.items()]
        if self.output:
            ones = np.ones(len(self.item), np.int64)
            columns.append(pl.Series("output", self.output, dtype=pl.String))
            targets = nested(pl.Series(self.target, dtype=pl.String), ones)
            return pl.DataFrame([*columns, targets.alias("targets")])
        counts = np.array(self.counts, np.int64)
        logprobs = nested(pl.Series(self.logprob, dtype=pl.Float64), counts)
        sizes = nested(pl.Series(self.size, dtype=pl.Int64), counts)
        columns += [logprobs.alias("choice_logprobs"), sizes.alias("choice_bytes")]
        columns.append(pl.Series("target_index", self.index, dtype=pl.Int64))
        return pl.DataFrame([*columns, pl.Series("chance", 1.0 / counts)])


def answers_of_lines(samples: Sequence[Any], choices: bool) -> Answers | None:
    """The answers of decoded lines (`lm_eval_lines.Sample`), all of one kind, or nothing.

    Args:
        samples: the lines.
        choices: whether they are multiple choice; else generated text.
    """
    targets, replies = column(samples, "target"), column(samples, "filtered_resps")
    if not (_all(targets, str) and _all(replies, list)):
        return None
    found = _choices(samples, targets, replies) if choices else _texts(targets, replies)
    if found is not None:
        found.item = list(map(str, column(samples, "doc_id")))
        found.item_hash = column(samples, "doc_hash")
        found.prompt_hash = column(samples, "prompt_hash")
        found.filtered = column(samples, "filter")
    return found


def scores_of_lines(samples: Sequence[Any], name: str) -> list[float] | None:
    """One score of many lines; nothing unless all are finite numbers."""
    values = column(samples, name)
    if not set(map(type, values)) <= {float, int}:
        return None
    try:
        numbers = np.array(values, np.float64)
    except OverflowError:
        return None
    return numbers.tolist() if np.isfinite(numbers).all() else None


def column(samples: Sequence[Any], name: str) -> list[Any]:
    """One field of all lines, at the speed of C."""
    return list(map(attrgetter(name), samples))


def _all(values: Sequence[Any], kind: type) -> bool:
    return set(map(type, values)) <= {kind}


def _texts(targets: list[str], replies: list[list[Any]]) -> Answers | None:
    if set(map(len, replies)) != {1}:
        return None
    outputs = [reply[0] for reply in replies]
    return Answers(output=outputs, target=targets) if _all(outputs, str) else None


def _choices(
    samples: Sequence[Any], targets: list[str], pairs: list[list[Any]]
) -> Answers | None:  # fmt: skip
    requests = column(samples, "arguments")
    if not _all(requests, dict) or {*map(type, column(samples, "acc_mutual_info"))} != {UnsetType}:
        return None
    counts = list(map(len, pairs))
    if min(counts) < 2 or list(map(len, requests)) != counts:
        return None
    texts = list(map(_TEXT, chain.from_iterable(map(dict.values, requests))))
    logprobs = list(map(_FIRST, chain.from_iterable(pairs)))
    if math.isnan(sum(logprobs)):
        return None
    index = named_choices(texts, targets, np.array(counts, np.int64))
    return Answers(counts=counts, logprob=logprobs, size=sizes(texts), index=index.tolist())


def sizes(texts: Sequence[str]) -> list[int]:
    """Bytes of each choice without the space before it."""
    lengths = map(len, texts if "".join(texts).isascii() else map(str.encode, texts))
    return list(map(sub, lengths, map(str.startswith, texts, repeat(" "))))


def named_choices(texts: Sequence[str], targets: Sequence[str], counts: Whole) -> Whole:
    """The only choice that each target names, by text or by index; -1: none or several.

    Args:
        texts: choices of all items, end to end.
        targets: (items,) right answers, as text or index.
        counts: (items,) number of choices.
    """
    wanted = list(map(str.strip, targets))
    known = {text: _index(text) for text in set(wanted)}
    by_index = np.array([known[text] for text in wanted], np.int64)
    within = (by_index >= 0) & (by_index < counts)
    stripped = list(map(str.strip, texts))
    if known.keys().isdisjoint(stripped):
        return np.where(within, by_index, -1)
    each = chain.from_iterable(map(repeat, wanted, counts.tolist()))
    hit = np.fromiter(map(eq, stripped, each), bool, len(texts))
    starts = np.cumsum(counts) - counts
    place = np.arange(len(texts)) - np.repeat(starts, counts)
    hits = np.add.reduceat(hit.astype(np.int64), starts)
    by_text = np.add.reduceat(np.where(hit, place, 0), starts)
    clear = ((hits == 0) & within) | ((hits == 1) & (~within | (by_index == by_text)))
    return np.where(clear, np.where(hits == 0, by_index, by_text), -1)


def _index(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) <= DIGITS else -1
