r"""The answer inside a reply: named extractors, applied before an output is scored.

What is extracted is part of the score, so it is asked for by name, recorded, and its failures
stand in the tables: a reply without an answer is missing with the reason, unless it is asked
for that it counts as wrong, and the share of replies with an answer is itself scored under
`answer_extracted`. A parser's failures that depend on the model's size look like emergence:
a strict JSON parser of ZeroEval's replies loses one reply in seven of Qwen2.5-3B and one in
fifty of Qwen2.5-32B.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from saltus.errors import SaltusError, UnknownNameError
from saltus.metrics.metric import METRICS, Metric
from saltus.registry import Registry

FailedAs = Literal["missing", "wrong"]
EXTRACTED = "answer_extracted"
LONGEST = 200_000  # characters of a reply that are searched, from its end
OBJECTS = 64  # opening braces tried by the strict JSON reader, from the end

# a sign belongs to its number unless it stands between two: 10-12 ends in 12
NUMBER = re.compile(
    r"(?:(?<![\w.)\]])[-+−])?(?:\d{1,3}(?:,\d{3})+|\d+)?\.?\d+(?:[eE][-+]?\d{1,3})?"
)
BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")
LETTERS = (
    re.compile(r"(?i)\b(?:answer|choice|option)\b(?:\s+is)?\s*[:=]?\s*\**\(?\**([A-Z])\b(?!')"),
    re.compile(r"\(([A-Z])\)"),
    re.compile(r"(?m)^\s*\**\(?([A-Z])\)?\**\s*[.:)]?\**\s*$"),
    re.compile(r"(?m)^\s*\**\(?([A-Z])\)?\**\s*[.:)]"),
)
SOLUTION = re.compile(r"(?is)<solution>(.*?)</solution>")
HASHES = re.compile(r"####\s*([^\n]+)")
ANSWER_IS = re.compile(
    r"(?i)\banswer\b\**(?:\s+is)?\s*[:=]?\s*\**\s*([^\n]*?[^\n.*])\**\.?\s*(?=\n|$|\.\s)"
)
THOUGHT = re.compile(r"(?is)\A.*</think(?:ing)?>")
CLOSED = re.compile(
    r"\s*(?:,\s*[\"'][A-Za-z_][\w ]*[\"']\s*:|,?\s*\}+\s*(?:```|\Z|\n)|,?\s*```|\Z)"
)

Find = Callable[[str], str | None]


@dataclass(frozen=True)
class Extractor:
    """One way to find the answer in a reply.

    Args:
        name: on the command line; one with a parameter is called as NAME:PARAMETER.
        function: reply (and parameter) to the answer, None where there is none.
        finds: what it looks for; a failure reads "no <finds> found".
        source: where the convention comes from.
        parameter: name of its parameter, None when it has none.
    """

    name: str
    function: Callable[..., str | None]
    finds: str
    source: str
    parameter: str | None = None


EXTRACTORS: Registry[Extractor] = Registry("extractor", ())


def extractor(
    finds: str, source: str, parameter: str | None = None
) -> Callable[[Callable[..., str | None]], Callable[..., str | None]]:
    """Registers the function below as an extractor; its name is the extractor's name."""

    def register(function: Callable[..., str | None]) -> Callable[..., str | None]:
        EXTRACTORS.add(Extractor(function.__name__, function, finds, source, parameter))
        return function

    return register


@dataclass(frozen=True)
class Extraction:
    """An extractor with its parameter, and what a failure counts as.

    Args:
        name: as it was asked for, such as "json_field:answer".
        find: reply to answer, None where there is none.
        reason: why an answer is missing when it was not found.
        failed_as: "missing", or "wrong": the worst score that the metric has.
    """

    name: str
    find: Find
    reason: str
    failed_as: FailedAs = "missing"


def named(names: str, failed_as: FailedAs = "missing") -> Extraction:
    """The extraction of a name, `NAME[:PARAMETER]`, or of several that are tried in order.

    Raises:
        UnknownNameError: there is no such extractor.
        SaltusError: a parameter is missing or not taken.
    """
    parts = [_one(name.strip()) for name in names.split(",")]
    finds, what = [find for find, _ in parts], " or ".join(found for _, found in parts)

    def first(text: str) -> str | None:
        return next((answer for find in finds if (answer := find(text)) is not None), None)

    return Extraction(names, first, f"no {what} found in the output", failed_as)


