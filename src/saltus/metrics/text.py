"""Metrics that ask whether an output is, or holds, an accepted answer."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import compress
from typing import TypeVar, cast

import numpy as np

from saltus import kernels
from saltus.metrics.groups import Groups
from saltus.metrics.metric import BoolArray, Reasons, Values, first_reasons, metric, present
from saltus.metrics.normalise import folded, quasi, unquoted

Outputs = Sequence[str | None]
Targets = Sequence[Sequence[str | None] | None]
Row = TypeVar("Row")
Test = Callable[[str, Sequence[str]], bool | float]
Pairs = Callable[[Sequence[str], Sequence[str]], BoolArray]

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
    if only_targets(output, targets) is not None:
        return first_reasons(len(output), [])
    no_output = np.array([text is None for text in output], dtype=bool)
    # The first target settles it for almost every answer.
    no_target = np.array(
        [
            not given or (given[0] is None and all(target is None for target in given))
            for given in targets
        ],
        dtype=bool,
    )
    return first_reasons(len(output), [(no_output, "no output"), (no_target, "no target")])


def only_targets(output: Outputs, targets: Targets) -> list[str] | None:
    """Each answer's one target; None unless all answers have an output and just one target."""
    if isinstance(targets, Groups):
        one = targets.only
        whole = one is not None and None not in one and None not in output
        return cast(list[str], one) if whole else None
    try:
        only = [target for (target,) in cast(Sequence[Sequence[str]], targets)]
    except (TypeError, ValueError):  # targets that are None, that are none or several
        return None
    whole = len(only) == len(output) and None not in output and None not in only
    return only if whole else None


def each(output: Outputs, targets: Targets, test: Test, pairs: Pairs | None = None) -> Values:
    """The test's value for every answer that has an output and targets.

    Args:
        output: the answers.
        targets: per answer the accepted answers.
        test: an answer and its targets to their value.
        pairs: answers and the one target of each to the same values, but many at once.
    """
    if pairs and (only := only_targets(output, targets)) is not None:
        value = pairs(cast(Sequence[str], output), only).astype(np.float64)
        return Values(value, first_reasons(len(output), []))
    missing = unusable(output, targets)
    value = np.full(len(output), np.nan)
    left = present(missing)
    if pairs:
        alone = left & np.array([len(given or ()) == 1 for given in targets], dtype=bool)
        only = [target or "" for (target,) in _kept(targets, alone)]
        value[alone] = pairs(_kept(output, alone), only)
        left &= ~alone
    for item in np.flatnonzero(left).tolist():
        text, given = output[item], targets[item] or ()
        value[item] = test(text or "", [target for target in given if target is not None])
    return Values(value, missing)


def _kept(rows: Sequence[Row | None], mask: BoolArray) -> list[Row]:
    """The rows under a mask that holds for none that is None."""
    return cast(list[Row], list(compress(rows, mask.tolist())))


def _equal(output: Outputs, targets: Targets, normal: Callable[[str], str]) -> Values:
    """1 where the output is a target in the normal form, which only texts that differ need."""

    def pairs(have: Sequence[str], want: Sequence[str]) -> BoolArray:
        same = compared(operator.eq, have, want)
        differ = (~same).tolist()
        sides = (map(normal, compress(side, differ)) for side in (have, want))
        same[~same] = list(map(operator.eq, *sides))
        return same

    return each(output, targets, lambda text, given: normal(text) in map(normal, given), pairs)


def compared(relation: Callable[[str, str], bool], *sides: Iterable[str]) -> BoolArray:
    """(pairs,) whether the relation holds between texts, pair by pair."""
    return np.fromiter(map(relation, *sides), dtype=bool)


@metric(
    unit="share of items",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="thresholded",
    source="Schaeffer et al. 2023, arXiv:2304.15004, app. A.3; white space at the ends is removed",
    aliases=("em", "exact_match_accuracy", "match"),
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
    at_a_glance = targets.only if isinstance(targets, Groups) else targets
    settled = kernels.equal(output, targets if at_a_glance is None else at_a_glance)
    value, rest = settled.astype(np.float64), np.flatnonzero(settled < 0).tolist()
    missing = first_reasons(len(output), [])
    if rest:
        left = _equal([output[item] for item in rest], [targets[item] for item in rest], str.strip)
        value[rest], missing[rest] = left.value, left.missing
    return Values(value, missing)


@metric(
    unit="share of items",
    better="higher",
    bounds=(0.0, 1.0),
    reaction="thresholded",
    source="Unicode Standard, sections 3.11 (NFC) and 3.13 (case folding)",
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
    only = only_targets(output, targets)
    whole = only is not None and all(map(str.strip, only))
    full = targets if whole else [[t for t in given or () if t and t.strip()] for given in targets]

    def pairs(have: Sequence[str], want: Sequence[str]) -> BoolArray:
        return compared(operator.contains, have, map(str.strip, want))

    return each(output, full, lambda text, given: any(t.strip() in text for t in given), pairs)


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
