"""Logs in a bucket, through s3fs, from a small endpoint of our own on this machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import pytest

from reading import read_tables
from saltus.errors import ReadError
from saltus.readers import download, listing
from saltus.readers.files import is_there
from saltus.readers.read import find
from servers import running

s3fs = pytest.importorskip("s3fs", reason="the extra saltus[s3] is not installed")
ROW = {"model": "gpt2", "task": "t", "metric": "acc", "value": 0.5}


class Store(NamedTuple):
    """Objects by `/bucket/key`, which requests were signed, and what was got."""

    objects: dict[str, bytes]
    signed: list[bool]
    gets: list[str]


def etag(data: bytes) -> str:
    """What changes with the bytes."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


class Bucket(BaseHTTPRequestHandler):
    """Answers what s3fs asks: lists, sizes of objects, and ranges of their bytes."""

    def __init__(self, *args: Any, store: Store) -> None:
        self.objects, self.signed, self.gets = store
        super().__init__(*args)

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def do_HEAD(self) -> None:
        """Size of an object."""
        self._answer(with_body=False)

    def do_GET(self) -> None:
        """Bytes of an object."""
        self._answer(with_body=True)

    def _list(self, asked: dict[str, str]) -> None:
        """One page of three objects, as ListObjectsV2 gives it; a delimiter ends at its folder."""
        bucket = "/" + urlsplit(self.path).path.strip("/") + "/"
        keys = [name.removeprefix(bucket) for name in sorted(self.objects)]
        keys = [key for key in keys if key.startswith(asked.get("prefix", ""))]
        keys += [name for name in self.objects if name.startswith("!")]  # lies elsewhere
        first = int(asked.get("continuation-token", 0))
        objects = [(key, self.objects.get(bucket + key, b"")) for key in keys[first : first + 3]]
        entries = "".join(
            f"<Contents><Key>{quote(key)}</Key><Size>{len(data)}</Size>"
            f"<ETag>&quot;{etag(data)}&quot;</ETag></Contents>"
            for key, data in objects
        )
        more = first + 3 < len(keys)
        token = f"<NextContinuationToken>{first + 3}</NextContinuationToken>" if more else ""
        page = (
            f"<ListBucketResult><EncodingType>url</EncodingType>{token}{entries}"
            f"<IsTruncated>{str(more).lower()}</IsTruncated></ListBucketResult>"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def _answer(self, *, with_body: bool) -> None:
        self.signed.append("Signature=" in self.headers.get("Authorization", ""))
        asked = dict(parse_qsl(urlsplit(self.path).query))
        if "list-type" in asked:
            self._list(asked)
            return
        data = self.objects.get(unquote(urlsplit(self.path).path))
        if with_body and data is not None:
            self.gets.append(self.path)
        wanted = self.headers.get("Range", "").removeprefix("bytes=").split("-")
        first, last = (int(end) for end in wanted) if len(wanted) == 2 else (0, 1 << 40)
        part = (data or b"")[first : last + 1]
        if with_body and self.path.endswith(".cut"):
            part = part[:-1]
        self.send_response(404 if data is None else 206 if len(wanted) == 2 else 200)
        if data is not None:
            self.send_header("ETag", f'"{etag(data)}"')
            self.send_header("Last-Modified", "Wed, 01 Jan 2025 00:00:00 GMT")
            self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if with_body:
            self.wfile.write(part)


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store that lives as long as the test."""
    monkeypatch.setenv("SALTUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "name")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    s3fs.S3FileSystem.clear_instance_cache()
    store = Store({}, [], [])
    handler = partial(Bucket, store=store)
    with running(handler) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        yield store


def test_a_log_in_a_bucket_is_read(bucket: Store) -> None:
    objects, signed, _ = bucket
    lines = [json.dumps(ROW | {"task": f"t{n}", "note": "x" * 900}) + "\n" for n in range(7000)]
    objects["/logs/run/scores.jsonl"] = "".join(lines).encode()  # 6.7 MB: more than one range
    found = read_tables(["s3://logs/run/scores.jsonl"])
    assert found.reported.height == 7000
    assert found.reported["value"].unique().to_list() == [0.5]
    assert all(signed)
    assert signed


def test_what_the_bucket_lacks_is_an_error_and_leaves_nothing(
    bucket: Store, tmp_path: Path
) -> None:
    with pytest.raises(ReadError, match=r"s3://logs/none.jsonl: cannot be fetched"):
        read_tables(["s3://logs/none.jsonl"])
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def row(task: str) -> bytes:
    return (json.dumps(ROW | {"task": task}) + "\n").encode()


def test_folders_and_patterns_of_a_bucket_are_read(bucket: Store) -> None:
    names = ["a/s.jsonl", "b/deep/s.jsonl", "b/s.jsonl", "b/t.jsonl", "c s/s+#?.jsonl", "x.jsonl"]
    for name in [*names, ".git/s.jsonl", "b/.s.jsonl"]:
        bucket.objects[f"/logs/{name}"] = row(name)
    bucket.objects["/logs/b/"] = b""  # as some tools mark a folder

    def tasks(argument: str) -> list[str]:
        return read_tables([argument]).reported["task"].to_list()

    assert tasks("s3://logs/") == [
        "x.jsonl",
        *names[:1],
        "b/s.jsonl",
        "b/t.jsonl",
        *names[1:2],
        names[4],
    ]
    assert tasks("s3://logs/b/") == tasks("s3://logs/b") == ["b/s.jsonl", "b/t.jsonl", names[1]]
    assert tasks("s3://logs/*/s.jsonl") == ["a/s.jsonl", "b/s.jsonl"]
    assert tasks("s3://logs/b/**/s.jsonl") == ["b/s.jsonl", "b/deep/s.jsonl"]
    assert tasks("mine=s3://logs/c*") == ["c s/s+#?.jsonl"]
    with pytest.raises(ReadError, match=r"s3://logs/none/: no file lies behind"):
        tasks("s3://logs/none/")


def test_an_unchanged_object_is_not_got_again(bucket: Store) -> None:
    for name in ("a", "b"):
        bucket.objects[f"/logs/{name}.jsonl"] = row(name)
    for argument in ("s3://logs/", "s3://logs/a.jsonl"):
        read_tables([argument])
        bucket.gets.clear()
        read_tables([argument])
        assert bucket.gets == []
    bucket.objects["/logs/a.jsonl"] = row("c")
    assert read_tables(["s3://logs/"]).reported["task"].to_list() == ["c", "b"]
    assert bucket.gets == ["/logs/a.jsonl"]
    assert read_tables(["s3://logs/a.jsonl"]).reported["task"].to_list() == ["c"]


def test_listings_of_a_bucket_are_bounded(
    bucket: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for number in range(40):
        bucket.objects[f"/logs/{number}.jsonl"] = row("a")
    monkeypatch.setattr(listing, "FILES", 11)
    with pytest.raises(ReadError, match=r"^s3://logs/: more than 11 files lie behind"):
        read_tables(["s3://logs/"])
    monkeypatch.setattr(listing, "LISTED", 20)
    with pytest.raises(ReadError, match=r"more than 20 files and folders lie behind"):
        read_tables(["s3://logs/*.json"])
    monkeypatch.setattr(download, "TOTAL_BYTES", 100)
    with pytest.raises(ReadError, match=r"more than 0 GB lie .*, s3://logs/\d+.jsonl the largest"):
        read_tables(["s3://logs/1?*"])
    assert bucket.gets == []
    assert not (tmp_path / "cache").exists()


def test_a_bucket_that_lists_what_lies_elsewhere_is_refused(bucket: Store) -> None:
    bucket.objects.update({"/logs/run/a.jsonl": row("a"), "!/x.jsonl": row("b")})
    with pytest.raises(ReadError, match=r"lists '!/x.jsonl', which lies elsewhere"):
        read_tables(["s3://logs/run/"])


def test_an_object_of_which_less_comes_is_an_error(bucket: Store, tmp_path: Path) -> None:
    bucket.objects["/logs/a.cut"] = row("a")
    size = len(row("a"))
    what = rf"s3://logs/a.cut: cannot be fetched \({size - 1} of {size} bytes came\)"
    with pytest.raises(ReadError, match=what):
        read_tables(["s3://logs/"])
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_an_object_beside_is_got_when_a_reader_looks_for_it(bucket: Store) -> None:
    for name in ("run/s.jsonl", "run/beside.json"):
        bucket.objects[f"/logs/{name}"] = row(name)
    for argument in ("s3://logs/run/s.jsonl", "s3://logs/*/s*"):
        (file,) = find([argument])
        assert is_there(file.path.with_name("beside.json"))
        assert not is_there(file.path.with_name("none.json"))
