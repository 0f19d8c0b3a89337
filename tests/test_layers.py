"""A part imports what stands to its left, never to its right."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import saltus

ROOT = Path(saltus.__file__).parent
LAYERS = [
    "errors", "registry", "tables", "store", "kernels", "tasks", "worlds", "readers", "images",
    "models", "metrics", "estimates", "screens", "curves", "verdicts", "losses", "forecasts",
    "report", "writers", "runners", "pipeline", "experiments", "catalogue", "cli", "__main__",
]  # fmt: skip
FREE = {"__init__"}  # the package's own lazy names
ONLY = {
    "torch": {"models", "runners", "experiments"},
    "transformers": {"models"},
    "httpx": {"models"},
    "yaml": {"models"},
    "altair": {"report"},
    "vl_convert": {"report"},
    "click": {"cli"},
    "rich": {"cli"},
    "zstandard": {"readers"},
    "PIL": {"images"},
    "torchvision": {"images"},
}


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            if node.module == "saltus":
                yield from (f"saltus.{alias.name}" for alias in node.names)


SOURCES = sorted(path for path in ROOT.rglob("*.py") if part_of(path) not in FREE)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_only_from_the_left(path: Path) -> None:
    here = LAYERS.index(part_of(path))
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "saltus" and len(parts) > 1 and parts[1] != "__version__":
            assert LAYERS.index(parts[1]) <= here, f"{path.name} imports {name} from its right"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_heavy_libraries_stay_in_their_rooms(path: Path) -> None:
    for name in imports(path):
        rooms = ONLY.get(name.split(".")[0])
        assert rooms is None or part_of(path) in rooms, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_command_line_prints(path: Path) -> None:
    calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    names = {call.func.id for call in calls if isinstance(call.func, ast.Name)}
    assert "print" not in names or part_of(path) == "cli"


HEAVY = {
    "numpy",
    "polars",
    "scipy",
    "altair",
    "rich",
    "msgspec",
    "rapidfuzz",
    "jinja2",
    "zstandard",
    "torch",
    "httpx",
    "yaml",
}


@pytest.mark.parametrize("code", ["import saltus", "import saltus.cli as c; c.main(['--help'])"])
def test_nothing_heavy_is_imported_before_it_is_used(code: str) -> None:
    probe = (
        f"import sys, atexit\natexit.register(lambda: print(*sys.modules, file=sys.stderr))\n{code}"
    )
    run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert HEAVY.isdisjoint(run.stderr.split())


def test_public_names_resolve() -> None:
    assert all(getattr(saltus, name) is not None for name in saltus.__all__)
    with pytest.raises(AttributeError, match="no attribute 'aduit'"):
        _ = saltus.aduit
