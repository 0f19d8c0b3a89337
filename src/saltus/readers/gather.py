"""What the batches of all files add up to: models with their facts, samples, findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from saltus.errors import SaltusError
from saltus.readers import facts as known
from saltus.readers.facts import FACTS, Facts
from saltus.readers.frames import all_alike
from saltus.readers.models import UserModels
from saltus.readers.reader import Batch, Finding, Reader, finding
from saltus.tables import (
    Findings,
    Models,
    Reported,
    Responses,
    Stops,
    Table,
    cells,
    conform,
    schema,
)

Sink = Callable[[type[Table], pl.DataFrame], None]
"""Takes a table's class and some of its rows."""
LISTED_SKIPS = 20
SEEN_CHUNKS = 16
PLACE = ("model", "model_name", "step", "seed", "regime")


class Seen:
    """How often each key was there before: 8 bytes per row, in sorted chunks.

    So many chunks of one size become a larger one, so that few are looked through and no merge
    holds much twice. Keys are 64-bit hashes; among ten million answers two collide with
    probability 3e-6.
    """

    def __init__(self) -> None:
        self._tiers: list[list[NDArray[np.uint64]]] = []
        self.last_repeats = False
        """Whether the last batch had one of its keys more than once."""

    def before(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """(rows,) how many earlier batches' rows had the key; then remember these."""
        count = np.zeros(len(keys), np.int64)
        ordered = np.sort(keys)
        for chunk in chain.from_iterable(self._tiers):
            if _share(chunk, ordered):
                count += np.searchsorted(chunk, keys, "right") - np.searchsorted(chunk, keys)
        self.last_repeats = bool((ordered[1:] == ordered[:-1]).any())
        self._keep(ordered, 0)
        return count

    def _keep(self, chunk: NDArray[np.uint64], tier: int) -> None:
        if tier == len(self._tiers):
            self._tiers.append([])
        self._tiers[tier].append(chunk)
        if len(self._tiers[tier]) == SEEN_CHUNKS:
            whole = np.concatenate(self._tiers[tier])
            self._tiers[tier] = []
            whole.sort()
            self._keep(whole, tier + 1)


def _share(chunk: NDArray[np.uint64], keys: NDArray[np.uint64]) -> bool:
    """Whether two sorted arrays have a key in common; keys in order are found much faster."""
    place = np.searchsorted(chunk, keys)
    within = place < len(chunk)
    return bool((chunk[place[within]] == keys[within]).any())


Key = tuple[str, int | None, int | None]
"""A trained model: name, step, seed; its prompt regimes share what is known of it."""


@dataclass
class Gathered:
    """What the batches of all files add up to."""

    sink: Sink
    user: UserModels
    counts: Counter[str] = field(default_factory=Counter)
    facts: dict[Key, Facts] = field(default_factory=dict)
    labels: dict[str, dict[str, Any]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    needy: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)
    findings: dict[tuple[Any, ...], Finding] = field(default_factory=dict)
    answers: Seen = field(default_factory=Seen)
    values: Seen = field(default_factory=Seen)
    repeats: Counter[tuple[str, str]] = field(default_factory=Counter)
    conflicts: Counter[tuple[str, str]] = field(default_factory=Counter)
    losses: UserModels = field(default_factory=UserModels)
    filtered: str | None = None
    filters: dict[tuple[str, str], set[str | None]] = field(default_factory=dict)

    def note(self, *notes: Finding) -> None:
        """Keep findings; one that comes batch after batch is counted once with its sum."""
        for new in notes:
            key = tuple(value for name, value in new.items() if name != "count")
            old = self.findings.get(key)
            count = new["count"] if old is None else old["count"] + new["count"]
            self.findings[key] = {**new, "count": count}

    def take(self, batch: Batch, reader: Reader, path: Path) -> int:
        """Pass a batch on; give the number of its rows."""
        self.note(*batch.findings)
        self.used |= batch.used
        if batch.models is not None:
            self._take_models(batch.models, path)
        if batch.stops is not None:
            self._give(Stops, conform(batch.stops, Stops))
        rows = 0
        for table, frame in ((Responses, batch.responses), (Reported, batch.reported)):
            if frame is None or frame.is_empty():
                continue
            if table is Responses and "filter" in frame.columns:
                frame = self._chosen(frame)
            whole = conform(self._numbered(frame, table), table)
            names = _different(whole, "model")["model"].to_list()
            self.seen.update(names)
            if reader.needs_model_facts:
                self.needy.update(names)
            self._give(table, whole)
            rows += whole.height
        return rows

    def _chosen(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The answers of the filter that the user chose; all are remembered by name."""
        for model, task, name in _different(frame, "model", "task", "filter").iter_rows():
            self.filters.setdefault((model, task), set()).add(name)
        if self.filtered is None:
            return frame
        return frame.filter(pl.col("filter").is_null() | (pl.col("filter") == self.filtered))

    def several_filters(self) -> dict[str, list[str]]:
        """Tasks whose answers of one model stand under several filters, none of them chosen.

        Raises:
            SaltusError: no answer stands under the filter that was chosen.
        """
        names = {name for found in self.filters.values() for name in found if name is not None}
        if self.filtered is not None and self.filtered not in names:
            listed = ", ".join(sorted(names)) or "none"
            raise SaltusError(f"--filter {self.filtered}: no answer has it; there are: {listed}")
        many = {} if self.filtered else self.filters
        return {t: sorted(map(str, f)) for (_, t), f in many.items() if len(f) > 1}

    def _give(self, table: type[Table], frame: pl.DataFrame) -> None:
        self.counts[table.name] += frame.height
        self.sink(table, frame)

    def _take_models(self, frame: pl.DataFrame, path: Path) -> None:
        for row in frame.iter_rows(named=True):
            key = (row["model_name"], row.get("step"), row.get("seed"))
            place = {name: row.get(name) for name in PLACE}
            self.labels.setdefault(row["model"], place)
            new = known.facts(row.get("source") or path.name, row)
            old = self.facts.get(key, Facts())
            for name in FACTS:
                if None not in (getattr(old, name), getattr(new, name)):
                    self.conflicts[key[0], name] += getattr(old, name) != getattr(new, name)
            self.facts[key] = known.merge(old, new)

    def _numbered(self, frame: pl.DataFrame, table: type[Table]) -> pl.DataFrame:
        """Number repeated answers of a model to an item: 0, 1, ... in the order of the logs."""
        answers = table is Responses
        if not answers and "item" not in frame.columns:
            return frame
        names = ("model", "task", "item", "filter" if answers else "metric", "sample")
        key = pl.DataFrame([cells(frame, name, table) for name in names])
        keys = key.hash_rows(seed=0).alias("key")
        seen = self.answers if answers else self.values
        count = pl.Series("count", seen.before(keys.to_numpy()))
        if seen.last_repeats:
            again = pl.DataFrame([keys, count]).select(pl.int_range(pl.len()).over("key") + count)
            count = again.to_series()
        if answers and (count > 0).any():
            again = frame.select("model", "task", count.alias("count")).filter(pl.col("count") > 0)
            for model, task, rows in again.group_by("model", "task").len().iter_rows():
                self.repeats[model, task] += rows
        if "sample" not in frame.columns and not frame["item"].null_count():
            return frame.hstack([count.alias("sample")])
        number = pl.when(pl.col("item").is_not_null()).then(
            pl.coalesce(key["sample"], pl.lit(count.alias("count")))
        )
        return frame.with_columns(number.alias("sample"))

    def skipped(self, paths: Sequence[str]) -> None:
        """One finding for the files that no reader recognises."""
        if paths:
            more = ", ..." if len(paths) > LISTED_SKIPS else ""
            message = f"no reader recognises {', '.join(paths[:LISTED_SKIPS])}{more}; skipped"
            self.note(finding("skipped_files", message, count=len(paths)))

    def check_columns(self, columns: Mapping[str, str]) -> None:
        """Every mapped role must have been found somewhere.

        Raises:
            SaltusError: no input has the column.
        """
        for role, name in columns.items():
            if role not in self.used | self.user.used | self.losses.used:
                raise SaltusError(f"--columns {role}={name}: no input has a column {name!r}")

    def finish(self, require_facts: bool) -> None:
        """Give the models and the findings.

        Raises:
            SaltusError: models without a family, named with their nearest known names.
        """
        rows, lost = [], []
        for place in (self.labels[name] for name in self.labels if name in self.seen):
            whole = self._facts(place)
            rows.append(_model_row(place, whole))
            if not whole.listed and whole.family is None and place["model"] in self.needy:
                lost.append(str(place["model_name"]))
        if lost and require_facts:
            raise known.unknown_models(lost)
        if lost:
            message = f"{known.unknown_models(lost)}; these models are in no verdict"
            self.note(finding("unknown_models", message, severity="warning", count=len(lost)))
        frame = pl.DataFrame(rows, schema=schema(Models))
        self._give(Models, conform(frame, Models))
        self._count_findings()
        notes = pl.DataFrame(list(self.findings.values()), schema=schema(Findings))
        self._give(Findings, conform(notes, Findings))

    def _facts(self, place: Mapping[str, Any]) -> Facts:
        """The user's word before the file's, and the file's before `families.csv`."""
        name, step = place["model_name"], place["step"]
        losses = self.losses.exact(place["model"], name, step)
        stated = known.merge(losses, self.user.find(place["model"], name, step))
        found = known.merge(stated, self.facts.get((name, step, place["seed"]), Facts()))
        public = known.published(name, step) if place["model"] in self.needy else Facts()
        if stated.listed:
            public = known.without(public, self.user.columns)  # a blank stays blank
        if found.tokens is not None and found.tokens != public.tokens:
            public = known.without(public, ("flops",))  # published for another number of tokens
        return known.with_flops(known.merge(found, public))

    def _count_findings(self) -> None:
        for (model, task), count in sorted(self.repeats.items()):
            message = "answers to items that the model had answered before; kept as further samples"
            repeat = finding("repeated_items", message, severity="warning", count=count)
            self.note(repeat | {"model": model, "task": task})
        for (name, fact), count in sorted(self.conflicts.items()):
            if count:
                message = (
                    f"{name}: rows disagree on {fact}, the first value is used; checkpoints need a "
                    "column step"
                )
                self.note(finding("model_facts", message, severity="warning", count=count))


def _different(frame: pl.DataFrame, *names: str) -> pl.DataFrame:
    """The different rows of some columns, in order; mostly all rows of a batch are alike."""
    chosen = frame[list(names)]
    alike = all(map(all_alike, chosen))
    return chosen.head(1) if alike else chosen.unique(maintain_order=True)


def _model_row(place: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    values = {name: getattr(facts, name) for name in FACTS}
    return {**place, **values, "source": known.describe_sources(facts)}
