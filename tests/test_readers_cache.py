"""The cache: a second reading gives the same tables, and nothing stale, damaged or half written."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

from reading import Tables, read_tables
from saltus import pipeline, store
from saltus.cli import main
from saltus.errors import ReadError
from saltus.readers import cache, cached, files, reader
from saltus.readers.files import opened
from shared import SHARED, needs_shared

OLD = 1e9  # seconds since 1970: a file that was left alone for long
DATE = "2026-01-02T03-04-05.678"
RESULTS = {"results": {"t": {"acc,none": 0.5}}, "config": {"model_args": "pretrained=pythia-70m"}}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, which keeps small files too and counts what the readers read."""
    monkeypatch.setenv("SALTUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cached, "SMALLEST", 1)
    monkeypatch.setattr(cache, "SMALLEST", 1)
    return tmp_path / "cache"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that a reader was asked to read."""
    asked: list[str] = []
    kept = cached._kept

    def counted(path: Path, *rest: Any) -> Any:
        asked.append(path.name)
        return kept(path, *rest)

    monkeypatch.setattr(cached, "_kept", counted)
    return asked


def aged(path: Path) -> Path:
    os.utime(path, (OLD, OLD))
    return path


def table(folder: Path, value: float = 0.5, name: str = "scores.jsonl") -> Path:
    path = folder / name
    row = {"model": "pythia-70m", "task": "t", "metric": "acc", "value": value}
    path.write_text(json.dumps(row) + "\n")
    return aged(path)


def samples(folder: Path, shots: int = 5) -> Path:
    """A samples file and the results file beside it, which says the number of shots."""
    folder.mkdir(exist_ok=True)
    about = RESULTS | {"n-shot": {"t": shots}, "versions": {}}
    aged(folder / f"results_{DATE}.json") if (folder / f"results_{DATE}.json").exists() else None
    (folder / f"results_{DATE}.json").write_text(json.dumps(about))
    row = {
        "doc_id": 0, "doc": {}, "target": "5", "filtered_resps": ["5"], "resps": [["5"]],
        "arguments": {}, "filter": "none", "metrics": ["exact_match"], "exact_match": 1.0,
    }  # fmt: skip
    path = folder / f"samples_t_{DATE}.jsonl"
    path.write_text(json.dumps(row) + "\n")
    return aged(path)


def same(one: Tables, other: Tables) -> bool:
    names = ("models", "responses", "reported", "findings")
    return all(one.table(name).equals(other.table(name)) for name in names)


def entry(folder: Path) -> Path:
    (found,) = (folder / cache.LOGS).iterdir()
    return found


def test_the_second_reading_gives_the_same_and_reads_nothing(
    tmp_path: Path, reads: list[str]
) -> None:
    path = table(tmp_path)
    first, second = read_tables([path]), read_tables([path])
    assert same(first, second)
    assert same(first, read_tables([path], cached=False))
    assert reads == [path.name]
    assert first.summary == second.summary


@needs_shared
@pytest.mark.parametrize(
    "name",
    [
        "tool_logs", "pythia/raw/pythia-70m", "olmo_ladder/raw", "mmlu_pro/raw", "zeroeval/raw",
        "cruxeval", "gsm8k_gpt3", "open_lm_scaling/raw", "logs/lm_eval", "logs/inspect_ai",
    ],
)  # fmt: skip
def test_real_logs_come_back_as_they_were_read(name: str, reads: list[str]) -> None:
    options: dict[str, Any] = {"require_facts": False, "keep_going": True}
    first = read_tables([SHARED / "data" / name], **options)
    count = len(reads)
    assert count
    second = read_tables([SHARED / "data" / name], **options)
    assert len(reads) == count
    assert same(first, second)
    assert first.summary == second.summary


def test_another_content_is_read_even_if_size_and_time_are_the_same(
    tmp_path: Path, reads: list[str]
) -> None:
    path = table(tmp_path)
    assert read_tables([path]).reported["value"].to_list() == [0.5]
    table(tmp_path, 0.7)
    assert read_tables([path]).reported["value"].to_list() == [0.7]
    table(tmp_path, 0.5)
    assert read_tables([path]).reported["value"].to_list() == [0.5]
    assert len(reads) == 2


def test_a_touched_file_is_known_by_its_content(tmp_path: Path, reads: list[str]) -> None:
    path = table(tmp_path)
    read_tables([path])
    os.utime(path, (OLD + 9, OLD + 9))
    read_tables([path])
    assert len(reads) == 1


def test_a_digest_of_a_file_that_has_just_changed_is_not_remembered(
    tmp_path: Path, folder: Path
) -> None:
    path = tmp_path / "new"
    path.write_bytes(b"x")
    assert cache.digest(path) == store.sha256(path)
    assert not (folder / cache.DIGESTS).exists()


def test_a_digest_that_is_remembered_is_right_or_made_anew(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "SETTLED_SECONDS", -1e9)  # ctime cannot be set, so as if long ago
    path = table(tmp_path)
    right = cache.digest(path)
    (memory,) = (folder / cache.DIGESTS).iterdir()
    whole = memory.read_text()
    for damaged in (whole.replace(right, "0" * 64), whole[:-1], "", "\0\n\n", whole + "\n"):
        memory.write_text(damaged)
        assert cache.digest(path) == right
    memory.write_bytes(b"\xff")
    assert cache.digest(path) == right


def test_what_the_reader_looked_for_beside_the_file_is_part_of_it(
    tmp_path: Path, reads: list[str]
) -> None:
    path = samples(tmp_path / "pythia-70m")
    beside = path.with_name(f"results_{DATE}.json")
    assert read_tables([path]).models["regime"].to_list() == ["5-shot"]
    samples(path.parent, shots=3)
    assert read_tables([path]).models["regime"].to_list() == ["3-shot"]
    beside.unlink()
    assert read_tables([path]).models["regime"].to_list() == [None]
    samples(path.parent, shots=3)
    assert read_tables([path]).models["regime"].to_list() == ["3-shot"]
    assert reads == [path.name] * 4


def test_the_same_bytes_elsewhere_are_another_log(tmp_path: Path) -> None:
    for name in ("pythia-70m", "pythia-160m"):
        path = samples(tmp_path / name)
        path.with_name(f"results_{DATE}.json").unlink()
        assert read_tables([path]).models["model_name"].to_list() == [name]


@pytest.mark.parametrize(
    ("option", "first", "second"),
    [
        ("columns", {}, {"metric": "measure"}),
        ("task", None, "other"),
        ("keep_going", False, True),
    ],
)
def test_other_options_are_another_reading(
    tmp_path: Path, reads: list[str], option: str, first: Any, second: Any
) -> None:
    path = tmp_path / "answers.jsonl"
    row = {"model": "m", "task": "t", "item": "1", "output": "x", "target": "x", "family": "f",
           "metric": "em", "measure": "acc"}  # fmt: skip
    path.write_text(json.dumps(row) + "\n")
    aged(path)
    for value in (first, second, first, second):
        read_tables([path], **{option: value})
    assert len(reads) == 2


def test_other_code_reads_anew(
    tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = table(tmp_path)
    read_tables([path])
    monkeypatch.setattr(cached, "_code", lambda: "another version")
    read_tables([path])
    assert len(reads) == 2


def test_other_tables_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    cached._code.cache_clear()
    before = cached._code()
    cached._code.cache_clear()
    monkeypatch.setattr(cached, "schema", lambda table: pl.Schema({"value": pl.String}))
    assert cached._code() != before
    cached._code.cache_clear()


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _flipped(data: bytes) -> bytes:
    return data[:60] + bytes([data[60] ^ 1]) + data[61:]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut": _cut,
    "flipped": _flipped,
    "no archive": lambda data: b"x" * len(data),
    "no contents": lambda data: data[: -cached._END.size],
    "contents of a strange size": lambda data: data[:-4] + b"\xff" * 4,
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_entry_is_made_anew(
    tmp_path: Path, folder: Path, reads: list[str], name: str
) -> None:
    path = table(tmp_path)
    right = read_tables([path])
    place = entry(folder)
    place.write_bytes(DAMAGES[name](place.read_bytes()))
    assert same(read_tables([path]), right)
    assert len(reads) == 2
    assert same(read_tables([path]), right)
    assert len(reads) == 2


def test_every_flipped_byte_of_an_entry_is_noticed_or_harmless(
    tmp_path: Path, folder: Path
) -> None:
    path = table(tmp_path)
    right = read_tables([path])
    whole = entry(folder).read_bytes()
    for place in range(0, len(whole), 41):
        entry(folder).write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        assert same(read_tables([path]), right), place


def test_a_reading_that_fails_or_is_given_up_leaves_nothing(tmp_path: Path, folder: Path) -> None:
    path = table(tmp_path)
    path.write_text(path.read_text() + "{not JSON\n")
    with pytest.raises(ReadError):
        read_tables([path])

    def full(*_: object) -> None:
        raise RuntimeError("the sink is full")

    from saltus.readers.read import read

    with pytest.raises(RuntimeError, match="full"):
        read([str(table(tmp_path))], sink=full)
    assert [p for p in (folder / cache.LOGS).rglob("*") if p.is_file()] == []


def test_a_folder_that_cannot_be_written_is_no_fault(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write_text("a file stands where the folder should be")
    path = table(tmp_path)
    for _ in range(2):
        assert read_tables([path]).reported["value"].to_list() == [0.5]


def test_readers_of_other_packages_are_not_kept(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = reader.Reader("x", lambda head: True, lambda path, options: iter(()), "a plug-in")
    path = table(tmp_path)
    assert list(cached.cached(path, plugin, reader.Options())) == []
    assert not (folder / cache.LOGS).exists()


def test_only_files_that_a_reader_opens_are_watched(tmp_path: Path) -> None:
    from saltus.readers.files import is_there, watched

    path = table(tmp_path)
    with watched() as outer, watched() as inner:
        with opened(path):
            pass
        is_there(tmp_path / "absent")
    assert inner.paths == outer.paths == {path, tmp_path / "absent"}


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_that_is_read_in_order_is_hashed_on_its_way(tmp_path: Path, packed: bool) -> None:
    path, data = tmp_path / "a", os.urandom(3 << 20)
    path.write_bytes(gzip.compress(data, 1) if packed else data)
    with files.watched() as seen, opened(path) as (_, stream):
        while stream.read(100_000):
            pass
    assert seen.digests == {path: hashlib.sha256(path.read_bytes()).hexdigest()}


@pytest.mark.parametrize("order", ["part", "again", "backwards", "skipped"])
def test_no_digest_is_told_of_what_was_not_read_in_order(tmp_path: Path, order: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(os.urandom(3 << 20))
    with files.watched() as seen, opened(path) as (raw, _):
        if order in ("backwards", "skipped"):
            raw.seek(1 << 20)
        raw.read(2 << 20)
        if order == "backwards":
            raw.seek(0)
            raw.read(1 << 20)
        if order == "again":
            raw.seek(0)
            raw.read()
    right = {path: hashlib.sha256(path.read_bytes()).hexdigest()} if order == "again" else {}
    assert seen.digests == right


def test_a_new_file_is_read_once_and_its_digest_is_right(
    tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = table(tmp_path)
    monkeypatch.setattr(files, "SETTLED_SECONDS", -60.0)  # as if it had been there for long
    with monkeypatch.context() as only:
        only.setattr(files, "_digest", lambda path: pytest.fail("it is read for its digest alone"))
        first = read_tables([path])
    assert first.summary.inputs[0].sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert same(read_tables([path]), first)
    assert reads == [path.name]


def test_a_file_that_changes_while_it_is_read_is_not_remembered(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = table(tmp_path)
    monkeypatch.setattr(files, "SETTLED_SECONDS", -60.0)
    (plain,) = (entry for entry in reader.READERS if entry.name == "plain")
    batches = cached.cached(path, plain, reader.Options())
    next(batches)
    path.write_text(path.read_text() * 2)
    list(batches)
    assert not [file for file in folder.rglob("*") if file.is_file()]
    assert cache.digest(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_was_used_longest_ago_goes_first(tmp_path: Path, folder: Path) -> None:
    places = []
    for number in range(4):
        place = folder / cache.LOGS / str(number)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"x" * 10)
        os.utime(place, (OLD + number, OLD + number))
        places.append(place)
    forgotten = folder / cache.LOGS / ".draft-1"
    forgotten.write_bytes(b"x")
    os.utime(forgotten, (OLD, OLD))
    cache.evict(folder, places[0], most=25)
    assert [place.exists() for place in places] == [True, False, False, True]
    assert not forgotten.exists()


def test_the_command_shows_and_clears(tmp_path: Path, folder: Path) -> None:
    path = table(tmp_path)

    def run(*arguments: str) -> Any:
        result = CliRunner().invoke(main, list(arguments))
        assert result.exit_code == 0, result.output
        return result

    def logs() -> int:
        rows = map(json.loads, run("cache", "--json").stdout.splitlines())
        return next(row["files"] for row in rows if row["kind"] == "logs")

    run("read", str(path), "--out", str(tmp_path / "first"), "--no-cache")
    assert logs() == 0
    run("read", str(path), "--out", str(tmp_path / "second"))
    assert logs() == 1
    assert str(folder) in run("cache").stderr
    run("cache", "--clear")
    assert logs() == 0


def test_a_digest_that_is_told_later_is_of_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = table(tmp_path)
    monkeypatch.setattr(files, "SETTLED_SECONDS", -60.0)
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    later, other, at_once = (cache.digest_later(path, cached) for cached in (True, True, False))
    assert later() == at_once() == right
    path.write_text(path.read_text() * 2)
    assert at_once() == right
    assert other() == "changed while it was read"


def test_a_new_log_is_hashed_while_the_pipeline_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = table(tmp_path), tmp_path / "audit"
    monkeypatch.setattr(files, "SETTLED_SECONDS", -60.0)
    with monkeypatch.context() as only:
        only.setattr(files, "_digest", lambda path: pytest.fail("it is read for its digest alone"))
        pipeline.read(path, out)
    inputs = json.loads((out / "manifest.json").read_text())["stages"]["read"]["options"]["inputs"]
    assert inputs == [[str(path), None, hashlib.sha256(path.read_bytes()).hexdigest()]]
    assert not pipeline.read(path, out)
    path.write_text(path.read_text() * 2)
    assert pipeline.read(path, out)


def test_a_frame_whose_columns_all_say_the_same_is_kept(tmp_path: Path) -> None:
    steps = pl.Series("step", [None] * 3, dtype=pl.Int64)
    frame = pl.DataFrame({"model": ["a"] * 3, "model_name": ["b"] * 3}).hstack([steps])
    draft = cached._Draft()
    draft.add(reader.Batch(models=frame))
    draft.finish(tmp_path / "entry", set())
    with (tmp_path / "entry").open("rb", buffering=0) as kept:
        (part,) = cached._sound(kept) or ()
        found = cached._batch(kept, part).models
    assert found is not None
    assert found.equals(frame)


def test_a_full_disk_ends_the_keeping_and_not_the_reading(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cached._Summed, "write", full)
    assert read_tables([table(tmp_path)]).reported["value"].to_list() == [0.5]
    assert [file for file in (folder / cache.LOGS).rglob("*") if file.is_file()] == []
