"""Logs of Inspect AI, against an independent reading and against inspect-ai itself."""

from __future__ import annotations

import io
import json
import math
import struct
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from reading import Tables, read_tables
from saltus.errors import ReadError
from saltus.readers import archive
from saltus.readers.archive import open_archive
from saltus.readers.inspect_log import inspect_eval, merged_log
from saltus.readers.mend import mended
from saltus.readers.reader import Options
from shared import SHARED, needs_shared

FOLDERS = (SHARED / "data" / "tool_logs" / "inspect", SHARED / "data" / "logs" / "inspect_ai")
LOGS = sorted(f for folder in FOLDERS for f in folder.glob("*.[ej][vs]*") if f.suffix != ".py")
each_log = pytest.mark.parametrize("log", LOGS, ids=lambda path: path.name[-40:])
GRADES = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}

HEADER: dict[str, Any] = {
    "version": 2,
    "status": "success",
    "eval": {
        "task": "quiz",
        "model": "hf/EleutherAI/pythia-70m",
        "dataset": {"samples": 2, "sample_ids": [1, 2]},
        "config": {"epochs": 1},
    },
    "plan": {},
    "results": {
        "total_samples": 1,
        "scores": [
            {
                "name": "match", "scorer": "match", "scored_samples": 2,
                "metrics": {"accuracy": {"value": 0.5}, "stderr": {"value": 0.25}},
            }
        ],
    },
}  # fmt: skip
SAMPLE: dict[str, Any] = {
    "id": 1,
    "epoch": 1,
    "input": "2 + 2 =",
    "target": "4",
    "messages": [
        {"role": "user", "content": "2 + 2 ="},
        {"role": "assistant", "content": "4", "source": "generate"},
    ],
    "output": {"choices": [{"message": {"content": "4"}, "stop_reason": "stop"}]},
    "scores": {"match": {"value": "C"}},
    "events": [{"event": "model", "text": "ignored"}],
}


def members_of(path: Path) -> dict[str, bytes]:
    """Members by `zipfile`'s table of contents; zstd, which it cannot read, by zstandard."""
    found = {}
    with zipfile.ZipFile(path) as zipped, path.open("rb") as raw:
        for info in zipped.infolist():
            if info.compress_type != archive.ZSTD:
                found[info.filename] = zipped.read(info)
                continue
            raw.seek(info.header_offset + 26)
            name, extra = struct.unpack("<HH", raw.read(4))
            raw.seek(name + extra, 1)
            data = raw.read(info.compress_size)
            found[info.filename] = zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return found


def independent(path: Path) -> dict[str, Any]:
    """The log with its samples, by the standard library."""
    if path.suffix == ".json":
        return dict(json.loads(path.read_text()))
    members = members_of(path)
    samples = [json.loads(d) for n, d in members.items() if n.startswith("samples/")]
    return {**json.loads(members["header.json"]), "samples": samples}


def eval_log(
    path: Path,
    samples: Sequence[Mapping[str, Any]] = (SAMPLE,),
    header: Mapping[str, Any] | None = HEADER,
    **members: Any,
) -> Path:
    """An `.eval` file; further members by name, `__` for `/` and without `.json`."""
    contents = {} if header is None else {"header.json": header}
    contents |= {f"{name.replace('__', '/')}.json": data for name, data in members.items()}
    for sample in samples:
        contents[f"samples/{sample['id']}_epoch_{sample['epoch']}.json"] = sample
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, data in contents.items():
            zipped.writestr(name, data if isinstance(data, bytes) else json.dumps(data))
    return path


def read(path: Path, **options: Any) -> Tables:
    return read_tables([path], require_facts=False, **options)


def reported(tables: Tables) -> list[tuple[Any, ...]]:
    rows = tables.reported.filter(pl.col("item").is_not_null())
    return rows.select("item", "sample", "metric", "value").rows()


def of_sample(tmp_path: Path, **changes: Any) -> Tables:
    return read(eval_log(tmp_path / "a.eval", [{**SAMPLE, **changes}]))


@needs_shared
def test_there_are_logs_of_every_kind() -> None:
    assert len(LOGS) == 16
    methods = {
        info.compress_type
        for log in LOGS
        if log.suffix == ".eval"
        for info in zipfile.ZipFile(log).infolist()
    }
    assert methods == {archive.DEFLATE, archive.ZSTD}


