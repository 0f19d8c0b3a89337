"""Vectorised metrics against loops that a reader can check by eye."""

from __future__ import annotations

import math
from collections import Counter
from functools import cache
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

import saltus.metrics.difference
from saltus import kernels
from saltus.kernels.plain.subsequence import lcs_length, lcs_places
from saltus.metrics.difference import difference
from saltus.metrics.metric import METRICS
from saltus.metrics.normalise import folded, quasi, stripped, unquoted
from saltus.metrics.overlap import rouge as rouge_of
from saltus.metrics.score import score
from strategies import logprobs, rows, sentences, texts

choices = st.lists(logprobs, min_size=2, max_size=6)
batches = st.lists(choices.flatmap(lambda c: st.tuples(st.just(c), st.integers(0, len(c) - 1))),
                   min_size=1, max_size=6)  # fmt: skip
lines = st.lists(sentences, max_size=4).map("\n".join)


def by_loop(logprob: list[float], right: int) -> dict[str, float]:
    """The scores of one item, one formula a line."""
    p = softmax(logprob)
    truth = [float(place == right) for place in range(len(p))]
    best = [place for place, value in enumerate(logprob) if value == max(logprob)]
    return {
        "correct_choice_probability": p[right],
        "brier_sum": sum((y - q) ** 2 for y, q in zip(truth, p, strict=True)),
        "brier_mean": sum((y - q) ** 2 for y, q in zip(truth, p, strict=True)) / len(p),
        "choice_log_loss": math.log(sum(math.exp(v - logprob[right]) for v in logprob)),
        "multiple_choice_grade": 1 / len(best) if right in best else 0.0,
        "correct_answer_loss": -logprob[right],
        "choice_margin": logprob[right] - max(logprob[:right] + logprob[right + 1 :]),
    }


@settings(deadline=None)
@given(batch=batches)
def test_choices_agree_with_a_loop(batch: list[tuple[list[float], int]]) -> None:
    frame = rows(choice_logprobs=[c for c, _ in batch], target_index=[i for _, i in batch])
    wanted = [by_loop(*item) for item in batch]
    for name in wanted[0]:
        values = score(frame, [name])["value"].to_list()
        assert values == pytest.approx([item[name] for item in wanted], rel=1e-12, abs=1e-13)


@settings(deadline=None)
@given(batch=st.lists(st.lists(logprobs, min_size=1, max_size=5), min_size=1, max_size=5))
def test_likelihoods_agree_with_a_loop(batch: list[list[float]]) -> None:
    sizes = list(range(1, len(batch) + 1))
    frame = rows(target_logprobs=batch, target_bytes=sizes)
    wanted = {
        "target_log_loss": [-sum(item) / len(item) for item in batch],
        "per_token_error": [sum(1 - math.exp(v) for v in item) / len(item) for item in batch],
        "bits_per_byte": [
            -sum(item) / math.log(2) / n for item, n in zip(batch, sizes, strict=True)
        ],
    }
    for name, numbers in wanted.items():
        found = score(frame, [name])
        assert found["value"].to_list() == pytest.approx(numbers, rel=1e-12)
        units = sizes if name == "bits_per_byte" else [len(item) for item in batch]
        assert found["units"].to_list() == units


