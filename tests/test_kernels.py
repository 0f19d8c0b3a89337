"""The C extension against its plain Python, its door, and how the cost of both grows."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import saltus.kernels
import saltus.kernels.plain.ngrams
import saltus.kernels.plain.shifts
import saltus.kernels.plain.subsequence
from kernel_pairs import SPACES, pairs, shuffled_blocks
from saltus.kernels import plain
from saltus.kernels.plain.subsequence import lcs_length, lcs_places
from strategies import sentences, texts

Texts = Sequence[str]

KERNELS = ["rouge", "word_edits", "word_lcs", "chrf", "chrf_words", "ter", "squad"]
needs_c = pytest.mark.skipif(
    not saltus.kernels.COMPILED, reason="the C extension is not built (no compiler?)"
)
strings = st.text(max_size=30) | texts | sentences | st.text("\ud800\udfffa \n", max_size=8)


def compiled() -> Any:
    from saltus.kernels import compiled

    return compiled


def both(name: str, outputs: Texts, targets: Any, *more: Any) -> None:
    found = getattr(compiled(), name)(outputs, targets, *more)
    wanted = getattr(plain, name)(outputs, targets, *more)
    np.testing.assert_array_equal(found, wanted)


# ---- the same numbers


@needs_c
@pytest.mark.parametrize("name", KERNELS)
def test_the_extension_counts_as_plain_python(name: str) -> None:
    both(name, *pairs(90 if name == "ter" else 1000, seed=2))


@needs_c
@pytest.mark.parametrize("tokenizer", ["13a", "intl", "char", "none"])
def test_the_extension_counts_bleu_as_plain_python(tokenizer: str) -> None:
    outputs, targets = pairs(600, seed=3)
    both("bleu", outputs, [[target] for target in targets], tokenizer)
    both("bleu", outputs, [targets[max(0, k - k % 4) : k + 1] for k in range(600)], tokenizer)


@needs_c
@settings(deadline=None, max_examples=200)
@given(rows=st.lists(st.tuples(strings, strings), min_size=1, max_size=4))
def test_any_text_counts_as_in_plain_python(rows: list[tuple[str, str]]) -> None:
    outputs, targets = [row[0] for row in rows], [row[1] for row in rows]
    for name in KERNELS:
        both(name, outputs, targets)
    both("bleu", outputs, [[target, *outputs] for target in targets])


ends = st.sampled_from(["", " ", "\n", "\x1c", "\x85", "\u200b", "\u2028", "\u3000", "\ufeff"])


@needs_c
@given(output=strings | st.none(), target=strings | st.none(), end=ends)
def test_equal_texts_are_settled_as_in_plain_python(
    output: str | None, target: str | None, end: str
) -> None:
    outputs = [output, target and end + target, target]
    for targets in ([target] * 3, [[target]] * 3, [[target, "x"], None, []]):
        found = compiled().equal(outputs, targets)
        assert found.tolist() == plain.equal(outputs, targets).tolist()
        if targets[0] is target:
            for text, flag in zip(outputs, found.tolist(), strict=True):
                if flag >= 0:
                    assert flag == ((text or "").strip() == (target or "").strip())


@needs_c
def test_every_code_point_is_white_space_as_in_python() -> None:
    every = [chr(point) for point in range(0x3100)]
    flags = compiled().equal([f"a{character}" for character in every], ["a"] * len(every))
    assert flags.tolist() == [-1 if character.isspace() else 0 for character in every]


def test_as_many_targets_as_outputs() -> None:
    with pytest.raises(ValueError, match="outputs"):
        saltus.kernels.equal(["a"], [])


@needs_c
def test_every_code_point_parts_words_as_in_python() -> None:
    every = [*map(chr, range(0x3100)), "\ud800", "\udfff", "\ufeff", "\U0001d7d8", "\U000e0020"]
    outputs = [f"a{character}b" for character in every]
    both("word_edits", outputs, ["a"] * len(every))
    both("rouge", outputs, ["a b ab"] * len(every))
    both("chrf", outputs, ["ab"] * len(every))
    assert sum(plain.word_edits(outputs, ["a"] * len(every))[:, 0] == 2) == 29
    assert all(f"a{space}b".split() == ["a", "b"] for space in SPACES)


@needs_c
@pytest.mark.parametrize("end", ["", " ", "-\n", "\u3000\n", " \ud800", "\x85\x1f "])
def test_the_end_of_a_line_for_13a(end: str) -> None:
    both("bleu", [f"x-{end}", f"5{end}", f".{end}", end], [["x - 5 ."]] * 4)


@needs_c
@pytest.mark.parametrize("parts", range(8))
def test_only_the_wanted_parts_of_rouge_are_counted(parts: int) -> None:
    outputs, targets = pairs(50, seed=4)
    both("rouge", outputs, targets, parts)
    whole, some = plain.rouge(outputs, targets), plain.rouge(outputs, targets, parts)
    wanted = [parts & 1, parts & 1, parts & 2, parts & 4]
    np.testing.assert_array_equal(some[:, 2:], whole[:, 2:] * (np.array(wanted) > 0))


@needs_c
def test_more_letters_than_fit_in_a_key() -> None:
    rng = random.Random(0)
    outputs = ["".join(chr(rng.randrange(0x4E00, 0x9F00)) for _ in range(3000)) for _ in range(3)]
    targets = [text[:1400] + text[1500:] for text in outputs]
    both("chrf", outputs, targets)
    both("bleu", outputs, [[target] for target in targets], "char")
    words = [" ".join(map(str, rng.sample(range(40_000), 33_000))) for _ in range(2)]
    both("bleu", words, [[words[1]], [words[0]]], "none")


@needs_c
def test_long_lines_take_the_way_with_little_memory() -> None:
    rng = random.Random(1)
    lines = [" ".join(f"w{rng.randrange(300)}" for _ in range(6000)) for _ in range(3)]
    both("rouge", [lines[0], lines[1], lines[2] + "\n" + lines[0]], [lines[1], lines[2], lines[0]])
    both("word_edits", lines, [*lines[1:], "w1"])


@needs_c
def test_order_threads_and_shared_targets_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs, targets = pairs(200, seed=5)
    targets = [(target + " long enough" * 10) for target in targets[:40]] * 5
    wanted = {name: getattr(plain, name)(outputs, targets) for name in KERNELS if name != "ter"}
    for chunk, long in ((1 << 20, 10**9), (1 << 20, 0), (3000, 0), (3000, 10**9), (1, 0)):
        monkeypatch.setattr(compiled(), "CHUNK", chunk)
        monkeypatch.setattr(compiled(), "LONG", long)
        for name, counts in wanted.items():
            np.testing.assert_array_equal(getattr(compiled(), name)(outputs, targets), counts)
        both("bleu", outputs, [[target, "one"] for target in targets])


@pytest.mark.parametrize("name", [*KERNELS, "bleu"])
def test_no_pairs_have_no_counts(name: str) -> None:
    for module in (saltus.kernels, plain):
        counts = getattr(module, name)([], [])
        assert counts.shape[0] == 0
        assert counts.shape[1] > 2
        assert counts.dtype == np.int64
        with pytest.raises(ValueError, match=r"1|longer|shorter"):
            getattr(module, name)(["a"], [])


# ---- walks over long sequences


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(2, 9))
def test_kept_columns_give_the_same_walk(seed: int, size: int, names: int) -> None:
    one, other = (side.split() for side in shuffled_blocks(random.Random(seed), size, names))
    whole = lcs_places(one, other)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saltus.kernels.plain.subsequence, "AT_ONCE", 1)
        assert lcs_places(one, other) == whole
    assert len(whole) == lcs_length(one, other)


# ---- the door takes nothing on trust


def column(*texts: bytes) -> tuple[bytes, np.ndarray]:
    return b"".join(texts), np.cumsum([0, *map(len, texts)])


def call(kernel: str = "chrf", columns: int = 8, **changes: Any) -> np.ndarray:
    data, offsets = column(b"ab", b"c\xff")
    given: dict[str, Any] = {
        "outputs": data, "output_offsets": offsets, "targets": data, "target_offsets": offsets,
        "groups": np.arange(3), "group": np.array([1, 0]),
    }  # fmt: skip
    given |= changes
    rows = np.zeros((len(given["output_offsets"]) - 1, columns), dtype=np.int64)
    from saltus.kernels import _count

    _count.count(kernel, 0, *given.values(), rows)
    return rows


@needs_c
def test_bytes_that_are_no_utf8_are_counted_too() -> None:
    assert call()[:, :3].tolist() == [[2, 2, 0], [2, 2, 0]]
    assert call(group=np.array([0, 1]))[:, :4].tolist() == [[2, 2, 2, 1], [2, 2, 2, 1]]


@needs_c
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"output_offsets": np.array([0, 3, 2])}, "outputs: offsets do not rise"),
        ({"output_offsets": np.array([0, 2, 5])}, "outputs: offsets do not rise within"),
        ({"target_offsets": np.array([-1, 2, 4])}, "targets: offsets do not rise"),
        ({"target_offsets": np.array([], dtype=np.int64)}, "targets: offsets do not rise"),
        ({"target_offsets": b"123"}, "targets: not a buffer of int64"),
        ({"groups": np.array([0, 0, 2])}, "groups: an empty one"),
        ({"groups": np.array([0, 1, 3])}, "groups: offsets do not rise"),
        ({"group": np.array([0, 2])}, "groups: .* none of that number"),
        ({"group": np.array([0, -1])}, "groups: .* none of that number"),
        ({"group": np.array([0])}, "not one for each output"),
        ({"columns": 7}, "not one for each output"),
        ({"kernel": "bluer"}, "no kernel bluer"),
    ],
)
def test_buffers_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(**changes)


@needs_c
def test_rows_must_be_writable() -> None:
    data, offsets = column(b"a")
    rows = np.zeros((1, 8), dtype=np.int64)
    rows.flags.writeable = False
    from saltus.kernels import _count

    with pytest.raises((ValueError, BufferError, TypeError)):
        _count.count("chrf", 0, data, offsets, data, offsets, np.arange(2), np.zeros(1, int), rows)


def test_without_the_extension_plain_python_takes_over() -> None:
    code = (
        "import sys; sys.modules['saltus.kernels._count'] = None\n"
        "from saltus import kernels\n"
        "from saltus.metrics.metric import METRICS\n"
        "assert not kernels.COMPILED and kernels.ter is kernels.plain.ter\n"
        "names = 'rougeL_f', 'sentence_bleu', 'sentence_ter', 'squad_f1', 'word_error'\n"
        "values = [METRICS[n].compute(['a b c'], [['a x c']]).value.item() for n in names]\n"
        "assert values[0] == 2 / 3 and values[4] == 1 / 3, values\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ---- work: what the plain version does, counted, for texts of growing length


def words(size: int, names: int, seed: int = 0) -> str:
    rng = random.Random(seed)
    return " ".join(f"w{rng.randrange(names)}" for _ in range(size))


def counted(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, cost: Callable[..., int]
) -> list[int]:
    """Adds the cost of every call of a function to the one number of the list."""
    total, inner = [0], getattr(module, name)

    def outer(*arguments: Any) -> Any:
        total[0] += cost(*arguments)
        return inner(*arguments)

    monkeypatch.setattr(module, name, outer)
    return total


def growth(work: Callable[[int], Any], total: list[int], sizes: Sequence[int]) -> list[float]:
    costs = []
    for size in sizes:
        total[0] = 0
        work(size)
        costs.append(total[0])
    assert costs[0] > 0
    return [after / before for before, after in pairwise(costs)]


def limbs(masks: dict[str, int], full: int, _vector: int, columns: Texts) -> int:
    del masks
    return len(columns) * (full.bit_length() // 64 + 1)


@pytest.mark.parametrize("at_once", [1, 10**9], ids=["made again", "kept"])
@pytest.mark.parametrize("parts", [saltus.kernels.LCS, saltus.kernels.UNION])
def test_subsequences_cost_columns_times_machine_words(
    monkeypatch: pytest.MonkeyPatch, parts: int, at_once: int
) -> None:
    subsequence = saltus.kernels.plain.subsequence
    monkeypatch.setattr(subsequence, "AT_ONCE", at_once)
    total = counted(monkeypatch, subsequence, "_vectors", limbs)
    ratios = growth(
        lambda size: plain.rouge([words(size, 50)], [words(size, 50, 1)], parts),
        total, (500, 1000, 2000),
    )  # fmt: skip
    assert max(ratios) <= 4.5


def test_unions_cost_pairs_of_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    total = counted(monkeypatch, saltus.kernels.plain.subsequence, "_vectors", limbs)
    lines = [words(12, 50, seed) for seed in range(80)]
    ratios = growth(
        lambda count: plain.rouge(
            ["\n".join(lines[:count])], ["\n".join(lines[40 : 40 + count])], saltus.kernels.UNION
        ),
        total, (10, 20, 40),
    )  # fmt: skip
    assert max(ratios) <= 4.5


def test_ngrams_cost_their_length(monkeypatch: pytest.MonkeyPatch) -> None:
    grams = counted(
        monkeypatch, saltus.kernels.plain.ngrams, "grams", lambda tokens, order: len(tokens) * order
    )
    ratios = growth(
        lambda size: plain.bleu([words(size, 50)], [[words(size, 50, 1)]]), grams, (500, 1000, 2000)
    )
    assert max(ratios) <= 2.05


def test_shifts_cost_their_length_once_the_candidates_run_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shifts = saltus.kernels.plain.shifts
    monkeypatch.setattr(shifts, "MOST_CANDIDATES", 60)
    cells = counted(monkeypatch, shifts, "_row", lambda above, word, target, columns: len(columns))
    ratios = growth(lambda size: plain.ter([words(size, 9)], [words(size, 9, 1)]), cells,
                    (100, 200, 400))  # fmt: skip
    assert max(ratios) <= 2.5


def test_a_target_of_many_outputs_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    lines = plain.rouge_lines
    monkeypatch.setattr(plain, "rouge_lines", lambda text: seen.append(text) or lines(text))
    plain.rouge(["a", "b", "c"], ["t", "t", "t"])
    assert sorted(seen) == ["a", "b", "c", "t"]
