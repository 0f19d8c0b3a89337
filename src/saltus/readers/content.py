"""What an item says, as a hash, so that the same item is known again in another log."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

SEPARATOR = b"\x00"  # stands in no text, so that the parts cannot run into each other


def content_hash(question: str, answers: Iterable[str]) -> str:
    """SHA-256 over the question and its choices or accepted answers, in hexadecimal."""
    digest = hashlib.sha256(question.encode())
    for answer in answers:
        digest.update(SEPARATOR)
        digest.update(answer.encode())
    return digest.hexdigest()
