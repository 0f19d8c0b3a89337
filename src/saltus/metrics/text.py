"""Metrics that ask whether an output is, or holds, an accepted answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from saltus.metrics.metric import Reasons, Values, first_reasons, metric, present
from saltus.metrics.normalise import folded, quasi, stripped, unquoted

Outputs = Sequence[str | None]
Targets = Sequence[Sequence[str | None] | None]

SOLUTION = re.compile(r"<solution>(.*?)</solution>")
BETWEEN_DASHES = re.compile(r".* --- (.*?) --- .*")

# What an all-or-nothing comparison of texts rounds off. Characters stand before words: an
# answer of one word is as all-or-nothing in words as in whole.
PARTNERS = (
    "target_log_loss", "bits_per_byte", "token_error_rate", "char_error_rate", "char_error",
    "word_error", "word_accuracy", "rougeL_f", "bleu", "chrf", "f1",
)  # fmt: skip


def unusable(output: Outputs, targets: Targets) -> Reasons:
    """(items,) why an answer cannot be compared with its targets."""
    no_output = np.array([text is None for text in output], dtype=bool)
    no_target = np.array([not any(t is not None for t in given or ()) for given in targets], bool)
    return first_reasons(len(output), [(no_output, "no output"), (no_target, "no target")])


def each(
    output: Outputs, targets: Targets, test: Callable[[str, Sequence[str]], bool | float]
) -> Values:
    """The test's value for every answer that has an output and targets."""
    missing = unusable(output, targets)
    value = np.full(len(output), np.nan)
    for item in np.flatnonzero(present(missing)).tolist():
        text, given = output[item], targets[item] or ()
        value[item] = test(text or "", [target for target in given if target is not None])
    return Values(value, missing)


def _equal(output: Outputs, targets: Targets, normal: Callable[[str], str]) -> Values:
    return each(output, targets, lambda text, given: normal(text) in map(normal, given))


@metric(
    unit="share of items",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="thresholded",
    source="Schaeffer et al. 2023, arXiv:2304.15004, app. A.3; white space at the ends is removed",
    aliases=("em", "exact_str_match", "exact_match_accuracy", "match"),
    binary=True,
    chance=0.0,
    partners=PARTNERS,
    default=True,
)
def exact_match(output: Outputs, targets: Targets) -> Values:
    """1 when the output equals a target, white space at the ends aside.

    Args:
        output: the answers.
        targets: per answer the accepted answers; one that equals is enough.
    """
    return _equal(output, targets, stripped)


@metric(
    unit="share of items",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="thresholded",
    source="Srivastava et al. 2022, arXiv:2206.04615, `case_insensitive_str_match`; Unicode NFC, "
    "case folding and single spaces",
    aliases=("case_insensitive_str_match",),
    binary=True,
    chance=0.0,
    partners=PARTNERS,
)
def exact_match_folded(output: Outputs, targets: Targets) -> Values:
    """1 when the output equals a target up to Unicode form, case and white space.

    Args:
        output: the answers.
        targets: per answer the accepted answers; one that equals is enough.
    """
    return _equal(output, targets, folded)


@metric(
    unit="share of items",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="thresholded",
    source="Rajpurkar et al. 2016, arXiv:1606.05250, `normalize_answer`; HELM, arXiv:2211.09110",
    aliases=("squad_exact_match",),
    binary=True,
    chance=0.0,
    partners=PARTNERS,
)
def quasi_exact_match(output: Outputs, targets: Targets) -> Values:
    """1 when the output equals a target up to case, punctuation, articles and white space.

    Args:
        output: the answers.
        targets: per answer the accepted answers; one that equals is enough.
    """
    return _equal(output, targets, quasi)


@metric(
    unit="share of items",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="thresholded",
    source="ZeroEval on CRUXEval: literals with and without their quotes are equal",
    binary=True,
    chance=0.0,
    partners=PARTNERS,
)
def exact_match_unquoted(output: Outputs, targets: Targets) -> Values:
    """1 when the output equals a target, white space and quotation marks around both aside.

    Args:
        output: the answers.
        targets: per answer the accepted answers; one that equals is enough.
    """
    return _equal(output, targets, unquoted)


@metric(
    unit="share of words",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="continuous",
    source="survival of prefixes: words of the target before the first that is wrong",
)
def prefix_accuracy(output: Outputs, targets: Targets) -> Values:
    """Share of the target's words that the output has right before its first wrong one.

    Args:
        output: the answers.
        targets: per answer the accepted answers; the one that lasts longest counts.
    """
    whole = [[target for target in given or () if target and target.split()] for given in targets]
    return each(output, whole, lambda text, given: max(_prefix(text, target) for target in given))


def _prefix(text: str, target: str) -> float:
    have, want = text.split(), target.split()
    pairs = enumerate(zip(have, want, strict=False))
    shorter = min(len(have), len(want))
    return next((place for place, (one, goal) in pairs if one != goal), shorter) / len(want)


@metric(
    unit="share of items",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="thresholded",
    source="Inspect AI, scorer `includes`, with case; targets stripped",
    aliases=("includes",),
    binary=True,
    chance=0.0,
    partners=PARTNERS,
    default=True,
)
def contains(output: Outputs, targets: Targets) -> Values:
    """1 when a target stands somewhere in the output.

    An empty target stands in every output, so it is no target here.

    Args:
        output: the answers.
        targets: per answer the accepted answers; one that is contained is enough.
    """
    whole = [[target for target in given or () if target and target.strip()] for given in targets]
    return each(output, whole, lambda text, given: any(t.strip() in text for t in given))


@metric(
    unit="share of items",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="thresholded",
    source="LiveBench, typos task, `typos_process_results`",
    aliases=("typos",),
    binary=True,
    chance=0.0,
    partners=PARTNERS,
)
def livebench_contains(output: Outputs, targets: Targets) -> Values:
    """1 when a target is a substring of the solution that LiveBench's typo rule extracts.

    The rule's quirks are kept: an empty target is in everything, text before and after does
    not matter, and a solution that spans lines is not found between its tags.

    Args:
        output: the answers.
        targets: per answer the accepted answers; one that is contained is enough.
    """

    def holds(text: str, given: Sequence[str]) -> bool:
        solution = livebench_solution(text)
        return any(target in solution for target in given)

    return each(output, targets, holds)


def livebench_solution(text: str) -> str:
    """The part of an answer that LiveBench's typo rule compares, lines joined by spaces."""
    tagged = SOLUTION.findall(text)
    if tagged:
        solution = tagged[-1]
    else:
        bare = text.replace("<solution>", "").replace("</solution>", "")
        between = BETWEEN_DASHES.search(bare)
        solution = between.group(1) if between else bare
    return " ".join(line for line in solution.strip().split("\n") if line)
