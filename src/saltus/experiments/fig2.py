"""Fig. 2: one smooth loss seen through six metrics, as formulas and through the audit."""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from saltus.experiments.experiment import PAPER, Check, Context, Outcome, experiment
from saltus.experiments.judged import counted, judge_responses, verdict_sheet
from saltus.report.plates import Figure, Sheet
from saltus.report.plots import Axis, Json, Rule, Style, panel
from saltus.report.text import si
from saltus.worlds.paper import (
    FloatArray,
    brier_sum,
    choice_grade,
    exact_match,
    token_edits,
    token_loss,
    token_probability,
)
from saltus.worlds.respond import model_table, respond
from saltus.worlds.tokens import draw_tokens

REFERENCE, EXPONENT = 1e8, -0.3  # c_0 and alpha
LENGTHS = (1, 2, 3, 4, 5)
CHOICES = 2
GRID = np.logspace(6, 13, 281)
PARAMS = Axis("params", "parameters", log=True)
BY_LENGTH = Style(group="length", title="target length (tokens)", ordered=True, points=False)
LINE = Style(points=False)
CAPTION = (
    "The paper's model with c = 10⁸ parameters and α = -0.3, computed on a grid of 281 sizes. C "
    "and E are for target lengths of 1 to 5 tokens, D and F for 2 choices."
)
VERDICTS = "Verdicts on answers drawn from this model, per target length and seed"


@experiment(
    title="Fig. 2: the mathematical model",
    claim="If the loss per token falls as a power law of the parameters, a nonlinear metric "
    "(accuracy) or a discontinuous one (multiple choice grade) shows a sharp and unpredictable "
    "ability, a linear one (edit distance) or a continuous one (Brier score) a smooth rise.",
    expected="A is straight on two logarithmic axes; the slope of accuracy grows with the target "
    "length; edit distance and Brier score are monotone and without a step, the grade is one step.",
    source=f"{PAPER}, Sec. 2",
    errors=(8, 19, 21),
)
def fig2(context: Context) -> Outcome:
    """The panels from formulas, and the verdict on answers drawn from the same model."""
    loss = token_loss(GRID, REFERENCE, EXPONENT)
    p = token_probability(loss)
    table = _table(loss, p)
    verdicts = pl.concat([_judged(context, length) for length in LENGTHS])
    return Outcome(
        figures=[
            Figure("fig2", CAPTION, _panels(table))
        ],
        sheets=[
            Sheet("values", "The curves at whole powers of ten", _values()),
            verdict_sheet(verdicts, VERDICTS),
        ],
        shown=_shown(p, verdicts),
        checks=_checks(loss, p),
        verdict=counted(verdicts.filter(pl.col("length") >= 4), "with targets of 4 or 5 tokens"),
    )  # fmt: skip


def _table(loss: FloatArray, p: FloatArray) -> pl.DataFrame:
    """Long rows: params, the six quantities, and length."""
    parts = [
        pl.DataFrame(
            {
                "params": GRID,
                "length": np.full(GRID.size, length),
                "loss": loss,
                "probability": p,
                "accuracy": exact_match(p, length),
                "edits": token_edits(p, length),
                "grade": choice_grade(p, CHOICES),
                "brier": brier_sum(p, CHOICES),
            }
        )
        for length in LENGTHS
    ]
    return pl.concat(parts)


def _panels(table: pl.DataFrame) -> list[Json]:
    one = table.filter(pl.col("length") == 1)
    chance = [Rule(0.5, "an even guess")]
    return [
        panel(one, PARAMS, Axis("loss", "nats per token", log=True), "A  Loss per token", LINE),
        panel(one, PARAMS, Axis("probability", "probability"), "B  Right token", LINE),
        panel(table, PARAMS, Axis("accuracy", "accuracy"), "C  Accuracy (all tokens right)",
              BY_LENGTH),
        panel(one, PARAMS, Axis("grade", "grade"), "D  Multiple choice grade",
              Style(points=False, step=True), chance),
        panel(table, PARAMS, Axis("edits", "edits per answer", reverse=True),
              "E  Token edit distance", BY_LENGTH),
        panel(one, PARAMS, Axis("brier", "Brier score (sum)", reverse=True), "F  Brier score",
              LINE, chance),
    ]  # fmt: skip


