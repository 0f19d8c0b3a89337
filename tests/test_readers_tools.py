"""Logs of other tools: counts and spot values against an independent reading of the same files."""

from __future__ import annotations

import csv
import gzip
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from reading import Tables, read_tables
from saltus.errors import ReadError, SaltusError
from saltus.readers.open_lm import loss_name
from saltus.readers.reader import READERS
from shared import SHARED, needs_shared

DATA = SHARED / "data"
LIVEBENCH = DATA / "tool_logs/livebench"


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(*paths: Path, **options: Any) -> Tables:
    return read_tables(paths, require_facts=False, **options)


def readers(found: Tables) -> list[str]:
    assert found.summary is not None
    return [file.reader for file in found.summary.inputs]


# LiveBench


@needs_shared
def test_livebench_scores_are_those_of_the_judgments() -> None:
    found = read(LIVEBENCH)
    total: dict[tuple[str, str], list[float]] = defaultdict(list)
    for path in LIVEBENCH.rglob("ground_truth_judgment.jsonl"):
        for row in lines(path):
            total[row["model"], row["task"]].append(row["score"])
    means = found.reported.group_by("model", "task").agg(pl.col("value").mean(), pl.len())
    assert {(m, t): (v, n) for m, t, v, n in means.iter_rows()} == {
        key: (pytest.approx(sum(scores) / len(scores)), len(scores))
        for key, scores in total.items()
    }


@needs_shared
def test_livebench_answers_have_the_ground_truth_of_their_question() -> None:
    found = read(LIVEBENCH / "data_analysis/cta")
    truth = {
        q["question_id"]: q["ground_truth"]
        for q in lines(LIVEBENCH / "data_analysis/cta/question.jsonl")
    }
    said = {
        a["question_id"]: a["choices"][0]["turns"][0]
        for a in lines(LIVEBENCH / "data_analysis/cta/model_answer/zft-community-8b-bs4.jsonl")
    }
    assert found.responses.height == 50
    for item, output, targets in found.responses.select("item", "output", "targets").iter_rows():
        assert (output, targets) == (said[item], [truth[item]])
    assert found.responses["item_hash"].null_count() == 0


JUDGMENT = {"question_id": "q", "task": "t", "model": "m", "score": 0.5, "tstamp": 2.0,
            "category": "c"}  # fmt: skip


def test_livebench_keeps_the_newest_judgment_and_reports_contradictions(tmp_path: Path) -> None:
    path = write(
        tmp_path / "j.jsonl",
        [JUDGMENT, JUDGMENT | {"score": 1, "tstamp": 3.0}, JUDGMENT | {"score": 0, "tstamp": 1.0},
         JUDGMENT | {"question_id": "r"}, JUDGMENT | {"question_id": "r"}],
    )  # fmt: skip
    found = read(path)
    assert found.reported.select("item", "value").rows() == [("q", 1.0), ("r", 0.5)]
    (repeated,) = found.named("read.repeated_judgments")
    assert (repeated["count"], repeated["severity"]) == (3, "warning")
    assert "1 of them with contradicting scores" in repeated["message"]


def test_livebench_failures_are_missing_and_not_wrong(tmp_path: Path) -> None:
    failed = {"question_id": "q", "answer_id": "a", "model_id": "m", "tstamp": 1.0,
              "choices": [{"index": 0, "turns": ["$ERROR$"]}]}  # fmt: skip
    answers = write(tmp_path / "c/t/model_answer/m.jsonl", [failed])
    judged = write(tmp_path / "j.jsonl", [JUDGMENT | {"score": 0, "error": "grader died"}])
    found = read(answers, judged)
    assert found.responses.select("output", "finish", "task").rows() == [(None, "error", "t")]
    assert found.reported["value"].to_list() == [None]
    assert found.named("read.failed_requests")[0]["count"] == 1
    assert found.named("read.failed_gradings")[0]["count"] == 1


# OpenAI evals


@needs_shared
def test_openai_evals_give_every_match_and_the_final_report() -> None:
    path = DATA / "tool_logs/openai_evals/crossword-turbo.jsonl"
    found = read(path)
    matches = [e for e in lines(path) if e.get("type") == "match"]
    assert found.responses.height == len(matches) == 100
    rows = {r["item"]: r for r in found.responses.iter_rows(named=True)}
    for event in matches:
        row = rows[event["sample_id"]]
        data = event["data"]
        assert (row["output"], row["targets"]) == (data["sampled"], [data["expected"]])
    per_item = found.reported.filter(pl.col("item").is_not_null())
    assert per_item["value"].mean() == pytest.approx(0.37)
    assert found.reported.filter(pl.col("item").is_null())["value"].to_list() == [0.37]


