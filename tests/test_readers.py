"""Finding, recognising and summing up files; what cannot be read; the real tables."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import os
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reading import read_tables
from saltus.errors import ReadError, SaltusError
from saltus.readers import files
from saltus.readers.files import head_bytes, top_level_keys
from saltus.readers.frames import list_series
from saltus.readers.gather import Seen
from saltus.readers.reader import READERS, Head
from shared import SHARED, needs_shared

DATA = SHARED / "data"
LINE = '{"model": "gpt2", "task": "t", "metric": "acc", "value": 0.5}\n'


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.touch()
    with pytest.raises(ReadError, match="the file is empty"):
        read_tables([path])


def test_an_empty_gzip_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b""))
    with pytest.raises(ReadError, match="the file is empty"):
        read_tables([path])


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_truncated_gzip_file_is_an_error(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "a.jsonl.gz"
    numbers = np.random.default_rng(0).random(20_000)
    packed = gzip.compress("".join(LINE.replace("0.5", str(n)) for n in numbers).encode())
    path.write_bytes(packed[: int(len(packed) * keep)])
    with pytest.raises(ReadError, match="cut short or damaged"):
        read_tables([path])


def test_a_folder_of_unrelated_json_says_what_is_read(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text('{"colour": "red", "results": 3}')
    with pytest.raises(
        SaltusError,
        match=r"nothing in .* is recognised \(2 files looked at, such as .*list readers",
    ):
        read_tables([tmp_path])


def test_an_unrelated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"colour": "red"}')
    with pytest.raises(ReadError, match="Columns: colour"):
        read_tables([path])
    path.write_text("hello\n")
    with pytest.raises(ReadError, match="no reader recognises"):
        read_tables([path])


def test_a_first_line_that_is_no_csv_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"model,ta\rsk\n1,2\n")
    with pytest.raises(ReadError, match="no reader recognises"):
        read_tables([path])


def test_a_pipe_is_refused_and_never_opened(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(ReadError, match="not a regular file"):
        read_tables([path])


def test_a_path_that_names_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SaltusError, match="no such file or folder"):
        read_tables([tmp_path / "no*.csv"])


def test_a_broken_link_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.csv").symlink_to(tmp_path / "gone.csv")
    with pytest.raises(ReadError, match="No such file"):
        read_tables([tmp_path / "a.csv"])


def test_nesting_that_is_too_deep_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    deep = "[" * 100_000 + "]" * 100_000
    path.write_text(LINE + LINE.replace("0.5", f'0.5, "x": {deep}'))
    with pytest.raises(ReadError, match="nested too deep") as caught:
        read_tables([path])
    assert caught.value.line == 2


def test_a_line_that_is_too_long_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LINE_BYTES", 100)
    path = tmp_path / "a.jsonl"
    path.write_text(LINE + LINE.replace("gpt2", "x" * 100))
    with pytest.raises(ReadError, match="a line is longer than") as caught:
        read_tables([path])
    assert caught.value.line == 2


def test_a_file_that_unpacks_to_too_much_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "DECOMPRESSED_BYTES", 1000)
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(LINE.encode() * 100))
    with pytest.raises(ReadError, match="when decompressed"):
        read_tables([path])


def test_a_document_that_is_too_large_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "DOCUMENT_BYTES", 100)
    path = tmp_path / "a.json"
    path.write_text(json.dumps([json.loads(LINE)] * 5))
    with pytest.raises(ReadError, match="write it as JSON lines"):
        read_tables([path])


def test_a_damaged_parquet_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1" + b"x" * 100)
    with pytest.raises(ReadError):
        read_tables([path])


def test_files_are_found_in_folders_by_pattern_and_once(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("a.jsonl", "deep/b.txt", ".hidden.jsonl"):
        (tmp_path / name).write_text(LINE)
    (tmp_path / "notes.md").write_text("nothing here\n")
    found = read_tables([tmp_path, tmp_path / "a.jsonl", tmp_path / "*.jsonl"])
    assert found.summary is not None
    assert [Path(entry.path).name for entry in found.summary.inputs] == ["a.jsonl", "b.txt"]
    assert [Path(path).name for path in found.summary.skipped] == ["notes.md"]
    (skip,) = found.named("read.skipped_files")
    assert "notes.md" in skip["message"]


def test_the_summary_names_every_input(tmp_path: Path) -> None:
    path = tmp_path / "a=b.jsonl"
    path.write_text(LINE * 3)
    steps: list[int] = []
    found = read_tables([path], advance=steps.append)
    assert found.summary is not None
    (entry,) = found.summary.inputs
    assert entry.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (entry.reader, entry.size, entry.rows) == ("plain", 3 * len(LINE), 3)
    assert found.summary.counts == {"reported": 3, "models": 1, "findings": 0}
    assert sum(steps) == entry.size


def test_a_name_before_the_path_names_the_model(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("task,metric,value\nt,acc,1\n")
    assert read_tables([f"gpt2={path}"]).models["model"].to_list() == ["gpt2"]


def test_with_keep_going_a_bad_file_in_a_folder_is_listed(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(LINE)
    (tmp_path / "b.json").write_text('{"results": [1], "versions": {}}')
    with pytest.raises(ReadError):
        read_tables([tmp_path])
    found = read_tables([tmp_path], keep_going=True)
    assert found.reported.height == 1
    assert "b.json" in found.named("read.unreadable_files")[0]["message"]


@given(st.lists(st.lists(st.integers(0, 20), max_size=8), max_size=80))
def test_seen_counts_as_a_counter_does(batches: list[list[int]]) -> None:
    seen, counter = Seen(), Counter[int]()
    for batch in batches:
        keys = np.array(batch, dtype=np.uint64)
        assert seen.before(keys).tolist() == [counter[key] for key in batch]
        counter.update(batch)


json_values = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(st.from_regex(r"\A[a-z {}\[\]]*\Z"), json_values, max_size=5), st.integers(0, 4)
)
def test_the_keys_of_a_beginning_are_those_of_the_whole(
    document: dict[str, object], indent: int
) -> None:
    text = json.dumps(document, indent=indent or None)
    assert top_level_keys(text) == frozenset(document)
    for end in range(0, len(text), 7):
        assert top_level_keys(text[:end]) <= frozenset(document)


def test_a_beginning_full_of_escapes_takes_no_time() -> None:
    # quadratic scanning of one long cut string would take minutes here
    assert top_level_keys('{"a": "' + '\\"' * 400_000) == {"a"}


@needs_shared
def test_every_real_file_is_recognised_by_at_most_one_reader() -> None:
    readers: Counter[str] = Counter()
    for path in sorted(DATA.rglob("*")):
        if path.is_file():
            head = Head(path, head_bytes(path))
            found = [reader.name for reader in READERS if reader.sniff(head)]
            assert len(found) < 2, path
            readers.update(found)
    assert set(readers) >= {"plain", "lm_eval_results", "lm_eval_samples"}
    assert readers["lm_eval_results"] == 40 + 5 + 8 + 5


@needs_shared
def test_the_pythia_table_agrees_with_a_plain_reading() -> None:
    found = read_tables([DATA / "pythia/pythia_evals.csv.gz"])
    with gzip.open(DATA / "pythia/pythia_evals.csv.gz", "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    expected = [
        (
            f"{row['model']}@step{row['step']} [{row['shots']}-shot]",
            row["task"],
            row["metric"],
            float(row["value"]),
            float(row["stderr"]) if row["stderr"] else None,
            int(row["n_items"]) if row["n_items"] else None,
        )
        for row in rows
    ]
    columns = ("model", "task", "metric", "value", "stderr", "items")
    assert found.reported.select(columns).rows() == expected
    assert found.models.height == 8 * 27 + 8 * 15


@needs_shared
def test_emergent_tasks_join_their_sizes_and_blanks_stay_blank() -> None:
    folder = DATA / "obscaling"
    path, sizes = (
        folder / f"base_llm_{name}_eval.csv" for name in ("emergent_capability", "benchmark")
    )
    columns = {"model": "Model", "params": "Model Size (B)", "flops": "FLOPs (1E21)"}
    found = read_tables([path], models=sizes, columns=columns)
    with path.open(encoding="utf-8") as file:
        rows = {row.pop("Model"): row for row in csv.DictReader(file)}
    with sizes.open(encoding="utf-8") as file:
        facts = {row["Model"]: row for row in csv.DictReader(file)}
    assert found.reported.height == 84 * 8
    for model, task, metric, value in found.reported.select(
        "model", "task", "metric", "value"
    ).iter_rows():
        cell = rows[model][f"{task}_{metric}"]
        assert value == (float(cell) if cell else None)
    assert found.reported["value"].null_count() == sum(
        not c for r in rows.values() for c in r.values()
    )
    for row in found.models.iter_rows(named=True):
        fact = facts[row["model"]]
        size = fact["Model Size (B)"]
        assert row["family"] == fact["Model Family"]
        assert row["params"] == (pytest.approx(float(size) * 1e9) if size else None)
        known = fact["FLOPs (1E21)"] or (size and fact["Pretraining Data Size (T)"])
        assert (row["flops"] is None) == (not known)


@needs_shared
@pytest.mark.parametrize(("task", "items", "models"), [("crux", 800, 10), ("gsm", 1319, 8)])
def test_replies_per_item_agree_with_a_plain_reading(task: str, items: int, models: int) -> None:
    path = DATA / f"zeroeval/{task}_outputs.jsonl.gz"
    found = read_tables([path], columns={"output": "answer_json"})
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    expected = [(r["model"], r["item_id"], r["answer_json"], [r["target"]]) for r in rows]
    assert found.responses.select("model", "item", "output", "targets").rows() == expected
    assert (found.responses.height, found.models.height) == (items * models, models)
    assert found.models.select("params", "tokens", "flops").null_count().row(0) == (0, 0, 0)
    assert found.responses["sample"].max() == 0


@needs_shared
def test_wide_letters_agree_with_a_plain_reading() -> None:
    path = DATA / "mmlu_pro/mmlu_pro_predictions.csv.gz"
    found = read_tables([path], columns={"item": "question_id", "target": "answer"})
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert found.models.height == 17
    assert found.responses.height == 17 * 12_032
    llama = found.responses.filter(model="Llama-2-70b-hf")
    assert llama["output"].to_list() == [row["Llama-2-70b-hf"] or None for row in rows]
    assert llama["chance"].to_list() == [1 / int(row["n_options"]) for row in rows]
    assert found.responses.filter(model="DeepSeek-Coder-V2")["output"].count() <= 10_351


def _cells(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


WIDE = {
    "open_llm_leaderboard/families.csv": "IFEval, BBH, MATH Lvl 5, GPQA, MUSR, MMLU-PRO, bbh_*, "
    "gpqa_*, math_*, musr_*, hendrycksTest-*",
    "obscaling/base_llm_benchmark_eval.csv": "MMLU,ARC-C,HellaSwag,GSM8K,HumanEval",
    "obscaling/base_llm_benchmark_eval_sub_10b.csv": "MMLU,ARC-C,HellaSwag,GSM8K,HumanEval",
    "obscaling/base_llm_leaderboard_v2_eval.csv": "leaderboard_*",
    "obscaling/instruct_llm_benchmark_eval.csv": "MMLU,ARC-C,HellaSwag,GSM8K,HumanEval",
}


@needs_shared
@pytest.mark.parametrize("name", WIDE)
def test_one_column_per_task_is_read_with_the_users_word(name: str) -> None:
    wanted, rows = [part.strip() for part in WIDE[name].split(",")], _cells(DATA / name)
    tasks = [h for h in rows[0] if any(fnmatchcase(h, part) for part in wanted)]
    columns = {"value": WIDE[name], "metric": "=accuracy"}
    found = read_tables([DATA / name], columns=columns, require_facts=False)
    assert found.models.height == len({row["Model"] for row in rows})
    assert found.reported["metric"].unique().to_list() == ["accuracy"]
    values = found.reported.select("model", "task", "value").rows()
    expected = [
        (row["Model"], task, float(row[task]) if row[task] else None)
        for row in rows
        for task in tasks
    ]
    assert sorted(values, key=str) == sorted(expected, key=str)
    params = dict(found.models.select("model_name", "params").rows())
    size = "#Params (B)" if "#Params (B)" in rows[0] else "Model Size (B)"
    if size in rows[0]:
        expected_sizes = {row["Model"]: float(row[size]) * 1e9 for row in rows if row[size]}
        known = {model: value for model, value in params.items() if model in expected_sizes}
        assert known == pytest.approx(expected_sizes)


@needs_shared
def test_answers_of_a_direct_client_are_read_with_the_users_word() -> None:
    paths = sorted((DATA / "logs/direct_openai").glob("direct_*.jsonl"))
    columns = {"item": "id", "target_index": "label", "target_logprobs": "target_token_logprobs"}
    found = read_tables(paths, columns=columns, task="arith20").responses
    rows = [json.loads(line) for path in paths for line in path.read_text().splitlines()]
    assert found.height == len(rows) == 40
    assert found["output"].to_list() == [row["output"] for row in rows]
    assert found["choice_logprobs"].to_list() == [row["choice_logprobs"] for row in rows]
    assert found["target_index"].to_list() == [row["label"] for row in rows]
    pairs = [row["target_token_logprobs"] for row in rows]
    assert found["target_logprobs"].to_list() == [[value for _, value in each] for each in pairs]


def test_only_a_metric_can_be_stated(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("model,a,b\ngpt2,1,2\n")
    with pytest.raises(SaltusError, match="only metric can be stated with =="):
        read_tables([path], columns={"task": "=mmlu"})


@needs_shared
@pytest.mark.parametrize(
    ("name", "columns", "reported", "models"),
    [
        ("bloom/bloom_evals.csv", {}, 640, 5),
        ("lm_eval_families/legacy_llama_bloom.csv", {}, 1680, 28),
        ("lm_eval_families/mamba2.csv", {}, 561, 10),
        (
            "open_lm_scaling/open_lm_scaling.csv.gz",
            {"task": "name", "metric": "kind", "loss": "eval_data/c4_val"},
            69 * 46,
            69 * 4,
        ),
        (
            "gemstones/gemstones.csv.gz",
            {"model": "run", "task": "name", "loss": "dclm"},
            490 * 18,
            490,
        ),
    ],
)
def test_the_other_real_tables(
    name: str, columns: dict[str, str], reported: int, models: int
) -> None:
    found = read_tables([DATA / name], columns=columns)
    assert (found.reported.height, found.models.height) == (reported, models)
    assert (
        found.models.select("family", "params", "tokens", "flops").null_count().row(0) == (0,) * 4
    )
    assert found.models["loss"].null_count() == (0 if "loss" in columns else models)


@given(
    st.lists(st.none() | st.lists(st.none() | st.floats(allow_nan=False), max_size=3), max_size=6)
)
def test_lists_made_from_flat_members_are_the_lists(cells: list[list[float | None] | None]) -> None:
    assert list_series(cells, pl.Float64()).to_list() == cells