@needs_shared
@each_log
def test_answers_are_those_of_an_independent_reading(log: Path) -> None:
    wanted = [
        (
            str(sample["id"]),
            sample["epoch"] - 1,
            sample["output"]["choices"][0]["message"]["content"],
            [sample["target"]] if sample["target"] else None,
            sample["output"]["choices"][0]["stop_reason"],
        )
        for sample in independent(log)["samples"]
    ]
    found = read(log).responses
    assert found.select("item", "sample", "output", "targets", "finish").rows() == wanted
    assert found["task"].unique().to_list() == (
        [independent(log)["eval"]["task"]] if wanted else []
    )


@needs_shared
@each_log
def test_scores_are_those_of_an_independent_reading(log: Path) -> None:
    whole = independent(log)
    wanted = [
        (str(sample["id"]), sample["epoch"] - 1, name, GRADES.get(score["value"], score["value"]))
        for sample in whole["samples"]
        for name, score in (sample["scores"] or {}).items()
    ]
    if not whole["samples"]:
        wanted = [
            (str(entry["sample_id"]), 0, reduction["scorer"], entry["value"])
            for reduction in whole["reductions"]
            for entry in reduction["samples"]
        ]
    tables = read(log)
    assert reported(tables) == wanted
    aggregates = [
        (f"{name},{score['name']}", metric["value"], score.get("scored_samples"))
        for score in whole["results"]["scores"]
        for name, metric in score["metrics"].items()
        if name != "stderr"
    ]
    stated = tables.reported.filter(pl.col("item").is_null())
    assert stated.select("metric", "value", "items").rows() == aggregates


@needs_shared
def test_spot_values() -> None:
    (log,) = FOLDERS[1].glob("*3rpM*.eval")
    tables = read(log)
    assert tables.responses.height == 20
    row = tables.responses.filter(pl.col("item") == "7").to_dicts()[0]
    told = (row["output"], row["targets"], row["finish"])
    assert told == ("1234 + 11", ["11445"], "max_tokens")
    assert ("7", 0, "token_edit_distance", 7.0) in reported(tables)
    values = tables.reported.filter(pl.col("metric") == "accuracy,match").to_dicts()[0]
    assert (values["value"], values["stderr"], values["items"]) == (0.0, 0.0, 20)
    assert tables.models["model_name"].to_list() == ["openai-api/llamacpp/smollm2-135m"]
    (arc,) = (log for log in LOGS if log.name == "data_arc_qwen.json")
    answers = read(arc).responses
    assert answers["target_index"].to_list() == [0, 1, 3]
    assert answers["chance"].to_list() == [0.25] * 3
    (cut,) = (log for log in LOGS if log.name.endswith("no-samples.json"))
    assert [note["count"] for note in read(cut).named("read.limit")] == [3]
    assert "'cancelled'; 0 of 3" in read(cut).named("read.unfinished")[0]["message"]


@needs_shared
@each_log
def test_agrees_with_inspect_ai_itself(log: Path) -> None:
    peer = pytest.importorskip("inspect_ai.log", reason="the extra `inspect` is not installed")
    scorer = pytest.importorskip("inspect_ai.scorer")
    whole, tables = peer.read_eval_log(str(log)), read(log)
    samples = whole.samples or []
    key = ["item", "sample"]
    wanted = [(str(s.id), s.epoch - 1, s.output.completion, s.output.stop_reason) for s in samples]
    found = tables.responses.select(*key, "output", "finish").rows()
    assert sorted(found) == sorted(wanted)
    number = scorer.value_to_float()
    scores = [
        (str(s.id), s.epoch - 1, name, number(score.value))
        for s in samples
        for name, score in (s.scores or {}).items()
    ]
    if samples:
        assert sorted(reported(tables)) == sorted(scores)
    aggregates = {
        (f"{name},{entry.name}", metric.value)
        for entry in whole.results.scores
        for name, metric in entry.metrics.items()
        if name != "stderr"
    }
    stated = tables.reported.filter(pl.col("item").is_null())
    assert set(stated.select("metric", "value").rows()) == aggregates


