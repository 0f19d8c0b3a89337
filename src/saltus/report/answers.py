"""The page of an answer table: every answer beside its metrics, with the differing words marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from scipy.stats import beta

from saltus.metrics.difference import Segment, difference
from saltus.metrics.metric import METRICS
from saltus.report.document import encoded
from saltus.report.markdown import origin, table
from saltus.report.page import render
from saltus.report.provenance import notes
from saltus.report.text import NOTHING, safe, several
from saltus.tables import Responses, Scores, conform

EXACT, WORDS_RIGHT = "exact_match", "word_accuracy"
KEY = ("model", "task", "item", "sample")
SHOWN = 400  # answers whose text is on the page; all of them are in the tables
LONGEST = 20_000  # characters of an answer that are compared and shown


class Answer(NamedTuple):
    """One answer and its scores.

    Args:
        number: place in the input, from 1.
        model: who answered.
        title: the same; a repeated answer says which it is.
        item: the question.
        words: of the output, split at white space; None without output.
        scores: value per metric, None where missing.
        missing: why, per metric without a value.
        segments: where it differs from the nearest target; None without output or target.
        same: whether it is the target, word by word.
        target: the nearest target.
    """

    number: int
    model: str
    title: str
    item: str
    words: int | None
    scores: Mapping[str, float | None]
    missing: Mapping[str, str]
    segments: list[Segment] | None
    same: bool
    target: str


def answers_page(
    responses: pl.DataFrame, scores: pl.DataFrame, manifest: Mapping[str, Any], folder: Path
) -> list[Path]:
    """Write `answers.html`, `.md`, `.csv` and `.json` for answers that have no scale axis.

    Args:
        responses: table `Responses`.
        scores: table `Scores` of these answers.
        manifest: of the audit folder.
        folder: where the files go; made when it is not there.

    Returns:
        The files written, the page first.
    """
    answers = collect(conform(responses, Responses), conform(scores, Scores))
    names = metric_names(answers)
    lines = summary(answers)
    context = {
        "summary": lines,
        "metrics": names,
        "answers": answers,
        "shown": answers[:SHOWN],
        "several_items": len({answer.item for answer in answers}) > 1,
        "targets": list(dict.fromkeys(answer.target for answer in answers if answer.target))[:1],
        "cell": cell,
    }
    texts = {
        "answers.html": render("answers.html.jinja", manifest, heading(answers), context).encode(),
        "answers.md": markdown(answers, names, lines, manifest).encode(),
        "answers.csv": flat(answers, names).write_csv().encode(),
        "answers.json": encoded(_document(answers, lines, manifest)),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_bytes(text)
    return [folder / name for name in texts]


def few(responses: pl.DataFrame) -> bool:
    """Whether these answers are few enough for a page that shows each of them."""
    return 0 < responses.height <= SHOWN and responses["output"].null_count() < responses.height


def collect(responses: pl.DataFrame, scores: pl.DataFrame) -> list[Answer]:
    """Every answer in the order of the input, with its scores."""
    found: dict[Any, list[dict[str, Any]]] = {}
    for row in scores.iter_rows(named=True):
        found.setdefault(tuple(row[name] for name in KEY), []).append(row)
    rows = enumerate(responses.iter_rows(named=True), start=1)
    return [
        _answer(place, row, found.get(tuple(row[name] for name in KEY), [])) for place, row in rows
    ]


def _answer(place: int, row: Mapping[str, Any], own: Sequence[Mapping[str, Any]]) -> Answer:
    again = f" (answer {row['sample'] + 1})" if row["sample"] else ""
    target, segments = nearest(row["output"], row["targets"] or [])
    return Answer(
        number=place,
        model=row["model"],
        title=row["model"] + again,
        item=row["item"],
        words=None if row["output"] is None else len(row["output"].split()),
        scores={score["metric"]: score["value"] for score in own},
        missing={score["metric"]: score["missing"] for score in own if score["missing"]},
        segments=segments,
        same=segments is not None and all(part.kind == "same" for part in segments),
        target=target,
    )


def nearest(output: str | None, targets: Sequence[str]) -> tuple[str, list[Segment] | None]:
    """The target that needs the fewest word edits, and where the output differs from it."""
    if output is None or not targets:
        return (targets[0] if targets else ""), None
    pairs = [(target, difference(output[:LONGEST], target[:LONGEST])) for target in targets]
    return min(pairs, key=lambda pair: _edits(pair[1]))


def _edits(segments: Sequence[Segment]) -> int:
    changed = (part for part in segments if part.kind != "same")
    return sum(max(len(part.output), len(part.target)) for part in changed)


def metric_names(answers: Sequence[Answer]) -> list[str]:
    """The metrics of the table: exact match and word accuracy first, then as registered."""
    present = {name for answer in answers for name in answer.scores}
    order = [EXACT, WORDS_RIGHT, *(metric.name for metric in METRICS)]
    known = [name for name in dict.fromkeys(order) if name in present]
    return known + sorted(present - set(known))


def cell(value: float | None) -> str:
    """A score to six decimals, so that columns align; a whole number as such."""
    if value is None:
        return NOTHING
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.6f}"


def summary(answers: Sequence[Answer]) -> list[str]:
    """The finding in numbers, and why it cannot be more than that."""
    lines = [_headline(answers), _interval(answers), _axis(answers)]
    return [line for line in lines if line]


def _headline(answers: Sequence[Answer]) -> str:
    exact, right = _values(answers, EXACT), _values(answers, WORDS_RIGHT)
    if not exact:
        return f"{several(len(answers), 'answer')}."
    hits = sum(value == 1 for value in exact)
    verb = "is" if hits == 1 else "are"
    text = f"{hits} of {several(len(exact), 'answer')} {verb} exact"
    if not right:
        return f"{text}."
    return f"{text}; mean word accuracy {_decimals(sum(right) / len(right), 2)}."


def _interval(answers: Sequence[Answer]) -> str:
    """Credible interval of the exact rate under a uniform prior, Beta(1, 1)."""
    exact = _values(answers, EXACT)
    if not exact:
        return ""
    hits = sum(value == 1 for value in exact)
    low, high = (float(beta.ppf(p, hits + 1, len(exact) - hits + 1)) for p in (0.025, 0.975))
    return (
        f"The rate of exact answers is {_decimals(hits / len(exact), 3)} with a 95 % interval of "
        f"[{_decimals(low, 4)}, {_decimals(high, 4)}] (Beta(1, 1) prior), if these answers stand "
        "for others like them."
    )


def _axis(answers: Sequence[Answer]) -> str:
    items, models = {answer.item for answer in answers}, {answer.model for answer in answers}
    asked = "one question" if len(items) == 1 else several(len(items), "question")
    return (
        f"This is {asked}, answered by {several(len(models), 'model')} for which no family, size, "
        "training compute or loss is given. There is no scale axis, so nothing here can be judged "
        "as emergent or not. What can be seen is how far the metrics disagree on the same answers."
    )


def _values(answers: Sequence[Answer], metric: str) -> list[float]:
    return [value for answer in answers if (value := answer.scores.get(metric)) is not None]


def _decimals(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".removeprefix("0")


def heading(answers: Sequence[Answer]) -> str:
    """Title of the page."""
    items = sorted({answer.item for answer in answers})
    return "One question, many answers" if len(items) == 1 else f"{several(len(answers), 'answer')}"


def flat(answers: Sequence[Answer], names: Sequence[str]) -> pl.DataFrame:
    """One row per answer, one column per metric, unrounded."""
    rows = [
        {"row": answer.number, "model": answer.title, "item": answer.item, "words": answer.words}
        | {name: answer.scores.get(name) for name in names}
        for answer in answers
    ]
    first = {"row": pl.Int64, "model": pl.String, "item": pl.String, "words": pl.Int64}
    schema = first | dict.fromkeys(names, pl.Float64)
    return pl.DataFrame(rows, schema=schema)


def markdown(
    answers: Sequence[Answer],
    names: Sequence[str],
    lines: Sequence[str],
    manifest: Mapping[str, Any],
) -> str:
    """The same in Markdown: dropped words struck out, added words in bold."""
    rows = [
        (
            answer.number,
            answer.title,
            cell(answer.words),
            *(cell(answer.scores.get(name)) for name in names),
        )
        for answer in answers
    ]
    texts = [line for answer in answers[:SHOWN] for line in _marked(answer)]
    head = [line for text in lines for line in (safe(text), "")]
    said = [line for note in notes(manifest) for line in (f"> {safe(note)}", "")]
    scored = table(["row", "model", "words", *(safe(name) for name in names)], rows)
    body = [
        f"# {heading(answers)}",
        "",
        *said,
        *head,
        *scored,
        "## Answers",
        "",
        *texts,
        *origin(manifest),
    ]
    return "\n".join(body).rstrip() + "\n"


def _marked(answer: Answer) -> list[str]:
    title = f"**{answer.number}. {safe(answer.title)}**"
    if answer.segments is None:
        return [f"{title}: {NOTHING}", ""]
    if answer.same:
        return [f"{title}: the target, word by word.", ""]
    words = [word for part in answer.segments for word in _part(part)]
    return [f"{title}: {' '.join(words)}", ""]


def _part(part: Segment) -> list[str]:
    if part.kind == "same":
        return [safe(" ".join(part.output))]
    dropped = [f"~~{safe(' '.join(part.target))}~~"] if part.target else []
    return dropped + ([f"**{safe(' '.join(part.output))}**"] if part.output else [])


def _document(
    answers: Sequence[Answer], lines: list[str], manifest: Mapping[str, Any]
) -> dict[str, Any]:
    rows = [
        {
            "row": answer.number,
            "model": answer.title,
            "item": answer.item,
            "words": answer.words,
            "scores": dict(answer.scores),
            "missing": dict(answer.missing),
            "differences": None
            if answer.segments is None
            else [part._asdict() for part in answer.segments if part.kind != "same"],
        }
        for answer in answers
    ]
    return {
        "format": "saltus.answers/1",
        "manifest": dict(manifest),
        "summary": lines,
        "answers": rows,
    }
