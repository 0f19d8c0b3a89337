"""One registry for all kinds of entries, and plug-ins by entry point.

A kind (reader, metric, curve, ...) is a frozen dataclass of facts around one pure
function. Its entries stand in plain modules; the registry imports those on first use, and
then whatever other packages announce under the entry-point group ``saltus.<kinds>``.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points
from typing import Generic, Protocol, TypeVar

from saltus.errors import SaltusError, UnknownNameError


class Named(Protocol):
    """Anything with a name can be registered."""

    @property
    def name(self) -> str:
        """Unique within the kind."""
        ...


Entry = TypeVar("Entry", bound=Named)


def plural(kind: str) -> str:
    """More than one of a kind: metrics, families."""
    return kind[:-1] + "ies" if kind.endswith("y") else kind + "s"


class Registry(Generic[Entry]):
    """The entries of one kind, by name, in the order of their registration.

    Args:
        kind: what one entry is called in messages, such as "metric".
        modules: modules whose import registers the entries that ship with Saltus.
    """

    def __init__(self, kind: str, modules: tuple[str, ...]) -> None:
        self.kind = kind
        self._modules = modules
        self._entries: dict[str, Entry] = {}
        self._loaded = False

    def add(self, entry: Entry) -> Entry:
        """Register an entry; a second one of the same name is an error."""
        if entry.name in self._entries:
            raise SaltusError(
                f"two {plural(self.kind)} are named {entry.name!r}; rename one of them"
            )
        self._entries[entry.name] = entry
        return entry

    def put(self, entry: Entry) -> Entry:
        """Register an entry in place of one of the same name: what a user loads again."""
        self._load()
        self._entries[entry.name] = entry
        return entry

    def __getitem__(self, name: str) -> Entry:
        self._load()
        if name not in self._entries:
            raise UnknownNameError(self.kind, name, self._entries)
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        self._load()
        return name in self._entries

    def __iter__(self) -> Iterator[Entry]:
        self._load()
        return iter(tuple(self._entries.values()))

    def __len__(self) -> int:
        self._load()
        return len(self._entries)

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True  # first, since entries may look at the registry while they load
        try:
            for module in self._modules:
                import_module(module)
            for point in entry_points(group=f"saltus.{plural(self.kind)}"):
                point.load()
        except BaseException:
            self._loaded = False  # half a registry must never pass for a whole one
            raise
