"""Keys that come twice in one JSON object, of which any parser takes the last in silence.

One pass in C over the bytes tells which lines are in doubt (and how many lines there are, and
which columns they have); only those are looked at again. Where the extension could not be
built, Python's own parser does the same at a third of the speed.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from saltus.errors import ReadError

Data = bytes | bytearray | memoryview

try:
    from saltus.readers._scan import scan as _scan
except ImportError:
    COMPILED = False
else:
    COMPILED = True


class Scan(NamedTuple):
    """What one pass over JSON lines tells.

    Args:
        lines: how many of them end.
        doubtful: whether an object may have one key twice.
        keys: of the outermost objects, each once; None where they are more than is usual.
    """

    lines: int
    doubtful: bool
    keys: list[str] | None


def scan_lines(data: Data) -> Scan:
    """Lines, doubts and keys of whole JSON lines; of what is no JSON anything may be said."""
    if not COMPILED:
        return scan_lines_plainly(data)
    lines, doubtful, keys = _scan(data, True)
    return Scan(lines, doubtful >= 0, None if keys is None else _texts(tuple(keys)))


@lru_cache(maxsize=64)
def _texts(keys: tuple[bytes, ...]) -> list[str] | None:
    try:
        return [json.loads(b'"' + key + b'"') for key in keys]
    except ValueError:
        return None


def scan_lines_plainly(data: Data) -> Scan:
    """The same without the extension."""
    doubtful, keys = False, dict[str, None]()

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal doubtful
        whole = dict(pairs)
        doubtful |= len(whole) < len(pairs)
        return whole

    for line in BytesIO(data):
        with suppress(ValueError, RecursionError):
            row = json.loads(line, object_pairs_hook=members)
            keys |= dict.fromkeys(row if isinstance(row, dict) else ())
    return Scan(bytes(data).count(b"\n"), doubtful, list(keys))


def refuse_twins(data: Data, path: Path, line: int | None = None) -> None:
    """Refuse one JSON text that holds an object with one key twice.

    Raises:
        ReadError: with the key. What is no JSON at all is left to the decoder.
    """
    if COMPILED and _scan(data, False)[1] < 0:
        return

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        whole = dict(pairs)
        if len(whole) < len(pairs):
            twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise ReadError(f"the key {twice!r:.60} is there twice in one object", path, line)
        return whole

    with suppress(ValueError, RecursionError):
        json.loads(bytes(data), object_pairs_hook=members)
