"""The paper's three predictions as tests, and accuracy against what token errors predict."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from saltus.experiments.answers import (
    CHARACTERS,
    Answers,
    answers_of,
    by_length,
    finals,
    inputs_of,
    sized,
)
from saltus.experiments.experiment import PAPER, Check, Context, Outcome, experiment
from saltus.experiments.fig3 import FAMILIES, PARAMS
from saltus.report.plates import Figure, Sheet
from saltus.report.plots import Axis, Json, Rule, Style, panel
from saltus.verdicts.lengths import Answers as OneModel
from saltus.verdicts.lengths import Commensurate, commensurate, geometric_decay, quasi_linear

FloatArray = NDArray[np.float64]

MEAN, PRODUCT, EXPECTED = "(mean p)^L", "product of p by position", "mean exp(log-probability)"
SURE = 30  # successes from which a ratio is precise enough to be held against a bar
BAR = 0.10
SHOWN_SIZES = 6


@experiment(
    title="Predictions 1 to 3: lengths and token errors",
    claim="Accuracy is the token accuracy to the power of the length: it decays geometrically with "
    "the target's length, edit distance grows quasi-linearly, and better statistics show accuracy "
    "as the token errors predict it.",
    expected="(mean p)^L overestimates, because positions differ in difficulty; the product of the "
    "accuracies by position is within 10 % of accuracy; the mean of exp(sum of log-probabilities) "
    "is what sampling would score, not what greedy answers do. Deviations upwards from items that "
    "differ in difficulty are no evidence of emergence.",
    source=f"{PAPER}, Sec. 3",
    errors=(2, 4, 8, 19),
    families=FAMILIES,
)
def predictions(context: Context) -> Outcome:
    """Families trained by Saltus, and those of the user's folders with targets of one length."""
    folders = [context.trained(name) for name in FAMILIES] + list(context.responses)
    families = [one for folder in folders for one in map(finals, answers_of(folder)) if one.prefix]
    lengths = [by_length(one) for one in families]
    ratios = pl.concat([_ratios(context, one) for one in families])
    laws = pl.concat([_laws(context, *pair) for pair in zip(families, lengths, strict=True)])
    names = [one.name for one in families]
    return Outcome(
        figures=[Figure("predictions", CAPTION, _panels(names, ratios, lengths), len(names))],
        sheets=[
            Sheet("ratios", "Prediction over accuracy, every run", ratios),
            Sheet("laws", "Tests of predictions 2 and 3, every run", laws),
        ],
        shown=[
            *(_sentence(ratios.filter(family=name)) for name in names),
            *(_laws_sentence(laws.filter(family=name)) for name in names),
        ],
        checks=[check for name in names for check in _checks(name, ratios, laws)],
        verdict=" ".join(_verdict(ratios.filter(family=name)) for name in names),
        inputs=inputs_of(folders),
    )


CAPTION = (
    "Top: what token errors predict over the accuracy that was measured, every run with the 95 % "
    "interval of a bootstrap over items; runs without a success have no ratio. Middle and "
    "bottom: accuracy and edits of the mean of runs against the length of the target's beginning, "
    "for sizes from small (light) to large (dark)."
)


def _tokens(text: str, unit: str, length: int) -> list[str]:
    found = list(text) if unit == CHARACTERS else text.split(" ")
    return (found + [""] * length)[:length]


def _right(answers: Answers, rows: pl.DataFrame) -> NDArray[np.bool_]:
    """(items, length) whether each position of the answer holds the target's token."""
    length = answers.lengths[-1]
    sides = (rows["output"], rows["targets"].list.first())
    have, want = (
        np.array([_tokens(text, answers.unit, length) for text in side]) for side in sides
    )
    return np.asarray(have == want)


def _predicted(right: FloatArray, joint: FloatArray, weights: FloatArray) -> FloatArray:
    """(draws, 3) the three predictions for (draws, items) weights that sum to 1."""
    by_position = weights @ right
    length = right.shape[1]
    return np.stack(
        [by_position.mean(axis=1) ** length, by_position.prod(axis=1), weights @ joint], axis=1
    )


