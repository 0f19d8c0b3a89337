"""The kernels in C: texts become flat UTF-8 buffers with offsets, pairs are split over threads.

The buffers are those of an Arrow column of large strings. A lone surrogate, which UTF-8 has
not, is written as the three bytes its number would have: different texts stay different.
Importing this fails where the extension was not built.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, compress, pairwise
from operator import ne
from typing import Any, NamedTuple

import numpy as np

from saltus.kernels import plain
from saltus.kernels._count import count
from saltus.kernels._count import equal as fill_equal
from saltus.kernels.plain import ALL, Counts, Flags, Goals, Tokenizer
from saltus.kernels.plain.tokens import international

Texts = Sequence[str]

COLUMNS = {
    "rouge": 6, "word_edit": 3, "word_lcs": 3, "bleu": 6, "chrf": 8, "chrf_words": 4,
    "ter": 3, "squad": 4,
}  # fmt: skip
BLEU_MODES = {"none": 0, "13a": 1, "intl": 0, "char": 2}

# A thread takes pairs of about so many characters at a time: enough that handing them over
# costs nothing, few enough that memory stays small whatever the number of pairs.
CHUNK = 1 << 20
PAIR = 256  # characters that a pair costs beside its own
LONG = 100  # characters of targets that cost more to read again than to find again


class Flat(NamedTuple):
    """Texts end to end.

    Args:
        data: all texts in UTF-8.
        offsets: (texts + 1) where each starts, and where the last ends.
    """

    data: bytes
    offsets: Counts


def equal(outputs: Sequence[str | None], targets: Goals) -> Flags:
    """See `saltus.kernels.plain.equal`."""
    flags = np.empty(len(outputs), dtype=np.int8)
    fill_equal(_list(outputs), _list(targets), flags)
    return flags


def rouge(outputs: Sequence[str], targets: Sequence[str], parts: int = ALL) -> Counts:
    """See `saltus.kernels.plain.rouge`."""
    return _counts("rouge", outputs, targets, parts)


def word_edits(outputs: Sequence[str], targets: Sequence[str]) -> Counts:
    """See `saltus.kernels.plain.word_edits`."""
    return _counts("word_edit", outputs, targets)


def word_lcs(outputs: Sequence[str], targets: Sequence[str]) -> Counts:
    """See `saltus.kernels.plain.word_lcs`."""
    return _counts("word_lcs", outputs, targets)


def bleu(outputs: Sequence[str], targets: Sequence[Texts], tokenizer: Tokenizer = "13a") -> Counts:
    """See `saltus.kernels.plain.bleu`; "intl" makes its tokens in Python."""
    if tokenizer == "intl":
        outputs = [" ".join(international(text)) for text in outputs]
        targets = [[" ".join(international(text)) for text in group] for group in targets]
    return _group_counts("bleu", outputs, targets, BLEU_MODES[tokenizer])


def chrf(outputs: Sequence[str], targets: Sequence[str]) -> Counts:
    """See `saltus.kernels.plain.chrf`."""
    return _counts("chrf", outputs, targets)


def chrf_words(outputs: Sequence[str], targets: Sequence[str]) -> Counts:
    """See `saltus.kernels.plain.chrf_words`."""
    return _counts("chrf_words", outputs, targets)


def ter(outputs: Sequence[str], targets: Sequence[str]) -> Counts:
    """See `saltus.kernels.plain.ter`."""
    return _counts("ter", [text.lower() for text in outputs], [text.lower() for text in targets])


def squad(outputs: Sequence[str], targets: Sequence[str]) -> Counts:
    """See `saltus.kernels.plain.squad`, which does the pairs that are not ASCII."""
    counts = _counts("squad", outputs, targets)
    rest = np.flatnonzero(counts[:, 0] < 0).tolist()
    if rest:
        counts[rest] = plain.squad([outputs[i] for i in rest], [targets[i] for i in rest])
    return counts


def flat(texts: Texts) -> Flat:
    """Texts as one buffer."""
    joined = "".join(texts)
    if joined.isascii():
        return Flat(joined.encode("ascii"), _ends(_sizes(texts)))
    parts = [text.encode("utf-8", "surrogatepass") for text in texts]
    return Flat(b"".join(parts), _ends(_sizes(parts)))


def _ends(sizes: Counts) -> Counts:
    """(things + 1) where each of things end to end starts, and where the last ends."""
    ends = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(sizes, out=ends[1:])
    return ends


def _counts(kernel: str, outputs: Texts, targets: Texts, mode: int = 0) -> Counts:
    """One target for each output."""
    sizes = _sizes(targets)
    return _in_order(_Work(kernel, mode, outputs, targets), targets, sizes)


def _group_counts(kernel: str, outputs: Texts, groups: Sequence[Texts], mode: int) -> Counts:
    """Several targets for each output."""
    groups = list(map(tuple, groups))
    characters = _ends(_sizes(list(chain.from_iterable(groups))))
    sizes = np.diff(characters[_ends(_sizes(groups))])
    return _in_order(_Work(kernel, mode, outputs, groups), groups, sizes)


class _Work(NamedTuple):
    """What is to be counted: a target, or a tuple of targets, for each output."""

    kernel: str
    mode: int
    outputs: Texts
    targets: Sequence[Hashable]

    def at(self, places: list[int]) -> _Work:
        """The same for the pairs at these places."""
        return self._replace(
            outputs=[self.outputs[place] for place in places],
            targets=[self.targets[place] for place in places],
        )

    def fill(self, part: slice, rows: Counts) -> None:
        """Counts some pairs; equal targets one after another are read once."""
        outputs, targets = self.outputs[part], self.targets[part]
        new = np.ones(len(targets), dtype=bool)
        new[1:] = np.fromiter(map(ne, targets[1:], targets), np.bool_, len(targets) - 1)
        distinct: list[Any] = list(compress(targets, new.tolist()))
        groups = np.arange(len(distinct) + 1, dtype=np.int64)
        if self.kernel == "bleu":
            groups = _ends(_sizes(distinct))
            distinct = list(chain.from_iterable(distinct))
        have, want = flat(outputs), flat(distinct)
        count(
            self.kernel, self.mode, have.data, have.offsets, want.data, want.offsets, groups,
            np.cumsum(new, dtype=np.int64) - 1, rows,
        )  # fmt: skip


def _in_order(work: _Work, targets: Sequence[Hashable], sizes: Counts) -> Counts:
    """Long targets that many outputs share are brought together, to be read once."""
    if len(work.outputs) != len(targets):
        raise ValueError(f"{len(work.outputs)} outputs but {len(targets)} targets")
    if len(targets) and sizes.mean() >= LONG:
        number: dict[Hashable, int] = {}
        numbers = np.array([number.setdefault(target, len(number)) for target in targets])
        if len(number) < len(targets) / 2:
            order = np.argsort(numbers, kind="stable")
            rows = np.empty((len(targets), COLUMNS[work.kernel]), dtype=np.int64)
            rows[order] = _in_parts(work.at(order.tolist()), sizes[order])
            return rows
    return _in_parts(work, sizes)


def _in_parts(work: _Work, sizes: Counts) -> Counts:
    """Counts in parts of about CHUNK characters, on all cores."""
    rows = np.zeros((len(work.outputs), COLUMNS[work.kernel]), dtype=np.int64)
    place = np.cumsum(sizes + _sizes(work.outputs) + PAIR) // CHUNK
    starts = np.flatnonzero(np.diff(place, prepend=-1)).tolist()
    parts = [slice(*both) for both in pairwise([*starts, len(rows)])]
    if len(parts) < 2:
        for part in parts:
            work.fill(part, rows[part])
        return rows
    with ThreadPoolExecutor(min(_cores(), len(parts))) as pool:
        list(pool.map(lambda part: work.fill(part, rows[part]), parts))
    return rows


def _list(things: Sequence[Any]) -> list[Any]:
    return things if isinstance(things, list) else list(things)


def _sizes(things: Sequence[Sized]) -> Counts:
    return np.fromiter(map(len, things), np.int64, len(things))


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
