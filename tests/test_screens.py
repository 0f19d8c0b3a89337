"""Every screen finds what it is for, and is silent on clean tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from saltus.estimates.recover import NOT_COUNTS
from saltus.metrics.extract import EXTRACTED
from saltus.screens.scores import _counts, _identical
from saltus.screens.screen import SCREENS, Evidence, screen
from saltus.tables import Estimates, Findings, Models, Reported, Responses, Verdicts, conform, empty
from saltus.verdicts.flag import flag


def responses(rows: list[dict[str, Any]]) -> pl.DataFrame:
    base = {"task": "t", "sample": 0, "output": "x"}
    return conform(pl.DataFrame([base | row for row in rows], infer_schema_length=None), Responses)


def estimates(rows: list[dict[str, Any]]) -> pl.DataFrame:
    base = {"model": "m", "family": "f", "task": "t", "metric": "acc", "value": 0.5,
            "items": 100, "items_method": "stated", "missing_items": 0}  # fmt: skip
    return conform(pl.DataFrame([base | row for row in rows], infer_schema_length=None), Estimates)


def models(names: str, family: str = "f") -> pl.DataFrame:
    rows = [{"model": name, "model_name": name, "family": family} for name in names]
    return conform(pl.DataFrame(rows), Models)


def reported(rows: list[dict[str, Any]]) -> pl.DataFrame:
    base = {"model": "m", "task": "t", "metric": "acc", "value": 0.5, "source": "a.csv:1"}
    return conform(pl.DataFrame([base | row for row in rows], infer_schema_length=None), Reported)


def many(model: str, count: int = 40, **columns: Any) -> list[dict[str, Any]]:
    """Answers of one model to items 0, 1, ...; a column is a constant or made from the index."""
    made = {name: value for name, value in columns.items() if callable(value)}
    return [
        {"model": model, "item": str(i), **columns} | {n: make(i) for n, make in made.items()}
        for i in range(count)
    ]  # fmt: skip


def sizes(values: dict[float, float], **columns: Any) -> pl.DataFrame:
    """Estimates of one family, a model per size, trained alike; 100 items each."""
    return estimates(
        [{"model": f"m{size:g}", "params": size, "tokens": 1e9, "value": value,
          "successes": 100 * value if 0 <= value <= 1 else None, **columns}
         for size, value in values.items()]
    )  # fmt: skip


def evidence(**tables: pl.DataFrame) -> Evidence:
    known = {"models": empty(Models), "responses": empty(Responses), "reported": empty(Reported),
             "estimates": empty(Estimates)} | tables  # fmt: skip
    return Evidence(
        known["models"], known["responses"].lazy(), known["reported"], known["estimates"]
    )


def findings(**tables: pl.DataFrame) -> pl.DataFrame:
    return screen(evidence(**tables))


CLEAN = {
    "responses": responses([{"model": m, "item": i} for m in "ab" for i in "123"]),
    "estimates": estimates(
        [{"model": f"m{size:g}", "params": size, "value": value}
         for size, value in ((1e7, 0.0), (1e8, 0.2), (1e9, 0.4))]
    ),
}  # fmt: skip
OUTSIDE = "37.0 is outside the metric's bounds [0.0, 1.0]"
DIRTY: dict[str, dict[str, pl.DataFrame]] = {
    "different_items": {"responses": responses(
        [{"model": "a", "item": i} for i in "123"] + [{"model": "b", "item": i} for i in "12"])},
    "repeated_items": {"responses": responses(
        [{"model": "a", "item": "1", "sample": s} for s in (0, 1)])},
    "missing_scores": {"estimates": estimates([{"missing_items": 7, "missing": "7 of 10"}])},
    "unproven_items": {"estimates": estimates(
        [{"items": None, "items_method": "unknown: standard error stated as 0"}])},
    "different_sizes": {"estimates": estimates([{"model": "a"}, {"model": "b", "items": 99}])},
    "out_of_bounds": {"estimates": estimates([{"value": None, "missing": OUTSIDE}])},
    "exact_zeros": {"estimates": estimates(
        [{"model": f"m{size:g}", "params": size, "value": value}
         for size, value in ((1e8, 0.3), (1e9, 0.0))])},
    "restated_losses": {"estimates": estimates(
        [{"model": f"m{x}", "params": x, "metric": "target_log_loss", "loss": 4 - x,
          "value": 0.6 * (4 - x)} for x in (1.0, 1.5, 2.0, 3.0)])},
    "failed_extractions": {"estimates": sizes({1e8: 0.5, 1e9: 1.0}, metric=EXTRACTED)},
    "zero_families": {"estimates": sizes({1e8: 0.0, 1e9: 0.0})},
    "absurd_perplexities": {"estimates": sizes({1e8: 1.3e6}, metric="ppl")},
    "identical_scores": {"estimates": sizes(dict.fromkeys((1e7, 3e7, 1e8, 3e8, 1e9, 3e9), 0.37))},
    "class_shares": {"estimates": sizes(
        {1e8: 38 / 104, 1e9: 38 / 104}, task="wsc", items=104, successes=38.0)},
    "impossible_errors": {"reported": reported([{"stderr": 0.0}, {"stderr": 0.01}])},
    "contradicted_sizes": {
        "estimates": estimates([{"items": None, "items_method": NOT_COUNTS, "value": 264 / 1172,
                                 "task": "arc_challenge"}]),
        "reported": reported([{"task": "arc_challenge", "value": 264 / 1172, "items": 2376}])},
    "models_out_of_line": {"estimates": pl.concat(
        [sizes({1e8: 0.3, 3e8: 0.11 + task / 100, 1e9: 0.5}, task=str(task))
         for task in range(9)])},
    "several_runs": {"reported": reported([{"value": 0.3}, {"value": 0.4, "source": "b.csv:1"}])},
    "copied_models": {"estimates": pl.concat(
        [estimates([{"model": m, "params": 1e9, "task": str(task), "value": task / 20}])
         for m in "ab" for task in range(1, 9)])},
    "conflicting_items": {"responses": responses(
        [{"model": m, "item": i, "item_hash": m + i if i == "2" else i}
         for m in "ab" for i in "123"])},
    "drifting_targets": {"responses": responses(
        [{"model": m, "item": i, "targets": [m if i == "2" else "A"]}
         for m in "ab" for i in "123"])},
    "prompt_drift": {"models": models("ab"), "responses": responses(
        [{"model": m, "item": i, "item_hash": i, "prompt_hash": m} for m in "ab" for i in "123"])},
    "duplicate_items": {"responses": responses(
        [{"model": "a", "item": i, "item_hash": "same" if i in "12" else i} for i in "123"])},
    "truncated_answers": {"responses": responses(
        many("a", finish=lambda i: "length" if i < 4 else "stop"))},
    "empty_answers": {"responses": responses(many("a", output=lambda i: " " if i < 4 else "x"))},
    "refused_answers": {"responses": responses(
        many("a", output=lambda i: "I'm sorry, I cannot help." if i < 4 else "x"))},
    "overrunning_answers": {"responses": responses(
        many("a", output=lambda i: "4\nQuestion: 3+3?" if i < 4 else "x"))},
    "leading_spaces": {"responses": responses(many("a", output=" x") + many("b"))},
    "constant_answers": {"responses": responses(
        many("a", output="C", targets=lambda i: ["ABCD"[i % 4]]))},
    "tokenizer_dependent_targets": {"models": models("ab"), "responses": responses(
        many("a", target_logprobs=[-1.0, -2.0]) + many("b", target_logprobs=[-1.0]))},
    "unextracted_answers": {"estimates": estimates(
        [{"metric": "exact_match", "value": 0.0}, {"metric": "contains", "value": 0.28}])},
}  # fmt: skip


def test_clean_tables_raise_no_suspicion() -> None:
    assert findings(**CLEAN).is_empty()
    assert findings().equals(empty(Findings))


def test_the_page_about_screens_says_how_often_each_is_wrong() -> None:
    page = (Path(__file__).parents[1] / "docs" / "screens.md").read_text(encoding="utf-8")
    for entry in SCREENS:
        (row,) = (line for line in page.splitlines() if line.startswith(f"| `{entry.name}` |"))
        assert row.rpartition(" | ")[2] == f"{entry.false_alarm} |", entry.name


def test_every_screen_is_tried_here() -> None:
    assert {entry.name for entry in SCREENS} == set(DIRTY)
    assert all(entry.question.endswith("?") and entry.source for entry in SCREENS)


@pytest.mark.parametrize("name", DIRTY)
def test_a_screen_finds_what_it_is_for(name: str) -> None:
    frame = findings(**DIRTY[name])
    found = frame.filter(pl.col("screen") == name)
    assert found.height == 1
    assert found["count"][0] >= 1
    assert frame.height == 1, "one fault, one finding"


def test_a_run_under_two_names_agrees_on_every_task() -> None:
    copies = DIRTY["copied_models"]["estimates"]
    (row,) = findings(estimates=copies).to_dicts()
    assert row["message"].startswith("1 pair of models of f has the very same values on all 8")
    other = copies.with_columns(
        value=pl.when(pl.col("model") == "b", pl.col("task") == "3").then(0.16).otherwise("value")
    )
    larger = copies.with_columns(
        params=pl.when(pl.col("model") == "b").then(2e9).otherwise("params")
    )
    few = copies.filter(pl.col("task") != "3")
    at_a_bound = copies.with_columns(value=pl.lit(1.0))
    for frame in (other, larger, few, at_a_bound):
        assert "copied_models" not in findings(estimates=frame)["screen"].to_list()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("repeated_items", "1 item of 1 model has up to 2 answers"),
        ("several_runs", "1 value of 1 task is stated up to 2 times"),
        ("missing_scores", "7 answers of 1 model have no acc and are left out, never counted as 0 "
         "(1 model loses more than 5 % and gets no estimate): m"),
        ("unproven_items", "for 1 value of 1 task (t)"),
        ("zero_families", "at exactly 0 on 1 task: t;"),
        ("contradicted_sizes", "1 value is no whole number of the 2376 items"),
        ("impossible_errors", "1 standard error of 1 task (1 of them 0"),
        ("constant_answers", "(such as 'C'; all items)"),
        ("truncated_answers", "the limit of tokens (10.0 %): a;"),
    ],
)  # fmt: skip
def test_a_message_counts_in_words_that_fit(name: str, text: str) -> None:
    assert text in findings(**DIRTY[name])["message"][0]


def test_a_loss_of_another_text_is_an_axis_of_its_own() -> None:
    restated = DIRTY["restated_losses"]["estimates"]
    assert findings(estimates=restated)["scope"].to_list() == ["loss axis"]
    wavy = restated.with_columns(value=pl.col("value") + 0.1 * (-1.0) ** pl.int_range(pl.len()))
    assert findings(estimates=wavy).is_empty()
    # on one line as the losses of two texts often are, yet not through the origin
    assert findings(estimates=restated.with_columns(value=pl.col("value") + 0.5)).is_empty()
    exponential = restated.with_columns(value=pl.col("value").exp(), metric=pl.lit("ppl"))
    assert findings(estimates=exponential)["screen"].to_list() == ["restated_losses"]
    higher = restated.with_columns(value=-pl.col("value"), metric=pl.lit("target_log_likelihood"))
    assert findings(estimates=higher)["screen"].to_list() == ["restated_losses"]


def test_zeros_of_one_seed_are_no_suspicion_where_another_scores() -> None:
    small = sizes({1e8: 0.3})
    seeds = pl.concat(
        sizes({1e9: value}).with_columns(model=pl.lit(f"big@seed{seed}"), seed=pl.lit(seed))
        for seed, value in enumerate((0.0, 0.4))
    ).with_columns(pl.col("seed").cast(small.schema["seed"]))
    assert findings(estimates=pl.concat([small, seeds])).is_empty()
    unnamed = seeds.with_columns(seed=pl.lit(None, seeds.schema["seed"]))  # perhaps another harness
    assert findings(estimates=pl.concat([small, unnamed]))["screen"].to_list() == ["exact_zeros"]
    both = seeds.with_columns(value=pl.lit(0.0))
    assert findings(estimates=pl.concat([small, both]))["screen"].to_list() == ["exact_zeros"]


def test_zeros_before_training_are_no_suspicion() -> None:
    rows = [
        {"model": f"m{size:g}@step{step}", "params": size, "flops": size * step, "step": step,
         "value": step / 100}
        for size in (1e8, 1e9) for step in (0, 40)
    ]  # fmt: skip
    assert findings(estimates=estimates(rows)).is_empty()


def test_a_smaller_model_that_scores_makes_zeros_of_a_family_certain() -> None:
    zeros = sizes({1e8: 0.0, 1e9: 0.0}, items=5000).with_columns(
        flops=6 * pl.col("params") * pl.col("tokens")
    )
    other = zeros.head(1).with_columns(
        model=pl.lit("o"), family=pl.lit("g"), value=pl.lit(0.3), flops=pl.lit(1e15)
    )
    found = findings(estimates=pl.concat([zeros, other]))
    assert found.select("screen", "severity", "task", "metric").rows() == [
        ("zero_families", "error", "t", "acc")
    ]
    later = other.with_columns(flops=pl.lit(1e25))
    assert findings(estimates=pl.concat([zeros, later]))["severity"].to_list() == ["warning"]
    # XGLM at 0 of 164 on HumanEval, where phi-1.5 scores 0.34, never saw code
    for items in (164, None):
        few = pl.concat([zeros, other]).with_columns(items=pl.lit(items, pl.Int64))
        assert findings(estimates=few)["severity"].to_list() == ["warning"]


def test_perplexity_is_an_error_beside_a_usual_one_of_less_training() -> None:
    absurd = sizes({1e8: 30.0, 1e9: 2.8e6}, metric="ppl")
    assert findings(estimates=absurd)["severity"].to_list() == ["error"]
    # at its start a larger model may be worse than a trained small one
    untrained = absurd.with_columns(tokens=pl.Series([1e9, 0.0]))
    assert findings(estimates=untrained)["severity"].to_list() == ["warning"]


def test_the_first_items_of_a_task_are_named_as_such() -> None:
    rows = [{"model": "a", "item": str(i)} for i in range(9)]
    rows += [{"model": "b", "item": str(i)} for i in range(4)]
    assert "--limit" in findings(responses=responses(rows))["message"][0]
    spread = [row for row in rows if row["model"] == "a" or row["item"] in "137"]
    assert "--limit" not in findings(responses=responses(spread))["message"][0]


def test_percentages_are_a_matter_of_units_and_no_error() -> None:
    percent = estimates([{"value": None, "missing": OUTSIDE}])
    negative = estimates([{"value": None, "missing": OUTSIDE.replace("37.0", "-3.0")}])
    assert findings(estimates=percent)["severity"].to_list() == ["warning"]
    assert findings(estimates=negative)["severity"].to_list() == ["error"]


def test_a_contradicted_size_names_the_published_one() -> None:
    message = findings(**DIRTY["contradicted_sizes"])["message"][0]
    assert "of the 2376 items that the file states, but of the task's published 1172" in message


@pytest.mark.parametrize("rate", [0.3, 0.5, 0.8])
def test_independent_scores_are_hardly_ever_called_identical(rate: float) -> None:
    # 8 sizes of one true rate on 104 items: the worst case without shared answers
    rng = np.random.default_rng(1)
    counts = rng.binomial(104, rate, (300, 8))
    alarms = 0
    for row in counts:
        values = dict(zip(10.0 ** np.arange(6, 14), row / 104, strict=True))
        frame = sizes(values, items=104).with_columns(successes=pl.Series(row).cast(pl.Float64))
        alarms += _identical(_counts(evidence(estimates=frame))).height
    assert alarms <= 1


def verdicts(task: str) -> pl.DataFrame:
    row = {"family": "f", "task": task, "axis": "params", "slice": "final checkpoints",
           "verdict": "NO_EVIDENCE", "sentence": "s", "metric": "exact_match",
           "scales": 4}  # fmt: skip
    return conform(pl.DataFrame([row]), Verdicts)


def test_a_conclusive_screen_takes_the_verdict_and_leaves_the_evidence() -> None:
    suspicion = findings(**DIRTY["unextracted_answers"])
    hit = flag(verdicts("t"), suspicion).row(0, named=True)
    assert (hit["verdict"], hit["reason"]) == ("HARNESS_ARTEFACT", "unextracted_answers")
    assert "28.0 % of the replies" in hit["sentence"]
    assert hit["scales"] == 4
    assert flag(verdicts("other"), suspicion).equals(verdicts("other"))
    assert flag(verdicts("t"), findings(**DIRTY["exact_zeros"])).equals(verdicts("t"))


def test_no_break_is_claimed_under_suspicion() -> None:
    broken = verdicts("t").with_columns(verdict=pl.lit("BREAK"), metric=pl.lit("acc"))
    doubt = findings(**DIRTY["identical_scores"])
    told = flag(broken, doubt).row(0, named=True)
    assert (told["verdict"], told["reason"]) == ("INCONCLUSIVE", "unexplained_finding")
    assert "until this is explained: 6 of 6 sizes of f score exactly 0.37" in told["sentence"]
    assert flag(verdicts("t"), doubt)["sentence"].to_list() == ["s"]
    elsewhere = broken.with_columns(metric=pl.lit("exact_match"))
    assert flag(elsewhere, doubt)["verdict"].to_list() == ["BREAK"]
    partner = elsewhere.with_columns(partner=pl.lit("acc"))
    assert flag(partner, doubt)["verdict"].to_list() == ["INCONCLUSIVE"]


def test_a_finding_about_one_family_leaves_the_others() -> None:
    doubt = findings(**DIRTY["identical_scores"])
    assert doubt["family"].to_list() == ["f"]
    broken = verdicts("t").with_columns(
        verdict=pl.lit("BREAK"), metric=pl.lit("acc"), family=pl.lit("g")
    )
    assert flag(broken, doubt)["verdict"].to_list() == ["BREAK"]


@pytest.mark.parametrize("last", [None, 900])
def test_earlier_checkpoints_are_spoken_of_apart(last: int | None) -> None:
    steps = {"m@step10": 10, "m@step90": 90, "m": last, "other": None}
    facts = [{"model": name, "model_name": name, "step": step} for name, step in steps.items()]
    known = conform(pl.DataFrame(facts, infer_schema_length=None), Models)
    targets = [["1"], ["2"]]
    rows = [
        row
        for name in steps
        for row in many(name, output="" if name == "m@step10" else "x", targets=targets[0])
    ]
    found = screen(evidence(models=known, responses=responses(rows)))
    (empty_one,) = found.filter(pl.col("screen") == "empty_answers").iter_rows(named=True)
    assert empty_one["scope"] == "earlier checkpoints"
    assert empty_one["message"].startswith(
        "among earlier checkpoints, outputs of 1 of the models are empty"
    )
    rows = many("m", output="", targets=["1"]) + many("m@step10", output="y", targets=["1"])
    found = screen(evidence(models=known, responses=responses(rows)))
    assert found.filter(pl.col("screen") == "empty_answers")["scope"].to_list() == [None]


def test_earlier_checkpoints_cast_doubt_on_their_own_axis_alone() -> None:
    early = findings(**DIRTY["empty_answers"]).with_columns(scope=pl.lit("earlier checkpoints"))
    broken = verdicts("t").with_columns(verdict=pl.lit("BREAK"), reason=pl.lit(None, pl.String))
    kept = flag(broken.with_columns(axis=pl.lit("params")), early)
    assert kept["verdict"].to_list() == ["BREAK"]
    doubted = flag(broken.with_columns(axis=pl.lit("tokens")), early)
    assert doubted["reason"].to_list() == ["unexplained_finding"]
