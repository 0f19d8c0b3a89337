"""Fig. 6: multiple choice grade and Brier score of the same answers, with the chance line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import polars as pl

from saltus import store
from saltus.experiments.answers import inputs_of
from saltus.experiments.experiment import PAPER, Check, Context, Outcome, experiment
from saltus.experiments.judged import counted, estimates_of, judge_estimates, verdict_sheet
from saltus.report.plates import Figure, Sheet
from saltus.report.plots import Axis, Json, Rule, Style, panel
from saltus.tables import Models, Responses
from saltus.worlds import WORLDS, Choices
from saltus.worlds.choices import CHOICES, draw_choices
from saltus.worlds.respond import model_table, respond
from saltus.worlds.world import DECADES, SMALLEST, FloatArray

SCALES, TAU = 12, 0.05
CHANCE = 1 / CHOICES
METRICS = ["multiple_choice_grade", "correct_choice_probability", "brier_sum"]
PARAMS = Axis("params", "parameters", log=True)
GRADE = Axis("multiple_choice_grade", "grade", domain=(0.0, 1.0))
BRIER = Axis("brier_sum", "Brier score (sum)", reverse=True)
RUNS = Style(run="run")
CALIBRATION = "calibration, then a rise"
Draw = Callable[[np.random.Generator, FloatArray, int], Choices]


def _calibration(rng: np.random.Generator, x: FloatArray, items: int) -> Choices:
    """Confident guesses that become humble, then an ability: margin 0 up to 60 % of the range."""
    threshold = 0.6 * DECADES
    margin = 1.8 * np.maximum(x - threshold, 0) / (DECADES - threshold)
    draw = draw_choices(rng, margin, items, TAU, threshold)
    confidence = np.maximum(1.0, 5.0 - 4.0 * x / threshold)  # factor on every logit
    return Choices(draw.latent, draw.logits * confidence[:, None, None], threshold)


def _of_world(name: str) -> Draw:
    def draw(rng: np.random.Generator, x: FloatArray, items: int) -> Choices:
        found = WORLDS[name].function(rng, x, items, TAU)
        assert isinstance(found, Choices)  # noqa: S101  (the worlds named below are choices)
        return found

    return draw


# name of the family: its draw, and whether an ability really begins somewhere
KINDS: Mapping[str, tuple[Draw, str]] = {
    "smooth margin": (_of_world("i_mcsmooth"), "smooth"),
    "chance, then a rise": (_of_world("iii_flatrise"), "break"),
    CALIBRATION: (_calibration, "break"),
}


@experiment(
    title="Fig. 6: from grade to Brier score",
    claim="Abilities that emerge under the discontinuous multiple choice grade disappear under the "
    "continuous Brier score of the same answers, so they are created by the metric.",
    expected="For a smooth family the Brier score improves from the smallest model on and crosses "
    "the chance line early: never BREAK. Where an ability really begins, Brier has its corner too: "
    "never METRIC_ARTEFACT. And where only calibration improves, Brier improves while it is worse "
    "than an even guess, which is no ability.",
    source=f"{PAPER}, Sec. 4; the chance line after Du et al. (2024), arXiv 2403.15796, app. C",
    errors=(18, 22),
)
def fig6(context: Context) -> Outcome:
    """Synthetic families of known truth, since LaMDA's answers are not public, and the user's."""
    own = [_users(folder) for folder in context.responses]
    drawn = {name: _drawn(context, name, *kind) for name, kind in KINDS.items()}
    drawn |= {name: table for tables in own for name, table in tables.items()}
    tables = {name: _wide(estimates) for name, estimates in drawn.items()}
    verdicts = pl.concat([_judged(context, name, rows) for name, rows in drawn.items()])
    return Outcome(
        figures=[Figure("fig6", _caption(context, tables), _panels(tables), columns=len(tables))],
        sheets=[
            verdict_sheet(verdicts, "Verdicts per family and partner metric"),
            Sheet("values", "Grade, Brier score and probability of the right choice",
                  pl.concat(tables.values(), how="diagonal")),
        ],
        shown=[*(_sentence(name, table) for name, table in tables.items()), _misled(verdicts)],
        checks=_checks(verdicts, tables),
        verdict=" ".join(
            f"{name}: {counted(verdicts.filter(kind=name, partner=METRICS[1]))}" for name in tables
        ),
        inputs=inputs_of(context.responses),
    )  # fmt: skip


def _drawn(context: Context, name: str, draw: Draw, truth: str) -> pl.DataFrame:
    """Estimates of several families of one kind; the run is the family."""
    parts = []
    for run in range(context.pick(3, 5, 20)):
        rng = context.rng(f"{name}/{run}")
        x = np.linspace(0, DECADES, SCALES)
        family = f"{name} {run}"
        names = [f"{family}-{place}" for place in range(SCALES)]
        answers = respond(draw(rng, x, context.pick(300, 1000)), rng, name, names)
        models = model_table(names, family, 10 ** (SMALLEST + x), None, "fig6")
        parts.append(estimates_of(models, answers, METRICS))
    return pl.concat(parts).with_columns(truth=pl.lit(truth))


def _users(folder: Path) -> dict[str, pl.DataFrame]:
    """Estimates of the user's multiple-choice answers, by family and task."""
    responses = store.load(folder, Responses).filter(pl.col("choice_logprobs").is_not_null())
    models = store.load(folder, Models).filter(pl.col("params") > 0, pl.col("family").is_not_null())
    there = responses.join(models.select("model"), on="model", how="semi")
    if there.is_empty():
        return {}
    whole = estimates_of(models, there, METRICS).with_columns(truth=pl.lit(None, pl.String))
    groups = whole.partition_by("family", "task", as_dict=True, maintain_order=True)
    return {f"{family}: {task}": rows for (family, task), rows in groups.items()}


