"""What the screens say of published data: `python examples/screen_data.py DATA OUT [NAME ...]`.

DATA holds the published results and logs (Pythia, BLOOM, logs of each tool, ...); OUT gets one
audit folder for each. Every finding is printed, a line each; docs/screens.md says which are true.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import polars as pl

from saltus import pipeline
from saltus.pipeline.result import open_audit

LETTERS = 260  # of a message that are printed
OBSERVED = "MMLU,ARC-C,HellaSwag,Winograd,TruthfulQA,GSM8K,XWinograd,HumanEval"
LEADERBOARD = "IFEval,BBH,MATH Lvl 5,GPQA,MUSR,MMLU-PRO"
DATA: dict[str, dict[str, Any]] = {
    "bloom": {"paths": ["bloom/bloom_evals.csv"]},
    "bloom, table and files": {"paths": ["bloom"]},
    "cruxeval": {"paths": ["cruxeval"]},
    "gemstones": {
        "paths": ["gemstones/gemstones.csv.gz"],
        "columns": {"model": "run", "task": "name", "loss": "dclm"},
    },
    "gsm8k_gpt3": {"paths": ["gsm8k_gpt3"]},
    "llama and bloom": {"paths": ["lm_eval_families/legacy_llama_bloom.csv"]},
    "mamba2": {"paths": ["lm_eval_families/mamba2.csv"]},
    "lm_eval_families raw": {"paths": ["lm_eval_families/raw"]},
    "logs inspect_ai": {"paths": ["logs/inspect_ai"]},
    "logs lm_eval": {"paths": ["logs/lm_eval"]},
    "logs direct": {
        "paths": ["logs/direct_openai/direct_gemma3-270m.jsonl",
                  "logs/direct_openai/direct_smollm2-135m.jsonl"],
        "columns": {"item": "id"}, "task": "arith20",
    },
    "mmlu_pro": {
        "paths": ["mmlu_pro/mmlu_pro_predictions.csv.gz"],
        "columns": {"target": "answer"},
    },
    "mmlu_pro raw": {"paths": ["mmlu_pro/raw"]},
    "obscaling": {
        "paths": ["obscaling/base_llm_emergent_capability_eval.csv"],
        "models": "obscaling/base_llm_benchmark_eval.csv",
    },
    "obscaling benchmarks": {
        "paths": ["obscaling/base_llm_benchmark_eval.csv"],
        "columns": {"value": OBSERVED, "metric": "=acc"},
    },
    "olmo_ladder": {
        "paths": ["olmo_ladder/olmo_ladder.csv.gz"],
        "columns": {"model": "run", "task": "name,split,format", "loss": "c4_en"},
    },
    "olmo_ladder raw": {"paths": ["olmo_ladder/raw"]},
    "open_llm_leaderboard": {
        "paths": ["open_llm_leaderboard/families.csv"],
        "columns": {"value": LEADERBOARD, "metric": "=acc"},
    },
    "open_lm_scaling": {
        "paths": ["open_lm_scaling/open_lm_scaling.csv.gz"],
        "columns": {"task": "name", "metric": "kind", "loss": "eval_data/c4_val"},
    },
    "open_lm_scaling raw": {"paths": ["open_lm_scaling/raw"]},
    "pythia": {"paths": ["pythia/pythia_evals.csv.gz"]},
    "pythia raw": {"paths": ["pythia/raw"]},
    "zeroeval crux": {"paths": ["zeroeval/crux_outputs.jsonl.gz"]},
    "zeroeval crux, naive parse": {
        "paths": ["zeroeval/crux_outputs.jsonl.gz"],
        "columns": {"output": "answer_json"},
    },
    "zeroeval crux, extracted": {
        "paths": ["zeroeval/crux_outputs.jsonl.gz"],
        "extract": "json_field:answer,boxed",
    },
    "zeroeval gsm": {"paths": ["zeroeval/gsm_outputs.jsonl.gz"]},
    "zeroeval raw": {"paths": ["zeroeval/raw"]},
    **{
        f"tool_logs {tool}": {"paths": [f"tool_logs/{tool}"]}
        for tool in (
            "helm", "inspect", "livebench", "lm_eval", "lm_eval_v0_3_write_out", "openai_evals",
        )
    },
}  # fmt: skip


def screened(data: Path, out: Path, entry: dict[str, Any]) -> pl.DataFrame:
    """Table `Findings` of one data set."""
    facts = data / entry["models"] if "models" in entry else None
    pipeline.read(
        [data / path for path in entry["paths"]], out, columns=entry.get("columns"),
        models=facts, task=entry.get("task"), require_facts=False,
    )  # fmt: skip
    pipeline.score(out, extract=entry.get("extract"))
    pipeline.estimate(out)
    pipeline.screen(out)
    return open_audit(out).findings


def told(findings: pl.DataFrame) -> str:
    """A line for each finding, the gravest first; those of one task after another as one."""
    key = ["severity", "screen", "metric"]
    groups = findings.group_by(*key, maintain_order=True).agg(
        pl.col("count").sum(), pl.len().alias("times"), pl.col("message").sort().first()
    )
    return "".join(
        f"- **{row['severity']}** `{row['screen']}` {row['metric'] or ''}"
        f"{' x ' + str(row['times']) if row['times'] > 1 else ''} ({row['count']:,}): "
        f"{row['message'][:LETTERS]}\n"
        for row in groups.iter_rows(named=True)
    )


def main(data: Path, out: Path, names: list[str]) -> None:
    for name in names or DATA:
        folder = out / name.replace(", ", "_").replace(" ", "_")
        print(f"### {name}\n\n{told(screened(data, folder, DATA[name])) or 'nothing'}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
