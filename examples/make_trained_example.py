"""Make the example of trained families that ships with Saltus.

    saltus train multiplication --preset paper --out trained/multiplication
    saltus train addition --preset paper --out trained/addition
    python examples/make_trained_example.py trained/multiplication trained/addition

All sizes; the first items; log-probabilities to three digits; seeds and checkpoints as asked.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import polars as pl

import saltus
from saltus import store
from saltus.tables import Models, Responses

FACTS = ("model_name", "family", "params", "tokens", "flops", "loss", "loss_name", "step", "seed")
ANSWERS = ("model", "task", "item", "output", "targets", "target_logprobs")
OUT = Path(saltus.__file__).parent / "runners" / "example.parquet"


def thinned(folder: Path, items: int, seeds: int, every: int) -> pl.DataFrame:
    """Answers of one family with the facts of their models: a plain table.

    Args:
        folder: audit folder of `saltus train`.
        items: how many items are kept.
        seeds: how many seeds are kept.
        every: which checkpoints are kept, counted back from the final one.
    """
    models, responses = store.load(folder, Models), store.load(folder, Responses)
    steps = models["step"].drop_nulls().unique().sort(descending=True)
    kept = steps.gather_every(every, every - 1).to_list()
    timely = pl.col("step").is_null() | pl.col("step").is_in(kept)
    models = models.filter(timely, pl.col("seed") < seeds)
    asked = responses["item"].unique(maintain_order=True).head(items).implode()
    joined = (
        responses.select(ANSWERS)
        .filter(pl.col("item").is_in(asked))
        .join(models.select("model", *FACTS), on="model")
    )
    short = (
        pl.col("target_logprobs")
        .list.eval(pl.element().round_sig_figs(3))
        .cast(pl.List(pl.Float32))
    )
    return joined.drop("model").rename({"model_name": "model"}).with_columns(target_logprobs=short)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--items", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--every", type=int, default=1, help="keep every n-th checkpoint")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    kept = options.items, options.seeds, options.every
    table = pl.concat([thinned(folder, *kept) for folder in options.folders])
    order = ["task", "item", "params", "seed", "step"]  # like stands beside like: a smaller file
    table = table.sort(order, nulls_last=True)
    table.write_parquet(options.out, compression="zstd", compression_level=19)
    size = options.out.stat().st_size / 1e6
    print(f"{options.out.name}: {table.height} answers, {size:.2f} MB")


if __name__ == "__main__":
    main()
