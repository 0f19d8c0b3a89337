"""Folders and patterns behind addresses: servers of our own on this machine, and memory."""

from __future__ import annotations

import glob
import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl
import pytest

from reading import Tables, read_tables
from saltus import pipeline
from saltus.cli import main
from saltus.cli.common import out_folder
from saltus.errors import ReadError
from saltus.readers import download, listing, remote, web_index
from saltus.readers.files import is_there
from saltus.readers.read import find
from servers import Answer, page, scripted, serving

pytest.importorskip("aiohttp", reason="the extra saltus[remote] is not installed")
fsspec = pytest.importorskip("fsspec", reason="the extra saltus[remote] is not installed")


def row(task: str, **more: Any) -> str:
    return json.dumps({"model": "gpt2", "task": task, "metric": "acc", "value": 0.5} | more) + "\n"


def tasks(found: Tables) -> list[str]:
    return found.reported["task"].to_list()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of its own for each test."""
    monkeypatch.setenv("SALTUS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def grow(folder: Path, *names: str) -> None:
    """Old files with one row each, whose task is the file's name."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(row(name))
        os.utime(folder / name, (1e9, 1e9))


NAMES = (
    "b.jsonl", "a.jsonl", "run 1/s_x.jsonl", "run 1/deep/s_y.jsonl", "run2/s_z.jsonl",
    "run2/t.jsonl", ".hidden.jsonl", ".git/s_x.jsonl",
)  # fmt: skip


def test_a_folder_is_read_as_it_is_from_the_disk(tmp_path: Path) -> None:
    grow(tmp_path / "served", *NAMES)
    (tmp_path / "served" / "run2" / "notes.txt").write_text("nothing")
    with serving(tmp_path / "served") as (address, _):
        there, here = read_tables([f"{address}/"]), read_tables([tmp_path / "served"])
    assert tasks(there) == tasks(here)
    assert len(tasks(there)) == 6
    assert there.summary is not None
    assert [entry.path for entry in there.summary.inputs][2:4] == [
        f"{address}/run%201/s_x.jsonl", f"{address}/run%201/deep/s_y.jsonl",
    ]  # fmt: skip
    assert there.summary.skipped == (f"{address}/run2/notes.txt",)
    assert "/cache/" not in str(there.table("findings").to_dicts())


@pytest.mark.parametrize(
    "pattern", ["*.jsonl", "*/s_*.jsonl", "run*", "**/s_*", "run2/*", "*/deep"]
)
def test_patterns_name_what_they_name_on_the_disk(tmp_path: Path, pattern: str) -> None:
    grow(tmp_path / "served", *NAMES)
    local = glob.glob(str(tmp_path / "served" / pattern), recursive=True)  # noqa: PTH207
    with serving(tmp_path / "served") as (address, _):
        found = read_tables([f"{address}/{pattern}"])
    assert sorted(tasks(found)) == sorted(tasks(read_tables(local)))


def test_a_pattern_leads_only_into_folders_that_can_have_it(tmp_path: Path) -> None:
    grow(tmp_path / "served", *NAMES)
    with serving(tmp_path / "served") as (address, asked):
        read_tables([f"{address}/run2/s_*"])
    assert asked == ["GET /run2/", "GET /run2/s_z.jsonl"]


def test_an_address_with_a_query_is_a_file(tmp_path: Path) -> None:
    with scripted(lambda path: (200, {}, row(path).encode())) as (address, _):
        assert tasks(read_tables([f"{address}/?id=1"])) == ["/?id=1"]


def test_a_file_beside_is_fetched_when_a_reader_looks_for_it(tmp_path: Path) -> None:
    grow(tmp_path / "served", "run/s.jsonl", "run/beside.json", "other/o.json", "o.json")
    with serving(tmp_path / "served") as (address, _):
        for argument in (f"{address}/run/s.jsonl", f"{address}/run/s*"):
            (file,) = find([argument])
            assert is_there(file.path.with_name("beside.json"))
            assert not is_there(file.path.with_name("none.json"))
            assert is_there(file.path.parent.parent / "other" / "o.json")
            assert not is_there(file.path.parent / ".." / ".." / ".." / "o.json")
        (file, _) = find([f"{address}/run/"])
        (tmp_path / "served" / "run" / "late.json").write_text("{}")
        assert not is_there(file.path.with_name("late.json"))


