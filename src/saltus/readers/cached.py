"""What was read of large files, kept as columns for the next time.

An entry belongs to the bytes of one file at one place, to its reader, the options, and the code
of this folder; it names the files beside it that the reader looked at or looked for, and holds
only while these are as they were. It is one file that appears whole or not at all: frames as
Arrow lays them out in memory (read in half the time of Parquet), a table of contents with their
places and checksums, and the checksum and size of that table. One that is damaged is as good as
none.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from functools import lru_cache
from importlib.resources import files as package_files
from io import RawIOBase
from pathlib import Path
from typing import IO, Any, cast

import msgspec
import polars as pl

from saltus import __version__
from saltus.readers.cache import (
    DRAFT,
    LOGS,
    SMALLEST,
    cache_folder,
    digest,
    evict,
    is_new,
    remember,
    short_hash,
)
from saltus.readers.files import is_there, mark_of, watched
from saltus.readers.frames import all_alike
from saltus.readers.reader import Batch, Options, Reader
from saltus.tables import Models, Reported, Responses, Stops, Table, schema

FRAME_BYTES = 4 << 20
"""Rows are gathered until they take this much memory: few large frames are read faster."""
CHECKED_BYTES = 128 << 10
"""As much is checked at once as stays in the processor's cache."""
_END = struct.Struct("<LQ")
FRAMES: Mapping[str, type[Table]] = {
    "models": Models, "responses": Responses, "reported": Reported, "stops": Stops,
}  # fmt: skip
DAMAGED = (
    OSError, ValueError, OverflowError, KeyError, struct.error, msgspec.MsgspecError,
    pl.exceptions.PolarsError, pl.exceptions.PanicException,
)  # fmt: skip


class Piece(msgspec.Struct):
    """Where the frame of a table lies in the entry, and the CRC-32 of its bytes.

    Columns that say the same in each of its rows, such as the model's name, are kept as that.
    """

    table: str
    start: int
    size: int
    checksum: int
    rows: int = 0
    alike: dict[str, str | None] = {}


class Part(msgspec.Struct):
    """One batch: its frames, and the rest of it."""

    pieces: list[Piece]
    findings: list[dict[str, Any]]
    used: list[str]


class Contents(msgspec.Struct):
    """What an entry holds, and the digests of the files beside (None: it was not there)."""

    parts: list[Part]
    beside: dict[str, str | None]


_CONTENTS = msgspec.json.Decoder(Contents)


@lru_cache(maxsize=1)
def _code() -> str:
    """Digest of the readers, of what they know and of the tables: other code reads other rows."""
    types = {name: str(schema(table)) for name, table in FRAMES.items()}
    whole = hashlib.sha256(f"{__version__} {pl.__version__} {types}".encode())
    for file in sorted(package_files("saltus.readers").iterdir(), key=lambda entry: entry.name):
        if file.name.endswith((".py", ".csv", ".c")):
            whole.update(file.read_bytes())
    return whole.hexdigest()


def _entry(path: Path, reader: Reader, options: Options) -> Path:
    said = (sorted(options.columns.items()), options.task, options.model, options.keep_going)
    parts = [_code(), digest(path), str(path.absolute()), reader.name, said]
    return cache_folder() / LOGS / short_hash(json.dumps(parts))


def cached(path: Path, reader: Reader, options: Options) -> Iterator[Batch]:
    """The batches of a file: from the cache, or from its reader and into the cache.

    Raises:
        ReadError: what the reader raises; nothing is kept then.
    """
    ours = reader.read.__module__.startswith("saltus.readers.")  # a plug-in's code is not known
    if not ours or path.stat().st_size < SMALLEST:
        yield from reader.read(path, options)
        return
    if is_new(path):  # it is hashed while it is read
        yield from _kept(path, reader, options)
        return
    place = _entry(path, reader, options)
    with ExitStack() as stack:
        parts = None
        with suppress(*DAMAGED):
            entry = stack.enter_context(place.open("rb", buffering=0))
            parts = _sound(entry)
            os.utime(place)
        if parts is None:
            yield from _kept(path, reader, options)
        else:
            yield from (_batch(entry, part) for part in parts)


def _batch(entry: IO[bytes], part: Part) -> Batch:
    frames = {piece.table: _frame(entry, piece) for piece in part.pieces}
    return Batch(**frames, findings=tuple(part.findings), used=frozenset(part.used))


def _frame(entry: IO[bytes], piece: Piece) -> pl.DataFrame:
    entry.seek(piece.start)
    frame = pl.read_ipc_stream(entry)  # from the file itself: bytes would be copied twice
    types = schema(FRAMES[piece.table])
    same = [
        pl.Series(name, [value], dtype=types[name]).new_from_index(0, piece.rows)
        for name, value in piece.alike.items()
    ]
    return frame.hstack(same) if frame.width else pl.DataFrame(same)


