"""A family over HTTP: trained, served, asked, judged; with the verdicts of the training itself.

    python examples/served_family.py OUT [--family addition] [--steps 1500] [--items 500]

Trains 8 sizes, serves their final weights on 127.0.0.1, asks them with `saltus run` (in two
sessions, the first of which its budget stops), and audits both the training's own answers and
those that came over HTTP. Ends with status 1 where a verdict differs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from threading import Thread

import polars as pl

import saltus
from saltus import store
from saltus.models.family import FAMILIES, Preset
from saltus.models.served import read_family
from saltus.runners.asking import Sampling
from saltus.runners.evaluate import Plan, evaluate
from saltus.runners.serve_family import FamilyServer, family_yaml, networks
from saltus.runners.train import train
from saltus.tables import Responses

SIZES = (4, 6, 8, 10, 12, 16, 24, 32)
COLUMNS = ("task", "axis", "verdict", "reason", "scales", "items", "p_change", "p_break")


def asked(trained: Path, out: Path, task: str, items: int) -> None:
    """Ask every final model of a trained family over HTTP, stopped once and gone on with."""
    with FamilyServer(networks(trained), 0) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        family = out.with_suffix(".yaml")
        family.write_text(family_yaml(trained, server.server_port, "completions"))
        models = read_family(family)
        half = {"requests": float(items * len(models))}
        for limits in (half, {}):
            plan = Plan(models, (task,), items, Sampling(), limits, "off")
            outcome = evaluate(plan, out, lambda event: None)
            print(f"run: complete {outcome.complete}, stopped: {outcome.stopped}")
        server.shutdown()
        thread.join(10)


def common(trained: Path, audit: Path) -> tuple[int, int]:
    """Answers to the same item by the same model: how many, and how many are equal."""
    width = pl.col("model").str.extract(r"width(\d+)").alias("width")
    mine, theirs = (
        store.load(folder, Responses).with_columns(width) for folder in (trained, audit)
    )
    mine = mine.filter(~pl.col("model").str.contains("@step"))
    pairs = mine.join(theirs, on=["width", "item"])
    return pairs.height, int((pairs["output"] == pairs["output_right"]).sum())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--family", default="addition", choices=["addition", "multiplication"])
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--items", type=int, default=500)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    paper = FAMILIES[given.family].preset("paper")
    preset = Preset(
        SIZES, 1, given.steps, paper.batch, given.items, 3, paper.learning_rate, paper.weight_decay
    )
    trained, run = given.out / given.family, given.out / "run"
    train(given.family, preset, trained)
    asked(trained, run, FAMILIES[given.family].task, given.items)
    verdicts = []
    for source, place in ((trained, "trained"), (run, "served")):
        there = place == "trained"  # an audit folder, which is judged where it is
        judged = saltus.audit(source, None if there else given.out / "run_audit").verdicts
        finals = judged.filter(pl.col("slice").str.contains("final"), pl.col("axis") != "tokens")
        verdicts.append(finals.select(COLUMNS).sort("task", "axis"))
        print(f"{place}:", *finals.select(COLUMNS).iter_rows(), sep="\n  ")
    pairs, equal = common(trained, given.out / "run_audit")
    print(f"{equal} of {pairs} answers equal")
    same = (
        verdicts[0]
        .select("task", "axis", "verdict")
        .equals(verdicts[1].select("task", "axis", "verdict"))
    )
    print("verdicts", "equal" if same else "DIFFER")
    return 0 if same and equal == pairs > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
