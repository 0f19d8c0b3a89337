"""`saltus models`, and the reading options --filter and --loss, as users type them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from saltus.cli import main


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def test_a_model_is_shown_with_its_sources_whatever_a_log_calls_it() -> None:
    status, out, _ = run("models", "EleutherAI__pythia-1.4b", "--json")
    (row,) = map(json.loads, out.splitlines())
    assert (status, row["model"], row["family"]) == (0, "pythia-1.4b", "Pythia")
    # 6 x 1,414,647,808 x 299,892,736,000, by hand
    assert row["flops"] == pytest.approx(2.5455e21, rel=1e-4)
    assert row["flops_source"] == "6ND"
    assert "arXiv 2304.01373" in row["source"]


def test_a_family_is_shown_by_a_part_of_its_name() -> None:
    _, out, _ = run("models", "gpt-3", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert {row["family"] for row in rows} >= {"GPT-3"}
    assert {row["flops_source"] for row in rows if row["family"] == "GPT-3"} == {"stated"}


def test_all_models_are_shown_without_a_name_and_unknown_ones_are_an_error() -> None:
    _, out, _ = run("models", "--json")
    assert len(out.splitlines()) > 200
    status, _, message = run("models", "pythia-1.5b")
    assert status == 1
    assert "no model or family named 'pythia-1.5b'; did you mean pythia-1.4b" in message


def rows(path: Path, *changes: dict[str, object]) -> str:
    base = {"model": "gpt2", "task": "t", "item": "1", "output": "4", "target": "4"}
    path.write_text("".join(json.dumps(base | change) + "\n" for change in changes))
    return str(path)


def test_several_filters_stop_the_road_until_one_is_named(tmp_path: Path) -> None:
    log = rows(tmp_path / "a.jsonl", {"filter": "strict", "output": "x"}, {"filter": "loose"})
    out = str(tmp_path / "out")
    status, _, message = run("score", log, "--out", out)
    assert status == 1
    assert "under several filters, once for each of loose, strict" in message
    assert "--filter NAME" in message
    assert not Path(out).exists(), "nothing half written"
    status, printed, _ = run(
        "score", log, "--filter", "loose", "--out", out, "--metric", "exact_match", "--json"
    )
    assert status == 0
    assert [json.loads(line)["value"] for line in printed.splitlines()] == [1.0]


def test_losses_are_read_from_their_own_file(tmp_path: Path) -> None:
    log = rows(tmp_path / "a.jsonl", {})
    losses = tmp_path / "loss.csv"
    losses.write_text("model,loss,loss_name\ngpt2,3.1,c4\n")
    command = ("read", log, "--loss", str(losses), "--out", str(tmp_path / "out"), "--json")
    _, out, _ = run(*command)
    assert json.loads(out)["loss"] == 3.1
    losses.write_text("model,loss,loss_name\ngpt2,2.9,c4\n")
    _, out, _ = run(*command)
    assert json.loads(out)["loss"] == 2.9, "a changed file is read again"
