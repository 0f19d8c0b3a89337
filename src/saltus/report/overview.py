"""The top of the report: what was audited, what came out, what was left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from saltus.metrics.metric import find
from saltus.report.cards import Card, View
from saltus.report.text import listing, several
from saltus.report.vocabulary import AXES, AXIS_PHRASES, SEVERITIES, WORDS, Word
from saltus.verdicts.rule import REASONS

Tables = Mapping[str, pl.DataFrame]


class Fact(NamedTuple):
    """A number of the header and what it counts."""

    number: str
    noun: str


class Chip(NamedTuple):
    """How many series got one verdict."""

    word: Word
    amount: int


class Screens(NamedTuple):
    """The findings of one severity."""

    title: str
    css: str
    rows: list[dict[str, Any]]
    amount: int


class Skipped(NamedTuple):
    """Something that was left out, how much of it, and why."""

    what: str
    why: str
    amount: int


class Grid(NamedTuple):
    """Tasks by axes, grouped by family and regime.

    Args:
        title: family and regime.
        axes: names of the columns.
        rows: card and one cell per axis, None where that axis was not judged.
        agree: rows whose judged axes give one verdict.
        comparable: rows with at least two judged axes.
    """

    title: str
    axes: list[str]
    rows: list[tuple[Card, list[View | None]]]
    agree: int
    comparable: int


def facts_of(tables: Tables, manifest: Mapping[str, Any]) -> list[Fact]:
    """How much was audited."""
    models, estimates = tables["models"], tables["estimates"]
    counts = [
        (models["model"].n_unique(), "model", None),
        (models["family"].drop_nulls().n_unique(), "family", "families"),
        (estimates["task"].n_unique(), "task", None),
        (_answers(tables, manifest), "answer", None),
        (estimates.height, "estimate", None),
    ]
    shown = [entry for entry in counts if entry[0]]
    return [Fact(*several(count, noun, many).split(" ", 1)) for count, noun, many in shown]


def _answers(tables: Tables, manifest: Mapping[str, Any]) -> int:
    if "responses" in tables and tables["responses"].height:
        return tables["responses"].height
    stage = manifest.get("stages", {}).get("read", {})
    return int(stage.get("rows", {}).get("responses", 0))


def chips(views: Sequence[View]) -> list[Chip]:
    """Series per verdict, in the order of the vocabulary; verdicts that nobody got are left out.

    Inverse scaling is a second row of a series that was judged already, so it is not counted.
    """
    counts = Counter(view.row["verdict"] for view in views if not view.row["inverse"])
    return [Chip(word, counts[word.name]) for word in WORDS if counts[word.name]]


def summary(cards: Sequence[Card], tables: Tables) -> list[str]:
    """What came out, in a few plain sentences; why nothing did, where nothing did."""
    both = [view for card in cards for view in card.views]
    views = [view for view in both if not view.row["inverse"]]
    closed = [view for view in views if view.row["verdict"] != "INCONCLUSIVE"]
    if not closed:
        return ["Nothing could be judged.", *why_nothing(views, tables)]
    lines = [
        _scope(cards, views),
        _apparent(views),
        _rest(views),
        _falling(len(both) - len(views)),
        _axes(cards),
        _open(views),
    ]
    return [line for line in lines if line]


def _scope(cards: Sequence[Card], views: Sequence[View]) -> str:
    families, regimes = {card.family for card in cards}, {card.regime for card in cards}
    axes = [
        name for axis, name in AXIS_PHRASES.items() if any(v.row["axis"] == axis for v in views)
    ]
    where = several(len(families), "family", "families")
    if len(regimes) > 1:
        where += f" and {several(len(regimes), 'prompt regime')}"
    tasks = several(len({card.task for card in cards}), "task")
    return f"{several(len(views), 'series', 'series')}: {tasks} of {where}, along {listing(axes)}."


def _apparent(views: Sequence[View]) -> str:
    """What became of the series that look emergent."""
    looks = [view for view in views if view.row["apparent"]]
    if not looks:
        return (
            "None of them looks emergent: no score is flat near its floor and then well above it."
        )
    fates = chips(looks)
    many = [f"{count:,} {_fate(word, count)}" for word, count in fates]
    verb = "looks" if len(looks) == 1 else "look"
    seen = f"{len(looks):,} {verb} emergent, flat near the floor and then well above it."
    if len(fates) == 1 and len(looks) > 1:
        return f"{seen} All of these {_fate(fates[0].word, len(looks))}."
    return f"{seen} Of these, {listing(many)}." if len(looks) > 1 else f"{seen} It {many[0][2:]}."


def _fate(word: Word, count: int) -> str:
    one, many = {
        "BREAK": ("is a real break", "are real breaks"),
        "LOSS_THRESHOLD": ("is a threshold in loss", "are thresholds in loss"),
        "METRIC_ARTEFACT": ("is an artefact of the metric", "are artefacts of the metric"),
        "BELOW_RESOLUTION": ("is below resolution", "are below resolution"),
        "HARNESS_ARTEFACT": ("is an artefact of the harness", "are artefacts of the harness"),
        "INCONCLUSIVE": ("stays open", "stay open"),
    }.get(word.name, (f"is {word.title.lower()}", f"are {word.title.lower()}"))
    return one if count == 1 else many


def _rest(views: Sequence[View]) -> str:
    """The series that do not look emergent."""
    counts = Counter(view.row["verdict"] for view in views if not view.row["apparent"])
    phrases = {
        "BREAK": ("breaks without having been flat", "break without having been flat"),
        "LOSS_THRESHOLD": (
            "has a threshold in loss without having been flat",
            "have a threshold in loss without having been flat",
        ),
        "GRADUAL": ("improves gradually", "improve gradually"),
        "NO_EVIDENCE": ("shows no change with scale", "show no change with scale"),
        "HARNESS_ARTEFACT": ("is an artefact of the harness", "are artefacts of the harness"),
        "INCONCLUSIVE": ("stays open", "stay open"),
    }
    parts = [
        f"{counts[name]:,} {forms[counts[name] > 1]}"
        for name, forms in phrases.items() if counts[name]
    ]  # fmt: skip
    start = "Of the others, " if any(view.row["apparent"] for view in views) else ""
    return f"{start}{listing(parts)}." if parts else ""


def _falling(count: int) -> str:
    if not count:
        return ""
    verb = "falls" if count == 1 else "fall"
    return (
        f"{several(count, 'series', 'series')} {verb} with scale (inverse scaling); the judgement "
        "of the falling scores stands in a row of its own."
    )


def _axes(cards: Sequence[Card]) -> str:
    comparable = [card for card in cards if card.comparable]
    split = sum(not card.agree for card in comparable)
    if not comparable:
        return ""
    if not split:
        return "Wherever two axes could be judged, they give the same verdict."
    return (
        f"For {split:,} of the {several(len(comparable), 'task')} that could "
        "be judged on two axes or more, the verdict depends on the axis."
    )


def _open(views: Sequence[View]) -> str:
    reasons = Counter(
        view.row["reason"] or "" for view in views if view.row["verdict"] == "INCONCLUSIVE"
    )
    parts = [f"{_reason(name)} ({count:,})" for name, count in reasons.most_common(4)]
    return f"Why series stay open: {'; '.join(parts)}." if parts else ""


def _reason(name: str) -> str:
    return REASONS.get(name, name.replace("_", " ") or "no reason given")


def why_nothing(views: Sequence[View], tables: Tables) -> list[str]:
    """Why a collection gives no verdict, in plain words."""
    models, estimates = tables["models"], tables["estimates"]
    if estimates.filter(pl.col("value").is_not_null()).is_empty():
        return ["The files hold no score for any model and task."]
    if views:
        return [line for line in (_open(views), lost_models(estimates)) if line]
    lines = []
    placed = models.filter(pl.any_horizontal(pl.col(*AXES).is_not_null()))
    if placed.is_empty():
        lines.append(
            f"No model ({models.height:,} in all) has a known size, number of training tokens, "
            "training compute or loss, so there is no axis along which a jump could be seen. "
            "Give a table of these facts with --models FILE."
        )
    elif placed["family"].null_count() == placed.height:
        lines.append(
            "No model has a known family. Only models of one corpus, tokenizer and recipe can be "
            "compared along an axis; name the family in the table given with --models FILE."
        )
    else:
        unknown = unknown_metrics(estimates)
        lines.append(unknown or "No family has scores of one task at several scales.")
    return lines


def unknown_metrics(estimates: pl.DataFrame) -> str:
    """What to do where no facts are known of any metric; empty where some are."""
    found = estimates["metric"].unique().sort().to_list()
    if any(find(name) for name in found):
        return ""
    return (
        f"No facts are known of {listing(found)}, such as its bounds and whether it has a "
        "threshold. Say which metric it is, for instance --columns metric==acc; saltus list "
        "metrics names those that are known."
    )


def lost_models(estimates: pl.DataFrame) -> str:
    """How many models have no score at all, though they answered; empty where none is lost."""
    best = estimates.group_by("model").agg(pl.col("value").count().alias("there"))
    lost = best.filter(pl.col("there") == 0).height
    if not lost:
        return ""
    none = "has" if lost == 1 else "have"
    return (
        f"{lost:,} of {several(best.height, 'model')} {none} no score: more than 5 % of the "
        "answers lack one, and what is missing is never counted as wrong."
    )


def screens(findings: pl.DataFrame) -> list[Screens]:
    """Findings by severity, the gravest first, the most frequent first within."""
    made = []
    for severity, (title, css) in SEVERITIES.items():
        own = findings.filter(pl.col("severity") == severity).sort(
            "count", "screen", "message", descending=[True, False, False]
        )
        if own.height:
            made.append(Screens(title, css, own.to_dicts(), int(own["count"].sum())))
    return made


def skipped(tables: Tables) -> list[Skipped]:
    """What was left out and why: scores without a value, models without an axis or family."""
    return [
        *_missing(tables["estimates"]),
        *_unplaced(tables["models"]),
        *_off_the_link(tables["verdicts"]),
        *_unjudged(tables),
        *_unread(tables["findings"]),
    ]


def _missing(estimates: pl.DataFrame) -> list[Skipped]:
    absent = estimates.filter(pl.col("value").is_null())
    why = pl.col("missing").fill_null("no value and no reason given")
    groups = (
        absent.with_columns(why)
        .group_by("missing", "metric")
        .agg(pl.len().alias("count"), pl.col("task").n_unique(), pl.col("model").n_unique())
        .sort("count", "metric", "missing", descending=[True, False, False])
    )
    return [
        Skipped(
            f"{row['metric']}: {several(row['task'], 'task')}, {several(row['model'], 'model')}",
            row["missing"],
            row["count"],
        )
        for row in groups.iter_rows(named=True)
    ]


def _off_the_link(verdicts: pl.DataFrame) -> list[Skipped]:
    """Scores that no curve is fitted to, one entry per metric; the axes of a task share them."""
    lost = verdicts.explode("unplaced").drop_nulls("unplaced").rename({"unplaced": "model"})
    lost = lost.unique(["partner", "task", "regime", "model"])
    counts = lost.group_by("partner").agg(
        pl.len().alias("count"), pl.col("task", "model").n_unique()
    )
    return [
        Skipped(
            f"{row['partner']}: {several(row['task'], 'task')}, {several(row['model'], 'model')}",
            "a value with no place on the link scale, such as a probability of exactly 0 or 1; "
            "the cards name the models",
            row["count"],
        )
        for row in counts.sort("partner").iter_rows(named=True)
    ]


def _unplaced(models: pl.DataFrame) -> list[Skipped]:
    nowhere = models.filter(pl.all_horizontal(pl.col(*AXES).is_null()))
    orphans = models.filter(pl.col("family").is_null()).join(nowhere, on="model", how="anti")
    reasons = (
        (nowhere, "no known size, tokens, FLOPs or loss: they have no place on any axis"),
        (orphans, "no known family: only models of one family are compared"),
    )
    return [
        Skipped(f"models {_some(frame['model'])}", why, frame.height)
        for frame, why in reasons
        if frame.height
    ]


def _unjudged(tables: Tables) -> list[Skipped]:
    """Scores of families that have a place on an axis, and yet make no series."""
    key = ["family", "regime", "task"]
    placed = pl.any_horizontal(pl.col(*AXES).is_not_null())
    rows = tables["estimates"].filter(
        placed, pl.col("family").is_not_null(), pl.col("value").is_not_null()
    )
    left = rows.join(tables["verdicts"].select(key).unique(), on=key, how="anti", nulls_equal=True)
    lone = pl.all_horizontal(pl.col("params", "flops", "loss").is_null())
    groups = left.group_by(lone.alias("lone")).agg(
        pl.col("family"), pl.col("task").n_unique(), pl.len().alias("count")
    )
    reasons = {
        True: "the number of training tokens alone is known, and it is one number: no axis",
        False: "no metric whose facts Saltus knows",
    }
    return [
        Skipped(f"{_some(pl.Series(names))}: {several(tasks, 'task')}", reasons[lone], count)
        for lone, names, tasks, count in groups.sort("lone").iter_rows()
    ]


def _unread(findings: pl.DataFrame) -> list[Skipped]:
    left_out = findings.filter(
        pl.col("screen").str.contains("skip|unread|not_read|not_numbers|groups|losses")
    )
    return [
        Skipped(row["model"] or row["task"] or "files", row["message"], row["count"])
        for row in left_out.iter_rows(named=True)
    ]


def _some(names: pl.Series, most: int = 6) -> str:
    shown = names.unique().sort().to_list()
    more = f" and {len(shown) - most:,} more" if len(shown) > most else ""
    return f"{', '.join(shown[:most])}{more}"


def grids(cards: Sequence[Card]) -> list[Grid]:
    """One grid of verdicts per family and prompt regime."""
    groups: dict[tuple[str, str | None], list[Card]] = {}
    for card in cards:
        groups.setdefault((card.family, card.regime), []).append(card)
    return [_grid(title(*key), own) for key, own in groups.items()]


def title(family: str, regime: str | None) -> str:
    """Family and regime as one heading."""
    return family if regime is None else f"{family}, {regime}"


def _grid(name: str, cards: Sequence[Card]) -> Grid:
    axes = [
        axis for axis in AXES if any(v.row["axis"] == axis for card in cards for v in card.views)
    ]
    rows = [(card, [card.on(axis) for axis in axes]) for card in cards]
    comparable = [card for card in cards if card.comparable]
    agree = sum(card.agree for card in comparable)
    return Grid(name, [AXES[axis] for axis in axes], rows, agree, len(comparable))
