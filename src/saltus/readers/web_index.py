"""The index page that a web server gives for a folder, and streams of what it answers.

Pages are not trusted: a link is followed only to a child of the page's folder, on the same server.
"""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from saltus.errors import ReadError
from saltus.readers.addresses import shown

HTML = "text/html"
INDEX_BYTES = 8 << 20


class NoIndexError(ReadError):
    """What a server gives for a folder is no page."""


def open_web(backend: Any, address: str) -> Any:
    """A stream of what a server answers.

    Raises:
        ReadError: it redirects where that is not followed.
    """
    stream = backend.open(address, "rb", block_size=0, size=1)  # the size spares one request
    if 300 <= stream.r.status < 400:
        target = shown(urljoin(address, stream.r.headers.get("Location", "")))
        stream.close()
        raise ReadError(f"is redirected to {target:.200}, which is not followed", shown(address))
    return stream


def links(backend: Any, folder: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    """The children that the index page of a folder links to."""
    with open_web(backend, folder) as stream:
        if stream.r.content_type != HTML:
            raise NoIndexError("is no index page of a folder", shown(folder))
        data = b""
        while len(data) <= INDEX_BYTES and (chunk := stream.read(1 << 20)):
            data += chunk
    if len(data) > INDEX_BYTES:
        raise ReadError(f"the index is larger than {INDEX_BYTES >> 20} MB", shown(folder))
    parser = _Anchors()
    parser.feed(data.decode("utf-8", errors="replace"))
    seen = set[str]()
    for link in parser.links:
        child = _child(folder, link)
        if child is not None and child[0] not in seen:
            seen.add(child[0])
            kind = "directory" if child[1].endswith("/") else "file"
            yield *child, {"type": kind}


class _Anchors(HTMLParser):
    """The targets of a page's links."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep where a link leads."""
        self.links += [value for name, value in attrs if (tag, name) == ("a", "href") and value]


def _child(folder: str, link: str) -> tuple[str, str] | None:
    """Name and address of a link's target, where that is a child of the folder and no other."""
    try:
        here, there = urlsplit(folder), urlsplit(urljoin(folder, link.strip()))
        same = (here.scheme, here.hostname, here.port) == (there.scheme, there.hostname, there.port)
    except ValueError:
        return None
    rest = there.path.removeprefix(here.path)
    name = unquote(rest.rstrip("/"))
    below = there.path.startswith(here.path) and name and "/" not in name
    if not (same and below) or there.query or name in (".", ".."):
        return None
    return name, folder + rest