def test_an_openai_evals_log_without_its_end_is_named(tmp_path: Path) -> None:
    spec = {"spec": {"completion_fns": ["m"], "eval_name": "e"}}
    match = {"sample_id": "1", "type": "match",
             "data": {"correct": True, "expected": ["a", "b"], "sampled": "a"}}  # fmt: skip
    found = read(write(tmp_path / "log.jsonl", [spec, match]))
    assert found.responses["targets"].to_list() == [["a", "b"]]
    assert found.named("read.unfinished_run")[0]["severity"] == "warning"


def test_openai_evals_may_record_and_report_anything(tmp_path: Path) -> None:
    spec = {"spec": {"model_name": "gpt2", "eval_name": "e"}}
    match = {"sample_id": "1", "type": "match", "data": {"correct": True, "sampled": "a"}}
    odd = [{"sample_id": "1", "type": "extra", "data": data} for data in ([1], "x", None, 3)]
    for report in ([0.5], None, {"accuracy": {"mean": 0.5}}):
        found = read(write(tmp_path / "log.jsonl", [spec, match, *odd, {"final_report": report}]))
        assert found.responses.select("model", "output").rows() == [("gpt2", "a")]
        assert found.reported["value"].to_list() == [1.0]


def test_openai_evals_report_a_standard_error_and_costs_that_are_no_scores(tmp_path: Path) -> None:
    spec = {"spec": {"completion_fns": ["m"], "eval_name": "e"}}
    report = {"accuracy": 0.5, "f1_score": 0.6, "boostrap_std": 0.125, "usage_total_tokens": 900}
    found = read(write(tmp_path / "log.jsonl", [spec, {"final_report": report}]))
    wanted = [("accuracy", 0.5, 0.125), ("f1_score", 0.6, None)]
    assert found.reported.select("metric", "value", "stderr").rows() == wanted


# lm-evaluation-harness 0.3


@needs_shared
@pytest.mark.parametrize(("size", "accuracy"), [("7b", 0.738), ("13b", 0.762)])
def test_write_out_files_give_choices_that_agree_with_the_harness(
    size: str, accuracy: float
) -> None:
    path = DATA / f"tool_logs/lm_eval_v0_3_write_out/llama-2-{size}_winogrande_write_out_info.json"
    found = read(path)
    assert found.responses.height == 1267
    likeliest = pl.col("choice_logprobs").list.arg_max() == pl.col("target_index")
    assert found.responses.select(likeliest.mean()).item() == found.reported["value"].mean()
    assert found.reported["value"].mean() == pytest.approx(accuracy, abs=5e-4)
    assert found.responses["task"].unique().to_list() == ["winogrande"]
    assert found.models["family"].to_list() == ["Llama-2"]


def test_write_out_of_generated_text_and_of_other_targets(tmp_path: Path) -> None:
    path = tmp_path / "task_write_out_info.json"
    text = {"doc_id": 0, "prompt_0": "p", "logit_0": "four", "truth": " 4", "em": "0.0"}
    odd = {"doc_id": 1, "prompt_0": "p", "prompt_1": "q", "logit_0": -1.0, "logit_1": -2.0,
           "truth": "b", "acc": "False"}  # fmt: skip
    path.write_text(json.dumps([text, odd]))
    with pytest.raises(ReadError, match="say NAME=PATH"):
        read(path)
    found = read_tables([f"m={path}"], require_facts=False)
    assert found.responses.select("output", "targets").rows() == [("four", [" 4"])]
    assert found.reported.select("metric", "value").rows() == [("em", 0.0), ("acc", 0.0)]


# MMLU-Pro, ZeroEval, CRUXEval, GSM8K


