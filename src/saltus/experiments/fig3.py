"""Fig. 3: the same answers under accuracy and under edit distance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from saltus.experiments.answers import (
    Answers,
    answers_of,
    by_length,
    cut,
    family_estimates,
    finals,
    inputs_of,
)
from saltus.experiments.experiment import PAPER, Check, Context, Outcome, experiment
from saltus.experiments.judged import (
    counted,
    each_alone,
    estimates_of,
    judge_estimates,
    per_seed,
    verdict_sheet,
)
from saltus.report.plates import Figure, Sheet
from saltus.report.plots import Axis, Json, Style, panel
from saltus.report.text import listing
from saltus.worlds.paper import exact_match, token_edits, token_loss, token_probability

FAMILIES = ("multiplication", "addition")
ALONE = "Verdicts of every seed as if it were the only one, with the noise of its last checkpoints"
LONG = 4  # target length from which the jump should look sharp
PARAMS = Axis("params", "parameters", log=True)
ACCURACY = Axis("accuracy", "accuracy", domain=(0.0, 1.0))
EDITS = Axis("edits", "edits per answer", reverse=True)


@experiment(
    title="Fig. 3: another metric, the same answers",
    claim="Arithmetic abilities that look sharp and unpredictable under accuracy improve smoothly "
    "and predictably when the same outputs are scored by token edit distance.",
    expected="Accuracy stays at the floor and then rises, the later the longer the target; edit "
    "distance falls from the smallest model on. Verdict METRIC_ARTEFACT at a length of 4 or more "
    "for multiplication, and never BREAK. Addition is the control: our own small models learn it "
    "abruptly, under every metric, so there the verdict should be BREAK.",
    source=f"{PAPER}, Sec. 3, prediction 1",
    errors=(1, 2, 3, 9),
    families=FAMILIES,
)
def fig3(context: Context) -> Outcome:
    """Families trained by Saltus, and those of the user's audit folders."""
    folders = [context.trained(name) for name in FAMILIES] + list(context.responses)
    families = [answers for folder in folders for answers in answers_of(folder)]
    tables = [by_length(answers) for answers in families]
    verdicts = pl.concat(
        [per_seed(family_estimates(folder), context.rng(str(place)))
         for place, folder in enumerate(folders)]
    )  # fmt: skip
    alone = pl.concat(
        [each_alone(family_estimates(folder), context.rng(f"{place}/alone"))
         for place, folder in enumerate(folders)], how="diagonal"
    )  # fmt: skip
    lengths = pl.concat([_length_verdicts(context, answers) for answers in families])
    return Outcome(
        figures=[Figure("fig3", _caption(families, tables), _panels(families, tables),
                        columns=1 + len(families))],
        sheets=[
            verdict_sheet(verdicts, "Verdicts per seed; the last row of a family merges all seeds"),
            verdict_sheet(alone, ALONE, "alone"),
            verdict_sheet(lengths, "Verdicts per target length, all seeds merged", "lengths"),
            Sheet("values", "Accuracy and edits of every run", pl.concat(tables)),
        ],
        shown=[_sentence(answers, table) for answers, table in zip(families, tables, strict=True)],
        checks=_checks(verdicts),
        verdict=" ".join(_verdict(answers, verdicts, alone) for answers in families),
        inputs=inputs_of(folders),
    )  # fmt: skip


def _single(verdicts: pl.DataFrame, answers: Answers) -> pl.DataFrame:
    """The verdicts of single seeds; of families without seeds, the one there is."""
    tasks = answers.responses["task"].unique().to_list()
    family = answers.models["family"][0]
    own = verdicts.filter(pl.col("family") == family, pl.col("task").is_in(tasks))
    seeds = own.filter(pl.col("seed").is_not_null())
    return seeds if seeds.height else own


def _verdict(answers: Answers, verdicts: pl.DataFrame, alone: pl.DataFrame) -> str:
    found = f"{answers.name}: {counted(_single(verdicts, answers))}"
    own = alone.filter(pl.col("family") == answers.models["family"][0])
    return f"{found} Each seed alone, with its own noise: {counted(own)}" if own.height else found


