"""Texts to tokens, as the field's scripts have them."""

from __future__ import annotations

import re
import string
import sys
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache
from itertools import groupby
from typing import Literal

Tokenizer = Literal["13a", "intl", "char", "none"]

ROUGE_TOKEN = re.compile(r"[a-z0-9]+")

# mteval-v13a: what stands alone; full stop and comma unless between digits; dash after a digit
MTEVAL_STEPS = [
    (re.compile(r"([{-~[-` -&(-+:-@/])"), r" \1 "),
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
]
MTEVAL_ESCAPES = {"&quot;": '"', "&amp;": "&", "&lt;": "<", "&gt;": ">"}

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)


def rouge_lines(text: str) -> list[list[str]]:
    """`rouge_score`'s tokens line by line: lower-case runs of ASCII letters and digits."""
    return [ROUGE_TOKEN.findall(line) for line in text.lower().split("\n")]


def mteval_13a(text: str) -> list[str]:
    """`sacrebleu`'s "13a": mteval-v13a, the tokens of WMT's BLEU."""
    line = text.rstrip().replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for escape, character in MTEVAL_ESCAPES.items():
        line = line.replace(escape, character)
    line = f" {line} "
    for pattern, replacement in MTEVAL_STEPS:
        line = pattern.sub(replacement, line)
    return line.split()


def international(text: str) -> list[str]:
    """`sacrebleu`'s "intl": mteval-v14 with Unicode's punctuation, symbols and numbers.

    The classes are those of Python's Unicode version; a character that a later version
    added is of no class here.
    """
    line = text.rstrip()
    for pattern, replacement in _international_steps():
        line = pattern.sub(replacement, line)
    return line.split()


def characters(text: str) -> list[str]:
    """`sacrebleu`'s "char": every character but white space."""
    return list("".join(text.split()))


def words(text: str) -> list[str]:
    """`sacrebleu`'s "none": what white space parts."""
    return text.split()


def marked_words(text: str) -> list[str]:
    """chrF++'s words in `sacrebleu`: a mark at a word's end, or else its start, stands alone."""
    return [part for word in text.split() for part in _parted(word) if part]


def _parted(word: str) -> tuple[str, str]:
    if len(word) > 1 and word[-1] in string.punctuation:
        return word[:-1], word[-1]
    if len(word) > 1 and word[0] in string.punctuation:
        return word[0], word[1:]
    return word, ""


def squad_tokens(text: str) -> list[str]:
    """SQuAD's `normalize_answer`: lower case, no ASCII punctuation, no English articles."""
    return ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split()


TOKENIZERS: dict[Tokenizer, Callable[[str], list[str]]] = {
    "13a": mteval_13a, "intl": international, "char": characters, "none": words,
}  # fmt: skip


@cache
def _international_steps() -> list[tuple[re.Pattern[str], str]]:
    numbers, marks, symbols = (_class_of(letter) for letter in "NPS")
    return [
        (re.compile(f"([^{numbers}])([{marks}])"), r"\1 \2 "),
        (re.compile(f"([{marks}])([^{numbers}])"), r" \1 \2"),
        (re.compile(f"([{symbols}])"), r" \1 "),
    ]


def _class_of(letter: str) -> str:
    """The inside of a character class with all code points of a general category."""

    def ranges() -> Iterator[str]:
        points = (p for p in range(sys.maxunicode + 1) if unicodedata.category(chr(p))[0] == letter)
        for _, run in groupby(enumerate(points), lambda pair: pair[1] - pair[0]):
            first, *rest = (point for _, point in run)
            yield rf"\U{first:08x}-\U{(rest[-1] if rest else first):08x}"

    return "".join(ranges())
