"""One network from its first weights to its last checkpoint, resumable after a kill.

A run keeps two kinds of files in its folder, each replaced as a whole: `state.pt`, from which
it goes on (weights, optimizer, random state, step; the step is the position in the data), and
`answers-STEP.parquet`, what a checkpoint answered. A run that goes on repeats the very
operations of one that was never stopped, so on one CPU thread both end in the same bits.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from saltus.errors import SaltusError
from saltus.models.family import FAMILIES, Family, Learner, Preset

STATE = "state.pt"
BETAS = (0.9, 0.98)
WARM_UP = 100  # steps, or a tenth of the run
LAST_RATE = 0.05  # of the peak, at the end of the cosine
CLIP = 1.0  # norm of the gradient
FIRST_VIEW = 0.01  # share of the steps before the first checkpoint that answers
SAVES = 20  # times that a run saves its state

Tell = Callable[[int], None]  # steps done


@dataclass(frozen=True)
class Run:
    """One size and seed of a family.

    Args:
        family: name of the family.
        preset: how much is trained.
        size: value of the family's dial.
        seed: of the first weights and the order of the data.
    """

    family: str
    preset: Preset
    size: int
    seed: int

    @property
    def model(self) -> str:
        """Name of the model, for all seeds and checkpoints."""
        return f"{self.family}-{FAMILIES[self.family].dial}{self.size}"

    @property
    def folder(self) -> str:
        """Name of the run's folder."""
        return f"{self.size}-{self.seed}"


def view_steps(steps: int, checkpoints: int) -> list[int]:
    """The steps after which a run answers: evenly spaced in their logarithm, the last included."""
    first = max(1.0, FIRST_VIEW * steps)
    places = np.geomspace(first, steps, checkpoints) if checkpoints > 1 else [steps]
    return sorted({round(float(place)) for place in places})


def learning_rate(peak: float, step: int, steps: int) -> float:
    """Linear warm-up, then a cosine down to `LAST_RATE` of the peak; `step` counts from 0."""
    warm = max(1, min(WARM_UP, steps // 10))
    falling = LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * step / steps))
    return peak * min(1.0, (step + 1) / warm) * falling


def train_run(run: Run, folder: Path, tell: Tell = lambda step: None) -> None:
    """Train one network to its end, from its last saved state where there is one.

    Args:
        run: size and seed of a family.
        folder: the run's own; made if it is not there.
        tell: called with the steps done, after every step.

    Raises:
        SaltusError: the saved state is not one of this run.
    """
    family, preset = FAMILIES[run.family], run.preset
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(run.seed)
    learner = family.build(run.size, run.seed, preset)
    learner.module.to(device())
    optimizer = optimizer_of(learner, preset)
    start = _resume(folder / STATE, learner, optimizer)
    views = set(view_steps(preset.steps, preset.checkpoints))
    saves = views | {preset.steps * part // SAVES for part in range(1, SAVES + 1)}
    for step in range(start, preset.steps):
        advance(learner, optimizer, step, preset.steps)
        done = step + 1
        if done in views:
            _answer(folder, run, family, learner, done)
        if done in saves:
            _save(folder / STATE, learner, optimizer, done)
        tell(done)


def device() -> torch.device:
    """The accelerator that is there, or the CPU."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    return accelerator or torch.device("cpu")


def optimizer_of(learner: Learner, preset: Preset) -> torch.optim.Optimizer:
    """AdamW that decays matrices and leaves offsets and norms alone."""
    weights = list(learner.module.parameters())
    groups = [
        {"params": [w for w in weights if w.ndim > 1], "weight_decay": preset.weight_decay},
        {"params": [w for w in weights if w.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learner.learning_rate, betas=BETAS, fused=True)


def advance(
    learner: Learner, optimizer: torch.optim.Optimizer, step: int, steps: int
) -> torch.Tensor:
    """One optimizer step; returns the loss before it."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(learner.learning_rate, step, steps)
    optimizer.zero_grad()
    loss = learner.loss(step)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(learner.module.parameters(), CLIP)
    optimizer.step()
    return loss.detach()


def keep_weights(runs: Path, kept: Path) -> None:
    """Copy the last weights of every run, without what only training needs."""
    kept.mkdir()
    for state in sorted(runs.glob(f"*/{STATE}")):
        module = torch.load(state, map_location="cpu", weights_only=True)["module"]
        torch.save(module, kept / f"{state.parent.name}.pt")


def _answer(folder: Path, run: Run, family: Family, learner: Learner, done: int) -> None:
    """Write what this checkpoint answers, with the facts of the model in every row."""
    learner.module.eval()
    rows, loss = learner.respond(), learner.validate()
    learner.module.train()
    facts = {
        "model_name": run.model,
        "family": run.family,
        "params": float(learner.params),
        "tokens": done * learner.tokens_per_step,
        "flops": done * learner.flops_per_step,
        "loss": loss if math.isfinite(loss) else None,
        "loss_name": family.loss_name,
        "seed": run.seed,
        "done": done,
    }
    task = [] if "task" in rows.columns else [pl.lit(family.task).alias("task")]
    sample = [] if "sample" in rows.columns else [pl.lit(0, pl.Int64).alias("sample")]
    constants = [pl.lit(value).alias(name) for name, value in facts.items()]
    table = rows.with_columns(*task, *sample, *constants)
    _replace(folder / f"answers-{done}.parquet", table.write_parquet)


def _save(path: Path, learner: Learner, optimizer: torch.optim.Optimizer, done: int) -> None:
    state = {
        "step": done,
        "module": learner.module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "random": torch.get_rng_state(),
    }
    _replace(path, lambda draft: torch.save(state, draft))


def _replace(path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file beside the old one, to the disk, and put it in its place in one step."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    write(draft)
    with draft.open("rb+") as file:
        os.fsync(file.fileno())
    draft.replace(path)


def _resume(path: Path, learner: Learner, optimizer: torch.optim.Optimizer) -> int:
    """Load the last state, if there is one; the step that comes next."""
    if not path.is_file():
        return 0
    try:
        state = torch.load(path, map_location=device(), weights_only=True)
        learner.module.load_state_dict(state["module"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"].cpu())
        return int(state["step"])
    except Exception as fault:  # a damaged archive fails in many ways
        raise SaltusError(
            f"{path} is not a state of this run ({type(fault).__name__}); "
            "remove it to train the run from its start"
        ) from fault
