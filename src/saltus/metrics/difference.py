"""Where an answer and its target differ, word by word: what the page marks."""

from __future__ import annotations

from typing import Literal, NamedTuple

from rapidfuzz.distance import Levenshtein

Kind = Literal["same", "changed", "added", "dropped"]

KINDS: dict[str, Kind] = {
    "equal": "same", "replace": "changed", "insert": "added", "delete": "dropped",
}  # fmt: skip

# An alignment takes a quarter of a byte per pair of words; 25 MB are enough for one answer.
LARGEST = 100_000_000


class Segment(NamedTuple):
    """A run of words that the answer and the target have in common, or not.

    Args:
        kind: "same", "changed" (other words), "added" (not in the target), "dropped" (not in
            the answer).
        output: the answer's words; empty when dropped.
        target: the target's words; empty when added.
    """

    kind: Kind
    output: tuple[str, ...]
    target: tuple[str, ...]


def difference(output: str, target: str) -> list[Segment]:
    """The least word edits from the target to the answer, as runs in reading order.

    Words are what white space parts; all words of both texts are in exactly one segment, and
    the words outside "same" segments add up to the word edit distance (the larger side of
    each segment). Texts too long to align are one "changed" segment between their common
    ends.

    Args:
        output: the model's answer.
        target: the accepted answer.
    """
    have, want = output.split(), target.split()
    if len(have) * len(want) > LARGEST:
        return _ends(have, want)
    return [
        Segment(
            KINDS[step.tag],
            tuple(have[step.dest_start : step.dest_end]),
            tuple(want[step.src_start : step.src_end]),
        )
        for step in Levenshtein.opcodes(want, have)
    ]


def _ends(have: list[str], want: list[str]) -> list[Segment]:
    """Only the common start and end of two very long texts, all between them as changed."""
    shorter = min(len(have), len(want))
    start = next((i for i in range(shorter) if have[i] != want[i]), shorter)
    rest = shorter - start
    end = next((i for i in range(rest) if have[-1 - i] != want[-1 - i]), rest)
    head, tail = tuple(want[:start]), tuple(want[len(want) - end :])
    middle = tuple(have[start : len(have) - end]), tuple(want[start : len(want) - end])
    parts = [Segment("same", head, head), Segment("changed", *middle), Segment("same", tail, tail)]
    return [part for part in parts if part.output or part.target]