def _values() -> pl.DataFrame:
    params = 10.0 ** np.arange(7, 13)
    p = token_probability(token_loss(params, REFERENCE, EXPONENT))
    columns = {"params": params, "loss": -np.log(p), "probability": p}
    columns |= {f"accuracy_{length}": exact_match(p, length) for length in LENGTHS}
    columns |= {"edits_5": token_edits(p, 5), "brier_sum": brier_sum(p, CHOICES)}
    return pl.DataFrame(columns | {"grade": choice_grade(p, CHOICES)})


def _steepest(p: FloatArray, length: int) -> float:
    """Largest slope of accuracy per decade of parameters on the grid."""
    return float(np.gradient(exact_match(p, length), np.log10(GRID)).max())


def _checks(loss: FloatArray, p: FloatArray) -> list[Check]:
    x = np.log10(GRID)
    line = np.polynomial.Polynomial.fit(x, np.log10(loss), 1)(x)
    bend = float(np.abs(np.log10(loss) - line).max())
    slopes = [_steepest(p, length) for length in LENGTHS]
    theory = -EXPONENT * math.log(10) / math.e
    relative = [length * float(loss[0]) * -EXPONENT for length in LENGTHS]
    smooth = {"edit distance": token_edits(p, 5) / 5, "Brier score": brier_sum(p, CHOICES) / 2}
    step = {name: float(np.abs(np.diff(curve)).max()) for name, curve in smooth.items()}
    monotone = all(bool((np.diff(curve) < 0).all()) for curve in smooth.values())
    jump = float(np.abs(np.diff(choice_grade(p, CHOICES))).max())
    grows = bool(slopes[-1] > 1.02 * slopes[0])
    return [
        Check("A is a straight line on two logarithmic axes", bend < 1e-9,
              f"largest deviation {bend:.1e} decades"),
        Check("C: on a linear accuracy axis the steepest slope grows with the target length", grows,
              f"{slopes[0]:.4f} per decade at length 1, {slopes[-1]:.4f} at length 5; "
              f"|α| ln 10 / e = {theory:.4f} for every length, since a longer target only moves "
              "the curve to larger models"),
        Check("C: on a logarithmic accuracy axis the slope grows with the target length",
              bool(np.all(np.diff(relative) > 0)),
              f"at 10⁶ parameters by a factor of {relative[-1] / relative[0]:.0f} from length 1 to "
              "5"),
        Check("D is one step between two sizes", jump > 0.49, f"largest step {jump:.2f}"),
        Check("E and F fall everywhere and without a step", monotone and max(step.values()) < 0.02,
              "largest step between neighbouring sizes, as a share of the range: "
              + ", ".join(f"{name} {size:.4f}" for name, size in step.items())),
    ]  # fmt: skip


def _shown(p: FloatArray, verdicts: pl.DataFrame) -> list[str]:
    places = [float(GRID[int(np.argmin(np.abs(exact_match(p, n) - 0.5)))]) for n in (1, 5)]
    slopes = [_steepest(p, length) for length in (1, 5)]
    seen = verdicts.group_by("length").agg(pl.col("apparent").mean()).sort("length")
    early, late = seen["apparent"][0], seen["apparent"][-1]
    return [
        f"Accuracy reaches one half at {si(places[0])} parameters for one token and at "
        f"{si(places[1])} for five: a longer target moves the rise to the right.",
        f"Its steepest slope per decade does not change with the length ({slopes[0]:.3f} against "
        f"{slopes[1]:.3f}); what grows is the flat foot before the rise.",
        f"On answers drawn from this model, apparent emergence is seen in {early:.0%} of the "
        f"families with one token and in {late:.0%} of those with five.",
    ]


def _judged(context: Context, length: int) -> pl.DataFrame:
    """Verdicts on families drawn from the model: ten sizes, one row per seed."""
    params = np.logspace(7, 12 - 0.5, 10)
    latent = np.log(token_loss(params, REFERENCE, EXPONENT))
    items = context.pick(200, 1000)
    parts = []
    for seed in range(context.pick(2, 5)):
        rng = context.rng(f"answers/{length}/{seed}")
        names = [f"model-{place}" for place in range(params.size)]
        draw = draw_tokens(rng, latent, length, items, 0.0, item_sd=0.0)
        models = model_table(names, "mathematical model", params, None, "paper")
        answers = respond(draw, rng, f"length {length}", names)
        # the model is exact: no noise between models
        found = judge_responses(models, answers, rng, tau=0.0)
        parts.append(found.with_columns(length=pl.lit(length), seed=pl.lit(seed)))
    return pl.concat(parts)