@needs_shared
def test_mmlu_pro_files_agree_with_the_table_made_from_them() -> None:
    found = read(DATA / "mmlu_pro/raw")
    with gzip.open(DATA / "mmlu_pro/mmlu_pro_predictions.csv.gz", "rt") as file:
        table = {row["question_id"]: row for row in csv.DictReader(file)}
    assert found.responses.height == 1200
    names = dict(found.models.select("model", "model_name").iter_rows())
    for row in found.responses.iter_rows(named=True):
        want = table[row["item"]]
        assert row["output"] == (want[names[row["model"]]] or None)
        assert row["targets"] == [want["answer"]]
        assert row["chance"] == 1 / int(want["n_options"])
    assert set(found.models["regime"]) == {"5-shot"}


@needs_shared
def test_the_whole_reply_of_mmlu_pro_can_be_asked_for() -> None:
    path = DATA / "mmlu_pro/raw/model_outputs_Llama-2-7b-hf_5shots.first400.json.gz"
    found = read(path, columns={"output": "generated_text"})
    with gzip.open(path, "rt") as file:
        assert found.responses["output"].to_list() == [r["generated_text"] for r in json.load(file)]


@needs_shared
def test_zeroeval_files_agree_with_the_table_made_from_them() -> None:
    found = read(DATA / "zeroeval/raw/crux_gemma-2-27b-it.json")
    with gzip.open(DATA / "zeroeval/crux_outputs.jsonl.gz", "rt") as file:
        rows = [json.loads(line) for line in file]
    want = {
        r["item_id"]: (r["output"], [r["target"]]) for r in rows if r["model"] == "gemma-2-27b-it"
    }
    got = found.responses.select("item", "output", "targets")
    assert {item: (output, targets) for item, output, targets in got.iter_rows()} == want


@needs_shared
def test_cruxeval_generations_and_their_scores() -> None:
    found = read(DATA / "cruxeval")
    assert found.responses.height == 8000
    assert found.responses["targets"].null_count() == 0
    stated = json.loads(
        (DATA / "cruxeval/sample_scored_codellama-7b_temp0.2_output.json").read_text()
    )
    per_item = found.reported.filter(pl.col("item").is_not_null())
    assert per_item["value"].mean() == pytest.approx(stated["pass_at_1"] / 100)
    means = found.reported.filter(pl.col("item").is_null())
    assert dict(means.select("metric", "value").iter_rows()) == {
        "pass@1": stated["pass_at_1"] / 100, "pass@5": stated["pass_at_5"] / 100
    }  # fmt: skip
    alone = read(DATA / "cruxeval/generations_codellama-7b_temp0.2_output.json")
    assert alone.responses.equals(found.responses)


@needs_shared
def test_gsm8k_solutions_of_gpt3() -> None:
    path = DATA / "gsm8k_gpt3/example_model_solutions.jsonl"
    found = read(path)
    rights = found.reported.group_by("model").agg(pl.col("value").sum())
    want = {
        f"gpt-3-{key.replace('_', ' [')}]": float(
            sum(row[key]["is_correct"] for row in lines(path))
        )
        for key in ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
    }
    assert dict(rights.iter_rows()) == want
    same = pl.col("output") == pl.col("targets").list.first()
    joined = found.responses.join(found.reported, on=["model", "item"]).drop_nulls("output")
    agree = joined.select((same == (pl.col("value") == 1)).mean()).item()
    assert agree > 0.99  # equal numbers written otherwise, such as 5 and 5.00


# Training curves


@needs_shared
@pytest.mark.parametrize("run", ["190M-1xC", "peteish7_eval_anneal"])
def test_ladder_curves_agree_with_the_long_table(run: str) -> None:
    found = read(DATA / f"olmo_ladder/raw/{run}.csv", columns={"loss": "c4_en"})
    long = pl.read_csv(DATA / "olmo_ladder/olmo_ladder.csv.gz", infer_schema_length=None)
    long = long.filter(pl.col("run") == run)
    want = {
        (step, f"{name}/{split}/{kind}", metric): value
        for step, name, split, kind, metric, value in long.filter(kind="downstream")
        .select("step", "name", "split", "format", "metric", "value")
        .iter_rows()
    }
    rows = found.reported.join(found.models, on="model")
    got = {
        (s, t, m): v for s, t, m, v in rows.select("step", "task", "metric", "value").iter_rows()
    }
    assert got == {key: pytest.approx(value) for key, value in want.items()}
    losses = long.filter(pl.col("name") == "c4_en").select("tokens", "value").rows()
    assert sorted(found.models.select("tokens", "loss").unique().rows()) == sorted(losses)


