"""Finding the answer in a reply, and what becomes of replies without one."""

from __future__ import annotations

import gzip
import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saltus.errors import SaltusError, UnknownNameError
from saltus.metrics.extract import EXTRACTED, EXTRACTORS, extracted, named
from saltus.metrics.score import score
from saltus.screens.extraction import failed_extractions, rates_differ
from saltus.screens.screen import Evidence
from saltus.tables import Estimates, Models, Reported, Responses, empty
from shared import SHARED, needs_shared
from strategies import rows

FENCED = '```json\n{\n "reasoning": "so {x} is 4",\n "answer": "42"\n}\n```'


@pytest.mark.parametrize(
    ("name", "reply", "answer"),
    [
        ("last_number", "3 apples and 1,234.50 pears.", "1234.50"),
        ("last_number", "It is -7.", "-7"),
        ("last_number", "from 10-12", "12"),
        ("last_number", "so 1.5e-3 it is", "1.5e-3"),
        ("last_number", "none at all", None),
        ("hash_line", "2+2\n#### 1,004\n", "1004"),
        ("hash_line", "the answer is 4", None),
        ("boxed", r"so \boxed{3} no, $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        ("boxed", r"\boxed{unclosed", None),
        ("letter", "The answer is (B).", "B"),
        ("letter", "I think A. No: **Answer: C**", "C"),
        ("letter", "D", "D"),
        ("letter", "B. because of C", "B"),
        ("letter", "I am sure.", None),
        ("last_line", "first\nlast\n\n", "last"),
        ("first_line", "\n first\nQ: next", "first"),
        ("answer_is", "So the answer is 12 apples.\nBye", "12 apples"),
        ("solution_tag", "<solution>a</solution> x <solution>b\nc</solution>", "b\nc"),
        ("tag:final", "<final>7</final>", "7"),
        ("json_field:answer", FENCED, "42"),
        ("json_field:answer", '{"answer": "a"} or rather {"answer": "b"}', "b"),
        ("json_field:answer", '{"answer": ["x", (1)]}', '["x", (1)]'),
        ("json_field:answer", '{"answer": 4.50, "sure": true}', "4.50"),
        ("json_field:answer", '{"answer": [1,  2]}', "[1,  2]"),
        ("json_field:answer", '{"why": "a "quoted" word", "answer": "x "y" z"}', 'x "y" z'),
        ("json_field:answer", '{"answer": "one", "rest": "b "c" d"}', "one"),
        ("json_field:answer", '{"why": "f(\'a\')\nis", "answer": "4",\n}', "4"),
        ("json_field:answer", '{"answer": \'["xy", "ab"]\'}', '["xy", "ab"]'),
        ("json_field:answer", '"answer": \\"ertubwi\\""\n}\n```', "ertubwi"),
        ("json_field:answer", '{"why": "a "b"", "answer": "cut off', "cut off"),
        ("json_field:answer", '{"answer": ""}', ""),
        ("json_field:answer", "no JSON here", None),
        ("strict_json_field:answer", FENCED, "42"),
        ("strict_json_field:answer", '{"answer": "x "y" z"}', None),
        ("strict_json_field:answer", '{"answer": [1, "a"]}', '[1, "a"]'),
        ("json_field:answer,boxed", r"The answer is $\boxed{5}$", "5"),
        ("boxed,last_number", "so 4", "4"),
        ("last_number", "<think>is it 5?</think>It is 6, I hope", "6"),
    ],
)
def test_answers_in_replies(name: str, reply: str, answer: str | None) -> None:
    found = extracted(rows(output=[reply]), named(name))["output"].item()
    assert found == answer


@settings(deadline=None)
@given(st.text(max_size=80))
def test_no_reply_breaks_an_extractor(reply: str) -> None:
    for entry in EXTRACTORS:
        name = f"{entry.name}:answer" if entry.parameter else entry.name
        for text in (reply, f'{{"answer": "{reply}', f"\\boxed{{{reply}", f"answer is {reply}"):
            found = named(name).find(text)
            assert found is None or isinstance(found, str)


@settings(deadline=None)
@given(st.text(max_size=40))
def test_a_json_string_survives(value: str) -> None:
    reply = json.dumps({"reasoning": "x", "answer": value})
    assert named("json_field:answer").find(reply) == value


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("last_nummer", "did you mean last_number"),
        ("json_field", "needs a parameter: json_field:NAME"),
        ("boxed:x", "takes no parameter"),
        ("boxed,nope", "no extractor named 'nope'"),
    ],
)
def test_unusable_names_say_how_to_mend_them(name: str, message: str) -> None:
    with pytest.raises((UnknownNameError, SaltusError), match=message):
        named(name)


REPLIES = rows(output=["so 4", "no idea", None, "it is 5"], targets=[["4"], ["4"], ["4"], ["4"]])


def test_a_failed_extraction_is_missing_and_its_rate_is_scored() -> None:
    found = score(REPLIES, ["exact_match", "word_edit_distance"], named("last_number"))
    exact = found.filter(metric="exact_match")
    assert exact["value"].to_list() == [1.0, None, None, 0.0]
    assert exact["missing"].to_list() == [
        None, "no number found in the output", "no output", None
    ]  # fmt: skip
    rate = found.filter(metric=EXTRACTED)
    assert rate["value"].to_list() == [1.0, 0.0, None, 1.0]
    assert rate["missing"].to_list() == [None, None, "no output", None]


def test_a_failed_extraction_counts_as_wrong_when_that_is_asked_for() -> None:
    names = ["exact_match", "word_error", "word_edit_distance"]
    found = score(REPLIES, names, named("last_number", "wrong"))
    values = dict(found.group_by("metric").agg("value").iter_rows())
    assert values["exact_match"] == [1.0, 0.0, None, 0.0]
    assert values["word_error"] == [0.0, 1.0, None, 1.0]
    assert values["word_edit_distance"] == [0.0, 1.0, None, 1.0]
    assert values[EXTRACTED] == [1.0, 0.0, None, 1.0]


