"""Addresses as they are told and matched, and the names under which fetched files lie."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saltus.readers.addresses import hushed, matches, pattern_of, shown, told
from saltus.readers.places import NAME_BYTES, places, safe_name

NAMES = st.one_of(
    st.sampled_from(
        ["..", ".", "", "a", "A", "a/b", "a_b", "\0", "é", "e\u0301", "x" * 300, "CON"]
    ),
    st.text(max_size=6),
)


@given(st.lists(st.lists(NAMES, min_size=1, max_size=4).map(tuple), max_size=12, unique=True))
def test_places_are_apart_on_any_disk_and_below_their_folder(files: list[tuple[str, ...]]) -> None:
    found = places(files)
    folded = [unicodedata.normalize("NFC", place).casefold() for place in found]
    assert len(set(folded)) == len(files)
    assert found == places(files)
    for place in folded:
        parts = place.split("/")
        assert not {"", ".", ".."} & set(parts)
        assert not any("\0" in part or "\\" in part for part in parts)
        # a file is no folder of another
        assert not any(other.startswith(f"{place}/") for other in folded)
    assert all(len(part.encode()) <= 255 for place in found for part in place.split("/"))


def test_usual_names_stay_and_long_ones_keep_their_ends() -> None:
    usual = "samples_mmlu:subject=law,k=5_2024-06-17T16-06-39.4.jsonl.gz"
    assert places([("run 1", usual)]) == [f"run 1/{usual}"]
    long = safe_name("é" * 300 + ".jsonl.gz")
    assert long.endswith(".jsonl.gz")
    assert len(long.encode()) <= NAME_BYTES


@pytest.mark.parametrize(
    ("address", "as_told"),
    [
        ("https://u:p@host:8/a/b.json?X-Amz-Signature=1#f", "https://host:8/a/b.json?..."),
        ("HTTPS://u@host/a@b.json", "HTTPS://host/a@b.json"),
        ("https://host/a.json#token=1", "https://host/a.json?..."),
        ("s3://key:secret@bucket/a?.json", "s3://bucket/a?.json"),
        ("s3://bucket/a.json?versionId=1", "s3://bucket/a.json?..."),
        ("abfs://box@account.dfs.core.windows.net/a", "abfs://box@account.dfs.core.windows.net/a"),
        ("s3://bucket/a\x1b[31m\n.json", "s3://bucket/a\ufffd[31m\ufffd.json"),
        ("hf://datasets/o/n@main/a.json", "hf://datasets/o/n@main/a.json"),
    ],
)
def test_addresses_are_told_without_secrets(address: str, as_told: str) -> None:
    assert shown(address) == as_told
    assert told(f"mine={address}") == f"mine={as_told}"
    if "\n" not in address:
        assert hushed(f"404 for url='{address}', again") == f"404 for url='{as_told}', again"
    assert told("--columns") == "--columns"


def test_the_folder_before_a_pattern_is_listed() -> None:
    assert pattern_of("s3://b/runs/*/s_?.json") == ("s3://b/runs/", ["*", "s_?.json"])
    assert pattern_of("http://[::1]:8/a[1]/x.json") == ("http://[::1]:8/a[1]/x.json", [])
    assert pattern_of("http://h/*") == ("http://h/", ["*"])
    assert matches(("a", "b", "c.json"), ["**", "c.*"])
    assert matches(("a", "b", "c.json"), ["a"])
    assert not matches(("a", "b"), ["a", "b", "c"])
