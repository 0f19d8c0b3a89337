"""What adaptive numbers of items save, and whether they cost the verdict anything.

Synthetic families of known truth are asked in three ways: a fixed number of items for every
model; adaptively, in rounds until the interval of a model's rate is narrow, the fixed number
being the cap; and a fixed number again that costs as much as the adaptive design did. All
three are judged as an audit would judge them. Beside it the bias of the plain mean that the
stopping rule causes, and that of the unbiased one.

    python benchmarks/bench_adaptive.py --families 20
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Callable

import numpy as np
import polars as pl

from saltus.estimates.estimate import estimate
from saltus.estimates.intervals import Interval, proportion
from saltus.estimates.sequential import mixture_interval
from saltus.metrics.score import score
from saltus.runners.allocate import Adaptive
from saltus.tables import Reported, empty
from saltus.verdicts.assemble import assemble
from saltus.verdicts.judge import judge
from saltus.worlds import WORLDS, Generated, Tokens, generate
from saltus.worlds.world import axis

CAP, SCALES, TAU, WIDTH = 400, 8, 0.02, 0.15
MOST = 600  # items with which every interval is narrow, also at a rate of 1/2
WANTED = {"i_power": "METRIC_ARTEFACT", "ii_break": "BREAK", "iv_noise_em": "NO_EVIDENCE"}
METRICS = ["exact_match", "token_error_rate"]


def right_of(made: Generated) -> np.ndarray:
    """(models, items) whether each answer is right."""
    rows = made.responses.select(
        (pl.col("output") == pl.col("targets").list.first()).alias("right")
    )
    return rows["right"].to_numpy().reshape(made.models.height, -1)


def stopped(right: np.ndarray, rule: Adaptive) -> int:
    """Items that a model is asked."""
    counts = right.cumsum()
    looks = range(rule.step, len(right), rule.step)
    return next((n for n in looks if rule.enough(n, int(counts[n - 1]))), len(right))


def verdict(made: Generated, items: list[int], seed: int) -> str:
    """What an audit of the first items of each model says on parameters."""
    models = made.models["model"].to_list()
    total = made.responses.height // len(models)
    kept = np.concatenate([np.arange(total) < count for count in items])
    scores = score(made.responses.filter(pl.Series(kept)), METRICS)
    estimates = estimate(scores.lazy(), empty(Reported), made.models)
    found = judge(assemble(estimates, None), np.random.default_rng(seed), resamples=199)
    return str(found.filter(axis="params")["verdict"].first())


def study(families: int, width: float) -> None:
    rule = Adaptive(width)
    totals: dict[str, list[float]] = defaultdict(list)
    for name, wanted in WANTED.items():
        hits: Counter[str] = Counter()
        asked, rng = [], np.random.default_rng(1)
        for number in range(families):
            made = generate(WORLDS[name], rng, scales=SCALES, items=CAP, tau=TAU)
            counts = [stopped(row, rule) for row in right_of(made)]
            equal = [sum(counts) // SCALES] * SCALES
            asked.append(sum(counts))
            for design, items in (
                ("fixed", [CAP] * SCALES),
                ("adaptive", counts),
                ("equal", equal),
            ):
                hits[design] += verdict(made, items, number) == wanted
        share = np.mean(asked) / (CAP * SCALES)
        totals["share"].append(share)
        print(f"{name}: asks {share:.2f} of the fixed design's; {wanted} found fixed "
              f"{hits['fixed']}/{families}, adaptive {hits['adaptive']}/{families}, fixed at "
              f"equal cost {hits['equal']}/{families}", flush=True)  # fmt: skip
    print(f"mean share asked: {np.mean(totals['share']):.2f}")


def cost_at_equal_width(families: int, rule: Adaptive) -> None:
    """Items asked of whole families against fixed designs whose intervals are as narrow.

    Two fixed designs promise the same width for every model: one that is looked at in between,
    with the same confidence sequence, and one that is looked at once, with an audit's.
    """
    rng = np.random.default_rng(2)
    looks = np.arange(rule.step, MOST + 1, rule.step)
    stops = np.zeros((len(looks), MOST + 1), bool)
    for place, look in enumerate(looks):
        stops[place, : look + 1] = rule.stops(int(look), np.arange(look + 1)) | (look == MOST)
    fixed = {
        "looked at in between": least(mixture_interval, rule.width),
        "looked at once": least(proportion, rule.width),
    }
    for name in WANTED:
        asked = []
        for _ in range(families):
            right = answers(name, rng)
            counts = right.cumsum(1)[:, looks - 1]
            ends = stops[np.arange(len(looks)), counts].argmax(1)
            items = looks[ends]
            asked.append(items.mean())
        mean, error = np.mean(asked), np.std(asked, ddof=1) / families**0.5
        shares = [f"{mean / n:.3f} +- {error / n:.3f} of {n} ({how})" for how, n in fixed.items()]
        print(f"{name}, {rule}: {mean:.0f} items per model, " + ", ".join(shares), flush=True)


def least(interval: Callable[..., Interval], width: float) -> int:
    """Fewest items with which no count of right answers leaves a wider interval."""
    bounds = ((n, interval(np.arange(n + 1), n)) for n in range(MOST, 0, -1))
    return next(n for n, (low, high) in bounds if (high - low).max() > width) + 1


def answers(name: str, rng: np.random.Generator) -> np.ndarray:
    """(models, items) whether each answer of a fresh family is right."""
    draw = WORLDS[name].function(rng, axis(rng, SCALES), MOST, TAU)
    assert isinstance(draw, Tokens)
    return np.asarray(draw.errors == 0)


def bias(draws: int, width: float) -> None:
    rule, rng = Adaptive(width), np.random.default_rng(0)
    known: dict[tuple[int, int], tuple[float, int]] = {}
    for rate in (0.01, 0.05, 0.2, 0.5, 0.9):
        ends = [end_of(rng.random(CAP) < rate, rule) for _ in range(draws)]
        plain = np.array([k / n for n, k in ends])
        for end in set(ends):
            known.setdefault(end, (rule.rate(*end), 0))
        mended = np.array([known[end][0] for end in ends])
        error = plain.std() / np.sqrt(draws)
        print(f"rate {rate}: items {np.mean([n for n, _ in ends]):.0f}, bias of the mean "
              f"{plain.mean() - rate:+.5f}, of the unbiased rate {mended.mean() - rate:+.5f} "
              f"(Monte Carlo error {error:.5f})", flush=True)  # fmt: skip


def end_of(right: np.ndarray, rule: Adaptive) -> tuple[int, int]:
    count = stopped(right, rule)
    return count, int(right[:count].sum())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--families", type=int, default=20)
    parser.add_argument("--wide", type=int, default=2000)
    parser.add_argument("--draws", type=int, default=4000)
    parser.add_argument("--width", type=float, default=WIDTH)
    given = parser.parse_args()
    for right in (None, 50):
        cost_at_equal_width(given.wide, Adaptive(given.width, right))
    bias(given.draws, given.width)
    study(given.families, given.width)


if __name__ == "__main__":
    main()
