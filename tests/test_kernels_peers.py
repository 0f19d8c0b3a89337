"""The field's packages on hard pairs; `make kernels-equal` does the same on 20,000."""

from __future__ import annotations

import warnings

import pytest

from kernel_pairs import pairs
from peers import COMPARISONS
from saltus import kernels
from saltus.kernels import plain

PAIRS = {"TER": 60}  # sacrebleu is slow there


@pytest.mark.parametrize("module", [kernels, plain], ids=["chosen", "plain"])
@pytest.mark.parametrize("name", COMPARISONS)
def test_no_score_differs_from_the_package(name: str, module: object) -> None:
    package, largest_difference = COMPARISONS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if package:
            pytest.importorskip(package, reason=f"{package} is not installed (extra `bench`)")
        if name == "ROUGE, stemmed":
            pytest.importorskip("nltk")
    size = PAIRS.get(name, 600)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the packages' own
        assert largest_difference(module, *pairs(size, seed=11)) == 0.0
