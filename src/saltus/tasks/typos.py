"""Fixing misspellings, and nothing else, in text of our own making.

Text: sentences ``The WHO DID the WHAT WHERE WHEN.`` over word lists of this file. Misspellings:
each word of four letters or more is changed with probability `RATE`, at least one per text,
by one of four slips of equal probability at a random place after the first letter: two
neighbouring letters change places, a letter is left out, a letter is doubled, a letter becomes
one beside it on a QWERTY keyboard. A slip that leaves the word as it was or makes another word
of the lists is drawn again.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import polars as pl

from saltus.errors import SaltusError
from saltus.tasks.task import task

RATE = 0.15
SHORTEST = 4  # letters of a word that may be misspelt
TRIES = 100
TEXTS = {"typos": 3, "typos_1": 1, "typos_3": 3, "typos_6": 6}  # task -> sentences
INSTRUCTION = (
    "Repeat this text exactly, but correct the misspelt words. Answer with the text alone.\n\n"
)
WHO = (
    "teacher", "gardener", "captain", "neighbour", "engineer", "musician", "farmer", "painter",
    "librarian", "carpenter", "merchant", "student", "professor", "baker", "traveller", "sailor",
)  # fmt: skip
DID = (
    "described", "repaired", "borrowed", "measured", "discovered", "painted", "delivered",
    "examined", "forgot", "collected", "arranged", "remembered", "carried", "replaced",
    "noticed", "finished",
)  # fmt: skip
WHICH = (
    "ancient", "wooden", "beautiful", "separate", "necessary", "unusual", "heavy", "colourful",
    "broken", "expensive", "familiar", "narrow", "enormous", "curious", "different", "silver",
)  # fmt: skip
WHAT = (
    "bridge", "lantern", "instrument", "calendar", "cabinet", "machine", "letter", "window",
    "garden", "blanket", "compass", "telescope", "notebook", "engine", "mirror", "kettle",
)  # fmt: skip
WHERE = (
    "behind the station", "beside the river", "under the staircase", "near the market",
    "across the valley", "inside the workshop", "above the harbour", "along the avenue",
    "between the buildings", "beyond the orchard",
)  # fmt: skip
WHEN = (
    "yesterday", "before breakfast", "during the winter", "after the concert", "every weekend",
    "without hesitation", "until midnight", "at the beginning of spring", "on Wednesday",
    "several years later",
)  # fmt: skip
PARTS = (WHO, DID, WHICH, WHAT, WHERE, WHEN)
KNOWN = {word.lower() for part in PARTS for phrase in part for word in phrase.split()}
ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
BESIDE = {
    letter: [row[place] for place in (at - 1, at + 1) if 0 <= place < len(row)]
    for row in ROWS
    for at, letter in enumerate(row)
}


def sentence(rng: np.random.Generator) -> str:
    """One sentence without misspellings."""
    who, did, which, what, where, when = (part[rng.integers(len(part))] for part in PARTS)
    return f"The {who} {did} the {which} {what} {where} {when}."


def misspell(rng: np.random.Generator, word: str) -> str:
    """The word with one slip; see the head of the file.

    Raises:
        SaltusError: no slip changes the word into something unknown.
    """
    for _ in range(TRIES):
        slipped = _slip(rng, word)
        if slipped != word and slipped.lower() not in KNOWN:
            return slipped
    raise SaltusError(f"no misspelling of {word!r} was found in {TRIES} tries")


def _slip(rng: np.random.Generator, word: str) -> str:
    at = int(rng.integers(1, len(word) - 1))
    before, letter, after = word[:at], word[at], word[at + 1 :]
    match rng.integers(4):
        case 0:
            return before + after[0] + letter + after[1:]
        case 1:
            return before + after
        case 2:
            return before + letter + letter + after
        case _:
            return before + str(rng.choice(BESIDE[letter])) + after


def _misspelt(rng: np.random.Generator, text: str) -> str:
    words = text.split(" ")
    able = [place for place, word in enumerate(words) if len(word.rstrip(".")) >= SHORTEST]
    chosen = [place for place in able if rng.random() < RATE] or [int(rng.choice(able))]
    for place in chosen:
        bare = words[place].rstrip(".")
        words[place] = misspell(rng, bare) + words[place][len(bare) :]
    return " ".join(words)


def typos(rng: np.random.Generator, count: int, sentences: int) -> pl.DataFrame:
    """Texts with misspellings, and the same texts without."""
    found: dict[str, str] = {}
    for _ in range(TRIES * count):
        right = " ".join(sentence(rng) for _ in range(sentences))
        found.setdefault(INSTRUCTION + _misspelt(rng, right), right)
        if len(found) == count:
            break
    return pl.DataFrame({"prompt": list(found), "targets": [[right] for right in found.values()]})


for _name, _sentences in TEXTS.items():
    task(
        _name,
        population=None,
        metrics=("exact_match", "word_edit_distance", "char_error_rate"),
        source="our own text and slips, after the LiveBench task `typos`",
        summary=f"correcting the misspelt words of {_sentences} sentence{'s' * (_sentences > 1)}",
    )(partial(typos, sentences=_sentences))