@needs_shared
def test_open_lm_runs_agree_with_the_long_table() -> None:
    found = read(DATA / "open_lm_scaling/raw", columns={"loss": "eval_data/c4_val"})
    long = pl.read_csv(DATA / "open_lm_scaling/open_lm_scaling.csv.gz", infer_schema_length=None)
    for row in found.models.iter_rows(named=True):
        of_run = long.filter(pl.col("model") == row["model"])
        assert (row["params"], row["tokens"]) == of_run.select("params", "tokens").row(0)
        loss = of_run.filter(pl.col("name") == "eval_data/c4_val")["value"].item()
        assert row["loss"] == loss
    joined = found.reported.join(
        long.rename({"name": "task"}), on=["model", "task"], suffix="_long"
    )
    assert joined.height == found.reported.height == 6 * 46
    assert (joined["value"] == joined["value_long"]).all()


def test_the_name_of_a_validation_set_is_its_two_last_folders() -> None:
    assert loss_name(["training/eval_data/c4_val/shard-0.tar"]) == "eval_data/c4_val"
    assert loss_name([]) == ""


# Formats without shared files: small fixtures written after formats.md


def test_metr_runs(tmp_path: Path) -> None:
    run = {"task_id": "f/1", "task_family": "f", "alias": "m", "score_binarized": 1,
           "score_cont": 0.75, "human_minutes": 5.0, "invsqrt_task_weight": 0.5}  # fmt: skip
    broken = run | {"task_id": "f/2", "score_binarized": None, "fatal_error_from": "server"}
    late = {"score_binarized": 0, "score_cont": 0.25, "fatal_error_from": "usageLimits"}
    rows = [run, run | late, broken]
    found = read(write(tmp_path / "runs.jsonl", rows))
    hard = found.reported.filter(metric="score_binarized")
    assert hard.select("item", "sample", "cluster", "value").rows() == [
        ("f/1", 0, "f", 1.0), ("f/1", 1, "f", 0.0), ("f/2", 0, "f", None)
    ]  # fmt: skip
    assert found.named("read.fatal_errors")[0]["count"] == 1  # running out of time is no fault


def test_older_metr_runs_have_a_score_in_the_units_of_the_task(tmp_path: Path) -> None:
    run = {"run_id": "s_1", "task_id": "f/main", "score": 0.0107515225, "time_limit": 1800,
           "task_family": "f", "alias": "m", "model": "m0", "fatal_error_from": "usageLimits",
           "human_minutes": 556.6, "score_binarized": 0}  # fmt: skip
    found = read(write(tmp_path / "runs.jsonl", [run]))
    assert found.reported.select("metric", "value").rows() == [
        ("score_binarized", 0.0), ("score", 0.0107515225)
    ]  # fmt: skip


BIGBENCH = {
    "scores": [
        {"score_dict": {"exact_str_match": 0.25, "bleu": 31.0}, "preferred_score":
         "exact_str_match", "number_of_shots": 2, "low_score": 0.0, "high_score": 1.0,
         "subtask_description": "arithmetic"},
    ],
    "task": {"task_name": "arithmetic"},
    "model": {"model_family": "BIG-G", "model_name": "2m", "total_params": 2e6,
              "non_embedding_params": 1e6},
    "queries": [
        {"function": "generate_text", "shots": 2, "task": "arithmetic",
         "samples": [{"input": "1+1=", "output": "2", "targets": {"2": 1, "two": 1}}]},
        {"function": "cond_log_prob", "shots": 2, "task": "arithmetic",
         "samples": [{"input": "1+1=", "targets": ["2", "33"], "absolute_scores": [-1.5, -2.5],
                      "target_values": {"2": 1, "33": 0}}]},
    ],
}  # fmt: skip


def test_bigbench_scores_and_queries(tmp_path: Path) -> None:
    path = tmp_path / "scores_2m.json"
    path.write_text(json.dumps(BIGBENCH))
    found = read(path)
    assert found.reported.select("task", "metric", "value", "chance").rows() == [
        ("arithmetic", "exact_str_match", 0.25, 0.0), ("arithmetic", "bleu", 31.0, None)
    ]  # fmt: skip
    text, choice = found.responses.rows(named=True)
    assert (text["output"], text["targets"]) == ("2", ["2", "two"])
    assert (choice["choice_logprobs"], choice["target_index"]) == ([-1.5, -2.5], 0)
    assert (choice["choice_bytes"], choice["chance"]) == ([1, 2], 0.5)
    model = found.models.row(0, named=True)
    assert (model["model"], model["family"], model["params"]) == ("2m [2-shot]", "BIG-G", 2e6)