def test_model_with_checkpoint_and_shots(tmp_path: Path) -> None:
    spec = {
        **HEADER["eval"], "model_args": {"revision": "step3000"}, "task_args": {"fewshot": 5},
    }  # fmt: skip
    tables = read(eval_log(tmp_path / "a.eval", header={**HEADER, "eval": spec}))
    row = tables.models.to_dicts()[0]
    assert row["model"] == "hf/EleutherAI/pythia-70m@step3000 [5-shot]"
    assert (row["family"], row["step"], row["params"]) == ("Pythia", 3000, 70426624.0)
    assert row["tokens"] == 3000 * 2097152


def test_document_and_archive_say_the_same(tmp_path: Path) -> None:
    first = read(eval_log(tmp_path / "a.eval"))
    path = tmp_path / "a.json"
    path.write_text(json.dumps({**HEADER, "samples": [SAMPLE]}))
    second = read(path)
    assert first.responses.drop("source").equals(second.responses.drop("source"))
    assert first.reported.drop("source").equals(second.reported.drop("source"))


def test_sources_name_file_and_member(tmp_path: Path) -> None:
    assert of_sample(tmp_path).responses["source"].to_list() == ["a.eval:samples/1_epoch_1.json"]


def test_epochs_are_samples(tmp_path: Path) -> None:
    spec = {**HEADER["eval"], "config": {"epochs": 2}}
    again = {**SAMPLE, "epoch": 2, "scores": {"match": {"value": "P"}}}
    tables = read(eval_log(tmp_path / "a.eval", [SAMPLE, again], {**HEADER, "eval": spec}))
    assert reported(tables) == [("1", 0, "match", 1.0), ("1", 1, "match", 0.5)]
    assert tables.responses["sample"].to_list() == [0, 1]


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("C", [("match", 1.0)]), ("I", [("match", 0.0)]), ("P", [("match", 0.5)]),
        ("N", [("match", 0.0)]), (True, [("match", 1.0)]), (0.25, [("match", 0.25)]),
        ("yes", [("match", 1.0)]), ("0.5", [("match", 0.5)]), ("1_0", [("match", None)]),
        ("nan", [("match", None)]), ("brilliant", [("match", None)]), (None, [("match", None)]),
        ({"a": 1, "b": "I"}, [("match/a", 1.0), ("match/b", 0.0)]),
        ([1, 0.5], [("match/0", 1.0), ("match/1", 0.5)]),
        (math.nan, [("match", None)]), (-math.inf, [("match", None)]),
        ([[1]], [("match/0", None)]),
    ],
)  # fmt: skip
def test_score_values(tmp_path: Path, value: Any, wanted: list[Any]) -> None:
    tables = of_sample(tmp_path, scores={"match": {"value": value}})
    assert (
        tables.reported.filter(pl.col("item").is_not_null()).select("metric", "value").rows()
        == wanted
    )


def test_refusals_and_unscored_are_counted(tmp_path: Path) -> None:
    scores = {"a": {"value": "N"}, "b": {"value": math.nan}, "c": {"value": "brilliant"}}
    tables = of_sample(tmp_path, scores=scores)
    for name in ("no_answer", "unscored", "odd_scores"):
        assert [note["count"] for note in tables.named(f"read.{name}")] == [1], name


def test_an_edited_score_counts_as_it_stands(tmp_path: Path) -> None:
    edited = {"value": "C", "history": [{"value": "I"}, {"value": "C", "provenance": {}}]}
    tables = of_sample(tmp_path, scores={"match": edited})
    assert reported(tables) == [("1", 0, "match", 1.0)]
    assert [note["count"] for note in tables.named("read.edited")] == [1]


def test_an_invalidated_sample_is_left_out(tmp_path: Path) -> None:
    tables = of_sample(tmp_path, invalidation={"author": "x", "reason": "wrong prompt"})
    assert tables.responses.is_empty()
    assert reported(tables) == []
    assert tables.named("read.invalidated")[0]["severity"] == "warning"


def test_a_failed_sample_has_no_answer_and_no_zero(tmp_path: Path) -> None:
    tables = of_sample(tmp_path, error={"message": "boom"}, output={"choices": []}, scores=None)
    row = tables.responses.to_dicts()[0]
    assert (row["output"], row["finish"]) == (None, "error")
    assert reported(tables) == []
    assert tables.named("read.failed_samples")


