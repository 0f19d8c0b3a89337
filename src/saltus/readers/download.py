"""One file from behind an address: fetched whole or not at all, and known again if unchanged."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from threading import Lock
from typing import IO, Any
from urllib.parse import urlsplit

import msgspec

from saltus.errors import ReadError, SaltusError
from saltus.readers.addresses import hushed, plain, shown
from saltus.readers.cache import DAY_SECONDS, DRAFT
from saltus.readers.listing import Behind, Remote, mark_of
from saltus.readers.web_index import HTML, open_web

FETCHED_BYTES = 4 << 30
"""Of one file."""
TOTAL_BYTES = 8 << 30
"""Of all files behind one address."""
CHUNK = 1 << 20
BLOCK = 8 << 20
"""What is asked of a store at once, bytes."""
SETTLED_SECONDS = 60.0
"""A server's time of change, in whole seconds, is relied on only when it lies so far back."""


Progress = Callable[[float | None], None]


def silent(share: float | None) -> None:
    """Show nothing."""


class Kept(msgspec.Struct, array_like=True):
    """A file that was fetched: what changes with its bytes, and which file on the disk it is."""

    mark: str
    inode: int
    size: int


class Left:
    """Bytes that may still be fetched from one address.

    Args:
        expected: bytes that will come, where that is known.
        progress: told the share that has come, None where it is not known.
    """

    def __init__(self, expected: int | None, progress: Progress = silent) -> None:
        self._taken, self._lock, self._ended = 0, Lock(), False
        self._expected, self._progress = expected, progress

    def take(self, size: int, address: str) -> None:
        """Count some bytes.

        Raises:
            ReadError: they are too many, or the rest is not wanted any more.
        """
        with self._lock:
            self._taken += size
            share = self._taken / self._expected if self._expected else None
            self._progress(share)
        if self._taken > TOTAL_BYTES or self._ended:
            limit = TOTAL_BYTES >> 30
            raise ReadError(f"more than {limit} GB lie behind the folder or pattern", address)

    def end(self) -> None:
        """Let the transfers that still run end, because another one failed."""
        self._ended = True

    def finish(self) -> None:
        """Say that all has come."""
        if self._taken:
            self._progress(1.0)


def check_sizes(files: Sequence[Remote], address: str) -> None:
    """Refuse files that are too large in all, as far as their sizes are known.

    Raises:
        ReadError: they are; the largest is named.
    """
    if sum(file.size or 0 for file in files) > TOTAL_BYTES:
        largest = max(files, key=lambda file: file.size or 0)
        what = f"more than {TOTAL_BYTES >> 30} GB lie behind this address, {largest.address} the "
        mend = "largest; name a folder further down, or a pattern such as .../**/results_*.json"
        raise ReadError(what + mend, shown(address))


def unchanged(kept: Kept, place: Path, found: Behind, file: Remote) -> bool:
    """Whether the file that was fetched lies there still, and has not changed where it is from."""
    try:
        stat = place.stat()
    except OSError:
        return False
    if (stat.st_ino, stat.st_size) != (kept.inode, kept.size):
        return False
    mark = file.mark
    if found.web:
        try:
            info = found.backend.info(file.key)
        except FileNotFoundError:  # whatever it was: the transfer will tell
            return False
        mark = mark_of(info, info.get("size"))
    if mark is None or mark != kept.mark:
        return False
    if stat.st_mtime < time.time() - DAY_SECONDS:  # used again: what was not, goes first
        os.utime(place)
    return True


def download(found: Behind, file: Remote, place: Path, drafts: Path, left: Left) -> Kept:
    """Fetch one file to its place.

    Raises:
        ReadError: it is too large, or was cut off.
    """
    total = 0
    with draft_in(drafts) as (target, draft), _opened(found, file) as source:
        size, mark = _stated(source) if found.web else (source.size or file.size, file.mark)
        while chunk := source.read(CHUNK):
            total += len(chunk)
            if total > FETCHED_BYTES:
                raise ReadError(f"is larger than {FETCHED_BYTES >> 30} GB", file.address)
            left.take(len(chunk), file.address)
            target.write(chunk)
        if size is not None and total != size:
            raise ReadError(f"cannot be fetched ({total} of {size} bytes came)", file.address)
        target.close()
        place.parent.mkdir(parents=True, exist_ok=True)
        draft.replace(place)
        return Kept(mark or "", place.stat().st_ino, total)


def _opened(found: Behind, file: Remote) -> Any:
    if not found.web:
        streamed = "hf" in found.backend.protocol
        return found.backend.open(file.key, "rb", block_size=0 if streamed else BLOCK)
    stream = open_web(found.backend, file.key)
    if stream.r.content_type == HTML and stream.r.url.path == urlsplit(file.key).path + "/":
        stream.close()
        raise ReadError("is a folder; end its address with /", file.address)
    return stream


def _stated(stream: Any) -> tuple[int | None, str | None]:
    """Size and mark that a web server states with the bytes; no mark where they are too new."""
    headers = stream.r.headers
    stated = headers.get("Content-Length", "")
    size = int(stated) if stated.isdigit() and "Content-Encoding" not in headers else None
    if "Last-Modified" not in headers:
        return size, mark_of(headers, size)
    with suppress(ValueError, TypeError, KeyError):
        now, then = (parsedate_to_datetime(headers[name]) for name in ("Date", "Last-Modified"))
        if (now - then).total_seconds() >= SETTLED_SECONDS:
            return size, mark_of(headers, size)
    return size, None


@contextmanager
def draft_in(folder: Path) -> Iterator[tuple[IO[bytes], Path]]:
    """A file that is gone at the end, unless it took its place."""
    handle, draft = tempfile.mkstemp(dir=folder, prefix=DRAFT)
    try:
        with os.fdopen(handle, "wb") as target:
            yield target, Path(draft)
    finally:
        Path(draft).unlink(missing_ok=True)


@contextmanager
def faults_told(address: str) -> Iterator[None]:
    """Whatever a backend raises becomes a `ReadError` that names the address, no secrets in it."""
    try:
        yield
    except SaltusError:
        raise
    except ImportError as fault:
        raise SaltusError(f"{shown(address)}: {fault}") from None
    except Exception as fault:  # every backend raises errors of its own
        what = f"cannot be fetched ({_what(fault, address):.200})"
        raise ReadError(what, shown(address)) from None


def _what(fault: Exception, address: str) -> str:
    cause = fault.__cause__ or fault  # for fsspec's http any fault is a file that is not found
    if isinstance(cause, FileNotFoundError) or getattr(cause, "status", None) == 404:
        return "not found"
    first = str(cause).splitlines()[0] if str(cause) else type(cause).__name__
    query = plain(address)[1]
    return hushed(first.replace(query, "?...") if query else first)
