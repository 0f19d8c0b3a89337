"""Answer tables in Markdown: rows over several lines, pipes, broken tables."""

from __future__ import annotations

import csv
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reading import read_tables
from saltus.errors import ReadError
from shared import SHARED, needs_shared

HEADER = "| 模型 | 模型答案 | 正确答案 |\n|---|---|---|\n"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "quiz.md"
    path.write_text(text, encoding="utf-8")
    return path


@needs_shared
def test_the_seed_has_sixteen_answers_to_one_question() -> None:
    found = read_tables([SHARED / "seeds/answers_table.md"])
    with (SHARED / "golden/answers_table_golden.csv").open(encoding="utf-8") as file:
        golden = list(csv.DictReader(file))
    responses = found.responses
    assert responses["model"].to_list() == [row["model"] for row in golden]
    assert responses["sample"].to_list() == [int(row["occurrence"]) - 1 for row in golden]
    assert [len(text.split()) for text in responses["output"]] == [
        int(r["n_words"]) for r in golden
    ]
    assert responses["item"].n_unique() == 1
    target = responses["targets"][0][0]
    assert (len(target.split()), len(target)) == (174, 1144)
    assert responses["task"].unique().to_list() == ["answers_table"]
    assert found.models["family"].null_count() == 15  # answers are only scored: no scale


@needs_shared
def test_three_answers_of_the_seed_stand_on_two_lines() -> None:
    sources = read_tables([SHARED / "seeds/answers_table.md"]).responses["source"]
    lines = [int(source.rpartition(":")[2]) for source in sources]
    gaps = [later - earlier for earlier, later in pairwise(lines)]
    assert sorted(gaps)[-3:] == [2, 2, 2]
    assert lines[0] == 3


cells = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=9)


@settings(max_examples=60)
@given(rows=st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=5))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]]
) -> None:
    rows = [tuple(cell.replace("\\", "/") for cell in row) for row in rows]  # type: ignore[misc]
    lines = ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |\n" for row in rows]
    path = write(tmp_path_factory.mktemp("markdown"), HEADER + "".join(lines))
    found = read_tables([path]).responses
    assert found.select("model", "output").rows() == [(m, a) for m, a, _ in rows]
    assert found["targets"].to_list() == [[target] for _, _, target in rows]


def test_a_row_may_go_on_over_lines_and_hold_pipes(tmp_path: Path) -> None:
    path = write(
        tmp_path, "Intro, with a comma\n\n" + HEADER + "| a | one\ntwo \\| three | t |\n\nEnd\n"
    )
    found = read_tables([path]).responses
    assert found.select("model", "output", "source").row(0) == (
        "a",
        "one\ntwo | three",
        "quiz.md:5",
    )


def test_header_words_give_the_order_and_further_columns(tmp_path: Path) -> None:
    table = "| task | reference | item | model | output |\n|-|:-:|-|-|-|\n| t | r | 7 | m | o |\n"
    found = read_tables([write(tmp_path, table)]).responses
    assert found.select("task", "item", "model", "output").row(0) == ("t", "7", "m", "o")
    assert found["targets"].to_list() == [["r"]]


def test_different_targets_are_different_questions(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + "| a | x | t |\n| a | x | u |\n| b | y | t |\n")
    found = read_tables([path]).responses
    assert found["item"].to_list() == ["question 1", "question 2", "question 1"]
    assert found["sample"].to_list() == [0, 0, 0]


def test_an_empty_answer_is_missing(tmp_path: Path) -> None:
    found = read_tables([write(tmp_path, HEADER + "| a |  | t |\n")]).responses
    assert found["output"].to_list() == [None]


@pytest.mark.parametrize(
    ("rows", "line", "what"),
    [
        ("| a | b | c |\n| a | b | c | d |\n", 4, "4 cells, not 3"),
        ("| a | b | c |\n| a | b\n", 4, "never gets its 3 cells"),
        ("| a | b\n| a | b | c |\n", 3, "cells, not 3"),
        ("", None, "no rows"),
    ],
)
def test_a_broken_table_is_told_with_its_line(
    tmp_path: Path, rows: str, line: int | None, what: str
) -> None:
    with pytest.raises(ReadError, match=what) as caught:
        read_tables([write(tmp_path, HEADER + rows)])
    assert caught.value.line == line


def test_keep_going_lists_broken_rows(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + "| a | b | c | d |\n| e | f | g |\n")
    found = read_tables([path], keep_going=True)
    assert found.responses["model"].to_list() == ["e"]
    assert found.named("read.unreadable_lines")[0]["count"] == 1


def test_a_table_without_the_columns_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, "| model | output | x | y |\n|-|-|-|-|\n| a | b | c | d |\n")
    with pytest.raises(ReadError, match="no column for target"):
        read_tables([path])
