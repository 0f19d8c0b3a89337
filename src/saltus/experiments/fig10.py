"""Fig. 10: LeNet on MNIST, accuracy and K-of-K accuracy of the same answers."""

from __future__ import annotations

import polars as pl

from saltus.experiments.experiment import PAPER, Check, Context, Outcome, experiment
from saltus.experiments.judged import counted, verdict_sheet
from saltus.experiments.pictured import (
    PARAMS,
    estimated,
    expected_verdicts,
    floor_sizes,
    inputs_of,
    judged,
    largest_step,
    means,
    monotone,
    noted,
    reasons,
)
from saltus.report.plates import Figure, Sheet
from saltus.report.plots import Axis, Json, Rule, Style, panel

FAMILY = "lenet"
ONE, LOSS, PROBABILITY = "multiple_choice_grade", "choice_log_loss", "correct_choice_probability"
PARTNERS = (PROBABILITY, LOSS)  # the metric's own first
SUBSETS = {1: ONE} | {size: f"subset_accuracy@{size}" for size in (2, 3, 4, 5)}
SPARSE = 3  # every third size, from the largest down
CHANCE = 0.1


@experiment(
    title="Fig. 10: LeNet on MNIST",
    claim="Test accuracy of a LeNet family rises as a predictable sigmoid with its parameters; "
    "when accuracy is redefined as K of K independent test pictures right, the same family shows "
    "a seemingly unpredictable ability, the more so the larger K and the fewer sizes are seen.",
    expected="Accuracy rises with every size. For K = 5 the smallest sizes stay at the floor "
    "although their accuracy is above chance, and the share of the rise in one step grows with K "
    "and with sparse sizes. The probability of the right digit improves where K of K sees "
    "nothing: METRIC_ARTEFACT.",
    source=f"{PAPER}, App. B, Fig. 10",
    errors=(21,),
    families=(FAMILY,),
)
def fig10(context: Context) -> Outcome:
    """K of K by the U-statistic over subsets of the test pictures, unbiased for p^K."""
    folder = context.trained(FAMILY)
    estimates = estimated(folder, [*SUBSETS.values(), *PARTNERS])
    rows = _long(estimates)
    verdicts = pl.concat(
        judged(context, estimates, list(SUBSETS.values()), partner) for partner in PARTNERS
    )
    five = verdicts.filter(metric=SUBSETS[5], partner=PROBABILITY)
    other = verdicts.filter(metric=SUBSETS[5], partner=LOSS)
    return Outcome(
        figures=[Figure("fig10", _caption(estimates, noted(folder)), _panels(rows), columns=2)],
        sheets=[
            Sheet("values", "Mean over the seeds", _wide(rows)),
            verdict_sheet(
                verdicts, "Verdicts per K and partner: every seed alone, and all together (no seed)"
            ),
        ],
        shown=[
            *_shown(rows),
            *filter(None, [reasons(five)]),
            f"With the cross-entropy as partner: {counted(other)} {reasons(other)}",
        ],
        checks=[*_checks(rows), expected_verdicts(five, "5 of 5")],
        verdict=counted(five, "of 5-of-5 accuracy"),
        inputs=inputs_of(folder),
    )


def _long(estimates: pl.DataFrame) -> pl.DataFrame:
    """Rows of params, seed, metric, K (null for the partners) and value."""
    sizes = pl.DataFrame({"metric": list(SUBSETS.values()), "K": list(SUBSETS)})
    kept = estimates.filter(pl.col("metric").is_in([*SUBSETS.values(), *PARTNERS]))
    return kept.join(sizes, on="metric", how="left").select(
        "params", "seed", "metric", "K", "value", "low", "high"
    )


def _sparse(rows: pl.DataFrame) -> pl.DataFrame:
    sizes = rows["params"].unique().sort(descending=True).gather_every(SPARSE)
    return rows.filter(pl.col("params").is_in(sizes.implode()))


