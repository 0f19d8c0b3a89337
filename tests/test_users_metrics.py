"""Metrics of users: functions in their own files, tokenizers, and errors that name the answer."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from saltus.cli import main
from saltus.errors import SaltusError
from saltus.metrics.metric import METRICS, Metric
from saltus.metrics.score import score
from saltus.metrics.users import load, recorded, remember, resolve
from strategies import rows

CODE = '''
import numpy as np

def closeness(output, target):
    """How close the lengths are."""
    return 1 / (1 + abs(len(output) - len(target)))

def distance(output, target):
    return abs(len(output) - len(target))
distance.facts = {"better": "lower", "bounds": (0, None), "unit": "characters"}

def picky(output, target):
    return 1 / (len(output) - 3)

def wordy(output, target):
    return "high"

def unsure(output, target):
    return None if output == "?" else 1.0

def margin(choice_logprobs, target_index):
    return np.where(choice_logprobs.lengths > 2, target_index, np.nan)

def short(output, targets):
    return np.zeros(1)

def odd(prediction, reference):
    return 0.0

def wrong_fact(output, target):
    return 0.0
wrong_fact.facts = {"betterness": 1}
'''


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    len(METRICS)
    monkeypatch.setattr(METRICS, "_entries", dict(METRICS._entries))


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(CODE)
    return path


def values(path: Path, name: str, frame: pl.DataFrame) -> pl.DataFrame:
    return score(frame, [resolve(f"{path}@{name}")])


TEXTS = rows(output=["abcd", "?", None], targets=[["ab", "abc"], ["x"], ["y"]])


def test_a_function_of_output_and_target_is_a_metric(mine: Path) -> None:
    found = values(mine, "closeness", TEXTS)
    assert found["metric"].unique().to_list() == ["closeness"]
    assert found["value"].to_list() == [0.5, 1.0, None]
    assert found["missing"].to_list() == [None, None, "no output"]
    assert METRICS["closeness"].summary == "How close the lengths are."


def test_its_facts_are_optional_and_decide_which_target_counts(mine: Path) -> None:
    entry = load(mine, "distance")
    assert (entry.better, entry.bounds, entry.unit) == ("lower", (0, None), "characters")
    assert values(mine, "distance", TEXTS)["value"].to_list() == [1.0, 0.0, None]
    plain = load(mine, "closeness")
    assert (plain.better, plain.bounds, plain.reaction) == ("higher", (None, None), "continuous")


def test_no_value_is_missing_and_never_zero(mine: Path) -> None:
    found = values(mine, "unsure", TEXTS)
    assert found["value"].to_list() == [1.0, None, None]
    assert found["missing"].to_list() == [None, "the metric gave no value", "no output"]


def test_a_function_of_columns_gets_arrays(mine: Path) -> None:
    frame = rows(choice_logprobs=[[-1.0, -2.0, -3.0], [-1.0, -2.0]], target_index=[2, 1])
    found = values(mine, "margin", frame)
    assert found["value"].to_list() == [2.0, None]
    assert found["missing"].to_list() == [None, "the metric gave no value"]


def test_errors_name_the_answer_and_the_metric(mine: Path) -> None:
    frame = rows(output=["abcde", "abc"], targets=[["x"], ["x"]]).with_columns(
        item=pl.Series(["q1", "q2"]), model=pl.lit("tiny"), task=pl.lit("sums")
    )
    with pytest.raises(SaltusError) as caught:
        values(mine, "picky", frame)
    assert str(caught.value) == (
        "metric 'picky' failed on item 'q2' of task 'sums', model 'tiny': ZeroDivisionError: "
        "division by zero"
    )
    with pytest.raises(SaltusError, match=r"'wordy' failed on item '0'.*no number"):
        values(mine, "wordy", TEXTS)
    with pytest.raises(SaltusError, match="gave 1 values for 3 answers"):
        values(mine, "short", TEXTS)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "no function 'nowhere'; it has closeness"),
        ("odd", r"\(prediction, reference\) are neither \(output, target\) nor columns"),
        ("wrong_fact", "facts has no betterness; it may have unit"),
    ],
)
def test_unusable_functions_say_why(mine: Path, name: str, message: str) -> None:
    with pytest.raises(SaltusError, match=message):
        load(mine, name)


def test_unusable_files_say_why(tmp_path: Path) -> None:
    with pytest.raises(SaltusError, match="no such file"):
        load(tmp_path / "none.py", "f")
    broken = tmp_path / "broken.py"
    broken.write_text("import no_such_module_here")
    with pytest.raises(SaltusError, match="cannot be run: ModuleNotFoundError"):
        load(broken, "f")


def test_facts_survive_in_the_manifest_without_the_file(mine: Path) -> None:
    name = resolve(f"{mine}@distance")
    (facts,) = recorded(["exact_match", name])
    stored = json.loads(json.dumps(facts)) | {"name": "distance_elsewhere"}
    remember([stored])
    entry = METRICS["distance_elsewhere"]
    assert entry.function is None
    assert (entry.better, entry.bounds) == ("lower", (0, None))


def test_an_audit_with_a_users_metric(mine: Path, tmp_path: Path) -> None:
    lines = [
        json.dumps({"model": f"m{size}", "family": "f", "params": 10.0**size, "task": "t",
                    "item": str(item), "output": "x" * min(item, size), "target": "xxxx"})
        for size in (7, 8, 9, 10) for item in range(30)
    ]  # fmt: skip
    logs = tmp_path / "logs.jsonl"
    logs.write_text("\n".join(lines))
    out = tmp_path / "audit"
    run = CliRunner().invoke(
        main, ["score", str(logs), "--out", str(out), "--metric", f"{mine}@closeness"]
    )
    assert run.exit_code == 0, run.output
    assert json.loads((out / "manifest.json").read_text())["metrics"][0]["name"] == "closeness"
    again = CliRunner().invoke(main, ["score", str(out), "--metric", f"{mine}@closeness"])
    assert "nothing had changed" in again.output
    mine.write_text(CODE.replace("1 / (1 + abs", "2 / (1 + abs"))
    changed = CliRunner().invoke(main, ["score", str(out), "--metric", f"{mine}@closeness"])
    assert "nothing had changed" not in changed.output
    assert CliRunner().invoke(main, ["estimate", str(out)]).exit_code == 0


def tokenizer_file(folder: Path) -> Path:
    tokenizers = pytest.importorskip("tokenizers", reason="extra [tokenizers] is not installed")
    vocabulary = {"[UNK]": 0, "4": 1, "2": 2, "+": 3, "=": 4}
    model = tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]")  # noqa: S106
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


def test_edits_on_the_tokens_of_a_tokenizer(tmp_path: Path) -> None:
    path = tokenizer_file(tmp_path / "tiny")
    names = [resolve(f"token_{kind}@{path}") for kind in ("edit_distance", "error_rate")]
    assert names == ["token_edit_distance@tiny", "token_error_rate@tiny"]
    found = score(rows(output=["42+2"], targets=[["4+2="]]), names)
    assert found["value"].to_list() == [2.0, 0.5]
    assert found["units"].to_list() == [None, 4.0]
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(SaltusError, match=r"not a Hugging Face tokenizer\.json"):
        resolve(f"token_error_rate@{tmp_path / 'bad.json'}")


def test_a_plain_name_stays(mine: Path) -> None:
    assert resolve("exact_match") == "exact_match"
    assert resolve("pass@5") == "pass@5"
    assert isinstance(METRICS["exact_match"], Metric)
