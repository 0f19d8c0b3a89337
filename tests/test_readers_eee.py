"""Every Eval Ever 0.3 as others write it: aggregates, instances, and the two together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import polars as pl
import pytest

from reading import Tables, read_tables
from saltus.errors import ReadError
from shared import SHARED, needs_shared

UUID = "0a1b2c3d-0000-4000-8000-000000000001"
SOURCE = {"dataset_name": "quiz", "source_type": "other"}


def result(name: str = "quiz", metric: str = "accuracy", **details: Any) -> dict[str, Any]:
    return {
        "evaluation_result_id": f"{name}/{metric}",
        "evaluation_name": name,
        "source_data": SOURCE,
        "metric_config": {"metric_id": metric, "lower_is_better": False},
        "score_details": {"score": 0.5, **details},
    }


def aggregate(*results: dict[str, Any], **facts: str) -> dict[str, Any]:
    details = {"deployment_type": "unknown", "model_availability": "unknown", **facts}
    return {
        "schema_version": "0.3.0",
        "evaluation_id": "quiz/org_m/1700000000",
        "retrieved_timestamp": "1700000000",
        "source_metadata": {
            "source_type": "documentation",
            "source_organization_name": "org",
            "evaluator_relationship": "third_party",
        },
        "eval_library": {"name": "own", "version": "unknown"},
        "model_info": {"name": "M", "id": "org/m", "additional_details": details},
        "evaluation_results": list(results),
    }


def instance(**changes: Any) -> dict[str, Any]:
    return {
        "schema_version": "0.3.0",
        "evaluation_id": "quiz/org_m/1700000000",
        "model_id": "org/m",
        "evaluation_name": "quiz",
        "evaluation_result_id": "quiz/accuracy",
        "sample_id": "q1",
        "sample_hash": "abc",
        "interaction_type": "single_turn",
        "input": {"raw": "2+2?", "reference": ["4"]},
        "output": {"raw": ["four"]},
        "answer_attribution": [],
        "evaluation": {"score": 0.0, "is_correct": False},
        **changes,
    }


TURNS = [
    {"turn_idx": 0, "role": "user", "content": "2+2?"},
    {"turn_idx": 1, "role": "assistant", "content": "let me see"},
    {"turn_idx": 2, "role": "assistant", "content": "4"},
]
DIALOGUE = {"interaction_type": "multi_turn", "messages": TURNS, "output": None}


def schema(name: str) -> jsonschema.Draft7Validator:
    text = (SHARED / "data" / "schemas" / f"{name}.schema.json").read_text()
    return jsonschema.Draft7Validator(json.loads(text))


def write(
    tmp_path: Path, about: Mapping[str, Any] | None, instances: Sequence[Mapping[str, Any]] = ()
) -> Path:
    if about is not None:
        (tmp_path / f"{UUID}.json").write_text(json.dumps(about))
    if instances:
        lines = "".join(f"{json.dumps(line)}\n" for line in instances)
        (tmp_path / f"{UUID}_samples.jsonl").write_text(lines)
    return tmp_path


def read(tmp_path: Path, *arguments: Any) -> Tables:
    return read_tables([write(tmp_path, *arguments)], require_facts=False)


def answer(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    (row,) = read(tmp_path, None, [instance(**changes)]).responses.to_dicts()
    return row


@needs_shared
def test_what_these_tests_read_is_valid() -> None:
    details = {
        "uncertainty": {"standard_error": {"value": 0.05}, "num_samples": 100},
        "details": {"chance": "0.25"},
    }
    schema("eval").validate(aggregate(result(**details), n_params="7e7"))
    for line in (instance(), instance(**DIALOGUE), instance(error="timeout")):
        schema("instance_level_eval").validate(line)


def test_aggregates_and_facts(tmp_path: Path) -> None:
    uncertainty = {"standard_error": {"value": 0.05}, "num_samples": 100}
    stated = result(uncertainty=uncertainty, details={"chance": "0.25"})
    facts = {
        "n_params": "7e7", "n_tokens": "3e11", "model_family": "M", "step": "1000",
        "validation_loss": "2.5", "validation_loss_name": "C4", "regime": "5-shot",
    }  # fmt: skip
    tables = read(tmp_path, aggregate(stated, result(metric="f1"), **facts))
    columns = ("task", "metric", "value", "stderr", "items", "chance")
    assert tables.reported.select(columns).rows() == [
        ("quiz", "accuracy", 0.5, 0.05, 100, 0.25), ("quiz", "f1", 0.5, None, None, None),
    ]  # fmt: skip
    model = tables.models.to_dicts()[0]
    assert model["model"] == "org/m@step1000 [5-shot]"
    assert (model["params"], model["tokens"], model["family"]) == (7e7, 3e11, "M")
    assert (model["loss"], model["loss_name"]) == (2.5, "C4")


def test_facts_that_are_no_numbers_are_told(tmp_path: Path) -> None:
    tables = read(tmp_path, aggregate(result(), n_params="seven billion"))
    assert tables.models["params"].to_list() == [None]
    assert "'seven billion'" in tables.named("read.model_facts")[0]["message"]


@pytest.mark.parametrize("items", [10**20, -1, 2.5])
def test_a_size_that_is_none_is_refused(tmp_path: Path, items: float) -> None:
    with pytest.raises(ReadError, match="num_samples"):
        read(tmp_path, aggregate(result(uncertainty={"num_samples": items})))


@pytest.mark.parametrize("step", ["1e300", "2.5", "inf"])
def test_a_step_that_is_none_is_told(tmp_path: Path, step: str) -> None:
    tables = read(tmp_path, aggregate(result(), step=step))
    assert tables.models["step"].to_list() == [None]
    assert tables.named("read.model_facts")


def test_another_schema_version_is_told(tmp_path: Path) -> None:
    tables = read(tmp_path, {**aggregate(result()), "schema_version": "0.2.0"})
    assert "0.2.0" in tables.named("read.schema_version")[0]["message"]


def test_instances_belong_to_the_results_they_name(tmp_path: Path) -> None:
    lines = [
        instance(),
        instance(evaluation_result_id="quiz/f1", evaluation={"score": 0.25, "is_correct": False}),
    ]
    tables = read(tmp_path, aggregate(result(), result(metric="f1")), lines)
    scores = tables.reported.filter(pl.col("item").is_not_null())
    assert scores.select("task", "item", "sample", "metric", "value").rows() == [
        ("quiz", "q1", 0, "accuracy", 0.0), ("quiz", "q1", 0, "f1", 0.25),
    ]  # fmt: skip
    (row,) = tables.responses.to_dicts()  # one answer, scored twice
    assert (row["output"], row["targets"], row["item_hash"]) == ("four", ["4"], "abc")


def test_repeated_answers_are_samples(tmp_path: Path) -> None:
    lines = [instance(output={"raw": [text]}) for text in ("a", "b", "c")]
    tables = read(tmp_path, aggregate(result()), lines)
    assert tables.responses.select("sample", "output").rows() == [(0, "a"), (1, "b"), (2, "c")]


def test_lines_that_are_announced_and_not_there(tmp_path: Path) -> None:
    about = {**aggregate(result()), "detailed_evaluation_results": {"total_rows": 3}}
    tables = read(tmp_path, about, [instance()])
    assert "1 of 3 lines" in tables.named("read.unfinished")[0]["message"]


def test_several_models_in_one_file(tmp_path: Path) -> None:
    lines = [instance(), instance(model_id="org/n")]
    tables = read(tmp_path, None, lines)
    assert tables.responses["model"].to_list() == ["org/m", "org/n"]
    assert tables.reported["metric"].unique().to_list() == ["score"]


def test_the_last_word_of_a_dialogue_is_the_answer(tmp_path: Path) -> None:
    assert answer(tmp_path, **DIALOGUE)["output"] == "4"


def test_an_instance_that_failed_has_no_score(tmp_path: Path) -> None:
    tables = read(tmp_path, None, [instance(error="timeout", output={"raw": []})])
    assert tables.reported["value"].to_list() == [None]
    assert tables.responses.select("output", "finish").rows() == [(None, "error")]
    assert tables.named("read.failed_samples")


@pytest.mark.parametrize(
    ("reference", "index"), [("blue", 1), ("B", 1), ("C", None), ("green", None)]
)
def test_choices(tmp_path: Path, reference: str, index: int | None) -> None:
    data = {"raw": "?", "reference": [reference], "choices": ["red", "blue"]}
    row = answer(tmp_path, input=data)
    assert row["target_index"] == index
    assert row["chance"] == (None if index is None else 0.5)


def test_a_question_without_hash_is_hashed(tmp_path: Path) -> None:
    one = answer(tmp_path, sample_hash=None)
    two = answer(tmp_path, sample_hash=None, sample_id="other")
    assert one["item_hash"] == two["item_hash"] is not None
    other = answer(tmp_path, sample_hash=None, input={"raw": "3+3?", "reference": ["4"]})
    assert other["item_hash"] != one["item_hash"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"sample_id": 7}, r"Expected `str`, got `int` - at `\$\.sample_id`"),
        ({"evaluation": {"score": "1"}}, "Expected `float | null`, got `str`"),
        ({"evaluation": None}, "Expected `object`"),
    ],
)
def test_a_bad_line_is_refused_with_its_place(
    tmp_path: Path, line: dict[str, Any], message: str
) -> None:
    with pytest.raises(ReadError, match=rf"_samples\.jsonl:2: .*{message}".replace("|", r"\|")):
        read(tmp_path, None, [instance(), instance(**line)])


def test_numbers_that_json_lacks_are_missing(tmp_path: Path) -> None:
    lines = [instance(evaluation={"score": float("nan"), "is_correct": False})]
    assert read(tmp_path, None, lines).reported["value"].to_list() == [None]


@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, share: float) -> None:
    write(tmp_path, aggregate(result()), [instance(), instance(sample_id="q2")])
    for path in list(tmp_path.iterdir()):
        text = path.read_text().rstrip()
        part = path.with_name(f"cut-{path.name}")
        part.write_text(text[: int(len(text) * share)])
        with pytest.raises(ReadError, match="cut-"):
            read_tables([part], require_facts=False)
