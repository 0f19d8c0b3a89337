"""ROUGE: how many words an output and a target share, in order.

Equal to the `rouge_score` package to the last bit, with and without its stemmer; the counts
are those of `saltus.kernels`. One thing differs: where the target has nothing to compare, the
score is missing with that reason. The package gives 0 there, also to an answer that equals the
target: for a target without tokens (such as one in Chinese), and for ROUGE-2 also for one of a
single token, which has no pair of neighbours.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import Literal, NamedTuple

import numpy as np

from saltus import kernels
from saltus.errors import SaltusError
from saltus.kernels import LCS, NGRAMS, UNION, Counts
from saltus.kernels.plain.tokens import rouge_lines
from saltus.metrics.metric import BIG_BENCH, FloatArray, Values, metric
from saltus.metrics.pairing import best_values
from saltus.metrics.text import Outputs, Targets, unusable

SOURCE = "Lin 2004, ROUGE, W04-1013; tokens and counting as in the `rouge_score` package"
NO_WORDS = "the target has no words to compare"
NO_PAIRS = "the target has no pair of words to compare (rouge_score gives 0)"

Kind = Literal["1", "2", "L", "Lsum"]
Part = Literal["precision", "recall", "f"]

PARTS = {"1": NGRAMS, "2": NGRAMS, "L": LCS, "Lsum": UNION}
COLUMN = {"1": 2, "2": 3, "L": 4, "Lsum": 5}


class Rouge(NamedTuple):
    """Shares of common tokens, (rows,) each.

    Args:
        precision: of the output's tokens.
        recall: of the target's tokens.
        f: their harmonic mean.
    """

    precision: FloatArray
    recall: FloatArray
    f: FloatArray


def shares(common: Counts, output: Counts, target: Counts) -> Rouge:
    """ROUGE from counts of tokens; 0 where a side has none, as `rouge_score` has it."""
    precision, recall = common / np.maximum(output, 1), common / np.maximum(target, 1)
    either = np.where(common > 0, precision + recall, 1.0)
    return Rouge(precision, recall, 2 * precision * recall / either)


def rouge(counts: Counts, kind: Kind) -> Rouge:
    """One ROUGE from what `saltus.kernels.rouge` counts.

    Args:
        counts: (rows, 6).
        kind: of 1-grams, 2-grams, subsequences, or unions of them line by line.
    """
    shorter = int(kind == "2")
    lengths = (np.maximum(counts[:, side] - shorter, 0) for side in (0, 1))
    return shares(counts[:, COLUMN[kind]], *lengths)


def rouge_of_words(counts: Counts) -> Rouge:
    """ROUGE-L from what `saltus.kernels.word_lcs` counts, (rows, 3)."""
    return shares(counts[:, 2], counts[:, 0], counts[:, 1])


def stemmed(text: str) -> str:
    """A text's tokens as `rouge_score` stems them, lines kept.

    Raises:
        SaltusError: the package `nltk` is not installed.
    """
    lines = rouge_lines(text)
    return "\n".join(" ".join(w if len(w) <= 3 else _stem()(w) for w in line) for line in lines)


def can_stem() -> bool:
    """Whether `stemmed` has its package."""
    try:
        _stem()
    except SaltusError:
        return False
    return True


@cache
def _stem() -> Callable[[str], str]:
    """Porter's stemmer in nltk's version; every distinct word is stemmed once."""
    try:
        porter = importlib.import_module("nltk.stem.porter")
    except ImportError:
        raise SaltusError(
            "stemming needs the package nltk; install it with `pip install saltus[stem]`"
        ) from None
    stem: Callable[[str], str] = cache(porter.PorterStemmer().stem)
    return stem


# ---- metrics


def _rouge(output: Outputs, targets: Targets, kind: Kind, part: Part = "f", scale: float = 1.0,
           change: Callable[[str], str] = str) -> Values:  # fmt: skip
    """One part of a ROUGE with the target that has the largest F."""

    def scored(have: Sequence[str], want: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        if change is not str:
            have, want = [change(text) for text in have], [change(text) for text in want]
        counts = kernels.rouge(have, want, PARTS[kind])
        found = rouge(counts, kind)
        rank = np.where(counts[:, 1] > (kind == "2"), found.f, np.nan)
        return scale * getattr(found, part), rank

    return best_values(output, targets, scored, NO_PAIRS if kind == "2" else NO_WORDS)


@metric(
    name="rougeL_f",
    unit="share of tokens",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="continuous",
    source=SOURCE,
    link="error_rate",
)
def rouge_l_f(output: Outputs, targets: Targets) -> Values:
    """F of the longest common subsequence of tokens.

    Args:
        output: the answers.
        targets: per answer the accepted answers; the one with the largest F counts.
    """
    return _rouge(output, targets, "L")


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
    return _rouge(output, targets, "L", "precision")


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
    return _rouge(output, targets, "L", "recall")


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

    def scored(have: Sequence[str], want: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        counts = kernels.word_lcs(have, want)
        value = np.where(counts[:, 1] > 0, rouge_of_words(counts).f, np.nan)
        return value, value

    return best_values(output, targets, scored, NO_WORDS)


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
    return _rouge(output, targets, "Lsum")


@metric(
    unit="share of tokens",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="continuous",
    source=SOURCE,
    link="error_rate",
)
def rouge1_f(output: Outputs, targets: Targets) -> Values:
    """F of the tokens in common, in any order.

    Args:
        output: the answers.
        targets: per answer the accepted answers; the one with the largest F counts.
    """
    return _rouge(output, targets, "1")


@metric(
    unit="share of pairs of tokens",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="continuous",
    source=SOURCE,
    link="error_rate",
)
def rouge2_f(output: Outputs, targets: Targets) -> Values:
    """F of the pairs of neighbouring tokens in common; missing for a target of one token.

    Args:
        output: the answers.
        targets: per answer the accepted answers; the one with the largest F counts.
    """
    return _rouge(output, targets, "2")


HARNESS_NOTES = {
    "2": "; missing for a target of one token",
    "Lsum": "; a full stop between blanks ends a line",
}


def _one_sentence_a_line(text: str) -> str:
    """As T5's `rouge`, which BIG-bench calls, prepares a text for ROUGE-Lsum."""
    return text.replace(" . ", " .\n")


