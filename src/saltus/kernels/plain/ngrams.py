"""Counts of common n-grams, as `sacrebleu` makes them for BLEU and chrF."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from saltus.kernels.plain.subsequence import common

BLEU_ORDERS = 4
CHRF_ORDERS = 6
CHRF_WORD_ORDERS = 2


class Grams(NamedTuple):
    """What is known of the targets of an output.

    Args:
        lengths: tokens of each target.
        counts: per order how often each n-gram stands in the target that has it most often.
    """

    lengths: tuple[int, ...]
    counts: tuple[Counter[object], ...]


def grams(tokens: Sequence[str], order: int) -> Counter[object]:
    """The n-grams of one order, counted."""
    return Counter(zip(*(tokens[place:] for place in range(order)), strict=False))


def word_grams(targets: Sequence[Sequence[str]]) -> Grams:
    """The n-grams of the targets of one output."""
    counts: list[Counter[object]] = [Counter() for _ in range(BLEU_ORDERS)]
    for tokens in targets:
        for order in range(BLEU_ORDERS):
            counts[order] |= grams(tokens, order + 1)
    return Grams(tuple(map(len, targets)), tuple(counts))


def bleu_row(output: Sequence[str], known: Grams) -> tuple[int, ...]:
    """Tokens of the output and of the closest target (the shorter of two), then the matches."""
    length = len(output)
    closest = min(known.lengths, key=lambda other: (abs(other - length), other))
    matches = (common(grams(output, n + 1), known.counts[n]) for n in range(BLEU_ORDERS))
    return (length, closest, *matches)


def character_grams(text: str) -> Grams:
    """The n-grams of a text's characters without white space."""
    bare = "".join(text.split())
    counts = (
        Counter[object](bare[place : place + order] for place in range(len(bare) - order + 1))
        for order in range(1, CHRF_ORDERS + 1)
    )
    return Grams((len(bare),), tuple(counts))


def marked_grams(words: Sequence[str]) -> Grams:
    """The n-grams of chrF++'s words."""
    counts = (grams(words, order + 1) for order in range(CHRF_WORD_ORDERS))
    return Grams((len(words),), tuple(counts))


def gram_row(mine: Grams, known: Grams) -> tuple[int, ...]:
    """Lengths of the output and of the target, then the matches."""
    matches = (common(*both) for both in zip(mine.counts, known.counts, strict=True))
    return (*mine.lengths, *known.lengths, *matches)


def token_row(output: Sequence[str], target: Sequence[str]) -> tuple[int, ...]:
    """Tokens of the output and of the target, those in common, and whether all are equal."""
    shared = common(Counter(output), Counter(target))
    return len(output), len(target), shared, int(output == target)