def levenshtein(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """The textbook recursion."""

    @cache
    def distance(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        swap = distance(i - 1, j - 1) + (one[i - 1] != other[j - 1])
        return min(swap, distance(i - 1, j) + 1, distance(i, j - 1) + 1)

    return distance(len(one), len(other))


@settings(deadline=None)
@given(output=texts | sentences, targets=st.lists(texts | sentences, min_size=1, max_size=3))
def test_edits_agree_with_the_textbook(output: str, targets: list[str]) -> None:
    frame = rows(output=[output], targets=[targets])
    have, want = output.split(), [target.split() for target in targets]
    words = [levenshtein(tuple(have), tuple(goal)) for goal in want]
    chars = [levenshtein(tuple(output.strip()), tuple(target.strip())) for target in targets]
    longest = [max(len(have), len(goal), 1) for goal in want]
    rates = [min(d / len(g), 1) for d, g in zip(words, want, strict=True) if g]
    wanted = {
        "word_edit_distance": min(words),
        "char_edit_distance": min(chars),
        "word_error": min(d / n for d, n in zip(words, longest, strict=True)),
        "token_error_rate": min(rates, default=None),
        "exact_match": float(output.strip() in [target.strip() for target in targets]),
    }
    for name, value in wanted.items():
        assert score(frame, [name])["value"].item() == value


@settings(deadline=None)
@given(one=texts, other=texts)
def test_edit_distance_is_a_metric_in_its_bounds(one: str, other: str) -> None:
    frame = rows(output=[one, other], targets=[[other], [one]])
    there, back = score(frame, ["word_edit_distance"])["value"].to_list()
    assert there == back
    a, b = one.split(), other.split()
    mismatches = sum(x != y for x, y in zip(a, b, strict=False))
    assert abs(len(a) - len(b)) <= there <= mismatches + abs(len(a) - len(b))


# ---- ROUGE against the plain table and its walk (Lin 2004; `rouge_score`'s tie-breaking)


def table_of(row: list[str], column: list[str]) -> np.ndarray:
    t = np.zeros((len(row) + 1, len(column) + 1), int)
    for i, x in enumerate(row, 1):
        for j, y in enumerate(column, 1):
            t[i, j] = t[i - 1, j - 1] + 1 if x == y else max(t[i - 1, j], t[i, j - 1])
    return t


def walk(row: list[str], column: list[str]) -> set[int]:
    t, i, j, places = table_of(row, column), len(row), len(column), set()
    while i and j:
        if row[i - 1] == column[j - 1]:
            places.add(i - 1)
            i, j = i - 1, j - 1
        elif t[i, j - 1] > t[i - 1, j]:
            j -= 1
        else:
            i -= 1
    return places


def split(text: str) -> list[str]:
    ascii_only = "".join(c if c in "abcdefghijklmnopqrstuvwxyz0123456789" else " "
                         for c in text.lower())  # fmt: skip
    return ascii_only.split()


def f_of(common: int, output: int, target: int) -> float:
    return 2 * common / (output + target) if common else 0.0


tokens = st.lists(st.sampled_from("abc"), max_size=12)


@given(row=tokens, column=tokens)
def test_subsequences_agree_with_the_table(row: list[str], column: list[str]) -> None:
    assert lcs_length(row, column) == table_of(row, column)[-1, -1]
    assert lcs_places(row, column) == walk(row, column)


def test_subsequences_longer_than_a_machine_word() -> None:
    rng = np.random.default_rng(1)
    for _ in range(5):
        row, column = ([f"w{w}" for w in rng.integers(0, 30, n)] for n in (150, 170))
        assert lcs_length(row, column) == table_of(row, column)[-1, -1]
        assert lcs_places(row, column) == walk(row, column)


@settings(deadline=None)
@given(output=lines | texts, target=lines | texts)
def test_rouge_agrees_with_the_plain_tables(output: str, target: str) -> None:
    counts = kernels.rouge([output], [target])

    def f(kind: str) -> float:
        return float(rouge_of(counts, kind).f[0])

    have, want = split(output), split(target)
    shared = sum((Counter(have) & Counter(want)).values())
    assert f("1") == pytest.approx(f_of(shared, len(have), len(want)))
    common = int(table_of(want, have)[-1, -1])
    assert f("L") == pytest.approx(f_of(common, len(have), len(want)))
    left_have, left_want, hits = Counter(have), Counter(want), 0
    for line in target.split("\n"):
        sentence = split(line)
        union = set().union(*(walk(sentence, split(other)) for other in output.split("\n")))
        for place in sorted(union):
            if left_have[sentence[place]] and left_want[sentence[place]]:
                hits += 1
                left_have[sentence[place]] -= 1
                left_want[sentence[place]] -= 1
    assert f("Lsum") == pytest.approx(f_of(hits, len(have), len(want)))


# ---- differences


@given(output=sentences | texts, target=sentences | texts)
def test_differences_keep_every_word_and_cost_the_distance(output: str, target: str) -> None:
    parts = difference(output, target)
    assert [word for part in parts for word in part.output] == output.split()
    assert [word for part in parts for word in part.target] == target.split()
    cost = sum(max(len(p.output), len(p.target)) for p in parts if p.kind != "same")
    assert cost == levenshtein(tuple(output.split()), tuple(target.split()))
    assert all((part.kind == "same") == (part.output == part.target) for part in parts)
    assert difference(output, target) == parts


@given(output=sentences, target=sentences)
def test_texts_too_long_to_align_keep_their_common_ends(output: str, target: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saltus.metrics.difference, "LARGEST", 0)
        parts = difference(output, target)
    assert [word for part in parts for word in part.output] == output.split()
    assert [word for part in parts for word in part.target] == target.split()
    assert len([part for part in parts if part.kind == "changed"]) == (output != target)


# ---- comparisons of texts: many at once against one at a time

NORMALS = {
    "exact_match": stripped,
    "exact_match_folded": folded,
    "exact_match_unquoted": unquoted,
    "quasi_exact_match": quasi,
}
answer_texts = st.text("aA .'\n\u00a0\u00e9\u0301\ud800", max_size=4)
one_target = st.lists(answer_texts, min_size=1, max_size=1)
any_targets = st.none() | st.lists(st.none() | answer_texts, max_size=3)


def compared(name: str, output: str | None, targets: list[str | None] | None) -> float | str:
    """The value of one answer, or the reason why there is none."""
    wanted = [target for target in targets or [] if target is not None]
    if name == "contains":
        wanted = [target.strip() for target in wanted if target.strip()]
    if output is None or not wanted:
        return "no output" if output is None else "no target"
    if name == "contains":
        return float(any(target in output for target in wanted))
    return float(any(NORMALS[name](output) == NORMALS[name](target) for target in wanted))


@settings(deadline=None)
@pytest.mark.parametrize("name", [*NORMALS, "contains"])
@given(
    simple=st.lists(st.tuples(answer_texts, one_target), max_size=8),
    mixed=st.lists(st.tuples(st.none() | answer_texts, any_targets), max_size=8),
    order=st.randoms(use_true_random=False),
)
def test_texts_compared_at_once_are_as_those_compared_one_by_one(
    name: str,
    simple: list[tuple[str, list[str]]],
    mixed: list[tuple[str | None, list[str | None] | None]],
    order: Random,
) -> None:
    shuffled = order.sample([*simple, *mixed], len(simple) + len(mixed))
    for batch in (simple, shuffled):  # all have one target; some have none or several
        found = METRICS[name].compute([text for text, _ in batch], [given for _, given in batch])
        wanted = [compared(name, *pair) for pair in batch]
        reasons = [want if isinstance(want, str) else None for want in wanted]
        values = [math.nan if isinstance(want, str) else want for want in wanted]
        assert found.missing.tolist() == reasons
        assert found.value.dtype == np.float64
        np.testing.assert_array_equal(found.value, values)
