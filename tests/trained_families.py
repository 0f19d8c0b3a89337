"""Audit folders like those of `saltus train`, drawn from formulas: for tests without torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from saltus import store
from saltus.tables import Models, Responses, conform

SIZES = (400, 1000, 2500, 6000, 15000, 40000, 100000, 250000)
STEPS = (100, 300, 1000)
# how hard each position of the answer is, as a factor of the loss
POSITIONS = np.array([0.3, 1.0, 2.0, 0.7])


def trained_family(
    folder: Path, name: str, *, broken: bool, seeds: int = 3, items: int = 150, seed: int = 0
) -> Path:
    """An audit folder with models (sizes, seeds, checkpoints) and their answers."""
    rng = np.random.default_rng([seed, broken])
    targets = rng.integers(10, size=(items, POSITIONS.size))
    models, answers = [], []
    for size in SIZES:
        for run in range(seeds):
            for step in STEPS:
                loss = _loss(size, step, broken) * np.exp(0.05 * rng.standard_normal())
                label = f"{name}-{size}@step{step}@seed{run}"
                models.append(_model(label, name, size, step, run, loss))
                answers.append(_answers(rng, label, name, targets, loss))
    with store.draft_of(folder / name) as draft:
        writer = store.TableWriter(draft)
        writer.write(Models, conform(pl.DataFrame(models), Models))
        writer.write(Responses, conform(pl.concat(answers), Responses))
        writer.close(Models, Responses)
        store.save_manifest(draft, store.new_manifest())
    return folder / name


def _loss(size: float, step: float, broken: bool) -> float:
    """Nats per character: a power law of size and steps, or a jump at 10,000 parameters."""
    smooth = (size / 2000) ** -0.4 * (step / 1000) ** -0.3
    if not broken:
        return float(smooth)
    return float(1.5 * (step / 1000) ** -0.1 if size < 10_000 else 0.03 * (step / 1000) ** -0.5)


def _model(label: str, name: str, size: int, step: int, run: int, loss: float) -> dict[str, object]:
    tokens = 64.0 * step
    return {
        "model": label, "model_name": f"{name}-{size}", "family": name, "params": float(size),
        "tokens": tokens, "flops": 6 * size * tokens, "loss": loss, "loss_name": "held-out",
        "step": step, "seed": run, "source": "drawn for a test",
    }  # fmt: skip


def _answers(
    rng: np.random.Generator, label: str, name: str, targets: np.ndarray, loss: float
) -> pl.DataFrame:
    items = len(targets)
    difficulty = np.exp(0.3 * rng.standard_normal((items, 1)))
    logprobs = -loss * POSITIONS * difficulty
    right = rng.random(targets.shape) < np.exp(logprobs)
    wrong = (targets + rng.integers(1, 10, targets.shape)) % 10
    digits = np.where(right, targets, wrong)
    return pl.DataFrame(
        {
            "model": label,
            "task": f"{name}_padded",
            "item": [f"{item}" for item in range(items)],
            "item_hash": [f"{item:016x}" for item in range(items)],
            "sample": pl.zeros(items, pl.Int64, eager=True),
            "output": ["".join(map(str, row)) for row in digits],
            "targets": [["".join(map(str, row))] for row in targets],
            "target_logprobs": logprobs.tolist(),
            "target_bytes": pl.repeat(POSITIONS.size, items, dtype=pl.Int64, eager=True),
            "finish": "stop",
            "chance": 0.0,
            "source": "drawn for a test",
        }
    )
