"""Metrics of the vision experiments of Schaeffer et al. 2023 (arXiv:2304.15004, sec. 5)."""

from __future__ import annotations

import math

import numpy as np

from saltus.metrics.metric import METRICS, FloatArray, Metric, SetValue
from saltus.metrics.sampling import tally
from saltus.metrics.sets import nothing

SUBSETS = (2, 3, 4, 5)
SOURCE = "Schaeffer et al. 2023, arXiv:2304.15004, sec. 5"


def subset_accuracy(right: int, items: int, size: int) -> float:
    """Probability that `size` items drawn without replacement are all right.

    The U-statistic C(k, K) / C(n, K): unbiased for p^K, while random grouping adds noise and
    (k/n)^K is too large. NaN where there are fewer items than the subset has.

    Args:
        right: k, items answered right.
        items: n.
        size: K, items that must all be right.
    """
    return math.comb(right, size) / math.comb(items, size) if items >= size else math.nan


def _subset_entry(size: int) -> Metric:
    def function(item: list[str], correct: FloatArray) -> SetValue:
        counts = tally(item, correct)
        if counts.answers.max(initial=0) > 1:
            return nothing(len(item), "several answers per item: subsets of items are not defined")
        scored = np.isfinite(correct)
        n, k = int(scored.sum()), int((correct == 1.0).sum())
        if n < size:
            return nothing(len(item), f"{n} scored items, fewer than K = {size}")
        value = subset_accuracy(k, n, size)
        # first-order projection: a right item is in C(k - 1, K - 1) of its all-right subsets
        mine = math.comb(k - 1, size - 1) / math.comb(n - 1, size - 1) if k else 0.0
        influence = np.where(scored, size * (np.where(correct == 1.0, mine, 0.0) - value), np.nan)
        return SetValue(value, influence)

    return Metric(
        f"subset_accuracy@{size}", function, ("item", "correct"), "share of subsets", "higher",
        (0.0, 1.0), "thresholded", f"{SOURCE}, app. B; U-statistic over subsets of items",
        (f"all_of_{size}",), kind="set", group=size,
        partners=("correct_choice_probability", "choice_log_loss", "brier_sum",
                  "token_error_rate", "char_error_rate"),
        summary=f"Probability that {size} items drawn at random are all answered right.",
    )  # fmt: skip


for _size in SUBSETS:
    METRICS.add(_subset_entry(_size))


def squared_errors(images: FloatArray, reconstructions: FloatArray) -> FloatArray:
    """(images,) squared distance, summed over the pixels.

    Args:
        images: (images, ...) pixels on the scale [0, 1].
        reconstructions: the same shape.
    """
    apart: FloatArray = np.square(images - reconstructions).reshape(len(images), -1).sum(axis=1)
    return apart


def reconstruction(errors: FloatArray, limit: float) -> FloatArray:
    """(images,) 1 where the squared distance is below c: Reconstruction_c before its mean.

    Args:
        errors: (images,) from `squared_errors`; NaN stays NaN.
        limit: c, on the same scale (a sum over pixels).
    """
    return np.where(np.isnan(errors), np.nan, (errors < limit).astype(np.float64))


# What the vision experiments write as per-image scores of their own.
METRICS.add(
    Metric(
        "reconstruction", None, (), "share of images", "higher", (0.0, 1.0), "thresholded",
        f"{SOURCE}: squared distance, summed over pixels, below c", ("reconstruction_c",),
        binary=True, chance=0.0, partners=("squared_error",),
        summary="1 when an image is reconstructed to within c.",
    )
)  # fmt: skip
METRICS.add(
    Metric(
        "squared_error", None, (), "squared pixel value, summed over pixels", "lower",
        (0.0, None), "continuous", f"{SOURCE}: what Reconstruction_c rounds off", link="nll",
        summary="Squared distance of an image and its reconstruction.",
    )
)  # fmt: skip
