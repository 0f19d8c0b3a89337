"""Worked numbers of the papers and of the answers table, through `score`."""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from saltus import kernels
from saltus.metrics.chance import corrected
from saltus.metrics.difference import difference
from saltus.metrics.overlap import rouge
from saltus.metrics.score import score
from saltus.metrics.text import livebench_solution
from shared import SHARED, needs_shared
from strategies import rows

# column of the golden file -> metric
GOLDEN = {
    "exact_match": "exact_match",
    "livebench_contains": "livebench_contains",
    "word_edit": "word_edit_distance",
    "word_edit_nopreamble": "word_edit_distance_without_preamble",
    "word_edit_nopreamble_dashnorm": "word_edit_distance_with_spaced_dashes",
    "word_edit_norm": "word_error",
    "char_edit": "char_edit_distance",
    "char_edit_nopreamble": "char_edit_distance_without_preamble",
    "char_edit_norm": "char_error",
    "rougeL_f_whitespace": "rougeL_f_words",
    "rougeL_p": "rougeL_precision",
    "rougeL_r": "rougeL_recall",
    "rougeL_f": "rougeL_f",
    "rougeLsum_f": "rougeLsum_f",
    "rouge1_f": "rouge1_f",
}


def one(name: str, **columns: object) -> float:
    """One metric's value for one answer."""
    frame = rows(**{column: [value] for column, value in columns.items()})
    value: float = score(frame, [name])["value"].item()
    return value


def text(name: str, output: str, *targets: str) -> float:
    return one(name, output=output, targets=list(targets))


# ---- the mathematical model of Schaeffer et al. 2023 (c0 = 1e8, alpha = -0.3)


@pytest.mark.parametrize(
    ("params", "loss", "p", "brier", "grade"),
    [
        (1e7, 1.995262, 0.135978, 1.493068, 0.0),
        (1e8, 1.000000, 0.367879, 0.799153, 0.0),
        (1e9, 0.501187, 0.605811, 0.310770, 1.0),
        (1e12, 0.063096, 0.938854, 0.007478, 1.0),
    ],
)
def test_worked_table(params: float, loss: float, p: float, brier: float, grade: float) -> None:
    logprob = -((params / 1e8) ** -0.3)
    tokens = [logprob] * 5
    assert one("target_log_loss", target_logprobs=tokens) == pytest.approx(loss, abs=5e-7)
    assert one("per_token_error", target_logprobs=tokens) == pytest.approx(1 - p, abs=5e-7)
    choices = {"choice_logprobs": [logprob, math.log1p(-math.exp(logprob))], "target_index": 0}
    assert one("brier_sum", **choices) == pytest.approx(brier, abs=5e-7)
    assert one("brier_mean", **choices) == pytest.approx(brier / 2, abs=5e-7)
    assert one("multiple_choice_grade", **choices) == grade


def test_vocabulary_and_choice_probabilities() -> None:
    # Schaeffer et al. 2024: p^Vocab .020 .015 .010 .005, right the first
    right = {"choice_logprobs": np.log([0.020, 0.015, 0.010, 0.005]).tolist(), "target_index": 0}
    assert one("correct_choice_probability", **right) == pytest.approx(0.4)
    assert one("brier_sum", **right) == pytest.approx(0.50)
    assert one("brier_mean", **right) == pytest.approx(0.125)
    assert one("multiple_choice_grade", **right) == 1.0
    assert one("correct_answer_loss", **right) == pytest.approx(-math.log(0.020))
    assert one("choice_log_loss", **right) == pytest.approx(-math.log(0.4))
    assert one("choice_margin", **right) == pytest.approx(math.log(20 / 15))
    # the same .4 on the right option, .6 on one wrong one
    wrong = {"choice_logprobs": np.log([0.4, 0.6]).tolist(), "target_index": 0}
    assert one("correct_choice_probability", **wrong) == pytest.approx(0.4)
    assert one("multiple_choice_grade", **wrong) == 0.0


def test_ties_share_the_grade() -> None:
    assert one("multiple_choice_grade", choice_logprobs=[-1.0, -1.0, -2.0], target_index=0) == 0.5
    assert one("multiple_choice_grade", choice_logprobs=[-1.0, -1.0, -2.0], target_index=2) == 0.0
    third = one("multiple_choice_grade", choice_logprobs=[-1.0] * 3, target_index=2)
    assert third == pytest.approx(1 / 3)


