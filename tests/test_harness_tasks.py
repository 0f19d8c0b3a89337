"""Our tasks in other harnesses: the same items there and here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from saltus.cli import main
from saltus.errors import SaltusError
from saltus.tasks import TASKS
from saltus.writers.lm_eval_task import write_lm_eval_task


def test_the_items_of_lm_eval_are_those_of_the_task(tmp_path: Path) -> None:
    items, config = write_lm_eval_task("addition_4_two_shot", 20, 3, tmp_path / "new")
    drawn = TASKS["addition_4_two_shot"].items(np.random.default_rng(3), 20)
    rows = [json.loads(line) for line in items.read_text().splitlines()]
    assert [row["prompt"] for row in rows] == drawn["prompt"].to_list()
    assert [[row["target"]] for row in rows] == drawn["targets"].to_list()
    facts = dict(line.split(": ", 1) for line in config.read_text().splitlines())
    read = {key: json.loads(value) for key, value in facts.items()}  # every value is JSON
    assert read["dataset_kwargs"]["data_files"]["test"] == str(items)
    assert read["generation_kwargs"]["until"] == ["\n"]
    assert read["generation_kwargs"]["max_gen_toks"] >= max(len(row["target"]) for row in rows)
    assert read["target_delimiter"] == " "


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    write_lm_eval_task("copying_4", 5, 0, tmp_path)
    with pytest.raises(SaltusError, match=r"holds copying_4\.jsonl already"):
        write_lm_eval_task("copying_4", 5, 1, tmp_path)


def test_lm_eval_itself_runs_them(tmp_path: Path) -> None:
    lm_eval = pytest.importorskip("lm_eval", reason="needs the extra lm-eval")
    from lm_eval.tasks import TaskManager

    write_lm_eval_task("copying_4", 8, 0, tmp_path / "tasks")
    found = lm_eval.simple_evaluate(
        model="dummy",
        tasks=["copying_4"],
        task_manager=TaskManager(include_path=str(tmp_path / "tasks")),
        log_samples=True,
    )
    drawn = TASKS["copying_4"].items(np.random.default_rng(0), 8)
    samples = found["samples"]["copying_4"]
    assert [row["arguments"][0][0] for row in samples] == drawn["prompt"].to_list()
    assert [row["target"] for row in samples] == [t[0] for t in drawn["targets"]]


def test_inspect_runs_them_and_its_log_reads_back(tmp_path: Path) -> None:
    inspect_ai = pytest.importorskip("inspect_ai", reason="needs the extra inspect")
    from saltus.readers.read import read
    from saltus.tasks.inspect_ai import items

    logs = inspect_ai.eval(
        items("copying_4", count=6, seed=1), model="mockllm/model", log_dir=str(tmp_path),
        display="none",
    )  # fmt: skip
    assert logs[0].status == "success"
    found: dict[str, list[str]] = {}
    read(
        [str(tmp_path)],
        require_facts=False,
        sink=lambda table, frame: found.setdefault(table.name, []).extend(
            frame["targets"].list.first().to_list() if table.name == "responses" else []
        ),
    )
    drawn = TASKS["copying_4"].items(np.random.default_rng(1), 6)
    assert sorted(found["responses"]) == sorted(t[0] for t in drawn["targets"])


def test_the_command_shows_and_writes_items(tmp_path: Path) -> None:
    shown = CliRunner().invoke(main, ["tasks", "addition_2", "--items", "3", "--json"])
    assert len(shown.stdout.splitlines()) == 3
    written = CliRunner().invoke(main, ["tasks", "addition_2", "--lm-eval", str(tmp_path)])
    assert written.exit_code == 0, written.output
    assert {path.name for path in tmp_path.iterdir()} == {"addition_2.jsonl", "addition_2.yaml"}
    assert "did you mean" in CliRunner().invoke(main, ["tasks", "additoin_2"]).output.lower()
