"""The words of a verdict: one or two sentences that a scientist reads, and what would settle it.

Pure functions of the evidence and the ruling; every number in a sentence is also a column.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from saltus.screens.phrases import SHOWN
from saltus.verdicts.below_resolution import ALPHA
from saltus.verdicts.evidence import Evidence
from saltus.verdicts.measured import Measured
from saltus.verdicts.rule import BREAKS, LEVEL, Ruling
from saltus.verdicts.series import Unplaced

UNITS: Mapping[str, str] = {
    "params": "parameters",
    "tokens": "training tokens",
    "flops": "training FLOPs",
    "loss": "nats per token",
}
AXES: Mapping[str, str] = {**UNITS, "loss": "falling pre-training loss"}
NOWHERE: Mapping[str | None, str] = {
    "logit": "is exactly 0 or 1 and has no logit",
    "nll": "is a loss of 0 and has no logarithm",
    "perplexity": "is a perplexity of 1 and has no logarithm of its logarithm",
    "error_rate": "is at an end of its range, with no number of units to move it off",
    "brier": "is worse than a wrong answer spread evenly, or has no known level under guessing,",
}
SHARP_RISE = 0.10
MANY_ITEMS = 1e6


def p_text(p_value: float) -> str:
    """A p-value as it is printed: .36, .042, 4.6e-9, < 1e-15."""
    if p_value < 1e-15:
        return "< 1e-15"
    if p_value < 0.001:
        mantissa, exponent = f"{p_value:.1e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    if p_value >= 0.995:
        return "1.0"
    text = f"{p_value:.2f}" if p_value >= 0.1 else f"{p_value:.2g}"
    return text.lstrip("0")


def equals(name: str, p_value: float) -> str:
    """`name = .042`, or `name < 1e-15`."""
    text = p_text(p_value)
    return f"{name} {text}" if text.startswith("<") else f"{name} = {text}"


def place_text(place: float, axis: str) -> str:
    """A place on the axis in raw units, such as "3.2e8 parameters"."""
    return f"{raw_text(place, axis)} {UNITS.get(axis, axis)}"


def raw(place: float, axis: str) -> float:
    """A place on the axis in the axis's raw unit."""
    return -place if axis == "loss" else 10.0 ** min(place, 300.0)


def raw_text(place: float, axis: str) -> str:
    """The number alone."""
    value = raw(place, axis)
    if axis == "loss":
        return f"{value:.3g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


class Batch(NamedTuple):
    """The break test of one series among all those of its batch.

    Args:
        p_adjusted: p_break adjusted by Benjamini and Yekutieli.
        tests: break tests in the batch.
    """

    p_adjusted: float
    tests: int

    @property
    def survives(self) -> bool:
        """Whether a break may be a headline."""
        return self.p_adjusted <= LEVEL


def sentence(evidence: Evidence, ruling: Ruling, batch: Batch | None = None) -> str:
    """The verdict and its main evidence in plain words.

    Args:
        evidence: what was measured.
        ruling: what the rule made of it.
        batch: its break test among the others; None: it stands alone.
    """
    key = ruling.reason or ruling.verdict
    body = _inverse(evidence, ruling) if evidence.inverse else SENTENCES[key](evidence)
    if batch and ruling.verdict in BREAKS and not batch.survives:
        adjusted = equals("adjusted p", batch.p_adjusted)
        body += (
            f" Among {batch.tests:,} break tests of this batch it does not survive the "
            f"correction for their number ({adjusted})."
        )
    return body + _left_out(evidence)


def _left_out(evidence: Evidence) -> str:
    """Scales without a value, and models whose value has no place on the link scale."""
    lost = evidence.unplaced
    count = evidence.dropped - (lost.scales if evidence.partner else 0)
    many = "scales without a value were" if count > 1 else "scale without a value was"
    words = f" ({count} {many} left out.)" if count else ""
    if not lost.models:
        return words
    are = "models are" if len(lost.models) > 1 else "model is"
    return (
        f"{words} ({len(lost.models)} {are} left out of {evidence.soft}, which {_nowhere(lost)}"
        f" there: {_some(lost.models)}.)"
    )


def _nowhere(lost: Unplaced) -> str:
    return NOWHERE.get(lost.link, "has no place on its link scale")