@pytest.mark.parametrize("status", [403, 404, 410, 429, 500])
def test_a_file_beside_that_cannot_be_had_is_not_taken_for_absent(status: int) -> None:
    def answers(path: str) -> Answer:
        return (200, {}, row("t").encode()) if path == "/run/s.jsonl" else (status, {}, b"")

    with scripted(answers) as (address, _):
        (file,) = find([f"{address}/run/s.jsonl"])
        if status in remote.ABSENT:
            assert not is_there(file.path.with_name("beside.json"))
            return
        with pytest.raises(ReadError, match=rf"/run/beside.json: cannot be fetched \({status}"):
            is_there(file.path.with_name("beside.json"))


def test_unchanged_files_are_not_fetched_again(tmp_path: Path) -> None:
    served = tmp_path / "served"
    grow(served, "a.jsonl", "run/b.jsonl", "run/c.jsonl")
    with serving(served) as (address, asked):
        assert tasks(read_tables([f"{address}/"])) == ["a.jsonl", "run/b.jsonl", "run/c.jsonl"]
        gone = find([f"{address}/"])[1].path
        assert gone.name == "b.jsonl"
        (served / "a.jsonl").write_text(row("A.jsonl"))  # of the same size
        os.utime(served / "a.jsonl", (9e8, 9e8))  # and older
        (served / "run" / "b.jsonl").unlink()
        asked.clear()
        assert tasks(read_tables([f"{address}/"])) == ["A.jsonl", "run/c.jsonl"]
        assert [request for request in asked if "c.jsonl" in request] == ["HEAD /run/c.jsonl"]
        assert "GET /a.jsonl" in asked
        assert not is_there(gone)
        asked.clear()
        read_tables([f"{address}/"], cached=False)
        assert "GET /run/c.jsonl" in asked
        (served / "a.jsonl").write_text(row("B.jsonl"))  # changed just now: might change again
        for name in ("B.jsonl", "C.jsonl"):
            (served / "a.jsonl").write_text(row(name))
            os.utime(served / "a.jsonl", (time.time() - 1, time.time() // 1))
            assert tasks(read_tables([f"{address}/a.jsonl"])) == [name]


def test_what_another_process_put_there_is_not_taken(tmp_path: Path) -> None:
    grow(tmp_path / "served", "a.jsonl")
    with serving(tmp_path / "served") as (address, _):
        (file,) = find([f"{address}/a.jsonl"])
        (tmp_path / "other").write_text(row("z.jsonl"))
        (tmp_path / "other").replace(file.path)
        assert tasks(read_tables([f"{address}/a.jsonl"])) == ["a.jsonl"]


@pytest.mark.parametrize(("tag", "gets"), [('"1"', 1), ('W/"1"', 2), ("", 2)])
def test_only_a_strong_tag_says_that_nothing_changed(tag: str, gets: int) -> None:
    answers = lambda path: (200, {"ETag": tag}, row("t").encode())  # noqa: E731
    with scripted(answers) as (address, asked):
        for _ in range(2):
            assert tasks(read_tables([f"{address}/a.jsonl"])) == ["t"]
    assert asked.count("GET /a.jsonl") == gets


def test_one_audit_fetches_once(tmp_path: Path) -> None:
    grow(tmp_path / "served", "a.jsonl")
    os.utime(tmp_path / "served" / "a.jsonl")  # so new that nothing says whether it changes
    with serving(tmp_path / "served") as (address, asked):
        pipeline.read((f"{address}/",), tmp_path / "audit", require_facts=False)
    assert asked.count("GET /a.jsonl") == 1


def test_what_overlaps_is_read_once(tmp_path: Path) -> None:
    grow(tmp_path / "served", "run/a.jsonl")
    with serving(tmp_path / "served") as (address, _):
        found = read_tables([f"{address}/run/", f"{address}/run/a.jsonl", f"{address}/**"])
    assert tasks(found) == ["run/a.jsonl"]


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    with scripted(lambda path: (200, {}, row("foreign").encode())) as (other, foreign):

        def answers(path: str) -> Answer:
            if path != "/logs/":
                return 200, {"Content-Type": "application/json"}, row(path).encode()
            host = other.removeprefix("http:")
            return page(
                f"{other}/x.jsonl", f"{host}/logs/y.jsonl", "/secret.jsonl", "../secret.jsonl",
                "..", "%2e%2e/secret.jsonl", "..%2fsecret.jsonl", "%2e%2e", "x%2fsecret.jsonl",
                "sub/../../secret.jsonl", "/logsecret.jsonl", "?C=N;O=D", "z.jsonl?run=1",
                "javascript:x", "file:///etc/x",
                "http://[", "", "#top", "//", "a%00b.jsonl", "good.jsonl", "./good.jsonl",
                ".hidden", "sub/secret.jsonl", "/logs/also%20good.jsonl#top",
            )  # fmt: skip

        with scripted(answers) as (address, asked):
            found = read_tables([f"{address}/logs/"])
    names = ["/logs/a%00b.jsonl", "/logs/also%20good.jsonl", "/logs/good.jsonl"]
    assert sorted(tasks(found)) == names
    assert sorted(asked) == ["GET /logs/", *(f"GET {name}" for name in names)]
    assert foreign == []


def test_a_listed_file_that_is_elsewhere_is_not_fetched(tmp_path: Path) -> None:
    with scripted(lambda path: (200, {}, row("foreign").encode())) as (other, foreign):

        def answers(path: str) -> Answer:
            target = f"{other}/x.jsonl?token=5ecret"
            return page("a.jsonl") if path.endswith("/") else (302, {"Location": target}, b"")

        with scripted(answers) as (address, _):
            with pytest.raises(
                ReadError, match=r"a.jsonl: is redirected to .*not followed"
            ) as told:
                read_tables([f"{address}/"])
            assert "5ecret" not in str(told.value)
            assert foreign == []
            assert tasks(read_tables([f"{address}/a.jsonl"])) == ["foreign"]  # named by the user


@pytest.mark.parametrize(
    ("answers", "what"),
    [
        (lambda path: page("deeper/"), r"folders lie more than 32 deep"),
        (lambda path: page(*(f"{n}/" for n in range(500))), r"more than 2,000 files and folders"),
        (lambda path: page(*(f"{n}.json" for n in range(51))), r"more than 50 files lie"),
        (lambda path: page("x" * 3_000_000), r"the index is larger than 1 MB"),
        (lambda path: page(), r"no file lies behind this address"),
        (lambda path: (404, {}, b"nothing"), r"cannot be fetched \(not found\)"),
        (lambda path: (500, {}, b"nothing"), r"cannot be fetched \(500"),
    ],
)
def test_listings_are_bounded(
    answers: Any, what: str, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setattr(listing, "FILES", 50)
    monkeypatch.setattr(listing, "LISTED", 2000)
    monkeypatch.setattr(web_index, "INDEX_BYTES", 1 << 20)
    with scripted(answers) as (address, asked):
        with pytest.raises(ReadError, match=what) as told:
            read_tables([f"{address}/logs/"])
        assert address in str(told.value)
    assert len(asked) < 50
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_a_page_that_is_no_index_is_a_file() -> None:
    with scripted(lambda path: (200, {"Content-Type": "text/plain"}, row("t").encode())) as (at, _):
        assert tasks(read_tables([f"{at}/export/"])) == ["t"]


def test_a_folder_without_its_slash_is_told(tmp_path: Path) -> None:
    grow(tmp_path / "served", "run/a.jsonl")
    told = pytest.raises(ReadError, match="/run: is a folder; end its address with /")
    with serving(tmp_path / "served") as (address, _), told:
        read_tables([f"{address}/run"])


def test_a_transfer_that_is_cut_off_is_an_error(cache: Path) -> None:
    answers = lambda path: (200, {"Content-Length": "999"}, row("t").encode())  # noqa: E731
    told = pytest.raises(ReadError, match=r"127.0.0.1:\d+/a.jsonl: cannot be fetched")
    with scripted(answers) as (address, _), told:
        read_tables([f"{address}/a.jsonl"])
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_all_files_together_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(tmp_path / "served", *"abcdef")
    monkeypatch.setattr(download, "TOTAL_BYTES", 200)
    told = pytest.raises(ReadError, match=r"lie behind the folder or pattern")
    with serving(tmp_path / "served") as (address, _), told:
        read_tables([f"{address}/"])


def test_a_failure_ends_the_transfers_that_run(cache: Path) -> None:
    def answers(path: str) -> Answer:
        if path == "/":
            return page("long.jsonl", "none.jsonl")
        if path == "/none.jsonl":
            return 404, {}, b""
        time.sleep(0.2)
        return 200, {}, b"x" * (8 << 20)

    told = pytest.raises(ReadError, match=r"/none.jsonl: cannot be fetched \(not found\)")
    with scripted(answers) as (address, asked), told:
        remote.fetch(f"{address}/")
    assert "GET /long.jsonl" in asked
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_the_share_that_has_come_is_told(memory: Any) -> None:
    for name in ("a", "b"):
        memory.pipe_file(f"/run/{name}.jsonl", b"x" * 1000)
    shares: list[float | None] = []
    remote.fetch("memory://run/", progress=shares.append)
    assert shares == [0.5, 1.0, 1.0]


def test_no_secret_of_an_address_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    grow(tmp_path / "served", "good.jsonl")
    (tmp_path / "served" / "bad.jsonl").write_text(row("t") + "{no json\n" + row("u"))
    monkeypatch.chdir(tmp_path)
    with serving(tmp_path / "served") as (address, _):
        secret = address.replace("http://", "http://user:pa55word@")
        query = "?X-Amz-Signature=5ecret&X-Amz-Credential=5ecret"
        for name in ("good.jsonl", "bad.jsonl"):
            command = ["read", f"mine={secret}/{name}{query}", "--keep-going"]
            monkeypatch.setattr("sys.argv", ["saltus", *command])
            main(command, standalone_mode=False)
        for name in ("bad.jsonl", "none.jsonl"):
            with pytest.raises(ReadError, match=rf"^{address}/{name}\?\.\.\.") as told:
                read_tables([f"{secret}/{name}{query}"])
            assert "pa55word" not in str(told.value) + repr(told.value.__dict__)
            assert "5ecret" not in str(told.value)
    notes = pl.read_parquet(tmp_path / "saltus-bad" / "findings.parquet")["message"].to_list()
    assert any(note.startswith(f"{address}/bad.jsonl?...:2: ") for note in notes)
    said = "".join(capsys.readouterr())
    for folder in ("saltus-good", "saltus-bad"):
        for file in (tmp_path / folder).rglob("*"):
            said += file.read_bytes().decode(errors="replace") if file.is_file() else file.name
    assert "good.jsonl?..." in said
    assert not any(word in said for word in ("pa55word", "5ecret", "/cache/"))


def test_folders_are_named_after_addresses_without_their_queries() -> None:
    named = {
        "mine=https://host/run/scores.v2.jsonl?sig=a/b=c": "saltus-scores",
        "s3://bucket/run1/": "saltus-run1",
        "s3://bucket/*/samples_*.jsonl": "saltus-samples_",
        "mine=logs/a.jsonl": "saltus-a",
    }
    assert {log: str(out_folder(None, (log,))) for log in named} == named


@pytest.fixture
def memory() -> Any:
    """An empty store in memory."""
    store = fsspec.filesystem("memory")
    store.store.clear()
    yield store
    store.store.clear()


def test_stores_have_folders_patterns_and_names(memory: Any) -> None:
    for name in ("/b/run1/x.jsonl", "/b/run1/.hid/y.jsonl", "/b/run2/y.jsonl", "/b/z.jsonl"):
        memory.pipe_file(name, row(name).encode())
    for argument in ("memory://b/run1/", "memory://b/run1", "memory://b/*/x*", "memory://b/run[1]"):
        assert tasks(read_tables([argument])) == ["/b/run1/x.jsonl"]
    found = read_tables(["mine=memory://b/"])
    assert tasks(found) == ["/b/z.jsonl", "/b/run1/x.jsonl", "/b/run2/y.jsonl"]
    assert found.summary is not None
    assert [entry.path for entry in found.summary.inputs] == [
        "memory://b/z.jsonl", "memory://b/run1/x.jsonl", "memory://b/run2/y.jsonl",
    ]  # fmt: skip
    memory.pipe_file("/b/z.jsonl", row("new").encode())
    assert tasks(read_tables(["memory://b/z.jsonl"])) == ["new"]
    with pytest.raises(ReadError, match=r"memory://b/none: cannot be fetched \(not found\)"):
        read_tables(["memory://b/none"])


def test_names_of_a_store_stay_in_their_folder(memory: Any, cache: Path) -> None:
    names = [
        "/b/../../x.jsonl", "/b/a/../../../../x.jsonl", "/b//etc/x.jsonl", "/b/A.jsonl",
        "/b/a.jsonl", "/b/a:b.jsonl", "/b/n\0ul.jsonl", "/b/n_ul.jsonl", "/b/back\\..\\slash.jsonl",
        "/b/*.jsonl", f"/b/{'long' * 200}.jsonl", f"/b/{'long' * 200}1.jsonl", "/b/é.jsonl",
        "/b/e\u0301.jsonl",
    ]  # fmt: skip
    for number, name in enumerate(names):
        memory.pipe_file("/one", row(f"t{number}").encode())
        memory.store[name] = memory.store.pop("/one")  # as it is: `pipe_file` mends names
    remote.fetch("memory://b/")
    found = tasks(read_tables(["memory://b/"]))
    assert {f"t{number}" for number in range(3, len(names))} <= set(found)
    outside = [p for p in cache.parent.rglob("*.jsonl") if not p.is_relative_to(cache / "remote")]
    assert outside == []


READ = """
import sys
from reading import read_tables
for argument in sys.argv[1:]:
    print(*read_tables([argument]).reported["task"])
"""


def test_data_sets_of_a_hub_are_read(tmp_path: Path) -> None:
    if find_spec("huggingface_hub") is None:
        pytest.skip("the backend of hf:// is not installed")
    names = ["a.jsonl", "run/b.jsonl", "run/deep/c.jsonl"]

    def entry(kind: str, name: str) -> dict[str, Any]:
        return {"type": kind, "oid": f"id of {name}", "size": len(row(name)), "path": name}

    def answers(path: str) -> Answer:
        path = unquote(path.partition("?")[0])
        if "/resolve/main/" in path:
            return 200, {}, row(path.partition("/resolve/main/")[2]).encode()
        if not path.startswith("/api/datasets/"):
            return 404, {}, b""
        if "/revision/" in path and len(names) == 3:
            names.pop()
        if "/tree/main" not in path:
            return 200, {}, json.dumps({"id": "org/name", "sha": "b" * 40}).encode()
        folder = path.partition("/tree/main")[2].strip("/")
        below = [name for name in names if name.startswith(f"{folder}/" if folder else "")]
        rest = {name.removeprefix(folder).strip("/").partition("/")[::2] for name in below}
        kinds = {
            ("directory" if more else "file", f"{folder}/{name}".strip("/")) for name, more in rest
        }
        return 200, {}, json.dumps([entry(*kind) for kind in sorted(kinds)]).encode()

    arguments = [f"hf://datasets/org/name{end}" for end in ("", "/run", "/*/b*", "@main", "")]
    with scripted(answers) as (address, asked):  # the hub's address is read when it is imported
        env = os.environ | {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path), "HF_TOKEN": "x"}
        env |= {"PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])}
        command = [sys.executable, "-c", READ, *arguments]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    every = ["a.jsonl", "run/b.jsonl", "run/deep/c.jsonl"]
    read = [every, every[1:], every[1:2], every[:2], every[:2]]
    assert done.stdout.splitlines() == [" ".join(found) for found in read]
    got = [request for request in asked if "resolve" in request]
    assert len(got) == 3 + 2 + 1 + 2
