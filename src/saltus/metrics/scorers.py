"""Who made a score: the function, its version, its parameters, and a hash over all of these."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from saltus import __version__
from saltus.metrics.metric import find

HASH_DIGITS = 16


def scorers(metrics: Iterable[str], parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One entry per metric, for the manifest.

    Args:
        metrics: names of metrics, as in the table of scores.
        parameters: what else decides a score, such as the extractor.

    Returns:
        metric, function, version, parameters, source, and `scorer`: the first digits of a
        SHA-256 over these and the code of the function's module. Scores carry that hash.
    """
    return [_scorer(name, dict(parameters)) for name in sorted(set(metrics))]


def _scorer(name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    entry = find(name)
    function = None if entry is None else entry.function
    module = getattr(function, "__module__", None) or ""
    facts = {
        "metric": name,
        "function": f"{module}.{getattr(function, '__qualname__', name)}".lstrip("."),
        "version": f"saltus {__version__}",
        "parameters": parameters,
        "source": "" if entry is None else entry.source,
    }
    whole = json.dumps([facts, _code(module)], sort_keys=True)
    return {**facts, "scorer": hashlib.sha256(whole.encode()).hexdigest()[:HASH_DIGITS]}


@lru_cache(maxsize=64)
def _code(module: str) -> str:
    """SHA-256 of a module's file; empty for one that has none."""
    place = getattr(sys.modules.get(module), "__file__", None)
    return "" if place is None else hashlib.sha256(Path(place).read_bytes()).hexdigest()
