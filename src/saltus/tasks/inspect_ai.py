"""Our tasks in Inspect AI, found there by entry point.

    inspect eval saltus/items -T task=addition_4 -T count=200 --model openai/... --logprobs true

The log is read like any other (`saltus audit logs/*.eval`). Imported by Inspect alone.
"""

from __future__ import annotations

import numpy as np
from inspect_ai import Task
from inspect_ai import task as register
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import exact
from inspect_ai.solver import generate

from saltus.tasks import TASKS


@register  # type: ignore[untyped-decorator]
def items(task: str, count: int = 200, seed: int = 0) -> Task:
    """One of Saltus' tasks.

    Args:
        task: as in `saltus list tasks`.
        count: items.
        seed: of the items; the same seed gives the same items everywhere.
    """
    drawn = TASKS[task].items(np.random.default_rng(seed), count)
    samples = [
        Sample(
            id=row["item"],
            input=row["prompt"],
            target=row["targets"],
            metadata={"cluster": row["cluster"]},
        )
        for row in drawn.iter_rows(named=True)
    ]
    return Task(
        name=task,
        dataset=MemoryDataset(samples, name=f"saltus {task} seed {seed}"),
        solver=generate(),
        scorer=exact(),
        config=GenerateConfig(stop_seqs=drawn.row(0, named=True)["stop"]),
    )