def test_bigbench_shares_written_times_100_are_shares_again(tmp_path: Path) -> None:
    score = BIGBENCH["scores"][0] | {"score_dict": {"multiple_choice_grade": 25.0, "bleu": 31.0},
                                     "preferred_score": "multiple_choice_grade",
                                     "low_score": 20.0, "high_score": 100.0}  # fmt: skip
    path = tmp_path / "scores_2m.json"
    path.write_text(json.dumps(BIGBENCH | {"scores": [score], "queries": []}))
    found = read(path)
    assert found.reported.select("metric", "value", "chance").rows() == [
        ("multiple_choice_grade", 0.25, pytest.approx(0.2)), ("bleu", 31.0, None)
    ]  # fmt: skip
    assert found.named("read.units")[0]["count"] == 1


def test_olmes_folders(tmp_path: Path) -> None:
    metrics = {"task_name": "arc", "num_instances": 2, "metrics": {"acc_raw": 0.5},
               "model_config": {"model": "OLMo-7B", "revision": "step1000-tokens4B"},
               "task_config": {"num_shots": 5}}  # fmt: skip
    (tmp_path / "task-000-arc-metrics.json").write_text(json.dumps(metrics))
    line = {"doc_id": 0, "native_id": "A1", "label": 1, "metrics": {"acc_raw": 1.0,
            "predicted_index_raw": 1}, "model_output": [
            {"sum_logits": -3.0, "num_tokens": 2, "num_chars": 4, "is_greedy": False},
            {"sum_logits": -2.0, "num_tokens": 1, "num_chars": 3, "is_greedy": True}]}  # fmt: skip
    write(tmp_path / "task-000-arc-predictions.jsonl", [line])
    found = read(tmp_path)
    assert readers(found) == ["olmes_metrics", "olmes_predictions"]
    row = found.responses.row(0, named=True)
    assert (row["item"], row["choice_logprobs"], row["target_index"]) == ("A1", [-3.0, -2.0], 1)
    assert found.models["model"].to_list() == ["OLMo-7B@step1000 [5-shot]"]
    aggregate = found.reported.filter(pl.col("item").is_null())
    assert aggregate.select("metric", "value", "items").rows() == [("acc_raw", 0.5, 2)]


def test_olmes_checkpoints_of_ones_own_and_indices_among_the_scores(tmp_path: Path) -> None:
    # as vLLM runs of checkpoints are written: revision null, the step in name and path; `label`
    # absent, the right choice and the predicted ones among the metrics
    config = {
        "model": "anneal-round3_step47684-hf",
        "revision": None,
        "trust_remote_code": True,
        "model_path": "weka://checkpoints/anneal-round3/step47684-hf",
        "model_type": "vllm",
    }
    metrics = {
        "task_name": "arc_challenge:mc",
        "task_hash": "4f74",
        "model_hash": "39ee",
        "model_config": config,
        "num_instances": 1,
        "metrics": {"acc_raw": 1.0},
        "task_config": {"task_core": "arc_challenge", "num_shots": 5, "limit": None},
    }
    (tmp_path / "task-000-arc_challenge_mc-metrics.json").write_text(json.dumps(metrics))
    line = {"doc_id": 0, "native_id": "Mercury_1", "metrics": {
                "predicted_index_raw": 1, "predicted_index_uncond": None, "correct_choice": 1,
                "acc_raw": 1, "acc_uncond": None, "no_answer": 0, "bits_per_byte_corr": 0.066},
            "model_output": [{"sum_logits": -3.0}, {"sum_logits": -0.1}]}  # fmt: skip
    write(tmp_path / "task-000-arc_challenge_mc-predictions.jsonl", [line])
    found = read(tmp_path)
    assert found.models.select("model_name", "step", "regime").rows() == [
        ("anneal-round3", 47684, "5-shot")
    ]
    assert found.responses.select("task", "target_index").rows() == [("arc_challenge:mc", 1)]
    of_item = found.reported.filter(pl.col("item").is_not_null())
    assert sorted(of_item["metric"]) == ["acc_raw", "bits_per_byte_corr", "no_answer"]