def _some(labels: Sequence[str]) -> str:
    """The first few labels, and how many more there are."""
    more = f" and {len(labels) - SHOWN} more" if len(labels) > SHOWN else ""
    return ", ".join(labels[:SHOWN]) + more


def settle(evidence: Evidence, ruling: Ruling, batch: Batch | None = None) -> str | None:
    """What would settle it, or None where nothing is open."""
    key = ruling.reason or ruling.verdict
    if batch and ruling.verdict in BREAKS and not batch.survives:
        return (
            f"a repetition of this one test on new answers or models, or {_more_scales(evidence)}"
        )
    hint = SETTLES.get(key)
    return hint(evidence) if hint and not evidence.inverse else None


def _name(evidence: Evidence) -> str:
    return evidence.partner or evidence.metric or "the score"


def _hard(evidence: Evidence) -> str:
    return evidence.metric or "the thresholded metric"


def _along(evidence: Evidence) -> str:
    return AXES.get(evidence.axis, evidence.axis)


def _change(evidence: Evidence) -> str:
    return equals("p_change", evidence.change.p_value) if evidence.change else "not tested"


def _p_break(evidence: Evidence) -> str:
    return "not tested" if evidence.test is None else equals("p_break", evidence.test.p_break)


def _span(points: Measured) -> str:
    return f"{points.scales} scale{'' if points.scales == 1 else 's'}"


def _no_evidence(e: Evidence) -> str:
    start = f"{_name(e)} does not rise with {_along(e)} over {_span(e.points)} ({_change(e)})"
    middle = f" and no break is found ({_p_break(e)})" if e.test else ", and no scale stands out"
    if e.detectable is None:
        return f"{start}{middle}."
    shown = f"a rise of {e.detectable:.2g} or more at the largest scale would most likely show"
    return f"{start}{middle}; {shown}."


def _threshold(e: Evidence) -> str:
    if e.threshold is None:
        return ""
    low, high = e.threshold.low, e.threshold.high
    if e.axis == "loss":
        low, high = high, low
    where = f" at {place_text(e.threshold.place, e.axis)}"
    ends = [_end(low, e.axis, "below"), _end(high, e.axis, "above")]
    return f"{where} (95 % interval {ends[0]} to {ends[1]})"


def _end(place: float | None, axis: str, side: str) -> str:
    return f"open {side}" if place is None else raw_text(place, axis)


def _break(e: Evidence) -> str:
    gain = f"{e.gain:.2f}" if e.gain is not None else "?"
    return (
        f"{_name(e)} itself breaks{_threshold(e)}: every smooth curve is rejected "
        f"({_p_break(e)}), the largest scale lies above what those up to the break predict, "
        f"and it gains {gain} over their line.{_sameness(e)}"
    )


def _sameness(e: Evidence) -> str:
    """On the loss axis: whether size matters at equal loss."""
    if e.axis != "loss" or e.inverse:
        return ""
    if e.size is None:
        return " Whether size matters at equal loss could not be tested."
    if e.size.within(e.same_within):
        return f" At equal loss, size changes nothing that matters ({_size_effect(e)})."
    return f" At equal loss, no effect of size is shown ({_size_effect(e)})."


def _size_effect(e: Evidence) -> str:
    found = e.size
    if found is None or found.slope is None:
        return "no slope"
    ends = ""
    if found.low is not None and found.high is not None:
        ends = f", 90 % interval {found.low:.3f} to {found.high:.3f}"
    return f"{found.slope:+.3f} per decade of parameters{ends}"


def _size_matters(e: Evidence) -> str:
    p = e.size.p_runs if e.size and e.size.p_runs is not None else e.size.p if e.size else None
    words = f", {equals('p', p)}" if p is not None else ""
    return (
        f"{_name(e)} breaks{_threshold(e)}, but the loss alone does not decide: at equal loss "
        f"larger models score differently ({_size_effect(e)}{words})."
    )


