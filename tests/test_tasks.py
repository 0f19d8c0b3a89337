"""Tasks: laws over the registry, and answers worked out by other means."""

from __future__ import annotations

import re
from hashlib import sha256

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import DamerauLevenshtein

from saltus.cli import main
from saltus.errors import SaltusError, UnknownNameError
from saltus.metrics.metric import METRICS
from saltus.tasks import TASKS, Task
from saltus.tasks.task import distinct
from saltus.tasks.typos import KNOWN, misspell

every_task = pytest.mark.parametrize("entry", list(TASKS), ids=lambda entry: entry.name)
ARITHMETIC = [entry for entry in TASKS if re.match("addition|multiplication", entry.name)]


def most(entry: Task, count: int) -> int:
    return count if entry.population is None else min(count, entry.population)


@every_task
def test_items_are_distinct_and_decided_by_the_seed(entry: Task) -> None:
    count = most(entry, 90)
    items = entry.items(np.random.default_rng(1), count)
    assert items.height == count
    assert items["item"].n_unique() == items["prompt"].n_unique() == count
    assert items.equals(entry.items(np.random.default_rng(1), count))
    if count < (entry.population or np.inf):
        assert not items.equals(entry.items(np.random.default_rng(2), count))


@every_task
def test_a_longer_draw_starts_with_the_shorter_one(entry: Task) -> None:
    long = entry.items(np.random.default_rng(3), most(entry, 60))
    assert long.head(20).equals(entry.items(np.random.default_rng(3), 20))


# Hashes of the first and the last of 40,000 items, taken when rows were made one by one.
GOLDEN = {
    "addition_4": ["7464b075991555e0", "e8e9d5c6dc2802e3"],
    "multiplication_4_reversed": ["d4415d5cac2a62e5", "7dd7a8058b17c514"],
    "addition_4_two_shot": ["6a5d28744e66f768", "b3ad78498f1b1841"],
    "copying_8": ["9eb61ffb4bbd6983", "822074768a976aec"],
}


@pytest.mark.parametrize("name", GOLDEN)
def test_items_stay_the_same_across_blocks(name: str) -> None:
    items = TASKS[name].items(np.random.default_rng(7), 40_000)
    assert items["item"].gather([0, 39_999]).to_list() == GOLDEN[name]
    for row in (items.row(0, named=True), items.row(39_999, named=True)):
        content = "\0".join([row["prompt"], *row["targets"]])
        assert row["item"] == sha256(content.encode()).hexdigest()[:16]


@every_task
def test_facts_hold(entry: Task) -> None:
    items = entry.items(np.random.default_rng(4), 20)
    assert all(len(targets) == 1 and targets[0] for targets in items["targets"])
    assert 0 <= entry.chance < 1
    assert METRICS[entry.metrics[0]].reaction == "thresholded"
    assert all(name in METRICS for name in entry.metrics)
    assert entry.source
    assert entry.summary


@every_task
def test_more_items_than_there_are_is_one_clear_line(entry: Task) -> None:
    with pytest.raises(SaltusError, match="0 cannot be drawn"):
        entry.items(np.random.default_rng(0), 0)
    if entry.population is not None:
        with pytest.raises(SaltusError, match=f"task '{entry.name}' has .* items"):
            entry.items(np.random.default_rng(0), entry.population + 1)


@pytest.mark.parametrize("entry", ARITHMETIC, ids=lambda entry: entry.name)
def test_answers_are_those_of_python(entry: Task) -> None:
    digits = int(entry.name.split("_")[1])
    width = digits + 1 if entry.name.startswith("addition") else 2 * digits
    for prompt, (target,) in (
        entry.items(np.random.default_rng(5), 50).select("prompt", "targets").iter_rows()
    ):
        asked = re.findall(r"(\d+)( plus | times |\+|\*)(\d+)", prompt)
        left, sign, right = asked[-1]
        right_answer = eval(f"{int(left)}{'+' if sign in ('+', ' plus ') else '*'}{int(right)}")  # noqa: S307
        shown = target[::-1] if entry.name.endswith("_reversed") else target
        assert int(shown) == right_answer
        if entry.name.endswith(("_padded", "_reversed")):
            assert (len(left), len(right), len(target)) == (digits, digits, width)
        else:
            assert len(left) == len(right) == digits
            assert target == str(right_answer)


