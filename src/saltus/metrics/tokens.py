"""Edits between sequences of tokens other than words and characters.

Bytes, the token ids that a log holds as numbers, and the tokens of any Hugging Face
`tokenizer.json` (extra `tokenizers`), for which `tokenizer_metrics` makes entries.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rapidfuzz.distance import Levenshtein

from saltus.errors import SaltusError
from saltus.metrics.metric import METRICS, Metric, Values, metric, present
from saltus.metrics.text import Outputs, Targets, unusable

SOURCE = "Levenshtein 1966; Schaeffer et al. 2023, arXiv:2304.15004, app. A.2"
INTEGER = re.compile(r"-?\d+")

Split = Callable[[str], Sequence[int] | bytes]


def distances(output: Outputs, targets: Targets, split: Split, share: bool = False) -> Values:
    """Edits to the nearest target, or their share of the target's length, at most 1.

    The units are the tokens of that target.
    """
    missing = unusable(output, targets)
    value, units = np.full((2, len(output)), np.nan)
    for item in np.flatnonzero(present(missing)).tolist():
        given = split(output[item] or "")
        goals = [split(target) for target in targets[item] or () if target is not None]
        pairs = [(_edits(given, goal, share), len(goal)) for goal in goals if goal or not share]
        if not pairs:
            missing[item] = "the target is empty"
            continue
        value[item], units[item] = min(pairs, key=lambda pair: pair[0])
    return Values(value, missing, units if share else None)


def _edits(given: Sequence[int] | bytes, goal: Sequence[int] | bytes, share: bool) -> float:
    edits = Levenshtein.distance(given, goal)
    return min(edits / len(goal), 1.0) if share else float(edits)


def utf8(text: str) -> bytes:
    """The text's bytes, white space at the ends removed; lone surrogates keep their code."""
    return text.strip().encode("utf-8", "surrogatepass")


def ids(text: str) -> list[int]:
    """The whole numbers that a text lists, such as `[464, 3797]` or `464 3797`."""
    return [int(number) for number in INTEGER.findall(text)]


@metric(
    unit="edits", better="lower", bounds=(0.0, None), reaction="continuous", source=SOURCE
)  # fmt: skip
def byte_edit_distance(output: Outputs, targets: Targets) -> Values:
    """Bytes of UTF-8 to insert, delete or replace to turn the output into the target.

    Args:
        output: the answers.
        targets: per answer the accepted answers; the nearest counts.
    """
    return distances(output, targets, utf8)


@metric(
    unit="errors per byte",
    better="lower",
    bounds=(0.0, 1.0),
    reaction="continuous",
    source=f"{SOURCE}; divided by the target's length, at most 1",
    link="error_rate",
)
def byte_error_rate(output: Outputs, targets: Targets) -> Values:
    """Byte edits per byte of the target, at most 1.

    Args:
        output: the answers.
        targets: per answer the accepted answers; the nearest counts.
    """
    return distances(output, targets, utf8, share=True)


@metric(
    unit="edits", better="lower", bounds=(0.0, None), reaction="continuous",
    source=f"{SOURCE}; on token ids", aliases=("token_id_edit_distance",),
)  # fmt: skip
def id_edit_distance(output: Outputs, targets: Targets) -> Values:
    """Token ids to insert, delete or replace; answers and targets are lists of ids as text.

    Args:
        output: the answers.
        targets: per answer the accepted answers; the nearest counts.
    """
    return distances(output, targets, ids)


def tokenizer_metrics(path: Path) -> list[Metric]:
    """Edit distance and error rate on the tokens of a Hugging Face `tokenizer.json`.

    Registers `token_edit_distance@NAME` and `token_error_rate@NAME`, NAME being the file's
    folder (or the file's stem where it is not called tokenizer.json).

    Raises:
        SaltusError: the extra is not installed, or the file is no tokenizer.
    """
    encode = _encoder(path)
    name = path.parent.name if path.name == "tokenizer.json" else path.stem
    source = f"{SOURCE}; on the tokens of {name}/{path.name}"

    def edit_distance(output: Outputs, targets: Targets) -> Values:
        return distances(output, targets, encode)

    def error_rate(output: Outputs, targets: Targets) -> Values:
        return distances(output, targets, encode, share=True)

    needs = ("output", "targets")
    made = [
        Metric(f"token_edit_distance@{name}", edit_distance, needs, "edits", "lower", (0.0, None),
               "continuous", source, summary="Tokens to insert, delete or replace."),
        Metric(f"token_error_rate@{name}", error_rate, needs, "errors per token", "lower",
               (0.0, 1.0), "continuous", source, link="error_rate",
               summary="Token edits per token of the target, at most 1."),
    ]  # fmt: skip
    return [METRICS.put(entry) for entry in made]


def _encoder(path: Path) -> Split:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise SaltusError(
            "scoring on a tokenizer's tokens needs the extra: pip install 'saltus[tokenizers]'"
        ) from None
    try:
        tokenizer: Any = Tokenizer.from_file(str(path))
    except Exception as fault:  # the library raises bare exceptions
        raise SaltusError(f"{path}: not a Hugging Face tokenizer.json ({fault})") from None
    known: dict[str, list[int]] = {}

    def encode(text: str) -> list[int]:
        if text not in known:
            known[text] = tokenizer.encode(text.strip(), add_special_tokens=False).ids
        return known[text]

    return encode
