"""A whole family: sizes and seeds side by side over the cores, and an audit folder at the end.

While it trains, everything lies in a hidden folder beside the audit folder, one folder per run
(`training_run.py`). A kill at any moment loses the work since the last saved states; the same
command goes on from there. The audit folder comes into being when all runs are done.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from saltus import __version__, store
from saltus.errors import SaltusError, StoreError
from saltus.models.family import FAMILIES, Preset, need_torch
from saltus.readers.facts import label_expression
from saltus.tables import Models, Reported, Responses, Table, conform
from saltus.tables import schema as columns_of

if TYPE_CHECKING:
    from saltus.runners.training_run import Run

POLL = 0.3  # seconds between two looks at the progress
VERB = "train"
WEIGHTS = "weights"  # folder of the final weights, one file per run
Progress = Callable[[str, float | None], None]  # what, share done


def train(
    family: str,
    preset: str | Preset,
    out: Path,
    *,
    data: Path | None = None,
    download: bool = False,
    workers: int | None = None,
    command: str = "",
    progress: Progress = lambda what, share: None,
) -> bool:
    """Train every size and seed of a family and write their answers to an audit folder.

    Args:
        family: name in `FAMILIES`.
        preset: "smoke", "paper", "full", or how much else is trained.
        out: audit folder to make: `models`, and `responses` or scores per item in `reported`,
            a model per run and checkpoint; the final one has no step.
        data: folder with the pictures, for a family that looks at some.
        download: fetch them there where they are not.
        workers: processes, each with one thread; None takes one per core (one on a GPU).
        command: recorded in the manifest.
        progress: called with "train" or a model's name, and the share that is done.

    Returns:
        Whether anything was trained (False: the folder already holds this training).

    Raises:
        SaltusError: there is no such family or preset, PyTorch is missing, the folder holds
            something else, or another process trains into it.
    """
    facts = preset if isinstance(preset, Preset) else FAMILIES[family].preset(preset)
    need_torch()
    if data is not None:
        facts = replace(facts, data=str(data.absolute()))
    options = {"family": family, **asdict(facts)}
    if _finished(out, options):
        return False
    notes = _pictures(FAMILIES[family].images, facts.data, download)
    place = out.absolute().with_name(f".{out.name}.training")
    with _begun(place, options):
        _train_runs(_runs(family, facts), facts.steps, place, workers, progress)
        _write(out, place, options, {"command": command, "notes": notes})
        shutil.rmtree(place)
    return True


def _pictures(names: tuple[str, ...], folder: str | None, download: bool) -> list[str]:
    """What a family looks at, found before anything is begun, in a note for the manifest.

    Raises:
        SaltusError: the pictures are not there or damaged, or the family looks at none.
    """
    from saltus.images.load import load_first

    if not names:
        if folder is not None:
            raise SaltusError("this family learns from no files; leave --data out")
        return []
    found = load_first(names, None if folder is None else Path(folder), download)
    return [f"{found.title} from {found.source}; {found.split}"]


def _runs(family: str, preset: Preset) -> list[Run]:
    """All runs, seed by seed, so that what is done is a whole family; the largest run first."""
    from saltus.runners.training_run import Run

    return [
        Run(family, preset, size, seed)
        for seed in range(preset.seeds)
        for size in reversed(preset.sizes)
    ]


def _finished(out: Path, options: dict[str, Any]) -> bool:
    """Whether the folder holds this training.

    Raises:
        StoreError: it holds something else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    stage = store.load_manifest(out)["stages"].get(VERB) if store.is_audit(out) else None
    if stage is None or stage["options"] != json.loads(json.dumps(options)):
        raise StoreError(f"{out} holds something else; name another folder, nothing was written")
    return True


@contextmanager
def _begun(place: Path, options: dict[str, Any]) -> Iterator[None]:
    """The folder of a training, new or to go on with, for this process alone."""
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as lock:
        _lock(lock.fileno(), place)
        text = json.dumps({"saltus": __version__, **options}, indent=1)
        record = place / "training.json"
        if not record.is_file():
            store.write_text(place / ".training.json", text)
            (place / ".training.json").replace(record)
        elif record.read_text(encoding="utf-8") != text:
            raise StoreError(
                f"{place} holds a training that was begun with other settings; "
                "finish it with those, or remove that folder"
            )
        yield


