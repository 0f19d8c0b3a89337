"""`saltus convert`: what is written is valid, reads back the same, and losses are told."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import polars as pl
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from reading import Tables, read_tables
from saltus.cli import main
from saltus.cli.convert import FORMATS
from saltus.errors import ReadError, StoreError, UnknownNameError
from saltus.readers.eee_sidecar import SIDECAR
from saltus.writers.convert import RECORD, WRITERS, Conversion, convert
from shared import SHARED, needs_shared

DATA = SHARED / "data"
SOURCES = [
    "tool_logs/inspect", "logs/inspect_ai", "tool_logs/helm", "tool_logs/lm_eval", "logs/lm_eval",
]  # fmt: skip
RESPONSES = [
    "model", "task", "item", "sample", "filter", "output", "targets", "target_index",
    "choice_logprobs", "choice_bytes", "target_logprobs", "target_bytes", "cluster", "finish",
    "chance", "item_hash", "prompt_hash",
]  # fmt: skip
REPORTED = [
    "model", "task", "metric", "value", "stderr", "items", "item", "sample", "cluster", "chance",
]  # fmt: skip
FACTS = [
    "model", "model_name", "family", "params", "tokens", "flops", "loss", "loss_name", "step",
    "seed", "regime",
]  # fmt: skip
ITEM = {"model": "org/m", "family": "F", "params": 1e9, "tokens": 2e10, "task": "quiz"}


def responses(tables: Tables) -> pl.DataFrame:
    return tables.responses.select(RESPONSES).sort(RESPONSES[:6])


def reported(tables: Tables) -> pl.DataFrame:
    return tables.reported.select(REPORTED).sort(REPORTED[:3] + REPORTED[6:8] + REPORTED[3:4])


def same(one: pl.DataFrame, other: pl.DataFrame) -> bool:
    return one.equals(other, null_equal=True)


def read(*paths: Path | str) -> Tables:
    return read_tables([str(path) for path in paths], require_facts=False)


def converted(source: Path | str, to: str, out: Path) -> Conversion:
    return convert([str(source)], to, out, seconds=1_700_000_000)


def losses(made: Conversion) -> str:
    lost = made.findings.filter(pl.col("screen") == "read.lost")
    return " ".join(lost["message"])


def schema(name: str) -> jsonschema.Draft7Validator:
    text = (DATA / "schemas" / f"{name}.schema.json").read_text()
    return jsonschema.Draft7Validator(json.loads(text))


def check_eee(folder: Path) -> int:
    """Validate every file under the published schemas; give the number of instances."""
    about, line, lines = schema("eval"), schema("instance_level_eval"), 0
    for path in folder.glob("data/**/*.json"):
        about.validate(json.loads(path.read_text()))
    for path in folder.glob("data/**/*.jsonl"):
        for text in path.read_text().splitlines():
            line.validate(json.loads(text))
            lines += 1
    return lines


def table(tmp_path: Path, *rows: Mapping[str, Any], name: str = "in") -> Path:
    path = tmp_path / f"{name}.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def test_the_command_knows_the_writers() -> None:
    assert set(FORMATS) == set(WRITERS)


@needs_shared
@pytest.mark.parametrize("source", SOURCES)
def test_real_logs_survive_every_ever_and_parquet(tmp_path: Path, source: str) -> None:
    before = read(DATA / source)
    for to in ("eee", "parquet"):
        converted(DATA / source, to, tmp_path / to)
        after = read(tmp_path / to)
        assert same(responses(before), responses(after)), to
        assert same(reported(before), reported(after)), to
        shown = before.models.select(FACTS).sort("model")
        assert same(shown, after.models.select(FACTS).sort("model")), to
    scored = before.reported.filter(pl.col("item").is_not_null() & pl.col("value").is_not_null())
    assert check_eee(tmp_path / "eee") >= scored.height


@needs_shared
@pytest.mark.parametrize("source", ["tool_logs/lm_eval", "logs/lm_eval"])
def test_lm_eval_survives_itself(tmp_path: Path, source: str) -> None:
    converted(DATA / source, "lm-eval", tmp_path / "out")
    before, after = read(DATA / source), read(tmp_path / "out")
    assert same(responses(before), responses(after))
    assert same(reported(before), reported(after))


@needs_shared
def test_lm_eval_tells_what_it_cannot_hold_of_inspect(tmp_path: Path) -> None:
    source = DATA / "logs" / "inspect_ai"
    made = converted(source, "lm-eval", tmp_path / "out")
    before, after = read(source), read(tmp_path / "out")
    lost = losses(made)
    assert "reasons why generation stopped" in lost
    assert "further aggregates" in lost
    kept = [name for name in RESPONSES if name != "finish"]
    assert same(responses(before).select(kept), responses(after).select(kept))
    per_item = pl.col("item").is_not_null()
    assert same(reported(before).filter(per_item), reported(after).filter(per_item))


# laws on tables of our own

TEXTS = st.text(max_size=8)
NUMBERS = st.floats(-1e6, 1e6)
LOGPROBS = st.lists(st.floats(-50, 0), min_size=2, max_size=4)


@st.composite
def answers(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Answers of every kind, each perhaps with the harness's score."""
    rows = []
    for item in range(draw(st.integers(1, 4))):
        row: dict[str, Any] = {**ITEM, "item": f"i{item}", "sample": 0}
        if draw(st.booleans()):
            row |= {"output": draw(TEXTS), "targets": draw(st.lists(TEXTS, min_size=1))}
        else:
            logprobs = draw(LOGPROBS)
            row |= {"choice_logprobs": logprobs, "target_index": 0}
            row["choice_bytes"] = [draw(st.integers(1, 9)) for _ in logprobs]
        row |= {"value": draw(st.none() | NUMBERS), "cluster": draw(st.none() | st.just("c"))}
        row["target_logprobs"] = draw(st.none() | LOGPROBS)
        row["finish"] = draw(st.none() | st.sampled_from(["stop", "length"]))
        rows.append(row)
    return rows