def _ratios(context: Context, answers: Answers) -> pl.DataFrame:
    """Every run: accuracy, the three predictions over it, and their intervals."""
    draws = context.pick(200, 1000)
    facts = answers.models.select("model", "params", "seed")
    parts = []
    for model, params, seed in facts.sort("params", "seed").iter_rows():
        rows = answers.responses.filter(model=model)
        right = _right(answers, rows).astype(float)
        exact = (rows["output"] == rows["targets"].list.first()).to_numpy().astype(float)
        joint = rows["target_logprobs"].list.sum().exp().cast(pl.Float64).fill_null(np.nan)
        joint_values = joint.to_numpy()
        n = exact.size
        rng = context.rng(f"{answers.name}/{model}")
        weights = np.concatenate([np.full((1, n), 1.0), rng.multinomial(n, [1 / n] * n, draws)]) / n
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = _predicted(right, joint_values, weights) / (weights @ exact)[:, None]
        ratio[~np.isfinite(ratio)] = np.nan
        for place, name in enumerate((MEAN, PRODUCT, EXPECTED)):
            low, high = _ends(ratio[1:, place])
            parts.append(
                {"family": answers.name, "model": model, "params": params, "seed": seed,
                 "items": n, "successes": int(exact.sum()), "accuracy": float(exact.mean()),
                 "prediction": name, "ratio": _known(ratio[0, place]), "low": low, "high": high}
            )  # fmt: skip
    return pl.DataFrame(parts, schema=RATIOS)


RATIOS = pl.Schema(
    {"family": pl.String, "model": pl.String, "params": pl.Float64, "seed": pl.Int64,
     "items": pl.Int64, "successes": pl.Int64, "accuracy": pl.Float64, "prediction": pl.String,
     "ratio": pl.Float64, "low": pl.Float64, "high": pl.Float64}
)  # fmt: skip


def _ends(drawn: FloatArray) -> tuple[float | None, float | None]:
    """95 % interval; none where some draws have no success at all."""
    if np.isnan(drawn).any():
        return None, None
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _laws(context: Context, answers: Answers, table: pl.DataFrame) -> pl.DataFrame:
    """P2 and P3 of every run. The lengths share their items, so P3's p-values are indicative."""
    rng = context.rng(f"{answers.name}/laws")
    parts = []
    for model, rows in table.partition_by("model", as_dict=True, maintain_order=True).items():
        whole = rows.filter(pl.col("length") == answers.lengths[-1])
        decay = geometric_decay(rows["length"], rows["successes"], rows["items"])
        growth = quasi_linear(rows["length"], rows["edits"], rows["edits_variance"])
        found = _commensurate(answers, str(model[0]), rng)
        parts.append(
            {"family": answers.name, "model": str(model[0]), "params": whole["params"][0],
             "seed": whole["seed"][0], "accuracy": whole["accuracy"][0],
             "p2_observed_over_predicted": found.ratio, "p2_low": found.low,
             "p2_high": found.high, "p2_p": found.p, "p3a_token_probability":
             decay.token_probability, "p3a_curvature": decay.curvature, "p3a_p": decay.p,
             "p3b_elasticity": growth.elasticity, "p3b_low": growth.low, "p3b_high": growth.high,
             "p3b_quasi_linear": growth.quasi_linear}
        )  # fmt: skip
    frame = pl.DataFrame(parts, infer_schema_length=None)
    return frame.with_columns(pl.selectors.float().fill_nan(None))


def _commensurate(answers: Answers, model: str, rng: np.random.Generator) -> Commensurate:
    rows = answers.responses.filter(model=model)
    right = _right(answers, rows)
    exact = (rows["output"] == rows["targets"].list.first()).to_numpy().astype(float)
    sizes = np.full(exact.size, float(answers.lengths[-1]))
    one = OneModel(exact, (~right).sum(axis=1).astype(float), sizes)
    return commensurate([one], rng)[0][0]


def _panels(
    names: Sequence[str], ratios: pl.DataFrame, lengths: Sequence[pl.DataFrame]
) -> list[Json]:
    top = [
        panel(ratios.filter(family=name), PARAMS, Axis("ratio", "prediction / accuracy", log=True),
              f"{name}: prediction over accuracy",
              Style(group="prediction", line=False, low="low", high="high"),
              [Rule(1.0, "equal")])
        for name in names
    ]  # fmt: skip
    marks = sorted({length for table in lengths for length in table["length"]})
    length = Axis("length", "length of the target's beginning (tokens)", marks=marks)
    size = Style(group="size", title="parameters", ordered=True)
    means = [_means(table) for table in lengths]
    middle = [
        panel(mean, length, Axis("accuracy", "accuracy", log=True), f"{name}: accuracy", size)
        for name, mean in zip(names, means, strict=True)
    ]
    bottom = [
        panel(mean, length, Axis("edits", "edits per answer"), f"{name}: edits", size)
        for name, mean in zip(names, means, strict=True)
    ]
    return [*top, *middle, *bottom]