def test_an_empty_answer_is_an_answer(tmp_path: Path) -> None:
    output = {"choices": [{"message": {"content": ""}, "stop_reason": "stop"}], "completion": ""}
    assert of_sample(tmp_path, output=output).responses["output"].to_list() == [""]


def test_a_limit_is_a_reason_to_stop(tmp_path: Path) -> None:
    tables = of_sample(tmp_path, limit={"type": "token", "limit": 10})
    assert tables.responses["finish"].to_list() == ["limit: token"]


def test_parts_of_a_message_and_texts_kept_apart(tmp_path: Path) -> None:
    parts = [{"type": "reasoning", "text": "hm"}, {"type": "text", "text": "a"},
             {"type": "text", "text": "b"}]  # fmt: skip
    output = {"choices": [{"message": {"content": parts}}]}
    assert of_sample(tmp_path, output=output).responses["output"].to_list() == ["a\nb"]
    kept = of_sample(tmp_path, target="attachment://k", attachments={"k": "long"})
    assert kept.responses["targets"].to_list() == [["long"]]


def test_hashes_follow_content_not_identifiers(tmp_path: Path) -> None:
    def hashes(**changes: Any) -> tuple[Any, ...]:
        return of_sample(tmp_path, **changes).responses.select("item_hash", "prompt_hash").row(0)

    message = {"role": "user", "content": "2 + 2 ="}
    plain = hashes()
    assert hashes(id="x", messages=[{**message, "id": "random"}]) == plain
    other = hashes(messages=[{**message, "content": "2 + 2 = "}])
    assert other[0] == plain[0]
    assert other[1] != plain[1]
    assert hashes(target="5")[0] != plain[0]


CANDIDATES = [{"token": f" {letter}", "logprob": -0.5 - n} for n, letter in enumerate("ABC")]


@pytest.mark.parametrize(
    ("token", "candidates", "wanted"),
    [
        (" B", CANDIDATES, [-0.5, -1.5, -2.5]),
        ("The", CANDIDATES, None),  # the answer does not begin with a letter
        (" B", CANDIDATES[:2], None),  # one letter is not among the likeliest
    ],
)
def test_choices_from_the_first_token(
    tmp_path: Path, token: str, candidates: list[Any], wanted: list[float] | None
) -> None:
    content = [{"token": token, "logprob": -1.5, "top_logprobs": candidates}]
    choice = {"message": {"content": token}, "logprobs": {"content": content}}
    tables = of_sample(
        tmp_path, choices=["x", "y", "z"], target="B", output={"choices": [choice]},
        scores={"choice": {"value": "C"}},
    )  # fmt: skip
    row = tables.responses.to_dicts()[0]
    assert (row["target_index"], row["chance"]) == (1, pytest.approx(1 / 3))
    assert row["choice_logprobs"] == wanted
    assert tables.reported["chance"].to_list() == [pytest.approx(1 / 3), None]


def test_chance_of_an_aggregate_is_that_of_its_samples(tmp_path: Path) -> None:
    scores = [{"name": "choice", "metrics": {"accuracy": {"value": 0.5}}}]
    header = {**HEADER, "results": {"total_samples": 2, "scores": scores}}
    two = [
        {**SAMPLE, "id": 1, "choices": ["x", "y"], "target": "A"},
        {**SAMPLE, "id": 2, "choices": ["x", "y", "z", "w"], "target": "B"},
    ]
    for sample in two:
        sample["scores"] = {"choice": {"value": "C"}}
    path = eval_log(tmp_path / "a.eval", two, header)
    assert read(path).reported.filter(pl.col("item").is_null())["chance"].to_list() == [0.375]
    two[1]["target"] = "AB"  # two are right: nobody says how often a guess is
    path = eval_log(tmp_path / "a.eval", two, header)
    assert read(path).reported.filter(pl.col("item").is_null())["chance"].to_list() == [None]


def test_target_logprobs_where_the_prompt_ends_with_the_target(tmp_path: Path) -> None:
    tokens = [("2+2", None), (" =", -1.0), (" fo", -2.0), ("ur", -0.25)]
    content = [{"token": text, "logprob": value} for text, value in tokens]
    choice = {"message": {"content": "x"}, "prompt_logprobs": {"content": content}}
    row = of_sample(tmp_path, target="four", output={"choices": [choice]}).responses.to_dicts()[0]
    assert (row["target_logprobs"], row["target_bytes"]) == ([-2.0, -0.25], 4)
    odd = of_sample(tmp_path, target="our", output={"choices": [choice]}).responses.to_dicts()[0]
    assert odd["target_logprobs"] is None  # no token begins where the target does


