"""Scores of ragged choices per CPU second: chunks of items against a loop over items.

    python benchmarks/bench_choices.py [--items 1000000]

Brier sum, log loss, grade, probability of the right choice and expected calibration error,
on items of 2 to 10 choices. The peer is the loop most harnesses run: NumPy calls per item.
Bar: 40 times its rate, agreement to 1e-13.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from saltus.metrics.metric import METRICS, Ragged

CHUNK = 20_000
BAR = 40.0
NAMES = (
    "brier_sum", "choice_log_loss", "multiple_choice_grade", "correct_choice_probability",
)  # fmt: skip
ECE = "expected_calibration_error"
BINS = 15


def items(count: int, rng: np.random.Generator) -> tuple[Ragged, np.ndarray]:
    lengths = rng.integers(2, 11, count)
    return Ragged(rng.gumbel(size=lengths.sum()) * 2 - 60, lengths), rng.integers(0, lengths) * 1.0


def loop(choices: Ragged, right: np.ndarray) -> dict[str, np.ndarray]:
    """One item at a time."""
    scores = np.empty((len(right), len(NAMES)))
    confidence = np.empty(len(right))
    start = 0
    for item, (length, target) in enumerate(zip(choices.lengths, right.astype(int), strict=True)):
        logs = choices.flat[start : start + length]
        start += length
        p = np.exp(logs - np.max(logs))
        p /= p.sum()
        truth = np.zeros(length)
        truth[target] = 1.0
        ties = np.flatnonzero(logs == logs.max())
        grade = (target in ties) / len(ties)
        scores[item] = np.sum((p - truth) ** 2), -np.log(p[target]), grade, p[target]
        confidence[item] = p.max()
    place = np.searchsorted(np.arange(1, BINS) / BINS, confidence, side="right")
    gaps = [
        abs(confidence[place == b].mean() - scores[place == b, 2].mean()) * np.mean(place == b)
        for b in range(BINS)
        if (place == b).any()
    ]
    return dict(zip(NAMES, scores.T, strict=True)) | {ECE: np.array([sum(gaps)])}


def chunks(choices: Ragged, right: np.ndarray) -> dict[str, np.ndarray]:
    """As the score stage does it: the metrics of a chunk share what they work out."""
    ends = np.concatenate([[0], np.cumsum(choices.lengths)])
    found: dict[str, list[np.ndarray]] = {name: [] for name in NAMES}
    whole = Ragged(choices.flat, choices.lengths)
    for first in range(0, len(right), CHUNK):
        last = min(first + CHUNK, len(right))
        part = Ragged(choices.flat[ends[first] : ends[last]], choices.lengths[first:last])
        index = right[first:last]
        for name in NAMES:
            found[name].append(METRICS[name].compute(part, index).value)
    values = {name: np.concatenate(parts) for name, parts in found.items()}
    return values | {ECE: np.array([METRICS[ECE].compute_set(whole, right).value])}


def timed(function, *arguments):  # type: ignore[no-untyped-def]
    start = time.process_time()
    result = function(*arguments)
    return result, time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--peer-items", type=int, default=40_000)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    few, many = items(options.peer_items, rng), items(options.items, rng)
    peer, peer_time = timed(loop, *few)
    small = chunks(*few)
    gap = max(float(np.abs(peer[name] - small[name]).max()) for name in (*NAMES, ECE))
    times = [timed(chunks, *many)[1] for _ in range(3)]
    rates = options.peer_items / peer_time, options.items / min(times)
    ratio = rates[1] / rates[0]
    print(f"loop over items      {rates[0]:12,.0f} items per CPU second")
    print(f"chunks of {CHUNK}      {rates[1]:12,.0f} items per CPU second")
    print(f"ratio {ratio:.0f} (bar {BAR:.0f}), largest difference {gap:.1e} (bar 1e-13)")
    print("ok" if ratio >= BAR and gap <= 1e-13 else "BELOW THE BAR")


if __name__ == "__main__":
    main()
