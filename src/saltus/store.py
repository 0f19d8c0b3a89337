"""An audit folder: Parquet tables and a manifest, changed as a whole or not at all.

A change is made in a hidden draft beside the folder, which starts as hard links to what is
there; when it is complete, draft and folder change places in one system call. A killed run
leaves the old folder or the new one, and at worst a draft that the next run removes.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from platform import python_version
from typing import Any

import polars as pl

from saltus import __version__
from saltus.errors import StoreError
from saltus.tables import TABLES, Table, conform, empty, schema

MANIFEST = "manifest.json"
FORMAT = 1  # of the folder: raised when a reader of old folders would be misled
_BY_NAME = {table.name: table for table in TABLES}


def sha256(path: Path) -> str:
    """Hash of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_audit(folder: Path) -> bool:
    """Whether the folder is one that Saltus wrote."""
    return (folder / MANIFEST).is_file()


def load_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of an audit folder.

    Raises:
        StoreError: the folder is not an audit folder, or is one of a later format.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StoreError(
            f"{folder} is not an audit folder (it has no {MANIFEST}); "
            "make one with `saltus read LOGS --out DIR` or `saltus audit LOGS --out DIR`"
        ) from None
    except (ValueError, OSError) as fault:
        raise StoreError(f"{folder / MANIFEST} cannot be read: {fault}") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise StoreError(f"{folder} was written by another version of Saltus; audit the logs again")
    return manifest


def has(folder: Path, table: type[Table]) -> bool:
    """Whether the folder holds this table."""
    return (folder / f"{table.name}.parquet").is_file()


def scan(folder: Path, table: type[Table]) -> pl.LazyFrame:
    """A table of the folder, read when collected.

    Raises:
        StoreError: the folder has no such table yet.
    """
    path = folder / f"{table.name}.parquet"
    if not path.is_file():
        raise StoreError(f"{folder} has no table {table.name!r} yet; run the verb that makes it")
    return pl.scan_parquet(path)


def load(folder: Path, table: type[Table]) -> pl.DataFrame:
    """A whole table of the folder, or an empty one where the folder has none."""
    return scan(folder, table).collect() if has(folder, table) else empty(table)


def height(folder: Path, table: type[Table]) -> int:
    """Rows of a table of the folder, 0 where the folder has none."""
    counted = scan(folder, table).select(pl.len()).collect() if has(folder, table) else None
    return 0 if counted is None else int(counted.item())


class TableWriter:
    """Appends batches to tables of a draft; memory stays that of one batch.

    Each batch becomes a part file; `close` joins the parts of a table into one Parquet file
    by streaming and removes them.
    """

    def __init__(self, draft: Path) -> None:
        self._draft = draft
        self._parts: dict[str, int] = {}

    def write(self, table: type[Table], frame: pl.DataFrame) -> None:
        """Append rows to a table; they must fit its schema."""
        count = self._parts.get(table.name, 0)
        folder = self._draft / f".{table.name}"
        folder.mkdir(exist_ok=True)
        conform(frame, table).write_parquet(folder / f"{count:06d}.parquet")
        self._parts[table.name] = count + 1

    def close(self, *tables: type[Table]) -> None:
        """Join the parts; the named tables exist afterwards even without rows."""
        for table in {*tables, *(_BY_NAME[name] for name in self._parts)}:
            self._join(table)
        self._parts.clear()

    def _join(self, table: type[Table]) -> None:
        target = self._draft / f"{table.name}.parquet"
        target.unlink(missing_ok=True)  # it may be a link to the old folder's file
        parts = self._draft / f".{table.name}"
        if not parts.is_dir():
            empty(table).write_parquet(target)
            return
        frames = pl.scan_parquet(sorted(parts.iterdir()), schema=schema(table))
        frames.sink_parquet(target, row_group_size=50_000)
        shutil.rmtree(parts)


def _exchange(draft: Path, folder: Path) -> None:
    """Let two folders change places, atomically where the system can (Linux renameat2)."""
    if sys.platform == "linux":
        at_here, exchange = -100, 2
        libc = ctypes.CDLL(None, use_errno=True)
        if hasattr(libc, "renameat2"):
            names = os.fsencode(draft), os.fsencode(folder)
            if libc.renameat2(at_here, names[0], at_here, names[1], exchange) == 0:
                return
    aside = draft.with_name(draft.name + "-old")
    folder.rename(aside)
    draft.rename(folder)
    aside.rename(draft)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target)


