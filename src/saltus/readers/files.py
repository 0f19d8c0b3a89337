"""Opening files within bounds: gzip, long lines, deep nesting, things that are no files.

Every fault of the file becomes a `ReadError`; nothing here knows any format.
"""

from __future__ import annotations

import gc
import gzip
import hashlib
import json
import math
import re
import stat
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from io import BufferedReader, BytesIO, RawIOBase
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar, cast

import msgspec
import numpy as np

from saltus.errors import ReadError
from saltus.readers.twins import Scan, refuse_twins, scan_lines

HEAD_BYTES = 64 << 10
FIRST_LINE_BYTES = 1 << 20
LINE_BYTES = 64 << 20
BLOCK_BYTES = 512 << 10
DOCUMENT_BYTES = 256 << 20
DECOMPRESSED_BYTES = 20_000_000_000
SETTLED_SECONDS = 2.0

Value = TypeVar("Value")
FAULTS = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
"""What decoding may raise; `decode` tells them by place."""
# a string that the end of the text cuts off is one token too
_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*+)(?:"(\s*:)?|\\?\Z)|[{}\[\]]')


@contextmanager
def _faults_named(path: Path) -> Iterator[None]:
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as fault:
        what = f"the gzip data are cut short or damaged ({fault}); fetch the file again"
        raise ReadError(what, path) from None
    except OSError as fault:
        raise ReadError(f"cannot be read ({fault.strerror or fault})", path) from None


@dataclass
class Seen:
    """What happens to files while they are watched.

    Args:
        paths: files that were opened, or looked for.
        digests: SHA-256 of those that were read in order, from the first byte to the last.
    """

    paths: set[Path] = field(default_factory=set)
    digests: dict[Path, str] = field(default_factory=dict)


_watchers: list[Seen] = []


@contextmanager
def watched() -> Iterator[Seen]:
    """What is opened, looked for and read while the block runs."""
    seen = Seen()
    _watchers.append(seen)
    try:
        yield seen
    finally:
        _watchers[:] = [other for other in _watchers if other is not seen]


def _seen(path: Path) -> None:
    for watcher in _watchers:
        watcher.paths.add(path.absolute())


bringers: list[Callable[[Path], bool]] = []
"""What may fetch a file that is not there; each says whether it is now."""


def is_there(path: Path) -> bool:
    """Whether a file lies beside the one that is read."""
    _seen(path)
    return path.is_file() or any(bring(path.absolute()) for bring in bringers)


class _Hashed(RawIOBase):
    """A file whose bytes are hashed on their way, which saves to read it once more for that."""

    def __init__(self, file: RawIOBase) -> None:
        self._file, self._sha256, self._hashed = file, hashlib.sha256(), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, place: int, whence: int = 0) -> int:
        return self._file.seek(place, whence)

    def readinto(self, buffer: Any) -> int:
        place = self._file.tell()
        size = self._file.readinto(buffer) or 0
        if place == self._hashed:
            self._sha256.update(memoryview(buffer)[:size])
            self._hashed += size
        return size

    def digest(self) -> str | None:
        """Of the whole file; nothing where not all of it was read in order."""
        whole = self._hashed == self._file.seek(0, 2)
        return self._sha256.hexdigest() if whole else None


@contextmanager
def _hashed(path: Path, file: RawIOBase) -> Iterator[IO[bytes]]:
    """The file with a buffer, and hashed on its way where somebody watches."""
    raw = _Hashed(file) if _watchers else file
    yield cast(IO[bytes], BufferedReader(raw))
    if isinstance(raw, _Hashed) and (digest := raw.digest()):
        for watcher in _watchers:
            watcher.digests[path.absolute()] = digest


