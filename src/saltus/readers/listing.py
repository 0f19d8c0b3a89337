"""What lies behind an address: one file, the files of a folder, or those that have a pattern.

Listings are not trusted: what they hold is counted before it is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from saltus.errors import ReadError, SaltusError
from saltus.readers.addresses import (
    WEB,
    leads,
    matches,
    pattern_of,
    plain,
    scheme_of,
    shown,
)
from saltus.readers.web_index import NoIndexError, links

FILES = 10_000
LISTED = 100_000
"""Entries of a listing that are looked at, taken or not."""
DEPTH = 32
SECONDS = 60
CHECKSUMS = ("ETag", "etag", "md5Hash", "blob_id", "xet_hash")
"""What backends state that changes with the bytes."""

Info = Mapping[str, Any]


class Remote(NamedTuple):
    """One file behind an address.

    Args:
        key: its name for the backend.
        parts: names of its folders, from the host or bucket, and its own.
        address: as it may be told.
        size: bytes, where the listing says so.
        mark: what changes with its bytes; None: nothing does.
    """

    key: str
    parts: tuple[str, ...]
    address: str
    size: int | None = None
    mark: str | None = None


class Behind(NamedTuple):
    """What lies behind an address.

    Args:
        backend: the file system of fsspec.
        files: in the order in which a local folder is read.
        listed: the address names this very file.
        web: it is behind a server of http.
        whole: all files of a folder, so that nothing else lies beside them.
    """

    backend: Any
    files: list[Remote]
    listed: bool
    web: bool
    whole: bool


def behind(address: str) -> Behind:
    """List what an address names.

    Raises:
        SaltusError: the extra is not installed, or the address is of a kind that is not read.
        ReadError: there is nothing, or more than is read.
    """
    web = scheme_of(address) in WEB
    found = _behind_web(address) if web else _behind_store(address)
    if not found.files:
        raise ReadError("no file lies behind this address", shown(address))
    return found._replace(files=sorted(found.files, key=_order))


def mark_of(info: Info, size: int | None) -> str | None:
    """What changes with a file's bytes, of what a backend says about it.

    A weak ETag does not: it counts only with the time of the last change.
    """
    for name in CHECKSUMS:
        value = info.get(name)
        if value and not str(value).startswith("W/"):
            return f"{name} {value} {size}"
    changed = info.get("Last-Modified")
    return f"changed {changed} {size}" if changed and size is not None else None


def backend_of(address: str, *, redirected: bool = True) -> tuple[Any, str]:
    """The file system that serves an address, and the address's name in it."""
    fsspec = _fsspec()
    if (scheme := scheme_of(address)) in WEB:
        limits = {"total": None, "sock_connect": SECONDS, "sock_read": SECONDS}
        timeout = import_module("aiohttp").ClientTimeout(**limits)
        options = {
            "client_kwargs": {"timeout": timeout},
            "headers": {"Accept-Encoding": "identity"},  # so that the length can be checked
            "allow_redirects": redirected,
        }
        return fsspec.filesystem(scheme, **options), address
    backend, key = fsspec.core.url_to_fs(address)
    backend.invalidate_cache()  # of listings: what was there a while ago may be gone
    return backend, key


def _fsspec() -> Any:
    try:
        return import_module("fsspec")
    except ImportError:
        raise SaltusError(
            "addresses need an extra: pip install 'saltus[remote]', for s3:// 'saltus[s3]'"
        ) from None


def _order(file: Remote) -> tuple[tuple[bool, str], ...]:
    """A folder's files come before its folders, both by name."""
    *folders, name = file.parts
    return (*((True, folder) for folder in folders), (False, name))


def _parts(address: str) -> tuple[str, ...]:
    scheme, _, path = shown(plain(address)[0]).partition("://")
    host, _, path = path.partition("/")
    if scheme.lower() in WEB:
        host, path = urlsplit(f"//{host}").hostname or "", unquote(path)
    return tuple(part for part in (host, *path.split("/")) if part)


def _behind_store(address: str) -> Behind:
    backend, key = backend_of(address)
    info = None if address.endswith("/") else _info(backend, key)
    if info is not None and info.get("type") != "directory":
        one = Remote(key, _parts(address), shown(address), info.get("size"))
        return Behind(backend, [one._replace(mark=mark_of(info, one.size))], True, False, False)
    root, patterns = (address, []) if info is not None else pattern_of(address)
    if info is None and not patterns and not address.endswith("/"):
        raise ReadError("cannot be fetched (not found)", shown(address))
    _, key = backend_of(root)
    key, found = key.rstrip("/"), _Found(root, patterns)
    if scheme_of(address) == "s3":
        found.take(_objects(backend, key, patterns[0] if patterns else ""), address)
    else:
        found.take(_walk(_entries(backend), key, patterns), address)
    return Behind(backend, found.files, False, False, not patterns)