def test_an_empty_target_is_not_met_by_a_failure() -> None:
    found = score(rows(output=["?"], targets=[[""]]), ["exact_match"], named("boxed", "wrong"))
    assert found.filter(metric="exact_match")["value"].to_list() == [0.0]


def test_metrics_without_an_output_are_not_touched() -> None:
    frame = rows(output=["?"], choice_logprobs=[[-1.0, -2.0]], target_index=[0])
    found = score(frame, ["multiple_choice_grade"], named("boxed"))
    assert found.filter(metric="multiple_choice_grade")["value"].to_list() == [1.0]


def evidence(rates: dict[str, tuple[float, float, int]]) -> Evidence:
    """Models with params, share of replies with an answer, and items."""
    estimates = pl.DataFrame(
        {
            "model": list(rates), "family": "f", "task": "t", "metric": EXTRACTED,
            "params": [params for params, _, _ in rates.values()],
            "value": [share for _, share, _ in rates.values()],
            "items": [items for _, _, items in rates.values()],
        }
    )  # fmt: skip
    whole = pl.concat([empty(Estimates), estimates], how="diagonal_relaxed")
    return Evidence(empty(Models), empty(Responses).lazy(), empty(Reported), whole)


def test_the_screen_warns_where_the_parser_fails_by_size() -> None:
    (found,) = failed_extractions(
        evidence({"small": (1e9, 0.86, 800), "large": (1e10, 0.98, 800)})
    ).to_dicts()
    assert found["severity"] == "warning"
    assert found["count"] == 128
    assert "14.0 % of the replies of small and 2.0 % of large" in found["message"]


def test_the_screen_is_silent_on_rare_even_failures() -> None:
    even = {"small": (1e9, 0.995, 800), "large": (1e10, 0.9975, 800)}
    assert failed_extractions(evidence(even)).is_empty()
    many = {"small": (1e9, 0.90, 800), "large": (1e10, 0.91, 800)}
    assert failed_extractions(evidence(many))["severity"].to_list() == ["note"]


def test_rates_differ_as_the_chi_squared_test_says() -> None:
    from scipy.stats import chi2_contingency

    failed, items = np.array([10.0, 20.0, 40.0]), np.array([200.0, 210.0, 190.0])
    table = np.stack([failed, items - failed])
    assert rates_differ(failed, items) == pytest.approx(chi2_contingency(table, False).pvalue)
    assert rates_differ(np.zeros(3), items) == 1.0


# ---- ZeroEval: published accuracies, from a parser of its own

ZEROEVAL = {
    "crux": ("exact_match_unquoted", "json_field:answer"),
    "gsm": ("numeric_match", "json_field:answer,boxed"),
}
# The published table counts a reply without an answer as wrong. Per task the largest distance
# in points that our parser and comparison leave; gemma-2-2b-it stands alone: its published
# 21.5 lies below the 25.1 that equal strings give.
WITHIN = {"crux": 1.7, "gsm": 0.35}
ALONE = {("crux", "gemma-2-2b-it"): 3.8}


def zeroeval(task: str) -> pl.DataFrame:
    with gzip.open(SHARED / f"data/zeroeval/{task}_outputs.jsonl.gz", "rt") as lines:
        read = [json.loads(line) for line in lines]
    frame = rows(output=[r["output"] for r in read], targets=[[r["target"]] for r in read])
    return frame.with_columns(model=pl.Series([r["model"] for r in read]))


def published(task: str) -> dict[str, tuple[float, float]]:
    table = json.loads((SHARED / f"data/zeroeval/{task}.summary.json").read_text())
    return {row["Model"]: (float(row["Acc"]), float(row["No answer"])) for row in table}


def row_of(table: dict[str, tuple[float, float]], model: str) -> tuple[float, float]:
    short = model.removeprefix("Meta-").replace("405B-Instruct", "405B-Inst")
    names = (model, short, model.partition("@")[0])
    return next(table[name] for name in names if name in table)


@needs_shared
@pytest.mark.parametrize("task", ["crux", "gsm"])
def test_zeroeval_is_reproduced(task: str) -> None:
    metric, extractor = ZEROEVAL[task]
    found = score(zeroeval(task), [metric], named(extractor, "wrong"))
    means = found.group_by("model", "metric").agg(pl.col("value").mean())
    ours = {(model, name): 100 * value for model, name, value in means.iter_rows()}
    table = published(task)
    models = sorted({model for model, _ in ours})
    assert len(models) == {"crux": 10, "gsm": 8}[task]
    for model in models:
        accuracy, without = row_of(table, model)
        within = ALONE.get((task, model), WITHIN[task])
        assert ours[model, metric] == pytest.approx(accuracy, abs=within), model
        if model != "Meta-Llama-3.1-405B-Instruct@hyperbolic":  # read there by \boxed too
            assert 100 - ours[model, EXTRACTED] == pytest.approx(without, abs=0.1), model


@needs_shared
def test_a_strict_parser_loses_the_small_models_answers() -> None:
    frame = zeroeval("crux")
    rates = {}
    for name in ("strict_json_field:answer", "json_field:answer"):
        found = score(frame, [], named(name))
        means = found.filter(metric=EXTRACTED).group_by("model").agg(pl.col("value").mean())
        rates[name] = dict(means.iter_rows())
    strict, sturdy = rates.values()
    assert 1 - strict["Qwen2.5-3B-Instruct"] > 0.13
    assert 1 - strict["Qwen2.5-32B-Instruct"] < 0.03
    assert min(sturdy.values()) > 0.98
