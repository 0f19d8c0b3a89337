"""Ten million pairs from Parquet in chunks: peak memory and pairs per second.

    python benchmarks/bench_memory.py [--pairs 10000000] [--chunk 200000]

Bar: below 1.5 GB. The pairs are written first, by a process of their own, to a folder that is
removed at the end; a peak that a parent had is not ours, so VmHWM is read, not `ru_maxrss`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from saltus import kernels
from saltus.metrics import overlap

BAR = 1.5e9
FILES = 20


def write(folder: Path, pairs: int) -> None:
    """Answers of 1 to 12 words in twenty files, each target with a few words changed."""
    names = np.array([f"word{n}" for n in range(2000)])
    for number in range(FILES):
        rng = np.random.default_rng(number)
        count = pairs // FILES
        sizes = rng.integers(1, 13, count)
        want = rng.integers(0, len(names), sizes.sum())
        have = np.where(rng.random(want.size) < 0.1, rng.integers(0, len(names), want.size), want)
        ends = np.cumsum(sizes)[:-1]
        frame = pl.DataFrame(
            {
                "output": [" ".join(names[part]) for part in np.split(have, ends)],
                "target": [" ".join(names[part]) for part in np.split(want, ends)],
            }
        )
        frame.write_parquet(folder / f"{number:02}.parquet")


def peak() -> int:
    """Bytes that this process had at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def score(folder: Path, chunk: int) -> None:
    start, clock = time.process_time(), time.perf_counter()
    count, total = 0, 0.0
    for path in sorted(folder.glob("*.parquet")):
        frame = pl.read_parquet(path)
        for part in frame.iter_slices(chunk):
            output, target = part["output"].to_list(), part["target"].to_list()
            found = overlap.rouge(kernels.rouge(output, target), "Lsum").f
            edits = kernels.word_edits(output, target)
            count += len(found)
            total += float(found.sum()) + float(edits[:, 2].sum())
    cpu, wall = time.process_time() - start, time.perf_counter() - clock
    verdict = "ok" if peak() < BAR else "ABOVE THE BAR"
    print(f"{count:,} pairs, ROUGE and word edits: {cpu:.0f} CPU s, {wall:.0f} s, "
          f"peak {peak() / 1e9:.2f} GB {verdict} (sum {total:.0f})")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=10_000_000)
    parser.add_argument("--chunk", type=int, default=200_000)
    parser.add_argument("--step", choices=["write", "score"])
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.step == "write":
        write(options.folder, options.pairs)
    elif options.step == "score":
        score(options.folder, options.chunk)
    else:
        with tempfile.TemporaryDirectory() as folder:
            for step in ("write", "score"):
                subprocess.run(
                    [sys.executable, __file__, "--step", step, "--folder", folder,
                     "--pairs", str(options.pairs), "--chunk", str(options.chunk)], check=True,
                )  # fmt: skip


if __name__ == "__main__":
    main()
