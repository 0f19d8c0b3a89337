"""What the manifest tells about how a report was made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from saltus import __version__


class Input(NamedTuple):
    """One input file, ready to be shown."""

    name: str
    size: str
    sha256: str


class Provenance(NamedTuple):
    """Where a report comes from.

    Args:
        facts: name and value of what the manifest states.
        inputs: the files that were read.
    """

    facts: list[tuple[str, str]]
    inputs: list[Input]


def provenance(manifest: Mapping[str, Any]) -> Provenance:
    """The manifest's facts in a fixed order, absent ones left out."""
    names = ("command", "saltus", "created", "seed", "python", "polars")
    values = {"saltus": version(manifest), **manifest, "created": created(manifest)}
    facts = [(name, str(values[name])) for name in names if values.get(name) not in (None, "")]
    facts += [_scorer(entry) for entry in manifest.get("scorers") or []]
    return Provenance(facts, [_input(entry) for entry in manifest.get("inputs") or []])


def _scorer(entry: Mapping[str, Any]) -> tuple[str, str]:
    """Which function made the scores of a metric, with what, and the hash that they carry."""
    given = "".join(f", {name} {value}" for name, value in entry["parameters"].items() if value)
    return f"scorer {entry['metric']}", f"{entry['scorer']} ({entry['function']}{given})"


def _input(entry: Any) -> Input:
    if not isinstance(entry, Mapping):
        return Input(str(entry), "", "")
    name = entry.get("path") or entry.get("name") or entry.get("file") or ""
    size = entry.get("bytes", entry.get("size"))
    shown = f"{size:,}" if isinstance(size, int) else ""
    return Input(str(name), shown, str(entry.get("sha256") or ""))


def version(manifest: Mapping[str, Any]) -> str:
    """Version of Saltus that made the audit."""
    return str(manifest.get("saltus") or manifest.get("version") or __version__)


def created(manifest: Mapping[str, Any]) -> str:
    """When the audit was made: as stated, or when its last stage ended; empty if unknown."""
    if manifest.get("created"):
        return str(manifest["created"])
    stages = manifest.get("stages") or {}
    return max((str(stage.get("finished") or "") for stage in stages.values()), default="")


def notes(manifest: Mapping[str, Any]) -> list[str]:
    """What a reader must know before anything else, such as that the data are synthetic."""
    stated = manifest.get("notes") or []
    lines = [stated] if isinstance(stated, str) else [str(line) for line in stated]
    if manifest.get("example") and not lines:
        lines.append("This is the example that ships with Saltus, not a measurement.")
    return lines
