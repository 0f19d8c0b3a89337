"""From a draw to the tables of the road: `models` and `responses`, as from a user's logs."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import polars as pl
from numpy.typing import NDArray

from saltus.tables import Models, Responses, conform
from saltus.worlds.world import SMALLEST, Choices, Draw, Tokens, World, axis

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

TOKENS_PER_PARAMETER = 20  # Hoffmann et al. (2022), arXiv 2203.15556
FLOPS_PER_TOKEN_AND_PARAMETER = 6  # Kaplan et al. (2020), arXiv 2001.08361, sec. 2.1


@dataclass(frozen=True)
class Facts:
    """What is true of a generated family.

    Args:
        world: name of the world.
        truth: "smooth", "break" or "none".
        x: (scales,) log10 parameters.
        latent: (scales,) ln of the mean per-token loss, or logit margin; no model noise.
        threshold: log10 parameters at the break, NaN without one.
        tau: standard deviation of the model noise on the latent scale.
    """

    world: str
    truth: str
    x: FloatArray
    latent: FloatArray
    threshold: float
    tau: float


@dataclass(frozen=True)
class Generated:
    """A synthetic family: `tables.Models`, `tables.Responses`, and the truth about it."""

    models: pl.DataFrame
    responses: pl.DataFrame
    facts: Facts


def generate(
    world: World,
    rng: np.random.Generator,
    *,
    scales: int,
    items: int,
    tau: float,
    family: str | None = None,
) -> Generated:
    """One family of a world as a user's logs would show it.

    Args:
        world: entry of `WORLDS`; its name becomes the name of the task.
        rng: source of randomness; the same state gives the same family in `generate_arrays`.
        scales: models S, at least 2.
        items: items n, at least 2.
        tau: standard deviation of the model noise on ln loss or on the logit margin.
        family: name of the family, "Synthetic-<world>" if left out.
    """
    x = axis(rng, scales)
    draw = world.function(rng, x, items, tau)
    family = family or f"Synthetic-{world.name}"
    names = [f"{family}-{index}" for index in range(scales)]
    models = model_table(names, family, 10 ** (SMALLEST + x), None, world.name)
    facts = Facts(
        world.name, world.truth, SMALLEST + x, draw.latent, SMALLEST + draw.threshold, tau
    )
    return Generated(models, respond(draw, rng, world.name, names), facts)


def model_table(
    names: list[str], family: str, params: FloatArray, seeds: list[int] | None, source: str
) -> pl.DataFrame:
    """`tables.Models` of compute-optimal models: 20 tokens a parameter, 6 N D FLOPs."""
    tokens = TOKENS_PER_PARAMETER * params
    labels = names if seeds is None else [f"{n}@seed{s}" for n, s in zip(names, seeds, strict=True)]
    columns = {
        "model": labels,
        "model_name": names,
        "family": [family] * len(names),
        "params": params,
        "tokens": tokens,
        "flops": FLOPS_PER_TOKEN_AND_PARAMETER * params * tokens,
        "seed": seeds,
        "source": [f"synthetic, saltus.worlds {source}"] * len(names),
    }
    return conform(pl.DataFrame({k: v for k, v in columns.items() if v is not None}), Models)


def respond(draw: Draw, rng: np.random.Generator, task: str, models: list[str]) -> pl.DataFrame:
    """`tables.Responses` of a draw.

    Token answers become digits with spaces between them; a wrong digit is one that does not
    occur in its target, so the word edit distance is the number of wrong tokens. Choices are
    put in random order. The extra randomness is drawn after the behaviour itself.

    Args:
        draw: what a world's function returned.
        rng: source of the digits, the places of the errors and the order of the choices.
        task: name of the task.
        models: (scales,) labels.
    """
    answers = _token_answers(draw, rng) if isinstance(draw, Tokens) else _choice_answers(draw, rng)
    items = answers.height // len(models)
    codes = [f"{task}/{index}" for index in range(items)]
    keys = pl.DataFrame(
        {
            "model": np.repeat(models, items),
            "task": pl.repeat(task, answers.height, eager=True),
            "item": [f"{index}" for index in range(items)] * len(models),
            "item_hash": [sha256(code.encode()).hexdigest()[:16] for code in codes] * len(models),
            "sample": pl.zeros(answers.height, pl.Int64, eager=True),
            "source": pl.repeat("saltus.worlds", answers.height, eager=True),
        }
    )
    return conform(keys.hstack(answers), Responses)


def _token_answers(draw: Tokens, rng: np.random.Generator) -> pl.DataFrame:
    scales, items = draw.errors.shape
    shape = (scales, items, draw.length)
    digits = rng.permuted(np.tile(np.arange(10), (items, 1)), axis=1)
    rows = np.arange(items)[:, None]
    targets = digits[rows, rng.integers(0, 5, (items, draw.length))]
    others = digits[rows, rng.integers(5, 10, shape)]
    places = rng.permuted(np.broadcast_to(np.arange(draw.length), shape), axis=2)
    outputs = np.where(places < draw.errors[:, :, None], others, targets)
    text = _spaced(targets)
    return pl.DataFrame({"output": _spaced(outputs), "target": np.tile(text, scales)}).select(
        "output",
        targets=pl.concat_list("target"),
        finish=pl.lit("stop"),
        chance=pl.lit(0.0),
    )


def _spaced(digits: IntArray) -> NDArray[np.str_]:
    """Rows of digits (..., length) as strings "1 2 3", flattened."""
    length = digits.shape[-1]
    characters = np.full((*digits.shape[:-1], 2 * length - 1), ord(" "), dtype=np.uint8)
    characters[..., ::2] = digits + ord("0")
    return characters.view(f"S{2 * length - 1}").ravel().astype(np.str_)


def _choice_answers(draw: Choices, rng: np.random.Generator) -> pl.DataFrame:
    scales, items, choices = draw.logits.shape
    order = rng.permuted(np.tile(np.arange(choices), (items, 1)), axis=1)
    logprobs = draw.logits - np.logaddexp.reduce(draw.logits, axis=2, keepdims=True)
    shuffled = np.take_along_axis(logprobs, order[None], axis=2)
    return pl.DataFrame(
        {
            "target_index": np.tile(order.argmin(axis=1), scales),
            "choice_logprobs": shuffled.reshape(scales * items, choices),
        },
        schema_overrides={"choice_logprobs": pl.Array(pl.Float64, choices)},
    ).with_columns(pl.col("choice_logprobs").arr.to_list(), chance=pl.lit(1 / choices))
