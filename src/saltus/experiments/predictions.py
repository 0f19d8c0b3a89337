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
from saltus.report.text import listing
from saltus.verdicts.lengths import Answers as OneModel
from saltus.verdicts.lengths import Commensurate, commensurate, geometric_decay, quasi_linear
from saltus.verdicts.positions import deviations

FloatArray = NDArray[np.float64]

# law of `verdicts.positions` to its name in the figures
LAWS = {
    "mean_power": "(mean p)^L",
    "position_product": "product over positions",
    "sequence_probability": "mean exp(sum of logs)",
}
MEAN, PRODUCT, SEQUENCE = LAWS.values()
SAMPLED, GREEDY = "probabilities of the target", "greedy answers"
NEVER = -700.0  # log of the probability of a token that a greedy answer missed
SURE = 30  # successes from which a ratio is precise enough to be held against a bar
BAR = 0.10
SHOWN_SIZES = 6


@experiment(
    title="Predictions 1 to 3: lengths and token errors",
    claim="Accuracy is the token accuracy to the power of the length: it decays geometrically with "
    "the target's length, edit distance grows quasi-linearly, and better statistics show accuracy "
    "as the token errors predict it.",
    expected="(mean p)^L overestimates, because positions differ in difficulty; the product over "
    "positions is within 10 % of accuracy; the mean of exp(sum of log-probabilities) is what "
    "sampling would score, not what greedy answers do. Deviations upwards from items that differ "
    "in difficulty are no evidence of emergence.",
    source=f"{PAPER}, Sec. 3",
    errors=(2, 4, 8, 19),
    families=FAMILIES,
)
def predictions(context: Context) -> Outcome:
    """Families trained by Saltus, and those of the user's folders with targets of one length."""
    folders = [context.trained(name) for name in FAMILIES] + list(context.responses)
    families = [one for folder in folders for one in map(finals, answers_of(folder)) if one.prefix]
    lengths = [by_length(one) for one in families]
    ratios = pl.concat([_ratios(one) for one in families])
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
    "First row: what the probabilities of the target's tokens predict over the accuracy that was "
    "measured; second row: what the shares of greedy answers that hold the right token at each "
    "position predict; every run with its 95 % interval (runs without a success have no ratio). "
    "Below: accuracy and edits of the mean of runs against the length of the target's beginning, "
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


def _ratios(answers: Answers) -> pl.DataFrame:
    """Every run: accuracy, the predictions over it, and their 95 % intervals.

    From the probabilities that a model gives to the target's tokens, and from the shares of
    greedy answers that hold them; the joint share of those is accuracy itself, so no law.
    """
    parts = []
    for model, params, seed in (
        answers.models.select("model", "params", "seed").sort("params", "seed").iter_rows()
    ):
        rows = answers.responses.filter(model=model)
        exact, right = _exact(rows), _right(answers, rows)
        facts = {"family": answers.name, "model": model, "params": params, "seed": seed,
                 "items": exact.size, "successes": int(exact.sum())}  # fmt: skip
        logs = rows["target_logprobs"]
        whole = logs.null_count() == 0 and (logs.list.len() == right.shape[1]).all()
        sources = {SAMPLED: np.array(logs.to_list())} if whole else {}
        for source, logprobs in (*sources.items(), (GREEDY, np.where(right, 0.0, NEVER))):
            parts += [
                facts | {"accuracy": one.accuracy, "source": source, "prediction": LAWS[one.law],
                         "ratio": one.ratio, "low": one.low, "high": one.high}
                for one in deviations(exact, logprobs)
                if one.law in LAWS and not (source == GREEDY and LAWS[one.law] == SEQUENCE)
            ]  # fmt: skip
    return pl.DataFrame(parts, infer_schema_length=None).with_columns(
        pl.col("ratio", "low", "high").fill_nan(None)
    )


def _exact(rows: pl.DataFrame) -> FloatArray:
    return (rows["output"] == rows["targets"].list.first()).to_numpy().astype(float)


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
    exact = _exact(rows)
    sizes = np.full(exact.size, float(answers.lengths[-1]))
    one = OneModel(exact, (~right).sum(axis=1).astype(float), sizes)
    return commensurate([one], rng)[0][0]


def _panels(
    names: Sequence[str], ratios: pl.DataFrame, lengths: Sequence[pl.DataFrame]
) -> list[Json]:
    ratio = Axis("ratio", "prediction / accuracy", log=True)
    style = Style(group="prediction", line=False, low="low", high="high")
    top = [
        panel(ratios.filter(family=name, source=source), PARAMS, ratio, f"{name}: {source}",
              style, [Rule(1.0, "equal")])
        for source in (SAMPLED, GREEDY)
        for name in names
        if ratios.filter(family=name, source=source).height
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


def _medians(ratios: pl.DataFrame) -> dict[tuple[str, str], float]:
    """Median ratio by source and prediction over the runs that are precise enough."""
    grouped = _sure(ratios).group_by("source", "prediction").agg(pl.col("ratio").median())
    return {(source, law): ratio for source, law, ratio in grouped.iter_rows()}


def _sentence(ratios: pl.DataFrame) -> str:
    name, sure = ratios["family"][0], _sure(ratios)
    if sure.is_empty():
        return f"{name}: no run has {SURE} successes, so no ratio is precise enough to be read."
    median = _medians(ratios)
    parts = [
        f"{law} {median[source, law]:.2f} ({source})"
        for law in LAWS.values() for source in (SAMPLED, GREEDY) if (source, law) in median
    ]  # fmt: skip
    return (
        f"{name}: prediction over accuracy, median of the {sure['model'].n_unique()} runs with at "
        f"least {SURE} successes: {listing(parts)}."
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
    mine = laws.filter(family=name)["p3b_quasi_linear"].drop_nulls().to_list()
    return [
        *(_near(name, source, own) for source in (SAMPLED, GREEDY)),
        _over(name, own),
        Check(f"{name}: edits grow quasi-linearly with the length (elasticity .8 to 1.25)",
              all(mine) if mine else None, f"{sum(mine)} of {len(mine)} runs"),
    ]  # fmt: skip


def _near(name: str, source: str, ratios: pl.DataFrame) -> Check:
    product = ratios.filter(prediction=PRODUCT, source=source)["ratio"].to_numpy()
    near = int((np.abs(product - 1) <= BAR).sum())
    return Check(
        f"{name}: the product over positions is within 10 % of accuracy in the median run "
        f"({source})",
        bool(abs(np.median(product) - 1) <= BAR) if product.size else None,
        f"{near} of {product.size} runs with at least {SURE} successes are",
    )


def _over(name: str, ratios: pl.DataFrame) -> Check:
    mean = ratios.filter(prediction=MEAN, source=GREEDY)["ratio"].to_numpy()
    spread = f", {mean.min():.2f} to {mean.max():.2f} times" if mean.size else ""
    return Check(
        f"{name}: (mean p)^L of greedy answers overestimates accuracy in every run",
        bool((mean > 1).all()) if mean.size else None,
        f"{int((mean > 1).sum())} of {mean.size} runs{spread}",
    )


def _verdict(ratios: pl.DataFrame) -> str:
    name, median = ratios["family"][0], _medians(ratios)
    if (GREEDY, PRODUCT) not in median:
        return f"{name}: too few successes to tell."
    product, mean = median[GREEDY, PRODUCT], median[GREEDY, MEAN]
    return (
        f"{name}: accuracy {'is' if abs(product - 1) <= BAR else 'is not'} what the errors by "
        f"position predict (median ratio {product:.2f}), and (mean p)^L is {mean:.2f} times it."
    )
