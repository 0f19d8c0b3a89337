"""A job on an audit folder: a draft that verbs change and that takes the folder's place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from saltus import store
from saltus.report.neighbours import link_pages
from saltus.tables import Table

Progress = Callable[[str, float | None], None]  # verb, share done (None: not known)


def silent(verb: str, share: float | None) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class Job:
    """A draft of an audit folder that verbs work on, one after the other."""

    draft: Path
    manifest: dict[str, Any]
    progress: Progress

    def load(self, table: type[Table]) -> pl.DataFrame:
        """A whole table of the draft."""
        return store.load(self.draft, table)

    def run(
        self,
        verb: str,
        reads: tuple[type[Table], ...],
        options: Mapping[str, Any] | Callable[[], Mapping[str, Any]],
        make: Callable[[store.TableWriter], None],
        writes: tuple[type[Table], ...],
    ) -> bool:
        """Do the verb's work unless the draft holds its result; say so on the way."""
        self.progress(verb, 0.0)
        done = store.run_stage(self.draft, self.manifest, verb, reads, options, make, writes)
        self.progress(verb, 1.0)
        return done


@contextmanager
def job_on(
    folder: Path,
    progress: Progress,
    *,
    new: bool = False,
    seed: int | None = None,
    command: str = "",
) -> Iterator[Job]:
    """A job on a folder, which changes as a whole when the block ends without an error."""
    if not new:
        store.load_manifest(folder)
    with store.draft_of(folder) as draft:
        fresh = not store.is_audit(draft)
        manifest = store.new_manifest() if fresh else store.load_manifest(draft)
        if seed is not None:
            manifest["seed"] = seed
        if command:
            manifest["command"] = command
        if manifest.get("metrics"):
            from saltus.metrics.users import remember

            remember(manifest["metrics"])
        yield Job(draft, manifest, progress)
        link_pages(draft, store.write_text)
        store.save_manifest(draft, manifest)