def _check_target(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{folder} is a file; name a folder for the audit")
    if folder.is_dir() and any(folder.iterdir()) and not is_audit(folder):
        raise StoreError(
            f"{folder} is not empty and is no audit folder; name another one, nothing was written"
        )


@contextmanager
def draft_of(folder: Path) -> Iterator[Path]:
    """A draft of the folder that takes its place when the block ends without an error.

    Raises:
        StoreError: the folder holds something that Saltus did not write.
    """
    folder = folder.absolute()
    _check_target(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    for stale in folder.parent.glob(f".{folder.name}.draft*"):
        if not _alive(stale):
            shutil.rmtree(stale, ignore_errors=True)
    draft = folder.with_name(f".{folder.name}.draft-{os.getpid()}")
    if folder.is_dir():
        shutil.copytree(folder, draft, copy_function=_link_or_copy)
    else:
        draft.mkdir()
    try:
        yield draft
        if folder.is_dir():
            _exchange(draft, folder)
        else:
            draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _alive(draft: Path) -> bool:
    """Whether the process that made a draft still runs; when in doubt, yes."""
    digits = draft.name.rpartition("draft-")[2].removesuffix("-old")
    if not digits.isdigit():
        return True
    try:
        os.kill(int(digits), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return int(digits) != os.getpid()


def read_text(path: Path, most: int) -> str:
    """The text of a file of at most so many bytes.

    Raises:
        StoreError: it is larger, cannot be read, or is no UTF-8.
    """
    try:
        if path.stat().st_size > most:
            raise StoreError(f"{path} has more than {most:,} bytes; that is no file of this kind")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise StoreError(f"{path} cannot be read: {fault}") from None


def write_parquet(path: Path, frame: pl.DataFrame) -> None:
    """Write a table beside its place and move it there, so that it is never half written."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    frame.write_parquet(aside)
    aside.replace(path)


def write_text(path: Path, text: str) -> None:
    """Write a file of a draft anew, never through a link into the old folder."""
    path.unlink(missing_ok=True)
    path.write_text(text, encoding="utf-8")


def discard(draft: Path, *names: str) -> None:
    """Remove files and folders of a draft before they are written anew, links included."""
    for path in (draft / name for name in names):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def new_manifest() -> dict[str, Any]:
    """The manifest of a folder that is about to be made."""
    return {
        "format": FORMAT,
        "saltus": __version__,
        "python": python_version(),
        "polars": pl.__version__,
        "command": "",
        "seed": 0,
        "inputs": [],
        "stages": {},
    }


def save_manifest(draft: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest, sorted and indented so that two of them can be compared."""
    text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_text(draft / MANIFEST, text + "\n")


def stamp(folder: Path, reads: tuple[type[Table], ...], options: Mapping[str, Any]) -> str:
    """What decides the result of a verb: its version, its options and the tables it reads."""
    parts = {
        "saltus": __version__,
        "options": dict(options),
        "tables": {
            table.name: sha256(folder / f"{table.name}.parquet")
            for table in reads
            if has(folder, table)
        },
    }
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def run_stage(
    draft: Path,
    manifest: dict[str, Any],
    verb: str,
    reads: tuple[type[Table], ...],
    options: Mapping[str, Any] | Callable[[], Mapping[str, Any]],
    make: Callable[[TableWriter], None],
    writes: tuple[type[Table], ...],
) -> bool:
    """Run one verb on a draft unless it was run on the same tables with the same options.

    Args:
        draft: folder to work in.
        manifest: its manifest; the stage's record is put into it.
        verb: name of the stage.
        reads: tables that decide its result.
        options: arguments that decide its result; or what gives them, which is asked after the
            work where nothing was there to compare them with.
        make: does the work.
        writes: tables that exist afterwards.

    Returns:
        Whether the work was done (False: the folder already held its result).
    """
    stage = manifest["stages"].get(verb)
    if stage and callable(options):
        options = options()
    mark = "" if callable(options) else stamp(draft, reads, options)
    if stage and stage["stamp"] == mark and all(has(draft, table) for table in writes):
        return False
    writer = TableWriter(draft)
    make(writer)
    writer.close(*writes)
    if callable(options):
        options = options()
        mark = stamp(draft, reads, options)
    manifest["stages"][verb] = {
        "stamp": mark,
        "options": dict(options),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows": {
            table.name: scan(draft, table).select(pl.len()).collect().item() for table in writes
        },
    }
    return True
