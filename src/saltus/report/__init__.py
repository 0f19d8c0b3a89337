"""Tables to pages, figures and text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from saltus.report.answers import answers_page
    from saltus.report.write import report

__all__ = ["answers_page", "report"]


def __getattr__(name: str) -> Any:
    # Imported on first use: templates and charts are heavy, and one verb in seven needs them.
    if name == "report":
        from saltus.report.write import report

        return report
    if name == "answers_page":
        from saltus.report.answers import answers_page

        return answers_page
    raise AttributeError(f"module 'saltus.report' has no attribute {name!r}")
