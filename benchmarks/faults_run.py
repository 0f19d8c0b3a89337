"""10,000 requests of `saltus run` against a server that fails in every way it can.

Every answer must be there once and be the one that the server's model gives, every missing
number must be counted, and no request that was answered well may have been sent again. Ends
with status 1 where one of these does not hold.

    python benchmarks/faults_run.py --requests 10000
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fake_server import FAULTS, Fake, FakeServer, answer, logprob
from reading import read_tables
from saltus.models import pace
from saltus.models.served import Served
from saltus.runners.evaluate import Outcome, Plan, evaluate
from saltus.tasks import TASKS

TASK = "addition_3"
SIZES = ("1e6", "1e8")
PARTS = 2  # an answer and the log-probability of its target
RARE = {"stall": 0.002, "429 date": 0.002}  # a second each
USUAL = 0.02


def collect(requests: int, out: Path, seed: int) -> tuple[Fake, Outcome]:
    faults = {name: RARE.get(name, USUAL) for name in FAULTS}
    with FakeServer(faults=faults, seed=seed) as server:
        models = [
            Served(name=f"fake-{size}", family="Fake", params=float(size), url=server.url,
                   concurrency=16, timeout_seconds=5, tries=12)
            for size in SIZES
        ]  # fmt: skip
        plan = Plan(models, [TASK], requests // (len(SIZES) * PARTS), self_test="off")
        return server.fake, evaluate(plan, out, lambda event: None)


def faults_found(fake: Fake, outcome: Outcome, out: Path, items: pl.DataFrame) -> list[str]:
    """What is wrong; empty: nothing."""
    found = []
    tables = read_tables([out])
    rows = tables.responses
    prompts = dict(items.select("item", "prompt").iter_rows())
    times = Counter(rows.select("model", "item").rows())
    if not outcome.complete or set(times.values()) != {1}:
        found.append(f"complete: {outcome.complete}; times an answer is there: "
                     f"{Counter(times.values())}")  # fmt: skip
    if len(times) != len(SIZES) * items.height:
        found.append(f"{len(times)} answers instead of {len(SIZES) * items.height}")
    wrong = [row for row in rows.iter_rows(named=True) if not right(row, prompts)]
    if wrong:
        found.append(f"{len(wrong)} answers are others than the model's, such as {wrong[0]}")
    missing = rows["target_logprobs"].null_count()
    counted = sum(row["count"] for row in tables.named("read.run_missing"))
    if missing != counted:
        found.append(f"{missing} targets without numbers, {counted} counted")
    again = sum(1 for count in fake.sent.values() if count > 1)
    if again > len(SIZES):  # the probe of each model may be sent again
        found.append(f"{again} requests that were answered well were sent again")
    mismatched = sum(row["count"] for row in tables.named("read.run_mismatch"))
    print(f"{rows.height} answers, {missing} without log-probabilities, {mismatched} with token "
          f"counts that contradict what was sent, {again} sent again")  # fmt: skip
    return found


def right(row: dict[str, Any], prompts: dict[str, str]) -> bool:
    name, prompt = row["model"].split(" ")[0], prompts[row["item"]]
    target = row["targets"][0]
    wanted = [logprob(name, prompt + target[:n], letter) for n, letter in enumerate(target)]
    given = row["target_logprobs"]
    same = given is None or np.allclose(given, wanted, atol=1e-12)
    return same and row["output"] == answer(Fake(), name, prompt, {"max_tokens": 32})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    pace.FIRST_WAIT = 0.01  # the server is no real one: nothing is gained by waiting
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        fake, outcome = collect(given.requests, Path(folder) / "run", given.seed)
        count = given.requests // (len(SIZES) * PARTS)
        items = TASKS[TASK].items(np.random.default_rng(0), count)
        found = faults_found(fake, outcome, Path(folder) / "run", items)
    print(f"{fake.requests} requests received in {time.perf_counter() - start:.0f} s, faults met: "
          f"{dict(sorted(fake.met.items()))}")  # fmt: skip
    for fault in found:
        print("WRONG:", fault)
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