def _one(name: str) -> tuple[Find, str]:
    """An extractor with its parameter, and what it looks for."""
    head, colon, rest = name.partition(":")
    if head not in EXTRACTORS:
        raise UnknownNameError("extractor", head, (entry.name for entry in EXTRACTORS))
    entry = EXTRACTORS[head]
    if entry.parameter and not rest:
        raise SaltusError(f"extractor {head!r} needs a parameter: {head}:{entry.parameter}")
    if colon and not entry.parameter:
        raise SaltusError(f"extractor {head!r} takes no parameter; write just {head}")
    if not entry.parameter:
        return entry.function, entry.finds
    return (lambda text: entry.function(text, rest)), f"{entry.finds} {rest!r}"


def extracted(responses: pl.DataFrame, extraction: Extraction) -> pl.DataFrame:
    """The answers of a batch in place of its replies.

    Args:
        responses: table `Responses`, or a batch of its rows.
        extraction: how the answer is found.

    Returns:
        The rows with the answer as `output`, null where none was found; a reply that was null
        stays null.
    """
    replies = responses["output"]
    distinct = replies.unique().drop_nulls().to_list()
    answers = {text: _found(extraction.find, text) for text in distinct}
    return responses.with_columns(
        pl.Series("output", [None if t is None else answers[t] for t in replies], pl.String)
    )


def _found(find: Find, reply: str) -> str | None:
    answer = find(THOUGHT.sub("", reply[-LONGEST:]))
    return None if answer is None else answer.strip()  # an empty answer is one


# The share of replies in which an answer was found: a fact about parser and format, kept beside
# the scores so that the screens can see whether it changes with scale.
METRICS.add(
    Metric(
        EXTRACTED, None, ("output",), "share of answers", "higher", (0.0, 1.0), "thresholded",
        "scored with --extract: 1 when the extractor found an answer in the reply",
        binary=True, judged=False,
        summary="1 when the extractor found an answer in the reply.",
    )
)  # fmt: skip


# ---- numbers, letters, lines


@extractor("number", "lm-evaluation-harness, GSM8K `flexible-extract`: the last number")
def last_number(text: str) -> str | None:
    """The last number of the reply, without thousands separators."""
    numbers = NUMBER.findall(text)
    return numbers[-1].replace(",", "").replace("−", "-").rstrip(".") if numbers else None


@extractor("#### line", "Cobbe et al. 2021, GSM8K, arXiv:2110.14168: the answer after ####")
def hash_line(text: str) -> str | None:
    """What follows the last `####`, without thousands separators."""
    lines = HASHES.findall(text)
    return re.sub(r"(?<=\d),(?=\d)", "", lines[-1]) if lines else None


@extractor(r"\boxed{...}", "Hendrycks et al. 2021, MATH, arXiv:2103.03874")
def boxed(text: str) -> str | None:
    r"""The content of the last `\boxed{...}` (or `\fbox`), braces inside balanced."""
    starts = [match.end() for match in BOXED.finditer(text)]
    return _balanced(text, starts[-1]) if starts else None


def _balanced(text: str, start: int) -> str | None:
    depth = 1
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if not depth:
            return text[start:place]
    return None


@extractor("letter of a choice", "MMLU-Pro, `extract_answer`; the last place that names a choice")
def letter(text: str) -> str | None:
    """The letter of a choice: "answer is (B)", else the last "(B)", else a line "B" or "B."."""
    for pattern in LETTERS:
        if found := pattern.findall(text):
            return str(found[-1]).upper()
    bare = text.strip()
    return bare if re.fullmatch(r"[A-Z]", bare) else None


