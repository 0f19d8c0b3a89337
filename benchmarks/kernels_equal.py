"""Every score against the field's packages: any difference is an error.

    pip install saltus[bench]
    python benchmarks/kernels_equal.py [--pairs 20000] [--seed 0] [--plain]

TER takes most of the time (minutes): sacrebleu is slow there.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from saltus import kernels
from saltus.kernels import plain

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from kernel_pairs import pairs
from peers import COMPARISONS


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plain", action="store_true", help="the plain Python, not the C")
    options = parser.parse_args()
    outputs, targets = pairs(options.pairs, options.seed)
    worst = 0.0
    for name, (peer, largest_difference) in COMPARISONS.items():
        start = time.perf_counter()
        difference = largest_difference(plain if options.plain else kernels, outputs, targets)
        worst = max(worst, difference)
        seconds = time.perf_counter() - start
        print(f"{name:28} {peer or 'script':12} {options.pairs:,} pairs  "
              f"largest difference {difference}  {seconds:.0f} s", flush=True)  # fmt: skip
    sys.exit(worst != 0.0)


if __name__ == "__main__":
    main()
