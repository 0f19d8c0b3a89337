"""Saltus tells whether a capability jump of a language model is real.

*Natura non facit saltus*: nature makes no jumps. The public names below are imported on
first use, so that ``import saltus`` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from saltus.errors import SaltusError
    from saltus.pipeline import Audit, audit, estimate, fit, judge, read, report, score, screen

__version__ = "0.1.0"

_HOMES = {
    "Audit": "saltus.pipeline",
    "SaltusError": "saltus.errors",
    "audit": "saltus.pipeline",
    "estimate": "saltus.pipeline",
    "fit": "saltus.pipeline",
    "judge": "saltus.pipeline",
    "read": "saltus.pipeline",
    "report": "saltus.pipeline",
    "score": "saltus.pipeline",
    "screen": "saltus.pipeline",
}

__all__ = [
    "Audit", "SaltusError", "__version__", "audit", "estimate", "fit", "judge", "read",
    "report", "score", "screen",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'saltus' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