@contextmanager
def opened(path: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """The file as it lies on the disk and its decompressed stream.

    Gzip is recognised by its first two bytes, not by the suffix.

    Raises:
        ReadError: not a regular file (a folder, a pipe, a device), empty, or not readable.
    """
    _seen(path)
    with _faults_named(path):
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise ReadError("is not a regular file; give a file or a folder of files", path)
        with path.open("rb", buffering=0) as file:
            magic = file.read(2)
            if not magic:
                raise ReadError("the file is empty", path)
            file.seek(0)
            with _hashed(path, file) as raw:
                if magic == b"\x1f\x8b":
                    with gzip.GzipFile(fileobj=raw) as stream:
                        yield raw, cast(IO[bytes], stream)
                else:
                    yield raw, raw


def head_bytes(path: Path) -> bytes:
    """The first 64 KB, decompressed, and more until the first line ends (at most 1 MB)."""
    with opened(path) as (_, stream):
        data = stream.read(HEAD_BYTES)
        while b"\n" not in data and len(data) < FIRST_LINE_BYTES:
            more = stream.read(HEAD_BYTES)
            if not more:
                break
            data += more
    if not data.strip():
        raise ReadError("the file is empty", path)
    return data


class Block(NamedTuple):
    """Some whole lines of a file.

    Args:
        first: number of the first line, from 1.
        lines: how many they are.
        data: their bytes.
        doubtful: whether a JSON object in them may have one key twice.
        keys: of the JSON objects that they are; None: more than is usual, or not asked.
    """

    first: int
    lines: int
    data: memoryview
    doubtful: bool = False
    keys: list[str] | None = None


def _count_lines(data: memoryview) -> Scan:
    ends = np.frombuffer(data, np.uint8) == ord("\n")  # bytes.count takes twice the time
    return Scan(int(np.count_nonzero(ends)), False, None)


def line_blocks(
    path: Path, advance: Callable[[int], None], *, of_json: bool = False
) -> Iterator[Block]:
    """Whole decompressed lines, about 1 MB at a time.

    Args:
        path: the file.
        advance: called with numbers of bytes as they are read.
        of_json: look for the keys of objects, and for those that come twice.

    Raises:
        ReadError: a line over 64 MB, more than 20 GB in all, or a damaged gzip file.
    """
    scan = scan_lines if of_json else _count_lines
    with opened(path) as (raw, stream):
        buffer, begun, first, total, told = bytearray(BLOCK_BYTES), 0, 1, 0, 0
        while size := stream.readinto(memoryview(buffer)[begun:]):  # type: ignore[attr-defined]
            total += size
            if total > DECOMPRESSED_BYTES:
                limit = DECOMPRESSED_BYTES // 10**9
                raise ReadError(f"more than {limit} GB when decompressed; split it", path, first)
            full = begun + size
            end = buffer.rfind(b"\n", begun, full) + 1
            if end:
                if end > LINE_BYTES:  # a block is larger than that only for a very long line
                    _check_lengths(buffer[:end], path, first)
                whole = memoryview(buffer)[:end]
                found = scan(whole)
                yield Block(first, found.lines, whole, found.doubtful, found.keys)
                first += found.lines
                here = raw.tell()
                advance(here - told)
                told = here
            buffer, begun = _moved(buffer, end, full, path, first)
        if begun:
            whole = memoryview(buffer)[:begun]
            found = scan(whole)
            yield Block(first, 1, whole, found.doubtful, found.keys)


def _check_lengths(block: bytearray, path: Path, first: int) -> None:
    for number, line in enumerate(BytesIO(block), first):
        if len(line) > LINE_BYTES:
            raise ReadError(f"a line is longer than {LINE_BYTES >> 20} MB", path, number)


def _moved(buffer: bytearray, end: int, full: int, path: Path, first: int) -> tuple[bytearray, int]:
    """A buffer that begins with the unfinished line, with room to go on.

    It is a new one, because what was decoded from the old one may still refer to it.
    """
    begun = full - end
    if begun > LINE_BYTES:
        raise ReadError(f"a line is longer than {LINE_BYTES >> 20} MB", path, first)
    larger = bytearray(max(BLOCK_BYTES, 2 * begun))
    larger[:begun] = memoryview(buffer)[end:full]
    return larger, begun


def byte_lines(path: Path, advance: Callable[[int], None]) -> Iterator[tuple[int, bytes]]:
    """The decompressed lines with their numbers, from 1.

    Raises:
        ReadError: a line over 64 MB, more than 20 GB in all, or a damaged gzip file.
    """
    for block in line_blocks(path, advance):
        for number, line in enumerate(BytesIO(block.data), block.first):
            if len(line) > LINE_BYTES:
                raise ReadError(f"a line is longer than {LINE_BYTES >> 20} MB", path, number)
            yield number, line


def text_lines(path: Path, advance: Callable[[int], None]) -> Iterator[str]:
    """The decompressed lines as UTF-8 text, without a byte order mark."""
    for number, line in byte_lines(path, advance):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as fault:
            raise ReadError(f"not UTF-8 text ({fault.reason})", path, number) from None
        yield text


def document(path: Path) -> bytes:
    """The whole decompressed file, at most 256 MB."""
    with opened(path) as (_, stream):
        data = stream.read(DOCUMENT_BYTES + 1)
    if len(data) > DOCUMENT_BYTES:
        limit = DOCUMENT_BYTES >> 20
        raise ReadError(f"one JSON document of more than {limit} MB; write it as JSON lines", path)
    data = data.removeprefix(b"\xef\xbb\xbf")
    refuse_twins(data, path)
    return data


@contextmanager
def collection_paused() -> Iterator[None]:
    """No search for cycles while many small objects are made that cannot form any."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def mark_of(path: Path) -> str | None:
    """What changes with the file: inode, size and times; None while it is too new to rely on that.

    A file that was changed within the last ticks of the file system's clock might change again
    without another time.
    """
    known = path.stat()
    if max(known.st_mtime, known.st_ctime) > time.time() - SETTLED_SECONDS:
        return None
    return f"{known.st_ino} {known.st_size} {known.st_mtime_ns} {known.st_ctime_ns}"


def sha256(path: Path) -> str:
    """SHA-256 of the file as it lies on the disk, taken once while the file stays as it is.

    Nothing for what is no regular file: whoever reads it says so.
    """
    if not path.is_file():
        return ""
    mark = mark_of(path)
    return _digest(path) if mark is None else _remembered(path, mark)


@lru_cache(maxsize=4096)
def _remembered(path: Path, mark: str) -> str:
    return _digest(path)


def _digest(path: Path) -> str:
    with _faults_named(path), path.open("rb") as raw:
        return hashlib.file_digest(raw, "sha256").hexdigest()


def decode(
    decoder: msgspec.json.Decoder[Value], data: bytes | msgspec.Raw, path: Path,
    line: int | None = None, field: str | None = None,
) -> Value:  # fmt: skip
    """One JSON value, typed; NaN and Infinity, which JSON lacks but Python writes, pass.

    Raises:
        ReadError: not JSON, not of the type, or nested too deep.
    """
    try:
        return decode_strictly(decoder, data, path, line, field)
    except msgspec.DecodeError as fault:
        return _decode_leniently(decoder, bytes(data), str(fault), path, line, field)


def decode_strictly(
    decoder: msgspec.json.Decoder[Value], data: bytes | msgspec.Raw, path: Path,
    line: int | None, field: str | None,
) -> Value:  # fmt: skip
    """One JSON value, typed; what is not JSON at all stays a `DecodeError`.

    Raises:
        ReadError: not of the type, not UTF-8, or nested too deep.
    """
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as fault:
        raise ReadError(str(fault), path, line, field) from None
    except UnicodeDecodeError as fault:
        raise ReadError(f"not UTF-8 text ({fault.reason})", path, line, field) from None
    except RecursionError:
        raise ReadError("the JSON is nested too deep", path, line, field) from None


def _decode_leniently(
    decoder: msgspec.json.Decoder[Value], data: bytes, what: str, path: Path,
    line: int | None, field: str | None,
) -> Value:  # fmt: skip
    try:
        value = json.loads(data)
        if b"\\u" in data:
            json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no text
        raw = _raw(value, decoder.type)
        return cast(Value, raw) if raw is not None else msgspec.convert(value, type=decoder.type)
    except RecursionError:
        raise ReadError("the JSON is nested too deep", path, line, field) from None
    except msgspec.ValidationError as fault:
        raise ReadError(str(fault), path, line, field) from None
    except UnicodeEncodeError:
        what = "holds half of a surrogate pair (\\ud800 to \\udfff), which is no text"
        raise ReadError(what, path, line, field) from None
    except (ValueError, UnicodeDecodeError):
        cut = len(data) > 0 and not data.rstrip().endswith((b"}", b"]"))
        hint = " (cut short?)" if cut else ""
        raise ReadError(f"not JSON: {what}{hint}", path, line, field) from None


def _raw(value: Any, kind: Any) -> dict[str, msgspec.Raw] | list[msgspec.Raw] | None:
    """The members written again, where the type wants them unparsed; else nothing."""
    if kind == dict[str, msgspec.Raw] and isinstance(value, dict):
        return {key: msgspec.Raw(json.dumps(member).encode()) for key, member in value.items()}
    if kind == list[msgspec.Raw] and isinstance(value, list):
        return [msgspec.Raw(json.dumps(member).encode()) for member in value]
    return None


def top_level_keys(text: str) -> frozenset[str]:
    """Keys of the first JSON object, or of the first object in a list, as far as text goes."""
    start = text.lstrip()[:1]
    if start not in ("{", "["):
        return frozenset()
    wanted, depth, keys = (1 if start == "{" else 2), 0, set()
    for token in _TOKEN.finditer(text):
        mark = token.group()
        if mark in ("{", "["):
            depth += 1
        elif mark in ("}", "]"):
            depth -= 1
            if depth < wanted:
                break
        elif depth == wanted and token.group(2):
            keys.add(token.group(1))
    return frozenset(keys)


def finite(value: float) -> float | None:
    """The number, or nothing for NaN and the infinities."""
    return value if math.isfinite(value) else None
