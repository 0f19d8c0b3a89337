"""Zip archives within bounds: members are read in memory, one by one; nothing is extracted.

Python's `zipfile` knows zstd members (method 93) only from 3.14 on. The table of contents is
parsed here, with every number checked, and a member is what its size and CRC say it is, or an
error.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from saltus.errors import ReadError
from saltus.readers.files import DECOMPRESSED_BYTES, DOCUMENT_BYTES, opened

MAGIC = b"PK\x03\x04"
MEMBERS = 1_000_000
RATIO = 250
"""Largest decompressed size of a whole archive, as a multiple of its own size."""
SMALL_BYTES = 1 << 30
"""An archive may always grow to this size, whatever the multiple."""
STORED, DEFLATE, ZSTD = 0, 8, 93
SHOWN_NAME = 200

_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF


@dataclass(frozen=True)
class Member:
    """One file in an archive, as the table of contents states it.

    Args:
        name: its path in the archive; never used as a path on the disk.
        flags: general purpose bits; bit 0 means encrypted.
        method: 0 stored, 8 deflate, 93 zstd.
        crc: CRC-32 of the decompressed bytes.
        packed: compressed size in bytes.
        size: decompressed size in bytes.
        offset: of its local header.
    """

    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int


def place(path: Path, member: str) -> Path:
    """`archive:member` for messages, with control characters escaped and long names cut."""
    shown = member.encode("unicode_escape").decode()
    return Path(f"{path}:{shown[:SHOWN_NAME]}")


class Archive:
    """An open archive.

    Args:
        path: the file.
        stream: the file, open.
        members: by name; of a name that is there twice, the last.
        budget: bytes that may still be decompressed.
    """

    def __init__(
        self, path: Path, stream: IO[bytes], members: Mapping[str, Member], budget: int
    ) -> None:
        self.path, self.members = path, members
        self._stream, self._budget = stream, budget

    def read(self, name: str) -> bytes:
        """A member's bytes.

        Raises:
            ReadError: too large, damaged, cut short, encrypted, or of an unknown method.
        """
        member = self.members[name]
        at = place(self.path, name)
        if member.flags & 1:
            raise ReadError("the member is encrypted", at)
        if max(member.size, member.packed) > DOCUMENT_BYTES:
            raise ReadError(f"the member is larger than {DOCUMENT_BYTES >> 20} MB", at)
        self._budget -= member.size
        if self._budget < 0:
            raise ReadError("the archive grows beyond all measure when decompressed", at)
        data = _decompressed(self._packed(member, at), member, at)
        if len(data) != member.size:
            raise ReadError(f"{member.size} bytes were announced, not what is there", at)
        if zlib.crc32(data) != member.crc:
            raise ReadError("the member is damaged (CRC); fetch the file again", at)
        return data

    def _packed(self, member: Member, at: Path) -> bytes:
        self._stream.seek(member.offset)
        local = self._stream.read(_LOCAL.size)
        if len(local) < _LOCAL.size or local[:4] != MAGIC:
            raise ReadError("the archive is damaged: no member where one should be", at)
        *_, name_length, extra_length = _LOCAL.unpack(local)
        name = self._stream.read(name_length).decode("utf-8", errors="replace")
        if name != member.name:
            raise ReadError("the archive is damaged: another member is where it should be", at)
        self._stream.seek(extra_length, 1)
        data = self._stream.read(member.packed)
        if len(data) < member.packed:
            raise ReadError("the archive is cut short", at)
        return data


def _decompressed(data: bytes, member: Member, at: Path) -> bytes:
    """At most one byte more than announced, so that a lie shows and costs nothing."""
    if member.method == STORED:
        return data
    try:
        if member.method == DEFLATE:
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, member.size + 1)
        if member.method == ZSTD:
            return _unzstd(data, member.size + 1)
    except zlib.error as fault:
        raise ReadError(f"the member is damaged ({fault}); fetch the file again", at) from None
    except (ValueError, MemoryError) as fault:
        raise ReadError(f"the member is damaged ({fault})", at) from None
    raise ReadError(f"compression method {member.method} is not read; deflate and zstd are", at)


def _unzstd(data: bytes, most: int) -> bytes:
    import zstandard  # only here, so that nobody else pays for its import

    decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 27)
    try:
        with decompressor.stream_reader(data, read_across_frames=True) as reader:
            return reader.read(most)
    except zstandard.ZstdError as fault:
        raise ValueError(str(fault)) from None


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """A zip file and its table of contents.

    Raises:
        ReadError: no zip file, cut short, or with more members than anyone needs.
    """
    size = path.stat().st_size
    budget = min(DECOMPRESSED_BYTES, max(SMALL_BYTES, RATIO * size))
    with opened(path) as (stream, _):
        table, count = _table(path, stream, size)
        yield Archive(path, stream, _members(path, table, count), budget)


def _table(path: Path, stream: IO[bytes], size: int) -> tuple[bytes, int]:
    """The bytes of the table of contents, and how many members it has."""
    start = max(0, size - _END.size - _FULL16)
    stream.seek(start)
    tail = stream.read()
    found = tail.rfind(b"PK\x05\x06")
    if found < 0 or len(tail) - found < _END.size:
        raise ReadError("the zip has no table of contents; it was cut short or never closed", path)
    _, _, _, _, count, length, offset, _ = _END.unpack_from(tail, found)
    end = start + found
    if count == _FULL16 or _FULL32 in (length, offset):
        count, length, offset = _zip64(path, stream, end) or (count, length, offset)
    if count > MEMBERS:
        raise ReadError(f"the zip has more than {MEMBERS} members", path)
    if offset + length > end or length < count * _ENTRY.size:
        raise ReadError("the zip's table of contents is damaged", path)
    stream.seek(offset)
    return stream.read(length), count


def _zip64(path: Path, stream: IO[bytes], end: int) -> tuple[int, int, int] | None:
    """Count, length and offset from the long form of the end record, where there is one."""
    if end < _LOCATOR.size:
        return None
    stream.seek(end - _LOCATOR.size)
    mark, _, offset, _ = _LOCATOR.unpack(stream.read(_LOCATOR.size))
    if mark != b"PK\x06\x07":
        return None
    record = b""
    if offset + _END64.size <= end:
        stream.seek(offset)
        record = stream.read(_END64.size)
    if len(record) < _END64.size or record[:4] != b"PK\x06\x06":
        raise ReadError("the zip's table of contents is damaged", path)
    *_, count, length, start = _END64.unpack(record)
    return count, length, start


def _members(path: Path, table: bytes, count: int) -> dict[str, Member]:
    members: dict[str, Member] = {}
    position = 0
    for _ in range(count):
        if position + _ENTRY.size > len(table) or table[position : position + 4] != b"PK\x01\x02":
            raise ReadError("the zip's table of contents is damaged", path)
        fields = _ENTRY.unpack_from(table, position)
        _, _, _, flags, method, _, _, crc, packed, size, names, extras, notes = fields[:13]
        position += _ENTRY.size
        name = table[position : position + names].decode("utf-8", errors="replace")
        extra = table[position + names : position + names + extras]
        sizes = _long_sizes(extra, size, packed, fields[-1])
        position += names + extras + notes
        members[name] = Member(name, flags, method, crc, sizes[1], sizes[0], sizes[2])
    if position != len(table):
        raise ReadError("the zip's table of contents is damaged", path)
    return members


def _long_sizes(extra: bytes, *stated: int) -> list[int]:
    """Size, compressed size and offset, each from the zip64 field where it did not fit."""
    sizes, position = list(stated), 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, position)
        if kind == 1:
            field = extra[position + 4 : position + 4 + length]
            wanting = [index for index, value in enumerate(sizes) if value == _FULL32]
            numbers = struct.iter_unpack("<Q", field[: len(field) & ~7])
            for index, (number,) in zip(wanting, numbers, strict=False):
                sizes[index] = number
        position += 4 + length
    return sizes