def test_write_out_scores_that_are_pairs_are_left_out(tmp_path: Path) -> None:
    # as forks of the harness write what a set of answers is scored by
    record = {"doc_id": 7, "prompt_0": "Good or bad?", "logit_0": "good", "truth": "bad",
              "acc": "0.0", "missing": "0", "f1": "('good', 'bad')"}  # fmt: skip
    path = tmp_path / "gpt2_mood_write_out_info.json"
    path.write_text(json.dumps([record]))
    found = read(path)
    assert found.responses.select("item", "output", "targets").rows() == [("7", "good", ["bad"])]
    assert found.reported.select("metric", "value").rows() == [("acc", 0.0), ("missing", 0.0)]
    assert found.named("read.not_numbers")[0]["count"] == 1


def olmes_line(label: object, *outputs: dict[str, object], **metrics: object) -> dict[str, object]:
    return {"doc_id": 0, "native_id": "i", "label": label, "metrics": {"acc_raw": 1, **metrics},
            "model_output": list(outputs)}  # fmt: skip


def test_olmes_choices_that_the_server_did_not_give_are_missing(tmp_path: Path) -> None:
    # vLLM gives the likeliest tokens only; OLMES writes -999 for a choice that is not among them
    line = olmes_line(1, {"sum_logits": -0.5}, {"sum_logits": -999}, no_answer=0)
    path = tmp_path / "gpt2" / "task-000-t-predictions.jsonl"
    path.parent.mkdir()
    found = read(write(path, [line]))
    assert found.responses.select("choice_logprobs", "target_index").rows() == [(None, 1)]
    assert found.named("read.incomplete_choices")[0]["count"] == 1


@pytest.mark.parametrize("label", [None, "B", ["B"]])
def test_olmes_takes_the_first_choice_where_none_is_stated(tmp_path: Path, label: object) -> None:
    path = tmp_path / "gpt2" / "task-000-t-predictions.jsonl"
    path.parent.mkdir()
    choices = {"sum_logits": -0.5}, {"sum_logits": -1.5}
    found = read(write(path, [olmes_line(label, *choices, correct_choice=0)]))
    assert found.responses.select("choice_logprobs", "target_index", "chance").rows() == [
        ([-0.5, -1.5], None, None)
    ]
    assert found.named("read.unknown_choices")[0]["count"] == 1


def test_olmes_generated_texts_are_samples_and_extra_metrics_are_scores(tmp_path: Path) -> None:
    outputs = [{"continuation": text, "num_tokens": 3} for text in ("4", "5")]
    path = tmp_path / "gpt2" / "task-000-t-predictions.jsonl"
    path.parent.mkdir()
    extra = {"extra_metrics": {"f1": 0.5, "price": 0.001}}
    found = read(write(path, [olmes_line("4", *outputs, **extra)]))
    assert found.responses.select("sample", "output", "targets").rows() == [
        (0, "4", ["4"]), (1, "5", ["4"])
    ]  # fmt: skip
    assert found.reported.select("metric", "value").rows() == [("acc_raw", 1.0), ("f1", 0.5)]


def test_lighteval_results(tmp_path: Path) -> None:
    results = {"config_general": {"model_name": "org/m", "max_samples": None},
               "results": {"leaderboard|arc:challenge|25": {"acc": 0.3, "acc_stderr": 0.01},
                           "lighteval|mmlu:_average|5": {"acc": 0.1},
                           "all": {"acc": 0.2}}, "versions": {}}  # fmt: skip
    path = tmp_path / "results_2024-01-01T00-00-00.json"
    path.write_text(json.dumps(results))
    found = read(path)
    assert readers(found) == ["lighteval_results"]
    assert found.reported.select("model", "task", "metric", "value", "stderr").rows() == [
        ("org/m [25-shot]", "arc:challenge", "acc", 0.3, 0.01)
    ]


