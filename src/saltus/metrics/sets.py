"""What metrics of whole sets share: values that some answers take no part in, and no value."""

from __future__ import annotations

import numpy as np

from saltus.metrics.metric import BoolArray, FloatArray, Reasons, SetValue, present


def whole(there: BoolArray, value: float, influence: FloatArray) -> SetValue:
    """A value of the answers where `there` holds, with the influence of each of them."""
    if there.all():
        return SetValue(value, influence)
    every = np.full(len(there), np.nan)
    every[there] = influence
    return SetValue(value, every)


def nothing(answers: int, why: str) -> SetValue:
    """No value, with the reason."""
    return SetValue(np.nan, np.full(answers, np.nan), why)


def unscored(missing: Reasons) -> SetValue:
    """No value since no answer has one, with the most frequent of their reasons."""
    reasons = [str(reason) for reason in missing[~present(missing)]]
    why = max(sorted(set(reasons)), key=reasons.count) if reasons else "no answers"
    return nothing(len(missing), f"no item has a value: {why}")
