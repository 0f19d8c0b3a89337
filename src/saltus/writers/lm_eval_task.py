"""Our tasks for lm-evaluation-harness 0.4: a YAML file and its items, for `--include_path`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl

from saltus.errors import SaltusError
from saltus.tasks import TASKS
from saltus.tasks.task import Task

ROOM = 8  # tokens beyond the bytes of the longest target, which no tokenizer exceeds


def write_lm_eval_task(name: str, count: int, seed: int, folder: Path) -> list[Path]:
    """Write one task so that `lm-eval run --include_path FOLDER --tasks NAME` runs it.

    Args:
        name: as in `saltus list tasks`.
        count: items.
        seed: of the items.
        folder: where to write; made where it is absent.

    Returns:
        The items and the configuration that names them.

    Raises:
        SaltusError: there are not that many items, or a file is there already.
    """
    drawn = TASKS[name].items(np.random.default_rng(seed), count)
    paths = [folder / f"{name}.jsonl", folder / f"{name}.yaml"]
    if there := [path.name for path in paths if path.exists()]:
        raise SaltusError(f"{folder} holds {there[0]} already; choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    rows = drawn.with_columns(target=pl.col("targets").list.first())
    rows.select("item", "prompt", "target", "cluster").write_ndjson(paths[0])
    lines = [f"{key}: {json.dumps(value)}" for key, value in _facts(name, seed, rows, paths[0])]
    paths[1].write_text("\n".join(lines) + "\n", encoding="utf-8")
    return paths


def _facts(name: str, seed: int, rows: pl.DataFrame, items: Path) -> list[tuple[str, object]]:
    entry: Task = TASKS[name]
    longest = max(len(target.encode()) for target in rows["target"])
    ends = rows.row(0, named=True)["stop"]
    metric = {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}
    bare = rows["prompt"].str.ends_with("=").all()
    return [
        ("task", name),
        ("dataset_path", "json"),
        ("dataset_kwargs", {"data_files": {"test": str(items.resolve())}}),
        ("test_split", "test"),
        ("output_type", "generate_until"),
        ("doc_to_text", "prompt"),
        ("doc_to_target", "target"),
        ("target_delimiter", "" if bare else " "),
        (
            "generation_kwargs",
            {
                "until": ends or ["\n"],
                "max_gen_toks": longest + ROOM,
                "do_sample": False,
            },
        ),
        ("metric_list", [metric]),
        ("metadata", {"version": 1.0, "seed": seed, "source": entry.source}),
    ]
