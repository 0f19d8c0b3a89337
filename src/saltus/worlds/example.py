"""The example that ships with Saltus: a family of our own making, said to be synthetic.

Eight sizes from 10M to 10B parameters, three training seeds each, four tasks whose truth is
known: a jump that only exact match sees, a jump that every metric sees, a gradual rise, and
multiple choice that stays at chance.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from saltus.worlds.choices import draw_choices
from saltus.worlds.respond import model_table, respond
from saltus.worlds.tokens import draw_tokens
from saltus.worlds.world import DECADES, SMALLEST, Draw

FloatArray = NDArray[np.float64]

FAMILY = "Synthetic-family"
PARAMS = (1e7, 3e7, 7e7, 2e8, 5e8, 1.4e9, 4e9, 1e10)
SEEDS, ITEMS, TAU = 3, 400, 0.03


def example(rng: np.random.Generator) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The example's `models` and `responses`.

    Args:
        rng: source of randomness; the shipped file was made with `default_rng(0)`.

    Returns:
        24 models (8 sizes, 3 seeds) and their answers to 4 tasks of 400 items.
    """
    params = np.repeat(PARAMS, SEEDS)
    names = [f"{FAMILY}-{_size(value)}" for value in params]
    models = model_table(names, FAMILY, params, [*range(SEEDS)] * len(PARAMS), "example")
    labels = models["model"].to_list()
    responses = [
        _rounded(respond(draw, rng, task, labels))
        for task, draw in _tasks(rng, np.log10(params) - SMALLEST).items()
    ]
    return models, pl.concat(responses)


def _size(params: float) -> str:
    return f"{params / 1e9:.3g}B" if params >= 1e9 else f"{params / 1e6:.3g}M"


def _tasks(rng: np.random.Generator, x: FloatArray) -> dict[str, Draw]:
    """Behaviour on each task; the seeds of a size differ by the model noise TAU."""
    left = DECADES - x
    flat_then_falling = 2.5 * np.minimum(left, 1.5) + 0.1 * np.maximum(left - 1.5, 0)
    return {
        "synthetic_metric_jump": draw_tokens(
            rng, np.log(0.045) + 1.5 * left, 8, ITEMS, TAU, item_sd=0.4
        ),
        "synthetic_true_break": draw_tokens(
            rng, np.log(0.035) + flat_then_falling, 8, ITEMS, TAU, DECADES - 1.5
        ),
        "synthetic_gradual": draw_tokens(rng, np.log(0.12) + 0.6 * left, 2, ITEMS, TAU),
        "synthetic_chance": draw_choices(rng, np.zeros(x.size), ITEMS, TAU),
    }


def _rounded(responses: pl.DataFrame) -> pl.DataFrame:
    """Log-probabilities to two decimals, so that the shipped file stays small."""
    return responses.with_columns(pl.col("choice_logprobs").list.eval(pl.element().round(2)))