def _panels(rows: pl.DataFrame) -> list[Json]:
    accuracy = Axis("value", "accuracy", domain=(0.0, 1.0))
    share = Axis("value", "K of K right", domain=(0.0, 1.0))
    guess = [Rule(CHANCE, "guessing")]
    by_k = Style(group="K", title="K", ordered=True, run="seed")
    subsets = rows.filter(pl.col("K").is_not_null()).sort("K", "seed", "params")
    runs = Style(run="seed")
    return [
        panel(rows.filter(metric=ONE), PARAMS, accuracy, "B  Test accuracy", runs, guess),
        panel(subsets, PARAMS, share, "C  K of K right", by_k),
        panel(_sparse(subsets), PARAMS, share, "C  The same, few sizes", by_k),
        panel(rows.filter(metric=PROBABILITY), PARAMS,
              Axis("value", "probability", domain=(0.0, 1.0)), "Probability of the right digit",
              runs, guess),
    ]  # fmt: skip


def _caption(estimates: pl.DataFrame, source: str) -> str:
    seeds, sizes = estimates["seed"].n_unique(), estimates["params"].n_unique()
    items = int(estimates.filter(metric=ONE)["items"].to_numpy().min())
    return (
        f"LeNet with {sizes} widths and {seeds} seeds (thin; bold: their mean), {items} test "
        f"pictures. {source}. Panel letters as in the paper; its A shows another paper's curve. "
        "Sizes, steps and rates are ours."
    )


def _wide(rows: pl.DataFrame) -> pl.DataFrame:
    return means(rows, "metric").pivot("metric", index="params", values="value").sort("params")


def _curve(rows: pl.DataFrame, size: int) -> pl.DataFrame:
    return means(rows.filter(pl.col("K") == size))


def _shown(rows: pl.DataFrame) -> list[str]:
    one, five = _curve(rows, 1), _curve(rows, 5)
    floor = floor_sizes(five)
    reached = one["value"][max(floor - 1, 0)]
    few = means(_sparse(rows.filter(pl.col("K") == 5)))
    return [
        f"Accuracy goes from {one['value'][0]:.2f} to {one['value'][-1]:.2f}; 5 of 5 from "
        f"{five['value'][0]:.4f} to {five['value'][-1]:.2f}.",
        f"5 of 5 is at most 0.05 for the {floor} smallest of {five.height} sizes, while accuracy "
        f"reaches {reached:.2f} there, against {CHANCE:g} by guessing.",
        f"The largest step between neighbouring sizes holds {largest_step(one):.0%} of the rise "
        f"of accuracy, {largest_step(five):.0%} of that of 5 of 5, and {largest_step(few):.0%} "
        f"of the latter where only {few.height} sizes are seen.",
    ]


def _checks(rows: pl.DataFrame) -> list[Check]:
    curves = {size: _curve(rows, size) for size in SUBSETS}
    floors = {size: floor_sizes(curve) for size, curve in curves.items()}
    one = curves[1]["value"].to_numpy()
    steps = [largest_step(curves[1]), largest_step(means(_sparse(rows.filter(pl.col("K") == 5))))]
    above = floors[5] >= 2 and one[floors[5] - 1] > 2 * CHANCE
    told = ", ".join(f"K = {size}: {floor}" for size, floor in floors.items())
    return [
        monotone(rows.filter(metric=ONE), "accuracy", rises=True),
        monotone(rows.filter(metric=PROBABILITY), "the probability of the right digit",
                 rises=True),
        monotone(rows.filter(metric=LOSS), "the cross-entropy", rises=False),
        Check("5 of 5 stays at the floor (0.05) for two sizes at least, where accuracy is beyond "
              "twice the level of guessing", bool(above),
              f"accuracy {one[max(floors[5] - 1, 0)]:.2f} at the last of them"),
        Check("the floor grows with K", floors[5] > floors[1],
              f"leading sizes at most 0.05: {told}"),
        Check("few sizes and K = 5 put more of the rise into one step than all sizes and K = 1",
              steps[1] > steps[0], f"{steps[0]:.0%} against {steps[1]:.0%}"),
    ]  # fmt: skip