@pytest.mark.parametrize("spelling", ["{}", "__{}__"])
def test_lighteval_details_in_both_spellings(tmp_path: Path, spelling: str) -> None:
    doc, response, metric = (spelling.format(n) for n in ("doc", "model_response", "metric"))
    rows = [
        {doc: {"query": "1+1=", "choices": ["2", "33"], "gold_index": [0], "id": "7",
               "task_name": "sums|0"},
         response: {"text": [], "logprobs": [-1.5, -2.5]}, metric: {"acc": 1.0}},
        {doc: {"query": "2+2=", "choices": ["4"], "gold_index": [0], "id": "8",
               "task_name": "sums|0"},
         response: {"text": ["5"], "logprobs": []}, metric: {"acc": 0.0}},
    ]  # fmt: skip
    folder = tmp_path / "details/org/m/2024-01-01T00-00-00"
    folder.mkdir(parents=True)
    path = folder / "details_lighteval|sums|0_2024-01-01T00-00-00.parquet"
    pl.DataFrame(rows).write_parquet(path)
    found = read(path)
    assert readers(found) == ["lighteval_details"]
    choice, text = found.responses.rows(named=True)
    assert (choice["item"], choice["choice_logprobs"], choice["target_index"]) == (
        "7",
        [-1.5, -2.5],
        0,
    )
    assert (text["output"], text["targets"]) == ("5", ["4"])
    assert choice["task"] == "sums"
    assert found.models["model"].to_list() == ["org/m [0-shot]"]
    assert found.reported["value"].to_list() == [1.0, 0.0]


def test_names_of_newer_lighteval_details(tmp_path: Path) -> None:
    row = {
        "doc": {"query": "q", "choices": ["a", "b"], "gold_index": [0], "id": "1"},
        "model_response": {"text": [], "logprobs": [-1.5, -2.5]},
        "metric": {"acc": 1.0},
    }
    folder = tmp_path / "details/org/m/2025-11-05T14-43-47.148527"
    folder.mkdir(parents=True)
    path = folder / "details_arc__challenge__25_2025-11-05T14-43-47.148527.parquet"
    pl.DataFrame([row]).write_parquet(path)
    found = read(path)
    assert found.models["model"].to_list() == ["org/m [25-shot]"]
    assert found.responses["task"].to_list() == ["arc:challenge"]


def test_every_reader_says_who_writes_such_files() -> None:
    assert all(len(entry.source) > 5 for entry in READERS)


# Filters and losses


def two_filters(tmp_path: Path) -> Path:
    rows = [{"model": "gpt2", "task": "t", "item": "1", "output": text, "target": "4",
             "filter": name} for name, text in (("strict", "x"), ("loose", "4"))]  # fmt: skip
    return write(tmp_path / "a.jsonl", rows)


def test_several_filters_are_told_and_one_can_be_taken(tmp_path: Path) -> None:
    path = two_filters(tmp_path)
    found = read(path)
    assert found.summary is not None
    assert found.summary.filters == {"t": ["loose", "strict"]}
    taken = read(path, filtered="loose")
    assert taken.responses["output"].to_list() == ["4"]
    assert taken.summary is not None
    assert not taken.summary.filters
    with pytest.raises(SaltusError, match="no answer has it; there are: loose, strict"):
        read(path, filtered="flexible")


ANSWER = {"model": "gpt2", "task": "t", "metric": "acc", "value": 0.5}


def losses(tmp_path: Path, text: str) -> str:
    path = tmp_path / "loss.csv"
    path.write_text(text)
    return str(path)


def test_losses_come_from_a_table_of_their_own(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [ANSWER, ANSWER | {"step": 100}, ANSWER | {"step": 200}])
    table = losses(tmp_path, "model,step,loss,loss_name\ngpt2,,3.1,c4\nopenai/GPT2,100,4.2,c4\n")
    found = read(path, loss=table)
    rows = found.models.sort("step", nulls_last=True).select("step", "loss", "loss_name").rows()
    assert rows == [(100, 4.2, "c4"), (200, None, None), (None, 3.1, "c4")]
    assert "loss.csv" in found.models["source"][0]


def test_of_several_losses_one_must_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [ANSWER])
    table = losses(tmp_path, "model,loss,loss_name\ngpt2,3.1,c4\ngpt2,2.9,pile\n")
    with pytest.raises(ReadError, match=r"several losses \(c4, pile\); take one with --loss"):
        read(path, loss=table)
    assert read(path, loss=f"pile={table}").models["loss"].to_list() == [2.9]
    with pytest.raises(ReadError, match="holds no loss named 'wiki'"):
        read(path, loss=f"wiki={table}")