def _sound(entry: IO[bytes]) -> list[Part] | None:
    """The parts of an entry that is whole, while the files beside are as they were.

    Raises:
        ValueError, struct.error, MsgspecError: it is not whole.
    """
    end = entry.seek(-_END.size, os.SEEK_END)
    checksum, size = _END.unpack(entry.read())
    _check(entry, Piece("", end - size, size, checksum))
    entry.seek(end - size)
    contents = _CONTENTS.decode(entry.read(size))
    for part in contents.parts:
        for piece in part.pieces:
            _check(entry, piece)
    return contents.parts if _state(contents.beside) == contents.beside else None


def _check(entry: IO[bytes], piece: Piece) -> None:
    """Refuse bytes that are not as they were written."""
    entry.seek(piece.start)
    checksum, left = 0, piece.size
    while left > 0 and (data := entry.read(min(left, CHECKED_BYTES))):
        checksum, left = zlib.crc32(data, checksum), left - len(data)
    if checksum != piece.checksum:
        raise ValueError("other bytes than were written")


def _state(paths: Iterable[str]) -> dict[str, str | None]:
    """Digests of files, None for those that are not there."""
    return {name: digest(Path(name)) if is_there(Path(name)) else None for name in sorted(paths)}


def _kept(path: Path, reader: Reader, options: Options) -> Iterator[Batch]:
    """Read the file, and keep what comes out once it has all come out."""
    before, mark, draft = path.stat(), mark_of(path), _Draft()
    try:
        with watched() as seen:
            for batch in reader.read(path, options):
                draft.add(batch)
                yield batch
        after = path.stat()
        if (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size):
            found = seen.digests.get(path.absolute())
            if mark is not None and found is not None:
                remember(path, mark, found)
            draft.finish(_entry(path, reader, options), seen.paths - {path, path.absolute()})
    finally:
        draft.discard()


class _Draft:
    """An entry in the making; a disk that is full ends it and not the reading."""

    def __init__(self) -> None:
        self._parts: list[Part] = []
        self._waiting: list[Batch] = []
        self._size = 0.0
        self._file: IO[bytes] | None = None
        folder = cache_folder() / LOGS
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            handle, self._name = tempfile.mkstemp(dir=folder, prefix=DRAFT)
            self._file = os.fdopen(handle, "wb")

    def add(self, batch: Batch) -> None:
        """Take a batch; several small ones become one part."""
        self._waiting.append(batch)
        self._size += sum(frame.estimated_size() for frame in batch[:3] if frame is not None)
        if self._size > FRAME_BYTES:
            self._write()

    def _write(self) -> None:
        waiting, self._waiting, self._size = self._waiting, [], 0.0
        if self._file is None or not waiting:
            return
        try:
            pieces = [piece for name in FRAMES for piece in self._piece(name, waiting, self._file)]
        except (OSError, pl.exceptions.PolarsError):
            self.discard()
            return
        findings = [dict(note) for batch in waiting for note in batch.findings]
        used = sorted({role for batch in waiting for role in batch.used})
        self._parts.append(Part(pieces, findings, used))

    def _piece(self, name: str, batches: Iterable[Batch], file: IO[bytes]) -> Iterator[Piece]:
        frames = [getattr(batch, name) for batch in batches]
        if held := [frame for frame in frames if frame is not None]:
            whole = _packed(held, FRAMES[name])
            alike = {cells.name: cells[0] for cells in whole if _is_alike(cells)}
            start, summed = file.tell(), _Summed(file)
            whole.drop(alike).write_ipc_stream(cast(IO[bytes], summed))
            yield Piece(name, start, file.tell() - start, summed.checksum, whole.height, alike)

    def finish(self, place: Path, beside: set[Path]) -> None:
        """Put the entry into its place."""
        self._write()
        if self._file is None:
            return
        with suppress(OSError):
            data = msgspec.json.encode(Contents(self._parts, _state(map(str, beside))))
            self._file.write(data + _END.pack(zlib.crc32(data), len(data)))
            self._file.close()
            Path(self._name).replace(place)
            self._file = None
            evict(cache_folder(), place)

    def discard(self) -> None:
        """Remove an unfinished entry."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()
            with suppress(OSError):
                Path(self._name).unlink(missing_ok=True)


def _packed(frames: list[pl.DataFrame], table: type[Table]) -> pl.DataFrame:
    types = schema(table)
    whole = pl.concat(frames, how="diagonal_relaxed")
    return whole.select(pl.col(name).cast(types[name]) for name in whole.columns)


def _is_alike(cells: pl.Series) -> bool:
    """Whether all cells are null, or one text."""
    return cells.null_count() == len(cells) or (cells.dtype == pl.String and all_alike(cells))


class _Summed(RawIOBase):
    """A file that is written, and the CRC-32 of what was."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.checksum = file, 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.checksum = zlib.crc32(data, self.checksum)
        return self._file.write(data)
