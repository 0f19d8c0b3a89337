"""Files to tables: find the files, let their readers read them, and complete the models."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from polars.exceptions import PanicException

from saltus.errors import ReadError, SaltusError
from saltus.readers.addresses import is_address, told
from saltus.readers.cache import digest
from saltus.readers.cached import cached as from_cache
from saltus.readers.download import Progress, silent
from saltus.readers.files import head_bytes, sha256
from saltus.readers.gather import Gathered, Sink
from saltus.readers.models import UserModels, read_losses, read_models
from saltus.readers.plain import refusal
from saltus.readers.reader import Batch, Head, Options, Reader, finding, recognise
from saltus.readers.remote import fetch, forget
from saltus.readers.roles import check_mapping


@dataclass(frozen=True)
class Input:
    """One file that was read.

    Args:
        path: as it was found, or the address that it was fetched from.
        sha256: digest of the file as it lies on the disk.
        reader: name of the reader.
        size: bytes on the disk.
        rows: rows of responses and reported values that came out.
    """

    path: str
    sha256: str
    reader: str
    size: int
    rows: int


@dataclass(frozen=True)
class ReadSummary:
    """What was read.

    Args:
        inputs: the files, in order.
        skipped: files in folders that no reader recognises.
        counts: rows per table.
        filters: task -> filters, for tasks whose answers stand under several of them.
    """

    inputs: tuple[Input, ...]
    skipped: tuple[str, ...]
    counts: Mapping[str, int]
    filters: Mapping[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """One file to read.

    Args:
        path: the file.
        model: name that the user gave its run.
        listed: the user named this very file, so that it must be readable.
        address: where it was fetched from, as it may be told.
    """

    path: Path
    model: str | None
    listed: bool
    address: str | None = None

    @property
    def name(self) -> str:
        """What the user knows the file by."""
        return self.address or str(self.path)

    def told(self, text: str) -> str:
        """A text about the file or those beside it, with addresses for where they were fetched."""
        place, address = str(self.path), self.address or ""
        while address.partition("://")[2]:
            text = text.replace(place, address)
            place, address = os.path.dirname(place), address.rpartition("/")[0]  # noqa: PTH120
        return text

    def blamed(self, fault: ReadError) -> ReadError:
        """A fault of the file, told so."""
        return ReadError(self.told(fault.what), self.told(fault.path), fault.line, fault.field)

    def taken(self, batch: Batch) -> Batch:
        """A batch of the file, with its findings told so."""
        notes = ({**note, "message": self.told(note["message"])} for note in batch.findings)
        return batch._replace(findings=tuple(notes)) if self.address else batch


def find(paths: Sequence[str], *, cached: bool = True, progress: Progress = silent) -> list[Found]:
    """The files that arguments name: files, folders, globs, addresses, also as `NAME=PATH`.

    Args:
        paths: the arguments.
        cached: what was fetched before and has not changed need not be fetched again.
        progress: told the share of an address's bytes that has come, None where it is not known.

    Raises:
        SaltusError: an argument that names nothing.
        ReadError: an address that cannot be fetched.
    """
    forget()
    found = [file for argument in paths for file in _find_one(argument, cached, progress)]
    unique: dict[Path | str, Found] = {}
    for file in found:
        whole = file.address is not None and not file.address.endswith("?...")
        unique.setdefault(file.name if whole else file.path.absolute(), file)
    return list(unique.values())


def _find_one(argument: str, cached: bool, progress: Progress) -> list[Found]:
    for model, address in ((None, argument), _split(argument)):
        if is_address(address):
            fetched = fetch(address, anew=not cached, progress=progress)
            return [Found(file.path, model, file.listed, file.address) for file in fetched]
    for model, place in ((None, argument), _split(argument)):
        if place and (hits := _places(place)):
            listed = len(hits) == 1 and not Path(hits[0]).is_dir()
            return [f for hit in hits for f in _files(Path(hit), model, listed)]
    raise SaltusError(f"{argument}: no such file or folder, and no file matches it as a pattern")


def _split(argument: str) -> tuple[str | None, str]:
    name, equals, place = argument.partition("=")
    return (name, place) if equals and name else (None, "")


def _places(place: str) -> list[str]:
    return [place] if os.path.lexists(place) else sorted(glob.glob(place, recursive=True))  # noqa: PTH207


def _files(place: Path, model: str | None, listed: bool) -> Iterator[Found]:
    if not place.is_dir():
        yield Found(place, model, listed)
        return
    for folder, folders, names in os.walk(place):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield Found(Path(folder, name), model, False)


def read(
    paths: Sequence[str],
    *,
    sink: Sink,
    columns: Mapping[str, str] | None = None,
    models: Path | None = None,
    loss: str | None = None,
    task: str | None = None,
    filtered: str | None = None,
    keep_going: bool = False,
    require_facts: bool = True,
    cached: bool = True,
    advance: Callable[[int], None] | None = None,
    found: Sequence[Found] | None = None,
) -> ReadSummary:
    """Read logs and give their rows to the sink, table by table and batch by batch.

    Args:
        paths: files, folders (searched for what readers recognise), globs, addresses of such,
            or `NAME=PATH`.
        sink: called with a table's class and conformed rows; `models` and `findings` come
            last, once each.
        columns: role -> column name, for plain tables.
        models: a plain table of model facts; it wins over what files and `families.csv` say.
        loss: a plain table of validation losses, as FILE or LOSS_NAME=FILE.
        task: name of the task, where a file does not say.
        filtered: the harness's filter whose answers are taken.
        keep_going: count and list bad lines and bad files instead of stopping.
        require_facts: refuse models without a family, where the reader asks for facts.
        cached: keep what is read of large files for the next time, and take what was kept.
        advance: called with numbers of bytes as they are read.
        found: what `find` gave for the paths, where it was asked before.

    Raises:
        SaltusError: nothing to read, an unknown model, or a mapped column that no file has.
        ReadError: a file or line that cannot be read.
    """
    columns = dict(columns or {})
    check_mapping(columns)
    options = Options(columns, task, None, keep_going, advance or (lambda count: None))
    user = read_models(models, columns) if models is not None else UserModels()
    losses = read_losses(loss, columns) if loss is not None else UserModels()
    gathered = Gathered(sink, user, losses=losses, filtered=filtered)
    files = find(paths, cached=cached) if found is None else found
    inputs, skipped = [], []
    for file in files:
        try:
            done = _read_file(file, options, gathered, cached)
        except ReadError as fault:
            blamed = file.blamed(fault)
            if not keep_going or file.listed:
                raise blamed from None
            gathered.note(finding("unreadable_files", str(blamed), severity="error"))
            continue
        if done is None:
            skipped.append(file.name)
        else:
            inputs.append(done)
    if not inputs:
        raise SaltusError(_nothing(paths, skipped))
    gathered.skipped(skipped)
    gathered.check_columns(columns)
    several = gathered.several_filters()
    gathered.finish(require_facts)
    return ReadSummary(tuple(inputs), tuple(skipped), dict(gathered.counts), several)


def _nothing(paths: Sequence[str], skipped: Sequence[str]) -> str:
    paths = [told(path) for path in paths]
    if not skipped:
        return f"{', '.join(paths)}: there is no file in it"
    return (
        f"nothing in {', '.join(paths)} is recognised ({len(skipped)} files looked at, such as "
        f"{skipped[0]}). `saltus list readers` names what is read; name one file by itself to be "
        "told why it is not"
    )


def _read_file(file: Found, options: Options, gathered: Gathered, cached: bool) -> Input | None:
    """Read one file; None where it lies in a folder and no reader recognises it."""
    options = replace(options, model=file.model)
    reader = _recognise(file, options)
    if reader is None:
        return None
    size, told = file.path.stat().st_size, 0

    def advance(count: int) -> None:
        nonlocal told
        told += count
        options.advance(count)

    rows = 0
    try:
        told_of = replace(options, advance=advance)
        read_file = from_cache(file.path, reader, told_of) if cached else None
        for batch in read_file or reader.read(file.path, told_of):
            rows += gathered.take(file.taken(batch), reader, file.path)
    except OverflowError:  # 64 bits hold every count and step that a log can mean
        raise ReadError("holds a whole number that is too large", file.path) from None
    except PanicException as fault:
        raise _damaged(fault, file.path) from None
    options.advance(size - told)
    whole = digest(file.path) if cached else sha256(file.path)
    return Input(file.name, whole, reader.name, size, rows)


def _damaged(fault: BaseException, path: Path) -> ReadError:
    """Polars ends in a panic, which is no exception, on Parquet data that are damaged."""
    return ReadError(f"the data are damaged ({fault!s:.80}); fetch the file again", path)


def _recognise(file: Found, options: Options) -> Reader | None:
    try:
        head = Head(file.path, head_bytes(file.path), options.columns, options.model)
        found = recognise(head)
    except ReadError:
        if file.listed:
            raise
        return None
    except PanicException as fault:
        raise _damaged(fault, file.path) from None
    if found is None and file.listed:
        raise ReadError(refusal(head), file.path)
    return found