def _of_harnesses(kind: Kind) -> None:
    """Registers a ROUGE in percent, under the name that harnesses report."""
    change = _one_sentence_a_line if kind == "Lsum" else str

    def percent(output: Outputs, targets: Targets) -> Values:
        return _rouge(output, targets, kind, scale=100.0, change=change)

    percent.__doc__ = f"ROUGE-{kind}, F in percent{HARNESS_NOTES.get(kind, '')}."
    metric(
        name=f"rouge{kind}", unit="percent", better="higher", bounds=(0.0, 100.0),
        reaction="continuous", link="error_rate", aliases=(f"rouge{kind}_max",),
        source=f"{SOURCE}; {BIG_BENCH}, `rouge_fn` (its means are medians of a bootstrap)",
    )(percent)  # fmt: skip


def _with_stems(kind: Kind, alias: str) -> None:
    """Registers a ROUGE of stems, as HELM reports it; missing where nltk is not installed."""

    def stems(output: Outputs, targets: Targets) -> Values:
        if can_stem():
            return _rouge(output, targets, kind, change=stemmed)
        missing = unusable(output, targets)
        missing[missing == None] = "stemming needs the extra `stem` (nltk)"  # noqa: E711
        return Values(np.full(len(output), np.nan), missing)

    stems.__doc__ = f"F of ROUGE-{kind} with Porter's stemmer (package nltk)."
    metric(
        name=f"rouge{kind}_f_stemmed", unit="share of tokens", better="higher", bounds=(0.0, 1.0),
        reaction="continuous", link="error_rate", aliases=(alias,),
        source=f"{SOURCE}; Porter 1980, Program 14(3), in nltk's version",
    )(stems)  # fmt: skip


for _kind in ("1", "2", "L", "Lsum"):
    _of_harnesses(_kind)
_with_stems("1", "rouge_1")
_with_stems("2", "rouge_2")
_with_stems("L", "rouge_l")
_with_stems("Lsum", "rouge_lsum")
