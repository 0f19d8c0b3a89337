"""Keys that come twice in one JSON object: the pass in C against Python's own parser."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saltus.readers import twins

needs_compiled = pytest.mark.skipif(not twins.COMPILED, reason="the C extension is not built")

KEYS = st.sampled_from(["a", "ab", "ä", "\\n", '"', "\\", "/", "\U0001f600", "", "\ud83d"])
PLAIN = ("null", "1.5", "true", "-0e7", '"a"', r'"x\\"', r'"\"{"', r'"\u0061,"', '"]"')


def _object(members: list[tuple[str, bool, str]]) -> str:
    """An object as text; keys are escaped or not, and may come twice."""
    written = (f"{json.dumps(k, ensure_ascii=_half(k) or e)}: {v}" for k, e, v in members)
    return "{" + ", ".join(written) + "}"


def _half(key: str) -> bool:
    return any("\ud800" <= char <= "\udfff" for char in key)


JSON = st.recursive(
    st.sampled_from(
        ["null", "1.5", "true", "-0e7", '"a"', '"x\\\\"', r'"\"{"', r'"\u0061,"', '"]"']
    ),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: "[" + ", ".join(items) + "]")
        | st.lists(st.tuples(KEYS, st.booleans(), inner), max_size=16).map(_object)
    ),
    max_leaves=30,
)


@needs_compiled
@given(st.lists(JSON, max_size=5), st.sampled_from(["", "\n"]))
def test_both_ways_see_the_same(rows: list[str], end: str) -> None:
    data = ("\n".join(rows) + end).encode()
    found, plainly = twins.scan_lines(data), twins.scan_lines_plainly(data)
    assert found.lines == plainly.lines
    assert found.doubtful == plainly.doubtful
    known: list[Any] = [json.loads(row) for row in rows if row]
    keys = dict.fromkeys(key for row in known if isinstance(row, dict) for key in row)
    if not found.doubtful:
        assert found.keys == list(keys) == plainly.keys


@needs_compiled
@given(st.binary(max_size=200) | st.text('{}[]",:\\\\u0a\n', max_size=200).map(str.encode))
def test_whatever_the_bytes_the_lines_are_counted(data: bytes) -> None:
    assert twins.scan_lines(data).lines == data.count(b"\n")


@needs_compiled
def test_very_many_and_very_deep_keys_take_no_time() -> None:
    wide = json.dumps({f"key {n}": n for n in range(200_000)}).encode()
    assert twins.scan_lines(wide) == (0, False, None)
    assert twins.scan_lines(wide[:-1] + b', "key 7": 0}').doubtful
    assert not twins.scan_lines(b"[" * 10_000_000).doubtful
    assert not twins.scan_lines(b'{"a":' * 2_000_000).doubtful
