"""Sample logs to columns, as a ratio to `json.loads` per line of the same file in the same run.

    python benchmarks/bench_readers.py [--megabytes 200] [--runs 3]

Bars: at least 1.5 times `json.loads` for samples of lm-evaluation-harness, with all that a user
gets: SHA-256 of the file, keys that come twice looked for, and the columns kept in the cache; the
second reading at least 20 times as fast as the first; and at most 60 MB of peak memory above the
start for a file of any size (batches are dropped as they come, as the audit folder writes them).
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from saltus.readers.cache import clear
from saltus.readers.files import SETTLED_SECONDS, _remembered
from saltus.readers.read import read
from saltus.tables import Table

WORDS = ("the", "a", "water", "train", "left", "seven", "model", "question", "city", "because")
DATE = "2026-01-31T12-00-00.000000"


def _text(rng: np.random.Generator, words: int) -> str:
    """Words, with line breaks about as often as in real prompts, which JSON has to escape."""
    spaces = np.where(rng.random(words) < 0.08, "\n", " ")
    return "".join(np.char.add(rng.choice(WORDS, words), spaces)).strip()


def choice_line(number: int, prompt: str, rng: np.random.Generator) -> dict[str, Any]:
    """Four choices, each with the whole prompt, as the harness writes them."""
    choices = [_text(rng, 4) for _ in range(4)]
    pairs = [[f"{value:.4f}", "False"] for value in -20 * rng.random(4)]
    gold = int(rng.integers(4))
    return {
        "doc_id": number, "doc": {"question": prompt[-200:], "choices": choices, "gold": gold},
        "target": str(gold),
        "arguments": {f"gen_args_{i}": {"arg_0": prompt, "arg_1": f" {c}"}
                      for i, c in enumerate(choices)},
        "resps": [[pair] for pair in pairs], "filtered_resps": pairs, "filter": "none",
        "metrics": ["acc", "acc_norm"], "doc_hash": f"{number:064x}",
        "prompt_hash": f"{number:064x}", "target_hash": f"{gold:064x}",
        "acc": float(rng.integers(2)), "acc_norm": float(rng.integers(2)),
    }  # fmt: skip


def text_line(number: int, prompt: str, rng: np.random.Generator) -> dict[str, Any]:
    """One generated answer under one filter."""
    reply = _text(rng, 150)
    return {
        "doc_id": number, "doc": {"question": prompt[-200:], "answer": reply}, "target": "42",
        "arguments": {"gen_args_0": {"arg_0": prompt * 3, "arg_1": {"until": ["Q:"]}}},
        "resps": [[reply]], "filtered_resps": ["42"], "filter": "strict-match",
        "metrics": ["exact_match"], "doc_hash": f"{number:064x}",
        "prompt_hash": f"{number:064x}", "target_hash": f"{42:064x}",
        "exact_match": float(rng.integers(2)),
    }  # fmt: skip


def plain_line(number: int, prompt: str, rng: np.random.Generator) -> dict[str, Any]:
    """One row of a plain table of answers."""
    return {
        "model": "gpt2", "task": "t", "item": str(number), "output": _text(rng, 60), "target": "42",
        "question": prompt,
    }  # fmt: skip


KINDS: dict[str, Callable[[int, str, np.random.Generator], dict[str, Any]]] = {
    "samples, choices": choice_line,
    "samples, text": text_line,
    "plain answers": plain_line,
}


def write_log(folder: Path, kind: str, megabytes: int) -> Path:
    """A log of the wanted size; its lines come in blocks of 500 with other numbers."""
    rng = np.random.default_rng(0)
    prompts = [_text(rng, 160) for _ in range(50)]
    place = folder / "gpt2"
    place.mkdir(parents=True, exist_ok=True)
    path = place / (f"samples_t_{DATE}.jsonl" if "samples" in kind else "answers.jsonl")
    made = [KINDS[kind](i, prompts[i % 50], rng) for i in range(500)]
    key = "item" if kind == "plain answers" else "doc_id"
    number = 0
    with path.open("w", encoding="utf-8") as file:
        while file.tell() < megabytes << 20:
            for row in made:
                row[key] = str(number) if key == "item" else number
                file.write(json.dumps(row) + "\n")
                number += 1
    return path


def parse_lines(path: Path) -> int:
    """The yardstick: every line parsed, a few of its fields kept."""
    kept: list[tuple[Any, ...]] = []
    with path.open("rb") as file:
        for line in file:
            row = json.loads(line)
            kept.append((row.get("doc_id"), row.get("target"), row.get("filtered_resps")))
    return len(kept)


def read_columns(path: Path) -> int:
    """The reader, digest of the file and all; batches are dropped as they come."""
    rows = 0

    def sink(table: type[Table], frame: pl.DataFrame) -> None:
        nonlocal rows
        rows += frame.height if table.name == "responses" else 0

    read([str(path)], sink=sink, require_facts=False)
    return rows


def first_reading(path: Path) -> int:
    """The same with an empty cache, which is filled, and no digest remembered."""
    _remembered.cache_clear()
    clear()
    return read_columns(path)


def _highest() -> int:
    """Highest resident set of this process, KB (Linux); ru_maxrss would count the parent's."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def _peak(path: Path, queue: Any) -> None:
    small = path.with_name("small" + path.suffix)
    with path.open("rb") as file:
        small.write_bytes(b"".join(next(file) for _ in range(20)))
    read([f"gpt2={small}"], sink=lambda *_: None, require_facts=False, task="t")  # warm
    before = _highest()
    read_columns(path)
    queue.put((_highest() - before) / 1024)


def peak_megabytes(path: Path) -> float:
    """Peak memory above the start, in a process of its own."""
    context = get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_peak, args=(path, queue))
    process.start()
    peak: float = queue.get()
    process.join()
    return peak


def seconds(work: Callable[[Path], int], path: Path) -> float:
    """CPU seconds of one run."""
    start = time.process_time()
    work(path)
    return time.process_time() - start


def measured(megabytes: int, runs: int) -> Iterator[str]:
    """One line per kind of log."""
    heads = ("json.loads/s", 14), ("saltus/s", 10), ("ratio", 7), ("second", 8), ("peak MB", 9)
    yield f"{'log':<18}{'MB':>6}" + "".join(f"{name:>{width}}" for name, width in heads)
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            path = write_log(Path(folder), kind, megabytes)
            os.environ["SALTUS_CACHE"] = str(Path(folder, "cache"))
            time.sleep(SETTLED_SECONDS)  # a log that has just been written is never looked up
            size = path.stat().st_size / 2**20
            works = (parse_lines, first_reading, read_columns)
            times = [[seconds(work, path) for work in works] for _ in range(runs)]
            yardstick, first, second = (min(column) for column in zip(*times, strict=True))
            ratios = f"{yardstick / first:>7.2f}{first / second:>8.1f}"
            rates = f"{size / yardstick:>14.0f}{size / first:>10.0f}"
            clear()
            yield f"{kind:<18}{size:>6.0f}{rates}{ratios}{peak_megabytes(path):>9.0f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    for line in measured(options.megabytes, options.runs):
        print(line, flush=True)
