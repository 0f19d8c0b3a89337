"""Addresses, and how they are told: without user names, passwords and signed queries."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from saltus.errors import SaltusError

ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
WEB = ("http", "https")
SCHEMES = (*WEB, "s3", "gs", "gcs", "az", "abfs", "hf", "memory")
"""Addresses that are fetched; others, such as shell-like chains of fsspec, are refused."""
_INSIDE = re.compile(rf"{ADDRESS.pattern}[^\s'\"<>]+", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_QUERY = re.compile(r"\?[\w.~-]+=")


def is_address(argument: str) -> bool:
    """Whether an argument is an address and not a path."""
    return bool(ADDRESS.match(argument))


def scheme_of(address: str) -> str:
    """The kind of an address.

    Raises:
        SaltusError: it is of a kind that is not read.
    """
    scheme = address.partition("://")[0].lower()
    if scheme not in SCHEMES or (scheme not in WEB and "::" in address):
        raise SaltusError(f"{shown(address)}: only {', '.join(SCHEMES)} addresses are read")
    return scheme


def plain(address: str) -> tuple[str, str]:
    """An address without its query and fragment, and these.

    In a bucket a question mark is part of a pattern, unless `name=` follows it.
    """
    if address.partition("://")[0].lower() in WEB:
        place = re.search(r"[?#]", address)
    else:
        place = _QUERY.search(address)
    return (address[: place.start()], address[place.start() :]) if place else (address, "")


def shown(address: str) -> str:
    """An address as it may be told: no user name, password, query, fragment or control sign."""
    bare, query = plain(address)
    scheme, _, rest = bare.partition("://")
    host, slash, path = rest.partition("/")
    user, at, server = host.rpartition("@")
    if at and (scheme.lower() in WEB or ":" in user):  # abfs://container@account is no user
        host = server
    return _CONTROL.sub("\ufffd", f"{scheme}://{host}{slash}{path}{'?...' if query else ''}")


def hushed(text: str) -> str:
    """A text with every address in it as it may be told."""
    return _INSIDE.sub(lambda found: shown(found.group()), text)


def told(argument: str) -> str:
    """An argument of the command line, `ADDRESS` or `NAME=ADDRESS`, as it may be told."""
    place = ADDRESS.search(argument)
    return argument[: place.start()] + shown(argument[place.start() :]) if place else argument


def pattern_of(address: str) -> tuple[str, list[str]]:
    """The folder before the first part of an address that is a pattern, and the parts from there.

    Of http only `*` is a pattern, because the other signs are common there.
    """
    scheme, mark, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    magic = re.compile(r"\*" if scheme.lower() in WEB else r"[*?\[]")
    parts = path.split("/")
    first = next((n for n, part in enumerate(parts) if magic.search(part)), None)
    if first is None:
        return address, []
    folder = "".join(f"{part}/" for part in parts[:first])
    return f"{scheme}{mark}{host}{slash}{folder}", [part for part in parts[first:] if part]


def matches(parts: tuple[str, ...], patterns: list[str]) -> bool:
    """Whether a file is meant: it, or a folder that it lies in, has the pattern."""
    if not patterns or not parts:
        return not patterns
    if patterns[0] == "**":
        return matches(parts, patterns[1:]) or matches(parts[1:], patterns)
    return fnmatchcase(parts[0], patterns[0]) and matches(parts[1:], patterns[1:])


def leads(parts: tuple[str, ...], patterns: list[str]) -> bool:
    """Whether something in a folder can have the pattern."""
    if not patterns or not parts or patterns[0] == "**":
        return True
    return fnmatchcase(parts[0], patterns[0]) and leads(parts[1:], patterns[1:])
