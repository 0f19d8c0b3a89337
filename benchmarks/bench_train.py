"""Training speed: our loop beside a plain PyTorch loop; models one by one, in processes, by vmap.

    python benchmarks/bench_train.py [--family multiplication] [--steps 30] [--runs 5]

The first table is CPU time on one thread: the step of `saltus train` beside the loop of a
tutorial (`nn.TransformerEncoder`, a shuffling `DataLoader`, AdamW) of the same shape and batch.
The second trains the same models one after the other, side by side in processes as `saltus
train` does, and stacked in one process by `torch.func.vmap`: seconds on the clock and of the
CPU. On a busy machine believe the CPU column, and the clock only as a ratio within one run.
"""

from __future__ import annotations

import argparse
import copy
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial

import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from saltus.models.answering import Answering
from saltus.models.family import FAMILIES, Preset
from saltus.models.transformer import UNSEEN
from saltus.runners.training_run import BETAS, CLIP, advance, optimizer_of

WARM = 3  # steps before the clock starts


def learners(family: str, width: int, runs: int, batch: int) -> list[Answering]:
    entry = FAMILIES[family]
    preset = replace(entry.preset("paper"), batch=batch)
    return [entry.build(width, seed, preset) for seed in range(runs)]


def preset_of(family: str) -> Preset:
    return FAMILIES[family].preset("paper")


class Plain(nn.Module):
    """The same shape from PyTorch's own parts."""

    def __init__(self, like: Answering) -> None:
        super().__init__()
        width, heads = like.module.width, like.module.blocks[0].heads
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.token = nn.Embedding(like.data.characters.size, width)
        self.position = nn.Embedding(like.context, width)
        self.body = nn.TransformerEncoder(layer, 2, nn.LayerNorm(width), enable_nested_tensor=False)
        self.head = nn.Linear(width, like.data.characters.size)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(ids.shape[1])
        x = self.token(ids) + self.position(torch.arange(ids.shape[1]))
        return self.head(self.body(x, mask=mask, is_causal=True))


def plain_loop(like: Answering, batch: int, steps: int) -> Callable[[], None]:
    """The loop of a tutorial."""
    model = Plain(like)
    data = TensorDataset(like.data.train.ids, like.data.train.labels)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=BETAS)

    def work() -> None:
        done = 0
        while done < steps:
            for ids, labels in DataLoader(data, batch, shuffle=True, drop_last=True):
                optimizer.zero_grad()
                logits = model(ids[:, :-1])
                loss = functional.cross_entropy(
                    logits.flatten(0, 1), labels.flatten(), ignore_index=UNSEEN
                )
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), CLIP)
                optimizer.step()
                done += 1
                if done == steps:
                    return

    return work


def our_loop(learner: Answering, preset: Preset, steps: int) -> Callable[[], None]:
    optimizer = optimizer_of(learner, preset)

    def work() -> None:
        for step in range(steps):
            advance(learner, optimizer, step, preset.steps)

    return work


def stacked_loop(many: list[Answering], steps: int) -> Callable[[], None]:
    """All models in one process, their weights stacked."""
    weights, _ = stack_module_state([learner.module for learner in many])
    weights = {name: value.detach().requires_grad_() for name, value in weights.items()}
    shape = copy.deepcopy(many[0].module).to("meta")
    optimizer = torch.optim.AdamW(list(weights.values()), lr=1e-3, betas=BETAS, fused=True)

    def loss_of(own: dict[str, torch.Tensor], ids: torch.Tensor, wanted: torch.Tensor):
        logits = functional_call(shape, own, (ids[:, :-1],)).flatten(0, 1)
        return functional.cross_entropy(logits, wanted.flatten(), ignore_index=UNSEEN)

    together = vmap(loss_of)

    def work() -> None:
        for step in range(steps):
            parts = [learner.batch_of(step) for learner in many]
            optimizer.zero_grad()
            ids, wanted = (torch.stack(part) for part in zip(*parts, strict=True))
            together(weights, ids, wanted).sum().backward()
            squares = sum(w.grad.square().flatten(1).sum(1) for w in weights.values())
            shrink = (CLIP / (squares.sqrt() + 1e-6)).clamp(max=1)
            for weight in weights.values():
                weight.grad.mul_(shrink.view(-1, *[1] * (weight.ndim - 1)))
            optimizer.step()

    return work


def seconds(work: Callable[[], None], warm: Callable[[], None]) -> tuple[float, float]:
    """Seconds on the clock and of this process's CPU."""
    warm()
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def start() -> None:
    torch.set_num_threads(1)


def alone(job: tuple[str, int, int, int, int]) -> tuple[float, float, float]:
    """One model in a worker: when it began and ended, and its CPU seconds."""
    family, width, seed, batch, steps = job
    learner = learners(family, width, seed + 1, batch)[seed]
    preset = preset_of(family)
    our_loop(learner, preset, WARM)()
    began, cpu = time.time(), time.process_time()
    our_loop(learner, preset, steps)()
    return began, time.time(), time.process_time() - cpu


def loops(family: str, widths: list[int], batch: int, steps: int) -> None:
    print(f"\n{family}, batch {batch}: examples per CPU second, one thread")
    print(f"{'width':>6} {'ours':>9} {'plain':>9} {'ratio':>6}")
    for width in widths:
        (learner,) = learners(family, width, 1, batch)
        preset = preset_of(family)
        makers = {
            "ours": partial(our_loop, learner, preset),
            "plain": partial(plain_loop, learner, batch),
        }
        best = dict.fromkeys(makers, 0.0)
        for name, make in 3 * list(makers.items()):  # interleaved, best of three
            cpu = seconds(make(steps), make(WARM))[1]
            best[name] = max(best[name], batch * steps / cpu)
        ratio = best["ours"] / best["plain"]
        print(f"{width:>6} {best['ours']:>9.0f} {best['plain']:>9.0f} {ratio:>6.2f}")


def ways(family: str, widths: list[int], batch: int, steps: int, runs: int) -> None:
    workers = os.cpu_count() or 1
    print(f"\n{runs} models of a width, {steps} steps each, {workers} cores: seconds clock / CPU")
    print(f"{'width':>6} {'one by one':>15} {'processes':>15} {'vmap':>15}")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, start) as pool:
        for width in widths:
            many, preset = learners(family, width, runs, batch), preset_of(family)

            def after(many: list[Answering] = many, preset: Preset = preset) -> None:
                for learner in many:
                    our_loop(learner, preset, steps)()

            row = [seconds(after, our_loop(many[0], preset, WARM))]
            jobs = [(family, width, seed, batch, steps) for seed in range(runs)]
            done = list(pool.map(alone, jobs))
            clock = max(end for _, end, _ in done) - min(begin for begin, _, _ in done)
            row.append((clock, sum(cpu for _, _, cpu in done)))
            row.append(seconds(stacked_loop(many, steps), stacked_loop(many, WARM)))
            print(f"{width:>6} " + " ".join(f"{w:>7.1f}/{c:<7.1f}" for w, c in row))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--family", default="multiplication")
    parser.add_argument("--widths", default="8,16,64")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    start()
    widths = [int(width) for width in options.widths.split(",")]
    loops(options.family, widths, options.batch, options.steps)
    ways(options.family, widths, options.batch, options.steps, options.runs)


if __name__ == "__main__":
    main()