def test_length_normalisation_can_turn_the_grade() -> None:
    long = {"choice_logprobs": [-6.0, -4.0], "target_index": 0}
    assert one("multiple_choice_grade", **long) == 0.0
    assert one("multiple_choice_grade_per_byte", choice_bytes=[6, 2], **long) == 1.0


def test_bits_per_byte_by_hand() -> None:
    # two tokens of probability 1/2 and 1/8 are 1 + 3 bits, over 8 bytes
    logprobs = [math.log(1 / 2), math.log(1 / 8)]
    assert one("bits_per_byte", target_logprobs=logprobs, target_bytes=8) == pytest.approx(0.5)


def test_chance_corrected_forms() -> None:
    values, chance = np.array([0.25, 1.0, 0.1, 0.5]), np.array([0.25, 0.25, 0.25, 1.0])
    np.testing.assert_allclose(corrected(values, chance)[:3], [0.0, 1.0, -0.2])
    assert np.isnan(corrected(values, chance)[3])
    # Brier skill: 1 - .375/.75
    assert corrected(np.array([0.375]), np.array([0.75]), best=0.0)[0] == pytest.approx(0.5)


# ---- sequences


def test_edit_distance_can_be_less_than_hamming() -> None:
    # eq. 6 of Schaeffer et al. 2023 has it the other way: "a b c d" and "b c d a" differ in
    # all four places, but two edits do
    assert text("word_edit_distance", "b c d a", "a b c d") == 2.0
    assert text("token_error_rate", "b c d a", "a b c d") == 0.5
    assert text("char_edit_distance", "bcda", "abcd") == 2.0


@pytest.mark.parametrize(
    ("output", "target", "distance", "share", "rate"),
    [
        ("", "", 0.0, 0.0, None),
        ("a b", "", 2.0, 1.0, None),
        ("", "a b", 2.0, 1.0, 1.0),
        ("a b c d e", "a", 4.0, 0.8, 1.0),  # four edits for one word: the rate stops at 1
    ],
)
def test_empty_and_long_texts(
    output: str, target: str, distance: float, share: float, rate: float | None
) -> None:
    assert text("word_edit_distance", output, target) == distance
    assert text("word_error", output, target) == pytest.approx(share)
    assert text("word_accuracy", output, target) == pytest.approx(1 - share)
    assert text("token_error_rate", output, target) == rate


def test_the_nearest_target_counts() -> None:
    frame = rows(output=["a b"], targets=[["x y z w", "a c", "a b c d"]])
    found = score(frame, ["token_error_rate"])
    assert found["value"].item() == 0.5  # a c and a b c d tie at one half
    assert found["units"].item() == 2.0  # the first of them
    assert text("exact_match", " a c\n", "x", "a c") == 1.0


def test_named_normalisations() -> None:
    assert text("exact_match", "Caf\u00e9 au  LAIT", "cafe\u0301 au lait") == 0.0
    assert text("exact_match_folded", "Caf\u00e9 au  LAIT", "cafe\u0301 au lait") == 1.0
    assert text("quasi_exact_match", "The  answer: 5.", "answer 5") == 1.0
    assert text("exact_match_folded", "The  answer: 5.", "answer 5") == 0.0


def test_containment() -> None:
    assert text("contains", "The answer is 5555.", " 5555 ") == 1.0
    assert text("contains", "The answer is 555.", "5555") == 0.0
    assert text("contains", "anything", "", "thin") == 1.0
    assert text("contains", "anything", "") is None


# ---- ROUGE (Lin 2004, section 3.2)

REFERENCE = "w1 w2 w3 w4 w5"
CANDIDATES = "w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5"


def rouge_lsum(output: str, target: str) -> tuple[float, ...]:
    parts = rouge(kernels.rouge([output], [target]), "Lsum")
    return tuple(float(part[0]) for part in parts)


def test_lins_example_of_the_union() -> None:
    assert rouge_lsum(CANDIDATES, REFERENCE) == pytest.approx((0.4, 0.8, 0.533333), abs=1e-6)
    swapped = rouge_lsum(REFERENCE, CANDIDATES)
    assert swapped[:2] == pytest.approx((0.8, 0.4))
    assert text("rougeLsum_f", REFERENCE, *CANDIDATES.split("\n")) == pytest.approx(0.6)


