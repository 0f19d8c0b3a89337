"""How often each screen speaks of families in which nothing is wrong.

    python benchmarks/screen_alarms.py [--families 200] [--items 200] [--losses 1000] [--seed 0]

A family has 8 sizes and answers the tasks of every world (smooth, broken and flat truths), a task
of short replies whose parser fails at the same rate for all sizes, and the same tasks again as
means with their standard errors, as lm-evaluation-harness prints them. It has a pre-training loss,
and that of another text as one more task. Its models share a noise of their own. A screen's rate is
the share of families of which it says anything, notes apart. `restated_losses` is asked again about
many pairs of texts, and of the same text twice, with losses that are less and less precise.
"""

from __future__ import annotations

import argparse
from collections import Counter
from itertools import product

import numpy as np
import polars as pl

from saltus.estimates.estimate import estimate
from saltus.metrics.extract import named
from saltus.metrics.score import score
from saltus.screens.screen import SCREENS, Evidence, screen, screen_estimates
from saltus.tables import Estimates, Models, Reported, Responses, Scores, Sets, conform, empty
from saltus.worlds.respond import generate
from saltus.worlds.world import WORLDS

SIZES = 8
TAU = 0.03  # model noise on the latent scale
FAILING = 0.02  # replies without an answer, whatever the size
CHOICES = 4
LOSS_NOISE = (0.003, 0.01, 0.03)  # nats by which a model's loss differs from its family's law
SIZES_ASKED = (6, 8, 12)


def answers(rng: np.random.Generator, items: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Models, and their answers to one task of each world."""
    made = [
        generate(world, rng, scales=SIZES, items=items, tau=TAU, family="Clean") for world in WORLDS
    ]
    responses = pl.concat([one.responses for one in made]).with_columns(finish=pl.lit("stop"))
    return made[0].models, conform(responses, Responses)


def replies(rng: np.random.Generator, models: pl.DataFrame, items: int) -> pl.DataFrame:
    """Sentences with a number at their end, or none; the larger the model, the more are right."""
    rows = []
    for place, model in enumerate(models["model"]):
        right = rng.random(items) < (place + 1) / (SIZES + 1)
        given = np.where(right, 0, rng.integers(1, CHOICES, items))
        said = rng.random(items) >= FAILING
        rows += [
            {
                "model": model, "task": "replies", "item": str(item), "item_hash": f"reply {item}",
                "targets": [str(item % 97)], "sample": 0,
                "output": f"so it is {(item + wrong) % 97}" if known else "I do not know",
            }
            for item, (wrong, known) in enumerate(zip(given, said, strict=True))
        ]  # fmt: skip
    return conform(pl.DataFrame(rows), Responses)


def aggregates(scores: pl.DataFrame) -> pl.DataFrame:
    """Means of zero-or-one scores with sqrt(p (1 - p) / (n - 1)), under other task names."""
    shares = scores.filter(pl.col("metric").is_in(["exact_match", "acc"]), pl.col("value") <= 1)
    means = shares.group_by("model", "task", maintain_order=True).agg(
        pl.col("value").mean(), n=pl.len()
    )
    error = (pl.col("value") * (1 - pl.col("value")) / (pl.col("n") - 1)).sqrt()
    return conform(
        means.select(
            "model", pl.format("{} reported", "task").alias("task"), pl.lit("acc").alias("metric"),
            "value", error.alias("stderr"), pl.lit("results.json").alias("source"),
        ),
        Reported,
    )  # fmt: skip


def loss_of_a_text(rng: np.random.Generator, params: np.ndarray) -> np.ndarray:
    """A loss that falls with size from a floor, as published laws do (Hoffmann et al. 2022)."""
    floor, height, exponent = rng.uniform(0.5, 2.5), rng.uniform(0.5, 2.0), rng.uniform(0.25, 0.4)
    return floor + height * (params / params.min()) ** -exponent


def loss_of_the_task(rng: np.random.Generator, models: pl.DataFrame) -> pl.DataFrame:
    """The loss of another text, reported as a task."""
    values = loss_of_a_text(rng, models["params"].to_numpy())
    values += LOSS_NOISE[0] * rng.standard_normal(values.size)
    rows = models.select("model", task=pl.lit("text"), metric=pl.lit("target_log_loss"))
    columns = {"value": pl.Series(values), "source": pl.lit("results.json")}
    return conform(rows.with_columns(**columns), Reported)


def restated(rng: np.random.Generator, sizes: int, noise: float, *, same: bool) -> bool:
    """Whether `restated_losses` speaks of one family, whose task is the same text or another."""
    params = 10 ** np.sort(rng.uniform(7.8, 10.1, sizes))
    loss = loss_of_a_text(rng, params)
    other = rng.uniform(0.2, 1.5) * loss if same else loss_of_a_text(rng, params)
    rows = pl.DataFrame(
        {
            "model": [str(size) for size in params], "family": "Clean", "task": "text",
            "params": params, "loss": loss, "metric": "bits_per_byte", "missing_items": 0,
            "value": other + noise * rng.standard_normal(sizes),
        }
    )  # fmt: skip
    return screen_estimates("restated_losses", conform(rows, Estimates)).height > 0


def spoken(rng: np.random.Generator, items: int) -> set[str]:
    """The screens that have something to say about one clean family."""
    models, responses = answers(rng, items)
    (losses,) = rng.spawn(1)  # so that all else is drawn as without them
    loss = loss_of_a_text(losses, models["params"].to_numpy())
    models = conform(models.with_columns(loss=pl.Series(loss)), Models)
    short = replies(rng, models, items)
    scores = score(responses)
    reported = pl.concat([aggregates(scores), loss_of_the_task(losses, models)])
    extracted = score(short, ["exact_match"], named("last_number", "missing"))
    both = conform(pl.concat([scores, extracted]), Scores).lazy()
    made = estimate(both, reported, models, empty(Sets))
    found = screen(Evidence(models, pl.concat([responses, short]).lazy(), reported, made))
    return set(found.filter(pl.col("severity") != "note")["screen"])


def main() -> None:
    """Print one line per screen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", type=int, default=200)
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--losses", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    for number in range(options.families):
        counts.update(spoken(np.random.default_rng([options.seed, number]), options.items))
    tasks = 2 * len(WORLDS) + 2
    print(f"{options.families} families of {SIZES} sizes on {tasks} tasks of {options.items} items")
    for entry in SCREENS:
        print(f"{entry.name:<28}{counts[entry.name] / options.families:>8.3f}")
    print(f"restated_losses, {options.losses} families: of another text, of the same text")
    for sizes, noise in product(SIZES_ASKED, LOSS_NOISE):
        rng = np.random.default_rng([options.seed, sizes, int(1000 * noise)])
        rates = [
            np.mean([restated(rng, sizes, noise, same=same) for _ in range(options.losses)])
            for same in (False, True)
        ]
        print(f"{sizes:>4} sizes, {noise:g} nats", *(f"{rate:>8.3f}" for rate in rates))


if __name__ == "__main__":
    main()