def _artefact(e: Evidence) -> str:
    floor = e.apparent.near_floor
    sub = equals("p", e.p_sub) if e.p_sub is not None else "p not known"
    text = (
        f"{_hard(e)} stays near its floor for the {floor} smallest scales, yet {_name(e)} already "
        f"improves there ({sub}) and a smooth curve describes it ({_p_break(e)}): the jump is made "
        f"by the metric."
    )
    caveat = " Its values there are still below guessing: that is calibration, not yet ability."
    return text + caveat if e.below_chance else text


def _below(e: Evidence) -> str:
    found = e.resolution
    p_value = p_text(found.p_deviance) if found else "?"
    count = found.unresolved if found else 0
    return (
        f"{_hard(e)} looks like a jump, but a smooth curve fits its counts (p = {p_value}), and at "
        f"{count} of the smallest scales that curve expects too few successes to be seen with "
        f"{e.items:,} items. A break is not excluded: there is no continuous metric."
    )


def _gradual(e: Evidence) -> str:
    start = f"{_name(e)} rises with {_along(e)} over {_span(e.points)} ({_change(e)})"
    if e.metric is None:
        return f"{start}, and no material break is shown ({_p_break(e)})."
    return f"{start}; {_hard(e)} does not go from absent to present, so no jump is to be explained."


def _too_few(e: Evidence) -> str:
    if e.change is None:
        return f"Only {_span(e.points)} with a value: a change with {_along(e)} cannot be tested."
    need = 5 if e.points.known else 6
    return (
        f"{_span(e.points).capitalize()} are too few for the break test, which needs {need} "
        f"({_change(e)}); {_pattern(e)}."
    )


def _pattern(e: Evidence) -> str:
    if e.apparent.seen:
        return f"{_hard(e)} goes from its floor at the {e.apparent.near_floor} smallest to present"
    return "one scale stands clearly above all smaller ones" if e.rise else "no jump is explained"


def _no_power(e: Evidence) -> str:
    sub = "was not testable" if e.p_sub is None else f"has {equals('p', e.p_sub)}"
    if not e.apparent.seen:
        return f"Neither a smooth curve nor a break of {_name(e)} is excluded ({_p_break(e)})."
    return (
        f"{_hard(e)} jumps, but {_name(e)} neither excludes a smooth curve ({_p_break(e)}) nor "
        f"shows enough improvement below the threshold, which {sub}."
    )


def _covered(e: Evidence) -> str:
    start = f"Every smooth curve of {_name(e)} is rejected ({_p_break(e)})"
    if e.beyond is None:
        return f"{start}, but too few scales lie below the break to extrapolate from."
    return f"{start}, but the largest scale does not exceed what those up to the break predict."


def _not_material(e: Evidence) -> str:
    gain = f"{e.gain:.2f}" if e.gain is not None else "?"
    return (
        f"Every smooth curve of {_name(e)} is rejected ({_p_break(e)}), but the break adds only "
        f"{gain} at the largest scale (0.10 would matter)."
    )


def _curved(e: Evidence) -> str:
    families = e.test.p_smooth if e.test else {}
    kept = max(families, key=lambda name: families[name], default="a smooth curve")
    return (
        f"A straight line does not describe {_name(e)} ({equals('p', families.get('line', 1.0))}), "
        f"but a smooth curve does ({kept.replace('_', ' ')}, {_p_break(e)}): accelerating growth "
        f"and a break cannot be told apart."
    )


def _items_unknown(e: Evidence) -> str:
    return (
        f"{_hard(e)} comes without whole counts (its number of items is not stated, or several "
        f"answers to an item are averaged), so whether it leaves its floor cannot be tested "
        f"({_change(e)} of {_name(e)})."
    )


def _chance_unknown(e: Evidence) -> str:
    return (
        f"The chance level of {_hard(e)} is not known, so whether it leaves its floor cannot be "
        f"tested ({_change(e)} of {_name(e)})."
    )


def _no_partner(e: Evidence) -> str:
    screen = f" (smooth curves on the metric itself: {_p_break(e)})" if e.test else ""
    moves = "jumps" if e.apparent.seen else "bends or jumps"
    seen = f"{_hard(e)} {moves}{screen}, but there is no continuous metric"
    found = e.resolution
    if found is None:
        return f"{seen}: a real break cannot be told from an artefact of the metric."
    deviance = f"p = {p_text(found.p_deviance)}"
    if found.p_deviance > ALPHA:
        return f"{seen}; a smooth curve fits its counts too ({deviance}), at scales it could show."
    return f"{seen}, and the smooth binomial curve does not fit its counts ({deviance})."


