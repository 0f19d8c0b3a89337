"""Audit published families: `python examples/real_data.py DATA OUT > docs/real_data_tables.md`.

DATA holds the published results (Pythia, BLOOM, OLMo ladder, ...); OUT gets one audit
folder for each.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import polars as pl

import saltus

NOTABLE = ["BREAK", "LOSS_THRESHOLD", "METRIC_ARTEFACT", "HARNESS_ARTEFACT"]


def collections(data: Path) -> dict[str, dict[str, Any]]:
    """Name of each collection, and the arguments of its audit."""
    wide = data / "obscaling" / "base_llm_benchmark_eval.csv"
    return {
        "pythia": {"paths": data / "pythia" / "pythia_evals.csv.gz"},
        "obscaling": {
            "paths": data / "obscaling" / "base_llm_emergent_capability_eval.csv",
            "models": wide,
        },
        "olmo_ladder": {
            "paths": data / "olmo_ladder" / "olmo_ladder.csv.gz",
            "columns": {"model": "run", "task": "name,split,format", "loss": "c4_en"},
        },
        "open_lm_scaling": {
            "paths": data / "open_lm_scaling" / "open_lm_scaling.csv.gz",
            "columns": {"task": "name", "metric": "kind", "loss": "eval_data/c4_val"},
        },
        "gemstones": {
            "paths": data / "gemstones" / "gemstones.csv.gz",
            "columns": {"model": "run", "task": "name", "loss": "dclm"},
        },
        "bloom": {"paths": data / "bloom" / "bloom_evals.csv"},
        "llama and bloom (lm-eval 0.3)": {
            "paths": data / "lm_eval_families" / "legacy_llama_bloom.csv"
        },
        "mamba2 (lm-eval 0.4)": {"paths": data / "lm_eval_families" / "mamba2.csv"},
        "zeroeval CRUX, whole replies": {"paths": data / "zeroeval" / "crux_outputs.jsonl.gz"},
        "mmlu_pro": {
            "paths": data / "mmlu_pro" / "mmlu_pro_predictions.csv.gz",
            "columns": {"target": "answer"},
        },
    }


def counts(verdicts: pl.DataFrame) -> str:
    """Verdicts by axis as a Markdown table; inverse scaling is left out."""
    forward = verdicts.filter(~pl.col("inverse"))
    if forward.is_empty():
        return "no series\n"
    table = forward.group_by("axis", "verdict").len().pivot("axis", index="verdict", values="len")
    head = f"| {' | '.join(table.columns)} |\n|{'---|' * table.width}\n"
    rows = (f"| {' | '.join(str(v or 0) for v in row)} |\n" for row in table.sort("verdict").rows())
    return head + "".join(rows)


def notable(verdicts: pl.DataFrame) -> str:
    """The verdicts that call for a look, a line each."""
    rows = verdicts.filter(pl.col("verdict").is_in(NOTABLE)).iter_rows(named=True)
    return "".join(
        f"- **{row['verdict']}** {row['family']}, {row['task']}"
        f"{', ' + row['regime'] if row['regime'] else ''}, {row['axis']}: {row['sentence']}\n"
        for row in rows
    )


def main(data: Path, out: Path) -> None:
    for name, arguments in collections(data).items():
        folder = out / name.split()[0]
        audit = saltus.audit(out=folder, **arguments)
        print(f"### {name}\n\n{counts(audit.verdicts)}\n{notable(audit.verdicts)}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