def _lock(file: int, place: Path) -> None:
    """Refuse to train where another process does; it is let go when the process ends."""
    try:
        import fcntl
    except ImportError:  # pragma: no cover - a system without such locks
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise StoreError(f"another process is training in {place}; wait for it") from None


def _train_runs(
    runs: Sequence[Run], steps: int, place: Path, workers: int | None, progress: Progress
) -> None:
    from saltus.runners.training_run import device

    own = device().type != "cpu"
    workers = min(workers or (1 if own else os.cpu_count() or 1), len(runs))
    if workers == 1:
        _in_this_process(runs, steps, place, progress)
    else:
        _in_processes(runs, steps, place, workers, progress)


def _in_this_process(runs: Sequence[Run], steps: int, place: Path, progress: Progress) -> None:
    import torch

    from saltus.runners.training_run import train_run

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for at, run in enumerate(runs):

            def tell(done: int, at: int = at, run: Run = run) -> None:
                _show([steps] * at + [done], runs, steps, progress)

            train_run(run, place / run.folder, tell)
    finally:
        torch.set_num_threads(threads)


def _in_processes(
    runs: Sequence[Run], steps: int, place: Path, workers: int, progress: Progress
) -> None:
    """Runs side by side; a fault in one stops them all, and what they saved stays."""
    context = multiprocessing.get_context("spawn")
    done = context.Array("q", len(runs), lock=False)
    pool = ProcessPoolExecutor(workers, context, _start, (done, os.getpid()))
    try:
        futures = [pool.submit(_work, at, run, place / run.folder) for at, run in enumerate(runs)]
        waiting: set[Future[None]] = set(futures)
        while waiting:
            ended, waiting = wait(waiting, POLL, FIRST_EXCEPTION)
            _show(list(done), runs, steps, progress)
            for future in ended:
                future.result()
    except BrokenProcessPool:
        raise SaltusError(
            "a training process was ended from outside; the same command goes on from what is saved"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


_SHARED: dict[str, Any] = {}  # of a worker: the steps done by every run, and its parent


def _start(done: Any, parent: int) -> None:
    import torch

    torch.set_num_threads(1)
    _SHARED.update(done=done, parent=parent)


def _work(at: int, run: Run, folder: Path) -> None:
    from saltus.runners.training_run import train_run

    def tell(done: int) -> None:
        _SHARED["done"][at] = done
        if os.getppid() != _SHARED["parent"]:
            os._exit(1)  # the command was killed; nobody waits for this work

    try:
        train_run(run, folder, tell)
    except SaltusError as fault:  # its subclasses need not survive the way between processes
        raise SaltusError(str(fault)) from None


def _show(done: Sequence[int], runs: Sequence[Run], steps: int, progress: Progress) -> None:
    progress(VERB, sum(done) / (steps * len(runs)))
    for run, count in zip(runs, done, strict=False):
        if count:
            progress(f"{run.model}@seed{run.seed}", count / steps)


def _write(out: Path, place: Path, options: dict[str, Any], facts: Mapping[str, Any]) -> None:
    """The audit folder, as a whole, from the answers of every checkpoint of every run."""
    from saltus.runners.training_run import keep_weights

    files = sorted(place.glob("*/answers-*.parquet"))
    steps = options["steps"]
    scored = "metric" in pl.read_parquet_schema(files[0])
    answers: type[Table] = Reported if scored else Responses

    def make(writer: store.TableWriter) -> None:
        for file in files:
            table = _labelled(pl.read_parquet(file), steps)
            writer.write(answers, _of(answers, table))
            writer.write(Models, _of(Models, table.head(1)))

    with store.draft_of(out) as draft:
        manifest = {**store.new_manifest(), **facts}
        store.run_stage(draft, manifest, VERB, (), options, make, (Models, Responses, Reported))
        keep_weights(place, draft / WEIGHTS)
        store.save_manifest(draft, manifest)


def _labelled(table: pl.DataFrame, steps: int) -> pl.DataFrame:
    """With the model's label, and the step of every checkpoint but the final one."""
    step = pl.when(pl.col("done") < steps).then("done")
    facts = table.with_columns(step.alias("step"), regime=pl.lit(None, pl.String))
    source = pl.format("saltus train: {}", "family")
    return facts.with_columns(label_expression(), source=source)


def _of(schema: type[Table], table: pl.DataFrame) -> pl.DataFrame:
    """The columns of one table."""
    names = [name for name in columns_of(schema) if name in table.columns]
    return conform(table.select(names), schema)