def test_a_killed_run_has_only_its_journal(tmp_path: Path) -> None:
    start = {name: HEADER[name] for name in ("version", "eval", "plan")}
    summaries = [
        {**SAMPLE, "scores": {"match": {"value": "C"}}},
        {**SAMPLE, "id": 2, "scores": {"match": {"value": "C"}}},
        {**SAMPLE, "id": 2, "scores": {"match": {"value": "I"}}},  # run again
    ]
    path = eval_log(
        tmp_path / "a.eval", header=None, _journal__start=start, _journal__summaries__1=summaries
    )
    tables = read(path)
    assert tables.responses["item"].to_list() == ["1"]
    assert reported(tables) == [("1", 0, "match", 1.0), ("2", 0, "match", 0.0)]
    assert "'started'; 2 samples" in tables.named("read.unfinished")[0]["message"]
    assert [note["count"] for note in tables.named("read.without_text")] == [1]


def test_a_member_written_again_counts_once(tmp_path: Path) -> None:
    path = eval_log(tmp_path / "a.eval")
    text = json.dumps({**SAMPLE, "scores": {"match": {"value": "I"}}})
    with zipfile.ZipFile(path, "a") as zipped, pytest.warns(UserWarning, match="Duplicate"):
        zipped.writestr("samples/1_epoch_1.json", text)
    assert reported(read(path)) == [("1", 0, "match", 0.0)]


def test_a_sample_that_is_announced_and_not_there(tmp_path: Path) -> None:
    header = {**HEADER, "results": {**HEADER["results"], "total_samples": 3}}
    tables = read(eval_log(tmp_path / "a.eval", header=header))
    assert "1 of 3 samples" in tables.named("read.unfinished")[0]["message"]


def test_shards_of_a_merged_log_are_read_once(tmp_path: Path) -> None:
    shards = {"shards": {"ledger": [{"shard": "0", "log": "s.eval", "samples": 1}]}}
    merged = {**HEADER, "eval": {**HEADER["eval"], **shards}}
    eval_log(tmp_path / "run.eval", header=merged)
    eval_log(tmp_path / "run.shards" / "0" / "s.eval")
    eval_log(tmp_path / "run.shards" / "1" / "s.eval", [{**SAMPLE, "id": 2}])  # not merged yet
    tables = read_tables([tmp_path], require_facts=False)
    assert sorted(tables.responses["item"].to_list()) == ["1", "2"]
    assert "is part of run.eval" in tables.named("read.shards")[0]["message"]
    lost = {"shards": {"ledger": [{"shard": "0", "samples": 7}]}}
    path = eval_log(tmp_path / "b.eval", header={**HEADER, "eval": {**HEADER["eval"], **lost}})
    assert "had 7 samples, the log has 1" in read(path).named("read.shards")[0]["message"]


def test_a_log_near_the_root_has_no_shards() -> None:
    assert merged_log(Path("/a.eval")) is None
    assert merged_log(Path("/tmp/a.eval")) is None  # noqa: S108


# hostile and broken input


