"""Logs behind an address, from a server of our own on this machine; nothing else is asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from reading import read_tables
from saltus.errors import ReadError, SaltusError
from saltus.readers import cache, download, remote
from servers import serving

pytest.importorskip("fsspec", reason="the extra saltus[remote] is not installed")
pytest.importorskip("aiohttp", reason="the extra saltus[remote] is not installed")
ROW = {"model": "gpt2", "task": "t", "metric": "acc", "value": 0.5}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """Address and folder of a server that lives as long as the test."""
    monkeypatch.setenv("SALTUS_CACHE", str(tmp_path / "cache"))
    with serving(tmp_path / "served") as (address, _):
        yield address, tmp_path / "served"


def test_a_log_behind_an_address_is_read(server: tuple[str, Path]) -> None:
    address, folder = server
    (folder / "scores.jsonl").write_text(json.dumps(ROW) + "\n")
    found = read_tables([f"{address}/scores.jsonl?version=1"])
    assert found.reported.select("model", "value", "source").rows() == [
        ("gpt2", 0.5, "scores.jsonl:1")
    ]
    named = read_tables([f"mine={address}/scores.jsonl"], require_facts=False)
    assert named.reported.height == 1


def test_what_cannot_be_fetched_is_an_error_and_leaves_nothing(server: tuple[str, Path]) -> None:
    address, folder = server
    with pytest.raises(ReadError, match=r"/none.jsonl: cannot be fetched"):
        read_tables([f"{address}/none.jsonl"])
    left = [path for path in (folder.parent / "cache").rglob("*") if path.is_file()]
    assert left == []


def test_a_file_that_is_too_large_is_not_fetched_to_its_end(
    server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, folder = server
    (folder / "scores.jsonl").write_bytes(b"x" * (3 << 20))
    monkeypatch.setattr(download, "FETCHED_BYTES", 1 << 20)
    with pytest.raises(ReadError, match="is larger than"):
        read_tables([f"{address}/scores.jsonl"])


def test_the_oldest_files_go_when_the_folder_is_full(
    server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, folder = server
    for name in "abc":
        (folder / f"{name}.jsonl").write_text((json.dumps(ROW) + "\n") * 10)
    monkeypatch.setattr(cache, "KEPT_BYTES", 2 * (folder / "a.jsonl").stat().st_size)
    places = []
    for name in "abc":
        remote.forget()
        places += remote.fetch(f"{address}/{name}.jsonl")
    assert [place.path.exists() for place in places] == [False, True, True]


def test_what_is_about_to_be_read_does_not_go(
    server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, folder = server
    for name in "abc":
        (folder / f"{name}.jsonl").write_text(json.dumps(ROW | {"task": name}) + "\n")
    monkeypatch.setattr(cache, "KEPT_BYTES", 10)
    found = read_tables([f"{address}/{name}.jsonl" for name in "abc"])
    assert found.reported["task"].to_list() == ["a", "b", "c"]


@pytest.mark.parametrize("address", ["file:///etc/hosts", "simplecache::http://x/y", "ssh://h/x"])
def test_other_kinds_of_addresses_are_refused(address: str) -> None:
    with pytest.raises(SaltusError):
        read_tables([address])