def _info(backend: Any, key: str) -> Info | None:
    try:
        info: Info = backend.info(key)
    except FileNotFoundError:
        return None
    return info


Entry = tuple[tuple[str, ...], str, Info]
"""Names below the folder, the backend's own name, and what it says about it."""


class _Found:
    """The files that were found below a folder.

    Args:
        root: address of the folder.
        patterns: which files are meant; all, where there are none.
    """

    def __init__(self, root: str, patterns: list[str]) -> None:
        self.files: list[Remote] = []
        self._above, self._patterns = _parts(root), patterns
        self._web = scheme_of(root) in WEB
        self._root = root.rstrip("/")

    def take(self, entries: Iterable[Entry], address: str) -> None:
        """Take entries as far as they are meant, and not too many."""
        for count, (parts, key, info) in enumerate(entries, 1):
            if count > LISTED:
                _refuse(f"more than {LISTED:,} files and folders lie", address)
            if len(parts) > DEPTH:
                _refuse(f"folders lie more than {DEPTH} deep", address)
            hidden = any(part.startswith(".") for part in parts)
            if hidden or info.get("type") == "directory" or not matches(parts, self._patterns):
                continue
            if len(self.files) == FILES:
                _refuse(f"more than {FILES:,} files lie", address)
            size = info.get("size")
            place = shown(key if self._web else f"{self._root}/{'/'.join(parts)}")
            file = Remote(key, (*self._above, *parts), place, size, mark_of(info, size))
            self.files.append(file)


def _refuse(what: str, address: str) -> None:
    mend = "name a folder further down, or a pattern such as .../**/results_*.json"
    raise ReadError(f"{what} behind this address; {mend}", shown(address))


def _walk(
    list_of: Callable[[str], Iterable[tuple[str, str, Info]]], root: str, patterns: list[str]
) -> Iterator[Entry]:
    """Every file and folder below one, folders that no pattern leads through left out."""
    waiting: list[tuple[tuple[str, ...], str]] = [((), root)]
    while waiting:
        above, folder = waiting.pop()
        for name, key, info in list_of(folder):
            parts = (*above, name)
            yield parts, key, info
            if info["type"] == "directory" and not name.startswith(".") and leads(parts, patterns):
                waiting.append((parts, key))


def _entries(backend: Any) -> Callable[[str], Iterator[tuple[str, str, Info]]]:
    def listed(folder: str) -> Iterator[tuple[str, str, Info]]:
        for info in backend.ls(folder, detail=True):
            key = info["name"].rstrip("/")
            if key.strip("/") != folder.strip("/"):
                yield key.rpartition("/")[2], key, info

    return listed


def _objects(backend: Any, folder: str, pattern: str) -> Iterator[Entry]:
    """The objects of a bucket below a prefix, page by page, so that it ends with the reader."""
    bucket, key, _ = backend.split_path(folder)
    above = f"{key}/" if key else ""
    stem = pattern.partition("*")[0].partition("?")[0].partition("[")[0]
    request = {"Bucket": bucket, "Prefix": above + stem, **backend.req_kw}
    while True:
        page = backend.call_s3("list_objects_v2", **request)
        for entry in page.get("Contents", ()):
            name = entry["Key"]
            if not name.startswith(above):
                raise ReadError(
                    f"the store lists {name!r:.200}, which lies elsewhere", f"s3://{folder}"
                )
            info = {"type": "directory" if name.endswith("/") else "file", "size": entry["Size"]}
            parts = tuple(name.removeprefix(above).rstrip("/").split("/"))
            yield parts, f"{bucket}/{name}", {**info, "ETag": entry.get("ETag")}
        request["ContinuationToken"] = page.get("NextContinuationToken")
        if not page.get("IsTruncated") or not request["ContinuationToken"]:
            return
        yield (".page",), "", {"type": "directory"}  # pages without end count too


def _behind_web(address: str) -> Behind:
    bare, query = plain(address)
    root, patterns = pattern_of(bare)
    if patterns or (root.endswith("/") and not query):
        backend, _ = backend_of(root, redirected=False)
        found = _Found(root, patterns)
        try:
            found.take(_walk(lambda folder: links(backend, folder), root, patterns), address)
            return Behind(backend, found.files, False, True, not patterns)
        except NoIndexError as fault:
            if patterns or fault.path != shown(root):
                raise
    backend, key = backend_of(address)
    return Behind(backend, [Remote(key, _parts(bare), shown(address))], True, True, False)
