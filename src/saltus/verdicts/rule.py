"""The rule: from the evidence to a verdict. First match wins (science.md 4.3).

A pure function of `Evidence`. METRIC_ARTEFACT rests on positive evidence, never on a break
that merely failed to show. A thresholded metric alone never gives BREAK. LOSS_THRESHOLD is
BREAK on the loss axis, unless models of other sizes are shown to score differently at equal
loss (2.3); where that cannot be tested the verdict stands and says so.

Decisions beyond the specification:

- NO_EVIDENCE without a break test (too few scales), or without a partner, is given only if
  no scale stands clearly above all smaller ones: a straight line sees little of a jump at
  the last scale. Where apparent emergence could not be tested, the rate must not rise either.
- GRADUAL without a partner is withheld where the rate itself rejects every smooth family.
- Inverse scaling is reported, as a second row, only when the fall is significant at .025
  and the forward verdict is no break; its verdicts are those of a series without a
  thresholded metric.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from saltus.verdicts.evidence import P_BREAK, Evidence

LEVEL = 0.05
P_SUB = 0.025
P_SMOOTH = 0.20
P_FALL = 0.025
BREAKS = ("BREAK", "LOSS_THRESHOLD")

VERDICTS: Mapping[str, str] = {
    "BREAK": "real: the jump persists under a continuous metric and is not extrapolated",
    "LOSS_THRESHOLD": "a break on the axis of the pre-training loss",
    "METRIC_ARTEFACT": "smooth under the continuous metric, which improves below the threshold",
    "BELOW_RESOLUTION": "compatible with a smooth curve that the items cannot show",
    "GRADUAL": "the score rises with scale; no apparent jump to explain",
    "NO_EVIDENCE": "neither a change with scale nor an apparent jump",
    "INCONCLUSIVE": "the evidence carries none of the others; see the reason",
}

REASONS: Mapping[str, str] = {
    "too_few_scales": "too few scales for the tests that would decide",
    "no_power": "no test decides between a smooth curve and a break",
    "break_without_extrapolation_failure": "a break that the smaller scales' line still covers",
    "not_material": "a break that adds less than 0.10 to the score",
    "size_matters_at_equal_loss": "a break on the loss axis, but size matters at equal loss",
    "smooth_rejected_but_curved": "a straight line is rejected, a smooth curve is not",
    "items_unknown": "apparent emergence cannot be tested without the number of items",
    "chance_unknown": "apparent emergence cannot be tested without the chance level",
    "no_continuous_metric": "a bend or jump, and no continuous metric to explain it",
}


@dataclass(frozen=True)
class Ruling:
    """A verdict and, where it needs one, its reason: both by name."""

    verdict: str
    reason: str | None = None


def rule(evidence: Evidence) -> Ruling:
    """The first verdict whose criteria the evidence meets.

    Args:
        evidence: the outcome of every step.
    """
    if evidence.change is None:
        return Ruling("INCONCLUSIVE", "too_few_scales")
    if nothing_seen(evidence):
        return Ruling("NO_EVIDENCE")
    if broken(evidence):
        if evidence.axis == "loss" and evidence.size_matters:
            return Ruling("INCONCLUSIVE", "size_matters_at_equal_loss")
        return Ruling("LOSS_THRESHOLD" if evidence.axis == "loss" else "BREAK")
    if metric_artefact(evidence):
        return Ruling("METRIC_ARTEFACT")
    if evidence.resolution is not None and evidence.resolution.below:
        return Ruling("BELOW_RESOLUTION")
    if gradual(evidence):
        return Ruling("GRADUAL")
    return Ruling("INCONCLUSIVE", reason(evidence))


def nothing_seen(evidence: Evidence) -> bool:
    """No change, no apparent emergence and no break."""
    if evidence.change is None or evidence.change.p_value < LEVEL or evidence.apparent.seen:
        return False
    if evidence.p_break is not None and not _untested(evidence):
        return evidence.p_break > P_BREAK
    found = evidence.test.p_break if evidence.test else 1.0
    rate = evidence.rate_change
    rate_rises = _untested(evidence) and rate is not None and rate.p_value < LEVEL
    return found > P_BREAK and not evidence.rise and not rate_rises


def broken(evidence: Evidence) -> bool:
    """Every smooth family rejected upwards, not extrapolated, and large enough to matter."""
    test = evidence.test
    rejected = evidence.p_break is not None and evidence.p_break <= P_BREAK
    upward = test is not None and test.upward
    return bool(rejected and upward and evidence.beyond and evidence.material)


def metric_artefact(evidence: Evidence) -> bool:
    """Apparent emergence, improvement below the threshold, and no sign of a break."""
    improves = evidence.p_sub is not None and evidence.p_sub < P_SUB
    smooth = evidence.p_break is not None and evidence.p_break >= P_SMOOTH
    return bool(evidence.apparent.seen and improves and smooth)


def gradual(evidence: Evidence) -> bool:
    """A rise, and nothing that looks like emergence."""
    rises = evidence.change is not None and evidence.change.p_value < LEVEL
    screened = evidence.p_screen is not None and evidence.p_screen <= P_BREAK
    return rises and not evidence.apparent.seen and not _untested(evidence) and not screened


def reason(evidence: Evidence) -> str:
    """Why none of the verdicts could be given."""
    if evidence.partner is None:
        return _reason_without_partner(evidence)
    if evidence.p_break is None:
        return _untested(evidence) or "too_few_scales"
    if evidence.p_break <= P_BREAK:
        return "not_material" if evidence.beyond else "break_without_extrapolation_failure"
    if untested := _untested(evidence):
        return untested
    line = evidence.test.p_smooth["line"] if evidence.test else 1.0
    return "smooth_rejected_but_curved" if line <= P_BREAK else "no_power"


def _reason_without_partner(evidence: Evidence) -> str:
    if untested := _untested(evidence):
        return untested
    if evidence.apparent.seen or evidence.test is not None:
        return "no_continuous_metric"
    return "too_few_scales"


def _untested(evidence: Evidence) -> str | None:
    """Why step 1 could not run although there is a thresholded metric."""
    why = evidence.apparent.untested
    return None if why == "no_thresholded_metric" else why
