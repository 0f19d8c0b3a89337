"""Every error that is meant for the user. Imports nothing of Saltus."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


class SaltusError(Exception):
    """Something the user can mend: the message says what, where and what to do."""


class ReadError(SaltusError):
    """An input cannot be read as it stands.

    Args:
        what: the fault and its mend, in one sentence.
        path: the file.
        line: line (or record) in the file, from 1.
        field: the field or column at fault.
    """

    def __init__(
        self, what: str, path: Path | str, line: int | None = None, field: str | None = None
    ) -> None:
        place = str(path) if line is None else f"{path}:{line}"
        super().__init__(
            f"{place}: {what}" if field is None else f"{place}: field {field!r}: {what}"
        )
        self.what, self.path, self.line, self.field = what, str(path), line, field


class TableError(SaltusError):
    """A table does not have the columns, types or values that its schema asks for."""


class StoreError(SaltusError):
    """An audit folder cannot be opened, is not one, or lacks a table that a verb needs."""


class UnknownNameError(SaltusError):
    """A name that no entry has; the message offers the nearest ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = get_close_matches(name, names, n=3)
        hint = (
            f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(names) or 'none'}"
        )
        super().__init__(f"no {kind} named {name!r}; {hint}")
