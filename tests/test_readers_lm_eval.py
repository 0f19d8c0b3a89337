"""Logs of lm-evaluation-harness: versions 0.3 and 0.4, aggregates and answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reading import read_tables
from saltus.errors import ReadError
from shared import SHARED, needs_shared

DATE = "2026-01-02T03-04-05.678"
CHOICE = {
    "doc_id": 0,
    "doc": {"choices": ["yes", "no"]},
    "target": "1",
    "arguments": {
        "gen_args_0": {"arg_0": "Q", "arg_1": " yes"},
        "gen_args_1": {"arg_0": "Q", "arg_1": " no"},
    },
    "resps": [[["-1.5", "False"]], [["-0.5", "True"]]],
    "filtered_resps": [["-1.5", "False"], ["-0.5", "True"]],
    "filter": "none",
    "metrics": ["acc"],
    "doc_hash": "abc",
    "acc": 1.0,
}
TEXT = {
    "doc_id": 3,
    "doc": {},
    "target": "5",
    "arguments": {"gen_args_0": {"arg_0": "Q", "arg_1": {}}},
    "resps": [[" 5."]],
    "filtered_resps": ["5"],
    "filter": "strip",
    "metrics": ["exact_match"],
    "exact_match": 1.0,
}
RESULTS = {
    "results": {
        "boolq": {"alias": "boolq", "acc,none": 0.5, "acc_stderr,none": "N/A", "f1,strict": 0.25},
        "group": {"acc,none": 0.5},
    },
    "groups": {"group": {"acc,none": 0.5}},
    "group_subtasks": {"group": ["boolq"]},
    "configs": {},
    "n-shot": {"boolq": 5},
    "n-samples": {"boolq": {"original": 3270, "effective": 100}},
    "config": {
        "model_args": "pretrained=EleutherAI/pythia-70m,revision=step3000",
        "model_num_parameters": 7,
    },
    "model_name": "EleutherAI/pythia-70m",
}


def write(path: Path, *lines: Mapping[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def samples(tmp_path: Path, *lines: Mapping[str, Any]) -> str:
    path = write(tmp_path / f"samples_boolq_{DATE}.jsonl", *lines)
    return f"pythia-70m={path}"


def answer(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    (row,) = read_tables([samples(tmp_path, CHOICE | changes)]).responses.to_dicts()
    return row


def test_results_of_version_4(tmp_path: Path) -> None:
    found = read_tables([write(tmp_path / f"results_{DATE}.json", RESULTS)])
    assert found.reported.select("model", "metric", "value", "stderr", "items").rows() == [
        ("EleutherAI/pythia-70m@step3000 [5-shot]", "acc", 0.5, None, 100),
        ("EleutherAI/pythia-70m@step3000 [5-shot]", "f1,strict", 0.25, None, 100),
    ]
    (model,) = found.models.to_dicts()
    assert (model["params"], model["tokens"], model["step"]) == (7, 3000 * 2_097_152, 3000)
    assert found.named("read.groups")[0]["count"] == 1
    assert found.named("read.limit")[0]["task"] == "boolq"


def test_results_of_version_3_and_of_a_fork(tmp_path: Path) -> None:
    document = {
        "results": {"a": {"acc": 0.5, "acc_stderr": 0.1}, "b": {"f1_avg": 0.2, "f1_std_err": 0.3}},
        "versions": {},
        "config": {"model_args": "pretrained=gpt2", "num_fewshot": 2},
    }
    found = read_tables([write(tmp_path / "x.json", document)]).reported
    assert found.select("model", "task", "metric", "value", "stderr").rows() == [
        ("gpt2 [2-shot]", "a", "acc", 0.5, 0.1),
        ("gpt2 [2-shot]", "b", "f1", 0.2, 0.3),
    ]


def test_a_folder_on_somebodys_disk_gives_way_to_a_known_name_in_the_path(tmp_path: Path) -> None:
    config = {"model_args": {"pretrained": "/disk/step/7B"}, "num_fewshot": 0}
    document = {"results": {"a": {"acc": 0.5}}, "versions": {}, "config": config}
    path = write(tmp_path / "llama-7B_step9_0-shot.json", document)
    assert read_tables([path]).models["model"].to_list() == ["llama-7B@step9 [0-shot]"]
    found = read_tables([f"gpt2={path}"]).models
    assert found["model_name"].to_list() == ["gpt2"]


def test_nan_in_results_is_missing(tmp_path: Path) -> None:
    document = {
        "results": {"a": {"acc": float("nan")}},
        "versions": {},
        "config": {"model_args": "pretrained=gpt2"},
    }
    assert read_tables([write(tmp_path / "x.json", document)]).reported["value"].to_list() == [None]


@pytest.mark.parametrize(
    "document",
    [
        {"results": [{"acc": 1}], "versions": {}, "config": {"model_args": "pretrained=gpt2"}},
        {"results": {"a": 1}, "versions": {}, "config": {"model_args": "pretrained=gpt2"}},
        {"table_results": {}, "model_args": "pretrained=gpt2"},
    ],
)
def test_other_shapes_are_refused_with_a_reason(tmp_path: Path, document: dict[str, Any]) -> None:
    with pytest.raises(ReadError, match=r"'results'.*shape is not read") as caught:
        read_tables([f"gpt2={write(tmp_path / 'x.json', document)}"])
    assert caught.value.field == "results"


def test_a_file_that_names_no_model_asks_for_one(tmp_path: Path) -> None:
    document = {"results": {"a": {"acc": 1}}, "versions": {}, "config": {}}
    with pytest.raises(ReadError, match="NAME=PATH"):
        read_tables([write(tmp_path / "x.json", document)])


def test_multiple_choice_answers(tmp_path: Path) -> None:
    found = read_tables([samples(tmp_path, CHOICE)])
    (row,) = found.responses.to_dicts()
    assert row["choice_logprobs"] == [-1.5, -0.5]
    assert row["choice_bytes"] == [3, 2]
    assert (row["target_index"], row["chance"], row["item_hash"]) == (1, 0.5, "abc")
    assert found.reported.select("item", "metric", "value").rows() == [("0", "acc", 1.0)]


def test_generated_answers_and_their_filter(tmp_path: Path) -> None:
    found = read_tables([samples(tmp_path, TEXT)])
    (row,) = found.responses.to_dicts()
    assert (row["output"], row["targets"], row["filter"]) == ("5", ["5"], "strip")
    assert found.reported["metric"].to_list() == ["exact_match,strip"]


def test_repeats_are_samples_and_filters_are_not(tmp_path: Path) -> None:
    lines = [TEXT | {"filtered_resps": [["a", "b"]]}, TEXT | {"filter": "other"}]
    found = read_tables([samples(tmp_path, *lines)])
    assert found.responses.select("output", "sample").rows() == [("a", 0), ("b", 1), ("5", 0)]
    assert found.named("read.repeated_items") == []


@pytest.mark.parametrize(
    ("changes", "index"),
    [
        ({"target": "no"}, 1),  # the text of a choice
        ({"target": 0}, 0),  # its index
        ({"target": "B", "doc": {"choices": {"text": ["x", "y"], "label": ["A", "B"]}}}, 1),
        ({"target": "maybe", "acc": 1.0}, 1),  # the harness found the likeliest right
        ({"target": "maybe", "acc": 0.0}, 0),  # or wrong, and there are two
    ],
)
def test_the_right_choice_is_found(tmp_path: Path, changes: dict[str, Any], index: int) -> None:
    assert answer(tmp_path, **changes)["target_index"] == index


NUMBERS = {
    "arguments": [["Q", " 1"], ["Q", " 0"]],  # the nested lists of early 0.4
    "target": "1",  # the first choice as text, the second as index
}


def test_a_target_that_is_text_and_index_is_settled_by_the_harness(tmp_path: Path) -> None:
    assert answer(tmp_path, **NUMBERS, acc=1.0)["target_index"] == 1
    assert answer(tmp_path, **NUMBERS, acc=0.0)["target_index"] == 0
    assert answer(tmp_path, **NUMBERS, acc=0.0, doc={"gold": 1})["target_index"] == 1


def test_an_unclear_target_is_an_error_with_its_line(tmp_path: Path) -> None:
    unclear = {
        key: value for key, value in (CHOICE | NUMBERS).items() if key not in ("acc", "metrics")
    }
    with pytest.raises(ReadError, match="which choice is right is not clear from '1'") as caught:
        read_tables([samples(tmp_path, CHOICE, unclear)])
    assert (caught.value.line, caught.value.field) == (2, "target")


def test_a_log_probability_that_is_nan_leaves_no_choices(tmp_path: Path) -> None:
    row = answer(tmp_path, filtered_resps=[["nan", "False"], ["-0.5", "True"]])
    assert (row["choice_logprobs"], row["target_index"]) == (None, None)


def test_mutual_information_asks_twice_and_only_the_first_half_counts(tmp_path: Path) -> None:
    pairs = [["-1", "False"], ["-2", "False"], ["-3", "False"], ["-4", "False"]]
    requests = {
        f"gen_args_{n}": {"arg_1": text} for n, text in enumerate((" yes", " no", " yes", " no"))
    }
    row = answer(tmp_path, filtered_resps=pairs, arguments=requests, acc_mutual_info=0.0)
    assert row["choice_logprobs"] == [-1.0, -2.0]


def test_a_bare_log_likelihood_keeps_only_the_harness_score(tmp_path: Path) -> None:
    line = CHOICE | {"filtered_resps": [["-1.5", "False"]]}
    found = read_tables([samples(tmp_path, line)])
    assert (found.responses.height, found.reported.height) == (0, 1)
    assert found.named("read.no_choices")[0]["count"] == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"doc_id": None}, "doc_id"),
        ({"arguments": 3}, "arguments"),
        ({"arguments": {}}, "arguments"),
        ({"metrics": 5}, "metrics"),
        ({"filtered_resps": "x"}, "filtered_resps"),
    ],
)
def test_a_line_of_another_shape_is_told_with_line_and_field(
    tmp_path: Path, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(ReadError) as caught:
        read_tables([samples(tmp_path, CHOICE, CHOICE | changes)])
    assert (caught.value.line, caught.value.field) == (2, field)


def test_a_missing_field_is_named_and_can_be_passed_over(tmp_path: Path) -> None:
    short = {key: value for key, value in CHOICE.items() if key != "target"}
    path = samples(tmp_path, CHOICE, short, CHOICE | {"doc_id": 2})
    with pytest.raises(ReadError, match="'target': is missing"):
        read_tables([path])
    found = read_tables([path], keep_going=True)
    assert found.responses["item"].to_list() == ["0", "2"]
    assert found.named("read.unreadable_lines")[0]["count"] == 1


def test_nan_in_a_line_is_a_missing_score(tmp_path: Path) -> None:
    found = read_tables([samples(tmp_path, CHOICE | {"acc": float("nan")})])
    assert found.reported["value"].to_list() == [None]
    assert found.responses["target_index"].to_list() == [1]


def test_samples_take_model_and_shots_from_the_results_beside_them(tmp_path: Path) -> None:
    write(tmp_path / f"results_{DATE}.json", RESULTS)
    write(tmp_path / f"samples_boolq_{DATE}.jsonl", CHOICE)
    found = read_tables([tmp_path])
    assert found.models["model"].to_list() == ["EleutherAI/pythia-70m@step3000 [5-shot]"]
    assert found.responses["task"].to_list() == ["boolq"]


def test_or_from_the_name_of_the_folder(tmp_path: Path) -> None:
    path = write(tmp_path / "EleutherAI__pythia-70m" / f"samples_boolq_{DATE}.jsonl", CHOICE)
    assert read_tables([path]).models["family"].to_list() == ["Pythia"]


def test_or_ask_for_it(tmp_path: Path) -> None:
    path = write(tmp_path / "runs" / f"samples_boolq_{DATE}.jsonl", CHOICE)
    with pytest.raises(ReadError, match="NAME=PATH"):
        read_tables([path])


@needs_shared
def test_the_raw_pythia_folder_agrees_with_a_plain_reading() -> None:
    folder = SHARED / "data/pythia/raw"
    found = read_tables([folder])
    expected = {}
    for path in folder.rglob("*.json"):
        document = json.loads(path.read_text())
        args = dict(pair.split("=") for pair in document["config"]["model_args"].split(","))
        shots = document["config"]["num_fewshot"]
        model = f"{args['pretrained']}@{args['revision']} [{shots}-shot]"
        for task, metrics in document["results"].items():
            for metric, value in metrics.items():
                if not metric.endswith("_stderr"):
                    expected[model, task, metric] = (value, metrics.get(f"{metric}_stderr"))
    rows = {
        row[:3]: row[3:]
        for row in found.reported.select("model", "task", "metric", "value", "stderr").iter_rows()
    }
    assert rows == expected
    assert found.reported.height == len(expected)
    assert found.models.height == 40
    for row in found.models.iter_rows(named=True):
        assert row["family"] == "Pythia"
        assert row["tokens"] == row["step"] * 2_097_152


@needs_shared
@pytest.mark.parametrize(("folder", "count"), [("tool_logs/lm_eval", 60), ("logs/lm_eval", 40)])
def test_the_harness_scores_follow_from_the_answers_that_are_read(folder: str, count: int) -> None:
    found = read_tables([SHARED / "data" / folder])
    right = pl.col("choice_logprobs").list.arg_max() == pl.col("target_index")
    exact = pl.col("targets").list.first() == pl.col("output")
    own = found.responses.with_columns(pl.coalesce(right, exact).cast(pl.Float64).alias("own"))
    # other tasks there normalise the text before they compare it
    stated = found.reported.filter(pl.col("metric").is_in(["acc", "exact_match,strip"]))
    joined = own.join(stated, on=["model", "task", "item", "sample"])
    assert joined.height == count
    assert joined["own"].to_list() == joined["value"].to_list()


@needs_shared
def test_json_lines_under_the_name_of_json_are_read_by_content() -> None:
    (path,) = (SHARED / "data/tool_logs/lm_eval").glob("samples_bias*.json")
    assert read_tables([path]).responses.height == 40


@needs_shared
def test_the_same_item_has_the_same_hash_in_two_models() -> None:
    found = read_tables([SHARED / "data/logs/lm_eval"]).responses
    assert (
        found.group_by("item").agg(pl.col("item_hash").n_unique())["item_hash"].to_list()
        == [1] * 20
    )


TEXTS = (" a", "b ", "1", "0", "ä", "\x1c2")
TARGETS = ("0", "1", "2", "a", "b", "ä", "٣", "9" * 20, "")


@st.composite
def choice_rows(draw: st.DrawFn) -> dict[str, Any]:
    """A line of multiple choice, usual or nearly so."""
    count = draw(st.integers(2, 4))
    texts = draw(st.lists(st.sampled_from(TEXTS), min_size=count, max_size=count))
    first = draw(st.sampled_from(["-1.5", "-2.25", "-inf", "-1_0", "nan", -0.5]))
    return CHOICE | {
        "target": draw(st.sampled_from(TARGETS)),
        "arguments": {f"gen_args_{n}": {"arg_0": "q", "arg_1": t} for n, t in enumerate(texts)},
        "filtered_resps": [[first, "False"], *[["-3.0", "True"]] * (count - 1)],
        "acc": draw(st.sampled_from([0.0, 1.0, 1])),
        "filter": draw(st.sampled_from(["none", "first"])),
    }


@settings(max_examples=30)
@given(st.lists(choice_rows() | st.just(TEXT), min_size=2, max_size=9))
def test_lines_in_blocks_are_read_as_they_are_one_by_one(rows: list[dict[str, Any]]) -> None:
    # the first lines of a file are read one by one, which tells what kind the others are; so are
    # all lines of a file that is one block
    found = []
    for size in (1 << 20, 1, 1200):
        with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
            patch.setattr("saltus.readers.files.BLOCK_BYTES", size)
            numbered = [row | {"doc_id": n} for n, row in enumerate(rows)]
            log = samples(Path(folder), *numbered)
            found.append(read_tables([log], require_facts=False, keep_going=True))
    for other in found[1:]:
        assert found[0].responses.equals(other.responses)
        order = "source", "metric"
        assert found[0].reported.sort(order).equals(other.reported.sort(order))
