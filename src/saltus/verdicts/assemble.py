"""Estimates to series: which models are the scales of a family, task and axis.

One family is judged within one prompt regime. On params and FLOPs the scales are its final
checkpoints (the longest-trained model of each size), on tokens the checkpoints of the longest
run of its largest model, thinned, on loss the final checkpoints.
Seeds and re-runs at one scale are merged to one point; their spread measures the model
noise tau, which turns noise mode U into mode K (science.md 0 (b) and 4).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from saltus.errors import UnknownNameError
from saltus.metrics.metric import METRICS, Metric, find
from saltus.verdicts.links import Points, ends, gain_of, to_link
from saltus.verdicts.series import ALL_PLACED, Checkpoints, FloatArray, Series, Unplaced

AXES = ("params", "tokens", "flops", "loss")
CHECKPOINTS = 24  # of one run on one axis; the calibration reaches to here
FEWEST_UNITS = 2.0  # words per target below which word errors are no finer than exact match
LAST = 5  # checkpoints of each run whose scatter measures the model noise
SAME_WITHIN = 0.02  # of a metric's range per decade of size: no difference at equal loss
TAU_FREEDOM = 6  # degrees of freedom below which a measured tau is not called known


class Slice(NamedTuple):
    """The models that make the scales of one axis.

    Args:
        axis: params, tokens, flops or loss.
        name: what is held fixed.
        rows: their estimates.
        history: all checkpoints of the group, where the last ones measure the model noise.
    """

    axis: str
    name: str
    rows: pl.DataFrame
    history: pl.DataFrame | None = None


def assemble(
    estimates: pl.DataFrame, metric: str | None = None, tau: float | None = None
) -> list[Series]:
    """Every series that a collection holds, sorted by family, regime, task and axis.

    Args:
        estimates: table `Estimates`.
        metric: thresholded metric to judge; None takes for each task the first that fits,
            in the order of the registry.
        tau: model noise on the link scale, where the user knows it; None measures it from
            runs at one scale, or from the last checkpoints, where the data hold them.

    Returns:
        One series per family, regime, task and axis with at least one scale.

    Raises:
        UnknownNameError: no estimate is of the metric that is asked for.
    """
    if metric is not None and not estimates.is_empty():
        names = estimates["metric"].unique().to_list()
        if metric not in names:
            raise UnknownNameError("metric", metric, names)
    known = estimates.filter(pl.col("family").is_not_null())
    groups = known.partition_by("family", "regime", "task", as_dict=True, maintain_order=True)
    return [
        series
        for key, rows in sorted(groups.items(), key=lambda pair: tuple(map(str, pair[0])))
        for part in slices(rows)
        if (series := _series(key, part, metric, tau))
    ]


def slices(rows: pl.DataFrame) -> Iterator[Slice]:
    """The axes on which the models of one family, regime and task can be placed."""
    final = final_checkpoints(rows)
    for axis in ("params", "flops"):
        placed = final.filter(pl.col(axis) > 0)
        if axis == "params":
            placed = placed.filter(_longest_trained())
        if placed.height:
            yield Slice(axis, "final checkpoints", placed, rows)
    run = _longest_run(rows)
    placed = final.filter(pl.col("tokens") > 0)
    if run["tokens"].n_unique() > 1:
        name = run.sort("tokens")["model"][-1].split("@")[0]
        yield Slice("tokens", f"checkpoints of {name}", _thinned(run))
    elif placed["tokens"].n_unique() > 1:
        yield Slice("tokens", "final checkpoints", placed)
    losses = final.filter(pl.col("loss").is_not_null())
    if losses.height:
        yield Slice("loss", "final checkpoints", losses, rows)


RUN = pl.col("model").str.replace(r"@step\d+", "")


def final_checkpoints(rows: pl.DataFrame) -> pl.DataFrame:
    """The last checkpoint of every run; a model without a step is its final checkpoint."""
    step = pl.col("step").fill_null(np.iinfo(np.int64).max)
    return rows.filter(step == step.max().over(RUN))


def _longest_run(rows: pl.DataFrame) -> pl.DataFrame:
    """The checkpoints of the largest model: of its runs the longest, of these the fullest."""
    largest = rows.filter(pl.col("params") == pl.col("params").max(), pl.col("tokens") > 0)
    reach = pl.col("tokens").max().over(RUN)
    longest = largest.filter(reach == pl.col("tokens").max())
    if not longest["seed"].null_count():
        return longest
    checkpoints = pl.col("tokens").n_unique().over(RUN)
    fullest = longest.filter(checkpoints == checkpoints.max())
    return fullest.filter(RUN.min() == RUN)


def _thinned(run: pl.DataFrame) -> pl.DataFrame:
    """At most `CHECKPOINTS` of a run's checkpoints, spread evenly on the logarithm of tokens.

    Neighbouring checkpoints share most of their training, so their errors are not the
    independent ones that the tests were calibrated for (science.md 4.7).
    """
    tokens = np.unique(run["tokens"].to_numpy())
    if len(tokens) <= CHECKPOINTS:
        return run
    tokens = tokens[tokens > 0]  # before training there is no place on the logarithm
    place = np.log10(tokens)
    wanted = np.linspace(place[0], place[-1], CHECKPOINTS)
    nearest = np.abs(place[None, :] - wanted[:, None]).argmin(axis=1)
    return run.filter(pl.col("tokens").is_in(tokens[np.unique(nearest)].tolist()))


def _longest_trained() -> pl.Expr:
    """Of models that differ in tokens at one size, those that saw the most."""
    tokens = pl.col("tokens")
    return tokens.is_null() | (tokens == tokens.max().over("params"))


def _series(
    key: tuple[object, ...], part: Slice, metric: str | None, tau: float | None
) -> Series | None:
    family, regime, task = key
    hard = _pick(part.rows, _hard_names(part.rows, metric))
    soft = _pick(part.rows, _partner_names(part.rows, hard))
    if hard is None and soft is None:
        return None
    points = _points(part)
    rates = _rates(points, part, hard)
    smooth = _smooth(points, part, soft)
    return Series(
        family=str(family),
        regime=None if regime is None else str(regime),
        task=str(task),
        axis=part.axis,
        slice=part.name,
        models=tuple(points["models"].to_list()),
        x=points["x"].to_numpy(),
        metric=hard,
        rate=rates.rate,
        successes=rates.successes,
        items=rates.items,
        chance=rates.chance,
        partner=soft,
        z=smooth.z,
        variance=smooth.variance,
        gain=gain_of(find(soft) if soft else None),
        tau=smooth.tau if tau is None else tau,
        tau_source=smooth.source if tau is None else "given",
        checkpoints=_checkpoints(part, hard or soft) if part.axis == "loss" else None,
        unplaced=_unplaced(part, soft) if soft else ALL_PLACED,
    )


def _checkpoints(part: Slice, metric: str | None) -> Checkpoints | None:
    """Every checkpoint of the group with a size and a loss, at most `CHECKPOINTS` of a run."""
    if part.history is None or metric is None:
        return None
    rows = part.history.filter(
        pl.col("metric") == metric, pl.col("value").is_finite(), pl.col("loss").is_finite(),
        pl.col("params") > 0,
    ).with_columns(run=RUN)  # fmt: skip
    if rows.is_empty():
        return None
    thinned = [
        _thinned(run) if run["tokens"].null_count() == 0 else run
        for run in rows.partition_by("run", maintain_order=True)
    ]
    rows = pl.concat(thinned)
    value = _floats(rows, "value")
    return Checkpoints(
        _floats(rows, "loss"),
        np.log10(_floats(rows, "params")),
        value,
        rows["run"].rank("dense").cast(pl.Int64).to_numpy() - 1,
        SAME_WITHIN * metric_range(metric, value),
    )


def metric_range(metric: str, values: FloatArray) -> float:
    """Width of the metric's range; of the observed values where it has no two ends."""
    facts = find(metric)
    if facts is not None and None not in facts.bounds:
        low, high = (float(end) for end in facts.bounds if end is not None)
        return high - low
    return float(np.ptp(values)) if values.size else 0.0


