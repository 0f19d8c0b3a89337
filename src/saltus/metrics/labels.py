"""Metrics of predicted labels as a whole set."""

from __future__ import annotations

import numpy as np

from saltus.metrics.metric import BIG_BENCH, FloatArray, SetValue, metric
from saltus.metrics.normalise import folded
from saltus.metrics.sets import nothing, whole
from saltus.metrics.text import PARTNERS, Outputs, Targets

FEWEST = 2  # answers per label below which the "labels" are texts


@metric(
    unit="mean over labels",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="thresholded",
    source=f"{BIG_BENCH}, `macro_f1_fn` (scikit-learn); here over the targets' labels only, "
    "compared without case",
    aliases=("f1_macro",),
    partners=PARTNERS,
    kind="set",
)
def macro_f1(output: Outputs, targets: Targets) -> SetValue:
    """Mean over the targets' labels of F1 = 2 TP / (predicted + actual).

    BIG-bench takes the likeliest choice as the predicted label, and counts a label that is
    only ever predicted with F1 = 0; a text of a model may be anything, so here it does not.

    Args:
        output: (answers,) predicted labels; what is no target's label is a miss.
        targets: per answer the label; its first accepted answer counts.
    """
    label = [next((t for t in given or () if t is not None), None) for given in targets]
    usable = np.array([t is not None and o is not None for o, t in zip(output, label, strict=True)])
    if not usable.any():
        return nothing(len(output), "no answer has an output and a label")
    chosen = np.flatnonzero(usable).tolist()
    actual = [folded(label[place] or "") for place in chosen]
    predicted = [folded(output[place] or "") for place in chosen]
    number = {name: place for place, name in enumerate(sorted(set(actual)))}
    if len(actual) < FEWEST * len(number):
        why = f"{len(number)} labels for {len(actual)} answers: the targets are no set of labels"
        return nothing(len(output), why)
    have = np.array([number[name] for name in actual])
    said = np.array([number.get(name, len(number)) for name in predicted])
    value, influence = _macro(have, said, len(number))
    return whole(usable, value, influence)


def _macro(
    have: np.ndarray[tuple[int], np.dtype[np.int64]],
    said: np.ndarray[tuple[int], np.dtype[np.int64]],
    labels: int,
) -> tuple[float, FloatArray]:
    """Mean F1 and each answer's influence on it (F1 is a ratio of sums over answers)."""
    hits = np.bincount(have[have == said], minlength=labels)
    total = np.bincount(have, minlength=labels) + np.bincount(said, minlength=labels + 1)[:labels]
    f1 = np.append(2.0 * hits / total, 0.0)
    weight = np.append(len(have) / total, 0.0) / labels
    twice = np.where(have == said, 2.0, 0.0) * weight[have]
    return float(f1[:labels].mean()), twice - (f1 * weight)[have] - (f1 * weight)[said]