def _inverse(e: Evidence, ruling: Ruling) -> str:
    """The sentence of an inverse row."""
    name, fall = _name(e), _change(e)
    start = f"{name} falls with {_along(e)} over {_span(e.points)} ({fall}, one-sided)"
    if ruling.verdict in ("BREAK", "LOSS_THRESHOLD"):
        gain = f"{e.gain:.2f}" if e.gain is not None else "?"
        return f"{start}, and breaks{_threshold(e)}: it loses {gain} beyond its earlier line."
    if ruling.verdict == "GRADUAL":
        return f"{start}: inverse scaling without a sudden fall."
    return f"{start}: inverse scaling; whether it falls suddenly is open ({_p_break(e)})."


def _more_scales(e: Evidence) -> str:
    """More scales in the gap where the values rise most."""
    points = e.points
    if points.scales < 2:
        return f"models at more values of {UNITS.get(e.axis, e.axis)}"
    rises = (points.y[1:] - points.y[:-1]).tolist()
    at = rises.index(max(rises))
    ends = sorted((points.x[at], points.x[at + 1]), key=lambda place: raw(place, e.axis))
    low, high = raw_text(ends[0], e.axis), place_text(ends[1], e.axis)
    return f"more scales between {low} and {high}"


def _noise_or_scales(e: Evidence) -> str:
    if e.points.known:
        return _more_scales(e)
    return f"re-runs or seeds to measure the model noise tau, or {_more_scales(e)}"


def _items_needed(e: Evidence) -> str:
    found = e.resolution
    partner = "a continuous metric on the same answers"
    if found is None or not math.isfinite(found.items_needed):
        return partner
    if found.items_needed > MANY_ITEMS:
        wanted = f"items alone would take n >= {found.items_needed:.1e}"
        return f"{partner}, or {_more_scales(e)} ({wanted})"
    return f"n >= {found.items_needed:,.0f} items at the smallest models, or {partner}"


def _more_items(e: Evidence) -> str | None:
    if e.detectable is None or e.detectable <= SHARP_RISE:
        return None
    return f"more items: a rise below {e.detectable:.2g} could not have been seen"


def _sizes(e: Evidence) -> str | None:
    if e.size is not None and e.size.within(e.same_within):
        return None
    return "models of several sizes at equal loss, to show that the loss alone decides"


def _scales_below(e: Evidence) -> str:
    return "more scales at or below the break, or larger ones" if e.test else _more_scales(e)


def _count(e: Evidence) -> str:
    return "the number of items behind each rate, or the answers per item"


SENTENCES: Mapping[str, Callable[[Evidence], str]] = {
    "NO_EVIDENCE": _no_evidence,
    "BREAK": _break,
    "LOSS_THRESHOLD": _break,
    "METRIC_ARTEFACT": _artefact,
    "BELOW_RESOLUTION": _below,
    "GRADUAL": _gradual,
    "too_few_scales": _too_few,
    "no_power": _no_power,
    "break_without_extrapolation_failure": _covered,
    "not_material": _not_material,
    "size_matters_at_equal_loss": _size_matters,
    "smooth_rejected_but_curved": _curved,
    "items_unknown": _items_unknown,
    "chance_unknown": _chance_unknown,
    "no_continuous_metric": _no_partner,
}

SETTLES: Mapping[str, Callable[[Evidence], str | None]] = {
    "NO_EVIDENCE": _more_items,
    "LOSS_THRESHOLD": _sizes,
    "BELOW_RESOLUTION": _items_needed,
    "too_few_scales": _more_scales,
    "no_power": _noise_or_scales,
    "break_without_extrapolation_failure": _scales_below,
    "not_material": _noise_or_scales,
    "size_matters_at_equal_loss": lambda e: "families trained so that size and tokens vary apart",
    "smooth_rejected_but_curved": _more_scales,
    "items_unknown": _count,
    "chance_unknown": lambda e: "the chance level of the metric, such as the number of choices",
    "no_continuous_metric": lambda e: "a continuous metric on the same answers",
}
