"""An audit folder changes as a whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from saltus import store
from saltus.errors import StoreError, TableError
from saltus.tables import TABLES, Models, Scores, conform, empty, schema


def fill(folder: Path, text: str) -> None:
    with store.draft_of(folder) as draft:
        store.save_manifest(draft, store.new_manifest())
        store.write_text(draft / "note", text)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_failed_change_leaves_the_old_folder(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    fill(folder, "old")
    with pytest.raises(RuntimeError), store.draft_of(folder) as draft:
        store.write_text(draft / "note", "new")
        raise RuntimeError
    assert (folder / "note").read_text() == "old"
    assert names(tmp_path) == ["audit"]


def test_a_change_takes_the_place_of_the_old_folder(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    fill(folder, "old")
    fill(folder, "new")
    assert (folder / "note").read_text() == "new"
    assert names(tmp_path) == ["audit"]


KILLED = """
import sys, time
from pathlib import Path
from saltus import store
with store.draft_of(Path(sys.argv[1])) as draft:
    store.write_text(draft / "note", "half")
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_killed_change_leaves_the_old_folder_and_is_swept_up(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    fill(folder, "old")
    command = [sys.executable, "-c", KILLED, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
        os.kill(run.pid, signal.SIGKILL)
    assert (folder / "note").read_text() == "old"
    assert len(names(tmp_path)) == 2
    fill(folder, "new")
    assert names(tmp_path) == ["audit"]


def test_foreign_folders_are_never_written(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(StoreError, match="is not empty and is no audit folder"):
        fill(tmp_path, "new")
    with pytest.raises(StoreError, match="is a file"):
        fill(tmp_path / "thesis.tex", "new")
    assert names(tmp_path) == ["thesis.tex"]


def test_a_folder_without_a_manifest_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="saltus audit LOGS --out DIR"):
        store.load_manifest(tmp_path)


def rows(count: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "model": ["m"] * count,
            "task": "t",
            "item": [str(index) for index in range(count)],
            "sample": 0,
            "metric": "exact_match",
            "value": 1.0,
        }
    )


def test_batches_are_joined_in_order(tmp_path: Path) -> None:
    writer = store.TableWriter(tmp_path)
    for start in range(3):
        writer.write(Scores, rows(4).with_columns(value=pl.lit(float(start))))
    writer.close(Models)
    loaded = store.load(tmp_path, Scores)
    assert loaded["value"].to_list() == [0.0] * 4 + [1.0] * 4 + [2.0] * 4
    assert loaded.schema == schema(Scores)
    assert store.load(tmp_path, Models).equals(empty(Models))
    assert names(tmp_path) == ["models.parquet", "scores.parquet"]


def test_a_stage_runs_once_for_the_same_tables_and_options(tmp_path: Path) -> None:
    calls = []

    def make(writer: store.TableWriter) -> None:
        calls.append(1)
        writer.write(Scores, rows(2))

    manifest = store.new_manifest()
    for options in ({"a": 1}, {"a": 1}, {"a": 2}):
        store.run_stage(tmp_path, manifest, "score", (Models,), options, make, (Scores,))
    assert len(calls) == 2
    (tmp_path / "scores.parquet").unlink()
    store.run_stage(tmp_path, manifest, "score", (Models,), {"a": 2}, make, (Scores,))
    assert len(calls) == 3


def test_a_new_table_does_not_write_through_the_link_to_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    with store.draft_of(folder) as draft:
        store.save_manifest(draft, store.new_manifest())
        writer = store.TableWriter(draft)
        writer.write(Scores, rows(5))
        writer.close()
    with pytest.raises(RuntimeError), store.draft_of(folder) as draft:
        writer = store.TableWriter(draft)
        writer.write(Scores, rows(1))
        writer.close()
        raise RuntimeError
    assert store.load(folder, Scores).height == 5


def test_tables_refuse_what_their_schema_does_not_know() -> None:
    with pytest.raises(TableError, match="has no column colour"):
        conform(rows(1).with_columns(colour=pl.lit("red")), Scores)
    with pytest.raises(TableError, match="column 'task' has a null"):
        conform(rows(1).drop("task"), Scores)
    with pytest.raises(TableError, match="scores"):
        conform(rows(1).with_columns(value=pl.lit("many")), Scores)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_column_is_documented(table: type) -> None:
    assert all(field.doc for field in vars(table).values() if hasattr(field, "dtype"))
    assert table.__doc__
