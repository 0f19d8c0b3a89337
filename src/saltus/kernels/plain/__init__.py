"""The kernels in plain Python: what runs without the extension, and its oracle in the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from saltus.kernels.plain import ngrams, subsequence
from saltus.kernels.plain.shifts import edits_with_shifts
from saltus.kernels.plain.tokens import (
    TOKENIZERS,
    Tokenizer,
    marked_words,
    rouge_lines,
    squad_tokens,
)

Counts = NDArray[np.int64]
Flags = NDArray[np.int8]
Goals = Sequence[str | Sequence[str | None] | None]
Row = tuple[int, ...]
Known = TypeVar("Known")

NGRAMS, LCS, UNION = 1, 2, 4  # parts of `rouge`, to be added
ALL = NGRAMS | LCS | UNION

__all__ = [
    "ALL", "LCS", "NGRAMS", "TOKENIZERS", "UNION", "Counts", "Flags", "Goals", "Tokenizer", "bleu",
    "chrf", "chrf_words", "equal", "rouge", "squad", "ter", "word_edits", "word_lcs",
]  # fmt: skip


def equal(outputs: Sequence[str | None], targets: Goals) -> Flags:
    """Whether outputs equal their one target, as far as that is settled at a glance.

    Args:
        outputs: the answers.
        targets: (outputs) the accepted answer of each, or a list of them.

    Returns:
        (outputs,) 1 where equal; 0 where not, also without the white space at the ends; -1
        where the longer text has white space at an end, one is absent, or targets are several.
    """
    if len(outputs) != len(targets):
        raise ValueError(f"{len(outputs)} outputs but {len(targets)} targets")
    return np.fromiter(map(_equal, outputs, targets), np.int8, len(outputs))


def _equal(output: str | None, target: str | Sequence[str | None] | None) -> int:
    if isinstance(target, list) and len(target) == 1:
        target = target[0]
    if not isinstance(output, str) or not isinstance(target, str):
        return -1
    if output == target:
        return 1
    # a text without white space at its ends equals no other that is as long or shorter
    longer = target if len(target) > len(output) else output
    return -1 if longer[:1].isspace() or longer[-1:].isspace() else 0


def rouge(outputs: Sequence[str], targets: Sequence[str], parts: int = ALL) -> Counts:
    """Tokens in common as the `rouge_score` package counts them.

    Args:
        outputs: the answers.
        targets: (outputs) what each is compared with.
        parts: which of NGRAMS, LCS and UNION are wanted, added up; the rest is 0.

    Returns:
        (pairs, 6): see `saltus.kernels`.
    """
    lines = _remembered(rouge_lines)
    return _table(
        6,
        (
            subsequence.rouge_row(rouge_lines(output), lines(target),
                                  bool(parts & NGRAMS), bool(parts & LCS), bool(parts & UNION))
            for output, target in zip(outputs, targets, strict=True)
        ),
    )  # fmt: skip


def word_edits(outputs: Sequence[str], targets: Sequence[str]) -> Counts:
    """Words to insert, delete or replace; words are what white space parts.

    Args:
        outputs: the answers.
        targets: (outputs) what each is compared with.

    Returns:
        (pairs, 3): words of the output, words of the target, edits.
    """
    return _of_words(outputs, targets, Levenshtein.distance)


def word_lcs(outputs: Sequence[str], targets: Sequence[str]) -> Counts:
    """The longest common subsequence of words.

    Args:
        outputs: the answers.
        targets: (outputs) what each is compared with.

    Returns:
        (pairs, 3): words of the output, words of the target, length of the subsequence.
    """
    return _of_words(outputs, targets, subsequence.lcs_length)


def bleu(
    outputs: Sequence[str], targets: Sequence[Sequence[str]], tokenizer: Tokenizer = "13a"
) -> Counts:
    """n-grams in common as `sacrebleu` counts them for BLEU.

    Args:
        outputs: the answers.
        targets: (outputs) the accepted answers of each, at least one.
        tokenizer: "13a", "intl", "char", or "none" for what white space parts.

    Returns:
        (outputs, 6): tokens of the output, of the target of the closest length, and for
        n = 1..4 the output's n-grams that targets have.
    """
    tokens = TOKENIZERS[tokenizer]
    known = _remembered(lambda group: ngrams.word_grams([tokens(text) for text in group]))
    return _table(
        6,
        (
            ngrams.bleu_row(tokens(output), known(tuple(group)))
            for output, group in zip(outputs, targets, strict=True)
        ),
    )


def chrf(outputs: Sequence[str], targets: Sequence[str]) -> Counts:
    """Character n-grams in common as `sacrebleu` counts them for chrF, without white space.

    Args:
        outputs: the answers.
        targets: (outputs) what each is compared with.

    Returns:
        (pairs, 8): characters of the output, of the target, and for n = 1..6 common n-grams.
    """
    known = _remembered(ngrams.character_grams)
    return _table(
        8,
        (
            ngrams.gram_row(ngrams.character_grams(output), known(target))
            for output, target in zip(outputs, targets, strict=True)
        ),
    )


def chrf_words(outputs: Sequence[str], targets: Sequence[str]) -> Counts:
    """Word n-grams in common as `sacrebleu` adds them to chrF for chrF++.

    Args:
        outputs: the answers.
        targets: (outputs) what each is compared with.

    Returns:
        (pairs, 4): words of the output, of the target, and for n = 1..2 common n-grams; a
        punctuation mark at the end of a word, or else at its start, is a word of its own.
    """
    known = _remembered(lambda text: ngrams.marked_grams(marked_words(text)))
    return _table(
        4,
        (
            ngrams.gram_row(ngrams.marked_grams(marked_words(output)), known(target))
            for output, target in zip(outputs, targets, strict=True)
        ),
    )


def ter(outputs: Sequence[str], targets: Sequence[str]) -> Counts:
    """Edits with shifts as `sacrebleu` counts them for TER, in lower case.

    Args:
        outputs: the answers.
        targets: (outputs) what each is compared with.

    Returns:
        (pairs, 3): words of the output, of the target, and edits.
    """
    rows = (
        (output.lower().split(), target.lower().split())
        for output, target in zip(outputs, targets, strict=True)
    )
    return _table(3, ((len(o), len(t), edits_with_shifts(o, t)) for o, t in rows))


def squad(outputs: Sequence[str], targets: Sequence[str]) -> Counts:
    """Tokens in common after SQuAD's normalisation (`normalize_answer`).

    Args:
        outputs: the answers.
        targets: (outputs) what each is compared with.

    Returns:
        (pairs, 4): tokens of the output, of the target, common tokens, 1 where all are equal.
    """
    known = _remembered(squad_tokens)
    return _table(
        4,
        (
            ngrams.token_row(squad_tokens(output), known(target))
            for output, target in zip(outputs, targets, strict=True)
        ),
    )


def _of_words(
    outputs: Sequence[str],
    targets: Sequence[str],
    compare: Callable[[Sequence[str], Sequence[str]], int],
) -> Counts:
    known = _remembered(str.split)
    pairs = ((o.split(), known(t)) for o, t in zip(outputs, targets, strict=True))
    return _table(3, ((len(o), len(t), compare(t, o)) for o, t in pairs))


def _table(columns: int, rows: Iterable[Row]) -> Counts:
    return np.array(list(rows), dtype=np.int64).reshape(-1, columns)


def _remembered(work: Callable[..., Known]) -> Callable[..., Known]:
    """What is known of a target stays for a while: many outputs share one."""
    return lru_cache(maxsize=1024)(work)
