"""The cache folder: what it holds, its bounds, and digests that are remembered.

It is `SALTUS_CACHE`, or the platform's folder; what was used longest ago goes first. Files are
written as a whole, and a damaged one is as good as none.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from saltus.readers.files import mark_of, sha256

SMALLEST = 256 << 10
"""Files below this are read faster than looked up, bytes."""
KEPT_BYTES = 10 << 30
DAY_SECONDS = 86_400.0
LOGS, DIGESTS, REMOTE = "logs", "digests", "remote"
DRAFT = ".draft-"


def cache_folder() -> Path:
    """Where things are kept: `SALTUS_CACHE`, or the platform's cache folder."""
    if named := os.environ.get("SALTUS_CACHE"):
        return Path(named)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "saltus"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "saltus" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "saltus"


def digest(path: Path) -> str:
    """SHA-256 of a file; of a large one it is remembered while the file stays as it is."""
    mark = mark_of(path) if path.is_file() else None
    if mark is None or path.stat().st_size < SMALLEST:
        return sha256(path)
    with suppress(OSError, ValueError):
        line, check = _digest_of(path).read_text(encoding="ascii").split("\n")
        if short_hash(line) == check and line.startswith(f"{mark} "):
            return line.rpartition(" ")[2]
    found = sha256(path)
    remember(path, mark, found)
    return found


def remember(path: Path, mark: str, found: str) -> None:
    """Keep the digest of a file that is still what it was when the mark was taken."""
    if mark_of(path) == mark and path.stat().st_size >= SMALLEST:
        line = f"{mark} {found}"
        _put(_digest_of(path), f"{line}\n{short_hash(line)}".encode())


def is_new(path: Path) -> bool:
    """Whether no digest of a large file was ever kept, and so nothing that goes by it."""
    return path.is_file() and mark_of(path) is not None and not _digest_of(path).exists()


def digest_later(path: Path, cached: bool) -> Callable[[], str]:
    """What gives the digest of a file as it is now.

    Whoever reads a new file next hashes it on the way, so that it need not be read for that.
    """
    if cached and is_new(path):
        mark = mark_of(path)
        return lambda: digest(path) if mark_of(path) == mark else "changed while it was read"
    found = digest(path) if cached else sha256(path)
    return lambda: found


def _digest_of(path: Path) -> Path:
    return cache_folder() / DIGESTS / short_hash(str(path.absolute()))


def short_hash(text: str) -> str:
    """128 bits of SHA-256, for names."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _put(place: Path, data: bytes) -> None:
    """Write a file as a whole; a folder that cannot be written is no fault of the reading."""
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=place.parent, prefix=DRAFT)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(draft).replace(place)
        finally:
            Path(draft).unlink(missing_ok=True)


_held: set[Path] = set()


def hold(files: Iterable[Path]) -> None:
    """Let no file of these go while this process lives: it is about to read them."""
    _held.update(file.absolute() for file in files)


def release() -> None:
    """Let go what was held."""
    _held.clear()


def evict(folder: Path, newest: Path, most: int | None = None) -> None:
    """Drop the files that were used longest ago, above 10 GB in all, and forgotten drafts."""
    now, files = time.time(), []
    for file in folder.absolute().rglob("*"):
        with suppress(OSError):
            stat = file.stat()
            if file.name.startswith(DRAFT):
                if stat.st_mtime < now - DAY_SECONDS:
                    file.unlink(missing_ok=True)
            elif file.is_file():
                files.append((stat.st_mtime, file, stat.st_size))
    total, limit = sum(size for _, _, size in files), KEPT_BYTES if most is None else most
    for _, file, size in sorted(files):
        if total <= limit:
            return
        if file != newest.absolute() and file not in _held:
            total -= size
            file.unlink(missing_ok=True)


def kept() -> dict[str, tuple[int, int]]:
    """What the folder holds: kind -> (files, bytes)."""
    folder = cache_folder()
    found = {}
    for kind in (LOGS, DIGESTS, REMOTE):
        sizes = [file.stat().st_size for file in (folder / kind).rglob("*") if file.is_file()]
        found[kind] = (len(sizes), sum(sizes))
    return found


def clear() -> int:
    """Remove everything that is kept; give the number of files."""
    count = 0
    for kind in (LOGS, DIGESTS, REMOTE):
        for file in list((cache_folder() / kind).rglob("*")):
            if file.is_file():
                file.unlink(missing_ok=True)
                count += 1
    return count
