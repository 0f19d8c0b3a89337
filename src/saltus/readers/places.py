"""Where fetched files lie: under the names that they have there, made safe for any disk."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Sequence

NAME_BYTES = 240
_UNSAFE = re.compile(r'[\x00-\x1f\x7f\ud800-\udfff\\/*?"<>|\[\]]')
_WINDOWS = re.compile(r"^(con|prn|aux|nul|com\d|lpt\d)(\.|$)|[. ]$|:", re.IGNORECASE)


def places(files: Sequence[tuple[str, ...]]) -> list[str]:
    """One relative path per file, in the same order; no two are the same on any disk.

    Args:
        files: names of the folders and of the file, as the store has them.
    """
    known: dict[tuple[tuple[str, ...], bool], str] = {}
    taken: set[str] = set()
    return [_place(parts, known, taken) for parts in files]


def _place(
    parts: tuple[str, ...], known: dict[tuple[tuple[str, ...], bool], str], taken: set[str]
) -> str:
    place = ""
    for depth in range(1, len(parts) + 1):
        # a store may have a file and a folder of one name
        itself = (parts[:depth], depth == len(parts))
        if itself not in known:
            above, name = place, safe_name(parts[depth - 1])
            place = f"{above}/{name}" if above else name
            while _folded(place) in taken:
                name = _told_apart(name, repr((itself, place)))
                place = f"{above}/{name}" if above else name
            taken.add(_folded(place))
            known[itself] = place
        place = known[itself]
    return place


def safe_name(name: str) -> str:
    """A name that is one name on any disk: no separator, no dots alone, not too long."""
    mended = _UNSAFE.sub("_", name)
    if os.name == "nt":
        mended = _WINDOWS.sub("_", mended)
    if not mended.strip("."):
        mended = "_"
    return mended if len(mended.encode()) <= NAME_BYTES else _told_apart(mended, name)


def _told_apart(name: str, key: str) -> str:
    """The name with a digest before its suffixes, cut in its middle where it is too long."""
    mark = "~" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    stem, dot, suffix = name.partition(".")
    end = (dot + suffix).encode()[-60:].decode(errors="ignore")
    start = stem.encode()[: NAME_BYTES - 60 - len(mark)].decode(errors="ignore")
    return start + mark + end


def _folded(place: str) -> str:
    return unicodedata.normalize("NFC", place).casefold()
