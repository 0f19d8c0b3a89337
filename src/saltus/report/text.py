"""Numbers, names and foreign text as the report writes them."""

from __future__ import annotations

import math
import re
from hashlib import sha256

_SI = ((1e15, "Q"), (1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|#~&])")
NOTHING = "–"


def present(value: float | None) -> bool:
    """Whether there is a finite number."""
    return value is not None and math.isfinite(value)


def number(value: float | None, digits: int = 3) -> str:
    """A plain number to `digits` significant digits, without a power of ten where it can."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e6:
        return scientific(value)
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def scientific(value: float) -> str:
    """Such as 2.4 × 10²¹."""
    mantissa, exponent = f"{value:.1e}".split("e")
    power = str(int(exponent)).translate(_SUPERSCRIPTS)
    return f"10{power}" if mantissa == "1.0" else f"{mantissa} × 10{power}"


def probability(value: float | None) -> str:
    """A p-value: three decimals, never rounded down to zero."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return "< .001" if value < 0.001 else f"{value:.3f}".removeprefix("0")


def count(value: int | None) -> str:
    """A whole number with thousands separated, or a dash."""
    return NOTHING if value is None else f"{value:,}"


def several(amount: int, noun: str, plural: str | None = None) -> str:
    """Such as "1 task" and "1,200 tasks"."""
    return f"{amount:,} {noun if amount == 1 else plural or noun + 's'}"


def scale(value: float | None, axis: str) -> str:
    """A position on an axis: 1.4B parameters, 2.1 × 10²² FLOPs, 2.31 nats."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if axis == "loss":
        return f"{value:.3g}"
    return scientific(value) if axis == "flops" else si(value)


def si(value: float) -> str:
    """Such as 160M, 1.4B."""
    for size, letter in _SI:
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def slug(*parts: str | None) -> str:
    """A file name from foreign text: safe, readable, and unique by a short hash."""
    whole = "/".join(part or "" for part in parts)
    plain = re.sub(r"[^a-z0-9]+", "-", whole.lower()).strip("-")[:60] or "figure"
    return f"{plain}-{sha256(whole.encode()).hexdigest()[:6]}"


def safe(text: object) -> str:
    """Foreign text for a Markdown table cell: no markup, no line breaks, no HTML."""
    flat = " ".join(str(text).split())
    return _MARKDOWN.sub(r"\\\1", flat)


def listing(words: list[str]) -> str:
    """Such as "a", "a and b", "a, b and c"."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