def thresholded_metric(rows: pl.DataFrame) -> str | None:
    """The thresholded metric that is judged: the first that covers the most models."""
    return _pick(rows, _hard_names(rows, None))


def continuous_partner(rows: pl.DataFrame, hard: str | None) -> str | None:
    """The continuous metric that stands beside it."""
    return _pick(rows, _partner_names(rows, hard))


def _hard_names(rows: pl.DataFrame, wanted: str | None) -> list[str]:
    """Thresholded metrics at hand, in the order of the registry."""
    present = _present(rows)
    if wanted is not None:
        return [name for name in present if name == wanted]
    order = {entry.name: place for place, entry in enumerate(METRICS)}
    hard = [name for name, facts in present.items() if facts and facts.reaction == "thresholded"]
    return sorted(hard, key=lambda name: (order[_facts(name).name], name))


def _partner_names(rows: pl.DataFrame, hard: str | None) -> list[str]:
    """Continuous metrics at hand that partner the thresholded one, best first.

    One without a link scale, on which nothing can be tested, only where there is no other.
    """
    known = [(name, facts) for name, facts in _present(rows).items() if facts]
    if hard is None:
        found = [(name, facts) for name, facts in known if facts.reaction == "continuous"]
    else:
        found = [
            (name, facts)
            for wanted in _facts(hard).partners
            for name, facts in known
            if facts.name == wanted and not _coarse(rows, facts, name)
        ]
    linked = [name for name, facts in found if facts.link]
    return linked or [name for name, _ in found]


