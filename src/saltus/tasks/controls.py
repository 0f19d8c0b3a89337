"""Controls: copying, whose tokens are independent, and modular sums, known to be learnt late.

Sources: copying is our own; sums modulo a number after Power et al. (2022), arXiv 2201.02177
(grokking), sec. 3.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import polars as pl
from numpy.typing import NDArray

from saltus.tasks.task import distinct, in_blocks, task

LETTERS = "abcdefghijklmnopqrstuvwxyz"
LENGTHS = (2, 4, 6, 8, 10, 12)
MODULI = (23, 53, 97, 113)


def copying(rng: np.random.Generator, count: int, length: int) -> pl.DataFrame:
    """Random letters to repeat: ``k d f f=`` asks for ``k d f f``."""
    places = len(LETTERS) ** np.arange(length, dtype=np.int64)
    alphabet = np.array(list(LETTERS))

    def rows(numbers: NDArray[np.int64]) -> pl.DataFrame:
        letters = alphabet[numbers[:, None] // places % len(LETTERS)]
        text = pl.Series(map(" ".join, letters), dtype=pl.String)
        return pl.select(prompt=pl.lit(text) + "=", targets=pl.concat_list(pl.lit(text)))

    return in_blocks(rows, distinct(rng, len(LETTERS) ** length, count))


def modular_sum(rng: np.random.Generator, count: int, modulus: int) -> pl.DataFrame:
    """Sums modulo a number: ``95+7 mod 97=`` asks for ``5``."""
    left, right = np.divmod(distinct(rng, modulus**2, count), modulus)
    rows = list(zip(left.tolist(), right.tolist(), strict=True))
    return pl.DataFrame(
        {
            "prompt": [f"{a}+{b} mod {modulus}=" for a, b in rows],
            "targets": [[str((a + b) % modulus)] for a, b in rows],
            "cluster": [f"{min(pair)} {max(pair)}" for pair in rows],
        }
    )


for _length in LENGTHS:
    task(
        f"copying_{_length}",
        population=len(LETTERS) ** _length,
        metrics=("exact_match", "target_log_loss", "token_error_rate"),
        source="our own control",
        summary=f"repeating {_length} letters",
    )(partial(copying, length=_length))

for _modulus in MODULI:
    task(
        f"modular_sum_{_modulus}",
        population=_modulus**2,
        chance=1 / _modulus,
        source="Power et al. 2022, arXiv 2201.02177, sec. 3",
        summary=f"sums modulo {_modulus}",
    )(partial(modular_sum, modulus=_modulus))
