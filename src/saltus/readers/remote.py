"""Logs behind an address (http, https, s3, gs, ...): fetched, then read like any file.

Needs the extra `saltus[remote]`, or `saltus[s3]` for buckets of S3; each other kind of address
needs its own fsspec backend. Endpoint and keys are those that the backend finds by itself: for S3
the variables and files of the AWS tools.

A file that was fetched before is taken again only where the backend states a checksum, or time
and size, and these are as they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import msgspec

from saltus.readers.addresses import plain
from saltus.readers.cache import DRAFT, REMOTE, cache_folder, evict, hold, release, short_hash
from saltus.readers.download import (
    Kept,
    Left,
    Progress,
    check_sizes,
    download,
    draft_in,
    faults_told,
    silent,
    unchanged,
)
from saltus.readers.files import bringers
from saltus.readers.listing import Behind, Info, Remote, behind
from saltus.readers.places import places
from saltus.readers.web_index import HTML

AT_ONCE = 8
"""Files that are fetched at the same time."""
ABSENT = (403, 404, 410)
"""What servers say of files that are not there."""
RECORD = ".fetched.json"
_RECORD = msgspec.json.Decoder(dict[str, Kept])


@dataclass(frozen=True)
class Fetched:
    """One file that was behind an address.

    Args:
        path: where it lies now.
        address: as it may be told.
        listed: the argument names this very file.
    """

    path: Path
    address: str
    listed: bool


def fetch(address: str, *, anew: bool = False, progress: Progress = silent) -> list[Fetched]:
    """The files behind an address, of a file, a folder or a pattern.

    Args:
        address: of a folder it ends in `/`, which in stores may be left out.
        anew: also those that were fetched before and have not changed.
        progress: told the share of the bytes that has come, None where it is not known.

    Raises:
        SaltusError: the extra is not installed, or the address is of a kind that is not read.
        ReadError: there is nothing, it cannot be fetched, or it is more than is read.
    """
    with faults_told(address):
        found = behind(address)
        check_sizes(found.files, address)
        folder = cache_folder().absolute() / REMOTE / short_hash(address)
        names = places([file.parts for file in found.files])
        _prune(folder, names)
        _fetch_all(found, folder, names, {} if anew else _record(folder), progress)
    files = [folder / name for name in names]
    hold(files)
    evict(cache_folder(), files[-1])
    if not found.whole:
        _remember(found, folder, files)
    where = zip(files, found.files, strict=True)
    return [Fetched(path, file.address, found.listed) for path, file in where]


def forget() -> None:
    """What was fetched before is read no more: it may go when the cache is full."""
    release()
    _folders.clear()
    _absent.clear()


def _prune(folder: Path, names: Sequence[str]) -> None:
    """Remove what was fetched before and is behind the address no longer."""
    wanted = {folder / name for name in names} | {folder / RECORD}
    for old in sorted(folder.rglob("*"), reverse=True):  # what is in a folder comes before it
        if old.is_dir():
            with suppress(OSError):  # it is not empty
                old.rmdir()
        elif old not in wanted and not old.name.startswith(DRAFT):
            old.unlink(missing_ok=True)


def _record(folder: Path) -> dict[str, Kept]:
    try:
        return _RECORD.decode((folder / RECORD).read_bytes())
    except (OSError, msgspec.MsgspecError):
        return {}


def _fetch_all(
    found: Behind,
    folder: Path,
    names: Sequence[str],
    known: dict[str, Kept],
    progress: Progress,
) -> None:
    """Fetch what is not there yet; what arrived before a fault need not come again."""
    sizes = [file.size for file in found.files]
    done, left = (
        dict[str, Kept](),
        Left(None if None in sizes else sum(filter(None, sizes)), progress),
    )

    def one(file: Remote, name: str) -> None:
        with faults_told(file.address):
            kept = known.get(name)
            if kept is None or not unchanged(kept, folder / name, found, file):
                kept = download(found, file, folder / name, folder, left)
            if kept.mark:
                done[name] = kept

    folder.mkdir(parents=True, exist_ok=True)
    pool = ThreadPoolExecutor(min(AT_ONCE, len(names)))
    try:
        jobs = [pool.submit(one, *pair) for pair in zip(found.files, names, strict=True)]
        wait(jobs, return_when=FIRST_EXCEPTION)
        for job in filter(Future.done, jobs):
            job.result()
        left.finish()
    except BaseException:
        left.end()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        if done:
            with draft_in(folder) as (target, draft):
                target.write(msgspec.json.encode(done))
                target.close()
                draft.replace(folder / RECORD)


_folders: dict[Path, tuple[Behind, str, str]] = {}
"""Where a folder that was fetched in part is from: its backend, key and address."""
_absent: set[Path] = set()


def _remember(found: Behind, folder: Path, files: Sequence[Path]) -> None:
    for path, file in zip(files, found.files, strict=True):
        if plain(file.key)[1] and found.web:
            continue  # a signature holds for one file
        key, address = file.key, file.address
        for above in path.relative_to(folder).parents[:-1]:
            key, address = key.rpartition("/")[0], address.rpartition("/")[0]
            _folders.setdefault(folder / above, (found, key, address))


def _bring(path: Path) -> bool:
    """Fetch a file that a reader looks for beside a log of which the address named no more."""
    above = next((folder for folder in path.parents if folder in _folders), None)
    if above is None or path in _absent:
        return False
    found, key, address = _folders[above]
    below = path.relative_to(above)
    if ".." in below.parts:
        return False
    name = quote(below.as_posix()) if found.web else below.as_posix()
    file = Remote(f"{key}/{name}", (), f"{address}/{name}")
    with faults_told(file.address):
        try:
            if _is_file(found, file):
                download(found, file, path, path.parents[len(below.parts) - 1], Left(None))
        except Exception as fault:
            if not _is_absence(fault):
                raise
    hold([path])
    if not path.is_file():
        _absent.add(path)
    return path.is_file()


def _is_file(found: Behind, file: Remote) -> bool:
    """Whether it is there; a page instead of a file says that it is not."""
    info: Info = found.backend.info(file.key)
    return info.get("type") == "file" and info.get("mimetype") != HTML


def _is_absence(fault: Exception) -> bool:
    """Whether a file is not there; one that cannot be had just now is another matter.

    Stores that may not be listed forbid what they do not have. For fsspec's http whatever goes
    wrong is a file that is not found, and the cause says what it was.
    """
    status = getattr(fault.__cause__ or fault, "status", None)
    if status is not None or fault.__cause__ is not None:
        return status in ABSENT
    return isinstance(fault, FileNotFoundError | PermissionError)


bringers.append(_bring)