@extractor("line", "the last line that is not blank")
def last_line(text: str) -> str | None:
    """The last line that is not blank."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else None


@extractor("line", "the first line that is not blank; base models go on with the next question")
def first_line(text: str) -> str | None:
    """The first line that is not blank."""
    return next((line for line in text.splitlines() if line.strip()), None)


@extractor("answer statement", 'Kojima et al. 2022, arXiv:2205.11916: "the answer is ..."')
def answer_is(text: str) -> str | None:
    """What follows the last "answer is" or "answer:", to the end of its sentence or line."""
    found = ANSWER_IS.findall(text)
    return found[-1].strip(' *`"') if found else None


@extractor("<solution>", "LiveBench: the last <solution>...</solution>")
def solution_tag(text: str) -> str | None:
    """The content of the last `<solution>` element."""
    found = SOLUTION.findall(text)
    return found[-1] if found else None


@extractor("element", "answers between tags of any name", parameter="NAME")
def tag(text: str, name: str) -> str | None:
    """The content of the last `<NAME>` element."""
    found = re.findall(rf"(?is)<{re.escape(name)}>(.*?)</{re.escape(name)}>", text)
    return found[-1] if found else None


# ---- JSON


@extractor("JSON field", "ZeroEval: replies as JSON; broken JSON is read too", parameter="NAME")
def json_field(text: str, name: str) -> str | None:
    """A field of the last JSON object of the reply that has it; a string without its quotes.

    Objects that no JSON parser takes (quotes inside strings, trailing commas, fences, a cut
    end) are read from the field's last key to the end of its value. Values other than strings
    are returned as they are written.
    """
    strict = _strict_field(text, name)
    return strict if strict is not None else _loose_field(text, name)


@extractor("JSON object with", "what many harnesses do: the last {...} as strict JSON", "NAME")
def strict_json_field(text: str, name: str) -> str | None:
    """A field of what stands between the first { and the last }, if that is valid JSON."""
    start, end = text.find("{"), text.rfind("}")
    try:
        value = json.loads(text[start : end + 1]) if start >= 0 else None
    except (ValueError, RecursionError):
        return None
    found = value.get(name) if isinstance(value, dict) else None
    return found if found is None or isinstance(found, str) else json.dumps(found)


def _strict_field(text: str, name: str) -> str | None:
    decoder = json.JSONDecoder(strict=False)
    places = [match.start() for match in re.finditer(r"\{", text)][-OBJECTS:]
    best: tuple[int, Any, str] | None = None
    for start in places:
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict) and name in value and (best is None or end > best[0]):
            best = (end, value[name], text[start:end])
    if best is None:
        return None
    return best[1] if isinstance(best[1], str) else _as_written(best[2], name, best[1])


def _as_written(source: str, name: str, value: object) -> str:
    """A value that is no string, as the reply has it rather than as JSON would print it."""
    keys = list(re.finditer(rf'"{re.escape(name)}"\s*:\s*', source))
    try:
        _, end = json.JSONDecoder(strict=False).raw_decode(source, keys[-1].end())
    except (ValueError, IndexError):
        return json.dumps(value, ensure_ascii=False)
    return source[keys[-1].end() : end]


def _loose_field(text: str, name: str) -> str | None:
    keys = list(re.finditer(rf"[\"'`]?\b{re.escape(name)}[\"'`]?\s*:\s*", text))
    if not keys:
        return None
    rest = text[keys[-1].end() :]
    opening = re.match(r"\\?([\"'])", rest)
    if opening is None:
        bare = re.split(r"\n|```", rest, maxsplit=1)[0].strip()
        return bare.rstrip(",").removesuffix("}").strip() or None
    return _loose_string(rest[opening.end() :], opening.group(1))


def _loose_string(rest: str, quote: str) -> str:
    """A quoted value up to the quote that ends it: the first that what follows a value follows."""
    for match in re.finditer(rf"\\?{quote}", rest):
        if CLOSED.match(rest, match.end()):
            return _unescaped(rest[: match.start()].removesuffix(f"\\{quote}"))
    return _unescaped(rest)


def _unescaped(text: str) -> str:
    try:
        value: str = json.loads(f'"{text}"', strict=False)
    except ValueError:
        return text.replace('\\"', '"').replace("\\'", "'")
    return value