@pytest.mark.parametrize("cut", range(0, 1500, 37))
def test_an_archive_cut_anywhere_is_refused(tmp_path: Path, cut: int) -> None:
    whole = eval_log(tmp_path / "a.eval").read_bytes()
    path = tmp_path / "cut.eval"
    path.write_bytes(whole[: min(cut, len(whole) - 1)])
    with pytest.raises(ReadError, match=r"cut\.eval"):
        read(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_document_cut_anywhere_is_refused(tmp_path: Path, share: float) -> None:
    text = json.dumps({**HEADER, "samples": [SAMPLE]})
    path = tmp_path / "cut.json"
    path.write_text(text[: int(len(text) * share)])
    with pytest.raises(ReadError, match=r"cut\.json"):
        read(path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, Any]:
    path = eval_log(tmp_path_factory.mktemp("flips") / "a.eval")
    return path, path.read_bytes(), rows_of(path)


def rows_of(path: Path) -> tuple[list[Any], str]:
    """The rows, and the findings in one text."""
    batches = list(inspect_eval(path, Options()))
    frames = [f for b in batches for f in (b.responses, b.reported) if f is not None]
    notes = " ".join(note["message"] for batch in batches for note in batch.findings)
    return [frame.drop("source").rows() for frame in frames if not frame.is_empty()], notes


@settings(max_examples=300, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_flipped_byte_is_refused_told_or_changes_nothing(
    whole: tuple[Path, bytes, Any], place: float, flip: int
) -> None:
    path, data, rows = whole
    damaged = bytearray(data)
    damaged[int(place * len(data))] ^= flip
    broken = path.with_name("b.eval")
    broken.write_bytes(damaged)
    try:
        found, notes = rows_of(broken)
    except ReadError:
        return
    assert found == rows[0] or "0 of 1 samples are in the log" in notes


def raw_archive(path: Path, data: bytes, *, size: int, method: int = 8, flags: int = 0) -> Path:
    """An archive whose one sample is what the arguments say, true or not."""
    eval_log(path, samples=[])
    buffer = io.BytesIO(path.read_bytes())
    with zipfile.ZipFile(buffer, "a") as zipped:
        zipped.writestr("samples/1_epoch_1.json", data, zipfile.ZIP_STORED)
    whole = bytearray(buffer.getvalue())
    entry = whole.rindex(b"PK\x01\x02")
    struct.pack_into("<H", whole, entry + 8, flags)
    struct.pack_into("<H", whole, entry + 10, method)
    struct.pack_into("<L", whole, entry + 24, size)
    path.write_bytes(whole)
    return path


def deflated(data: bytes) -> bytes:
    import zlib

    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize("method", [archive.DEFLATE, archive.ZSTD])
def test_a_bomb_that_lies_about_its_size(tmp_path: Path, method: int) -> None:
    zeros = bytes(200 << 20)
    pack = deflated if method == archive.DEFLATE else zstandard.ZstdCompressor().compress
    path = raw_archive(tmp_path / "bomb.eval", pack(zeros), size=100, method=method)
    start = time.perf_counter()
    with pytest.raises(ReadError, match=r"bomb.eval:samples/1_epoch_1.json: 100 bytes were"):
        read(path)
    assert time.perf_counter() - start < 10


def test_a_bomb_that_is_honest(tmp_path: Path) -> None:
    path = raw_archive(tmp_path / "bomb.eval", b"x", size=(256 << 20) + 1)
    with pytest.raises(ReadError, match=r"larger than 256 MB"):
        read(path)


def test_many_small_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "SMALL_BYTES", 1000)
    monkeypatch.setattr(archive, "RATIO", 5)
    long = [{**SAMPLE, "id": index, "target": "4" * 10_000} for index in range(20)]
    path = eval_log(tmp_path / "bomb.eval", long)
    with pytest.raises(ReadError, match="beyond all measure"):
        read(path)


def test_more_members_than_anyone_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MEMBERS", 1)
    with pytest.raises(ReadError, match="more than 1 members"):
        read(eval_log(tmp_path / "a.eval"))


@pytest.mark.parametrize(
    ("method", "flags", "message"),
    [(12, 0, "method 12"), (8, 1, "encrypted"), (8, 0, "damaged"), (93, 0, "damaged")],
)
def test_members_that_cannot_be_unpacked(
    tmp_path: Path, method: int, flags: int, message: str
) -> None:
    path = raw_archive(tmp_path / "a.eval", b"\xff" * 50, size=50, method=method, flags=flags)
    with pytest.raises(ReadError, match=f"samples/1_epoch_1.json: .*{message}"):
        read(path)


@pytest.mark.parametrize(
    "name", ["../../etc/x", "/etc/x", "samples/../../../x", "C:\\x", "\x1b[2J"]
)
def test_no_member_touches_the_disk(tmp_path: Path, name: str) -> None:
    path = eval_log(tmp_path / "in" / "a.eval")
    with zipfile.ZipFile(path, "a") as zipped:
        zipped.writestr(f"{name}.json", json.dumps(SAMPLE))
    before = sorted(tmp_path.rglob("*"))
    read(path)
    assert sorted(tmp_path.rglob("*")) == before


def test_control_characters_in_names_are_escaped(tmp_path: Path) -> None:
    path = eval_log(tmp_path / "a.eval")
    with zipfile.ZipFile(path, "a") as zipped:
        zipped.writestr("samples/\x1b[2Jx.json", "{")
    with pytest.raises(ReadError) as fault:
        read(path)
    assert "\x1b" not in str(fault.value)
    assert "samples/\\x1b[2Jx.json" in str(fault.value)


def broken_sample(tmp_path: Path, text: bytes) -> Path:
    path = eval_log(tmp_path / "a.eval", samples=[])
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("samples/1_epoch_1.json", text)
    return path


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"id": 1, "metadata": ' + DEEP + b"}", "nested too deep"),
        (b'{"id": 1, "scores": {"a": {"value": ' + DEEP + b"}}}", "nested too deep"),
        (b'{"id": 1, "epoch": "1"}', "Expected `int`, got `str`"),
        (b'{"id": 1, "epoch": 99999999999999999999}', "epoch"),
        (b'{"epoch": 1}', "missing required field `id`"),
        (b'{"id": 1, "target": 4}', "Expected `str"),
        (b'{"id": 1,', "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"id": "\xff"}', "not UTF-8"),
        (b"", "not JSON"),
        (b"null", "Expected `object`"),
    ],
)
def test_a_bad_sample_is_refused_with_its_place(tmp_path: Path, text: bytes, message: str) -> None:
    path = broken_sample(tmp_path, text)
    with pytest.raises(ReadError, match=f"a.eval:samples/1_epoch_1.json: .*{message}"):
        read(path)
    found = read(path, keep_going=True).named("read.unreadable_lines")
    assert found[0]["count"] == 1
    assert "samples/1_epoch_1.json" in found[1]["message"]


