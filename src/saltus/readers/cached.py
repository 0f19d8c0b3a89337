"""What was read of large files, kept as columns for the next time.

An entry belongs to the bytes of one file at one place, to its reader, the options, and the code
of this folder; it names the files beside it that the reader looked at or looked for, and holds
only while these are as they were. It is one zip file that appears whole or not at all. One that
is damaged, or holds other columns or types than the tables have, is as good as none.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from importlib.resources import files as package_files
from io import BytesIO
from pathlib import Path
from typing import Any

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
    short_hash,
)
from saltus.readers.files import is_there, watched
from saltus.readers.reader import Batch, Options, Reader
from saltus.tables import Models, Reported, Responses, Stops, Table, schema

FRAME_BYTES = 4 << 20
"""Rows are gathered until they take this much memory: few large frames are read faster."""
CONTENTS = "contents"
FRAMES: Mapping[str, type[Table]] = {
    "models": Models, "responses": Responses, "reported": Reported, "stops": Stops,
}  # fmt: skip
DAMAGED = (
    OSError, ValueError, KeyError, zipfile.BadZipFile, msgspec.MsgspecError, NotImplementedError,
    pl.exceptions.PolarsError, pl.exceptions.PanicException,
)  # fmt: skip


class Part(msgspec.Struct):
    """One batch: which tables it has in the archive, and the rest of it."""

    tables: list[str]
    findings: list[dict[str, Any]]
    used: list[str]


class Contents(msgspec.Struct):
    """What an entry holds, and the digests of the files beside (None: it was not there)."""

    parts: list[Part]
    beside: dict[str, str | None]


_CONTENTS = msgspec.json.Decoder(Contents)


@lru_cache(maxsize=1)
def _code() -> str:
    """Digest of the readers themselves and of what they know: other code reads other rows."""
    whole = hashlib.sha256(f"{__version__} {pl.__version__}".encode())
    for file in sorted(package_files("saltus.readers").iterdir(), key=lambda entry: entry.name):
        if file.name.endswith((".py", ".csv", ".c")):
            whole.update(file.read_bytes())
    return whole.hexdigest()


def _entry(path: Path, reader: Reader, options: Options) -> Path:
    said = (sorted(options.columns.items()), options.task, options.model, options.keep_going)
    parts = [_code(), digest(path), str(path.absolute()), reader.name, said]
    return cache_folder() / LOGS / f"{short_hash(json.dumps(parts))}.zip"


def cached(path: Path, reader: Reader, options: Options) -> Iterator[Batch]:
    """The batches of a file: from the cache, or from its reader and into the cache.

    Raises:
        ReadError: what the reader raises; nothing is kept then.
    """
    ours = reader.read.__module__.startswith("saltus.readers.")  # a plug-in's code is not known
    if not ours or path.stat().st_size < SMALLEST:
        yield from reader.read(path, options)
        return
    place = _entry(path, reader, options)
    contents = _sound(place)
    if contents is None:
        yield from _kept(path, reader, options, place)
        return
    with suppress(OSError):
        os.utime(place)
    with zipfile.ZipFile(place) as archive:
        for number, part in enumerate(contents.parts):
            yield _batch(archive, number, part)


def _batch(archive: zipfile.ZipFile, number: int, part: Part) -> Batch:
    frames = {name: _frame(archive, number, name) for name in part.tables}
    return Batch(**frames, findings=tuple(part.findings), used=frozenset(part.used))


def _frame(archive: zipfile.ZipFile, number: int, name: str) -> pl.DataFrame:
    return pl.read_parquet(BytesIO(archive.read(f"{number}/{name}")))


def _sound(place: Path) -> Contents | None:
    """What an entry holds, where it is whole and the files beside are as they were."""
    try:
        with zipfile.ZipFile(place) as archive:
            if archive.testzip() is not None:
                return None
            contents = _CONTENTS.decode(archive.read(CONTENTS))
            for number, part in enumerate(contents.parts):
                for name in part.tables:
                    frame = BytesIO(archive.read(f"{number}/{name}"))
                    if not pl.read_parquet_schema(frame).items() <= schema(FRAMES[name]).items():
                        return None
        return contents if _state(contents.beside) == contents.beside else None
    except DAMAGED:
        return None


def _state(paths: Iterable[str]) -> dict[str, str | None]:
    """Digests of files, None for those that are not there."""
    return {name: digest(Path(name)) if is_there(Path(name)) else None for name in sorted(paths)}


def _kept(path: Path, reader: Reader, options: Options, place: Path) -> Iterator[Batch]:
    """Read the file, and keep what comes out once it has all come out."""
    before, draft = path.stat(), _Draft(place)
    try:
        with watched() as seen:
            for batch in reader.read(path, options):
                draft.add(batch)
                yield batch
        after = path.stat()
        if (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size):
            draft.finish(seen - {path, path.absolute()})
    finally:
        draft.discard()


class _Draft:
    """An entry in the making; a disk that is full ends it and not the reading.

    Args:
        place: where it will be.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self._parts: list[Part] = []
        self._waiting: list[Batch] = []
        self._size = 0.0
        self._archive: zipfile.ZipFile | None = None
        with suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=place.parent, prefix=DRAFT)
            os.close(handle)
            self._archive = zipfile.ZipFile(name, "w")

    def add(self, batch: Batch) -> None:
        """Take a batch; several small ones become one part."""
        self._waiting.append(batch)
        self._size += sum(frame.estimated_size() for frame in batch[:3] if frame is not None)
        if self._size > FRAME_BYTES:
            self._write()

    def _write(self) -> None:
        waiting, self._waiting, self._size = self._waiting, [], 0.0
        if self._archive is None or not waiting:
            return
        number, tables = len(self._parts), []
        try:
            for name, table in FRAMES.items():
                frames = [getattr(b, name) for b in waiting if getattr(b, name) is not None]
                if frames:
                    tables.append(name)
                    self._archive.writestr(f"{number}/{name}", _parquet(frames, table))
        except (OSError, pl.exceptions.PolarsError):
            self.discard()
        findings = [dict(note) for batch in waiting for note in batch.findings]
        used = sorted({role for batch in waiting for role in batch.used})
        self._parts.append(Part(tables, findings, used))

    def finish(self, beside: set[Path]) -> None:
        """Put the entry into its place."""
        self._write()
        archive, self._archive = self._archive, None
        if archive is None:
            return
        with suppress(OSError):
            contents = Contents(self._parts, _state(map(str, beside)))
            archive.writestr(CONTENTS, msgspec.json.encode(contents))
            archive.close()
            Path(str(archive.filename)).replace(self._place)
            evict(cache_folder(), self._place)

    def discard(self) -> None:
        """Remove an unfinished entry."""
        archive, self._archive = self._archive, None
        if archive is not None:
            with suppress(OSError):
                archive.close()
            with suppress(OSError):
                Path(str(archive.filename)).unlink(missing_ok=True)


def _parquet(frames: list[pl.DataFrame], table: type[Table]) -> bytes:
    types = schema(table)
    whole = pl.concat(frames, how="diagonal_relaxed")
    whole = whole.select(pl.col(name).cast(types[name]) for name in whole.columns)
    data = BytesIO()
    whole.write_parquet(data, compression="lz4", statistics=False)
    return data.getvalue()