@settings(max_examples=25, deadline=None)
@given(rows=answers())
def test_tables_survive(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("law")
    source = table(folder, *rows)
    before = read(source)
    for to in ("parquet", "eee"):
        made = converted(source, to, folder / to)
        after = read(folder / to)
        values = reported(before)
        if to == "eee":
            if values["value"].null_count():
                assert "values that are missing" in losses(made)
            values = values.filter(pl.col("value").is_not_null())
        assert same(responses(before), responses(after)), to
        assert same(values, reported(after)), to
    if (DATA / "schemas").is_dir():
        check_eee(folder / "eee")


def test_eee_holds_answers_without_the_sidecar(tmp_path: Path) -> None:
    row = {**ITEM, "item": "a", "output": "4", "targets": ["4", "four"], "value": 1.0,
           "cluster": "c", "finish": "stop", "filter": "f", "item_hash": "h"}  # fmt: skip
    converted(table(tmp_path, row), "eee", tmp_path / "out")
    before = read(tmp_path / "in.jsonl")
    for path in tmp_path.rglob(f"*{SIDECAR}"):
        path.unlink()
    after = read(tmp_path / "out")
    assert same(responses(before), responses(after))
    assert same(reported(before), reported(after))


def test_a_sidecar_of_another_file_is_not_believed(tmp_path: Path) -> None:
    row = {**ITEM, "item": "a", "output": "4", "target": "4", "value": 1.0}
    converted(table(tmp_path, row), "eee", tmp_path / "out")
    (samples,) = tmp_path.rglob("*_samples.jsonl")
    samples.write_text(samples.read_text().replace('"4"', '"5"'))
    tables = read(tmp_path / "out")
    assert tables.responses["output"].to_list() == ["5"]
    assert "another version" in tables.named("read.sidecar")[0]["message"]


def test_a_sidecar_alone_or_damaged_is_refused(tmp_path: Path) -> None:
    row = {**ITEM, "item": "a", "output": "4", "target": "4", "value": 1.0}
    converted(table(tmp_path, row), "eee", tmp_path / "out")
    (samples,) = tmp_path.rglob("*_samples.jsonl")
    (sidecar,) = tmp_path.rglob(f"*{SIDECAR}")
    samples.unlink()
    with pytest.raises(ReadError, match="does not lie beside it"):
        read(sidecar)


def test_answers_that_no_log_scored_are_scored_here_and_told(tmp_path: Path) -> None:
    row = {**ITEM, "item": "a", "output": "4", "target": "4"}
    made = converted(table(tmp_path, row), "eee", tmp_path / "out")
    assert "scored by Saltus's default metrics" in losses(made)
    (samples,) = tmp_path.rglob("*_samples.jsonl")
    lines = [json.loads(line) for line in samples.read_text().splitlines()]
    exact = [line for line in lines if line["evaluation_result_id"] == "quiz/exact_match/saltus"]
    assert [line["evaluation"] for line in exact] == [{"score": 1.0, "is_correct": True}]
    tables = read(tmp_path / "out")
    assert tables.reported.is_empty()  # the log stated none
    assert tables.responses["output"].to_list() == ["4"]
    if (DATA / "schemas").is_dir():
        assert check_eee(tmp_path / "out") == len(lines)


def test_direction_and_bounds_are_said_or_said_to_be_unknown(tmp_path: Path) -> None:
    rows = [{**ITEM, "metric": name, "value": 0.5} for name in ("acc", "ppl", "own_metric")]
    made = converted(table(tmp_path, *rows), "eee", tmp_path / "out")
    (path,) = tmp_path.rglob("data/**/*.json")
    configs = {
        entry["metric_config"]["metric_id"]: entry["metric_config"]
        for entry in json.loads(path.read_text())["evaluation_results"]
    }
    assert (configs["acc"]["min_score"], configs["acc"]["max_score"]) == (0.0, 1.0)
    assert configs["ppl"]["lower_is_better"] is True
    assert configs["ppl"]["max_score"] == "Infinity"
    assert configs["own_metric"]["min_score"] is None
    assert configs["own_metric"]["additional_details"] == {"direction": "not known"}
    assert "metrics that Saltus does not know" in losses(made)


def test_choices_in_lm_eval_have_their_lengths(tmp_path: Path) -> None:
    row = {**ITEM, "item": "7", "choice_logprobs": [-1.0, -0.5], "target_index": 1,
           "choice_bytes": [3, 5], "value": 1.0, "metric": "acc"}  # fmt: skip
    made = converted(table(tmp_path, row), "lm-eval", tmp_path / "out")
    (path,) = tmp_path.rglob("samples_quiz_*.jsonl")
    line = json.loads(path.read_text())
    assert line["doc_id"] == 7
    assert line["arguments"]["gen_args_0"]["arg_1"] == " ???"
    assert "question marks" in losses(made)
    (after,) = read(tmp_path / "out").responses.to_dicts()
    assert after["choice_logprobs"] == [-1.0, -0.5]
    assert (after["choice_bytes"], after["target_index"]) == ([3, 5], 1)


def test_lm_eval_keeps_missing_values_and_tells_the_rest(tmp_path: Path) -> None:
    rows = [
        {**ITEM, "item": "a", "output": "x", "target": "y", "value": None, "cluster": "c"},
        {**ITEM, "item": "b", "output": None, "target": "y", "value": 1.0, "cluster": None},
        {**ITEM, "item": "c", "output": "x", "target": "y", "value": 0.5, "cluster": None},
    ]
    made = converted(table(tmp_path, *rows), "lm-eval", tmp_path / "out")
    after = read(tmp_path / "out")
    values = after.reported.select("item", "value").sort("item").rows()
    assert values == [("a", None), ("b", 1.0), ("c", 0.5)]
    assert after.responses["item"].to_list() == ["a", "c"]
    lost = losses(made)
    for part in ("clusters of items", "without a target", "model facts"):
        assert part in lost


def test_aggregates_in_lm_eval(tmp_path: Path) -> None:
    row = {**ITEM, "metric": "exact_match,strict", "value": 0.25, "stderr": 0.05, "items": 75,
           "step": 1000, "regime": "5-shot", "task": "a/b"}  # fmt: skip
    made = converted(table(tmp_path, row), "lm-eval", tmp_path / "out")
    after = read(tmp_path / "out")
    shown = after.reported.select("model", "task", "metric", "value", "stderr", "items").row(0)
    assert shown == ("org/m@step1000 [5-shot]", "a_b", "exact_match,strict", 0.25, 0.05, 75)
    assert "cannot be file names" in losses(made)


@pytest.mark.parametrize("to", WRITERS)
def test_hostile_names_stay_in_the_folder(tmp_path: Path, to: str) -> None:
    row = {**ITEM, "item": "a", "output": "4", "target": "4", "value": 1.0}
    names = ["../../../evil", "/etc/evil", "..", "a\x00b", "\x1b[2J", "con" * 200]
    source = table(tmp_path, *({**row, "model": name, "task": name} for name in names))
    out = tmp_path / "deep" / "er" / "out"
    converted(source, to, out)
    new = {path for path in tmp_path.rglob("*") if path.is_file()} - {source}
    assert all(path.is_relative_to(out) for path in new)
    assert sorted(read(out).responses["item"]) == ["a"] * len(names)


# the command


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_the_command_writes_and_lists_losses(tmp_path: Path) -> None:
    source = table(tmp_path, {**ITEM, "item": "a", "output": "4", "target": "4", "value": 1.0})
    done = run("convert", source, "--to", "eee", "--out", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    told = [json.loads(line)["message"] for line in done.stdout.splitlines()]
    assert any("text of their question" in message for message in told)
    record = json.loads((tmp_path / "out" / RECORD).read_text())
    assert [file["path"] for file in record["inputs"]] == [str(source)]
    assert record["rows"]["responses"] == 1
    assert "1 answer, " in done.stderr
    assert "1 model" in done.stderr
    assert "1 models" not in done.stderr
    again = run("convert", source, "--to", "eee", "--out", tmp_path / "out")
    assert again.exit_code == 1
    assert "is not empty" in again.output


def test_the_command_needs_a_folder(tmp_path: Path) -> None:
    source = table(tmp_path, {**ITEM, "item": "a", "output": "4", "target": "4"})
    assert "name a folder" in run("convert", source, "--to", "eee").output


def test_nothing_is_written_when_an_input_is_bad(tmp_path: Path) -> None:
    source = table(tmp_path, {**ITEM, "item": "a", "output": "4", "target": "4"})
    source.write_text(source.read_text() + '{"cut')
    for to in WRITERS:
        with pytest.raises(ReadError, match=r"in\.jsonl:2"):
            converted(source, to, tmp_path / to)
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_an_audit_folder_is_not_written_into(tmp_path: Path) -> None:
    source = table(tmp_path, {**ITEM, "item": "a", "output": "4", "target": "4"})
    assert run("read", source, "--out", tmp_path / "audit").exit_code == 0
    with pytest.raises(StoreError, match="is an audit folder"):
        converted(source, "parquet", tmp_path / "audit")


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean parquet"):
        converted("x", "parquett", tmp_path / "out")


def test_no_number_is_made_up(tmp_path: Path) -> None:
    """A value that is no number stays out of JSON, which has no word for it."""
    rows = [{**ITEM, "metric": "acc", "value": value} for value in (None, 0.5)]
    converted(table(tmp_path, *rows), "eee", tmp_path / "out")
    (path,) = tmp_path.rglob("data/**/*.json")
    scores = [
        e["score_details"]["score"] for e in json.loads(path.read_text())["evaluation_results"]
    ]
    assert scores == [0.5]
    assert all(math.isfinite(score) for score in scores)