def test_halves_of_characters(tmp_path: Path) -> None:
    text = rb'{"id": 1, "epoch": 1, "target": "b\ud83d\ude00\udc00 \\ud83d"}'
    tables = read(broken_sample(tmp_path, text))
    assert tables.responses["targets"].to_list() == [["b😀\ufffd \\ud83d"]]


def test_a_key_that_comes_twice_in_a_member_is_refused(tmp_path: Path) -> None:
    path = broken_sample(tmp_path, b'{"id": 1, "epoch": 1, "target": "a", "target": "b"}')
    with pytest.raises(ReadError, match=r"a.eval:samples/1_epoch_1.json: the key 'target' is"):
        read(path)


@given(st.text(), st.sampled_from(["NaN", "Infinity", "-Infinity"]))
def test_mending_touches_constants_only(text: str, constant: str) -> None:
    whole = json.dumps({"text": text + constant, "n": [1]}).encode()
    assert mended(whole) == whole
    broken = whole.replace(b"[1]", f"[{constant}]".encode())
    assert json.loads(mended(broken)) == {"text": text + constant, "n": [None]}


def test_mending_a_text_full_of_quotes_takes_no_time() -> None:
    start = time.perf_counter()
    mended(b'"' + b'\\"' * 500_000)
    mended(b'{"a": "' + b"\\u" * 500_000)
    assert time.perf_counter() - start < 5


def test_neither_header_nor_journal(tmp_path: Path) -> None:
    path = eval_log(tmp_path / "a.eval", header=None)
    with pytest.raises(ReadError, match=r"without header.json"):
        read(path)


def test_long_archives(tmp_path: Path) -> None:
    """The 64-bit forms of sizes and of the end record, as `zipfile` writes them."""
    path = tmp_path / "a.eval"
    with zipfile.ZipFile(path, "w") as zipped:
        for name, data in (("header.json", HEADER), ("samples/1_epoch_1.json", SAMPLE)):
            with zipped.open(name, "w", force_zip64=True) as stream:
                stream.write(json.dumps(data).encode())
    data = bytearray(path.read_bytes())
    end = data.rindex(b"PK\x05\x06")
    _, _, _, _, count, length, offset, _ = struct.unpack_from("<4s4H2LH", data, end)
    record = struct.pack(
        "<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, length, offset
    )
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    struct.pack_into("<HHLL", data, end + 8, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    path.write_bytes(data[:end] + record + locator + data[end:])
    with open_archive(path) as opened:
        assert list(opened.members) == ["header.json", "samples/1_epoch_1.json"]
    assert read(path).responses.height == 1