def _coarse(rows: pl.DataFrame, facts: Metric, name: str) -> bool:
    """Whether errors per token are as all-or-nothing as the whole: one token per item.

    The probability of a single token still moves with the model.
    """
    if facts.link != "error_rate":
        return False
    found = rows.filter(pl.col("metric") == name, pl.col("units").is_not_null())
    share = (found["units"] / found["items"]).to_numpy()
    return bool(len(share) and np.median(share) < FEWEST_UNITS)


def _present(rows: pl.DataFrame) -> dict[str, Metric | None]:
    """Names of the metrics that have a value, with the facts of those that are known."""
    names = rows.filter(pl.col("value").is_not_null())["metric"].unique().sort().to_list()
    facts = {name: find(name) for name in names}
    return {name: entry for name, entry in facts.items() if entry is None or entry.judged}


def _facts(name: str) -> Metric:
    metric = find(name)
    if metric is None:
        raise UnknownNameError("metric", name, (entry.name for entry in METRICS))
    return metric


def _pick(rows: pl.DataFrame, names: Sequence[str]) -> str | None:
    """The first name among those that cover the most models."""
    if not names:
        return None
    have = rows.filter(pl.col("value").is_not_null())
    counts = [have.filter(pl.col("metric") == name)["model"].n_unique() for name in names]
    return names[int(np.argmax(counts))]


def _place(axis: str) -> pl.Expr:
    return -pl.col(axis) if axis == "loss" else pl.col(axis).log10()


def _points(part: Slice) -> pl.DataFrame:
    """One row per distinct scale, increasing: x and the models merged there."""
    models = pl.col("model").unique().sort().str.join(" + ").alias("models")
    return part.rows.group_by(_place(part.axis).alias("x")).agg(models).sort("x")


class Rates(NamedTuple):
    """The thresholded metric as a share of its range, 1 is best; NaN where not known."""

    rate: FloatArray
    successes: FloatArray
    items: FloatArray
    chance: float


def _at(points: pl.DataFrame, part: Slice, metric: str, *columns: pl.Expr) -> pl.DataFrame:
    """Aggregates of one metric over the runs at each scale, aligned with the points."""
    rows = part.rows.filter(pl.col("metric") == metric, pl.col("value").is_not_null())
    merged = rows.group_by(_place(part.axis).alias("x")).agg(*columns)
    return points.join(merged, on="x", how="left", maintain_order="left")


def _rates(points: pl.DataFrame, part: Slice, metric: str | None) -> Rates:
    """Runs at one scale share their items, so their mean counts as one run's."""
    if metric is None:
        nothing = np.full(points.height, np.nan)
        return Rates(nothing, nothing, nothing, np.nan)
    frame = _at(
        points,
        part,
        metric,
        pl.col("value").mean(),
        pl.when(pl.col("successes").null_count() == 0).then(pl.col("successes").mean().round()),
        pl.col("items").min(),
        pl.col("chance").mean(),
        pl.col("variance").mean(),
    )
    facts = _facts(metric)
    best, worst = ends(facts)
    levels = (_floats(frame, "chance") - worst) / (best - worst)
    known = levels[np.isfinite(levels)]
    rate = (_floats(frame, "value") - worst) / (best - worst)
    items, successes = _floats(frame, "items"), _floats(frame, "successes")
    if facts.kind == "set" and None not in facts.bounds:
        items = _effective(rate, _floats(frame, "variance") / (best - worst) ** 2, items, facts)
        successes = rate * items
    elif best < worst:
        successes = items - successes
    return Rates(rate, successes, items, float(known.mean()) if len(known) else np.nan)