def test_a_target_in_another_script_is_missing_not_zero() -> None:
    frame = rows(output=["我爱你"], targets=[["我爱你"]])
    found = score(frame, ["rougeL_f"])
    assert found["missing"].to_list() == ["the target has no words to compare"]
    assert text("rougeL_f_words", "我爱你", "我爱你") == 1.0


@pytest.mark.parametrize(("error", "mean"), [(0.05, 0.951), (0.1, 0.899), (0.4, 0.601)])
def test_rouge_lsum_is_linear_in_the_token_error(error: float, mean: float) -> None:
    # 3 sentences of 20 tokens, 1000 words, substitutions; 400 draws gave these means
    rng = np.random.default_rng(0)
    target = rng.integers(0, 1000, (200, 3, 20))
    wrong = rng.random(target.shape) < error
    output = np.where(wrong, rng.integers(0, 1000, target.shape), target)
    values = [rouge_lsum(lines(a), lines(b))[2] for a, b in zip(output, target, strict=True)]
    assert np.mean(values) == pytest.approx(mean, abs=4 * np.std(values) / math.sqrt(200))


def lines(sentences: np.ndarray) -> str:
    return "\n".join(" ".join(f"w{word}" for word in sentence) for sentence in sentences)


# ---- LiveBench's typo rule


@pytest.mark.parametrize(
    ("answer", "solution"),
    [
        ("<solution>a</solution> or <solution>b</solution>", "b"),
        ("<solution>a\nb</solution>", "a b"),  # `.` stops at line ends: tags are stripped
        ("x --- y --- z", "y"),
        ("x -- y -- z", "x -- y -- z"),  # three dashes, not two
        (" a\n\nb \n", "a b"),
    ],
)
def test_livebench_solutions(answer: str, solution: str) -> None:
    assert livebench_solution(answer) == solution


def test_livebench_quirks() -> None:
    assert text("livebench_contains", "anything", "") == 1.0
    assert text("livebench_contains", "before it is right after", "it is right") == 1.0
    assert text("livebench_contains", "it is wrong", "it is right") == 0.0


# ---- the answers table


def answers_table(path: Path) -> pl.DataFrame:
    """Rows of the Markdown table; a row may run over several lines."""
    logical, row = [], ""
    for line in path.read_text(encoding="utf-8").splitlines()[2:]:
        row = f"{row}\n{line}" if row else line
        cells = re.split(r"(?<!\\)\|", row.strip())
        if len(cells) == 5:
            logical.append([cell.strip() for cell in cells[1:-1]])
            row = ""
    names, outputs, targets = zip(*logical, strict=True)
    frame = rows(output=list(outputs), targets=[[target] for target in targets])
    return frame.with_columns(pl.Series("model", names))


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    return answers_table(SHARED / "seeds" / "answers_table.md")


@needs_shared
def test_the_answers_table_to_the_last_digit(table: pl.DataFrame) -> None:
    path = SHARED / "golden" / "answers_table_golden.csv"
    with path.open(encoding="utf-8", newline="") as file:
        golden = list(csv.DictReader(file))
    assert table["model"].to_list() == [row["model"] for row in golden]
    found = score(table, list(GOLDEN.values()))
    for column, name in GOLDEN.items():
        values = found.filter(metric=name)["value"].to_list()
        assert [round(value, 6) for value in values] == [float(row[column]) for row in golden], name


@needs_shared
def test_what_exact_match_hides(table: pl.DataFrame) -> None:
    found = score(table, ["exact_match", "word_accuracy"])
    accuracy = found.filter(metric="word_accuracy")["value"]
    assert found.filter(metric="exact_match")["value"].sum() == 4.0
    assert accuracy.mean() == pytest.approx(0.9213, abs=5e-5)
    english = table["model"] != "DeepSeek-Coder-V2-Lite-Instruct"
    assert accuracy.filter(english).mean() == pytest.approx(0.9823, abs=5e-5)


@needs_shared
def test_the_page_can_mark_the_differing_words(table: pl.DataFrame) -> None:
    parts = difference(table["output"][0], table["targets"][0][0])
    marked = [part for part in parts if part.kind != "same"]
    assert [(part.kind, part.output, part.target) for part in marked] == [
        ("changed", ("through",), ("in",)),
        ("dropped", (), ("the",)),
    ]