def _means(table: pl.DataFrame) -> pl.DataFrame:
    """Mean over runs, for a few sizes from the smallest to the largest."""
    sizes = table["params"].unique().sort().to_list()
    places = np.unique(np.linspace(0, len(sizes) - 1, SHOWN_SIZES).round().astype(int))
    kept = table.filter(pl.col("params").is_in([sizes[place] for place in places]))
    means = kept.group_by("params", "length").agg(pl.col("accuracy", "edits").mean())
    return sized(means).sort("params", "length")


def _sure(ratios: pl.DataFrame) -> pl.DataFrame:
    return ratios.filter(pl.col("successes") >= SURE)


def _medians(ratios: pl.DataFrame) -> dict[str, float]:
    grouped = _sure(ratios).group_by("prediction").agg(pl.col("ratio").median())
    return dict(grouped.iter_rows())


def _sentence(ratios: pl.DataFrame) -> str:
    name, sure = ratios["family"][0], _sure(ratios)
    if sure.is_empty():
        return f"{name}: no run has {SURE} successes, so no ratio is precise enough to be read."
    spread = sure.filter(prediction=MEAN)["ratio"].to_numpy()
    median = _medians(ratios)
    return (
        f"{name}: over the {spread.size} runs with at least {SURE} successes {MEAN} is "
        f"{spread.min():.2f} to {spread.max():.2f} times the accuracy (median "
        f"{median[MEAN]:.2f}), the {PRODUCT} {median[PRODUCT]:.2f} times, the {EXPECTED} "
        f"{median.get(EXPECTED) or float('nan'):.2f} times."
    )


def _laws_sentence(laws: pl.DataFrame) -> str:
    decays = laws["p3a_p"].drop_nulls().to_numpy()
    grows = laws["p3b_quasi_linear"].drop_nulls().to_list()
    above = laws.filter(pl.col("p2_p") < 0.05, pl.col("p2_observed_over_predicted") > 1).height
    below = laws.filter(pl.col("p2_p") < 0.05, pl.col("p2_observed_over_predicted") < 1).height
    return (
        f"{laws['family'][0]}: geometric decay is not rejected in {int((decays >= 0.05).sum())} of "
        f"{decays.size} runs, edits are quasi-linear in {sum(grows)} of {len(grows)}; accuracy "
        f"is above what one token error rate predicts in {above} and below in {below} of "
        f"{laws.height} (p < .05)."
    )


def _checks(name: str, ratios: pl.DataFrame, laws: pl.DataFrame) -> list[Check]:
    own = _sure(ratios.filter(family=name))
    product = own.filter(prediction=PRODUCT)["ratio"].to_numpy()
    mean = own.filter(prediction=MEAN)["ratio"].to_numpy()
    near = int((np.abs(product - 1) <= BAR).sum())
    over = int((mean > 1).sum())
    mine = laws.filter(family=name)["p3b_quasi_linear"].drop_nulls().to_list()
    several = bool(product.size)
    return [
        Check(f"{name}: the {PRODUCT} is within 10 % of accuracy in the median run",
              bool(abs(np.median(product) - 1) <= BAR) if several else None,
              f"{near} of {product.size} runs with at least {SURE} successes are"),
        Check(f"{name}: {MEAN} overestimates", bool(over == mean.size) if several else None,
              f"{over} of {mean.size} runs"),
        Check(f"{name}: edits grow quasi-linearly with the length (elasticity .8 to 1.25)",
              all(mine) if mine else None, f"{sum(mine)} of {len(mine)} runs"),
    ]  # fmt: skip


def _verdict(ratios: pl.DataFrame) -> str:
    name, median = ratios["family"][0], _medians(ratios)
    if PRODUCT not in median:
        return f"{name}: too few successes to tell."
    near = abs(median[PRODUCT] - 1) <= BAR
    return (
        f"{name}: accuracy {'is' if near else 'is not'} what the errors by position predict "
        f"(median ratio {median[PRODUCT]:.2f}), and (mean p)^L is {median[MEAN]:.2f} times it."
    )