def _effective(
    rate: FloatArray, variance: FloatArray, items: FloatArray, metric: Metric
) -> FloatArray:
    """Items of the plain share that would be as uncertain as a set's value: r (1 - r) / v.

    At 0 and 1, where the variance is 0, the independent groups of K items that there are.
    Source: Korn and Graubard (1998), Survey Methodology 24(2), the effective sample size.
    """
    spread = rate * (1.0 - rate)
    inside = (spread > 0.0) & (variance > 0.0)
    there = np.divide(spread, variance, out=np.full_like(rate, np.nan), where=inside)
    return np.where(spread > 0.0, there, items // metric.group)


class Smooth(NamedTuple):
    """The continuous metric at each scale on its link scale, and the model noise."""

    z: FloatArray
    variance: FloatArray
    tau: float | None
    source: str | None


def _smooth(points: pl.DataFrame, part: Slice, metric: str | None) -> Smooth:
    if metric is None:
        nothing = np.full(points.height, np.nan)
        return Smooth(nothing, nothing, None, None)
    runs = _linked(part.rows, metric)
    frame = _at(
        points,
        part._replace(rows=runs),
        metric,
        pl.col("z").mean(),
        pl.col("v").mean(),
        pl.col("z").var().alias("spread"),
        pl.col("z").count().alias("runs"),
    )
    tau, source = _tau(frame), "runs at one scale"
    if tau is None and part.history is not None:
        tau, source = _checkpoint_tau(_linked(part.history, metric), part), "last checkpoints"
    return Smooth(_floats(frame, "z"), _floats(frame, "v"), tau, source if tau else None)


def _linked(rows: pl.DataFrame, metric: str) -> pl.DataFrame:
    """The rows of one metric that have a place on its link scale: z and its variance v."""
    return _on_link(rows, metric).filter(pl.col("z").is_not_null())


def _on_link(rows: pl.DataFrame, metric: str) -> pl.DataFrame:
    """The rows of one metric with z and its variance v, null where they have no place."""
    rows = rows.filter(pl.col("metric") == metric, pl.col("value").is_not_null())
    names = ("value", "variance", "units", "items", "chance")
    linked = to_link(_facts(metric), Points(*(_floats(rows, name) for name in names)))
    return rows.with_columns(
        pl.Series("z", linked.z).fill_nan(None), pl.Series("v", linked.variance).fill_nan(None)
    )


def _unplaced(part: Slice, metric: str) -> Unplaced:
    """Models with a value of the metric that has no place on its link scale."""
    link = _facts(metric).link
    if link is None:
        return ALL_PLACED
    nowhere = pl.col("z").is_null()
    rows = _on_link(part.rows, metric).with_columns(lost=nowhere.all().over(part.axis))
    unplaced = rows.filter(nowhere).sort(_place(part.axis), "model")
    scales = unplaced.filter("lost")[part.axis].n_unique()
    return Unplaced(tuple(unplaced["model"].unique(maintain_order=True)), scales, link)


def _tau(frame: pl.DataFrame) -> float | None:
    """Noise of one point from the spread of the runs merged there; None when too few.

    Pooled over the scales, and divided by the runs per scale because the point is their mean.
    Runs that agree to the last digit at every scale are one run under several names, or stand
    at a bound: neither measures any noise.
    """
    runs, spread = _floats(frame, "runs"), _floats(frame, "spread")
    freedom = float((runs - 1).sum())
    if runs.min(initial=np.inf) < 2 or freedom < TAU_FREEDOM or not np.nansum(spread):
        return None
    pooled = float((spread * (runs - 1)).sum()) / freedom
    return float(np.sqrt(pooled / runs.min()))


def _checkpoint_tau(history: pl.DataFrame, part: Slice) -> float | None:
    """Noise from the scatter of each run's last checkpoints about a straight line in log steps.

    Source: science.md 4; Madaan et al. (2024), arXiv 2406.10229. Training still goes on, so
    the line takes its trend out. None when there are too few checkpoints.
    """
    known = history.filter(pl.col("step") > 0).with_columns(run=RUN)
    known = known.join(part.rows.select(run=RUN).unique(), on="run", how="semi")
    last = known.sort("run", "step").group_by("run", maintain_order=True).tail(LAST)
    squares, freedom = 0.0, 0
    for run in last.select("run", "step", "z").partition_by("run"):
        place, z = np.log10(_floats(run, "step")), _floats(run, "z")
        if len(z) > 2:
            left = z - np.polynomial.Polynomial.fit(place, z, 1)(place)
            squares, freedom = squares + float(left @ left), freedom + len(z) - 2
    return float(np.sqrt(squares / freedom)) if freedom >= TAU_FREEDOM else None


def _floats(frame: pl.DataFrame, column: str) -> FloatArray:
    return frame[column].cast(pl.Float64).fill_null(np.nan).to_numpy()
