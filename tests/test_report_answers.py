"""The page of answers without a scale axis, on a small table and on the shared one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import polars as pl
import pytest

from saltus import pipeline, store
from saltus.metrics.difference import Segment
from saltus.metrics.score import score
from saltus.report import answers_page
from saltus.report.answers import SHOWN, cell, collect, few, nearest, summary
from saltus.tables import Responses, Scores, conform, empty
from shared import SHARED, needs_shared

TARGET = "the cat sat on the mat"


def responses(*outputs: str | None, targets: tuple[str, ...] = (TARGET,)) -> pl.DataFrame:
    rows = [
        {"model": f"m{place}", "task": "t", "item": "0", "sample": 0, "output": output}
        | {"targets": list(targets)}
        for place, output in enumerate(outputs)
    ]
    return conform(pl.DataFrame(rows, infer_schema_length=None), Responses)


def scores(rows: pl.DataFrame) -> pl.DataFrame:
    return score(rows, ["exact_match", "word_accuracy"])


def test_differing_words_are_marked_and_foreign_text_stays_text(tmp_path: Path) -> None:
    rows = responses(TARGET, "the <b>dog</b> sat on the mat now", None)
    written = answers_page(rows, scores(rows), {}, tmp_path)
    assert [path.suffix for path in written] == [".html", ".md", ".csv", ".json"]
    html = written[0].read_text(encoding="utf-8")
    assert "<b>dog" not in html
    assert "<del>cat</del> <ins>&lt;b&gt;dog&lt;/b&gt;</ins> sat on the mat <ins>now</ins>" in html
    assert "1 of 2 answers is exact" in html
    assert "No output, or no target" in html
    assert not re.search(r'(src|href)="(?!#)', html)


def test_markdown_marks_the_same_words(tmp_path: Path) -> None:
    rows = responses("the d|g sat on the mat")
    text = answers_page(rows, scores(rows), {}, tmp_path)[1].read_text(encoding="utf-8")
    assert "the ~~cat~~ **d\\|g** sat on the mat" in text


def test_missing_scores_stay_missing(tmp_path: Path) -> None:
    rows = responses(TARGET, None)
    written = answers_page(rows, scores(rows), {}, tmp_path)
    frame = pl.read_csv(written[2])
    assert frame["exact_match"].to_list() == [1.0, None]
    document = json.loads(written[3].read_text(encoding="utf-8"))
    assert document["answers"][1]["scores"]["exact_match"] is None
    assert document["answers"][1]["missing"]["exact_match"]


def test_nearest_target_is_the_one_that_is_shown() -> None:
    target, segments = nearest("a b", ["x y z", "a b c"])
    assert target == "a b c"
    assert segments == [Segment("same", ("a", "b"), ("a", "b")), Segment("dropped", (), ("c",))]


def test_repeated_answers_of_a_model_are_told_apart_but_counted_as_one_model() -> None:
    rows = responses(TARGET, "no").with_columns(
        pl.lit("m").alias("model"), pl.Series("sample", [0, 1])
    )
    answers = collect(rows, conform(scores(rows), Scores))
    assert [answer.title for answer in answers] == ["m", "m (answer 2)"]
    assert "1 model" in summary(answers)[-1]


def test_few_answers_make_a_page_and_many_do_not() -> None:
    assert few(responses("a"))
    assert not few(empty(Responses))
    assert not few(responses(None))
    assert not few(responses(*["a"] * (SHOWN + 1)))


@pytest.mark.parametrize(("value", "text"), [(None, "–"), (2.0, "2"), (0.0114942, "0.011494")])
def test_scores_show_six_decimals(value: float | None, text: str) -> None:
    assert cell(value) == text


@needs_shared
def test_shared_table_reads_four_of_sixteen_beside_its_golden_numbers(tmp_path: Path) -> None:
    audit = tmp_path / "audit"
    pipeline.read([SHARED / "seeds" / "answers_table.md"], audit, require_facts=False)
    rows = store.load(audit, Responses)
    written = answers_page(rows, score(rows), store.load_manifest(audit), tmp_path / "page")
    html = written[0].read_text(encoding="utf-8")
    assert "4 of 16 answers are exact; mean word accuracy .92." in html
    assert "[.1031, .4990]" in html
    assert "There is no scale axis" in html
    golden = pl.read_csv(SHARED / "golden" / "answers_table_golden.csv")
    frame = pl.read_csv(written[2])
    assert frame["exact_match"].to_list() == golden["exact_match"].to_list()
    assert frame["word_edit_distance"].to_list() == golden["word_edit"].to_list()
