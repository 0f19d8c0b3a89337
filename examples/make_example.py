"""Make the example data that ships with Saltus: `python examples/make_example.py`."""

from pathlib import Path

import numpy as np

import saltus
from saltus.worlds import example

MODEL_COLUMNS = ("model_name", "family", "params", "tokens", "flops", "seed")


def main() -> None:
    models, responses = example(np.random.default_rng(0))
    facts = models.select("model", *MODEL_COLUMNS)
    joined = responses.drop("sample", "source", "item_hash").join(facts, on="model", how="left")
    table = joined.drop("model").rename({"model_name": "model"})
    known = [name for name in table.columns if table[name].null_count() < table.height]
    out = Path(saltus.__file__).parent / "worlds" / "example.parquet"
    table.select(known).write_parquet(out, compression="zstd", compression_level=19)
    print(f"{out.name}: {table.height} answers, {out.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
