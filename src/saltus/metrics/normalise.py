"""Named normalisations of texts, applied to output and target alike before they are compared."""

from __future__ import annotations

import re
import string
import unicodedata

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)
PREAMBLE = re.compile(r"\A\s*Here is the text with (?:only )?the misspellings corrected: ")
DASHES = re.compile(r"\s*—\s*| -- ")


def stripped(text: str) -> str:
    """Without white space at the ends."""
    return text.strip()


def folded(text: str) -> str:
    """Unicode NFC, case folded, white space at the ends removed and runs made one space."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def quasi(text: str) -> str:
    """Lower case, no ASCII punctuation, no English articles, single spaces.

    The `normalize_answer` of SQuAD (Rajpurkar et al. 2016), HELM's quasi-exact match.
    """
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def unquoted(text: str) -> str:
    """Without white space and one pair of equal quotation marks at the ends."""
    bare = text.strip()
    quoted = len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "'\"`"
    return bare[1:-1] if quoted else bare


def without_preamble(text: str) -> str:
    """Without the sentence with which some models introduce a corrected text."""
    return PREAMBLE.sub("", text)


def with_spaced_dashes(text: str) -> str:
    """Without the preamble, and every em dash or ` -- ` as ` -- ` between spaces."""
    return DASHES.sub(" -- ", without_preamble(text))