def _length_verdicts(context: Context, answers: Answers) -> pl.DataFrame:
    parts = []
    for length in answers.lengths:
        last = finals(answers)
        estimates = estimates_of(last.models, cut(last, length))
        rng = context.rng(f"{answers.name}/{length}")
        found = judge_estimates(estimates, rng)
        parts.append(found.with_columns(length=pl.lit(length, pl.Int64)))
    return pl.concat(parts)


def _model_rows(lengths: Sequence[int]) -> pl.DataFrame:
    params = np.logspace(7, 12, 120)
    p = token_probability(token_loss(params, 1e8, -0.3))
    return pl.concat(
        [
            pl.DataFrame({"params": params, "length": np.full(params.size, length),
                          "accuracy": exact_match(p, length), "edits": token_edits(p, length)})
            for length in lengths
        ]
    )  # fmt: skip


def _panels(families: Sequence[Answers], tables: Sequence[pl.DataFrame]) -> list[Json]:
    lengths = sorted({length for answers in families for length in answers.lengths})[:6]
    model = _model_rows(lengths)
    runs = Style(group="length", title="target length", ordered=True, run="seed")
    plain = Style(group="length", title="target length", ordered=True, points=False)
    found = []
    for axis in (ACCURACY, EDITS):
        name = "accuracy" if axis is ACCURACY else "edit distance"
        found.append(panel(model, PARAMS, axis, f"Model: {name}", plain))
        found += [
            panel(table.filter(pl.col("length").is_in(lengths)), PARAMS, axis,
                  f"{answers.name}: {name}", runs)
            for answers, table in zip(families, tables, strict=True)
        ]  # fmt: skip
    return found


def _caption(families: Sequence[Answers], tables: Sequence[pl.DataFrame]) -> str:
    parts = []
    for answers, table in zip(families, tables, strict=True):
        seeds = max(table["seed"].n_unique(), 1)
        how = "the first L characters of every target" if answers.prefix else "targets of length L"
        how = how if answers.unit == "characters" else how.replace("characters", "words")
        parts.append(f"{answers.name}: {table['params'].n_unique()} sizes, {seeds} seeds, "
                     f"{table['items'][0]:,} items, {how}")  # fmt: skip
    return (
        f"Left the mathematical model; {'; '.join(parts)}. Thin: every run; bold: the mean of runs."
    )


def _sentence(answers: Answers, table: pl.DataFrame) -> str:
    """How far accuracy and edits had come at half of the range of sizes."""
    whole = table.filter(pl.col("length") == answers.lengths[-1])
    means = whole.group_by("params").agg(pl.col("accuracy", "edits").mean()).sort("params")
    first, middle, last = means.row(0), means.row((means.height - 1) // 2), means.row(-1)
    share = [
        (middle[place] - first[place]) / (last[place] - first[place])
        if last[place] != first[place] else float("nan")
        for place in (1, 2)
    ]  # fmt: skip
    return (
        f"{answers.name}: at length {answers.lengths[-1]} accuracy goes from {first[1]:.3f} to "
        f"{last[1]:.3f} and edits from {first[2]:.2f} to {last[2]:.2f}; at the middle size "
        f"accuracy has made {share[0]:.0%} of its way and the edit distance {share[1]:.0%}."
    )


def _checks(verdicts: pl.DataFrame) -> list[Check]:
    found = []
    for family, wanted in (("multiplication", "METRIC_ARTEFACT"), ("addition", "BREAK")):
        own = verdicts.filter(pl.col("family") == family)
        merged = own.filter(pl.col("seed").is_null())["verdict"].to_list()
        seeds = own.filter(pl.col("seed").is_not_null())["verdict"].to_list()
        hits = seeds.count(wanted)
        found.append(Check(f"{family}, all seeds merged: {wanted}", merged == [wanted],
                           f"{listing(merged)}; single seeds {hits} of {len(seeds)}"))  # fmt: skip
    breaks = verdicts.filter(pl.col("family") == "multiplication", pl.col("verdict") == "BREAK")
    found.append(Check("multiplication is never called a BREAK", breaks.is_empty(),
                       f"{breaks.height} rows"))  # fmt: skip
    return found
