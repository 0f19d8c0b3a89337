"""ROUGE: how many words an output and a target share, in order.

Equal to the `rouge_score` package without its stemmer. Longest common subsequences are
found with whole numbers as bit vectors (Hyyro 2004): bit i of the vector after candidate
token j is 0 where the table of subsequence lengths grows from row i to row i + 1.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from saltus.metrics.metric import Values, metric, present
from saltus.metrics.text import Outputs, Targets, each

SOURCE = "Lin 2004, ROUGE, W04-1013; tokens and counting as in the `rouge_score` package"
TOKEN = re.compile(r"[a-z0-9]+")

Tokens = Sequence[str]


class Rouge(NamedTuple):
    """Shares of common tokens in the output, in the target, and their harmonic mean."""

    precision: float
    recall: float
    f: float


def tokens(text: str) -> list[str]:
    """Runs of ASCII letters and digits of the lower-cased text; other scripts are nothing."""
    return TOKEN.findall(text.lower())


def lcs_vectors(row: Tokens, column: Tokens) -> Iterator[int]:
    """The bit vector before the first and after every token of `column`."""
    places: dict[str, int] = {}
    for place, token in enumerate(row):
        places[token] = places.get(token, 0) | (1 << place)
    full = (1 << len(row)) - 1
    vector = full
    yield vector
    for token in column:
        hits = vector & places.get(token, 0)
        vector = ((vector + hits) | (vector - hits)) & full
        yield vector


def lcs_length(one: Tokens, other: Tokens) -> int:
    """Length of the longest common subsequence."""
    (last,) = deque(lcs_vectors(one, other), maxlen=1)
    return len(one) - last.bit_count()


def lcs_places(target: Tokens, output: Tokens) -> set[int]:
    """Places in the target of one longest common subsequence.

    Of several the one that `rouge_score` takes: walking from the ends, along equal tokens,
    else to the previous output token where the table is strictly larger there, else to the
    previous target token.
    """
    vectors = list(lcs_vectors(target, output))
    places = set()
    i, j = len(target), len(output)
    while i and j:
        if target[i - 1] == output[j - 1]:
            i, j = i - 1, j - 1
            places.add(i)
        elif vectors[j] >> (i - 1) & 1:
            i -= 1
        else:
            j -= 1
    return places


def rouge(common: int, output: int, target: int) -> Rouge:
    """ROUGE from counts of tokens; 0 where a side has none, as `rouge_score` has it."""
    precision, recall = common / max(output, 1), common / max(target, 1)
    if not common:
        return Rouge(precision, recall, 0.0)
    return Rouge(precision, recall, 2 * precision * recall / (precision + recall))


def rouge_1(output: str, target: str) -> Rouge:
    """Tokens in common, each counted as often as both sides have it."""
    have, want = tokens(output), tokens(target)
    return rouge((Counter(have) & Counter(want)).total(), len(have), len(want))


def rouge_l(output: str, target: str) -> Rouge:
    """The longest common subsequence of all tokens."""
    have, want = tokens(output), tokens(target)
    return rouge(lcs_length(want, have), len(have), len(want))


def rouge_l_words(output: str, target: str) -> Rouge:
    """The longest common subsequence of the words that white space parts."""
    have, want = output.split(), target.split()
    return rouge(lcs_length(want, have), len(have), len(want))


def rouge_lsum(output: str, target: str) -> Rouge:
    """Per line of the target the union of its common subsequences with the output's lines.

    No token counts more often than both sides have it (as ROUGE 1.5.5 counts).
    """
    have, want = ([tokens(line) for line in text.split("\n")] for text in (output, target))
    left = Counter(token for line in have for token in line)
    left &= Counter(token for line in want for token in line)
    lengths = sum(map(len, have)), sum(map(len, want))
    common = 0
    for line in want:
        union: set[int] = set().union(*(lcs_places(line, other) for other in have))
        for place in union:
            common += left[line[place]] > 0
            left[line[place]] -= 1
    return rouge(common, *lengths)


def _best(
    output: Outputs, targets: Targets, pair: Callable[[str, str], Rouge], part: str = "f"
) -> Values:
    """One part of the ROUGE with the target that has the largest F.

    A target without tokens (such as one in Chinese) is missing, not the 0 of `rouge_score`.
    """

    def value(text: str, given: Sequence[str]) -> float:
        scores = [pair(text, target) for target in given if pair(target, target).f]
        best = max(scores, key=lambda score: score.f, default=None)
        return float("nan") if best is None else float(getattr(best, part))

    scored, missing, _ = each(output, targets, value)
    missing[np.isnan(scored) & present(missing)] = "the target has no words to compare"
    return Values(scored, missing)


@metric(
    name="rougeL_f",
    unit="share of tokens",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="continuous",
    source=SOURCE,
    aliases=("rouge_l",),
    link="error_rate",
)
def rouge_l_f(output: Outputs, targets: Targets) -> Values:
    """F of the longest common subsequence of tokens.

    Args:
        output: the answers.
        targets: per answer the accepted answers; the one with the largest F counts.
    """
    return _best(output, targets, rouge_l)


@metric(
    name="rougeL_precision",
    unit="share of tokens",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="continuous",
    source=SOURCE,
    link="error_rate",
)
def rouge_l_precision(output: Outputs, targets: Targets) -> Values:
    """Longest common subsequence over the tokens of the output.

    Args:
        output: the answers.
        targets: per answer the accepted answers; the one with the largest F counts.
    """
    return _best(output, targets, rouge_l, "precision")


@metric(
    name="rougeL_recall",
    unit="share of tokens",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="continuous",
    source=SOURCE,
    link="error_rate",
)
def rouge_l_recall(output: Outputs, targets: Targets) -> Values:
    """Longest common subsequence over the tokens of the target.

    Args:
        output: the answers.
        targets: per answer the accepted answers; the one with the largest F counts.
    """
    return _best(output, targets, rouge_l, "recall")


@metric(
    name="rougeL_f_words",
    unit="share of words",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="continuous",
    source="Lin 2004, ROUGE, W04-1013; words are what white space parts",
    link="error_rate",
)
def rouge_l_f_words(output: Outputs, targets: Targets) -> Values:
    """F of the longest common subsequence of words, in any script.

    Args:
        output: the answers.
        targets: per answer the accepted answers; the one with the largest F counts.
    """
    return _best(output, targets, rouge_l_words)


@metric(
    name="rougeLsum_f",
    unit="share of tokens",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="continuous",
    source=SOURCE,
    link="error_rate",
)
def rouge_lsum_f(output: Outputs, targets: Targets) -> Values:
    """F of the union of common subsequences, line by line.

    Args:
        output: the answers.
        targets: per answer the accepted answers; the one with the largest F counts.
    """
    return _best(output, targets, rouge_lsum)


@metric(
    unit="share of tokens",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="continuous",
    source=SOURCE,
    aliases=("rouge_1",),
    link="error_rate",
)
def rouge1_f(output: Outputs, targets: Targets) -> Values:
    """F of the tokens in common, in any order.

    Args:
        output: the answers.
        targets: per answer the accepted answers; the one with the largest F counts.
    """
    return _best(output, targets, rouge_1)
