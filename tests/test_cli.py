"""The commands as a user runs them: output, errors, exit codes, and what is left on the disk."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

import saltus
from saltus import store
from saltus.cli import main
from saltus.tables import Estimates, Scores

SIZES = (1e7, 1e8, 1e9, 1e10, 1e11, 1e12)
FAST = ("--resamples", "99")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def scores_table(folder: Path) -> Path:
    """Aggregates of one family: accuracy .4 to .9 over six sizes."""
    lines = ["model,family,params,task,metric,value,items,chance"]
    for place, size in enumerate(SIZES):
        lines.append(f"m{place},fam,{size:.0f},quiz,acc,{0.4 + 0.1 * place:.2f},100,0.25")
    return write(folder / "scores.csv", lines)


def answers_table(folder: Path) -> Path:
    rows = [
        {"model": f"m{place}", "family": "fam", "params": size, "task": "sums",
         "item": str(item), "output": str(item if item < 15 * place else -1), "target": str(item)}
        for place, size in enumerate(SIZES) for item in range(90)
    ]  # fmt: skip
    return write(folder / "answers.jsonl", [json.dumps(row) for row in rows])


@pytest.fixture
def audited(tmp_path: Path) -> Path:
    out = tmp_path / "audit"
    result = run("audit", answers_table(tmp_path), "--out", out, *FAST)
    assert result.exit_code == 0, result.output
    return out


def test_help_of_every_command_has_an_example() -> None:
    for name, command in main.commands.items():
        text = run(name, "--help").output
        assert f"saltus {name}" in text.split("Options:")[0], name
        assert command.help


def test_audit_writes_tables_page_and_manifest(audited: Path) -> None:
    names = {path.name for path in audited.iterdir()}
    assert {"report.html", "report.md", "report.json", "manifest.json", "figures"} <= names
    verdicts = pl.read_parquet(audited / "verdicts.parquet")
    assert verdicts.select("family", "task", "axis").rows() == [("fam", "sums", "params")]
    manifest = json.loads((audited / "manifest.json").read_text())
    digest = store.sha256(audited.parent / "answers.jsonl")
    assert [entry["sha256"] for entry in manifest["inputs"]] == [digest]
    assert manifest["seed"] == 0
    assert "sums" in (audited / "report.html").read_text()


def test_a_second_run_changes_no_table(audited: Path) -> None:
    before = {path: store.sha256(path) for path in audited.rglob("*") if path.is_file()}
    times = {path: path.stat().st_mtime_ns for path in audited.glob("*.parquet")}
    assert run("audit", audited.parent / "answers.jsonl", "--out", audited, *FAST).exit_code == 0
    after = {path: store.sha256(path) for path in audited.rglob("*") if path.is_file()}
    changed = {path.name for path in before if before[path] != after[path]}
    assert changed <= {"manifest.json"}
    assert times == {path: path.stat().st_mtime_ns for path in audited.glob("*.parquet")}


def test_every_verb_runs_alone_on_the_folder(tmp_path: Path) -> None:
    out = tmp_path / "audit"
    assert run("read", answers_table(tmp_path), "--out", out).exit_code == 0
    for verb in ("score", "estimate", "screen", "fit", "judge", "report"):
        extra = FAST if verb == "judge" else ()
        result = run(verb, out, *extra)
        assert result.exit_code == 0, (verb, result.output)
        assert "nothing had changed" not in result.output
        again = run(verb, out, *extra)
        assert "nothing had changed" in again.output, verb
    whole = tmp_path / "whole"
    run("audit", tmp_path / "answers.jsonl", "--out", whole, *FAST)
    for name in ("scores", "estimates", "fits", "verdicts"):
        one, other = (pl.read_parquet(folder / f"{name}.parquet") for folder in (out, whole))
        assert one.equals(other), name


def test_a_folder_that_was_read_is_audited_where_it_is(tmp_path: Path) -> None:
    out, whole = tmp_path / "read", tmp_path / "whole"
    run("read", answers_table(tmp_path), "--out", out)
    assert run("audit", out, *FAST).exit_code == 0
    run("audit", tmp_path / "answers.jsonl", "--out", whole, *FAST)
    one, other = (pl.read_parquet(folder / "verdicts.parquet") for folder in (out, whole))
    assert one.equals(other)
    assert (out / "report.html").is_file()
    assert "leave out --out" in run("audit", out, "--out", tmp_path / "third").output
    assert "was read before; --columns" in run("audit", out, "--task", "sums").output


def test_json_is_one_object_per_row(audited: Path) -> None:
    lines = run("judge", audited, "--json", *FAST).stdout.splitlines()
    rows = [json.loads(line) for line in lines]
    keys = {
        "family", "task", "axis", "verdict", "reason", "metric", "partner", "scales", "items",
        "p_change", "p_break", "threshold", "threshold_low", "threshold_high", "items_needed",
    }  # fmt: skip
    assert rows
    assert all(keys <= row.keys() for row in rows)
    estimates = run("estimate", audited, "--json").stdout.splitlines()
    assert len(estimates) == store.load(audited, Estimates).height
    assert "NaN" not in "".join(estimates)


def test_aggregates_are_judged_too(tmp_path: Path) -> None:
    result = run("audit", scores_table(tmp_path), "--out", tmp_path / "audit", *FAST)
    assert result.exit_code == 0
    assert "GRADUAL" in result.output


def test_a_seed_decides_the_bootstrap_and_is_recorded(audited: Path) -> None:
    first = pl.read_parquet(audited / "verdicts.parquet")
    run("judge", audited, "--seed", 7, *FAST)
    assert json.loads((audited / "manifest.json").read_text())["seed"] == 7
    run("judge", audited, "--seed", 0, *FAST)
    assert pl.read_parquet(audited / "verdicts.parquet").equals(first)


def test_pooled_noise_is_an_option_that_is_recorded(audited: Path) -> None:
    assert run("judge", audited, "--pool-noise", *FAST).exit_code == 0
    stage = json.loads((audited / "manifest.json").read_text())["stages"]["judge"]
    assert stage["options"]["pool_noise"] is True
    verdicts = pl.read_parquet(audited / "verdicts.parquet")
    assert verdicts["noise"].to_list() == ["U"]  # one task is too few to pool


def test_nothing_to_judge_is_status_2_and_says_why(tmp_path: Path) -> None:
    one = write(tmp_path / "one.csv", ["model,family,task,metric,value", "m,f,t,acc,0.5"])
    result = run("audit", one, "--out", tmp_path / "audit")
    assert result.exit_code == 2, result.output
    assert "there is no scale axis" in result.output
    assert "--models FILE" in result.output


def test_one_model_is_status_2_and_counted_as_one(tmp_path: Path) -> None:
    header = "model,family,params,task,metric,value"
    one = write(tmp_path / "one.csv", [header, "m,f,1e9,t,acc,0.5"])
    result = run("audit", one, "--out", tmp_path / "audit", *FAST)
    assert result.exit_code == 2, result.output
    assert "The longest scale axis of one family has 1 scale." in result.output
    assert "no known size" not in result.output


def bad_inputs(folder: Path) -> dict[str, tuple[list[object], str]]:
    """Arguments of `audit`, and what the error must say."""
    good = scores_table(folder).read_text().splitlines()
    whole = gzip.compress(("\n".join(good * 400)).encode())
    (folder / "cut.csv.gz").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.csv").write_bytes(b"")
    (folder / "json").mkdir()
    write(folder / "json" / "package.json", ['{"name": "x", "dependencies": {}}'])
    lacks = write(folder / "lacks.csv", [line.rpartition(",0.")[0] for line in good])
    nan = write(folder / "nan.csv", [line.replace("0.50", "NaN") for line in good])
    sized = write(folder / "sized.csv", [line.replace("10000000,", "10M,") for line in good])
    unknown = write(folder / "unknown.csv", ["model,task,metric,value", "no-such-lm,t,acc,0.5"])
    return {
        "missing file": ([folder / "nowhere.csv"], "nowhere.csv"),
        "missing column": ([lacks], "lacks.csv"),
        "truncated gzip": ([folder / "cut.csv.gz"], "cut.csv.gz"),
        "NaN": ([nan], "nan.csv:3"),
        "empty file": ([folder / "empty.csv"], "empty.csv"),
        "unrelated JSON": ([folder / "json"], "json"),
        "size with a suffix": ([sized], "10M"),
        "unknown model": ([unknown], "--models"),
        "unknown column": ([folder / "scores.csv", "--columns", "task=Tsk"], "Tsk"),
        "no pair": ([folder / "scores.csv", "--columns", "task"], "ROLE=NAME"),
        "unknown metric": ([folder / "scores.csv", "--metric", "acx"], "did you mean acc?"),
        "no input": ([], "name at least one file"),
    }


CASES = (
    "missing file", "missing column", "truncated gzip", "NaN", "empty file", "unrelated JSON",
    "size with a suffix", "unknown model", "unknown column", "no pair", "unknown metric",
    "no input",
)  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_input_gets_a_clear_error_and_leaves_nothing(tmp_path: Path, case: str) -> None:
    arguments, words = bad_inputs(tmp_path)[case]
    before = sorted(tmp_path.iterdir())
    result = run("audit", *arguments, "--out", tmp_path / "audit")
    assert result.exit_code in (1, 2), result.output
    assert result.exit_code == 1 or "Usage" in result.output
    assert words in result.output
    assert "Traceback" not in result.output
    assert sorted(tmp_path.iterdir()) == before


def test_unknown_models_are_read_and_named_but_not_audited(tmp_path: Path) -> None:
    unknown = bad_inputs(tmp_path)["unknown model"][0][0]
    result = run("read", unknown, "--out", tmp_path / "audit")
    assert result.exit_code == 0
    assert "no family is known for 'no-such-lm'" in result.output
    assert run("audit", unknown, "--out", tmp_path / "audit").exit_code == 1


def test_keep_going_lists_bad_lines_instead(tmp_path: Path) -> None:
    lines = answers_table(tmp_path).read_text().splitlines()
    broken = write(tmp_path / "broken.jsonl", [*lines[:5], "{not json", *lines[5:]])
    assert run("audit", broken, "--out", tmp_path / "audit", *FAST).exit_code == 1
    result = run("audit", broken, "--out", tmp_path / "audit", "--keep-going", *FAST)
    assert result.exit_code == 0, result.output
    findings = pl.read_parquet(tmp_path / "audit" / "findings.parquet")
    assert findings["message"].str.contains("broken.jsonl:6").any()


def test_duplicated_items_are_reported_and_not_dropped(tmp_path: Path) -> None:
    lines = answers_table(tmp_path).read_text().splitlines()
    twice = write(tmp_path / "twice.jsonl", [*lines, lines[0]])
    assert run("audit", twice, "--out", tmp_path / "audit", *FAST).exit_code == 0
    findings = pl.read_parquet(tmp_path / "audit" / "findings.parquet")
    assert "repeated_items" in findings["screen"].to_list()
    scores = store.load(tmp_path / "audit", Scores)
    assert scores.filter(pl.col("metric") == "exact_match").height == len(lines) + 1


def test_a_killed_audit_leaves_the_old_folder(audited: Path) -> None:
    before = {path.name: store.sha256(path) for path in audited.glob("*.parquet")}
    command = [sys.executable, "-m", "saltus", "audit", str(scores_table(audited.parent)),
               "--out", str(audited), "--resamples", "99999"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as work:
        deadline = time.monotonic() + 60
        while not list(audited.parent.glob(".audit.draft-*/verdicts.parquet")):
            assert time.monotonic() < deadline
            assert work.poll() is None
        os.kill(work.pid, signal.SIGKILL)
    assert {path.name: store.sha256(path) for path in audited.glob("*.parquet")} == before


def test_an_unknown_kind_is_named_with_its_neighbours() -> None:
    result = run("list", "metric")
    assert result.exit_code == 1
    assert "did you mean metrics?" in result.output


@pytest.mark.parametrize("kind", ["curves", "metrics", "readers", "screens", "tables", "worlds"])
def test_list_shows_every_entry(kind: str) -> None:
    rows = [json.loads(line) for line in run("list", kind, "--json").stdout.splitlines()]
    assert len(rows) > 2
    assert all(all(value is not None for value in row.values()) for row in rows)


def test_the_python_call_returns_tables_and_shows_itself(tmp_path: Path) -> None:
    result = saltus.audit(answers_table(tmp_path), resamples=99)
    assert result.folder is None
    assert result.verdicts.height == 1
    assert "sums" in result._repr_html_()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.jsonl"]


def test_the_example_has_the_truths_it_was_made_with(tmp_path: Path) -> None:
    result = run("audit", "--example", "synthetic", "--out", tmp_path / "demo", "--json")
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    found = {(row["task"], row["verdict"]) for row in rows if row["axis"] == "params"}
    assert found == {
        ("synthetic_chance", "NO_EVIDENCE"),
        ("synthetic_gradual", "GRADUAL"),
        ("synthetic_metric_jump", "METRIC_ARTEFACT"),
        ("synthetic_true_break", "BREAK"),
    }
    assert "synthetic" in (tmp_path / "demo" / "report.html").read_text().lower()


def test_the_example_of_trained_families_shows_a_smooth_rise_and_a_break(tmp_path: Path) -> None:
    result = run("audit", "--example", "--out", tmp_path / "demo", "--json")
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    found = {row["task"]: row["verdict"] for row in rows if row["axis"] == "params"}
    assert found["addition_4_reversed"] == "BREAK"
    assert found["multiplication_2_reversed"] in ("METRIC_ARTEFACT", "INCONCLUSIVE", "GRADUAL")
    page = (tmp_path / "demo" / "report.html").read_text()
    assert "small transformers that Saltus trained itself" in page


@pytest.mark.parametrize("kind", ["pipe", "folder", "broken link"])
def test_what_is_no_file_ends_a_command_in_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "scores.jsonl"
    if kind == "pipe":
        os.mkfifo(path)  # whoever opened it would wait for ever
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "gone")
    for words in (["read", str(path)], ["read", str(answers_table(tmp_path)), "--models", path]):
        found = run(*words, "--out", tmp_path / "out")
        assert found.exit_code in (1, 2), found.output
        assert found.stderr.count("Error: ") == 1
        assert not (tmp_path / "out").exists()


def test_read_and_screen_say_what_was_found_in_full(tmp_path: Path) -> None:
    out = tmp_path / "audit"
    told = run("read", answers_table(tmp_path), "--out", out)
    assert "1 file (plain 1):" in told.stderr
    assert "answers, 0 reported values," in told.stderr
    assert "model_name" not in told.stdout  # the label says it
    shown = run("screen", out).stdout
    findings = [json.loads(line) for line in run("screen", out, "--json").stdout.splitlines()]
    for found in findings:
        assert found["message"] in shown
    assert shown.splitlines()[-1].startswith("findings: ")
