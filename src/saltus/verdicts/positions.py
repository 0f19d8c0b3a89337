"""Accuracy of an answer of L tokens against what its tokens' probabilities predict.

Schaeffer et al. (2023), arXiv 2304.15004, sec. 2, expect accuracy = p^L from one token
probability p. Real positions differ in difficulty, depend on each other, and items differ too,
so three predictions part ways, and the way in which they do says which assumption fails:

============================ ======================== =====================================
prediction                   formula                  assumes
============================ ======================== =====================================
``mean_power``               (mean p)^L               equal positions, equal items, independence
``position_product``         prod_l (mean_i p_il)     equal items, independence
``sequence_probability``     mean_i prod_l p_il       nothing but that answers are sampled
``geometric_power``          exp(mean_il ln p_il)^L   the paper's p = exp(-loss)
============================ ======================== =====================================

All are compared with the accuracy of greedy answers to the same items, so that the deviation's
interval counts what the two share. A misfit of ``mean_power`` is no evidence against a smooth
improvement: it shows only that positions are unequal.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

FloatArray = NDArray[np.float64]


class Deviation(NamedTuple):
    """A prediction of accuracy beside the accuracy itself.

    Args:
        law: name of the prediction.
        predicted: accuracy that it predicts.
        accuracy: share of items whose whole answer is right.
        ratio: predicted over observed; NaN where no answer is right.
        low: lower end of its interval.
        high: upper end of its interval.
    """

    law: str
    predicted: float
    accuracy: float
    ratio: float
    low: float
    high: float


def deviations(right: ArrayLike, logprobs: ArrayLike, level: float = 0.95) -> list[Deviation]:
    """The predictions for one model and one target length.

    The interval is normal on the logarithm of the ratio; its variance comes from the items'
    influences on prediction and accuracy together (delta method), items being independent.

    Args:
        right: (items,) 1 where the whole answer is right, else 0.
        logprobs: (items, L) log-probabilities of the target's tokens, nats.
        level: coverage of the intervals.

    Raises:
        ValueError: fewer than two items.
    """
    correct, logs = np.asarray(right, float), np.asarray(logprobs, float)
    if len(correct) < 2:
        raise ValueError("deviations need at least two items")
    accuracy = float(correct.mean())
    seen = _influence(correct)
    half = float(ndtri(0.5 + level / 2))
    found = []
    for law, (predicted, influence) in _predictions(logs).items():
        error = float(np.std(influence - seen, ddof=1)) / len(correct) ** 0.5
        ratio = predicted / accuracy if accuracy > 0 else float("nan")
        ends = ratio * np.exp(np.array([-half, half]) * error)
        found.append(Deviation(law, predicted, accuracy, ratio, *map(float, ends)))
    return found


def _influence(values: FloatArray) -> FloatArray:
    """(items,) how far each item moves the logarithm of the mean."""
    mean = values.mean()
    return (values - mean) / mean if mean > 0 else np.full_like(values, np.nan)


def _predictions(logs: FloatArray) -> dict[str, tuple[float, FloatArray]]:
    """Each prediction with the items' influences on its logarithm."""
    length = logs.shape[1]
    shares = np.exp(logs)
    whole = np.exp(logs.sum(axis=1))
    positions = shares.mean(axis=0)
    sums = logs.sum(axis=1)
    return {
        "mean_power": (float(shares.mean() ** length), length * _influence(shares.mean(axis=1))),
        "position_product": (
            float(positions.prod()),
            sum((_influence(column) for column in shares.T), np.zeros(len(logs))),
        ),
        "sequence_probability": (float(whole.mean()), _influence(whole)),
        "geometric_power": (float(np.exp(sums.mean())), sums - sums.mean()),
    }


def position_laws(responses: pl.DataFrame, level: float = 0.95) -> pl.DataFrame:
    """The predictions for every model, task and target length of a table of answers.

    Args:
        responses: table `Responses`; answers without words or target log-probabilities, and
            all but the first sample, take no part.
        level: coverage of the intervals.

    Returns:
        Rows of model, task, length (tokens), items, accuracy, law, predicted, ratio, low,
        high (null where no answer is right); a length needs two items.
    """
    known = responses.filter(
        pl.col("sample") == 0,
        pl.col("output").is_not_null(),
        pl.col("target_logprobs").list.len() > 0,
    ).with_columns(
        right=pl.col("targets").list.contains(pl.col("output")),
        length=pl.col("target_logprobs").list.len(),
    )
    keys = ["model", "task", "length"]
    rows: list[dict[str, object]] = []
    for key, group in known.group_by(keys, maintain_order=True):
        if group.height > 1:
            logs = np.array(group["target_logprobs"].to_list())
            found = deviations(group["right"].to_numpy(), logs, level)
            facts = dict(zip(keys, key, strict=True)) | {"items": group.height}
            rows += [facts | deviation._asdict() for deviation in found]
    return pl.DataFrame(rows, schema=LAWS, infer_schema_length=None).fill_nan(None)


LAWS = pl.Schema(
    {
        "model": pl.String, "task": pl.String, "length": pl.Int64, "items": pl.Int64,
        "accuracy": pl.Float64, "law": pl.String, "predicted": pl.Float64, "ratio": pl.Float64,
        "low": pl.Float64, "high": pl.Float64,
    }
)  # fmt: skip