@pytest.mark.parametrize(
    ("name", "count"), [("addition_1_two_shot", 98), ("multiplication_2_padded", 10_000)]
)
def test_the_whole_population_can_be_drawn(name: str, count: int) -> None:
    items = TASKS[name].items(np.random.default_rng(0), count)
    assert items["prompt"].n_unique() == TASKS[name].population == count
    question = items["prompt"].str.split("\n\n").list.last()
    assert question.n_unique() == count  # the solved questions are not asked again
    if name.endswith("two_shot"):
        solved = items["prompt"][0].split("\n\n")[:2]
        assert not any(text.split("\n")[0] in "\n".join(question) for text in solved)


def test_both_orders_of_a_pair_share_a_cluster() -> None:
    items = TASKS["multiplication_2_padded"].items(np.random.default_rng(0), 10_000)
    pairs = dict(items.select("prompt", "cluster").iter_rows())
    assert pairs["12*34="] == pairs["34*12="] != pairs["12*43="]
    assert items["cluster"].n_unique() == 100 * 101 // 2


def test_a_two_shot_prompt_reads_as_in_the_paper() -> None:
    row = TASKS["addition_2_two_shot"].items(np.random.default_rng(0), 1).row(0, named=True)
    blocks = row["prompt"].split("\n\n")
    assert len(blocks) == 3
    for block in blocks[:2]:
        left, right, answer = map(int, re.findall(r"\d+", block))
        assert re.fullmatch(r"Q: What is \d\d plus \d\d\?\nA: \d+", block)
        assert left + right == answer
    assert re.fullmatch(r"Q: What is \d\d plus \d\d\?\nA:", blocks[2])
    assert row["stop"] == ["\n"]


@given(
    population=st.integers(1, 10**12), count=st.integers(1, 3000), seed=st.integers(0, 2**32 - 1)
)
@settings(max_examples=60, deadline=None)
def test_distinct_numbers(population: int, count: int, seed: int) -> None:
    count = min(count, population)
    found = distinct(np.random.default_rng(seed), population, count)
    assert len(np.unique(found)) == count
    assert found.min() >= 0
    assert found.max() < population
    fewer = distinct(np.random.default_rng(seed), population, max(1, count // 3))
    np.testing.assert_array_equal(fewer, found[: len(fewer)])


def test_numbers_are_drawn_evenly() -> None:
    found = distinct(np.random.default_rng(0), 10**9, 20_000)
    counts = np.histogram(found, bins=10, range=(0, 10**9))[0]
    assert ((counts - 2000) ** 2 / 2000).sum() < 27.9  # chi-squared, 9 degrees, p = .001


def test_modular_sums() -> None:
    items = TASKS["modular_sum_97"].items(np.random.default_rng(0), 97**2)
    for prompt, (target,) in items.select("prompt", "targets").iter_rows():
        left, right, modulus = map(int, re.findall(r"\d+", prompt))
        assert str((left + right) % modulus) == target


@given(word=st.sampled_from(sorted(w for w in KNOWN if len(w) > 3)), seed=st.integers(0, 10**6))
@settings(max_examples=300, deadline=None)
def test_one_slip_is_one_edit_and_no_other_word(word: str, seed: int) -> None:
    slipped = misspell(np.random.default_rng(seed), word)
    assert DamerauLevenshtein.distance(word, slipped) == 1
    assert slipped[0] == word[0]
    assert slipped not in KNOWN


@pytest.mark.parametrize("name", ["typos", "typos_1", "typos_6"])
def test_typos_change_words_and_nothing_else(name: str) -> None:
    items = TASKS[name].items(np.random.default_rng(0), 100)
    share = []
    for prompt, (target,) in items.select("prompt", "targets").iter_rows():
        text = prompt.split("\n\n")[1]
        pairs = list(zip(text.split(" "), target.split(" "), strict=True))
        changed = [(one, other) for one, other in pairs if one != other]
        assert changed
        assert all(DamerauLevenshtein.distance(*pair) == 1 for pair in changed)
        able = [other for _, other in pairs if len(other.rstrip(".")) >= 4]
        share.append(len(changed) / len(able))
    assert 0.12 < np.mean(share) < 0.22  # rate .15, at least one per text


def test_a_word_without_a_misspelling_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saltus.tasks.typos.TRIES", 0)
    with pytest.raises(SaltusError, match="no misspelling of 'letter' was found"):
        misspell(np.random.default_rng(0), "letter")


def test_names_and_list() -> None:
    with pytest.raises(UnknownNameError, match="did you mean addition_4"):
        TASKS["adition_4"]
    listed = CliRunner().invoke(main, ["list", "tasks", "--json"])
    assert listed.exit_code == 0
    assert all(f'"{entry.name}"' in listed.output for entry in TASKS)