def _wide(estimates: pl.DataFrame) -> pl.DataFrame:
    """One row per model with a column per metric, and the chance level of the grade."""
    keys = ["task", "family", "model", "params", "truth"]
    values = estimates.pivot("metric", index=keys, values="value")
    chance = estimates.filter(metric=METRICS[0]).select("model", "chance")
    return values.join(chance, on="model").rename({"family": "run"}).sort("run", "params")


def _judged(context: Context, name: str, estimates: pl.DataFrame) -> pl.DataFrame:
    """Verdicts of every run, with each of the two continuous metrics as partner."""
    parts = []
    for partner in METRICS[1:]:
        rows = estimates.filter(pl.col("metric").is_in([METRICS[0], partner])).drop("truth")
        parts.append(judge_estimates(rows, context.rng(f"{name}/{partner}/verdict")))
    truth = pl.lit(estimates["truth"][0], pl.String)
    return pl.concat(parts).with_columns(truth=truth, kind=pl.lit(name))


def _panels(tables: Mapping[str, pl.DataFrame]) -> list[Json]:
    found = []
    for axis in (GRADE, BRIER):
        for name, table in tables.items():
            chance = float(table["chance"].to_numpy().mean())
            level = chance if axis is GRADE else 1 - chance
            title = f"{name}: {'grade' if axis is GRADE else 'Brier score'}"
            found.append(panel(table, PARAMS, axis, title, RUNS, [Rule(level, "an even guess")]))
    return found


def _caption(context: Context, tables: Mapping[str, pl.DataFrame]) -> str:
    own = f" and {len(tables) - len(KINDS)} of the user's" if len(tables) > len(KINDS) else ""
    return (
        f"Synthetic families of {SCALES} sizes with {CHOICES} choices and "
        f"{context.pick(300, 1000):,} items, {context.pick(3, 5, 20)} draws of each kind{own}; "
        "thin every family, bold their mean. Dashed: what an even guess scores, 1/K and 1 - 1/K."
    )


def _means(table: pl.DataFrame) -> pl.DataFrame:
    return table.group_by("params").agg(pl.col(*METRICS, "chance").mean()).sort("params")


def _before(table: pl.DataFrame) -> float:
    """Share of Brier's whole improvement that happens while it is worse than an even guess."""
    brier = _means(table)["brier_sum"].to_numpy()
    line = 1 - float(table["chance"].to_numpy().mean())
    gained = max(brier[0] - max(brier.min(), line), 0.0)
    return float(gained / (brier[0] - brier.min())) if brier[0] > brier.min() else float("nan")


def _at_chance(table: pl.DataFrame) -> float:
    """Largest grade among the sizes whose mean Brier score is worse than an even guess."""
    means = _means(table)
    worse = means.filter(pl.col("brier_sum") > 1 - pl.col("chance"))
    grades = worse["multiple_choice_grade"].to_numpy()
    return float(grades.max()) if grades.size else float("nan")


def _sentence(name: str, table: pl.DataFrame) -> str:
    means = _means(table)
    share = _before(table)
    crossed = means.filter(pl.col("brier_sum") < 1 - pl.col("chance")).height
    part = "none" if share != share else f"{share:.0%}"
    return (
        f"{name}: Brier goes from {means['brier_sum'][0]:.2f} to {means['brier_sum'][-1]:.2f} and "
        f"beats an even guess at {crossed} of {means.height} sizes; {part} of its improvement "
        "happens while it is worse than that."
    )


def _checks(verdicts: pl.DataFrame, tables: Mapping[str, pl.DataFrame]) -> list[Check]:
    smooth = verdicts.filter(truth="smooth")["verdict"].to_list()
    broken = verdicts.filter(truth="break", partner=METRICS[1])["verdict"].to_list()
    grade, share = _at_chance(tables[CALIBRATION]), _before(tables[CALIBRATION])
    return [
        Check("a smooth family is never called BREAK", "BREAK" not in smooth,
              f"{smooth.count('BREAK')} of {len(smooth)} verdicts"),
        Check("a family whose ability begins somewhere is never called METRIC_ARTEFACT when the "
              "partner is the probability of the right choice",
              "METRIC_ARTEFACT" not in broken,
              f"{broken.count('METRIC_ARTEFACT')} of {len(broken)} verdicts"),
        Check("calibration alone improves Brier while the grade stays near chance (within 0.1)",
              bool(share > 0.2 and abs(grade - CHANCE) < 0.1),
              f"{share:.0%} of Brier's improvement above the chance line, where the mean grade is "
              f"at most {grade:.2f}"),
    ]  # fmt: skip


def _misled(verdicts: pl.DataFrame) -> str:
    """What reading Brier as ability costs where only calibration improves."""
    rows = verdicts.filter(kind=CALIBRATION)
    counts = [
        rows.filter(partner=name)["verdict"].to_list().count("METRIC_ARTEFACT")
        for name in METRICS[1:]
    ]
    total = rows.height // 2
    return (
        "Where confident guesses become humble before the ability begins, the audit says "
        f"METRIC_ARTEFACT, wrongly, in {counts[1]} of {total} families with the Brier score as "
        f"partner and in {counts[0]} of {total} with the probability of the right choice, which "
        "is the partner that Saltus takes: a smooth Brier score does not show that a jump of the "
        "grade is a mirage."
    )
