"""Plain tables: the contract holds in every format, and what breaks it is told with its place."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reading import Tables, read_tables
from saltus.errors import ReadError, SaltusError, UnknownNameError
from saltus.readers import tabular

Row = Mapping[str, Any]
ANSWER = {"model": "pythia-70m", "task": "t", "item": "1", "output": "a", "target": "b"}
VALUE = {"model": "pythia-70m", "task": "t", "metric": "acc", "value": 0.5}


def write_csv(path: Path, rows: Iterable[Row]) -> Path:
    rows = list(rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {k: json.dumps(v) if isinstance(v, list) else v for k, v in row.items()}
            )
    return path


def write_jsonl(path: Path, rows: Iterable[Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_json(path: Path, rows: Iterable[Row]) -> Path:
    path.write_text(json.dumps(list(rows), indent=1), encoding="utf-8")
    return path


def write_parquet(path: Path, rows: Iterable[Row]) -> Path:
    pl.DataFrame(list(rows), infer_schema_length=None).write_parquet(path)
    return path


def write_gzip(path: Path, rows: Iterable[Row]) -> Path:
    path.write_bytes(gzip.compress(write_jsonl(path, rows).read_bytes()))
    return path


FORMATS: dict[str, Callable[[Path, Iterable[Row]], Path]] = {
    "a.csv": write_csv,
    "a.jsonl": write_jsonl,
    "a.json": write_json,
    "a.parquet": write_parquet,
    "a.jsonl.gz": write_gzip,
}
texts = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), min_size=1, max_size=9)
logprobs = st.lists(st.floats(-30, 0, allow_nan=False), min_size=2, max_size=4)
answers = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["pythia-70m", "bloom-560m"]),
        "task": texts,
        "item": texts,
        "output": texts,
        "targets": st.lists(texts, min_size=1, max_size=3),
        "target_index": st.integers(0, 1),
        "choice_logprobs": logprobs,
        "step": st.none() | st.integers(0, 9),
    }
)


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(answers, min_size=1, max_size=6))
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, name: str, rows: list[Row]
) -> None:
    path = FORMATS[name](tmp_path_factory.mktemp("plain") / name, rows)
    found = read_tables([path]).responses
    for column in ("task", "item", "output", "targets", "target_index", "choice_logprobs"):
        assert found[column].to_list() == [row[column] for row in rows], column
    steps = ["" if row["step"] is None else f"@step{row['step']}" for row in rows]
    assert found["model"].to_list() == [r["model"] + s for r, s in zip(rows, steps, strict=True)]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_the_size_of_a_batch_does_not_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    rows = [ANSWER | {"item": str(n % 3), "output": str(n)} for n in range(7)]
    path = write_csv(tmp_path / "a.csv", rows)
    whole = read_tables([path])
    monkeypatch.setattr(tabular, "BATCH_ROWS", size)
    parts = read_tables([path])
    assert parts.batches["responses"] == -(-7 // size)
    for name in ("responses", "models", "findings"):
        assert parts.table(name).equals(whole.table(name))


def test_lines_are_those_of_the_file_also_after_quoted_line_ends(tmp_path: Path) -> None:
    rows = [ANSWER | {"output": "two\nlines"}, ANSWER | {"item": "2"}]
    found = read_tables([write_csv(tmp_path / "a.csv", rows)]).responses
    assert found["source"].to_list() == ["a.csv:2", "a.csv:4"]


def test_empty_cells_are_missing(tmp_path: Path) -> None:
    rows = [ANSWER | {"output": ""}, ANSWER | {"item": "2", "target": ""}]
    found = read_tables([write_csv(tmp_path / "a.csv", rows)]).responses
    assert found["output"].to_list() == [None, "a"]
    assert found["targets"].to_list() == [["b"], None]


def test_a_repeated_item_becomes_a_further_sample_and_is_reported(tmp_path: Path) -> None:
    rows = [ANSWER, ANSWER | {"output": "other"}, ANSWER | {"item": "2"}]
    found = read_tables([write_csv(tmp_path / "a.csv", rows)])
    assert found.responses["sample"].to_list() == [0, 1, 0]
    (repeat,) = found.named("read.repeated_items")
    assert (repeat["severity"], repeat["count"], repeat["task"]) == ("warning", 1, "t")


def test_items_repeated_in_another_file_are_found_too(tmp_path: Path) -> None:
    one, two = write_csv(tmp_path / "a.csv", [ANSWER]), write_csv(tmp_path / "b.csv", [ANSWER])
    assert read_tables([one, two]).responses["sample"].to_list() == [0, 1]


def test_scores_per_item_and_aggregates_become_reported_values(tmp_path: Path) -> None:
    score = read_tables([write_csv(tmp_path / "s.csv", [VALUE | {"item_id": "7"}])]).reported
    assert score.select("item", "sample", "metric", "value").row(0) == ("7", 0, "acc", 0.5)
    rows = [VALUE | {"stderr": 0.1, "n_items": 26, "shots": 5, "chance": 0.25}]
    whole = read_tables([write_csv(tmp_path / "a.csv", rows)]).reported
    assert whole.select("model", "item", "stderr", "items", "chance").row(0) == (
        "pythia-70m [5-shot]", None, 0.1, 26, 0.25,
    )  # fmt: skip


def test_a_harness_filter_is_part_of_the_metric(tmp_path: Path) -> None:
    rows = [VALUE | {"filter": "none"}, VALUE | {"filter": "strict"}]
    found = read_tables([write_csv(tmp_path / "a.csv", rows)]).reported
    assert found["metric"].to_list() == ["acc", "acc,strict"]


def test_wide_aggregates_take_the_longest_metric_name_and_keep_blanks(tmp_path: Path) -> None:
    rows = [{"Model": "pythia-70m", "a_b_acc_norm": 0.1, "c_acc": "", "size": 3}]
    found = read_tables([write_csv(tmp_path / "a.csv", rows)])
    assert found.reported.select("task", "metric", "value").rows() == [
        ("a_b", "acc_norm", 0.1),
        ("c", "acc", None),
    ]
    (left,) = found.named("read.columns_not_read")
    assert "size" in left["message"]


def test_wide_answers_have_one_column_per_known_model(tmp_path: Path) -> None:
    rows = [{"item": "1", "target": "B", "n_options": 4, "Llama-2-7b-hf": "A", "gemma-7b": ""}]
    found = read_tables([write_csv(tmp_path / "quiz.csv", rows)]).responses
    assert found.select("model", "task", "output", "chance").rows() == [
        ("Llama-2-7b-hf", "quiz", "A", 0.25),
        ("gemma-7b", "quiz", None, 0.25),
    ]


def test_wide_answers_of_unknown_models_are_named_by_the_user(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "quiz.csv", [{"item": "1", "target": "B", "x": "A", "y": "B"}])
    found = read_tables([path], columns={"output": "x,y"}, require_facts=False).responses
    assert found["model"].to_list() == ["x", "y"]


def test_a_unit_in_the_header_is_applied_and_said(tmp_path: Path) -> None:
    rows = [VALUE | {"family": "F", "Model Size (B)": 1.4, "tokens_t": 2, "FLOPs (1E21)": 3}]
    found = read_tables([write_csv(tmp_path / "a.csv", rows)])
    assert found.models.select("params", "tokens", "flops").row(0) == (1.4e9, 2e12, 3e21)
    assert len(found.named("read.units")) == 3


def test_a_factor_of_the_user_replaces_the_unit_of_the_header(tmp_path: Path) -> None:
    rows = [VALUE | {"Model Size (B)": 1.4}]
    path = write_csv(tmp_path / "a.csv", rows)
    found = read_tables([path], columns={"params": "Model Size (B)*1e6"})
    assert found.models["params"].item() == 1.4e6


def test_validation_losses_are_an_axis_not_tasks(tmp_path: Path) -> None:
    step = {"step": 5, "shots": ""}
    rows = [
        VALUE | {"task": "c4", "metric": "ce", "value": 3.5, "kind": "val_loss"} | step,
        VALUE | {"task": "pile", "metric": "ce", "value": 2.5, "kind": "val_loss"} | step,
        VALUE | {"kind": "downstream"} | step | {"shots": 5},
    ]
    found = read_tables([write_csv(tmp_path / "a.csv", rows)], columns={"loss": "c4"})
    assert found.reported["task"].to_list() == ["t"]
    assert found.models.select("model", "loss", "loss_name").rows() == [
        ("pythia-70m@step5 [5-shot]", 3.5, "c4")
    ]
    (left,) = found.named("read.validation_losses")
    assert left["count"] == 1


def test_several_columns_can_name_the_task(tmp_path: Path) -> None:
    rows = [VALUE | {"name": "arc", "split": "test"}, VALUE | {"name": "arc", "split": ""}]
    path = write_csv(tmp_path / "a.csv", [{k: r[k] for k in r if k != "task"} for r in rows])
    found = read_tables([path], columns={"task": "name,split"}).reported
    assert found["task"].to_list() == ["arc/test", "arc"]


def models_file(tmp_path: Path, rows: Iterable[Row]) -> Path:
    return write_csv(tmp_path / "models.csv", rows)


def test_the_users_facts_win_over_the_file_and_the_file_over_the_published(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [VALUE | {"params": 2, "tokens": 3}])
    user = models_file(tmp_path, [{"model": "PYTHIA-70M", "family": "Mine", "tokens": 4}])
    (row,) = read_tables([path], models=user).models.iter_rows(named=True)
    assert (row["family"], row["params"], row["tokens"], row["flops"]) == ("Mine", 2, 4, 48)
    assert row["source"] == "family, tokens: models.csv; params: a.csv; flops: 6ND"


def test_a_checkpoint_does_not_get_the_tokens_of_the_final_model(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [VALUE | {"model": "mine", "step": 7}])
    user = models_file(tmp_path, [{"model": "mine", "family": "F", "params": 5, "tokens": 9}])
    (row,) = read_tables([path], models=user).models.iter_rows(named=True)
    assert (row["params"], row["tokens"], row["flops"]) == (5, None, None)


def test_a_listed_model_without_sizes_is_known(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [VALUE | {"model": "mine"}])
    user = models_file(tmp_path, [{"model": "mine", "family": "F", "params": ""}])
    assert read_tables([path], models=user).models["params"].to_list() == [None]


def test_a_blank_of_the_user_is_not_filled_up_from_what_is_published(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [VALUE])
    user = models_file(tmp_path, [{"model": "pythia-70m", "family": "F", "tokens": ""}])
    (row,) = read_tables([path], models=user).models.iter_rows(named=True)
    assert (row["family"], row["params"], row["tokens"]) == ("F", 70_426_624, None)


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ([{"model": "a", "colour": 1}], "needs the columns model and some of family"),
        ([{"model": "a", "params": "7B"}], "write 1.4e9 for 1.4B"),
        ([{"model": "a", "params": 1}, {"model": "a", "params": 2}], "twice with other facts"),
        ([{"model": "", "params": 1}], "required"),
    ],
)
def test_a_bad_table_of_models_is_an_error(tmp_path: Path, rows: list[Row], what: str) -> None:
    path = write_csv(tmp_path / "a.csv", [VALUE])
    with pytest.raises(ReadError, match=what):
        read_tables([path], models=models_file(tmp_path, rows))


def test_an_unknown_model_is_an_error_that_says_how_to_name_it(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [VALUE | {"model": "pythia-7b"}])
    with pytest.raises(
        SaltusError, match=r"'pythia-7b' \(known: pythia-1b, pythia-70m.*--models FILE"
    ):
        read_tables([path])
    assert read_tables([path], require_facts=False).models["family"].to_list() == [None]


def test_rows_that_disagree_on_a_fact_are_reported(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [VALUE | {"tokens": 1}, VALUE | {"tokens": 2}])
    (conflict,) = read_tables([path]).named("read.model_facts")
    assert "tokens" in conflict["message"]


BAD_CELLS = [
    (VALUE | {"value": "nan"}, "value", "leave the cell empty"),
    (VALUE | {"value": "inf"}, "value", "leave the cell empty"),
    (VALUE | {"value": "many"}, "value", "'many' is not a number"),
    (VALUE | {"value": "1_0"}, "value", "not a value"),
    (VALUE | {"params": "1.4B"}, "params", "write 1.4e9 for 1.4B"),
    (VALUE | {"n_items": "1.5"}, "n_items", "not a whole number"),
    (VALUE | {"step": "1e300"}, "step", "not a whole number of usual size"),
    (VALUE | {"chance": 25}, "chance", "percentage"),
    (VALUE | {"model": ""}, "model", "required"),
    (VALUE | {"metric": ""}, "metric", "required"),
    (ANSWER | {"target_logprobs": "[-1, 2"}, "target_logprobs", "write a JSON array"),
    (ANSWER | {"target_logprobs": '["x"]'}, "target_logprobs", "not a number"),
]


@pytest.mark.parametrize(("row", "field", "what"), BAD_CELLS)
def test_a_bad_cell_is_told_with_file_line_and_column(
    tmp_path: Path, row: Row, field: str, what: str
) -> None:
    good = dict.fromkeys(row, "") | {k: v for k, v in (ANSWER | VALUE).items() if k in row}
    path = write_csv(tmp_path / "a.csv", [good, row])
    with pytest.raises(ReadError, match=what) as caught:
        read_tables([path])
    assert (caught.value.line, caught.value.field) == (3, field)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(("row", "field", "what"), BAD_CELLS)
def test_with_keep_going_a_bad_cell_costs_its_row_and_is_listed(
    tmp_path: Path, row: Row, field: str, what: str
) -> None:
    good = dict.fromkeys(row, "") | {k: v for k, v in (ANSWER | VALUE).items() if k in row}
    path = write_csv(tmp_path / "a.csv", [good, row])
    found = read_tables([path], keep_going=True)
    assert found.reported.height + found.responses.height == 1
    total, listed = found.named("read.unreadable_lines")
    assert (total["count"], total["severity"]) == (1, "error")
    assert f"a.csv:3: field {field!r}" in listed["message"]


def test_nan_in_json_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(VALUE) + "\n" + json.dumps(VALUE | {"value": float("nan")}) + "\n")
    with pytest.raises(ReadError, match="nan is not a value") as caught:
        read_tables([path])
    assert (caught.value.line, caught.value.field) == (2, "value")


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("model,task,metric,value\na,b,acc\n", 2, "3 cells, the header 4"),
        ("model,task,metric,value,value\na,b,acc,1,1\n", 1, "'value' is there twice"),
        ('model,task,metric,value\n"a,b,acc,1\n', 2, "not CSV"),
        ("model,task,metric,value\n", None, "no rows"),
        ("model,task,metric,value\na,b,acc,\udcff\n", 2, "not UTF-8"),
        ("model,item,output,target\na,1,x,y\n", 1, "--task NAME"),
        ('{"model": "a", "task": "t", "metric": "m", "value": 1}\n{"model": \n', 2, "not JSON"),
        ('{"model": "a", "task": "t", "metric": "m", "value": 1}\n[1]\n', 2, "object"),
    ],
)
def test_broken_tables_are_errors_with_their_line(
    tmp_path: Path, text: str, line: int | None, what: str
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ReadError, match=what) as caught:
        read_tables([path])
    assert caught.value.line == line


def test_choices_of_which_none_is_said_to_be_right_are_told(tmp_path: Path) -> None:
    rows = [ANSWER | {"item": str(i), "choice_logprobs": [-1.0, -2.0], "label": 1} for i in (1, 2)]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    (note,) = read_tables([path]).named("read.choices_not_scored")
    assert "--columns target_index=NAME" in note["message"]
    said = read_tables([path], columns={"target_index": "label"})
    assert not said.named("read.choices_not_scored")


def test_two_columns_for_one_role_need_the_users_word(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [VALUE | {"params (B)": 1, "Params": 2}])
    with pytest.raises(ReadError, match="say which one: --columns params=NAME"):
        read_tables([path])
    found = read_tables([path], columns={"params": "Params"})
    assert found.models["params"].to_list() == [2.0]


def test_a_missing_column_is_named_with_what_is_there(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [{"model": "a", "task": "t", "accuracy": 1}])
    with pytest.raises(ReadError, match=r"Columns: model, task, accuracy.*--columns role=name"):
        read_tables([path])


def test_a_mapped_column_that_no_input_has_is_an_error(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [VALUE])
    with pytest.raises(SaltusError, match="--columns params=size: no input has a column 'size'"):
        read_tables([path], columns={"params": "size"})


def test_an_unknown_role_is_told_the_nearest(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [VALUE])
    with pytest.raises(UnknownNameError, match="did you mean params"):
        read_tables([path], columns={"parms": "x"})


def test_text_of_models_is_kept_as_it_is(tmp_path: Path) -> None:
    nasty = "=cmd()|<script>\u202e\x1b[31m"
    path = write_jsonl(tmp_path / "a.jsonl", [ANSWER | {"output": nasty}])
    found: Tables = read_tables([path])
    assert found.responses["output"].item() == nasty
